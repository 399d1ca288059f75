"""A stranger's run is input: each of its files, mutated, ends in one message, within seconds and bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SHORT, SEED = 0, 7


def test_no_mutated_file_of_a_run_ends_in_a_traceback(tmp_path: Path) -> None:
    """In a process of its own, which forks: a test's process has threads that a fork would leave behind."""
    program = [sys.executable, "-m", "tests.hostile.run_files", str(tmp_path / "base"), str(SHORT), str(SEED)]
    environment = os.environ | {"FITTINGROOM_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(program, capture_output=True, text=True, env=environment, check=False)

    tried = [line for line in ended.stdout.splitlines() if " tried " in line]
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    assert len(tried) > 30  # files times commands
