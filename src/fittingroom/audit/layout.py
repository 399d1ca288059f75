"""Whether images are whole: as wide as they say, and beginning where they should.

It is measured by the pixels themselves: neighbours in an image are alike, the last pixel of one row and the first
of the next are not, nor are an image's last row and the next image's first one. Of a colour image the values of a pixel
lie side by side, or those of each channel in a plane of their own: both are tried.

All this is of formats that are a run of bytes: a picture file has a width of its own, and no byte of it is a pixel.

Two checks, ``wrong_width`` and ``shifted``, over one measure: the correlation of pixels some distance apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.features import coherence, dataset_in_grey
from fittingroom.audit.findings import MAX_IMAGES_SHOWN, Finding
from fittingroom.data.dataset import Dataset
from fittingroom.rendering.contact_sheet import Row

MIN_IMAGES = 100  # below which correlations are too rough to say anything by
MAX_IMAGES = 5_000  # that are looked at, consecutive ones, for a displaced run goes on from image to image
MIN_PIXELS = 64

MIN_Z = 5.0  # standard errors by which a displacement must stand out: it is the best of hundreds of starts
MAX_VALUES = 5_000_000  # of pixels that this is measured on
BLOCKS = 20  # of consecutive images, whose means give that error: images that resemble their neighbours count less

Order = Literal["pixels", "planes"]  # what lies side by side in the run: all of a pixel, or all of a channel

# ── width ────────────────────────────────────────────────────────────────────────────────────────────────────


def wrong_width(part: Dataset) -> tuple[list[Finding], Dataset]:
    """See whether pixels one row apart are alike at the width that the set has, or at another one.

    A pixel and the one below it are w apart in the file; so the correlation of pixels w apart peaks at the true w.
    """
    height, width = part.image_size
    pixels = height * width
    if len(part) < MIN_IMAGES or pixels < MIN_PIXELS:
        return [], part

    # only a divisor can be a width; its neighbours are measured too, for without them no peak can be seen
    z_NP = _standardised(dataset_in_grey(part), "pixels")
    divisors = [lag for lag in range(4, pixels // 4 + 1) if pixels % lag == 0]
    lags = {lag + step for lag in divisors for step in range(-2, 3)} | {width}
    correlations = {lag: _correlation(z_NP, lag) for lag in sorted(lags) if 2 <= lag <= pixels // 2}

    widths = [lag for lag in divisors if _is_peak(correlations, lag)]
    if not widths:
        return [], part
    best = max(widths, key=lambda lag: correlations[lag])

    here, there = correlations.get(width, 0.0), correlations[best]
    # the set's own width is right until another one is clearly better
    if best == width or there < here + 0.1:
        return [], part

    reshaped = replace(part, images=part.images.reshape(len(part), pixels // best, best, *part.images.shape[3:]))
    finding = Finding(
        name="wrong-width",
        severity="error",
        where=part.name,
        message=f"images {height}×{width}, but pixels {best} apart are alike (correlation {there:.2f}, "
        f"{here:.2f} at {width}): they are {pixels // best}×{best}",
        effect="What a filter takes for neighbours are pixels of other rows.",
        advice=f"Write {pixels // best} and {best} into the header, or reshape to them; --fix does.",
        figures={"width": width, "true_width": best, "correlation": there, "correlation_here": here},
        fix=f"images reshaped from {height}×{width} to {pixels // best}×{best}",
        examples=(Row("as it is", "", part.images[:MAX_IMAGES_SHOWN]),),
    )
    return [finding], reshaped


def _is_peak(correlations: dict[int, float], lag: int) -> bool:
    """Whether pixels ``lag`` apart are alike, and more so than those a little nearer or further apart."""
    neighbours = (correlations.get(lag + step, -1.0) for step in (-2, -1, 1, 2))
    return correlations[lag] >= 0.3 and all(correlations[lag] > neighbour for neighbour in neighbours)


# ── offset ───────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Offset:
    """Where images begin, and how clear that is.

    Attributes:
        order: of the run.
        start: in the run, in bytes, 0 ≤ start < those of an image, or of a plane.
        rolled: whether each image for itself was rolled; else the whole run is displaced.
        gain: by how much the seams (correlation across them, down and across, below that elsewhere: 0–2 or so) are
            clearer there than at 0.
        correlation: of neighbours away from the seams, down and across, added: up to 2.
        low, high: starts that explain the pixels as well; ``start`` itself unless images have an empty border.
    """

    order: Order
    start: int
    rolled: bool
    gain: float
    correlation: float
    low: int
    high: int

    @property
    def is_exact(self) -> bool:
        """Whether no other start explains the pixels as well."""
        return self.low == self.high


def offset_of(part: Dataset) -> Offset | None:
    """Estimate where images begin; None where the pixels don't tell (too few images, or neighbours are unlike)."""
    height, width = part.image_size
    if len(part) < MIN_IMAGES or height < 4 or width < 4:
        return None

    if part.channels == 1:
        return _offset_in(part, "pixels")

    # an offset in the one order shows in the other too, but its seams lie three places wide there
    in_pixels, in_planes = _offset_in(part, "pixels"), _offset_in(part, "planes")
    return in_planes if in_planes.start and in_planes.gain > in_pixels.gain else in_pixels


