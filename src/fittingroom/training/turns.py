"""Trainings in several threads of one process take turns.

PyTorch's generator, Python's warnings and the standard streams, which an export keeps quiet, belong to the whole
process: two trainings at once would draw each other's random numbers. One after another they come to what each comes to
alone.

A process that was forked from one that had trained, judged a model or used Polars has none of its threads: whoever
trained or judged in it would wait for them for ever, and is refused.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from fittingroom.files.polars_check import lacks_threads_of_polars, refuse_forked
from fittingroom.models.ambient import as_first_set
from fittingroom.parallel.process_group import ProcessGroup

_TURN = threading.RLock()  # a thread that has its turn may train within it, as a search does
_computed_in: int | None = None  # the process in which PyTorch has computed for this package, by its number


@contextmanager
def own_turn(group: ProcessGroup) -> Iterator[None]:
    """Wait until no other thread trains, and let none begin before the block ends.

    What the program around it has set for all of PyTorch is put aside for as long.

    Processes that train together wait for each other, and so never for a turn.

    Raises:
        FittingRoomError: this process was forked from one that had trained or judged a model, or, where the system
            tells of its threads, used Polars.
    """
    computes_here()
    if lacks_threads_of_polars():
        refuse_forked("after Polars was used")

    with nullcontext() if group.size > 1 else _TURN, as_first_set():
        yield


def computes_here() -> None:
    """Note that PyTorch computes in this process.

    Raises:
        FittingRoomError: this process was forked from one in which it did, and whose threads it would wait for.
    """
    global _computed_in
    if _computed_in not in (None, os.getpid()):
        refuse_forked("after a training or an evaluation")
    _computed_in = os.getpid()
