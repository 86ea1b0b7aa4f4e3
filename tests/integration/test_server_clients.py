"""Clients that were written for other servers, unchanged."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cached_env import run
from clients_env import clients_python
from ocr_server import OcrServer, pdf, picture, refusal, running_server
from PIL import Image

CLIENTS = Path(__file__).parents[1] / "support" / "clients"
KEY = "key-of-alice"
AUTH = {"Authorization": f"Bearer {KEY}"}
TEXT = "The quick brown fox\njumps over the lazy dog."


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OcrServer]:
    keys = tmp_path_factory.mktemp("keys")
    (keys / "alice").write_text(KEY)
    with running_server(
        tmp_path_factory.mktemp("server"),
        {"text": TEXT},
        ocr_auth_mode="Token",
        ocr_keys_dir=keys,
        ocr_max_upload_bytes=1_000_000,
    ) as server:
        yield server


@pytest.fixture(scope="module")
def python() -> Path:
    return clients_python()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    made = {"page.png": picture(200, 100), "three.pdf": pdf(3)}
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
    return {name: tmp_path / name for name in made}


def inline(content: bytes, media_type: str = "application/pdf") -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def ask(python: Path, client: str, server: OcrServer, *cases: Any) -> list[dict[str, Any]]:
    """What a client makes of the server's answers, one after the other in one process."""
    printed = run(python, str(CLIENTS / client), server.url, json.dumps(cases))
    return [json.loads(line) for line in printed.splitlines()]


def test_langchain_paddleocr(python: Path, server: OcrServer, files: dict[str, Path]) -> None:
    image, three = str(files["page.png"]), str(files["three.pdf"])
    one, all_pages, stranger, refused = ask(
        python,
        "paddleocr_loader.py",
        server,
        (image, KEY, {}),
        (three, KEY, {"use_layout_detection": True}),
        (image, "wrong", {}),
        (image, KEY, {"use_doc_unwarping": True}),
    )
    assert one["text"] == TEXT
    assert all_pages["text"].split("\n\f") == [TEXT] * 3
    raw = all_pages["metadata"]["paddleocr_vl_raw_response"]
    assert raw["errorCode"] == 0
    assert raw["result"]["dataInfo"]["numPages"] == 3
    (block,) = raw["result"]["layoutParsingResults"][0]["prunedResult"]["parsing_res_list"]
    assert (block["block_label"], block["block_content"]) == ("text", TEXT)
    assert "401" in stranger["error"]
    assert "422" in refused["error"]


def test_mistrals_own_client(python: Path, server: OcrServer, files: dict[str, Path]) -> None:
    three = {"type": "document_url", "document_url": inline(files["three.pdf"].read_bytes())}
    image = {"type": "image_url", "image_url": inline(picture(), "image/png")}
    scored = {"confidence_scores_granularity": "page"}
    some, one, stranger, refused = ask(
        python,
        "mistral.py",
        server,
        (KEY, {"document": three, "pages": [0, 2], **scored}),
        (KEY, {"document": image}),
        ("wrong", {"document": image}),
        (KEY, {"document": image, "table_format": "html"}),
    )
    assert [page["index"] for page in some["pages"]] == [0, 2]
    page = some["pages"][1]
    assert page["markdown"] == TEXT
    assert page["dimensions"] == {"dpi": 200, "height": 278, "width": 278}
    assert page["confidence_scores"]["minimum_page_confidence_score"] == 0.99
    assert [(block["type"], block["content"]) for block in page["blocks"]] == [("text", TEXT)]
    assert some["usage_info"] == {
        "pages_processed": 2,
        "doc_size_bytes": files["three.pdf"].stat().st_size,
    }
    assert one["pages"][0]["markdown"] == TEXT
    assert stranger["status"] == 401
    assert refused["status"] == 422
    assert json.loads(refused["body"])["error"]["code"] == "unsupported_option"


def test_the_body_that_litellm_sends(server: OcrServer) -> None:
    body = {
        "model": "mistral-ocr-latest",
        "document": {"type": "document_url", "document_url": inline(pdf(2))},
        "pages": [1],
        "include_image_base64": True,
        "image_limit": 5,
        "image_min_size": 10,
    }
    answer = server.http.post("/v1/ocr", json=body, headers=AUTH)
    assert answer.status_code == 200
    assert [page["index"] for page in answer.json()["pages"]] == [1]
    # What LiteLLM takes over.
    assert {"pages", "model", "document_annotation", "usage_info"} <= set(answer.json())


