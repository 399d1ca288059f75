"""Copies that were altered: resized, blurred, turned or zoomed a little, of another contrast, inverted, mirrored.

Each image is brought to a pose of its own first, by its moments: what differs from its ground (the median of its
border), on the centre of mass, enlarged to one size, 16 × 16 fields. There an inverted copy equals its original, and
one that was moved or zoomed nearly does. Its lowest frequencies, made equally strong over the set ("whitened"), are
what is compared: what all trousers share counts for little, what one pair has for itself for much.

Two images are copies where the one is a sum of the other and of its small changes (moved, turned, zoomed, blurred, of
another contrast), up to a rest: the multiple correlation of that sum, in either direction, is the likeness of the
pair. So small changes cost nothing, which is the tangent distance of Simard, LeCun and Denker (1993). What is more than
a small change (turned by more than a degree or two, of a strong contrast) is looked for by images that were changed so.

Photographs, which have no ground to be set off against, are compared in their frame instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.features import coarse
from fittingroom.audit.image_cells import cell_centres, nearest_cells, rows_by_cell

FIELDS = 16  # a side of an image in its pose
POSE_RADII = 1.75  # how far the pose reaches, in root mean square distances from the centre of mass
COMPRESSION = 0.7  # power of the difference from the ground: midway between counting outlines and counting tones
FAINT = 0.08  # of an image's strongest difference: so much counts for ground, as what JPEG leaves around edges does
FREQUENCIES, DIMENSIONS = 120, 90  # of the fields that are kept; of the whitened vectors
COARSE_DIMENSIONS = 40  # of the vectors by which candidates are found
TILT = 1.5  # power by which frequencies are made equal before the set is asked
LARGE, TAIL = 10_000, 6  # images from which on a higher likeness is asked for; see threshold_of
PRIOR_IMAGES = 500  # that a flat spectrum counts for: a small set doesn't say what is common to all of its images
MIN_IMAGES = 4
CANDIDATES, IN_A_CELL, PROBES = 12, 4, 8  # of an image, in each direction; of one cell; cells that are looked into
MIN_LIKENESS = 0.94  # some 5 pairs of different classes in 10,000 images of Fashion-MNIST; see threshold_of
TURNS = (4.0, 8.0, -4.0, -8.0)  # degrees by which images are turned, to find copies turned by about as much
CONTRAST = 1.4  # power of the tones, likewise
ZOOM = 1.06
MIN_LIKENESS_CHANGED = 0.97  # of what was turned, zoomed or has another contrast, and of photographs
EDGE = 0.15  # of a photograph's side, towards whose end it counts for less: a turn brings in what was outside
BLOCK = 4_096

Vectors = NDArray[np.float32]
Images = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Pose:
    """Where an image's content lies: (N,) each, in pixels.

    Attributes:
        ground: the median of the border.
        down, right: of the centre of mass.
        reach: half the side of the square that is looked at.
    """

    ground: Vectors
    down: Vectors
    right: Vectors
    reach: Vectors


def threshold_of(count: int, min_likeness: float) -> float:
    """The likeness from which on two of ``count`` images are copies; of 10,000, a little above ``min_likeness``.

    Stricter where few images say what is common to all, and where so many are compared that some are alike by chance:
    in Fashion-MNIST the pairs of different classes above a likeness t are as (1 - t)⁶, so that for as many per image
    1 - t has to shrink by the sixth root.
    """
    room = (1 - min_likeness) * count / (count + 2 * PRIOR_IMAGES)
    return float(1 - room * min(1.0, (LARGE / count) ** (1 / TAIL)))


def poses(planes_NHW: NDArray[np.uint8], turned: float = 0, contrast: float = 1) -> tuple[Pose, Images]:
    """The pose of each grey image, and the image in it: float32 (N, 16, 16), 0–1, how far it is from the ground.

    Args:
        planes_NHW: the images.
        turned: degrees by which they are turned first, against the clock.
        contrast: power of the difference from the ground, 0–1.
    """
    parts = [_poses(planes_NHW[start : start + BLOCK], turned, contrast) for start in range(0, len(planes_NHW), BLOCK)]
    columns = zip(*((pose.ground, pose.down, pose.right, pose.reach, fields) for pose, fields in parts), strict=True)
    ground, down, right, reach, fields = (np.concatenate(column) for column in columns)
    return Pose(ground, down, right, reach), fields


def _poses(planes_NHW: NDArray[np.uint8], turned: float, contrast: float) -> tuple[Pose, Images]:
    height, width = planes_NHW.shape[1:]
    border = [planes_NHW[:, 0], planes_NHW[:, -1], planes_NHW[:, :, 0], planes_NHW[:, :, -1]]
    ground = np.median(np.concatenate(border, axis=1), axis=1).astype(np.float32)
    mass = np.abs(planes_NHW.astype(np.float32) - ground[:, None, None])
    mass /= np.maximum(mass.max(axis=(1, 2), keepdims=True), 1)
    if turned:
        mass = _turned(mass, turned)
    if contrast != 1:
        mass = mass ** np.float32(contrast)
    mass = np.maximum(mass - FAINT, 0) ** np.float32(COMPRESSION)

    total = np.maximum(mass.sum(axis=(1, 2)), 1e-6)
    rows, columns = np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32)
    by_row, by_column = mass.sum(axis=2), mass.sum(axis=1)
    down, right = by_row @ rows / total, by_column @ columns / total
    spread = (by_row * (rows - down[:, None]) ** 2).sum(axis=1) + (by_column * (columns - right[:, None]) ** 2).sum(
        axis=1
    )
    pose = Pose(ground, down, right, POSE_RADII * np.sqrt(np.maximum(spread / total, 1)))
    return pose, in_pose(mass, pose, FIELDS)


def _turned(values_NHW: Images, degrees: float, zoom: float = 1) -> Images:
    """Images turned about their middle, against the clock, and enlarged, bilinear; what comes in from outside is 0."""
    height, width = values_NHW.shape[1:]
    down, right = np.mgrid[:height, :width] - np.array([height - 1, width - 1]).reshape(2, 1, 1) / 2
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    top = (cosine * down + sine * right) / zoom + (height - 1) / 2
    left = (cosine * right - sine * down) / zoom + (width - 1) / 2

    # each pixel comes from four, with the same weights in every image
    first_row, first_column = np.floor(top).astype(int), np.floor(left).astype(int)
    flat, result = values_NHW.reshape(len(values_NHW), -1), np.zeros((len(values_NHW), height * width), np.float32)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        at_row, at_column = first_row + row, first_column + column
        is_inside = (at_row >= 0) & (at_row < height) & (at_column >= 0) & (at_column < width)
        weight = (1 - np.abs(top - at_row)) * (1 - np.abs(left - at_column)) * is_inside
        place = np.where(is_inside, at_row * width + at_column, 0).reshape(-1)
        result += flat[:, place] * weight.reshape(-1).astype(np.float32)
    return result.reshape(values_NHW.shape)


def in_pose(values_NHW: NDArray[np.float32], pose: Pose, fields: int) -> Images:
    """Images in their pose, as averages over fields: float32 (N, fields, fields); 0 outside of the image."""
    height, width = values_NHW.shape[1:]
    places = (np.arange(fields, dtype=np.float32) + 0.5) / fields * 2 - 1
    spacing = np.maximum(2 * pose.reach / fields, 1)[:, None, None]

    def weights(middle: Vectors, size: int) -> Vectors:
        at = (middle[:, None] + places * pose.reach[:, None])[:, :, None]
        near = 1 - np.abs(at - np.arange(size, dtype=np.float32)) / spacing
        return np.asarray(np.maximum(near, 0) / spacing, np.float32)

    down, right = weights(pose.down, height), weights(pose.right, width)
    return np.asarray(np.matmul(np.matmul(down, values_NHW), right.transpose(0, 2, 1)), np.float32)


@dataclass(frozen=True, eq=False)
class Altered:
    """The images once more, altered as a copy may be by more than small changes.

    Attributes:
        fields: as of :func:`poses`, (N, 16, 16).
        min_likeness: of images and altered ones among 10,000; see :func:`threshold_of`.
        mirrored: whether that is what they are.
        both_ways: whether the same alteration leads back.
    """

    fields: Images
    min_likeness: float
    mirrored: bool = False
    both_ways: bool = True


def alterations_in_pose(grey_NHW: NDArray[np.uint8], fields_NSS: Images) -> list[Altered]:
    """What copies are looked for by: images in their pose, which are ``fields_NSS`` as they are."""
    # one of two copies is the one that has the stronger contrast: one direction finds both. Turns need both: a copy
    # that was turned is blurred again when it is turned back, and of those turned by -5° a fifth were overlooked so
    turned = [poses(grey_NHW, turned=degrees)[1] for degrees in TURNS]
    changed = [*turned, poses(grey_NHW, contrast=CONTRAST)[1]]
    return [
        Altered(fields_NSS, MIN_LIKENESS),
        Altered(fields_NSS[:, :, ::-1], MIN_LIKENESS, mirrored=True),
        *(Altered(fields, MIN_LIKENESS_CHANGED, both_ways=False) for fields in changed),
    ]


def alterations_in_frame(grey_NHW: NDArray[np.uint8]) -> list[Altered]:
    """The same for photographs, which have no ground to be set off against: by what is where in the frame."""
    tones: Images = grey_NHW.astype(np.float32) / np.float32(255)
    around_mean: Images = tones - tones.mean(axis=(1, 2), keepdims=True)
    fields = _in_frame(tones)
    changed = [_turned(around_mean, degrees) for degrees in TURNS] + [_turned(around_mean, 0, ZOOM)]
    changed.append(np.asarray(tones**CONTRAST, np.float32))
    return [
        Altered(fields, MIN_LIKENESS_CHANGED),
        Altered(fields[:, :, ::-1], MIN_LIKENESS_CHANGED, mirrored=True),
        Altered(-fields, MIN_LIKENESS_CHANGED),
        *(Altered(_in_frame(values), MIN_LIKENESS_CHANGED, both_ways=False) for values in changed),
    ]


def _in_frame(values_NHW: Images) -> Images:
    """Differences from the mean, averaged to fields, less towards the edges: float32 (N, 16, 16)."""
    weight_HW = edges_faded(*values_NHW.shape[1:])
    mean_N = (values_NHW * weight_HW).sum(axis=(1, 2), keepdims=True) / weight_HW.sum()
    faded = (values_NHW - mean_N) * weight_HW
    for axis in (1, 2):  # a side of less than 16 pixels has fewer fields than that
        faded = np.repeat(faded, math.ceil(FIELDS / faded.shape[axis]), axis=axis)
    return coarse(faded, FIELDS).reshape(len(faded), FIELDS, FIELDS)


def edges_faded(height: int, width: int) -> Vectors:
    """Weights of a photograph's pixels, float32 (height, width): 1, but for the edges, where they go to 0."""
    sides = []
    for length in (height, width):
        place = (np.arange(length) + 0.5) / length
        sides.append(np.sin(np.minimum(1, np.minimum(place, 1 - place) / EDGE) * np.pi / 2) ** 2)
    return np.outer(*sides).astype(np.float32)


