"""The application: which path leads where. Everything is made here and handed on; nothing is global."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from fittingroom.data.fashion_photo import picture_to_image
from fittingroom.errors import DataError
from fittingroom.predict.classifier import Classifier
from fittingroom.predict.inputs import Block
from fittingroom.predict.output import records
from fittingroom.rendering.contact_sheet import png_uri
from fittingroom.rendering.html_page import STYLE_SHEET
from fittingroom.runs.run import Run
from fittingroom.serve import run_info
from fittingroom.serve.batcher import Batcher
from fittingroom.serve.guard import FAILED, Guard, Limits, Refused, error_body
from fittingroom.serve.metrics import Metrics
from fittingroom.serve.occlusion import occlusion_map
from fittingroom.serve.open_inference import HEADER_LENGTH, model_metadata, parse_request, response
from fittingroom.serve.openapi import docs_page, openapi
from fittingroom.version import __version__

WEB = Path(__file__).parent / "web"
STATIC = {
    "app.js": "text/javascript",
    "words.js": "text/javascript",
    "page.css": "text/css",
    STYLE_SHEET.name: "text/css",
}
UPLOADS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
DECODERS = 2  # pictures that are decoded at a time, 150 MB each at the worst
WAITING_PICTURES = 32
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox"


@dataclass(frozen=True)
class Served:
    """A run that is served under a name."""

    name: str
    run: Run
    model: Classifier


class Service:
    """The handlers, and what they share."""

    def __init__(self, models: list[Served], metrics: Metrics, most_waiting: int):
        self.models = {served.name: served for served in models}
        self.metrics = metrics
        self.batchers = {
            served.name: Batcher(
                served.model.classify,
                most_waiting=most_waiting,
                observe=metrics.batches[served.name].observe,
            )
            for served in models
        }
        self.decoding = asyncio.Semaphore(DECODERS)
        self.waiting_pictures = 0

    @asynccontextmanager
    async def running(self, _app: Starlette) -> AsyncIterator[None]:
        """Batchers at work for as long as the server runs."""
        async with AsyncExitStack() as stack:
            for batcher in self.batchers.values():
                await stack.enter_async_context(batcher)
            yield

    # The Open Inference Protocol

    async def server(self, _request: Request) -> Response:
        """What this is."""
        about = {"name": "fittingroom", "version": __version__, "extensions": ["binary_tensor_data"]}
        return JSONResponse(about)

    async def live(self, _request: Request) -> Response:
        """Whether it runs."""
        return JSONResponse({"live": True})

    async def ready(self, _request: Request) -> Response:
        """Whether all models can answer: they are opened before the port is."""
        return JSONResponse({"ready": True})

    async def metadata(self, request: Request) -> Response:
        """The inputs and outputs of a model."""
        served = self._named(request.path_params["name"], request.path_params.get("version"))
        return JSONResponse(model_metadata(served.name, served.model))

    async def model_ready(self, request: Request) -> Response:
        """Whether there is such a model."""
        served = self._named(request.path_params["name"], request.path_params.get("version"))
        return JSONResponse({"name": served.name, "ready": True})

    async def infer(self, request: Request) -> Response:
        """Tensors in, tensors out."""
        served = self._named(request.path_params["name"], request.path_params.get("version"))
        if request.headers.get("content-encoding", "identity") != "identity":
            raise Refused(415, "Content-Encoding: identity expected")
        asked = parse_request(await request.body(), request.headers.get(HEADER_LENGTH), served.model)
        classified = await self.batchers[served.name].classify(asked.images)
        body, headers = response(served.name, asked, classified)
        return Response(body, headers=headers)

    # For people, and for programs that have a picture

    async def predict(self, request: Request) -> Response:
        """A picture, as the body or as the file of a form → what is in it."""
        served = self._named(request.query_params.get("model") or next(iter(self.models)))
        content, name = await _picture(request)
        image = await self._decode(content, served.model)
        batcher = self.batchers[served.name]
        classified = await batcher.classify(image[None])
        (answer,) = records(
            Block(image[None], [name], [None]), classified, served.model.classes, len(served.model.classes)
        )
        answer |= {"model": served.name, "seen": png_uri(image)}
        if request.query_params.get("explain") == "1":
            background = served.model.background
            occlusion = await occlusion_map(image, answer["label"], background, batcher.classify)
            answer["occlusion"] = np.round(occlusion, 4).tolist()
        return JSONResponse(answer)

    async def list_models(self, _request: Request) -> Response:
        """Every model: its classes, how good it is, what else there is to see."""
        described = []
        for served in self.models.values():
            about = await asyncio.to_thread(run_info.summary, served.run)
            model = served.model
            what = {"classes": model.classes, "image_size": model.artifact.image_size, "background": model.background}
            described.append({"name": served.name} | what | about)
        return JSONResponse(described)

    async def examples(self, request: Request) -> Response:
        """A sheet of images to try."""
        served = self._named(request.path_params["name"])
        return JSONResponse(await asyncio.to_thread(run_info.examples, served.run, served.model.classes))

    async def mistakes(self, request: Request) -> Response:
        """Images of one class that were taken for another."""
        served = self._named(request.path_params["name"])
        truth, predicted = (request.query_params.get(key, "") for key in ("truth", "predicted"))
        if truth not in served.model.classes or predicted not in served.model.classes:
            raise Refused(400, "?truth=CLASS&predicted=CLASS expected, with two of the model's classes")
        return JSONResponse(await asyncio.to_thread(run_info.mistakes, served.run, truth, predicted))

    async def report(self, request: Request) -> Response:
        """The run's report, which may do nothing but be looked at."""
        file = run_info.report_of(self._named(request.path_params["name"]).run)
        if file is None:
            raise Refused(404, "this run has no report")
        headers = {"Content-Security-Policy": REPORT_POLICY, "X-Frame-Options": "SAMEORIGIN"}
        return FileResponse(file, media_type="text/html; charset=utf-8", headers=headers)

    async def metrics_page(self, _request: Request) -> Response:
        """For Prometheus."""
        waiting = {name: batcher.waiting for name, batcher in self.batchers.items()}
        return Response(self.metrics.text(waiting), media_type="text/plain; version=0.0.4; charset=utf-8")

    def _named(self, name: str, version: str | None = None) -> Served:
        if name not in self.models or version not in (None, "1"):
            raise Refused(404, f"no such model; there are {', '.join(self.models)}")
        return self.models[name]

    async def _decode(self, content: bytes, model: Classifier) -> np.ndarray:
        if self.waiting_pictures >= WAITING_PICTURES:
            raise Refused(503, "busy: too many pictures are waiting to be decoded", {"Retry-After": "1"})
        self.waiting_pictures += 1
        try:
            async with self.decoding:
                return await asyncio.to_thread(
                    picture_to_image,
                    content,
                    "the picture",
                    image_size=model.artifact.image_size,
                    background=model.background,
                    formats=UPLOADS,
                )
        except DataError as error:
            raise Refused(400, str(error)) from None
        finally:
            self.waiting_pictures -= 1


