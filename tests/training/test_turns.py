"""Trainings in threads of one process come to what each comes to alone, and leave the process as it was."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.small_run import train_small


@pytest.mark.nightly
def test_trainings_in_threads_equal_lone_ones_and_print_still_prints(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    alone = train_small(tmp_path / "alone")
    with ThreadPoolExecutor(3) as pool:
        runs = list(pool.map(lambda name: train_small(tmp_path / name), ("first", "second", "third")))

    for run in runs:
        assert (run.path / "model.safetensors").read_bytes() == (alone.path / "model.safetensors").read_bytes()
        assert (run.path / "model.onnx").exists()
    print("still here")
    assert "still here" in capfd.readouterr().out
