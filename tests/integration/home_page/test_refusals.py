"""What the page at `/` says where a document or its visitor is refused, and what to do then."""

from __future__ import annotations

import re
from pathlib import Path

from browser import Visit, visit
from documents import encrypted_pdf
from home_page import MAX_BYTES, file
from ocr_server import pdf, picture, running_server
from playwright.sync_api import Browser, expect

BAD = [
    (
        "docx",
        "letter.docx",
        b"PK\x03\x04 not for us",
        {},
        "unsupported_media_type",
        "save it as PDF",
    ),
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
        if name == "docx":
            tab.judge("refused", "light", "dark")


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
        tab.judge("partial", "light", "dark")


def test_a_job_that_fails_or_takes_too_long_says_so(browser: Browser, tmp_path: Path) -> None:
    script = {"pages": [{"fail": "The model gave up."}, {"seconds": 60}]}
    with (
        running_server(tmp_path, script, ocr_job_timeout_s=1.5, ocr_engine_workers=1) as server,
        visit(browser, server.url) as tab,
    ):
        tab.choose(file("bad.png", picture()))
        tab.wait_phase("failed")
        expect(tab.page.locator("#notices")).to_contain_text("The model gave up.")
        tab.choose(file("slow.png", picture(50, 50)))
        tab.wait_phase("failed")
        expect(tab.page.locator("#notices")).to_contain_text("There was not enough time")
        tab.judge("too-slow")
        server.wait_ready()
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
