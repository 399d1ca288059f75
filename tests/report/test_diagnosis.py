"""Every rule on a recorded real training that shows its state, and on what it must not see."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from scipy import stats

from fittingroom.evaluation.intervals import model_interval, wilson_interval
from fittingroom.evaluation.metrics import score
from fittingroom.evaluation.mistakes import TRUSTED, find_mistakes, find_suspicious_labels, right_answers
from fittingroom.evaluation.predictions import JudgedPredictions, read_predictions
from fittingroom.recipes.reached import REACHED
from fittingroom.recipes.reading import load_recipe, parse_recipe
from fittingroom.recipes.recipe import Recipe
from fittingroom.rendering.languages import translated
from fittingroom.report.diagnosis import Diagnosis, diagnose, fit_trend
from fittingroom.report.diagnosis.learning_rules import _p_values
from fittingroom.report.run_summary import weakest_classes, worst_mistakes
from fittingroom.runs.metrics_log import read_metrics
from tests.support import GOLDEN

RECORDED = GOLDEN / "diagnosis"
STATES = sorted(folder.name for folder in RECORDED.iterdir() if folder.is_dir())
AS_THEY_SHIP = {"swift": "finished", "plain": "finished", "perfect": "finished", "digits": "finished"}
ABOUT_THE_DATA = {"no-validation", "imbalance", "confusable-pair", "suspicious-labels"}
PROGRESS = {"over-fitting", "still-improving", "plateau", "under-fitting", "finished", "too-short"}
MADE_WRONG = {1363, 1506, 1785, 2660}  # the validation labels that were made wrong in suspicious-labels
OFFICIAL = {"swift", "plain", "too-short"}  # were trained on the official data, see scripts/record_diagnoses.py


def recorded(state: str) -> tuple[list[dict[str, Any]], Recipe, dict[str, Any] | None]:
    folder = RECORDED / state
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return read_metrics(folder / "metrics.jsonl"), load_recipe(folder / "recipe.toml"), result["validation"]


def table_of(state: str) -> JudgedPredictions:
    _, _, scores = recorded(state)
    assert scores is not None
    file = RECORDED / state / "predictions-validation.parquet"
    return read_predictions(file, [row["class"] for row in scores["per_class"]])


def diagnoses_of(state: str) -> dict[str, Diagnosis]:
    has_table = (RECORDED / state / "predictions-validation.parquet").exists()
    suspicious = find_suspicious_labels(table_of(state)) if has_table else None
    found = diagnose(*recorded(state), suspicious, official=state in OFFICIAL)
    return {diagnosis.name: diagnosis for diagnosis in found}


def diagnosis_of(state: str, name: str | None = None) -> Diagnosis:
    found = diagnoses_of(state)
    name = name or AS_THEY_SHIP.get(state, state)
    assert name in found, f"{name} expected, {', '.join(found)} found"
    return found[name]


@pytest.mark.parametrize("state", STATES)
def test_a_recorded_training_gets_the_diagnosis_of_its_state(state: str) -> None:
    diagnosis = diagnosis_of(state)
    assert diagnosis.evidence
    assert diagnosis.sentence.endswith(".")
    assert not diagnosis.suggestion or diagnosis.suggestion.endswith(".")
    assert all(np.isfinite(value) for value in diagnosis.evidence.values())


def test_errors_on_mixed_images_are_no_sign_of_under_fitting() -> None:
    events, recipe, scores = recorded("under-fitting")
    mixed = dataclasses.replace(recipe, mixup=0.2)
    assert "under-fitting" in {diagnosis.name for diagnosis in diagnose(events, recipe, scores)}
    assert "under-fitting" not in {diagnosis.name for diagnosis in diagnose(events, mixed, scores)}


@pytest.mark.parametrize("state", STATES)
def test_there_is_at_most_one_diagnosis_of_the_progress_of_a_training(state: str) -> None:
    found = diagnose(*recorded(state))
    names = [diagnosis.name for diagnosis in found]
    assert len(names) == len(set(names))
    assert len(set(names) & PROGRESS) == (0 if {"few-steps", "not-learning"} & set(names) else 1)

    # What is no finding comes last.
    muted = [diagnosis.muted for diagnosis in found]
    assert muted == sorted(muted)


@pytest.mark.parametrize("state", [state for state in STATES if state not in AS_THEY_SHIP])
def test_what_options_a_suggestion_names_a_recipe_takes(state: str) -> None:
    diagnosis = diagnosis_of(state)
    if diagnosis.options:
        assert " ".join(diagnosis.options) in diagnosis.suggestion
    for option, value in zip(diagnosis.options[::2], diagnosis.options[1::2], strict=True):
        if option == "--set":
            parse_recipe(recorded(state)[1].to_toml(), overrides=(value,))


@pytest.mark.parametrize("state", sorted(AS_THEY_SHIP))
def test_a_recipe_that_ends_as_it_should_is_no_case_to_mend(state: str) -> None:
    found = diagnoses_of(state)
    assert set(found) - ABOUT_THE_DATA == {"finished"}
    assert found["finished"].muted
    assert found["finished"].options == ()


def test_a_packaged_recipe_says_what_it_reaches_and_which_is_next_on_the_official_data_alone() -> None:
    events, whole_batches, scores = recorded("swift")
    recipe = parse_recipe(whole_batches.to_toml(), overrides=("batch_parts=2",))  # as it ships since
    official, own = (diagnose(events, recipe, scores, official=known)[-1] for known in (True, False))
    assert f"reaches {REACHED['swift'].accuracy:.2%} on the official test set (mean of 20 seeds)" in official.sentence
    assert "--recipe steady" in official.suggestion
    assert "reaches" not in own.sentence
    assert "steady" not in own.suggestion

    # A recipe that was changed is no longer the one that was measured.
    changed = parse_recipe(recipe.to_toml(), overrides=("stages.0.lr=0.09",))
    assert "reaches" not in diagnose(events, changed, scores, official=True)[-1].sentence
    assert "reaches" not in diagnose(events, whole_batches, scores, official=True)[-1].sentence


@pytest.mark.parametrize("name", sorted(REACHED))
def test_what_a_recipe_reaches_stands_at_the_head_of_its_file(name: str) -> None:
    head = (files("fittingroom") / "recipes" / f"{name}.toml").read_text(encoding="utf-8").split("\n\n")[0]
    assert f"{100 * REACHED[name].accuracy:.2f}%" in head
    assert f"{REACHED[name].seeds} seeds" in head
    assert f"{REACHED[name].seconds:,} s for the whole process" in head


def test_a_rate_that_fell_is_never_taken_for_a_loss_that_still_falls() -> None:
    for state in STATES:
        events, recipe, scores = recorded(state)
        rates = [event["lr"] for event in events if event["event"] == "step"]
        if rates[-1] < max(rates) / 2:
            assert "still-improving" not in [diagnosis.name for diagnosis in diagnose(events, recipe, scores)], state


def test_the_first_drop_of_a_loss_is_no_trend() -> None:
    recipe = load_recipe("plain", overrides=["stages.0.schedule=constant", "stages.0.epochs=8"])
    losses = [0.398, 0.343, 0.337, 0.304, 0.300, 0.308, 0.305, 0.302]  # of swift with 8 epochs on the official data
    events: list[dict[str, Any]] = []
    for epoch, loss in enumerate(losses):
        step = 200 * (epoch + 1)
        events.append({"event": "step", "step": step, "epoch": epoch, "loss": loss, "lr": 0.003, "examples": 256})
        train = {"train_loss": loss, "train_accuracy": 0.9}
        validation = {"validation_loss": loss, "validation_accuracy": 0.9}
        events.append({"event": "epoch", "step": step, "epoch": epoch, "seconds": 1.0} | train | validation)
    assert "still-improving" not in [diagnosis.name for diagnosis in diagnose(events, recipe)]


def confusion_scores(confusion: list[list[int]]) -> dict[str, Any]:
    """Scores as ``result.json`` has them, of a confusion matrix."""
    counts = np.array(confusion)
    labels, predicted = (np.repeat(axis.ravel(), counts.ravel()) for axis in np.indices(counts.shape))
    return score(np.eye(len(counts), dtype=np.float32)[predicted], labels, [f"class {i}" for i in range(len(counts))])


@pytest.mark.parametrize(
    ("confusion", "learned"),
    [
        ([[97, 0], [0, 3]], None),  # perfect: Fisher's test sees that all three are found
        ([[97, 0], [2, 1]], None),  # one of three is found, and three images can't show what it learned
        ([[935, 15], [25, 25]], True),  # half of a rare class is found: Fisher's test sees it, McNemar's doesn't
        ([[950, 0], [50, 0]], False),  # the same answer to each
        ([[20] * 5] * 5, False),  # answers that have nothing to do with the images
        ([[60, 20, 20], [20, 60, 20], [20, 20, 60]], True),
    ],
)
def test_a_model_is_said_not_to_learn_only_where_two_exact_tests_find_nothing(
    confusion: list[list[int]], learned: bool | None
) -> None:
    events, recipe, _ = recorded("plateau")
    names = [diagnosis.name for diagnosis in diagnose(events, recipe, confusion_scores(confusion))]
    assert ("not-learning" in names) == (learned is False)


def test_fishers_p_is_scipys() -> None:
    for confusion in ([[935, 15], [25, 25]], [[30, 10], [12, 9]], [[40, 0], [20, 1]]):
        table = np.array(confusion)
        expected = stats.fisher_exact(table, alternative="greater").pvalue
        assert _p_values(table, 0)[1] == pytest.approx(expected)
        gained, lost = confusion[1][1], confusion[0][1]
        assert _p_values(table, 0)[0] == pytest.approx(
            stats.binomtest(gained, gained + lost, alternative="greater").pvalue
        )


def test_answers_by_chance_are_said_not_to_be_learned_in_95_percent_of_cases() -> None:
    rng = np.random.default_rng(0)
    events, recipe, _ = recorded("plateau")
    accused = 0
    for _ in range(200):
        confusion = np.zeros((3, 3), dtype=int)
        np.add.at(confusion, (rng.choice(3, 300, p=(0.5, 0.3, 0.2)), rng.choice(3, 300, p=(0.5, 0.3, 0.2))), 1)
        accused += "not-learning" in [d.name for d in diagnose(events, recipe, confusion_scores(confusion.tolist()))]
    assert accused >= 0.95 * 200 - 2 * math.sqrt(200 * 0.05 * 0.95)


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

    first, last = int(diagnosis.evidence["first epoch"]), int(diagnosis.evidence["last epoch"])
    losses = [epoch["validation_loss"] for epoch in epochs[first - 1 :]]
    assert diagnosis.evidence["validation loss: slope"] == pytest.approx(
        stats.linregress(range(len(losses)), losses).slope
    )
    assert last == 30


def test_the_notebooks_own_training_gets_the_advice_that_it_needed() -> None:
    diagnosis = diagnosis_of("no-validation", "plateau")
    assert "moves without a trend since epoch 71 " in diagnosis.sentence
    assert "at a rate of 0.001" in diagnosis.sentence
    assert "by a last stage at 0.0001" in diagnosis.suggestion
    assert diagnosis.options == ("--set", "stages.2.schedule=linear")
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


def test_a_few_hard_images_among_many_steps_are_no_instability() -> None:
    events, recipe, scores = recorded("still-improving")
    few = [dict(event) for event in events]
    steps = [event for event in few if event["event"] == "step"]
    late = [event for event in steps if event["epoch"] >= 3]
    count = len(steps) // 101  # below 1 %
    assert count >= 3
    for event in late[:: len(late) // count][:count]:
        event["loss"] *= 30
    assert "unstable" not in [diagnosis.name for diagnosis in diagnose(few, recipe, scores)]


def test_the_loss_of_a_few_validation_images_that_jumps_is_no_instability() -> None:
    events, recipe, scores = recorded("still-improving")
    assert scores is not None
    jumping = [dict(event) for event in events]
    for epoch in [event for event in jumping if event["event"] == "epoch"][1::2]:
        epoch["validation_loss"] *= 3  # one hard image of six does that, while all are answered rightly

    def names(n: int) -> list[str]:
        return [diagnosis.name for diagnosis in diagnose(jumping, recipe, scores | {"n": n, "correct": n})]

    assert "unstable" in names(scores["n"])
    assert "unstable" not in names(6)


def test_a_hard_image_or_two_that_validate_are_no_instability() -> None:
    events, recipe, scores = recorded("still-improving")
    assert scores is not None

    def names(loss: float, n: int) -> list[str]:
        jumping = [dict(event) for event in events]
        for i, epoch in enumerate(event for event in jumping if event["event"] == "epoch"):
            epoch["validation_loss"] = loss * (1 + i % 2)
        return [diagnosis.name for diagnosis in diagnose(jumping, recipe, scores | {"n": n, "correct": n - 3})]

    # Of 223 letters three are wrong: 0.02 nats more in the mean are 4 nats of one of them.
    assert "unstable" not in names(0.02, 223)
    assert "unstable" in names(0.02, 2_000)
    assert "unstable" in names(0.5, 223)


def test_steps_that_hold_two_hard_images_of_a_rare_class_are_no_instability() -> None:
    events, recipe, scores = recorded("still-improving")
    whole = next(event["examples"] for event in events if event["event"] == "step")

    def spiky(images: float) -> bool:
        """Where all else is known by heart, and each tenth step holds ``images`` of 5 nats each."""
        spoilt = [dict(event) for event in events]
        for number, event in enumerate(event for event in spoilt if event["event"] == "step"):
            event["loss"] = 0.01 + (5 * images / whole if number % 10 == 0 else 0)
        return "unstable" in [diagnosis.name for diagnosis in diagnose(spoilt, recipe, scores)]

    assert not spiky(1.9)
    assert spiky(2.1)


def test_the_short_step_that_ends_an_epoch_is_no_spike() -> None:
    events, recipe, scores = recorded("still-improving")

    def spiky(examples: int) -> list[str]:
        spoilt = [dict(event) for event in events]
        late = [event for event in spoilt if event["event"] == "step" and event["epoch"] >= 3]
        for event in late[::10]:
            event["loss"] *= 30
            event["examples"] = examples
        return [diagnosis.name for diagnosis in diagnose(spoilt, recipe, scores)]

    assert "unstable" not in spiky(2)
    assert "unstable" in spiky(next(event["examples"] for event in events if event["event"] == "step"))


def test_folds_are_not_advised_without_what_they_take_where_a_class_may_have_one_image() -> None:
    events, recipe, scores = recorded("plain")
    assert scores is not None
    unseen = {"class": "rare", "n": 0, "precision": None, "recall": None, "f1": None}

    def advice(per_class: list[dict[str, Any]], wrong: int) -> str:
        said = scores | {"n": 40, "correct": 40 - wrong, "per_class": per_class}
        return next(found for found in diagnose(events, recipe, said) if found.name == "finished").suggestion

    for wrong in (0, 1):
        assert "folds take two" not in advice(scores["per_class"], wrong).lower()
        assert advice([*scores["per_class"], unseen], wrong).endswith(
            "Folds take two images or more of each class, not of one group."
        )


def test_over_fitting_says_where_nothing_shows_that_anything_was_learned() -> None:
    events, recipe, scores = recorded("over-fitting")
    assert scores is not None
    names = ["a", "b", "c"]

    def over_fitting(confusion: list[list[int]]) -> Diagnosis:
        n = sum(map(sum, confusion))
        rows = [{"class": name, "n": sum(counts)} for name, counts in zip(names, confusion, strict=True)]
        correct = sum(confusion[i][i] for i in range(3))
        said = scores | {"confusion": confusion, "per_class": rows, "n": n, "correct": correct, "accuracy": correct / n}
        return next(found for found in diagnose(events, recipe, said) if found.name == "over-fitting")

    # 12 of 30 right, as a training on labels that were drawn at random had: too few for the rule not-learning.
    chance = over_fitting([[5, 1, 4], [3, 7, 1], [4, 5, 0]])
    assert "On these 30 images nothing shows that it does better than always naming b, which gives 36.7%." in (
        chance.sentence
    )
    assert chance.suggestion == "First check that the labels belong to the images: fittingroom data show."
    learned = over_fitting([[8, 1, 1], [1, 9, 1], [2, 5, 2]])
    assert "nothing shows" not in learned.sentence
    assert "More images" in learned.suggestion


def test_where_every_validation_image_is_right_no_longer_training_is_advised() -> None:
    events, recipe, scores = recorded("plain")
    assert scores is not None

    def advice(scores: dict[str, Any]) -> str:
        return next(found for found in diagnose(events, recipe, scores) if found.name == "finished").suggestion

    assert "train --epochs" in advice(scores | {"n": 40, "correct": 39})
    assert advice(scores | {"n": 40, "correct": 40}) == (
        "All 40 validation images are answered right: a longer training can't be seen to be better. "
        "To judge every image, train with --folds 5."
    )
    for n, few in ((1, "The only validation image is"), (200, "All 200 validation images are")):
        said = advice(scores | {"n": n, "correct": n})
        assert said.startswith(few)
        assert ("--folds 5" in said) == (n < 100)
    of_folds = advice(scores | {"n": 98, "correct": 98, "folds": 5})
    assert of_folds.startswith("All 98 images are answered right, each by a model of the other folds")
    for said in (of_folds, *(advice(scores | {"n": n, "correct": n}) for n in (1, 40, 200))):
        assert translated(said, "report") is not None


def test_nothing_is_said_before_the_first_epoch_is_done() -> None:
    events, recipe, _ = recorded("few-steps")
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


def test_of_two_classes_nothing_is_said_to_be_confused_most() -> None:
    rows = [{"class": name, "n": 20, "recall": recall} for name, recall in (("ok", 0.9), ("flaw", 0.8))]
    two = worst_mistakes({"n": 40, "correct": 34, "per_class": rows, "confusion": [[18, 2], [4, 16]]})
    assert two is not None
    assert not two.is_confusion
    assert two.weakest["class"] == "flaw"
    low, high = model_interval(16, 20)
    assert two.weakest["interval"][0] < low < high < two.weakest["interval"][1]  # it was picked as the least
    assert two.others == ""


def test_of_several_that_are_as_weak_or_as_often_confused_none_is_called_the_one() -> None:
    rows = [{"class": name, "n": n, "recall": 0.5} for name, n in (("a", 2), ("b", 20), ("c", 4))]
    confusion = [[1, 1, 0], [5, 10, 5], [0, 2, 2]]
    tied = worst_mistakes({"n": 26, "correct": 13, "per_class": rows, "confusion": confusion})
    assert tied is not None
    assert (tied.weakest["class"], tied.weakest["n"], tied.others) == ("b", 20, " and 2 other classes")
    assert (tied.pair["first"], tied.pair["second"], tied.is_confusion) == ("b", "c", True)

    tied = worst_mistakes({"n": 26, "correct": 13, "per_class": rows, "confusion": [[1, 1, 0], [5, 10, 5], [0, 1, 3]]})
    assert tied is not None
    assert not tied.is_confusion


def test_of_several_classes_that_one_is_as_often_taken_for_none_is_called_the_one() -> None:
    rows = [{"class": name, "n": n, "recall": hit / n} for name, n, hit in (("a", 4, 1), ("b", 4, 2), ("c", 4, 4))]
    rows.append({"class": "d", "n": 4, "recall": 1.0})
    confusion = [[1, 1, 1, 1], [1, 2, 1, 0], [0, 0, 4, 0], [0, 0, 0, 4]]
    found = {row["class"]: row for row in weakest_classes({"per_class": rows, "confusion": confusion})}
    said = {name: row["mistaken_for"] + row["mistaken_others"] for name, row in found.items()}
    assert said == {"a": "b and 2 other classes", "b": "a and 1 other class", "c": "", "d": ""}
    for text in ("Shirt and 1 other class", "狗 and 2 other classes"):
        assert translated(f'{text} <span class="small">1</span>', "report") is not None


def lopsided(frequent: int, right: int, rare: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Scores of a class of so many images, so many of them right, and of rare ones with (images, right)."""
    counts = [(frequent, right), *rare]
    confusion = np.zeros((len(counts), len(counts)), int)
    for i, (n, hit) in enumerate(counts):
        confusion[i, i], confusion[i, 0 if i else 1] = hit, n - hit
    total, hits = (sum(column) for column in zip(*counts, strict=True))
    rows = [{"class": f"{i}", "n": n, "recall": hit / n} for i, (n, hit) in enumerate(counts)]
    return {"accuracy": hits / total, "n": total, "correct": hits, "per_class": rows, "confusion": confusion.tolist()}


