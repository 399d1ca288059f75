"""A large set gives batches as a small one does, in the order of the block shuffle, and resumes as exactly."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fittingroom.data import large
from fittingroom.data.dataset import Dataset
from fittingroom.data.normalization import Normalization
from fittingroom.parallel.process_group import ProcessGroup
from fittingroom.recipes.recipe import Recipe, Stage
from fittingroom.training.batches import Batches
from tests.support.photo_patches import photo_patches

N = 140_000  # two pools
PLAIN = Recipe(model="tutorial", batch_size=300, stages=(Stage(epochs=4, lr=1),))
AUGMENTED: dict[str, Any] = {"mirror": "alternating", "shift": 1, "erase": 2}


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Images of 4×4 whose first row holds their number, in a file, sorted by label."""
    monkeypatch.setattr(large, "LARGE", 0)
    images = np.zeros((N, 4, 4), np.uint8)
    images[:, 0] = np.arange(N, dtype="<u4").view(np.uint8).reshape(N, 4)
    np.save(tmp_path / "images.npy", images)
    return Dataset(np.load(tmp_path / "images.npy", mmap_mode="r"), np.arange(N) * 7 // N, tuple("abcdefg"), "large")


def batches(dataset: Dataset, group: ProcessGroup = ProcessGroup(), **changes: Any) -> Batches:  # noqa: B008
    recipe = dataclasses.replace(PLAIN, **changes)
    return Batches(dataset, recipe, Normalization(0.0, 1.0), torch.device("cpu"), group)


def numbers(x_NCHW: torch.Tensor) -> list[int]:
    found: list[int] = np.ascontiguousarray(x_NCHW[:, 0, 0].byte().numpy()).view("<u4")[:, 0].tolist()
    return found


def test_every_image_comes_once_an_epoch_with_its_label(dataset: Dataset) -> None:
    made = batches(dataset)
    epoch = list(made.epoch(0))
    assert [len(x) for x, _ in epoch] == [made.examples_in(step) for step in range(len(made))] == [300] * 466 + [200]
    found = [number for x, _ in epoch for number in numbers(x)]
    assert sorted(found) == list(range(N))
    assert dataset.labels is not None
    assert torch.cat([labels for _, labels in epoch]).tolist() == dataset.labels[found].tolist()


@pytest.mark.parametrize("first_step", [0, 1, 232, 233, 234, 466, 467])
def test_an_epoch_entered_in_the_middle_goes_on_as_if_never_left(dataset: Dataset, first_step: int) -> None:
    made = batches(dataset, **AUGMENTED)
    whole = list(made.epoch(1))[first_step:]
    entered = list(batches(dataset, **AUGMENTED).epoch(1, first_step))
    assert len(entered) == len(whole)
    for (x, labels), (other_x, other_labels) in zip(entered, whole, strict=True):
        assert torch.equal(x, other_x)
        assert torch.equal(labels, other_labels)


def test_the_parts_of_two_processes_are_the_batch_of_one(dataset: Dataset) -> None:
    whole = batches(dataset, **AUGMENTED).epoch(0, 440)
    parts = zip(
        *(batches(dataset, ProcessGroup(rank=rank, size=2), **AUGMENTED).epoch(0, 440) for rank in (0, 1)), strict=True
    )
    for (x, labels), ((x0, labels0), (x1, labels1)) in zip(whole, parts, strict=True):
        assert torch.equal(x, torch.cat([x0, x1]))
        assert torch.equal(labels, torch.cat([labels0, labels1]))


def test_colour_goes_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = photo_patches(200, side=8)
    in_memory = Batches(photos, PLAIN, Normalization(0.0, 1.0), torch.device("cpu"))
    monkeypatch.setattr(large, "LARGE", 0)
    np.save(tmp_path / "images.npy", photos.images)
    mapped = dataclasses.replace(photos, images=np.load(tmp_path / "images.npy", mmap_mode="r"))
    made = batches(mapped, batch_size=32)
    assert made.is_large
    assert not in_memory.is_large

    (x, labels), *_ = made.epoch(0)
    assert x.shape == (32, 3, 8, 8)
    ((whole, whole_labels),) = in_memory.epoch(0)
    by_pixels = {image.byte().numpy().tobytes(): int(label) for image, label in zip(whole, whole_labels, strict=True)}
    assert [by_pixels[image.byte().numpy().tobytes()] for image in x] == labels.tolist()


def test_images_are_not_copied(dataset: Dataset) -> None:
    assert np.shares_memory(batches(dataset).images.numpy(), dataset.images)
