"""Small files that lie beside data: read whole, but only where they end, and are as small as they should be."""

from __future__ import annotations

import errno
import os
import stat
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
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "a regular file expected, a device or pipe found", str(path))
        content = file.read(min(limit, status.st_size) + 1) if status.st_size <= limit else b""
    if status.st_size > limit or len(content) > limit:
        raise OSError(errno.EFBIG, f"at most {limit:,} bytes expected, {status.st_size:,} found", str(path))
    return content
