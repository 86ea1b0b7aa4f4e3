"""`POST /ocr` over HTTP: answers, formats, limits, refusals. One server for all of them."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ocr_server import OcrServer, pdf, picture, refusal, running_server

MAX_BYTES = 200_000
FILE_PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OcrServer]:
    with running_server(
        tmp_path_factory.mktemp("server"),
        {"text": "{width} by {height}\nsecond line"},
        ocr_max_upload_bytes=MAX_BYTES,
        ocr_max_pages_sync=5,
        ocr_max_pixels=1_000_000,
        ocr_header_timeout_s=1,
        ocr_upload_timeout_s=1.5,
    ) as server:
        yield server
        assert server.left_behind == []


def test_an_image_is_answered_with_text_lines_boxes_and_confidence(server: OcrServer) -> None:
    answer = server.read(picture(40, 30))
    body = answer.json()
    assert answer.status_code == 200
    assert body["status"] == "success"
    assert body["text"] == "40 by 30\nsecond line"
    assert (body["engine"], body["model"]) == ("scripted", "scripted 1")
    assert [item["text"] for item in body["results"]] == ["40 by 30", "second line"]
    line = body["pages"][0]["lines"][0]
    assert line["confidence"] == 0.99
    assert len(line["bbox"]) == 4
    sent = len(picture(40, 30))
    # This model counts no tokens and has no step that finds the blocks.
    none = {"input_tokens": None, "output_tokens": None}
    assert body["usage"] == {"pages": 1, "bytes": sent, **none}
    assert body["timings"]["total_ms"] > 0
    assert body["timings"]["layout_ms"] is None


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "BMP"])
def test_every_image_format_is_read(server: OcrServer, kind: str) -> None:
    assert server.read(picture(40, 30, kind)).json()["text"].startswith("40 by 30")


def test_a_body_much_larger_than_a_header_is_read(server: OcrServer) -> None:
    document = picture(240, 240, "BMP")
    assert len(document) > 2 * 64 * 1024
    for _ in range(3):  # on one connection
        assert server.read(document).status_code == 200


def test_a_pdf_is_read_page_by_page_and_pages_can_be_chosen(server: OcrServer) -> None:
    whole = server.read(pdf(3)).json()
    assert [page["page"] for page in whole["pages"]] == [1, 2, 3]
    some = server.read(pdf(3), data={"pages": "1,3", "dpi": "72"}).json()
    assert [(page["page"], page["width"]) for page in some["pages"]] == [(1, 100), (3, 100)]


@pytest.mark.parametrize(
    ("form", "accept", "media_type"),
    [
        ({"output": "text"}, "*/*", "text/plain"),
        ({"output": "markdown"}, "*/*", "text/markdown"),
        ({}, "text/plain", "text/plain"),
        ({}, "text/markdown, application/json;q=0.5", "text/markdown"),
        ({"output": "json"}, "text/plain", "application/json"),
        ({}, "*/*", "application/json"),
    ],
)
def test_the_format_is_chosen_by_the_form_and_then_by_accept(
    server: OcrServer, form: dict[str, str], accept: str, media_type: str
) -> None:
    answer = server.read(picture(), data=form, headers={"Accept": accept})
    assert answer.headers["Content-Type"].partition(";")[0] == media_type
    assert "second line" in answer.text
    assert answer.headers["X-OCR-Status"] == "success"


def test_include_and_min_confidence_narrow_the_answer(server: OcrServer) -> None:
    page = server.read(picture(), data={"include": "lines"}).json()["pages"][0]
    assert "lines" in page and "blocks" not in page
    assert server.read(picture(), data={"min_confidence": "0.995"}).json()["text"] == ""


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"output": "docx"}, "output"),
        ({"dpi": "20"}, "dpi"),
        ({"dpi": ["100", "200"]}, "dpi"),
        ({"language": "russian"}, "language"),
        ({"min_confidence": "nan"}, "min_confidence"),
        ({"timeout_s": "1e9"}, "timeout_s"),
        ({"include": "everything"}, "include"),
    ],
)
def test_a_field_that_cannot_be_honoured_is_refused_by_name(
    server: OcrServer, form: dict[str, str], field: str
) -> None:
    answer = server.read(picture(), data=form)
    assert refusal(answer) == (422, "invalid_field")
    assert answer.json()["error"]["message"].startswith(f"{field}: ")


def test_wrong_documents_are_refused_with_their_reason(server: OcrServer) -> None:
    assert refusal(server.read(b"")) == (400, "empty_file")
    assert refusal(server.read(b"GIF89a" + bytes(50))) == (415, "unsupported_media_type")
    assert refusal(server.read(picture()[:60])) == (400, "decode_failed")
    assert refusal(server.read(picture(1100, 1000))) == (422, "too_many_pixels")
    assert refusal(server.read(pdf(6))) == (422, "too_many_pages")
    assert refusal(server.read(pdf(2), data={"pages": "7"})) == (422, "invalid_pages")
    assert refusal(server.read(picture(), data={"save_to_s3": "true"})) == (
        422,
        "s3_not_configured",
    )


def test_a_body_that_is_no_upload_is_refused(server: OcrServer) -> None:
    assert refusal(server.http.post("/ocr", json={"file": "x"})) == (415, "unsupported_media_type")
    assert refusal(server.http.post("/ocr", files={"other": b"x"})) == (422, "invalid_field")
    two = [("file", ("a", b"x")), ("file", ("b", b"y"))]
    assert refusal(server.http.post("/ocr", files=two)) == (422, "source_ambiguous")
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    for body, expected in {
        b"": (400, "invalid_multipart"),
        b"nonsense": (400, "invalid_multipart"),
        FILE_PART + b"abc": (400, "invalid_multipart"),
        b'--b\r\nContent-Disposition: form-data; name="dpi"\r\n\r\n100\r\n--b--\r\n': (
            422,
            "source_missing",
        ),
    }.items():
        assert refusal(server.http.post("/ocr", content=body, headers=form)) == expected
    many = {f"field{number}": "x" for number in range(40)}
    assert refusal(server.read(picture(), data=many)) == (400, "invalid_multipart")


def test_a_large_body_is_refused_before_it_is_read_and_the_answer_arrives(
    server: OcrServer,
) -> None:
    # The whole of it is sent, and still the refusal is received, not a reset connection.
    assert refusal(server.read(bytes(8_000_000))) == (413, "file_too_large")
    with raw(server) as sock:
        sock.sendall(head("Content-Length: 999999999"))
        assert b" 413 " in sock.recv(4096)


def test_a_body_of_unknown_length_is_counted(server: OcrServer) -> None:
    def chunks() -> Iterator[bytes]:
        yield FILE_PART
        for _ in range(100):
            yield bytes(10_000)

    answer = server.http.post(
        "/ocr", content=chunks(), headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert refusal(answer) == (413, "file_too_large")


def test_a_slow_upload_is_ended(server: OcrServer) -> None:
    with raw(server) as sock:
        sock.sendall(head("Content-Length: 1000") + FILE_PART)
        until = time.monotonic() + 8
        answer = b""
        try:
            # The head and the body of the answer may come apart.
            while b"}" not in answer and time.monotonic() < until:
                if not answer:
                    sock.sendall(b"-")
                sock.settimeout(0.2)
                try:
                    answer += sock.recv(4096)
                except TimeoutError:
                    continue
        except OSError:
            pass
    assert b" 408 " in answer and b"upload_timeout" in answer


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-A: "])
def test_a_connection_without_a_whole_header_is_closed(server: OcrServer, sent: bytes) -> None:
    with raw(server) as sock:
        sock.sendall(sent)
        assert b" 408 " in sock.recv(4096)
        assert sock.recv(4096) == b""


def test_the_second_request_of_a_connection_has_the_same_header_deadline(
    server: OcrServer,
) -> None:
    with raw(server) as sock:
        sock.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while b'{"alive":true}' not in answer:
            answer += sock.recv(4096)
        sock.sendall(b"GET /livez HTTP/1.1\r\n")
        assert b" 408 " in sock.recv(4096)


def test_a_huge_header_is_refused(server: OcrServer) -> None:
    with raw(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ")
        try:
            for _ in range(10):
                sock.sendall(b"a" * 20_000)
            answer = sock.recv(4096)
        except ConnectionError:
            return  # refused while we were still sending
        assert b" 431 " in answer or answer == b""


def test_every_answer_has_a_request_id_and_errors_have_one_shape(server: OcrServer) -> None:
    given = {"X-Request-Id": "abc-123"}
    assert server.get("/livez", headers=given).headers["X-Request-Id"] == "abc-123"
    assert server.get("/livez", headers={"X-Request-Id": "a b\tc"}).headers["X-Request-Id"] != "a b"
    missing = server.get("/nothing", headers=given)
    assert refusal(missing) == (404, "not_found")
    wrong = server.get("/ocr")
    assert refusal(wrong) == (405, "method_not_allowed")
    assert wrong.headers["Allow"] == "POST"
    for name in ("X-Inference-Time-Ms", "X-Queue-Time-Ms", "X-OCR-Engine", "Server-Timing"):
        assert name in missing.headers


def test_client_path_names_name_nothing(server: OcrServer) -> None:
    answer = server.read(picture(), name="../../../etc/passwd\n<script>")
    assert answer.status_code == 200


def test_documentation_is_served_without_a_cdn(server: OcrServer) -> None:
    for page in ("/", "/docs", "/redoc"):
        answer = server.get(page)
        assert answer.status_code == 200
        for asset in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
            assert not asset.startswith(("http:", "https:", "//")), asset
            if asset.endswith((".js", ".css")):
                assert server.get(asset).status_code == 200
    form = server.get("/openapi.json").json()["paths"]["/ocr"]["post"]["requestBody"]
    fields = form["content"]["multipart/form-data"]["schema"]["properties"]
    assert {"file", "language", "pages", "output", "dpi"} <= set(fields)


def test_health_has_the_published_keys(server: OcrServer) -> None:
    body = server.get("/health").json()
    assert body["status"] == "ok"
    published = {"status", "paddleocr", "s3_storage", "output_dir", "temp_dir", "docs"}
    assert published <= set(body)
    assert server.get("/health/vllm").json()["status"] == "disabled"


def test_metrics_count_requests_pages_and_refusals(server: OcrServer) -> None:
    before = server.metric('ocr_pages_total{engine="scripted",status="ok"}')
    server.read(pdf(2))
    server.read(b"")
    assert server.metric('ocr_pages_total{engine="scripted",status="ok"}') == before + 2
    assert server.metric('ocr_rejected_total{reason="empty_file"}') >= 1
    assert server.metric('ocr_requests_total{code="200",route="/ocr"}') >= 1
    assert server.metric('ocr_engine_up{engine="scripted"}') == 1
    assert server.metric("ocr_queue_pages") == 0


def test_the_log_is_json_and_holds_no_document_content(server: OcrServer) -> None:
    server.read(picture(), name="secret-name.png", headers={"X-Request-Id": "logged"})
    server.wait_for(lambda: any(line.get("request_id") == "logged" for line in server.log_lines))
    for line in server.log.splitlines():
        assert json.loads(line)["message"]
    assert "second line" not in server.log
    assert "secret-name" not in server.log
    assert "/livez" not in server.log


def raw(server: OcrServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def head(*headers: str) -> bytes:
    lines = [
        "POST /ocr HTTP/1.1",
        "Host: x",
        "Content-Type: multipart/form-data; boundary=b",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def test_the_temporary_directory_is_empty_after_all_this(server: OcrServer, tmp_path: Path) -> None:
    assert server.left_behind == []
