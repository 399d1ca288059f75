"""Seeds differ in initialisation, order and augmentation, and in nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch

import fittingroom as fr
from fittingroom.data.normalization import Normalization
from fittingroom.errors import Interrupted
from fittingroom.evaluation.intervals import recipe_accuracy
from fittingroom.evaluation.predictions import read_predictions
from fittingroom.recipes.changes import differences
from fittingroom.runs.metrics_log import read_metrics
from fittingroom.training.batches import Batches

AS_THEY_ARE = Normalization(0.0, 1.0)


@pytest.fixture(scope="module")
def data() -> fr.Splits:
    sample = fr.open_dataset("sample")
    assert sample.test is not None
    return fr.Splits(sample.train.subset(np.arange(400)), None, sample.test.subset(np.arange(100)))


def recipe(*overrides: str) -> fr.Recipe:
    """Small, and without augmentation but for what is asked for."""
    small = ("model='tutorial'", "stages.0.epochs=2", "precision=float32", "batch_size=64")
    off = [f"{key}=0" for key in ("shift", "rotate", "scale", "brightness", "contrast")]
    return fr.load_recipe("plain", overrides=[*small, *off, *overrides])


@pytest.fixture(scope="module")
def run(data: fr.Splits, tmp_path_factory: pytest.TempPathFactory) -> fr.Run:
    return fr.train(data, recipe(), seeds=3, out=tmp_path_factory.mktemp("runs") / "seeds")


def epoch(data: fr.Splits, seed: int, *overrides: str) -> tuple[np.ndarray, np.ndarray]:
    """Images as the network gets them (pixels of 0–255), and labels, of a whole epoch in its order."""
    batches = Batches(data.train, recipe(f"seed={seed}", *overrides), AS_THEY_ARE, torch.device("cpu"))
    images, labels = zip(*batches.epoch(0), strict=True)
    return torch.cat(images)[:, 0].numpy().astype(np.uint8), torch.cat(labels).numpy()


def rows(data: fr.Splits, images: np.ndarray) -> list[int]:
    """Which image of the training set each is."""
    row_of = {image.tobytes(): row for row, image in enumerate(data.train.images)}
    return [row_of[image.tobytes()] for image in images]


def test_order_differs_between_seeds_and_each_sees_every_image_once(data: fr.Splits) -> None:
    orders = [rows(data, epoch(data, seed, "mirror=none")[0]) for seed in range(3)]
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert all(sorted(order) == list(range(400)) for order in orders)
    assert orders[0] == rows(data, epoch(data, 0, "mirror=none")[0])


@pytest.mark.parametrize("kind", ["mirror=random", "mirror=alternating", "shift=2", "erase=8"])
def test_augmentation_differs_between_seeds_for_the_same_image(kind: str, data: fr.Splits) -> None:
    only = [kind] if kind.startswith("mirror") else ["mirror=none", kind]
    seen = []
    for seed in (0, 1, 0):
        images, _ = epoch(data, seed, *only)
        plain, _ = epoch(data, seed, "mirror=none")
        by_row: dict[int, Any] = dict(zip(rows(data, plain), images, strict=True))
        seen.append([by_row[row] for row in range(400)])

    changed = np.mean([(one != other).any() for one, other in zip(seen[0], seen[1], strict=True)])
    assert changed > 0.3
    assert all((one == again).all() for one, again in zip(seen[0], seen[2], strict=True))


def test_initialisation_differs_between_seeds(data: fr.Splits, tmp_path: Path) -> None:
    hardly = recipe("stages.0.lr=1e-12", "stages.0.epochs=1")
    weights = {}
    for name, seed in {"zero": 0, "one": 1, "again": 0}.items():
        trained = fr.train(data, hardly, seed=seed, out=tmp_path / name)
        weights[name] = safetensors.numpy.load_file(trained.path / "model.safetensors")

    # Of norms, all begin with the same ones and zeros.
    filters = [name for name, tensor in weights["zero"].items() if tensor.ndim == 4]
    assert filters
    for name in filters:
        assert np.corrcoef(weights["zero"][name].ravel(), weights["one"][name].ravel())[0, 1] < 0.5
        assert (weights["zero"][name] == weights["again"][name]).all()


def test_members_differ_in_their_seed_and_in_nothing_else_that_was_decided(run: fr.Run) -> None:
    first, *others = run.members
    assert [member.recipe.seed for member in run.members] == [0, 1, 2]
    for other in others:
        changed = differences(first.recipe.as_dict(), other.recipe.as_dict())
        assert [line.partition(":")[0] for line in changed] == ["seed"]

        environments = [member.environment.as_dict() for member in (first, other)]
        for environment in environments:
            del environment["recipe"]["seed"]
        assert environments[0] == environments[1]

        assert first.artifact.normalization == other.artifact.normalization
        assert first.artifact.data == other.artifact.data


def test_members_are_validated_on_the_same_images(run: fr.Run) -> None:
    tables = [
        read_predictions(member.path / "predictions-validation.parquet", member.artifact.classes)
        for member in run.members
    ]
    assert len({table.images for table in tables}) == 1
    assert len({table.probabilities.tobytes() for table in tables}) == 3


def test_members_take_the_same_steps_at_the_same_rates_with_other_losses(run: fr.Run) -> None:
    steps = [
        [event for event in read_metrics(member.path / "metrics.jsonl") if event["event"] == "step"]
        for member in run.members
    ]
    plans = [[(step["step"], step["epoch"], step["lr"], step["examples"]) for step in member] for member in steps]
    assert plans[0] == plans[1] == plans[2]
    assert len({member[0]["loss"] for member in steps}) == 3


def test_a_member_is_the_run_of_its_seed_alone(run: fr.Run, data: fr.Splits, tmp_path: Path) -> None:
    alone = fr.train(data, recipe(), seed=2, out=tmp_path / "alone")
    for file in ("model.safetensors", "predictions-validation.parquet", "recipe.toml"):
        assert (alone.path / file).read_bytes() == (run.path / "seed-2" / file).read_bytes(), file


def test_a_stop_in_the_second_seed_resumes_to_the_same(run: fr.Run, data: fr.Splits, tmp_path: Path) -> None:
    asked = 0

    def in_the_second() -> bool:
        nonlocal asked
        asked += 1
        return asked > 15

    with pytest.raises(Interrupted):
        fr.train(data, recipe(), seeds=3, out=tmp_path / "stopped", should_stop=in_the_second)
    assert (tmp_path / "stopped/seed-0/result.json").exists()
    assert not (tmp_path / "stopped/seed-1/result.json").exists()

    resumed = fr.resume(tmp_path / "stopped", data=data)
    for member, other in zip(run.members, resumed.members, strict=True):
        assert (member.path / "model.safetensors").read_bytes() == (other.path / "model.safetensors").read_bytes()


def test_the_summary_is_that_of_its_members(run: fr.Run) -> None:
    run.evaluate()
    result = json.loads((run.path / "result.json").read_text(encoding="utf-8"))
    assert result["pictures_checked"] == min(member.result["pictures_checked"] for member in run.members) > 0
    accuracies = [member.result["test"]["accuracy"] for member in run.members]
    assert [member["test"]["accuracy"] for member in result["members"]] == accuracies
    assert result["mean"] == pytest.approx(np.mean(accuracies))
    assert result["sd"] == pytest.approx(np.std(accuracies, ddof=1))

    half = 4.302652729911275 * np.std(accuracies, ddof=1) / np.sqrt(3)  # the 97.5 % quantile of Student's t, 2 df
    expected = [np.mean(accuracies) - half, np.mean(accuracies) + half]
    assert result["interval_of_seeds"] == result["interval_of_mean"] == pytest.approx(expected)

    # The interval of the recipe is wider than seeds alone, and than what the images alone leave one model.
    tables = [read_predictions(member.predictions_file("test"), member.artifact.classes) for member in run.members]
    right = np.stack([table.is_right for table in tables])
    assert result["interval"] == pytest.approx(recipe_accuracy(right).interval)
    assert result["interval"][1] - result["interval"][0] > 2 * half


def test_a_run_of_0_1_has_the_interval_of_its_recipe_too(run: fr.Run) -> None:
    run.evaluate()
    file = run.path / "result.json"
    written = json.loads(file.read_text(encoding="utf-8"))
    old = {key: value for key, value in written.items() if key not in ("interval", "interval_of_seeds")}
    file.write_text(json.dumps(old), encoding="utf-8")
    assert run.result["interval"] == written["interval"]

    # Without the members' predictions it is the wider one that their accuracies alone allow.
    run.members[0].predictions_file("test").unlink()
    low, high = run.result["interval"]
    assert low < written["interval"][0] < written["interval"][1] < high


def test_added_seeds_are_those_that_would_have_been_trained_at_once(data: fr.Splits, tmp_path: Path) -> None:
    at_once = fr.train(data, recipe(), seeds=3, out=tmp_path / "three")
    more = fr.train(data, recipe(), seeds=2, out=tmp_path / "two")
    before = [(member.path / "model.safetensors").read_bytes() for member in more.members]

    more = fr.add_seeds(more.path, 1, data=data)
    assert [(member.path / "model.safetensors").read_bytes() for member in more.members[:2]] == before
    added, expected = more.members[2], at_once.members[2]
    assert added.recipe == expected.recipe
    assert (added.path / "model.safetensors").read_bytes() == (expected.path / "model.safetensors").read_bytes()

    for key in ("mean", "sd", "interval", "on"):
        assert more.result[key] == at_once.result[key]
    assert more.environment.seeds == (0, 1, 2)
    assert "seed 2" in (more.path / "report.html").read_text(encoding="utf-8")


def test_seeds_are_judged_on_test_as_those_before_were(data: fr.Splits, tmp_path: Path) -> None:
    run = fr.train(data, recipe("stages.0.epochs=1"), seeds=2, out=tmp_path / "two")
    run.evaluate()
    more = fr.add_seeds(run.path, 1, data=data)
    assert more.result["on"] == "test"
    assert len(more.result["members"]) == 3


def test_a_run_that_can_not_have_more_seeds_stays_as_it_is(data: fr.Splits, tmp_path: Path) -> None:
    one = fr.train(data, recipe("stages.0.epochs=1"), out=tmp_path / "one")
    with pytest.raises(fr.ArtifactError, match="a run of one seed is that model"):
        fr.add_seeds(one.path, 2, data=data)

    two = fr.train(data, recipe("stages.0.epochs=1"), seeds=2, out=tmp_path / "two")
    before = (two.path / "environment.json").read_bytes()
    with pytest.raises(fr.DataError, match="a run goes on only on the data"):
        fr.add_seeds(two.path, 1, data=fr.Splits(data.train.subset(np.arange(300)), None, data.test))
    assert two.is_finished
    assert (two.path / "environment.json").read_bytes() == before
