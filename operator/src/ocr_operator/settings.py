"""The operator's settings: environment variables, read once in `__main__`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class Settings(BaseSettings):
    """Names of the variables are the fields' names in capitals after `OCR_OPERATOR_`."""

    model_config = SettingsConfigDict(env_prefix="OCR_OPERATOR_", frozen=True, extra="ignore")

    namespace: Annotated[str, Field(min_length=1)]
    """The operator's own: OcrStartupProfiles live here, and only those here count."""
    watch_namespaces: Annotated[tuple[str, ...], NoDecode] = ()
    """Where OcrServices are served; empty: everywhere."""
    image_cpu: str = ""
    """Full reference of the server's image for models on CPU."""
    image_gpu: str = ""
    """The same for models on a GPU."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    catalogue_extra: Path | None = None
    """YAML file with further catalogue entries."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    http_port: Annotated[int, Field(ge=1, le=65535)] = 8080
    """For /healthz, /readyz and /metrics."""
    workers: Annotated[int, Field(ge=1, le=64)] = 8
    """Reconciles at a time. Each spends its time waiting for the API server, so a few are enough:
    more only raise the load of the API server after a restart."""
    kubeconfig: Path | None = None
    """For running outside a cluster. Never guessed from KUBECONFIG or the home directory: an
    operator started by mistake on a laptop would work on whatever cluster its owner looked at
    last."""

    @field_validator("watch_namespaces", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
        return value

    @field_validator("catalogue_extra", "kubeconfig", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    def serves(self, namespace: str) -> bool:
        """Whether OcrServices of this namespace are this operator's."""
        return not self.watch_namespaces or namespace in self.watch_namespaces

    @property
    def watched(self) -> tuple[str, ...]:
        """Namespaces to watch: the served ones and the operator's own; empty: all."""
        if not self.watch_namespaces:
            return ()
        return tuple(dict.fromkeys((*self.watch_namespaces, self.namespace)))