def test_the_body_that_open_webui_sends_to_paddleocr(server: OcrServer) -> None:
    body = {
        "file": base64.b64encode(pdf(12)).decode(),
        "fileType": 0,
        "useDocOrientationClassify": False,
        "useDocUnwarping": False,
        "useChartRecognition": False,
    }
    # PaddleX itself would answer with ten pages and say nothing.
    headers = {"Authorization": f"token {KEY}"}
    answer = server.http.post("/layout-parsing", json=body, headers=headers)
    assert answer.status_code == 200
    pages = answer.json()["result"]["layoutParsingResults"]
    assert [page["markdown"]["text"] for page in pages] == [TEXT] * 12
    assert {page["outputImages"] for page in pages} == {None}


def test_the_form_that_liteparse_sends(server: OcrServer) -> None:
    answer = server.read(picture(200, 100), name="page.png", data={"language": "en"}, headers=AUTH)
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [result["text"] for result in results] == TEXT.splitlines()
    for result in results:
        left, top, right, bottom = result["bbox"]
        assert 0 <= left < right <= 200
        assert 0 <= top < bottom <= 100
        assert 0 <= result["confidence"] <= 1


WHITE = base64.b64encode(picture(200, 100)).decode()
PICTURES = {
    "pictures": [
        ["image", [0.5, 0.0, 1.0, 0.5]],
        ["chart", [0.0, 0.5, 0.25, 1.0]],
        ["header", [0.0, 0.0, 1.0, 0.1]],
        ["seal", [0.9, 0.9, 1.0, 1.0]],
    ],
    "text": TEXT,
}


@pytest.fixture(scope="module")
def illustrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OcrServer]:
    with running_server(tmp_path_factory.mktemp("illustrated"), PICTURES) as server:
        yield server


def size(data: str) -> tuple[int, int]:
    return Image.open(io.BytesIO(base64.b64decode(data))).size


def test_mistrals_own_client_has_the_pictures_it_asks_for(
    python: Path, illustrated: OcrServer
) -> None:
    image = {"type": "image_url", "image_url": inline(picture(200, 100), "image/png")}
    plain, all_of_them, some = (
        answer["pages"][0]
        for answer in ask(
            python,
            "mistral.py",
            illustrated,
            (KEY, {"document": image}),
            (KEY, {"document": image, "include_image_base64": True, "extract_header": True}),
            (
                KEY,
                {
                    "document": image,
                    "include_image_base64": True,
                    "image_limit": 1,
                    "image_min_size": 20,
                },
            ),
        )
    )
    names = ["img-1", "img-2", "img-4"]
    for page in (plain, all_of_them):
        assert [found["id"] for found in page["images"]] == names
        assert page["markdown"] == "\n\n".join([TEXT, *(f"![{name}]({name})" for name in names)])
    assert {found["image_base64"] for found in plain["images"]} == {None}
    photo, chart, seal = all_of_them["images"]
    assert [photo[f"{corner}"] for corner in ("top_left_x", "top_left_y")] == [100, 0]
    assert [photo[f"{corner}"] for corner in ("bottom_right_x", "bottom_right_y")] == [200, 50]
    sizes = []
    for found in (photo, chart, seal):
        kind, _, data = found["image_base64"].partition(",")
        assert kind == "data:image/png;base64"
        sizes.append(size(data))
    assert sizes == [(100, 50), (50, 50), (20, 10)]
    assert [found["id"] for found in some["images"]] == ["img-1"]
    assert some["markdown"] == f"{TEXT}\n\n![img-1](img-1)"


