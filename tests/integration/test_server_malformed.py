"""Hundreds of broken documents through the real server: every one is answered, nothing is lost."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mutations import mutated, valid_documents
from ocr_server import OcrServer, running_server
from processes import memory

COUNT = 600
DEADLINE_S = 15
AT_ONCE = 6


def test_no_broken_document_takes_the_server_with_it(tmp_path: Path) -> None:
    with running_server(tmp_path, ocr_sync_timeout_s=DEADLINE_S) as server:
        documented = documented_codes(server)
        read_valid(server)
        base = memory(server.pid)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(lambda broken: ask(server, *broken), mutated(COUNT)))
        read_valid(server)
        after = memory(server.pid)

        told = Counter((kind, status) for kind, status, _ in answers)
        slowest = max(seconds for _, _, seconds in answers)
        print(f"{COUNT} documents, slowest {slowest:.1f} s, MiB {base} -> {after}: {told}")
        assert {status for _, status, _ in answers} <= documented - {500}
        assert slowest < DEADLINE_S + 5
        assert server.process.poll() is None
        assert "unexpected error" not in server.log and "Traceback" not in server.log
        # They are no test of anything if they are all refused by their first bytes.
        for kind in valid_documents():
            assert told[kind, 200] > 0 and told[kind, 400] > 0, told
        assert after[0] <= base[0] * 1.1 and after[1] <= base[1] * 1.1
        server.wait_for(lambda: server.metric("ocr_queue_pages") == 0)
        server.wait_for(lambda: server.left_behind == [])


def documented_codes(server: OcrServer) -> set[int]:
    answers = server.get("/openapi.json").json()["paths"]["/ocr"]["post"]["responses"]
    return {int(status) for status in answers if status.isdecimal()}


def read_valid(server: OcrServer) -> None:
    """One of everything, several times: what libraries keep for later is there after that."""
    for _ in range(2):
        for kind, documents in valid_documents().items():
            for document in documents:
                status = ask(server, kind, document)[1]
                assert status == 200, kind


def ask(server: OcrServer, kind: str, document: bytes) -> tuple[str, int, float]:
    began = time.monotonic()
    answer = server.read(document, headers={"Cache-Control": "no-store"})
    return kind, answer.status_code, time.monotonic() - began
