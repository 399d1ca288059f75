"""Cutting a set into parts by chance, in the proportions of the classes, with what belongs together on one side.

What belongs together is a number for each image, int64 (N,), the same for those of one bundle: :func:`bundles` makes it
of groups, equal images and near-duplicates, and nothing below it knows of which.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.dataset import Dataset
from fittingroom.data.large import is_large, without
from fittingroom.errors import DataError

MANY_ALIKE = 0.05  # of the images are tied beyond their groups: so many make an interval too narrow
LARGEST_HELD_OUT = 2  # a single bundle is held out only if it is at most one part in so many of the set


def bundles(
    count: int, *, groups: Sequence[str | None] | None = None, pairs: Iterable[NDArray[np.int64]] = ()
) -> NDArray[np.int64] | None:
    """Number images so that those that must stay together have one number.

    Args:
        count: of images, N.
        groups: of each image; None, or an empty name, for one in no group.
        pairs: int64 (P, 2) each: the rows of two images that stay together.

    Returns:
        int64 (N,), counted from 0 in the order of each bundle's first image; None where no image is tied to another.

    Example:
        >>> bundles(5, groups=["anna", None, "anna", "ben", None], pairs=[np.array([[4, 3]])])
        array([0, 1, 0, 2, 2])
    """
    edges = [np.empty((0, 2), np.int64), *pairs]
    if groups is not None:
        edges.append(_rows_of_one_group(groups))
    ties = np.concatenate(edges)
    if not len(ties):
        return None

    # each bundle is called by its lowest row, to which the others lead
    parent = list(range(count))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for one, other in ties.tolist():
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    roots_N = np.array([root(row) for row in range(count)])
    return np.unique(roots_N, return_inverse=True)[1].astype(np.int64)


def groups_for_intervals(dataset: Dataset, group_N: NDArray[np.int64] | None = None) -> tuple[str | None, ...] | None:
    """The groups that an interval goes by: the set's own or, where many images are tied beyond these, its bundles.

    Five copies of an image say no more of a model than one does.

    Args:
        dataset: N images, with the groups that are known, if any.
        group_N: the bundle of each, int64 (N,); None for those of its groups and equal images.

    Returns:
        A name for each image that isn't alone, else None; None where nothing is known.

    Example:
        >>> import fittingroom as fr
        >>> images = np.stack([np.full((28, 28), grey, np.uint8) for grey in (3, 3, 5)])
        >>> groups_for_intervals(fr.Dataset(images=images, labels=None, classes=(), name="three"))
        ('alike 0', 'alike 0', None)
    """
    if group_N is None:
        group_N = bundles(len(dataset), groups=dataset.groups, pairs=[dataset.repeats])
    return dataset.groups if group_N is None else groups_or_bundles(dataset.groups, group_N)


def groups_or_bundles(
    groups: tuple[str | None, ...] | None, group_N: NDArray[np.int64]
) -> tuple[str | None, ...] | None:
    """The groups of N images or, where many are tied beyond these, their bundles, named as above.

    Args:
        groups: of each image; None where none are known.
        group_N: the bundle of each, int64 (N,), from 0.
    """
    names = groups or (None,) * len(group_N)
    independent = len({name for name in names if name}) + sum(not name for name in names)
    sizes_B = np.bincount(group_N)
    if independent - len(sizes_B) < MANY_ALIKE * len(group_N):
        return groups

    # A bundle that is a group, and no more, keeps its name.
    names_of: dict[int, set[str | None]] = {}
    for bundle, name in zip(group_N.tolist(), names, strict=True):
        names_of.setdefault(bundle, set()).add(name)
    name_of = {bundle: of.pop() if len(of) == 1 else None for bundle, of in names_of.items()}
    return tuple(name_of[bundle] or (f"alike {bundle}" if sizes_B[bundle] > 1 else None) for bundle in group_N.tolist())


def _rows_of_one_group(groups: Sequence[str | None]) -> NDArray[np.int64]:
    """Pairs of rows (P, 2): the first of each group with each of its others."""
    first_of: dict[str, int] = {}
    ties = [(first_of.setdefault(group, row), row) for row, group in enumerate(groups) if group]
    return np.array([(first, row) for first, row in ties if first != row], np.int64).reshape(-1, 2)


def stratified_split(
    dataset: Dataset, n: int, seed: int, group_N: NDArray[np.int64] | None = None
) -> tuple[Dataset, Dataset]:
    """Hold n images out of the set, by chance, in proportion to the classes.

    Which classes give one more where n does not divide evenly is decided by the largest remainder. Both
    parts keep the file order, but for the rest of a large set (:mod:`fittingroom.data.large`): its last images
    take the places of those held out, so that it need not be copied. The same set, n, seed and groups give the same
    split.

    Args:
        dataset: labelled, N images.
        n: to hold out, 1 ≤ n < N: exactly so many without bundles, else as nearly as they permit; but never all images
            of a class, so fewer where each would lose its last.
        seed: of the draw, ≥ 0.
        group_N: int64 (N,), the same for images that are to lie on one side; None, or all different, for none.

    Returns:
        The rest and those held out.

    Raises:
        DataError: another n, a set without labels, or bundles so large that none can be held out.

    Example:
        >>> import fittingroom as fr
        >>> from fittingroom.data import stratified_split
        >>> rest, held_out = stratified_split(fr.open_dataset("sample").train, n=200, seed=0)
        >>> held_out.class_counts()
        array([20, 20, 20, 20, 20, 20, 20, 20, 20, 20])
    """
    if dataset.labels is None:
        raise DataError(f"{dataset.name}: labels expected, none found: a stratified split needs them")
    if not 1 <= n < len(dataset):
        raise DataError(f"{dataset.name}: 1 to {len(dataset) - 1:,} images to hold out expected, {n:,} asked for")

    # whole numbers throughout: a rounded share could give another split on another machine
    shares = n * dataset.class_counts()
    quotas = shares // len(dataset)
    largest_remainder_first = np.argsort(-(shares % len(dataset)), kind="stable")
    # a class whose last image that would be passes it on to the next
    while (left := n - quotas.sum()) > 0:
        spares = dataset.class_counts()[largest_remainder_first] - quotas[largest_remainder_first] > 1
        if not spares.any():
            break
        quotas[largest_remainder_first[spares][:left]] += 1

    # bundles first; single images then make each class's share exact, as far as that was left open
    is_held_out = np.zeros(len(dataset), dtype=bool)
    is_single = np.ones(len(dataset), dtype=bool)
    if group_N is not None:
        wanted_KP = np.stack([dataset.class_counts() - quotas, quotas], axis=1)
        part_N, filled_KP = deal_bundles(dataset.labels, group_N, wanted_KP, np.random.default_rng([seed, 1]))
        is_held_out, is_single = part_N == 1, part_N < 0
        quotas = np.maximum(0, quotas - filled_KP[:, 1])

    generator = np.random.default_rng(seed)
    for label, quota in enumerate(quotas):
        members = generator.permutation(np.flatnonzero(dataset.labels == label))
        is_held_out[members[is_single[members]][:quota]] = True
    is_held_out &= ~_of_lost_classes(dataset, is_held_out, group_N)
    if is_held_out.all() or not is_held_out.any():  # of few large bundles, chance or their sizes may leave a side empty
        group_N = np.arange(len(dataset)) if group_N is None else group_N
        is_held_out = group_N == _bundle_to_hold_out(dataset, group_N, n)

    count = int(is_held_out.sum())
    name = f"{dataset.name} (without {count:,} held out)"
    if is_large(dataset.images):
        images, labels = without(dataset.images, is_held_out), without(dataset.labels, is_held_out)
        known = dataset.per_image(without(np.arange(len(dataset)), is_held_out))
        rest = Dataset(images, labels, dataset.classes, name, **known)
    else:
        rest = dataset.subset(~is_held_out, name)
    return rest, dataset.subset(is_held_out, f"{dataset.name} ({count:,} held out)")


def has_class_to_share(dataset: Dataset, group_N: NDArray[np.int64] | None) -> bool:
    """Whether any class has images in two bundles or more, so that some can be held out and some be learned from."""
    assert dataset.labels is not None
    if group_N is None:
        return bool((dataset.class_counts() > 1).any())
    bundles = np.unique(dataset.labels * (group_N.max() + 1) + group_N)
    return bool((np.bincount(bundles // (group_N.max() + 1)) > 1).any())


def _of_lost_classes(
    dataset: Dataset, is_held_out: NDArray[np.bool_], group_N: NDArray[np.int64] | None
) -> NDArray[np.bool_]:
    """Which images, with their bundles, are of a class that has none left among the rest: nothing could learn it."""
    assert dataset.labels is not None
    left_K = np.bincount(dataset.labels[~is_held_out], minlength=len(dataset.classes))
    is_lost_N = is_held_out & (left_K[dataset.labels] == 0)
    return is_lost_N if group_N is None else np.isin(group_N, group_N[is_lost_N])


def deal_bundles(
    labels_N: NDArray[np.int64], group_N: NDArray[np.int64], wanted_KP: NDArray[Any], random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Deal bundles of several images out to parts, each to the part that lacks most of its classes.

    Args:
        labels_N: the class of each image.
        group_N: the bundle of each image, numbers from 0.
        wanted_KP: how many images of each class each part is to have; a part that is to have none gets none.
        random: decides among bundles of one size.

    Returns:
        The part of each image, int64 (N,), -1 for those that are alone; and how many images of each class each part
        has got, int64 (K, P).
    """
    filled_KP = np.zeros(wanted_KP.shape, np.int64)
    part_N = np.full(len(labels_N), -1, np.int64)
    is_open_P = wanted_KP.sum(axis=0) > 0

    # The largest first, as they fit worst; by chance among those of one size.
    sizes = np.bincount(group_N)
    by_bundle, ends = np.argsort(group_N, kind="stable"), np.cumsum(sizes)
    order = random.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    several = order[: int((sizes > 1).sum())]

    # What a part would lack or have too much of each class, and in all, squared, by what it is to have: parts fill up
    # side by side, and one isn't filled beyond its size for the sake of a class.
    weight_P = 1 / np.maximum(wanted_KP.sum(axis=0), 1e-9)
    for bundle in several:
        rows = by_bundle[ends[bundle] - sizes[bundle] : ends[bundle]]
        counts_K = np.bincount(labels_N[rows], minlength=len(wanted_KP))[:, None]
        of_classes_P = (counts_K * (2 * (filled_KP - wanted_KP) + counts_K)).sum(axis=0)
        of_size_P = len(rows) * (2 * (filled_KP - wanted_KP).sum(axis=0) + len(rows))
        cost_P = (of_classes_P + of_size_P) * weight_P
        part = int(np.argmin(np.where(is_open_P, cost_P, np.inf)))
        part_N[rows] = part
        filled_KP[:, part] += counts_K[:, 0]
    return part_N, filled_KP


