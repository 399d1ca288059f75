"""What training promises: exact resume, nothing lost by a kill, memory and divergence handled, no look at test."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

import fittingroom as fr
from fittingroom.data.convert import convert
from fittingroom.errors import ArtifactError, DataError, Interrupted, RecipeError, StorageFailed, TrainingDiverged
from fittingroom.events import EpochDone, Event, MicroBatchHalved, StepDone
from fittingroom.pipeline.one_seed import finish
from fittingroom.runs.create import start
from fittingroom.runs.metrics_log import read_metrics
from fittingroom.training.checkpoint import load_newest_checkpoint, save_checkpoint
from tests.support import PATIENCE, SUPPORT
from tests.support.stopping import stop_after

# Few epochs, but every stage, so that a fresh optimizer and an average are part of what is resumed. Of 1,000 images an
# epoch is 8 steps: tutorial trains on all of them, the others on four fifths.
SHORT = {
    "tutorial": ["stages.0.epochs=1", "stages.1.epochs=1", "stages.2.epochs=1", "batch_size=125"],
    "swift": ["stages.0.epochs=2", "ema=0.9", "precision=float32", "batch_size=100"],
    "plain": ["stages.0.epochs=2", "shift=1", "erase=6", "keep=best", "precision=bf16", "batch_size=100"],
}


LINEAR = f"model='{SUPPORT / 'linear_net.py'}:net'"  # where what is promised goes by the curve alone


@pytest.fixture(scope="module")
def sample() -> fr.Splits:
    return fr.open_dataset("sample")


@pytest.fixture(scope="module")
def half(sample: fr.Splits, tmp_path_factory: pytest.TempPathFactory) -> fr.Splits:
    """Half of the sample's training images and 200 test images, in a file, from which a resumed run opens them."""
    assert sample.test is not None
    file = tmp_path_factory.mktemp("half") / "half.npz"
    fr.convert(fr.Splits(sample.train[:1000], test=sample.test[:200]), file)
    return fr.open_dataset(file)


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def short(name: str) -> fr.Recipe:
    return fr.load_recipe(name, overrides=SHORT[name])


def weights(run: fr.Run) -> bytes:
    return (run.path / "model.safetensors").read_bytes()


def losses(run: fr.Run) -> list[tuple[int, float]]:
    return [(e["step"], e["loss"]) for e in read_metrics(run.path / "metrics.jsonl") if e["event"] == "step"]


def states(run: fr.Run) -> list[str]:
    return [e["state_sha256"] for e in read_metrics(run.path / "metrics.jsonl") if e["event"] == "epoch"]


STOPS = ([1], [8], [11], [5, 3, 4])
DAILY = (("tutorial", [11]), ("swift", [5, 3, 4]), ("plain", [1]), ("plain", [8]))  # the other pairs are tried at night


@pytest.mark.parametrize(
    ("recipe", "stops"),
    [
        pytest.param(
            *pair, id=f"{pair[0]}-{'+'.join(map(str, pair[1]))}", marks=() if pair in DAILY else pytest.mark.nightly
        )
        for pair in product(("tutorial", "swift", "plain"), STOPS)
    ],
)
def test_resume_equals_uninterrupted(
    recipe: str, stops: list[int], half: fr.Splits, in_tmp: Path, uninterrupted: dict[str, fr.Run]
) -> None:
    stopped = in_tmp / "stopped"
    with pytest.raises(Interrupted):
        fr.train(half, short(recipe), out=stopped, should_stop=stop_after(stops[0]))
    for steps in stops[1:]:
        with pytest.raises(Interrupted, match="stopped after step"):
            fr.resume(stopped, should_stop=stop_after(steps))

    run = fr.resume(stopped)
    assert weights(run) == weights(uninterrupted[recipe])
    assert losses(run) == losses(uninterrupted[recipe])
    assert states(run) == states(uninterrupted[recipe])
    assert run.result["validation"] == uninterrupted[recipe].result["validation"]


@pytest.fixture(scope="module")
def uninterrupted(half: fr.Splits, tmp_path_factory: pytest.TempPathFactory) -> dict[str, fr.Run]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    return {name: fr.train(half, short(name), out=folder / name) for name in SHORT}


