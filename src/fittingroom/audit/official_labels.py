"""The labels of official images, compared with the official ones where the names tell what was meant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.findings import MAX_IMAGES_SHOWN, Finding, file_figures, row_text
from fittingroom.audit.official_part import Part
from fittingroom.audit.reference import manifest
from fittingroom.data.fetch.fingerprints import FASHION_MNIST_CLASSES
from fittingroom.rendering.contact_sheet import Row
from fittingroom.rendering.share import share_text

MAX_ROWS_LISTED = 4  # by a message


def label_noise(part: Part) -> list[Finding]:
    """Compare the labels of official images with the official ones, where the names tell what was meant."""
    labels = part.dataset.labels
    if labels is None:
        return []

    # only of official images is the right label known
    known = np.flatnonzero(part.official)
    given, right = labels[known], manifest().labels[part.rows[known]].astype(np.int64)
    if displaced_numbers(part):
        return []  # one cause for all of them, and labels.py says which

    is_wrong = _contradicts(part.dataset.classes, given, right)
    differ = known[is_wrong]
    if not len(differ):
        return []

    share = len(differ) / len(known)
    rows = differ[:MAX_IMAGES_SHOWN]
    official = [FASHION_MNIST_CLASSES[label] for label in manifest().labels[part.rows[rows]]]
    here = [part.dataset.classes[label] for label in labels[rows]]

    named = list(zip(rows.tolist(), here, official, strict=True))[:MAX_ROWS_LISTED]
    listed = "; ".join(
        f"{row_text(part.dataset, row)}: {mine} here, {theirs} officially" for row, mine, theirs in named
    )

    return [
        Finding(
            name="label-noise",
            severity="error" if share >= 0.005 else "warning",
            where=part.name,
            message=f"{len(differ):,} of {len(known):,} official images ({share_text(share)}) have another label than "
            f"officially ({listed})",
            effect="Where the official ones are right, models learn what is wrong, and are marked down for what is "
            "right.",
            advice="Take the official labels or correct these rows, unless they were changed on purpose.",
            figures={"differ": len(differ), "n": len(known), "share": share} | file_figures(part.dataset, differ),
            examples=(Row("other labels", "than officially", part.dataset.images[rows]),),
        )
    ]


def _contradicts(classes: Sequence[str], given_K: NDArray[np.int64], right_K: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a label names another official class than the image's own: bool (K,), of K official images.

    Names are matched one by one: of a subset, of classes put together or translated, only those names count that are
    official ones. A label that most images of two official classes have is a group that was made on purpose, whatever
    it is called. Bare numbers name official classes only where most classes have their official number.

    Args:
        classes: the names that the labels stand for.
        given_K: the labels as given, 0 to C - 1.
        right_K: the official classes of the same images, 0–9.
    """
    table_OC = np.zeros((len(FASHION_MNIST_CLASSES), len(classes)), np.int64)
    np.add.at(table_OC, (right_K, given_K), 1)
    present = np.flatnonzero(table_OC.sum(axis=1))
    usual_O = table_OC.argmax(axis=1)  # the label that most images of an official class have here

    is_numbered = _are_numbers(classes)
    number_C = np.arange(len(classes)) if is_numbered else official_numbers(classes)
    differs_K = (number_C[given_K] >= 0) & (number_C[given_K] != right_K)
    is_usual_K = given_K == usual_O[right_K]

    if not is_numbered:
        groups = np.flatnonzero(np.bincount(usual_O[present], minlength=len(classes)) > 1)
        return np.asarray(differs_K & ~(is_usual_K & np.isin(given_K, groups)))

    # numbers given anew to a subset, or to groups, are as good as the official ones, and contradict nothing; but
    # labels that tell nothing of the images, with all ten numbers in use, are no such numbering
    all_used = len(classes) == len(FASHION_MNIST_CLASSES) and len(present) == len(FASHION_MNIST_CLASSES)
    if all_used and is_usual_K.mean() < 0.5:
        return np.asarray(differs_K)
    is_own = usual_O[present] == present
    if is_own.mean() <= 0.5:
        return np.zeros(len(given_K), bool)

    # two numbers changed for each other are an error only where all ten classes are there, each with one of its own
    is_permuted = all_used and len(set(usual_O.tolist())) == len(FASHION_MNIST_CLASSES)
    return np.asarray(differs_K & (is_permuted | (usual_O == np.arange(len(usual_O)))[right_K]))


def displaced_numbers(part: Part) -> list[Finding]:
    """See whether all labels are the official ones but for one number that was added to each of them.

    Counted from 1 as in MATLAB and R, for one. Past 9 the numbers may begin again at 0.
    """
    labels, known = part.dataset.labels, np.flatnonzero(part.official)
    if labels is None or not len(known) or part.official.mean() < 0.5 or not _are_numbers(part.dataset.classes):
        return []

    given, right = labels[known], manifest().labels[part.rows[known]].astype(np.int64)
    offset, count = _offset_of_numbers(given, right)
    if not offset:
        return []

    low, high = int(given.min()), int(given.max())
    by = "one" if offset == 1 else f"{offset}"
    goes_round = "" if low else "; what is then below 0 has 10 added"
    return [
        Finding(
            name="label-range",
            severity="error",
            where=part.name,
            message=f"labels run from {low} to {high}, and those of {count:,} of {len(known):,} official images are "
            f"{by} more than officially: all {by} off",
            effect="A class gets the name of another one, and a class may exist that has no image.",
            advice=f"Subtract {offset} from each label{goes_round}: officially they run from 0 (T-shirt/top) to 9 "
            "(Ankle boot).",
            figures={"offset": offset, "displaced": count, "n": len(known), "low": low, "high": high},
            examples=(Row("as labelled", f"all {by} off", part.dataset.images[known[:MAX_IMAGES_SHOWN]]),),
        )
    ]


def _offset_of_numbers(given_K: NDArray[np.int64], right_K: NDArray[np.int64]) -> tuple[int, int]:
    """How much labels that are bare numbers exceed the official ones, and of how many images; 0, 0 if they don't."""
    present, classes = len(np.unique(right_K)), len(FASHION_MNIST_CLASSES)
    differences_K = given_K - right_K
    if present == classes:
        differences_K %= classes
    elif present < 3 or given_K.min() == 0:
        return 0, 0  # a subset may well be numbered anew from 0, and one of two classes anyhow

    values, times = np.unique(differences_K, return_counts=True)
    offset, count = int(values[times.argmax()]), int(times.max())
    return (offset, count) if offset > 0 and count >= 0.9 * len(given_K) else (0, 0)


def official_numbers(classes: Sequence[str]) -> NDArray[np.int64]:
    """The official number of each class by its name, however it is spelled; -1 for a name that is no official one."""
    official = {_letters(name): number for number, name in enumerate(FASHION_MNIST_CLASSES)}
    return np.array([official.get(_letters(name), -1) for name in classes], dtype=np.int64)


def _are_numbers(classes: Sequence[str]) -> bool:
    """Whether the names are the labels themselves, as where a CSV or npz file has numbers alone."""
    return tuple(classes) == tuple(map(str, range(len(classes))))


def _letters(name: str) -> str:
    return "".join(filter(str.isalpha, name.lower()))
