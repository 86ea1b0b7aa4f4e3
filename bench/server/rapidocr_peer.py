"""rapidocr_api with other parameters for its engine than it can be given; run by its own Python.

    python rapidocr_peer.py PORT PARAMETERS_AS_JSON

The server is unchanged. As with ours, ONNX Runtime's threads do not spin while they wait.
"""

from __future__ import annotations

import functools
import json
import sys

import rapidocr
import uvicorn
from rapidocr.inference_engine.onnxruntime.main import OrtInferSession


def main(port: int, parameters: dict[str, object]) -> None:
    original = OrtInferSession._init_sess_opts

    def options(config: object) -> object:
        made = original(config)
        made.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return made

    OrtInferSession._init_sess_opts = staticmethod(options)
    rapidocr.RapidOCR = functools.partial(rapidocr.RapidOCR, params=parameters)
    from rapidocr_api.main import app  # makes its engine when it is imported

    uvicorn.run(app, host="127.0.0.1", port=port)


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]))
