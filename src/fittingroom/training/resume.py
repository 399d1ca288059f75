"""What a training writes into its checkpoints, and goes on from: in every process, and by the same recipe alone."""

from __future__ import annotations

from functools import partial
from typing import Any, TypedDict

import safetensors.torch
from torch import Tensor

from fittingroom.errors import ArtifactError
from fittingroom.events import CheckpointSaved
from fittingroom.files.records import read_record
from fittingroom.recipes.changes import differences
from fittingroom.training.checkpoint import Checkpoints, load_newest_checkpoint, save_checkpoint, tensors_to_bytes
from fittingroom.training.context import TrainContext
from fittingroom.training.state import TrainState


class CheckpointedState(TypedDict):
    """What a checkpoint says beside its tensors."""

    recipe: dict[str, Any]
    data: str
    precision: str
    progress: dict[str, Any]


def save_state(state: TrainState, step: int, context: TrainContext) -> None:
    """Write a checkpoint, if any are kept."""
    if (checkpoints := context.checkpoints) is not None:
        values = _identity(state, checkpoints, context.precision) | {"progress": dict(vars(state.progress))}
        path = save_checkpoint(checkpoints.folder, step, state.tensors(), values, keep=checkpoints.keep)
        context.hooks.observe(CheckpointSaved(step=step, path=str(path)))


def resume_state(state: TrainState, steps_per_epoch: int, context: TrainContext) -> None:
    """Take over the newest checkpoint, if there is one, in every process."""
    group = context.group

    def take_over(checkpoints: Checkpoints, tensors: dict[str, Tensor], values: dict[str, Any]) -> list[str]:
        # Of other data, or by another recipe, the result would be that of neither.
        read_record(CheckpointedState, values, "state.json", advice="it was damaged or changed")
        others = {key: values[key] for key in ("data", "precision")}
        now = _identity(state, checkpoints, context.precision)
        changes = differences(values["recipe"], now.pop("recipe")) + differences(others, now)
        if not changes:
            state.restore(tensors, values["progress"], steps_per_epoch)
        return changes

    kept = context.checkpoints
    if kept and (changes := load_newest_checkpoint(kept.folder, partial(take_over, kept), keep=kept.keep)):
        raise ArtifactError(
            f"{kept.folder}: a checkpoint can be resumed only with the recipe, data and precision that it "
            "was made with; these differ (checkpoint → now):\n  " + "\n  ".join(changes)
        )

    # The main process alone reads checkpoints; the others begin with the state that it sends, also of a new network.
    if group.size > 1:
        sent = group.broadcast_bytes(lambda: tensors_to_bytes(state.tensors()))
        progress = group.broadcast(lambda: dict(vars(state.progress)))
        if not group.is_main:
            state.restore(safetensors.torch.load(sent), progress, steps_per_epoch)


def _identity(state: TrainState, checkpoints: Checkpoints, precision: str) -> dict[str, Any]:
    """What must be the same for a checkpoint to be resumed."""
    return {"recipe": state.recipe.as_dict(), "data": checkpoints.data, "precision": precision}
