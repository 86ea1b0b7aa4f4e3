"""Small documents written byte by byte: broken, huge, encrypted, odd."""

from __future__ import annotations

import struct
from pathlib import Path


def pdf(
    *sizes: tuple[float, float], content: str = "", trailer: str = "", extra: str = ""
) -> bytes:
    """A PDF with a page of each size in points; `content` is drawn on every page."""
    kids = " ".join(f"{4 + index} 0 R" for index in range(len(sizes)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(sizes)} >>",
        f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
    ]
    objects += [
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width} {height}] /Contents 3 0 R {extra} >>"
        for width, height in sizes
    ]
    body = b"%PDF-1.4\n"
    offsets = []
    for number, text in enumerate(objects, start=1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{text}\nendobj\n".encode()
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    count = len(objects) + 1
    return (
        body
        + (
            f"xref\n0 {count}\n0000000000 65535 f \n{table}"
            f"trailer\n<< /Size {count} /Root 1 0 R {trailer} >>\nstartxref\n{len(body)}\n%%EOF\n"
        ).encode()
    )


def encrypted_pdf() -> bytes:
    """One that no password opens, least of all the empty one."""
    key = "61" * 32
    encryption = f"<< /Filter /Standard /V 1 /R 2 /O <{key}> /U <{key}> /P -4 >>"
    return pdf((200, 200), trailer=f"/Encrypt {encryption} /ID [<00> <00>]")


def tiff_bomb(path: Path, frames: int) -> None:
    """`frames` frames of one pixel, all of them the same: 120 bytes each."""
    entries = [
        (256, 4, 1, 1),  # width
        (257, 4, 1, 1),  # height
        (258, 3, 1, 8),  # bits
        (259, 3, 1, 1),  # no compression
        (262, 3, 1, 1),  # black is zero
        (273, 4, 1, 8),  # offset of the pixel
        (277, 3, 1, 1),
        (278, 4, 1, 1),
        (279, 4, 1, 1),
    ]
    size = 2 + 12 * len(entries) + 4
    with path.open("wb") as file:
        file.write(b"II*\0" + struct.pack("<I", 12) + b"\xff\0\0\0")
        for frame in range(1, frames + 1):
            file.write(struct.pack("<H", len(entries)))
            for entry in entries:
                file.write(struct.pack("<HHII", *entry))
            file.write(struct.pack("<I", 12 + frame * size if frame < frames else 0))
