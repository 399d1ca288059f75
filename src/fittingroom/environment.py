"""What a run was made with: versions, machine, threads, revision. Recorded, so that a figure can be judged."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fittingroom.version import __version__

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
        """As ``environment.json`` has it: without a card where there is none."""
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


def versions() -> dict[str, str]:
    """Of fittingroom, Python and the packages that decide a result, those that are installed."""
    from importlib import metadata  # it loads the parser of e-mails, which predict has no use for

    installed = {"fittingroom": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed


def git_revision() -> str | None:
    """The commit of the package's own source tree, with ``+`` if it has changes; None for an installed package."""
    folder = Path(__file__).parent
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


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
