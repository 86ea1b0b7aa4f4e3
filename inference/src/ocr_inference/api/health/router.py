"""The probes and the health pages. Nothing here waits for anything: a probe has a second."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse

from ocr_inference.api.health.schema import Health, Liveness, Readiness, VllmHealth
from ocr_inference.api.health.service import health, vlm_health
from ocr_inference.services import Services, services_of
from ocr_inference.startup import StartupDocument

router = APIRouter(tags=["health"])

_Services = Annotated[Services, Depends(services_of)]


@router.get(
    "/startupz", response_model=StartupDocument, responses={503: {"model": StartupDocument}}
)
async def startupz(services: _Services) -> Response:
    """The startup document: 503 while the outcome of the start is open, 200 once it is known."""
    document = services.record.document(time.monotonic(), services.warnings())
    return JSONResponse(
        document.model_dump(mode="json"), 200 if services.record.outcome_known else 503
    )


@router.get("/livez", response_model=Liveness, responses={503: {"model": Liveness}})
async def livez(services: _Services) -> Response:
    """503 when only a restart of the container can help."""
    alive = services.engine.alive(time.monotonic())
    return JSONResponse({"alive": alive}, 200 if alive else 503)


@router.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness}})
async def readyz(services: _Services) -> Response:
    """503, with the reason, while no traffic should come here."""
    reason = services.not_ready_reason()
    return JSONResponse({"ready": reason is None, "reason": reason}, 200 if reason is None else 503)


@router.get("/health")
async def health_page(services: _Services) -> Health:
    """How the server is, always with status 200; the probes have routes of their own."""
    return health(services)


@router.get("/health/vllm", response_model=VllmHealth, responses={503: {"model": VllmHealth}})
async def vllm_health(services: _Services) -> Response:
    """How the VLM server is: 503 while `down`, `disabled` where there is none."""
    answer = vlm_health(services)
    return JSONResponse(answer.model_dump(mode="json"), 503 if answer.status == "down" else 200)