def test_langchain_paddleocr_has_the_pictures_unless_it_wants_none(
    python: Path, illustrated: OcrServer, files: dict[str, Path]
) -> None:
    image = str(files["page.png"])
    pretty, plain = ask(
        python,
        "paddleocr_loader.py",
        illustrated,
        (image, KEY, {}),
        (image, KEY, {"prettify_markdown": False}),
    )
    paths = [
        f"imgs/img_in_{name}.png"
        for name in ("image_box_100_0_200_50", "chart_box_0_50_50_100", "seal_box_180_90_200_100")
    ]
    for answer in (pretty, plain):
        raw = answer["metadata"]["paddleocr_vl_raw_response"]["result"]["layoutParsingResults"][0]
        assert raw["markdown"]["text"] == answer["text"]
        found = raw["markdown"]["images"]
        assert list(found) == paths
        assert [size(data) for data in found.values()] == [(100, 50), (50, 50), (20, 10)]
    assert plain["text"] == "\n\n".join([TEXT, *(f"![]({path})" for path in paths)])
    shares = zip(paths, (50, 25, 10), strict=True)
    assert pretty["text"].split("\n\n")[1:] == [
        f'<div style="text-align: center;"><img src="{path}" alt="Image" width="{share}%" /></div>'
        for path, share in shares
    ]
    without = illustrated.http.post(
        "/layout-parsing", json={"file": WHITE, "returnMarkdownImages": False}
    )
    (page,) = without.json()["result"]["layoutParsingResults"]
    assert page["markdown"]["images"] == {}
    assert page["markdown"]["text"] == TEXT


def test_clients_of_others_are_told_in_a_header_what_is_left_out(tmp_path: Path) -> None:
    each = [["image", [n / 60, 0.5, (n + 1) / 60, 1.0]] for n in range(60)]
    document = inline(pdf(2))
    with running_server(tmp_path, {"pictures": each}) as server:
        paddle = server.http.post("/layout-parsing", json={"file": document})
        asked = {"document": {"document_url": document}, "include_image_base64": True}
        mistral = server.http.post("/v1/ocr", json=asked)
        assert server.left_behind == []
    for answer in (paddle, mistral):
        assert answer.status_code == 200
        assert answer.headers["x-ocr-status"] == "success"
        assert answer.headers["x-ocr-warnings"] == "images_left_out"
    pages = paddle.json()["result"]["layoutParsingResults"]
    assert [len(page["markdown"]["images"]) for page in pages] == [60, 40]
    assert [page["markdown"]["text"].count("<img ") for page in pages] == [60, 40]
    listed = [page["images"] for page in mistral.json()["pages"]]
    assert [sum(found["image_base64"] is not None for found in page) for page in listed] == [60, 40]
    assert [len(page) for page in listed] == [60, 60]


PADDLE: dict[str, Any] = {"file": base64.b64encode(picture()).decode(), "fileType": 1}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"file": "not base64!"}, 422),
        ({"file": base64.b64encode(b"hello").decode()}, 415),
        ({"file": ""}, 422),
        ({"file": None}, 422),
        ({"file": "http://127.0.0.1/page.png"}, 422),
        ({"file": base64.b64encode(picture(700, 700, "BMP")).decode()}, 413),
        ({"fileType": 2}, 422),
        ({"maxNewTokens": 5}, 422),
        ({"outputFormats": ["docx"]}, 422),
        ({"restructurePages": True}, 422),
        ({"useTableRecognition": True}, 422),
        ({"useLayoutDetection": False, "promptLabel": "poem"}, 422),
        ({"logId": "x" * 1000}, 422),
    ],
)
def test_paddlex_clients_are_refused_in_their_own_words(
    server: OcrServer, change: dict[str, Any], status: int
) -> None:
    answer = server.http.post("/layout-parsing", json={**PADDLE, **change}, headers=AUTH)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"logId", "errorCode", "errorMsg"}
    assert answer.json()["errorCode"] == status
    assert answer.json()["logId"] == answer.headers["x-request-id"]


