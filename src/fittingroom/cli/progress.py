"""How a training shows itself: a bar on a terminal, a line an epoch elsewhere. One observer among others."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from fittingroom.cli import console
from fittingroom.events import EpochDone, Event, MicroBatchHalved, Observer, StepDone, TrainingStarted


@contextmanager
def showing(*, quiet: bool) -> Iterator[Observer]:
    """An observer that prints on stderr what a person wants to see; nothing with ``quiet``."""
    if quiet:
        yield lambda _event: None
    elif sys.stderr.isatty():
        with _bar() as observer:
            yield observer
    else:
        yield _Lines()


class _Lines:
    """A line for each epoch, and for what needs to be known."""

    def __init__(self) -> None:
        self.epochs = 0
        self.examples = 0
        self.since = time.perf_counter()

    def __call__(self, event: Event) -> None:
        if isinstance(event, TrainingStarted):
            self.epochs = event.epochs
            self.since = time.perf_counter()
            _tell(_start_line(event))
        elif isinstance(event, StepDone):
            self.examples += event.examples
        elif isinstance(event, EpochDone):
            now = time.perf_counter()
            _tell(f"{_epoch_line(event, self.epochs)}   {self.examples / (now - self.since):,.0f} images/s")
            self.examples, self.since = 0, now
        elif isinstance(event, MicroBatchHalved):
            _tell(_memory_line(event))


@contextmanager
def _bar() -> Iterator[Observer]:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("loss {task.fields[loss]}  lr {task.fields[lr]}  {task.fields[speed]} images/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console.stderr(), transient=True) as progress:
        task = progress.add_task("training", total=None, epoch="", loss="", lr="", speed="")
        epochs, steps_per_epoch = 0, 1
        loss, examples, since = 0.0, 0, time.perf_counter()

        def observe(event: Event) -> None:
            nonlocal epochs, steps_per_epoch, loss, examples, since
            if isinstance(event, TrainingStarted):
                epochs, steps_per_epoch = event.epochs, event.steps_per_epoch
                progress.update(task, total=epochs * steps_per_epoch, completed=event.steps_done)
                progress.console.print(_start_line(event))
                since = time.perf_counter()
            elif isinstance(event, StepDone):
                loss = event.loss if event.step == 1 else 0.9 * loss + 0.1 * event.loss
                examples += event.examples
                progress.update(
                    task,
                    completed=event.step,
                    epoch=f"{event.epoch + 1}/{epochs}",
                    loss=f"{loss:.3f}",
                    lr=f"{event.lr:.2g}",
                    speed=f"{examples / (time.perf_counter() - since):,.0f}",
                )
            elif isinstance(event, EpochDone):
                progress.console.print(_epoch_line(event, epochs))
            elif isinstance(event, MicroBatchHalved):
                progress.console.print(_memory_line(event))

        yield observe


def _start_line(event: TrainingStarted) -> str:
    resumed = f", going on after step {event.steps_done:,}" if event.steps_done else ""
    return (
        f"training   {event.images:,} images, {event.epochs} epochs of {event.steps_per_epoch:,} steps, "
        f"{event.parameters:,} parameters, {event.device} in {event.precision}{resumed}"
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
