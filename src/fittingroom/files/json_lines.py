"""Files of JSON lines that several processes append to, and that survive a power loss."""

from __future__ import annotations

import errno
import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from fittingroom.files.json_file import parse_json
from fittingroom.files.records import Unexpected, reader_of
from fittingroom.files.run_file import read_run_file

MAX_BYTES = 192 << 20  # of a file: two million lines
MAX_LINE = 1 << 20  # bytes


def append_json_line(path: Path, value: dict[str, Any]) -> None:
    """Append an object as one line, in one write, so that processes don't mix their lines.

    Raises:
        OSError: it can't be written, is no regular file, or a link to what is none of JSON lines: a folder of runs may
            have come by mail, and its link lead to any file of its user's.
    """
    line = json.dumps(value, ensure_ascii=False) + "\n"
    is_link = path.is_symlink()
    create = 0 if is_link else os.O_CREAT
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | create | getattr(os, "O_NONBLOCK", 0), 0o644)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "a regular file expected, a device or pipe found", str(path))
        if is_link and os.read(descriptor, 1) != b"{":
            raise OSError(errno.ELOOP, "a file of JSON lines expected, a link to another file found", str(path))
        if _ends_in_a_torn_line(descriptor):
            line = "\n" + line
        os.write(descriptor, line.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json_lines(path: Path, record: type) -> list[dict[str, Any]]:
    """Every line of the file, oldest first; none where there is no file. Lines that are no record are left out.

    Args:
        path: of the file.
        record: what a line has to say, a ``TypedDict``.

    Raises:
        ArtifactError: it is no regular file, or larger than any that is written here.
    """
    if not path.exists():
        return []
    values, of_line = [], reader_of(record)
    for line in read_run_file(path, "a file of JSON lines", limit=MAX_BYTES).split(b"\n"):
        value = parse_line(line)
        with suppress(Unexpected):  # a null, where a line was cut off
            values.append(of_line(value, ""))
    return values


def parse_line(line: bytes) -> dict[str, Any] | None:
    """The object that a line is; None for one that a power loss cut off, or that is damaged otherwise."""
    if len(line) > MAX_LINE:
        return None
    try:
        value = parse_json(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _ends_in_a_torn_line(descriptor: int) -> bool:
    """Whether a power loss cut off the last line, so that the next one would be glued to its rest."""
    if os.fstat(descriptor).st_size == 0:
        return False
    os.lseek(descriptor, -1, os.SEEK_END)
    return os.read(descriptor, 1) != b"\n"
