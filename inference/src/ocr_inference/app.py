"""The HTTP application: routes and errors. Processes and signals are in `server`."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI
from fastapi_offline import FastAPIOffline

from ocr_inference.api.health.router import router as health_router
from ocr_inference.api.home.router import router as home_router
from ocr_inference.api.jobs.router import router as jobs_router
from ocr_inference.api.layout_parsing.router import router as layout_parsing_router
from ocr_inference.api.metrics.router import router as metrics_router
from ocr_inference.api.mistral.router import router as mistral_router
from ocr_inference.api.models.router import router as models_router
from ocr_inference.api.ocr.router import router as ocr_router
from ocr_inference.api.problem import handle_errors
from ocr_inference.services import Services
from ocr_inference.version import VERSION


def create_app(services: Services) -> FastAPI:
    settings = services.settings
    # Swagger UI and ReDoc from a package, not a CDN: a cluster without a way out has docs too.
    app = _with_routes(
        FastAPIOffline(
            title="OCR server",
            description="Reads documents: text, lines, boxes and confidence.",
            version=VERSION,
            swagger_ui_parameters={"persistAuthorization": True},
        )
        if settings.pages_enabled
        else _without_pages(),
        services,
        health_router,
        ocr_router,
        jobs_router,
        layout_parsing_router,
        mistral_router,
        models_router,
    )
    if settings.pages_enabled:
        app.include_router(home_router)
    if not settings.metrics_port:
        app.include_router(metrics_router)
    return app


def create_metrics_app(services: Services) -> FastAPI:
    """What answers on a port of its own, where the metrics have one."""
    return _with_routes(_without_pages(), services, metrics_router)


def _without_pages() -> FastAPI:
    return FastAPI(openapi_url=None)


def _with_routes(app: FastAPI, services: Services, *routers: APIRouter) -> FastAPI:
    app.state.services = services
    handle_errors(app)
    for router in routers:
        app.include_router(router)
    return app
