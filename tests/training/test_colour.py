"""A training on colour: all recipes take it, it resumes exactly, and what it says doesn't depend on how it is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import fittingroom as fr
from fittingroom.data.splits import Splits
from fittingroom.errors import Interrupted
from fittingroom.events import Hooks
from fittingroom.recipes.changes import with_epochs
from fittingroom.recipes.reading import recipe_names
from fittingroom.training.checkpoint import Checkpoints
from fittingroom.training.fit import Fitted, fit
from fittingroom.training.inference import batch_size_for, predict_dataset
from tests.support.photo_patches import photo_patches
from tests.support.stopping import stop_after

SHORT = ["stages.0.epochs=1", "stages.0.warmup=0", "precision=float32", "batch_size=32"]
AUGMENTED = ["stages.0.epochs=2", "stages.0.warmup=0", "precision=float32", "batch_size=32", "mirror=alternating"]


@pytest.fixture(scope="module")
def photos() -> Splits:
    return Splits(photo_patches(240, side=28), test=photo_patches(60, side=28, seed=1))


def weights(fitted: Fitted) -> dict[str, bytes]:
    return {name: tensor.contiguous().numpy().tobytes() for name, tensor in fitted.network.state_dict().items()}


@pytest.mark.parametrize("name", [name for name in recipe_names() if name != "finetune"])  # which needs weights
def test_every_recipe_of_the_package_trains_on_colour(name: str, photos: Splits) -> None:
    recipe = with_epochs(fr.load_recipe(name, overrides=SHORT), 1)
    fitted = fit(photos, recipe, device="cpu")
    assert photos.test is not None
    probabilities = predict_dataset(fitted.network, photos.test, fitted.normalization).probabilities
    assert probabilities.shape == (60, 2)
    assert fitted.network(torch.zeros(1, 3, 28, 28)).shape == (1, 2)
    if recipe.normalize == "standard":
        assert len(fitted.normalization.mean) == len(fitted.normalization.std) == 3  # type: ignore[arg-type]


@pytest.mark.parametrize("steps", [3, 8])
@pytest.mark.parametrize("name", ["steady", "plain"])
def test_resume_equals_uninterrupted(name: str, steps: int, photos: Splits, tmp_path: Path) -> None:
    recipe = fr.load_recipe(name, overrides=[*AUGMENTED, "shift=2", "erase=6", "ema=0.9"])
    whole = fit(photos, recipe, device="cpu")

    checkpoints = Checkpoints(folder=tmp_path, data=photos.train.fingerprint.order)
    with pytest.raises(Interrupted):
        fit(
            photos,
            recipe,
            device="cpu",
            checkpoints=checkpoints,
            hooks=Hooks(should_stop=stop_after(steps)),
        )
    resumed = fit(photos, recipe, device="cpu", checkpoints=checkpoints)
    assert weights(resumed) == weights(whole)


@pytest.mark.nightly
def test_colours_are_learned_and_not_only_brightness(photos: Splits) -> None:
    """Pictures of which each is there in red and in blue: what tells the classes apart is colour alone."""
    images = photos.train.images.copy()
    swapped = images[..., ::-1].copy()
    both = fr.Dataset(
        torch.cat([torch.from_numpy(images), torch.from_numpy(swapped)]).numpy(),
        torch.tensor([0] * len(images) + [1] * len(images)).numpy(),
        ("as it was", "red and blue exchanged"),
        "exchanged",
    )
    for name in ("steady", "plain"):
        recipe = fr.load_recipe(name, overrides=["precision=float32", "batch_size=16", "validation=96"])
        fitted = fit(Splits(both), recipe, device="cpu")
        assert fitted.validation_set is not None
        predictions = predict_dataset(fitted.network, fitted.validation_set, fitted.normalization)
        assert (predictions.predicted == fitted.validation_set.labels).mean() > 0.75, name


def test_large_images_are_predicted_a_few_at_once() -> None:
    assert batch_size_for((28, 28)) == batch_size_for((64, 64)) == 250
    assert batch_size_for((128, 128)) == 62
    assert batch_size_for((256, 256)) == 15


@pytest.mark.parametrize("key", ["size=20", "channels=1"])
def test_what_was_opened_otherwise_than_the_recipe_asks_is_not_trained_on(key: str, photos: Splits) -> None:
    with pytest.raises(fr.RecipeError, match="colour ones of 28×28 found: open the data"):
        fit(photos, fr.load_recipe("plain", overrides=[key]), device="cpu")
