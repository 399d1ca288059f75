"""Classes of very different sizes: balanced draws, weights and judgement, and exact resume of all of them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fittingroom as fr
from fittingroom.data import large
from fittingroom.data.dataset import Dataset
from fittingroom.data.normalization import Normalization
from fittingroom.errors import Interrupted, RecipeError
from fittingroom.evaluation.metrics import judged_by, score
from fittingroom.events import EpochDone, Event, Hooks
from fittingroom.parallel.process_group import ProcessGroup
from fittingroom.recipes.reading import load_recipe
from fittingroom.recipes.recipe import Recipe, Stage
from fittingroom.runs.metrics_log import read_metrics
from fittingroom.training.balance import balanced_order, balanced_weights
from fittingroom.training.batches import Batches
from fittingroom.training.fit import fit, judge_on_validation
from fittingroom.training.inference import predict_dataset
from tests.support.stopping import stop_after

PLAIN = Recipe(model="tutorial", batch_size=12, sampling="balanced", stages=(Stage(epochs=4, lr=1),))
SHORT = ["stages.0.epochs=2", "precision=float32", "batch_size=64", "mirror=none", "min_steps=0"]


def lopsided(sizes: tuple[int, ...] = (70, 20, 6)) -> Dataset:
    """Images whose first pixel is their number."""
    count = sum(sizes)
    images = np.zeros((count, 4, 4), np.uint8)
    images[:, 0, 0] = np.arange(count)
    labels = np.repeat(np.arange(len(sizes)), sizes)[np.random.default_rng(0).permutation(count)]
    return Dataset(images, labels, tuple("abcdefg"[: len(sizes)]), "lopsided")


def pullovers_and_few_coats(rare: int = 30) -> Dataset:
    """Fashion-MNIST's pullovers, and one coat in eight images."""
    train = fr.open_dataset("sample").train
    assert train.labels is not None
    pullovers, coats = (np.flatnonzero(train.labels == train.classes.index(name)) for name in ("Pullover", "Coat"))
    chosen = train.subset(np.concatenate([pullovers, coats[:rare]]))
    assert chosen.labels is not None
    labels = (chosen.labels == train.classes.index("Coat")).astype(np.int64)
    return Dataset(chosen.images, labels, ("Pullover", "Coat"), "pullovers and coats")


def batches(dataset: Dataset, group: ProcessGroup = ProcessGroup(), **changes: Any) -> Batches:  # noqa: B008
    return Batches(dataset, dataclasses.replace(PLAIN, **changes), Normalization(0.0, 1.0), torch.device("cpu"), group)


def numbers(made: Batches, epoch: int, first_step: int = 0) -> list[list[int]]:
    return [x[:, 0, 0, 0].int().tolist() for x, _ in made.epoch(epoch, first_step)]


# ── drawing ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("sizes", [(70, 20, 6), (1, 99), (10, 10), (50, 3, 0, 4)])
def test_every_class_comes_as_often_give_or_take_one(sizes: tuple[int, ...]) -> None:
    dataset = lopsided(sizes)
    assert dataset.labels is not None
    for epoch in range(3):
        drawn = [number for batch in numbers(batches(dataset), epoch) for number in batch]
        assert len(drawn) == len(dataset)
        counts = Counter(dataset.labels[drawn].tolist())
        assert len(counts) == sum(size > 0 for size in sizes)
        assert max(counts.values()) - min(counts.values()) <= 1

        # none of a class comes again before all of it came: the numbers of times differ by one at most
        for label in counts:
            times = Counter(number for number in drawn if dataset.labels[number] == label)
            of_class = np.flatnonzero(dataset.labels == label)
            seen = [times[number] for number in of_class.tolist()]
            assert max(seen) - min(seen) <= 1


def test_other_images_of_a_large_class_come_in_other_epochs_and_with_other_seeds() -> None:
    dataset = lopsided()
    drawn = [
        frozenset(number for batch in numbers(batches(dataset, seed=seed), epoch) for number in batch)
        for seed in (0, 1)
        for epoch in (0, 1)
    ]
    assert len(set(drawn)) == 4
    in_ten = set().union(
        *({number for batch in numbers(batches(dataset), epoch) for number in batch} for epoch in range(10))
    )
    assert len(in_ten) == len(dataset)


def test_an_epoch_entered_in_the_middle_goes_on_as_if_never_left_and_draws_nothing_ambient() -> None:
    dataset, ambient = lopsided(), torch.get_rng_state()
    whole = numbers(batches(dataset), 2)
    for first_step in range(len(whole) + 1):
        assert numbers(batches(dataset), 2, first_step) == whole[first_step:]
    assert torch.equal(torch.get_rng_state(), ambient)


@pytest.mark.parametrize("size", [2, 3])
def test_the_parts_of_several_processes_are_the_batch_of_one(size: int) -> None:
    dataset = lopsided()
    parts = [numbers(batches(dataset, ProcessGroup(rank=rank, size=size)), 1) for rank in range(size)]
    together = [[number for part in step for number in part] for step in zip(*parts, strict=True)]
    assert together == numbers(batches(dataset), 1)


def test_a_set_larger_than_memory_is_drawn_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = lopsided()
    expected = numbers(batches(dataset), 1)
    monkeypatch.setattr(large, "LARGE", 0)
    np.save(tmp_path / "images.npy", dataset.images)
    mapped = dataclasses.replace(dataset, images=np.load(tmp_path / "images.npy", mmap_mode="r"))
    assert batches(mapped).is_large
    assert numbers(batches(mapped), 1) == expected


