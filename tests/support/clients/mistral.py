"""Mistral's own client against a server: `URL CASES`; prints what it makes of each answer.

A case is a key and a request.
"""

from __future__ import annotations

import json
import sys

from mistralai.client import Mistral
from mistralai.client.errors import MistralError

url, cases = sys.argv[1:]
for key, request in json.loads(cases):
    with Mistral(api_key=key, server_url=url) as client:
        try:
            answer = client.ocr.process(model="mistral-ocr-latest", **request)
        except MistralError as error:
            print(json.dumps({"status": error.status_code, "body": error.body}))
        else:
            print(answer.model_dump_json())
