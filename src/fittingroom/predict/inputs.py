"""What a user names to be predicted – pictures, folders, patterns, data sets – as blocks of images for the model."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from glob import glob, has_magic
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.fashion_photo import picture_to_image
from fittingroom.data.formats.table import is_data_file, read_blocks
from fittingroom.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
PICTURES = 200  # that one block holds
STDIN = "-"


@dataclass(frozen=True)
class Block:
    """Some images uint8 (N, H, W), with the file of each and its row there, from 0; None for a picture."""

    images: NDArray[np.uint8]
    files: list[str]
    rows: list[int] | list[None]


def read_inputs(
    names: Iterable[str],
    *,
    image_size: tuple[int, int],
    background: int = 0,
    on_error: Callable[[DataError], None],
) -> Iterator[Block]:
    """Yield what the model is to see, in order, in the memory of one block.

    Args:
        names: pictures; data sets (IDX, CSV, npz, Parquet), whose images are taken as they are; folders with any of
            these at any depth; patterns such as ``photos/*.jpg``; ``-`` for a picture on standard input.
        image_size: (H, W) of the images that the model was trained on.
        background: what is around the things in those, 0–255.
        on_error: receives what can't be read; the rest goes on.
    """
    for holds_data, files in groupby(_files_of(names, on_error), is_data):
        if holds_data:
            for file in files:
                try:
                    yield from data_blocks(file, image_size)
                except DataError as error:
                    on_error(error)
        else:
            yield from _picture_blocks(files, image_size, background, on_error)


def _files_of(names: Iterable[str], on_error: Callable[[DataError], None]) -> Iterator[Path]:
    for name in names:
        path = Path(name)
        if name == STDIN or path.is_file():
            yield path
            continue

        if path.is_dir():
            files = sorted(file for file in _below(path) if _is_taken(file))
        else:
            # not Path.glob, which takes no absolute pattern
            files = sorted(map(Path, glob(name, recursive=True))) if has_magic(name) else []  # noqa: PTH207
        if not files:
            expected = "a folder with pictures or data sets" if path.is_dir() else "a file, a folder or a pattern"
            on_error(DataError(f"{name}: {expected} expected, nothing found there"))
        yield from (file for file in files if file.is_file())


def _below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent, name) for name in names if not name.startswith("."))


def _is_taken(file: Path) -> bool:
    return file.name.lower().endswith(SUFFIXES) or is_data(file)


def is_data(file: Path) -> bool:
    """Whether it is a data set's file of images, damaged or not; false for a picture."""
    if str(file) == STDIN or file.name.lower().endswith(SUFFIXES):
        return False
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


def data_blocks(file: Path, image_size: tuple[int, int]) -> Iterator[Block]:
    """Yield the images of one data file in the memory of one block.

    Raises DataError where the file is damaged, and for images of another size (H, W).
    """
    row = 0
    for images in read_blocks(file):
        if images.shape[1:] != image_size:
            expected, actual = ("{}×{}".format(*size) for size in (image_size, images.shape[1:]))
            raise DataError(f"{file}: images of {expected} pixels expected, as in the training, {actual} found")
        yield Block(images, [str(file)] * len(images), list(range(row, row + len(images))))
        row += len(images)


def _picture_blocks(
    files: Iterator[Path], image_size: tuple[int, int], background: int, on_error: Callable[[DataError], None]
) -> Iterator[Block]:
    images, names = [], []
    for file in files:
        try:
            image = picture_to_image(_content(file), shown(file), image_size=image_size, background=background)
        except DataError as error:
            on_error(error)
            continue

        images.append(image)
        names.append(shown(file))
        if len(images) == PICTURES:
            yield Block(np.stack(images), names, [None] * len(names))
            images, names = [], []

    if images:
        yield Block(np.stack(images), names, [None] * len(names))


def _content(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == STDIN else file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: can't be read: {error.strerror}") from error
