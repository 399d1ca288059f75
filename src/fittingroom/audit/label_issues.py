"""Labels that a reference model doubts, as a file: which images, and what it was that doubted them.

`fittingroom data check PATH --labels --suspects FILE` writes one, `fittingroom evaluate RUN --suspects FILE` reads it.
For the official test images of Fashion-MNIST one ships with the package; scripts/make_suspects.py makes it.

The reference is fixed and named in the file: a model that is judged never chooses what it is judged on.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.reference import MANIFEST, TRAIN, hashes_of, manifest
from fittingroom.data.dataset import Dataset
from fittingroom.errors import DataError
from fittingroom.files.json_file import read_json, write_json

FORMAT = 1
SHIPPED = MANIFEST / "fashion-mnist-test-suspects.json"


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """One doubted label.

    Attributes:
        image: the first 8 bytes of the SHA-256 of shape and pixels, 16 hexadecimal digits.
        row: of the part that was judged.
        given: the class that its label names.
        suggested: the class that the reference names.
        of_given, of_suggested: what the reference says of the two, 0–1.
    """

    image: str
    row: int
    given: str
    suggested: str
    of_given: float
    of_suggested: float


@dataclass(frozen=True, kw_only=True)
class Suspects:
    """The doubted labels of one part, worst first.

    Attributes:
        reference: the model that doubts, in words.
        name: of the part that was judged; n: its images; images: its fingerprint by images alone.
        suspects: worst first.
    """

    reference: str
    name: str
    n: int
    images: str
    suspects: tuple[Suspect, ...]

    def are_of(self, dataset: Dataset) -> bool:
        """Whether it was these images that were judged, in whatever order."""
        return dataset.fingerprint.images == self.images

    def mask(self, dataset: Dataset) -> NDArray[np.bool_]:
        """bool (N,): the images whose label is doubted. A label that was changed since is no longer the doubted one."""
        if dataset.labels is None:
            return np.zeros(len(dataset), dtype=bool)
        doubted = {(int(each.image, 16), each.given) for each in self.suspects}
        names = [dataset.classes[label] for label in dataset.labels.tolist()]
        return np.array([each in doubted for each in zip(hashes_of(dataset).tolist(), names, strict=True)], dtype=bool)


def write_suspects(path: Path, found: list[Suspects]) -> None:
    """Write what was found of each part. Raises OSError."""
    write_json(path, {"format": FORMAT, "parts": [asdict(each) for each in found]})


def read_suspects(path: Path) -> list[Suspects]:
    """What was found of each part.

    Raises:
        ArtifactError: the file is missing, damaged, or of another format.
        DataError: it is something else.
    """
    content = read_json(path, format_number=FORMAT)
    try:
        return [_parsed(part) for part in content["parts"]]
    except (KeyError, TypeError, ValueError):
        raise DataError(
            f"{path}: a file of suspected labels expected, something else found; make one by "
            "fittingroom data check DATA --labels --suspects FILE"
        ) from None


def suspects_of(dataset: Dataset, path: Path | None = None) -> Suspects | None:
    """The suspects among the images of a set: from a file, or those that ship with the package.

    Args:
        dataset: that is judged.
        path: a file that :func:`write_suspects` wrote. None: what ships, if all images are official test images of
            Fashion-MNIST; nothing otherwise.

    Raises:
        ArtifactError, DataError: the file can't be read, or is of other images.
    """
    if path is None:
        return _shipped() if _is_official_test(dataset) else None
    parts = read_suspects(path)
    fitting = next((part for part in parts if part.are_of(dataset)), None)
    if fitting is None:
        judged = ", ".join(f"{part.name} ({part.n:,} images)" for part in parts) or "nothing"
        raise DataError(
            f"{path}: suspects among the images of {dataset.name} ({len(dataset):,}) expected; these are of {judged}; "
            "make others by fittingroom data check DATA --labels --suspects FILE"
        )
    return fitting


def _parsed(part: dict[str, Any]) -> Suspects:
    suspects = tuple(Suspect(**each) for each in part["suspects"])
    if not all(len(each.image) == 16 and int(each.image, 16) >= 0 for each in suspects):
        raise ValueError
    return Suspects(**part | {"suspects": suspects})


@cache
def _shipped() -> Suspects:
    (part,) = read_suspects(SHIPPED)
    return part


def _is_official_test(dataset: Dataset) -> bool:
    if dataset.image_size != (28, 28):
        return False
    return bool((manifest().rows_of(hashes_of(dataset)) >= TRAIN).all())
