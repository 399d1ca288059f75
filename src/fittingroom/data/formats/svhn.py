"""SVHN's cropped digits: ``train_32x32.mat``, ``test_32x32.mat``, which SciPy reads.

X   uint8 (32, 32, 3, N), column by column as MATLAB keeps arrays
y   (N, 1), the digits 1 to 10, of which 10 is the digit 0
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.dataset import MAX_SIDE
from fittingroom.data.formats.arrays import alike, as_images, as_labels
from fittingroom.data.formats.gzipped import expansion_limit
from fittingroom.data.formats.splits import Images, Labels, by_part, splits
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError

if TYPE_CHECKING:
    from types import ModuleType

SUFFIXES = (".mat",)
ZERO = 10  # how SVHN writes the digit 0
HDF5 = b"MATLAB 7.3"


def find_mat(path: Path) -> dict[str, Path]:
    """The .mat files by their parts: those of a folder by their names, or the one at ``path``.

    SVHN's ``extra_32x32.mat`` names no part, and is skipped beside the others.

    Raises:
        DataError: two files are the same part.
    """
    if not path.is_dir():
        return by_part([path])
    return by_part([file for file in sorted(path.iterdir()) if file.suffix.lower() in SUFFIXES and file.is_file()])


def svhn_files(path: Path) -> list[Path]:
    """Every file that :func:`read_svhn` reads."""
    return list(find_mat(path).values())


def read_svhn(path: Path) -> Splits:
    """Read one .mat file, or a folder with one for each part.

    Raises:
        DataError: other arrays than SVHN's, a damaged file, SciPy missing.
    """
    files = find_mat(path)
    if not files:
        raise DataError(f"{path}: train_32x32.mat and test_32x32.mat expected, none found")
    read = {part: _read(file) for part, file in files.items()}
    images = alike({part: array for part, (array, _) in read.items()})
    return splits({part: (images[part], labels) for part, (_, labels) in read.items()}, path)


def svhn_blocks(path: Path, rows: int) -> Iterator[Images]:
    """Yield the images of one file as uint8 (up to ``rows``, H, W, 3). The file is read whole: it is compressed so.

    Raises:
        DataError: as :func:`read_svhn`.
    """
    images, _ = _read(path)
    yield from (images[start : start + rows] for start in range(0, len(images), rows))


def _read(path: Path) -> tuple[Images, Labels | None]:
    arrays = _arrays(path)
    images = arrays["X"]
    if images.ndim != 4 or images.shape[2] != 3 or not 1 <= max(images.shape[:2]) <= MAX_SIDE or 0 in images.shape:
        raise DataError(f"{path}: X: images (height, width, 3, N) expected, an array {images.shape} found")
    if "y" not in arrays:
        return as_images(images.transpose(3, 0, 1, 2), f"{path}: X"), None

    numbers = as_labels(arrays["y"], f"{path}: y")
    if ZERO in numbers:
        if numbers.min() < 1 or numbers.max() > ZERO:
            raise DataError(
                f"{path}: y: the digits 1 to 10 expected, 10 for the digit 0, "
                f"{numbers.min()} to {numbers.max()} found: this isn't SVHN's numbering"
            )
        numbers = numbers % ZERO
    return as_images(images.transpose(3, 0, 1, 2), f"{path}: X"), numbers


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays X and, if it is there, y, once their sizes have been checked against the file's."""
    with _opened(path) as (scipy_io, file):
        listed = {name: (shape, kind) for name, shape, kind in scipy_io.whosmat(file)}
        if "X" not in listed:
            found = ", ".join(sorted(listed)[:20]) or "none"
            raise DataError(
                f"{path}: SVHN's arrays X (32×32×3×N) and y expected, found {found}: save other data as .npz"
            )
        for name in listed.keys() & {"X", "y"}:
            shape, kind = listed[name]
            if kind in ("cell", "struct", "object", "function", "opaque", "char", "sparse", "unknown"):
                raise DataError(f"{path}: {name}: an array of numbers expected, {kind} found")
            if math.prod(shape) > expansion_limit(path):
                raise DataError(
                    f"{path}: {name}: claims {math.prod(shape):,} values, which the file can't hold of real data"
                )

        file.seek(0)
        read = scipy_io.loadmat(file, variable_names=[name for name in ("X", "y") if name in listed])
        return {name: np.asarray(read[name]) for name in ("X", "y") if name in read}


@contextmanager
def _opened(path: Path) -> Iterator[tuple["ModuleType", BinaryIO]]:
    """SciPy's reader and the file; whatever is wrong with it, also later in the block, becomes a DataError."""
    try:
        from scipy import io as scipy_io
    except ImportError as error:
        raise DataError(f"{path}: SciPy expected, which reads .mat files, not installed: pip install scipy") from error

    try:
        with path.open("rb") as file:
            if file.read(len(HDF5)) == HDF5:
                raise DataError(f"{path}: a .mat file of version 7 or older expected, 7.3 found: save it with -v7")
            file.seek(0)
            yield scipy_io, file
    except (DataError, MemoryError):
        raise
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error
    except Exception as error:  # a hostile file makes SciPy's parser stumble in any way at all
        raise DataError(f"{path}: a whole .mat file expected, damaged or other content found ({error})") from error
