"""Formats by their first bytes, never by name. Imports no decoder."""

from __future__ import annotations

from ocr_inference.errors import PublicError

HEAD_BYTES = 1024
"""Where `%PDF-` may be for readers to accept it (PDF 1.7, implementation note 13)."""

PDF = "application/pdf"

_MAGIC: dict[str, tuple[str, tuple[bytes, ...]]] = {
    "image/png": ("PNG", (b"\x89PNG\r\n\x1a\n",)),
    "image/jpeg": ("JPEG", (b"\xff\xd8\xff",)),
    # The last two are BigTIFF.
    "image/tiff": ("TIFF", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    "image/bmp": ("BMP", (b"BM",)),
}
"""Media type to Pillow's name and first bytes. Pillow would open 43 formats, some of them bombs."""


INPUT_MEDIA_TYPES = (PDF, *_MAGIC, "image/webp")
"""Everything that is read."""


def media_type_of(head: bytes) -> tuple[str, str | None]:
    """The media type and Pillow's name of the format, None for a PDF, by the first `HEAD_BYTES`.

    Raises `PublicError`: 400 empty_file, 415 unsupported_media_type.
    """
    if not head:
        raise PublicError(400, "empty_file", "The file is empty.")
    for media_type, (kind, beginnings) in _MAGIC.items():
        if head.startswith(beginnings):
            return media_type, kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp", "WEBP"
    if b"%PDF-" in head:
        return PDF, None
    raise PublicError(
        415,
        "unsupported_media_type",
        "The file is none of PDF, PNG, JPEG, TIFF, WEBP and BMP, judged by its first bytes.",
    )
