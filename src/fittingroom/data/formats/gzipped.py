"""Open a file that may be gzip, recognised by its content and not by its name, without trusting it."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from fittingroom.errors import DataError

# Real images shrink to a third or so. Deflate can reach 1:1,032, which only a bomb needs.
MOST_EXPANSION = 100
ALWAYS_ALLOWED = 64 << 20  # bytes
BLOCK = 1 << 20  # bytes that are read at once


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open the file for reading, decompressing if its content is gzip.

    Raises:
        DataError: with the path, whatever goes wrong in opening it or in the block.
    """
    try:
        with path.open("rb") as raw:
            if is_gzip(path):
                with gzip.GzipFile(fileobj=raw) as file:
                    yield cast("BinaryIO", file)
            else:
                yield raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: whole gzip data expected, damaged found ({error}): get the file again") from error
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error


def is_gzip(path: Path) -> bool:
    """Tell by its first two bytes whether the file is gzip.

    Raises:
        OSError: the file can't be read.
    """
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def within_expansion(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """The content of a gzip file that was opened by :func:`open_bytes`, as long as it doesn't turn out to be a bomb.

    Told while it is read, by what its beginning has shrunk to, and not at the end.

    Raises:
        DataError: more content than real data can have.
    """
    packed = cast("BinaryIO", cast("gzip.GzipFile", file).fileobj)  # which the type stubs take for a smaller thing
    done = 0
    while block := file.read(BLOCK):
        done += len(block)
        limit = ALWAYS_ALLOWED + MOST_EXPANSION * packed.tell()
        if done > limit:
            raise DataError(
                f"{path}: at most {limit:,} bytes expected in the first {packed.tell():,} of gzip, more found: "
                "no real images shrink that much; decompress it yourself if you trust it"
            )
        yield block


def expansion_limit(path: Path) -> int:
    """How many bytes a gzip file of this size may hold before it is taken for a bomb.

    Raises:
        OSError: the file is not there.
    """
    return max(ALWAYS_ALLOWED, MOST_EXPANSION * path.stat().st_size)