def altered_copies(
    alterations: Sequence[Altered],
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.bool_]]:
    """Find the pairs of images that are altered copies of each other.

    Args:
        alterations: of the same images, N of them each; the first has them as they are.

    Returns:
        Pairs of rows (P, 2), first < second; their likeness (P,); and whether one is mirrored (P,). A pair may be there
        more than once.
    """
    fields_NSS = alterations[0].fields
    count = len(fields_NSS)
    if count < MIN_IMAGES:
        return np.empty((0, 2), np.int64), np.empty(0, np.float32), np.empty(0, bool)
    mean_F, to_coarse, to_fine = _whitening(fields_NSS)
    changes = np.concatenate(
        [_changes(fields_NSS[start : start + BLOCK], mean_F, to_fine) for start in range(0, count, BLOCK)]
    )
    cells = Cells.of(_unit(_flat(fields_NSS, mean_F) @ to_coarse))

    # an image without content has no copies: all that is left of it is the mean of the others
    has_content_N = np.asarray(fields_NSS.any(axis=(1, 2)))
    found = []
    for altered in alterations:
        flat = _flat(altered.fields, mean_F)
        pairs, fine = cells.nearest(_unit(flat @ to_coarse)), flat @ to_fine
        pairs = pairs[has_content_N[pairs].all(axis=1)]
        likeness = np.empty(len(pairs), np.float32)
        for start in range(0, len(pairs), BLOCK):
            block = slice(start, start + BLOCK)
            one, other = pairs[block].T
            likeness[block] = _likeness(changes[other], fine[one])
            if altered.both_ways:
                likeness[block] = np.maximum(likeness[block], _likeness(changes[one], fine[other]))
        good = likeness >= threshold_of(count, altered.min_likeness)
        found.append((np.sort(pairs[good], axis=1), likeness[good], np.full(good.sum(), altered.mirrored)))
    pairs, likeness, mirrored = (np.concatenate(column) for column in zip(*found, strict=True))
    return pairs, likeness, mirrored


