"""An optimizer of the user's own, and its whole state as tensors, so that a checkpoint has it and a resume is exact."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fittingroom.errors import ArtifactError, RecipeError
from fittingroom.own_code.call import arguments_for, construct, load_callable, takes
from fittingroom.recipes.recipe import Recipe

METHODS = ("step", "zero_grad", "state_dict", "load_state_dict")
PREFIX = "own_optimizer."  # of its tensors in a checkpoint
STRUCTURE = f"{PREFIX}structure"  # what the tensors stand in, and all that is no tensor: JSON, uint8


def make_own_optimizer(groups: list[dict[str, Any]], recipe: Recipe) -> Any:
    """Construct it as ``name(groups, **optimizer_args)``.

    Args:
        groups: of ``params``, with ``role``, ``lr`` and the recipe's keys; of these it gets what its constructor takes.
        recipe: names it.

    Raises:
        RecipeError: it fails, or lacks what a training and its checkpoints ask of an optimizer.
    """
    name, given = recipe.optimizer, recipe.optimizer_args
    found = load_callable(name, "optimizer")
    if "lr" in given:
        raise RecipeError(f"optimizer {name}: optimizer_args.lr: the stages have the rate: stages.0.lr={given['lr']}")

    own = [
        {key: value for key, value in group.items() if key in ("params", "role", "lr") or _wants(found, key, given)}
        for group in groups
    ]
    arguments = arguments_for(found, name, "optimizer", given, {"lr": recipe.stages[0].lr})
    made = construct(found, name, "optimizer", arguments, own)

    missing = [method for method in METHODS if not callable(getattr(made, method, None))]
    missing += [] if isinstance(getattr(made, "param_groups", None), list) else ["param_groups"]
    if missing:
        raise RecipeError(
            f"optimizer {name}: an optimizer with param_groups, {', '.join(METHODS)} expected, as torch.optim.Optimizer"
            f" has them; this one has no {', '.join(missing)}"
        )

    # set_lr goes by a group's role: one without it, or a group of the optimizer's own, would have no rate.
    roles = [group.get("role") for group in made.param_groups if isinstance(group, dict)]
    if roles != [group["role"] for group in groups]:
        raise RecipeError(
            f"optimizer {name}: its param_groups are to be those that it was given, as each has its own rate; it has "
            f"{len(made.param_groups)} of {len(groups)}: pass the first argument on as it is"
        )
    return made


def _wants(found: Any, key: str, given: Mapping[str, Any]) -> bool:
    return key not in given and takes(found, key)


def pack(optimizer: Any, name: str) -> dict[str, Tensor]:
    """All that ``state_dict`` gives, as tensors. Raises RecipeError for what is neither tensor nor plain value."""
    tensors: dict[str, Tensor] = {}

    def plain(value: Any, path: str) -> Any:
        if isinstance(value, Tensor):
            number = str(len(tensors))
            tensors[PREFIX + number] = value

            # safetensors keeps no strides, and another layout would sum in another order: other bits.
            is_last = (
                value.ndim == 4 and not value.is_contiguous() and value.is_contiguous(memory_format=torch.channels_last)
            )
            return {"tensor": number, "channels_last": is_last}

        if isinstance(value, Mapping):
            return {"dict": [[plain(key, path), plain(each, f"{path}.{key}")] for key, each in value.items()]}
        if isinstance(value, list | tuple):
            kind = "list" if isinstance(value, list) else "tuple"
            return {kind: [plain(each, f"{path}.{i}") for i, each in enumerate(value)]}
        if value is None or isinstance(value, bool | int | float | str):
            return value

        raise RecipeError(
            f"optimizer {name}: state_dict has a {type(value).__name__} at {path}; tensors, numbers, texts, lists and "
            "dicts expected: nothing else is kept in a checkpoint"
        )

    structure = json.dumps(plain(optimizer.state_dict(), "state_dict")).encode()
    return tensors | {STRUCTURE: torch.frombuffer(bytearray(structure), dtype=torch.uint8)}


def load(optimizer: Any, tensors: Mapping[str, Tensor], name: str) -> None:
    """Give a fresh optimizer the state that :func:`pack` took, and see that it has it.

    Raises:
        ArtifactError: the tensors aren't those of such an optimizer, or it doesn't take all of them over.
    """

    def value_of(plain: Any) -> Any:
        if not isinstance(plain, dict):
            return plain
        if "tensor" in plain:
            tensor = tensors[PREFIX + plain["tensor"]].clone()
            return tensor.contiguous(memory_format=torch.channels_last) if plain["channels_last"] else tensor
        if "dict" in plain:
            return {value_of(key): value_of(each) for key, each in plain["dict"]}
        items = [value_of(each) for each in plain["list" if "list" in plain else "tuple"]]
        return items if "list" in plain else tuple(items)

    try:
        structure = tensors[STRUCTURE].cpu().numpy().tobytes().decode()
        optimizer.load_state_dict(value_of(json.loads(structure)))
        _take_exactly(optimizer, tensors, structure)
        now = pack(optimizer, name)
    except (Exception, SystemExit) as error:  # the user's own code is given what a file has
        raise ArtifactError(
            f"state of optimizer {name} expected, which its load_state_dict takes: {type(error).__name__}: {error}"
        ) from error

    if now.keys() != tensors.keys() or any(not _same(now[key], tensors[key]) for key in now):
        raise ArtifactError(
            f"optimizer {name}: its load_state_dict doesn't take over all that its state_dict gave, so that going on "
            "would not give the same result"
        )


def _take_exactly(optimizer: Any, tensors: Mapping[str, Tensor], structure: str) -> None:
    """Undo PyTorch's cast of what it loads to the type of the parameters, such as of float64 sums."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        return
    saved = {key: value for key, value in tensors.items() if key != STRUCTURE}
    now = pack(optimizer, "")
    if json.loads(now[STRUCTURE].numpy().tobytes()) != json.loads(structure):
        return  # the comparison that follows says so

    # Where a tensor lies says which it is: state_dict numbers the parameters, and state is by the parameters alone.
    by_place = {value.data_ptr(): key for key, value in now.items() if key != STRUCTURE and value.numel()}
    for state in optimizer.state.values():
        for key, value in state.items():
            place = by_place.get(value.data_ptr()) if isinstance(value, Tensor) else None
            if place is not None and value.dtype != saved[place].dtype:
                state[key] = torch.empty_like(value, dtype=saved[place].dtype).copy_(saved[place])


