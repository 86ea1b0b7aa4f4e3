"""The health routes on the wire. The first six keys of `Health` are those of older deployments."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from ocr_inference.startup import StartWarning

Status = Literal["ok", "loading", "degraded", "failed"]
S3State = Literal["configured", "credentials_missing", "not_configured"]


class QueueHealth(BaseModel):
    pages: int = Field(description="That wait or are read while somebody waits for them.")
    max_pages: int
    jobs: int = Field(description="That wait or are read on this replica, beside those pages.")


class Health(BaseModel):
    status: Status
    paddleocr: str
    s3_storage: S3State
    output_dir: str
    temp_dir: str
    docs: str
    version: str
    engine: str
    model: str
    ready: bool
    reason: str | None
    error: str | None
    warnings: list[StartWarning]
    queue: QueueHealth
    writable: dict[str, bool | None]


class VllmHealth(BaseModel):
    status: Literal["ok", "down", "disabled"]
    model: str | None = None
    latency_ms: float | None = None
    reason: str | None = None


class Readiness(BaseModel):
    ready: bool
    reason: str | None


class Liveness(BaseModel):
    alive: bool
