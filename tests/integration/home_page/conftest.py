"""The fixtures of the tests of the page at `/`."""

from home_page import browser, server, tab, tesseract

__all__ = ["browser", "server", "tab", "tesseract"]
