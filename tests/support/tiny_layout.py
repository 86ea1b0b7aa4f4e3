"""Write a PP-DocLayoutV3 that finds the same five blocks on every page.

    python tiny_layout.py FOLDER

It has the published model's inputs, outputs, labels and preprocessing in paddle's static format, so
the real runner loads it; its boxes are fixed fractions of the page.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import paddle
import yaml

LABELS = [
    "abstract",
    "algorithm",
    "aside_text",
    "chart",
    "content",
    "display_formula",
    "doc_title",
    "figure_title",
    "footer",
    "footer_image",
    "footnote",
    "formula_number",
    "header",
    "header_image",
    "image",
    "inline_formula",
    "number",
    "paragraph_title",
    "reference",
    "reference_content",
    "seal",
    "table",
    "text",
    "vertical_text",
    "vision_footnote",
]
SIDE = 800
"""Pixels of the square that a page is resized to."""

BLOCKS = [
    ("doc_title", 0.05, 0.02, 0.95, 0.10),
    ("text", 0.05, 0.12, 0.95, 0.36),
    ("table", 0.05, 0.40, 0.95, 0.58),
    ("display_formula", 0.05, 0.62, 0.95, 0.68),
    ("image", 0.05, 0.72, 0.95, 0.96),
]
"""Label and corners, as fractions of the page's width and height, in reading order."""


class FixedLayout(paddle.nn.Layer):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        rows = [
            [LABELS.index(label), 0.9, *corners, order]
            for order, (label, *corners) in enumerate(BLOCKS)
        ]
        values = paddle.to_tensor(rows, dtype="float32").numpy()
        self.rows = self.create_parameter(
            [len(BLOCKS), 7], default_initializer=paddle.nn.initializer.Assign(values)
        )
        self.look = paddle.nn.Conv2D(3, 1, 8, 8)

    def forward(self, im_shape: Any, image: Any, scale_factor: Any) -> tuple[Any, Any]:
        # Multiplied by zero, but used: an input that nothing reads is dropped when saving.
        nothing = self.look(image).mean(axis=[1, 2, 3]) * 0.0
        size = im_shape / scale_factor
        one = paddle.ones_like(size[:, 0:1])
        width, height = size[:, 1:2], size[:, 0:1]
        scale = paddle.concat([one, one, width, height, width, height, one], axis=1)
        boxes = self.rows.unsqueeze(0) * scale.unsqueeze(1) + nothing.reshape([-1, 1, 1])
        return boxes.reshape([-1, 7]), paddle.full_like(size[:, 0], len(BLOCKS), dtype="int32")


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    layer = FixedLayout()
    layer.eval()
    spec = paddle.static.InputSpec
    paddle.jit.save(
        layer,
        str(folder / "inference"),
        input_spec=[
            spec([None, 2], "float32", "im_shape"),
            spec([None, 3, SIDE, SIDE], "float32", "image"),
            spec([None, 2], "float32", "scale_factor"),
        ],
    )
    resize = {"type": "Resize", "interp": 2, "keep_ratio": False, "target_size": [SIDE, SIDE]}
    normalize = {"type": "NormalizeImage", "mean": [0.0] * 3, "std": [1.0] * 3, "norm_type": "none"}
    description = {
        "Global": {"model_name": "PP-DocLayoutV3"},
        "mode": "paddle",
        "metric": "COCO",
        "draw_threshold": 0.5,
        "label_list": LABELS,
        "Preprocess": [resize, normalize, {"type": "Permute"}],
    }
    (folder / "inference.yml").write_text(yaml.safe_dump(description, sort_keys=False))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
