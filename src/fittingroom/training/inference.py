"""A model's probabilities on a data set, every example once, in float32, and the file that keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fittingroom.data.dataset import Dataset
from fittingroom.data.normalization import Normalization
from fittingroom.errors import DataError
from fittingroom.evaluation.metrics import score
from fittingroom.files.atomic import atomic_write
from fittingroom.models.tensors import as_tensor, normalize
from fittingroom.parallel.process_group import ALONE, ProcessGroup


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model says of a data set: float32 probabilities (N, C), rows as in ``dataset``."""

    dataset: Dataset
    probabilities: NDArray[np.float32]

    def scores(self) -> dict[str, Any]:
        """See :func:`fittingroom.evaluation.metrics.score`. Raises :class:`DataError` for a data set without labels."""
        if self.dataset.labels is None:
            raise DataError(f"{self.dataset.name}: labels expected, none found: nothing to judge by")
        return score(self.probabilities, self.dataset.labels, self.dataset.classes)

    def save(self, path: Path) -> None:
        """Parquet, a row an image: ``image`` (SHA-256 of shape and pixels), ``row``, ``label``, ``predicted``, ``p0``…

        Labels and predictions are class names; ``p<i>`` is the probability of class i as listed in the run's
        ``config.json``.
        """
        import polars as pl

        classes = np.array(self.dataset.classes)
        columns: dict[str, Any] = {
            "image": [digest.hex() for digest in self.dataset.image_hashes()],
            "row": np.arange(len(self.dataset), dtype=np.int32),
            "label": None if self.dataset.labels is None else classes[self.dataset.labels],
            "predicted": classes[self.probabilities.argmax(axis=1)],
        }
        columns |= {f"p{i}": column for i, column in enumerate(self.probabilities.T)}
        with atomic_write(path) as file:
            pl.DataFrame(columns).write_parquet(file, metadata={"format": "1"})


@torch.inference_mode()
def predict_dataset(
    model: nn.Module,
    dataset: Dataset,
    normalization: Normalization,
    *,
    device: torch.device | None = None,
    batch_size: int = 250,
    group: ProcessGroup = ALONE,
) -> Predictions:
    """Run ``model`` in evaluation mode over every image, the last short batch too, in float32.

    Args:
        model: maps float32 (N, 1, H, W) to logits (N, C); its training mode is restored afterwards.
        dataset: with or without labels.
        normalization: as in the model's training.
        device: where ``model`` is; the CPU by default.
        batch_size: images at once; the result doesn't depend on it beyond float32 rounding. At 250 the feature maps of
            small networks stay below 32 MiB, above which glibc maps fresh pages for each: at 1,000, the tutorial's
            network takes 2.6 times as long.
        group: the processes that share the work, batch by batch; each of them gets all the probabilities.
    """
    was_training = model.training
    model.eval()
    images_NHW = as_tensor(dataset.images)
    parts = []
    for turn, batch in enumerate(images_NHW.split(batch_size)):
        if turn % group.size != group.rank:
            parts.append(torch.zeros(len(batch), dataset.num_classes))  # what another process adds
            continue
        x_NCHW = normalize(batch.to(device or "cpu"), normalization.mean, normalization.std)
        parts.append(model(x_NCHW).float().softmax(dim=1).cpu())
    model.train(was_training)
    probabilities_NC = torch.cat(parts)
    group.all_reduce([probabilities_NC], [])
    return Predictions(dataset, probabilities_NC.numpy())
