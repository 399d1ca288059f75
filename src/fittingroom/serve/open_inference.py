"""The Open Inference Protocol, version 2 (KServe), with its binary-data extension: bytes of HTTP ↔ arrays.

https://github.com/kserve/open-inference-protocol and, for the extension,
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.predict.classifier import Classified, Classifier
from fittingroom.serve.guard import Refused

HEADER_LENGTH = "Inference-Header-Content-Length"
MAX_IMAGES = 1_000  # in one request
DATATYPES = {"probabilities": "FP32", "label": "INT64", "doubt": "FP64", "typical": "FP64"}


@dataclass(frozen=True)
class InferRequest:
    """What a client asks.

    Attributes:
        images: uint8 (N, H, W) or, in colour, (N, H, W, 3), 0–255.
        id: to be given back; None where the client gave none.
        outputs: which ones, and of each whether as bytes after the JSON.
    """

    images: NDArray[np.uint8]
    id: str | None
    outputs: dict[str, bool]


def model_metadata(name: str, model: Classifier) -> dict[str, Any]:
    """Inputs and outputs of the model that is served as ``name``: what ``/v2/models/NAME`` answers."""
    shapes = {"probabilities": [-1, len(model.classes)], "label": [-1], "doubt": [-1], "typical": [-1]}
    return {
        "name": name,
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "images", "datatype": "UINT8", "shape": [-1, *model.image_shape]}],
        "outputs": [
            {"name": output, "datatype": DATATYPES[output], "shape": shapes[output]} for output in _outputs(model)
        ],
        "parameters": {"classes": list(model.classes)},
    }


def parse_request(body: bytes, header_length: str | None, model: Classifier) -> InferRequest:
    """Read the body of ``/v2/models/NAME/infer``.

    Args:
        body: JSON, and after it the bytes of a tensor where ``header_length`` says so.
        header_length: the header of this name: the length of the JSON; None where it is all of the body.
        model: whose inputs and outputs are asked for.

    Raises:
        Refused: 400, and what was expected.
    """
    size = len(body)
    if header_length is not None:
        if not header_length.isdecimal() or len(header_length) > 12 or int(header_length) > len(body):
            raise Refused(400, f"{HEADER_LENGTH}: 0 to {len(body)} expected, {header_length[:20]!r} found")
        size = int(header_length)

    # Whatever is not shaped as the protocol has it ends in one of these errors, and in one answer.
    try:
        request = json.loads(body[:size])
        by_default = bool(request.get("parameters", {}).get("binary_data_output", False))
        wanted = request.get("outputs") or [{"name": name} for name in _outputs(model)]
        outputs = {
            output["name"]: bool(output.get("parameters", {}).get("binary_data", by_default)) for output in wanted
        }
        (tensor,) = [tensor for tensor in request["inputs"] if tensor["name"] == "images"]
        request_id = request.get("id")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Refused(
            400, 'a JSON object {"inputs": [{"name": "images", "shape": …, "datatype": "UINT8", "data": …}]} expected'
        ) from None

    # What goes into the answer, or chooses what does.
    if request_id is not None and not isinstance(request_id, str):
        raise Refused(400, "id: a text expected")
    unknown = [name for name in outputs if name not in _outputs(model)]
    if unknown:
        raise Refused(400, f"outputs: {', '.join(_outputs(model))} expected, {str(unknown[0])[:50]!r} found")
    return InferRequest(_images(tensor, body[size:], model), request_id, outputs)


def response(name: str, request: InferRequest, classified: Classified) -> tuple[bytes, dict[str, str]]:
    """The body and the headers that answer a request to the model that is served as ``name``."""
    values: dict[str, NDArray[Any] | None] = {
        "probabilities": classified.probabilities,
        "label": classified.predicted,
        "doubt": classified.doubt,
        "typical": classified.typical,
    }

    # The bytes of binary outputs follow the JSON in the order in which that describes them.
    described, tail = [], []
    for output, is_binary in request.outputs.items():
        array = values[output]
        assert array is not None, "parse_request lets only those through that the model has"
        tensor: dict[str, Any] = {"name": output, "datatype": DATATYPES[output], "shape": list(array.shape)}
        if is_binary:
            content = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
            tensor["parameters"] = {"binary_data_size": len(content)}
            tail.append(content)
        else:
            tensor["data"] = array.reshape(-1).tolist()
        described.append(tensor)

    answer: dict[str, Any] = {"model_name": name, "model_version": "1", "outputs": described}
    if request.id is not None:
        answer["id"] = request.id
    head = json.dumps(answer).encode()

    # Without binary outputs the answer is plain JSON, which any client reads.
    if not tail:
        return head, {"Content-Type": "application/json"}
    headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(head))}
    return head + b"".join(tail), headers


def _outputs(model: Classifier) -> list[str]:
    """Names of what a model answers; without a scale it has no out-of-distribution score."""
    return ["probabilities", "label"] + (["doubt", "typical"] if model.ood_scale else [])


def _images(tensor: dict[str, Any], tail: bytes, model: Classifier) -> NDArray[np.uint8]:
    """The images uint8 (N, H, W) or (N, H, W, 3) of a tensor, in its JSON or in the ``tail`` of bytes after all JSON.

    Raises:
        Refused: 400, and what was expected.
    """
    shape: Any = tensor.get("shape")
    is_right = isinstance(shape, list) and len(shape) > 0 and all(type(side) is int for side in shape)
    if not is_right or shape[1:] != [*model.image_shape] or shape[0] < 1 or tensor.get("datatype") != "UINT8":
        expected = ", ".join(map(str, model.image_shape))
        raise Refused(400, f"images: UINT8 of shape [N, {expected}] expected, another datatype or shape found")
    if shape[0] > MAX_IMAGES:
        raise Refused(400, f"images: at most {MAX_IMAGES:,} in one request expected, {shape[0]:,} found")

    # As bytes after the JSON, whose number is said in both places.
    size = math.prod(shape)
    parameters = tensor.get("parameters")
    if isinstance(parameters, dict) and "binary_data_size" in parameters:
        if parameters["binary_data_size"] != size or len(tail) != size:
            raise Refused(
                400,
                f"images: {size:,} as binary_data_size and as bytes after the JSON expected, {len(tail):,} bytes found",
            )
        return np.frombuffer(tail, np.uint8).reshape(shape)

    # Nested or flat, the protocol permits both. Not by NumPy: of texts, it makes room for the longest in each place.
    values: Any = tensor.get("data")
    if not isinstance(values, list):
        raise _no_pixels(size)
    while list in (kinds := set(map(type, values))):
        if kinds != {list} or len(set(map(len, values))) != 1:
            raise Refused(400, "images: data of equal length in each row expected")
        values = list(chain.from_iterable(values))

    # true and 1.0 are equal to 1, and no pixels.
    if kinds != {int} or len(values) != size:
        raise _no_pixels(size)
    try:
        return np.frombuffer(bytes(values), np.uint8).reshape(shape)
    except (ValueError, OverflowError):  # beyond 0–255
        raise _no_pixels(size) from None


def _no_pixels(size: int) -> Refused:
    return Refused(400, f"images: {size:,} whole numbers 0–255 as data expected")
