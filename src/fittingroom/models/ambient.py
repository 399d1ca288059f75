"""What a program has set for all of PyTorch and NumPy, put aside while a network is built, trained or asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch


@contextmanager
def as_first_set() -> Iterator[None]:
    """Compute by PyTorch's and NumPy's own settings in the block, whatever the program around it has changed.

    A notebook may have switched gradients off, made float64 or a GPU the default, or asked NumPy to raise: none of it
    is a wish about what is trained here, and most of it would end the training or change its bits.
    """
    with ExitStack() as stack:
        stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(mode=False))
        if not torch.is_grad_enabled():
            stack.enter_context(torch.enable_grad())

        # entered only where they change something: each operation below a default device takes longer
        if (dtype := torch.get_default_dtype()) != torch.float32:
            torch.set_default_dtype(torch.float32)
            stack.callback(torch.set_default_dtype, dtype)
        if torch.empty(0).device.type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield
