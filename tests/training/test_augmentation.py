"""The augmentations of a recipe: what they do, and that each draw is from seed, epoch, step and place alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import fittingroom as fr
from fittingroom.data import large
from fittingroom.data.dataset import Dataset
from fittingroom.data.normalization import Normalization
from fittingroom.errors import Interrupted
from fittingroom.parallel.process_group import ProcessGroup
from fittingroom.recipes.changes import differences
from fittingroom.recipes.reading import parse_recipe
from fittingroom.recipes.recipe import Recipe, Stage
from fittingroom.runs.metrics_log import read_metrics
from fittingroom.training import augment
from fittingroom.training.batches import Batches
from fittingroom.training.fit import fit
from tests.support.photo_patches import photo_patches
from tests.support.stopping import stop_after

CPU = torch.device("cpu")
PLAIN = Recipe(model="tutorial", batch_size=8, stages=(Stage(epochs=4, lr=1),))
ALL: dict[str, Any] = {
    "mirror": "random",
    "vertical_flip": "random",
    "shift": 2,
    "rotate": 30,
    "scale": 0.3,
    "border": "reflect",
    "brightness": 0.3,
    "contrast": 0.3,
    "saturation": 0.5,
    "hue": 0.2,
    "noise": 0.1,
    "erase": 3,
    "mixup": 0.4,
    "cutmix": 1.0,
}
EACH = [{"border": "edge", "shift": 2}] + [{key: ALL[key]} for key in ALL if key != "border"]


def batches(dataset: Dataset, group: ProcessGroup = ProcessGroup(), **changes: Any) -> Batches:  # noqa: B008
    return Batches(dataset, dataclasses.replace(PLAIN, **changes), Normalization(0.0, 1.0), CPU, group)


def grey(count: int = 27, side: int = 6) -> Dataset:
    images = np.random.default_rng(0).integers(0, 256, (count, side, side), dtype=np.uint8)
    return Dataset(images, np.arange(count) % 3, ("a", "b", "c"), "drawn")


@pytest.fixture(params=["grey", "colour"])
def dataset(request: pytest.FixtureRequest) -> Dataset:
    return grey() if request.param == "grey" else photo_patches(27, side=6)


def random_images(channels: int = 1, height: int = 7, width: int = 5) -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).random((4, channels, height, width), dtype=np.float32)) * 255


def sampled(x: Tensor, *, turn: float = 0, size: float = 1, offset: tuple[int, int] = (0, 0), **rest: Any) -> Tensor:
    ones = torch.ones(len(x))
    signs = rest.pop("signs", torch.ones(len(x), 2))
    return augment.affine(x, ones * turn, ones * size, torch.tensor([offset] * len(x)).float(), signs, **rest)


# ── what each does ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("turns", [1, 2, 3, -1])
def test_a_turn_by_right_angles_is_that_of_whole_pixels(turns: int) -> None:
    x = random_images(height=6, width=6)
    torch.testing.assert_close(sampled(x, turn=90 * turns), torch.rot90(x, turns, (2, 3)), rtol=1e-4, atol=1e-2)


def test_an_image_that_is_not_square_is_turned_and_not_sheared() -> None:
    x = torch.zeros(1, 1, 5, 9)
    x[0, 0, 2, 2:7] = 1  # a bar along the row
    expected = torch.zeros(1, 1, 5, 9)
    expected[0, 0, :, 4] = 1  # the same bar, upright
    torch.testing.assert_close(sampled(x, turn=90), expected, rtol=0, atol=1e-5)


def test_flips_and_moves_by_sampling_are_those_of_whole_pixels() -> None:
    x = random_images()
    signs = torch.tensor([[1, 1], [-1, 1], [1, -1], [-1, -1]]).float()
    flipped = torch.stack([x[0], x[1].flip(1), x[2].flip(2), x[3].flip(1, 2)])
    torch.testing.assert_close(sampled(x, signs=signs), flipped, rtol=1e-4, atol=1e-2)

    # Flipped first and moved then: the offset is one of the image as it is seen.
    moved = augment.shift(flipped[:, 0], torch.tensor([[2, -1]] * 4), 2)[:, None]
    torch.testing.assert_close(sampled(x, offset=(2, -1), signs=signs), moved, rtol=1e-4, atol=1e-2)


def test_twice_as_large_shows_the_middle() -> None:
    x = torch.zeros(1, 1, 8, 8)
    x[..., 2:6, 2:6] = 1
    found = sampled(x, size=2)
    assert (found[..., 1:7, 1:7] == 1).all()
    assert sampled(x, size=0.5).sum() == pytest.approx(4, abs=0.1)


@pytest.mark.parametrize(("border", "expected"), [("zero", [0, 0, 1]), ("edge", [1, 1, 1]), ("reflect", [2, 1, 1])])
def test_the_border_is_filled_as_the_recipe_says(border: str, expected: list[int]) -> None:
    x = torch.tensor([1.0, 2, 3, 4])[None, None, None]
    found = sampled(x, offset=(0, 2), border=border)[0, 0, 0]
    torch.testing.assert_close(found[:3], torch.tensor(expected).float(), rtol=0, atol=1e-4)


def test_brightness_and_contrast_are_factors_by_hand() -> None:
    x = torch.tensor([[[[0.0, 50, 100, 50]]]])
    ones = torch.ones(1)
    assert augment.recolour(x, ones * 1.5, ones).flatten().tolist() == [0, 75, 150, 75]
    assert augment.recolour(x, ones, ones * 0.5).flatten().tolist() == [25, 50, 75, 50]
    assert augment.recolour(x, ones * 2, ones * 2).flatten().tolist() == [0, 100, 255, 100]  # clipped


def test_no_saturation_leaves_the_grey_of_each_colour_and_no_grey_is_ever_coloured() -> None:
    x, ones = random_images(3), torch.ones(4)
    luma = (x * torch.tensor(augment.LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    found = augment.recolour(x, ones, ones, augment.colour_maps(ones * 0, ones * 0.3))
    torch.testing.assert_close(found, luma.expand_as(x), rtol=1e-4, atol=1e-2)

    grey_x = random_images(1).expand(-1, 3, -1, -1)
    found = augment.recolour(grey_x, ones, ones, augment.colour_maps(torch.rand(4) * 2, torch.rand(4) - 0.5))
    torch.testing.assert_close(found, grey_x.clone(), rtol=1e-4, atol=1e-2)


def test_a_hue_keeps_the_grey_of_a_colour_and_comes_round() -> None:
    x, ones = 60 + random_images(3) / 4, torch.ones(4)  # far enough from 0 and 255 that nothing is clipped
    weights = torch.tensor(augment.LUMA).view(1, 3, 1, 1)
    turned = augment.recolour(x, ones, ones, augment.colour_maps(ones, ones * 0.25))
    assert (turned - x).abs().max() > 10
    torch.testing.assert_close((turned * weights).sum(1), (x * weights).sum(1), rtol=1e-3, atol=0.1)
    for _ in range(3):
        turned = augment.recolour(turned, ones, ones, augment.colour_maps(ones, ones * 0.25))
    torch.testing.assert_close(turned, x, rtol=1e-3, atol=0.1)


def test_noise_has_the_standard_deviation_that_is_drawn_for_the_image() -> None:
    x = torch.full((2, 3, 40, 40), 128.0)
    pool = torch.randn(10_000, generator=torch.Generator().manual_seed(0))
    found = augment.add_noise(x, torch.tensor([0.0, 12.0]), pool, torch.tensor([5, 700]))
    assert (found[0] == 128).all()
    assert float(found[1].std()) == pytest.approx(12, rel=0.05)
    assert float(found[1].mean()) == pytest.approx(128, abs=0.6)


def test_mixup_mixes_images_and_labels_by_the_same_share() -> None:
    """Each class has a colour of its own, so that a pixel tells the share of each of them."""
    images = np.full((300, 4, 4), 0, np.uint8)
    images[1::3], images[2::3] = 100, 255
    flat = Dataset(images, np.arange(300) % 3, ("a", "b", "c"), "flat")
    shares = []
    for x, y in batches(flat, mixup=0.5, batch_size=100).epoch(0):
        torch.testing.assert_close(y.sum(1), torch.ones(100))
        torch.testing.assert_close(x[:, 0, 1, 2], y @ torch.tensor([0.0, 100.0, 255.0]), rtol=1e-4, atol=1e-2)
        shares += y.max(dim=1).values.tolist()
    assert min(shares) < 0.6
    assert max(shares) > 0.99


def test_cutmix_labels_go_by_the_area_that_is_left_of_each_image() -> None:
    images = np.zeros((200, 9, 7), np.uint8)
    images[1::2] = 255
    flat = Dataset(images, np.arange(200) % 2, ("dark", "light"), "flat")
    cut = 0
    for x, y in batches(flat, cutmix=1.0, batch_size=50).epoch(0):
        assert set(x.unique().tolist()) <= {0, 255}
        torch.testing.assert_close(x.mean(dim=(1, 2, 3)) / 255, y[:, 1], rtol=1e-4, atol=1e-5)
        cut += int(((y[:, 1] > 0) & (y[:, 1] < 1)).sum())
    assert cut > 50


def test_with_both_some_images_are_mixed_and_some_are_cut() -> None:
    images = np.zeros((400, 8, 8), np.uint8)
    images[1::2] = 255
    flat = Dataset(images, np.arange(400) % 2, ("dark", "light"), "flat")
    x = torch.cat([x for x, _ in batches(flat, mixup=1.0, cutmix=1.0, batch_size=100).epoch(0)])
    is_one_grey = (x.amax(dim=(1, 2, 3)) == x.amin(dim=(1, 2, 3))) & (x.amax(dim=(1, 2, 3)) % 255 > 0)
    is_cut = x.amax(dim=(1, 2, 3)) - x.amin(dim=(1, 2, 3)) == 255
    assert int(is_one_grey.sum()) > 40
    assert int(is_cut.sum()) > 40


def test_the_loss_of_a_mixture_is_the_mixture_of_the_smoothed_losses() -> None:
    """What the loop computes of mixed labels is what mixup's authors compute of two plain ones."""
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    one, other, share = torch.tensor([0, 1, 2, 0, 1]), torch.tensor([1, 1, 0, 2, 0]), torch.rand(5)
    mixed = torch.lerp(F.one_hot(other, 3).float(), F.one_hot(one, 3).float(), share[:, None])
    expected = sum(
        part * F.cross_entropy(logits, labels, label_smoothing=0.1, reduction="none")
        for part, labels in ((share, one), (1 - share, other))
    )
    found = F.cross_entropy(logits, mixed, label_smoothing=0.1, reduction="none")
    torch.testing.assert_close(found, expected)


