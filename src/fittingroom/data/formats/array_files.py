"""A folder of NumPy's arrays in files of their own: ``x_train.npy`` and ``y_train.npy``, ``k49-train-imgs.npz``."""

import math
import re
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fittingroom.data.formats.arrays import alike, as_images
from fittingroom.data.formats.gzipped import open_bytes
from fittingroom.data.formats.npz import WORDS, checked_header, labels_of_parts, names_in, opened_npz, read_array
from fittingroom.data.formats.splits import part_of, splits
from fittingroom.data.large import allocate, fill
from fittingroom.data.preprocessing import Preprocessing
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError
from fittingroom.files.stand_in import stand_in_at

SUFFIXES = (".npy", ".npz")


def array_files(path: Path) -> list[Path]:
    """Every file that :func:`read_array_files` reads; none where train has no images or no labels.

    Raises:
        DataError: two files are the same part of a set.
    """
    return list(_found(path).values())


def read_array_files(path: Path, made: Preprocessing | None = None) -> Splits:
    """Read a folder whose files' names say of which part they are, and whether images or labels.

    Args:
        path: of the folder.
        made: what to make of images of more than 256 pixels a side; None refuses them.

    Raises:
        DataError: a damaged file, one of several arrays, values that aren't images and labels.
    """
    files = _found(path)
    parts = list(dict.fromkeys(part for part, what in files if what == "images"))
    images = {part: as_images(_array(files[part, "images"]), str(files[part, "images"])) for part in parts}
    of_labels = {part: files.get((part, "labels")) for part in parts}
    found = {part: None if file is None else _array(file) for part, file in of_labels.items()}
    labels, classes = labels_of_parts(found, {part: str(file) for part, file in of_labels.items()}, path, None)
    return splits({part: (array, labels[part]) for part, array in alike(images).items()}, path, classes, made=made)


def _found(path: Path) -> dict[tuple[str, str], Path]:
    """The files by part and by what they hold, images or labels."""
    found: dict[tuple[str, str], Path] = {}
    for file in sorted(path.iterdir()) if path.is_dir() else []:
        words = set(re.split(r"[\W_]+", file.stem.lower()))
        what = [what for what, names in WORDS.items() if words & set(names)]
        if file.suffix.lower() not in SUFFIXES or len(what) != 1 or not file.is_file():
            continue

        key = part_of(file.name) or "train", what[0]
        if key in found:
            raise DataError(
                f"{path}: one file of {' '.join(key)} expected, {found[key].name} and {file.name} found: "
                "keep those of one set alone in a folder"
            )
        found[key] = file
    return found if {("train", "images"), ("train", "labels")} <= found.keys() else {}


def _array(file: Path) -> NDArray[Any]:
    """The only array of a file."""
    if file.suffix.lower() == ".npz":
        with opened_npz(file) as archive:
            names = sorted(names_in(archive))
            if len(names) != 1:
                raise DataError(
                    f"{file}: one array expected, found {', '.join(names[:20]) or 'none'}: give each a file of its own"
                )
            return read_array(archive, names[0], file)

    with open_bytes(file) as content:
        try:
            shape, in_columns, dtype = checked_header(content, file.stat().st_size, str(file))
        except (DataError, OSError, MemoryError):
            raise
        except Exception as error:  # a hostile file makes NumPy's header parser stumble in any way at all
            found = stand_in_at(file) or f" ({error})"
            raise DataError(f"{file}: a whole .npy file expected, damaged or other content found{found}") from error
        values = allocate((math.prod(shape),), dtype)
        if fill(values, content) < values.nbytes:
            raise DataError(f"{file}: fewer values found than its header says: the file is damaged")
    return values.reshape(shape, order="F" if in_columns else "C")
