"""Runs that an older version wrote are opened, judged, resumed and listed by this one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from PIL import Image

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.runs.ledger import read_evaluations
from fittingroom.runs.metrics_log import read_metrics
from fittingroom.serve.server import open_models
from fittingroom.training.checkpoint import load_newest_checkpoint
from tests.support import GOLDEN

FROZEN = GOLDEN / "format-1"
SEVERAL = GOLDEN / "format-1-seeds-and-own-models"


@pytest.fixture
def run(tmp_path: Path) -> fr.Run:
    """A copy: judging writes."""
    shutil.copytree(FROZEN, tmp_path / "runs")
    return fr.open_run(tmp_path / "runs" / "swift-1")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A copy of the runs of several seeds and of a user's own model."""
    return Path(shutil.copytree(SEVERAL, tmp_path / "runs"))


def assert_counts_right_answers(model: fr.Run) -> None:
    """The exported model, which needs no code, gives as many right answers as the run recorded."""
    test = fr.open_dataset("sample").test
    assert test is not None
    assert (fr.load(model.path).predict(test.images) == test.labels).sum() == model.result["test"]["correct"]


def test_it_is_judged_as_it_was(run: fr.Run) -> None:
    before = run.result
    assert str(run.artifact.temperature) == "not calibrated"

    scores = run.evaluate()

    assert scores["correct"] == before["test"]["correct"]
    assert scores["loss"] == pytest.approx(before["test"]["loss"], rel=1e-5)
    assert run.result == before
    assert len(read_evaluations(run.path.parent, before["test_looks"][0]["fingerprint"])) == 2


def photo_of(image: NDArray[np.uint8], file: Path) -> None:
    """Write the image as a shop's photo would show it: large, dark on white, with a margin."""
    Image.fromarray(np.pad(255 - image, 3, constant_values=255)).resize((340, 340)).convert("RGB").save(file)


