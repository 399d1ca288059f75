"""``fittingroom compare`` as its user calls it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.compare.page import MAX_PICTURES
from tests.support import NARROW


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two recipes of two seeds each, on the sample."""
    folder: Path = tmp_path_factory.mktemp("trained")
    small = ["sample", "--recipe", "plain", "--epochs", "1", "--quiet", "--seeds", "2"]
    small += ["--set", "precision=float32", "--set", NARROW]
    assert main(["train", *small, "--out", str(folder / "runs/fast")]) == 0
    assert main(["train", *small, "--lr", "1e-5", "--out", str(folder / "runs/slow")]) == 0
    return folder


@pytest.fixture(autouse=True)
def _in_a_copy(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


def test_it_says_the_verdict_first_and_what_it_rests_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "runs/fast", "runs/slow"]) == 0
    printed = capsys.readouterr().out
    first, *rest = printed.splitlines()
    assert re.match(r"slow is worse than fast by \d+\.\d\d points \(95% \d+\.\d\d to \d+\.\d\d, 2 \+ 2 seeds\)$", first)
    assert rest[0].startswith("This was a test-set evaluation. fast's own accuracy")

    # A class is listed if its interval leaves anything out; how many are not is said.
    (comparison,) = fr.compare_runs(["runs/fast", "runs/slow"]).comparisons
    listed = {row.name: row.says_something for row in comparison.per_class}
    assert list(listed) == list(fr.open_run("runs/fast/seed-0").artifact.classes)
    assert {name for name in listed if f"\n{name} " in printed} == {name for name in listed if listed[name]}
    if silent := list(listed.values()).count(False):
        assert f"{silent} of 10 classes are not listed" in printed
    with Image.open("runs/compare-fast-slow.png") as sheet:
        assert sheet.width > 500
    assert "runs/compare-fast-slow.png" in printed


def test_json_has_the_promised_keys_and_the_runs_own_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "runs/fast", "runs/slow", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["baseline"] == "fast"

    # The figures are those that the runs have themselves: nothing is judged anew.
    (found,) = answer["comparisons"]
    assert found.keys() >= {"run", "difference", "interval", "seeds", "n", "verdict", "warnings"}
    fast, slow = (fr.open_run(f"runs/{name}").result["mean"] for name in ("fast", "slow"))
    assert found["difference"] == pytest.approx(slow - fast)
    assert found["interval"][0] < found["difference"] < found["interval"][1] < 0
    assert (found["run"], found["seeds"], found["n"], found["verdict"]) == ("slow", [2, 2], 1000, "worse")
    assert found["warnings"] == []

    assert found["sheet"] == "runs/compare-fast-slow.png"

    compared = json.loads(json.dumps(fr.compare_runs(["runs/fast", "runs/slow"], on="test").as_dict()))
    assert compared["comparisons"][0] | {"sheet": found["sheet"], "warnings": []} == found

    ledger = Path("runs/test-looks.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(ledger[-1])["run"] == "fast, slow"


def test_members_are_compared_as_models_on_validation_without_a_look(capsys: pytest.CaptureFixture[str]) -> None:
    ledger = Path("runs/test-looks.jsonl").read_bytes()
    arguments = ["runs/fast/seed-0", "runs/fast/seed-1", "--split", "validation", "--sheet", "apart.png"]
    assert main(["compare", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "fast/seed-1" in printed.splitlines()[0]
    assert "With one seed each it can't speak for their recipes." in printed
    assert "exact McNemar" in printed
    assert Path("apart.png").exists()
    assert Path("runs/test-looks.jsonl").read_bytes() == ledger


def test_a_second_look_is_warned_of_in_the_first_line(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        capsys.readouterr()
        assert main(["compare", "runs/fast", "runs/slow"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("warning: sample test was evaluated on 5 times before, 4 of them to judge these models")


def test_the_page_is_self_contained_and_shows_what_was_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "runs/fast", "runs/slow", "--html", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    page = Path(answer["html"]).read_text(encoding="utf-8")
    assert answer["html"] == "runs/compare-fast-slow.html"
    assert answer["comparisons"][0]["sentence"] in page.replace("&#39;", "'")
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    assert "http://" not in page
    assert "https://" not in page

    # Of each side the images that it alone gets right, up to the most that are shown.
    right = [image["right"] for image in answer["comparisons"][0]["discordant"]]
    shown = sum(min(right.count(name), MAX_PICTURES) for name in ("fast", "slow"))
    assert page.count('<img class="tile" src="data:image/png;base64,') == shown > MAX_PICTURES
    assert len(page) < 3_000_000


def test_three_runs_on_one_page(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["runs/fast", "runs/slow", "runs/fast/seed-1", "--split", "validation", "--html", "all.html"]
    assert main(["compare", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "slow is worse than fast" in printed
    assert "fast/seed-1" in printed
    assert "fast against slow, fast/seed-1" in Path("all.html").read_text(encoding="utf-8")


def test_data_that_is_gone_costs_the_pictures_alone(capsys: pytest.CaptureFixture[str]) -> None:
    for file in Path("runs").rglob("environment.json"):
        text = file.read_text(encoding="utf-8").replace('"source": "sample"', '"source": "gone.npz"')
        file.write_text(text, encoding="utf-8")
    assert main(["compare", "runs/fast", "runs/slow", "--html"]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].startswith(
        "warning: whether the training data of fast hold test images isn't known: gone.npz"
    )
    assert "no pictures: gone.npz" in printed
    assert "Their pictures are missing: gone.npz" in Path("runs/compare-fast-slow.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runs/fast"], "two or more different runs expected"),
        (["runs/fast", "runs/nothing"], "runs/nothing: a run's folder expected"),
        (["runs/fast", "runs/fast/../fast"], "two or more different runs expected"),
        (["runs/fast", "runs/slow", "--difference", "0"], "points above 0 and up to 100 expected"),
        (["runs/fast", "runs/slow", "--difference", "nan"], "points above 0 and up to 100 expected"),
        (["runs/fast", "runs/slow", "runs/fast/seed-0", "--sheet", "x.png"], "--sheet names one file"),
        (["runs/fast", "runs/slow", "--sheet", "no/such/folder.png"], "no/such"),
    ],
)
def test_a_mistake_ends_in_one_message(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *arguments]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert "Traceback" not in printed
