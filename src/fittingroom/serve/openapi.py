"""The API's description: ``/openapi.json`` for programs, ``/docs`` for people, without a script or a network."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from markupsafe import Markup, escape

from fittingroom.rendering.html_page import render_page
from fittingroom.serve.endpoints import ENDPOINTS, Endpoint
from fittingroom.version import __version__

DOCS = Path(__file__).parent / "web" / "docs.html"
CODE = re.compile("`([^`]+)`")
RESPONSES: dict[str, dict[str, Any]] = {
    "200": {"description": "the answer"},
    "default": {"description": 'an error: {"error": "…"}'},
}


def openapi(models: Sequence[str]) -> dict[str, Any]:
    """OpenAPI 3.1 of every endpoint, for a server of these models; of none where their names are nobody's business."""
    parameters = _parameters(models)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Fitting Room", "version": __version__},
        "paths": {endpoint.path: {endpoint.method.lower(): _operation(endpoint, parameters)} for endpoint in ENDPOINTS},
        "components": {
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}},
        },
    }


def docs_page(models: Sequence[str], address: str, *, needs_key: bool) -> str:
    """The same as a page.

    Args:
        models: as in :func:`openapi`.
        address: at which whoever asks reaches the server, without a slash at its end; for the example.
        needs_key: whether the example has to say the key.
    """
    # A client names the host itself: quoted, it can't end the command that somebody copies.
    example = quote(f"{address}/predict" + (f"?model={models[0]}" if models else ""))
    paths = openapi(models)["paths"]
    answer = answer_text(next(endpoint.answer for endpoint in ENDPOINTS if endpoint.answer))
    content = {"models": models, "paths": paths, "example": example, "needs_key": needs_key, "answer": answer}
    return render_page(DOCS, content | {"in_code": in_code})


def answer_text(answer: Mapping[str, Any]) -> str:
    """An example of an answer as JSON, a line for each key."""
    lines = [f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in answer.items()]
    return "{\n" + ",\n".join(lines) + "\n}"


def in_code(text: str) -> Markup:
    """Markdown's backticks, as OpenAPI's descriptions have them, as HTML."""
    return Markup(CODE.sub(r"<code>\1</code>", str(escape(text))))


def _operation(endpoint: Endpoint, parameters: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """An endpoint as OpenAPI has it; ``parameters`` by name."""
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "description": endpoint.description,
        "responses": RESPONSES,
    }
    if endpoint.answer:
        content = {"application/json": {"example": dict(endpoint.answer)}}
        operation["responses"] = RESPONSES | {"200": RESPONSES["200"] | {"content": content}}
    names = (["name"] if "{name}" in endpoint.path else []) + list(endpoint.query)
    if names:
        operation["parameters"] = [parameters[name] for name in names]
    if endpoint.content:
        operation["requestBody"] = {"required": True, "content": dict(endpoint.content)}
    return operation


def _parameters(models: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What endpoints take in their paths and queries, by name."""
    text, known_model = {"type": "string"}, {"type": "string"} | ({"enum": list(models)} if models else {})
    parameters = (
        {"name": "name", "in": "path", "required": True, "schema": known_model},
        {"name": "model", "in": "query", "schema": known_model, "description": "default: first"},
        {
            "name": "explain",
            "in": "query",
            "schema": {"type": "string", "enum": ["1"]},
            "description": "1: also `occlusion`, how far the probability falls when each place is covered",
        },
        # A cell of the confusion matrix.
        {"name": "truth", "in": "query", "required": True, "schema": text},
        {"name": "predicted", "in": "query", "required": True, "schema": text},
        # A comparison.
        {"name": "baseline", "in": "query", "required": True, "schema": known_model},
        {"name": "run", "in": "query", "required": True, "schema": known_model},
        {
            "name": "split",
            "in": "query",
            "required": True,
            "schema": {"type": "string", "enum": ["test", "validation"]},
        },
        # A page in a frame, where its own switch doesn't run.
        {"name": "language", "in": "query", "schema": {"type": "string", "enum": ["en", "zh"]}},
        # A ticket.
        {"name": "path", "in": "query", "required": True, "schema": text},
    )
    return {str(parameter["name"]): parameter for parameter in parameters}
