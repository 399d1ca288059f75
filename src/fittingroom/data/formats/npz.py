"""NumPy's .npz: as Keras names the arrays (``x_train``, ``y_train``, …), or MedMNIST (``train_images``, …)."""

import math
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from fittingroom.data.formats.arrays import alike, as_images, as_labels, rows_of_block
from fittingroom.data.formats.columns import PARTS, class_name, numbered
from fittingroom.data.formats.gzipped import expansion_limit
from fittingroom.data.formats.splits import Images, Labels, read_class_names, splits
from fittingroom.data.large import allocate, fill
from fittingroom.data.preprocessing import Preprocessing
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError
from fittingroom.files.atomic import atomic_write
from fittingroom.files.stand_in import stand_in_at

NAMES = {
    "train": [
        ("x_train", "y_train"),
        ("X_train", "y_train"),
        ("train_images", "train_labels"),
        ("images", "labels"),
        ("x", "y"),
        ("X", "y"),
    ],
    "validation": [
        ("x_val", "y_val"),
        ("X_val", "y_val"),
        ("x_valid", "y_valid"),
        ("X_valid", "y_valid"),
        ("val_images", "val_labels"),
    ],
    "test": [("x_test", "y_test"), ("X_test", "y_test"), ("test_images", "test_labels")],
}
"""The names of (images, labels) that are known for each part."""

WORDS = {
    "images": ("x", "images", "image", "imgs", "img", "data", "dataset", "features"),
    "labels": ("y", "labels", "label", "targets", "target"),
}
"""What arrays are called beside these pairs, with the part before or after it: ``X_dev``, ``trainImages``."""

CLASSES_NAMES = ("classes", "class_names", "label_names")
"""What an array with the names of the classes may be called, in the order of their numbers."""


def npz_files(path: Path) -> list[Path]:
    """Every file that :func:`read_npz` reads: the one at the path, and none of a folder."""
    return [] if path.is_dir() else [path]


def read_npz(path: Path, made: Preprocessing | None = None) -> Splits:
    """Read the parts of an .npz file, grey or in colour.

    Labels are whole numbers, whose names may stand in an array ``classes`` or ``class_names``, or they are the names
    themselves. Nothing in the file is executed: arrays of Python objects are refused.

    Args:
        path: of the file.
        made: what to make of images of more than 256 pixels a side; None refuses them.

    Raises:
        DataError: no or a damaged .npz, arrays of unknown names, values that aren't images and labels.
    """
    with opened_npz(path) as archive:
        return _read(archive, path, made)


def npz_blocks(path: Path, rows: int) -> Iterator[Images]:
    """Yield the images of all parts as uint8 (up to ``rows``, H, W[, 3]), never holding more than one block in memory.

    Only an array that is stored column by column is read whole.

    Raises:
        DataError: as :func:`read_npz`.
    """
    with opened_npz(path) as archive:
        for images, _ in _array_names(names_in(archive), path).values():
            with _opened(archive, images, path) as (file, shape, in_columns, dtype):
                # an image's values are not beside each other where columns come first
                if in_columns or len(shape) < 3:
                    whole = as_images(read_array(archive, images, path), f"{path}: {images}")
                    yield from (whole[start : start + rows] for start in range(0, len(whole), rows))
                    continue

                rows = rows_of_block(rows, shape, dtype)
                for start in range(0, shape[0], rows):
                    block = min(rows, shape[0] - start), *shape[1:]
                    values = np.frombuffer(file.read(math.prod(block) * dtype.itemsize), dtype)
                    yield as_images(values.reshape(block), f"{path}: {images}")


