"""`GET /metrics` for Prometheus."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client.exposition import choose_encoder

from ocr_inference.services import Services, services_of

router = APIRouter(tags=["metrics"])


@router.get("/metrics", response_class=Response)
async def metrics(
    request: Request, services: Annotated[Services, Depends(services_of)]
) -> Response:
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    body = encode(services.metrics.registry)
    return Response(body, headers={"Content-Type": content_type})
