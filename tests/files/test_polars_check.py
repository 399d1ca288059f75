"""In a process that was forked from one that used Polars, nothing waits for ever: it works, or is refused in words."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fittingroom as fr
from fittingroom.data.convert import convert
from fittingroom.evaluation.predictions import JudgedPredictions, write_predictions
from fittingroom.files import polars_check
from tests.support import PATIENCE

REFUSED = "a process that was started anew expected, one found that was forked after Polars was used"
IN_A_FORK = """
import os, signal, sys
from pathlib import Path
import polars as pl

pl.DataFrame({"a": [1, 2]}).filter(pl.col("a") > 1)
if sys.argv[2] == "open":
    import fittingroom as fr
else:
    from fittingroom.evaluation.predictions import read_predictions
child = os.fork()
if not child:
    signal.alarm(20)
    code = 1
    try:
        if sys.argv[2] == "open":
            import fittingroom as fr
            print(len(fr.open_dataset(sys.argv[1]).train), flush=True)
        else:
            print(len(read_predictions(Path(sys.argv[1]), ("a", "b"))), flush=True)
        code = 0
    except Exception as error:
        print(type(error).__name__, error, flush=True)
    os._exit(code)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere nobody tells of threads")


def in_a_fork(path: Path, what: str = "open") -> str:
    environment = os.environ | {"PYTHONPATH": str(Path(fr.__file__).parents[1])}
    words = [sys.executable, "-W", "ignore", "-c", IN_A_FORK, str(path), what]
    ended = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=PATIENCE, check=True)
    return ended.stdout


@pytest.fixture
def forty() -> fr.Splits:
    return fr.Splits(fr.open_dataset("sample").train.subset(range(40)))


@pytest.mark.parametrize("name", ["set.csv", "set.parquet"])
def test_what_polars_reads_is_refused_in_words(forty: fr.Splits, tmp_path: Path, name: str) -> None:
    convert(forty, tmp_path / name)
    said = in_a_fork(tmp_path / name)
    assert said.startswith(f"FittingRoomError {REFUSED}")
    assert said.endswith("\n1\n")


def test_predictions_are_refused_in_words(tmp_path: Path) -> None:
    shares = np.array([[0.2, 0.8], [0.7, 0.3]], np.float32)
    answers = JudgedPredictions(
        shares, np.array([1, 0]), classes=("a", "b"), truth=np.array([1, 1]), images=("0" * 64, "1" * 64)
    )
    write_predictions(tmp_path / "predictions.parquet", answers)
    assert in_a_fork(tmp_path / "predictions.parquet", "read").startswith(f"FittingRoomError {REFUSED}")


@pytest.mark.parametrize("name", ["set.npz", "idx", "pictures"])
def test_what_others_read_is_read(forty: fr.Splits, tmp_path: Path, name: str) -> None:
    if name == "pictures":
        for row, image in enumerate(forty.train.images):
            (tmp_path / name / "ab"[row % 2]).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(tmp_path / name / "ab"[row % 2] / f"{row}.png")
    else:
        convert(forty, tmp_path / name, to="idx" if name == "idx" else None)
    assert in_a_fork(tmp_path / name) == "40\n0\n"


def test_what_is_in_the_cache_is_read_whatever_it_was_read_by(forty: fr.Splits, tmp_path: Path) -> None:
    convert(forty, tmp_path / "set.csv")
    fr.open_dataset(tmp_path / "set.csv")
    assert in_a_fork(tmp_path / "set.csv") == "40\n0\n"


FEW = """
import os, resource, sys
from pathlib import Path
import numpy as np
import fittingroom.evaluation.predictions as predictions

limit = len(os.listdir("/proc/self/fd")) + 3
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
try:
    predictions.check_polars()
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="nobody tells of open files")
def test_where_few_files_may_be_opened_polars_is_not_asked_and_panics_not() -> None:
    ended = subprocess.run([sys.executable, "-c", FEW], capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("FittingRoomError 8 more files to be opened expected, ")
    assert ended.stdout.endswith(" found: raise the limit of open files (ulimit -n)\n")
    assert ended.stderr == ""


def test_where_no_threads_can_be_started_polars_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polars_check, "_has_threads", None)
    monkeypatch.setattr(threading.Thread, "start", cant_start)
    with pytest.raises(fr.FittingRoomError, match=r"more threads expected, .*, 0 found: raise the limit of processes"):
        polars_check.check_polars()


def test_pytorch_is_not_asked_for_threads_that_can_not_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    from fittingroom.training.device import prepare_torch

    monkeypatch.setattr(threading.Thread, "start", cant_start)
    with pytest.raises(fr.RecipeError, match="threads: 2 expected, 1 found to be started: give fewer, or raise the"):
        prepare_torch(2, deterministic=False)


def cant_start(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")
