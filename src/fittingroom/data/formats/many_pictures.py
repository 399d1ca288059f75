"""Many picture files → one array: what is to be made of them, and all of them decoded, on all cores."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.formats.splits import Images
from fittingroom.data.large import allocate
from fittingroom.data.picture_file import probe_picture, probe_size
from fittingroom.data.preprocessing import DEFAULT_SIDE, MAX_SIDE, Preprocessing, read_picture
from fittingroom.environment import cores
from fittingroom.errors import DataError

FIRST_SAMPLE = 20  # pictures whose colours are looked at
SAMPLE = 500  # the same, where the first are all grey
LARGEST_FILE = 256 << 20  # bytes; 50 million pixels have 150 MB without compression
LARGE_FILE = 32 << 20  # bytes; of larger ones no two are in memory at once
OF_SIZES = "pictures of"  # begins the note on what becomes of pictures of several sizes

Item = TypeVar("Item")
Result = TypeVar("Result")

_large = threading.Lock()


def resolve(files: Sequence[Path], asked: Preprocessing) -> tuple[Preprocessing, list[str]]:
    """What to make of these pictures where ``asked`` leaves it open, and what to say about that.

    Pictures of one size up to 256×256 keep it, others become 64×64. They are read in colour if any of up to 500,
    from all over the files, is coloured. Pictures that can't be read have no say.

    Returns:
        ``asked`` with size and channels.
    """
    size, channels = asked.size, asked.channels
    notes: list[str] = []
    if size is None:
        sizes = [found for found in each(_size, files) if not isinstance(found, DataError)]
        size, notes = common_size(sizes, asked)
    if channels is None:
        channels, said = common_channels(_colours(files))
        notes += said
    return asked.resolved_for(size=size, channels=channels, photo=None), notes


def picture_sizes(files: Sequence[Path]) -> list[tuple[int, int] | None]:
    """(height, width) of each picture from the head of its file; None for one that can't be read."""
    return [None if isinstance(found, DataError) else found for found in each(_size, files)]


def other_sizes(files: Sequence[Path], size: tuple[int, int]) -> int:
    """How many of the pictures have another size than this; those that can't be read don't count."""
    return sum(found not in (size, None) for found in picture_sizes(files))


@dataclass(frozen=True, slots=True)
class Decoded:
    """What many picture files hold.

    Attributes:
        images: uint8 (N, H, W) or (N, H, W, 3), of the pictures that could be read.
        is_good: bool (len(files),): which those are.
        sources: SHA-256 of the bytes of each of those, 32 bytes.
        broken: what is wrong with each of the others.
    """

    images: Images
    is_good: NDArray[np.bool_]
    sources: list[bytes]
    broken: dict[Path, str]


def decode(files: Sequence[Path], preprocessing: Preprocessing) -> Decoded:
    """Read all pictures by a record that has size and channels, on all cores."""
    assert preprocessing.size is not None, "resolve gives it"
    shape = (*preprocessing.size, 3) if preprocessing.channels == 3 else preprocessing.size
    images = allocate((len(files), *shape), np.uint8)
    is_good = np.ones(len(files), dtype=bool)
    sources: list[bytes] = []
    broken: dict[Path, str] = {}

    def read(file: Path) -> tuple[Images, bytes]:
        return _with_content(file, lambda content: read_with_source(content, str(file), preprocessing))

    for file, found in zip(files, each(read, files), strict=True):
        if isinstance(found, DataError):
            is_good[len(broken) + len(sources)] = False
            broken[file] = str(found)
        else:
            images[len(sources)], source = found
            sources.append(source)
    return Decoded(images[: len(sources)], is_good, sources, broken)


def read_with_source(content: bytes, where: str, preprocessing: Preprocessing) -> tuple[Images, bytes]:
    """The image that is made of a picture's bytes, and the SHA-256 of these, which no decoder changes.

    Raises:
        DataError: no picture, or a damaged one.
    """
    return read_picture(content, where, preprocessing), hashlib.sha256(content).digest()


def refuse_broken(broken: Sequence[str], count: int, where: Path) -> None:
    """Raise one error for all pictures of a data set that can't be read.

    Args:
        broken: the message of each.
        count: how many pictures there are.
        where: they lie.

    Raises:
        DataError: there are any.
    """
    if len(broken) == 1:
        raise DataError(broken[0])
    if broken:
        lines = "\n  ".join(broken)
        raise DataError(
            f"{where}: {len(broken):,} of {count:,} pictures can't be read (--skip-broken leaves them out):\n  {lines}"
        )


def common_channels(coloured: Sequence[bool]) -> tuple[int, list[str]]:
    """3 where any of the pictures looked at is coloured, and what to say about it if not all of them are."""
    if all(coloured) or not any(coloured):
        return 3 if any(coloured) else 1, []
    return 3, [
        f"read in colour, as {sum(coloured):,} of {len(coloured):,} pictures looked at are coloured; "
        "channels = 1 makes all of them grey"
    ]


def common_size(sizes: Sequence[tuple[int, int]], asked: Preprocessing) -> tuple[tuple[int, int], list[str]]:
    """The size of pictures whose sizes these are, where none is asked for, and what to say about it."""
    counts = Counter(sizes)
    if len(counts) == 1 and max(sizes[0]) <= MAX_SIDE:
        return sizes[0], []
    if not counts:
        return (DEFAULT_SIDE, DEFAULT_SIDE), []

    smallest, largest = ("{}×{}".format(*size) for size in (min(counts, key=_area), max(counts, key=_area)))
    what = f"{len(counts):,} sizes, {smallest} to {largest}," if len(counts) > 1 else smallest
    return (DEFAULT_SIDE, DEFAULT_SIDE), [
        f"{OF_SIZES} {what} become {DEFAULT_SIDE}×{DEFAULT_SIDE} (resize = {asked.resize}); size sets another"
    ]


def _colours(files: Sequence[Path]) -> list[bool]:
    """Whether pictures are coloured: of 20 from all over the files, and where these are grey, of up to 500."""
    for count in (FIRST_SAMPLE, SAMPLE):
        rows = np.unique(np.linspace(0, len(files) - 1, count).astype(np.int64))
        found = [colour for colour in each(_is_coloured, [files[row] for row in rows]) if isinstance(colour, bool)]
        if any(found) or len(rows) == len(files):
            break
    return found


def _area(size: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    return size[0] * size[1], size


def _size(file: Path) -> tuple[int, int]:
    try:
        with file.open("rb") as stream:
            return probe_size(stream, str(file))
    except OSError as error:
        raise DataError(f"{file}: can't be read: {error.strerror}") from error


def _is_coloured(file: Path) -> bool:
    return _with_content(file, lambda content: probe_picture(content, str(file)).is_colour)


def _with_content(file: Path, use: Callable[[bytes], Result]) -> Result:
    """What is made of a file's content; large ones, and what is decoded of them, one at a time."""
    try:
        size = file.stat().st_size
        if size > LARGEST_FILE:
            raise DataError(f"{file}: a picture of at most {LARGEST_FILE:,} bytes expected, {size:,} found")
        with _large if size > LARGE_FILE else nullcontext():
            return use(file.read_bytes())
    except OSError as error:
        raise DataError(f"{file}: can't be read: {error.strerror}") from error


def each(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result | DataError]:
    """What the function gives for each item, in order, or its error. Pillow decodes outside Python's lock."""

    def tried(item: Item) -> Result | DataError:
        try:
            return function(item)
        except DataError as error:
            return error

    with ThreadPoolExecutor(cores(), thread_name_prefix="pictures") as pool:
        yield from pool.map(tried, items)
