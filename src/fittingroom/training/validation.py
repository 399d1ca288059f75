"""The validation images of a training: how good the network is on them, and what it says of a few while it learns."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from fittingroom.data.dataset import Dataset
from fittingroom.data.normalization import Normalization
from fittingroom.evaluation.metrics import score
from fittingroom.evaluation.predictions import Predictions
from fittingroom.training.context import TrainContext
from fittingroom.training.inference import labels_to_judge_by, predict_dataset
from fittingroom.training.snapshots import Snapshots


class Validation:
    """Judges a network while it is trained.

    Args:
        dataset: the images that were held out, labelled.
        normalization: as in the training.
        context: where the network is, which processes share the work, and where snapshots go, if anywhere.
    """

    def __init__(self, dataset: Dataset, normalization: Normalization, context: TrainContext):
        self.dataset, self.normalization, self.group = dataset, normalization, context.group
        self.device = torch.device(context.device)
        self.snapshots = None
        if context.snapshot_file is not None:
            self.snapshots = Snapshots(context.snapshot_file, dataset, normalization, self.device)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.dataset)

    def judge(self, network: nn.Module) -> tuple[Predictions, dict[str, Any]]:
        """What the network says of all images, and its scores, see :func:`fittingroom.evaluation.metrics.score`."""
        predictions = predict_dataset(network, self.dataset, self.normalization, device=self.device, group=self.group)
        return predictions, score(predictions.probabilities, labels_to_judge_by(self.dataset), self.dataset.classes)

    def take_snapshot(self, network: nn.Module, step: int) -> None:
        """Ask the network about a few images after ``step`` steps, if anybody watches and it is time."""
        if self.snapshots is not None and self.snapshots.is_due:
            self.snapshots.take(network, step)

    def take_snapshot_of(self, predictions: Predictions, step: int, *, is_last: bool) -> None:
        """Write what :meth:`judge` said, if anybody watches and it is time; after the last epoch in any case."""
        if self.snapshots is not None:
            self.snapshots.take_from(predictions.probabilities, step, is_last=is_last)
