"""One process at a time: a lock on a file, which the system itself lifts when its holder dies."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

POLL_SECONDS = 0.1


@contextmanager
def exclusive(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock ``path`` for the length of the block; call ``waiting`` once if another process holds it.

    The file stays, empty, when the block ends: removing it would let two processes hold two locks of one name.

    Raises:
        OSError: the file can't be created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _try_lock(descriptor):
            waiting()
            while not _try_lock(descriptor):
                time.sleep(POLL_SECONDS)  # polled, so that Ctrl-C is heard while waiting
        yield
    finally:
        os.close(descriptor)


@contextmanager
def exclusive_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock ``path`` for the length of the block, or give False at once if another holder has it.

    Raises:
        OSError: the file can't be created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield _try_lock(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def exclusive_folder(folder: Path, patience: float) -> Iterator[bool]:
    """Hold a folder itself for the length of the block, or give False if another process still does after a while.

    Nothing is written: the folder may be empty, or one that can't be written to. Where folders have no locks, as on
    Windows, the answer is True.

    Args:
        folder: that is there.
        patience: seconds; a process that was just killed may take a moment to end.

    Raises:
        OSError: the folder can't be opened.
    """
    if sys.platform == "win32":
        yield True
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        given_up = time.monotonic() + patience
        while not (is_held := _try_lock(descriptor)) and time.monotonic() < given_up:
            time.sleep(POLL_SECONDS)
        yield is_held
    finally:
        os.close(descriptor)


def is_folder_held(folder: Path) -> bool | None:
    """Whether a process holds a folder by :func:`exclusive_folder`; None where that can't be told, as on Windows.

    Asking holds nothing that another one who asks would see. Raises OSError where the folder can't be opened.
    """
    if sys.platform == "win32":
        return None
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return False


if sys.platform == "win32":

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True  # some network file systems have no locks: better without one than not at all
        return True