KILLED_AT_FSYNC = """
import os, signal, sys
import fittingroom as fr
real, left = os.fsync, int(sys.argv[1])
def fsync(descriptor):
    global left
    target = os.readlink(f"/proc/self/fd/{descriptor}")
    left -= "checkpoints" in target
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(descriptor)
os.fsync = fsync
fr.train(sys.argv[2], fr.load_recipe("tutorial", overrides=sys.argv[3:]), out="killed")
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="finds the file that is being synced through /proc")
# In the first checkpoint, before and after its rename; in the second; after the last, when one too many is there.
@pytest.mark.parametrize("fsync", [1, 6, *(pytest.param(fsync, marks=pytest.mark.nightly) for fsync in (4, 12))])
def test_killed_while_saving_loses_nothing(
    fsync: int, half: fr.Splits, in_tmp: Path, uninterrupted: dict[str, fr.Run]
) -> None:
    words = [str(fsync), half.source, *SHORT["tutorial"]]
    killed = subprocess.run([sys.executable, "-c", KILLED_AT_FSYNC, *words], timeout=PATIENCE, check=False)
    assert killed.returncode == -signal.SIGKILL
    run = fr.resume("killed")
    assert weights(run) == weights(uninterrupted["tutorial"])
    assert not list(run.path.rglob(".*"))  # nothing that was written half
    assert len(list(Path("killed/checkpoints").iterdir())) == run.environment.options.keep


def test_a_link_in_the_place_of_checkpoints_leads_no_training_to_those_of_another_run(
    half: fr.Splits, in_tmp: Path
) -> None:
    for name in ("mine", "sent"):
        with pytest.raises(Interrupted):
            fr.train(half, short("tutorial"), out=name, should_stop=stop_after(9))
    kept = {file: file.read_bytes() for file in Path("mine/checkpoints").rglob("*") if file.is_file()}
    shutil.rmtree("sent/checkpoints")
    Path("sent/checkpoints").symlink_to("../mine/checkpoints")

    with pytest.raises(StorageFailed, match="a folder expected, a link found"):
        fr.resume("sent")
    assert {file: file.read_bytes() for file in Path("mine/checkpoints").rglob("*") if file.is_file()} == kept


def test_a_damaged_checkpoint_is_passed_over_for_an_older_one(
    half: fr.Splits, in_tmp: Path, uninterrupted: dict[str, fr.Run]
) -> None:
    with pytest.raises(Interrupted):
        fr.train(half, short("tutorial"), out="run", should_stop=stop_after(20))

    newest = max(Path("run/checkpoints").iterdir()) / "tensors.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1] + b"?")
    with pytest.warns(UserWarning, match=r"tensors\.safetensors is damaged"):
        run = fr.resume("run")
    assert weights(run) == weights(uninterrupted["tutorial"])


def test_damaged_checkpoints_do_not_crowd_out_good_ones(tmp_path: Path) -> None:
    tensors = {"w": torch.zeros(1)}
    damaged = save_checkpoint(tmp_path, 800, tensors, {}, keep=2) / "tensors.safetensors"
    damaged.write_bytes(b"")
    for step in (100, 200, 300):
        save_checkpoint(tmp_path, step, tensors, {"at": step}, keep=2)
        newest = load_newest_checkpoint(tmp_path)
        assert newest is not None
        assert newest[1] == {"at": step}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000200", "step-00000300"]


def test_a_worker_on_a_host_with_other_data_refuses_to_train(sample: fr.Splits, in_tmp: Path) -> None:
    convert(fr.Splits(sample.train.subset(range(500))), in_tmp / "a.csv")
    begun = start("a.csv", short("plain"), out="run", options=fr.Options(cache=False))

    convert(fr.Splits(sample.train.subset(range(400))), in_tmp / "a.csv", force=True)
    elsewhere = fr.Run(begun.path)  # as Ray hands it to another process
    with pytest.raises(DataError, match="goes on only on the data that it was started with; its train set was"):
        finish(elsewhere)


def test_a_run_that_never_reached_a_checkpoint_starts_over(
    half: fr.Splits, in_tmp: Path, uninterrupted: dict[str, fr.Run]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        fr.train(half, short("tutorial"), out="run", observe=_raise_at_step(3))
    assert load_newest_checkpoint(Path("run/checkpoints")) is None
    assert weights(fr.resume("run")) == weights(uninterrupted["tutorial"])


def _raise_at_step(step: int) -> Callable[[Event], None]:
    def observe(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == step:
            raise KeyboardInterrupt

    return observe


def test_a_finished_run_is_resumed_to_itself(uninterrupted: dict[str, fr.Run]) -> None:
    run = uninterrupted["tutorial"]
    before = {file.name: file.read_bytes() for file in run.path.iterdir() if file.is_file()}
    fr.resume(run.path)
    assert {file.name: file.read_bytes() for file in run.path.iterdir() if file.is_file()} == before


def test_resume_with_a_changed_recipe_shows_the_difference(sample: fr.Splits, in_tmp: Path) -> None:
    with pytest.raises(Interrupted):
        fr.train(sample, short("tutorial"), out="run", should_stop=stop_after(1))
    file = Path("run/recipe.toml")
    file.write_text(file.read_text(encoding="utf-8").replace("lr = 0.01", "lr = 0.02"), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"stages\.0\.lr: 0\.01 → 0\.02"):
        fr.resume("run")


def test_resume_on_other_data_is_refused(sample: fr.Splits, in_tmp: Path) -> None:
    with pytest.raises(Interrupted):
        fr.train(sample, short("tutorial"), out="run", should_stop=stop_after(1))
    reversed_rows = sample.train.subset(np.arange(len(sample.train))[::-1])
    with pytest.raises(DataError, match="only on the data that it was started with"):
        fr.resume("run", data=replace(sample, train=reversed_rows))


def test_the_test_set_changes_nothing_in_the_training(
    half: fr.Splits, in_tmp: Path, uninterrupted: dict[str, fr.Run]
) -> None:
    assert half.test is not None
    upside_down = replace(half.test, images=half.test.images[:, ::-1])
    for name, test in {"without": None, "other": upside_down}.items():
        run = fr.train(replace(half, test=test), short("swift"), out=name)
        assert weights(run) == weights(uninterrupted["swift"])
        assert run.result["test"] is None


def test_training_leaves_the_callers_generator_alone(half: fr.Splits, in_tmp: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    fr.train(half, short("swift"), out="run")
    assert torch.equal(torch.rand(3), expected)


NET = """
import torch
from torch import nn


