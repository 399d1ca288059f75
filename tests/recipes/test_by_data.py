"""What the number and the kind of images decide: the recipe, images a step, epochs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.data.dataset import Dataset
from fittingroom.data.splits import Splits
from fittingroom.errors import Interrupted
from fittingroom.estimator import FittingRoomClassifier
from fittingroom.events import Event, RecipeSettled
from fittingroom.recipes.by_data import default_recipe, settled
from fittingroom.recipes.changes import with_epochs
from fittingroom.recipes.reading import load_recipe, parse_recipe
from fittingroom.recipes.steps import steps_of
from fittingroom.runs.create import start
from tests.support import SUPPORT
from tests.support.stopping import stop_after

LINEAR = f"model='{SUPPORT / 'linear_net.py'}:net'"  # the plan is the same for any network


def pictures(count: int, size: tuple[int, int] = (16, 16), *, colour: bool = False) -> Dataset:
    """Two classes that a colour, or a brightness, tells apart."""
    labels = np.arange(count) % 2
    images = np.random.default_rng(0).integers(0, 100, (count, *size, *[3] * colour), dtype=np.uint8)
    images[labels == 1] += 100
    return Dataset(images, labels, ("dark", "light"), "pictures")


def steps_trained(run: fr.Run) -> int:
    lines = (run.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return max(int(json.loads(line)["step"]) for line in lines if '"epoch"' in line and '"step"' in line)


def test_98_photos_train_enough_steps(tmp_path: Path) -> None:
    heard: list[Event] = []
    recipe = load_recipe("plain", overrides=[LINEAR, "precision=float32"])
    run = fr.train(pictures(98), recipe, out=tmp_path / "run", observe=heard.append)

    # 9 of the 98 are held out; a twentieth of the rest is below the least batch
    assert run.recipe.batch_size == 8
    assert recipe.min_steps <= steps_trained(run) < recipe.min_steps + 12
    assert steps_of(89, 8, run.recipe.epochs) == steps_trained(run)

    # one line says so, and the run's record has it
    (said,) = [event.sentence for event in heard if isinstance(event, RecipeSettled)]
    assert f"{run.recipe.epochs} epochs in place of {recipe.epochs}, which would be 120 steps" in said
    assert run.environment.recipe_reason == said


def test_a_number_that_the_cut_may_change_is_said_to_be_about_that(tmp_path: Path) -> None:
    """Images that stay together are held out together, so that some more or fewer may be left to learn from."""
    data, rows = pictures(98), [*range(90), *range(8)]
    assert data.labels is not None
    twins = Dataset(data.images[rows], data.labels[rows], data.classes, "twins")
    for dataset, words in ((data, "89 images to learn from"), (twins, "about 89 images to learn from")):
        run = start(dataset, load_recipe("plain"), out=tmp_path / dataset.name)
        assert run.environment.recipe_reason.startswith(words)


@pytest.mark.parametrize(
    ("images", "validation", "words"),
    [
        (98, "validation=30", "; 19 images held out for validation in place of 30, at most a fifth of 98"),
        (98, "validation=19", ""),
        (98, "validation=0", ""),
        (9, "seed=0", "; none of 9 held out for validation, as a tenth of them is none"),
        (9, "validation=9", "; 1 image held out for validation in place of 9, at most a fifth of 9"),
    ],
)
def test_fewer_validation_images_than_asked_for_are_said(
    images: int, validation: str, words: str, tmp_path: Path
) -> None:
    run = start(pictures(images), load_recipe("plain", overrides=[validation]), out=tmp_path / "run")
    assert run.environment.recipe_reason.partition(" are the least")[2] == words


@pytest.mark.parametrize("override", ["stages.0.epochs=3", "stages=[{epochs = 3, lr = 0.01}]"])
def test_user_epochs_switch_off_stretching(override: str, tmp_path: Path) -> None:
    run = fr.train(
        pictures(98), load_recipe("plain", overrides=[LINEAR, "precision=float32", override]), out=tmp_path / "run"
    )
    assert run.recipe.epochs == 3
    assert steps_trained(run) == steps_of(89, 8, 3)
    assert settled(with_epochs(load_recipe("plain"), 3), 89).epochs == 3

    # whoever asks for both gets both; the rate alone says nothing of the epochs
    assert settled(load_recipe("plain", overrides=[override, "min_steps=100"]), 89).epochs == 9
    assert load_recipe("plain", overrides=["stages.0.lr=0.1"]).min_steps == load_recipe("plain").min_steps


def test_stretching_keeps_the_shape_of_all_stages() -> None:
    recipe = parse_recipe(
        'model = "tutorial"\nbatch_size = 50\nmin_steps = 100\nimage_sizes = [[0, 14], [2, 28]]\n'
        "stages = [{ epochs = 4, lr = 1, warmup = 1, schedule = 'linear' }, { epochs = 1, lr = 0.1 }]"
    )
    long = settled(recipe, 200)  # 4 steps an epoch, 20 in all
    assert [(stage.epochs, stage.warmup) for stage in long.stages] == [(20, 5.0), (5, 0.0)]
    assert long.image_sizes == ((0, 14), (10, 28))
    assert settled(long, 200) == long
    assert settled(recipe, 5_000) == recipe


def test_packaged_recipes_keep_their_plan_on_fashion_mnist() -> None:
    for name in ("swift", "steady", "strong", "compact", "tiny"):
        assert settled(load_recipe(name), 58_000) == load_recipe(name)
    assert load_recipe("tutorial").min_steps == 0
    assert settled(load_recipe("tutorial"), 100) == load_recipe("tutorial")


def test_resume_of_a_stretched_run_equals_uninterrupted(tmp_path: Path) -> None:
    recipe = load_recipe("plain", overrides=[LINEAR, "precision=float32", "min_steps=130"])
    data = pictures(98)
    whole = fr.train(data, recipe, out=tmp_path / "whole")
    with pytest.raises(Interrupted):
        fr.train(data, recipe, out=tmp_path / "halves", should_stop=stop_after(61))
    kept = (tmp_path / "halves" / "recipe.toml").read_text(encoding="utf-8")
    assert "batch_size = 8\n" in kept
    assert f"epochs = {whole.recipe.epochs}\n" in kept
    halves = fr.resume(tmp_path / "halves", data=Splits(data), trust_code=True)
    assert (halves.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()

    # what a run wrote down trains the same once more
    again = settled(load_recipe(whole.path / "recipe.toml", overrides=[LINEAR]), 89)
    assert again.stages == whole.recipe.stages


def test_default_recipe_same_for_command_python_estimator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = pictures(40, colour=True)
    assert data.labels is not None
    for row, (image, label) in enumerate(zip(data.images, data.labels, strict=True)):
        folder = tmp_path / "photos" / data.classes[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{row:03}.png")
    monkeypatch.chdir(tmp_path)

    # as few steps as can be: which recipe it is can be seen from its first
    few = ["min_steps=1", "precision=float32"]
    assert main(["train", "photos", "--threads", "1", "--no-test", "--set", few[0], "--set", few[1]]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("recipe ")]
    assert said[0].startswith("recipe     plain: 40 colour images of 16×16 pixels; swift is for 20,000 and more")
    by_command = fr.open_run("runs/plain-1").recipe

    heard: list[Event] = []

    with pytest.raises(Interrupted):
        fr.train("photos", out="python", observe=heard.append, should_stop=lambda: True)
    first = next(event for event in heard if isinstance(event, RecipeSettled))
    assert first.sentence == said[0].removeprefix("recipe     ")
    in_python = load_recipe("python/recipe.toml")

    classifier = FittingRoomClassifier(overrides=few, device="cpu").fit(data.images, data.labels)
    assert {recipe.name for recipe in (by_command, in_python, classifier.recipe_)} == {"plain"}
    assert by_command.model == in_python.model == classifier.recipe_.model
    assert by_command.batch_size == in_python.batch_size == classifier.recipe_.batch_size == 8


@pytest.mark.parametrize(
    ("images", "size", "channels", "name"),
    [
        (20_000, (28, 28), 1, "swift"),
        (19_999, (28, 28), 1, "plain"),
        (60_000, (28, 28), 3, "plain"),
        (60_000, (32, 32), 1, "plain"),
    ],
)
def test_swift_is_the_default_of_large_sets_of_its_kind_alone(
    images: int, size: tuple[int, int], channels: int, name: str
) -> None:
    chosen = default_recipe(images, size, channels)
    assert chosen.recipe.name == name
    assert chosen.why.startswith(f"{name}: {images:,} ")


def test_estimator_and_folds_train_enough_steps() -> None:
    data = pictures(98)
    assert data.labels is not None
    classifier = FittingRoomClassifier(overrides=[LINEAR, "precision=float32"], device="cpu")
    classifier.fit(data.images, data.labels)
    assert steps_of(98, classifier.recipe_.images_a_step, classifier.n_iter_) >= load_recipe("plain").min_steps


def test_a_run_from_before_these_keys_is_still_the_same_recipe() -> None:
    swift = load_recipe("swift", overrides=["min_steps=0"])
    assert "min_steps" not in swift.as_dict()
    assert "min_steps" not in swift.to_toml()
    assert parse_recipe(swift.to_toml()) == swift


def test_another_model_in_a_packaged_recipe_gets_none_of_its_models_arguments() -> None:
    assert load_recipe("swift").model_args
    assert load_recipe("swift", overrides=["model=tutorial"]).model_args == {}
    assert load_recipe("swift", overrides=["model='net.py:Net'", "model_args.width=3"]).model_args == {"width": 3}
    assert load_recipe("swift", overrides=["model=residual"]) == load_recipe("swift")


def test_a_shift_is_a_part_of_the_image_where_the_recipe_leaves_it_open(tmp_path: Path) -> None:
    recipe = load_recipe("plain", overrides=[LINEAR, "precision=float32", "stages.0.epochs=1"])
    assert recipe.shift == "auto"
    for side, shift in ((8, 0), (16, 1), (28, 2)):
        run = fr.train(pictures(40, (side, side)), recipe, out=tmp_path / str(side))
        assert run.recipe.shift == shift
        assert f"shift = {shift}\n" in (run.path / "recipe.toml").read_text(encoding="utf-8")
    assert settled(load_recipe("plain", overrides=["shift=5"]), 98, (28, 28)).shift == 5
