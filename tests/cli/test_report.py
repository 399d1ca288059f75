"""``fittingroom report`` as its user calls it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fittingroom.cli import main
from tests.support.machine import missing
from tests.support.once import once


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def train(*more: str) -> None:
    """Have ``runs/one``, and the ledger beside it, as a training here leaves them."""

    def make(folder: Path) -> None:
        recipe = ["--recipe", "plain", "--epochs", "1", "--set", "precision=float32"]
        folder.mkdir()
        with contextlib.chdir(folder):
            assert main(["train", "sample", *recipe, "--quiet", "--out", "runs/one", *more]) == 0

    once(("test_report", *more), make, Path.cwd())


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


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_report_to_another_place_is_the_same_page_and_leaves_the_run_as_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train()
    monkeypatch.setenv("HOME", "home")
    before = files_of(Path("runs"))
    places = {"pages/one.html": "pages/one.html", "elsewhere": "elsewhere/report.html", "~/a.html": "home/a.html"}
    for out, written in places.items():
        capsys.readouterr()
        assert main(["report", "runs/one", f"--out={out}"]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == written
        assert Path(written).read_bytes() == before["one/report.html"]
    assert files_of(Path("runs")) == before
    assert [path.name for path in Path("elsewhere").iterdir()] == ["report.html"]


def test_a_report_of_several_seeds_to_another_place_leads_to_pages_that_are_there() -> None:
    train("--seeds", "2", "--no-test")
    before = files_of(Path("runs"))
    assert main(["report", "runs/one", "--out", "pages"]) == 0
    assert files_of(Path("pages")).keys() == {"report.html", "seed-0/report.html", "seed-1/report.html"}
    assert 'href="seed-1/report.html"' in Path("pages/report.html").read_text(encoding="utf-8")

    # One file has no pages of its members beside it.
    assert main(["report", "runs/one", "--out", "whole.html"]) == 0
    assert "seed-1/report.html" not in Path("whole.html").read_text(encoding="utf-8")
    assert files_of(Path("runs")) == before


def test_the_maps_of_several_seeds_are_not_put_into_one_file(capsys: pytest.CaptureFixture[str]) -> None:
    train("--seeds", "2", "--no-test")
    assert main(["report", "runs/one", "--map", "--out", "whole.html"]) == 2
    assert "whole.html: a folder expected for the maps of 2 seeds" in capsys.readouterr().err
    assert not Path("whole.html").exists()


def test_a_run_in_a_read_only_folder_is_reported_to_another_place() -> None:
    train()
    Path("runs/one").chmod(0o555)

    # Root writes wherever it likes, unless its capabilities are taken.
    bare = ["setpriv", "--bounding-set", "-all"] if os.geteuid() == 0 else []
    if bare and shutil.which("setpriv") is None:
        missing("a read-only run was not reported: as root that needs `setpriv` (util-linux)")
    command = [*bare, sys.executable, "-m", "fittingroom", "report", "runs/one"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "fittingroom: runs/one/report.html: Permission denied; write the page to another place: --out FILE.html"
    )

    done = subprocess.run([*command, "--out", "page.html"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Path("page.html").read_bytes() == Path("runs/one/report.html").read_bytes()
