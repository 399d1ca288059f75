"""Cross-validation of a run: no image is judged by a model that saw it, and nothing that was done is lost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fittingroom as fr
from fittingroom.artifact.onnx_model import OnnxModel
from fittingroom.cli import main
from fittingroom.compare.mcnemar import exact_mcnemar, paired_interval
from fittingroom.data.dataset import Dataset
from fittingroom.errors import DataError, Interrupted, RecipeError
from fittingroom.evaluation.fold_interval import fold_interval
from fittingroom.evaluation.intervals import model_interval
from fittingroom.evaluation.predictions import read_predictions
from fittingroom.events import Event, JobEvent, TrainingStarted
from fittingroom.runs.create import start
from fittingroom.runs.cut import bundles_of
from fittingroom.runs.folds import fold_numbers
from fittingroom.runs.out_of_fold import read_out_of_fold
from fittingroom.training.fit import fit
from fittingroom.training.inference import predict_dataset
from tests.support import SUPPORT

RECIPE = fr.load_recipe(
    "plain",
    overrides=[f"model='{SUPPORT / 'linear_net.py'}:net'", "stages.0.epochs=2", "precision=float32", "batch_size=32"],
)
ONE = fr.Options(threads=1, device="cpu")


@pytest.fixture(scope="module")
def data() -> fr.Splits:
    """240 images of the sample, the first two of them equal, in groups of two where they have any."""
    train = fr.open_dataset("sample").train.subset([0, *range(239)], "few")
    groups = tuple(f"g{row // 2}" if row < 100 else None for row in range(240))
    return fr.Splits(replace(train, groups=groups))


@pytest.fixture(scope="module")
def run(data: fr.Splits, tmp_path_factory: pytest.TempPathFactory) -> fr.Run:
    return fr.train(data, RECIPE, folds=4, out=tmp_path_factory.mktemp("folds") / "run", options=ONE)


def folds_of(run: fr.Run) -> np.ndarray:
    splits = run.open_data()
    return fold_numbers(splits.train, 4, run.recipe.split_seed, bundles_of(run.environment, splits))


def test_every_image_is_judged_by_a_model_of_the_other_folds(run: fr.Run, data: fr.Splits) -> None:
    fold_N = folds_of(run)
    kept = read_out_of_fold(run, run.environment, data)
    assert kept is not None
    for number in range(4):
        rest = fr.Splits(data.train.subset(fold_N != number))
        fitted = fit(rest, replace(run.recipe, min_steps=0), device="cpu", precision="float32")
        said = predict_dataset(fitted.network, data.train.subset(fold_N == number), fitted.normalization)
        assert (said.probabilities == kept.said.probabilities[fold_N == number]).all()


def test_classes_are_spread_evenly_and_what_belongs_together_is_in_one_fold(run: fr.Run, data: fr.Splits) -> None:
    fold_N = folds_of(run)
    assert data.train.groups is not None
    assert data.train.labels is not None
    for row in range(0, 100, 2):
        assert fold_N[row] == fold_N[row + 1]
    assert fold_N[0] == fold_N[1]
    for label in range(10):
        counts = np.bincount(fold_N[data.train.labels == label], minlength=4)
        assert counts.max() - counts.min() <= 3  # groups can't be cut
    assert set(np.bincount(fold_N).tolist()) <= set(range(57, 64))


def test_the_answers_of_all_folds_are_the_runs_validation(run: fr.Run, data: fr.Splits) -> None:
    scores = run.result["validation"]
    kept = read_predictions(run.predictions_file("validation"), run.artifact.classes)
    assert kept.images == tuple(digest.hex() for digest in data.train.image_hashes())
    assert (scores["n"], scores["folds"]) == (240, 4)
    assert scores["correct"] == int(kept.is_right.sum())
    assert scores["interval"] == list(fold_interval(kept.is_right, 4, kept.group_numbers))
    assert run.result["fold_seconds"] > 0

    # Temperature, sets and the out-of-distribution score come from the same answers.
    assert run.artifact.temperature.n == 240
    assert run.artifact.conformal is not None
    assert run.artifact.conformal.n == 240
    scale = OnnxModel((run.path / "model.onnx").read_bytes()).metadata.ood_scale
    assert scale is not None
    assert scale.n == 240


def test_the_model_that_ships_is_the_one_that_learns_from_all_images(
    run: fr.Run, data: fr.Splits, tmp_path: Path
) -> None:
    alone = fr.train(data, replace(RECIPE, validation=0), out=tmp_path / "alone", options=ONE)
    assert (alone.path / "model.safetensors").read_bytes() == (run.path / "model.safetensors").read_bytes()


class Stop:
    """Stops a training in the middle of one of its parts, and counts what was begun."""

    def __init__(self, in_part: int, after: int) -> None:
        self.in_part, self.after = in_part, after
        self.begun: list[str] = []
        self.steps = 0

    def observe(self, event: Event) -> None:
        name, event = (event.job, event.event) if isinstance(event, JobEvent) else ("all", event)
        if isinstance(event, TrainingStarted):
            self.begun.append(name)
            self.steps = 0

    def should_stop(self) -> bool:
        self.steps += 1
        return len(self.begun) == self.in_part and self.steps > self.after


@pytest.mark.parametrize("in_part", [1, 3, 5])
def test_resume_equals_uninterrupted_and_trains_no_finished_fold_again(
    run: fr.Run, data: fr.Splits, tmp_path: Path, in_part: int
) -> None:
    stop = Stop(in_part, after=3)
    with pytest.raises(Interrupted, match="stopped after step"):
        fr.train(
            data, RECIPE, folds=4, out=tmp_path / "run", options=ONE, observe=stop.observe, should_stop=stop.should_stop
        )
    assert len(stop.begun) == in_part
    if in_part > 1:  # as where a process is killed between the answers of a fold and the end of its checkpoints
        (tmp_path / "run/folds/fold-1/checkpoints/step-00000003").mkdir(parents=True)
    again = Stop(0, 0)
    resumed = fr.resume(tmp_path / "run", data=data, trust_code=True, observe=again.observe)
    names = ["fold 1 of 4", "fold 2 of 4", "fold 3 of 4", "fold 4 of 4", "all"]
    assert stop.begun + again.begun[1:] == names
    assert again.begun[0] == names[in_part - 1]
    for name in ("model.safetensors", "predictions-validation.parquet", "model.onnx", "config.json"):
        assert (resumed.path / name).read_bytes() == (run.path / name).read_bytes(), name
    assert sorted(path.name for path in (resumed.path / "folds").iterdir()) == [
        f"fold-{number}.safetensors" for number in range(1, 5)
    ]


def test_a_damaged_fold_is_trained_again(run: fr.Run, data: fr.Splits, tmp_path: Path) -> None:
    stop = Stop(4, after=1)
    with pytest.raises(Interrupted):
        fr.train(
            data, RECIPE, folds=4, out=tmp_path / "run", options=ONE, observe=stop.observe, should_stop=stop.should_stop
        )
    (tmp_path / "run/folds/fold-2.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    again = Stop(0, 0)
    resumed = fr.resume(tmp_path / "run", data=data, trust_code=True, observe=again.observe)
    assert again.begun == ["fold 2 of 4", "fold 4 of 4", "all"]
    assert resumed.result["validation"] == run.result["validation"]


def test_verify_trains_the_folds_again_too(run: fr.Run, data: fr.Splits) -> None:
    (verified,) = fr.verify(run.path, data=data, trust_code=True)
    assert verified.outcome == "same"
    assert "folds: the answers to all 240 images have the same bits" in verified.sentences


def test_of_two_classes_the_threshold_comes_from_the_folds_and_verify_knows_it(data: fr.Splits, tmp_path: Path) -> None:
    labels = data.train.labels
    assert labels is not None
    binary = fr.Splits(Dataset(data.train.images, (labels > 2).astype(np.int64), ("top", "other"), "two"))
    recipe = replace(RECIPE, threshold="balanced_accuracy")
    found = fr.train(binary, recipe, folds=3, out=tmp_path / "run", options=ONE)
    assert found.artifact.threshold is not None
    (verified,) = fr.verify(found.path, data=binary, trust_code=True)
    assert verified.outcome == "same"


def test_where_too_few_validate_for_a_threshold_folds_are_named(data: fr.Splits, tmp_path: Path) -> None:
    labels = data.train.labels
    assert labels is not None
    binary = fr.Splits(Dataset(data.train.images, (labels > 2).astype(np.int64), ("top", "other"), "two"))
    recipe = replace(RECIPE, threshold="balanced_accuracy", validation=24)
    with pytest.warns(UserWarning, match="no threshold is chosen.* found; .*with `folds=5` every image validates"):
        found = fr.train(binary, recipe, out=tmp_path / "run", options=ONE)
    assert found.artifact.threshold is None


def test_two_runs_of_folds_are_compared_image_by_image_and_their_images_count_for_less(
    run: fr.Run, data: fr.Splits, tmp_path: Path
) -> None:
    slower = replace(RECIPE, stages=(replace(RECIPE.stages[0], lr=RECIPE.stages[0].lr / 50),))
    other = fr.train(data, slower, folds=4, out=tmp_path / "slower", options=ONE)
    compared = fr.compare_runs([run.path, other.path], on="validation")
    (found,) = compared.as_dict()["comparisons"]
    assert found["n"] == 240
    assert any("one a fold" in note and "240 images count as 102" in note for note in found["notes"])

    # Nadeau and Bengio: 4 folds make the variance 1 + 4/3 times as large, so that 3 of 7 images count.
    first, second = compared.answers[0]
    first_only = int((first.correct & ~second.correct).sum() * 3 / 7)
    second_only = int((second.correct & ~first.correct).sum() * 3 / 7)
    assert found["difference"] == pytest.approx(second.correct.mean() - first.correct.mean())
    assert found["p_value"] == exact_mcnemar(first_only, second_only)
    assert found["interval"] == pytest.approx(paired_interval(first_only, second_only, 102))

    # Each by itself has the interval that its own result states.
    assert compared.sides[0].interval == pytest.approx(run.result["validation"]["interval"])


@pytest.mark.parametrize(
    ("folds", "changes", "says"),
    [
        (1, {}, "folds: 2 to 240, a fold an image, expected, 1 found"),
        (241, {}, "folds: 2 to 240"),
        (4, {"keep": "best"}, "folds: a recipe that trains to its end expected"),
        (4, {"early_stop": 2}, "folds: a recipe that trains to its end expected"),
    ],
)
def test_what_can_not_be_cross_validated_is_refused_before_a_folder_is_made(
    data: fr.Splits, tmp_path: Path, folds: int, changes: dict[str, object], says: str
) -> None:
    with pytest.raises(RecipeError, match=says):
        fr.train(data, replace(RECIPE, **changes), folds=folds, out=tmp_path / "run", options=ONE)  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="folds: one seed expected"):
        fr.train(data, RECIPE, folds=4, seeds=2, out=tmp_path / "run", options=ONE)
    with pytest.raises(DataError, match="the data has a validation set of its own"):
        fr.train(fr.Splits(data.train, validation=data.train), RECIPE, folds=4, out=tmp_path / "run", options=ONE)
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_only_begun_has_its_folds_on_record_and_may_be_written_to(
    data: fr.Splits, tmp_path: Path
) -> None:
    begun = start(data, RECIPE, folds=4, out=tmp_path / "run", options=ONE)
    assert begun.environment.folds == 4
    assert begun.recipe.validation == 0
    assert fr.resume(begun.path, data=data, trust_code=True).result["validation"]["folds"] == 4


def test_a_class_of_one_image_is_refused_by_name(data: fr.Splits, tmp_path: Path) -> None:
    labels = data.train.labels
    assert labels is not None
    rows = [*np.flatnonzero(labels != 3)[:60].tolist(), int(np.flatnonzero(labels == 3)[0])]
    few = fr.Splits(Dataset(data.train.images[rows], labels[rows], data.train.classes, "few"))
    with pytest.raises(DataError, match="those of Dress are all in one"):
        fr.train(few, RECIPE, folds=4, out=tmp_path / "run", options=ONE)
    assert not (tmp_path / "run").exists()


def test_the_interval_is_wider_than_that_of_one_model_and_never_a_point() -> None:
    right_N = np.array([True] * 90 + [False] * 10)
    low, high = fold_interval(right_N, 5)
    plain = model_interval(90, 100)
    assert low < plain[0] < plain[1] < high
    assert fold_interval(np.ones(100, bool), 5)[0] < 0.95
    grouped = fold_interval(right_N, 5, np.arange(100) // 10)
    assert grouped[1] - grouped[0] > high - low


def test_the_command_says_it_and_report_card_and_record_show_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("list.txt").write_text("".join(f"{row}\n" for row in range(240, 2000)), encoding="utf-8")
    how = ["--recipe", "plain", "--epochs", "1", "--set", "precision=float32", "--threads", "1", "--no-test"]
    assert main(["train", "sample", *how, "--folds", "3", "--without", "list.txt", "--out", "run"]) == 0
    printed = capsys.readouterr()
    accuracy = fr.open_run("run").result["validation"]["accuracy"]
    assert f"accuracy {accuracy:.2%} on 240 images, each by a model of the 2 other folds" in printed.out
    assert "(this model: Nadeau–Bengio, 3 folds)" in printed.out
    assert "s of 3 folds" in printed.out
    assert "fold 2 of 3   epoch 1/1" in printed.err
    assert main(["runs", "."]) == 0
    assert "folds=3" in capsys.readouterr().out
    assert json.loads(Path("run/environment.json").read_text(encoding="utf-8"))["folds"] == 3
    page = Path("run/report.html").read_text(encoding="utf-8")
    assert "of 240 images correct, each judged by a model" in page
    assert "--folds 3" in page
    assert "each judged by a model of the 2 other folds of 3" in Path("run/README.md").read_text(encoding="utf-8")
    assert main(["export", "run", "--format", "onnx", "--out", "again.onnx"]) == 0
    assert OnnxModel(Path("again.onnx").read_bytes()).metadata.ood_scale is not None
    assert main(["train", "--resume", "run", "--folds", "3"]) == 2
    assert "--resume takes recipe, data and options from the run; --folds" in capsys.readouterr().err