def test_of_many_rare_classes_as_good_as_the_frequent_one_hardly_ever_one_is_said_to_be_hidden() -> None:
    events, recipe, _ = recorded("imbalance")
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(100):
        rare = [(20, int(hit)) for hit in rng.binomial(20, 0.9, 90)]
        scores = lopsided(1000, int(rng.binomial(1000, 0.9)), rare)
        alarms += "imbalance" in {diagnosis.name for diagnosis in diagnose(events, recipe, scores)}
    assert alarms <= 5  # with an interval of its own for the worst of them it is 40

    found = {each.name: each for each in diagnose(events, recipe, lopsided(1000, 950, [(20, 18), (20, 4)]))}
    assert "as the least of 2 rare classes, n = 20" in found["imbalance"].sentence
    assert translated(found["imbalance"].sentence, "report") is not None

    # four of 5,004 images are not none of them, nor is all but one of 5,000 all
    found = {each.name: each for each in diagnose(events, recipe, lopsided(5000, 4999, [(4, 1)]))}
    assert "99% of the validation images are class 0, with a recall of 99%" in found["imbalance"].sentence
    assert "and < 1% class 1, with one of 25%" in found["imbalance"].sentence
    assert translated(found["imbalance"].sentence, "report") is not None

    # nor does an interval begin at nothing where one image of the class was right
    found = {each.name: each for each in diagnose(events, recipe, lopsided(5000, 4999, [(200, 1)]))}
    assert "with one of < 1% (95% < 1% to 3%, n = 200)" in found["imbalance"].sentence
    assert translated(found["imbalance"].sentence, "report") is not None


