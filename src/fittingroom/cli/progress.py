"""How a training shows itself: a bar on a terminal, a line an epoch elsewhere. One observer among others."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from fittingroom.cli import console
from fittingroom.events import (
    EpochDone,
    Event,
    JobDone,
    JobEvent,
    MicroBatchHalved,
    Observer,
    StepDone,
    TrainingStarted,
)


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
        job, event = _job_of(event)
        name = f"{job}   " if job else ""
        if isinstance(event, TrainingStarted):
            self.paces[job] = _Pace(event)
            if (line := _start_line(event)) != self.last_start:  # it is the same for each seed
                _tell(line)
            self.last_start = line
        elif isinstance(event, EpochDone):
            pace = self.paces[job]
            _tell(name + _epoch_line(event, pace.epochs) + pace.of_epoch(event))
        elif isinstance(event, MicroBatchHalved):
            _tell(name + _memory_line(event))
        elif isinstance(event, JobDone) and event.outcome:
            _tell(name + event.outcome)


@contextmanager
def _bars() -> Iterator[Observer]:
    """A bar for each training that is going on."""
    from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}epoch {task.fields[epoch]}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("loss {task.fields[loss]}  lr {task.fields[lr]}  {task.fields[speed]} images/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console.stderr(), transient=True) as progress:
        tasks: dict[str, TaskID] = {}
        paces: dict[str, _Pace] = {}
        losses: dict[str, float] = {}
        last_start = ""

        def observe(event: Event) -> None:
            nonlocal last_start
            job, event = _job_of(event)
            name = f"{job}   " if job else ""
            if isinstance(event, TrainingStarted):
                if job not in tasks:
                    tasks[job] = progress.add_task(name, total=None, epoch="", loss="", lr="", speed="")
                paces[job] = pace = _Pace(event)
                progress.update(tasks[job], total=pace.epochs * event.steps_per_epoch, completed=event.steps_done)
                if (line := _start_line(event)) != last_start:
                    progress.console.print(line)
                last_start = line
            elif isinstance(event, StepDone):
                losses[job] = 0.9 * losses.get(job, event.loss) + 0.1 * event.loss
                progress.update(
                    tasks[job],
                    completed=event.step,
                    epoch=f"{event.epoch + 1}/{paces[job].epochs}",
                    loss=f"{losses[job]:.3f}",
                    lr=f"{event.lr:.2g}",
                    speed=f"{paces[job].images_per_second(event.step):,.0f}",
                )
            elif isinstance(event, EpochDone):
                progress.console.print(name + _epoch_line(event, paces[job].epochs))
            elif isinstance(event, MicroBatchHalved):
                progress.console.print(name + _memory_line(event))
            elif isinstance(event, JobDone):
                if job in tasks:
                    progress.remove_task(tasks.pop(job))
                if event.outcome:
                    progress.console.print(name + event.outcome)

        yield observe


class _Pace:
    """How fast a training goes, by the steps that it tells of; those of a worker elsewhere are not all told."""

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


def _start_line(event: TrainingStarted) -> str:
    resumed = f", going on after step {event.steps_done:,}" if event.steps_done else ""
    together = f", {event.processes} processes" if event.processes > 1 else ""
    return (
        f"training   {event.images:,} images, {event.epochs} epochs of {event.steps_per_epoch:,} steps, "
        f"{event.parameters:,} parameters, {event.device} in {event.precision}{together}{resumed}"
    )


def _epoch_line(event: EpochDone, epochs: int) -> str:
    line = f"epoch {event.epoch + 1:>{len(str(epochs))}}/{epochs}   loss {event.train_loss:.4f}"
    if event.validation_loss is not None and event.validation_accuracy is not None:
        line += f"   validation loss {event.validation_loss:.4f}, accuracy {event.validation_accuracy:.2%}"
    return line


def _memory_line(event: MicroBatchHalved) -> str:
    return (
        f"out of memory: each batch now goes through in parts of {event.micro_batch:,} images; the gradient stays that "
        "of the whole batch, batch-norm statistics are those of the parts"
    )


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
