"""Images that are the same picture but for a small shift, brightness, a mirror, another encoding, or more than that.

Two searches, whose pairs are put together: by pixels, below, and by what survives resizing, blur, small turns and
zooms, another contrast and inversion (:mod:`fittingroom.audit.altered_copies`).

An index makes it quick: each image, put on its centre of mass and reduced to 14 × 14 fields, goes into the cells of its
nearest centres (k-means), and only images of one cell are compared, 1–3% of all pairs. What is alike in that is then
compared pixel by pixel.

Colour images are compared in brightness and in two differences of colour, these averaged to fields, for JPEG keeps no
more of them. Each has its mean taken off, since a cast that all images share (the pink of a stain, say) makes no two of
them alike; and then the means count too, since the same drawing in another colour is another picture. They are also
looked for where they are, as a photograph has no ground to be put on its centre by.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.altered_copies import (
    Pose,
    alterations_in_frame,
    alterations_in_pose,
    altered_copies,
    edges_faded,
    in_pose,
    poses,
)
from fittingroom.audit.features import coarse, in_grey
from fittingroom.audit.image_cells import cell_centres, nearest_cells

SEARCH = 4  # count up when other pairs are found of the same images: what caches hold is then searched for anew
MIN_CORRELATION = 0.992  # of pixels, from which on two images count as near-duplicates
MIN_REDUCED_CORRELATION = 0.988  # of the 14 × 14 fields, which a shift by part of a pixel changes
FIELDS = 14
COLOUR_FIELDS = 8  # over which differences of colour are averaged: finer ones a JPEG of small images changes
MAX_HUE_APART = 4.0  # root mean square difference of colour of altered copies, of 255; or a share of their own:
MAX_HUE_SHARE, MAX_HUE_SHARE_IN_FRAME = 0.15, 0.3
MAX_STRONGER = 2.0  # times as strong as the other's the colours of a photograph of another contrast may be
FAINT = 0.08  # of an image's strongest pixel: so much counts for ground, as what JPEG leaves around edges does
PROBES = 3  # cells that an image is looked for in
BLOCK = 4_096  # images or pairs at a time; of large images fewer
BLOCK_VALUES = BLOCK * 32 * 32
MAX_PAIRS = 200_000  # compared pixel by pixel, the most alike first

Vectors = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class NearDuplicates:
    """Pairs of images that are alike, most alike first.

    Attributes:
        pairs: int64 (P, 2), rows, first < second; those found by pixels before altered copies.
        correlation: float32 (P,), of the pixels of a pair; of altered copies, of the one with what the other may have
            been altered to.
        mirrored: bool (P,), whether one is the mirror image of the other.
        compared: the share of all pairs that the index compared, 0–1.
    """

    pairs: NDArray[np.int64]
    correlation: NDArray[np.float32]
    mirrored: NDArray[np.bool_]
    compared: float


def near_duplicates(
    images: NDArray[np.uint8], threshold: float = MIN_CORRELATION, *, altered: bool = True
) -> NearDuplicates:
    """Find the pairs of images whose pixels correlate by ``threshold`` or more, or that are altered copies.

    The same images give the same pairs.

    Args:
        images: uint8 (N, H, W) or (N, H, W, 3), N ≥ 1. Constant images have no correlation and are in no pair; equal
            images are.
        threshold: of the correlation, -1 to 1.
        altered: whether to search for altered copies too.
    """
    views = [on_centre(images)] if images.ndim == 3 else [on_centre(images), images]
    columns = zip(*(_found_in(view) for view in views), strict=True)
    pairs, correlation, mirrored, compared = (np.concatenate(column) for column in columns)
    by_pixels = _distinct(pairs, correlation, mirrored, threshold, float(compared.mean()))
    return _with_altered_copies(by_pixels, images) if altered else by_pixels


def _found_in(
    images: NDArray[np.uint8],
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.bool_], NDArray[np.float64]]:
    """The pairs (P, 2) that may be alike, with their correlation, whether mirrored, and the share of pairs compared."""
    plain, flipped = _directions(images), _directions(images[:, :, ::-1])
    centres = cell_centres(plain)

    # an image is at home in one cell and looked for in several: a near-duplicate may lie just across a cell's border
    home_N, near_NK = nearest_cells(plain, centres, PROBES)
    candidates, compared = [], 0
    for vectors, is_mirror in ((plain, False), (flipped, True)):
        probes_NK = near_NK if not is_mirror else nearest_cells(vectors, centres, PROBES)[1]
        for pairs, alike, count in _candidates(plain, vectors, home_N, probes_NK, len(centres)):
            compared += count
            candidates.append((pairs, alike, np.full(len(pairs), is_mirror)))
    pairs, alike, mirrored = (np.concatenate(column) for column in zip(*candidates, strict=True))

    # a set of images that are all alike has more pairs than can be compared: the most alike are kept
    order = np.lexsort((mirrored, -alike))[:MAX_PAIRS]
    pairs, mirrored = pairs[order], mirrored[order]

    # fields only pick the candidates: what counts as a near-duplicate goes by the pixels
    correlation = _best_correlation(images, pairs, mirrored)
    return pairs, correlation, mirrored, np.array([compared / max(1, len(plain) * (len(plain) - 1))])


def on_centre(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Move each image by whole pixels, around the edges, so that its centre of mass is the middle.

    Mass is the difference from the ground, which is the median of the border; of colour, the mean over the channels.
    """
    n, height, width = images.shape[:3]
    border = [images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]]
    ground = np.median(np.concatenate(border, axis=1), axis=1).astype(np.int16)

    result = np.empty_like(images)
    step = _block_size(images)
    for start in range(0, n, step):
        block = slice(start, start + step)
        mass = np.abs(images[block].astype(np.int16) - ground[block, None, None]).astype(np.float32)
        if images.ndim == 4:
            mass = mass.mean(axis=3)
        # faint pixels go for ground: spread over the whole image, JPEG's traces would pull the centre away
        mass = np.maximum(mass - FAINT * mass.max(axis=(1, 2), keepdims=True), 0)
        total = np.maximum(mass.sum(axis=(1, 2)), 1e-6)

        down = np.rint((height - 1) / 2 - mass.sum(axis=2) @ np.arange(height, dtype=np.float32) / total)
        right = np.rint((width - 1) / 2 - mass.sum(axis=1) @ np.arange(width, dtype=np.float32) / total)

        # np.roll moves many images by one distance at once, and there are few distances
        moves = np.stack([down, right], axis=1).astype(int)
        for move in np.unique(moves, axis=0):
            members = start + np.flatnonzero((moves == move).all(axis=1))
            result[members] = np.roll(images[members], tuple(move), axis=(1, 2))
    return result


