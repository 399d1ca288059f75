"""Whatever surrounds the command: it answers, or one message names the user's own file and what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.hostile.surroundings import NEW_MOUNTS, TRIES
from tests.support.machine import missing

LONG = ("half a disk", "20 files", "relative home")  # of which most commands get as far as a whole training


@pytest.mark.skipif(sys.platform != "linux", reason="mounts of Linux")
@pytest.mark.parametrize(
    "surroundings",
    [[name for name in TRIES if name not in LONG], pytest.param(LONG, marks=pytest.mark.nightly)],
    ids=["quick", "long"],
)
def test_no_surroundings_end_a_command_in_a_traceback(tmp_path: Path, surroundings: Sequence[str]) -> None:
    """In processes of their own, which a test's own threads would hinder from forking."""
    if not may_mount():
        missing("nothing was read-only or full: only root may make a namespace of mounts")
    environment = os.environ | {"FITTINGROOM_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "tests.hostile.surroundings", str(tmp_path / "work"), *surroundings]
    ended = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)

    lines = ended.stdout.splitlines()
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    for name in surroundings:
        assert len([line for line in lines if line.startswith(f"{name} · ")]) == len(TRIES[name][1])


def may_mount() -> bool:
    """Whether a process of this user may have mounts of its own; tried in one that is gone then."""
    program = f"import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare({NEW_MOUNTS}) != 0)"
    return subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
