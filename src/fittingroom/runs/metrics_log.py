"""``metrics.jsonl``: one line an event of the training, and its reader."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

from fittingroom.errors import ArtifactError
from fittingroom.events import CheckpointSaved, EpochDone, Event, MicroBatchHalved, StepDone, TrainingStarted
from fittingroom.files.atomic import atomic_write
from fittingroom.files.json_lines import MAX_BYTES, parse_line
from fittingroom.files.records import Count, Positive, Range, Seconds, Share, Unexpected, plain, reader_of
from fittingroom.files.run_file import read_run_file

FORMAT = 1
_NAMES = {StepDone: "step", EpochDone: "epoch", MicroBatchHalved: "micro-batch", TrainingStarted: "start"}


class StartLine(TypedDict):
    """A training, or a part of it, begins."""

    epochs: Count
    steps_per_epoch: Positive
    steps_done: Count


class StepLine(TypedDict):
    """After a step of the optimizer."""

    step: Positive
    epoch: Count
    loss: float
    lr: Annotated[float, Range(0)]
    examples: Positive


class EpochLine(TypedDict):
    """After an epoch."""

    step: Positive
    epoch: Count
    train_loss: float
    train_accuracy: Share
    validation_loss: float | None
    validation_accuracy: Share | None
    seconds: Seconds
    state_sha256: NotRequired[str]
    validation_judged: NotRequired[Share | None]


class MicroBatchLine(TypedDict):
    """Memory ran out."""

    epoch: Count
    micro_batch: Positive


LINES: dict[str, type] = {"start": StartLine, "step": StepLine, "epoch": EpochLine, "micro-batch": MicroBatchLine}


class MetricsLog:
    """An observer that appends events to a file.

    A training that goes on from a checkpoint repeats the steps after it, so what the file says of those is cut off.
    """

    def __init__(self, path: Path):
        self.path = path

        # A run that is resumed may have come by mail: a link is no file of its folder, and a pipe would be waited for.
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise ArtifactError(f"{path}: the run's own file expected, a link or pipe found: remove it, and resume")
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
        with atomic_write(self.path, follow_links=False) as file:
            for line in lines or [{"event": "format", "format": FORMAT}]:
                file.write((json.dumps(line) + "\n").encode())
        self.file = self.path.open("a", encoding="utf-8", buffering=1)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The events of a run, oldest first; without what comes from a damaged line on, such as one that a kill cut off.

    Raises:
        ArtifactError: the file is missing, no regular file, or larger than any that is written here.
    """
    events = []
    for line in read_run_file(path, "the events of a training", limit=MAX_BYTES).split(b"\n"):
        event = event_of(line)
        if event is None:
            break
        events.append(event)
    return events


def event_of(line: bytes) -> dict[str, Any] | None:
    """The event that a line is; None for a damaged one."""
    event = parse_line(line)
    try:
        return None if event is None else _known(event)
    except Unexpected:
        return None


def _known(event: dict[str, Any]) -> dict[str, Any]:
    """The event, if it says what it has to; of a later version it may be another one, or say more."""
    name = plain(str, event.get("event"), "event")
    if name == "epoch":
        # Of a network that overflows on an image of validation there is no loss; its training goes on all the same.
        loss = event.get("validation_loss")
        if isinstance(loss, float) and not math.isfinite(loss):
            event["validation_loss"] = event["validation_accuracy"] = None
        if (event.get("validation_loss") is None) != (event.get("validation_accuracy") is None):
            raise Unexpected("loss and accuracy of validation expected, or neither")
    if name in LINES:
        reader_of(LINES[name])(event, "")
    elif "step" in event:
        plain(int, event["step"], "step")
    return event
