"""What a training makes small: the summed loss of a batch, by cross-entropy or by a function of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fittingroom.errors import RecipeError
from fittingroom.own_code.call import load_callable, takes, with_arguments
from fittingroom.recipes.recipe import Recipe

Loss = Callable[[Tensor, Tensor], Tensor]
"""From logits (N, C), and labels, int64 (N,) or of mixed images float32 (N, C), to the sum of N losses."""


def cross_entropy_sum(logits_NC: Tensor, y_N: Tensor) -> Tensor:
    """The loss of a recipe that names none, and has no label smoothing or class weights."""
    return F.cross_entropy(logits_NC, y_N, reduction="sum")


def make_loss(recipe: Recipe, class_weights: Tensor | None, num_classes: int, device: torch.device) -> Loss:
    """The recipe's loss.

    Args:
        recipe: says which, and its arguments.
        class_weights: of each class's loss, float32 (C,) on ``device``; None where all weigh the same.
        num_classes: C, ≥ 2.
        device: where the logits are.

    Raises:
        RecipeError: the user's own code fails, or gives something else than a loss.
    """
    if recipe.loss == "cross_entropy":
        smoothing = recipe.label_smoothing
        return partial(F.cross_entropy, weight=class_weights, label_smoothing=smoothing, reduction="sum")
    return OwnLoss(recipe, class_weights, num_classes, device)


class OwnLoss:
    """A loss of the user's own, as a sum over images.

    It is a function of ``(logits_NC, y_N)``, or a class whose instance is one, and gives the loss of each image, (N,),
    or their mean. ``num_classes``, ``label_smoothing`` and ``class_weights`` are given to what takes them.
    """

    def __init__(self, recipe: Recipe, class_weights: Tensor | None, num_classes: int, device: torch.device):
        self.name = recipe.loss
        known: dict[str, Any] = {"num_classes": num_classes}
        known |= {"label_smoothing": recipe.label_smoothing, "class_weights": class_weights}
        found = load_callable(self.name, "loss")

        # What the recipe asks for and nobody would do must not be recorded as if it had been done.
        for key, off in (("label_smoothing", 0), ("class_weights", "none")):
            if getattr(recipe, key) != off and not takes(found, key):
                raise RecipeError(
                    f"loss {self.name}: the recipe has {key} = {getattr(recipe, key)}, and this loss takes no "
                    f"{key}: set {key}={off}, or add {key} to its arguments"
                )

        self.function = with_arguments(found, self.name, "loss", recipe.loss_args, known)
        if isinstance(self.function, nn.Module):
            if next(self.function.parameters(), None) is not None:
                raise RecipeError(
                    f"loss {self.name}: a pure function of logits and labels expected, one with parameters of its own "
                    "found: the optimizer moves those of the network alone, and no checkpoint would have them"
                )
            self.function.to(device)
        self._try(recipe, num_classes, device)

    def __call__(self, logits_NC: Tensor, y_N: Tensor) -> Tensor:
        """The sum of the losses of N images."""
        loss: Tensor = self.function(logits_NC, y_N)
        # a mean over these images, as most losses are written
        return loss * len(y_N) if loss.ndim == 0 else loss.sum()

    def _try(self, recipe: Recipe, num_classes: int, device: torch.device) -> None:
        """Call it once on a small batch, before anything is trained. Raises RecipeError with all that is wrong."""
        draw = torch.Generator().manual_seed(0)
        logits_NC = torch.randn(4, num_classes, generator=draw).to(device).requires_grad_()
        y_N = (torch.arange(4) % num_classes).to(device)
        if recipe.mixup or recipe.cutmix:
            y_N = F.one_hot(y_N, num_classes).float()

        batch = f"logits {tuple(logits_NC.shape)} and labels {tuple(y_N.shape)}"
        try:
            loss = self.function(logits_NC, y_N)
        except (Exception, SystemExit) as error:
            mixed = "; with mixup or cutmix, labels are probabilities of each class" if y_N.ndim == 2 else ""
            raise RecipeError(
                f"loss {self.name}: a function of (logits_NC, y_N) expected; it failed on {batch}: "
                f"{type(error).__name__}: {error}{mixed}"
            ) from error

        expected = f"loss {self.name}: the loss of each image, (4,), or their mean, () expected for {batch}"
        if not isinstance(loss, Tensor):
            raise RecipeError(f"{expected}, {type(loss).__name__} found; give it as a tensor")
        if tuple(loss.shape) not in ((), (4,)):
            raise RecipeError(f"{expected}, {tuple(loss.shape)} found; sum over the classes")
        if not loss.isfinite().all():
            raise RecipeError(f"{expected}; {loss.tolist()} found: finite numbers are needed")
        if not loss.requires_grad:
            raise RecipeError(
                f"{expected}, with a gradient; none found: compute it by PyTorch's functions, without detach, item or "
                "no_grad"
            )
        (gradient,) = torch.autograd.grad(loss.sum(), logits_NC, allow_unused=True)
        if gradient is None or not gradient.isfinite().all():
            raise RecipeError(f"{expected}, with a finite gradient by the logits; another found")
