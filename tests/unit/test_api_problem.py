"""What the HTTP process makes of an error that nobody foresaw."""

from __future__ import annotations

import asyncio
import logging

import httpx
import pytest
from fastapi import FastAPI

from ocr_inference.api.envelope import BodyLimits, Envelope
from ocr_inference.api.problem import handle_errors
from ocr_inference.lifecycle import Lifecycle
from ocr_inference.metrics import Metrics


def test_an_unexpected_error_is_counted_and_logged_by_its_code(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app, metrics = FastAPI(), Metrics("1", "scripted")
    handle_errors(app)

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("zebra")

    served = Envelope(app, BodyLimits(1000, 10), Lifecycle(0, 0), metrics)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(served, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return await client.get("/broken")

    with caplog.at_level(logging.INFO, "ocr_inference.http"):
        answer = asyncio.run(ask())
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert "zebra" not in answer.text
    counted = metrics.registry.get_sample_value("ocr_rejected_total", {"reason": "internal_error"})
    assert counted == 1
    (line,) = [record for record in caplog.records if record.message == "request"]
    assert vars(line)["code"] == "internal_error"