# ── where the draws come from ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("changes", [*EACH, ALL, {**ALL, "image_sizes": ((0, 8), (2, 4))}], ids="+".join)
def test_an_epoch_entered_in_the_middle_goes_on_as_if_never_left(dataset: Dataset, changes: dict[str, Any]) -> None:
    ambient, ambient_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    whole = list(batches(dataset, **changes).epoch(2))
    for first_step in range(5):
        entered = list(batches(dataset, **changes).epoch(2, first_step))
        assert len(entered) == len(whole) - first_step
        for (x, y), (other_x, other_y) in zip(entered, whole[first_step:], strict=True):
            assert torch.equal(x, other_x)
            assert torch.equal(y, other_y)
    assert torch.equal(torch.get_rng_state(), ambient)
    np.testing.assert_array_equal(np.random.get_state()[1], ambient_numpy)  # type: ignore[index]


@pytest.mark.parametrize("changes", [*EACH, ALL], ids="+".join)
@pytest.mark.parametrize("size", [2, 4])  # the last batch has 3 examples, so that one of 4 processes has none
def test_the_parts_of_several_processes_are_the_batch_of_one(
    dataset: Dataset, changes: dict[str, Any], size: int
) -> None:
    whole = batches(dataset, **changes).epoch(1)
    parts = zip(
        *(batches(dataset, ProcessGroup(rank=rank, size=size), **changes).epoch(1) for rank in range(size)), strict=True
    )
    for (x, y), shards in zip(whole, parts, strict=True):
        assert torch.equal(x, torch.cat([shard_x for shard_x, _ in shards]))
        assert torch.equal(y, torch.cat([shard_y for _, shard_y in shards]))


