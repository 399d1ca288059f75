"""Work that is done is given, whatever can't be written beside it: a ledger, a run's folder, a name with brackets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fittingroom as fr
from fittingroom.report.run_summary import subsets_of
from fittingroom.runs.ledger import LEDGER, record_evaluation
from tests.support.machine import missing
from tests.support.small_run import train_small

COMMAND = [sys.executable, "-m", "fittingroom"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> fr.Run:
    return train_small(tmp_path_factory.mktemp("runs") / "exp1")


def test_an_evaluation_whose_ledger_cant_be_written_is_warned_of_and_given(run: fr.Run, tmp_path: Path) -> None:
    copy = fr.Run(Path(shutil.copytree(run.path, tmp_path / "runs" / "exp1")))
    (tmp_path / "runs" / LEDGER).mkdir()  # nobody, not even root, can append to it

    with pytest.warns(UserWarning, match=f"{LEDGER}: this evaluation on sample test is not on record there: Is a dir"):
        scores = copy.evaluate()

    assert scores["n"] == 1000
    assert copy.result["test"]["correct"] == scores["correct"]
    assert len(copy.result["test_looks"]) == 1  # the run's own record has it


def test_a_run_that_cant_be_written_to_is_judged_all_the_same(run: fr.Run, tmp_path: Path) -> None:
    copy = fr.Run(Path(shutil.copytree(run.path, tmp_path / "exp1")))
    (copy.path / "evaluations").write_text("no folder")

    with pytest.warns(UserWarning, match="exp1: this evaluation can't be kept there"):
        scores = copy.evaluate(fr.open_dataset("sample").test)

    assert scores["n"] == 1000


def test_a_run_in_read_only_folders_is_judged_and_the_score_printed(run: fr.Run, tmp_path: Path) -> None:
    runs = _of_another_user(run, tmp_path, "exp1")
    command = [*_without_rights(), *COMMAND, "evaluate", str(runs / "exp1"), "--json", "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n"] == 1000
    assert f"{LEDGER}: this evaluation on sample test is not on record there: Permission denied" in done.stderr
    assert "exp1: this evaluation can't be kept there: Permission denied" in done.stderr
    assert "Traceback" not in done.stderr


def test_runs_that_another_user_began_are_gone_on_with(run: fr.Run, tmp_path: Path) -> None:
    """Such as root, in a container: the ledger in their folder can't be written to."""
    runs = _of_another_user(run, tmp_path, "theirs")
    train = ["train", "sample", "--model", "tutorial", "--epochs", "1", "--threads", "1", "--out", str(runs / "mine")]
    for words in ([*train, "--quiet"], ["train", "--resume", str(runs / "mine"), "--quiet"]):
        done = subprocess.run(
            [*_without_rights(), *COMMAND, *words], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    assert (runs / "mine" / "report.html").exists()
    assert fr.open_run(runs / "mine").result["test"]["n"] == 1000


def _of_another_user(run: fr.Run, folder: Path, name: str) -> Path:
    """A folder of runs with a copy of one, which and whose ledger can be read only."""
    runs = folder / "runs"
    shutil.copytree(run.path, runs / name)
    record_evaluation(runs, fr.open_dataset("sample").train, run="another", command="of another's")
    (runs / LEDGER).chmod(0o444)
    (runs / name).chmod(0o555)
    return runs


def _without_rights() -> list[str]:
    """What a command is started by so that it may write only where its user may: root writes wherever it likes."""
    bare = ["setpriv", "--bounding-set", "-all"] if os.geteuid() == 0 else []
    if bare and shutil.which("setpriv") is None:
        missing("no folder was read-only: as root that needs `setpriv` (util-linux)")
    return bare


@pytest.mark.parametrize("name", ["exp[1]", "exp*", "exp?"])
def test_a_runs_path_is_no_pattern(run: fr.Run, tmp_path: Path, name: str) -> None:
    from fittingroom.evaluation.predictions import read_predictions
    from fittingroom.report.page import write_report
    from fittingroom.serve.run_info import mistakes

    # Its neighbour exp1, whom the name as a pattern would match, was never judged on the test set.
    folder = Path(shutil.copytree(run.path, tmp_path / name))
    shutil.copytree(run.path, tmp_path / "exp1")
    (tmp_path / "exp1" / "predictions-validation.parquet").write_bytes(b"of another run")

    there = read_predictions(fr.Run(folder).predictions_file("validation"), fr.Run(folder).artifact.classes)
    assert np.count_nonzero(there.is_right) == fr.Run(folder).result["validation"]["correct"]

    assert write_report(fr.Run(folder)).exists()
    first, second = there.classes[there.truth[0]], there.classes[there.predicted[0]]
    assert mistakes(fr.Run(folder), first, second)


def test_a_copy_beside_the_members_or_the_evaluations_stops_nothing(tmp_path: Path) -> None:
    golden = Path(__file__).parents[1] / "golden" / "format-1-seeds-and-own-models" / "two-seeds"
    folder = Path(shutil.copytree(golden, tmp_path / "two-seeds"))
    shutil.copytree(folder / "seed-0", folder / "seed-0-old")
    (folder / "seed-0" / "evaluations").mkdir()
    (folder / "seed-0" / "evaluations" / "1-copy.json").write_text("{}")

    run = fr.open_run(folder)

    assert [member.path.name for member in run.members] == ["seed-0", "seed-1"]
    assert subsets_of(run.members[0]) == []
