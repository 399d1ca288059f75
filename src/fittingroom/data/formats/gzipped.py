"""Open a file that may be gzip, recognised by its content and not by its name, without trusting it."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from fittingroom.errors import DataError

# Real images shrink to a third or so. Deflate can reach 1:1,032, which only a bomb needs.
MOST_EXPANSION = 100
ALWAYS_ALLOWED = 64 << 20  # bytes
BLOCK = 1 << 20  # bytes that are read at once
FED, HELD = 16 << 10, 128 << 10  # bytes that are decompressed and kept at once
MANY_MEMBERS, LEAST_CONTENT = 10_000, 100  # members, and bytes that so many hold on the average
MAGIC = b"\x1f\x8b"


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open the file for reading, decompressing if its content is gzip.

    Raises:
        DataError: with the path, whatever goes wrong in opening it or in the block.
    """
    try:
        with path.open("rb") as raw:
            if is_gzip(path):
                with io.BufferedReader(Inflating(raw, path), HELD) as file:
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
        return file.read(2) == MAGIC


class Inflating(io.RawIOBase):
    """The content of gzip data, member after member, each of which is held to its own check sum.

    Members of next to nothing, which are dear to open, are not read by the million as :class:`gzip.GzipFile` would.

    Args:
        packed: the gzip data.
        path: for messages.

    Raises:
        DataError: when read, of such members.
        zlib.error: when read, of damaged data.
        EOFError: when read, of data that are cut off.
        gzip.BadGzipFile: when read, of something else after a member.
    """

    def __init__(self, packed: BinaryIO, path: Path):
        self.packed, self._path = packed, path
        self._fed = b""
        self._member: Any = None  # zlib's, which has no public type
        self._members = self._done = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill what can be filled at once; 0 at the end."""
        content = b""
        while not content and (self._member or self._open_next()):
            self._fed = self._fed or self.packed.read(FED)
            is_all = not self._fed
            content = self._member.decompress(self._fed, len(buffer))
            if self._member.eof:
                self._fed, self._member = self._member.unused_data, None
            elif is_all and not content:
                raise EOFError("it ends too early")
            else:
                self._fed = self._member.unconsumed_tail
        self._done += len(content)
        buffer[: len(content)] = content
        return len(content)

    def _open_next(self) -> bool:
        # Zeros that fill up a tape's block may follow a member.
        self._fed = self._fed.lstrip(b"\0")
        while not self._fed:
            if not (more := self.packed.read(FED)):
                return False
            self._fed = more.lstrip(b"\0")
        if len(self._fed) < len(MAGIC):
            self._fed += self.packed.read(FED)
        if not self._fed.startswith(MAGIC):
            raise gzip.BadGzipFile(f"{self._fed[:2]!r} after it")

        self._member = zlib.decompressobj(wbits=31)
        self._members += 1
        if self._members > MANY_MEMBERS and self._done < LEAST_CONTENT * self._members:
            raise DataError(
                f"{self._path}: gzip of a few members expected, the first {self._members:,} of these hold "
                f"{self._done:,} bytes: decompress it yourself if you trust it"
            )
        return True


def within_expansion(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """The content of a gzip file that was opened by :func:`open_bytes`, as long as it doesn't turn out to be a bomb.

    Told while it is read, by what its beginning has shrunk to, and not at the end.

    Raises:
        DataError: more content than real data can have.
    """
    packed = cast("Inflating", cast("io.BufferedReader", file).raw).packed
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
