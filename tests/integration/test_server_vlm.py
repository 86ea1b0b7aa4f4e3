"""Pages whose blocks a VLM server reads: the real server, and a stub of the other one."""

from __future__ import annotations

import base64
import io
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from ocr_server import OcrServer, pdf, picture, refusal, running_server
from PIL import Image
from vlm_stub import VlmStub, vlm_stub

from ocr_inference.vlm.client import KEEP_ALIVE_S

BLOCKS = 3
AT_ONCE = 4


@dataclass
class Pair:
    server: OcrServer
    stub: VlmStub
    keys: Path

    def read(self, document: bytes | None = None, **form: Any) -> httpx.Response:
        # Never from the cache: a page is the same in most tests.
        headers = {"Cache-Control": "no-store"}
        return self.server.read(document or picture(), data=form, headers=headers)

    def blocks(self, answer: httpx.Response) -> list[dict[str, Any]]:
        assert answer.status_code == 200, answer.text
        (page,) = answer.json()["pages"]
        blocks: list[dict[str, Any]] = page["blocks"]
        return blocks

    def quiet(self) -> None:
        """Until the stub is with nobody."""
        self.server.wait_for(lambda: self.stub.at_once == 0, seconds=10)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    home = tmp_path_factory.mktemp("vlm")
    keys = home / "keys"
    keys.mkdir()
    with (
        vlm_stub() as stub,
        running_server(
            home,
            {"blocks": BLOCKS},
            ocr_backend="vllm",
            ocr_vlm_url=stub.url,
            ocr_vlm_model="the-model",
            ocr_vlm_concurrency=AT_ONCE,
            ocr_vlm_key_dir=keys,
        ) as server,
    ):
        yield Pair(server, stub, keys)


@pytest.fixture
def pair(running: Pair) -> Iterator[Pair]:
    """The same two for all tests; each finds the stub as new."""
    stub = running.stub
    fresh = VlmStub(stub.port)
    for name in vars(fresh):
        if not name.startswith("_"):
            setattr(stub, name, getattr(fresh, name))
    (running.keys / "api-key").unlink(missing_ok=True)
    running.server.wait_ready()
    yield running
    running.quiet()
    assert running.server.left_behind == []


def codes(answer: httpx.Response) -> list[str]:
    return [warning["code"] for warning in answer.json()["warnings"]]


