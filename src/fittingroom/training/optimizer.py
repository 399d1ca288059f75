"""Optimizers, and learning rates as pure functions of the step."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from fittingroom.own_code.name import is_own
from fittingroom.recipes.recipe import Recipe, Stage
from fittingroom.training.own_optimizer import make_own_optimizer
from fittingroom.training.own_schedule import OwnSchedule


def lr_at(step: int, total: int, stage: Stage, steps_per_epoch: int, own: OwnSchedule | None = None) -> float:
    """Give the factor in 0–1 on a stage's peak rates at its 0-based ``step`` of ``total``; ``own`` is the user's.

    The rate of a step is that of the middle of its interval, so that neither the first nor the last step is lost at 0.
    """
    if own is not None:
        return own(step, total)
    middle = step + 0.5
    if stage.schedule == "constant" and not stage.warmup:
        return 1.0
    if stage.schedule == "one-cycle":  # Smith 2018, arXiv 1803.09820, with cosines as fastai and PyTorch draw it
        top = 0.3 * total
        if middle < top:
            return _cosine(1 / 25, 1.0, middle / top)
        return _cosine(1.0, 1e-4, (middle - top) / (total - top))

    # All others rise along a straight line first, and fall over what is left of the stage.
    rise = min(stage.warmup * steps_per_epoch, total)
    if middle < rise:
        return middle / rise
    fall = (middle - rise) / (total - rise)
    return {"constant": 1.0, "linear": 1.0 - fall, "cosine": _cosine(1.0, 0.0, fall)}[stage.schedule]


def make_optimizer(model: nn.Module, recipe: Recipe) -> Optimizer:
    """Make a fresh optimizer, with one group for the filters and one for the rest.

    Filters are the convolution kernels for muon, all weights of two dimensions or more for the others. A group's
    ``role`` says which it is; :func:`set_lr` sets its rate before each step.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    dimensions = 4 if recipe.optimizer == "muon" else 2
    filters = [p for p in parameters if p.ndim >= dimensions]
    rest = [p for p in parameters if p.ndim < dimensions]
    groups = [_group("filters", filters, recipe), _group("rest", rest, recipe)]
    groups = [group for group in groups if group["params"]]

    if is_own(recipe.optimizer):
        return make_own_optimizer(_own_groups(groups, recipe), recipe)  # type: ignore[no-any-return]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups)
    if recipe.optimizer in ("adam", "adamw"):
        adam = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
        return adam(groups, fused=True if _is_dense_on_cpu(parameters) else None)
    return Muon(groups)


def _is_dense_on_cpu(parameters: list[nn.Parameter]) -> bool:
    """Whether PyTorch's fused step on the CPU, which reads memory as it lies, sees in all of them what they hold.

    A gradient is laid out as its parameter is, where that one leaves no gap.
    """
    return all(
        p.device.type == "cpu"
        and p.is_floating_point()
        and (p.is_contiguous() or p.is_contiguous(memory_format=torch.channels_last))
        for p in parameters
    )


def set_lr(optimizer: Optimizer, stage: Stage, factor: float) -> None:
    """Set each group's rate to ``factor`` times the stage's peak for its role."""
    rest_lr = stage.lr if stage.rest_lr is None else stage.rest_lr
    for group in optimizer.param_groups:
        group["lr"] = factor * (stage.lr if group["role"] == "filters" else rest_lr)


# Of Jordan's 5: on validation no worse for networks of this size (benchmarks/log.md), and faster.
NEWTON_SCHULZ_STEPS = 3


