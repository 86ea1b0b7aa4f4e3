"""Puts the jobs together: in the bucket where there is one, else in the workspace."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from ocr_inference.jobs.backlog import Backlog
from ocr_inference.jobs.ledger import Ledger
from ocr_inference.jobs.local import LocalObjects
from ocr_inference.jobs.replica import Replica
from ocr_inference.jobs.runner import Runner
from ocr_inference.jobs.s3 import BucketObjects
from ocr_inference.jobs.service import Jobs
from ocr_inference.jobs.store import Objects
from ocr_inference.lifecycle import Lifecycle
from ocr_inference.metrics import Metrics
from ocr_inference.reading.admission import Admission
from ocr_inference.reading.reader import Reader
from ocr_inference.results.service import OcrService
from ocr_inference.settings import Settings
from ocr_inference.sinks.bucket import Bucket
from ocr_inference.sources.space import UploadSpace
from ocr_inference.workspace import Workspace

_LOCAL_SHARE = 4
"""One part in so many of the room for uploads: what is kept for a day must not take it all."""


def make_jobs(
    *,
    settings: Settings,
    bucket: Bucket,
    reader: Reader,
    ocr: OcrService,
    workspace: Workspace,
    uploads: UploadSpace,
    lifecycle: Lifecycle,
    metrics: Metrics,
    model: Callable[[], str],
    retry_after: Callable[[int], int],
    can_take: Callable[[], bool],
) -> Jobs:
    """`retry_after` gives the seconds until so many pages, and all that are waited for, are
    read."""
    local_bytes = max(settings.max_upload_bytes, uploads.max_bytes // _LOCAL_SHARE)
    objects: Objects = (
        BucketObjects(bucket, metrics)
        if bucket.configured
        else LocalObjects(workspace.path / "jobs")
    )
    ledger = Ledger(objects)
    runner = Runner(
        ledger=ledger,
        reader=reader,
        ocr=ocr,
        # How many jobs run is the bound: a long one is not to wait for room among the others.
        admission=Admission.unbounded(),
        uploads=uploads,
        workspace=workspace,
        metrics=metrics,
        model=model,
        max_pages=settings.max_pages_async,
        timeout_s=settings.job_timeout_s,
        ttl=timedelta(seconds=settings.result_ttl_s),
    )
    replica = Replica(
        ledger,
        runner,
        Backlog(settings.queue_max_bytes if objects.shared else local_bytes, retry_after),
        metrics,
        can_take,
        lifecycle.request,
        local_bytes,
        f"{settings.model} {settings.vlm_model}".strip(),
    )
    return Jobs(ledger, runner, replica)
