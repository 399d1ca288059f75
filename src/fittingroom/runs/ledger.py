"""The ledger of test-set evaluations: a line for each time that any run below a folder was judged on a test set.

Whoever evaluates often enough will find a good figure by chance. The ledger makes the number of evaluations a fact.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fittingroom.data.dataset import Dataset
from fittingroom.data.fingerprint import same_images

LEDGER = "test-looks.jsonl"
FORMAT = 1


def record_evaluation(folder: Path, test_set: Dataset, *, run: str, command: str) -> dict[str, Any]:
    """Append an evaluation on ``test_set`` to the ledger of ``folder`` and return its line."""
    of = test_set.fingerprint
    return record_evaluation_on(folder, of.images, of.sources, data=test_set.name, run=run, command=command)


def record_evaluation_on(
    folder: Path, fingerprint: str, sources: str | None = None, *, data: str, run: str, command: str
) -> dict[str, Any]:
    """As :func:`record_evaluation`, where the test set isn't open: by the fingerprints of its images and its name.

    ``sources`` is that of their files, where they were read from such. The line is one write, so that processes don't
    mix their lines.
    """
    evaluation = {
        "format": FORMAT,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "fingerprint": fingerprint,
        **({} if sources is None else {"sources": sources}),
        "data": data,
        "run": run,
        "command": command,
    }
    line = json.dumps(evaluation, ensure_ascii=False) + "\n"

    descriptor = os.open(folder / LEDGER, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        if _ends_in_a_torn_line(descriptor):
            line = "\n" + line
        os.write(descriptor, line.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return evaluation


def read_evaluations(folder: Path, fingerprint: str, sources: str | None = None) -> list[dict[str, Any]]:
    """Every evaluation that the ledger of ``folder`` has on the same images, oldest first.

    Args:
        folder: of all runs.
        fingerprint: of the images' pixels.
        sources: of their files, which decides where a line has one too; None for arrays.
    """
    file = folder / LEDGER
    if not file.exists():
        return []
    evaluations = [_parse(line) for line in file.read_text(encoding="utf-8", errors="replace").split("\n")]
    return [
        evaluation
        for evaluation in evaluations
        if same_images((fingerprint, sources), (evaluation.get("fingerprint", ""), evaluation.get("sources")))
    ]


def _ends_in_a_torn_line(descriptor: int) -> bool:
    """Whether a power loss cut off the last line, so that the next one would be glued to its rest."""
    if os.fstat(descriptor).st_size == 0:
        return False
    os.lseek(descriptor, -1, os.SEEK_END)
    return os.read(descriptor, 1) != b"\n"


def _parse(line: str) -> dict[str, Any]:
    try:
        evaluation = json.loads(line)
    except ValueError:
        return {}  # a line cut off by a power loss
    return evaluation if isinstance(evaluation, dict) else {}
