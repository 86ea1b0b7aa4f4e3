"""Write a tiny PaddleOCR-VL that PaddleX's own loader accepts and that gives known answers.

    python tiny_paddleocr_vl.py FOLDER [MODEL_NAME]

The layers add nothing to what passes through them (their last projections are zero), so the model
is a chain: embedding, norm, output row. The last token of each prompt is followed by one token that
holds a whole answer, and that by the end token. The files, tokenizer, image processor and names of
the weights are those of the published model; only the sizes are small.
"""

from __future__ import annotations

import io
import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import sentencepiece
from paddlex.inference.models.doc_vlm.modeling import PaddleOCRVLForConditionalGeneration
from paddlex.inference.models.doc_vlm.modeling.paddleocr_vl._config import PaddleOCRVLConfig
from safetensors.numpy import save_file

ANSWERS = {
    "OCR:": "Tiny weights say the same words for every block.",
    "Table Recognition:": "<fcel>Phase<fcel>Seconds<nl><fcel>load_model<fcel>11<nl>",
    "Formula Recognition:": "t = m + 3 s",
    "Chart Recognition:": "Starts | Seconds",
    "Seal Recognition:": "Sealed",
    "Spotting:": "Spotted",
}
"""What is answered to each prompt of the pipeline; a table comes in the model's cell tokens."""

SPECIAL = [
    "<|IMAGE_PLACEHOLDER|>",
    "<|IMAGE_START|>",
    "<|IMAGE_END|>",
    "<|video_pad|>",
    "<|begin_of_sentence|>",
    "<|end_of_sentence|>",
    "<mask:1>",
]
END_OF_PROMPT = "\nAssistant:"
CHAT_TEMPLATE = (
    "{{- cls_token -}}"
    "{%- for message in messages -%}{{- 'User: ' -}}"
    "{%- for part in message['content'] if part['type'] == 'image' -%}"
    "{{- '<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>' -}}{%- endfor -%}"
    "{%- for part in message['content'] if part['type'] == 'text' -%}"
    "{{- part['text'] -}}{%- endfor -%}{%- endfor -%}{{- '\\nAssistant:' -}}"
)
UNKNOWN, BEGIN, END, PAD = 0, 1, 2, 3


def tokenizer_model() -> bytes:
    """A byte-level sentencepiece model in which each prompt's end and each answer is one piece."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["User: Assistant: Recognition"] * 50),
        model_writer=model,
        model_type="bpe",
        vocab_size=320,
        hard_vocab_limit=False,
        byte_fallback=True,
        unk_id=UNKNOWN,
        bos_id=BEGIN,
        eos_id=END,
        pad_id=PAD,
        # Otherwise the line break in the prompt's end would become a space.
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        user_defined_symbols=[
            *SPECIAL,
            *(_piece(prompt + END_OF_PROMPT) for prompt in ANSWERS),
            *(_piece(answer) for answer in ANSWERS.values()),
        ],
        minloglevel=2,
    )
    return model.getvalue()


def _piece(text: str) -> str:
    # The mark that sentencepiece uses for a space inside a piece.
    return text.replace(" ", "\u2581")


def config(ids: dict[str, int], vocabulary: int) -> dict[str, Any]:
    vision = {
        "model_type": "paddleocr_vl",
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_channels": 3,
        "image_size": 384,
        "patch_size": 14,
        "hidden_act": "gelu_pytorch_tanh",
        "layer_norm_eps": 1e-6,
        "attention_dropout": 0.0,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "tokens_per_second": 2,
        "torch_dtype": "float32",
    }
    return {
        "architectures": ["PaddleOCRVLForConditionalGeneration"],
        "model_type": "paddleocr_vl",
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "hidden_act": "silu",
        "vocab_size": vocabulary,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000,
        # The sections of a head add up to half of head_dim.
        "rope_scaling": {"mrope_section": [4, 6, 6], "rope_type": "default", "type": "default"},
        "rope_is_neox_style": True,
        "use_3d_rope": True,
        "use_bias": False,
        "use_cache": False,
        "use_flash_attention": False,
        "tie_word_embeddings": False,
        "pad_token_id": PAD,
        "bos_token_id": BEGIN,
        "eos_token_id": END,
        "image_token_id": ids["<|IMAGE_PLACEHOLDER|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|IMAGE_START|>"],
        "torch_dtype": "float32",
        "vision_config": vision,
    }


PREPROCESSOR = {
    "image_processor_type": "PaddleOCRVLImageProcessor",
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "min_pixels": 147384,
    "max_pixels": 2822400,
    "merge_size": 2,
    "patch_size": 14,
    "resample": 3,
    "rescale_factor": 1 / 255,
    "temporal_patch_size": 1,
}
SPECIAL_TOKENS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "cls_token": "<|begin_of_sentence|>",
}


def write(folder: Path, model_name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pieces = sentencepiece.SentencePieceProcessor(model_proto=tokenizer_model())
    (folder / "tokenizer.model").write_bytes(pieces.serialized_model_proto())
    ids = {text: pieces.piece_to_id(text) for text in SPECIAL}
    documents: dict[str, Any] = {
        "config.json": config(ids, pieces.get_piece_size()),
        "preprocessor_config.json": PREPROCESSOR,
        "generation_config.json": {
            "bos_token_id": BEGIN,
            "eos_token_id": END,
            "pad_token_id": PAD,
            "use_cache": False,
        },
        "special_tokens_map.json": SPECIAL_TOKENS,
        "tokenizer_config.json": {
            "tokenizer_class": "LlamaTokenizer",
            "add_bos_token": False,
            "add_eos_token": False,
            "additional_special_tokens": [text for text in SPECIAL if text.startswith("<|")],
            **SPECIAL_TOKENS,
        },
    }
    for name, content in documents.items():
        (folder / name).write_text(json.dumps(content, indent=1))
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    (folder / "inference.yml").write_text(f"Global:\n  model_name: {model_name}\n")
    weights = _weights(folder, pieces)
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "np"})


def _weights(folder: Path, pieces: Any) -> dict[str, np.ndarray]:
    paddle.seed(0)
    paddle.set_device("cpu")
    model = PaddleOCRVLForConditionalGeneration(PaddleOCRVLConfig.from_pretrained(str(folder)))
    weights = {
        name: value.astype("float32").numpy() for name, value in model.get_hf_state_dict().items()
    }
    for name in weights:
        if name.endswith(("self_attn.o_proj.weight", "mlp.down_proj.weight")):
            weights[name][:] = 0.0
    embedding = weights["model.embed_tokens.weight"]
    embedding[:] = 0.0
    # Hidden size by vocabulary, as paddle keeps it; the file has it the other way round.
    output = weights["lm_head.weight"]
    output[:] = 0.0
    for row, (prompt, answer) in enumerate(ANSWERS.items()):
        chain = [
            pieces.piece_to_id(_piece(prompt + END_OF_PROMPT)),
            pieces.piece_to_id(_piece(answer)),
            END,
        ]
        assert UNKNOWN not in chain, f"not one piece: {prompt} or {answer}"
        for place, (token, successor) in enumerate(pairwise(chain)):
            dimension = 2 * row + place
            embedding[token, dimension] = 1.0
            output[dimension, successor] = 1.0
    transposed = set(model.get_transpose_weight_keys())
    return {
        name: np.ascontiguousarray(value.T if name in transposed else value)
        for name, value in weights.items()
    }


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "PaddleOCR-VL-1.6-0.9B")
