"""Where a training runs and who follows it: everything beside the recipe and the data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fittingroom.events import NO_HOOKS, Hooks
from fittingroom.parallel.process_group import ALONE, ProcessGroup
from fittingroom.training.checkpoint import Checkpoints


@dataclass(frozen=True, kw_only=True)
class TrainContext:
    """Where a training runs and who follows it; what is learned is the recipe's alone.

    Attributes:
        device: such as ``cpu`` or ``cuda``.
        precision: ``float32`` or ``bf16``, resolved.
        checkpoints: where the state is kept, from the newest of which the training goes on; None keeps none.
        hooks: receive the events of :mod:`fittingroom.events`; asked in each step whether to stop after it.
        group: the processes that train together, each called with the same arguments. Only the main process is given
            ``checkpoints``, a ``snapshot_file``, and an observer that is to be heard.
        snapshot_file: where what the model says of a few validation images is written now and then; None for nowhere.
    """

    device: str = "cpu"
    precision: str = "float32"
    checkpoints: Checkpoints | None = None
    hooks: Hooks = NO_HOOKS
    group: ProcessGroup = ALONE
    snapshot_file: Path | None = None
