"""What answers each endpoint: the models, their batchers, and what is waiting. ``endpoints.py`` says which is where."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from fittingroom.predict.classifier import Classifier
from fittingroom.predict.inputs import Block
from fittingroom.predict.output import records
from fittingroom.rendering.contact_sheet import png_uri
from fittingroom.runs.run import Run
from fittingroom.serve import open_inference, run_info
from fittingroom.serve.batcher import Batcher
from fittingroom.serve.decoders import Decoders
from fittingroom.serve.guard import Refused
from fittingroom.serve.metrics import Metrics
from fittingroom.serve.occlusion import occlusion_map
from fittingroom.version import __version__

REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox"


@dataclass(frozen=True)
class Served:
    """A run that is served under a name.

    Attributes:
        name: in addresses.
        run: whose scores, examples and report are shown.
        model: what answers.
        weights: what the run's folder held when it was opened.
    """

    name: str
    run: Run
    model: Classifier
    weights: run_info.FileIdentity | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", run_info.weights_of(self.run))

    @property
    def is_replaced(self) -> bool:
        """Whether the folder holds another model by now: what else is in it doesn't belong to the one that answers."""
        return run_info.weights_of(self.run) != self.weights


class Service:
    """The handlers, and what they share. Used in one event loop.

    Args:
        models: at least one; names differ.
        metrics: counts batches.
        most_waiting: images in each model's queue.
    """

    def __init__(self, models: Sequence[Served], metrics: Metrics, most_waiting: int):
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
        self.decoders = Decoders()

    @asynccontextmanager
    async def running(self, _app: Starlette) -> AsyncIterator[None]:
        """Batchers and decoders at work for as long as the server runs."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.decoders)
            for batcher in self.batchers.values():
                await stack.enter_async_context(batcher)
            yield

    # The Open Inference Protocol

    async def server_metadata(self, _request: Request) -> Response:
        """What this server is."""
        about = {"name": "fittingroom", "version": __version__, "extensions": ["binary_tensor_data"]}
        return JSONResponse(about)

    async def server_live(self, _request: Request) -> Response:
        """Whether the server runs."""
        return JSONResponse({"live": True})

    async def server_ready(self, _request: Request) -> Response:
        """Whether all models can answer: they are opened before the port is."""
        return JSONResponse({"ready": True})

    async def model_metadata(self, request: Request) -> Response:
        """The inputs and outputs of a model."""
        served = self._served_in_path(request)
        return JSONResponse(open_inference.model_metadata(served.name, served.model))

    async def model_ready(self, request: Request) -> Response:
        """Whether there is such a model."""
        served = self._served_in_path(request)
        return JSONResponse({"name": served.name, "ready": True})

    async def infer(self, request: Request) -> Response:
        """Tensors in, tensors out."""
        served = self._served_in_path(request)
        if request.headers.get("content-encoding", "identity") != "identity":
            raise Refused(415, "Content-Encoding: identity expected")
        header_length = request.headers.get(open_inference.HEADER_LENGTH)
        inference = open_inference.parse_request(await request.body(), header_length, served.model)
        classified = await self.batchers[served.name].classify(inference.images)
        body, headers = open_inference.response(served.name, inference, classified)
        return Response(body, headers=headers)

    # For people, and for programs that have a picture

    async def predict(self, request: Request) -> Response:
        """A picture, as the body or as the file of a form → what is in it."""
        served = self._served(request.query_params.get("model") or next(iter(self.models)))
        content, file_name = await _picture(request)
        image = await self.decoders.image_of(content, served.model, request.is_disconnected)

        batcher, classes = self.batchers[served.name], served.model.classes
        classified = await batcher.classify(image[None])
        (answer,) = records(Block(image[None], [file_name], [None]), classified, classes, len(classes))
        answer |= {"model": served.name, "seen": png_uri(image)}

        # Some two hundred images more for one picture, so only where it is asked for.
        if request.query_params.get("explain") == "1":
            background = served.model.background
            occlusion = await occlusion_map(image, answer["label"], background, batcher.classify)
            answer["occlusion"] = np.round(occlusion, 4).tolist()
        return JSONResponse(answer)

    async def list_models(self, _request: Request) -> Response:
        """Every model: its classes, how good it is, what else there is to see."""
        described = []
        for served in self.models.values():
            summary = await asyncio.to_thread(run_info.summary, None if served.is_replaced else served.run)
            model = served.model
            inputs = {
                "classes": model.classes,
                "image_size": model.artifact.image_size,
                "channels": model.artifact.channels,
                "calibrated_on": model.artifact.temperature.n,
                "threshold": model.artifact.threshold
                and {
                    "class": model.classes[model.artifact.threshold.label],
                    "probability": model.artifact.threshold.value,
                    "n": model.artifact.threshold.n,
                },
                "photo": model.artifact.preprocessing.photo,
                "background": round(float(np.mean(model.background))),  # of coloured images, how bright it is
            }
            described.append({"name": served.name} | inputs | summary)
        return JSONResponse(described)

    async def examples(self, request: Request) -> Response:
        """A sheet of images to try."""
        served = self._unchanged_in_path(request)
        return JSONResponse(await asyncio.to_thread(run_info.examples, served.run, served.model.classes))

    async def mistakes(self, request: Request) -> Response:
        """Images of one class that were taken for another."""
        served = self._unchanged_in_path(request)
        truth, predicted = (request.query_params.get(key, "") for key in ("truth", "predicted"))
        if truth not in served.model.classes or predicted not in served.model.classes:
            raise Refused(400, "?truth=CLASS&predicted=CLASS expected, with two of the model's classes")
        return JSONResponse(await asyncio.to_thread(run_info.mistakes, served.run, truth, predicted))

    async def report(self, request: Request) -> Response:
        """The run's report, served in a sandbox: a run may come from a stranger, and its page is no page of ours."""
        file = run_info.report_of(self._unchanged_in_path(request).run)
        if file is None:
            raise Refused(404, "this run has no report")
        headers = {"Content-Security-Policy": REPORT_POLICY, "X-Frame-Options": "SAMEORIGIN"}
        return FileResponse(file, media_type="text/html; charset=utf-8", headers=headers)

    async def prometheus_metrics(self, _request: Request) -> Response:
        """What the server counts."""
        waiting = {name: batcher.waiting for name, batcher in self.batchers.items()}
        return Response(self.metrics.text(waiting), media_type="text/plain; version=0.0.4; charset=utf-8")

    # What they share

    def _served_in_path(self, request: Request) -> Served:
        """The model that the path names. There is one version of each."""
        return self._served(request.path_params["name"], request.path_params.get("version", "1"))

    def _unchanged_in_path(self, request: Request) -> Served:
        """The same, where what else is in the run's folder is asked for."""
        served = self._served_in_path(request)
        if served.is_replaced:
            raise Refused(409, "the run's folder was replaced since the server was started; start it again")
        return served

    def _served(self, name: str, version: str = "1") -> Served:
        if name not in self.models or version != "1":
            raise Refused(404, f"no such model; there are {', '.join(self.models)}")
        return self.models[name]


async def _picture(request: Request) -> tuple[bytes, str]:
    """The bytes of the picture that was sent, and the name that its sender gives it."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "multipart/form-data":
        return await request.body(), "body"
    try:
        async with request.form(max_files=1, max_fields=8) as form:
            file = next((value for value in form.values() if isinstance(value, UploadFile)), None)
            if file is None:
                raise Refused(400, "a file in the form expected, none found")
            return await file.read(), _name_of_file(file.filename)

    # UnicodeError: a form may name any of Python's codecs for its texts, such as one that always fails.
    except (MultiPartException, HTTPException, UnicodeError):
        raise Refused(400, "a form with one file expected, as multipart/form-data") from None


def _name_of_file(given: str | None) -> str:
    """The last part of what a client calls its file, as text that JSON in UTF-8 can hold, 200 characters at most."""
    name = Path((given or "").replace("\0", "")).name or "upload"
    return name.encode(errors="replace").decode()[:200]
