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
from fittingroom.data.picture_file import LARGEST_FILE, probe_picture, probe_size
from fittingroom.data.preprocessing import DEFAULT_SIDE, MAX_SIDE, Preprocessing, SeenPicture, see_picture
from fittingroom.environment import cores
from fittingroom.errors import DataError

FIRST_SAMPLE = 20  # pictures whose colours are looked at
SAMPLE = 500  # the same, where the first are all grey
LARGE_FILE = 32 << 20  # bytes; of larger ones no two are in memory at once
OF_SIZES = "pictures of"  # begins the note on what becomes of pictures of several sizes

SHOWN = 20  # pictures that a note names
MANY_BROKEN = 1_000  # pictures that can't be read, after which the others are tried only if some could be
CHUNK = 16  # pictures that a thread takes at once: to hand over small ones one by one takes longer than to decode them

SIZE_HINT = "size = [height, width] sets another"  # ends a note on what was decided, and says how to decide otherwise
GREY_HINT = "channels = 1 makes all of them grey"
COLOUR_HINT = "channels = 3 keeps their colour"

Decoding = Callable[[str, int, int], None]
"""Follows the decoding: what is read, how many of its pictures are, and how many there are."""

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
        greyed: the coloured ones that were made grey.
    """

    images: Images
    is_good: NDArray[np.bool_]
    sources: list[bytes]
    broken: dict[Path, str]
    greyed: list[Path]


def decode(
    files: Sequence[Path], preprocessing: Preprocessing, report: Callable[[int, int], None] = lambda _done, _all: None
) -> Decoded:
    """Read all pictures by a record that has size and channels, on all cores.

    Args:
        files: of the pictures.
        preprocessing: what to make of each.
        report: receives, now and then, how many are done, and how many there are.
    """
    assert preprocessing.size is not None, "resolve gives it"
    shape = (*preprocessing.size, 3) if preprocessing.channels == 3 else preprocessing.size
    images = allocate((len(files), *shape), np.uint8)
    is_good = np.ones(len(files), dtype=bool)
    sources: list[bytes] = []
    broken: dict[Path, str] = {}
    greyed: list[Path] = []

    def read(file: Path) -> tuple[SeenPicture, bytes]:
        return _with_content(file, lambda content: read_with_source(content, str(file), preprocessing))

    for file, found in zip(files, each(read, files), strict=True):
        if isinstance(found, DataError):
            is_good[len(broken) + len(sources)] = False
            broken[file] = str(found)
            if len(broken) >= MANY_BROKEN:
                refuse_all_broken(list(broken.values()), len(sources), files[0].parent)
        else:
            picture, source = found
            images[len(sources)] = picture.image
            sources.append(source)
            greyed += [file] if picture.lost_colour else []
        if (done := len(sources) + len(broken)) % CHUNK == 0 or done == len(files):
            report(done, len(files))
    return Decoded(images[: len(sources)], is_good, sources, broken, greyed)


def read_with_source(content: bytes, where: str, preprocessing: Preprocessing) -> tuple[SeenPicture, bytes]:
    """What is made of a picture's bytes, and the SHA-256 of these, which no decoder changes.

    Raises:
        DataError: no picture, or a damaged one.
    """
    return see_picture(content, where, preprocessing), hashlib.sha256(content).digest()


def refuse_broken(broken: Sequence[str], count: int, where: Path, *, may_skip: bool = True) -> None:
    """Raise one error for all pictures of a data set that can't be read.

    Args:
        broken: the message of each.
        count: how many pictures there are.
        where: they lie.
        may_skip: whether whoever reads them could go on without these, which is said then.

    Raises:
        DataError: there are any.
    """
    if len(broken) == 1:
        raise DataError(broken[0] + ("; `skip_broken=True` leaves it out" if may_skip else ""))
    if broken:
        lines = "\n  ".join(broken)
        way_on = " (`skip_broken=True` leaves them out)" if may_skip else ""
        raise DataError(f"{where}: {len(broken):,} of {count:,} pictures can't be read{way_on}:\n  {lines}")


def refuse_all_broken(broken: Sequence[str], good: int, where: Path) -> None:
    """Raise an error once very many pictures can't be read, and hardly any can: the others won't be better.

    Args:
        broken: the messages of those that can't, so far.
        good: how many can.
        where: they lie.

    Raises:
        DataError: with the first of the messages.
    """
    if len(broken) >= MANY_BROKEN and good < len(broken) // MANY_BROKEN:
        lines = "\n  ".join(broken[:SHOWN])
        raise DataError(
            f"{where}: of its first {len(broken) + good:,} pictures {len(broken):,} can't be read; the first are\n  "
            f"{lines}"
        )


def greyed_note(greyed: Sequence[str], count: int, asked: Preprocessing) -> list[str]:
    """What to say of coloured pictures that were made grey, whether that was asked for or decided by a sample.

    Args:
        greyed: the name of each.
        count: how many pictures there are, in all parts.
        asked: what was asked for.
    """
    if not greyed:
        return []
    if asked.channels is not None:
        return [f"made grey: {len(greyed):,} of {count:,} pictures, which are in colour"]
    more = f" and {len(greyed) - SHOWN:,} more" if len(greyed) > SHOWN else ""
    return [
        f"made grey, though in colour: {len(greyed):,} of {count:,} pictures, as those that were looked at are grey; "
        f"{COLOUR_HINT}: {', '.join(greyed[:SHOWN])}{more}"
    ]


def without_decisions(notes: Sequence[str], asked: Preprocessing) -> list[str]:
    """The notes without those on what was decided, where it had been asked for: they are from another reading."""
    hints = [] if asked.size is None else [SIZE_HINT]
    hints += [] if asked.channels is None else [GREY_HINT]
    return [note for note in notes if not any(hint in note for hint in hints)]


def common_channels(coloured: Sequence[bool]) -> tuple[int, list[str]]:
    """3 where any of the pictures looked at is coloured, and what to say about it if not all of them are."""
    if all(coloured) or not any(coloured):
        return 3 if any(coloured) else 1, []
    return 3, [
        f"read in colour, as {sum(coloured):,} of {len(coloured):,} pictures looked at "
        f"{'is' if sum(coloured) == 1 else 'are'} coloured; {GREY_HINT}"
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
        f"{OF_SIZES} {what} become {DEFAULT_SIDE}×{DEFAULT_SIDE} (resize = {asked.resize}); {SIZE_HINT}"
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
        _refuse_large_file(file)
        with file.open("rb") as stream:
            return probe_size(stream, str(file))
    except OSError as error:
        raise DataError(f"{file}: can't be read: {error.strerror}") from error


def _is_coloured(file: Path) -> bool:
    return _with_content(file, lambda content: probe_picture(content, str(file)).is_colour)


def _with_content(file: Path, use: Callable[[bytes], Result]) -> Result:
    """What is made of a file's content; large ones, and what is decoded of them, one at a time."""
    try:
        size = _refuse_large_file(file)
        with _large if size > LARGE_FILE else nullcontext():
            return use(file.read_bytes())
    except OSError as error:
        raise DataError(f"{file}: can't be read: {error.strerror}") from error