class Muon:
    """Muon (Jordan 2024, kellerjordan.github.io/posts/muon) on the filters, AdamW on the groups of role ``rest``.

    A filter bank's Nesterov momentum is flattened to (out, in·h·w) and replaced by the nearest semi-orthogonal matrix,
    found by a Newton–Schulz iteration. Banks of equal shape are iterated as one batch. Weight decay is decoupled.

    It has what a training asks of a ``torch.optim.Optimizer`` and is none: constructing one loads PyTorch's compiler,
    which takes as long as a tenth of swift's training.
    """

    def __init__(self, groups: Iterable[dict[str, Any]]):
        self.param_groups: list[dict[str, Any]] = [{"lr": 0.0} | group for group in groups]
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients. ``set_to_none`` is there for the sake of the common signature."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Give ``state`` by the number of the parameter, counted through the groups, as in PyTorch's optimizers."""
        parameters = [p for group in self.param_groups for p in group["params"]]
        return {"state": {i: self.state[p] for i, p in enumerate(parameters) if p in self.state}}

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            gradients = {p: p.grad for p in group["params"] if p.grad is not None}
            (self._muon if group["role"] == "filters" else self._adamw)(gradients, group)

    def _muon(self, gradients: dict[nn.Parameter, Tensor], group: dict[str, Any]) -> None:
        by_shape: defaultdict[torch.Size, list[nn.Parameter]] = defaultdict(list)
        for p in gradients:
            by_shape[p.shape].append(p)
        for bank in by_shape.values():
            # Nesterov's momentum: the gradient as it would be if the step went on like the last ones.
            ahead = []
            for p in bank:
                buffer = self._state(p, "momentum_buffer").mul_(group["momentum"]).add_(gradients[p])
                ahead.append(gradients[p].add(buffer, alpha=group["momentum"]))

            directions = orthogonalize(torch.stack(ahead).flatten(2), NEWTON_SCHULZ_STEPS)
            for p, direction in zip(bank, directions, strict=True):
                p.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction.view(p.shape), alpha=-group["lr"])

    def _adamw(self, gradients: dict[nn.Parameter, Tensor], group: dict[str, Any]) -> None:
        if not gradients:
            return

        # PyTorch's own function without its class, which would load its compiler. The empty list is that of AMSGrad.
        parameters: list[Any] = list(gradients)
        adamw(
            parameters,
            list(gradients.values()),
            [self._state(p, "exp_avg") for p in parameters],
            [self._state(p, "exp_avg_sq") for p in parameters],
            [],
            [self.state[p].setdefault("step", torch.zeros(())) for p in parameters],
            fused=parameters[0].device.type == "cpu",  # elsewhere it would want the step on the device
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=1e-8,
            maximize=False,
        )

    def _state(self, p: nn.Parameter, name: str) -> Tensor:
        """A parameter's tensor of this name, zeros at first."""
        state = self.state[p]
        if name not in state:
            state[name] = torch.zeros_like(p)
        return state[name]  # type: ignore[no-any-return]


def orthogonalize(matrices_BMN: Tensor, iterations: int = 5) -> Tensor:
    """Find about U·Vᵀ for each matrix U·Σ·Vᵀ of a batch, scaled by √max(1, M/N): singular values of about 0.7–1.2.

    One that was below about 1/300 of its matrix's Frobenius norm stays smaller.

    Args:
        matrices_BMN: float (B, M, N).
        iterations: of Newton and Schulz, quintic; the coefficients are Jordan's (2024), chosen for a steep rise at 0.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrices_BMN.shape[-2] > matrices_BMN.shape[-1]
    scale = max(1.0, matrices_BMN.shape[-2] / matrices_BMN.shape[-1]) ** 0.5

    # Wide, so that the products x·xᵀ are as small as they can be, and of a norm from which the iteration converges.
    x = matrices_BMN.mT if tall else matrices_BMN
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    add_product: Callable[..., Tensor] = torch.baddbmm
    if len(x) == 1:  # a product of two matrices is faster than a batch of one
        x, add_product = x.squeeze(0), torch.addmm

    # Each singular value s becomes a·s + b·s³ + c·s⁵.
    for _ in range(iterations):
        gram = x @ x.mT
        x = add_product(x, add_product(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    result: Tensor = (x.mT if tall else x) * scale
    return result.reshape(matrices_BMN.shape)


Optimizer = torch.optim.Optimizer | Muon


def _group(role: str, parameters: list[nn.Parameter], recipe: Recipe) -> dict[str, Any]:
    """A parameter group with what the recipe says of its role, by the names that its optimizer takes."""
    is_rest = role == "rest"
    momentum = recipe.momentum if recipe.rest_momentum is None or not is_rest else recipe.rest_momentum
    decay = recipe.rest_weight_decay if is_rest else recipe.weight_decay
    shared = {"role": role, "params": parameters, "weight_decay": decay}
    if recipe.optimizer in ("adam", "adamw") or (recipe.optimizer == "muon" and is_rest):
        return shared | {"betas": (momentum, recipe.beta2)}
    if recipe.optimizer == "sgd":
        return shared | {"momentum": momentum, "nesterov": momentum > 0}
    return shared | {"momentum": momentum}


def _own_groups(groups: list[dict[str, Any]], recipe: Recipe) -> list[dict[str, Any]]:
    """The same groups with all that an optimizer may take, by PyTorch's names."""
    stage = recipe.stages[0]
    rates = {"filters": stage.lr, "rest": stage.lr if stage.rest_lr is None else stage.rest_lr}
    return [group | {"lr": rates[group["role"]], "betas": (group["momentum"], recipe.beta2)} for group in groups]


def _cosine(start: float, end: float, share: float) -> float:
    """From ``start`` to ``end`` along half a cosine, of which ``share`` in 0–1 is done."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
