"""``fittingroom tune`` as its users call it: killed, resumed, from several processes, on a real database, on Ray."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fittingroom as fr
from fittingroom.cli import main
from tests.support import SUPPORT

LINEAR = f"model='{SUPPORT / 'linear_net.py'}:net'"
RECIPE = ["--recipe", "plain", "--epochs", "3", "--set", LINEAR, "--set", "precision=float32", "--threads", "1"]
SPACE = 'lr = { low = 0.001, high = 0.3, log = true }\nmirror = ["none", "random"]\n'


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("space.toml").write_text(SPACE, encoding="utf-8")


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "fittingroom", "tune", *args]


def new_study(*more: str) -> list[str]:
    return ["sample", *RECIPE, "--space", "space.toml", *more]


def figures(study: str) -> list[tuple[Any, ...]]:
    found = fr.resume_study(study, final_seeds=0, trust_code=True, trials=1).trials()
    return [(trial.number, trial.state, trial.value, dict(trial.values)) for trial in found]


def test_tune_ends_with_fresh_seeds_a_recipe_and_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", *new_study("--trials", "3", "--final-seeds", "2", "--seed", "4")]) == 0
    printed = capsys.readouterr()
    result = json.loads(Path("runs/plain-tune-1/result.json").read_text(encoding="utf-8"))
    tied = result["best"]["tied"]
    assert ("the best of all, and so optimistic" in printed.out) == (tied == 0)
    assert f"{result['final']['mean']:.2%}" in printed.out
    assert "with 2 fresh seeds" in printed.out
    assert "no model was judged on it" in printed.out
    assert result["final"]["seeds"] == [5, 6]
    assert "trial 2   epoch 3/3" in printed.err
    assert re.search(r"^trial 2   finished   validation accuracy .* best so far: ", printed.err, re.MULTILINE)

    # What is advised can be typed, and a study that has ended is reported again as it was.
    advice = re.search(r"^ +fittingroom (train .*)$", printed.out, re.MULTILINE)
    assert advice
    assert main([*shlex.split(advice[1])[:-1], "2", "--quiet", "--no-test"]) == 0
    capsys.readouterr()
    assert main(["tune", "--resume", "runs/plain-tune-1", "--trust-code", "--final-seeds", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == result


def test_a_search_says_that_trials_are_alike_and_that_few_images_can_hardly_tell(
    capsys: pytest.CaptureFixture[str],
) -> None:
    random = np.random.default_rng(0)
    labels = np.arange(30) % 2
    images = (random.integers(0, 40, (30, 12, 12)) + 200 * labels[:, None, None]).astype(np.uint8)
    np.savez("easy.npz", x_train=images, y_train=labels)
    Path("lr.toml").write_text("lr = [0.003, 0.004]\n", encoding="utf-8")
    keys = ["--recipe", "plain", "--epochs", "8", "--threads", "1", "--trials", "2", "--final-seeds", "0"]
    assert main(["tune", "easy.npz", "--space", "lr.toml", *keys, "--out", "runs/easy"]) == 0
    said = capsys.readouterr().out
    assert "100.00%: trial 0, the baseline, as good as 1 other, the first of the best, and so optimistic" in said
    assert "3 validation images can hardly tell one recipe from another" in said
    assert "as good as 1 other, the first of the best" in Path("runs/easy/best.toml").read_text().replace("\n# ", " ")
    page = Path("runs/easy/report.html").read_text(encoding="utf-8")
    assert "as good as 1 other; the best of 2 tries" in page
    assert "与另外 1 次一样好" in page


def test_a_search_by_accuracy_says_what_always_the_largest_class_has(capsys: pytest.CaptureFixture[str]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (100, 12, 12), np.uint8)
    np.savez("lopsided.npz", x_train=images, y_train=np.arange(100) // 90)
    Path("lr.toml").write_text("lr = [0.003, 0.004]\n", encoding="utf-8")
    search = ["tune", "lopsided.npz", "--space", "lr.toml", *RECIPE, "--trials", "1", "--final-seeds", "0"]
    assert main([*search, "--out", "runs/lopsided"]) == 0
    printed = capsys.readouterr()
    assert "The search goes by accuracy, which goes by the large classes" in printed.err
    assert "always answering 0 has an accuracy of 90.00%, as accuracy goes by the large classes" in printed.out
    page = Path("runs/lopsided/report.html").read_text(encoding="utf-8")
    assert "Always answering 0 has an accuracy of 90.00%" in page
    assert "总是回答 0" in page

    assert main([*search, "--out", "runs/balanced", "--objective", "balanced_accuracy"]) == 0
    printed = capsys.readouterr()
    assert "large classes" not in printed.err + printed.out
    assert re.search(r"^search +validation balanced accuracy ", printed.out, re.MULTILINE)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["sample"], "--space FILE expected"),
        (["sample", "--resume", "x", "--space", "y", "--lr", "1"], "DATA, --space, --lr can't be given with it"),
        (["--resume", "nowhere"], "nowhere: the folder of a study expected"),
        (["sample", "--space", "nowhere.toml"], "nowhere.toml: a search space in TOML expected"),
        (["sample", "--space", "space.toml", "--trials", "0"], "--trials: at least 1 expected"),
        (["sample", "--space", "space.toml", "--final-seeds", "1"], "2 or more expected, or 0"),
        (["sample", "--space", "space.toml", "--set", "validation=0"], "holds none out; say --set validation=2000"),
        (
            ["sample", "--space", "wrong.toml"],
            "wrong.toml, line 2: shfit: the recipe has no such key; did you mean shift?",
        ),
    ],
)
def test_a_users_mistake_is_one_message_and_no_folder(
    args: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("wrong.toml").write_text("lr = [0.1, 0.2]\nshfit = [0, 1]\n", encoding="utf-8")
    assert main(["tune", *args]) == 2
    assert message in capsys.readouterr().err
    assert not Path("runs").exists()


@pytest.mark.nightly
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_study_that_is_killed_in_a_trial_goes_on_as_if_it_had_not_been(number: signal.Signals) -> None:
    args = new_study("--trials", "4", "--final-seeds", "0", "--quiet")
    with subprocess.Popen(
        command(*args[:-1], "--out", "killed"), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("trial 2   epoch 1/"):
                process.send_signal(number)
                break
        printed = process.stderr.read()

    # A kill saves nothing and says nothing; whoever is asked to stop says how to go on.
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "  fittingroom tune --resume killed" in printed
    assert not Path("killed/result.json").exists()

    assert main(["tune", "--resume", "killed", "--trust-code", "--final-seeds", "0", "--quiet"]) == 0
    assert main(["tune", *args, "--out", "whole"]) == 0
    assert figures("killed") == figures("whole")


@pytest.mark.nightly
def test_processes_that_help_each_other_make_each_trial_once() -> None:
    several_processes_on_one_study([])


def several_processes_on_one_study(storage: list[str]) -> None:
    assert main(["tune", *new_study("--trials", "1", "--final-seeds", "0", "--quiet", "--out", "study", *storage)]) == 0
    helping = command("--resume", "study", "--trust-code", "--trials", "12", "--final-seeds", "2", *storage)
    with (
        subprocess.Popen(helping, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one,
        subprocess.Popen(helping, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other,
    ):
        printed = [process.communicate(timeout=500) for process in (one, other)]
    assert [one.returncode, other.returncode] == [0, 0], printed
    done = [re.findall(r"^trial (\d+)   (?:finished|pruned)", err, re.MULTILINE) for _, err in printed]
    assert all(done), printed
    assert sorted(int(number) for numbers in done for number in numbers) == list(range(1, 12))
    assert sum("2 fresh seeds" in out for out, _ in printed) >= 1
    result = json.loads(Path("study/result.json").read_text(encoding="utf-8"))
    assert sum(result["trials"].values()) == 12


@contextmanager
def postgresql() -> Iterator[str]:
    """A server of its own, on a free port of 127.0.0.1, run by a user who isn't root; its URL with a password."""
    with tempfile.TemporaryDirectory(prefix="postgresql-") as folder:  # pytest's own folders are closed to other users
        yield from _serve(Path(folder))


