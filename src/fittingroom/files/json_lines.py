"""Files of JSON lines that several processes append to, and that survive a power loss."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def append_json_line(path: Path, value: dict[str, Any]) -> None:
    """Append an object as one line, in one write, so that processes don't mix their lines. Raises OSError."""
    line = json.dumps(value, ensure_ascii=False) + "\n"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        if _ends_in_a_torn_line(descriptor):
            line = "\n" + line
        os.write(descriptor, line.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Every object of the file, oldest first; none where there is no file. Lines that are none are left out."""
    if not path.exists():
        return []
    values = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue  # a line cut off by a power loss
        if isinstance(value, dict):
            values.append(value)
    return values


def _ends_in_a_torn_line(descriptor: int) -> bool:
    """Whether a power loss cut off the last line, so that the next one would be glued to its rest."""
    if os.fstat(descriptor).st_size == 0:
        return False
    os.lseek(descriptor, -1, os.SEEK_END)
    return os.read(descriptor, 1) != b"\n"
