"""The data set that everything else works on: images in grey or colour, labels, and class names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from fittingroom.data.checks import LONGEST_NAME as LONGEST_NAME
from fittingroom.data.checks import MAX_CLASSES as MAX_CLASSES
from fittingroom.data.checks import (
    checked_classes,
    checked_images,
    checked_labels,
    how_names_differ,
    listed,
    numbers_named,
    one_an_image,
)
from fittingroom.data.fingerprint import Fingerprint as Fingerprint
from fittingroom.data.fingerprint import digests_of, fingerprint_of, hashes_of, repeats_among
from fittingroom.data.preprocessing import MAX_SIDE as MAX_SIDE
from fittingroom.data.preprocessing import Preprocessing
from fittingroom.errors import DataError, naming_extras, warn_caller

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch.utils.data
    from numpy.typing import NDArray
    from torch import Tensor

    from fittingroom.data.in_memory import Taken

PER_IMAGE = ("files", "groups", "sources")  # what a set may know of each image, beside its label


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Labelled images, all grey or all in colour, immutable.

    Attributes:
        images: uint8 (N, H, W) grey or (N, H, W, 3) RGB, 0–255, N ≥ 1, 1 ≤ H, W ≤ 256. Kept without a copy, as a
            read-only view.
        labels: int64 (N,), 0 to len(classes) - 1; lists, other integer types and names out of ``classes`` are
            converted. None: unlabelled.
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
        >>> fr.Dataset(images, ["bag", "shoe", "shoe", "bag"], ("bag", "shoe"), "mine")[1:]
        Dataset('mine': 3 images 28×28, 2 classes)
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None
    classes: tuple[str, ...]
    name: str
    files: tuple[str, ...] | None = None
    groups: tuple[str | None, ...] | None = None
    sources: tuple[bytes, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "images", checked_images(self.images, self.name))
        for field in PER_IMAGE:
            if (values := getattr(self, field)) is not None:
                object.__setattr__(self, field, one_an_image(values, len(self.images), self.name, field))
        object.__setattr__(self, "classes", checked_classes(self.classes, self.name))
        if self.labels is not None:
            labels = checked_labels(self.labels, len(self.images), self.classes, self.name)
            object.__setattr__(self, "labels", labels)

    @classmethod
    def from_arrays(
        cls,
        images: Any,
        labels: Any = None,
        classes: Sequence[str] | None = None,
        *,
        name: str = "arrays",
        scale: float | None = None,
        preprocessing: Preprocessing | None = None,
    ) -> Dataset:
        """Make a set of arrays, tensors or lists, in the layouts and types that people have them in.

        What had to be changed for it (a layout with an axis for channels, a scale) is said, in a warning.

        Args:
            images: grey (N, H, W), (N, H, W, 1) or (N, 1, H, W), colour (N, H, W, 3) or (N, 3, H, W), where R = G = B
                everywhere is grey: uint8 or whole numbers of 0–255, floats of 0–1, or true and false. Or a list of
                pictures: arrays, Pillow's images, paths, or the bytes of files.
            labels: one an image: numbers from 0, or names. None: unlabelled.
            classes: names in the order of the numbers. None: the names that occur, as people count; of numbers those
                from 0 to the largest.
            name: what messages call the set.
            scale: the value that is white, where it is neither 255 nor, of floats, 1.
            preprocessing: what to make of the images. None: what they suggest; pictures of one size up to 256×256 keep
                it, those of several become 64×64.

        Raises:
            DataError: where, what was expected, what was found.

        Example:
            >>> import numpy as np
            >>> import fittingroom as fr
            >>> images = np.zeros((4, 28, 28), dtype=np.uint8)
            >>> data = fr.Dataset.from_arrays(images, ["bag", "shoe", "shoe", "bag"])
            >>> data.classes, data.labels
            (('bag', 'shoe'), array([0, 1, 1, 0]))
        """
        from fittingroom.data.in_memory import take_arrays

        taken = take_arrays(images, labels, classes, where=name, scale=scale, preprocessing=preprocessing)
        return cls._of(taken, name)

    @classmethod
    def from_torch(
        cls,
        dataset: Any,
        classes: Sequence[str] | None = None,
        *,
        name: str = "torch",
        preprocessing: Preprocessing | None = None,
    ) -> Dataset:
        """Make a set of a data set of PyTorch's kind, by asking it for each (image, label) once.

        What its ``transform`` draws at random is drawn once for all, so give one without augmentation.

        Args:
            dataset: a ``TensorDataset``, one of torchvision's, or any other that gives pairs: tensors or arrays (H, W),
                (1, H, W) or (3, H, W), uint8 of 0–255 or floats of 0–1, or Pillow's images; labels as for
                :meth:`from_arrays`.
            classes: as for :meth:`from_arrays`. None: its own ``classes``, where it has them.
            name, preprocessing: as for :meth:`from_arrays`.

        Raises:
            DataError: where, what was expected, what was found: normalized images among them.

        Example:
            >>> import torch
            >>> import fittingroom as fr
            >>> pairs = torch.utils.data.TensorDataset(torch.rand(6, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2]))
            >>> fr.Dataset.from_torch(pairs, ["red", "green", "blue"])
            Dataset('torch': 6 images 8×8, 3 classes)
        """
        from fittingroom.data.foreign_sets import take_pairs

        return cls._of(take_pairs(dataset, classes, where=name, preprocessing=preprocessing), name)

    @classmethod
    def from_hf(
        cls,
        dataset: Any,
        *,
        image: str | None = None,
        label: str | None = None,
        name: str = "hugging face",
        preprocessing: Preprocessing | None = None,
    ) -> Dataset:
        """Make a set of one part of a data set of Hugging Face's library, such as ``load_dataset(…)["train"]``.

        Args:
            dataset: rows that are mappings; the library itself isn't needed.
            image, label: the columns; None for those that are called so, or whose features say it. The names of the
                classes are those of the label's feature.
            name, preprocessing: as for :meth:`from_arrays`.

        Raises:
            DataError: where, what was expected, what was found.

        Example:
            >>> import numpy as np
            >>> import fittingroom as fr
            >>> class Rows(list):
            ...     column_names = ["image", "label"]
            >>> black = np.zeros((8, 8), dtype=np.uint8)
            >>> fr.Dataset.from_hf(Rows([{"image": black, "label": "on"}, {"image": black, "label": "off"}])).classes
            ('off', 'on')
        """
        from fittingroom.data.foreign_sets import take_hugging_face

        return cls._of(take_hugging_face(dataset, image, label, where=name, preprocessing=preprocessing), name)

    @classmethod
    def from_dataframe(
        cls,
        frame: Any,
        *,
        image: str | None = None,
        label: str | None = None,
        classes: Sequence[str] | None = None,
        shape: tuple[int, int] | tuple[int, int, int] | None = None,
        name: str = "frame",
        scale: float | None = None,
        preprocessing: Preprocessing | None = None,
    ) -> Dataset:
        """Make a set of a data frame of pandas or Polars: a row an image.

        Args:
            frame: with a column of labels, and either a column of images (arrays, Pillow's images, bytes or paths of
                picture files) or one for each pixel, as Kaggle's CSV has them. A column ``group`` says which images
                belong together.
            image, label: the columns; None for those that are called so.
            classes, name, scale, preprocessing: as for :meth:`from_arrays`.
            shape: (H, W) or (H, W, 3) of pixels that come as numbers; None: they are square and grey.

        Raises:
            DataError: where, what was expected, what was found.

        Example:
            >>> import polars as pl
            >>> import fittingroom as fr
            >>> table = pl.read_csv("fashion-mnist_train.csv")
            >>> fr.Dataset.from_dataframe(table)
            Dataset('frame': 2,000 images 28×28, 10 classes)
        """
        from fittingroom.data.foreign_sets import take_frame

        taken = take_frame(frame, image, label, classes, shape, where=name, scale=scale, preprocessing=preprocessing)
        return cls._of(taken, name)

    @classmethod
    def _of(cls, taken: Taken, name: str) -> Dataset:
        for note in taken.notes:
            warn_caller(note)
        return cls(taken.images, taken.labels, taken.classes, name, groups=taken.groups)

    def __len__(self) -> int:
        return len(self.images)

    @overload
    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], int | None]: ...

    @overload
    def __getitem__(self, index: slice | Sequence[int] | NDArray[Any]) -> Dataset: ...

    def __getitem__(
        self, index: int | slice | Sequence[int] | NDArray[Any]
    ) -> tuple[NDArray[np.uint8], int | None] | Dataset:
        """(image, label) of one, label None for a set without; of a slice, a list or a mask a set of those."""
        if isinstance(index, int | np.integer):
            return self.images[index], None if self.labels is None else int(self.labels[index])
        return self.subset(np.arange(len(self))[index])

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint8], int | None]]:
        """Yield (image, label) of each."""
        return (self[row] for row in range(len(self)))

    def __repr__(self) -> str:
        kind = f"{self.num_classes} classes" if self.labels is not None else "unlabelled"
        return f"Dataset({self.name!r}: {len(self):,} images {size_in_words(self)}, {kind})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the first images of each class."""
        from fittingroom.data.in_notebook import view_of_set

        return view_of_set(self.name, self.images, self.labels, self.classes)

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
        fingerprint, repeats = fingerprint_of(self.images, self.labels, self.classes, self.sources)
        self.__dict__.setdefault("repeats", repeats)  # for nothing, while the hashes of all images are at hand
        return fingerprint

    @cached_property
    def repeats(self) -> NDArray[np.int64]:
        """int64 (R, 2): the row of each image that equals an earlier one in all pixels, and the first row of these."""
        return repeats_among(hashes_of(self.images))

    def image_hashes(self) -> list[bytes]:
        """The SHA-256 of (shape, pixels) of each image, 32 bytes each, in file order."""
        return [digest.digest() for digest in digests_of(self.images)]

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

        Classes are matched by name; where all are numbers, ``00014`` is 14. Those that this set lacks are added
        without images.

        Raises:
            DataError: this set has a class that ``classes`` lacks; with both lists.
        """
        wanted = tuple(classes)
        if self.labels is None or self.classes == wanted:
            return self
        names = self.classes if set(self.classes) <= set(wanted) else numbers_named(self.classes, wanted)
        if names is None:
            raise DataError(
                f"{self.name}: its classes differ from those expected; expected {listed(wanted)}; "
                f"found {listed(self.classes)}: rename the classes so that both sets use the same names"
                f"{how_names_differ(self.classes, wanted)}"
            )
        number_there = np.array([wanted.index(name) for name in names], dtype=np.int64)
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
            raise DataError(f"{part.name}: images of {size_in_words(first)} expected, {size_in_words(part)} found")
        if (part.labels is None) != (first.labels is None):
            raise DataError(f"{first.name} and {part.name}: one has labels, the other has none")
    images = np.concatenate([part.images for part in aligned])
    labels = [part.labels for part in aligned if part.labels is not None]
    known: dict[str, Any] = {}
    for field in PER_IMAGE:
        values = [getattr(part, field) for part in aligned]
        known[field] = None if None in values else tuple(chain.from_iterable(values))
    return Dataset(images, np.concatenate(labels) if labels else None, first.classes, name, **known)


def size_in_words(dataset: Dataset) -> str:
    """``28×28`` or, in colour, ``28×28 colour``."""
    return f"{dataset.image_size[0]}×{dataset.image_size[1]}" + (" colour" if dataset.channels == 3 else "")
