"""`python -m ocr_operator.api.crdgen [--check] [directory …]`: the CRDs from the models."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from ocr_operator.api.fields import rule
from ocr_operator.api.structural import structural_schema
from ocr_operator.api.v1alpha1 import GROUP, VERSION, OcrService, OcrStartupProfile

DIRECTORIES = ("crds", "charts/ocr-operator/files/crds")
"""What is written by default: for `kubectl apply -f`, and the same again inside the chart."""

NAME_MAX = 52
"""Longest name of an OcrService: it names a Service (63) and the ConfigMap `<name>-startup`, and
the names of pods add a hash."""

_META: Mapping[str, Mapping[str, Any]] = {
    "apiVersion": {
        "description": "Version of this object's schema, ocr-operator.dev/v1alpha1.",
        "type": "string",
    },
    "kind": {"description": "Kind of this object.", "type": "string"},
    # The API server has the schema of metadata and allows no word about it here.
    "metadata": {"type": "object"},
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`."""

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False

    def manifest(self) -> dict[str, Any]:
        column = {
            "name": self.name,
            "type": self.type,
            "description": self.description,
            "jsonPath": self.path,
        }
        return column | {"priority": 1} if self.wide else column


@dataclass(frozen=True, slots=True)
class Kind:
    """What a CRD says besides the schema."""

    kind: str
    plural: str
    short: str
    description: str
    model: type[BaseModel]
    columns: tuple[Column, ...]
    subresources: Mapping[str, Any] = field(default_factory=dict)
    rules: tuple[Mapping[str, str], ...] = ()

    @property
    def file_name(self) -> str:
        return f"{self.plural}.{GROUP}.yaml"


_AGE = Column("Age", ".metadata.creationTimestamp", "Time since the object was made.", "date")
_READY = '.status.conditions[?(@.type=="Ready")]'

OCR_SERVICE = Kind(
    kind="OcrService",
    plural="ocrservices",
    short="ocr",
    description="An OCR endpoint whose probes are computed from measured starts of its model.",
    model=OcrService,
    columns=(
        Column("Ready", f"{_READY}.status", "Whether the service serves."),
        Column("Reason", f"{_READY}.reason", "Why it does or does not."),
        Column("Replicas", ".status.replicasText", "Ready and wanted pods."),
        Column("Model", ".status.model", "Model and version."),
        Column("Init", ".status.startup.init", "Median of the measured starts."),
        Column("Budget", ".status.startup.budget", "Applied start budget."),
        Column("URL", ".status.url", "Address inside the cluster."),
        _AGE,
    ),
    subresources={
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    },
    rules=(
        rule(
            f"size(self.metadata.name) <= {NAME_MAX}",
            f"metadata.name must be at most {NAME_MAX} characters: it names a Service and pods",
        ),
        rule(
            "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "metadata.name must be lower case letters, digits and '-', with a letter first and no "
            "'-' last: it names a Service",
        ),
    ),
)

OCR_STARTUP_PROFILE = Kind(
    kind="OcrStartupProfile",
    plural="ocrstartupprofiles",
    short="ocrsp",
    description="Measured starts of one model, image and device, across all services.",
    model=OcrStartupProfile,
    columns=(
        Column("Model", ".spec.key.model", "Name of the model."),
        Column("Version", ".spec.key.version", "Version of the model."),
        Column("Device", ".spec.key.device", "Accelerator, or cpu."),
        Column("CPU", ".spec.key.cpuLimit", "Cores the container may use."),
        Column("Prior", ".spec.prior.medianSeconds", "Median a person gave.", "number"),
        Column("Repository", ".spec.key.repository", "Repository of the image.", wide=True),
        Column("Digest", ".spec.key.digest", "Digest of the image.", wide=True),
        _AGE,
    ),
)

MODULE = "ocr_operator.api.crdgen"
KINDS = (OCR_SERVICE, OCR_STARTUP_PROFILE)


def crd(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition of one kind."""
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [column.manifest() for column in kind.columns],
        "schema": {"openAPIV3Schema": _root_schema(kind)},
    }
    if kind.subresources:
        version["subresources"] = dict(kind.subresources)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": [kind.short],
            },
            "scope": "Namespaced",
            "versions": [version],
        },
    }


def _root_schema(kind: Kind) -> dict[str, Any]:
    schema = structural_schema(kind.model)
    root: dict[str, Any] = {
        "description": kind.description,
        "type": "object",
        "required": schema["required"],
    }
    if kind.rules:
        root["x-kubernetes-validations"] = [dict(entry) for entry in kind.rules]
    properties = {name: dict(meta) for name, meta in _META.items()}
    return root | {"properties": properties | schema["properties"]}


def crd_text(kind: Kind) -> str:
    """The file of one kind."""
    body = yaml.safe_dump(crd(kind), sort_keys=False, width=100, allow_unicode=True)
    return (
        f"# Generated by `python -m ocr_operator.api.crdgen` from the models; do not edit.\n{body}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or with `--check` say which ones are not up to date."""
    parser = argparse.ArgumentParser(prog="crdgen", description=__doc__)
    parser.add_argument("directory", nargs="*", type=Path, help=" and ".join(DIRECTORIES))
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 on difference")
    options = parser.parse_args(arguments)
    directories = options.directory or [Path(name) for name in DIRECTORIES]
    files = [(directory / kind.file_name, kind) for directory in directories for kind in KINDS]
    stale = [(path, kind) for path, kind in files if _is_stale(path, kind)]
    for path, kind in stale:
        if options.check:
            sys.stderr.write(f"{path} is not what the models say; run python -m {MODULE}\n")
        else:
            path.write_text(crd_text(kind), encoding="utf-8")
            sys.stderr.write(f"wrote {path}\n")
    return 1 if options.check and stale else 0


def _is_stale(path: Path, kind: Kind) -> bool:
    return not path.is_file() or path.read_text(encoding="utf-8") != crd_text(kind)


if __name__ == "__main__":
    sys.exit(main())