def _same(one: Tensor, other: Tensor) -> bool:
    other = other.to(one.device)
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one.nan_to_num(), other.nan_to_num())


def try_optimizer(recipe: Recipe, network: nn.Module, make: Any) -> None:
    """Take two steps, go on from their checkpoint, and see that a third step is the same as without.

    Args:
        recipe: that names an optimizer of the user's own.
        network: whose parameters have the shapes; it is left as it is.
        make: makes the optimizer of a network and a recipe.

    Raises:
        RecipeError: a step fails, spoils a weight, or goes by something that isn't in the state.
    """
    name = f"optimizer {recipe.optimizer}"
    draw = torch.Generator().manual_seed(0)

    def step(network: nn.Module, optimizer: Any) -> None:
        for p in network.parameters():
            p.grad = torch.randn(p.shape, generator=draw).to(p) * 0.01 if p.requires_grad else None
        # As the loop does before each step.
        for group in optimizer.param_groups:
            group["lr"] = recipe.stages[0].lr
        try:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        except (Exception, SystemExit) as error:
            raise RecipeError(
                f"{name}: step() and zero_grad(set_to_none=True) expected; a step failed: "
                f"{type(error).__name__}: {error}"
            ) from error
        if not all(bool(p.isfinite().all()) for p in network.parameters()):
            raise RecipeError(f"{name}: finite weights after a step expected, infinite ones or NaN found")

    whole = copy.deepcopy(network)
    optimizer = make(whole, recipe)
    for _ in range(2):
        step(whole, optimizer)

    # Cloned, as a checkpoint's file would be: the steps that follow change the tensors in place.
    kept = {key: value.clone() for key, value in pack(optimizer, recipe.optimizer).items()}
    resumed = copy.deepcopy(whole)
    again = make(resumed, recipe)
    try:
        load(again, kept, recipe.optimizer)
    except ArtifactError as error:
        raise RecipeError(f"{name}: no resume would be possible: {error}") from error

    seed = draw.get_state()
    for each, of_it in ((whole, optimizer), (resumed, again)):
        draw.set_state(seed)
        step(each, of_it)
    if not all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True)):
        raise RecipeError(
            f"{name}: a third step is another one after a resume: it goes by something that isn't in state_dict; keep "
            "what it remembers in self.state[p] or in param_groups"
        )