@contextmanager
def opened_npz(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open the file; whatever is wrong with it, also later in the block, becomes a DataError."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (DataError, MemoryError):
        raise
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error
    except Exception as error:  # a hostile file makes zip and NumPy's header parser stumble in any way at all
        found = stand_in_at(path) or f" ({error})"
        raise DataError(f"{path}: a whole .npz file expected, damaged or other content found{found}") from error


def write_npz(path: Path, data: Splits) -> None:
    """Write the parts under Keras's names, and the class names as ``classes``; whole or not at all.

    Raises:
        OSError: the file can't be written.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for suffix, part in (("train", data.train), ("val", data.validation), ("test", data.test)):
        if part is None:
            continue
        arrays[f"x_{suffix}"] = part.images
        if part.labels is not None:
            arrays[f"y_{suffix}"] = part.labels
            arrays["classes"] = np.array(part.classes)
    with atomic_write(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # taken for its option allow_pickle


def _read(archive: zipfile.ZipFile, path: Path, made: Preprocessing | None) -> Splits:
    names = names_in(archive)
    images: dict[str, Images] = {}
    found: dict[str, NDArray[Any] | None] = {}
    where: dict[str, str] = {}
    for part, (of_images, of_labels) in _array_names(names, path).items():
        images[part] = as_images(read_array(archive, of_images, path), f"{path}: {of_images}")
        found[part] = read_array(archive, of_labels, path) if of_labels in names else None
        where[part] = f"{path}: {of_labels}"

    listed = next((name for name in CLASSES_NAMES if name in names), None)
    classes = None if listed is None else _text(read_array(archive, listed, path), f"{path}: {listed}")
    labels, in_order = labels_of_parts(found, where, path, None if classes is None else list(map(class_name, classes)))
    read = {name for pair in _array_names(names, path).values() for name in pair} | {listed}
    notes = _unread(names, [name for name in read if name], path)
    parts = {part: (array, labels[part]) for part, array in alike(images).items()}
    return splits(parts, path, in_order, notes=notes, made=made)


def labels_of_parts(
    found: Mapping[str, NDArray[Any] | None], where: Mapping[str, str], path: Path, classes: list[str] | None
) -> tuple[Mapping[str, Labels | None], Sequence[str] | None]:
    """The labels of each part as numbers, and the names of the classes, where there are any."""
    are_names = any(values is not None and values.dtype.kind in "US" for values in found.values())
    if not are_names:
        numbers = {part: None if array is None else as_labels(array, where[part]) for part, array in found.items()}
        return numbers, classes
    names = {part: None if array is None else _text(array, where[part]) for part, array in found.items()}
    return numbered(names, str(path), classes or read_class_names(path.parent))


def names_in(archive: zipfile.ZipFile) -> set[str]:
    """Give the names of the arrays in an archive."""
    return {name.removesuffix(".npy") for name in archive.namelist()}


def _array_names(there: Collection[str], path: Path) -> dict[str, tuple[str, str]]:
    """The names of images and labels of each part, among those of the arrays that are there."""
    pairs = {}
    for part, known in NAMES.items():
        of_images, of_labels = _called(there, part, "images"), _called(there, part, "labels")
        pair = next((pair for pair in known if pair[0] in there), None)
        if pair and pair[1] in there:
            pairs[part] = pair
        elif pair or of_images:
            pairs[part] = pair[0] if pair else of_images, of_labels or (pair[1] if pair else "")
    if not pairs:
        raise DataError(
            f"{path}: arrays called x_train and y_train, or train_images and train_labels, expected; "
            f"found {', '.join(sorted(there)[:20]) or 'none'}: "
            "np.savez(path, x_train=…, y_train=…) gives them their names"
        )
    return pairs


def _called(there: Collection[str], part: str, what: str) -> str:
    """The array of a part by the words of its name, in any order and case; "" where none or several are called so."""
    words = [word for word, of in PARTS.items() if of == part]
    known = {f"{a}{b}" for word in words for name in WORDS[what] for a, b in ((word, name), (name, word))}
    known |= set(WORDS[what]) if part == "train" else set()
    found = [name for name in there if re.sub(r"[\W_]", "", name.lower()) in known]
    return found[0] if len(found) == 1 else ""


def _unread(there: Collection[str], read: Collection[str], path: Path) -> list[str]:
    """A sentence on the arrays that are nothing that is known, where there are any."""
    others = sorted(name for name in there if name not in read)
    if not others:
        return []
    more = f" and {len(others) - 10:,} more" if len(others) > 10 else ""
    return [f"arrays of {path.name} that are not read: {', '.join(others[:10])}{more}"]


def read_array(archive: zipfile.ZipFile, name: str, path: Path) -> NDArray[Any]:
    """Read one array of an archive, once its size has been checked against the file's.

    Raises:
        DataError: a header that can't be true, Python objects, fewer values than the header says.
    """
    with _opened(archive, name, path) as (file, shape, in_columns, dtype):
        values = allocate((math.prod(shape),), dtype)
        if fill(values, file) < values.nbytes:
            raise DataError(f"{path}: {name}: fewer values found than its header says: the file is damaged")
    return values.reshape(shape, order="F" if in_columns else "C")


@contextmanager
def _opened(
    archive: zipfile.ZipFile, name: str, path: Path
) -> Iterator[tuple[IO[bytes], tuple[int, ...], bool, np.dtype[Any]]]:
    """One array's file at its first value, after seeing that header, size and the size of the whole fit together."""
    where = f"{path}: {name}"
    member = archive.getinfo(f"{name}.npy")
    if member.file_size > expansion_limit(path):
        raise DataError(f"{where}: claims {member.file_size:,} bytes, which the file can't hold of real data")

    with archive.open(member) as file:
        yield file, *checked_header(file, member.file_size, where)


def checked_header(file: IO[bytes], size: int, where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """(shape, whether columns come first, type) of an array of numbers that has ``size`` bytes with its header.

    Raises:
        DataError: Python objects, or another size than the header says.
    """
    version = npy.read_magic(file)
    shape, in_columns, dtype = npy.read_array_header_1_0(file) if version == (1, 0) else npy.read_array_header_2_0(file)
    if dtype.hasobject:
        raise DataError(
            f"{where}: an array of numbers expected, Python objects found, which could run code: "
            "save it again as a plain array"
        )

    # the file and the array's own header each claim a size: memory is taken only where they agree
    expected = file.tell() + dtype.itemsize * math.prod(shape)
    if expected != size:
        raise DataError(f"{where}: {expected:,} bytes expected by its header, {size:,} found")
    return shape, in_columns, dtype


def _text(values: NDArray[Any], where: str) -> NDArray[np.str_]:
    """An array of text, or of text as bytes, as text (N,)."""
    column = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if column.dtype.kind not in "US" or column.ndim != 1:
        raise DataError(f"{where}: text (N,) expected, {values.dtype} {values.shape} found")
    try:
        return np.char.decode(column, "utf-8") if column.dtype.kind == "S" else column
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: text in UTF-8 expected, other bytes found") from error