def test_the_order_needs_nothing_but_labels_and_a_generator() -> None:
    labels = torch.tensor([0] * 9 + [1])
    order = balanced_order(labels, torch.Generator().manual_seed(3))
    assert sorted(labels[order].tolist()) == [0] * 5 + [1] * 5


# ── training ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "keys",
    [["sampling=balanced"], ["class_weights=balanced"], ["sampling=balanced", "judge=macro_f1", "keep=best"]],
    ids="+".join,
)
def test_balanced_sampling_resume_equals_uninterrupted(keys: list[str], tmp_path: Path) -> None:
    data, recipe = pullovers_and_few_coats(), load_recipe("plain", overrides=[*SHORT, *keys])
    whole = fr.train(data, recipe, out=tmp_path / "whole")
    with pytest.raises(Interrupted):
        fr.train(data, recipe, out=tmp_path / "stopped", should_stop=stop_after(5))
    resumed = fr.resume(tmp_path / "stopped", data=data)
    assert (resumed.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()
    logs = [
        [
            (event["step"], event["loss"])
            for event in read_metrics(run.path / "metrics.jsonl")
            if event["event"] == "step"
        ]
        for run in (whole, resumed)
    ]
    assert logs[0] == logs[1]


def recall_of_coats(*keys: str) -> float:
    """On the coats of the sample's test set, of a model that saw 30 coats beside 200 pullovers."""
    fixed = ["model=tutorial", "ema=0.0", "stages.0.epochs=6", "batch_size=32", "validation=0"]
    fitted = fit(fr.Splits(pullovers_and_few_coats()), load_recipe("plain", overrides=[*SHORT, *fixed, *keys]))
    test = fr.open_dataset("sample").test
    assert test is not None
    assert test.labels is not None
    coats = test.subset(np.flatnonzero(test.labels == test.classes.index("Coat")))
    return float((predict_dataset(fitted.network, coats, fitted.normalization).probabilities.argmax(1) == 1).mean())


@pytest.mark.parametrize("key", ["sampling=balanced", "class_weights=balanced"])
def test_a_rare_class_is_found_more_often_when_it_weighs_as_much(key: str) -> None:
    assert recall_of_coats(key) > recall_of_coats() + 0.1


def test_the_weights_by_hand_have_a_mean_of_one_over_the_images() -> None:
    labels = torch.tensor([0] * 6 + [1] * 3 + [3] * 3)
    weights = balanced_weights(labels, 4)
    torch.testing.assert_close(weights, torch.tensor([12 / 18, 12 / 9, 1, 12 / 9]))
    assert float(weights[labels].mean()) == pytest.approx(1)


def test_equal_classes_weigh_what_they_weigh_without_weights() -> None:
    data = fr.open_dataset("sample").train.subset(np.arange(400))
    assert data.labels is not None
    rows = np.concatenate([np.flatnonzero(data.labels == label)[:20] for label in range(10)])
    sums = []
    for keys in ([], ["class_weights=balanced"]):
        losses: list[float] = []

        def note(event: Event, losses: list[float] = losses) -> None:
            if isinstance(event, EpochDone):
                losses.append(event.train_loss)

        recipe = load_recipe("plain", overrides=[*SHORT, "validation=0", *keys])
        fit(fr.Splits(data.subset(rows)), recipe, hooks=Hooks(observe=note))
        sums.append(losses)
    assert sums[0] == pytest.approx(sums[1], rel=1e-4)


def test_both_at_once_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"sampling: class_weights = balanced weighs the classes already"):
        load_recipe("plain", overrides=["sampling=balanced", "class_weights=balanced"])


# ── judging ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_balanced_accuracy_and_macro_f1_are_scikit_learns() -> None:
    from sklearn.metrics import balanced_accuracy_score, f1_score

    random = np.random.default_rng(0)
    truth = random.choice(3, 200, p=[0.9, 0.07, 0.03])
    probabilities = random.dirichlet([1, 1, 1], 200).astype(np.float32)
    scores = score(probabilities, truth, ("a", "b", "c"))
    predicted = probabilities.argmax(1)
    assert judged_by("balanced_accuracy", scores) == pytest.approx(balanced_accuracy_score(truth, predicted))
    assert judged_by("macro_f1", scores) == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert judged_by("accuracy", scores) == scores["accuracy"]


def test_the_epoch_that_ships_is_the_best_by_what_the_recipe_judges_by() -> None:
    data, epochs = pullovers_and_few_coats(), []

    def note(event: Event) -> None:
        if isinstance(event, EpochDone):
            epochs.append(event)

    keys = ["stages.0.epochs=6", "validation=46", "keep=best", "judge=balanced_accuracy", "sampling=balanced"]
    recipe = load_recipe("plain", overrides=[*SHORT[1:], *keys])
    fitted = fit(fr.Splits(data), recipe, hooks=Hooks(observe=note))
    judged = judge_on_validation(fitted)
    assert judged is not None
    best = max(event.validation_judged for event in epochs if event.validation_judged is not None)
    assert judged_by("balanced_accuracy", judged.scores()) == pytest.approx(best)


def test_early_stop_counts_epochs_by_what_the_recipe_judges_by() -> None:
    data = pullovers_and_few_coats()
    keys = ["stages.0.epochs=30", "validation=46", "early_stop=2", "judge=balanced_accuracy", "stages.0.lr=1e-7"]
    fitted = fit(fr.Splits(data), load_recipe("plain", overrides=[*SHORT[1:], *keys]))
    assert fitted.epochs < 8  # at such a rate balanced accuracy stands still, though the loss falls on and on
