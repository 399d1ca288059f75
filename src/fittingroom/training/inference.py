"""A network's probabilities on a data set, every example once, in float32."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fittingroom.data.cut import groups_for_intervals
from fittingroom.data.dataset import Dataset
from fittingroom.data.normalization import Normalization
from fittingroom.errors import DataError
from fittingroom.evaluation.predictions import JudgedPredictions, Predictions
from fittingroom.models.ambient import as_first_set
from fittingroom.models.tensors import as_tensor, normalize
from fittingroom.parallel.process_group import ALONE, ProcessGroup
from fittingroom.training.turns import computes_here

BATCH = 250  # images at once, up to 64×64 pixels


@as_first_set()
@torch.inference_mode()
def predict_dataset(
    model: nn.Module,
    dataset: Dataset,
    normalization: Normalization,
    *,
    device: torch.device | None = None,
    batch_size: int | None = None,
    group: ProcessGroup = ALONE,
) -> Predictions:
    """Run ``model`` in evaluation mode over every image, the last short batch too, in float32.

    Args:
        model: maps float32 (N, C, H, W) to logits (N, C); its training mode is restored afterwards.
        dataset: with or without labels.
        normalization: as in the model's training.
        device: where ``model`` is; the CPU by default.
        batch_size: images at once; the result doesn't depend on it beyond float32 rounding. None: see
            :func:`batch_size_for`.
        group: the processes that share the work, batch by batch; each of them gets all the probabilities.

    Raises:
        FittingRoomError: in a process that was forked from one in which PyTorch computed.
    """
    computes_here()
    was_training = model.training
    model.eval()

    parts = []
    for turn, batch in enumerate(as_tensor(dataset.images).split(batch_size or batch_size_for(dataset.image_size))):
        if turn % group.size != group.rank:
            parts.append(torch.zeros(len(batch), dataset.num_classes))  # what another process adds
            continue
        x_NCHW = normalize(batch.to(device or "cpu"), normalization.mean, normalization.std)
        parts.append(model(x_NCHW).float().softmax(dim=1).cpu())
    model.train(was_training)

    # Each process has zeros where another has probabilities, so that their sum is all of them.
    probabilities_NC = torch.cat(parts)
    group.all_reduce([probabilities_NC], [])
    return Predictions.of(probabilities_NC.numpy())


def batch_size_for(image_size: tuple[int, int]) -> int:
    """Images of this size that are predicted at once: 250, of more than 64×64 pixels as many as have so many pixels.

    At 250 the feature maps of small networks on 28×28 pixels stay below 32 MiB, above which glibc maps fresh pages for
    each: at 1,000, the tutorial's network takes 2.6 times as long. Of large images memory is the limit: 16 maps of 250
    images of 256×256 pixels are a gigabyte.
    """
    return max(1, min(BATCH, BATCH * 64 * 64 // math.prod(image_size)))


def judge(predictions: Predictions, dataset: Dataset) -> JudgedPredictions:
    """Put the predictions of a labelled data set beside the truth. Raises :class:`DataError` where it has no labels."""
    return JudgedPredictions(
        predictions.probabilities,
        predictions.predicted,
        classes=dataset.classes,
        truth=labels_to_judge_by(dataset),
        images=tuple(digest.hex() for digest in dataset.image_hashes()),
        files=dataset.files,
        sources=None if dataset.sources is None else tuple(source.hex() for source in dataset.sources),
        groups=groups_for_intervals(dataset),
    )


def labels_to_judge_by(dataset: Dataset) -> NDArray[np.int64]:
    """The labels of a data set. Raises :class:`DataError` where it has none."""
    if dataset.labels is None:
        raise DataError(f"{dataset.name}: labels expected, none found: nothing to judge by")
    return dataset.labels
