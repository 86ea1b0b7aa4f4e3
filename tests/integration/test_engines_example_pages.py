"""The committed pages are what the committed generator draws."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pages import ARTICLE, EXAMPLES, LETTER, REPORT

from ocr_inference.pipeline.decode import Limits, inspect, render

LIMITS = Limits(max_pages=2, max_pixels=40_000_000)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    subprocess.run([sys.executable, EXAMPLES / "make.py", folder], check=True, timeout=120)
    return folder


@pytest.mark.parametrize("page", [LETTER, ARTICLE, REPORT], ids=lambda page: page.name)
def test_a_page_and_its_text_are_drawn_again_the_same(page: Path, drawn: Path) -> None:
    assert (drawn / page.name).with_suffix(".txt").read_text() == page.with_suffix(
        ".txt"
    ).read_text()
    for number in inspect(page, None, LIMITS).page_numbers:
        ours, *_ = render(page, number, 200, LIMITS)
        again, *_ = render(drawn / page.name, number, 200, LIMITS)
        # Another release of the font rasteriser moves a few edges by a grey level or two.
        assert np.abs(ours.astype(int) - again).mean() < 2


@pytest.mark.parametrize("page", [LETTER, ARTICLE, REPORT], ids=lambda page: page.name)
def test_a_page_is_small_and_two_hundred_dots_per_inch(page: Path) -> None:
    assert page.stat().st_size < 400_000
    image, dpi, *_ = render(page, 1, 200, LIMITS)
    assert dpi == 200
    assert image.shape == pytest.approx((2339, 1654, 3), abs=1)
