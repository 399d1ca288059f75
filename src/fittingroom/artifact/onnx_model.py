"""``model.onnx`` as something to run: pixels in, probabilities out, through ONNX Runtime and without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.artifact.onnx_graph import refuse_unsafe_graph
from fittingroom.artifact.onnx_runtime import load_onnxruntime
from fittingroom.artifact.ood_score import OodScale
from fittingroom.data.normalization import Normalization
from fittingroom.data.preprocessing import Preprocessing
from fittingroom.errors import ArtifactError, lacks_memory
from fittingroom.evaluation.predictions import Predictions
from fittingroom.evaluation.temperature import UNCALIBRATED, Temperature
from fittingroom.evaluation.threshold import Threshold
from fittingroom.files.records import LongText, Positive, Range, read_record
from fittingroom.files.run_file import read_run_file

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

FORMAT = 2
FORMATS = (1, 2)  # that are read; 1 has no preprocessing
MODEL = "model.onnx"
OUTPUTS = ["probabilities", "label", "energy", "residual"]  # the last only of a network that has features to measure
Byte = Annotated[int, Range(0, 255)]
EXPECTED = "a model written by `fittingroom export`"
MAX_BYTES = 2 << 30  # which is the most that a file of ONNX can have
MAX_REASON = 500  # characters of another library's message
IN_FILE = {"ood_scale": "doubt"}  # what the file calls a field otherwise
BATCH, SMALLEST = 100, 25  # images at once: few enough to stay in a core's cache, enough to be worth another thread


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What an exported model says of itself in its file's metadata.

    Attributes:
        classes: names; index = label.
        image_size: (H, W) in pixels.
        preprocessing: how the bytes of a picture become such an image; None where 0.1 wrote the file.
        normalization: of the pixels. It is done inside; this tells what it is.
        background: the median of the training images' corner pixels, 0–255; of coloured ones, of each channel.
        ood_scale: what energies and residuals mean, if there were validation images enough to tell; the file calls it
            ``doubt``.
        weights: SHA-256 of the ``model.safetensors`` that it was made from.
        recipe: the whole resolved recipe, as TOML.
        data: ``source``, and name, size and fingerprints of each split that the training saw.
        versions: of fittingroom, torch and Python at the time of training.
        temperature: by which logits are changed before the softmax. It is done inside; this tells what it is.
        threshold: from which probability on a class is the label, of two. It is done inside, too.
    """

    classes: tuple[str, ...]
    image_size: tuple[Positive, Positive]
    preprocessing: Preprocessing | None
    normalization: Normalization
    background: Byte | tuple[Byte, Byte, Byte]
    ood_scale: OodScale | None
    weights: str
    recipe: LongText
    data: dict[str, Any]
    versions: dict[str, str]
    temperature: Temperature = UNCALIBRATED
    threshold: Threshold | None = None

    def to_texts(self) -> dict[str, str]:
        """The metadata as pairs of texts: the recipe as it is, everything else as JSON."""
        values = {"format": FORMAT} | {IN_FILE.get(key, key): value for key, value in asdict(self).items()}
        values["preprocessing"] = self.preprocessing and self.preprocessing.as_dict()
        values[IN_FILE["ood_scale"]] = self.ood_scale and self.ood_scale.to_json()
        return {
            f"fittingroom.{key}": value if key == "recipe" else json.dumps(value, ensure_ascii=False)
            for key, value in values.items()
        }

    @classmethod
    def from_texts(cls, texts: Mapping[str, str]) -> Metadata:
        """The reverse of :meth:`to_texts`. Raises KeyError, TypeError or ValueError for what others wrote."""
        values: dict[str, Any] = {
            key.removeprefix("fittingroom."): text if key == "fittingroom.recipe" else json.loads(text)
            for key, text in texts.items()
            if key.startswith("fittingroom.")
        }
        if values.pop("format") not in FORMATS:
            raise ValueError(f"format {FORMAT} expected, it was written by another version of fittingroom")

        for key, key_in_file in IN_FILE.items():
            values[key] = values.pop(key_in_file)

        # These read themselves; the rest is what the annotations say.
        scale, recorded = values["ood_scale"], values.get("preprocessing")
        given = {
            "ood_scale": OodScale.from_json(scale) if scale else None,
            "preprocessing": Preprocessing.from_dict(recorded, MODEL) if recorded else None,
        }
        return read_record(cls, values, MODEL, given=given, advice="export it anew")


