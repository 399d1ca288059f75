"""What training reports to an observer. Observers receive values, never the model, and can't change the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = [  # what an observer meets
    "CheckpointSaved",
    "EpochDone",
    "JobDone",
    "JobEvent",
    "MicroBatchHalved",
    "ProcessorsTaken",
    "RecipeSettled",
    "StepDone",
    "TrainingStarted",
    "WatchedAt",
    "Working",
]


@dataclass(frozen=True, kw_only=True)
class RecipeSettled:
    """What the data decided about the recipe, before the training starts: which one it is, or how long it trains."""

    sentence: str


@dataclass(frozen=True, kw_only=True)
class Working:
    """Something beside the steps of a training has begun: reading, checking, exporting. It ends with the next event.

    Attributes:
        what: is done, such as ``reading the data``.
        done, total: how much of it; 0 of 0 where that isn't known.
    """

    what: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True, kw_only=True)
class TrainingStarted:
    """Sent once, also after a resume.

    Attributes:
        epochs, steps_per_epoch: the whole plan.
        steps_done: of all epochs; above 0 after a resume.
        parameters: learned numbers of the model.
        device, precision: as resolved, such as ``cpu`` and ``bf16``.
        images: in the training set, the validation images left out.
        processes: that train together.
        origin: what the training started from, and what of its head is kept; empty for new weights.
        expected_seconds: of all epochs, on this machine; None where it wasn't measured, see
            :mod:`fittingroom.training.expected_time`.
        stage_epochs: of each stage of the plan.
    """

    epochs: int
    steps_per_epoch: int
    steps_done: int
    parameters: int
    device: str
    precision: str
    images: int
    processes: int = 1
    origin: str = ""
    expected_seconds: float | None = None
    stage_epochs: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StepDone:
    """After each optimizer step: ``step`` of all epochs from 1, ``epoch`` from 0, mean ``loss`` of the batch."""

    step: int
    epoch: int
    loss: float
    lr: float
    examples: int


@dataclass(frozen=True, kw_only=True)
class EpochDone:
    """After each epoch: means over all its examples, and the validation scores where there are validation images.

    ``train_loss`` and ``train_accuracy`` are those seen while learning: with augmentation, label smoothing and weights
    that still moved; of mixed images, the class of the larger part is the right one. ``validation_judged`` is what the
    recipe's ``judge`` names, where that isn't the accuracy. ``seconds`` counts the training so far, over all resumes.
    ``state_sha256`` is that of the complete state: weights, average and optimizer; two trainings with the same one have
    come to the same bits.
    """

    step: int
    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float
    state_sha256: str = ""
    validation_judged: float | None = None


@dataclass(frozen=True, kw_only=True)
class MicroBatchHalved:
    """Memory ran out: from here on, batches go through in parts of ``micro_batch`` examples.

    The gradient stays that of the whole batch. Batch-norm statistics are those of the parts.
    """

    epoch: int
    micro_batch: int


@dataclass(frozen=True, kw_only=True)
class ProcessorsTaken:
    """Other programs leave fewer processors free than the training has threads.

    Attributes:
        taken: processors' worth of time that others used while the training was watched.
        processors: that this process may use.
        threads: of the training.
        share_layers: whether several threads compute a layer together, and wait for each other in each; those of a
            recipe with ``batch_parts`` need not.
    """

    taken: float
    processors: int
    threads: int
    share_layers: bool = True


@dataclass(frozen=True, kw_only=True)
class CheckpointSaved:
    """The complete state after ``step`` steps is on disk at ``path``."""

    step: int
    path: str


@dataclass(frozen=True, kw_only=True)
class JobEvent:
    """What ``job`` reports, one of several trainings that belong together: a seed, a trial of a search, a fold."""

    job: str
    event: Event


@dataclass(frozen=True, kw_only=True)
class JobDone:
    """``job`` has come to its end; ``outcome`` says in a few words what came out."""

    job: str
    outcome: str


@dataclass(frozen=True, kw_only=True)
class WatchedAt:
    """The run can be watched in a browser of this machine at ``address`` from now on, as long as it is trained."""

    address: str


OfATraining = TrainingStarted | StepDone | EpochDone | MicroBatchHalved | ProcessorsTaken | CheckpointSaved
Event = Working | RecipeSettled | WatchedAt | OfATraining | JobEvent | JobDone
Observer = Callable[[Event], None]


def _ignore(_event: Event) -> None:
    """Observe nothing."""


def _never() -> bool:
    """Let the training come to its end."""
    return False


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """How whoever asked for a training follows it and may end it: what every function in between passes on unread.

    Attributes:
        observe: receives each event.
        should_stop: asked after each step; true has the state saved, and then :class:`fittingroom.errors.Interrupted`
            raised.
    """

    observe: Observer = _ignore
    should_stop: Callable[[], bool] = _never

    @classmethod
    def of(cls, observe: Observer | None, should_stop: Callable[[], bool] | None) -> Hooks:
        """The hooks of a public function's two arguments, where None stands for nobody."""
        return cls(observe=observe or _ignore, should_stop=should_stop or _never)


NO_HOOKS = Hooks()