def test_a_comparison_that_is_advised_can_come_to_an_answer() -> None:
    """On a few validation images none can, without any there is none to make, and folds choose no epoch."""
    events, recipe, scores = recorded("digits")
    assert scores is not None
    advice = {}
    for n, folds in ((6, None), (1, None), (400, None), (400, 5)):
        correct = n - max(1, min(n // 3, 5))
        few = scores | {"n": n, "correct": correct, "accuracy": correct / n} | ({"folds": folds} if folds else {})
        (finished,) = (each for each in diagnose(events, recipe, few) if each.name == "finished")
        advice[n, folds] = finished.suggestion
        assert translated(finished.suggestion, "report") is not None
    assert "both with --folds 5, as 6 validation images hardly tell" in advice[6, None]
    assert "as 1 validation image hardly tells" in advice[1, None]
    assert "--folds" not in advice[400, None]
    assert "by as many folds" in advice[400, 5]

    # Folds take no recipe that chooses its epoch, and no data that has validation images of its own.
    six = scores | {"n": 6, "correct": 4, "accuracy": 4 / 6}
    chooses, has_own = replace(recipe, keep="best"), diagnose(events, recipe, six, own_validation=True)
    for diagnosed in (diagnose(events, chooses, six), has_own):
        (finished,) = (each for each in diagnosed if each.name == "finished")
        assert finished.suggestion.endswith("--split validation, though 6 validation images hardly tell.")
        assert translated(finished.suggestion, "report") is not None

    # Nothing held out: as much as a recipe that says nothing holds out, which 5,000 of 1,000 images are not.
    alone = [event | {"validation_loss": None} if event["event"] == "epoch" else event for event in events]
    for images, option in ((4, "--folds 2"), (900, "--folds 5"), (4000, "--set validation=400")):
        of_so_many = [event | {"images": images} if event["event"] == "start" else event for event in alone]
        found = {each.name: each for each in diagnose(of_so_many, recipe)}
        assert option in found["no-validation"].suggestion
        assert f"{option}, as nothing is held out" in found["finished"].suggestion
        for diagnosis in found.values():
            assert not diagnosis.suggestion or translated(diagnosis.suggestion, "report") is not None


def test_over_fitting_advises_nothing_that_made_validation_worse_where_it_was_followed() -> None:
    """By benchmarks/diagnosis_advice.py neither shifting the images nor shipping the best epoch was better."""
    events, recipe, scores = recorded("over-fitting")
    for shift in (0, 1):
        found = diagnose(events, replace(recipe, shift=shift), scores)
        (over_fitting,) = (each for each in found if each.name == "over-fitting")
        assert over_fitting.options == ()
        assert "keep=best" not in over_fitting.suggestion
        assert ("fittingroom try DATA --set shift=1 tells" in over_fitting.suggestion) == (shift == 0)
        assert translated(over_fitting.suggestion, "report") is not None


def test_a_training_at_a_constant_rate_that_folds_judged_is_diagnosed() -> None:
    """Its epochs have no validation loss, though there are scores."""
    events, recipe, scores = recorded("plateau")
    assert scores is not None
    alone = [event | {"validation_loss": None, "validation_accuracy": None} for event in events]
    names = {each.name for each in diagnose(alone, recipe, scores | {"folds": 5})}
    assert len(names & PROGRESS) == 1
    assert "no-validation" not in names


def test_a_loss_that_falls_by_little_is_not_said_to_fall_no_longer() -> None:
    events, recipe, scores = recorded("under-fitting")
    epochs = [event for event in events if event["event"] == "epoch"]
    base = epochs[-1]["validation_loss"]
    slow = {event["epoch"]: base - 1e-6 * base * event["epoch"] for event in epochs}
    slow[0] = 4 * base  # the first drop
    changed = [
        event | {"validation_loss": slow[event["epoch"]]} if event["event"] == "epoch" else event for event in events
    ]
    (found,) = (each for each in diagnose(changed, recipe, scores) if each.name == "under-fitting")
    assert "The validation loss hardly falls (−" in found.sentence
    assert translated(found.sentence, "report") is not None


def test_the_recall_of_a_class_that_folds_judged_has_the_wider_interval_of_folds() -> None:
    rows = [{"class": "a", "n": 20, "recall": 0.5}, {"class": "b", "n": 40, "recall": 0.9}]
    scores = {"per_class": rows, "confusion": [[10, 10], [4, 36]], "n": 60, "correct": 46}
    weakest = weakest_classes(scores | {"folds": 5})[0]["interval"]
    assert weakest == pytest.approx(
        stats.beta.ppf([0.025, 0.975], [10 / 2.25, 10 / 2.25 + 1], [10 / 2.25 + 1, 10 / 2.25])
    )
    assert weakest_classes(scores)[0]["interval"] == model_interval(10, 20)
    of_one, of_folds = worst_mistakes(scores), worst_mistakes(scores | {"folds": 5})
    assert of_one is not None
    assert of_folds is not None
    assert of_folds.weakest["interval"][0] < of_one.weakest["interval"][0]