def _flat(fields_NSS: Images, mean_F: Vectors) -> Vectors:
    return np.asarray(fields_NSS.reshape(len(fields_NSS), -1) - mean_F, np.float32)


def _unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6), np.float32)


def _whitening(fields_NSS: Images) -> tuple[Vectors, Vectors, Vectors]:
    """The mean image (F,), and what makes vectors of the rest: coarse ones, half whitened, and fine ones, whitened."""
    side = np.arange(FIELDS)
    cosines = np.cos(np.pi * (side + 0.5) * side[:, None] / FIELDS)
    cosines /= np.linalg.norm(cosines, axis=1, keepdims=True)
    waves = np.einsum("iy,jx->ijyx", cosines, cosines).reshape(FIELDS**2, FIELDS**2)
    square = np.add.outer(side**2, side**2).reshape(-1)
    lowest = np.argsort(square, kind="stable")[1 : FREQUENCIES + 1]  # the first is the mean
    # pictures have less of the higher frequencies
    to_waves = (waves[lowest] * (1 + np.sqrt(square[lowest]))[:, None] ** TILT).T

    flat = fields_NSS.reshape(len(fields_NSS), -1)
    mean_F = flat.mean(axis=0, dtype=np.float64)
    strengths = (flat - mean_F) @ to_waves
    covariance = strengths.T @ strengths
    flat_spectrum = PRIOR_IMAGES * np.trace(covariance) / len(flat) / len(lowest)
    covariance = (covariance + flat_spectrum * np.eye(len(lowest))) / (len(flat) + PRIOR_IMAGES)
    variances, directions = np.linalg.eigh(covariance)
    variances, directions = np.maximum(variances[::-1], 1e-12), directions[:, ::-1]

    fine = to_waves @ (directions / np.sqrt(variances))[:, :DIMENSIONS]
    coarse = to_waves @ (directions / variances**0.25)[:, :COARSE_DIMENSIONS]
    return mean_F.astype(np.float32), coarse.astype(np.float32), fine.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Cells:
    """Unit vectors by the cell that they are at home in.

    Attributes:
        vectors: float32 (N, D).
        centres: of the cells.
        members: the rows at home in each.
    """

    vectors: Vectors
    centres: Vectors
    members: list[NDArray[np.int64]]

    @classmethod
    def of(cls, vectors: Vectors) -> Cells:
        """Make cells of the vectors."""
        centres = cell_centres(vectors)
        home_N, _ = nearest_cells(vectors, centres, 1)
        return cls(vectors, centres, rows_by_cell(home_N, len(centres)))

    def nearest(self, lookers: Vectors) -> NDArray[np.int64]:
        """The nearest few of the vectors for each of ``lookers``, (N, D) too, but for its own: rows of both (P, 2)."""
        probes_NK = nearest_cells(lookers, self.centres, PROBES)[1]
        lookers_of = rows_by_cell(probes_NK.reshape(-1), len(self.centres), repeated=probes_NK.shape[1])
        best = [np.empty((0, 3))]
        for home, others in zip(self.members, lookers_of, strict=True):
            if not len(home) or not len(others):
                continue
            alike = lookers[others] @ self.vectors[home].T
            alike[others[:, None] == home] = -2  # an image is no copy of itself
            most = min(IN_A_CELL, len(home))
            nearest = np.argpartition(-alike, most - 1, axis=1)[:, :most]
            scores = np.take_along_axis(alike, nearest, axis=1).reshape(-1)
            best.append(np.stack([np.repeat(others, most), home[nearest].reshape(-1), scores], axis=1))

        # of all cells that an image was looked for in, the few nearest
        looker, member, score = np.concatenate(best).T
        order = np.lexsort((-score, looker))
        looker, member, score = looker[order], member[order], score[order]
        first = np.searchsorted(looker, looker)
        keep = (np.arange(len(looker)) - first < CANDIDATES) & (score > 0)
        return np.stack([looker[keep], member[keep]], axis=1).astype(np.int64)


