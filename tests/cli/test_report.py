"""``fittingroom report`` as its user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fittingroom.cli import main


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def train(*more: str) -> None:
    recipe = ["--recipe", "plain", "--epochs", "1", "--set", "precision=float32"]
    assert main(["train", "sample", *recipe, "--quiet", "--out", "runs/one", *more]) == 0


def test_report_writes_the_page_and_the_card_and_says_the_diagnosis(capsys: pytest.CaptureFixture[str]) -> None:
    train()
    Path("runs/one/report.html").unlink(missing_ok=True)
    looks = Path("runs/test-looks.jsonl").read_bytes()
    capsys.readouterr()
    assert main(["report", "runs/one"]) == 0
    printed = capsys.readouterr().out
    assert "few-steps" in printed
    assert "Try: Give it more: --epochs " in printed
    assert printed.splitlines()[-1] == "runs/one/report.html"
    assert Path("runs/one/report.html").exists()
    assert Path("runs/one/README.md").read_text(encoding="utf-8").startswith("---\n")
    assert Path("runs/test-looks.jsonl").read_bytes() == looks, "a report is no look at test"


def test_a_look_of_which_nothing_is_known_but_its_images_is_shown_too() -> None:
    train()
    ledger = Path("runs/test-looks.jsonl")
    known = json.loads(ledger.read_text(encoding="utf-8"))
    with ledger.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"fingerprint": known["fingerprint"]}) + "\n")
    assert main(["report", "runs/one"]) == 0
    page = Path("runs/one/report.html").read_text(encoding="utf-8")
    assert '<tr><td class="number"></td><td></td><td><code></code></td></tr>' in page


def test_report_of_several_seeds_names_each(capsys: pytest.CaptureFixture[str]) -> None:
    train("--seeds", "2", "--no-test")
    assert main(["report", "runs/one"]) == 0
    printed = capsys.readouterr().out
    assert "seed 0, few-steps" in printed
    assert "seed 1, few-steps" in printed
    assert Path("runs/one/seed-1/README.md").exists()


def test_a_folder_without_a_run_is_the_users_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "runs/none"]) == 2
    assert "runs/none: a run's folder expected, nothing found" in capsys.readouterr().err


def test_an_unfinished_run_says_how_to_finish_it(capsys: pytest.CaptureFixture[str]) -> None:
    train()
    for name in ("result.json", "config.json"):
        Path("runs/one", name).unlink()
    assert main(["report", "runs/one"]) == 2
    assert "fittingroom train --resume runs/one" in capsys.readouterr().err
