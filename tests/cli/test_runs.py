"""``fittingroom runs`` lists runs by data and validation, and never ranks by test."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from fittingroom.cli import main

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Copies of runs of 0.1: lucky is best on test and worst on validation, other was judged on other images."""
    folder = tmp_path / "runs"
    for name, validation, test in (("good", 0.92, 0.70), ("lucky", 0.90, 0.99), ("other", 0.99, 0.98)):
        shutil.copytree(GOLDEN / "format-1" / "swift-1", folder / name)
        edit(folder / name / "result.json", "validation", accuracy=validation)
        edit(folder / name / "result.json", "test", accuracy=test)
    data = json.loads((folder / "other" / "environment.json").read_text(encoding="utf-8"))["data"]
    edit(folder / "other" / "environment.json", "data", source="a-folder", test=data["test"] | {"images": "0" * 64})
    shutil.copytree(GOLDEN / "format-1-seeds-and-own-models" / "two-seeds", folder / "seeds")
    return folder


def edit(file: Path, key: str, **changes: Any) -> None:
    value = json.loads(file.read_text(encoding="utf-8"))
    value[key] |= changes
    file.write_text(json.dumps(value), encoding="utf-8")


def listed(runs: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    assert main(["runs", str(runs), "--json"]) == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return rows


def test_runs_on_the_same_data_are_ordered_by_validation_and_not_by_test(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = listed(runs, capsys)
    by_name = {row["run"]: row for row in rows}
    assert [row["run"] for row in rows if row["data_set"] == by_name["good"]["data_set"]][:2] == ["good", "lucky"]
    assert by_name["other"]["data_set"] != by_name["good"]["data_set"]
    assert rows[0]["run"] == "other"  # data sets by name


def test_a_run_of_several_seeds_has_sd_and_the_interval_of_its_recipe(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {row["run"]: row for row in listed(runs, capsys)}["seeds"]
    assert row["seeds"] == 2
    assert row["interval_of"] == "recipe: seeds × images"
    assert row["interval"][0] < row["test"] < row["interval"][1]
    assert row["sd"] is not None


def test_an_interval_by_groups_is_called_that(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(runs / "good" / "result.json", "test", groups=7)
    file = runs / "seeds" / "result.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | {"groups": 7}), encoding="utf-8")
    of = {row["run"]: row["interval_of"] for row in listed(runs, capsys)}
    assert of["good"] == "this model: 1,000 images in 7 groups"
    assert of["seeds"] == "recipe: seeds × 1,000 images in 7 groups"
    assert of["lucky"] == "this model: Wilson"


def test_keys_that_differ_from_the_packaged_recipe_are_named(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environment = json.loads((runs / "good" / "environment.json").read_text(encoding="utf-8"))
    before = {row["run"]: row for row in listed(runs, capsys)}["good"]["changed"]
    edit(runs / "good" / "environment.json", "recipe", shift=7, seed=4)
    assert environment["recipe"]["name"] == "swift"
    after = {row["run"]: row for row in listed(runs, capsys)}["good"]["changed"]
    assert set(after) - set(before) == {"shift=7"}


def test_what_a_recipe_leaves_out_is_listed_as_the_default(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a run of before the packaged recipe had the key at all."""
    file = runs / "good" / "environment.json"
    environment = json.loads(file.read_text(encoding="utf-8"))
    environment["recipe"].pop("batch_parts", None)
    file.write_text(json.dumps(environment), encoding="utf-8")
    changed = {row["run"]: row for row in listed(runs, capsys)}["good"]["changed"]
    assert "batch_parts=1" in changed
    assert not any(value.startswith("description=") for value in changed)  # which trains nothing


def test_looks_are_those_of_the_run_on_its_own_test_set(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test = json.loads((runs / "good" / "environment.json").read_text(encoding="utf-8"))["data"]["test"]
    lines = [("good", test["images"]), ("good", test["images"]), ("lucky", test["images"]), ("good", "0" * 64)]
    ledger = "".join(json.dumps({"fingerprint": fingerprint, "run": name}) + "\n" for name, fingerprint in lines)
    (runs / "test-looks.jsonl").write_text(ledger, encoding="utf-8")
    looks = {row["run"]: row["looks"] for row in listed(runs, capsys)}
    assert (looks["good"], looks["lucky"]) == (2, 1)


def test_csv_and_latex_hold_the_same_figures(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = listed(runs, capsys)
    assert main(["runs", str(runs), "--csv", str(tmp_path / "runs.csv"), "--latex", str(tmp_path / "runs.tex")]) == 0
    with (tmp_path / "runs.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert [row["run"] for row in read] == [row["run"] for row in rows]
    assert [float(row["validation"]) for row in read] == pytest.approx([row["validation"] for row in rows])

    latex = (tmp_path / "runs.tex").read_text(encoding="utf-8")
    assert latex.count(r"\\") == 1 + len(rows)
    assert "92.00" in latex
    assert r"seeds $\times$ images" in latex

    assert main(["runs", str(runs), "--csv"]) == 0
    assert capsys.readouterr().out == (tmp_path / "runs.csv").read_text(encoding="utf-8")
    assert main(["runs", "--csv", str(runs)]) == 2


def test_a_spreadsheet_computes_nothing_of_a_name_that_came_from_somewhere(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (runs / "good").rename(runs / "=1+1")
    assert main(["runs", str(runs), "--csv"]) == 0
    names = [row["run"] for row in csv.DictReader(capsys.readouterr().out.splitlines())]
    assert "'=1+1" in names
    assert not any(name.startswith("=") for name in names)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_cell_is_cut_in_a_narrow_terminal(
    width: int, runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["runs", str(runs)]) == 0
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= max(width, 57)  # the longest is the line about the order
    good = next(line for line in lines if "good" in line)
    assert "92.00%" in good


@pytest.mark.parametrize(
    "damage",
    [
        '{"format": 1}',
        '{"format": 1, "validation": 7, "test": null, "parameters": 1, "train_seconds": 1}',
        '{"format": 1, "members": [{}], "parameters": 1, "train_seconds": 1}',
        '{"format": 1, "members": 3, "on": "test", "parameters": 1, "train_seconds": 1}',
    ],
)
def test_a_damaged_result_keeps_its_own_run_alone_from_the_list(
    runs: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    (runs / "good" / "result.json").write_text(damage, encoding="utf-8")

    assert main(["runs", str(runs), "--json"]) == 0

    printed = capsys.readouterr()
    assert {row["run"] for row in json.loads(printed.out)} == {"lucky", "other", "seeds"}
    assert re.search(
        r"good is not listed: \S+result\.json: .+ expected, .+; the file was damaged or changed", printed.err
    )
