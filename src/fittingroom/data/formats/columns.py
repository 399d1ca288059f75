"""What the columns of a table are called, which part a row belongs to, and numbers for labels that are names."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.checks import LONGEST_NAME, MAX_CLASSES
from fittingroom.errors import DataError

Labels = NDArray[Any]

PARTS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "validate": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "t10k": "test",
}
ORDER = ("train", "validation", "test")
FER2013_PARTS = {"public_test": "validation", "private_test": "test"}

LABEL_NAMES = (
    "label",
    "labels",
    "class",
    "target",
    "y",
    "category",
    "emotion",
    "fine_label",
    "class_name",
    "label_name",
    "class_label",
    "class_id",
    "label_id",
    "classes",
    "choice",
    "diagnosis",
    "dx",
)
"""What a column of labels may be called, the likeliest first; in any case, with blanks or dashes for underscores."""

IMAGE_NAMES = ("image", "img", "picture", "photo", "bytes", "image_bytes", "jpg", "png")
"""What a column of pictures may be called, in the same way."""

SPLIT_NAMES = ("split", "usage", "subset", "partition", "part", "set", "data_set", "dataset", "phase")
"""What a column may be called that says of each row whether it is of train, validation or test."""

PART_FLAGS = {
    "is_valid": "validation",
    "is_val": "validation",
    "is_validation": "validation",
    "is_test": "test",
    "is_train": "train",
    "is_training": "train",
}
"""What a column of yes and no may be called, and the part of the rows with yes.

fastai's tables have ``is_valid``, and Caltech's birds ``is_training_image``.
"""
_YES_NO = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

GROUP = "group"
"""What a column is called that says which images belong together, as those of one person do."""

LABEL_NAMES_IN_WORDS = "label, class, target, y or category"


def label_column(columns: Sequence[str]) -> str | None:
    """The column that is called as labels are, by the order of :data:`LABEL_NAMES`; None where there is none.

    Example:
        >>> label_column(["image", "coarse_label", "fine_label"])
        'fine_label'
    """
    return named(columns, LABEL_NAMES)


def named(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """The first of the ``names`` that a column is called, whatever its case; None where there is none."""
    # A row of pixels has a thousand columns: in reverse, so that the first of two spelled alike is the one that stays
    by_name = dict(zip(map(plain, reversed(columns)), reversed(columns), strict=True))
    return next((by_name[name] for name in names if name in by_name), None)


@lru_cache(maxsize=4096)  # a table of pixels has a thousand columns, and is asked for one name after another
def plain(column: str) -> str:
    """A column's name in the spelling of the lists here: ``Image Path`` and ``imagePath`` → ``image_path``."""
    return re.sub(r"[ -]+|(?<=[a-z])(?=[A-Z])", "_", column.strip()).lower()


def class_name(value: object) -> str:
    """A label that is text as the name of a class: in Unicode's NFC, without blanks around it."""
    return unicodedata.normalize("NFC", str(value)).strip()


def as_text(values: Sequence[str], where: str) -> NDArray[np.str_]:
    """Labels as an array of text (N,), in which every one takes as much memory as the longest.

    Raises:
        DataError: one is too long for a class's name.
    """
    longest = max(values, key=len, default="")
    if len(longest) > LONGEST_NAME:
        raise DataError(
            f"{where}: a label of at most {LONGEST_NAME} characters expected, one of {len(longest):,} found "
            f"({longest[:40]!r}…): are these really labels?"
        )
    return np.array(values, np.str_)


def in_natural_order(names: Sequence[str]) -> list[str]:
    """Sorted as people count: "class 10" after "class 9"."""

    def key(name: str) -> list[tuple[int, str]]:
        words = re.split(r"(\d+)", name)
        return [(int(word), "") if word.isdecimal() else (-1, word) for word in words]

    return sorted(names, key=key)