LIMIT = {limit}

class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.norm = {norm}
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.Dropout({dropout}), nn.ReLU())
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        h = self.norm(x)
        if self.training and len(x) > LIMIT:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.head(self.body(h))
"""


def _train_net(
    folder: Path, sample: fr.Splits, *, limit: int, norm: str, dropout: float = 0.0
) -> tuple[fr.Run, list[Event]]:
    net = folder / f"net{limit}.py"
    net.write_text(NET.format(limit=limit, norm=norm, dropout=dropout), encoding="utf-8")
    small = ["stages.0.epochs=2", "precision=float32", "batch_size=256"]
    recipe = fr.load_recipe("plain", overrides=[f"model='{net}:Net'", *small])
    seen: list[Event] = []
    return fr.train(sample, recipe, out=folder / f"run{limit}", observe=seen.append), seen


def test_out_of_memory_halves_the_batch_and_keeps_the_gradient(sample: fr.Splits, in_tmp: Path) -> None:
    whole, _ = _train_net(in_tmp, sample, limit=1000, norm="nn.Identity()")
    parts, events = _train_net(in_tmp, sample, limit=70, norm="nn.Identity()")
    assert [event.micro_batch for event in events if isinstance(event, MicroBatchHalved)] == [128, 64]
    for (step, one), (_, other) in zip(losses(whole), losses(parts), strict=True):
        assert one == pytest.approx(other, rel=1e-4), f"step {step}"


def test_out_of_memory_puts_back_the_buffers_that_a_failed_forward_touched(sample: fr.Splits, in_tmp: Path) -> None:
    run, _ = _train_net(in_tmp, sample, limit=128, norm="nn.BatchNorm2d(1)")
    # 1,800 images an epoch: seven batches of 256 go through in halves and the last one of 8 whole, twice.
    tensors = safetensors.numpy.load_file(run.path / "model.safetensors")
    assert tensors["norm.num_batches_tracked"] == 2 * (7 * 2 + 1)


def test_dropout_draws_are_resumed_too(sample: fr.Splits, in_tmp: Path) -> None:
    whole, _ = _train_net(in_tmp, sample, limit=1000, norm="nn.Identity()", dropout=0.5)
    named = replace(whole.recipe, model=str(whole.recipe.model))  # what a run's file names is not its user's word
    with pytest.raises(Interrupted):
        fr.train(sample, named, out="stopped", should_stop=stop_after(5))
    assert weights(fr.resume("stopped", trust_code=True)) == weights(whole)


def test_divergence_stops_with_advice_and_keeps_a_good_checkpoint(sample: fr.Splits, in_tmp: Path) -> None:
    Path("net.py").write_text(NET.format(limit=1000, norm="nn.Identity()", dropout=0.0), encoding="utf-8")
    recipe = fr.load_recipe("plain", overrides=["model=net.py:Net", "optimizer=sgd", "min_steps=0"])
    recipe = replace(recipe, stages=(fr.Stage(epochs=1, lr=1e-6), fr.Stage(epochs=1, lr=1000.0)))
    with pytest.raises(TrainingDiverged, match=r"epoch 2, step \d.*learning rate"):
        fr.train(sample, recipe, out="run")

    newest = load_newest_checkpoint(Path("run/checkpoints"))
    assert newest is not None
    assert newest[1]["progress"]["epoch"] == 1  # the good epoch is done, and nothing after it was saved
    assert all(bool(tensor.isfinite().all()) for tensor in newest[0].values())


def test_early_stop_ends_when_validation_loss_stops_falling(sample: fr.Splits, in_tmp: Path) -> None:
    recipe = fr.load_recipe(
        "plain",
        overrides=[LINEAR, "early_stop=2", "stages.0.epochs=60", "stages.0.schedule=constant", "stages.0.lr=0.02"],
    )
    seen: list[Event] = []
    fr.train(sample, recipe, out="run", observe=seen.append)

    curve = [
        event.validation_loss for event in seen if isinstance(event, EpochDone) and event.validation_loss is not None
    ]
    assert len(curve) < 60
    assert min(curve[-2:]) >= min(curve[:-2])


def test_keep_best_ships_the_epoch_with_the_best_validation_accuracy(sample: fr.Splits, in_tmp: Path) -> None:
    recipe = fr.load_recipe(
        "plain", overrides=[LINEAR, "keep=best", "stages.0.epochs=6", "stages.0.schedule=constant", "stages.0.lr=0.03"]
    )
    seen: list[Event] = []
    run = fr.train(sample, recipe, out="run", observe=seen.append)
    best = max(event.validation_accuracy or 0 for event in seen if isinstance(event, EpochDone))
    assert run.result["validation"]["accuracy"] == best


def test_a_small_training_set_keeps_four_fifths_of_its_images(sample: fr.Splits, in_tmp: Path) -> None:
    run = fr.train(sample, fr.load_recipe("swift", overrides=["stages.0.epochs=2"]), out="run")
    assert run.recipe.validation == 2000 == len(sample.train)
    assert run.result["validation"]["n"] == 400


def test_choosing_without_validation_images_is_refused(sample: fr.Splits) -> None:
    with pytest.raises(fr.RecipeError, match="keep: chooses by validation images"):
        fr.load_recipe("plain", overrides=["keep=best", "validation=0"])


def test_checkpoints_are_limited_and_none_is_left_half_written(uninterrupted: dict[str, fr.Run]) -> None:
    folder = uninterrupted["tutorial"].path / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["step-00000016", "step-00000024"]


@pytest.mark.parametrize("threads", [0, -1])
def test_a_number_of_threads_below_one_is_refused(threads: int, sample: fr.Splits, in_tmp: Path) -> None:
    with pytest.raises(RecipeError, match=f"threads: 1 or more expected, {threads} found"):
        fr.train(sample, "plain", out="run", options=fr.Options(threads=threads))
    assert not Path("run").exists()


def test_a_moving_average_keeps_the_infinities_of_a_mask(sample: fr.Splits, in_tmp: Path) -> None:
    model = f"model='{SUPPORT / 'masked_net.py'}:Masked'"
    recipe = fr.load_recipe("plain", overrides=[model, "stages.0.epochs=1", "ema=0.9", "precision=float32"])
    shipped = fr.train(sample, recipe, out="run")
    buffers = safetensors.numpy.load_file(shipped.path / "model.safetensors")
    assert buffers["mask"].tolist() == [0.5, -np.inf, np.inf]
    assert np.isfinite(buffers["layers.1.running_mean"]).all()
    assert shipped.result["validation"]["accuracy"] > 0.3


def test_what_is_said_by_keywords_is_what_the_recipe_would_say(sample: fr.Splits, in_tmp: Path) -> None:
    said = fr.train(
        sample, "plain", model="tutorial", epochs=1, lr=0.002, batch_size=100, seed=3, device="cpu", threads=1, out="a"
    )
    overrides = ["model=tutorial", "stages.0.epochs=1", "stages.0.lr=0.002", "batch_size=100", "seed=3"]
    recipe = fr.load_recipe("plain", overrides=overrides)
    written = fr.train(sample, recipe, out="b", options=fr.Options(device="cpu", threads=1))
    assert weights(said) == weights(written)
    assert said.environment.options == written.environment.options


def test_a_keyword_that_nothing_knows_makes_no_run(sample: fr.Splits, in_tmp: Path) -> None:
    with pytest.raises(RecipeError, match="thread: unknown; did you mean threads"):
        fr.train(sample, thread=1)
    with pytest.raises(RecipeError, match="model: from_run takes the network of a run"):
        fr.train(sample, from_run=fr.train(sample, "plain", model="tutorial", epochs=1, out="one"), model="residual")
    assert [path.name for path in in_tmp.iterdir()] == ["one"]


def test_a_model_alone_is_trained_by_the_recipe_for_models(sample: fr.Splits, in_tmp: Path) -> None:
    run = fr.train(sample, model="tutorial", epochs=1, precision="float32")
    assert (run.path, run.recipe.optimizer) == (Path("runs/plain-1"), fr.load_recipe("plain").optimizer)


def test_without_a_recipe_the_keys_say_how_pictures_are_read(sample: fr.Splits, in_tmp: Path) -> None:
    run = fr.train("sample", size=(14, 14), epochs=1, precision="float32")
    assert run.artifact.image_size == (14, 14)
