"""The ledger of looks at test sets: one line for every time that any run below a folder was judged on one.

Whoever looks often enough will find a good figure by chance. The ledger makes the number of looks a fact.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fittingroom.data.dataset import Dataset

LEDGER = "test-looks.jsonl"


def record_look(folder: Path, test_set: Dataset, *, run: str, command: str) -> dict[str, Any]:
    """Append a look at ``test_set`` to the ledger of ``folder`` and return it."""
    return record_look_at(folder, test_set.fingerprint.images, data=test_set.name, run=run, command=command)


def record_look_at(folder: Path, fingerprint: str, *, data: str, run: str, command: str) -> dict[str, Any]:
    """As :func:`record_look`, where the test set isn't open: by the fingerprint of its images and its name.

    The line is one write, so that processes don't mix their lines.
    """
    look = {
        "format": 1,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "fingerprint": fingerprint,
        "data": data,
        "run": run,
        "command": command,
    }
    line = json.dumps(look, ensure_ascii=False) + "\n"
    descriptor = os.open(folder / LEDGER, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        if _ends_in_a_torn_line(descriptor):
            line = "\n" + line
        os.write(descriptor, line.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return look


def read_looks(folder: Path, fingerprint: str) -> list[dict[str, Any]]:
    """Every look that the ledger of ``folder`` knows at the images with this fingerprint, oldest first."""
    file = folder / LEDGER
    if not file.exists():
        return []
    looks = [_parse(line) for line in file.read_text(encoding="utf-8", errors="replace").split("\n")]
    return [look for look in looks if look.get("fingerprint") == fingerprint]


def _ends_in_a_torn_line(descriptor: int) -> bool:
    """Whether a power loss cut off the last line, so that the next one would be glued to its rest."""
    if os.fstat(descriptor).st_size == 0:
        return False
    os.lseek(descriptor, -1, os.SEEK_END)
    return os.read(descriptor, 1) != b"\n"


def _parse(line: str) -> dict[str, Any]:
    try:
        look = json.loads(line)
    except ValueError:
        return {}  # a line cut off by a power loss
    return look if isinstance(look, dict) else {}
