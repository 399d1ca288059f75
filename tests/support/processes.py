"""Start the processes of one training: by torchrun, or each by itself where a test has to get at a single one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

TORCHRUN = str(Path(sys.executable).with_name("torchrun"))
LIMIT = 120  # seconds, for what takes a few


def torchrun(processes: int, *arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """``torchrun --nproc-per-node N …`` to its end; ``arguments`` are those of ``python``."""
    command = [TORCHRUN, "--nproc-per-node", str(processes), *options, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)


def start_each(processes: int, *arguments: str) -> list[subprocess.Popen[str]]:
    """The processes in order of their ranks, with the environment that torchrun would give them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
    return [
        _python(arguments, {**place, "RANK": str(rank), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(processes)})
        for rank in range(processes)
    ]


def _python(arguments: tuple[str, ...], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
