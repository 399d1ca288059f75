"""A data set's parts: train, validation and test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fittingroom.data.checks import listed
from fittingroom.data.dataset import Dataset, size_in_words
from fittingroom.data.preprocessing import DEFAULT_SIDE, Preprocessing
from fittingroom.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, KeysView, Mapping


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
        >>> fr.Splits(sample.train, test=sample.test)["test"]
        Dataset('sample test': 1,000 images 28×28, 10 classes)
        >>> list(sample)
        ['train', 'test']
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
                    f"{part.name}: images of {size_in_words(self.train)} expected as in {self.train.name}, "
                    f"{size_in_words(part)} found: all parts of a data set must have {alike}"
                )

            # labels are numbers: with the same names in another order they would be compared as equals
            if part.classes and self.train.classes and part.classes != self.train.classes:
                raise DataError(
                    f"{part.name}: the classes of {self.train.name} expected, {listed(self.train.classes)}; "
                    f"found {listed(part.classes)}: align one with the other by Dataset.aligned_to"
                )

    @classmethod
    def from_hf(
        cls,
        parts: Mapping[str, Any],
        *,
        image: str | None = None,
        label: str | None = None,
        name: str = "hugging face",
        preprocessing: Preprocessing | None = None,
    ) -> Splits:
        """Make a data set of all parts that Hugging Face's ``load_dataset`` gives, whose images get one size.

        Args:
            parts: called train, validation (or valid, val, dev) and test, as that library calls them.
            image, label, name, preprocessing: as for :meth:`Dataset.from_hf`.

        Raises:
            DataError: where, what was expected, what was found.

        Example:
            >>> import numpy as np
            >>> import fittingroom as fr
            >>> class Rows(list):
            ...     column_names = ["image", "label"]
            >>> rows = Rows({"image": np.zeros((8, 8), dtype=np.uint8), "label": label} for label in ("on", "off"))
            >>> list(fr.Splits.from_hf({"train": rows, "test": rows}))
            ['train', 'test']
        """
        from fittingroom.data.foreign_sets import parts_by_name

        given = parts_by_name(parts, name)

        def made(asked: Preprocessing | None) -> dict[str, Dataset]:
            options: Any = {"image": image, "label": label, "preprocessing": asked}
            return {part: Dataset.from_hf(rows, name=f"{name} {part}", **options) for part, rows in given.items()}

        # each part has decided for itself what to make of its pictures: where they differ, all get the same
        sets = made(preprocessing)
        sizes = {part.image_size for part in sets.values()}
        channels = {part.channels for part in sets.values()}
        if len(sizes) > 1 or len(channels) > 1:
            size = sizes.pop() if len(sizes) == 1 else (DEFAULT_SIDE, DEFAULT_SIDE)
            asked = preprocessing or Preprocessing()
            sets = made(asked.resolved_for(size=size, channels=max(channels), photo=None))

        train = sets["train"]
        if preprocessing is not None:
            preprocessing = preprocessing.resolved_for(size=train.image_size, channels=train.channels, photo=None)
        validation, test = sets.get("validation"), sets.get("test")
        return cls(
            train,
            validation and validation.aligned_to(train.classes),
            test and test.aligned_to(train.classes),
            preprocessing=preprocessing,
        )

    def __getitem__(self, part: str) -> Dataset:
        """The part of a name, ``train``, ``validation`` or ``test``. Raises KeyError for one that there isn't."""
        return parts_of(self)[part]

    def __iter__(self) -> Iterator[str]:
        """Yield the names of its parts."""
        return iter(parts_of(self))

    def __len__(self) -> int:
        """Number of parts."""
        return len(parts_of(self))

    def __contains__(self, part: object) -> bool:
        return part in parts_of(self)

    def _repr_html_(self) -> str:
        """What a notebook shows: a row for each part, with its first images."""
        from fittingroom.data.in_notebook import view_of_parts

        parts = {name: (part.name, part.images, part.labels, part.classes) for name, part in parts_of(self).items()}
        return view_of_parts(self.source or self.train.name, parts, self.notes)

    def keys(self) -> KeysView[str]:
        """The names of its parts, so that ``dict(splits)`` has them all."""
        return parts_of(self).keys()


def parts_of(data: Splits) -> dict[str, Dataset]:
    """The parts that a data set has, by their names: ``train``, ``validation``, ``test``."""
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    return {name: part for name, part in parts.items() if part is not None}
