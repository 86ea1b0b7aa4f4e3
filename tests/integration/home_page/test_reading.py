"""Documents on the page at `/`: how they are chosen, and how what was read arrives."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from browser import Visit, drop, visit
from home_page import MARKUP, file
from ocr_server import OcrServer, pdf, picture
from playwright.sync_api import Browser, expect


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
