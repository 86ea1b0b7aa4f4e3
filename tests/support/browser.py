"""Debian's Chromium, driven by Playwright: what a visitor of the server's page sees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from debian import debian_packages
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"

_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
Scheme = Literal["light", "dark"]
_RULES: dict[Scheme, dict[str, Any]] = {
    "light": {"resultTypes": ["violations"]},
    # The same page: only its colours are others.
    "dark": {"resultTypes": ["violations"], "runOnly": ["color-contrast"]},
}
_WIDTH, _HEIGHT = 1360, 860
PHONE = 360
"""Pixels of width."""

_NOTE_VIOLATIONS = """
window.violations = [];
addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective}: ${event.blockedURI}`));
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser with an empty profile of its own."""
    if not CHROMIUM.exists():
        debian_packages("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """A tab, with what it asked for and what went wrong in it."""

    page: Page
    context: BrowserContext
    origin: str
    asked: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def choose(self, *files: Path | dict[str, Any]) -> None:
        self.page.set_input_files("#files", list(files))  # type: ignore[arg-type]

    def wait_phase(self, *phases: str) -> None:
        self.page.wait_for_selector(
            ", ".join(f'#document[data-phase="{phase}"]' for phase in phases), timeout=60_000
        )

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def count(self, selector: str) -> int:
        return self.page.locator(selector).count()

    def judge(self, name: str, *schemes: Scheme) -> None:
        """Keep a screenshot of this state, and hold it to WCAG AA; light if nothing is said."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        for scheme in schemes or ("light",):
            self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            self.page.screenshot(path=SCREENSHOTS / f"{name}-{scheme}.png")
            found = Axe().run(self.page, options=_RULES[scheme])
            assert found.violations_count == 0, f"{name}, {scheme}:\n{found.generate_report()}"
        self.fits()

    def fits(self) -> None:
        """Nothing is wider than the window."""
        root = "document.documentElement"
        wide, room = self.page.evaluate(f"[{root}.scrollWidth, {root}.clientWidth]")
        assert wide <= room

    def at_peace(self) -> None:
        """Everything came from the server, nothing was forbidden by the policy, nothing broke."""
        assert [url for url in self.asked if _origin(url) not in (self.origin, "blob")] == []
        assert self.page.evaluate("window.violations") == []
        assert self.errors == []


@contextmanager
def visit(browser: Browser, url: str, width: int = _WIDTH) -> Iterator[Visit]:
    """The server's page in a fresh profile. Leaving checks that the visit was at peace."""
    context = browser.new_context(
        viewport={"width": width, "height": _HEIGHT},
        reduced_motion="reduce",
        has_touch=width < _WIDTH,
    )
    context.add_init_script(_NOTE_VIOLATIONS)
    page = context.new_page()
    seen = Visit(page, context, _origin(url))
    page.on("request", lambda request: seen.asked.append(request.url))
    # Without a listener from the start, a chooser that opens quickly is a real one, for nobody.
    page.on("filechooser", lambda _chooser: None)
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    try:
        page.goto(url)
        page.wait_for_selector('#server:not([data-state="unknown"])')
        yield seen
        seen.at_peace()
    finally:
        context.close()


def drop(page: Page, selector: str, name: str, content: bytes) -> None:
    """Drop a file there, as a file manager would."""
    transfer = page.evaluate_handle(
        """([name, content]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(content)], name));
          return transfer;
        }""",
        [name, list(content)],
    )
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event(selector, event, {"dataTransfer": transfer, "bubbles": True})


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return parts.scheme if parts.scheme == "blob" else f"{parts.scheme}://{parts.netloc}"
