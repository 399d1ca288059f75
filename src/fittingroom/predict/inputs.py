"""What a user names to be predicted – pictures, folders, patterns, data sets – as blocks of images for the model.

What knows the formats of data sets and folders is imported where one is named: most calls name a picture.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from glob import glob, has_magic
from itertools import groupby, islice
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.picture_file import LARGEST_FILE, SUFFIXES, WHITE, probe_size, read_picture_file
from fittingroom.data.preprocessing import Preprocessing, SeenPicture, read_picture, resize_images
from fittingroom.environment import cores
from fittingroom.errors import DataError
from fittingroom.files.folders import place_of, places_above, refuse_deep
from fittingroom.predict.pictures_for import SeesPictures

PICTURES = 200  # that one block holds
MAX_DECODERS = 4  # pictures that are decoded at once, 150 MB each at the worst
STDIN = "-"
A_NAME = "a file, a folder, a pattern or the name of a known data set"
Decoded = tuple[NDArray[np.uint8], ...] | DataError  # of a picture: what the model sees of it, or why it can't
RESIZED = {  # what a way of resizing does, in words
    "pad": "fitted in, with a border in the colour of their corner",
    "crop": "cut to its proportions around their middle",
    "stretch": "stretched to it",
}


@dataclass(frozen=True)
class Block:
    """Some images as the model takes them, with where each is from.

    Attributes:
        images: uint8 (N, H, W) or, in colour, (N, H, W, 3).
        files: of each.
        rows: of each in its file, from 0; None for pictures.
        originals: the pictures before anything was done to them but to make them small, uint8 (N, H', W', 3); None for
            data sets, and where nobody asked for them.
    """

    images: NDArray[np.uint8]
    files: list[str]
    rows: list[int] | list[None]
    originals: NDArray[np.uint8] | None = None


class Notes:
    """What is worth knowing of how images are made ready for a model, each said once and only where it happens.

    Args:
        model: that the images are for.
        say: receives a sentence.
    """

    def __init__(self, model: SeesPictures, say: Callable[[str], None]):
        artifact = model.artifact
        height, width = artifact.image_size
        self._shape, self._say, self._lock = model.image_shape, say, Lock()

        # The conversion of product photos takes any size and colour: it was made for them.
        self._converts_photos = artifact.preprocessing.photo != "none"
        was_recorded = bool(artifact.data.get("pictures", False))
        self._minds_size = not (self._converts_photos or was_recorded)

        unknown = ""
        if self._minds_size:
            unknown = "the model was trained on arrays, and how pictures became these isn't known; "
        if artifact.format == 1:
            unknown = "a run of fittingroom 0.1 doesn't say how its pictures were prepared; "
        how = RESIZED[artifact.preprocessing.resize]
        self._of_size = f"{unknown}images of another size than {height}×{width} are {how}"
        self._of_colour = "the model was trained on grey images; coloured ones are made grey"
        if artifact.channels == 3:
            self._of_colour = ""

    @property
    def minds_colour(self) -> bool:
        """Whether there is something to say, still, of a picture that loses its colour."""
        return bool(self._of_colour) and not self._converts_photos

    def of_picture(self, picture: SeenPicture) -> None:
        """Say what there is to say of a picture that was read."""
        if not self._converts_photos:
            self._of_image(picture.size if self._minds_size else self._shape[:2], is_colour=picture.lost_colour)

    def of_arrays(self, images: NDArray[np.uint8]) -> None:
        """The same of a data set's images."""
        self._of_image(images.shape[1:3], is_colour=images.ndim == 4)

    def _of_image(self, size: tuple[int, ...], *, is_colour: bool) -> None:
        with self._lock:  # pictures are decoded by several threads
            if self._of_size and size != self._shape[:2]:
                self._say(self._of_size)
                self._of_size = ""
            if self._of_colour and is_colour:
                self._say(self._of_colour)
                self._of_colour = ""


def read_inputs(
    names: Iterable[str],
    model: SeesPictures,
    *,
    on_error: Callable[[DataError], None],
    on_note: Callable[[str], None] = lambda _note: None,
    originals: tuple[int, int] | None = None,
) -> Iterator[Block]:
    """Yield what the model is to see, in order, in the memory of one block.

    Args:
        names: pictures; data sets (IDX, CSV, npz, Parquet); folders with any of these at any depth; patterns such as
            ``photos/*.jpg``; ``sample`` or another known set, all parts of it; ``-`` for a picture on standard input.
        model: that is to see them. Pictures become images as its training's own pictures did.
        on_error: receives what can't be read; the rest goes on.
        on_note: receives, once, each thing that is worth knowing of how they were prepared.
        originals: (H', W') in which the pictures themselves are wanted, too, to be shown; None for none.
    """
    notes = Notes(model, on_note)
    called: dict[Path, str] = {}
    for holds_data, files in groupby(_files_of(names, on_error, called), is_data):
        if holds_data:
            for file in files:
                try:
                    yield from data_blocks(file, model, notes, called.get(file, str(file)))
                except DataError as error:
                    on_error(error)
        else:
            yield from _picture_blocks(files, model, notes, on_error, originals)


