"""The example pages, what they say, and Tesseract's data for their languages."""

from __future__ import annotations

from pathlib import Path

from debian import debian_packages

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "pages"
LETTER = EXAMPLES / "letter-en.png"
ARTICLE = EXAMPLES / "article-ru.png"
REPORT = EXAMPLES / "report-2p.pdf"

TESSDATA = Path("/usr/share/tesseract-ocr/5/tessdata")


def truth(page: Path) -> str:
    return page.with_suffix(".txt").read_text(encoding="utf-8")


def tessdata() -> Path:
    """A folder with trained data for English and Russian."""
    wanted = {"eng": "tesseract-ocr-eng", "rus": "tesseract-ocr-rus"}
    missing = [
        package
        for name, package in wanted.items()
        if not (TESSDATA / f"{name}.traineddata").exists()
    ]
    debian_packages(*missing)
    return TESSDATA