def stratified_folds(
    labels_N: NDArray[np.int64], folds: int, seed: int, group_N: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Give each image its fold, int64 (N,): classes spread evenly, and each bundle in one fold.

    Args:
        labels_N: the class of each image, from 0.
        folds: ≥ 2.
        seed: of the draw, ≥ 0.
        group_N: as for :func:`stratified_split`.

    Example:
        >>> stratified_folds(np.array([0, 0, 0, 1, 1, 1]), 3, seed=0)
        array([2, 1, 0, 1, 0, 2])
    """
    random = np.random.default_rng(seed)
    by_class = np.lexsort((random.random(len(labels_N)), labels_N))
    fold_N = np.empty(len(labels_N), np.int64)
    if group_N is None:  # dealt out like cards, class by class and shuffled within each
        fold_N[by_class] = np.arange(len(labels_N)) % folds
        return fold_N

    # Bundles first; each single one then goes to the fold that has fewest of its class, and fewest in all.
    counts_K = np.bincount(labels_N)
    wanted_KF = np.repeat(counts_K[:, None] / folds, folds, axis=1)
    fold_N, filled_KF = deal_bundles(labels_N, group_N, wanted_KF, random)
    sizes_F = filled_KF.sum(axis=0)
    for row in by_class[fold_N[by_class] < 0].tolist():
        of_class_F = filled_KF[labels_N[row]]
        fold = int(np.lexsort((sizes_F, of_class_F))[0])
        fold_N[row] = fold
        of_class_F[fold] += 1
        sizes_F[fold] += 1
    return fold_N


def _bundle_to_hold_out(dataset: Dataset, group_N: NDArray[np.int64], n: int) -> int:
    """The bundle whose size is nearest to n, of those without which the rest has images of every class still.

    Raises:
        DataError: there is none, or none of at most half of the images.
    """
    assert dataset.labels is not None
    sizes_B = np.bincount(group_N)
    counts_K = dataset.class_counts()
    for bundle in np.argsort(np.abs(sizes_B - n), kind="stable").tolist():
        left_K = counts_K - np.bincount(dataset.labels[group_N == bundle], minlength=len(counts_K))
        if sizes_B[bundle] * LARGEST_HELD_OUT <= len(dataset) and ((left_K > 0) | (counts_K == 0)).all():
            return int(bundle)
    raise DataError(
        f"{dataset.name}: {n:,} images to hold out expected, but its {len(dataset):,} images are {len(sizes_B):,} "
        "bundles (groups, equal images, near-duplicates), none of which can be held out: give finer groups, "
        "validation images of their own, or validation = 0"
    )