def _block_size(images: NDArray[np.uint8]) -> int:
    """How many images, or pairs of them, are worked on at a time: as float32 they take 16 MiB at most."""
    return max(1, min(BLOCK, BLOCK_VALUES // max(1, math.prod(images.shape[1:]))))


def _directions(images: NDArray[np.uint8]) -> Vectors:
    """Reduced images less their mean, of length 1, so that a dot product is a correlation; zeros for constant ones."""
    step = _block_size(images)
    blocks = [_unit(_planes(images[start : start + step]), FIELDS) for start in range(0, len(images), step)]
    return np.concatenate(blocks)


def _candidates(
    plain: Vectors, vectors: Vectors, home_N: NDArray[np.int64], probes_NK: NDArray[np.int64], cells: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32], int]]:
    """Compare, cell by cell, the images at home in it with those looked for in it.

    Yields:
        Pairs of rows (P, 2), their correlation (P,), and how many pairs were compared to find them.
    """
    # sorted by cell once, for a search of each cell's members would go over all images for every cell
    of_cell = np.split(np.argsort(home_N, kind="stable"), np.cumsum(np.bincount(home_N, minlength=cells))[:-1])
    rows = np.repeat(np.arange(len(probes_NK)), probes_NK.shape[1])
    by_cell = rows[np.argsort(probes_NK.reshape(-1), kind="stable")]
    looked_for = np.split(by_cell, np.cumsum(np.bincount(probes_NK.reshape(-1), minlength=cells))[:-1])

    for home, others in zip(of_cell, looked_for, strict=True):
        for start in range(0, len(home), BLOCK):
            members = home[start : start + BLOCK]
            alike = plain[members] @ vectors[others].T
            first, second = np.nonzero(alike >= MIN_REDUCED_CORRELATION)

            # the lower row first, so that a pair found from both its sides is the same pair; none with itself
            pairs = np.sort(np.stack([members[first], others[second]], axis=1), axis=1)
            is_pair = pairs[:, 0] != pairs[:, 1]
            yield pairs[is_pair], alike[first, second][is_pair], alike.size


