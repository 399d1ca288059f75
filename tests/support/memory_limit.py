"""Run a program in a cgroup with less memory than the machine has, and watch what memory it takes for itself."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


@contextmanager
def memory_cgroup(limit: int) -> Iterator[Callable[[], None]]:
    """A function that puts the process that calls it into a cgroup of ``limit`` bytes, below this process's own.

    Raises OSError or LookupError where the system lets nobody make one, or not us.
    """
    groups = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    is_v1 = "memory" in groups
    parent = CGROUPS / "memory" / groups["memory"][1:] if is_v1 else CGROUPS / groups[""][1:]
    group = parent / f"fittingroom-test-{os.getpid()}"
    group.mkdir()

    def enter() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))

    try:
        (group / ("memory.limit_in_bytes" if is_v1 else "memory.max")).write_text(str(limit))
        yield enter
    finally:
        group.rmdir()


def anonymous_memory(pid: int) -> int:
    """RssAnon of a process, in bytes: what it has of its own, beside pages of files. 0 for one that has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("RssAnon")), 0)


def peak_anonymous_memory(
    command: Sequence[str | Path], *, enter: Callable[[], None] | None = None, stop_when: Callable[[], bool]
) -> tuple[int, int]:
    """Run a program, send SIGINT when ``stop_when`` answers yes; return its exit code and highest RssAnon in bytes."""
    process = subprocess.Popen(command, preexec_fn=enter)
    peak, asked = 0, False
    while process.poll() is None:
        peak = max(peak, anonymous_memory(process.pid))
        if not asked and stop_when():
            process.send_signal(2)
            asked = True
        time.sleep(0.1)
    return process.returncode, peak
