"""Trainings in several threads of one process take turns.

PyTorch's generator, Python's warnings and the standard streams, which an export keeps quiet, belong to the whole
process: two trainings at once would draw each other's random numbers. One after another they come to what each comes to
alone.

A process that was forked from one that had trained, or used Polars, has none of its threads: a training in it would
wait for them for ever, and is refused.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from fittingroom.errors import FittingRoomError
from fittingroom.parallel.process_group import ProcessGroup

_TURN = threading.RLock()  # a thread that has its turn may train within it, as a search does
_trained_in: int | None = None  # the process that has trained, by its number


@contextmanager
def own_turn(group: ProcessGroup) -> Iterator[None]:
    """Wait until no other thread trains, and let none begin before the block ends.

    Processes that train together wait for each other, and so never for a turn.

    Raises:
        FittingRoomError: this process was forked from one that had trained, or, where the system tells of its threads,
            used Polars.
    """
    global _trained_in
    if _trained_in not in (None, os.getpid()):
        _refuse_forked("after a training")
    if _lacks_threads_of_polars():
        _refuse_forked("after Polars was used")
    _trained_in = os.getpid()

    if group.size > 1:
        yield
        return
    with _TURN:
        yield


def _refuse_forked(when: str) -> NoReturn:
    raise FittingRoomError(
        f"a process that was started anew expected, one found that was forked {when}: the threads that compute are not "
        'in it; start it by multiprocessing.get_context("spawn")'
    )


def _lacks_threads_of_polars() -> bool:
    """Whether Polars believes that it has threads here, and has none: they stayed in the process that was forked."""
    polars, tasks = sys.modules.get("polars"), Path("/proc/self/task")
    if polars is None or not tasks.is_dir():  # without Linux's /proc nobody tells
        return False
    if any(re.fullmatch(r"polars-\d+\s*", name) for name in _names_of_threads(tasks)):
        return False

    # Asked for their number, Polars starts its threads, unless it has done so before. Their names come a little later.
    before = len(list(tasks.iterdir()))
    polars.thread_pool_size()
    return len(list(tasks.iterdir())) == before


def _names_of_threads(tasks: Path) -> Iterator[str]:
    for task in tasks.iterdir():
        with suppress(OSError):  # it has just ended
            yield (task / "comm").read_text(encoding="utf-8", errors="replace")