def test_every_block_is_asked_for_as_paddlex_asks(pair: Pair) -> None:
    blocks = pair.blocks(pair.read(task="table"))
    assert {block["text"] for block in blocks} == {f"Table Recognition: {n}" for n in (1, 2, 3)}
    assert len(pair.stub.bodies) == BLOCKS
    asked = pair.stub.bodies[0]
    url = asked["messages"][0]["content"][0]["image_url"]["url"]
    kind, _, data = url.partition(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (200, 40)
    assert asked["model"] == "the-model"
    assert asked["temperature"] == 0
    assert asked["max_completion_tokens"] == 256 + 200 * 40 // 64
    assert asked["mm_processor_kwargs"] == {"min_pixels": 112896, "max_pixels": 1003520}
    assert asked["skip_special_tokens"] is True
    assert pair.stub.keys == [None] * BLOCKS


def test_confidence_is_that_of_the_tokens(pair: Pair) -> None:
    answer = pair.read()
    confidences = [block["confidence"] for block in pair.blocks(answer)]
    assert confidences == pytest.approx([0.9] * BLOCKS, abs=0.01)
    assert {line["confidence_source"] for line in answer.json()["results"]} == {"token_logprob"}


def test_without_probabilities_there_is_no_confidence(pair: Pair) -> None:
    pair.stub.logprob = None
    answer = pair.read(min_confidence="0.5")
    assert {line["confidence_source"] for line in answer.json()["results"]} == {"none"}
    assert {block["confidence"] for block in pair.blocks(answer)} == {1.0}
    assert codes(answer) == ["no_confidence"]


def tokens(answer: httpx.Response) -> tuple[int | None, int | None]:
    assert answer.status_code == 200, answer.text
    usage = answer.json()["usage"]
    return usage["input_tokens"], usage["output_tokens"]


def counted_tokens(server: OcrServer) -> tuple[float, float]:
    line = 'ocr_vlm_tokens_total{direction="'
    return server.metric(f'{line}in"}}'), server.metric(f'{line}out"}}')


def test_the_servers_tokens_are_counted_once(pair: Pair) -> None:
    page = pdf(2, side=111)
    before = counted_tokens(pair.server)
    first, second = pair.server.read(page), pair.server.read(page)
    # Three blocks on each of two pages, and two words in each answer.
    assert tokens(first) == (600, 12)
    assert second.json()["cached"] is True
    assert tokens(second) == (0, 0)
    assert counted_tokens(pair.server) == (before[0] + 600, before[1] + 12)


def test_a_job_counts_them_too(pair: Pair) -> None:
    job = pair.server.submitted(pdf(2, side=112))
    assert "event: done" in pair.server.get(f"{job}/events").text
    assert tokens(pair.server.get(f"{job}/result")) == (600, 12)
    assert pair.server.http.delete(job).status_code == 204


def test_without_a_count_of_the_server_there_is_none(pair: Pair) -> None:
    pair.stub.usage = False
    assert tokens(pair.read()) == (None, None)


@pytest.mark.parametrize(
    "usage", ["many", {"prompt_tokens": "many"}, {"prompt_tokens": -1}, {"prompt_tokens": 1e999}]
)
def test_a_count_that_is_none_is_a_malformed_answer(pair: Pair, usage: Any) -> None:
    pair.stub.usage = usage
    assert refusal(pair.read()) == (502, "engine_error")


def test_both_answers_of_a_block_that_was_read_twice_count_as_far_as_they_are_told(
    pair: Pair,
) -> None:
    pair.stub.pause = 0.002
    pair.stub.loops = lambda temperature: temperature == 0
    # The first was broken off before its server had counted.
    assert tokens(pair.read()) == (300, 6)


def test_pages_of_several_requests_fill_the_pool_and_never_more(pair: Pair) -> None:
    pair.stub.latency = 0.15
    with ThreadPoolExecutor(3) as clients:
        answers = list(clients.map(pair.read, [pdf(2), pdf(2), pdf(2)]))
    assert [len(answer.json()["pages"]) for answer in answers] == [2, 2, 2]
    assert pair.stub.requests == 3 * 2 * BLOCKS
    # A page alone has fewer: so blocks of other pages were there with it.
    assert pair.stub.most_at_once == AT_ONCE > BLOCKS


def test_connections_are_used_again(pair: Pair) -> None:
    pages, began = 12, time.monotonic()
    assert pair.read(pdf(pages)).status_code == 200
    # One more than blocks, because the server's health may be asked at the same time; and one that
    # nobody has used for a while is not used again.
    at_once = AT_ONCE + 1
    renewals = math.floor((time.monotonic() - began) / KEEP_ALIVE_S)
    assert pair.stub.requests == pages * BLOCKS
    assert len(pair.stub.connections) <= at_once * (1 + renewals)


def test_failures_that_pass_are_tried_again(pair: Pair) -> None:
    before = pair.server.metric('ocr_vlm_blocks_total{result="retried"}')
    pair.stub.failures = [(500, {}), (429, {"retry-after": "0"}), (503, {})]
    assert len(pair.blocks(pair.read())) == BLOCKS
    assert pair.stub.requests == BLOCKS + 3
    assert pair.server.metric('ocr_vlm_blocks_total{result="retried"}') == before + 3


def test_a_block_that_cannot_be_read_is_left_empty_and_told(pair: Pair) -> None:
    pair.stub.fails = lambda _prompt, count: 400 if count == 2 else 0
    answer = pair.read()
    texts = sorted(block["text"] for block in pair.blocks(answer))
    assert texts == ["", "OCR: 1", "OCR: 3"]
    assert codes(answer) == ["block_failed"]
    assert pair.stub.requests == BLOCKS  # the same would only fail again


def test_a_block_that_is_left_empty_is_told_where_the_body_has_no_warnings(pair: Pair) -> None:
    pair.stub.fails = lambda _prompt, count: 400 if count % BLOCKS == 2 else 0
    url = f"data:application/pdf;base64,{base64.b64encode(pdf(2)).decode()}"
    headers = {"Cache-Control": "no-store"}
    mistral = {"document": {"document_url": url}}
    for answer in (
        pair.read(pdf(2), output="text"),
        pair.server.http.post("/v1/ocr", json=mistral, headers=headers),
        pair.server.http.post("/layout-parsing", json={"file": url}, headers=headers),
    ):
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-ocr-status"] == "success"
        assert answer.headers["x-ocr-warnings"] == "block_failed"  # once, of two pages


def test_a_block_out_of_time_is_left_empty_and_a_page_of_them_fails(tmp_path: Path) -> None:
    with (
        vlm_stub() as stub,
        running_server(
            tmp_path,
            {"blocks": BLOCKS},
            ocr_backend="vllm",
            ocr_vlm_url=stub.url,
            ocr_vlm_model="the-model",
            ocr_vlm_block_timeout_s=1,
        ) as server,
    ):
        stub.pause = 0.01
        stub.text = lambda _prompt, count: " ".join(map(str, range(400))) if count == 2 else "here"
        answer = server.read(picture())
        (page,) = answer.json()["pages"]
        assert page["status"] == "ok"
        assert sorted(block["text"] for block in page["blocks"]) == ["", "here", "here"]
        assert codes(answer) == ["block_failed"]
        stub.hangs = True
        answer = server.read(picture(33))
        assert refusal(answer) == (502, "engine_error")
        assert "did not read a block in 1 s" in answer.json()["error"]["message"]


def test_a_page_that_lacks_a_block_is_read_anew_the_next_time(pair: Pair) -> None:
    page = picture(33)
    pair.stub.fails = lambda _prompt, count: 400 if count == 2 else 0
    assert codes(pair.server.read(page)) == ["block_failed"]
    assert codes(pair.server.read(page)) == []  # not from the cache
    pair.server.read(page)
    assert pair.stub.requests == 2 * BLOCKS  # and this one from the cache


def test_a_page_without_any_readable_block_fails(pair: Pair) -> None:
    pair.stub.fails = lambda _prompt, _count: 400
    answer = pair.read()
    assert refusal(answer) == (502, "engine_error")
    assert answer.json()["error"]["message"] == "The VLM server answered with status 400."


def test_a_server_that_has_too_much_to_do_is_left_alone_as_long_as_it_asks(pair: Pair) -> None:
    pair.stub.failures = [(429, {"retry-after": "77"})] * BLOCKS
    answer = pair.read()
    assert refusal(answer) == (503, "engine_unavailable")
    assert answer.headers["retry-after"] == "77"


def test_a_loop_is_left_at_a_higher_temperature(pair: Pair) -> None:
    before = pair.server.metric("ocr_repetition_aborts_total")
    pair.stub.pause = 0.002
    pair.stub.loops = lambda temperature: temperature == 0
    answer = pair.read()
    assert all(block["text"].startswith("OCR: ") for block in pair.blocks(answer))
    assert codes(answer) == []
    assert pair.stub.aborted == BLOCKS
    assert pair.server.metric("ocr_repetition_aborts_total") == before + BLOCKS


def test_a_loop_without_end_is_cut_and_told(pair: Pair) -> None:
    pair.stub.pause = 0.002
    pair.stub.loops = lambda _temperature: True
    answer = pair.read()
    assert [block["text"] for block in pair.blocks(answer)] == ["Once and again"] * BLOCKS
    assert codes(answer) == ["repetition_truncated"]
    pair.quiet()
    assert pair.stub.aborted == 2 * BLOCKS
    assert pair.stub.tokens_sent < 2 * BLOCKS * 150  # of the 381 that a block may have


def test_a_block_at_its_limit_of_tokens_is_told(pair: Pair) -> None:
    words = " ".join(f"w{n}" for n in range(500))
    pair.stub.text = lambda _prompt, _count: words
    answer = pair.read()
    assert {len(block["text"].split()) for block in pair.blocks(answer)} == {381}
    assert codes(answer) == ["block_truncated"]


def test_a_client_that_goes_away_closes_its_streams(pair: Pair) -> None:
    pair.stub.hangs = True
    with pytest.raises(httpx.ReadTimeout):
        pair.server.http.post("/ocr", files={"file": ("page.png", picture(41))}, timeout=1)
    pair.quiet()
    assert pair.stub.aborted == BLOCKS
    pair.stub.hangs = False
    assert len(pair.blocks(pair.read())) == BLOCKS  # and the slots are free


def test_a_page_ends_with_its_deadline(pair: Pair) -> None:
    pair.stub.pause, pair.stub.text = 0.01, lambda _prompt, _count: " ".join(map(str, range(350)))
    answer = pair.read(timeout_s="1")
    assert refusal(answer) == (504, "deadline_exceeded")
    pair.quiet()
    assert pair.stub.aborted == BLOCKS


def test_the_key_is_sent_and_read_anew_and_never_logged(pair: Pair) -> None:
    file = pair.keys / "api-key"
    pair.stub.key = "first-secret"
    answer = pair.read()
    assert answer.status_code == 502
    assert answer.json()["error"]["message"] == "The VLM server refuses our key."
    for key in ("first-secret", "second-secret"):
        pair.stub.key = key
        file.write_text(f"{key}\n")
        pair.server.wait_for(lambda: pair.read().status_code == 200, seconds=10)
        assert pair.stub.keys[-1] == key
    assert "-secret" not in pair.server.log


def test_a_job_waits_for_a_server_that_died_and_is_whole(pair: Pair) -> None:
    pair.stub.latency = 0.3
    server = pair.server
    job = server.submit(pdf(8)).json()["links"]["self"]
    server.wait_for(lambda: server.get(job).json()["pages_done"] >= 1)
    pair.stub.die()
    server.wait_for(lambda: server.get("/readyz").status_code == 503, seconds=15)
    pair.stub.start()
    server.wait_for(lambda: server.get(job).json()["finished_at"] is not None)
    assert server.get(job).json()["status"] == "succeeded"
    server.http.delete(job)


def test_a_dead_server_is_told_by_the_probes_and_fails_pages_until_it_is_back(pair: Pair) -> None:
    pair.stub.die()
    answer = pair.read()
    assert refusal(answer) == (503, "engine_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    server = pair.server
    server.wait_for(lambda: server.get("/readyz").status_code == 503, seconds=10)
    reason = "The VLM server cannot be reached."
    assert server.get("/readyz").json() == {"ready": False, "reason": reason}
    down = server.get("/health/vllm")
    assert down.status_code == 503
    assert down.json() == {
        "status": "down",
        "model": "the-model",
        "latency_ms": None,
        "reason": reason,
    }
    assert server.get("/livez").status_code == 200
    assert server.get("/health").json()["status"] == "degraded"
    assert server.metric("ocr_vllm_up") == 0
    pair.stub.start()
    server.wait_ready()
    assert server.get("/health/vllm").json()["status"] == "ok"
    assert server.metric("ocr_vllm_up") == 1
    assert len(pair.blocks(pair.read())) == BLOCKS


def test_a_server_that_breaks_off_counts_as_gone(pair: Pair) -> None:
    pair.stub.breaks_off = True
    answer = pair.read()
    assert refusal(answer) == (503, "engine_unavailable")
    assert pair.stub.requests >= 4  # one block's tries


def test_a_server_without_vllms_own_route_is_asked_for_its_models(pair: Pair) -> None:
    pair.stub.health = 404
    asked = pair.stub.health_asked
    pair.server.wait_for(lambda: pair.stub.health_asked >= asked + 2, seconds=10)
    assert pair.server.get("/readyz").status_code == 200


def test_a_failing_health_route_is_no_reason_to_restart(pair: Pair) -> None:
    pair.stub.health = 500
    server = pair.server
    server.wait_for(lambda: server.get("/readyz").status_code == 503, seconds=10)
    assert server.get("/livez").status_code == 200


def test_a_pod_is_ready_once_its_vlm_server_answered_and_was_warmed(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    with vlm_stub() as stub:
        stub.die()
        stub.key = "the-key"
        settings = {"ocr_backend": "external", "ocr_vlm_url": stub.url, "ocr_vlm_key_dir": keys}
        with running_server(tmp_path, ready=False, **settings) as server:
            server.wait_for(lambda: server.get("/startupz").status_code == 200)

            def waits_because(reason: str) -> bool:
                return bool(server.get("/readyz").json() == {"ready": False, "reason": reason})

            server.wait_for(lambda: waits_because("The VLM server cannot be reached."))
            refused = server.read(picture())
            assert refusal(refused) == (503, "not_ready")
            stub.start()
            server.wait_for(lambda: waits_because("The VLM server refuses our key."))
            (keys / "api-key").write_text("the-key")
            before = stub.warmups
            server.wait_ready()
            assert stub.warmups - before == 6  # one for each task
            assert server.read(picture()).status_code == 200
            # All there is to send is the one key that the stub wants.
            assert stub.keys[-1] == "the-key"
