"""This machine's own figures: the tutorial notebook's loop beside ours, and a whole training beside its 80 epochs.

:class:`NotebookData` and :class:`Notebook` do exactly the notebook's work, in our own words: images as float64, handed
out one by one to a DataLoader, batches of 256, Adam, float32. (It prints each hundredth loss too: that costs nothing.)
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader

from fittingroom.data.dataset import Dataset
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError, FittingRoomError
from fittingroom.models import find_model
from fittingroom.models.tutorial_cnn import TutorialCNN
from fittingroom.recipes.changes import with_epochs
from fittingroom.recipes.reading import load_recipe
from fittingroom.training.device import pick_device
from fittingroom.training.fit import fit
from fittingroom.training.inference import predict_dataset
from fittingroom.training.precision import resolve_precision

NOTEBOOK_STAGES = ((50, 0.01), (20, 0.001), (10, 0.001))  # epochs and learning rate, each with a fresh Adam
NOTEBOOK_EPOCHS = sum(epochs for epochs, _lr in NOTEBOOK_STAGES)
NOTEBOOK_BATCH = 256


class NotebookData(torch.utils.data.Dataset[tuple[NDArray[np.float64], np.int64]]):
    """Images as the notebook keeps them, float64 (N, C, H, W) of 0–255, and hands them out: one at a time."""

    def __init__(self, images: NDArray[Any], labels_N: NDArray[np.int64]):
        images_NCHW = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
        self.images_NCHW = images_NCHW.astype(np.float64, order="C")
        self.labels_N = labels_N

    def __len__(self) -> int:
        return len(self.images_NCHW)

    def __getitem__(self, row: int) -> tuple[NDArray[np.float64], np.int64]:
        return self.images_NCHW[row], self.labels_N[row]

    def loader(self, *, shuffle: bool) -> DataLoader[Any]:
        """Make the notebook's DataLoader over these images: shuffled to train on, in file order to be judged on."""
        return DataLoader(self, batch_size=NOTEBOOK_BATCH, shuffle=shuffle)


class Notebook:
    """The notebook's network, loss and optimizer, and its loops over a DataLoader of :class:`NotebookData`."""

    def __init__(
        self,
        num_classes: int = 10,
        image_size: tuple[int, int] = (28, 28),
        device: str = "cpu",
        *,
        channels: int = 1,
    ):
        self.device = device
        self.network = TutorialCNN(num_classes, image_size, channels).to(device)
        self.criterion = nn.CrossEntropyLoss().to(device)
        self.start_stage(NOTEBOOK_STAGES[0][1])

    def start_stage(self, lr: float) -> None:
        """Continue with a fresh Adam of this learning rate."""
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=lr)

    def train_epoch(self, loader: DataLoader[Any]) -> list[float]:
        """Take one pass over the loader, and give the loss of each step."""
        self.network.train()
        losses = []
        for images, labels in loader:
            x_NCHW = images.float().to(self.device)
            y_N = labels.to(self.device)
            self.optimizer.zero_grad()
            loss = self.criterion(self.network(x_NCHW), y_N)
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
        return losses

    def evaluate(self, loader: DataLoader[Any]) -> float:
        """Give the accuracy in 0–1. Gradients are recorded and thrown away, as in the notebook."""
        self.network.eval()
        correct = total = 0
        for images, labels in loader:
            logits_NC = self.network(images.float().to(self.device)).cpu()
            total += len(labels)
            correct += int((logits_NC.detach().argmax(dim=1) == labels).sum())
        return correct / total


@dataclass(frozen=True)
class Pass:
    """One pass over ``images`` images, which took ``seconds`` of wall time."""

    images: int
    seconds: float

    @property
    def images_per_second(self) -> float:
        """Images divided by seconds."""
        return self.images / self.seconds


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What :func:`bench` measured, each once.

    Attributes:
        machine: processor, cores, threads and the like; see :func:`fittingroom.environment.describe_machine`.
        notebook_epoch, notebook_evaluation: the notebook's loops.
        epochs: ours with the same network, batch and optimizer, by precision.
        evaluation: ours of the same images as ``notebook_evaluation``.
        recipe: what the whole training was of.
        process_seconds: wall time of the whole process ``fittingroom train``, from its start to its exit.
        result: its ``result.json``.
        run: the folder that it left.
    """

    machine: dict[str, Any]
    notebook_epoch: Pass
    notebook_evaluation: Pass
    epochs: dict[str, Pass]
    evaluation: Pass
    recipe: str
    process_seconds: float
    result: dict[str, Any]
    run: Path

    @property
    def notebook_seconds(self) -> float:
        """The notebook's 80 epochs, scaled from the one that was run."""
        return NOTEBOOK_EPOCHS * self.notebook_epoch.seconds

    @property
    def share(self) -> float:
        """The whole process as a share of the notebook's 80 epochs."""
        return self.process_seconds / self.notebook_seconds

    def as_dict(self) -> dict[str, Any]:
        """Give plain values: seconds, images a second, and each of our figures as a multiple of the notebook's."""
        return {
            "machine": self.machine,
            "notebook": {
                "epoch": _plain(self.notebook_epoch),
                "evaluation": _plain(self.notebook_evaluation),
                "epochs": NOTEBOOK_EPOCHS,
                "scaled_seconds": self.notebook_seconds,
            },
            "epoch": {name: _plain(ours, self.notebook_epoch) for name, ours in self.epochs.items()},
            "evaluation": _plain(self.evaluation, self.notebook_evaluation),
            "train": {
                "recipe": self.recipe,
                "process_seconds": self.process_seconds,
                "share_of_notebook": self.share,
                "run": str(self.run),
                "result": self.result,
            },
        }


