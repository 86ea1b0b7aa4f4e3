"""The server's settings: one frozen object, made once in `cli` and passed down.

The names and defaults are those of `contract/environment.v1.json`; a test compares them both ways.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from ocr_inference.key_prefix import KeyPrefix

Backend = Literal["native", "vllm", "external"]
AuthMode = Literal["Token", "None"]


def _also(*names: str) -> AliasChoices:
    """Environment names of a variable, ours first; the others are what older deployments set."""
    return AliasChoices(*names)


class Settings(BaseSettings):
    # An empty variable means its default: a manifest cannot unset what a template has set.
    model_config = SettingsConfigDict(
        env_prefix="OCR_",
        env_ignore_empty=True,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
    )

    host: str = "0.0.0.0"  # noqa: S104 - a container's server is meant to be reached
    port: int = Field(8081, ge=0, le=65535)
    metrics_port: int = Field(0, ge=0, le=65535)
    pages_enabled: bool = True

    model: str = "pp-ocr"
    model_version: str = ""
    backend: Backend = "native"
    languages: Annotated[tuple[str, ...], NoDecode] = ()
    device: str = Field("cpu", pattern=r"^(cpu|gpu:\d+)$")

    auth_mode: AuthMode = "None"
    keys_dir: Path = Path("/etc/ocr/keys")

    s3_endpoint: str = Field("", validation_alias=_also("OCR_S3_ENDPOINT", "CLOUDRU_S3_ENDPOINT"))
    s3_bucket: str = Field("", validation_alias=_also("OCR_S3_BUCKET", "CLOUDRU_S3_BUCKET"))
    s3_prefix: str = ""
    s3_region: str = "auto"
    s3_credentials_dir: Path = Path("/etc/ocr/s3")
    s3_access_key: SecretStr = Field(
        SecretStr(""), validation_alias=_also("OCR_S3_ACCESS_KEY", "CLOUDRU_S3_ACCESS_KEY")
    )
    s3_secret_key: SecretStr = Field(
        SecretStr(""), validation_alias=_also("OCR_S3_SECRET_KEY", "CLOUDRU_S3_SECRET_KEY")
    )

    s3_allowed_prefixes: Annotated[tuple[KeyPrefix, ...], NoDecode] = ()
    s3_presign_max_s: int = Field(3600, ge=0, le=7 * 86400)  # S3 itself takes no more
    s3_public_endpoint: str = Field("", pattern=r"^(https?://[^\s?#]+)?$")

    output_dir: Path | None = None
    cache_dir: Path = Path("/app/cache")
    startup_dir: Path = Path("/etc/ocr/startup")
    temp_dir: Path = Field(Path("/tmp"), validation_alias="TMPDIR")  # noqa: S108

    max_upload_bytes: int = Field(50 * 1024 * 1024, ge=1)
    max_pages_sync: int = Field(100, ge=1)
    max_pages_async: int = Field(2000, ge=1)
    max_pixels: int = Field(40_000_000, ge=1)
    queue_max_pages: int = Field(512, ge=1)
    # Half of the /tmp of a pod; the rest is for page images and for what engines leave there.
    queue_max_bytes: int = Field(2 * 1024**3, ge=1)

    sync_timeout_s: float = Field(120, gt=0)
    header_timeout_s: float = Field(10, gt=0)
    upload_timeout_s: float = Field(60, gt=0)
    heartbeat_deadline_s: float = Field(60, gt=0)
    lame_duck_s: float = Field(10, ge=0)
    # A request accepted in the lame duck's last second may take all of its time.
    drain_timeout_s: float = Field(
        default_factory=lambda given: max(120.0, given["sync_timeout_s"]), ge=0
    )

    # What each of them is for: `contract/environment.v1.json`.
    engine_workers: int = Field(0, ge=0)
    max_side: int = Field(16384, ge=1)
    queue_max_pixels: int = Field(4_000_000_000, ge=1)
    result_cache_bytes: int = Field(64 * 1024**2, ge=0)
    rate_limit_pages_per_minute: int = Field(0, ge=0)

    vlm_url: str = "http://127.0.0.1:8080/v1"
    vlm_model: str = ""
    vlm_key_dir: Path = Path("/etc/ocr/vlm")
    vlm_concurrency: int = Field(32, ge=1)
    vlm_block_timeout_s: float = Field(120, gt=0)

    job_timeout_s: float = Field(3600, gt=0)
    result_ttl_s: float = Field(86400, gt=0)

    url_enabled: bool = False
    url_allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    url_max_bytes: int = Field(20 * 1024**2, ge=1)
    url_timeout_s: float = Field(20, gt=0)
    url_max_redirects: int = Field(3, ge=0)

    script: str = ""

    @field_validator("languages", "url_allowed_hosts", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return _split(value.lower()) if isinstance(value, str) else value

    @field_validator("s3_allowed_prefixes", mode="before")
    @classmethod
    def _as_it_is(cls, value: Any) -> Any:
        return _split(value) if isinstance(value, str) else value

    @property
    def s3_configured(self) -> bool:
        return bool(self.s3_endpoint and self.s3_bucket)


def settings_sentence(error: ValidationError) -> str:
    """What is wrong with the environment, without the values: one of them may be a secret."""
    return "; ".join(
        f"{_variable(str(item['loc'][0]))}: {item['msg']}"
        for item in error.errors(include_input=False, include_url=False)
        if item["type"] != "default_factory_not_called"  # it only follows from the others
    )


def _split(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _variable(name: str) -> str:
    """A field with other names is reported by the one that was set, the others by their own."""
    return f"OCR_{name.upper()}" if name in Settings.model_fields else name
