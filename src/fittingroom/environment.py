"""What a run was made with: versions, machine, threads, revision. Recorded, so that a figure can be judged."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from fittingroom.version import __version__


def versions() -> dict[str, str]:
    """Of fittingroom, Python and the packages that decide a result, those that are installed."""
    found = {"fittingroom": __version__, "python": platform.python_version()}
    for package in ("torch", "numpy", "polars", "safetensors"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def describe_machine(device: str) -> dict[str, Any]:
    """Processor, cores, threads in use and, on CUDA, the card."""
    import torch

    machine = {
        "system": platform.platform(),
        "processor": processor_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "device": device,
        "threads": torch.get_num_threads(),
    }
    if device.startswith("cuda"):
        machine["card"] = torch.cuda.get_device_name(device)
    return machine


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
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
