"""Every endpoint of the API, once: what answers it and what it is for. The server routes by this table, and
``openapi.py`` describes it. A new endpoint is a method of :class:`~fittingroom.serve.service.Service` and a row here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response

from fittingroom.serve.service import Service


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A row of the table.

    Attributes:
        path: with its parts in braces; ``{name}`` is a model's.
        handler: the method of the service that answers.
        summary, description: for whoever reads the documentation.
        method: of HTTP.
        query: names of the query's parameters, described in ``openapi.py``.
        content: the JSON schema of the request's body by media type.
        answer: an example of it, abridged; none where the description says it all.
        alias: a second path, which the documentation doesn't repeat.
    """

    path: str
    handler: Callable[[Service, Request], Awaitable[Response]]
    summary: str
    description: str
    method: Literal["GET", "POST"] = "GET"
    query: tuple[str, ...] = ()
    content: Mapping[str, Any] = field(default_factory=dict)
    answer: Mapping[str, Any] = field(default_factory=dict)
    alias: str | None = None

    @property
    def paths(self) -> list[str]:
        """The path at which it answers."""
        return [self.path] + ([self.alias] if self.alias else [])


PICTURE = {"type": "string", "format": "binary"}
TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string", "const": "images"},
        "shape": {"type": "array", "items": {"type": "integer"}, "example": [1, 28, 28]},
        "datatype": {"type": "string", "const": "UINT8"},
        "data": {"type": "array", "description": "whole numbers 0–255, nested or flat"},
        "parameters": {"type": "object", "properties": {"binary_data_size": {"type": "integer"}}},
    },
}
ANSWER = {
    "file": "body",
    "row": None,
    "label": 9,
    "class": "Ankle boot",
    "probability": 0.993601,
    "top": [["Ankle boot", 0.993601], ["Sneaker", 0.001329]],
    "typical": 0.869565,
    "doubt": 0.130435,
    "unfamiliar": False,
    "model": "swift-1",
    "seen": "data:image/png;base64,…",
}
INFER = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "inputs": {"type": "array", "items": TENSOR},
        "outputs": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
    },
}

ENDPOINTS = (
    Endpoint(
        path="/predict",
        handler=Service.predict,
        summary="What is in a picture",
        description="PNG, JPEG, WebP, GIF, BMP, TIFF or PPM, as the body or as a form's file. It is prepared as the "
        "pictures of the model's training were; for a model of Fashion-MNIST, as the set's own photos were. Answers "
        "`class`, `probability`, `top` (every class, the most probable first), `typical` (the out-of-distribution "
        "score: about the share of validation images that are as strange or stranger; up to 0.05 `unfamiliar` is true, "
        "up to 0.01 the picture is unlike the training images), `doubt` (1 minus it) and `seen`, the image that the "
        "model saw.",
        method="POST",
        query=("model", "explain"),
        content={
            "image/*": {"schema": PICTURE},
            "multipart/form-data": {"schema": {"type": "object", "properties": {"file": PICTURE}}},
        },
        answer=ANSWER,
    ),
    Endpoint(
        path="/models",
        handler=Service.list_models,
        summary="The models",
        description="Name, classes, image size, channels, accuracy with its 95% interval; `photo` says whether "
        "pictures are converted as Fashion-MNIST's product photos were.",
    ),
    Endpoint(
        path="/models/{name}/examples",
        handler=Service.examples,
        summary="Up to a hundred images to try",
        description="Of the run's test set.",
    ),
    Endpoint(
        path="/models/{name}/mistakes",
        handler=Service.mistakes,
        summary="A cell of the confusion matrix",
        description="Images of class `truth` taken for `predicted`, the 60 surest: row, file, probability, image.",
        query=("truth", "predicted"),
    ),
    Endpoint(
        path="/models/{name}/report",
        handler=Service.report,
        summary="The run's report",
        description="HTML, served in a sandbox; in Chinese by `language=zh`.",
        query=("language",),
    ),
    Endpoint(
        path="/compare",
        handler=Service.compare,
        summary="Two models compared",
        description="HTML, served in a sandbox: `run` against `baseline` on `split`, as `fittingroom compare` does it. "
        "It is done once for each pair, and goes on record as that command's does.",
        query=("baseline", "run", "split", "language"),
    ),
    Endpoint(
        path="/ticket",
        handler=Service.ticket,
        summary="A ticket for a frame",
        description="Where a key is asked for: `ticket`, which opens `path` (a model's report, or `/compare`) for a "
        "minute as `?ticket=…`, as a frame can't say the key.",
        query=("path",),
    ),
    Endpoint(
        path="/v2",
        handler=Service.server_metadata,
        summary="The server",
        description="Open Inference Protocol v2: name, version, extensions.",
    ),
    Endpoint(
        path="/v2/health/live",
        handler=Service.server_live,
        summary="Whether the server runs",
        description="200 if so.",
    ),
    Endpoint(
        path="/v2/health/ready",
        handler=Service.server_ready,
        summary="Whether it can answer",
        description="200 if so.",
    ),
    Endpoint(
        path="/v2/models/{name}",
        handler=Service.model_metadata,
        summary="A model's inputs and outputs",
        description="Names, datatypes, shapes.",
        alias="/v2/models/{name}/versions/{version}",
    ),
    Endpoint(
        path="/v2/models/{name}/ready",
        handler=Service.model_ready,
        summary="Whether a model can answer",
        description="200 if so.",
        alias="/v2/models/{name}/versions/{version}/ready",
    ),
    Endpoint(
        path="/v2/models/{name}/infer",
        handler=Service.infer,
        summary="Tensors in, tensors out",
        description="`images` UINT8 [N, H, W] or, in colour, [N, H, W, 3] → `probabilities` FP32 [N, C], `label` INT64 "
        "[N], `doubt` and `typical` FP64 [N]. At most 1,000 images. With `Inference-Header-Content-Length`, tensors "
        "may follow the JSON as bytes.",
        method="POST",
        content={"application/json": {"schema": INFER}, "application/octet-stream": {"schema": PICTURE}},
        alias="/v2/models/{name}/versions/{version}/infer",
    ),
    Endpoint(
        path="/metrics",
        handler=Service.prometheus_metrics,
        summary="Counters",
        description="Prometheus's text format.",
    ),
)
