"""ONNX with 8-bit whole numbers inside: a third of the size, and faster where the processor has instructions for it.

Static quantisation: the range of every activation is measured on training images, once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fittingroom.artifact.export import ood_scale_of, with_metadata
from fittingroom.artifact.onnx_model import BATCH, EXPECTED, MAX_BYTES, OnnxModel
from fittingroom.artifact.onnx_runtime import load_onnxruntime
from fittingroom.artifact.parity_gate import ExportError
from fittingroom.data.dataset import Dataset
from fittingroom.errors import DataError
from fittingroom.files.atomic import atomic_write
from fittingroom.files.run_file import read_run_file
from fittingroom.files.temporary import temporary_folder

if TYPE_CHECKING:
    import onnx

CALIBRATION_IMAGES = 1_000
MAX_LOSS = 0.002  # of accuracy, as a share


@dataclass(frozen=True)
class Quantized:
    """What quantisation did to the accuracy on ``n`` validation images: correct before, and after."""

    before: int
    after: int
    n: int

    def __str__(self) -> str:
        before, after = 100 * self.before / self.n, 100 * self.after / self.n
        return f"accuracy on {self.n:,} validation images: {before:.2f}% → {after:.2f}%"


def quantize_int8(source: Path, train: Dataset, validation: Dataset | None, path: Path) -> Quantized:
    """Write the model of an exported ``model.onnx`` with 8-bit numbers, if its accuracy falls by less than 0.2 points.

    Args:
        source: the file in float32.
        train: a thousand images from all over it tell the range of the activations.
        validation: decides; test is never looked at.
        path: of the new file.

    Raises:
        DataError: there are no validation images.
        ExportError: the accuracy falls by more. Nothing is written.
    """
    if validation is None or validation.labels is None:
        raise DataError("int8: validation images expected, the run was trained without any: nothing can decide")
    content = read_run_file(source, EXPECTED, limit=MAX_BYTES)  # once: another may take its place
    in_float32 = OnnxModel(content)
    quantized = _quantized(content, train)

    # A range that is measured badly costs accuracy and nothing else shows it, so accuracy decides.
    said = OnnxModel(with_metadata(quantized, in_float32.metadata)).answer(validation.images)
    before, after = (
        int(np.count_nonzero(predicted_N == validation.labels))
        for predicted_N in (in_float32.answer(validation.images).predicted, said.predicted)
    )
    result = Quantized(before, after, len(validation))
    if (before - after) / len(validation) >= MAX_LOSS:
        raise ExportError(f"{path}: {result}; a fall of less than {100 * MAX_LOSS:g} points expected: nothing written")

    # What is strange in 8 bits is read off 8 bits.
    metadata = replace(in_float32.metadata, ood_scale=ood_scale_of(said, validation))
    with atomic_write(path, follow_links=path.parent != source.parent) as file:
        file.write(with_metadata(quantized, metadata))
    return result


def _quantized(content: bytes, train: Dataset) -> bytes:
    """The ONNX file with 8-bit numbers, without its metadata."""
    import onnx

    quantization = load_onnxruntime("quantization")

    class Reader(quantization.CalibrationDataReader):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            rows = np.linspace(0, len(train) - 1, min(len(train), CALIBRATION_IMAGES)).astype(np.int64)
            self.batches = _batches(train.images[rows])

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            return next(self.batches, None)

    with temporary_folder("the 8-bit model") as folder, _root_logger_off():
        read, written = folder / "read.onnx", folder / "model.onnx"
        read.write_bytes(content)
        quantization.quantize_static(
            read,
            written,
            Reader(),
            op_types_to_quantize=["Conv", "Gemm", "MatMul", "MaxPool", "Relu", "Add"],
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            nodes_to_exclude=_nodes_of_residual_alone(onnx.load_from_string(content).graph),
        )
        return written.read_bytes()


def _nodes_of_residual_alone(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes that only the residual is made by: they are few, and a distance by 8 bits tells nothing."""
    makers = {output: node for node in graph.node for output in node.output}

    def behind(outputs: list[str]) -> set[str]:
        names, left = set(), list(outputs)
        while left:
            node = makers.get(left.pop())
            if node is not None and node.name not in names:
                names.add(node.name)
                left += node.input
        return names

    others = [output.name for output in graph.output if output.name != "residual"]
    return sorted(behind(["residual"]) - behind(others))


@contextmanager
def _root_logger_off() -> Iterator[None]:
    """ONNX Runtime's quantization gives advice on the root logger, which is the user's own."""
    log = logging.getLogger()
    was_off, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = was_off


def _batches(images: NDArray[np.uint8]) -> Iterator[dict[str, NDArray[np.uint8]]]:
    for start in range(0, len(images), BATCH):
        yield {"images": images[start : start + BATCH]}
