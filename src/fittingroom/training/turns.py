"""Trainings in several threads of one process take turns.

PyTorch's generator, Python's warnings and the standard streams, which an export keeps quiet, belong to the whole
process: two trainings at once would draw each other's random numbers. One after another they come to what each comes to
alone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fittingroom.parallel.process_group import ProcessGroup

_TURN = threading.RLock()  # a thread that has its turn may train within it, as a search does


@contextmanager
def own_turn(group: ProcessGroup) -> Iterator[None]:
    """Wait until no other thread trains, and let none begin before the block ends.

    Processes that train together wait for each other, and so never for a turn.
    """
    if group.size > 1:
        yield
        return
    with _TURN:
        yield
