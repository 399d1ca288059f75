"""A program as a whole process: its wall time, processor time and peak memory, as the operating system counts them.

Imports nothing big on purpose: on Linux the peak of a child starts at that of the process that forked it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Process:
    """What a finished process cost: seconds of wall time and of processor (user + system), peak memory in MiB."""

    seconds: float
    cpu_seconds: float
    peak_mib: float
    output: str


def whole_process(command: Sequence[str | Path], *, cwd: Path | None = None, **environment: str) -> Process:
    """Run a command to its end, with further environment variables. A failure is a RuntimeError."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=out, stderr=err, cwd=cwd, env=os.environ | environment)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)  # so that Popen doesn't wait for it again
        out.seek(0)
        err.seek(0)
        if child.returncode:
            raise RuntimeError(f"{' '.join(map(str, command))}: exit code {child.returncode}\n{err.read()}")
        return Process(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, out.read())


def fittingroom_train(data: str | Path, *options: str | Path, out: Path, **environment: str) -> Process:
    """``fittingroom train`` as its users run it, into the new folder ``out``."""
    command = [sys.executable, "-m", "fittingroom", "train", data, *options, "--out", out, "--quiet"]
    return whole_process(command, **environment)


def script(name: str, *options: str | Path) -> tuple[Process, Any]:
    """One of the scripts beside this file, and what the last line that it printed is as JSON."""
    process = whole_process([sys.executable, FOLDER / name, *options])
    return process, json.loads(process.output.splitlines()[-1])
