"""The page at `/` in a real browser against the real server: what a visitor sees and can do.

Screenshots of every state are kept under `build/screenshots/`.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import PHONE, Visit, chromium, drop, visit
from documents import encrypted_pdf
from ocr_server import OcrServer, pdf, picture, running_server
from pages import LETTER, REPORT, tessdata
from playwright.sync_api import Browser, expect
from wire import wire

MAX_BYTES = 600_000
MARKUP = "<img src=x onerror=alert(1)> & <b>bold</b>"
TEXT = f"The first line\n{MARKUP}\nPage {{count}}"


def file(name: str, content: bytes) -> dict[str, Any]:
    return {"name": name, "mimeType": "application/octet-stream", "buffer": content}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OcrServer]:
    with running_server(
        tmp_path_factory.mktemp("server"),
        {"text": TEXT, "page_seconds": 0.4, "confidence": 0.8},
        ocr_max_upload_bytes=MAX_BYTES,
        ocr_max_pages_async=5,
        ocr_max_pixels=1_000_000,
        ocr_engine_workers=1,
    ) as server:
        yield server


@pytest.fixture(scope="module")
def tesseract(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OcrServer]:
    tessdata()
    home = tmp_path_factory.mktemp("tesseract")
    with running_server(home, ocr_model="tesseract") as server:
        yield server


@pytest.fixture
def tab(browser: Browser, server: OcrServer) -> Iterator[Visit]:
    with visit(browser, server.url) as tab:
        yield tab


def test_the_page_and_its_files_are_sent_again_only_when_they_changed(server: OcrServer) -> None:
    page = server.get("/")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assets = re.findall(r'"(assets/[^"]+)"', page.text)
    assert len(assets) >= 3
    for path in ("/", *assets):
        answer = server.get(path)
        again = server.get(path, headers={"If-None-Match": answer.headers["ETag"]})
        assert (answer.status_code, again.status_code, again.content) == (200, 304, b"")
    assert server.get("/assets/nothing.js").status_code == 404
    assert server.get("/assets/..%2Frouter.py").status_code == 404


def test_the_first_sight_says_what_to_do_and_what_is_served(tab: Visit) -> None:
    expect(tab.page.locator("#server-words")).to_have_text("scripted 1 · Ready")
    expect(tab.page.locator("h1")).to_have_text("Read a document")
    assert tab.text("#command").endswith("/ocr")
    tab.page.locator("#options summary").click()
    tab.judge("empty")


def test_pages_of_a_chosen_file_arrive_one_by_one(tab: Visit, server: OcrServer) -> None:
    with tab.page.expect_file_chooser() as chooser:
        tab.page.get_by_role("button", name="Choose files").click()
    chooser.value.set_files(file("three.pdf", pdf(3)))  # type: ignore[arg-type]
    counts = []
    for count in (1, 2, 3):
        tab.page.wait_for_selector(f'.tile[data-page="{count}"][data-state="ok"]')
        counts.append(tab.count('.tile[data-state="ok"]'))
        if count == 1:
            expect(tab.page.locator(".line").nth(2)).to_have_text(re.compile("^Page "))
            tab.judge("reading")
    assert counts[0] < 3
    tab.wait_phase("done")
    expect(tab.page.locator("#status")).to_contain_text("Read: 3 pages in")
    tab.page.get_by_role("button", name="Page 3, read").click()
    expect(tab.page.locator("#picture-title")).to_have_text("Page 3")


def test_a_page_that_is_not_read_yet_shows_its_picture_already(tab: Visit) -> None:
    tab.choose(file("slow.pdf", pdf(4)))
    tab.page.wait_for_selector('.tile[data-page="4"]')
    tab.page.locator('.tile[data-page="4"]').click()
    tab.page.wait_for_selector(".page.loaded img")
    assert tab.count(".page.expected") == 1
    tab.page.get_by_role("button", name="Cancel").click()
    expect(tab.page.locator("#status")).to_contain_text("Cancelled")
    tab.judge("cancelled")


def test_dropped_and_pasted_files_are_read_one_after_another(tab: Visit) -> None:
    drop(tab.page, "body", "dropped.png", picture(60, 40))
    tab.page.evaluate(
        """(content) => {
          const clipboardData = new DataTransfer();
          clipboardData.items.add(new File([new Uint8Array(content)], "pasted.png"));
          dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
        }""",
        list(picture(30, 20)),
    )
    expect(tab.page.locator(".entry-name")).to_have_text(["pasted.png", "dropped.png"])
    expect(tab.page.locator('.entry[data-phase="done"]')).to_have_count(2)
    expect(tab.page.locator("#document-name")).to_have_text("pasted.png")
    tab.page.locator(".entry").nth(1).click()
    expect(tab.page.locator("#document-name")).to_have_text("dropped.png")
    expect(tab.page.locator("#stage img")).to_be_visible()


def test_markup_in_names_and_texts_is_shown_as_text(tab: Visit) -> None:
    name = "<img src=x onerror=alert(2)>.png"
    tab.page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    tab.choose(file(name, picture(80, 60)))
    tab.wait_phase("done")
    assert tab.text("#document-name") == name
    assert MARKUP in tab.text("#pane")
    tab.page.get_by_role("tab", name="Markdown").click()
    expect(tab.page.locator("#pane")).to_contain_text("onerror=alert(1)")
    tab.page.get_by_role("tab", name="JSON").click()
    expect(tab.page.locator("#pane")).to_contain_text("<b>bold</b>")
    assert tab.count("#document b, #document img[src=x]") == 0
    assert json.loads(tab.text("#pane"))["page"] == 1


def test_boxes_are_where_the_answer_says(browser: Browser, tesseract: OcrServer) -> None:
    lines = tesseract.read(LETTER.read_bytes()).json()["pages"][0]["lines"]
    with visit(browser, tesseract.url) as tab:
        tab.choose(LETTER)
        tab.wait_phase("done")
        tab.page.wait_for_selector(".page.loaded")
        shown = tab.page.evaluate(
            """() => {
              const image = document.querySelector("#stage img").getBoundingClientRect();
              return [...document.querySelectorAll("#stage .box polygon")].map((box) => {
                const place = box.getBoundingClientRect();
                return [
                  (place.left - image.left) / image.width,
                  (place.top - image.top) / image.height,
                  (place.right - image.left) / image.width,
                  (place.bottom - image.top) / image.height,
                ];
              });
            }"""
        )
        wanted = [
            (box[0] / 1654, box[1] / 2339, box[2] / 1654, box[3] / 2339)
            for box in (line["bbox"] for line in lines)
        ]
        assert len(shown) == len(wanted) > 20
        for one, other in zip(shown, wanted, strict=True):
            assert one == pytest.approx(other, abs=0.004)
        tab.judge("done")
        line = tab.page.locator(".line").nth(3)
        line.hover()
        assert tab.page.locator(".box.lit").get_attribute("data-line") == "3"
        tab.page.locator("#stage .box text").nth(5).hover()
        assert tab.page.locator(".line.lit").get_attribute("data-line") == "5"
        _select_from_picture(tab, lines[0]["text"])
        tab.page.get_by_label("Boxes").uncheck()
        tab.page.get_by_role("button", name="Larger").click()
        tab.judge("enlarged")


def _select_from_picture(tab: Visit, text: str) -> None:
    place = tab.page.locator("#stage .box polygon").first.bounding_box()
    assert place is not None
    middle = place["y"] + place["height"] / 2
    tab.page.mouse.move(place["x"] + 1, middle)
    tab.page.mouse.down()
    tab.page.mouse.move(place["x"] + place["width"] - 1, middle, steps=4)
    tab.page.mouse.up()
    assert tab.page.evaluate("getSelection().toString()").strip() == text


FORMATS = {
    "json": (".json", b'"pages":'),
    "text": (".txt", b"How long does a start take?"),
    "markdown": (".md", b"How long does a start take?"),
    "hocr": (".hocr", b"ocr_page"),
    "alto": (".alto.xml", b"<alto"),
    "pdf": (".ocr.pdf", b"%PDF-"),
}


def test_each_format_can_be_downloaded(
    browser: Browser, tesseract: OcrServer, tmp_path: Path
) -> None:
    with visit(browser, tesseract.url) as tab:
        tab.choose(REPORT)
        tab.wait_phase("done")
        assert tab.count("#formats button") == len(FORMATS)
        for name, (suffix, content) in FORMATS.items():
            with tab.page.expect_download() as download:
                tab.page.locator(f'[data-format="{name}"]').click()
            assert download.value.suggested_filename == f"report-2p{suffix}"
            path = tmp_path / name
            download.value.save_as(path)
            assert content in path.read_bytes()


BAD = [
    (
        "docx",
        "letter.docx",
        b"PK\x03\x04 not for us",
        {},
        "unsupported_media_type",
        "save it as PDF",
    ),
    ("large", "large.png", bytes(MAX_BYTES), {}, "file_too_large", "smaller resolution"),
    ("empty", "empty.png", b"", {}, "empty_file", "original"),
    ("damaged", "damaged.png", picture()[:40], {}, "decode_failed", "save it anew"),
    ("locked", "locked.pdf", encrypted_pdf(), {}, "encrypted_pdf", "save it without one"),
    ("long", "long.pdf", pdf(6), {}, "too_many_pages", "under Options"),
    ("huge", "huge.png", picture(1100, 1000), {}, "too_many_pixels", "Save the picture smaller"),
    ("pages", "three.pdf", pdf(3), {"#pages": "7"}, "invalid_pages", "ranges such as 1-3,7"),
]


def test_what_cannot_be_read_says_what_to_do(tab: Visit) -> None:
    for name, file_name, content, options, code, advice in BAD:
        for field, value in options.items():
            tab.page.locator("#options").evaluate("(options) => { options.open = true; }")
            tab.page.fill(field, value)
        tab.choose(file(file_name, content))
        tab.wait_phase("failed")
        card = tab.page.locator("#notices")
        expect(card).to_contain_text(code)
        expect(card).to_contain_text(advice)
        if name in ("docx", "long"):
            tab.judge(f"refused-{name}")


def test_a_file_larger_than_the_limit_is_not_even_sent(tab: Visit) -> None:
    expect(tab.page.locator("#limits")).to_contain_text("up to 586 KiB")
    tab.asked.clear()
    tab.choose(file("large.png", bytes(MAX_BYTES + 1)))
    tab.wait_phase("failed")
    expect(tab.page.locator(".card.bad")).to_contain_text("at most 586 KiB are allowed")
    assert [url for url in tab.asked if "jobs" in url] == []


def test_failed_pages_are_named_and_the_others_shown(browser: Browser, tmp_path: Path) -> None:
    script = {
        "pages": [{}, {"fail": "The page made no sense."}, {"crash": True}, {}, {"crash": True}]
    }
    with (
        running_server(tmp_path, script, ocr_engine_workers=1) as server,
        visit(browser, server.url) as tab,
    ):
        tab.choose(file("mixed.pdf", pdf(3)))
        tab.wait_phase("partial")
        expect(tab.page.locator("#notices")).to_contain_text("could not be read")
        expect(tab.page.locator("#notices")).to_contain_text("Page 2: The page made no sense.")
        tab.page.locator('.tile[data-page="2"]').click()
        expect(tab.page.locator("#pane")).to_contain_text("This page could not be read")
        assert tab.count("#downloads:not([hidden])") == 1
        tab.judge("partial")


def test_a_job_that_fails_or_takes_too_long_says_so(browser: Browser, tmp_path: Path) -> None:
    script = {"pages": [{"fail": "The model gave up."}, {"seconds": 60}]}
    with (
        running_server(tmp_path, script, ocr_job_timeout_s=2, ocr_engine_workers=1) as server,
        visit(browser, server.url) as tab,
    ):
        tab.choose(file("bad.png", picture()))
        tab.wait_phase("failed")
        expect(tab.page.locator("#notices")).to_contain_text("The model gave up.")
        tab.choose(file("slow.png", picture(50, 50)))
        tab.wait_phase("failed")
        expect(tab.page.locator("#notices")).to_contain_text("There was not enough time")
        tab.judge("too-slow")
        tab.page.get_by_role("button", name="Try again").click()
        tab.wait_phase("done")


def test_a_key_is_asked_for_kept_in_the_tab_and_never_in_an_address(
    browser: Browser, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "visitor").write_text("s3cret")
    with (
        running_server(
            tmp_path,
            ocr_auth_mode="Token",
            ocr_keys_dir=keys,
            ocr_rate_limit_pages_per_minute=2,
        ) as server,
        visit(browser, server.url) as tab,
    ):
        tab.choose(file("page.png", picture()))
        tab.wait_phase("key")
        tab.judge("key")
        tab.page.get_by_label("Key").fill("wrong")
        tab.page.get_by_role("button", name="Use this key").click()
        expect(tab.page.locator("#key-title")).to_have_text("The key was not accepted")
        tab.page.get_by_label("Key").fill("s3cret")
        tab.page.get_by_role("button", name="Use this key").click()
        tab.wait_phase("done")
        expect(tab.page.locator("#key-form")).to_be_hidden()
        expect(tab.page.locator("#stage img")).to_be_visible()
        assert not any("s3cret" in url for url in tab.asked)
        # Its pages of this minute are used up soon.
        tab.choose(file("two.pdf", pdf(2)), file("more.pdf", pdf(2)))
        expect(tab.page.locator(".entry-state", has_text="tried again soon")).to_have_count(1)
        tab.page.locator(".entry[data-phase=retry]").click()
        expect(tab.page.locator("#status")).to_have_text(
            re.compile(r"Too many pages in a short time\. Sent again in \d+ s")
        )
        tab.judge("too-fast")


def test_a_full_queue_is_waited_for(browser: Browser, tmp_path: Path) -> None:
    script = {"pages": [{"seconds": 8}]}
    room = {"ocr_max_upload_bytes": 3000, "ocr_queue_max_bytes": 4000}
    with (
        running_server(tmp_path, script, ocr_engine_workers=1, **room) as server,
        visit(browser, server.url) as tab,
    ):
        for side in (20, 21, 22, 23):
            content = picture(side, side) + bytes(1800)
            answer = server.http.post("/v1/jobs", files={"file": ("before.png", content)})
        assert answer.json()["error"]["code"] == "queue_full"
        tab.choose(file("late.png", picture()))
        tab.wait_phase("retry")
        expect(tab.page.locator("#status")).to_have_text(re.compile(r"Sent again in \d+ s"))
        expect(tab.page.locator("#notices")).to_contain_text("The server is busy")
        tab.judge("busy")
        tab.wait_phase("done")


def test_a_lost_connection_is_taken_up_again(browser: Browser, server: OcrServer) -> None:
    with wire(server.port) as line, visit(browser, line.url) as tab:
        tab.choose(file("five.pdf", pdf(5)))
        tab.page.wait_for_selector('.tile[data-state="ok"]')
        line.cut()
        tab.wait_phase("offline")
        expect(tab.page.locator("#status")).to_contain_text("The server cannot be reached")
        tab.judge("offline")
        line.mend()
        tab.wait_phase("done")
        assert tab.count('.tile[data-state="ok"]') == 5


def test_documents_wait_for_a_model_that_loads(browser: Browser, tmp_path: Path) -> None:
    script = {
        "phases": [{"name": "download", "seconds": 0.2}, {"name": "load_model", "seconds": 6}]
    }
    with (
        running_server(tmp_path, script, ready=False) as server,
        visit(browser, server.url) as tab,
    ):
        expect(tab.page.locator("#server-title")).to_have_text("The model is loading")
        expect(tab.page.locator("#server-phases")).to_contain_text("load model")
        tab.choose(file("early.png", picture()))
        tab.wait_phase("retry")
        tab.judge("loading")
        tab.wait_phase("done")
        expect(tab.page.locator("#server-notice")).to_be_hidden()


def test_a_model_that_cannot_be_loaded_is_told_of(browser: Browser, tmp_path: Path) -> None:
    script = {"phases": [{"name": "load_model", "fail": "The weights are <b>gone</b>."}]}
    with (
        running_server(tmp_path, script, ready=False) as server,
        visit(browser, server.url) as tab,
    ):
        expect(tab.page.locator("#server-title")).to_have_text("The model could not be loaded")
        expect(tab.page.locator("#server-text")).to_contain_text("The weights are <b>gone</b>.")
        tab.judge("failed")


def test_a_server_that_ends_is_told_of_and_its_successor_reads(
    browser: Browser, tmp_path: Path
) -> None:
    slow = {"page_seconds": 3}
    with (
        running_server(tmp_path / "first", slow, ocr_lame_duck_s=30) as first,
        running_server(tmp_path / "second", {"text": "from the second"}) as second,
        wire(first.port) as line,
        visit(browser, line.url) as tab,
    ):
        tab.choose(file("page.png", picture()))
        tab.wait_phase("reading")
        first.terminate()
        expect(tab.page.locator("#server-title")).to_have_text(
            "This server is shutting down", timeout=30_000
        )
        tab.judge("draining")
        line.cut()
        line.mend(second.port)
        # Jobs of a server without a bucket are its own; the document is still in the tab.
        tab.wait_phase("failed", "done")
        if tab.count('#document[data-phase="failed"]'):
            expect(tab.page.locator("#notices")).to_contain_text("no longer knows")
            tab.page.get_by_role("button", name="Try again").click()
        tab.wait_phase("done")


def test_an_engine_without_confidence_is_said_in_words(browser: Browser, server: OcrServer) -> None:
    with visit(browser, server.url) as tab:
        tab.page.route("**/events", _without_confidence)
        tab.choose(file("page.png", picture(400, 300)))
        tab.wait_phase("done")
        expect(tab.page.locator("#legend")).to_have_text(
            "This model does not say how sure it is of a line."
        )
        assert tab.count(".box.unknown") == 3


def _without_confidence(route: Any) -> None:
    answer = route.fetch()
    body = answer.text().replace('"confidence_source":"engine"', '"confidence_source":"none"')
    route.fulfill(response=answer, body=body)


def test_everything_is_there_on_a_phone(browser: Browser, tesseract: OcrServer) -> None:
    with visit(browser, tesseract.url, width=PHONE) as tab:
        tab.judge("phone-empty")
        tab.choose(LETTER)
        tab.wait_phase("done")
        expect(tab.page.locator("#stage img")).to_be_visible()
        tab.judge("phone-done")
        # What is touched is large enough for a finger (WCAG 2.5.5).
        small = tab.page.evaluate(
            """() => [...document.querySelectorAll("main button")].filter((one) => {
              const place = one.getBoundingClientRect();
              return place.width && Math.min(place.width, place.height) < 36;
            }).map((one) => one.id || one.textContent)"""
        )
        assert small == []
        tab.choose(file(f"{'long' * 30}.docx", b"nothing for us"))
        tab.wait_phase("failed")
        tab.judge("phone-refused")


def test_the_keyboard_is_enough(tab: Visit, tmp_path: Path) -> None:
    keyboard = tab.page.keyboard
    _tab_to(tab, "#choose")
    with tab.page.expect_file_chooser() as chooser:
        keyboard.press("Enter")
    chooser.value.set_files(file("two.pdf", pdf(2)))  # type: ignore[arg-type]
    tab.wait_phase("done")
    assert tab.page.evaluate("document.activeElement.id") == "choose"
    _tab_to(tab, '[data-format="json"]')
    with tab.page.expect_download() as download:
        keyboard.press("Enter")
    assert download.value.suggested_filename == "two.json"
    _tab_to(tab, '.tile[data-page="1"]')
    keyboard.press("ArrowRight")
    expect(tab.page.locator("#picture-title")).to_have_text("Page 2")
    _tab_to(tab, "#tab-text")
    keyboard.press("End")
    expect(tab.page.locator("#tab-json")).to_have_attribute("aria-selected", "true")
    keyboard.press("Home")
    _tab_to(tab, ".line")
    keyboard.press("ArrowDown")
    expect(tab.page.locator(".box.lit")).to_have_attribute("data-line", "1")
    tab.judge("keyboard")


def _tab_to(tab: Visit, selector: str) -> None:
    """Press the tab key until this has the focus; everything on the way shows that it has it."""
    for _ in range(60):
        tab.page.keyboard.press("Tab")
        arrived, outline = tab.page.evaluate(
            """(selector) => {
              const active = document.activeElement;
              const style = getComputedStyle(active);
              return [active.matches(selector),
                active === document.body ? 3
                  : style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth)];
            }""",
            selector,
        )
        assert outline >= 2, tab.page.evaluate("document.activeElement.outerHTML")
        if arrived:
            return
    raise AssertionError(f"{selector} is not reached")


def test_copied_text_is_the_page_s_text(tab: Visit) -> None:
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.choose(file("page.png", picture(90, 60)))
    tab.wait_phase("done")
    tab.page.locator("#copy").click()
    expect(tab.page.locator("#copy")).to_have_text("Copied")
    copied = tab.page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(f"The first line\n{MARKUP}\nPage ")
    began = time.monotonic()
    expect(tab.page.locator("#copy")).to_have_text("Copy")
    assert time.monotonic() - began < 5