def test_it_goes_on_converting_product_photos(run: fr.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test = fr.open_dataset("sample").test
    assert test is not None
    for row in range(50):
        photo_of(test.images[row], tmp_path / f"{row:04}.jpg")

    assert main(["predict", str(run.path), str(tmp_path / "*.jpg"), "--json"]) == 0

    printed = capsys.readouterr()
    labels = np.array([answer["label"] for answer in json.loads(printed.out)])
    assert run.artifact.preprocessing.photo == "fashion-mnist"
    assert (labels == fr.load(run.path).predict(test.images[:50])).mean() > 0.8
    assert printed.err == ""


def test_one_of_other_data_resizes_pictures_plainly_and_says_so_once(
    run: fr.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classes = [f"class {i}" for i in range(10)]
    config = json.loads((run.path / "config.json").read_text(encoding="utf-8"))
    config["classes"], config["data"]["train"]["images"] = classes, "0" * 64
    (run.path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    model = onnx.load(run.path / "model.onnx")
    onnx.helper.set_model_props(
        model,
        {pair.key: pair.value for pair in model.metadata_props} | {"fittingroom.classes": json.dumps(classes)},
    )
    onnx.save(model, run.path / "model.onnx")

    test = fr.open_dataset("sample").test
    assert test is not None
    for row in range(20):
        Image.fromarray(test.images[row]).resize((280, 280), Image.Resampling.NEAREST).save(tmp_path / f"{row:04}.png")

    assert main(["predict", str(run.path), str(tmp_path / "*.png"), "--json"]) == 0

    printed = capsys.readouterr()
    labels = np.array([answer["label"] for answer in json.loads(printed.out)])
    assert (labels == fr.load(run.path).predict(test.images[:20])).mean() > 0.9, "what was enlarged is made small again"
    (note,) = printed.err.splitlines()
    assert note.startswith("a run of fittingroom 0.1 doesn't say how its pictures were prepared; images of another")


def test_its_exported_model_gives_the_same_answers(run: fr.Run) -> None:
    assert_counts_right_answers(run)


def test_it_needs_no_more_training(run: fr.Run) -> None:
    weights = (run.path / "model.safetensors").read_bytes()
    assert fr.resume(run.path).result == run.result
    assert (run.path / "model.safetensors").read_bytes() == weights


def test_its_checkpoint_is_read(run: fr.Run) -> None:
    newest = load_newest_checkpoint(run.path / "checkpoints")
    assert newest is not None
    assert newest[1]["progress"]["epoch"] == 4
    assert newest[1]["recipe"] == run.recipe.as_dict()


def test_it_is_listed_and_reported(run: fr.Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", str(run.path.parent), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["run"], row["test"]) == ("swift-1", run.result["test"]["accuracy"])
    assert main(["report", str(run.path)]) == 0
    assert (run.path / "report.html").exists()


@pytest.mark.parametrize(("name", "newest"), [("config.json", 2), ("environment.json", 1), ("result.json", 1)])
def test_a_newer_format_is_refused_by_name(
    run: fr.Run, name: str, newest: int, capsys: pytest.CaptureFixture[str]
) -> None:
    file = run.path / name
    newer = json.loads(file.read_text(encoding="utf-8")) | {"format": newest + 1}
    file.write_text(json.dumps(newer), encoding="utf-8")

    assert main(["evaluate", str(run.path)]) == 2

    assert f"{name}: format {newest} expected" in capsys.readouterr().err


def test_several_seeds_are_judged_as_they_were(runs: Path) -> None:
    run = fr.open_run(runs / "two-seeds")
    before = run.result

    mean = run.evaluate()

    assert mean["mean"] == pytest.approx(before["mean"])
    assert [member["correct"] for member in mean["members"]] == [
        member["test"]["correct"] for member in before["members"]
    ]
    assert run.result == before


def test_a_model_of_ones_own_is_judged_as_it_was(runs: Path) -> None:
    run = fr.open_run(runs / "own-model")
    before = run.result

    scores = run.evaluate(trust_code=True)

    assert scores["correct"] == before["test"]["correct"]
    assert scores["loss"] == pytest.approx(before["test"]["loss"], rel=1e-5)
    assert run.result == before


@pytest.mark.parametrize("model", ["two-seeds/seed-0", "two-seeds/seed-1", "own-model"])
def test_each_exported_model_gives_the_same_answers(runs: Path, model: str) -> None:
    assert_counts_right_answers(fr.open_run(runs / model))


def test_they_are_served(runs: Path) -> None:
    served = open_models([runs / "two-seeds" / "seed-0", runs / "two-seeds" / "seed-1", runs / "own-model"])
    assert [model.name for model in served] == ["two-seeds-seed-0", "two-seeds-seed-1", "own-model"]


def test_they_are_reported(runs: Path) -> None:
    for name in ("two-seeds", "own-model"):
        assert main(["report", str(runs / name)]) == 0
        assert (runs / name / "report.html").exists()
    assert (runs / "two-seeds" / "seed-1" / "report.html").exists()


def test_they_are_listed(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", str(runs), "--json"]) == 0

    rows = {row["run"]: row for row in json.loads(capsys.readouterr().out)}

    assert rows.keys() == {"two-seeds", "two-seeds-stopped", "own-model", "own-model-stopped"}
    assert rows["two-seeds"]["test"] == fr.open_run(runs / "two-seeds").result["mean"]
    assert [name for name, row in rows.items() if not row["finished"]] == ["own-model-stopped", "two-seeds-stopped"]
    assert rows["two-seeds-stopped"]["seeds"] == 2


@pytest.mark.parametrize("name", ["two-seeds", "own-model"])
def test_what_is_finished_needs_no_more_training(runs: Path, name: str) -> None:
    weights = {file: file.read_bytes() for file in (runs / name).rglob("model.safetensors")}
    before = fr.open_run(runs / name).result

    assert fr.resume(runs / name, trust_code=name == "own-model").result == before
    assert {file: file.read_bytes() for file in weights} == weights


def test_several_seeds_that_were_stopped_go_on_to_the_end(runs: Path) -> None:
    folder = runs / "two-seeds-stopped"
    first = (folder / "seed-0" / "model.safetensors").read_bytes()

    run = fr.resume(folder)

    assert [member["seed"] for member in run.result["members"]] == [0, 1]
    assert run.result["on"] == "test", "its first command line asked for the test set"
    assert (folder / "seed-0" / "model.safetensors").read_bytes() == first
    assert_has_every_step_once(run.members[1])


@pytest.mark.nightly
def test_a_model_of_ones_own_that_was_stopped_goes_on_to_the_end(runs: Path) -> None:
    folder = runs / "own-model-stopped"
    with pytest.raises(fr.ArtifactError, match="trust_code=True"):
        fr.resume(folder)

    run = fr.resume(folder, trust_code=True)

    assert run.result["test"]["n"] == 1000
    assert_has_every_step_once(run)


def assert_has_every_step_once(run: fr.Run) -> None:
    """The log of a run goes on where it was cut off, to the last step of the last epoch."""
    events = read_metrics(run.path / "metrics.jsonl")
    steps = [event["step"] for event in events if event["event"] == "step"]
    epochs = [event["epoch"] for event in events if event["event"] == "epoch"]

    assert steps == list(range(1, len(steps) + 1))
    assert epochs == list(range(run.recipe.epochs))
