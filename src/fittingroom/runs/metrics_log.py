"""``metrics.jsonl``: one line an event of the training, and its reader."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fittingroom.events import CheckpointSaved, EpochDone, Event, MicroBatchHalved, StepDone, TrainingStarted
from fittingroom.files.atomic import atomic_write

FORMAT = 1
_NAMES = {StepDone: "step", EpochDone: "epoch", MicroBatchHalved: "micro-batch", TrainingStarted: "start"}


class MetricsLog:
    """An observer that appends events to a file.

    A training that goes on from a checkpoint repeats the steps after it, so what the file says of those is cut off.
    """

    def __init__(self, path: Path):
        self.path = path
        self.file = path.open("a", encoding="utf-8", buffering=1)

    def __call__(self, event: Event) -> None:
        """Write one line, except for checkpoints, which are no measurement."""
        if isinstance(event, TrainingStarted):
            self._cut_after(event.steps_done)
        if not isinstance(event, CheckpointSaved):
            self.file.write(json.dumps({"event": _NAMES[type(event)]} | asdict(event)) + "\n")

    def close(self) -> None:
        """Close the file; nothing can be logged after."""
        self.file.close()

    def _cut_after(self, step: int) -> None:
        """Keep the lines up to ``step``, and put the format's number first in a new file."""
        lines = [line for line in read_metrics(self.path) if line.get("step", 0) <= step] if step else []
        self.file.close()
        with atomic_write(self.path) as file:
            for line in lines or [{"event": "format", "format": FORMAT}]:
                file.write((json.dumps(line) + "\n").encode())
        self.file = self.path.open("a", encoding="utf-8", buffering=1)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The events of a run, oldest first; without what comes from a damaged line on, such as one that a kill cut off."""
    events = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(event, dict):
            break
        events.append(event)
    return events
