"""What the model says while it learns: stored for the page, and of no effect on what is learned."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import fittingroom as fr
from fittingroom.data.normalization import normalization_of
from fittingroom.errors import ArtifactError
from fittingroom.evaluation.snapshot import FILE, MAX_IMAGES, Chosen, read_snapshot
from fittingroom.training import snapshots
from tests.support import NARROW

pytestmark = pytest.mark.usefixtures("own_folder")


def train(out: str, *overrides: str, watch: bool, seed: int = 0) -> fr.Run:
    """Two epochs of 25 steps, of 600 images, 200 of which are held out."""
    small = ["stages.0.epochs=2", "precision=float32", "validation=200", "batch_size=16"]
    recipe = fr.load_recipe("plain", overrides=[*small, *overrides])
    return fr.train(
        fr.open_dataset("sample").train[:600], recipe, seed=seed, out=out, watch=watch, options=fr.Options(threads=1)
    )


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a training stored in the end."""
    run = train(str(tmp_path_factory.mktemp("stored") / "run"), "stages.0.epochs=1", watch=True)
    return (run.path / FILE).read_text()


def state_hashes(run: fr.Run) -> list[str]:
    return [event["state_sha256"] for event in run.events if event["event"] == "epoch"]


@pytest.mark.parametrize(
    "overrides", [(), ("ema=0.99", "model='tutorial'", "mirror='random'")], ids=["plain", "average"]
)
def test_a_training_that_is_watched_comes_to_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...]
) -> None:
    unwatched = train("unwatched", *overrides, watch=False)
    monkeypatch.setattr(snapshots, "SECONDS", 0.0)  # after each step
    monkeypatch.setattr(snapshots, "SHARE", 1e9)
    asked: list[None] = []
    take = snapshots.Snapshots.take
    monkeypatch.setattr(snapshots.Snapshots, "take", lambda *given: asked.append(take(*given)))
    watched = train("watched", *overrides, watch=True)

    assert len(asked) > 40
    assert state_hashes(watched) == state_hashes(unwatched)
    weights = [(run.path / "model.safetensors").read_bytes() for run in (watched, unwatched)]
    assert weights[0] == weights[1]
    assert watched.result["validation"]["loss"] == unwatched.result["validation"]["loss"]
    assert not (unwatched.path / FILE).exists()


def test_what_a_network_moves_while_it_is_asked_is_put_back() -> None:
    class Moving(nn.Module):
        """Counts its calls in a buffer and draws at random, in evaluation mode too."""

        calls: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.asked = 0
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
            self.asked += 1
            self.calls += 1
            return torch.rand(len(x_NCHW), 10)

    splits = fr.open_dataset("sample")
    made = snapshots.Snapshots(
        Path(FILE), splits.train, normalization_of("standard", splits.train), device=torch.device("cpu")
    )
    network = Moving().train()
    before = torch.get_rng_state()
    made.take(network, 1)
    assert network.asked
    assert network.calls == 0
    assert torch.equal(torch.get_rng_state(), before)
    assert network.training


def test_the_last_one_is_what_the_validation_at_the_end_says() -> None:
    run = train("last", watch=True)
    said, answers = read_snapshot(run.path / FILE), run.result["validation"]
    epochs = [event for event in run.events if event["event"] == "epoch"]
    assert said["step"] == epochs[-1]["step"]
    assert said["matrix"] is not None
    counts = np.array(said["matrix"]["counts"])
    assert said["matrix"]["n"] == counts.sum() == answers["n"]  # 200: all of them
    assert np.trace(counts) / answers["n"] == pytest.approx(epochs[-1]["validation_accuracy"])

    labels = [example["label"] for example in said["examples"]]
    assert labels == [*range(10), *range(10)]  # two of each class
    assert all(example["image"].startswith("data:image/png;base64,") for example in said["examples"])


def test_the_same_images_are_chosen_and_a_rare_class_is_among_them() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3_000, 8, 8), np.uint8)
    labels = np.zeros(3_000, np.int64)
    labels[2_990:] = 1
    chosen = [Chosen.of(images, labels, ("common", "rare"), None) for _ in range(2)]
    assert (chosen[0].rows == chosen[1].rows).all()
    assert len(chosen[0].rows) == MAX_IMAGES
    assert (chosen[0].labels[:20] == 1).sum() == 10
    assert chosen[0].pictures == chosen[1].pictures


def test_it_costs_no_more_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that takes a second for twenty images is asked every hundred seconds, for those alone."""
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    splits = fr.open_dataset("sample")
    normalization = normalization_of("standard", splits.train)
    made = snapshots.Snapshots(Path(FILE), splits.train, normalization, device=None)  # type: ignore[arg-type]
    asked: list[int] = []

    def ask(_model: object, images: fr.Dataset) -> np.ndarray:
        asked.append(len(images))
        clock[0] += 0.05 * len(images)
        return np.full((len(images), 10), 0.1, np.float32)

    monkeypatch.setattr(made, "_ask", ask)
    made.take(None, 0)  # type: ignore[arg-type]
    assert asked == [20]
    assert read_snapshot(Path(FILE))["matrix"] is None
    due = []
    for seconds in (99, 2):
        clock[0] += seconds
        due.append(made.is_due)
    assert due == [False, True]

    # What an epoch's end knows costs nothing: two seconds are enough.
    probabilities = np.full((len(splits.train), 10), 0.1, np.float32)
    made.take_from(probabilities, 5, is_last=False)
    assert read_snapshot(Path(FILE))["step"] == 5
    made.take_from(probabilities, 6, is_last=False)
    assert read_snapshot(Path(FILE))["step"] == 5
    made.take_from(probabilities, 6, is_last=True)
    assert read_snapshot(Path(FILE))["step"] == 6
    assert asked == [20]


def test_a_file_that_cannot_be_written_takes_no_training_along() -> None:
    Path("full").mkdir()
    recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=1", "precision=float32", NARROW])

    def in_the_way(event: object) -> None:
        if type(event).__name__ == "WatchedAt":
            Path("full", FILE).mkdir()

    with pytest.warns(UserWarning, match=r"watch\.json can't be written"):
        run = fr.train(
            fr.open_dataset("sample").train[:600],
            recipe,
            out="full",
            watch=True,
            observe=in_the_way,
            options=fr.Options(threads=1),
        )
    assert run.is_finished


@pytest.mark.parametrize(
    "change",
    [
        {"classes": ["one"]},
        {"format": 2},
        {"examples": [{"image": "http://evil.example/a.png", "label": 0, "file": None, "predicted": 0}]},
        {"matrix": {"step": 0, "n": 1, "counts": [[1]]}},
        {"step": -1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_file_from_a_stranger_is_refused(stored: str, change: dict[str, object]) -> None:
    Path(FILE).write_text(stored)
    assert read_snapshot(Path(FILE))["step"] > 0
    Path(FILE).write_text(json.dumps(json.loads(stored) | change))
    with pytest.raises(ArtifactError, match=FILE):
        read_snapshot(Path(FILE))


@pytest.mark.parametrize("validation", [2, 12])
def test_a_training_whose_few_validation_images_are_all_shown_is_watched(validation: int) -> None:
    recipe = fr.load_recipe(
        "plain", overrides=["stages.0.epochs=1", "precision=float32", "min_steps=0", f"validation={validation}"]
    )
    data = fr.open_dataset("sample").train[:100]
    run = fr.train(data, recipe, out="few", watch=True, options=fr.Options(threads=1))
    assert 0 < len(read_snapshot(run.path / FILE)["examples"]) <= validation
    assert run.is_finished