class OnnxModel:
    """An opened ``model.onnx``.

    Args:
        source: the file, or its content.
        threads: that one call may use; None for the environment's ``OMP_NUM_THREADS``, else every processor at hand, as
            far as a quota grants its time.

    Raises:
        ArtifactError: the file can't be read, or was not made by ``fittingroom export``.
    """

    def __init__(self, source: Path | bytes, *, threads: int | None = None):
        onnxruntime = load_onnxruntime()
        where = MODEL if isinstance(source, bytes) else source
        # Each thread has a batch of its own: threads that share one wait for each other.
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4  # of errors, which are raised anyway, it would print coloured lines of its own

        self._asked_threads = threads
        try:
            content = source if isinstance(source, bytes) else read_run_file(source, EXPECTED, limit=MAX_BYTES)
            refuse_unsafe_graph(content)
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            self._has_residual = "residual" in [output.name for output in self._session.get_outputs()]
            self.metadata = Metadata.from_texts(self._session.get_modelmeta().custom_metadata_map)
        except ArtifactError:
            raise
        except Exception as error:  # ONNX Runtime raises a type of its own for each of its status codes
            if lacks_memory(error):
                raise MemoryError(_reason(error)) from error
            raise ArtifactError(f"{where}: {EXPECTED} expected, but it can't be opened: {_reason(error)}") from error
        self._where = where

    def answer(self, images: NDArray[np.uint8]) -> Predictions:
        """uint8 (N, H, W), or (N, H, W, 3) where the model knows colour, 0–255, any N, 0 too."""
        n = len(images)
        probabilities_NC = np.empty((n, len(self.metadata.classes)), dtype=np.float32)
        predicted_N, energies_N = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.float32)
        residuals_N = np.empty(n, dtype=np.float32) if self._has_residual else None
        outputs = OUTPUTS if self._has_residual else OUTPUTS[:3]

        # Each batch is written in its place, so that it doesn't matter which thread is done first.
        def fill(start: int) -> None:
            batch = slice(start, start + size)
            inputs = {"images": np.ascontiguousarray(images[batch])}
            try:
                found = self._session.run(outputs, inputs)
                probabilities_NC[batch], predicted_N[batch], energies_N[batch] = found[:3]
                if residuals_N is not None:
                    residuals_N[batch] = found[3]
            except Exception as error:  # as above; ValueError: answers of another shape
                if lacks_memory(error):
                    raise MemoryError(_reason(error)) from error
                raise ArtifactError(
                    f"{self._where}: {EXPECTED} expected, but it can't answer: {_reason(error)}"
                ) from error
            if predicted_N[batch].min() < 0 or predicted_N[batch].max() >= probabilities_NC.shape[1]:
                raise ArtifactError(f"{self._where}: {EXPECTED} expected, but it answers with other classes")

        # As many batches as threads where there are few images, so that none is idle.
        threads = 1 if n <= SMALLEST else self._threads
        size = BATCH if threads == 1 else max(SMALLEST, min(BATCH, -(-n // threads)))
        starts = range(0, n, size)
        if threads == 1 or len(starts) == 1:
            for start in starts:
                fill(start)
        else:
            list(self._pool.map(fill, starts))  # a thread's error is raised here
        return Predictions(probabilities_NC, predicted_N, energies_N, residuals_N)

    @cached_property
    def _threads(self) -> int:
        """The number of threads that many images are shared among."""
        return self._asked_threads or _processors()

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        """The threads that many images are shared among; a few never need them."""
        from concurrent.futures import ThreadPoolExecutor

        return ThreadPoolExecutor(self._threads, thread_name_prefix="onnx")


def _reason(error: Exception) -> str:
    """What ONNX Runtime says, in one line."""
    return " ".join(str(error)[:MAX_REASON].split())


def _processors() -> int:
    from fittingroom.environment import cores, cpu_quota, threads_of_environment

    return threads_of_environment() or max(1, int(min(cores(), cpu_quota())))
