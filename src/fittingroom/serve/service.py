"""What answers each endpoint: the models, their batchers, and what is waiting. ``endpoints.py`` says which is where."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from fittingroom.errors import FittingRoomError
from fittingroom.predict.classifier import Classifier
from fittingroom.predict.inputs import Block
from fittingroom.predict.output import records
from fittingroom.rendering.contact_sheet import png_uri
from fittingroom.rendering.languages import in_chinese
from fittingroom.runs.run import Run
from fittingroom.serve import open_inference, run_info
from fittingroom.serve.batcher import Batcher
from fittingroom.serve.decoders import Decoders
from fittingroom.serve.guard import Refused
from fittingroom.serve.metrics import Metrics
from fittingroom.serve.occlusion import occlusion_map
from fittingroom.serve.tickets import SECONDS, Tickets
from fittingroom.version import __version__

Split = Literal["test", "validation"]
CompareRuns = Callable[[Run, Run, Split], str]  # baseline, the other, and the split → a page
SPLITS: dict[str, Split] = {"test": "test", "validation": "validation"}
MAX_COMPARED = 50  # pages that are kept
LARGEST_TRANSLATED = 20_000_000  # bytes of a report that is put into another language
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox"
FRAMED = {"Content-Security-Policy": REPORT_POLICY, "X-Frame-Options": "SAMEORIGIN"}
REPLACED = "the run's folder was replaced since the server was started; start it again"


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
        tickets: by which a frame opens a page where a key is asked for.
        compare: makes the page that compares two runs; None for none.
    """

    def __init__(
        self,
        models: Sequence[Served],
        metrics: Metrics,
        most_waiting: int,
        tickets: Tickets,
        compare: CompareRuns | None = None,
    ):
        self.tickets, self._compare_runs = tickets, compare
        self._compared: dict[tuple[str, str, str], asyncio.Future[str]] = {}
        self._comparing = ThreadPoolExecutor(1, thread_name_prefix="compare")
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
        self._comparing.shutdown(wait=False, cancel_futures=True)

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

            # What a client has to know before it sends a picture, and what its answer then rests on.
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

            described.append({"name": served.name, "compares": self._compare_runs is not None} | inputs | summary)
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
        if _wants_chinese(request) and file.stat().st_size <= LARGEST_TRANSLATED:
            page = await asyncio.to_thread(lambda: in_chinese(file.read_text(encoding="utf-8", errors="replace")))
            return Response(page, media_type="text/html", headers=FRAMED)
        return FileResponse(file, media_type="text/html; charset=utf-8", headers=FRAMED)

    async def compare(self, request: Request) -> Response:
        """Two runs compared, as a page in a sandbox, as the report is."""
        asked = request.query_params
        baseline, other = asked.get("baseline", ""), asked.get("run", "")
        split = SPLITS.get(asked.get("split", ""))

        # Before anything is read: what this server does, who asks, and for what.
        if self._compare_runs is None:
            raise Refused(404, "this server compares no runs")
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise Refused(403, "a link of another site asks for a comparison, which would go on record")
        if split is None or baseline == other:
            raise Refused(400, "?baseline=MODEL&run=MODEL&split=test expected, or validation, with two models")
        served = [self._served(name) for name in (baseline, other)]
        if any(each.is_replaced for each in served):
            raise Refused(409, REPLACED)

        # One at a time, and each once: it is a look at the pair and goes on record, and takes seconds. Whoever leaves
        # doesn't end it, as a thread can't be stopped.
        key = (baseline, other, split)
        if key not in self._compared:
            loop, (first, second) = asyncio.get_running_loop(), served
            self._compared[key] = loop.run_in_executor(
                self._comparing, self._compare_runs, first.run, second.run, split
            )

        try:
            page = await asyncio.shield(self._compared[key])
        except asyncio.CancelledError:
            raise  # whoever asked is gone, and the next one gets what comes of it
        except Exception as error:
            # That a run wasn't judged on the split may change; the message is for people who may see both runs.
            self._compared.pop(key, None)
            if not isinstance(error, FittingRoomError):
                raise
            raise Refused(409, _without_paths(str(error), served)) from None

        # The oldest go first; asked for again, they are made again, and go on record again.
        while len(self._compared) > MAX_COMPARED:
            self._compared.pop(next(iter(self._compared)))
        if _wants_chinese(request):
            page = await asyncio.to_thread(in_chinese, page)
        return Response(page, media_type="text/html", headers=FRAMED)

    async def ticket(self, request: Request) -> Response:
        """What opens a report or a comparison to a frame, which can't say the key."""
        path = request.query_params.get("path", "")
        if path != "/compare" and not any(path == f"/models/{name}/report" for name in self.models):
            raise Refused(400, "?path=/models/NAME/report or ?path=/compare expected")
        return JSONResponse({"ticket": self.tickets.make(path), "seconds": SECONDS})

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
            raise Refused(409, REPLACED)
        return served

    def _served(self, name: str, version: str = "1") -> Served:
        if name not in self.models or version != "1":
            raise Refused(404, f"no such model; there are {', '.join(self.models)}")
        return self.models[name]


def _wants_chinese(request: Request) -> bool:
    """Whether a page in a frame is to be in Chinese, as the page around it is: its own switch doesn't run there."""
    return request.query_params.get("language") == "zh"


def _without_paths(message: str, served: Sequence[Served]) -> str:
    """The message with the names by which the models are served in place of where their runs lie."""
    for each in served:
        for path in (str(each.run.path.resolve()), str(each.run.path)):
            message = message.replace(path, each.name)
    return message


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