def _files_of(names: Iterable[str], on_error: Callable[[DataError], None], called: dict[Path, str]) -> Iterator[Path]:
    """The files of all names in turn. ``called`` receives what those of a known set are to be called."""
    for name in names:
        if not name:  # which a path would take for this folder
            on_error(DataError(f"{A_NAME} expected, an empty name found"))
            continue
        path = Path(name)
        if name == STDIN or path.is_file():
            yield path
            continue

        if path.is_dir():
            files = sorted(file for file in _below(path) if _is_taken(file))
        elif folder := _known_set(name):
            files = data_files_below(folder)
            called.update((file, f"{name}/{file.name}") for file in files)
        else:
            # not Path.glob, which takes no absolute pattern
            files = sorted(map(Path, glob(name, recursive=True))) if has_magic(name) else []  # noqa: PTH207
        if not files:
            expected = "a folder with pictures or data sets" if path.is_dir() else A_NAME
            on_error(DataError(f"{name}: {expected} expected, nothing found there"))
        yield from (file for file in files if file.is_file())


def _known_set(name: str) -> Path | None:
    """Where the data set of this name lies, fetched if need be; None for any other name."""
    from fittingroom.data.fetch.known_sets import KNOWN, locate

    return locate(name) if name in KNOWN else None


def _below(folder: Path) -> Iterator[Path]:
    """Every file at any depth that a training on this folder would not pass over either."""
    from fittingroom.data.formats.folder_scan import is_junk

    visited = set(places_above(folder))  # a link may lead back to a folder above it
    waiting = [(folder, 0)]
    while waiting:
        parent, depth = waiting.pop()
        refuse_deep(parent, depth)
        with suppress(OSError):  # what may not be looked into is passed over
            if (place := place_of(parent)) in visited:
                continue
            visited.add(place)
            for path in parent.iterdir():
                if is_junk(path.name):
                    continue
                if path.is_dir():
                    waiting.append((path, depth + 1))
                else:
                    yield path


def _is_taken(file: Path) -> bool:
    return file.name.lower().endswith(SUFFIXES) or is_data(file)


def is_data(file: Path) -> bool:
    """Whether it is a data set's file of images, damaged or not; false for a picture."""
    if str(file) == STDIN or file.name.lower().endswith(SUFFIXES):
        return False

    from fittingroom.data.formats.table import is_data_file

    try:
        return is_data_file(file)
    except DataError:  # the reader will say what is wrong
        return True


def data_files_below(folder: Path) -> list[Path]:
    """Every data set's file of images in a folder, at any depth, sorted; nothing whose name begins with a dot."""
    return sorted(file for file in _below(folder) if is_data(file))


def shown(file: Path) -> str:
    """A file's name as text that can be written, whatever bytes it has."""
    return os.fsencode(file).decode("utf-8", "backslashreplace")


def data_blocks(file: Path, model: SeesPictures, notes: Notes, name: str | None = None) -> Iterator[Block]:
    """Yield the images of one data file in the memory of one block; raises DataError where the file is damaged.

    ``name`` is what answers call it; by default its path.
    """
    from fittingroom.data.formats.table import read_blocks

    row = 0
    preprocessing = model.artifact.preprocessing
    for images in read_blocks(file, preprocessing=preprocessing):
        shown = images
        if images.shape[1:] != model.image_shape:
            notes.of_arrays(images)
            shown = resize_images(images, preprocessing)
        yield Block(shown, [name or str(file)] * len(images), list(range(row, row + len(images))))
        row += len(images)


def _picture_blocks(
    files: Iterator[Path],
    model: SeesPictures,
    notes: Notes,
    on_error: Callable[[DataError], None],
    originals: tuple[int, int] | None,
) -> Iterator[Block]:
    def read(file: Path) -> Decoded:
        """What the model is to see and, where it is asked for, the picture itself."""
        try:
            content, where = _content(file), shown(file)
            picture = model.see(content, where, look=notes.minds_colour)
            notes.of_picture(picture)
            image = picture.image
            return (image,) if originals is None else (image, _small(content, where, originals))
        except DataError as error:
            return error

    while some := list(islice(files, PICTURES)):
        pictures, names = [], []
        for file, outcome in zip(some, _side_by_side(read, some), strict=True):
            if isinstance(outcome, DataError):
                on_error(outcome)
            else:
                pictures.append(outcome)
                names.append(shown(file))
        if pictures:
            stacks = [np.stack(images) for images in zip(*pictures, strict=True)]
            yield Block(stacks[0], names, [None] * len(names), *stacks[1:])


def _side_by_side(read: Callable[[Path], Decoded], files: list[Path]) -> list[Decoded]:
    """What is read of each file, in order: decoding takes longer than the model, and Pillow lets several threads do it
    at once."""
    if len(files) == 1:
        return [read(files[0])]

    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(MAX_DECODERS, cores()), thread_name_prefix="decoder") as pool:
        return list(pool.map(read, files))


def _small(content: bytes, where: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture as a person sees it, reduced to fit into a tile, of which what is left stays white."""
    own = probe_size(content, where)
    scale = min(there / here for here, there in zip(own, size, strict=True))
    height, width = (max(1, min(most, round(side * scale))) for side, most in zip(own, size, strict=True))
    fitted = Preprocessing(size=(height, width), channels=3, resize="stretch", photo="none")
    tile = np.full((*size, 3), WHITE, dtype=np.uint8)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    tile[top : top + height, left : left + width] = read_picture(content, where, fitted)
    return tile


def _content(file: Path) -> bytes:
    if str(file) != STDIN:
        return read_picture_file(file)
    if sys.stdin is None:  # closed, as below a service or a window
        raise DataError(f"{file}: a picture on standard input expected, which is closed here")
    content = sys.stdin.buffer.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise DataError(f"{file}: a picture of at most {LARGEST_FILE:,} bytes expected on standard input, more found")
    return content
