"""Data files and requests, mutated: a short part of what ``make fuzz`` tries for as long as it is told to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TRIES, SEED = 16, 7  # of each kind of data file with each command it is told, and the first of them
PROGRAM = """
import itertools, sys
from pathlib import Path
from tests.hostile import fuzz
from tests.hostile.run_files import Corpus, Tally, _forked, _wait_for, warm_up

base, tallies, first = Path(sys.argv[1]), {}, int(sys.argv[3])
_wait_for(_forked(lambda: fuzz.make_data(base)), 300)
warm_up()
for seed in range(first, first + int(sys.argv[2])):
    name, command = list(fuzz.DATA)[seed % len(fuzz.DATA)], fuzz.DATA_COMMANDS[seed // len(fuzz.DATA) % 2]
    result = fuzz.try_data(base, base.parent / "place", name, command, seed, Corpus(base.parent / "corpus" / name))
    tallies.setdefault(name, Tally()).add(result, f"{name}, seed {seed}")
for name, tally in tallies.items():
    print(tally.line(name))
    print(*tally.faults, sep="\\n")
sys.exit(any(tally.faults for tally in tallies.values()))
"""
REQUESTS = """
import io, sys
from pathlib import Path
from PIL import Image
import fittingroom as fr
from tests.hostile import fuzz
from tests.hostile.run_files import Tally
from tests.support.small_run import train_small

base, tally, picture = Path(sys.argv[1]), Tally(), io.BytesIO()
train_small(base / "runs" / "one").evaluate()
Image.fromarray(fr.open_dataset("sample").train.images[0]).save(picture, "PNG")
with fuzz.serving(base, base / "log") as (port, process):
    for seed in range(100):
        tally.add(fuzz.try_http(port, process, base / "log", seed, picture.getvalue()), f"HTTP, seed {seed}")
print(tally.line("HTTP"))
print(*tally.faults, sep="\\n")
sys.exit(bool(tally.faults))
"""


def test_no_mutated_file_of_data_ends_in_a_traceback(tmp_path: Path) -> None:
    ended = _run(tmp_path, "-c", PROGRAM, str(tmp_path / "base"), str(TRIES), str(SEED))
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    assert ended.stdout.count(" tried ") == 8


def test_no_mutated_request_fails_inside_or_is_left_without_an_answer(tmp_path: Path) -> None:
    ended = _run(tmp_path, "-W", "ignore", "-c", REQUESTS, str(tmp_path))
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    assert "   100 tried" in ended.stdout


def _run(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"FITTINGROOM_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment, check=False)
