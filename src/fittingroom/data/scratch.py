"""Room for arrays while they are read: memory for small ones, a file without a name for large ones."""

from __future__ import annotations

import math
import os
import tempfile
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fittingroom.data import mapped
from fittingroom.data.cache import cache_dir
from fittingroom.errors import DataError

CHUNK = 1 << 24  # bytes; a decompressing file reads what is asked for into memory of its own first


def room_for(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An array to be filled. One of :data:`mapped.LARGE` bytes or more lies in a file in the folder of the cache.

    The file has no name, so that nothing is left of it when the process ends, however it does.

    Raises:
        DataError: a large array finds no room there.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < mapped.LARGE:
        return np.empty(shape, dtype)
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)  # a full disk is an error here, and a crash in the map
            return np.memmap(file, dtype, mode="w+", shape=shape)
    except OSError as error:
        raise DataError(
            f"{folder}: {size:,} bytes expected for images that are read, and not there ({error.strerror or error}): "
            "set FITTINGROOM_CACHE to a folder with room"
        ) from error


def fill(values: NDArray[Any], file: IO[bytes]) -> int:
    """Read into a contiguous array until it is full or the file ends; return the number of bytes."""
    target = values.reshape(-1).view(np.uint8).data
    done = 0
    while done < len(target) and (count := file.readinto(target[done : done + CHUNK])):  # type: ignore[attr-defined]
        done += count
    return done