@pytest.mark.parametrize("changes", [*EACH, ALL], ids="+".join)
def test_each_changes_from_epoch_to_epoch_and_with_the_seed(changes: dict[str, Any]) -> None:
    photos = photo_patches(24, side=6)

    def drawn(seed: int, epoch: int) -> Tensor:
        return torch.cat([x for x, _ in batches(photos, batch_size=24, seed=seed, **changes).epoch(epoch)])

    def plain(seed: int, epoch: int) -> Tensor:
        return torch.cat([x for x, _ in batches(photos, batch_size=24, seed=seed).epoch(epoch)])

    # The differences from the images as they are, in their own order: that changes anyway.
    first, again, next_epoch, other_seed = (
        drawn(seed, epoch) - plain(seed, epoch) for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))
    )
    assert torch.equal(first, again)
    assert first.abs().max() > 1
    changes_of = [difference.flatten(1).abs().sum(1).sort().values for difference in (first, next_epoch, other_seed)]
    assert not torch.equal(changes_of[0], changes_of[1])
    assert not torch.equal(changes_of[0], changes_of[2])


def test_one_that_is_switched_on_leaves_the_draws_of_the_others_as_they_are() -> None:
    data = grey(24)
    turned, _ = next(batches(data, batch_size=24, rotate=40).epoch(0))
    darker, _ = next(batches(data, batch_size=24, rotate=40, brightness=0.5, contrast=0.0).epoch(0))
    share = darker.flatten(1).sum(1) / turned.flatten(1).sum(1)
    torch.testing.assert_close(darker, (turned * share[:, None, None, None]).clamp(max=255), rtol=0.2, atol=40)
    moved, _ = next(batches(data, batch_size=24, shift=2).epoch(0))
    moved_by_sampling, _ = next(batches(data, batch_size=24, shift=2, rotate=1e-6).epoch(0))
    torch.testing.assert_close(moved, moved_by_sampling, rtol=1e-3, atol=0.1)


