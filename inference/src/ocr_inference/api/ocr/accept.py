"""The output format that an `Accept` header asks for."""

from __future__ import annotations

from ocr_inference.results.form import Output
from ocr_inference.results.outputs import OUTPUT_MEDIA_TYPES

_OUTPUTS: dict[str, Output] = {
    **{kind.partition(";")[0]: output for output, kind in OUTPUT_MEDIA_TYPES.items()},
    "application/xml": "alto",
}
"""`text/html` is not hOCR: every browser asks for it, and none shows the boxes."""


def accepted(header: str) -> Output:
    """The format that an `Accept` header likes best; JSON when it names none of ours."""
    outputs = dict(_OUTPUTS)
    if "text/html" in header.lower():
        del outputs["application/xml"]  # a browser, which asks for XML too and means a page
    best: tuple[float, Output] = (0.0, "json")
    for entry in header.split(","):
        kind, *parameters = (part.strip().lower() for part in entry.split(";"))
        output = outputs.get(kind)
        quality = _quality(parameters)
        if output is not None and quality > best[0]:
            best = (quality, output)
    return best[1]


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0
