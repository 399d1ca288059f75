"""Tell whether a file is the expected one, by the SHA-256 of its decompressed bytes, and remember the answer."""

import gzip
import hashlib
import json
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from fittingroom.data.formats.gzipped import is_gzip
from fittingroom.files.atomic import atomic_write


@dataclass(frozen=True, slots=True)
class KnownFile:
    """An official file.

    Attributes:
        name: without .gz.
        size: of its decompressed bytes.
        sha256: of these, in hexadecimal.
    """

    name: str
    size: int
    sha256: str


def problem_of(path: Path, expected: KnownFile) -> str | None:
    """What keeps the file (raw or gzip, by its content) from being the expected one; None: it is that.

    Never decompresses more than a block beyond the expected size.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with _opened(path) as stream:
            while size <= expected.size and (block := stream.read(1 << 20)):
                size += len(block)
                digest.update(block)
    except FileNotFoundError:
        return f"{expected.name} is not there"
    except (EOFError, zlib.error, OSError) as error:
        return f"{expected.name} is damaged or can't be read ({error})"

    # the size tells more than the sum: cut off, or a page that says the file isn't there
    if size != expected.size:
        amount = "more" if size > expected.size else f"{size:,}"
        hint = ": a web page, not the file" if _is_web_page(path) else ""
        return f"{expected.name}: {expected.size:,} bytes expected when decompressed, {amount} found{hint}"
    if digest.hexdigest() != expected.sha256:
        return f"{expected.name}: SHA-256 {expected.sha256[:12]}… expected, {digest.hexdigest()[:12]}… found"
    return None


class Verified:
    """The files that were verified before, kept in a JSON file: absolute path → size, time, SHA-256.

    A file that still has the size, times and inode that it had then is not read again. A record that can't be read
    or written costs a second reading (half a second for Fashion-MNIST), nothing else.
    """

    def __init__(self, record: Path) -> None:
        self.record = record

    def problem_of(self, path: Path, expected: KnownFile) -> str | None:
        """The problem of a file, as the function of this name finds it; quick for a file that was verified before."""
        try:
            mark = _mark(path, expected)
        except OSError:
            return f"{expected.name} is not there"
        if self._marks().get(str(path.resolve())) == mark:
            return None
        problem = problem_of(path, expected)
        if problem is None:
            self.add(path, expected)
        return problem

    def add(self, path: Path, expected: KnownFile) -> None:
        """Remember that the file is the expected one."""
        marks = {**self._marks(), str(path.resolve()): _mark(path, expected)}
        with suppress(OSError):
            self.record.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.record) as file:
                file.write(json.dumps(marks, indent=1).encode())

    def _marks(self) -> dict[str, list[int | str]]:
        try:
            return dict(json.loads(self.record.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return {}


def _mark(path: Path, expected: KnownFile) -> list[int | str]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, expected.sha256]


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if is_gzip(path) else path.open("rb")


def _is_web_page(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(64).lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml"))
