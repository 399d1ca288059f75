"""What the readers share: which part of a set a file is, what its classes are called, and the ``Splits`` of it all."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fittingroom.data.dataset import Dataset
from fittingroom.data.formats.columns import PARTS as PARTS
from fittingroom.data.formats.columns import Labels as Labels
from fittingroom.data.preprocessing import Preprocessing, resize_images
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError
from fittingroom.files.regular_file import read_regular_file

CLASSES_FILE = "classes.txt"
LARGEST_CLASSES_FILE = 4 << 20  # bytes; a thousand names of the longest have 1 MB
LIKE_MISSING = {"nan", "<na>", "null", "#n/a", "n/a"}  # in lower case; None and NA may be names
ALIKE = 100_000  # images of which at least one differs, in any real set

Images = NDArray[Any]


def part_of(name: str) -> str | None:
    """Tell by the words of a file's name whether it is ``train``, ``validation`` or ``test``.

    Returns:
        The part; None where the name says nothing, or two things.

    Example:
        >>> part_of("fashion-mnist_test.csv")
        'test'
    """
    parts = {PARTS[word] for word in re.split(r"[^a-z0-9]+", name.lower()) if word in PARTS}
    return parts.pop() if len(parts) == 1 else None


def by_part(files: Sequence[Path]) -> dict[str, Path]:
    """The files by the parts that their names say; a name that says none is skipped, but for that of the only file.

    Raises:
        DataError: two files are the same part.
    """
    if len(files) == 1:
        return {part_of(files[0].name) or "train": files[0]}

    parts: dict[str, Path] = {}
    for file in files:
        part = part_of(file.name)
        if part in parts:
            raise DataError(
                f"{file.parent}: one {part} file expected, {parts[part].name} and {file.name} found: "
                "give the path of one of them"
            )
        if part is not None:
            parts[part] = file
    return parts


def splits(
    parts: Mapping[str, tuple[Images, Labels | None]],
    path: Path,
    classes: Sequence[str] | None = None,
    *,
    known: Mapping[str, Mapping[str, Sequence[Any]]] | None = None,
    preprocessing: Preprocessing | None = None,
    notes: Sequence[str] = (),
    left_out: Sequence[str] = (),
    made: Preprocessing | None = None,
) -> Splits:
    """Make ``Splits`` of the parts that were read.

    Args:
        parts: images and labels by ``train``, ``validation``, ``test``. A single part is the train part of the
            result, whatever its name.
        path: that they were read from.
        classes: the names in the order of the labels' numbers; None: those of ``classes.txt`` beside the data, else
            the numbers themselves.
        known: what is known of each image beside its label, such as ``files``, by the same parts; see
            :class:`Dataset`.
        preprocessing: that the pictures were read by, with size and channels; None for arrays.
        notes, left_out: see :class:`Splits`.
        made: what to make of arrays that are too large as they are; None leaves them.

    Raises:
        DataError: parts that don't fit together, or several without train.
    """
    for part, (images, _) in parts.items():
        _refuse_one_image(images, f"{path}: {part}")
    labels = [labels for _, labels in parts.values() if labels is not None]
    if classes is None and labels:
        folder = path if path.is_dir() else path.parent
        classes = read_class_names(folder) or _numbers(labels)
        _refuse_too_few_names(classes, labels, folder / CLASSES_FILE)
    sets = {
        part: Dataset(
            images if made is None else resize_images(images, made),
            labels,
            tuple(classes or ()) if labels is not None else (),
            f"{path.absolute().name} {part}",
            **{name: tuple(values) for name, values in (known or {}).get(part, {}).items()},
        )
        for part, (images, labels) in parts.items()
    }

    if len(sets) == 1:
        sets = {"train": next(iter(sets.values()))}
    if "train" not in sets:
        raise DataError(f"{path}: a train part expected, only {' and '.join(sets)} found")
    return Splits(
        sets["train"],
        sets.get("validation"),
        sets.get("test"),
        str(path),
        preprocessing,
        (*notes, *_alike(sets["train"].classes), *_like_missing(sets["train"].classes)),
        tuple(left_out),
    )


def read_class_names(folder: Path) -> tuple[str, ...] | None:
    """The names in the folder's ``classes.txt``, one a line; None where there is no such file.

    Raises:
        DataError: the file can't be read, or isn't UTF-8.
    """
    path = folder / CLASSES_FILE
    if not path.exists():
        return None
    try:
        names = read_regular_file(path, LARGEST_CLASSES_FILE).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: class names, one a line in UTF-8, expected, other bytes found: save it as UTF-8"
        ) from error
    except OSError as error:
        raise DataError(f"{path}: class names, one a line in UTF-8, expected; {error.strerror or error}") from error

    # an editor leaves empty lines at the end
    while names and not names[-1].strip():
        names.pop()
    return tuple(names)


def _refuse_too_few_names(classes: Sequence[str], labels: Sequence[Labels], file: Path) -> None:
    """Refuse a ``classes.txt`` without a name for each label. Raises DataError."""
    largest = max((int(numbers.max()) for numbers in labels if len(numbers)), default=0)
    if len(classes) <= largest:
        raise DataError(
            f"{file}: names of the labels 0 to {largest:,}, one a line, expected, {len(classes):,} found: "
            "name the others, too"
        )


def _refuse_one_image(images: Images, where: str) -> None:
    """Refuse one image very many times over, which a file of no size can hold, before each copy is hashed.

    Raises:
        DataError: that is all there is.
    """
    # a sample tells real images from the first one at once
    sample = images[:: max(1, len(images) // 1_000)]
    if len(images) < ALIKE or not bool((sample == images[0]).all()):
        return
    if all(bool((images[row : row + ALIKE] == images[0]).all()) for row in range(0, len(images), ALIKE)):
        raise DataError(f"{where}: images that differ expected, the same one {len(images):,} times found")


def _alike(classes: Sequence[str]) -> list[str]:
    """A sentence on classes whose names one may take for the same, where there are such."""
    called: dict[str, list[str]] = {}
    for name in classes:
        called.setdefault(" ".join(name.casefold().split()), []).append(repr(name))
    alike = [" and ".join(names) for names in called.values() if len(names) > 1]
    if not alike:
        return []
    shown = ", ".join(alike[:5]) + (" …" if len(alike) > 5 else "")
    return [f"{shown} are classes of their own, though capital letters or blanks alone tell them apart"]


def _like_missing(classes: Sequence[str]) -> list[str]:
    """A sentence on a class that is called as a missing value is written, where there is one."""
    found = [name for name in classes if name.lower() in LIKE_MISSING]
    if not found:
        return []
    return [f"{found[0]!r} is taken for the name of a class; where it stands for no label, leave such images out"]


def _numbers(labels: Sequence[Labels]) -> tuple[str, ...]:
    largest = max((int(numbers.max()) for numbers in labels if len(numbers)), default=0)
    return tuple(str(number) for number in range(max(2, largest + 1)))