def _best_correlation(
    images: NDArray[np.uint8], pairs: NDArray[np.int64], mirrored: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """The correlation of each pair's pixels, float32 (P,), the second image mirrored where ``mirrored``.

    At the best of nine moves by at most one pixel: what rounding the centre may have cost.
    """
    result = np.zeros(len(pairs), np.float32)
    step = _block_size(images)
    for start in range(0, len(pairs), step):
        block = slice(start, start + step)
        firsts, seconds = _planes(images[pairs[block, 0]]), _planes(images[pairs[block, 1]])
        seconds = np.where(mirrored[block, None, None, None], seconds[..., ::-1], seconds)
        unit = _unit(firsts)
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                moved = _unit(np.roll(seconds, (down, right), axis=(2, 3)))
                np.maximum(result[block], np.einsum("np,np->n", unit, moved), out=result[block])
        if images.ndim == 4:
            np.minimum(result[block], _with_hues(result[block], firsts, seconds), out=result[block])
    return result


def _planes(images: NDArray[np.uint8]) -> NDArray[Any]:
    """The planes that are compared: grey as it is, (N, 1, H, W); of colour Y, Cb and Cr, float32 (N, 3, H, W)."""
    if images.ndim == 3:
        return images[:, None]
    red, green, blue = (images[..., channel].astype(np.float32) for channel in range(3))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return np.stack([luma, 0.564 * (blue - luma), 0.713 * (red - luma)], axis=1)


def _less_mean(planes_NCHW: NDArray[Any], fields: int | None = None) -> Vectors:
    """Pixels, or ``fields`` × ``fields`` fields, less their mean; then, of colour, fields of its two planes."""
    if fields is None:
        vectors = planes_NCHW[:, 0].reshape(len(planes_NCHW), -1).astype(np.float32)
    else:
        vectors = coarse(planes_NCHW[:, 0], fields)
    vectors -= vectors.mean(axis=1, keepdims=True)

    # a field counts for as many pixels as it stands for, so that colour weighs no less for being averaged
    parts = [vectors]
    for plane in range(1, planes_NCHW.shape[1]):
        colours = coarse(planes_NCHW[:, plane], COLOUR_FIELDS)
        colours -= colours.mean(axis=1, keepdims=True)
        parts.append(colours * np.float32(math.sqrt(vectors.shape[1] / colours.shape[1])))
    return np.concatenate(parts, axis=1) if len(parts) > 1 else vectors


def _unit(planes_NCHW: NDArray[Any], fields: int | None = None) -> Vectors:
    """The vectors of :func:`_less_mean`, of length 1; zeros for constant images."""
    vectors = _less_mean(planes_NCHW, fields)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length < 1e-3, np.inf, length), np.float32)


def _with_hues(correlation_N: NDArray[np.float32], firsts: NDArray[Any], seconds: NDArray[Any]) -> Vectors:
    """The correlation of pairs of colour images by which the mean colour counts too, float32 (N,).

    It follows from ``correlation_N``, which leaves that out, and so is known for the best of the moves without moving
    anything: a move changes no mean.
    """
    pixels = firsts.shape[2] * firsts.shape[3]
    hues = [planes[:, 1:].mean(axis=(2, 3)) for planes in (firsts, seconds)]
    squares = [(_less_mean(planes) ** 2).sum(axis=1) for planes in (firsts, seconds)]

    products_N = correlation_N * np.sqrt(squares[0] * squares[1]) + pixels * (hues[0] * hues[1]).sum(axis=1)
    lengths = [square + pixels * (hue**2).sum(axis=1) for square, hue in zip(squares, hues, strict=True)]
    return np.asarray(products_N / np.sqrt(np.maximum(lengths[0] * lengths[1], 1e-6)), np.float32)


