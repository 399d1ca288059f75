"""ONNX with 8-bit whole numbers inside: a quarter of the size, and faster where the processor has instructions for it.

Static quantisation: the range of every activation is measured on training images, once.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fittingroom.artifact.export import ExportError, with_metadata
from fittingroom.artifact.onnx_model import BATCH, OnnxModel
from fittingroom.data.dataset import Dataset
from fittingroom.errors import DataError
from fittingroom.files.atomic import atomic_write

CALIBRATION_IMAGES = 1_000
MAY_FALL = 0.002  # accuracy, as a share


@dataclass(frozen=True)
class Quantized:
    """What quantisation did to the accuracy on ``n`` validation images: correct before, and after."""

    before: int
    after: int
    n: int

    def __str__(self) -> str:
        before, after = 100 * self.before / self.n, 100 * self.after / self.n
        return f"accuracy on {self.n:,} validation images: {before:.2f} % → {after:.2f} %"


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
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static  # type: ignore[import-untyped]

    if validation is None or validation.labels is None:
        raise DataError("--quantize: validation images expected, the run was trained without any: nothing can decide")
    rows = np.linspace(0, len(train) - 1, min(len(train), CALIBRATION_IMAGES)).astype(np.int64)
    images_NHW = train.images[rows]

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = _batches(images_NHW)

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            return next(self.batches, None)

    whole = OnnxModel(source)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, "model.onnx")
        log = logging.getLogger()
        log.disabled, was = True, log.disabled  # it advises on the root logger
        try:
            quantize_static(
                source,
                written,
                Reader(),
                op_types_to_quantize=["Conv", "Gemm", "MatMul", "MaxPool", "Relu", "Add"],
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
            )
        finally:
            log.disabled = was
        content = with_metadata(written.read_bytes(), whole.metadata)
    before, after = (
        int(np.count_nonzero(model.answer(validation.images).predicted == validation.labels))
        for model in (whole, OnnxModel(content))
    )
    result = Quantized(before, after, len(validation))
    if (before - after) / len(validation) >= MAY_FALL:
        raise ExportError(f"{path}: {result}; a fall of less than {100 * MAY_FALL:g} points expected: nothing written")
    with atomic_write(path) as file:
        file.write(content)
    return result


def _batches(images_NHW: NDArray[np.uint8]) -> Iterator[dict[str, NDArray[np.uint8]]]:
    for start in range(0, len(images_NHW), BATCH):
        yield {"images": images_NHW[start : start + BATCH]}
