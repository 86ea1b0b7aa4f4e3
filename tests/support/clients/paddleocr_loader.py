"""langchain-paddleocr against a server: `URL CASES`; prints what it makes of each answer.

A case is a file, a key and options.

The loader takes the shape of requests and answers from PaddleX's schemas, which are real here. The
packages around them would import the libraries that PaddleX runs models with, so they are left
empty.
"""

from __future__ import annotations

import json
import sys
from importlib.machinery import PathFinder
from types import ModuleType

from pydantic import SecretStr

for name in ("paddlex", "paddlex.utils", "paddlex.inference", "paddlex.inference.serving"):
    parent, _, last = name.rpartition(".")
    spec = PathFinder.find_spec(last, sys.modules[parent].__path__ if parent else None)
    assert spec is not None and spec.submodule_search_locations is not None
    package = ModuleType(name)
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules[name] = package

from langchain_paddleocr import PaddleOCRVLLoader  # noqa: E402

url, cases = sys.argv[1:]
for file, key, options in json.loads(cases):
    loader = PaddleOCRVLLoader(
        file, api_url=f"{url}/layout-parsing", access_token=SecretStr(key), **options
    )
    try:
        (document,) = loader.load()
    except ValueError as error:
        print(json.dumps({"error": str(error)}))
    else:
        print(json.dumps({"text": document.page_content, "metadata": document.metadata}))
