"""The OpenAPI document against the server it describes: no answer that it does not know."""

from __future__ import annotations

from pathlib import Path

from ocr_server import running_server
from openapi_fuzz import fuzz, never_successful

LEAST_REQUESTS = 1000


def test_every_answer_is_documented(tmp_path: Path) -> None:
    with running_server(tmp_path, ocr_sync_timeout_s=20) as server:
        paths = server.get("/openapi.json").json()["paths"]
        codes = {
            (path, code)
            for path, operations in paths.items()
            for operation in operations.values()
            for code in operation["responses"]
        }
        # So that "documented" means something: no route may excuse a bug of its own.
        assert not [path for path, code in codes if code in ("500", "5XX", "default")]
        asked = fuzz(server, tmp_path, examples=25, seed=1, timeout=600)
        print(f"{len(paths)} paths, {asked} requests")
        assert asked >= LEAST_REQUESTS
        # Or the answers that are checked are refusals alone.
        assert never_successful(server, paths) == set()
        assert "unexpected error" not in server.log and "Traceback" not in server.log
        assert server.process.poll() is None
