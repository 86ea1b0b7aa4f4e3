from dataclasses import dataclass
from typing import Any

from ocr_inference.engine.paddle_blocks import page_text
from ocr_inference.pipeline.page import ConfidenceSource

TABLE = "<table><tr><th>Phase</th><td> load\n model </td></tr><tr><td>a &amp; b</td></tr></table>"


@dataclass
class Found:
    """As PaddleX's PaddleOCRVLBlock."""

    label: str
    content: str
    bbox: tuple[int, int, int, int] = (1, 2, 3, 4)


class Result(dict[str, Any]):
    """As PaddleX's PaddleOCRVLResult."""

    markdown = ""

    def _to_markdown(self, pretty: bool) -> dict[str, str]:
        assert not pretty
        return {"markdown_texts": self.markdown}


def read(*found: Found, markdown: str = "") -> Any:
    result = Result(parsing_res_list=list(found))
    result.markdown = markdown
    return page_text(result)


def test_labels_become_types() -> None:
    labels = ["doc_title", "paragraph_title", "text", "abstract", "vertical_text", "seal", "number"]
    page = read(*(Found(label, "x") for label in labels))
    assert [block.type for block in page.blocks] == [
        "title",
        "title",
        "text",
        "text",
        "text",
        "seal",
        "page_number",
    ]
    assert page.confidence_source is ConfidenceSource.NONE
    assert page.blocks[0].bbox == (1.0, 2.0, 3.0, 4.0)


def test_a_table_has_its_html_and_its_cells_as_text() -> None:
    (block,) = read(Found("table", TABLE)).blocks
    assert (block.type, block.html) == ("table", TABLE)
    assert block.text == "Phase\tload model\na & b"


def test_a_formula_has_its_latex_without_dollars() -> None:
    (block,) = read(Found("display_formula", " $$ E = mc^2 $$ ")).blocks
    assert (block.type, block.latex) == ("formula", "E = mc^2")


def test_a_picture_has_no_text_and_no_reference_in_markdown() -> None:
    picture = '<div style="text-align: center;"><img src="imgs/a.jpg" alt="Image" /></div>'
    page = read(Found("image", ""), markdown=f"# T\n\n{picture}\n\n![](imgs/b.jpg)\n\nend")
    assert page.markdown == "# T\n\nend"
    assert page.blocks[0].text == ""


def test_a_block_without_content_is_empty() -> None:
    (block,) = read(Found("display_formula", "")).blocks
    assert (block.text, block.latex, block.html) == ("", None, None)


def read_by_server(result: Any, *confidences: float | None) -> Any:
    return page_text(result, confidences)


def test_confidences_of_a_server_are_those_of_its_blocks() -> None:
    result = Result(parsing_res_list=[Found("text", "a"), Found("image", ""), Found("text", "b")])
    page = read_by_server(result, 0.25, None, 0.5)
    assert [block.confidence for block in page.blocks] == [0.25, 1.0, 0.5]
    assert page.confidence_source is ConfidenceSource.TOKEN_LOGPROB
    assert read_by_server(result, None, None, None).confidence_source is ConfidenceSource.NONE


def test_spotted_texts_are_lines_with_corners() -> None:
    corners = [(10.0, 20.0), (50.0, 22.0), (50.0, 30.0), (10.0, 28.0)]
    spotted = {"rec_texts": ["Found"], "rec_polys": [corners]}
    result = Result(parsing_res_list=[Found("spotting", "Found")], spotting_res=spotted)
    ((line,),) = (block.lines for block in read_by_server(result, 0.5).blocks)
    assert (line.text, line.bbox, line.confidence) == ("Found", (10.0, 20.0, 50.0, 30.0), 0.5)
    assert line.polygon == tuple(corners)