def bench(source: str, data: Splits, recipe: str = "swift") -> Figures:
    """Measure on this machine; with Fashion-MNIST on two CPU cores, about a minute for the recipe ``swift``.

    Args:
        source: the name or path that ``data`` was opened from: the whole process opens it again, from the cache.
        data: labelled; judged on its test set, on the training images where it has none.
        recipe: of the whole training, a name or a path. The run stays in ``runs/``, as after any training.

    Raises:
        DataError: there are no labels.
        RecipeError: the recipe is unknown or wrong.
        FittingRoomError: ``fittingroom train`` failed, with what it said.
    """
    from fittingroom.environment import describe_machine

    # What is wrong with recipe or data is said now, not after the notebook's minute.
    load_recipe(recipe)
    train_set, judged = data.train, data.test or data.train
    if train_set.labels is None or judged.labels is None:
        raise DataError(f"{source}: labels expected, none found: training and judging need them")

    # The notebook goes first: our training changes settings of the process, which would help it too.
    device = pick_device("auto")
    notebook = Notebook(train_set.num_classes, train_set.image_size, device, channels=train_set.channels)
    loader = NotebookData(train_set.images, train_set.labels).loader(shuffle=True)
    notebook_epoch = _timed(len(train_set), lambda: notebook.train_epoch(loader))
    judged_loader = NotebookData(judged.images, judged.labels).loader(shuffle=False)
    notebook_evaluation = _timed(len(judged), lambda: notebook.evaluate(judged_loader))

    process_seconds, run = _train_in_a_process(source, recipe)
    epochs, evaluation = _ours(train_set, judged, device)
    return Figures(
        machine=describe_machine(device).as_dict() | {"torch": torch.__version__},
        notebook_epoch=notebook_epoch,
        notebook_evaluation=notebook_evaluation,
        epochs=epochs,
        evaluation=evaluation,
        recipe=recipe,
        process_seconds=process_seconds,
        result=json.loads((run / "result.json").read_text(encoding="utf-8")),
        run=run,
    )


def _ours(train_set: Dataset, judged: Dataset, device: str) -> tuple[dict[str, Pass], Pass]:
    """An epoch of the recipe ``tutorial`` in float32 and, if it is another, in the precision that ``auto`` finds."""
    # The recipe of the notebook's own network, batch and optimizer: only the loop differs.
    recipe = with_epochs(load_recipe("tutorial", overrides=["precision='auto'"]), 1)
    auto = resolve_precision(
        recipe,
        find_model(recipe.model),
        train_set.num_classes,
        train_set.image_size,
        device,
        channels=train_set.channels,
    ).name

    epochs = {}
    for precision in dict.fromkeys(("float32", auto)):
        fitted = fit(Splits(train_set), recipe, device=device, precision=precision)
        epochs[precision] = Pass(len(train_set), fitted.seconds)

    network, normalization = fitted.network, fitted.normalization
    evaluation = _timed(
        len(judged), lambda: predict_dataset(network, judged, normalization, device=torch.device(device))
    )
    return epochs, evaluation


def _train_in_a_process(data: str, recipe: str) -> tuple[float, Path]:
    """Seconds of a whole ``fittingroom train``, and the folder of its run."""
    Path("runs").mkdir(exist_ok=True)
    run = Path(tempfile.mkdtemp(prefix=f"bench-{Path(recipe).stem}-", dir="runs"))
    command = [sys.executable, "-m", "fittingroom", "train", data, "--recipe", recipe, "--out", str(run), "--quiet"]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise FittingRoomError(f"`{' '.join(command[2:])}` failed: {done.stderr.strip()}")
    return seconds, run


def _timed(images: int, work: Callable[[], object]) -> Pass:
    """Do the work on ``images`` images, and time it."""
    start = time.perf_counter()
    work()
    return Pass(images, time.perf_counter() - start)


def _plain(measured: Pass, notebook: Pass | None = None) -> dict[str, float]:
    """A pass as plain values, beside the notebook's where there is one."""
    values = {
        "images": measured.images,
        "seconds": measured.seconds,
        "images_per_second": measured.images_per_second,
    }
    return values | ({"times_notebook": notebook.seconds / measured.seconds} if notebook else {})