def create_app(
    models: list[Served],
    *,
    limits: Limits | None = None,
    most_waiting: int = 2_000,
    allow_origins: tuple[str, ...] = (),
) -> ASGIApp:
    """The whole server as an ASGI application.

    Args:
        models: at least one; names differ.
        limits: on requests.
        most_waiting: images in each model's queue.
        allow_origins: other sites whose pages may call this one (CORS).
    """
    metrics = Metrics()
    service = Service(models, metrics, most_waiting)
    routes = [
        _route("/v2", service.server),
        _route("/v2/health/live", service.live),
        _route("/v2/health/ready", service.ready),
        *(
            _route(f"/v2/models/{{name}}{version}{path}", handler, methods)
            for version in ("", "/versions/{version}")
            for path, handler, methods in (
                ("", service.metadata, ("GET",)),
                ("/ready", service.model_ready, ("GET",)),
                ("/infer", service.infer, ("POST",)),
            )
        ),
        _route("/predict", service.predict, ("POST",)),
        _route("/models", service.list_models),
        _route("/models/{name}/examples", service.examples),
        _route("/models/{name}/mistakes", service.mistakes),
        _route("/models/{name}/report", service.report),
        _route("/metrics", service.metrics_page),
        _route("/openapi.json", _constant(json.dumps(openapi(list(service.models))), "application/json")),
        _route("/docs", _constant(docs_page(list(service.models)), "text/html")),
        _route("/", _constant((WEB / "index.html").read_text(encoding="utf-8"), "text/html")),
        *(
            _route(f"/static/{name}", _constant(_static(name), media_type, "max-age=300"))
            for name, media_type in STATIC.items()
        ),
    ]
    app = Starlette(
        routes=routes,
        lifespan=service.running,
        exception_handlers={Refused: _refused, HTTPException: _http_error, Exception: _failed},
    )
    guard = Guard(app, limits or Limits(), metrics)
    if not allow_origins:
        return guard
    # Around the guard: a browser asks first, without the key, and may read a refusal.
    return CORSMiddleware(guard, allow_origins=allow_origins, allow_methods=["GET", "POST"], allow_headers=["*"])


Handler = Callable[[Request], Awaitable[Response]]


def _route(path: str, handler: Handler, methods: tuple[str, ...] = ("GET",)) -> Route:
    async def named(request: Request) -> Response:
        request.scope["endpoint_name"] = path.replace('"', "")
        return await handler(request)

    return Route(path, named, methods=list(methods))


def _constant(content: str, media_type: str, cache: str = "no-store") -> Handler:
    return partial(_answer_constant, content.encode(), f"{media_type}; charset=utf-8", cache)


async def _answer_constant(content: bytes, media_type: str, cache: str, _request: Request) -> Response:
    return Response(content, media_type=media_type, headers={"Cache-Control": cache})


def _static(name: str) -> str:
    file = STYLE_SHEET if name == STYLE_SHEET.name else WEB / name
    return file.read_text(encoding="utf-8")


async def _picture(request: Request) -> tuple[bytes, str]:
    """The bytes of the picture that was sent, and what its sender calls it."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        return await request.body(), "body"
    try:
        async with request.form(max_files=1, max_fields=8) as form:
            file = next((value for value in form.values() if isinstance(value, UploadFile)), None)
            if file is None:
                raise Refused(400, "a file in the form expected, none found")
            return await file.read(), Path(file.filename or "upload").name
    except (MultiPartException, HTTPException):
        raise Refused(400, "a form with one file expected, as multipart/form-data") from None


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    body = error_body(str(error))
    return Response(body, error.status, media_type="application/json", headers=error.headers)


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers: Mapping[str, Any] = error.headers or {}
    return Response(error_body(error.detail), error.status_code, media_type="application/json", headers=dict(headers))


async def _failed(_request: Request, _error: Exception) -> Response:
    """Starlette raises the error again after this; the guard writes it to the log."""
    return Response(error_body(FAILED), 500, media_type="application/json")