def _refuse_large_file(file: Path) -> int:
    """The size of the file in bytes. Raises OSError, and DataError for one that no picture has."""
    size = file.stat().st_size
    if size > LARGEST_FILE:
        raise DataError(f"{file}: a picture of at most {LARGEST_FILE:,} bytes expected, {size:,} found")
    return size


def each(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result | DataError]:
    """What the function gives for each item, in order, or its error. Pillow decodes outside Python's lock."""

    def tried(item: Item) -> Result | DataError:
        try:
            return function(item)
        except DataError as error:
            # Its traceback would keep alive what was decoded so far, of all broken pictures together; and so would that
            # of its cause, as its frames refer to it.
            chained: BaseException | None = error
            while chained is not None:
                chained.__traceback__ = None
                chained = chained.__context__
            error.__cause__ = error.__context__ = None
            return error

    def tried_all(chunk: Sequence[Item]) -> list[Result | DataError]:
        return [tried(item) for item in chunk]

    # few large pictures are shared out evenly all the same
    size = max(1, min(CHUNK, len(items) // (8 * cores())))
    chunks = [items[start : start + size] for start in range(0, len(items), size)]
    pool = ThreadPoolExecutor(cores(), thread_name_prefix="pictures")
    try:
        for results in pool.map(tried_all, chunks):
            yield from results
    finally:
        pool.shutdown(cancel_futures=True)  # whoever wants no more of them need not wait for the rest
