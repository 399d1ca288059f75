"""How a training shows itself: a bar on a terminal and in a notebook, else a line an epoch. One observer of many."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fittingroom.events import (
    EpochDone,
    Event,
    JobDone,
    JobEvent,
    MicroBatchHalved,
    Observer,
    ProcessorsTaken,
    RecipeSettled,
    StepDone,
    TrainingStarted,
    WatchedAt,
    Working,
)
from fittingroom.rendering.share import share_text
from fittingroom.rendering.terminal import console, is_notebook, is_terminal, tell

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SECONDS_BETWEEN_DRAWINGS = 0.25  # in a notebook, where each goes to a browser


@contextmanager
def shown(progress: bool | None, observe: Observer | None) -> Iterator[Observer]:
    """An observer that shows a training to whoever called it from Python, and tells ``observe`` too.

    Args:
        progress: whether to; None for: on a terminal or in a notebook, where nobody else observes.
        observe: who else is told.
    """
    if progress is None:
        progress = observe is None and (is_notebook() or is_terminal(sys.stderr))
    if not progress:
        yield observe or _address_alone
        return
    with showing(quiet=False) as show:

        def both(event: Event) -> None:
            show(event)
            if observe is not None:
                observe(event)

        yield both


@contextmanager
def showing(*, quiet: bool) -> Iterator[Observer]:
    """An observer that prints on stderr what a person wants to see; with ``quiet`` only where it can be watched."""
    if quiet:
        yield _address_alone
    elif is_notebook():
        with _in_notebook() as observer:
            yield observer
    elif is_terminal(sys.stderr):
        with _bars() as observer:
            yield observer
    else:
        yield _Lines(tell, speeds=True)


def _address_alone(event: Event) -> None:
    """Print where a training can be watched, which nobody could guess."""
    if isinstance(event, WatchedAt):
        tell(_address_line(event))


class _Lines:
    """A line for each epoch, and for what needs to be known. Of several trainings each line opens with whose it is.

    Args:
        log: prints a line.
        speeds: whether an epoch's line says how fast it went.
    """

    def __init__(self, log: Callable[[str], None], *, speeds: bool):
        self.log, self.speeds = log, speeds
        self.paces: dict[str, _Pace] = {}
        self.starts: set[str] = set()

    def __call__(self, event: Event) -> None:
        """Print the event, if it is worth a line."""
        job, event = _job_of(event)
        name = _opening(job)

        # Each job has a pace of its own: several train at once, and their events come interleaved.
        if isinstance(event, RecipeSettled):
            self.log(name + _recipe_line(event))
        elif isinstance(event, WatchedAt):
            self.log(_address_line(event))
        elif isinstance(event, TrainingStarted):
            self.paces[job] = _Pace(event)
            if (line := _start_line(event)) not in self.starts:  # it is the same for each seed
                self.log(line)
            self.starts.add(line)
        elif isinstance(event, EpochDone):
            pace = self.paces[job]
            self.log(name + _epoch_line(event, pace) + (pace.of_epoch(event) if self.speeds else ""))
        elif isinstance(event, StepDone):
            self.paces[job].lr = event.lr
        elif isinstance(event, MicroBatchHalved):
            self.log(name + _memory_line(event))
        elif isinstance(event, ProcessorsTaken):
            self.log(name + _taken_line(event))
        elif isinstance(event, JobDone) and event.outcome:
            self.log(name + event.outcome)


@contextmanager
def _bars() -> Iterator[Observer]:
    """A bar for each training that is going on."""
    from rich.progress import Progress

    with Progress(*_columns(), console=console(stderr=True), transient=True) as progress:
        yield _Bars(progress, progress.console.print)


@contextmanager
def _in_notebook() -> Iterator[Observer]:
    """The same bars as Rich shows them in a notebook, drawn anew in their place; lines below them as text."""
    from IPython.display import HTML, display
    from rich.progress import Progress

    # Never started: its thread would need ipywidgets. It is drawn by what is displayed, at events.
    progress = Progress(*_columns(), auto_refresh=False)
    place = display(progress, display_id=True)  # type: ignore[no-untyped-call]
    bars = _Bars(progress, print)
    drawn = 0.0

    def observe(event: Event) -> None:
        nonlocal drawn
        bars(event)
        is_step = isinstance(_job_of(event)[1], StepDone)
        if not is_step or time.monotonic() - drawn > SECONDS_BETWEEN_DRAWINGS:
            place.update(progress)
            drawn = time.monotonic()

    try:
        yield observe
    finally:
        place.update(HTML(""))  # type: ignore[no-untyped-call]


def _columns() -> tuple[Any, ...]:
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

    return (
        TextColumn("{task.description}{task.fields[epoch]}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[now]}"),
        TimeRemainingColumn(),
    )


class _Bars:
    """Moves the bars, which say how fast it goes, and prints above them what :class:`_Lines` prints."""

    def __init__(self, progress: Progress, log: Callable[[str], None]):
        self.progress, self.lines = progress, _Lines(log, speeds=False)
        self.work: TaskID | None = None
        self.tasks: dict[str, TaskID] = {}
        self.losses: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        """Show the event."""
        self.lines(event)
        job, event = _job_of(event)

        # What is done beside the training is done when anything else is reported.
        if self.work is not None and not isinstance(event, Working):
            self.progress.remove_task(self.work)
            self.work = None
        if isinstance(event, Working):
            self._work(job, event)
        elif isinstance(event, TrainingStarted):
            self._start(job, event)
        elif isinstance(event, StepDone):
            self._step(job, event)

        # A trial of a search that is done gives its place to the next one.
        elif isinstance(event, JobDone) and job in self.tasks:
            self.progress.remove_task(self.tasks.pop(job))

    def _work(self, job: str, event: Working) -> None:
        if self.work is None:
            for task in self.progress.tasks:  # a training that is done is no news beside it
                self.progress.update(task.id, visible=not task.finished)
            self.work = self.progress.add_task("", total=None, epoch="", now="")
        self.progress.update(
            self.work, description=f"{_opening(job)}{event.what}", completed=event.done, total=event.total or None
        )

    def _start(self, job: str, event: TrainingStarted) -> None:
        if job not in self.tasks:
            self.tasks[job] = self.progress.add_task(_opening(job), total=None, epoch="", now="")
        steps = event.epochs * event.steps_per_epoch
        self.progress.update(self.tasks[job], total=steps, completed=event.steps_done, visible=True)

    def _step(self, job: str, event: StepDone) -> None:
        # The loss of single batches jumps too much to be read: a moving average over about ten of them is shown.
        pace = self.lines.paces[job]
        self.losses[job] = 0.9 * self.losses.get(job, event.loss) + 0.1 * event.loss
        self.progress.update(
            self.tasks[job],
            completed=event.step,
            epoch=f"epoch {event.epoch + 1}/{pace.epochs}{pace.stage_of(event.epoch)}",
            now=f"loss {self.losses[job]:.3f}  lr {event.lr:.2g}  {pace.images_per_second(event.step):,.0f} images/s",
        )


class _Pace:
    """How fast a training goes, by the steps that it reports; those of a worker elsewhere are not all reported."""

    def __init__(self, start: TrainingStarted):
        self.epochs, self.stage_epochs = start.epochs, start.stage_epochs
        self.lr: float | None = None  # of the newest step that was reported
        self.images_per_step = start.images / start.steps_per_epoch
        self.step, self.since = start.steps_done, time.perf_counter()
        self.last_epoch = (0, 0.0) if start.steps_done == 0 else None  # steps and seconds of training up to its end

    def images_per_second(self, step: int) -> float:
        """Since the start."""
        return (step - self.step) * self.images_per_step / (time.perf_counter() - self.since)

    def stage_of(self, epoch: int) -> str:
        """`` (stage 2/3)`` for an epoch, from 0, of a training in several stages; else nothing."""
        if len(self.stage_epochs) < 2:
            return ""
        ends = [sum(self.stage_epochs[: number + 1]) for number in range(len(self.stage_epochs))]
        stage = next((number for number, end in enumerate(ends, 1) if epoch < end), len(ends))
        return f" (stage {stage}/{len(ends)})"

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


def _opening(job: str) -> str:
    """What a line of a training among others begins with."""
    return f"{job}   " if job else ""


def _recipe_line(event: RecipeSettled) -> str:
    return f"recipe     {event.sentence}"


def _address_line(event: WatchedAt) -> str:
    return f"watch      {event.address}"


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
    if seconds < 6000:
        return f"; ≈ {seconds / 60:.0f} min on this machine"
    return f"; ≈ {seconds / 3600:.1f} h on this machine"


def _epoch_line(event: EpochDone, pace: _Pace) -> str:
    epochs = pace.epochs
    number = f"epoch {event.epoch + 1:>{len(str(epochs))}}/{epochs}{pace.stage_of(event.epoch)}"
    line = f"{number}   loss {event.train_loss:.4f}"
    if event.validation_loss is not None and event.validation_accuracy is not None:
        line += f"   validation loss {event.validation_loss:.4f}, accuracy {share_text(event.validation_accuracy)}"
    if event.validation_judged is not None:
        line += f", judged by {share_text(event.validation_judged)}"
    return line if pace.lr is None else f"{line}   lr {pace.lr:.2g}"


def _memory_line(event: MicroBatchHalved) -> str:
    return (
        f"out of memory: each batch now goes through in parts of {event.micro_batch:,} images; the gradient stays that "
        "of the whole batch, batch-norm statistics are those of the parts"
    )


def _taken_line(event: ProcessorsTaken) -> str:
    busy = f"other programs keep {event.taken:.1f} of {event.processors} processors busy"
    if not event.share_layers:
        return f"{busy}, so this training takes longer than on a quiet machine"
    return (
        f"{busy}, so the {event.threads} threads of this training wait for each other; with one thread it may be over "
        "sooner (other rounding, other bits)"
    )


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"
