"""PaddleOCR-VL with its VLM on a server: the real layout model's loader and the real pipeline, with
a stub of the server. No weights of the VLM are there.
"""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from ocr_server import OcrServer, running_server
from paddle_env import environment, paddle_python, tiny_models
from pages import LETTER
from PIL import Image
from vlm_stub import VlmStub, vlm_stub

ANSWERS = {
    "OCR:": "What the server read.",
    "Table Recognition:": "<fcel>Phase<fcel>Seconds<nl><fcel>load_model<fcel>11<nl>",
    "Formula Recognition:": "\\[ t = m + 3 s \\]",
    "Spotting:": "Found"
    + "".join(f"<|LOC_{n}|>" for n in (100, 200, 500, 200, 500, 300, 100, 300)),
}
TABLE = (
    "<table><tr><td>Phase</td><td>Seconds</td></tr><tr><td>load_model</td><td>11</td></tr></table>"
)

# `running_server` starts its own interpreter; this one has paddle.
WITH_PADDLE = ("sh", "-c", 'shift && exec "$0" "$@"')


@pytest.fixture(scope="module")
def stub() -> Iterator[VlmStub]:
    with vlm_stub() as stub:
        stub.text = lambda prompt, _count: ANSWERS.get(prompt, "")
        yield stub


@pytest.fixture(scope="module")
def server(stub: VlmStub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OcrServer]:
    home = tmp_path_factory.mktemp("paddle-vlm")
    models = home / "cache" / "paddlex" / "official_models"
    shutil.copytree(tiny_models() / "PP-DocLayoutV3", models / "PP-DocLayoutV3")
    with running_server(
        home,
        prefix=(*WITH_PADDLE, str(paddle_python())),
        pythonpath=environment()["PYTHONPATH"],
        ocr_model="paddleocr-vl",
        ocr_backend="vllm",
        ocr_vlm_url=stub.url,
    ) as server:
        yield server


def read(server: OcrServer, **form: Any) -> dict[str, Any]:
    answer = server.read(LETTER.read_bytes(), name=LETTER.name, data=form)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_the_servers_answers_become_blocks_of_every_kind(server: OcrServer, stub: VlmStub) -> None:
    stub.bodies.clear()
    body = read(server)
    (page,) = body["pages"]
    assert [(block["type"], block["text"]) for block in page["blocks"]] == [
        ("title", "What the server read."),
        ("text", "What the server read."),
        ("table", "Phase\tSeconds\nload_model\t11"),
        ("formula", "$$  t = m + 3 s  $$"),
        ("image", ""),
    ]
    assert page["blocks"][2]["html"] == TABLE
    assert page["blocks"][3]["latex"] == "t = m + 3 s"
    assert body["markdown"].startswith(
        "# What the server read.\n\nWhat the server read.\n\n<table>"
    )
    assert 0 < body["timings"]["layout_ms"] < body["timings"]["infer_ms"]
    assert body["usage"]["input_tokens"] == 4 * 100
    confidences = [block["confidence"] for block in page["blocks"]]
    assert confidences == pytest.approx([0.9, 0.9, 0.9, 0.9, 1.0], abs=0.01)
    assert {line["confidence_source"] for line in body["results"]} == {"token_logprob"}

    sizes: dict[str, list[Any]] = {}
    for asked in stub.bodies:
        picture, prompt = asked["messages"][0]["content"]
        data = picture["image_url"]["url"].removeprefix("data:image/jpeg;base64,")
        sizes.setdefault(prompt["text"], []).append(Image.open(io.BytesIO(base64.b64decode(data))))
    assert {prompt: len(found) for prompt, found in sizes.items()} == {
        "OCR:": 2,
        "Table Recognition:": 1,
        "Formula Recognition:": 1,
    }
    # The crops are the page's own pixels: the layout's boxes, from 5 to 95 % of the width.
    (table,) = sizes["Table Recognition:"]
    assert table.width == pytest.approx(0.9 * page["width"], abs=2)
    assert {asked["model"] for asked in stub.bodies} == {"PaddleOCR-VL-1.6-0.9B"}


def test_a_picture_that_the_layout_finds_can_be_had(server: OcrServer) -> None:
    (page,) = read(server, include="images")["pages"]
    (found,) = page["images"]
    left, top, right, bottom = found["bbox"]
    picture = Image.open(io.BytesIO(base64.b64decode(found["base64"])))
    assert found["type"] == "image"
    assert picture.size == pytest.approx((right - left, bottom - top), abs=2)


def test_paddlexs_clients_find_the_picture_where_it_is_in_the_text(server: OcrServer) -> None:
    file = base64.b64encode(LETTER.read_bytes()).decode()
    for pretty, shown in ((True, '<img src="{}" '), (False, "![]({})")):
        body = {"file": file, "prettifyMarkdown": pretty}
        answer = server.http.post("/layout-parsing", json=body)
        assert answer.status_code == 200, answer.text
        markdown = answer.json()["result"]["layoutParsingResults"][0]["markdown"]
        ((name, data),) = markdown["images"].items()
        assert Image.open(io.BytesIO(base64.b64decode(data))).width > 1
        before, found, after = markdown["text"].partition(shown.format(name))
        assert "t = m + 3 s" in before and found and "\n\n" not in after
    assert "\ufffc" not in read(server)["markdown"]


def test_a_page_is_read_as_one_block_of_the_kind_that_is_asked_for(server: OcrServer) -> None:
    body = read(server, task="table")
    assert body["timings"]["layout_ms"] is None
    (page,) = body["pages"]
    assert [(block["type"], block.get("html")) for block in page["blocks"]] == [("table", TABLE)]


def test_spotted_lines_have_their_places(server: OcrServer, stub: VlmStub) -> None:
    stub.bodies.clear()
    (page,) = read(server, task="spotting")["pages"]
    (line,) = page["lines"]
    width, height = page["width"], page["height"]
    assert line["text"] == "Found"
    assert line["bbox"] == pytest.approx([width / 10, height / 5, width / 2, height * 0.3], abs=1)
    assert stub.bodies[0]["skip_special_tokens"] is False  # they say where


def test_no_weights_of_the_vlm_are_loaded(server: OcrServer) -> None:
    started = server.get("/startupz").json()
    phases = [phase["name"] for phase in started["phases"]]
    assert phases == ["process", "import", "load_layout", "warmup"]
    assert started["backend"] == "vllm"
