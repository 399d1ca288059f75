"""IDX, the format of MNIST's files: a big-endian header (type, rank, sizes), then the values.

offset 0   0 0          always
offset 2   1 byte       type of the values: 0x08 uint8 … 0x0E float64
offset 3   1 byte       rank
offset 4   4 × rank     the size of each dimension, uint32
then       the values, the last dimension fastest
"""

import gzip
import math
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.dataset import MAX_SIDE, Dataset
from fittingroom.data.formats.arrays import alike, as_images, as_labels, rows_of_block
from fittingroom.data.formats.gzipped import expansion_limit, is_gzip, open_bytes
from fittingroom.data.formats.splits import Images, Labels, part_of, splits
from fittingroom.data.large import allocate, fill
from fittingroom.data.preprocessing import Preprocessing
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError, ImagesTooLarge
from fittingroom.files.atomic import atomic_write
from fittingroom.files.stand_in import LONGEST_START, stand_in

DTYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
STEMS = {"train": "train", "validation": "validation", "test": "t10k"}  # as MNIST's files are called
PART_FILES = re.compile(r"(train|validation|test|t10k)-(images-idx[34]-ubyte|labels-idx1-(ubyte|short))(\.gz)?")
"""The names of the files that :func:`write_idx_part` writes, raw or packed."""

QMNIST_COLUMNS = 8
"""QMNIST has eight whole numbers an image: its class (0–9), and what is known of its writer."""

