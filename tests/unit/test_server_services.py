"""What the parts of a server know of each other."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ocr_inference import server
from ocr_inference.engine.supervisor import EngineState
from ocr_inference.metrics import Metrics
from ocr_inference.reading.admission import Admission
from ocr_inference.settings import Settings
from ocr_inference.workspace import Workspace


@pytest.mark.parametrize(
    ("state", "vlm", "takes"),
    [
        (EngineState.READY, None, True),
        (EngineState.LOADING, None, False),
        (EngineState.READY, "The VLM server did not answer.", False),
    ],
)
def test_jobs_of_others_are_taken_only_by_a_replica_that_is_ready(
    state: EngineState,
    vlm: str | None,
    takes: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(server, "make_jobs", lambda **named: asked.update(named))
    parts: Any = SimpleNamespace(
        workspace=Workspace(tmp_path),
        metrics=Metrics("1", "scripted"),
        record=None,
        engines=SimpleNamespace(ready=1, state=state),
        vlm=SimpleNamespace(health=SimpleNamespace(reason=vlm)),
        admission=Admission.unbounded(),
        rates=None,
        decoder=None,
        reader=None,
        outputs=SimpleNamespace(images=None),
    )
    server._services(Settings(temp_dir=tmp_path), parts)
    assert asked["can_take"]() is takes