def _with_altered_copies(found: NearDuplicates, images: NDArray[np.uint8]) -> NearDuplicates:
    """What was found by pixels, and the altered copies that weren't; of colour those whose colours agree, too."""
    grey = in_grey(images)
    pose, fields = poses(grey)
    pairs, likeness, mirrored = altered_copies(alterations_in_pose(grey, fields))
    if images.ndim == 4:
        same = _same_colours_in_pose(images, pose, pairs, mirrored)
        in_frame = altered_copies(alterations_in_frame(grey))
        same_in_frame = _same_colours_in_frame(images, in_frame[0], in_frame[2])
        pairs = np.concatenate([pairs[same], in_frame[0][same_in_frame]])
        likeness = np.concatenate([likeness[same], in_frame[1][same_in_frame]])
        mirrored = np.concatenate([mirrored[same], in_frame[2][same_in_frame]])
    order = np.lexsort((pairs[:, 1], pairs[:, 0], mirrored, -likeness))[:MAX_PAIRS]

    pairs = np.concatenate([found.pairs, pairs[order]])
    likeness = np.concatenate([found.correlation, likeness[order]])
    mirrored = np.concatenate([found.mirrored, mirrored[order]])
    _, first = np.unique(pairs, axis=0, return_index=True)
    first.sort()
    return NearDuplicates(pairs[first], likeness[first], mirrored[first], found.compared)


def _same_colours_in_pose(
    images: NDArray[np.uint8], pose: Pose, pairs: NDArray[np.int64], mirrored: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Whether the two of each pair have the same colours in the same places, bool (P,).

    What is compared are differences of colour over 8 × 8 fields of the images in their pose, 0–255.
    """
    used, place = np.unique(pairs, return_inverse=True)
    own = Pose(*(value[used] for value in (pose.ground, pose.down, pose.right, pose.reach)))
    planes = _planes(images[used])
    hues = np.stack([in_pose(planes[:, plane], own, COLOUR_FIELDS) for plane in (1, 2)], axis=1)
    return _are_near(hues, place.reshape(-1, 2), mirrored, MAX_HUE_SHARE)


def _same_colours_in_frame(
    images: NDArray[np.uint8], pairs: NDArray[np.int64], mirrored: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """The same for photographs, in their frame: stronger or fainter colours of one are those of another contrast."""
    used, place = np.unique(pairs, return_inverse=True)
    planes = _planes(images[used])
    weight_HW = edges_faded(*images.shape[1:3])
    hues = np.stack([coarse(planes[:, plane] * weight_HW, COLOUR_FIELDS) for plane in (1, 2)], axis=1)
    hues = hues.reshape(len(used), 2, *(min(COLOUR_FIELDS, side) for side in images.shape[1:3]))
    return _are_near(hues, place.reshape(-1, 2), mirrored, MAX_HUE_SHARE_IN_FRAME, MAX_STRONGER)


def _are_near(
    hues: Vectors, place_P2: NDArray[np.int64], mirrored: NDArray[np.bool_], share: float, stronger: float = 1.0
) -> NDArray[np.bool_]:
    """Whether differences of colour (M, 2, H, W) agree up to ``share`` of their own, inverted or not, bool (P,).

    Args:
        stronger: by how much the colours of one may be stronger than the other's.
    """
    first, second = hues[place_P2[:, 0]], hues[place_P2[:, 1]]
    second = np.where(mirrored[:, None, None, None], second[..., ::-1], second)
    along = (first * second).sum(axis=(1, 2, 3)) / np.maximum((second**2).sum(axis=(1, 2, 3)), 1e-6)
    strength = np.sqrt((first**2).mean(axis=(1, 2, 3)))
    times = np.where(along < 0, -1, 1) * np.clip(np.abs(along), 1 / stronger, stronger)
    apart = np.sqrt(((first - times[:, None, None, None] * second) ** 2).mean(axis=(1, 2, 3)))
    return np.asarray(apart <= np.maximum(MAX_HUE_APART, share * strength))


def _distinct(
    pairs: NDArray[np.int64],
    correlation: NDArray[np.float32],
    mirrored: NDArray[np.bool_],
    threshold: float,
    compared: float,
) -> NearDuplicates:
    """Keep each pair once, in its better direction, if it is alike enough; most alike first."""
    good = correlation >= threshold
    pairs, correlation, mirrored = pairs[good], correlation[good], mirrored[good]

    order = np.lexsort((pairs[:, 1], pairs[:, 0], mirrored, -correlation))
    pairs, correlation, mirrored = pairs[order], correlation[order], mirrored[order]

    # np.unique tells where each pair comes first, which is where it correlates best; sorted, the order stays
    _, first = np.unique(pairs, axis=0, return_index=True)
    first.sort()
    return NearDuplicates(pairs[first], correlation[first], mirrored[first], compared)
