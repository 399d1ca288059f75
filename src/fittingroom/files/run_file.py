"""The bytes of one file of a run, which may have come by mail: a regular file, of a size that is bounded beforehand."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from fittingroom.errors import ArtifactError
from fittingroom.files.regular_file import open_regular_file
from fittingroom.files.stand_in import stand_in

LIMIT = 32 << 20  # bytes of what is read whole: JSON of a run has some thousands, or millions with a thousand classes


def read_run_file(path: Path, expected: str, *, limit: int = LIMIT) -> bytes:
    """Read a file whole.

    Args:
        path: of the file. A pipe or a device, which may never end, is refused without being waited for.
        expected: what it should be, for the message, such as ``a JSON file of a run``.
        limit: bytes that it may have.

    Raises:
        ArtifactError: it is missing, no regular file, larger, or can't be read.
    """
    with _opened(path, expected, limit) as file:
        content = file.read(min(limit, os.fstat(file.fileno()).st_size) + 1)  # room for it is made beforehand
    if path.suffix != ".html" and (other := stand_in(content)):  # a report is a web page
        raise ArtifactError(f"{path}: {expected} expected, but it can't be read{other}")
    return content


def sha256_of(path: Path, expected: str, *, limit: int) -> str:
    """SHA-256 of a file, hexadecimal, without having it in memory. Raises as :func:`read_run_file` does."""
    with _opened(path, expected, limit) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _opened(path: Path, expected: str, limit: int) -> Iterator[BufferedReader]:
    """A regular file of at most ``limit`` bytes, open for reading; what stops that is an ArtifactError."""
    try:
        with open_regular_file(path, limit) as file:
            yield file
    except (OSError, ValueError) as error:  # ValueError: a zero byte in a name
        reason = getattr(error, "strerror", None) or error
        raise ArtifactError(f"{path}: {expected} expected, but it can't be read: {reason}") from None


def read_run_text(path: Path, expected: str, *, limit: int = LIMIT) -> str:
    """Read a file of UTF-8. Raises ArtifactError as :func:`read_run_file` does, and for other bytes."""
    try:
        return read_run_file(path, expected, limit=limit).decode()
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{path}: {expected} expected, but it can't be read: {error}") from None
