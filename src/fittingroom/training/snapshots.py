"""What the model says of a few validation images while it learns, written down for whoever watches.

It is asked in evaluation mode and draws no random numbers: a training that is watched comes to the same bits.
"""

from __future__ import annotations

import math
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fittingroom.data.dataset import Dataset
from fittingroom.data.normalization import Normalization
from fittingroom.evaluation.snapshot import MAX_CLASSES, Chosen, Matrix, write_snapshot
from fittingroom.training.inference import labels_to_judge_by, predict_dataset

SECONDS = 2.0  # between two of them, at least
SHARE = 0.01  # of the time from one asking to the next that asking takes, by the fastest one so far
MATRIX_SECONDS = 0.2  # that an asking may take; where all images take more, the matrix is that of an epoch's end


class Snapshots:
    """Writes what the model says, now and then, and gives up with a warning where it can't be written.

    Args:
        file: that is written.
        validation_set: labelled.
        normalization: as in the training.
        device: where the model is.
    """

    def __init__(self, file: Path, validation_set: Dataset, normalization: Normalization, device: torch.device):
        self.file, self.normalization, self.device = file, normalization, device
        labels = labels_to_judge_by(validation_set)
        self.chosen = Chosen.of(validation_set.images, labels, validation_set.classes, validation_set.files)
        count = len(self.chosen.pictures)
        self.examples = validation_set.subset(self.chosen.rows[:count])
        others = self.chosen.rows[count:]
        self.others = validation_set.subset(others) if len(others) else None  # few images are all examples
        self.matrix: Matrix | None = None
        self.seconds_an_image = math.inf  # the least so far: the first asking allocates memory
        self.written = -math.inf
        self.due = -math.inf
        self.failed = False

    @property
    def is_due(self) -> bool:
        """Whether it is time to ask the model."""
        return not self.failed and time.perf_counter() >= self.due

    def take(self, model: nn.Module, step: int) -> None:
        """Ask the model, and write what it says after ``step`` steps."""
        started = time.perf_counter()
        probability_NC = self._ask(model, self.examples)
        spent = time.perf_counter() - started
        self.seconds_an_image = min(self.seconds_an_image, spent / len(self.examples))

        asked, left = len(self.examples), 0 if self.others is None else len(self.others)
        if self.seconds_an_image * left <= MATRIX_SECONDS:
            others = [] if self.others is None else [self._ask(model, self.others)]
            self._count(np.concatenate([probability_NC, *others]), step)
            asked += left

        # The longer it takes, the less often it is asked: no more than a small share of the training's time.
        self._write(probability_NC, step)
        self.due = self.written + max(SECONDS, self.seconds_an_image * asked / SHARE)

    def take_from(self, probability_NC: NDArray[np.float32], step: int, *, is_last: bool) -> None:
        """Write what an epoch's end knows of the whole validation set already, if it is time or the last epoch's."""
        if self.failed or not (is_last or time.perf_counter() >= self.written + SECONDS):
            return
        chosen_NC = probability_NC[self.chosen.rows]
        self._count(chosen_NC, step)
        self._write(chosen_NC[: len(self.examples)], step)
        self.due = max(self.due, self.written + SECONDS)

    def _ask(self, model: nn.Module, images: Dataset) -> NDArray[np.float32]:
        """The model's probabilities; whatever a forward pass may move, random numbers and buffers, is put back."""
        buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            predictions = predict_dataset(model, images, self.normalization, device=self.device)
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        return predictions.probabilities

    def _count(self, probability_NC: NDArray[np.float32], step: int) -> None:
        if len(self.chosen.classes) <= MAX_CLASSES:
            counts = self.chosen.counts(probability_NC.argmax(axis=1))
            self.matrix = Matrix(step=step, n=len(probability_NC), counts=counts)

    def _write(self, probability_NC: NDArray[np.float32], step: int) -> None:
        try:
            write_snapshot(self.file, self.chosen, step, probability_NC, self.matrix)
        except OSError as error:  # a picture for the page is not worth a training
            self.failed = True
            warnings.warn(f"{self.file} can't be written, so the page shows no answers: {error.strerror}", stacklevel=2)
        self.written = time.perf_counter()
