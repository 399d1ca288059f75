"""Split labelled images into train, validation and test so that nothing of the one is seen again in the other.

Images of one group (a person, a garment, a series of shots), equal images and near-duplicates lie on one side: a test
image whose twin was trained on measures memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.near_duplicates import near_duplicates
from fittingroom.data.cut import bundles, deal_bundles
from fittingroom.data.dataset import Dataset
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError

PARTS = ("train", "validation", "test")
MAX_COMPARED = 10_000  # images among which near-duplicates are looked for: a minute for 64×64 in colour


@dataclass(frozen=True, eq=False)
class DataSplit:
    """Which part each image is in.

    Attributes:
        parts: int64 (N,), indices of :data:`PARTS`.
        bundles: int64 (N,): images of one number had to stay together.
        notes: what of it a person should know, a sentence each.
    """

    parts: NDArray[np.int64]
    bundles: NDArray[np.int64]
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> dict[str, NDArray[np.int64]]:
        """The rows of each part that has images, in file order, by the names of :data:`PARTS`."""
        members = {name: np.flatnonzero(self.parts == number) for number, name in enumerate(PARTS)}
        return {name: rows for name, rows in members.items() if len(rows)}

    def of(self, dataset: Dataset) -> Splits:
        """The parts of ``dataset`` as data sets."""
        parts = {name: dataset.subset(rows, f"{dataset.name} ({name})") for name, rows in self.rows.items()}
        return Splits(parts["train"], parts.get("validation"), parts.get("test"))


def split_dataset(
    dataset: Dataset,
    *,
    test: float,
    validation: float = 0.0,
    groups: Sequence[str | None] | None = None,
    seed: int = 0,
    near: bool = True,
) -> DataSplit:
    """Split by chance, in the proportions of the classes, and keep together what belongs together.

    Without groups and equal images each class has its share in each part, to the image. Bundles of several images are
    dealt out first, the largest first, each to the part that lacks most of its classes; the single ones then fill up.

    Args:
        dataset: labelled, N images.
        test, validation: the share of all images, 0 to less than 1; together more than 0 and less than 1.
        groups: of each image, N; None or "" for one in no group. None: those of the data set.
        seed: of the draw, ≥ 0. The same images, groups, shares and seed give the same split.
        near: keep near-duplicates together too, in sets of up to 10,000 images.

    Raises:
        DataError: no labels, shares that can't be, or so few bundles that a part has none.

    Example:
        >>> import fittingroom as fr
        >>> from fittingroom.data_split import split_dataset
        >>> split = split_dataset(fr.open_dataset("sample").train, test=0.2, near=False)
        >>> split.of(fr.open_dataset("sample").train).test.class_counts()
        array([40, 40, 40, 40, 40, 40, 40, 40, 40, 40])
    """
    if dataset.labels is None:
        raise DataError(f"{dataset.name}: labels expected, none found: a stratified split needs them")
    _check_shares(test, validation)
    groups = dataset.groups if groups is None else groups
    if groups is not None and len(groups) != len(dataset):
        raise DataError(f"{dataset.name}: {len(dataset):,} groups expected, one an image, {len(groups):,} found")

    bundle_N, notes = _bundles(dataset, groups, near)
    shares = np.array([1 - test - validation, validation, test])
    part_N = _dealt(dataset, bundle_N, shares, np.random.default_rng(seed))

    for number in np.flatnonzero(shares > 0):
        if not (part_N == number).any():
            raise DataError(
                f"{dataset.name}: no image for {PARTS[number]}: its {len(dataset):,} images are {bundle_N.max() + 1:,} "
                "that can be split, as those of one group, equal and nearly equal ones stay together; "
                "give a larger share, or finer groups"
            )
    return DataSplit(part_N, bundle_N, (*notes, *_missing_classes(dataset, part_N, shares)))


# ── what stays together ──────────────────────────────────────────────────────────────────────────────────────


def _bundles(dataset: Dataset, groups: Sequence[str | None] | None, near: bool) -> tuple[NDArray[np.int64], list[str]]:
    """Number the images so that those that must stay together have one number; and what was found in doing so."""
    notes = []
    if groups is not None:
        count = len({group for group in groups if group})
        alone = sum(not group for group in groups)
        without = f"; {alone:,} images are in none" if alone else ""
        notes.append(f"{count:,} group{'s' * (count != 1)} kept together{without}")

    if repeated := len(dataset.repeats):
        notes.append(f"{repeated:,} image{'s' * (repeated != 1)} equal to another: kept on its side")

    pairs = [dataset.repeats]
    if near and len(dataset) > MAX_COMPARED:
        notes.append(f"near-duplicates were not looked for among more than {MAX_COMPARED:,} images")
    elif near:
        found = near_duplicates(dataset.images).pairs
        pairs.append(found)
        equal = bundles(len(dataset), pairs=[dataset.repeats])
        distinct = len(found) if equal is None else int((equal[found[:, 0]] != equal[found[:, 1]]).sum())
        if distinct:
            notes.append(f"{distinct:,} pair{'s' * (distinct != 1)} of near-duplicates: kept together")

    bundle_N = bundles(len(dataset), groups=groups, pairs=pairs)
    return np.arange(len(dataset)) if bundle_N is None else bundle_N, notes


# ── dealing out ──────────────────────────────────────────────────────────────────────────────────────────────


def _check_shares(test: float, validation: float) -> None:
    if not (0 <= test < 1 and 0 <= validation < 1 and 0 < test + validation < 1):
        raise DataError(
            f"shares of the images for test and validation expected, together more than 0% and less than 100%, "
            f"{test:.4g} and {validation:.4g} found"
        )


def _dealt(
    dataset: Dataset, bundle_N: NDArray[np.int64], shares: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.int64]:
    """The part of each image, int64 (N,)."""
    assert dataset.labels is not None
    labels = dataset.labels
    wanted_KP = _wanted(dataset.class_counts(), shares)
    part_N, filled_KP = deal_bundles(labels, bundle_N, wanted_KP, random)
    single_N = part_N < 0
    part_N[single_N] = 0

    # Single images make each class's share exact, as far as the bundles have left it open.
    for label in range(len(wanted_KP)):
        members = random.permutation(np.flatnonzero(single_N & (labels == label)))
        for part in (2, 1):
            lacking = max(0, int(wanted_KP[label, part] - filled_KP[label, part]))
            part_N[members[:lacking]] = part
            members = members[lacking:]
    return part_N


def _wanted(counts_K: NDArray[np.int64], shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many images of each class each part is to have, int64 (K, 3), by the largest remainder over the classes."""
    wanted_KP = np.zeros((len(counts_K), len(PARTS)), np.int64)
    for part in (2, 1):
        # rounded: 0.2 · 35 is 7.000000000000001, whose remainder is none
        exact_K = np.round(counts_K * shares[part], 9)
        total = int(np.floor(counts_K.sum() * shares[part] + 0.5))
        quota_K = np.floor(exact_K).astype(np.int64)
        more = np.argsort(-(exact_K - quota_K), kind="stable")[: max(0, total - quota_K.sum())]
        quota_K[more] += 1

        # a class of a single image is trained on
        wanted_KP[:, part] = np.minimum(quota_K, np.maximum(0, counts_K - 1 - wanted_KP.sum(axis=1)))
    wanted_KP[:, 0] = counts_K - wanted_KP.sum(axis=1)
    return wanted_KP


def _missing_classes(dataset: Dataset, part_N: NDArray[np.int64], shares: NDArray[np.float64]) -> list[str]:
    assert dataset.labels is not None
    notes = []
    has_images = dataset.class_counts() > 0
    for number in np.flatnonzero(shares > 0):
        counts_K = np.bincount(dataset.labels[part_N == number], minlength=dataset.num_classes)
        missing = [dataset.classes[label] for label in np.flatnonzero(has_images & (counts_K == 0))]
        if missing:
            more = f" and {len(missing) - 5:,} more" if len(missing) > 5 else ""
            notes.append(f"no image in {PARTS[number]} of {', '.join(missing[:5])}{more}")
    return notes
