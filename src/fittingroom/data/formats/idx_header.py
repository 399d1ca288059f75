"""An IDX file's header, field by field with offsets: what ``fittingroom data header`` prints."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fittingroom.data.formats.gzipped import is_gzip, open_bytes
from fittingroom.data.formats.idx import QMNIST_COLUMNS, IdxHeader, read_idx_header

FIRST_VALUES = 8
BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the header.

    Attributes:
        offset: where it stands in the (decompressed) file, in bytes.
        type: of its value.
        bytes: in hexadecimal, as they stand in the file.
        value: what they say, as text.
        meaning: what that means.
    """

    offset: int
    type: str
    bytes: str
    value: str
    meaning: str


@dataclass(frozen=True, slots=True)
class HeaderReport:
    """A header and what it says of its file.

    Attributes:
        fields: of the header, and the first values behind it.
        what: what the file holds.
        is_gzip: whether it was decompressed.
        expected: bytes that the (decompressed) file has by its header.
        found: bytes that it has; where it is gzip, counted no further than one more than expected.
    """

    fields: tuple[Field, ...]
    what: str
    is_gzip: bool
    expected: int
    found: int

    @property
    def matches(self) -> bool:
        """Whether the file has exactly the size that its header claims."""
        return self.expected == self.found

    @property
    def size_found(self) -> str:
        """The size found, for people: ``47,040,016``, or ``more``."""
        return "more" if self.is_gzip and self.found > self.expected else f"{self.found:,}"

    @property
    def verdict(self) -> str:
        """Whether header and size agree, for people."""
        if self.matches:
            return "they match"
        return "the file is cut off" if self.found < self.expected else "header and content don't belong together"


def report_header(path: Path) -> HeaderReport:
    """Read the header of an IDX file, raw or gzip, its first values, and its size.

    A size that does not match is part of the report.

    Raises:
        DataError: the file can't be read, or is no IDX.
    """
    header = read_idx_header(path)
    with open_bytes(path) as file:
        start = file.read(header.size + FIRST_VALUES * header.dtype.itemsize)

        # the size of a gzip file is known only once all of it is decompressed, and a bomb has no end
        found = len(start)
        while found <= header.file_size and (block := file.read(min(BLOCK, header.file_size + 1 - found))):
            found += len(block)

    packed = is_gzip(path)
    return HeaderReport(
        fields=(*_header_fields(header, start), _first_values(header, start[header.size :])),
        what=_what(header),
        is_gzip=packed,
        expected=header.file_size,
        found=found if packed else path.stat().st_size,
    )


def _header_fields(header: IdxHeader, start: bytes) -> list[Field]:
    rank = len(header.shape)
    magic = f"magic number: values {header.dtype.name}, {rank} dimension{'s' * (rank != 1)}"

    # other ranks are those of no data set
    sides = ["rows, the height", "columns, the width"]
    names = {1: ["labels"], 3: ["images", *sides]}.get(
        rank, [f"size of dimension {number}" for number in range(1, rank + 1)]
    )
    if _is_colour(header):
        names = ["images", *sides, "channels, red, green and blue"]
    if _is_qmnist(header):
        names = ["labels", "columns, of which QMNIST's first is the class"]

    offsets = range(0, header.size, 4)
    return [
        Field(offset, "uint32", start[offset : offset + 4].hex(" "), f"{value}", meaning)
        for offset, value, meaning in zip(
            offsets,
            [int.from_bytes(start[:4], "big"), *header.shape],
            [magic, *names],
            strict=True,
        )
    ]


def _first_values(header: IdxHeader, payload: bytes) -> Field:
    whole = len(payload) - len(payload) % header.dtype.itemsize
    values = np.frombuffer(payload[:whole], header.dtype)
    is_pixels = len(header.shape) == 3 or _is_colour(header)
    kind = "labels" if len(header.shape) == 1 else "pixels" if is_pixels else "values"
    return Field(
        header.size,
        header.dtype.name,
        payload.hex(" ", header.dtype.itemsize) if payload else "",
        " ".join(str(value) for value in values.tolist()) or "nothing",
        f"the first {kind}",
    )


def _what(header: IdxHeader) -> str:
    shape = "×".join(f"{size:,}" for size in header.shape)
    match header.shape:
        case (count,):
            return f"{count:,} labels ({header.dtype.name})"
        case (count, height, width):
            return f"{count:,} images of {height}×{width} ({header.dtype.name})"
        case (count, height, width, _) if _is_colour(header):
            return f"{count:,} images of {height}×{width} in colour ({header.dtype.name})"
        case (count, columns) if _is_qmnist(header):
            return f"{count:,} labels in {columns} columns ({header.dtype.name}), as QMNIST has them"
        case _:
            return f"an array {shape} ({header.dtype.name}), neither images nor labels"


def _is_colour(header: IdxHeader) -> bool:
    return len(header.shape) == 4 and header.shape[3] == 3


def _is_qmnist(header: IdxHeader) -> bool:
    return len(header.shape) == 2 and header.shape[1] == QMNIST_COLUMNS
