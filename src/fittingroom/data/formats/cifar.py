"""CIFAR-10's and CIFAR-100's binary version: a folder, its .tar.gz, or one file of records.

data_batch_1.bin …   CIFAR-10: a byte for the class, then 1,024 bytes of red, of green, of blue, row by row
train.bin            CIFAR-100: a byte for the coarse class, one for the fine class, then the same
batches.meta.txt     the names of the classes, one a line; fine_label_names.txt for CIFAR-100

The "python version" is pickled Python, which runs whatever is in it: it is never opened.
"""

import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.formats.gzipped import ALWAYS_ALLOWED, open_bytes
from fittingroom.data.formats.splits import Images, Labels, splits
from fittingroom.data.large import allocate
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError

SUFFIXES = (".tar.gz", ".tgz")
SIDE = 32
PIXELS = 3 * SIDE * SIDE  # bytes of an image
RECORDS = 10_000  # that are read at once
LARGEST_TEXT = 1 << 16  # bytes
BLOCK = 512  # bytes; what an archive is made of
MOST_EXPANSION = 20  # photographs hardly shrink; the real archives shrink by a tenth
WITH_CONTENT = (
    *tarfile.REGULAR_TYPES,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)

PICKLED = re.compile(r"data_batch_\d+|test_batch|batches\.meta|train|test|meta")
"""The files of the "python version"."""

_BATCH = re.compile(r"(?:data_batch_(\d+)|(test)_batch|(train)|(test))\.bin")
_NAMES = {"batches.meta.txt": 1, "fine_label_names.txt": 2}  # by the bytes that stand before an image


class Readable(Protocol):
    """What bytes can be read from."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; none at the end."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """The records of one file.

    Attributes:
        name: of the file.
        labels: bytes before each image, 1 (CIFAR-10) or 2 (CIFAR-100), the last of which is the class.
        records: uint8 (N, labels + 3,072).
    """

    name: str
    labels: int
    records: NDArray[np.uint8]


def is_cifar(path: Path) -> bool:
    """Whether a file is called as one of CIFAR's is, of the binary version or of the pickled one."""
    return bool(_BATCH.fullmatch(path.name) or re.fullmatch(r"data_batch_\d+|test_batch|batches\.meta", path.name))


def cifar_files(path: Path) -> list[Path]:
    """Every file that :func:`read_cifar` reads; none of a folder without CIFAR's files.

    Raises:
        DataError: a folder with the pickled version.
    """
    if not path.is_dir():
        return [path, *(path.parent / name for name in _NAMES if _is_batch(path) and (path.parent / name).is_file())]
    there = sorted(entry for entry in path.iterdir() if entry.is_file())
    batches = [file for file in there if _BATCH.fullmatch(file.name)]
    if batches:
        return [*sorted(batches, key=_order), *(file for file in there if file.name in _NAMES)]

    # folders called train and test are pictures; only files are the pickled version, and meta goes with them
    names = {file.name for file in there}
    if "batches.meta" in names or "data_batch_1" in names or {"train", "meta"} <= names:
        raise DataError(_way_out(path))
    return []


def read_cifar(path: Path) -> Splits:
    """Read the folder, the archive, or one file of the binary version; images are in colour, 32×32.

    CIFAR-100 is read with its 100 fine classes. An archive is read in memory: nothing of it is written anywhere.

    Raises:
        DataError: other or damaged files, and the pickled "python version".
    """
    parts: dict[str, list[_Batch]] = {}
    names: dict[int, tuple[str, ...]] = {}
    for batch in _contents(path, names):
        parts.setdefault(_part_of(batch.name), []).append(batch)
    if not parts:
        raise DataError(f"{path}: data_batch_1.bin … or train.bin expected, none found: get CIFAR's binary version")

    kinds = {batch.labels for batches in parts.values() for batch in batches}
    if len(kinds) > 1:
        raise DataError(f"{path}: files of CIFAR-10 or of CIFAR-100 expected, both found: keep them apart")
    return splits(
        {part: _images_and_labels(batches) for part, batches in sorted(parts.items(), reverse=True)},
        path,
        names.get(kinds.pop()),
    )


def cifar_blocks(path: Path, rows: int) -> Iterator[Images]:
    """Yield the images of one file or archive as uint8 (up to ``rows``, 32, 32, 3).

    Raises:
        DataError: as :func:`read_cifar`.
    """
    is_empty = True
    for batch in _contents(path, {}):
        for start in range(0, len(batch.records), rows):
            is_empty = False
            yield _images(batch.records[start : start + rows], batch.labels)
    if is_empty:
        raise DataError(f"{path}: data_batch_1.bin … or train.bin expected, none found: get CIFAR's binary version")


def _images_and_labels(batches: Sequence[_Batch]) -> tuple[Images, Labels]:
    """All images and labels of a part; each batch is dropped as soon as its images are laid out."""
    images = allocate((sum(len(batch.records) for batch in batches), SIDE, SIDE, 3), np.uint8)
    labels = np.concatenate([batch.records[:, batch.labels - 1] for batch in batches]).astype(np.int64)
    row = 0
    for batch in batches:
        images[row : row + len(batch.records)] = _images(batch.records, batch.labels)
        row += len(batch.records)
    return images, labels


def _images(records: NDArray[np.uint8], labels: int) -> Images:
    return records[:, labels:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)


