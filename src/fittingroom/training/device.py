"""Which device trains, on how many threads, and from what memory: asked of the machine, not guessed."""

from __future__ import annotations

import ctypes
import os
import platform

import torch

from fittingroom.environment import default_threads, startable_threads
from fittingroom.errors import MORE_THREADS, OUT_OF_MEMORY, RecipeError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def pick_device(name: str) -> str:
    """``auto`` → cuda, mps or cpu, whichever comes first and is there; any other name is checked.

    Raises:
        RecipeError: no such device on this machine.
    """
    there = [device for device, present in _devices().items() if present]
    if name == "auto":
        return there[0]
    try:
        device = torch.device(name)
        is_there = device.type in there and (device.index or 0) < max(1, torch.cuda.device_count())
    except RuntimeError:
        is_there = False
    if not is_there:
        there += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        raise RecipeError(f"device {name}: not on this machine; it has {', '.join(there)}")
    return name


def keep_freed_memory() -> bool:
    """Have glibc keep the memory of freed tensors for the next ones; true if it will.

    Left alone, it maps every block above 32 MiB anew and returns it when freed, and the kernel clears each page at its
    first touch: 19,000 page faults a step for the tutorial's network in float32, which then takes 1.6 times as long.
    It is a setting of the whole process. ``FITTINGROOM_MALLOC=default`` leaves glibc as it is; other C libraries
    don't know it.
    """
    if os.environ.get("FITTINGROOM_MALLOC") == "default" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(option, 1 << 30) == 1 for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD))


def _devices() -> dict[str, bool]:
    """The kinds of devices that PyTorch knows, the fastest first, and whether this machine has them."""
    return {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}


def is_out_of_memory(error: RuntimeError) -> bool:
    """Tell lack of memory from other errors: CUDA raises its own class, the CPU's libraries a bare RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in OUT_OF_MEMORY)


def prepare_torch(threads: int | None, deterministic: bool) -> None:
    """Set threads and determinism, which in PyTorch are settings of the whole process.

    Args:
        threads: of the CPU; None for :func:`fittingroom.environment.default_threads`, which no load changes.
        deterministic: refuse operations that give another result each time.

    Raises:
        RecipeError: fewer than one thread, or more than the system lets this process start.
    """
    if threads is not None and threads < 1:
        raise RecipeError(f"threads: 1 or more expected, {threads} found")
    count = threads or default_threads()

    # Where the system starts too few, PyTorch's library ends the process without an error.
    if (found := 1 + startable_threads(count - 1)) < count:
        raise RecipeError(f"threads: {count} expected, {found} found to be started: give fewer, or {MORE_THREADS}")
    torch.set_num_threads(count)
    if deterministic:
        torch.use_deterministic_algorithms(True)
