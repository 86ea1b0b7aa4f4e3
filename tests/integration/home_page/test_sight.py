"""How the page at `/` looks, and that it can be used on a phone and with keys alone.

Screenshots of every state are kept under `build/screenshots/`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from browser import PHONE, Visit, visit
from home_page import file
from ocr_server import OcrServer, pdf
from pages import LETTER, REPORT
from playwright.sync_api import Browser, expect


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
    tab.judge("empty", "light", "dark")


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
        tab.judge("done", "light", "dark")
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
