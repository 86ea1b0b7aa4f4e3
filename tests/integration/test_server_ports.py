"""What an administrator can take off the port that clients reach: the metrics, and the pages."""

from __future__ import annotations

from pathlib import Path

import httpx
from ocr_server import free_port, picture, refusal, running_server, start_server
from uvicorn.main import STARTUP_FAILURE


def test_the_metrics_have_a_port_of_their_own(tmp_path: Path) -> None:
    port = free_port()
    with running_server(tmp_path, ocr_metrics_port=port) as server:
        assert server.read(picture()).status_code == 200
        assert refusal(server.get("/metrics")) == (404, "not_found")
        assert "/metrics" not in server.get("/openapi.json").json()["paths"]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            assert 'ocr_requests_total{code="200",route="/ocr"} 1.0' in http.get("/metrics").text
            for path in ("/ocr", "/health", "/docs", "/openapi.json", "/"):
                assert refusal(http.get(path)) == (404, "not_found")
        server.terminate()
        assert server.exit_code() == 0


def test_a_port_for_metrics_that_is_taken_is_told(tmp_path: Path) -> None:
    with running_server(tmp_path / "first") as first:
        server = start_server(tmp_path / "second", ocr_metrics_port=first.port)
        assert server.exit_code() == STARTUP_FAILURE
        assert "address already in use" in server.log


def test_pages_for_browsers_can_be_left_out(tmp_path: Path) -> None:
    with running_server(tmp_path, ocr_pages_enabled="false") as server:
        for path in ("/", "/assets/app.js", "/docs", "/redoc", "/openapi.json"):
            assert refusal(server.get(path)) == (404, "not_found")
        assert server.get("/health").json()["docs"] == ""
        assert server.read(picture()).status_code == 200
