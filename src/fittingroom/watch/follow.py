"""One training, followed by what it writes: ``metrics.jsonl`` is read on from where the last reading ended."""

from __future__ import annotations

import math
import os
import time
from collections import deque
from pathlib import Path
from typing import Any

from fittingroom.files.json_lines import MAX_BYTES
from fittingroom.files.regular_file import open_regular_file
from fittingroom.report.curves import History
from fittingroom.runs.metrics_log import event_of

CHUNK = 1 << 20  # bytes that are read at once
MAX_STEPS = 4_000  # that are kept to be drawn
NEWEST_STEPS = 200  # of which each is kept
WINDOW_SECONDS = 10.0  # over which the speed is measured
LEAST_SECONDS = 1.0  # for a speed to be said


class Training:
    """What a training has reported so far.

    Attributes:
        folder: the run's, of one seed.
        start: the newest event of its kind; None before the first.
        step: the newest event; None before the first.
        steps: in order; of many, the least and the greatest loss of each stretch.
        epochs: in order.
        images: that went through, by all steps.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.file = folder / "metrics.jsonl"
        self._begin()

    def _begin(self) -> None:
        self.start: dict[str, Any] | None = None
        self.step: dict[str, Any] | None = None
        self.steps: list[dict[str, Any]] = []
        self.epochs: list[dict[str, Any]] = []
        self.images = self.lines = self.offset = 0
        self.damage = ""  # stays
        self.unreadable = ""  # may pass
        self.inode: int | None = None
        self.samples: deque[tuple[float, int, int]] = deque()  # of the clock, images and steps

    @property
    def problem(self) -> str:
        """What keeps the file from being read on, in words; empty where nothing does."""
        return self.damage or self.unreadable

    def read_on(self, until: float = math.inf) -> None:
        """Take in what was written since. A training that was resumed has its file cut: it is read anew.

        Args:
            until: by :func:`time.monotonic`, when to leave what is left, of a very long training, for the next call.
        """
        try:
            with open_regular_file(self.file, MAX_BYTES) as file:
                status = os.fstat(file.fileno())
                if status.st_ino != self.inode or status.st_size < self.offset:
                    self._begin()
                    self.inode = status.st_ino
                self.unreadable = ""
                while not self.damage and self._take_chunk(file) and time.monotonic() < until:
                    pass
        except FileNotFoundError:  # the data is still being read, say
            return
        except OSError as error:
            self.unreadable = f"{self.file}: {error.strerror or error}"
            return

        # The speed is that of the last seconds. After a pause, of the machine or of whoever asks, it is measured anew.
        now = time.monotonic()
        if self.samples and now - self.samples[-1][0] > WINDOW_SECONDS:
            self.samples.clear()
        self.samples.append((now, self.images, self.step["step"] if self.step else 0))
        while len(self.samples) > 2 and now - self.samples[1][0] > WINDOW_SECONDS:
            self.samples.popleft()

    def _take_chunk(self, file: Any) -> bool:
        """Take in whole lines from where the last reading ended; whether there may be more."""
        file.seek(self.offset)
        chunk = file.read(CHUNK)
        whole = chunk[: chunk.rfind(b"\n") + 1]  # a line that is half written has no end yet
        if not whole:
            if len(chunk) == CHUNK:
                self.damage = f"{self.file}: line {self.lines + 1:,} is longer than any that a training writes"
            return False

        # After a damaged line nobody knows what the rest belongs to.
        for line in whole.splitlines():
            self.lines += 1
            event = event_of(line)
            if event is None:
                self.damage = f"{self.file}: line {self.lines:,} is damaged; what follows it isn't shown"
                return False
            self._take(event)
        self.offset += len(whole)

        # The old steps are thinned out, the newest stay, whose mean is shown.
        while len(self.steps) > MAX_STEPS:
            self.steps = _halved(self.steps[:-NEWEST_STEPS]) + self.steps[-NEWEST_STEPS:]
        return len(chunk) == CHUNK

    def _take(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "start":
            self.start = event
        elif kind == "step":
            self.step = event
            self.steps.append(event)
            self.images += event["examples"]
        elif kind == "epoch":
            self.epochs.append(event)

    @property
    def planned_steps(self) -> int:
        """Number of steps of all epochs; 0 before it is known."""
        return self.start["epochs"] * self.start["steps_per_epoch"] if self.start else 0

    @property
    def done_steps(self) -> int:
        """What has been done so far."""
        return self.step["step"] if self.step else 0

    def history(self, name: str = "") -> History | None:
        """What the curves show; None before the first step."""
        if self.start is None or not self.steps:
            return None
        return History(name, self.steps, self.epochs, self.start["steps_per_epoch"])

    def speed(self) -> tuple[float, float] | None:
        """Images/s and steps/s of the last ten seconds; None where it was not followed long enough, or stands still."""
        if len(self.samples) < 2:
            return None
        (since, images, steps), (now, images_now, steps_now) = self.samples[0], self.samples[-1]
        if now - since < LEAST_SECONDS or images_now <= images:
            return None
        return (images_now - images) / (now - since), (steps_now - steps) / (now - since)

    def speed_of_epochs(self) -> float | None:
        """Images/s by the training's own clock, up to the last epoch's end."""
        last = self.epochs[-1] if self.epochs else None
        if last is None or not self.step or last["seconds"] <= 0:
            return None
        return float(self.images * last["step"] / self.step["step"] / last["seconds"])


def _halved(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep, of each four steps, the two with the least and the greatest loss, so that no spike is lost."""
    kept: list[dict[str, Any]] = []
    for i in range(0, len(steps), 4):
        stretch = steps[i : i + 4]
        least, most = min(stretch, key=lambda step: step["loss"]), max(stretch, key=lambda step: step["loss"])
        kept += [least] if least is most else sorted((least, most), key=lambda step: step["step"])
    return kept