def _offset_in(part: Dataset, order: Order) -> Offset:
    """Estimate where images begin in the run of their bytes in this order."""
    step = part.channels if order == "pixels" else 1  # from a value to the same channel's of the pixel to the right
    width = part.image_size[1] * step

    z_NP = _standardised(part, order)
    if order == "planes":
        z_NP = z_NP.reshape(-1, z_NP.shape[1] // part.channels)
    fits = []
    for rolled in (False, True):
        down_P, across_P = _to_neighbour(z_NP, width, rolled), _to_neighbour(z_NP, step, rolled)
        score_P, rest_P = _seam(down_P, across_P, width, step)

        start = int(score_P.argmax())
        low, high = _as_good(score_P, start)
        gain = float(score_P[start] - score_P[0])
        fits.append((rest_P[start], Offset(order, start, rolled, gain, float(rest_P[start]), low, high)))

    # where the right one of the two is supposed, everything but the seams is alike; at a start of 0 they are the same
    in_run, in_image = fits
    if order == "planes":
        return in_run[1]  # an image that was rolled was so as a whole, which no plane shows by itself
    return in_image[1] if in_image[0] > in_run[0] + 0.001 and in_image[1].start else in_run[1]


def shifted(part: Dataset) -> tuple[list[Finding], Dataset]:
    """See whether images begin where they should, and put them back."""
    offset = offset_of(part)
    if offset is None or not offset.start or offset.gain < 0.06 or offset.correlation < 0.6:
        return [], part
    if not _is_beyond_chance(part, offset):
        return [], part

    start, width = offset.start, part.image_size[1] * (part.channels if offset.order == "pixels" else 1)
    columns = start % width * part.image_size[1] // width
    how = "each image is rolled" if offset.rolled else "the whole run of pixels is displaced"
    reach = "" if offset.is_exact else f", or {offset.low} to {offset.high}, which an empty border keeps from telling"
    examples = [Row("as it is", "", part.images[:MAX_IMAGES_SHOWN])]

    # nothing is moved where several starts fit: which one it was would be a guess
    fix, back = "", part
    if offset.is_exact:
        back, left_out = _put_back(part, offset)
        fix = f"pixels moved back by {start} bytes" + (f"; {left_out}" if left_out else "")
        examples.append(Row("put back", f"by {start} bytes", back.images[:MAX_IMAGES_SHOWN]))

    finding = Finding(
        name="shifted",
        severity="error",
        where=part.name,
        message=f"images begin {start} bytes after where they should ({start // width} rows and {columns} "
        f"columns{reach}); {how}. Seams between rows and images are {offset.gain:.2f} clearer there, in the "
        "correlation of neighbours"
        + ("; the first 16 bytes are the header of an IDX file" if start == 16 and _header_at_start(part) else ""),
        effect="Each image is cut in two, with its edges in the middle: models learn worse, and fail on whole images.",
        advice="Read the pixels from the right offset (byte 16 of an IDX file of images)"
        + (", or use --fix." if fix else "."),
        figures={"offset": start, "lowest": offset.low, "highest": offset.high, "rolled": offset.rolled}
        | {"rows": start // width, "columns": columns, "gain": offset.gain},
        fix=fix,
        examples=tuple(examples),
    )
    return [finding], back


def _is_beyond_chance(part: Dataset, offset: Offset) -> bool:
    """Whether images are cut where they are said to begin, and whole where they would then be cut.

    Where the best of all seams lies says little by itself: in images of 8×8 the rows in the middle may be as unlike as
    strangers, and at the edges alike. Two things a displacement alone brings about. The end of an image goes on in the
    next one, and not in the one before it, which in a set that is not displaced, sorted or not, it resembles as much.
    And across the place where images now are cut pixels are alike the more the nearer they are, while across the
    true seam nearness doesn't count.
    """
    step = part.channels if offset.order == "pixels" else 1
    width = part.image_size[1] * step
    looked_at = max(MIN_IMAGES, MAX_VALUES // part.images[0].size)
    z_NP = _standardised(part.subset(np.arange(min(len(part), looked_at))), offset.order)
    if offset.order == "planes":
        z_NP = z_NP.reshape(-1, z_NP.shape[1] // part.channels)

    if not offset.rolled:
        difference, z = _goes_on_in_next(z_NP, width, offset.start)
        if difference >= 0.2 and z >= MIN_Z:
            return True
    here, there, usual, z = _continuity(z_NP, width, step, offset)
    return there <= 0.1 * usual and here - there >= 0.5 * usual and z >= MIN_Z


def _goes_on_in_next(z_NP: NDArray[np.float32], width: int, start: int) -> tuple[float, float]:
    """How much more an image's last row is like the first one of the next image than like that of the one before.

    Returns:
        The difference of the two correlations, over those pixels that a displacement by ``start`` makes neighbours, and
        the same in standard errors; 0, 0 where there are no such pixels.
    """
    pixels = z_NP.shape[1]
    last = np.arange(pixels - width, pixels)
    last = last[(last - start) % pixels < pixels - width]
    if not len(last):
        return 0.0, 0.0
    end, first = z_NP[1:-1, last], last + width - pixels
    return _mean_and_z(np.mean(end * (z_NP[2:, first] - z_NP[:-2, first]), axis=1))


def _continuity(z_NP: NDArray[np.float32], width: int, step: int, offset: Offset) -> tuple[float, float, float, float]:
    """How much more alike neighbours are than pixels three apart, across the seams of start 0 and of ``offset``.

    Returns:
        That at the seams of 0, at those of the offset, everywhere, and the difference of the first two in standard
        errors; down and across added.
    """
    places = np.arange(z_NP.shape[1])
    in_row_NP, in_column_NP = (_continuity_at(z_NP, lag, offset.rolled) for lag in (width, step))

    at_seams_N = []
    for start in (0, offset.start):
        before_row = (places - start) % len(places) >= len(places) - width
        before_column = (places - start) % width >= width - step
        at_seams_N.append(in_row_NP[:, before_row].mean(axis=1) + in_column_NP[:, before_column].mean(axis=1))
    here_N, there_N = at_seams_N
    difference, z = _mean_and_z(here_N - there_N)
    there = float(there_N.mean())
    return there + difference, there, float(in_row_NP.mean() + in_column_NP.mean()), z


def _continuity_at(z_NP: NDArray[np.float32], lag: int, rolled: bool) -> NDArray[np.float32]:
    """The product of each pixel and the one ``lag`` further on, less that of the two around them, (N - 2, P)."""
    if rolled:
        near_NP = z_NP * np.roll(z_NP, -lag, axis=1)
        far_NP = np.roll(z_NP, lag, axis=1) * np.roll(z_NP, -2 * lag, axis=1)
    else:
        run = z_NP.reshape(-1)
        near_NP = (run * np.roll(run, -lag)).reshape(z_NP.shape)
        far_NP = (np.roll(run, lag) * np.roll(run, -2 * lag)).reshape(z_NP.shape)
    return np.asarray((near_NP - far_NP)[1:-1], np.float32)  # the run's two ends are no neighbours


def _mean_and_z(values_N: NDArray[np.floating[Any]]) -> tuple[float, float]:
    """The mean, and how many of its standard errors it is, by means of consecutive blocks."""
    blocks = min(BLOCKS, len(values_N))
    means_B = values_N[: len(values_N) // blocks * blocks].reshape(blocks, -1).mean(axis=1, dtype=np.float64)
    error = float(means_B.std(ddof=1)) / math.sqrt(blocks)
    mean = float(means_B.mean())
    return mean, mean / error if error > 0 else 0.0


def _put_back(part: Dataset, offset: Offset) -> tuple[Dataset, str]:
    """The set with its images in place, and what had to be left out for it."""
    flat_NV = _in_order(part.images, offset.order)
    if offset.rolled:  # nothing is lost
        return replace(part, images=np.roll(flat_NV, -offset.start, 1).reshape(part.images.shape)), ""

    # a displaced run has one image fewer that is whole
    whole = len(part) - 1
    run = flat_NV.reshape(-1)[offset.start :][: whole * flat_NV.shape[1]]
    if offset.order == "planes":
        channels, (height, width) = part.channels, part.image_size
        images = np.ascontiguousarray(np.moveaxis(run.reshape(whole, channels, height, width), 1, 3))
    else:
        images = run.reshape(whole, *part.images.shape[1:])
    if part.labels is None:
        return replace(part, images=images), "the image that isn't whole left out"

    # bytes too many at the start: image 0 begins late, and the last one is cut; bytes missing: image 0 is cut.
    # The pixels look the same; which it was the labels tell, which fit their images in one case only.
    too_many = Dataset(images, part.labels[:whole], part.classes, part.name)
    missing = Dataset(images, part.labels[1:], part.classes, part.name)
    if coherence(too_many) >= coherence(missing):
        return too_many, "the last image, whose end is missing, left out with its label"
    return missing, "the first image, whose beginning is missing, left out with its label"


def _as_good(score_P: NDArray[np.float64], start: int) -> tuple[int, int]:
    """The first and the last of the starts next to this one whose scores are as good, within 0.02."""
    good_P = score_P >= score_P[start] - 0.02

    low = high = start
    while low > 0 and good_P[low - 1]:
        low -= 1
    while high + 1 < len(score_P) and good_P[high + 1]:
        high += 1
    return low, high


def _header_at_start(part: Dataset) -> bool:
    return part.images.reshape(-1)[:4].tobytes() == b"\0\0\x08\x03"


def _in_order(images: NDArray[np.uint8], order: Order) -> NDArray[np.uint8]:
    """The images as rows of bytes, uint8 (N, V)."""
    ordered = np.moveaxis(images, 3, 1) if images.ndim == 4 and order == "planes" else images
    return ordered.reshape(len(images), -1)


def _standardised(part: Dataset, order: Order) -> NDArray[np.float32]:
    """The first images as rows of bytes, each byte with mean 0 and sd 1; 0 where one (nearly) never changes."""
    x_NP = _in_order(part.images[:MAX_IMAGES], order).astype(np.float32)
    sd_P = x_NP.std(axis=0)
    x_NP -= x_NP.mean(axis=0)
    x_NP /= np.where(sd_P < 1, np.inf, sd_P)
    return x_NP


def _correlation(z_NP: NDArray[np.float32], lag: int) -> float:
    """The mean correlation of pixels ``lag`` apart in an image."""
    return float(np.einsum("np,np->p", z_NP[:, :-lag], z_NP[:, lag:]).mean() / len(z_NP))


def _to_neighbour(z_NP: NDArray[np.float32], lag: int, rolled: bool) -> NDArray[np.float32]:
    """The correlation of each pixel with the one ``lag`` further on, float32 (P,).

    Where an image ends, that one is in the next image, or, if images are rolled, at its own beginning.
    """
    pixels = z_NP.shape[1]
    result = np.empty(pixels, np.float32)
    result[:-lag] = np.einsum("np,np->p", z_NP[:, :-lag], z_NP[:, lag:]) / len(z_NP)

    end, start = z_NP[:, pixels - lag :], z_NP[:, :lag]
    if not rolled:
        end, start = end[:-1], start[1:]
    result[-lag:] = np.einsum("np,np->p", end, start) / len(end)
    return result


def _seam(
    down_P: NDArray[np.float32], across_P: NDArray[np.float32], width: int, step: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How much less alike neighbours are at the seams than elsewhere, and how alike they are there, for each start.

    The seams of a start: the row before it (its pixels have no neighbours below), and the column before it, which is
    ``step`` bytes wide of the row's ``width``.
    """
    pixels = len(down_P)
    starts = np.arange(pixels)

    # the mean over the row before each start; running sums over the run twice, for the row may begin before pixel 0
    sums = np.concatenate([[0.0], np.cumsum(np.concatenate([down_P, down_P]), dtype=np.float64)])
    before = (starts - width) % pixels
    row_P = (sums[before + width] - sums[before]) / width
    rest_down_P = (float(down_P.sum()) - row_P * width) / (pixels - width)

    # a column is the same for all starts in it
    columns_W = across_P.reshape(-1, width).mean(axis=0, dtype=np.float64)
    column_P = np.sum([columns_W[(starts - place) % width] for place in range(1, step + 1)], axis=0) / step
    rest_across_P = (columns_W.sum() - column_P * step) / (width - step)

    return rest_down_P - row_P + rest_across_P - column_P, rest_down_P + rest_across_P
