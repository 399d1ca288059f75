"""What a recipe does to the images of a batch, and to their labels: each draw is made here, from (seed, epoch, step).

Draws are made for the whole batch, and on the CPU, so that any number of processes and every device see the same. Each
augmentation that came after mirror, shift and erase has a generator of its own: one that is switched on or off leaves
the draws of the others as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fittingroom.models.tensors import to_float
from fittingroom.recipes.recipe import Recipe
from fittingroom.recipes.steps import shift_in_pixels
from fittingroom.training import augment
from fittingroom.training.own_augmentation import own_augmentation
from fittingroom.training.seeds import derive_seed, generator

NOISE_NUMBERS = 2**20  # an image's noise begins at one of so many places of one pool


@dataclass(frozen=True, eq=False)
class Mixing:
    """What each image of a batch is mixed with, and how: N images.

    Attributes:
        partners: int64 (N,), the other image's place in the batch.
        weights: float32 (N, 1, H, W), the image's own share in each pixel; H and W are 1 without rectangles.
        shares: float32 (N,), its share in all pixels together, which is that of its label.
    """

    partners: Tensor
    weights: Tensor
    shares: Tensor


@dataclass(frozen=True, eq=False)
class Moves:
    """What is drawn for N images before a pixel is touched, on the device; None for what the recipe doesn't ask for.

    Attributes:
        flips: bool (N,), left and right.
        upside_down: bool (N,).
        offsets: int64 (N, 2), pixels down and to the right.
        centres: int64 (N, 2), of the squares that are erased.
    """

    flips: Tensor | None = None
    upside_down: Tensor | None = None
    offsets: Tensor | None = None
    centres: Tensor | None = None


class Augmentation:
    """A recipe's augmentation of one training set.

    Args:
        recipe: says which, how much, and the seed.
        images: of the training set, of which :meth:`examples` is given row numbers.
        image_size: (height, width) in pixels.
        channels: 1 or 3.
        num_classes: of the labels.
        device: where batches are made.
    """

    def __init__(
        self,
        recipe: Recipe,
        images: int,
        image_size: tuple[int, int],
        channels: int,
        num_classes: int,
        device: torch.device,
    ):
        self.recipe, self.device = recipe, device
        self.images, self.image_size, self.channels, self.num_classes = images, image_size, channels, num_classes

        self.own = own_augmentation(recipe)
        self.shift = shift_in_pixels(recipe.shift, image_size)

        # Settled once, so that a recipe pays for nothing that it doesn't ask for.
        self.samples = bool(recipe.rotate or recipe.scale or (recipe.border != "zero" and self.shift))
        self.maps_colours = channels == 3 and bool(recipe.saturation or recipe.hue)
        self.recolours = bool(recipe.brightness or recipe.contrast) or self.maps_colours
        self.is_float = self.samples or self.recolours or bool(recipe.noise)
        self.mixes = bool(recipe.mixup or recipe.cutmix)

    def examples(
        self,
        fetch: Callable[[Tensor], Tensor],
        labels_N: Tensor,
        rows: Tensor,
        shard: slice,
        epoch: int,
        step: int,
    ) -> tuple[Tensor, Tensor]:
        """Make the examples of a shard of a batch.

        Args:
            fetch: gives the images of rows, uint8 on the device.
            labels_N: int64, of the whole set.
            rows: int64, of the whole batch, where ``labels_N`` is.
            shard: the places of the batch that are made.
            epoch, step: from 0.

        Returns:
            Images, float32 (N, C, H, W) of 0–255, and labels: int64 (N,), or, of a recipe that mixes, the probabilities
            of each class, float32 (N, C).
        """
        x_NCHW = self._augmented(fetch, rows, shard, epoch, step)
        y_N = labels_N[rows[shard]].to(self.device)
        if not self.mixes:
            return x_NCHW, y_N

        # The other image may be in another process's shard: it is made here too, by the draws of its own place.
        mixing = self._mixing(len(rows), epoch, step)
        partner_N = mixing.partners[shard]
        if len(x_NCHW) == len(rows):
            other_NCHW = x_NCHW[partner_N.to(self.device)]
        else:
            other_NCHW = self._augmented(fetch, rows, partner_N, epoch, step)
        x_NCHW = augment.mix(x_NCHW, other_NCHW, mixing.weights[shard].to(self.device))

        share_N1 = mixing.shares[shard].to(self.device)[:, None]
        other_N = labels_N[rows[partner_N.to(rows.device)]].to(self.device)
        one_hot, other_one_hot = (F.one_hot(y, self.num_classes).float() for y in (y_N, other_N))
        return x_NCHW, torch.lerp(other_one_hot, one_hot, share_N1)

    def _augmented(
        self, fetch: Callable[[Tensor], Tensor], rows: Tensor, at: slice | Tensor, epoch: int, step: int
    ) -> Tensor:
        """Make the images at some places of a batch, before they are mixed: float32 (N, C, H, W) of 0–255."""
        if self.own is None:
            return self._by_keys(fetch, rows, at, epoch, step)

        # A function of the whole batch: each process carries it out whole, so that any number of them sees the same.
        x_NCHW = self._by_keys(fetch, rows, slice(0, len(rows)), epoch, step)
        x_NCHW = self.own(x_NCHW, generator(self.recipe.seed, "own", epoch, step))
        return x_NCHW[at if isinstance(at, slice) else at.to(self.device)]

    def _by_keys(
        self, fetch: Callable[[Tensor], Tensor], rows: Tensor, at: slice | Tensor, epoch: int, step: int
    ) -> Tensor:
        """Make them, each by itself, as the recipe's keys say."""
        recipe, count = self.recipe, len(rows)
        rows_at = rows[at if isinstance(at, slice) else at.to(rows.device)]
        moves = self._draw_moves(rows_at, count, at, epoch, step)
        images = fetch(rows_at)

        # Whole pixels move as they are. Only rotation, scale and a border that isn't 0 sample between pixels.
        if not self.samples:
            if moves.flips is not None:
                images = augment.mirror(images, moves.flips)
            if moves.upside_down is not None:
                images = augment.vertical_flip(images, moves.upside_down)
            if moves.offsets is not None:
                images = augment.shift(images, moves.offsets, self.shift)
        if not self.is_float:
            if moves.centres is not None:
                images = augment.erase(images, moves.centres, recipe.erase)
            return to_float(images)

        # Erased last: a hole stays black whatever was done to the pixels around it.
        x_NCHW = to_float(images)
        if self.samples:
            x_NCHW = self._sampled(x_NCHW, moves, count, at, epoch, step)
        if self.recolours:
            x_NCHW = self._recoloured(x_NCHW, count, at, epoch, step)
        if recipe.noise:
            x_NCHW = self._with_noise(x_NCHW, count, at, epoch, step)
        return x_NCHW if moves.centres is None else augment.erase(x_NCHW, moves.centres, recipe.erase)

    def _draw_moves(self, rows_at: Tensor, count: int, at: slice | Tensor, epoch: int, step: int) -> Moves:
        """Draw flips, shifts and erased squares for a batch of ``count``, and give those of the places ``at``."""
        recipe, device = self.recipe, self.device

        # One generator for the oldest three, in this order: a draw of another would change those that follow it.
        draw = generator(recipe.seed, "augment", epoch, step)
        flips_N = offsets_N2 = centres_N2 = None
        if recipe.mirror == "random":
            flips_N = torch.rand(count, generator=draw)[at].lt(0.5).to(device)
        elif recipe.mirror == "alternating":
            flips_N = self._first_flip(rows_at.device)[rows_at].to(device) ^ bool(epoch % 2)
        if self.shift:
            offsets_N2 = torch.randint(-self.shift, self.shift + 1, (count, 2), generator=draw)[at].to(device)
        if recipe.erase:
            size = torch.tensor(self.image_size)
            centres_N2 = (torch.rand(count, 2, generator=draw) * size)[at].long().to(device)

        upside_down_N = None
        if recipe.vertical_flip == "random":
            draw = generator(recipe.seed, "vertical-flip", epoch, step)
            upside_down_N = torch.rand(count, generator=draw)[at].lt(0.5).to(device)
        return Moves(flips_N, upside_down_N, offsets_N2, centres_N2)

    def _sampled(self, x_NCHW: Tensor, moves: Moves, count: int, at: slice | Tensor, epoch: int, step: int) -> Tensor:
        """Flip, scale, rotate and shift, by one sampling."""
        recipe, device = self.recipe, self.device
        draw = generator(recipe.seed, "affine", epoch, step)
        turn_N, size_N = torch.rand(count, 2, generator=draw)[at].mul(2).sub(1).unbind(1)

        # Twice as large and half as large are as probable: even on the scale of logarithms.
        turn_N, size_N = turn_N * recipe.rotate, torch.exp(size_N * math.log1p(recipe.scale))
        signs_N2 = torch.ones(len(x_NCHW), 2, device=device)
        for axis, is_flipped in enumerate((moves.upside_down, moves.flips)):
            if is_flipped is not None:
                signs_N2[is_flipped, axis] = -1
        moved_N2 = torch.zeros_like(signs_N2) if moves.offsets is None else moves.offsets.float()
        return augment.affine(x_NCHW, turn_N.to(device), size_N.to(device), moved_N2, signs_N2, recipe.border)

    def _recoloured(self, x_NCHW: Tensor, count: int, at: slice | Tensor, epoch: int, step: int) -> Tensor:
        """Change brightness, contrast, saturation and hue, by one map for each image."""
        recipe, device = self.recipe, self.device
        draw = generator(recipe.seed, "colour", epoch, step)
        drawn_N4 = torch.rand(count, 4, generator=draw)[at].mul(2).sub(1)
        limits = torch.tensor([recipe.brightness, recipe.contrast, recipe.saturation, recipe.hue])
        brightness_N, contrast_N, saturation_N, hue_N = (drawn_N4 * limits).unbind(1)
        maps = augment.colour_maps(1 + saturation_N, hue_N).to(device) if self.maps_colours else None
        return augment.recolour(x_NCHW, (1 + brightness_N).to(device), (1 + contrast_N).to(device), maps)

    def _with_noise(self, x_NCHW: Tensor, count: int, at: slice | Tensor, epoch: int, step: int) -> Tensor:
        """Add Gaussian noise, to each image a stretch of one pool of numbers, with a standard deviation of its own."""
        draw = generator(self.recipe.seed, "noise", epoch, step)
        sd_N = torch.rand(count, generator=draw)[at].mul(255 * self.recipe.noise).to(self.device)
        start_N = torch.randint(NOISE_NUMBERS, (count,), generator=draw)[at].to(self.device)
        return augment.add_noise(x_NCHW, sd_N, self._noise(), start_N)

    def _mixing(self, count: int, epoch: int, step: int) -> Mixing:
        """Draw what each image of a batch is mixed with, and how."""
        recipe, (height, width) = self.recipe, self.image_size
        seed = derive_seed(recipe.seed, "mix", epoch, step)
        draw = np.random.default_rng(seed)  # PyTorch draws from a beta distribution by its ambient generator alone
        partner_N = torch.from_numpy(draw.permutation(count))
        is_cutmix_N = draw.random(count) < (0.5 if recipe.mixup and recipe.cutmix else bool(recipe.cutmix))
        alpha_N = np.where(is_cutmix_N, recipe.cutmix or 1, recipe.mixup or 1)
        share_N = torch.from_numpy(draw.beta(alpha_N, alpha_N)).float()
        if not recipe.cutmix:
            return Mixing(partner_N, share_N[:, None, None, None], share_N)

        # A rectangle of the image's proportions with the other image's share of its area, cut off at the border: the
        # labels go by what is left of it.
        size_2 = torch.tensor([height, width])
        centres_N2 = (torch.from_numpy(draw.random((count, 2))) * size_2).long()
        sides_N2 = ((1 - share_N).sqrt()[:, None] * size_2).round().long()
        start_N2 = centres_N2 - sides_N2 // 2
        is_other_NHW = augment.boxes(start_N2, start_N2 + sides_N2, height, width)
        weight_NHW = torch.where(
            torch.from_numpy(is_cutmix_N)[:, None, None], (~is_other_NHW).float(), share_N[:, None, None]
        )
        share_N = torch.where(torch.from_numpy(is_cutmix_N), weight_NHW.mean(dim=(1, 2)), share_N)
        return Mixing(partner_N, weight_NHW[:, None], share_N)

    def _first_flip(self, home: torch.device) -> Tensor:
        """Draw, once, whether ``alternating`` flips an image in the even epochs: bool (images,)."""
        if not hasattr(self, "_flip"):
            draw = generator(self.recipe.seed, "mirror")
            self._flip = torch.rand(self.images, generator=draw).lt(0.5).to(home)
        return self._flip

    def _noise(self) -> Tensor:
        """Draw, once, the standard normal numbers of which each image takes a stretch: float32, on the device."""
        if not hasattr(self, "_pool"):
            count = NOISE_NUMBERS + math.prod(self.image_size) * self.channels
            self._pool = torch.randn(count, generator=generator(self.recipe.seed, "noise")).to(self.device)
        return self._pool
