"""What a run keeps of its start: ``start.safetensors``, the weights, and ``start-images.npy``, what they have seen.

The copy is there so that the run can be resumed and verified without what it started from; the hashes of all images
that its weights were trained on, so that whoever judges it knows what it has seen.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fittingroom.artifact.artifact import MAX_WEIGHTS
from fittingroom.data.dataset import Dataset
from fittingroom.data.normalization import Normalization, Scale
from fittingroom.errors import ArtifactError
from fittingroom.files.atomic import atomic_write
from fittingroom.files.run_file import read_run_file
from fittingroom.files.safetensors_header import refuse_large_header
from fittingroom.runs.environment_record import StartingPoint

if TYPE_CHECKING:
    from fittingroom.training.start_weights import StartWeights

START, IMAGES = "start.safetensors", "start-images.npy"
DIGEST = 32  # bytes of a SHA-256
HEADER = 4_096  # bytes at most of an array's file before its values

Hashes = NDArray[np.uint8]
"""The SHA-256 of images, of their pixels and of their files, sorted and each once: uint8 (N, 32)."""


def image_hashes(dataset: Dataset) -> Hashes:
    """The hashes of a set's images: of the pixels and, where they were read from files, of these."""
    digests = [*dataset.image_hashes(), *(dataset.sources or ())]
    return np.unique(np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST), axis=0)


def count_among(dataset: Dataset, hashes: Hashes) -> int:
    """How many images of a set are among ``hashes``, by their pixels or by their files."""
    return int(is_among(dataset, hashes).sum())


def is_among(dataset: Dataset, hashes: Hashes) -> NDArray[np.bool_]:
    """Whether each image is among ``hashes``: bool (N,)."""
    known = {row.tobytes() for row in hashes}
    pixels = dataset.image_hashes()
    sources: Sequence[bytes] = dataset.sources or pixels
    return np.array([p in known or s in known for p, s in zip(pixels, sources, strict=True)], dtype=bool)


def write_seen(folder: Path, hashes: Hashes) -> None:
    """Write ``start-images.npy``."""
    with atomic_write(folder / IMAGES, follow_links=False) as file:
        np.save(file, hashes, allow_pickle=False)


def read_seen(folder: Path, point: StartingPoint) -> tuple[Hashes | None, str]:
    """The images that the start of the run in ``folder`` was trained on; or None, and why they aren't known."""
    if point.hashes is None:
        return None, f"the images that {point.name} was trained on, from which it started, aren't known"
    file = folder / IMAGES
    try:
        content = read_run_file(file, "the hashes of images", limit=min(MAX_WEIGHTS, point.hashes * DIGEST + HEADER))
        hashes = np.load(io.BytesIO(content), allow_pickle=False)
    except ArtifactError as error:
        return None, str(error)
    except (ValueError, EOFError, MemoryError) as error:
        return None, f"{file}: the hashes of images expected, but it can't be read: {error}"
    if hashes.dtype != np.uint8 or hashes.shape != (point.hashes, DIGEST):
        return None, f"{file}: {point.hashes:,} hashes of {DIGEST} bytes expected, {hashes.dtype} {hashes.shape} found"
    return hashes, ""


def write_weights(folder: Path, weights: bytes) -> None:
    """Write ``start.safetensors``."""
    with atomic_write(folder / START, follow_links=False) as file:
        file.write(weights)


def copy_start(folder: Path, member: Path) -> None:
    """Give a member of a run of several seeds what the run keeps of its start; without taking its room again."""
    for name in (START, IMAGES):
        source, target = folder / name, member / name
        if not source.exists() or target.exists():
            continue
        try:
            os.link(source, target)
        except OSError:  # a file system without links
            shutil.copyfile(source, target)


def start_weights(weights: bytes, point: StartingPoint) -> StartWeights:
    """The weights of a start, from the content of its file.

    Raises:
        ArtifactError: they are damaged.
    """
    import safetensors.torch
    from safetensors import SafetensorError

    from fittingroom.training.start_weights import StartWeights

    try:
        refuse_large_header(weights)
        tensors = safetensors.torch.load(weights)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ArtifactError(f"{point.name}: weights in safetensors expected, but they are damaged: {error}") from None
    normalization = Normalization(_scale(point.mean), _scale(point.std)) if point.mean else None
    return StartWeights(
        name=point.name,
        tensors=tensors,
        classes=point.classes or None,
        normalization=normalization,
        sentence=f"{point.in_words}: {point.head}",
    )


def read_weights(folder: Path, point: StartingPoint) -> bytes:
    """The copy of the starting weights that a run has.

    Raises:
        ArtifactError: it is missing, or not the one that was recorded.
    """
    file = folder / START
    weights = read_run_file(file, "the weights that the run started from", limit=MAX_WEIGHTS)
    if hashlib.sha256(weights).hexdigest() != point.weights_sha256:
        raise ArtifactError(f"{file}: it was changed since the run was started: its SHA-256 is not the recorded one")
    return weights


def _scale(numbers: tuple[float, ...]) -> Scale:
    if len(numbers) == 1:
        return numbers[0]
    red, green, blue = numbers
    return red, green, blue
