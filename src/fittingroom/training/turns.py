"""Trainings in several threads of one process take turns.

PyTorch's generator, Python's warnings and the standard streams, which an export keeps quiet, belong to the whole
process: two trainings at once would draw each other's random numbers. One after another they come to what each comes to
alone.

A process that was forked from one that had trained has none of its threads, those of PyTorch and Polars among them: a
training in it would wait for them for ever, and is refused.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fittingroom.errors import FittingRoomError
from fittingroom.parallel.process_group import ProcessGroup

_TURN = threading.RLock()  # a thread that has its turn may train within it, as a search does
_trained_in: int | None = None  # the process that has trained, by its number


@contextmanager
def own_turn(group: ProcessGroup) -> Iterator[None]:
    """Wait until no other thread trains, and let none begin before the block ends.

    Processes that train together wait for each other, and so never for a turn.

    Raises:
        FittingRoomError: this process was forked from one that had trained.
    """
    global _trained_in
    if _trained_in not in (None, os.getpid()):
        raise FittingRoomError(
            "a process that was started anew expected, one found that was forked after a training: the threads that "
            'compute are not in it; start it by multiprocessing.get_context("spawn")'
        )
    _trained_in = os.getpid()
    if group.size > 1:
        yield
        return
    with _TURN:
        yield
