"""Of accuracy more is better, of loss less; both are written in their own units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fittingroom as fr
from fittingroom.tune import Plan
from fittingroom.tune.objective import ACCURACY, BALANCED_ACCURACY, LOSS, MACRO_F1, OBJECTIVES, Objective
from tests.tune.conftest import LINEAR, SPACE, recipe


def test_the_best_value_comes_first_and_the_worst_is_the_low_quantile() -> None:
    values = [0.5, 0.9, 0.1]
    assert sorted(values, key=ACCURACY.rank) == [0.9, 0.5, 0.1]
    assert sorted(values, key=LOSS.rank) == [0.1, 0.5, 0.9]
    assert (ACCURACY.quantile(values, 0), ACCURACY.quantile(values, 1)) == (0.1, 0.9)
    assert (LOSS.quantile(values, 0), LOSS.quantile(values, 1)) == (0.9, 0.1)


@pytest.mark.parametrize(
    ("objective", "text", "of_mean"),
    [
        (ACCURACY, "92.04%", "92.04%, sd 0.20 points, 95% interval 91.11% to 92.97% (recipe: seeds × images)"),
        (LOSS, "0.9204", "0.9204, sd 0.0020, 95% interval 0.9111 to 0.9297 (seeds alone)"),
    ],
)
def test_a_value_is_written_in_its_unit(objective: Objective, text: str, of_mean: str) -> None:
    assert objective.text(0.9204) == text
    assert objective.text(None) == "–"
    bounds = [0.9111, 0.9297]
    fresh = {"mean": 0.9204, "sd": 0.002, "interval": bounds, "interval_of_mean": bounds}
    assert objective.text_of_mean(fresh) == of_mean


def test_no_axis_has_a_mark_where_no_value_can_be() -> None:
    assert [mark.label for mark in ACCURACY.axis([1.0], worst=100, best=0).marks] == ["99%", "99.5%", "100%"]
    assert next(mark.label for mark in LOSS.axis([0.001, 0.3], worst=100, best=0).marks) == "0"


@pytest.mark.parametrize("objective", OBJECTIVES.values())
def test_better_is_higher_on_an_axis_and_what_is_outside_lies_on_its_end(objective: Objective) -> None:
    axis = objective.axis([0.2, 0.8], worst=100, best=0)
    better, worse = sorted([0.3, 0.7], key=objective.rank)
    assert axis(better) < axis(worse)

    far_worse = sorted([-9.0, 9.0], key=objective.rank)[-1]
    assert axis(far_worse) == 100
    assert axis.holds(0.5)
    assert not axis.holds(far_worse)


def test_a_study_goes_by_the_loss_that_a_curve_shows() -> None:
    scores = {"accuracy": 0.9, "loss": 0.2, "loss_uncalibrated": 0.3}
    assert LOSS.of_scores(scores) == 0.3
    assert LOSS.of_scores({"accuracy": 0.9, "loss": 0.2}) == 0.2  # of a run of 0.1, which knew no other
    assert ACCURACY.of_scores(scores) == 0.9


def test_loss_is_an_objective_too_and_lower_is_better(data: fr.Splits) -> None:
    plan = Plan(trials=3, objective="loss", pruner="hyperband")
    study = fr.tune_recipe(data, recipe(), SPACE, plan=plan, out="study")
    values = [trial.value for trial in study.trials() if trial.state == "finished" and trial.value is not None]
    assert study.result["best"]["value"] == min(values)
    assert "Validation loss" in Path("study/best.toml").read_text(encoding="utf-8")


def test_a_study_can_go_by_scores_in_which_each_class_counts_the_same() -> None:
    train = fr.open_dataset("sample").train
    rows = np.r_[np.flatnonzero(train.labels == 0)[:180], np.flatnonzero(train.labels == 6)[:20]]
    lopsided = fr.Splits(fr.Dataset(train.images[rows], np.arange(200) // 180, ("top", "shirt"), "lopsided"))

    plan = Plan(trials=2, objective="balanced_accuracy")
    study = fr.tune_recipe(lopsided, recipe(), "lr = [0.0001, 0.1]", plan=plan, final_seeds=2, out="study")
    for trial in study.trials():
        scores = fr.Run(study.folder(trial.number)).result["validation"]
        assert trial.value == scores["balanced_accuracy"]["value"]
        epoch, value = trial.curve[-1]
        assert (epoch, value) == (3, trial.value)

    # All that the study trains goes by it, and so does what its recipe trains.
    assert fr.load_recipe(study.path / "best.toml", overrides=[LINEAR]).judge == "balanced_accuracy"
    fresh = study.result["final"]
    assert fresh["interval"] == fr.open_run(study.path / fresh["run"]).result["balanced_accuracy"]["interval"]
    page = (study.path / "report.html").read_text(encoding="utf-8")
    assert "balanced accuracy with fresh seeds" in page
    assert "平衡准确率" in page
    assert study.result["largest_class"] is None  # nothing is hidden


def test_scores_by_class_are_those_of_the_classes_that_have_images() -> None:
    per_class = [
        {"n": 90, "recall": 1.0, "f1": 0.9},
        {"n": 10, "recall": 0.2, "f1": 0.3},
        {"n": 0, "recall": None, "f1": 0.0},
    ]
    scores = {"accuracy": 0.92, "per_class": per_class}
    assert BALANCED_ACCURACY.of_scores(scores) == pytest.approx(0.6)
    assert MACRO_F1.of_scores(scores) == pytest.approx(0.6)