def _changes(fields_NSS: Images, mean_F: Vectors, to_fine: Vectors) -> Vectors:
    """Each image and its small changes as orthonormal vectors, float32 (N, D, 8)."""
    edged = np.pad(fields_NSS, ((0, 0), (1, 1), (1, 1)), mode="edge")
    down = (edged[:, 2:, 1:-1] - edged[:, :-2, 1:-1]) / 2
    right = (edged[:, 1:-1, 2:] - edged[:, 1:-1, :-2]) / 2
    rows, columns = np.mgrid[:FIELDS, :FIELDS].astype(np.float32) - (FIELDS - 1) / 2
    tangents = (
        down,
        right,
        down * columns - right * rows,  # turned
        down * rows + right * columns,  # zoomed
        _smoothed(_smoothed(fields_NSS).transpose(0, 2, 1)).transpose(0, 2, 1) - fields_NSS,  # blurred
        fields_NSS**2,  # of another contrast
        np.sign(fields_NSS) * np.sqrt(np.abs(fields_NSS)),
    )
    itself = _flat(fields_NSS, mean_F) @ to_fine
    vectors = np.stack([itself, *(t.reshape(len(t), -1) @ to_fine for t in tangents)], axis=2)
    basis = np.asarray(vectors, np.float64)
    basis /= np.maximum(np.linalg.norm(basis, axis=1, keepdims=True), 1e-9)

    # Gram and Schmidt by Cholesky; the little that is added keeps changes that are all but the same apart
    gram = basis.transpose(0, 2, 1) @ basis + 1e-6 * np.eye(basis.shape[2])
    return np.asarray(basis @ np.linalg.inv(np.linalg.cholesky(gram)).transpose(0, 2, 1), np.float32)


def _smoothed(values_NSS: Images) -> Images:
    """Along the rows, by 1 : 2 : 1 twice."""
    for _ in range(2):
        edged = np.pad(values_NSS, ((0, 0), (1, 1), (0, 0)), mode="edge")
        values_NSS = np.asarray((edged[:, 2:] + 2 * edged[:, 1:-1] + edged[:, :-2]) / 4, np.float32)
    return values_NSS


def _likeness(changes_PDK: Vectors, vectors_PD: Vectors) -> Vectors:
    """The multiple correlation of each vector with what its image may be changed to, 0–1."""
    explained = np.matmul(changes_PDK.transpose(0, 2, 1), vectors_PD[:, :, None])[:, :, 0]
    return np.asarray(
        np.linalg.norm(explained, axis=1) / np.maximum(np.linalg.norm(vectors_PD, axis=1), 1e-9), np.float32
    )