def _serve(folder: Path) -> Iterator[str]:
    folders = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    if not folders:
        pytest.skip("PostgreSQL is not installed (Debian's package postgresql)")

    # PostgreSQL refuses to run as root, so it is run by the user that its package made.
    as_user: list[str] = []
    if os.geteuid() == 0:
        if shutil.which("runuser") is None:
            pytest.skip("PostgreSQL does not run as root, and there is no runuser to become another user")
        as_user = ["runuser", "-u", "postgres", "--"]
        shutil.chown(folder, "postgres")

    # A password, so that what is kept in a study can be searched for it.
    secret, data = folder / "password", folder / "data"
    secret.write_text("a secret", encoding="utf-8")
    secret.chmod(0o644)
    run = [*as_user, str(folders[0] / "initdb"), "-D", str(data), "-U", "tuner", "-A", "scram-sha-256"]
    subprocess.run([*run, f"--pwfile={secret}"], check=True, capture_output=True, cwd=folder)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1"
    control = [*as_user, str(folders[0] / "pg_ctl"), "-D", str(data), "-w"]
    log = ["-l", str(folder / "log")]
    subprocess.run([*control, *log, "-o", options, "start"], check=True, capture_output=True, cwd=folder)
    try:
        yield f"postgresql+psycopg://tuner:a%20secret@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True, cwd=folder)


@pytest.mark.nightly
def test_several_processes_work_on_one_study_in_postgresql(capsys: pytest.CaptureFixture[str]) -> None:
    with postgresql() as url:
        several_processes_on_one_study(["--storage", url])
        capsys.readouterr()
        assert main(["tune", "--resume", "study"]) == 2
        assert "has a password, which is not kept: give --storage with it again" in capsys.readouterr().err
    assert not Path("study/study.db").exists()
    for file in Path("study").rglob("*"):
        if file.is_file():
            assert b"secret" not in file.read_bytes(), file


@pytest.mark.nightly
def test_trials_on_ray_are_what_their_recipes_make_of_them_here() -> None:
    args = new_study("--trials", "6", "--final-seeds", "2", "--pruner", "none", "--engine", "ray", "--out", "ray")
    done = subprocess.run(command(*args), capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    study = fr.resume_study("ray", trust_code=True, trials=6, final_seeds=2)
    assert len(study.trials()) == 6
    for trial in study.trials():
        recipe = fr.load_recipe(study.folder(trial.number) / "recipe.toml", overrides=[LINEAR])  # its code is named
        alone = fr.train("sample", recipe, out=f"alone-{trial.number}", options=fr.Options(threads=1))
        assert alone.result["validation"]["accuracy"] == trial.value
