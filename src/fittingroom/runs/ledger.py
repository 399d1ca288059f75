"""The ledger of test-set evaluations: a line for each time that any run below a folder was judged on a test set.

Whoever evaluates often enough will find a good figure by chance. The ledger makes the number of evaluations a fact.
"""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from fittingroom.data.dataset import Dataset
from fittingroom.data.fingerprint import same_images
from fittingroom.files.json_lines import append_json_line, read_json_lines
from fittingroom.files.records import LongText

LEDGER = "test-looks.jsonl"
FORMAT = 1


class RecordedEvaluation(TypedDict):
    """What a line says; it counts by its fingerprint, whatever of the rest it lacks."""

    when: NotRequired[str]
    fingerprint: str
    sources: NotRequired[str | None]
    data: NotRequired[str]
    run: NotRequired[str]
    command: NotRequired[LongText]


def record_evaluation(folder: Path, test_set: Dataset, *, run: str, command: str) -> dict[str, Any]:
    """Append an evaluation on ``test_set`` to the ledger of ``folder`` and return its line.

    Where the ledger can't be written, such as another user's, that is warned of, and the line goes where the caller
    keeps it: the work that led to a figure is not thrown away for want of its count.
    """
    of = test_set.fingerprint
    return record_evaluation_on(folder, of.images, of.sources, data=test_set.name, run=run, command=command)


def record_evaluation_on(
    folder: Path, fingerprint: str, sources: str | None = None, *, data: str, run: str, command: str
) -> dict[str, Any]:
    """As :func:`record_evaluation`, where the test set isn't open: by the fingerprints of its images and its name.

    ``sources`` is that of their files, where they were read from such.
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

    # A folder that can't be written is no reason to withhold a figure that has been seen.
    try:
        append_json_line(folder / LEDGER, evaluation)
    except OSError as error:
        warnings.warn(
            f"{folder / LEDGER}: this evaluation on {data} is not on record there: {error.strerror or error}",
            stacklevel=2,
        )
    return evaluation


def read_evaluations(folder: Path, fingerprint: str, sources: str | None = None) -> list[dict[str, Any]]:
    """Every evaluation that the ledger of ``folder`` has on the same images, oldest first.

    Args:
        folder: of all runs.
        fingerprint: of the images' pixels.
        sources: of their files, which decides where a line has one too; None for arrays.
    """
    return [
        evaluation
        for evaluation in read_json_lines(folder / LEDGER, RecordedEvaluation)
        if same_images((fingerprint, sources), (evaluation["fingerprint"], evaluation.get("sources")))
    ]
