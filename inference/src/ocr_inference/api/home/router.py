"""`GET /`: what this is and how to use it, for whoever opens the port in a browser."""

from __future__ import annotations

import html
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse

from ocr_inference.services import Services, services_of

router = APIRouter(include_in_schema=False)

_SECURITY = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>OCR server</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto;
  padding: 0 1rem; }}
pre {{ padding: .75rem 1rem; overflow-x: auto; border: 1px solid; border-radius: .4rem; }}
</style>
</head>
<body>
<h1>OCR server</h1>
<p>Model <strong>{model}</strong>, version {version}. State: <strong>{state}</strong>{reason}.</p>
<p>Send a PNG, JPEG, TIFF, WEBP, BMP or PDF:</p>
<pre>curl {key}-F file=@document.pdf {url}/ocr</pre>
<p>Add <code>-F output=text</code> or <code>-F output=markdown</code> for text alone.
All fields: <a href="docs">interactive documentation</a>, <a href="redoc">reference</a>,
<a href="openapi.json">OpenAPI</a>.</p>
<p>For operations: <a href="health">health</a>, <a href="startupz">start</a>,
<a href="metrics">metrics</a>.</p>
</body>
</html>
"""


@router.get("/")
async def home(services: Annotated[Services, Depends(services_of)]) -> HTMLResponse:
    reason = services.not_ready_reason()
    error = services.engine.error
    page = _PAGE.format(
        model=html.escape(services.model_name),
        version=html.escape(services.version),
        state=html.escape("ready" if reason is None else reason),
        reason=html.escape(f": {error}") if error else "",
        key="-H 'Authorization: Bearer KEY' " if services.keys.wanted else "",
        url=f"http://HOST:{services.settings.port}",
    )
    return HTMLResponse(page, headers=_SECURITY)
