"""The decode child: tells formats and sizes, turns one page per call into a raw image file, and
writes PDFs.

Its memory is limited here. Its processor time is limited from outside: it has one thread, so the
deadline of a call, at which it is killed, is the most that the call can burn.
"""

from __future__ import annotations

import os
import resource
from dataclasses import replace
from pathlib import Path

from ocr_inference.engine.cgroup import memory_limit
from ocr_inference.engine.child import Emit, Handlers
from ocr_inference.engine.wire import Message
from ocr_inference.errors import storage_full

_MIB = 1024**2
_ADDRESS_SPACE_BYTES = 3 * 1024 * _MIB
"""40 megapixels need 0.5 GiB in PDFium and Pillow together; a bomb wants all there is."""

_LEAST_ADDRESS_SPACE_BYTES = 768 * _MIB
"""With less the libraries alone do not fit."""


def address_space(limit: int | None) -> int:
    """Half of the container's memory at most: a bomb is to end this child and not the container."""
    if limit is None:
        return _ADDRESS_SPACE_BYTES
    return min(_ADDRESS_SPACE_BYTES, max(_LEAST_ADDRESS_SPACE_BYTES, limit // 2))


def start(config: Message, emit: Emit) -> Handlers:
    # One thread: the engine child has the cores, and every BLAS thread would reserve address space.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    allowed = address_space(memory_limit())
    resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))

    from ocr_inference.pipeline.decode import (
        DocumentInfo,
        Limits,
        crops,
        inspect,
        picture,
        preview,
        render,
    )
    from ocr_inference.pipeline.pdf_text import own_text

    limits = Limits(config["max_pages"], config["max_pixels"], config["max_side"])

    def inspect_call(call: Message) -> DocumentInfo:
        allowed = replace(limits, max_pages=call["max_pages"] or limits.max_pages)
        return inspect(Path(call["path"]), call["pages"], allowed, call["dpi"])

    def render_call(call: Message) -> Message:
        image, dpi, rotation = render(Path(call["path"]), call["number"], call["dpi"], limits)
        try:
            image.tofile(call["out"])
        except OSError as error:  # numpy's own has no number, and a full disk is what can happen
            raise storage_full() from error
        height, width = image.shape[:2]
        return {"height": height, "width": width, "dpi": dpi, "rotation": rotation}

    def preview_call(call: Message) -> Message:
        page = preview(Path(call["path"]), call["number"], call["side"], limits)
        try:
            Path(call["out"]).write_bytes(page)
        except OSError as error:
            raise storage_full() from error
        return {}

    def own_text_call(call: Message) -> Message:
        path, number, dpi = Path(call["path"]), call["number"], call["dpi"]
        text, width, height, dpi, rotation = own_text(path, number, dpi, limits, call["trusted"])
        return {"text": text, "width": width, "height": height, "dpi": dpi, "rotation": rotation}

    def crops_call(call: Message) -> Message:
        found = crops(
            Path(call["path"]),
            call["number"],
            call["dpi"],
            call["boxes"],
            call["most_bytes"],
            Path(call["out"]),
            limits,
        )
        return {"crops": found}

    def picture_call(call: Message) -> Message:
        picture(Path(call["path"]), call["number"], Path(call["out"]), limits)
        return {}

    def write_pdf_call(call: Message) -> Message:
        # Imported late: few documents are wanted as a PDF.
        from ocr_inference.pipeline.searchable import write_searchable

        pictures = [Path(name) for name in call["pictures"]]
        write_searchable(Path(call["path"]), Path(call["layers"]), pictures, Path(call["out"]))
        return {}

    emit({"event": "ready"})
    return {
        "inspect": inspect_call,
        "render": render_call,
        "preview": preview_call,
        "own_text": own_text_call,
        "crops": crops_call,
        "picture": picture_call,
        "write_pdf": write_pdf_call,
    }
