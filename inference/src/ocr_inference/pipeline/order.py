"""Reading order of detected lines: columns, rows within them, paragraphs of rows.

A detector gives pieces of lines in no order. They are straightened by the page's own slant first,
because on a page five degrees askew the end of a line is level with the beginning of the next but
two. Columns are cut only between prose: a table or a list of prices is read row by row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from ocr_inference.pipeline.page import BBox, Block, Line

MIN_PROSE_ROWS = 3
"""Rows on either side of a gap before it is believed to part two columns."""

MIN_PROSE_FILL = 0.6
"""Part of its column's width that the typical line of prose takes; a table's cells take less."""

MIN_PROSE_LENGTH = 8.0
"""Width of prose lines in line heights: about twenty characters."""

PARAGRAPH_GAP = 1.45
"""Distance of two rows that begins a paragraph, in typical distances of the column."""

MAX_SIZE_RATIO = 1.4
"""Heights of two rows that differ more belong to a heading and its text."""

MIN_SLANT_LENGTH = 4.0
"""Length in heights from which a line says anything about the slant of the page."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A line with its box on the straightened page."""

    line: Line
    left: float
    top: float
    right: float
    bottom: float

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2


_Row = list[_Piece]


def blocks_in_order(lines: Sequence[Line]) -> tuple[Block, ...]:
    """Paragraphs in reading order; pieces of one row are joined by a space in a block's text."""
    if not lines:
        return ()
    slant = _slant(lines)
    pieces = [_straightened(line, slant) for line in lines]
    return tuple(
        _block(paragraph) for column in _columns(pieces) for paragraph in _paragraphs(_rows(column))
    )


def _slant(lines: Sequence[Line]) -> float:
    """The typical angle of the lines' upper edges, in radians."""
    angles = []
    for line in lines:
        if len(line.polygon) == 4:
            (x1, y1), (x2, y2), _, (x4, y4) = line.polygon
            if math.hypot(x2 - x1, y2 - y1) >= MIN_SLANT_LENGTH * math.hypot(x4 - x1, y4 - y1):
                angles.append(math.atan2(y2 - y1, x2 - x1))
    return median(angles) if angles else 0.0


def _straightened(line: Line, slant: float) -> _Piece:
    left, top, right, bottom = line.bbox
    corners = line.polygon or ((left, top), (right, top), (right, bottom), (left, bottom))
    cos, sin = math.cos(slant), math.sin(slant)
    across = [x * cos + y * sin for x, y in corners]
    down = [y * cos - x * sin for x, y in corners]
    return _Piece(line, min(across), min(down), max(across), max(down))


def _columns(pieces: list[_Piece]) -> list[list[_Piece]]:
    """Cut a region by the horizontal bands that span it and the gaps between prose columns."""
    cut = _column_cut(pieces)
    if cut is None:
        return [pieces]
    above, left, right, below = cut
    parts = []
    for part in (above, left, right, below):
        if part:
            parts.extend(_columns(part))
    return parts


def _column_cut(
    pieces: list[_Piece],
) -> tuple[list[_Piece], list[_Piece], list[_Piece], list[_Piece]] | None:
    """What is above two columns, the columns, and what is below; None where there are none."""
    for gap in _gaps(pieces):
        crossing = [p for p in pieces if p.left < gap < p.right]
        bands = sorted([(p.top, p.bottom) for p in crossing])
        for top, bottom in _between(bands):
            inside = [p for p in pieces if top <= p.middle <= bottom and p not in crossing]
            left = [p for p in inside if p.right <= gap]
            right = [p for p in inside if p.left >= gap]
            if _is_prose(left) and _is_prose(right):
                above = [p for p in pieces if p.middle < top]
                below = [p for p in pieces if p.middle > bottom]
                return above, left, right, below
    return None


def _gaps(pieces: list[_Piece]) -> list[float]:
    """Candidates: where a line of prose begins with another ending to its left, commonest first."""
    typical = median(p.height for p in pieces)
    starts: dict[int, list[float]] = {}
    for piece in pieces:
        starts.setdefault(round(piece.left / (2 * typical)), []).append(piece.left)
    places = sorted(starts.values(), key=len, reverse=True)
    return [min(place) - typical / 4 for place in places if len(place) >= MIN_PROSE_ROWS]


def _between(bands: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The stretches of the page that no crossing line covers, tallest first."""
    edges = [-math.inf]
    for top, bottom in bands:
        edges += [top, bottom]
    edges.append(math.inf)
    stretches = list(zip(edges[::2], edges[1::2], strict=True))
    return sorted(stretches, key=lambda stretch: stretch[0] - stretch[1])


def _is_prose(pieces: list[_Piece]) -> bool:
    rows = _rows(pieces)
    if len(rows) < MIN_PROSE_ROWS:
        return False
    left, right = min(p.left for p in pieces), max(p.right for p in pieces)
    widths = [sum(p.right - p.left for p in row) for row in rows]
    height = median(p.height for p in pieces)
    typical = median(widths)
    return typical >= MIN_PROSE_FILL * (right - left) and typical >= MIN_PROSE_LENGTH * height


def _rows(pieces: list[_Piece]) -> list[_Row]:
    """Pieces side by side, judged against the nearest neighbour: paper is not flat."""
    rows: list[_Row] = []
    for piece in sorted(pieces, key=lambda p: p.middle):
        for row in reversed(rows[-3:]):
            nearest = min(row, key=lambda p: _apart(p, piece))
            if _level(nearest, piece):
                row.append(piece)
                break
        else:
            rows.append([piece])
    for row in rows:
        row.sort(key=lambda p: p.left)
    return sorted(rows, key=lambda row: sum(p.middle for p in row) / len(row))


def _apart(first: _Piece, second: _Piece) -> float:
    return max(first.left, second.left) - min(first.right, second.right)


def _level(first: _Piece, second: _Piece) -> bool:
    overlap = min(first.bottom, second.bottom) - max(first.top, second.top)
    beside = _apart(first, second) > -min(first.height, second.height)
    return beside and overlap > 0.5 * min(first.height, second.height)


def _paragraphs(rows: list[_Row]) -> list[list[_Row]]:
    middles = [sum(p.middle for p in row) / len(row) for row in rows]
    heights = [median(p.height for p in row) for row in rows]
    steps = [below - above for above, below in pairwise(middles)]
    typical = _typical_step(steps, heights)
    paragraphs = [[rows[0]]]
    for index, row in enumerate(rows[1:]):
        small, large = sorted((heights[index], heights[index + 1]))
        if steps[index] > PARAGRAPH_GAP * typical or large > MAX_SIZE_RATIO * small:
            paragraphs.append([row])
        else:
            paragraphs[-1].append(row)
    return paragraphs


def _typical_step(steps: list[float], heights: list[float]) -> float:
    """The lower middle of the distances: paragraphs of one line must not make gaps typical."""
    close = [step for step in steps if step < 3 * median(heights)]
    return sorted(close)[(len(close) - 1) // 2] if close else math.inf


def _block(rows: list[_Row]) -> Block:
    lines = tuple(piece.line for row in rows for piece in row)
    return Block(
        type="text",
        bbox=_union([line.bbox for line in lines]),
        text="\n".join(" ".join(piece.line.text for piece in row) for row in rows),
        confidence=sum(line.confidence for line in lines) / len(lines),
        lines=lines,
    )


def _union(boxes: list[BBox]) -> BBox:
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)
