"""A training that is asked to stop in its middle, as by Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count


def stop_after(steps: int) -> Callable[[], bool]:
    """A ``should_stop``, which is asked once a step: true from the step on that is the ``steps``-th, ≥ 1."""
    asked = count(1)
    return lambda: next(asked) >= steps
