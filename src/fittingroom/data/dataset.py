"""The data set that everything else works on: images in grey or colour, labels, class names, and fingerprints.

Fingerprints are SHA-256 sums over one hash per image, so that the same images are recognised whatever
file format or row order they come in.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from fittingroom.data.fingerprint import Fingerprint as Fingerprint
from fittingroom.data.fingerprint import repeats_among
from fittingroom.data.preprocessing import MAX_SIDE as MAX_SIDE
from fittingroom.data.preprocessing import Preprocessing
from fittingroom.errors import DataError, ImagesTooLarge, naming_extras

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch.utils.data
    from numpy.typing import NDArray
    from torch import Tensor

MAX_CLASSES = 1000
LONGEST_NAME = 256  # characters of a class's name; those of a folder's are at most 255
PER_IMAGE = ("files", "groups", "sources")  # what a set may know of each image, beside its label


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Labelled images, all grey or all in colour, immutable.

    Attributes:
        images: uint8 (N, H, W) grey or (N, H, W, 3) RGB, 0–255, N ≥ 1, 1 ≤ H, W ≤ 256. Kept without a copy, as a
            read-only view.
        labels: int64 (N,), 0 to len(classes) - 1; other integer types are converted. None: unlabelled.
        classes: 2 to 1,000 names, all different; () for a set without labels only.
        name: what messages call the set, e.g. "fashion-mnist train".
        files: the path of the file that each image was read from, below the place that was opened, with ``/`` between
            its parts. None: the images were not read from picture files.
        groups: the name of the group that each image belongs to (a person, a garment, a series of shots); None for an
            image in no group. None: nothing is known of groups.
        sources: SHA-256, 32 bytes, of the file that each image was read from, or of its cell's bytes in a table. None:
            the images came as arrays.

    Raises:
        DataError: any of this does not hold.

    Example:
        >>> import numpy as np
        >>> import fittingroom as fr
        >>> images = np.zeros((4, 28, 28), dtype=np.uint8)
        >>> fr.Dataset(images, np.array([0, 1, 1, 0]), ("bag", "shoe"), "mine")
        Dataset('mine': 4 images 28×28, 2 classes)
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None
    classes: tuple[str, ...]
    name: str
    files: tuple[str, ...] | None = None
    groups: tuple[str | None, ...] | None = None
    sources: tuple[bytes, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "images", _checked_images(self.images, self.name))
        for field in PER_IMAGE:
            if (values := getattr(self, field)) is not None:
                object.__setattr__(self, field, _one_an_image(values, len(self.images), self.name, field))
        object.__setattr__(self, "classes", _checked_classes(self.classes, self.name))
        if self.labels is not None:
            labels = _checked_labels(self.labels, len(self.images), len(self.classes), self.name)
            object.__setattr__(self, "labels", labels)

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        kind = f"{self.num_classes} classes" if self.labels is not None else "unlabelled"
        return f"Dataset({self.name!r}: {len(self):,} images {_size(self)}, {kind})"

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.images.shape[1], self.images.shape[2]

    @property
    def channels(self) -> int:
        """1: grey, 3: RGB."""
        return 1 if self.images.ndim == 3 else 3

    @property
    def num_classes(self) -> int:
        """The number of class names, 0 for a set without them."""
        return len(self.classes)

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """The set's fingerprints, computed once: about 2 µs an image of 28×28."""
        names = [name.encode("utf-8", "surrogateescape") for name in self.classes]

        # lists would take four times as much memory
        images, content = np.empty(len(self), "S32"), np.empty(len(self), "S32")
        for row, digest in enumerate(self._image_digests()):
            images[row] = digest.digest()
            if self.labels is not None:
                digest.update(names[self.labels[row]])
            content[row] = digest.digest()

        # while the hashes of all images are at hand
        self.__dict__.setdefault("repeats", repeats_among(images))

        # sorted, the hashes no longer tell the order of the file
        order = hashlib.sha256(content.data)
        images.sort()
        content.sort()
        return Fingerprint(
            content=hashlib.sha256(content.data).hexdigest(),
            images=hashlib.sha256(images.data).hexdigest(),
            order=order.hexdigest(),
            **self._fingerprints_of_sources(names),
        )

    @cached_property
    def repeats(self) -> NDArray[np.int64]:
        """int64 (R, 2): the row of each image that equals an earlier one in all pixels, and the first row of these."""
        images = np.empty(len(self), "S32")
        for row, digest in enumerate(self._image_digests()):
            images[row] = digest.digest()
        return repeats_among(images)

    def image_hashes(self) -> list[bytes]:
        """The SHA-256 of (shape, pixels) of each image, 32 bytes each, in file order."""
        return [digest.digest() for digest in self._image_digests()]

    def subset(self, indices: Sequence[int] | NDArray[Any], name: str | None = None) -> Dataset:
        """The images at these indices (or where a boolean mask is true), in the order given.

        Args:
            indices: integers, or a mask bool (N,).
            name: of the new set; None: this set's.
        """
        chosen = np.asarray(indices)
        labels = None if self.labels is None else self.labels[chosen]
        return Dataset(self.images[chosen], labels, self.classes, name or self.name, **self.per_image(chosen))

    def per_image(self, indices: Sequence[int] | NDArray[Any]) -> dict[str, Any]:
        """What is known of each image beside its label (:data:`PER_IMAGE`), of those at ``indices`` or in the mask."""
        chosen = np.asarray(indices)
        rows = (np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64, copy=False)).tolist()
        known = {field: getattr(self, field) for field in PER_IMAGE}
        return {
            field: None if values is None else tuple(values[row] for row in rows) for field, values in known.items()
        }

    def class_counts(self) -> NDArray[np.int64]:
        """How many images each class has: int64 (num_classes,); all 0 for a set without labels."""
        labels = np.empty(0, np.int64) if self.labels is None else self.labels
        return np.bincount(labels, minlength=self.num_classes).astype(np.int64, copy=False)

    def aligned_to(self, classes: Sequence[str]) -> Dataset:
        """The set with its labels renumbered so that ``classes`` is the order of its classes.

        Classes are matched by name. Those that this set lacks are added without images.

        Raises:
            DataError: this set has a class that ``classes`` lacks; with both lists.
        """
        wanted = tuple(classes)
        if self.labels is None or self.classes == wanted:
            return self
        if not set(self.classes) <= set(wanted):
            raise DataError(
                f"{self.name}: its classes differ from those expected; expected {_listed(wanted)}; "
                f"found {_listed(self.classes)}: rename the classes so that both sets use the same names"
            )
        number_there = np.array([wanted.index(name) for name in self.classes], dtype=np.int64)
        return replace(self, labels=number_there[self.labels], classes=wanted)

    @naming_extras()
    def as_torch(self) -> torch.utils.data.Dataset[tuple[Tensor, int]]:
        """A map-style PyTorch data set of (float32 image 1×H×W or 3×H×W in 0–1, label).

        Raises:
            DataError: a set without labels.
        """
        from fittingroom.data.torch_dataset import TorchDataset

        if self.labels is None:
            raise DataError(f"{self.name}: labels expected, none found: as_torch gives (image, label)")
        return TorchDataset(self.images, self.labels)

    def _fingerprints_of_sources(self, names: Sequence[bytes]) -> dict[str, str]:
        if self.sources is None:
            return {}
        labels = [b""] * len(self) if self.labels is None else [names[label] for label in self.labels.tolist()]
        in_order = hashlib.sha256()
        for source, name in zip(self.sources, labels, strict=True):
            in_order.update(hashlib.sha256(source + name).digest())
        of_images = hashlib.sha256(b"".join(sorted(self.sources)))
        return {"sources": of_images.hexdigest(), "sources_in_order": in_order.hexdigest()}

    def _image_digests(self) -> Iterator[hashlib._Hash]:
        """Yield a SHA-256 object for each image, fed with ``HxW:``, or ``HxWx3:``, and the pixels."""
        shape = hashlib.sha256(("x".join(map(str, self.images.shape[1:])) + ":").encode())
        values_per_image = math.prod(self.images.shape[1:])
        values = self.images.reshape(-1).data
        for start in range(0, len(values), values_per_image):
            digest = shape.copy()
            digest.update(values[start : start + values_per_image])
            yield digest


@dataclass(frozen=True)
class Splits:
    """The parts of a data set.

    Attributes:
        train: the images to learn from, or the only part there is.
        validation, test: None where there is none.
        source: the path or name that it was opened from; "" for data made in memory.
        preprocessing: how a picture file becomes an image like these; its ``photo`` may be None. None for data made
            in memory, whose arrays say all there is to know.
        notes: what whoever opened it should know, a sentence each: what was left out, what was resized.
        left_out: the files, or the rows of a table, whose pictures can't be read, where that was permitted.

    Raises:
        DataError: the parts disagree about the image size, the channels or, where they have labels, the classes.

    Example:
        >>> import fittingroom as fr
        >>> sample = fr.open_dataset("sample")
        >>> fr.Splits(sample.train, test=sample.test).test
        Dataset('sample test': 1,000 images 28×28, 10 classes)
    """

    train: Dataset
    validation: Dataset | None = None
    test: Dataset | None = None
    source: str = ""
    preprocessing: Preprocessing | None = None
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse parts of which a model of the one could not read the other."""
        for part in (self.validation, self.test):
            if part is None:
                continue
            if part.images.shape[1:] != self.train.images.shape[1:]:
                alike = "one image size" if part.channels == self.train.channels else "grey images, or all in colour"
                raise DataError(
                    f"{part.name}: images of {_size(self.train)} expected as in {self.train.name}, "
                    f"{_size(part)} found: all parts of a data set must have {alike}"
                )

            # labels are numbers: with the same names in another order they would be compared as equals
            if part.classes and self.train.classes and part.classes != self.train.classes:
                raise DataError(
                    f"{part.name}: the classes of {self.train.name} expected, {_listed(self.train.classes)}; "
                    f"found {_listed(part.classes)}: align one with the other by Dataset.aligned_to"
                )


def parts_of(data: Splits) -> dict[str, Dataset]:
    """The parts that there are, by their names: ``train``, ``validation``, ``test``."""
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    return {name: part for name, part in parts.items() if part is not None}


def concatenate(parts: Sequence[Dataset], name: str) -> Dataset:
    """One set with the images of all parts, in order; classes are aligned by name to the first's.

    Args:
        parts: one or more, of one image size, all grey or all in colour. What is known of each image
            (:data:`PER_IMAGE`) is kept where all parts have it.
        name: of the new set.

    Raises:
        DataError: image sizes or class names differ, or only some parts have labels.

    Example:
        >>> import fittingroom as fr
        >>> from fittingroom.data import concatenate
        >>> sample = fr.open_dataset("sample")
        >>> concatenate([sample.train, sample.test], "all of it")
        Dataset('all of it': 3,000 images 28×28, 10 classes)
    """
    first = parts[0]
    aligned = [part.aligned_to(first.classes) for part in parts]
    for part in aligned:
        if part.images.shape[1:] != first.images.shape[1:]:
            raise DataError(f"{part.name}: images of {_size(first)} expected, {_size(part)} found")
        if (part.labels is None) != (first.labels is None):
            raise DataError(f"{first.name} and {part.name}: one has labels, the other has none")
    images = np.concatenate([part.images for part in aligned])
    labels = [part.labels for part in aligned if part.labels is not None]
    known: dict[str, Any] = {}
    for field in PER_IMAGE:
        values = [getattr(part, field) for part in aligned]
        known[field] = None if None in values else tuple(chain.from_iterable(values))
    return Dataset(images, np.concatenate(labels) if labels else None, first.classes, name, **known)


def _checked_images(images: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    is_grey, is_colour = images.ndim == 3, images.ndim == 4 and images.shape[3] == 3
    if images.dtype != np.uint8 or not (is_grey or is_colour):
        raise DataError(f"{name}: images uint8 (N, H, W) or (N, H, W, 3) expected, {images.dtype} {images.shape} found")
    count, height, width = images.shape[:3]
    if count == 0:
        raise DataError(f"{name}: at least one image expected, none found")
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise ImagesTooLarge(
            f"{name}: images of 1 to {MAX_SIDE} pixels a side expected, {height}×{width} found: "
            "resize or crop them first"
        )
    return _read_only(images)


def _checked_classes(classes: Sequence[str], name: str) -> tuple[str, ...]:
    names = tuple(classes)
    if "" in names:
        raise DataError(f"{name}: class {names.index('')} has an empty name: give it one")
    longest = max(names, key=len, default="")
    if len(longest) > LONGEST_NAME:
        raise DataError(
            f"{name}: names of classes of at most {LONGEST_NAME} characters expected, {longest[:40]!r}… of "
            f"{len(longest):,} found"
        )
    try:
        "".join(names).encode()
    except UnicodeEncodeError:
        raise DataError(
            f"{name}: names of classes in Unicode expected, half a character (a lone surrogate) found in "
            f"{next(ascii(found) for found in names if not _is_writable(found))}: write it anew"
        ) from None
    if len(set(names)) < len(names):
        repeated = [name for name, number in Counter(names).items() if number > 1]
        raise DataError(f"{name}: class names that differ expected, found more than once: {_listed(repeated)}")
    return names


def _is_writable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _checked_labels(labels: NDArray[Any], count: int, num_classes: int, name: str) -> NDArray[np.int64]:
    if not 2 <= num_classes <= MAX_CLASSES:
        raise DataError(f"{name}: 2 to {MAX_CLASSES:,} classes expected, {num_classes:,} found")
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise DataError(f"{name}: integer labels (N,) expected, {labels.dtype} {labels.shape} found")
    if len(labels) != count:
        raise DataError(f"{name}: {count:,} labels expected, one an image, {len(labels):,} found")

    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        row = int(np.argmax((labels < 0) | (labels >= num_classes)))
        raise DataError(
            f"{name}: labels 0 to {num_classes - 1} expected, {low} to {high} found, first at image {row:,}"
        )
    return _read_only(labels.astype(np.int64, copy=False))


def _one_an_image(values: Sequence[Any], count: int, name: str, field: str) -> tuple[Any, ...]:
    if len(values) != count:
        raise DataError(f"{name}: {count:,} {field} expected, one an image, {len(values):,} found")
    return tuple(values)


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A contiguous read-only view; the caller's own array keeps its flags."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:20])
    return f"[{shown}, … {len(names):,} in all]" if len(names) > 20 else f"[{shown}]"


def _size(dataset: Dataset) -> str:
    return f"{dataset.image_size[0]}×{dataset.image_size[1]}" + (" colour" if dataset.channels == 3 else "")
