"""`POST /v1/ocr`: for Mistral's client and for LiteLLM."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from ocr_inference.api.json_document import (
    EXAMPLE_PNG,
    Pictures,
    Wanted,
    answer_json_document,
    body_schema,
)
from ocr_inference.api.mistral.answer import answer, listed
from ocr_inference.api.mistral.schema import OcrRequest, OcrResponse, parse
from ocr_inference.api.problem import Problem
from ocr_inference.api.work import ERROR_STATUSES, bearer
from ocr_inference.reading.request import Reading
from ocr_inference.results.answer import Images
from ocr_inference.services import Services, services_of

router = APIRouter(tags=["clients of others"])

_EXAMPLE = {
    "model": "any",
    "document": {"type": "image_url", "image_url": f"data:image/png;base64,{EXAMPLE_PNG}"},
}


@router.post(
    "/v1/ocr",
    summary="Read a document for a client of Mistral",
    response_model=OcrResponse,
    responses={status: {"model": Problem} for status in ERROR_STATUSES},
    openapi_extra=body_schema(OcrRequest, _EXAMPLE),
    dependencies=[Depends(bearer)],
)
async def ocr(request: Request, services: Annotated[Services, Depends(services_of)]) -> Response:
    """Takes the request of Mistral's `/v1/ocr` and gives its answer. The document is a data: URL,
    or a URL where this server fetches any. Options that cannot be done are refused."""
    forms = []

    def wanted(payload: dict[str, Any]) -> Wanted:
        forms.append(parse(payload))
        return forms[0].wanted()

    def pictures(reading: Reading) -> Pictures:
        return listed(reading.pages, forms[0]) if forms[0].include_image_base64 else ()

    def write(reading: Reading, images: Images) -> str:
        return answer(reading, images, forms[0], services.model_name)

    return await answer_json_document(request, services, wanted, pictures, write)
