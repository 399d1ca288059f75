"""Every rule on a recorded real training that shows its state, and on what it must not see."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from fittingroom.evaluation.intervals import wilson_interval
from fittingroom.evaluation.mistakes import TRUSTED, find_mistakes, find_suspicious_labels, right_answers
from fittingroom.evaluation.predictions import JudgedPredictions, read_predictions
from fittingroom.recipes.recipe import Recipe, load_recipe
from fittingroom.report.diagnosis import Diagnosis, diagnose, fit_trend
from fittingroom.runs.metrics_log import read_metrics
from tests.support import GOLDEN

RECORDED = GOLDEN / "diagnosis"
STATES = sorted(folder.name for folder in RECORDED.iterdir() if folder.is_dir())
ABOUT_THE_DATA = {"no-validation", "confusable-pair", "suspicious-labels"}
MADE_WRONG = {809, 1532, 1909, 2549}  # the labels that were made wrong in suspicious-labels, see README.md there


def recorded(state: str) -> tuple[list[dict[str, Any]], Recipe, dict[str, Any] | None]:
    folder = RECORDED / state
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return read_metrics(folder / "metrics.jsonl"), load_recipe(folder / "recipe.toml"), result["test"]


def table_of(state: str) -> JudgedPredictions:
    _, _, scores = recorded(state)
    assert scores is not None
    return read_predictions(RECORDED / state / "predictions.parquet", [row["class"] for row in scores["per_class"]])


def diagnosis_of(state: str, name: str | None = None) -> Diagnosis:
    suspicious = (
        find_suspicious_labels(table_of(state)) if (RECORDED / state / "predictions.parquet").exists() else None
    )
    by_name = {diagnosis.name: diagnosis for diagnosis in diagnose(*recorded(state), suspicious)}
    assert (name or state) in by_name, f"{name or state} expected, {', '.join(by_name)} found"
    return by_name[name or state]


@pytest.mark.parametrize("state", STATES)
def test_a_recorded_training_gets_the_diagnosis_of_its_state(state: str) -> None:
    diagnosis = diagnosis_of(state)
    assert diagnosis.evidence
    assert diagnosis.sentence.endswith(".")
    assert diagnosis.suggestion.endswith(".")
    assert all(np.isfinite(value) for value in diagnosis.evidence.values())


@pytest.mark.parametrize("state", STATES)
def test_there_is_one_diagnosis_of_the_progress_of_a_training(state: str) -> None:
    names = [diagnosis.name for diagnosis in diagnose(*recorded(state))]
    assert len(set(names) - ABOUT_THE_DATA - {"unstable"}) == 1
    assert len(names) == len(set(names))


def test_the_fitted_line_and_its_interval_are_scipys() -> None:
    values = np.random.default_rng(0).normal(size=9) + 0.3 * np.arange(9)
    ours, theirs = fit_trend(values.tolist()), stats.linregress(np.arange(9), values)
    half = stats.t.ppf(0.975, 7) * theirs.stderr
    assert (ours.slope, ours.low, ours.high) == pytest.approx(
        (theirs.slope, theirs.slope - half, theirs.slope + half), rel=1e-9
    )


def test_the_interval_of_a_slope_covers_the_true_one_in_95_percent_of_cases() -> None:
    rng = np.random.default_rng(1)
    trends = [fit_trend((0.1 * np.arange(8) + rng.normal(size=8)).tolist()) for _ in range(2_000)]
    covered = np.mean([trend.low <= 0.1 <= trend.high for trend in trends])
    assert covered == pytest.approx(0.95, abs=0.015)


def test_the_sentence_holds_the_figures_that_were_recorded() -> None:
    events, _, _ = recorded("over-fitting")
    epochs = [event for event in events if event["event"] == "epoch"]
    best = min(epochs, key=lambda epoch: float(epoch["validation_loss"]))
    diagnosis = diagnosis_of("over-fitting")
    assert diagnosis.evidence["its epoch"] == best["epoch"] + 1
    assert f"{best['validation_loss']:.3f} in epoch {best['epoch'] + 1}" in diagnosis.sentence
    assert f"{epochs[-1]['train_accuracy']:.1%}" in diagnosis.sentence

    slope = stats.linregress(range(15), [epoch["validation_loss"] for epoch in epochs[-15:]]).slope
    assert diagnosis.evidence["validation loss: slope"] == pytest.approx(slope)
    assert (diagnosis.evidence["first epoch"], diagnosis.evidence["last epoch"]) == (16, 30)


def test_the_notebooks_own_training_gets_the_advice_that_it_needed() -> None:
    diagnosis = diagnosis_of("no-validation", "plateau")
    assert "moves without a trend since epoch 71 " in diagnosis.sentence
    assert "at a rate of 0.001" in diagnosis.sentence
    assert diagnosis.suggestion == "Lower the rate for a last stage, to 0.0001 say, or change the model."
    assert "validation=5000" in diagnosis_of("no-validation").suggestion


def test_a_plateau_says_since_when_and_at_which_rate() -> None:
    events, _, _ = recorded("plateau")
    diagnosis = diagnosis_of("plateau")
    since = int(diagnosis.evidence["since epoch"])
    assert f"since epoch {since} " in diagnosis.sentence
    assert "at a rate of 0.002" in diagnosis.sentence

    losses = [event["validation_loss"] for event in events if event["event"] == "epoch"]
    longest, longer = fit_trend(losses[since - 1 :]), fit_trend(losses[since - 2 :])
    assert longest.low <= 0 <= longest.high
    assert longer.falls or longer.rises


def test_instability_is_read_from_the_steps_too() -> None:
    events, recipe, scores = recorded("still-improving")
    assert "unstable" not in [diagnosis.name for diagnosis in diagnose(events, recipe, scores)]

    spoilt = [dict(event) for event in events]
    late = [event for event in spoilt if event["event"] == "step" and event["epoch"] >= 3]
    for event in late[::10]:
        event["loss"] *= 30

    by_name = {diagnosis.name: diagnosis for diagnosis in diagnose(spoilt, recipe, scores)}
    assert by_name["unstable"].evidence["spikes"] == len(late[::10])


def test_over_fitting_is_never_judged_by_the_test_set() -> None:
    events, recipe, scores = recorded("over-fitting")
    blind = [
        event | {"validation_loss": None, "validation_accuracy": None} if event["event"] == "epoch" else event
        for event in events
    ]
    names = [diagnosis.name for diagnosis in diagnose(blind, recipe, scores)]
    assert "over-fitting" not in names
    assert "no-validation" in names


def test_nothing_is_said_before_the_first_epoch_is_done() -> None:
    events, recipe, _ = recorded("too-short")
    assert diagnose([event for event in events if event["event"] != "epoch"], recipe) == []


def test_the_confusable_pair_is_the_one_with_most_mistakes() -> None:
    _, _, scores = recorded("confusable-pair")
    assert scores is not None
    counts = np.array(scores["confusion"])
    np.fill_diagonal(counts, 0)
    both = counts + counts.T
    diagnosis = diagnosis_of("confusable-pair")

    assert diagnosis.evidence["mistakes of the pair"] == both.max()
    assert diagnosis.evidence["mistakes"] == counts.sum()
    for i in np.unravel_index(both.argmax(), both.shape):
        assert scores["per_class"][i]["class"] in diagnosis.sentence


def test_labels_that_were_made_wrong_are_among_the_suspicious_ones() -> None:
    suspicious = find_suspicious_labels(table_of("suspicious-labels"))
    assert set(suspicious.rows) >= MADE_WRONG
    assert len(suspicious.rows) == diagnosis_of("suspicious-labels").evidence["doubted"] <= 8
    right = suspicious.trusted_and_right
    assert wilson_interval(right, suspicious.trusted)[0] >= TRUSTED
    assert right + len(suspicious.rows) == suspicious.trusted


def test_confidence_that_is_only_claimed_accuses_no_more_labels() -> None:
    table = table_of("suspicious-labels")
    sharper = (table.probabilities.astype(np.float64) ** 1.5).astype(np.float32)
    boastful = replace(table, probabilities=sharper, predicted=sharper.argmax(axis=1))
    assert set(find_suspicious_labels(boastful).rows) == set(find_suspicious_labels(table).rows)


def test_a_model_that_is_wrong_where_it_is_surest_accuses_no_label() -> None:
    table = table_of("suspicious-labels")
    certain = table.probabilities.copy()
    mistakes = find_mistakes(table)
    for row in mistakes:
        certain[row] = np.eye(3)[table.predicted[row]]
    suspicious = find_suspicious_labels(replace(table, probabilities=certain, predicted=certain.argmax(axis=1)))
    assert suspicious.mistakes == len(mistakes) > 0
    assert (suspicious.rows, suspicious.trusted) == ((), 0)


def test_mistakes_come_surest_first_and_right_answers_evenly() -> None:
    table = table_of("suspicious-labels")
    mistakes = find_mistakes(table)
    assert (np.diff(table.confidence[mistakes]) <= 0).all()
    assert (table.predicted[mistakes] != table.truth[mistakes]).all()
    assert len(mistakes) == (table.predicted != table.truth).sum()

    right = right_answers(table, 1, 12)
    all_right = table.confidence[(table.truth == 1) & (table.predicted == 1)]
    assert len(right) == 12
    assert table.confidence[right[0]] == all_right.max()
    assert table.confidence[right[-1]] == all_right.min()
