"""``fittingroom bench`` as its users call it, on the sample."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import fittingroom as fr
from fittingroom.bench import NOTEBOOK_EPOCHS, Notebook, NotebookData
from fittingroom.cli import main
from fittingroom.data.normalization import Normalization
from fittingroom.models.tutorial_cnn import TutorialCNN
from fittingroom.training.inference import predict_dataset
from tests.support.bench_figures import MEASURED

QUICK_RECIPE = """
model = "tutorial"
precision = "float32"
validation = 100
[[stages]]
epochs = 1
lr = 0.01
"""


@pytest.fixture(scope="module")
def benched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the command was run once, with what it said as JSON."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "quick.toml").write_text(QUICK_RECIPE, encoding="utf-8")
    sample = fr.open_dataset("sample")
    assert sample.test is not None
    fr.convert(fr.Splits(sample.train[:500], test=sample.test[:200]), folder / "few.npz")
    with pytest.MonkeyPatch.context() as patch, (folder / "figures.json").open("w", encoding="utf-8") as out:
        patch.chdir(folder)
        patch.setattr("sys.stdout", out)
        assert main(["bench", "few.npz", "--recipe", "quick.toml", "--json"]) == 0
    return folder


def test_everything_follows_from_what_was_measured(benched: Path) -> None:
    said = json.loads((benched / "figures.json").read_text(encoding="utf-8"))
    notebook, train = said["notebook"], said["train"]
    assert notebook["epoch"]["images"] == 500
    assert notebook["scaled_seconds"] == 80 * notebook["epoch"]["seconds"]
    assert train["share_of_notebook"] == train["process_seconds"] / notebook["scaled_seconds"]
    assert said["evaluation"]["images"] == notebook["evaluation"]["images"] == 200
    for ours, theirs in ((said["evaluation"], notebook["evaluation"]), (said["epoch"]["float32"], notebook["epoch"])):
        assert ours["images_per_second"] == ours["images"] / ours["seconds"]
        assert ours["times_notebook"] == theirs["seconds"] / ours["seconds"]


def test_the_whole_training_is_a_run_like_any_other(benched: Path) -> None:
    said = json.loads((benched / "figures.json").read_text(encoding="utf-8"))["train"]
    run = fr.open_run(benched / said["run"])
    assert run.result == said["result"]
    assert run.result["test"]["n"] == 200
    assert run.result["total_seconds"] < said["process_seconds"]
    looks = (benched / "runs" / "test-looks.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(looks) == 1


def test_the_table_shows_the_figures_and_says_what_was_scaled(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fittingroom.bench.bench", lambda *_: MEASURED)
    assert main(["bench", "sample"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    numbers = [row[-3:] for row in rows]
    assert ["12.00", "5,000", "1.0"] in numbers
    assert ["8.00", "7,500", "1.5"] in numbers
    assert ["4.00", "15,000", "3.0"] in numbers
    assert ["0.50", "20,000", "4.0"] in numbers
    said = [" ".join(row) for row in rows]
    assert "the notebook's 80 epochs (one, scaled by 80) 960.00 1.0" in said
    assert "fittingroom train --recipe swift (whole process) 9.60 100.0" in said
    assert any(line.startswith("swift: accuracy 91.70% on 10,000 test images") for line in said)
    assert "The notebook's 80 epochs were not run: its time is that of its first epoch, times 80." in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere/"], "nowhere/: no such file or folder"),
        (["sample", "--recipe", "swfit"], "did you mean swift?"),
    ],
)
def test_a_mistake_is_told_before_anything_is_measured(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fittingroom.bench.Notebook.train_epoch", None)
    assert main(["bench", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not Path("runs").exists()


def test_a_training_that_fails_is_told_with_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lost.toml").write_text(QUICK_RECIPE.replace("tutorial", "lost.py:Net"), encoding="utf-8")
    assert main(["bench", "sample", "--recipe", "lost.toml"]) == 2
    assert "model lost.py:Net: Python source expected" in capsys.readouterr().err


def test_the_notebook_is_fed_as_it_feeds_itself() -> None:
    images = np.arange(2 * 28 * 28).reshape(2, 28, 28) % 256
    loader = NotebookData(images.astype(np.uint8), np.array([3, 7])).loader(shuffle=False)
    ((batch, labels),) = list(loader)
    assert batch.dtype == torch.float64
    assert batch.shape == (2, 1, 28, 28)
    assert (batch[:, 0].numpy() == images).all()
    assert labels.tolist() == [3, 7]
    assert loader.batch_size == 256


def test_the_notebooks_loops_learn_and_count_every_image() -> None:
    data = fr.open_dataset("sample")
    assert data.train.labels is not None
    torch.manual_seed(0)
    notebook = Notebook()
    assert isinstance(notebook.network, TutorialCNN)
    train = NotebookData(data.train.images[:600], data.train.labels[:600])
    losses = [notebook.train_epoch(train.loader(shuffle=True)) for _ in range(4)]
    assert [len(epoch) for epoch in losses] == [3, 3, 3, 3]  # the short last batch too
    assert losses[3][-1] < losses[0][0]
    share = notebook.evaluate(train.loader(shuffle=False))
    judged = data.train.subset(range(600))
    predictions = predict_dataset(notebook.network, judged, Normalization(0.0, 1.0))
    assert share == (predictions.predicted == judged.labels).mean()


def test_the_notebook_has_eighty_epochs() -> None:
    assert NOTEBOOK_EPOCHS == 80