_NAME = re.compile(r"(?P<stem>.+)-(?P<kind>images|labels)[-.]idx\d+-\w+(\.gz)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class IdxHeader:
    """An IDX file's header.

    Attributes:
        code: of the values' type, a key of :data:`DTYPES`.
        shape: the size of each dimension.
    """

    code: int
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values as they stand in the file, big-endian."""
        return DTYPES[self.code]

    @property
    def size(self) -> int:
        """Bytes of the header, which is where the values begin."""
        return 4 + 4 * len(self.shape)

    @property
    def file_size(self) -> int:
        """Bytes that the whole (decompressed) file must have by this header."""
        return self.size + math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class IdxPair:
    """The files of one part of a data set; ``labels`` is None where only the images are there."""

    images: Path
    labels: Path | None


def read_idx_header(path: Path) -> IdxHeader:
    """Read the header of an IDX file, raw or gzip, and nothing of what follows it.

    Raises:
        DataError: the file can't be read, ends within the header, or is no IDX.
    """
    with open_bytes(path) as file:
        return _read_header(file, path)


def read_idx(path: Path) -> NDArray[Any]:
    """Read the array of an IDX file, raw or gzip, in the machine's byte order.

    Never reads or allocates more than the file can truly hold, whatever the header claims.

    Raises:
        DataError: the file is damaged, or its size isn't exactly what its header says.
    """
    with open_bytes(path) as file:
        header = _read_header(file, path)
        _check_size(header, path)
        try:
            values = allocate(header.shape, header.dtype)
        except (MemoryError, ValueError) as error:
            raise DataError(f"{path}: {header.file_size:,} bytes don't fit into memory") from error

        size = header.size + fill(values, file)
        if size < header.file_size:
            raise DataError(
                f"{path}: {header.file_size:,} bytes expected by its header, {size:,} found: "
                "the file is cut off; get it again"
            )
        # the size of a gzip file is known only once all of it is decompressed
        if file.read(1):
            raise DataError(
                f"{path}: {header.file_size:,} bytes expected by its header, more found: "
                "header and content don't belong together"
            )
    return values.astype(header.dtype.newbyteorder("="), copy=False)


def idx_blocks(path: Path, rows: int) -> Iterator[Images]:
    """Yield the images of an IDX file as uint8 (up to ``rows``, H, W[, 3]), with one block in memory at a time.

    Raises:
        DataError: as :func:`read_idx`, and for a file that holds something else than images.
    """
    with open_bytes(path) as file:
        header = _read_header(file, path)
        _check_size(header, path)
        if not is_images(header) or 0 in header.shape[1:]:
            size = "×".join(map(str, header.shape))
            raise DataError(f"{path}: images (N×H×W or N×H×W×3) expected, {size} found")

        # the header is believed only as far as the file goes: a block at a time
        count = header.shape[0]
        rows = rows_of_block(rows, header.shape, header.dtype)
        for start in range(0, count, rows):
            block = np.empty((min(rows, count - start), *header.shape[1:]), header.dtype)
            if fill(block, file) < block.nbytes:
                raise DataError(f"{path}: {count:,} images expected by its header: the file is cut off; get it again")
            yield as_images(block, str(path))

        if file.read(1):
            raise DataError(f"{path}: {header.file_size:,} bytes expected by its header, more found")


def is_images(header: IdxHeader) -> bool:
    """Whether by its header a file holds images, grey (N×H×W) or in colour (N×H×W×3), and not labels."""
    return len(header.shape) == 3 or (len(header.shape) == 4 and 3 in (header.shape[1], header.shape[3]))


def write_idx(path: Path, array: NDArray[Any]) -> None:
    """Write an array as IDX, whole or not at all; as gzip, always the same bytes, when the name ends in .gz.

    Raises:
        DataError: a type that IDX lacks.
        OSError: the file can't be written.
    """
    big_endian = array.dtype.newbyteorder(">")
    codes = [code for code, dtype in DTYPES.items() if dtype == big_endian]
    if not codes:
        raise DataError(f"{path}: IDX has no type {array.dtype}; it has uint8, int8, int16, int32, float32, float64")
    sizes = np.array(array.shape, ">u4").tobytes()
    content = bytes([0, 0, codes[0], array.ndim]) + sizes + array.astype(big_endian, copy=False).tobytes()
    with atomic_write(path) as file:
        # without name and time, so that equal arrays give equal files
        file.write(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def write_idx_part(folder: Path, part: str, dataset: Dataset) -> None:
    """Write one part as a pair of gzip files, called as MNIST's are.

    Raises:
        DataError: a set without labels.
        OSError: the files can't be written.
    """
    if dataset.labels is None:
        # images without their labels look like a folder that lost a file, and are refused when read
        raise DataError(f"{dataset.name}: labels expected for a folder of IDX files: convert to npz or parquet")
    kind, dtype = ("ubyte", np.uint8) if dataset.num_classes <= 256 else ("short", np.int16)
    write_idx(folder / f"{STEMS[part]}-images-idx{dataset.images.ndim}-ubyte.gz", dataset.images)
    write_idx(folder / f"{STEMS[part]}-labels-idx1-{kind}.gz", dataset.labels.astype(dtype))


def is_idx(path: Path) -> bool:
    """Tell whether a file is meant to be IDX: by its name, or by how its content begins."""
    if _NAME.fullmatch(path.name):
        return True
    with open_bytes(path) as file:
        start = file.read(3)
    return len(start) == 3 and start[:2] == b"\0\0" and start[2] in DTYPES


def find_idx(path: Path) -> dict[str, IdxPair]:
    """Tell which IDX files make up which part of a data set. A raw file goes before its ``.gz``.

    Args:
        path: a folder with pairs of files as MNIST names them (``train-images-idx3-ubyte.gz``; also ``.idx3``,
            ``t10k-`` or ``test-``), or one file, of images or labels, which brings the other one if it lies beside it.

    Returns:
        The pairs by ``train``, ``validation``, ``test``; none for a folder without IDX files.

    Raises:
        DataError: one of a pair is missing.
    """
    if path.is_dir():
        return _pairs_in(path)
    match = _NAME.fullmatch(path.name)
    if match is None:
        return {"train": IdxPair(path, None)}

    stem, is_images = match["stem"], match["kind"].lower() == "images"
    other = _by_stem_and_kind(path.parent).get((stem, "labels" if is_images else "images"))
    if not is_images and other is None:
        raise DataError(f"{path}: labels without images: put the image file beside it")
    images, labels = (path, other) if is_images else (cast("Path", other), path)
    return {part_of(stem) or "train": IdxPair(images, labels)}


def idx_files(path: Path) -> list[Path]:
    """Every file that :func:`read_idx_dataset` reads."""
    return [file for pair in find_idx(path).values() for file in (pair.images, pair.labels) if file is not None]


def read_idx_dataset(path: Path, made: Preprocessing | None = None) -> Splits:
    """Read the data set of a folder of IDX files, or of one file with its pair; see :func:`find_idx`.

    Args:
        path: of the folder or file.
        made: what to make of images of more than 256 pixels a side; None refuses them.

    Raises:
        DataError: damaged or missing files, images given as labels or labels as images.
    """
    pairs = find_idx(path)
    if not pairs:
        raise DataError(f"{path}: IDX files (train-images-idx3-ubyte …) expected, none found")
    for pair in pairs.values():
        _check_pair(pair, any_size=made is not None)

    # zlib works outside Python's lock: the big files are decompressed side by side
    with ThreadPoolExecutor() as pool:
        reading = {part: (pool.submit(read_idx, pair.images), pair) for part, pair in pairs.items()}
        labels = {part: None if pair.labels is None else _labels(pair.labels) for part, pair in pairs.items()}
        images = {part: as_images(future.result(), str(pair.images)) for part, (future, pair) in reading.items()}
    return splits({part: (array, labels[part]) for part, array in alike(images).items()}, path, made=made)


def _labels(path: Path) -> Labels:
    """One label an image; of QMNIST's columns the first, which is the class."""
    values = read_idx(path)
    is_qmnist = values.ndim == 2 and values.shape[1] == QMNIST_COLUMNS
    return as_labels(values[:, 0] if is_qmnist else values, str(path))


def _by_stem_and_kind(folder: Path) -> dict[tuple[str, str], Path]:
    """The folder's IDX files by (stem, kind): ``("train", "images")``, …"""
    files: dict[tuple[str, str], Path] = {}
    for file in sorted(folder.iterdir(), reverse=True):  # so that the raw file, if there, comes after .gz
        match = _NAME.fullmatch(file.name)
        if match is not None and file.is_file():
            files[match["stem"], match["kind"].lower()] = file
    return files


def _pairs_in(folder: Path) -> dict[str, IdxPair]:
    files = _by_stem_and_kind(folder)
    pairs: dict[str, IdxPair] = {}
    for stem in sorted({stem for stem, _ in files}):
        part = part_of(stem) or "train"
        missing = {kind for kind in ("images", "labels") if (stem, kind) not in files}
        if missing:
            kind = missing.pop()
            alone = ", or give the image file alone if there are no labels" if kind == "labels" else ""
            raise DataError(
                f"{folder}: {stem}-images and {stem}-labels expected, {stem}-{kind} is missing: put it there{alone}"
            )

        # such as t10k and test, both of which are the test part
        if part in pairs:
            raise DataError(
                f"{folder}: one set of {part} images expected, {pairs[part].images.name} and "
                f"{files[stem, 'images'].name} found: give the path of one of them"
            )
        pairs[part] = IdxPair(files[stem, "images"], files[stem, "labels"])
    return pairs


def _read_header(file: BinaryIO, path: Path) -> IdxHeader:
    start = file.read(4)
    if len(start) < 4:
        raise DataError(f"{path}: an IDX header of 8 bytes or more expected, {len(start)} bytes found")
    code, rank = start[2], start[3]
    if start[:2] != b"\0\0" or code not in DTYPES:
        raise DataError(
            f"{path}: an IDX file expected, which begins with the bytes 00 00 08 (uint8), {start.hex(' ')} found"
            + (_what_begins_with(start) or stand_in(start + file.read(LONGEST_START)))
        )

    sizes = file.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise DataError(f"{path}: a header of {4 + 4 * rank} bytes expected, {4 + len(sizes)} found: it is cut off")
    return IdxHeader(code, tuple(np.frombuffer(sizes, ">u4").tolist()))


def _what_begins_with(start: bytes) -> str:
    if start.startswith(b"\x1f\x8b"):
        return ": it was compressed twice; decompress it once"
    if start.lstrip().startswith(b"<"):
        return ": this is a web page; download the file itself"
    if start.endswith(b"\0\0"):
        return ": its bytes are in the wrong order (little-endian)"
    return ""


def _check_size(header: IdxHeader, path: Path) -> None:
    """Refuse a header that claims what the file can't hold, before memory is taken for it."""
    size = path.stat().st_size
    if not is_gzip(path):
        if size != header.file_size:
            problem = "it is cut off; get it again" if size < header.file_size else "too long"
            raise DataError(f"{path}: {header.file_size:,} bytes expected by its header, {size:,} found: {problem}")
    elif header.file_size > expansion_limit(path):
        raise DataError(
            f"{path}: its header claims {header.file_size:,} bytes, which {size:,} bytes of gzip can't "
            "hold of real data: the header is wrong"
        )


def _check_pair(pair: IdxPair, *, any_size: bool) -> None:
    """Refuse swapped files and ones that don't belong together by their headers, before reading more."""
    # sizes in bytes are told wherever possible: they are what a user sees in a listing of the folder
    images = read_idx_header(pair.images)
    if len(images.shape) == 1:
        raise DataError(
            f"{pair.images}: images (3 dimensions) expected, {images.shape[0]:,} labels found: "
            "this is the label file; give the image file"
        )
    size = "×".join(map(str, images.shape[1:]))
    if not any_size and max(images.shape[1:], default=0) > MAX_SIDE:
        raise ImagesTooLarge(f"{pair.images}: images of at most {MAX_SIDE} pixels a side expected, {size} found")
    if len(images.shape) == 2:
        raise DataError(
            f"{pair.images}: images (3 dimensions, or 4 in colour) expected, {images.shape[0]:,} rows of {size} found: "
            "these look like labels; give the image file"
        )

    if pair.labels is None:
        return

    # the size that the label file would have, for as many labels as there are images
    labels = read_idx_header(pair.labels)
    expected = IdxHeader(labels.code, images.shape[:1])
    is_qmnist = len(labels.shape) == 2 and labels.shape[1] == QMNIST_COLUMNS
    if len(labels.shape) == 2 and not is_qmnist and labels.shape[1] != 1:
        raise DataError(
            f"{pair.labels}: one label an image expected, {labels.shape[1]} columns found: "
            "keep the column of the classes alone, or QMNIST's eight"
        )
    if len(labels.shape) > 2:
        raise DataError(
            f"{pair.labels}: {expected.file_size:,} bytes expected, {labels.file_size:,} found: "
            "this is the image file; give the labels file"
        )
    if labels.shape[:1] != expected.shape:
        raise DataError(
            f"{pair.labels}: {expected.file_size:,} bytes expected, one label for each image of "
            f"{pair.images.name}, {labels.file_size:,} found: the two don't belong together"
        )
