from dataclasses import dataclass
from typing import Any

from ocr_inference.engine.paddle_blocks import page_text
from ocr_inference.pipeline.format import as_markdown, page_markdown
from ocr_inference.pipeline.page import ConfidenceSource, Page

TABLE = "<table><tr><th>Phase</th><td> load\n model </td></tr><tr><td>a &amp; b</td></tr></table>"


@dataclass
class Found:
    """As PaddleX's PaddleOCRVLBlock."""

    label: str
    content: str
    bbox: tuple[int, int, int, int] = (1, 2, 3, 4)
    markdown: str = ""


class Result(dict[str, Any]):
    """As PaddleX's PaddleOCRVLResult."""

    def _to_markdown(self, pretty: bool) -> dict[str, str]:
        assert not pretty
        parts = [found.markdown for found in self["parsing_res_list"]]
        return {"markdown_texts": "\n\n".join(filter(None, parts))}


def read(*found: Found) -> Any:
    return page_text(Result(parsing_res_list=list(found)))


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


def test_a_picture_has_no_text_and_a_mark_of_ours_in_markdown() -> None:
    centred = '<div style="text-align: center;"><img src="imgs/a.jpg" alt="Image" /></div>'
    text = read(
        Found("doc_title", "T", markdown="# T"),
        Found("image", "", markdown="![](imgs/b.jpg)"),
        Found("header_image", ""),  # which PaddleX leaves out
        Found("seal", "Paid", markdown=f"{centred}\n\nPaid\n\n"),
        Found("chart", "a|b", markdown="<table>\n</table>"),
        Found("text", "end", markdown="\ufffc1\ufffc end"),
    )
    assert [block.text for block in text.blocks[1:3]] == ["", ""]
    page = Page(1, 9, 9, 72, text=text)
    assert as_markdown([page]) == "# T\n\nPaid\n\n<table>\n</table>\n\n1 end"
    named = {number: f"![{number}]()" for number in range(1, 7)}
    assert page_markdown(page, named) == (
        "# T\n\n![2]()\n\n![4]()\n\nPaid\n\n![5]()\n\n<table>\n</table>\n\n1 end"
    )


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
