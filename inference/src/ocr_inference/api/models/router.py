"""`GET /v1/models` and `GET /version`: what this server is and can do."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from ocr_inference.api.models.schema import ModelInfo, ModelList, Version
from ocr_inference.api.models.service import model_info
from ocr_inference.api.problem import Problem
from ocr_inference.api.work import bearer, client_of
from ocr_inference.errors import PublicError
from ocr_inference.services import Services, services_of
from ocr_inference.version import VERSION

router = APIRouter(tags=["models"])

_Services = Annotated[Services, Depends(services_of)]


@router.get(
    "/v1/models",
    summary="The model, its abilities and the limits",
    responses={401: {"model": Problem}},
    dependencies=[Depends(bearer)],
)
async def models(request: Request, services: _Services) -> ModelList:
    client_of(request, services)
    return ModelList(data=[model_info(services)])


@router.get(
    "/v1/models/{model}",
    summary="The model by its name",
    responses={status: {"model": Problem} for status in (401, 404)},
    dependencies=[Depends(bearer)],
)
async def model(request: Request, services: _Services, model: str) -> ModelInfo:
    client_of(request, services)
    info = model_info(services)
    if model != info.id:
        raise PublicError(404, "model_not_found", f"The model here is {info.id}.")
    return info


@router.get("/version", summary="The server's version")
async def version() -> Version:
    return Version(version=VERSION)
