"""The whole state of the server in one answer."""

from __future__ import annotations

from ocr_inference.api.health.schema import Health, QueueHealth, S3State, Status, VllmHealth
from ocr_inference.engine.supervisor import EngineState
from ocr_inference.services import Services
from ocr_inference.startup import StartWarning
from ocr_inference.version import VERSION


def health(services: Services) -> Health:
    engine, warnings, reason = services.engine, services.warnings(), services.not_ready_reason()
    return Health(
        status=_status(services, warnings, reason),
        paddleocr=engine.state.value,
        s3_storage=_s3(services),
        output_dir=str(services.settings.output_dir or ""),
        temp_dir=str(services.settings.temp_dir),
        docs="/docs" if services.settings.pages_enabled else "",
        version=VERSION,
        engine=services.record.model,
        model=services.model_name,
        ready=reason is None,
        reason=reason,
        error=engine.error,
        warnings=warnings,
        queue=QueueHealth(
            pages=services.admission.pages,
            max_pages=services.settings.queue_max_pages,
            jobs=services.jobs.unfinished,
        ),
        writable=services.folders.writable,
    )


def vlm_health(services: Services) -> VllmHealth:
    vlm = services.vlm
    if vlm is None:
        return VllmHealth(status="disabled")
    return VllmHealth(
        status="ok" if vlm.up else "down",
        model=vlm.model,
        latency_ms=vlm.latency_ms,
        reason=vlm.reason,
    )


def _status(services: Services, warnings: list[StartWarning], reason: str | None) -> Status:
    match services.engine.state:
        case EngineState.FAILED:
            return "failed"
        case EngineState.LOADING:
            return "degraded" if services.engine.was_ready else "loading"
        case EngineState.READY:
            writable = False not in services.folders.writable.values()
            return "ok" if reason is None and not warnings and writable else "degraded"


def _s3(services: Services) -> S3State:
    if not services.sink.configured:
        return "not_configured"
    return "credentials_missing" if services.sink.credentials_missing else "configured"
