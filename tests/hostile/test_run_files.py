"""A stranger's run is input: each of its files, mutated, ends in one message, within seconds and bounded memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile.run_files import _Copy

SHORT, SEED = 0, 7
PLANTED = {  # what a command may do that it must not, and what the harness says of it
    "raise KeyError('x')": "'Traceback' in what it prints",
    "print('\\x1b[2J', file=sys.stderr)": "in what it prints",
    "exit(1)": "exit code 1",
    "os.kill(os.getpid(), 11)": "exit code -11",
    "x = bytearray(300 << 20)": " MB",
    "while True: pass": " ",  # of its seconds, or that it did not end on a machine that is busy
    "time.sleep(60)": "it did not end",
    "print('x' * 300_000, file=sys.stderr)": "characters of messages",
    "Path('executed').touch()": "hostile code was executed",
    "Path('../elsewhere').touch()": "written outside",
    "exit(2)": "",
    "exit(0)": "",
}
PROGRAM = """
import os, sys, time
from pathlib import Path
from tests.hostile import run_files
run_files.MAX_SECONDS, run_files.MAX_BYTES, run_files.PATIENCE, run_files.CPU_SECONDS = 0.3, 300 << 20, 8, 1
base, place = Path(sys.argv[1]), Path(sys.argv[2])
base.mkdir()
for planted in sys.argv[3:]:
    run_files.COMMANDS["planted"] = lambda: exec(planted) or 0
    worker = run_files.Worker(base, place / "worker")
    for first in (worker, None):
        result = run_files.attempt(base, {}, "planted", place / "alone", worker=first)
        print(result.outcome, result.why.replace("\\n", " "))
    worker.end()
"""


def test_no_mutated_file_of_a_run_ends_in_a_traceback(tmp_path: Path) -> None:
    """In a process of its own, which forks: a test's process has threads that a fork would leave behind."""
    ended = _run(tmp_path, "-m", "tests.hostile.run_files", str(tmp_path / "base"), str(SHORT), str(SEED))

    tried = [line for line in ended.stdout.splitlines() if " tried " in line]
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    assert len(tried) > 30  # files times commands


def test_each_thing_that_a_command_must_not_do_is_seen(tmp_path: Path) -> None:
    """Else no faults would mean nothing."""
    ended = _run(tmp_path, "-c", PROGRAM, str(tmp_path / "base"), str(tmp_path / "place"), *PLANTED)

    lines = ended.stdout.splitlines()
    twice = [planted for planted in PLANTED.items() for _ in ("in a worker", "alone")]
    assert len(lines) == len(twice), ended.stdout + ended.stderr[-3000:]
    for line, (planted, said) in zip(lines, twice, strict=True):
        assert line.startswith("fault") == bool(said), planted
        assert said in line, planted


@pytest.mark.nightly
def test_slices_add_up_and_go_on_where_the_last_one_ended(tmp_path: Path) -> None:
    words = [str(tmp_path / "base"), "1", "-", "test-looks.jsonl", "--tally", str(tmp_path / "tally.json")]
    for slices in (1, 2):
        ended = _run(tmp_path, "-m", "tests.hostile.run_files", *words)
        assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
        assert f"{4 * slices:6,} tried" in ended.stdout.splitlines()[-2]
        assert json.loads((tmp_path / "tally.json").read_text())["next_seed"] == slices


@pytest.mark.nightly
def test_a_forked_try_says_what_a_new_interpreter_says(tmp_path: Path) -> None:
    words = [str(tmp_path / "base"), "2", str(SEED), "config.json", "study.json", "recipe.toml", "--fresh"]
    ended = _run(tmp_path, "-m", "tests.hostile.run_files", *words)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]


def _run(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"FITTINGROOM_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize(
    "did",
    ["(place / 'a').write_text('other')", "(place / 'a').unlink()", "(place / 'new').touch()",
     "(place / 'deep/er').mkdir(parents=True); (place / 'deep/er/x').touch()", "(place / 'sub/b').write_text('2')",
     "(place / 'sub/b').unlink(); (place / 'sub').rmdir()", "(place / 'a').unlink(); (place / 'a').mkdir()"],
)  # fmt: skip
def test_a_copy_that_was_worked_in_is_mended(tmp_path: Path, did: str) -> None:
    """Else one mutation would be tried on what another left."""
    base, place = tmp_path / "base", tmp_path / "place" / "in"
    (base / "sub").mkdir(parents=True)
    (base / "a").write_text("first")
    (base / "sub" / "b").write_text("second")
    copy = _Copy(base, place)

    copy.lay_out({"sub/b": b"mutated"})
    assert (place / "sub/b").read_bytes() == b"mutated"
    exec(did)
    copy.lay_out({})

    assert {str(f.relative_to(place)): f.read_text() for f in place.rglob("*") if f.is_file()} == {
        "a": "first", "sub/b": "second"
    }  # fmt: skip
    assert {str(f.relative_to(place)) for f in place.rglob("*")} == {"a", "sub", "sub/b"}
