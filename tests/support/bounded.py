"""Run the real command on what may be hostile, and measure what it took."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import fittingroom as fr

SECONDS, BYTES = 10, 1_000_000_000  # of processor time and of memory: what no input may cost more than
PATIENCE = 60  # seconds on the clock of a machine that may be busy with other work
ADDRESS_SPACE = 16 << 30  # so that a test that fails doesn't take the machine along
CODE = """
import atexit, pathlib, sys
memory = pathlib.Path(sys.argv.pop(1))
atexit.register(lambda: memory.write_text(pathlib.Path("/proc/self/status").read_text()))
from fittingroom.cli import main
sys.exit(main())
"""


@dataclass(frozen=True)
class Outcome:
    """What a command came to: ``code`` is negative where a signal ended it, ``memory`` in bytes."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    memory: int


def run_bounded(folder: Path, *words: str | Path) -> Outcome:
    """``fittingroom WORDS`` in a folder, by itself: exit code, output, processor time and highest memory."""
    out, err, memory = folder / ".stdout", folder / ".stderr", folder / ".memory"
    memory.unlink(missing_ok=True)
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", CODE, str(memory), *map(str, words)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(Path(fr.__file__).parents[1])},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE)),
        )
        timer = threading.Timer(PATIENCE, process.kill)
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)

    printed, told = (file.read_text("utf-8", "replace") for file in (out, err))
    kept = re.search(r"VmHWM:\s*(\d+)", memory.read_text()) if memory.exists() else None
    highest = int(kept[1]) if kept else usage.ru_maxrss  # which also counts what this process had when it started it
    return Outcome(process.returncode, printed, told, usage.ru_utime + usage.ru_stime, highest << 10)


def assert_bounded(outcome: Outcome, *, codes: tuple[int, ...] = (2,), inputs: int = 1) -> None:
    """It ended by itself, with one of these codes, without a traceback, and within the bounds of so many inputs."""
    assert outcome.code in codes, outcome
    for word in ("Traceback", "panicked"):
        assert word not in outcome.stderr, outcome.stderr
    assert outcome.seconds <= SECONDS * inputs, outcome
    assert outcome.memory <= BYTES, outcome
    if outcome.code == 2:
        assert outcome.stderr.strip(), "an error says what is wrong"
        assert len(outcome.stderr) < 20_000, f"{len(outcome.stderr):,} characters are no message"
