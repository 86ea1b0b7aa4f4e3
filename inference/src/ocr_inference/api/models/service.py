"""What this server reads with, and what it may be asked for."""

from __future__ import annotations

import time
from typing import get_args

from ocr_inference.api.models.schema import JobsInfo, Limits, ModelInfo, S3Info, UrlInput
from ocr_inference.engine.registry import tasks_of
from ocr_inference.pipeline.magic import INPUT_MEDIA_TYPES
from ocr_inference.results.form import Output
from ocr_inference.services import Services

OWNER = "ocr-inference"

_STARTED = int(time.time())


def model_info(services: Services) -> ModelInfo:
    settings, record = services.settings, services.record
    return ModelInfo(
        id=record.model,
        created=_STARTED,
        owned_by=OWNER,
        version=record.version,
        backend=record.backend,
        device=record.device,
        engine_versions=record.engine_versions,
        ready=services.not_ready_reason() is None,
        languages=list(settings.languages),
        tasks=list(tasks_of(record.model)),
        inputs=list(INPUT_MEDIA_TYPES),
        outputs=list(get_args(Output)),
        limits=Limits(
            pages=settings.max_pages_sync,
            pages_async=settings.max_pages_async,
            pixels=settings.max_pixels,
            side=settings.max_side,
            upload_bytes=settings.max_upload_bytes,
            timeout_s=settings.sync_timeout_s,
            job_timeout_s=settings.job_timeout_s,
            queue_pages=settings.queue_max_pages,
            pages_per_minute=settings.rate_limit_pages_per_minute or None,
        ),
        jobs=JobsInfo(storage=services.jobs.storage, result_ttl_s=settings.result_ttl_s),
        s3=S3Info(
            configured=services.sink.configured,
            prefixes=bool(services.sink.allowed_prefixes),
            presign_max_s=services.sink.longest_link_s,
        ),
        url_input=UrlInput(
            enabled=settings.url_enabled,
            max_bytes=settings.url_max_bytes,
            timeout_s=settings.url_timeout_s,
            allowed_hosts=list(settings.url_allowed_hosts),
        ),
    )
