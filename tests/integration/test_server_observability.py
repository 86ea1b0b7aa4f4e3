"""What a server tells about its work: metrics by client and route, a log without anybody's data."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ocr_server import OcrServer, pdf, picture, refusal, running_server

MARK = "zebra"
KEY = f"{MARK}-key"
AUTH = {"Authorization": f"Bearer {KEY}"}
PAGES_PER_MINUTE = 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OcrServer]:
    keys = tmp_path_factory.mktemp("keys")
    for name, key in {"alice": KEY, "bob": "bobs", "carol": "carols"}.items():
        (keys / name).write_text(key)
    with running_server(
        tmp_path_factory.mktemp("server"),
        {"text": f"{MARK} said the page"},
        ocr_auth_mode="Token",
        ocr_keys_dir=keys,
        ocr_rate_limit_pages_per_minute=PAGES_PER_MINUTE,
    ) as server:
        yield server


def as_client(key: str, **headers: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {key}", **headers}}


def test_a_key_may_have_so_many_pages_a_minute_by_every_route(server: OcrServer) -> None:
    body = {"document": {"document_url": base64.b64encode(pdf(4)).decode()}}
    bob = as_client("bobs")
    assert server.read(pdf(4), **bob).status_code == 200
    assert server.http.post("/v1/ocr", json=body, **bob).status_code == 200
    # Eight of twenty are gone; a longer document is read and leaves a debt.
    assert server.read(pdf(24), **bob).status_code == 200
    for answer in (
        server.read(picture(), **bob),
        server.http.post("/v1/ocr", json=body, **bob),
        server.http.post("/layout-parsing", json={"file": "AAAA"}, **bob),
        server.http.post("/v1/jobs", files={"file": picture()}, **bob),
    ):
        assert answer.status_code == 429
        # Twelve pages too many and one for the next, at three seconds each.
        assert 20 <= int(answer.headers["retry-after"]) <= 39
    assert answer.json()["error"]["code"] == "rate_limited"
    assert server.read(picture(), **as_client("carols")).status_code == 200


def test_use_is_counted_for_each_key_by_its_name(server: OcrServer) -> None:
    before = server.metric('ocr_client_pages_total{client="alice"}')
    assert server.read(pdf(2), headers=AUTH).status_code == 200
    assert server.read(b"no document", headers=AUTH).status_code == 415
    assert server.metric('ocr_client_pages_total{client="alice"}') == before + 2
    assert server.metric('ocr_client_requests_total{client="alice",code="415"}') >= 1
    assert server.metric('ocr_rejected_total{reason="unsupported_media_type"}') >= 1
    assert KEY not in server.get("/metrics").text


def test_refusals_are_counted_on_every_route(server: OcrServer) -> None:
    line = 'ocr_rejected_total{reason="unauthorized"}'
    before = server.metric(line)
    for route in ("/ocr", "/v1/ocr", "/layout-parsing", "/v1/jobs"):
        assert server.http.post(route).status_code == 401
    assert server.get("/v1/models").status_code == 401
    assert server.metric(line) == before + 5


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/layout-parsing", 405, "method_not_allowed"),
        ("GET", "/v1/jobs/none?wait=99", 422, "invalid_field"),
    ],
)
def test_the_frameworks_own_refusals_are_counted_too(
    server: OcrServer, method: str, path: str, status: int, code: str
) -> None:
    line = f'ocr_rejected_total{{reason="{code}"}}'
    before = server.metric(line)
    answer = server.http.request(method, path, headers={**AUTH, "X-Request-Id": code})
    assert refusal(answer) == (status, code)
    server.wait_for(lambda: server.log.count(f'"{code}"') >= 2)  # the id and the code
    assert server.metric(line) == before + 1
    (about,) = [entry for entry in server.log_lines if entry.get("request_id") == code]
    assert (about["status"], about["code"]) == (status, code)


def test_what_a_client_makes_up_is_in_no_label(server: OcrServer) -> None:
    for path in (f"/{MARK}", f"/{MARK}/a", f"/v1/jobs/{MARK}", f"/ocr?{MARK}"):
        server.get(path, headers=AUTH)
    shown = server.get("/metrics").text
    assert MARK not in shown
    assert 'route="unmatched"' in shown
    assert 'route="/v1/jobs/{job}"' in shown


def test_the_log_holds_nothing_of_what_was_sent_or_read(server: OcrServer) -> None:
    """The marker is in all that a client sends and in all that it is answered."""
    post = server.http.post
    carol = as_client("carols", **{"X-Request-Id": "traced", "Referer": MARK, "User-Agent": MARK})
    inline = base64.b64encode(picture()).decode()
    url = f"http://{MARK}.example/{MARK}?{MARK}"
    named = f"{MARK}.png"
    asked = [
        server.read(picture(), name=named, **carol),
        server.read(picture(), name=named, data={MARK: MARK}, **carol),
        server.read(picture(), name=named, data={"language": MARK}, **carol),
        server.read(MARK.encode(), name=named, **carol),
        server.read(b"%PDF-1.7 " + MARK.encode() * 50, name=named, **carol),
        server.read(picture()[:60] + MARK.encode(), name=named, **carol),
        post("/ocr", data={"image_url": url}, files={"x": (None, MARK)}, **carol),
        post("/layout-parsing", json={"file": inline, "logId": MARK, MARK: MARK}, **carol),
        post("/layout-parsing", json={"file": url}, **carol),
        post("/v1/ocr", json={"model": MARK, "document": {"document_url": inline}}, **carol),
        post("/v1/ocr", json={"document": {"document_url": url, MARK: MARK}}, **carol),
        post("/v1/ocr", content=f'{{"{MARK}'.encode(), **carol),
        post("/v1/jobs", files={"file": (named, pdf(1))}, **carol),
        server.get(f"/{MARK}?{MARK}={MARK}", **carol),
        server.get(f"/v1/jobs/{MARK}/result", **carol),
        server.read(picture(), name=named, **as_client(f"{MARK}-wrong")),
        server.read(picture(), name=named, headers=AUTH),
    ]
    assert MARK in asked[0].text
    assert {answer.status_code for answer in asked} >= {200, 202, 400, 401, 404, 415, 422}
    server.wait_for(lambda: server.metric("ocr_jobs_finished_total") >= 1)
    server.wait_for(lambda: server.log.count('"traced"') >= 10)
    assert [line for line in server.log.splitlines() if MARK in line] == []
    assert "bobs" not in server.log
    about = [line for line in server.log_lines if line.get("request_id") == "traced"]
    assert {line["route"] for line in about if line["message"] == "request"} >= {"/ocr", "/v1/ocr"}


def test_the_model_the_limits_and_the_version_are_told(server: OcrServer) -> None:
    answer = server.get("/v1/models", headers=AUTH).json()
    assert answer["object"] == "list"
    (model,) = answer["data"]
    assert (model["id"], model["object"], model["ready"]) == ("scripted", "model", True)
    assert model["limits"]["pages_per_minute"] == PAGES_PER_MINUTE
    assert model["limits"]["upload_bytes"] == 50 * 1024 * 1024
    assert model["jobs"]["storage"] == "local"
    assert model["url_input"]["enabled"] is False
    assert {"application/pdf", "image/png", "image/webp"} <= set(model["inputs"])
    assert {"json", "text", "markdown"} <= set(model["outputs"])
    assert server.get("/v1/models/scripted", headers=AUTH).json() == model
    other = server.get(f"/v1/models/{MARK}", headers=AUTH)
    assert refusal(other) == (404, "model_not_found")
    assert server.get("/version").json() == {"version": server.get("/health").json()["version"]}


def test_how_long_pages_and_requests_take_is_measured(tmp_path: Path) -> None:
    with running_server(tmp_path, {"page_seconds": 0.3}) as server:
        version = server.get("/version").json()["version"]
        assert server.metric(f'ocr_build_info{{engine="scripted",version="{version}"}}') == 1
        assert server.read(pdf(2)).status_code == 200
        server.wait_for(lambda: server.metric('ocr_requests_total{code="200",route="/ocr"}') == 1)
        by_stage = 'ocr_page_duration_seconds_{}{{engine="scripted",stage="{}"}}'
        assert server.metric(by_stage.format("count", "render")) == 2
        assert server.metric(by_stage.format("sum", "render")) > 0
        assert server.metric(by_stage.format("count", "read")) == 2
        assert server.metric(by_stage.format("sum", "read")) >= 2 * 0.3
        assert server.metric("ocr_queue_wait_seconds_count") == 2
        assert server.metric('ocr_request_duration_seconds_count{route="/ocr"}') == 1
        assert server.metric('ocr_request_duration_seconds_sum{route="/ocr"}') >= 2 * 0.3


def test_a_child_that_is_lost_is_logged_for_the_request_that_lost_it(tmp_path: Path) -> None:
    with running_server(tmp_path, {"crash_on_page": 1}) as server:
        answer = server.read(picture(), headers={"X-Request-Id": "lost"})
        assert answer.status_code == 502
        server.wait_for(lambda: server.log.count('"lost"') >= 1)
        about = [line for line in server.log_lines if line.get("request_id") == "lost"]
        assert about[-1]["code"] == "engine_error"
