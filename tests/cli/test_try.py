"""``fittingroom try`` as its users call it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from fittingroom.cli import main
from tests.support import SUPPORT

LINEAR = f"{SUPPORT / 'linear_net.py'}:net"  # as ideas are told of any network in the same way
SMALL = ("sample", "--model", LINEAR, "--epochs", "1", "--batch-size", "256", "--threads", "1")


def test_ideas_are_told_in_lines_a_table_csv_and_latex(
    own_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fittingroom.ideas.FOLDS", 2)  # in place of five
    Path("slow.toml").write_text("[[stages]]\nepochs = 1\nlr = 1e-9\n", encoding="utf-8")
    assert main(["try", *SMALL, "--variant", "slow.toml", "--out", "study"]) == 0
    told = capsys.readouterr()
    assert "after 3 pairs: worse" in told.err
    assert told.out.count("worse") == 1
    assert "no model was judged on it" in told.out
    assert "slow" in told.out

    # The same command again, as after a kill: what lies there can be gone on with.
    assert main(["try", *SMALL, "--variant", "slow.toml", "--out", "study"]) == 2
    assert "there is a study already; to go on with it: fittingroom try --resume study" in capsys.readouterr().err

    assert (
        main(
            [
                "try",
                "--resume",
                "study",
                "--trust-code",
                "--csv",
                "ideas.csv",
                "--latex",
                "ideas.tex",
                "--quiet",
                "--json",
            ]
        )
        == 0
    )
    result = json.loads(capsys.readouterr().out)
    rows = list(csv.DictReader(Path("ideas.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["idea"] for row in rows] == ["baseline", "slow"]
    assert float(rows[1]["difference"]) == result["ideas"][0]["difference"]
    assert r"\begin{tabular}" in Path("ideas.tex").read_text(encoding="utf-8")


def test_a_budget_that_no_pair_fits_into_is_said(own_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["try", *SMALL, "--set", "label_smoothing=0.1", "--budget", "0.01s", "--out", "study"]) == 0
    printed = capsys.readouterr().out
    assert "fewer than 3 pairs were trained; fittingroom try --resume study with a larger --budget goes on" in " ".join(
        printed.split()
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["try"], "--set KEY=VALUE or --variant FILE expected"),
        (["try", "--resume", "x", "--set", "a=1"], "--resume takes all from the study"),
        (["try", "--set", "mirror=random", "--effect", "0"], "--effect: points above 0"),
        (["try", "--set", "mirror=random", "--budget", "soon"], "a time such as 90s, 10m or 2h expected"),
        (["try", "--variant", "nowhere.toml", "sample"], "TOML with the keys"),
        (["try", "--resume", "nowhere"], "a study of ideas expected"),
    ],
)
def test_what_cant_be_tried_is_one_message(
    own_folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    try:
        code: int | str | None = main(arguments)
    except SystemExit as stop:  # what argparse refuses
        code = stop.code
    assert code == 2
    assert message in capsys.readouterr().err
