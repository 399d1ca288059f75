"""Small files that lie beside data: read whole, but only where they end, and are as small as they should be."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path


def read_regular_file(path: Path, limit: int) -> bytes:
    """Read a regular file of at most ``limit`` bytes whole.

    A pipe would be waited for, a device never ends, and a file with holes takes memory for what isn't there: none of
    them is read.

    Raises:
        OSError: there is no such file, it is no regular one or larger, or it can't be read.

    Example:
        >>> read_regular_file(Path("/dev/zero"), 1_000)
        Traceback (most recent call last):
        OSError: [Errno 22] a regular file expected, a device or pipe found: '/dev/zero'
    """
    with open_regular_file(path, limit) as file:
        content = file.read(min(limit, os.fstat(file.fileno()).st_size) + 1)  # room for it is made beforehand
    if len(content) > limit:
        raise _too_large(path, limit, len(content))
    return content


def read_regular_text(path: Path, limit: int) -> str:
    """Read a small regular file of UTF-8. Raises as :func:`read_regular_file`, and UnicodeDecodeError."""
    return read_regular_file(path, limit).decode()


@contextmanager
def open_regular_file(path: Path, limit: int) -> Iterator[BufferedReader]:
    """Open a regular file of at most ``limit`` bytes for reading. Raises as :func:`read_regular_file` does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except ValueError as error:  # a zero byte, which no name has
        raise OSError(errno.EINVAL, str(error), str(path)) from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "a regular file expected, a device or pipe found", str(path))
        if status.st_size > limit:
            raise _too_large(path, limit, status.st_size)
        yield file


def _too_large(path: Path, limit: int, size: int) -> OSError:
    return OSError(errno.EFBIG, f"at most {limit:,} bytes expected, {size:,} found", str(path))
