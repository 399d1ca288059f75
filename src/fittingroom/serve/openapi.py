"""The API's description: ``/openapi.json`` for programs, ``/docs`` for people, without a script or a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fittingroom.rendering.html_page import render_page
from fittingroom.version import __version__

DOCS = Path(__file__).parent / "web" / "docs.html"

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
INFER = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "inputs": {"type": "array", "items": TENSOR},
        "outputs": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
    },
}
PICTURE = {"type": "string", "format": "binary"}


def openapi(models: list[str]) -> dict[str, Any]:
    """OpenAPI 3.1 of everything that the server answers."""
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "enum": models}}
    model = {
        "name": "model",
        "in": "query",
        "schema": {"type": "string", "enum": models},
        "description": "default: first",
    }
    explain = {
        "name": "explain",
        "in": "query",
        "schema": {"type": "string", "enum": ["1"]},
        "description": "1: also `occlusion`, how far the probability falls when each place is covered",
    }
    kinds = [
        {"name": key, "in": "query", "required": True, "schema": {"type": "string"}} for key in ("truth", "predicted")
    ]
    upload = {
        "image/*": {"schema": PICTURE},
        "multipart/form-data": {"schema": {"type": "object", "properties": {"file": PICTURE}}},
    }
    paths = {
        "/predict": _operation(
            "post",
            "What is in a picture",
            "PNG, JPEG, WebP, GIF or BMP, as the body or as a form's file. A photo is converted as Fashion-MNIST's own "
            "were. Answers `class`, `probability`, `top` (every class, the most probable first), `doubt` (0–1; above "
            "0.95 `unfamiliar` is true) and `seen`, the image that the model saw.",
            parameters=[model, explain],
            content=upload,
        ),
        "/models": _operation("get", "The models", "Name, classes, image size, accuracy with its 95 % interval."),
        "/models/{name}/examples": _operation("get", "A hundred images to try", "Of the run's test set.", [name]),
        "/models/{name}/mistakes": _operation(
            "get", "What was taken for what", "Images of class `truth` taken for `predicted`.", [name, *kinds]
        ),
        "/models/{name}/report": _operation("get", "The run's report", "HTML.", [name]),
        "/v2": _operation("get", "The server", "Open Inference Protocol v2: name, version, extensions."),
        "/v2/health/live": _operation("get", "Whether the server runs", "200 if so."),
        "/v2/health/ready": _operation("get", "Whether it can answer", "200 if so."),
        "/v2/models/{name}": _operation("get", "A model's inputs and outputs", "Names, datatypes, shapes.", [name]),
        "/v2/models/{name}/ready": _operation("get", "Whether a model can answer", "200 if so.", [name]),
        "/v2/models/{name}/infer": _operation(
            "post",
            "Tensors in, tensors out",
            "`images` UINT8 [N, H, W] → `probabilities` FP32 [N, C], `label` INT64 [N], `doubt` FP64 [N]. At most "
            "1,000 images. With `Inference-Header-Content-Length`, tensors may follow the JSON as bytes.",
            parameters=[name],
            content={"application/json": {"schema": INFER}, "application/octet-stream": {"schema": PICTURE}},
        ),
        "/metrics": _operation("get", "Counters", "Prometheus's text format."),
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Fitting Room", "version": __version__},
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}},
        },
    }


def docs_page(models: list[str]) -> str:
    """The same as a page."""
    return render_page(DOCS, {"models": models, "paths": openapi(models)["paths"]})


def _operation(
    method: str,
    summary: str,
    description: str,
    parameters: list[dict[str, Any]] | None = None,
    content: dict[str, Any] | None = None,
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": summary,
        "description": description,
        "responses": {"200": {"description": "the answer"}, "default": {"description": 'an error: {"error": "…"}'}},
    }
    if parameters:
        operation["parameters"] = parameters
    if content:
        operation["requestBody"] = {"required": True, "content": content}
    return {method: operation}
