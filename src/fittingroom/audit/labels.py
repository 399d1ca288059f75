"""Labels: whether they belong to their images, are classes, and how many images each class has."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.damaged_idx import header_in, labels_from_offset_0
from fittingroom.audit.features import coherence
from fittingroom.audit.findings import MAX_IMAGES_SHOWN, MAX_VALUES_LISTED, Finding
from fittingroom.audit.official_labels import displaced_numbers
from fittingroom.audit.official_part import Part
from fittingroom.data.dataset import Dataset
from fittingroom.rendering.contact_sheet import Row
from fittingroom.rendering.share import share_text

MAX_LAG = 16  # places by which labels may be displaced
MIN_IMAGES, MAX_IMAGES = 200, 4_000  # that a displacement is measured on
MAX_CLASSES_LISTED = 20  # without images, by a message


# ── displaced labels ─────────────────────────────────────────────────────────────────────────────────────────


def labels_displaced(dataset: Dataset) -> tuple[list[Finding], Dataset]:
    """See whether the labels belong to images some places before or after, and give them back.

    An image is more like others of its own class than labels of its neighbours can say: the share of variance
    between classes peaks where labels and images fit.
    """
    if dataset.labels is None:
        return [], dataset
    if start := header_in(dataset.labels):
        return [labels_from_offset_0(dataset.name, dataset.labels, start)], _moved(dataset, start)

    beginning = dataset.subset(np.arange(min(len(dataset), MAX_IMAGES)))
    if len(beginning) < MIN_IMAGES:
        return [], dataset
    here = coherence(beginning)
    if here > 0.1:
        return [], dataset  # labels that tell images apart are in their place: no other needs to be tried

    # classes that are merely hard to tell apart are so at every lag: a displacement stands out from the labels as
    # they are, and in itself
    lags = [lag for lag in range(-MAX_LAG, MAX_LAG + 1) if lag]
    best = max(lags, key=lambda lag: coherence(_moved(beginning, lag)))
    there = coherence(_moved(beginning, best))
    if there < 0.05 or there < 4 * here:
        return [], dataset

    places = f"{abs(best)} place{'s' * (abs(best) != 1)} {'after' if best > 0 else 'before'}"
    finding = Finding(
        name="label-offset",
        severity="error",
        where=dataset.name,
        message=f"labels fit the images when each is taken from {places}: {there:.0%} of the images' variance is then "
        f"between classes, {here:.1%} as they are",
        effect="Nearly every image has the label of another one: accuracy falls to chance.",
        advice="Read labels from byte 8 of an IDX file, and skip a CSV's header for both or neither; --fix moves them.",
        figures={"offset": best, "between_classes": here, "between_classes_moved": there},
        fix=f"labels taken from {places}; {abs(best)} images that have none then were left out",
    )
    return [finding], _moved(dataset, best)


def _moved(dataset: Dataset, lag: int) -> Dataset:
    """Give image n the label n + lag; images without one are left out."""
    assert dataset.labels is not None
    n = len(dataset)
    kept = slice(max(0, -lag), n - max(0, lag))
    labels = dataset.labels[max(0, lag) : n - max(0, -lag)]
    known = dataset.per_image(np.arange(n)[kept])
    return Dataset(dataset.images[kept], labels, dataset.classes, dataset.name, **known)


# ── classes ──────────────────────────────────────────────────────────────────────────────────────────────────


def classes(parts: Sequence[Part]) -> list[Finding]:
    """See whether labels are out of range, and, where none is, whether classes are missing or rare."""
    # a stray label makes a class of its own, rare and with gaps before it: that would be said twice
    if out_of_range := [finding for part in parts for finding in _label_range(part)]:
        return out_of_range
    return [
        finding for part in parts if part.dataset.labels is not None for finding in (*_missing(part), *_imbalance(part))
    ]


def _label_range(part: Part) -> list[Finding]:
    """Labels that can't be classes: more than Fashion-MNIST has, or, where labels are mere numbers, stray ones."""
    labels, counts = part.dataset.labels, part.dataset.class_counts()
    used = np.flatnonzero(counts)
    is_numbered = part.dataset.classes == tuple(map(str, range(len(counts))))
    if labels is None or len(used) < 2:
        return []

    if finding := displaced_numbers(part):
        return finding

    # what classes there are is known of Fashion-MNIST, guessed from bare numbers, and given with names
    if float(part.official.mean()) >= 0.5:
        wrong, last = used[used >= 10], 9
    elif is_numbered:
        wrong, last = _stray(used, counts)
    else:
        return []

    if is_numbered and not len(wrong) and used[0] == 1 and len(used) == used[-1]:
        return [_starts_at_1(part, used)]
    if not len(wrong):
        return []

    rows = np.flatnonzero(np.isin(labels, wrong))
    listed = ", ".join(map(str, wrong[:MAX_VALUES_LISTED].tolist()))

    return [
        Finding(
            name="label-range",
            severity="error",
            where=part.name,
            message=f"{len(rows):,} of {len(labels):,} labels are {listed}"
            f"{', …' * (len(wrong) > MAX_VALUES_LISTED)}, where 0 to {last} is expected; the first is at row "
            f"{rows[0]:,}",
            effect="A loss over the expected classes fails on them, or a model learns classes that don't exist.",
            advice="Look at these rows; leave them out or correct them.",
            figures={"wrong": len(rows), "n": len(labels), "values": wrong.tolist(), "first_row": int(rows[0])},
            examples=(Row("out of range", "", part.dataset.images[rows[:MAX_IMAGES_SHOWN]]),),
        )
    ]


