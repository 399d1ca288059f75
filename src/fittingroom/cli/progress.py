"""How a training shows itself: a bar on a terminal, a line an epoch elsewhere. One observer among others."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fittingroom.cli import console
from fittingroom.events import (
    EpochDone,
    Event,
    JobDone,
    JobEvent,
    MicroBatchHalved,
    Observer,
    RecipeSettled,
    StepDone,
    TrainingStarted,
)

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@contextmanager
def showing(*, quiet: bool) -> Iterator[Observer]:
    """An observer that prints on stderr what a person wants to see; nothing with ``quiet``."""
    if quiet:
        yield lambda _event: None
    elif sys.stderr.isatty():
        with _bars() as observer:
            yield observer
    else:
        yield _Lines()


class _Lines:
    """A line for each epoch, and for what needs to be known. Of several trainings each line opens with whose it is."""

    def __init__(self) -> None:
        self.paces: dict[str, _Pace] = {}
        self.last_start = ""

    def __call__(self, event: Event) -> None:
        """Print the event, if it is worth a line."""
        job, event = _job_of(event)
        name = f"{job}   " if job else ""
        if isinstance(event, RecipeSettled):
            _log(name + _recipe_line(event))
        elif isinstance(event, TrainingStarted):
            self.paces[job] = _Pace(event)
            if (line := _start_line(event)) != self.last_start:  # it is the same for each seed
                _log(line)
            self.last_start = line
        elif isinstance(event, EpochDone):
            pace = self.paces[job]
            _log(name + _epoch_line(event, pace.epochs) + pace.of_epoch(event))
        elif isinstance(event, MicroBatchHalved):
            _log(name + _memory_line(event))
        elif isinstance(event, JobDone) and event.outcome:
            _log(name + event.outcome)


@contextmanager
def _bars() -> Iterator[Observer]:
    """A bar for each training that is going on."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}epoch {task.fields[epoch]}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("loss {task.fields[loss]}  lr {task.fields[lr]}  {task.fields[speed]} images/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console.stderr(), transient=True) as progress:
        yield _Bars(progress)


class _Bars:
    """Moves the bars, and prints above them what :class:`_Lines` would print."""

    def __init__(self, progress: Progress):
        self.progress = progress
        self.tasks: dict[str, TaskID] = {}
        self.paces: dict[str, _Pace] = {}
        self.losses: dict[str, float] = {}
        self.last_start = ""

    def __call__(self, event: Event) -> None:
        """Show the event."""
        job, event = _job_of(event)
        name = f"{job}   " if job else ""
        if isinstance(event, RecipeSettled):
            self.progress.console.print(name + _recipe_line(event))
        elif isinstance(event, TrainingStarted):
            self._start(job, name, event)
        elif isinstance(event, StepDone):
            self._step(job, event)
        elif isinstance(event, EpochDone):
            self.progress.console.print(name + _epoch_line(event, self.paces[job].epochs))
        elif isinstance(event, MicroBatchHalved):
            self.progress.console.print(name + _memory_line(event))

        # A trial of a search that is done gives its place to the next one.
        elif isinstance(event, JobDone):
            if job in self.tasks:
                self.progress.remove_task(self.tasks.pop(job))
            if event.outcome:
                self.progress.console.print(name + event.outcome)

    def _start(self, job: str, name: str, event: TrainingStarted) -> None:
        if job not in self.tasks:
            self.tasks[job] = self.progress.add_task(name, total=None, epoch="", loss="", lr="", speed="")
        self.paces[job] = pace = _Pace(event)
        steps = pace.epochs * event.steps_per_epoch
        self.progress.update(self.tasks[job], total=steps, completed=event.steps_done)
        if (line := _start_line(event)) != self.last_start:  # it is the same for each seed
            self.progress.console.print(line)
        self.last_start = line

    def _step(self, job: str, event: StepDone) -> None:
        # The loss of single batches jumps too much to be read: a moving average over about ten of them is shown.
        self.losses[job] = 0.9 * self.losses.get(job, event.loss) + 0.1 * event.loss
        self.progress.update(
            self.tasks[job],
            completed=event.step,
            epoch=f"{event.epoch + 1}/{self.paces[job].epochs}",
            loss=f"{self.losses[job]:.3f}",
            lr=f"{event.lr:.2g}",
            speed=f"{self.paces[job].images_per_second(event.step):,.0f}",
        )


class _Pace:
    """How fast a training goes, by the steps that it reports; those of a worker elsewhere are not all reported."""

    def __init__(self, start: TrainingStarted):
        self.epochs = start.epochs
        self.images_per_step = start.images / start.steps_per_epoch
        self.step, self.since = start.steps_done, time.perf_counter()
        self.last_epoch = (0, 0.0) if start.steps_done == 0 else None  # steps and seconds of training up to its end

    def images_per_second(self, step: int) -> float:
        """Since the start."""
        return (step - self.step) * self.images_per_step / (time.perf_counter() - self.since)

    def of_epoch(self, event: EpochDone) -> str:
        """Images/s of an epoch with its validation, by the training's own clock; of one cut by a resume unknown."""
        before, self.last_epoch = self.last_epoch, (event.step, event.seconds)
        if before is None:
            return ""
        return f"   {(event.step - before[0]) * self.images_per_step / (event.seconds - before[1]):,.0f} images/s"


def _job_of(event: Event) -> tuple[str, Event]:
    """Whose event it is, and the event itself; a training that is alone has no name."""
    if isinstance(event, JobEvent):
        return event.job, event.event
    return (event.job if isinstance(event, JobDone) else ""), event


def _recipe_line(event: RecipeSettled) -> str:
    return f"recipe     {event.sentence}"


def _start_line(event: TrainingStarted) -> str:
    resumed = f", going on after step {event.steps_done:,}" if event.steps_done else ""
    together = f", {event.processes} processes" if event.processes > 1 else ""
    plan = f"{_counted(event.epochs, 'epoch')} of {_counted(event.steps_per_epoch, 'step')}"
    origin = f"{event.origin}\n" if event.origin else ""
    return (
        f"{origin}training   {event.images:,} images, {plan}, "
        f"{event.parameters:,} parameters, {event.device} in {event.precision}{together}{resumed}"
        f"{_expected(event.expected_seconds)}"
    )


def _expected(seconds: float | None) -> str:
    """``; ≈ 12 min on this machine``; nothing where it wasn't measured."""
    if seconds is None:
        return ""
    if seconds < 100:
        return f"; ≈ {seconds:.0f} s on this machine"
    return (
        f"; ≈ {seconds / 60:.0f} min on this machine"
        if seconds < 6000
        else f"; ≈ {seconds / 3600:.1f} h on this machine"
    )


def _epoch_line(event: EpochDone, epochs: int) -> str:
    line = f"epoch {event.epoch + 1:>{len(str(epochs))}}/{epochs}   loss {event.train_loss:.4f}"
    if event.validation_loss is not None and event.validation_accuracy is not None:
        line += f"   validation loss {event.validation_loss:.4f}, accuracy {event.validation_accuracy:.2%}"
    if event.validation_judged is not None:
        line += f", judged by {event.validation_judged:.2%}"
    return line


def _memory_line(event: MicroBatchHalved) -> str:
    return (
        f"out of memory: each batch now goes through in parts of {event.micro_batch:,} images; the gradient stays that "
        "of the whole batch, batch-norm statistics are those of the parts"
    )


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"
