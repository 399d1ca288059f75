"""Images that are too many to copy: they lie in a file that is mapped into memory.

The system reads and drops a map's pages as there is room, so that sets of :data:`LARGE` bytes and more are never in
memory as a whole: neither when they are read (:func:`allocate` and :func:`fill`), nor when some are held out
(:func:`without`), nor when batches are taken from them (:func:`read_ahead`).

The limit is a size and not a share of this machine's memory on purpose: how a set is treated decides the order of its
batches, and that is to be the same on every machine, and on all hosts of one training.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fittingroom.errors import DataError
from fittingroom.files.cache_dir import cache_dir

LARGE = 512 << 20  # bytes; 685,000 images of 28×28
CHUNK = 1 << 24  # bytes; a decompressing file reads what is asked for into memory of its own first


def is_large(array: NDArray[Any]) -> bool:
    """Whether an array is one that is never copied as a whole."""
    return array.nbytes >= LARGE


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────


def allocate(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An array to be filled. One of :data:`LARGE` bytes or more lies in a file in the folder of the cache.

    The file has no name, so that nothing is left of it when the process ends, however it does.

    Raises:
        DataError: a large array finds no room there.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < LARGE:
        return np.empty(shape, dtype)

    import tempfile

    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            # a full disk is an error here, and would kill the process when it writes to the map
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype, mode="w+", shape=shape)
    except OSError as error:
        raise DataError(
            f"{folder}: {size:,} bytes expected for images that are read, and not there ({error.strerror or error}): "
            "set FITTINGROOM_CACHE to a folder with room"
        ) from error


def fill(values: NDArray[Any], file: IO[bytes]) -> int:
    """Read into a contiguous array until it is full or the file ends.

    Returns:
        The number of bytes read.
    """
    target = values.reshape(-1).view(np.uint8).data
    done = 0
    while done < len(target) and (count := file.readinto(target[done : done + CHUNK])):  # type: ignore[attr-defined]
        done += count
    return done


# ── using ────────────────────────────────────────────────────────────────────────────────────────────────────


def without(array: NDArray[Any], left_out: NDArray[np.bool_]) -> NDArray[Any]:
    """All rows but those where the mask ``left_out`` (N,) is true. The last rows take the places of those left out.

    Of an array in a file this is a view of a private map, copy on write, in which only the pages with these places take
    memory: at most 8 KiB for a row of 28×28. Any other array is copied, in the same order.
    """
    kept = len(array) - int(left_out.sum())
    free, moved = np.flatnonzero(left_out[:kept]), kept + np.flatnonzero(~left_out[kept:])
    private = _private_map(array)
    rest: NDArray[Any] = array[:kept].copy() if private is None else private[:kept]
    rest[free] = array[moved]
    return rest


def read_ahead(array: NDArray[Any], starts: Iterable[int], rows: int) -> None:
    """Have the system fetch ``rows`` rows from each of the ``starts`` on, meanwhile. Does nothing where it can't."""
    place = _place_in_file(array)
    if place is None or not hasattr(os, "posix_fadvise"):
        return
    mapped, offset = place
    row = array.nbytes // len(array)

    # a map has no descriptor of its own to take advice on
    try:
        descriptor = os.open(str(mapped.filename), os.O_RDONLY)
    except OSError:
        return  # removed by now; what is mapped stays readable
    try:
        for start in starts:
            os.posix_fadvise(descriptor, offset + start * row, rows * row, os.POSIX_FADV_WILLNEED)
    finally:
        os.close(descriptor)


def _private_map(array: NDArray[Any]) -> NDArray[Any] | None:
    """The array from its file once more, copy on write; None where it isn't that of a file, or no longer."""
    place = _place_in_file(array)
    if place is None or place[0].mode != "r":
        return None
    mapped, offset = place
    try:
        private = np.memmap(str(mapped.filename), array.dtype, mode="c", offset=offset, shape=array.shape)
    except (OSError, ValueError):
        return None

    # another file may have its name now
    some = np.linspace(0, len(array) - 1, 1_000).astype(np.int64)
    return private if np.array_equal(private[some], array[some]) else None


def _place_in_file(array: NDArray[Any]) -> tuple[np.memmap[Any, Any], int] | None:
    """The map of a named file that the contiguous array is a view of, and where in the file it begins, in bytes."""
    base = array
    while isinstance(base.base, np.ndarray):  # a view's own offset is that of the map, wherever the view begins
        base = base.base
    if not isinstance(base, np.memmap) or base.filename is None or not array.flags.c_contiguous:
        return None
    return base, base.offset + array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