def _stray(used: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """The labels behind the first gap, if they are few by number of images or far away; and the last one before it.

    A class or two without images also leave a gap: then what comes behind it is neither rare nor far.
    """
    gaps = np.flatnonzero(np.diff(used) > 1)
    if not len(gaps):
        return used[:0], int(used[-1])

    behind, before = used[gaps[0] + 1 :], used[: gaps[0] + 1]
    usual = np.median(counts[used])
    is_rare = bool((counts[behind] < 0.05 * usual).all())
    is_far = behind[0] > 2 * before[-1] + 2 and len(before) > 1
    return (behind if is_rare or is_far else used[:0]), int(before[-1])


NUMBERED = (
    "Number the classes from 0 on without a gap, or add images of them: each number up to the largest is a class."
)


def _starts_at_1(part: Part, used: NDArray[np.int64]) -> Finding:
    return Finding(
        name="label-range",
        severity="warning",
        where=part.name,
        message=f"labels run from 1 to {used[-1]}, and none is 0",
        effect="A model has a class that doesn't exist, and class names given in order are one off.",
        advice="Subtract 1 from each label.",
        figures={"low": 1, "high": int(used[-1])},
    )


def _missing(part: Part) -> list[Finding]:
    """Classes of the part's names that no label names."""
    names, counts = part.dataset.classes, part.dataset.class_counts()
    absent = np.flatnonzero(counts == 0)
    if not len(absent):
        return []

    has = "has" if len(absent) == 1 else "have"
    are_numbers = names == tuple(map(str, range(len(names))))
    listed = ", ".join(names[label] for label in absent[:MAX_CLASSES_LISTED].tolist())

    return [
        Finding(
            name="missing-class",
            severity="warning",
            where=part.name,
            message=f"{len(absent):,} of {len(names):,} classes {has} no image: {listed}"
            + ", …" * (len(absent) > MAX_CLASSES_LISTED),
            effect="What isn't in train can't be learned; what isn't in test isn't judged.",
            advice=NUMBERED if are_numbers else "Add images of them, or take the classes out of the list of names.",
            figures={"missing": [names[label] for label in absent.tolist()], "classes": len(names)},
        )
    ]


def _imbalance(part: Part) -> list[Finding]:
    """The classes with the most and the fewest images, where they differ twofold and by more than chance."""
    names, counts = part.dataset.classes, part.dataset.class_counts()
    used = np.flatnonzero(counts)
    most, least = used[counts[used].argmax()], used[counts[used].argmin()]

    ratio = counts[most] / counts[least]
    # four standard errors: in a small set drawn at random, twofold differences are nothing unusual
    if ratio < 2 or counts[most] - counts[least] < 4 * math.sqrt(counts[most] + counts[least]):
        return []

    def called(label: int) -> str:
        return f"class {names[label]}" if names[label].isdecimal() else names[label]

    return [
        Finding(
            name="imbalance",
            severity="warning" if ratio >= 10 else "note",
            where=part.name,
            message=f"{called(most)} has {counts[most]:,} images, {called(least)} {counts[least]:,}: {ratio:.1f} times "
            "as many",
            effect=f"Always saying {called(most)} is right in {share_text(counts[most] / counts.sum(), 1)} of the "
            "cases; accuracy hides how rare classes fare.",
            advice="Look at each class's recall (fittingroom evaluate), and at their mean.",
            figures={"most": int(counts[most]), "least": int(counts[least]), "ratio": float(ratio)},
        )
    ]
