"""A network is built no larger than its weights: its arguments may come from a stranger."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from fittingroom.errors import RecipeError

SPARE = 2  # times as much as there is, as some networks make a layer and then another in its place


@contextmanager
def no_larger_than(weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Stop the building of a network, in this thread, that has more parameters than there are weights for it.

    A layer's memory is asked for when it is made, and first written to after it is registered, which is when it is
    counted: what is refused takes none.

    Raises:
        RecipeError: it is larger.
    """
    thread = threading.get_ident()
    most_tensors = SPARE * max(1, len(weights))
    most_numbers = SPARE * sum(tensor.numel() for tensor in weights.values())
    tensors = numbers = 0

    def count(_module: nn.Module, _name: str, parameter: nn.Parameter | None) -> None:
        nonlocal tensors, numbers
        if parameter is None or threading.get_ident() != thread:
            return
        tensors, numbers = tensors + 1, numbers + parameter.numel()
        if tensors > most_tensors or numbers > most_numbers:
            raise RecipeError(
                f"a network of {len(weights):,} tensors and {most_numbers // SPARE:,} numbers expected, as there are "
                "weights; model_args ask for a larger one"
            )

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()
