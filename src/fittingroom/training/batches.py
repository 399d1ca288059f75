"""The loader: the whole data set is one uint8 tensor on the device, and batches are taken from it there.

A large one (:mod:`fittingroom.data.large`) stays where it is, usually in a file, and only its batches go to the
device. They are drawn by a block shuffle, which reads the file in pieces; balanced by class they are read one by one.

Order and augmentation derive from (seed, epoch, step) and from nothing else, so a run that is resumed in mid-epoch sees
what it would have seen, and two runs of one seed see the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from fittingroom.data.dataset import Dataset
from fittingroom.data.large import is_large, read_ahead
from fittingroom.data.normalization import Normalization
from fittingroom.errors import DataError
from fittingroom.models.tensors import as_tensor, standardize_
from fittingroom.parallel.process_group import ALONE, ProcessGroup
from fittingroom.recipes.recipe import Recipe
from fittingroom.training.augment import resize
from fittingroom.training.augmentation import Augmentation
from fittingroom.training.balance import balanced_order
from fittingroom.training.block_shuffle import block_shuffle, in_batches
from fittingroom.training.seeds import generator


class Batches:
    """Endless epochs of augmented, normalised batches.

    Args:
        dataset: the training set, labelled.
        recipe: batch size, augmentation, image sizes and seed are taken from it.
        normalization: applied after the augmentation.
        device: where the images of a set that is not large are kept, and batches are made.
        group: the processes that share each batch. Order and augmentation are those of the whole batch, of which this
            process makes its shard.
    """

    def __init__(
        self,
        dataset: Dataset,
        recipe: Recipe,
        normalization: Normalization,
        device: torch.device,
        group: ProcessGroup = ALONE,
    ):
        if dataset.labels is None:
            raise DataError(f"{dataset.name}: labels expected, none found: training needs them")
        self.device = device

        # What fits lies where it is computed on; a set that is larger than memory is read from disk, a batch at a time.
        self.is_large = is_large(dataset.images)
        self._read_ahead = partial(read_ahead, dataset.images)
        home = torch.device("cpu") if self.is_large else device
        self.images = as_tensor(dataset.images).to(home)  # (N, H, W), or (N, H, W, 3) in colour
        self.labels_N = as_tensor(dataset.labels).to(home)

        self.recipe = recipe
        self.batch_size = recipe.images_a_step
        self.normalization = normalization
        self.group = group
        self.augmentation = Augmentation(
            recipe, len(self.images), dataset.image_size, dataset.channels, dataset.num_classes, device
        )

    def __len__(self) -> int:
        """Batches an epoch, the last short one included."""
        return -(-len(self.images) // self.batch_size)

    def examples_in(self, step: int) -> int:
        """Examples of the batch of ``step`` of an epoch, over all processes."""
        size = self.batch_size
        return min(size, len(self.images) - step * size)

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of one epoch from ``first_step`` on: float32 (N, C, H, W) and int64 labels (N,).

        Of a recipe that mixes images, the labels are probabilities of each class, float32 (N, C).

        N is this process's shard of the batch; 0 where a short last batch has too few for every process.
        """
        for step, rows in zip(range(first_step, len(self)), self._rows(epoch, first_step), strict=False):
            shard = self.group.shard(len(rows))
            x_NCHW, y_N = self.augmentation.examples(self._fetch, self.labels_N, rows, shard, epoch, step)
            x_NCHW = standardize_(x_NCHW, self.normalization.mean, self.normalization.std)
            if side := self._side(epoch):
                x_NCHW = resize(x_NCHW, side)
            yield x_NCHW, y_N

    def _rows(self, epoch: int, first_step: int) -> Iterator[Tensor]:
        """Yield the rows of each batch, from that of ``first_step`` on: int64 (N,), where the images are."""
        seed, count, size = self.recipe.seed, len(self.images), self.batch_size
        is_balanced = self.recipe.sampling == "balanced"
        if self.is_large and not is_balanced:
            generator_for = partial(generator, seed)
            pools = block_shuffle(
                count, epoch, first_step * size, generator_for=generator_for, prefetch=self._read_ahead
            )
            return in_batches(pools, size)

        if is_balanced:
            order = balanced_order(self.labels_N, generator(seed, "balanced", epoch))
        else:
            order = torch.randperm(count, generator=generator(seed, "order", epoch))
        return iter(order.to(self.images.device)[first_step * size :].split(size))

    def _fetch(self, rows: Tensor) -> Tensor:
        """Bring the images of ``rows`` to the device: uint8 (N, H, W[, 3])."""
        return self.images[rows].to(self.device)

    def _side(self, epoch: int) -> int | None:
        """The side in pixels that the recipe resizes to in this epoch; None for the images' own size."""
        sides = [side for first_epoch, side in self.recipe.image_sizes if first_epoch <= epoch]
        return sides[-1] if sides else None