def _contents(path: Path, names: dict[int, tuple[str, ...]]) -> Iterator[_Batch]:
    """The batches in their order; names of classes go into ``names``, by the bytes before an image."""
    if not path.is_dir() and path.name.lower().endswith(SUFFIXES):
        yield from _archive(path, names)
        return
    if not path.is_dir() and not _is_batch(path):
        raise DataError(_way_out(path))

    files = cifar_files(path)
    for file in files:
        if file.name in _NAMES:
            with open_bytes(file) as stream:
                names[_NAMES[file.name]] = _class_names(stream, str(file))
    for file in files:
        if _is_batch(file):
            with open_bytes(file) as stream:
                yield _batch(stream, file.name, file.stat().st_size, str(file))


def _archive(path: Path, names: dict[int, tuple[str, ...]]) -> Iterator[_Batch]:
    """The batches of an archive, which is read once from its start: members by name, in memory."""
    batches: dict[str, _Batch] = {}
    others = []
    with open_bytes(path) as file:
        for name, member in _members(_Limited(file, path), path):
            where = f"{path}: {name}"
            if name in batches:
                raise DataError(f"{where}: one file of that name expected, two found")
            if _BATCH.fullmatch(name):
                batches[name] = _batch(member, name, member.left, where)
            elif name in _NAMES:
                names[_NAMES[name]] = _class_names(member, where)
            else:
                others.append(name)

    if not batches and any(PICKLED.fullmatch(name) for name in others):
        raise DataError(_way_out(path))
    if not batches:
        found = ", ".join(others[:5]) or "no files"
        raise DataError(
            f"{path}: CIFAR's binary version (data_batch_1.bin … or train.bin) expected, {found} found: "
            "unpack an archive of anything else, and give the folder"
        )
    yield from (batches[name] for name in sorted(batches, key=lambda name: _order(Path(name))))


class _Limited:
    """A stream that may not decompress to more than photographs can."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        self._left = self._limit = max(ALWAYS_ALLOWED, MOST_EXPANSION * path.stat().st_size)

    def read(self, size: int) -> bytes:
        content = self._file.read(min(size, self._left + 1))
        self._left -= len(content)
        if self._left < 0:
            raise DataError(f"{self._path}: at most {self._limit:,} bytes expected when decompressed, more found")
        return content


class _Member:
    """The content of a file in an archive: ``left`` bytes of the stream, of which no more is read than comes."""

    def __init__(self, stream: _Limited, size: int) -> None:
        self._stream, self.left = stream, size

    def read(self, size: int) -> bytes:
        content = self._stream.read(min(size, self.left))
        self.left -= len(content)
        return content


def _members(stream: _Limited, path: Path) -> Iterator[tuple[str, _Member]]:
    """The last part of the name, and the content, of each plain file of a tar archive. Others are skipped.

    Not with :mod:`tarfile`, which reads whatever describes a file into memory, however long it claims to be.

    Raises:
        DataError: no tar archive, or one that is cut off.
    """
    while (header := stream.read(BLOCK)) and any(header):
        try:
            described = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise DataError(f"{path}: a whole .tar.gz archive expected, damaged or other content found") from error

        member = _Member(stream, described.size if described.type in WITH_CONTENT else 0)
        padding = -member.left % BLOCK
        if described.type in tarfile.REGULAR_TYPES:
            yield Path(described.name).name, member

        # what was not asked for is read all the same, in small pieces
        while member.left and member.read(1 << 20):
            pass
        if member.left or len(stream.read(padding)) < padding:
            raise DataError(f"{path}: {described.name}: the archive ends within it: it is cut off; get it again")

    # the checksum of gzip stands at its end
    while stream.read(1 << 20):
        pass


def _batch(stream: Readable, name: str, size: int, where: str) -> _Batch:
    """The records of a file of ``size`` bytes, of which no more is believed than comes."""
    labels = 1 if "batch" in name else 2
    record = labels + PIXELS
    if size <= 0 or size % record:
        kind = "CIFAR-10" if labels == 1 else "CIFAR-100"
        raise DataError(
            f"{where}: a multiple of {record:,} bytes expected, an image of {kind} each, {size:,} found: "
            "the file is cut off, or of another kind"
        )

    content = bytearray()
    while block := stream.read(RECORDS * record):
        content += block
    if len(content) != size:
        raise DataError(f"{where}: {size:,} bytes expected, {len(content):,} found: the file is cut off; get it again")
    return _Batch(name, labels, np.frombuffer(content, np.uint8).reshape(-1, record))


def _class_names(stream: Readable, where: str) -> tuple[str, ...]:
    content = stream.read(LARGEST_TEXT + 1)
    if len(content) > LARGEST_TEXT:
        raise DataError(f"{where}: the names of the classes expected, more than {LARGEST_TEXT:,} bytes found")
    try:
        return tuple(name.strip() for name in content.decode("utf-8-sig").splitlines() if name.strip())
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: class names, one a line in UTF-8, expected; {error}") from error


def _is_batch(path: Path) -> bool:
    return _BATCH.fullmatch(path.name) is not None


def _part_of(name: str) -> str:
    return "test" if name.startswith("test") else "train"


def _order(path: Path) -> tuple[int, str]:
    match = _BATCH.fullmatch(path.name)
    return (int(match[1]) if match and match[1] else 0, path.name)


def _way_out(path: Path) -> str:
    return (
        f'{path}: CIFAR\'s binary version expected, its pickled "python version" found, which could run code when it '
        "is opened: get cifar-10-binary.tar.gz or cifar-100-binary.tar.gz from the same page, "
        "https://www.cs.toronto.edu/~kriz/cifar.html, and give that file or its folder"
    )
