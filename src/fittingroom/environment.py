"""What a run was made with: versions, machine, threads, revision. Recorded, so that a figure can be judged."""

from __future__ import annotations

import math
import os
import platform
import subprocess
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fittingroom.version import __version__

MOST_DIGITS = 6  # of a number of threads that somebody means

# Those whose versions decide a result.
PACKAGES = ("torch", "numpy", "polars", "safetensors", "pillow")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where something was computed.

    Attributes:
        system: the operating system, as Python calls it.
        processor: as the system calls it.
        cores: that the process could use; None where 0.1 was not told.
        device: ``cpu``, ``cuda``, ``cuda:<number>`` or ``mps``.
        threads: of the processor that PyTorch used.
        card: as CUDA calls it; None on another device.
    """

    system: str
    processor: str
    cores: int | None
    device: str
    threads: int
    card: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The machine as ``environment.json`` has it: without a card where there is none."""
        return {key: value for key, value in asdict(self).items() if key != "card" or value is not None}


def describe_machine(device: str) -> Machine:
    """The machine at hand, of which ``device`` computes, with the threads that PyTorch uses now."""
    import torch

    return Machine(
        system=platform.platform(),
        processor=processor_name(),
        cores=cores(),
        device=device,
        threads=torch.get_num_threads(),
        card=torch.cuda.get_device_name(device) if device.startswith("cuda") else None,
    )


def versions(*more: str) -> dict[str, str]:
    """The versions of fittingroom, Python, the packages that decide a result and ``more``, where installed."""
    from importlib import metadata  # it loads the parser of e-mails, which predict has no use for

    installed = {"fittingroom": __version__, "python": platform.python_version()}
    for package in (*PACKAGES, *more):
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed


def git_revision() -> str | None:
    """The commit of the package's own source tree, with ``+`` if it has changes; None for an installed package."""
    folder = Path(__file__).parent
    status = ("status", "--porcelain=v2", "--branch", "--no-ahead-behind", "--untracked-files=no")
    try:
        answer = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *status],  # or it would write the checkout's index anew
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = answer.stdout.splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "(initial)")
    has_changes = any(not line.startswith("#") for line in lines)
    return None if commit == "(initial)" else commit + "+" * has_changes


def processor_name() -> str:
    """The processor as the system calls it, such as ``AMD EPYC 9654``."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def cores() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def used_processor_seconds(path: Path = Path("/proc/stat")) -> float | None:
    """Seconds that all programs together have used of the processors that this process may use; None where not known.

    Programs of a lower priority count too: while threads wait for each other these take the processor, and are in the
    way when it goes on.
    """
    if not hasattr(os, "sched_getaffinity"):
        return None
    mine = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    try:
        lines = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
        ticks = 0
        for name, *counts in lines:
            if name in mine:
                user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, counts[:8])
                ticks += user + nice + system + irq + softirq + steal
    except (OSError, ValueError):
        return None
    return ticks / os.sysconf("SC_CLK_TCK")


def startable_threads(count: int) -> int:
    """How many of so many threads the system lets this process start now; tried, as nothing else tells it surely."""
    from threading import Event, Thread

    ended = Event()
    threads: list[Thread] = []
    try:
        for _ in range(count):
            thread = Thread(target=ended.wait, daemon=True)
            thread.start()
            threads.append(thread)
    except RuntimeError:
        pass
    finally:
        ended.set()
    for thread in threads:
        thread.join()
    return len(threads)


def warn_of_many_threads(threads: int | None) -> None:
    """Warn where more threads are asked for than there are processors to run them."""
    if threads is not None and threads > cores():
        warnings.warn(
            f"threads: {threads} asked for, {cores()} processors are there to run them: they wait for each "
            "other, which is slower than as many threads as processors",
            stacklevel=4,
        )


def default_threads() -> int:
    """The number of threads to compute with where nobody names one.

    A function of what the process may use, never of load, as the number decides how sums are rounded: the cores in its
    affinity (two hyper-threads of a core count once), at most the processor time that its control groups grant
    (``cpu.max``). ``OMP_NUM_THREADS``, by which torchrun and schedulers say it, comes before both.
    """
    return threads_of_environment() or max(1, int(min(_physical_cores(), cpu_quota())))


def threads_of_environment() -> int | None:
    """What ``OMP_NUM_THREADS`` says, of a list the first; None where that can't be a number of threads."""
    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(said) if said.isdecimal() and len(said) <= MOST_DIGITS and int(said) > 0 else None


def _physical_cores(root: Path = Path("/sys/devices/system/cpu")) -> int:
    """The cores among the processors that this process may use; all of these where the system doesn't say."""
    if not hasattr(os, "sched_getaffinity"):
        return cores()
    siblings = set()
    for number in os.sched_getaffinity(0):
        try:
            siblings.add((root / f"cpu{number}/topology/thread_siblings_list").read_text(encoding="ascii"))
        except OSError:
            return cores()
    return len(siblings)


def cpu_quota(membership: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float:
    """Processors' worth of time that control groups (version 2) grant this process; infinite without a limit.

    Args:
        membership: the file that names the process's group, in a line ``0::/path``.
        root: where the groups are mounted.
    """
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return math.inf
    path = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)
    if path is None:
        return math.inf

    # A group gets no more than those that it lies in.
    least, group = math.inf, root / path
    for folder in [group, *group.parents]:
        if not folder.is_relative_to(root):
            break
        try:
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
            least = min(least, int(quota) / int(period))
        except (OSError, ValueError, ZeroDivisionError):
            continue  # the root has no such file, and a group without a limit says "max"
    return least