def test_saturation_and_hue_change_nothing_of_grey_images_and_that_is_said() -> None:
    data = fr.open_dataset("sample").train.subset(np.arange(100))
    with pytest.warns(UserWarning, match=r"saturation and hue change nothing: its images are grey"):
        fit(fr.Splits(data), fr.load_recipe("plain", overrides=["saturation=0.5", "hue=0.1", "stages.0.epochs=1"]))
    plain, _ = next(batches(grey()).epoch(0))
    coloured, _ = next(batches(grey(), saturation=1, hue=0.5).epoch(0))
    assert torch.equal(plain, coloured)


def test_a_set_larger_than_memory_is_augmented_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = photo_patches(64, side=6)
    monkeypatch.setattr(large, "LARGE", 0)
    np.save(tmp_path / "images.npy", photos.images)
    mapped = dataclasses.replace(photos, images=np.load(tmp_path / "images.npy", mmap_mode="r"))
    assert batches(mapped, **ALL).is_large
    whole = list(batches(mapped, **ALL).epoch(0))
    entered = list(batches(mapped, **ALL).epoch(0, 3))
    for (x, y), (other_x, other_y) in zip(entered, whole[3:], strict=True):
        assert torch.equal(x, other_x)
        assert torch.equal(y, other_y)


def test_resume_equals_uninterrupted(tmp_path: Path) -> None:
    data = fr.open_dataset("sample").train.subset(np.arange(600))
    recipe = fr.load_recipe(
        "plain",
        overrides=[f"{key}={value}" for key, value in ALL.items() if key not in ("saturation", "hue")]
        + ["stages.0.epochs=2", "label_smoothing=0.1", "validation=60", "precision=float32"],
    )
    whole = fr.train(data, recipe, out=tmp_path / "whole")
    with pytest.raises(Interrupted):
        fr.train(data, recipe, out=tmp_path / "stopped", should_stop=stop_after(2))
    resumed = fr.resume(tmp_path / "stopped", data=data)
    assert (resumed.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()
    losses = [
        [event["loss"] for event in read_metrics(run.path / "metrics.jsonl") if event["event"] == "step"]
        for run in (whole, resumed)
    ]
    assert losses[0] == losses[1]


# ── the recipe ───────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_off_is_not_written_so_that_a_recipe_from_before_is_still_the_same() -> None:
    written = PLAIN.as_dict()
    assert not set(ALL) & set(written) - {"mirror", "shift", "erase"}
    off = dataclasses.replace(PLAIN, rotate=0, mixup=0.0, border="zero")
    assert off == PLAIN
    assert differences(written, off.as_dict()) == []

    on = dataclasses.replace(PLAIN, **ALL)
    assert parse_recipe(on.to_toml()) == on
