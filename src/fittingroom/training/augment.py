"""Augmentation: pure functions on a batch of images, each draw passed in.

The first three take pixels as they are kept, uint8 of grey (N, H, W) or colour (N, H, W, 3); the others float32
(N, C, H, W) of 0–255. What is computed for an image depends on that image and its draws alone, never on which others
are in the batch with it, so that any number of processes make the same.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue in a colour's grey, ITU-R BT.601
# In-phase and quadrature of YIQ, the two axes in which a hue is an angle (NTSC 1953); the first is the grey.
YIQ = (LUMA, (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135))
PADDING = {"zero": "zeros", "edge": "border", "reflect": "reflection"}  # a recipe's ``border`` in PyTorch's words


def mirror(images: Tensor, flip_N: Tensor) -> Tensor:
    """Images of any dtype, left and right exchanged where the bool ``flip_N`` is true."""
    return _flipped(images, flip_N, axis=2)


def vertical_flip(images: Tensor, flip_N: Tensor) -> Tensor:
    """Images of any dtype, top and bottom exchanged where the bool ``flip_N`` is true."""
    return _flipped(images, flip_N, axis=1)


def _flipped(images: Tensor, flip_N: Tensor, axis: int) -> Tensor:
    return torch.where(flip_N.view(-1, *[1] * (images.ndim - 1)), images.flip(axis), images)


def shift(images: Tensor, offsets_N2: Tensor, limit: int) -> Tensor:
    """Images moved down by ``offsets_N2[:, 0]`` and right by ``offsets_N2[:, 1]`` pixels, the uncovered border 0.

    Args:
        images: any dtype.
        offsets_N2: int64, each within ±``limit``.
        limit: the largest shift in pixels.
    """
    height, width = images.shape[1:3]
    is_colour = images.ndim == 4
    padded = F.pad(images, (*[0, 0] * is_colour, limit, limit, limit, limit))
    windows = padded.unfold(1, height, 1).unfold(2, width, 1)  # (N, 2·limit+1, 2·limit+1, [3,] H, W), a view
    if is_colour:
        windows = windows.movedim(3, -1)
    rows = torch.arange(len(images), device=images.device)
    return windows[rows, limit - offsets_N2[:, 0], limit - offsets_N2[:, 1]]


def erase(images: Tensor, centres_N2: Tensor, side: int) -> Tensor:
    """Images with a square of ``side`` pixels around (row, column) ``centres_N2`` set to 0, cut off at the border.

    Cutout, DeVries and Taylor 2017 (arXiv 1708.04552).

    Args:
        images: uint8 (N, H, W) or (N, H, W, 3), or float32 (N, C, H, W).
        centres_N2: int64.
        side: in pixels.
    """
    is_float = images.is_floating_point()
    height, width = images.shape[2:] if is_float else images.shape[1:3]
    top_left = centres_N2 - side // 2
    is_erased = boxes(top_left, top_left + side, height, width)  # (N, H, W)
    if is_float:
        is_erased = is_erased[:, None]
    return images.masked_fill(is_erased if is_float or images.ndim == 3 else is_erased[..., None], 0)


def boxes(start_N2: Tensor, end_N2: Tensor, height: int, width: int) -> Tensor:
    """True inside of a rectangle for each image, bool (N, H, W): from (row, column) ``start_N2`` up to ``end_N2``."""
    rows = torch.arange(height, device=start_N2.device)
    columns = torch.arange(width, device=start_N2.device)
    (top, left), (bottom, right) = start_N2.unbind(1), end_N2.unbind(1)
    in_rows = (rows >= top[:, None]) & (rows < bottom[:, None])  # (N, H)
    in_columns = (columns >= left[:, None]) & (columns < right[:, None])  # (N, W)
    return in_rows[:, :, None] & in_columns[:, None, :]


def affine(
    x_NCHW: Tensor, turn_N: Tensor, size_N: Tensor, offsets_N2: Tensor, signs_N2: Tensor, border: str = "zero"
) -> Tensor:
    """Images flipped, then made larger and turned about their middle, then moved: one bilinear sampling for all.

    Args:
        x_NCHW: float32.
        turn_N: degrees, counter-clockwise.
        size_N: factors; 2 shows the middle half twice as large.
        offsets_N2: pixels down and right.
        signs_N2: −1 flips, 1 doesn't: rows, columns.
        border: fills what is uncovered: ``zero``, the ``edge`` drawn out, or the image ``reflect``-ed.
    """
    height, width = x_NCHW.shape[2:]

    # For each pixel of the result, the place in the image that it comes from: all steps undone, from the last on.
    # Written out, as products of matrices may be rounded otherwise for another number of images.
    rows = torch.arange(height, device=x_NCHW.device) + 0.5 - height / 2
    columns = torch.arange(width, device=x_NCHW.device) + 0.5 - width / 2
    down_NH1 = (rows - offsets_N2[:, :1])[:, :, None]
    right_N1W = (columns - offsets_N2[:, 1:])[:, None, :]
    radians = turn_N * (math.pi / 180)
    cos, sin = (torch.cos(radians) / size_N)[:, None, None], (torch.sin(radians) / size_N)[:, None, None]
    from_row = (right_N1W * sin + down_NH1 * cos) * signs_N2[:, :1, None]
    from_column = (right_N1W * cos - down_NH1 * sin) * signs_N2[:, 1:, None]

    # grid_sample counts from -1, the outer edge of the first pixel, to 1, that of the last one.
    grid_NHW2 = torch.stack([from_column * (2 / width), from_row * (2 / height)], dim=-1)
    return F.grid_sample(x_NCHW, grid_NHW2, mode="bilinear", padding_mode=PADDING[border], align_corners=False)


def recolour(x_NCHW: Tensor, brightness_N: Tensor, contrast_N: Tensor, maps_N33: Tensor | None = None) -> Tensor:
    """Images with their pixels' colours changed by one linear map for each image, and clipped to 0–255.

    Brightness and contrast as torchvision's ``ColorJitter`` defines them.

    Args:
        x_NCHW: float32, of 0–255.
        brightness_N: factors on all pixels.
        contrast_N: factors on the distance from the mean grey of the image.
        maps_N33: of :func:`colour_maps`, for colour images; None leaves saturation and hue.
    """
    grey_NHW = x_NCHW[:, 0]
    if x_NCHW.shape[1] == 3:
        red, green, blue = x_NCHW.unbind(1)
        grey_NHW = red * LUMA[0] + green * LUMA[1] + blue * LUMA[2]
    offset_N = grey_NHW.mean(dim=(1, 2)) * brightness_N * (1 - contrast_N)

    # All are linear, and none moves a grey: one product and one sum are as good as four steps.
    gain_N11 = (brightness_N * contrast_N)[:, None, None]
    if maps_N33 is None:
        x_NCHW = x_NCHW * gain_N11[..., None]
    else:
        x_NCHW = torch.bmm(maps_N33 * gain_N11, x_NCHW.flatten(2)).view_as(x_NCHW)
    return x_NCHW.add_(offset_N[:, None, None, None]).clamp_(0, 255)


def colour_maps(saturation_N: Tensor, hue_N: Tensor) -> Tensor:
    """The matrix by which (red, green, blue) of each image change, float32 (N, 3, 3); every grey stays as it is.

    The hue is a turn of chrominance in YIQ: other than one in HSV it keeps the brightness that is seen, and is linear.

    Args:
        saturation_N: factors on the distance of a colour from its own grey.
        hue_N: angles, each as a part of a full turn.
    """
    to_yiq = torch.tensor(YIQ, dtype=torch.float64)
    size, angle = saturation_N.double(), hue_N.double() * (2 * math.pi)
    cos, sin, one, zero = torch.cos(angle), torch.sin(angle), torch.ones_like(angle), torch.zeros_like(angle)
    turn = torch.stack([one, zero, zero, zero, size * cos, -size * sin, zero, size * sin, size * cos], dim=1)
    return (to_yiq.inverse() @ turn.view(-1, 3, 3) @ to_yiq).float()


def add_noise(x_NCHW: Tensor, sd_N: Tensor, pool: Tensor, start_N: Tensor) -> Tensor:
    """Images with Gaussian noise on each pixel, clipped to 0–255.

    Args:
        x_NCHW: float32, of 0–255.
        sd_N: standard deviation of each image's noise, on the pixels' scale.
        pool: standard normal numbers (M,), at least C·H·W of them.
        start_N: int64, where in the pool each image's numbers begin.
    """
    noise = pool.unfold(0, math.prod(x_NCHW.shape[1:]), 1)[start_N].view_as(x_NCHW)
    return noise.mul_(sd_N[:, None, None, None]).add_(x_NCHW).clamp_(0, 255)


def mix(x_NCHW: Tensor, other_NCHW: Tensor, weight_N1HW: Tensor) -> Tensor:
    """Each pixel ``weight`` of the image and 1 − ``weight`` of the other one: mixup where it is one number, or cutmix.

    Zhang et al. 2017 (arXiv 1710.09412); where the weight is 0 in a rectangle and else 1, Yun et al. 2019 (arXiv
    1905.04899).

    Args:
        x_NCHW, other_NCHW: float32.
        weight_N1HW: float32, 0–1; H and W may be 1.
    """
    return torch.lerp(other_NCHW, x_NCHW, weight_N1HW)


def resize(x_NCHW: Tensor, side: int) -> Tensor:
    """Float images bilinearly resized to ``side`` × ``side`` pixels; as they are if they have that size."""
    if x_NCHW.shape[2:] == (side, side):
        return x_NCHW
    return F.interpolate(x_NCHW, (side, side), mode="bilinear", antialias=True)
