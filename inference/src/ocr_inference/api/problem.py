"""Every error as one JSON shape: `{"error": {"code", "message", "details"?}, "request_id"}`."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from ocr_inference import logs
from ocr_inference.api.work import client_gone
from ocr_inference.errors import PublicError
from ocr_inference.services import services_of

log = logging.getLogger("ocr_inference.http")

_CODES = {404: "not_found", 405: "method_not_allowed"}


class ErrorBody(BaseModel):
    code: str
    message: str
    details: dict[str, Any] | None = None


class Problem(BaseModel):
    """What every error answer looks like."""

    error: ErrorBody
    request_id: str | None


def problem(request: Request, error: PublicError) -> JSONResponse:
    """The answer; the log and the metrics get its code."""
    note_error(request, error)
    body: dict[str, Any] = {"code": error.code, "message": error.message}
    if details := error.public_details:
        body["details"] = details
    return JSONResponse(
        {"error": body, "request_id": logs.request_id.get()},
        error.status,
        headers=error_headers(error),
    )


def error_headers(error: PublicError) -> dict[str, str]:
    """What a refusal says beside its body, whatever that looks like."""
    headers: dict[str, str] = {}
    if (retry_after := error.details.get("retry_after")) is not None:
        headers["Retry-After"] = str(retry_after)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def note_error(request: Request, error: PublicError) -> None:
    """For the log and the metrics."""
    request.scope.setdefault("state", {})["error_code"] = error.code


def handle_errors(app: FastAPI) -> None:
    @app.exception_handler(PublicError)
    async def public(request: Request, error: PublicError) -> JSONResponse:
        return problem(request, error)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, _error: ClientDisconnect) -> Response:
        return client_gone(services_of(request))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        code = _CODES.get(error.status_code, f"http_{error.status_code}")
        answer = problem(request, PublicError(error.status_code, code, str(error.detail)))
        answer.headers.update(error.headers or {})  # Allow, on 405
        return answer

    @app.exception_handler(RequestValidationError)
    async def validation(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return problem(request, PublicError(422, "invalid_field", f"{where}: {first['msg']}"))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("unexpected error", exc_info=error)
        failed = PublicError(500, "internal_error", "The server failed; see its log.")
        return problem(request, failed)
