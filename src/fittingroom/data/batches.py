"""The loader: the whole data set is one uint8 tensor on the device, and batches are cut from it there.

Order and augmentation derive from (seed, epoch, step) and from nothing else, so a run that is resumed in mid-epoch sees
what it would have seen, and two runs of one seed see the same.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor

from fittingroom.data import augment
from fittingroom.data.dataset import Dataset
from fittingroom.data.normalization import Normalization
from fittingroom.errors import DataError
from fittingroom.recipe import Recipe


class Batches:
    """Endless epochs of augmented, normalised batches.

    Args:
        dataset: the training set, labelled.
        recipe: batch size, augmentation, image sizes and seed are taken from it.
        normalization: applied after the augmentation.
        device: where the images are kept and batches are made.
    """

    def __init__(self, dataset: Dataset, recipe: Recipe, normalization: Normalization, device: torch.device):
        if dataset.labels is None:
            raise DataError(f"{dataset.name}: labels expected, none found: training needs them")
        self.images_NHW = as_tensor(dataset.images).to(device)
        self.labels_N = as_tensor(dataset.labels).to(device)
        self.recipe = recipe
        self.normalization = normalization

    def __len__(self) -> int:
        """Batches an epoch, the last short one included."""
        return -(-len(self.images_NHW) // self.recipe.batch_size)

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of one epoch from ``first_step`` on: float32 (N, 1, H, W) and int64 labels (N,)."""
        seed, size = self.recipe.seed, self.recipe.batch_size
        order = torch.randperm(len(self.images_NHW), generator=generator(seed, "order", epoch))
        order = order.to(self.images_NHW.device)
        for step in range(first_step, len(self)):
            rows = order[step * size : (step + 1) * size]
            images = self._augment(self.images_NHW[rows], rows, epoch, step)
            x_NCHW = augment.normalize(images, self.normalization.mean, self.normalization.std)
            if side := self._side(epoch):
                x_NCHW = augment.resize(x_NCHW, side)
            yield x_NCHW, self.labels_N[rows]

    def _augment(self, images: Tensor, rows: Tensor, epoch: int, step: int) -> Tensor:
        """uint8 (N, H, W) → the same, augmented. Draws are made on the CPU so that every device sees the same."""
        recipe, device, count = self.recipe, images.device, len(images)
        draw = generator(recipe.seed, "augment", epoch, step)
        if recipe.mirror == "random":
            images = augment.mirror(images, torch.rand(count, generator=draw).lt(0.5).to(device))
        elif recipe.mirror == "alternating":
            images = augment.mirror(images, self._first_flip()[rows] ^ bool(epoch % 2))
        if recipe.shift:
            offsets = torch.randint(-recipe.shift, recipe.shift + 1, (count, 2), generator=draw)
            images = augment.shift(images, offsets.to(device), recipe.shift)
        if recipe.erase:
            height, width = images.shape[1:]
            centres = torch.rand(count, 2, generator=draw) * torch.tensor([height, width])
            images = augment.erase(images, centres.long().to(device), recipe.erase)
        return images

    def _first_flip(self) -> Tensor:
        """bool (images,): whether ``alternating`` flips an image in the even epochs."""
        if not hasattr(self, "_flip"):
            draw = generator(self.recipe.seed, "mirror")
            self._flip = torch.rand(len(self.images_NHW), generator=draw).lt(0.5).to(self.images_NHW.device)
        return self._flip

    def _side(self, epoch: int) -> int | None:
        sides = [side for first_epoch, side in self.recipe.image_sizes if first_epoch <= epoch]
        return sides[-1] if sides else None


def derive_seed(seed: int, *purpose: str | int) -> int:
    """A seed of 63 bits for one purpose, such as ``("order", epoch)``; different purposes are independent."""
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A CPU generator started from :func:`derive_seed`."""
    return torch.Generator().manual_seed(derive_seed(seed, *purpose))


def as_tensor(array: object) -> Tensor:
    """Share memory with a NumPy array that may be read-only (a memory map): nothing here ever writes to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.as_tensor(array)