def test_options_that_change_nothing_are_taken(server: OcrServer) -> None:
    harmless = {
        "visualize": True,
        "returnMarkdownImages": True,
        "prettifyMarkdown": True,
        "temperature": 0,
        "useTableRecognition": False,
        "useLayoutDetection": False,
        "promptLabel": "ocr",
        "logId": "mine",
    }
    answer = server.http.post("/layout-parsing", json=PADDLE | harmless, headers=AUTH)
    assert answer.status_code == 200
    assert answer.json()["logId"] == "mine"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"document": {"type": "file", "file_id": "abc"}}, 422, "unsupported_option"),
        ({"document": {"type": "document_url"}}, 422, "unsupported_option"),
        ({"document": None}, 422, "unsupported_option"),
        (
            {"document": {"type": "image_url", "image_url": "https://a.test/b"}},
            422,
            "url_not_allowed",
        ),
        ({"pages": [5]}, 422, "invalid_pages"),
        ({"pages": "1-x"}, 422, "unsupported_option"),
        ({"pages": [-1]}, 422, "unsupported_option"),
        ({"bbox_annotation_format": {"type": "json_schema"}}, 422, "unsupported_option"),
        ({"poem": 1}, 422, "invalid_field"),
    ],
)
def test_mistral_requests_that_cannot_be_done_are_refused(
    server: OcrServer, change: dict[str, Any], status: int, code: str
) -> None:
    body: dict[str, Any] = {
        "model": None,
        "document": {"type": "document_url", "document_url": inline(pdf(2))},
    }
    answer = server.http.post("/v1/ocr", json=body | change, headers=AUTH)
    assert refusal(answer) == (status, code)


@pytest.mark.parametrize("route", ["/v1/ocr", "/layout-parsing"])
def test_bodies_that_are_no_json_are_refused(server: OcrServer, route: str) -> None:
    def post(**options: Any) -> int:
        return server.http.post(route, headers=AUTH, **options).status_code

    assert post(content=b"{}") == 415
    assert post(files={"file": b"x"}) == 415
    assert post(json=[]) == 400
    cut = server.http.post(
        route, content=b'{"file": "', headers={**AUTH, "Content-Type": "application/json"}
    )
    assert cut.status_code == 400
    assert server.http.post(route, json={}).status_code == 401


def test_a_document_may_have_all_of_the_limit_in_base64(server: OcrServer) -> None:
    head = picture(64, 64)
    for size, status in ((1_000_000, 200), (1_000_001, 413)):
        content = head + bytes(size - len(head))  # a PNG ends where it says
        body = {"document": {"image_url": inline(content, "image/png")}}
        assert server.http.post("/v1/ocr", json=body, headers=AUTH).status_code == status
    far_too_large = {"document": {"image_url": "A" * 3_000_000}}
    assert server.http.post("/v1/ocr", json=far_too_large, headers=AUTH).status_code == 413
    assert server.left_behind == []


def test_a_long_body_is_never_in_memory(tmp_path: Path) -> None:
    head = picture(64, 64)
    text = inline(head + bytes(32 * 1024**2), "image/png")
    bodies: dict[str, Any] = {
        "/v1/ocr": {"json": {"document": {"document_url": text}}},
        "/layout-parsing": {"json": {"file": text}},
        "/ocr": {"files": {"image_url": (None, text)}},
    }
    with running_server(tmp_path) as server:
        assert server.read(picture()).status_code == 200  # what the first request loads is loaded
        before = peak_bytes(server.pid)
        for route, body in bodies.items():
            assert server.http.post(route, **body).status_code == 200
            # A third of the text; 10 to 13 MiB are taken, however long it is.
            assert peak_bytes(server.pid) - before < 15 * 1024**2, route


def peak_bytes(pid: int) -> int:
    """The most memory that the process ever had."""
    (line,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(line) * 1024


def test_a_page_that_failed_says_so_in_either_shape(tmp_path: Path) -> None:
    script = {"text": TEXT, "pages": [{}, {"fail": "A smudge."}, {}, {}, {"fail": "A smudge."}]}
    with running_server(tmp_path, script) as server:
        body = {"file": base64.b64encode(pdf(3)).decode()}
        paddle = server.http.post("/layout-parsing", json=body)
        assert (paddle.status_code, paddle.headers["x-ocr-status"]) == (200, "partial")
        texts = [
            (page["markdown"]["text"], page["prunedResult"].get("error"))
            for page in paddle.json()["result"]["layoutParsingResults"]
        ]
        assert texts == [(TEXT, None), ("", "A smudge."), (TEXT, None)]
        headers = {"Cache-Control": "no-store"}
        document = {"document": {"document_url": inline(pdf(3))}}
        mistral = server.http.post("/v1/ocr", json=document, headers=headers)
        pages = mistral.json()["pages"]
        assert [page.get("error") for page in pages] == [None, "A smudge.", None]
        assert mistral.json()["usage_info"]["pages_processed"] == 2
