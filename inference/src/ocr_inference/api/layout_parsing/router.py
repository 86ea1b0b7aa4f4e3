"""`POST /layout-parsing`: for clients of PaddleX's server for PaddleOCR-VL."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute

from ocr_inference import logs
from ocr_inference.api.json_document import (
    EXAMPLE_PNG,
    Pictures,
    Wanted,
    answer_json_document,
    body_schema,
)
from ocr_inference.api.layout_parsing.answer import answer
from ocr_inference.api.layout_parsing.schema import (
    LayoutParsingAnswer,
    LayoutParsingProblem,
    LayoutParsingRequest,
    parse,
)
from ocr_inference.api.problem import error_headers, note_error
from ocr_inference.api.work import ERROR_STATUSES, bearer
from ocr_inference.engine.registry import tasks_of
from ocr_inference.errors import PublicError
from ocr_inference.pipeline.layout import image_blocks
from ocr_inference.reading.request import Reading
from ocr_inference.results.answer import Images
from ocr_inference.services import Services, services_of

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class _PaddleRoute(APIRoute):
    """Errors in PaddleX's shape, wherever they come from."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def handle_or_say(request: Request) -> Response:
            try:
                return await handle(request)
            except PublicError as error:
                note_error(request, error)
                return JSONResponse(
                    {
                        "logId": _log_id(request),
                        "errorCode": error.status,
                        "errorMsg": error.message,
                    },
                    error.status,
                    headers=error_headers(error),
                )

        return handle_or_say


router = APIRouter(tags=["clients of others"], route_class=_PaddleRoute)


@router.post(
    "/layout-parsing",
    summary="Read a document for a client of PaddleX",
    response_model=LayoutParsingAnswer,
    responses={status: {"model": LayoutParsingProblem} for status in ERROR_STATUSES},
    openapi_extra=body_schema(LayoutParsingRequest, {"file": EXAMPLE_PNG, "fileType": 1}),
    dependencies=[Depends(bearer)],
)
async def layout_parsing(
    request: Request, services: Annotated[Services, Depends(services_of)]
) -> Response:
    """Takes the request of PaddleX's `/layout-parsing` and gives its answer. All pages are read.
    Options that would change the text and cannot be done are refused."""
    forms = []

    def wanted(payload: dict[str, Any]) -> Wanted:
        form = parse(payload)
        forms.append(form)
        request.scope["state"]["log_id"] = form.log_id
        return form.wanted(tasks_of(services.settings.model))

    def pictures(reading: Reading) -> Pictures:
        if forms[0].return_markdown_images is False:
            return ()
        return [(page, image_blocks(page)) for page in reading.pages]

    def write(reading: Reading, images: Images) -> str:
        return answer(reading, images, forms[0].prettify_markdown is not False, _log_id(request))

    return await answer_json_document(request, services, wanted, pictures, write)


def _log_id(request: Request) -> str:
    return request.scope["state"].get("log_id") or logs.request_id.get() or ""
