"""`GET /v1/models` and `GET /version` on the wire."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from ocr_inference.jobs.store import Storage
from ocr_inference.pipeline.page import Task


class Version(BaseModel):
    version: str


class Limits(BaseModel):
    """What a request may ask for, so that a client need not try."""

    pages: int = Field(description="Of a document whose reader waits.")
    pages_async: int = Field(description="Of a document of a job.")
    pixels: int = Field(description="Of one page at its resolution.")
    side: int = Field(description="Pixels of a page's longer side.")
    upload_bytes: int
    timeout_s: float = Field(description="From the request to its answer.")
    job_timeout_s: float
    queue_pages: int = Field(description="That wait or are read, of all clients.")
    pages_per_minute: int | None = Field(description="Of one key; null: no limit.")


class JobsInfo(BaseModel):
    storage: Storage = Field(
        description="`s3`: any replica answers for a job, and finishes it. `local`: only the one "
        "that took it, until it ends."
    )
    result_ttl_s: float


class S3Info(BaseModel):
    configured: bool = Field(description="Results are kept, unless a request declines it.")
    prefixes: bool = Field(description="Whether a request may choose one, of those allowed.")
    presign_max_s: int = Field(description="Of a link to a kept result; 0: none are given.")


class UrlInput(BaseModel):
    enabled: bool
    max_bytes: int
    timeout_s: float
    allowed_hosts: list[str] = Field(description="Empty: every host with a public address.")


class ModelInfo(BaseModel):
    """The first four keys are those of OpenAI's API."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="When this server was started, in Unix time.")
    owned_by: str
    version: str
    backend: str
    device: str | None = Field(description="Null until the model is loaded.")
    engine_versions: dict[str, str]
    ready: bool
    languages: list[str] = Field(description="ISO 639-1; empty: what the engine reads by default.")
    tasks: list[Task]
    inputs: list[str] = Field(description="Media types that are read.")
    outputs: list[str] = Field(description="Values of `output`.")
    limits: Limits
    jobs: JobsInfo
    s3: S3Info
    url_input: UrlInput


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelInfo]
