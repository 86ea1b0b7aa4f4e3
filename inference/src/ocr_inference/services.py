"""What the routes work with, put together once in `server`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from fastapi import Request

from ocr_inference.auth import KeyRing
from ocr_inference.engine.decoder import Decoder
from ocr_inference.engine.pool import EnginePool
from ocr_inference.engine.supervisor import EngineState
from ocr_inference.errors import PublicError
from ocr_inference.folders import Folders
from ocr_inference.jobs.service import Jobs
from ocr_inference.lifecycle import Lifecycle, Stage
from ocr_inference.metrics import Metrics
from ocr_inference.reading.admission import Admission
from ocr_inference.reading.rates import PageRates
from ocr_inference.reading.reader import Reader
from ocr_inference.results.outputs import Outputs
from ocr_inference.results.service import OcrService
from ocr_inference.results.slots import AnswerSlots
from ocr_inference.results.untaken import Untaken
from ocr_inference.settings import Settings
from ocr_inference.sinks.folder import FolderSink
from ocr_inference.sinks.s3 import S3Sink
from ocr_inference.sources.space import UploadSpace
from ocr_inference.sources.url import UrlFetcher
from ocr_inference.startup import StartRecord, StartWarning
from ocr_inference.vlm.health import VlmHealth
from ocr_inference.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    record: StartRecord
    engine: EnginePool
    vlm: VlmHealth | None
    lifecycle: Lifecycle
    admission: Admission
    keys: KeyRing
    rates: PageRates
    sink: S3Sink
    output: FolderSink
    metrics: Metrics
    workspace: Workspace
    uploads: UploadSpace
    urls: UrlFetcher
    folders: Folders
    reader: Reader
    ocr: OcrService
    outputs: Outputs
    decoder: Decoder
    jobs: Jobs
    untaken: Untaken
    answers: AnswerSlots = field(default_factory=AnswerSlots)

    @property
    def model_name(self) -> str:
        return self.record.model_name

    def warnings(self) -> list[StartWarning]:
        """What an administrator has to mend; the server works on as far as it can."""
        found = []
        if self.keys.missing:
            found.append(
                StartWarning(
                    code="secret_missing",
                    message="the key Secret is not mounted or empty: "
                    "every request is refused with 401",
                )
            )
        if self.sink.credentials_missing:
            found.append(
                StartWarning(
                    code="secret_missing",
                    message="the S3 credentials are not mounted or incomplete: "
                    "results are not stored",
                )
            )
        return found

    def not_ready_reason(self) -> str | None:
        """Why no traffic should come here; None when it should."""
        if self.lifecycle.stage is not Stage.SERVING:
            return "draining"
        if self.engine.state is not EngineState.READY:
            return f"engine {self.engine.state}"
        if self.vlm is not None and self.vlm.reason is not None:
            return self.vlm.reason
        if self.keys.missing:
            return "no keys"
        return None

    def check_can_work(self) -> None:
        """Refuse new work that could not be done. An engine being replaced is worth waiting for."""
        if self.lifecycle.stage is Stage.DRAINING:
            raise PublicError(503, "draining", "The server is ending.", retry_after=1)
        failed = self.engine.state is EngineState.FAILED
        if self.engine.was_ready and not failed:
            if self.vlm is not None:
                self.vlm.check_can_read()
            return
        if failed:
            self.engine.want()
        message = (
            # Not the error itself: it is a library's text, with paths of ours in it.
            "The model could not be loaded and is tried again; see /health."
            if failed
            else ("The model is still loading.")
        )
        seconds = round(self.engine.seconds_to_ready(time.monotonic()))
        raise PublicError(503, "not_ready", message, retry_after=min(300, max(1, seconds)))


def services_of(request: Request) -> Services:
    services = request.app.state.services
    assert isinstance(services, Services)  # noqa: S101 - for the type checker
    return services