def numbered(
    parts: Mapping[str, NDArray[Any] | None], where: str, order: Sequence[str] | None = None
) -> tuple[dict[str, Labels | None], tuple[str, ...]]:
    """Numbers for labels that are names.

    Args:
        parts: the names (N,) of each part; None for a part without labels.
        where: what an error message calls the data.
        order: class names in the order of their numbers, if it is known; it counts where it has every name.

    Returns:
        The labels of each part, and the class names: those of train, in natural order.

    Raises:
        DataError: empty names, more classes than there can be, a class that train lacks.
    """
    # a name that occurs in 60,000 rows is looked at once
    unique: dict[str, tuple[list[str], NDArray[Any]]] = {}
    for part, values in parts.items():
        if values is not None:
            found, numbers = np.unique(np.asarray(values, dtype=np.str_), return_inverse=True)
            unique[part] = [class_name(name) for name in found.tolist()], numbers.reshape(-1)
    if not unique:
        return dict.fromkeys(parts), ()

    first = "train" if "train" in unique else next(iter(unique))
    names = set(unique[first][0])
    if "" in names:
        row = int(np.argmax(np.isin(unique[first][1], [i for i, name in enumerate(unique[first][0]) if not name])))
        raise DataError(f"{where}: a class's name as the label of each image expected, none found at image {row:,}")
    if len(names) > MAX_CLASSES:
        raise DataError(
            f"{where}: at most {MAX_CLASSES:,} classes expected, {len(names):,} different labels found: "
            "are these really labels?"
        )
    classes = tuple(order) if order is not None and names <= set(order) else tuple(in_natural_order(sorted(names)))

    place = {name: number for number, name in enumerate(classes)}
    labels: dict[str, Labels | None] = dict.fromkeys(parts)
    for part, (found_names, numbers) in unique.items():
        unknown = [name for name in found_names if name not in place]
        if unknown:
            raise DataError(
                f"{where}: classes of {first} expected in {part} ({', '.join(classes[:20])}), {unknown[0]!r} found"
            )
        labels[part] = np.array([place[name] for name in found_names], np.int64)[numbers]
    return labels, classes


def part_flags(columns: Sequence[str]) -> dict[str, str]:
    """The columns that say of each row, by yes or no, whether it is of one part, and that part."""
    parts = {column: PART_FLAGS.get(plain(column).removesuffix("_image")) for column in columns}
    return {column: part for column, part in parts.items() if part is not None}


def parts_of_flags(values: Mapping[str, Sequence[str | None]], where: str, first_row: int = 1) -> list[str]:
    """The part of each row by the columns that say yes or no: that of its yes.

    A row without any is of train, or of test where a column says which are of train.

    Args:
        values: of each column of :func:`part_flags`: ``True``, ``1``, ``yes`` and their opposites, in any case.
        where: what an error message calls the table.
        first_row: the number of the first row in the file.

    Raises:
        DataError: a value that is neither, or a row of two parts.
    """
    flags = part_flags(list(values))
    found: list[set[str]] = [set() for _ in next(iter(values.values()))]
    for column, part in flags.items():
        for row, value in enumerate(values[column]):
            is_of_it = _YES_NO.get((value or "").strip().lower().removesuffix(".0"))
            if is_of_it is None:
                raise DataError(
                    f"{where}: row {row + first_row:,}, column {column}: True or False expected, {value or ''!r} found"
                )
            if is_of_it:
                found[row].add(part)
    if twice := [row for row, parts in enumerate(found) if len(parts) > 1]:
        raise DataError(
            f"{where}: row {twice[0] + first_row:,}: one part expected, {' and '.join(sorted(found[twice[0]]))} found, "
            f"by {', '.join(flags)}"
        )
    without = "test" if "train" in flags.values() else "train"
    return [next(iter(parts), without) for parts in found]


def parts_of_rows(values: Sequence[object], where: str, first_row: int = 1) -> dict[str, NDArray[np.int64]]:
    """The rows of each part, by what a column of parts says of them; the parts in the order train, validation, test.

    Args:
        values: such as ``train``, ``val``, ``Testing``, or FER2013's ``PublicTest`` and ``PrivateTest``.
        where: what an error message calls the column.
        first_row: the number of the first row in the file.

    Raises:
        DataError: a value that names no part.
    """
    found, place = np.unique(np.array([plain(str(value)) for value in values], dtype=np.str_), return_inverse=True)
    parts = [(PARTS | FER2013_PARTS).get(value) for value in found.tolist()]
    if None in parts:
        row = int(np.argmax(np.isin(place, [number for number, part in enumerate(parts) if part is None])))
        raise DataError(
            f"{where}: row {row + first_row:,}: train, validation or test expected, {values[row]!r} found: "
            "name the part, or leave the row out"
        )
    chosen = {part: [number for number, other in enumerate(parts) if other == part] for part in ORDER if part in parts}
    return {part: np.flatnonzero(np.isin(place, numbers)) for part, numbers in chosen.items()}
