"""Which training images a run keeps on one side when it holds some out: decided once, recorded, and read back.

Groups and equal images follow from the data. Near-duplicates follow from a search, which may have been done elsewhere:
so their pairs stand in the run's record, and no cache ever changes what a resumed run validates by.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.known_pairs import pairs_at_hand
from fittingroom.data.cut import bundles
from fittingroom.data.dataset import Dataset
from fittingroom.data.edits import Edits
from fittingroom.data.large import is_large
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError
from fittingroom.recipes.recipe import Recipe
from fittingroom.runs.environment_record import Environment, KeptTogether
from fittingroom.training.hold_out import held_out_count

CUT = 2  # how runs are cut now; those of 0.1 kept nothing together, which is 1


def decide_cut(
    splits: Splits,
    recipe: Recipe,
    *,
    cache: bool,
    opened: Dataset | None = None,
    edits: Edits | None = None,
    folds: int | None = None,
) -> KeptTogether | None:
    """What a new run keeps on one side, or in one fold; None where it holds nothing out of train.

    Args:
        splits: its data.
        recipe: says how many images it holds out.
        cache: whether what was found before is used, and what is found is kept.
        opened: the training set before the ``edits`` of the run: what was found of it holds for what is left of it.
        edits: what was changed in it; None for nothing.
        folds: of a cross-validation, in which all images are held out in turn.
    """
    if folds is None and not held_out_count(splits, recipe):
        return None
    train = splits.train
    near_from, near = _near_pairs(train, opened, edits, cache=cache)
    tied = bundles(len(train), groups=train.groups, pairs=[train.repeats])

    # of the pairs those that tie what nothing else ties: so many say all that there is to know
    near_pairs = near if tied is None else near[tied[near[:, 0]] != tied[near[:, 1]]]
    group_N = bundles(len(train), groups=train.groups, pairs=[train.repeats, near_pairs])
    return KeptTogether(
        groups=len({group for group in train.groups or () if group}),
        equal=len(train.repeats),
        near_pairs=" ".join(f"{first}-{second}" for first, second in near_pairs.tolist()),
        near_from=near_from,
        sha256=_digest(group_N),
    )


def _near_pairs(
    train: Dataset, opened: Dataset | None, edits: Edits | None, *, cache: bool
) -> tuple[str, NDArray[np.int64]]:
    """Where near-duplicates are known from, and the pairs of rows of ``train``."""
    if opened is None or edits is None or is_large(opened.images):  # whose rows change places when some are removed
        return pairs_at_hand(train, cache=cache)

    # the data check looked at the data as they are opened
    near_from, pairs = pairs_at_hand(opened, cache=cache)
    is_left = np.ones(len(opened), dtype=bool)
    is_left[[int(row) for row in edits.removed.get("train", "").split()]] = False
    now = np.cumsum(is_left) - 1
    return near_from, now[pairs[is_left[pairs].all(axis=1)]].astype(np.int64)


def bundles_of(environment: Environment, splits: Splits) -> NDArray[np.int64] | None:
    """The bundle of each training image by a run's record, int64 (N,); None where nothing is kept together.

    Raises:
        DataError: the data ties other images than it did when the run was started.
    """
    kept = environment.together
    if environment.cut < CUT or kept is None:
        return None

    # Near ones are taken from the record: which images look alike may be decided otherwise by another version.
    train = splits.train
    pairs = np.array([pair.split("-") for pair in kept.near_pairs.split()], np.int64).reshape(-1, 2)
    if len(pairs) and (pairs.min() < 0 or pairs.max() >= len(train)):
        raise DataError(
            f"{train.name}: the run's record ties images beyond its {len(train):,}: it was damaged or changed"
        )

    group_N = bundles(len(train), groups=train.groups, pairs=[train.repeats, pairs])
    if _digest(group_N) != kept.sha256:
        raise DataError(
            f"{train.name}: a run goes on only with the images that it held out; its groups, or which of its images "
            "are equal, have changed since it was started: put the data or `group` back, or start a new run"
        )
    return group_N


def _digest(group_N: NDArray[np.int64] | None) -> str:
    return "" if group_N is None else hashlib.sha256(np.ascontiguousarray(group_N, "<i8").data).hexdigest()
