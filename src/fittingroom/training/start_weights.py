"""Weights that a training starts from: those of another run, or of a file. By name and shape, the classes by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fittingroom.data.normalization import Normalization
from fittingroom.errors import RecipeError
from fittingroom.recipes.recipe import Recipe

LISTED = 5  # names that a message lists
COUNTER = "num_batches_tracked"  # of batch norm, which files from elsewhere may lack: it decides nothing


@dataclass(frozen=True, eq=False, kw_only=True)
class StartWeights:
    """What a training starts from.

    Attributes:
        name: whose weights they are, for messages.
        tensors: by their names in the network's ``state_dict()``.
        classes: of the head among them, in the order of its rows; None where that isn't known.
        normalization: what pixels went through before these weights saw them; None where that isn't known.
        sentence: what whoever follows the training is told of it.
    """

    name: str
    tensors: Mapping[str, Tensor]
    classes: tuple[str, ...] | None
    normalization: Normalization | None
    sentence: str = ""


def refuse_without_start(recipe: Recipe) -> None:
    """Raise RecipeError for a recipe that goes by the weights that a training starts from, where there are none."""
    frozen = next((f"stages.{i}.freeze" for i, stage in enumerate(recipe.stages) if stage.freeze == "body"), None)
    if key := "normalize" if recipe.normalize == "model" else frozen:
        raise RecipeError(
            f"{key}: for a training that starts from weights: give a run to go on from (`from_run`), a file of weights "
            f"or a network of timm (`weights`, `model`); or leave {key} out"
        )


def known_normalization(start: StartWeights) -> Normalization:
    """What pixels went through before the weights saw them. Raises RecipeError where that isn't known."""
    if start.normalization is None:
        raise RecipeError(
            f"normalize: {start.name} doesn't say what its pixels went through: give normalize = unit or standard"
        )
    return start.normalization


def refuse_misfit(start: StartWeights, model: nn.Module, head: Mapping[str, int]) -> None:
    """Raise RecipeError where weights of the network, but for its head, are missing or of another shape.

    Args:
        start: the weights.
        model: built for the new classes.
        head: its tensors that belong to the classes, see :func:`fittingroom.models.head.class_dimensions`.
    """
    now = model.state_dict()
    body = {name: tensor for name, tensor in now.items() if name not in head}
    needed = [name for name in body if not name.endswith(COUNTER)]
    missing = [name for name in needed if name not in start.tensors]
    if missing:
        raise RecipeError(
            f"{start.name}: weights of this network expected, {len(missing)} of {len(needed)} tensors are not among "
            f"them ({_listed(missing)}): they are those of another network, or of one with other arguments"
        )

    # What is no number stays none in training, and makes all that comes after it none.
    broken = [name for name in needed if not torch.isfinite(start.tensors[name]).all()]
    if broken:
        raise RecipeError(
            f"{start.name}: finite numbers expected, NaN or infinite ones found in {len(broken)} of {len(needed)} "
            f"tensors ({_listed(broken)}), as a training that failed leaves them: give other weights"
        )

    # A head has another number of rows for other classes; what it is fed by is the body's.
    apart = [name for name in needed if start.tensors[name].shape != body[name].shape]
    apart += [name for name in head if not _is_fed_alike(start.tensors.get(name), now[name], head[name])]
    if apart:
        shapes = [f"{name} {tuple(start.tensors[name].shape)}, here {tuple(now[name].shape)}" for name in apart]
        raise RecipeError(
            f"{start.name}: its weights don't fit this network: {_listed(shapes)}. Images of another size or with "
            "other channels change the shapes: leave `size` and `channels` to the weights, which then make the images "
            "over, or train from scratch"
        )


def take_over(start: StartWeights, model: nn.Module, head: Mapping[str, int], classes: Sequence[str]) -> None:
    """Put the weights into a network that they fit: all of its body, and of the head the rows of shared classes.

    Args:
        start, model, head: as for :func:`refuse_misfit`.
        classes: the new ones, in the order of their rows. Those that ``start`` doesn't know keep the new rows.
    """
    now = model.state_dict()  # shares its memory with the model
    with torch.no_grad():
        for name, tensor in now.items():
            if name not in head:
                if name in start.tensors:
                    tensor.copy_(start.tensors[name])
                continue
            before = start.tensors.get(name)
            if before is None or not _has_rows_of(start, before, head[name]):
                continue
            for new, old in _shared(start.classes, classes):
                tensor.select(head[name], new).copy_(before.select(head[name], old))


def head_sentence(start: StartWeights, head: Mapping[str, int], classes: Sequence[str]) -> str:
    """Say what of the head is kept."""
    has_rows = any(
        name in start.tensors and _has_rows_of(start, start.tensors[name], dimension)
        for name, dimension in head.items()
    )
    shared = _shared(start.classes, classes) if has_rows else []
    count = f"{len(classes):,} classes"
    if not shared:
        why = "" if start.classes is None else f": none of them is among the {len(start.classes):,} that it knows"
        return f"a new head for {count}{why}"
    if len(shared) < len(classes):
        kept = {classes[new] for new, _ in shared}
        others = [name for name in classes if name not in kept]
        by_name = f"{len(shared):,} class{'es are' if len(shared) > 1 else ' is'} kept by name"
        return f"of its head {by_name}, {len(others):,} {'are' if len(others) > 1 else 'is'} new: {_listed(others)}"
    if start.classes == tuple(classes):
        return f"its head is kept, with the same {count}"
    left = len(start.classes or ()) - len(shared)
    return f"its head is kept by name for {count}" + (f", {left:,} of its own are left out" if left else "")


def freeze_body(model: nn.Module, head: Iterable[str], learns: Sequence[nn.Parameter]) -> None:
    """Have only the head learn.

    Args:
        model: the network.
        head: names of its tensors that belong to the classes.
        learns: the parameters that learn when nothing is frozen; those of the head among them go on.
    """
    names = set(head)
    of_head = {id(p) for name, p in model.named_parameters() if name in names}
    for p in learns:
        p.requires_grad_(id(p) in of_head)


def train_head_alone(model: nn.Module, head: Iterable[str]) -> None:
    """Put the modules that have the head's tensors into training mode, and all others into evaluation mode.

    So neither the running statistics of batch norm move while the body is frozen, nor does dropout there draw.
    """
    owners = {name.rpartition(".")[0] for name in head}
    model.eval()
    for name, module in model.named_modules():
        if name in owners:
            module.train()


def _has_rows_of(start: StartWeights, before: Tensor, dimension: int) -> bool:
    """Whether a tensor of the head has a row for each class that is known by name."""
    return start.classes is not None and before.shape[dimension] == len(start.classes)


def _is_fed_alike(before: Tensor | None, now: Tensor, dimension: int) -> bool:
    """Whether two tensors of a head differ in their rows alone; also where there is none to compare with."""
    if before is None:
        return True
    return before.ndim == now.ndim and all(before.shape[d] == now.shape[d] for d in range(now.ndim) if d != dimension)


def _shared(before: Sequence[str] | None, now: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs (new row, old row) of the classes that both have."""
    place = {name: row for row, name in enumerate(before or ())}
    return [(new, place[name]) for new, name in enumerate(now) if name in place]


def _listed(names: Sequence[str]) -> str:
    rest = f", and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + rest
