"""Where Polars can't compute: in a process that was forked it waits for ever, without memory it ends the process.

Its threads stay behind in the process that was forked, an allocation that fails is an abort in Rust, and threads or
files that can't be had are a panic: none is an error that one could catch, so each is looked for before.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from fittingroom.environment import cores, startable_threads
from fittingroom.errors import MORE_FILES, MORE_THREADS, FittingRoomError

TASKS, STATM = Path("/proc/self/task"), Path("/proc/self/statm")
THREADS_OF_POLARS = "POLARS_MAX_THREADS"
PATIENCE = 2.0  # seconds, in which threads that were just started have their names, also where the machine is busy

ROOM = 200 << 20  # bytes of address space that a table, and what is made of it, may take
OPEN_FILES, OPEN_FILES_LATER = 8, 4  # that it takes by itself as it is started, and for a table, with some to spare
ROOM_OF_A_THREAD = 136 << 20  # that its stack and its part of the allocator reserve

_has_threads: int | None = None  # the process that is known to have them, by its number


def check_polars() -> None:
    """Say in words why Polars couldn't compute here; called before it is used.

    Raises:
        FittingRoomError: this process was forked from one that had used Polars; the system lets it have too few
            threads or open files; or its own variable asks for no number of threads.
        MemoryError: less memory is left than it is sure to need.
    """
    global _has_threads
    given = os.environ.get(THREADS_OF_POLARS, "1")
    if not (given.isdecimal() and int(given)):
        raise FittingRoomError(f"${THREADS_OF_POLARS}: a number of threads from 1 on expected, {given[:20]!r} found")
    is_started = _has_threads == os.getpid()
    if (left := _address_space_left()) is not None:
        needed = ROOM if is_started else ROOM + ROOM_OF_A_THREAD * cores()
        if left < needed:
            raise MemoryError(f"{needed >> 20:,} MB of address space expected, {left >> 20:,} MB left")
    files = OPEN_FILES_LATER if is_started else OPEN_FILES
    if (found := _files_to_open(files)) < files:
        reason = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        raise FittingRoomError(f"{files} more files to be opened expected, {found} found: {MORE_FILES}") from reason
    if is_started:
        return

    # One for each processor that reads tables, and one that writes.
    threads = 2 * cores()
    if (found := startable_threads(threads)) < threads:
        raise FittingRoomError(f"{threads} more threads expected, to read tables by, {found} found: {MORE_THREADS}")

    if lacks_threads_of_polars():
        refuse_forked("after Polars was used")
    _has_threads = os.getpid()


def _files_to_open(count: int) -> int:
    """How many of so many files the system lets this process open beside those that are."""
    opened: list[int] = []
    with suppress(OSError):
        opened.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(count))
    for descriptor in opened:
        os.close(descriptor)
    return len(opened)


def _address_space_left() -> int | None:
    """Bytes, where ``ulimit -v`` or the like sets a limit; None for no limit, or where that isn't told."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY or not STATM.exists():
        return None
    pages = int(STATM.read_text(encoding="ascii").split()[0])
    return limit - pages * resource.getpagesize()


def refuse_forked(when: str) -> NoReturn:
    """Raise :class:`FittingRoomError` in a process that lacks the threads of the one that it was forked from."""
    raise FittingRoomError(
        f"a process that was started anew expected, one found that was forked {when}: the threads that compute are not "
        'in it; start it by multiprocessing.get_context("spawn")'
    )


def lacks_threads_of_polars() -> bool:
    """Whether Polars believes that it has threads here, and has none. Where no /proc tells of threads, False."""
    polars = sys.modules.get("polars")
    if polars is None or not TASKS.is_dir() or _are_threads_of_polars_named():
        return False

    # Asked for their number, Polars starts its threads, unless it has done so before the fork.
    before = len(list(TASKS.iterdir()))
    polars.thread_pool_size()
    given_up = time.monotonic() + PATIENCE
    while time.monotonic() < given_up:
        if len(list(TASKS.iterdir())) > before or _are_threads_of_polars_named():
            return False
        time.sleep(0.001)
    return True


def _are_threads_of_polars_named() -> bool:
    return any(re.fullmatch(r"polars-\d+\s*", name) for name in _names_of_threads())


def _names_of_threads() -> Iterator[str]:
    for task in TASKS.iterdir():
        with suppress(OSError):  # it has just ended
            yield (task / "comm").read_text(encoding="utf-8", errors="replace")
