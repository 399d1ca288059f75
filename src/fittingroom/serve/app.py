"""The application: endpoints, pages and errors put together. All is made here and handed on; nothing is global."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from fittingroom.errors import FittingRoomError
from fittingroom.rendering.html_page import STYLE_SHEET
from fittingroom.serve.endpoints import ENDPOINTS
from fittingroom.serve.guard import FAILED, Guard, Limits, Refused, error_body
from fittingroom.serve.metrics import Metrics
from fittingroom.serve.openapi import docs_page, openapi
from fittingroom.serve.request_log import RequestDone
from fittingroom.serve.service import CompareRuns, Served, Service
from fittingroom.serve.tickets import Tickets

WEB = Path(__file__).parent / "web"
SHARED = STYLE_SHEET.parent  # what pages that are written to a file have, too
STATIC = {
    **dict.fromkeys(sorted(WEB.glob("*.js")), "text/javascript"),
    WEB / "page.css": "text/css",
    SHARED / "class_names.js": "text/javascript",
    SHARED / "flood_fill.js": "text/javascript",
    SHARED / "share.js": "text/javascript",
    STYLE_SHEET: "text/css",
}

DAMAGED = "a file of this run is damaged"

Handler = Callable[[Request], Awaitable[Response]]
log = logging.getLogger("fittingroom.serve")


def create_app(
    models: Sequence[Served],
    *,
    limits: Limits | None = None,
    most_waiting: int = 2_000,
    allow_origins: tuple[str, ...] = (),
    observe: Callable[[RequestDone], None] | None = None,
    compare: CompareRuns | None = None,
) -> ASGIApp:
    """The whole server as an ASGI application.

    Args:
        models: at least one; names differ.
        limits: on requests.
        most_waiting: images in each model's queue.
        allow_origins: other sites whose pages may call this one (CORS).
        observe: receives each request when it is done, such as a :class:`~fittingroom.serve.request_log.RequestLog`'s.
        compare: makes the page that compares two runs; None for a server that compares none.

    Raises:
        FittingRoomError: one of the other sites is none.
    """
    for site in allow_origins:  # a browser never sends another form, so that another would allow nobody, unsaid
        if not re.fullmatch(r"https?://[^/\s*?#@]+", site):
            raise FittingRoomError(
                f"`allow_origins`: a site as browsers name it expected, such as https://example.org, {site!r} found: "
                "no path, no slash at its end, and no pattern"
            )

    # Whoever may read the docs without a key doesn't learn from them what is served to those who have it.
    limits = replace(limits or Limits(), origins=allow_origins)
    metrics = Metrics()
    tickets = Tickets()
    service = Service(models, metrics, most_waiting, tickets, compare)
    app = Starlette(
        routes=[*_api(service), *_pages([] if limits.api_key else list(service.models), limits.api_key is not None)],
        lifespan=service.running,
        exception_handlers={
            Refused: _refused,
            HTTPException: _http_error,
            FittingRoomError: _damaged,
            Exception: _failed,
        },
    )
    guard = Guard(app, limits, metrics, tickets, observe)
    if not allow_origins:
        return guard

    # Around the guard: a browser asks first, without the key, and may read a refusal.
    return CORSMiddleware(guard, allow_origins=allow_origins, allow_methods=["GET", "POST"], allow_headers=["*"])


def _api(service: Service) -> list[Route]:
    """What programs ask for."""
    return [
        _route(path, partial(endpoint.handler, service), endpoint.method)
        for endpoint in ENDPOINTS
        for path in endpoint.paths
    ]


def _pages(models: list[str], needs_key: bool) -> list[Route]:
    """What a browser shows, and the API's description; made once but for the docs, which show the asker's address."""

    async def docs(request: Request) -> Response:
        page = docs_page(models, str(request.base_url).rstrip("/"), needs_key=needs_key)
        return Response(page, media_type="text/html", headers={"Cache-Control": "no-store"})

    pages = [
        _route("/openapi.json", _constant(json.dumps(openapi(models)), "application/json")),
        _route("/docs", docs),
        _route("/", _constant((WEB / "index.html").read_text(encoding="utf-8"), "text/html")),
    ]
    for file, media_type in STATIC.items():
        content = file.read_text(encoding="utf-8")
        pages.append(_route(f"/static/{file.name}", _constant(content, media_type, "max-age=300")))
    return pages


def _route(path: str, handler: Handler, method: str = "GET") -> Route:
    """A route whose requests the metrics count under its path."""

    async def named(request: Request) -> Response:
        request.scope["endpoint_name"] = path.replace('"', "")
        return await handler(request)

    return Route(path, named, methods=[method])


def _constant(content: str, media_type: str, cache: str = "no-store") -> Handler:
    """A handler that always answers the same."""
    return partial(_answer_constant, content.encode(), f"{media_type}; charset=utf-8", cache)


async def _answer_constant(content: bytes, media_type: str, cache: str, _request: Request) -> Response:
    return Response(content, media_type=media_type, headers={"Cache-Control": cache})


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    request.scope["refused"] = str(error)
    body = error_body(str(error))
    return Response(body, error.status, media_type="application/json", headers=error.headers)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    request.scope["refused"] = error.detail
    headers: Mapping[str, Any] = error.headers or {}
    return Response(error_body(error.detail), error.status_code, media_type="application/json", headers=dict(headers))


async def _damaged(request: Request, error: Exception) -> Response:
    """A file of the run can't be read: the log names it, for whoever runs the server."""
    log.error("%s", error)
    request.scope["refused"] = DAMAGED
    return Response(error_body(DAMAGED), 500, media_type="application/json")


async def _failed(_request: Request, _error: Exception) -> Response:
    """Starlette raises the error again after this; the guard writes it to the log."""
    return Response(error_body(FAILED), 500, media_type="application/json")
