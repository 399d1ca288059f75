"""Pixels: parts or halves that differ, images without content, a pixel that tells the label, a scaled range."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.findings import MAX_IMAGES_SHOWN, MAX_VALUES_LISTED, Finding
from fittingroom.audit.identity import Part
from fittingroom.data.dataset import Dataset
from fittingroom.rendering.contact_sheet import Row

MAX_P = 1e-6  # of a shift: many parts, halves and classes are compared, and chance alone must be no finding
MIN_IMAGES_A_HALF, MIN_IMAGES_A_CLASS = 50, 20  # whose brightness is compared
MAX_IMAGES_A_CLASS = 3_000
MIN_IMAGES_OF_RANGE = 20  # below which no brighter pixel may be chance
MIN_IMAGES_OF_LEAK, MAX_IMAGES_OF_LEAK, MAX_CLASSES_OF_LEAK = 100, 20_000, 256


def split_shift(parts: Sequence[Part]) -> list[Finding]:
    """See whether class shares or brightness differ between train and the others, or between a part's halves."""
    findings = []
    train = next((part for part in parts if part.role == "train"), None)
    for part in parts:
        if train is not None and part is not train and part.role in ("validation", "test"):
            findings += _shares_shift(train, part)
            findings += _brightness_shift(train.dataset, part.dataset, f"{train.name} and {part.name}")

        # within a part too: whoever splits it in file order gets a shift between the pieces
        half = len(part.hashes) // 2
        if half >= MIN_IMAGES_A_HALF:
            halves = part.dataset.subset(np.arange(half)), part.dataset.subset(np.arange(half, 2 * half))
            findings += _brightness_shift(*halves, f"the two halves of {part.name}")
    return findings


def _shares_shift(train: Part, part: Part) -> list[Finding]:
    """Chi-squared test of homogeneity, by Wilson and Hilferty's normal approximation; and total variation."""
    if train.dataset.labels is None or part.dataset.labels is None or train.dataset.classes != part.dataset.classes:
        return []

    table = np.stack([train.dataset.class_counts(), part.dataset.class_counts()]).astype(np.float64)
    table = table[:, table.sum(axis=0) > 0]
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    chi2, freedom = float(((table - expected) ** 2 / expected).sum()), table.shape[1] - 1
    if freedom < 1:
        return []

    # the cube root of chi² / freedom is nearly normal, with this variance; the exact tail would take SciPy
    spread = 2 / (9 * freedom)
    z = ((chi2 / freedom) ** (1 / 3) - (1 - spread)) / math.sqrt(spread)
    p = math.erfc(z / math.sqrt(2)) / 2

    # among many images the smallest difference is significant: it must be large enough to matter, too
    shares = table / table.sum(axis=1, keepdims=True)
    variation = float(np.abs(shares[0] - shares[1]).sum() / 2)
    if p > MAX_P or variation < 0.05:
        return []

    used = np.flatnonzero(train.dataset.class_counts() + part.dataset.class_counts())
    worst = int(np.abs(shares[0] - shares[1]).argmax())
    return [
        Finding(
            name="split-shift",
            severity="warning",
            where=f"{train.name} and {part.name}",
            message=f"class shares differ: {variation:.1%} of the images would have to change class to make them equal "
            f"(chi² {chi2:,.0f} at {freedom} degrees of freedom, p = {p:.1g}); {train.dataset.classes[used[worst]]} is "
            f"{shares[0, worst]:.1%} of {train.name}, {shares[1, worst]:.1%} of {part.name}",
            effect="Accuracy on the one says little about the other: easy and hard classes weigh differently.",
            advice="Split by class (stratified), or compare recall class by class.",
            figures={"total_variation": variation, "chi2": chi2, "p": p},
        )
    ]


def _brightness_shift(first: Dataset, second: Dataset, where: str) -> list[Finding]:
    """Compare the mean brightness of images of the same class: pooled over classes, in units of its sd."""
    # class by class, so that other class shares (a file sorted by class, say) don't count as another brightness
    gaps, variances, sds, weights = [], [], [], []
    for label in range(max(1, first.num_classes)):
        a, b = _brightness(first, label), _brightness(second, label)
        if len(a) < MIN_IMAGES_A_CLASS or len(b) < MIN_IMAGES_A_CLASS:
            continue

        gaps.append(a.mean() - b.mean())
        variances.append(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
        sds.append((a.var(ddof=1) + b.var(ddof=1)) / 2)
        weights.append(min(len(a), len(b)))
    if not gaps or first.num_classes != second.num_classes:
        return []

    # a class with few images in either set says little: the smaller number of the two weighs it
    weight = np.array(weights) / sum(weights)
    gap = float((weight * gaps).sum())
    sd = math.sqrt(float((weight * sds).sum()))
    error = math.sqrt(float((weight**2 * variances).sum()))
    if error == 0 or sd == 0:
        return []

    # two-sided, and large enough to matter: among many images the smallest difference is significant
    z, effect = gap / error, abs(gap) / sd
    p = math.erfc(abs(z) / math.sqrt(2))
    if p > MAX_P or effect < 0.25:
        return []

    return [
        Finding(
            name="split-shift",
            severity="warning",
            where=where,
            message=f"images of the same class differ in mean brightness by {abs(gap):.1f} of 255, {effect:.2f} "
            f"standard deviations (p = {p:.1g})",
            effect="What was learned on the one does not hold on the other; a split between them isn't random.",
            advice="Look how the two were made or put together; shuffle before splitting.",
            figures={"difference": gap, "standard_deviations": effect, "p": p},
        )
    ]


def _brightness(dataset: Dataset, label: int) -> NDArray[np.float64]:
    """The mean pixel of each image of a class, 0–255; of all images where none has a label."""
    images = dataset.images if dataset.labels is None else dataset.images[dataset.labels == label]
    means: NDArray[np.float64] = images[:MAX_IMAGES_A_CLASS].mean(axis=(1, 2), dtype=np.float64)
    return means


# ── single images, single pixels ─────────────────────────────────────────────────────────────────────────────


def constant_images(part: Part) -> list[Finding]:
    """See whether images are of one value throughout."""
    flat_NP = part.dataset.images.reshape(len(part.hashes), -1)

    # two pixels rule out most images before all of their pixels are compared
    candidates = np.flatnonzero(flat_NP[:, 0] == flat_NP[:, flat_NP.shape[1] // 2])
    constant = candidates[(flat_NP[candidates] == flat_NP[candidates, :1]).all(axis=1)]
    if not len(constant):
        return []

    listed = ", ".join(f"{row:,}" for row in constant[:MAX_VALUES_LISTED].tolist())

    return [
        Finding(
            name="constant-image",
            severity="warning",
            where=part.name,
            message=f"{len(constant):,} of {len(flat_NP):,} images have one value throughout (rows {listed}"
            f"{', …' * (len(constant) > MAX_VALUES_LISTED)})",
            effect="There is nothing in them to learn, or to judge by.",
            advice="Leave them out, and see what went wrong where they come from.",
            figures={"constant": len(constant), "n": len(flat_NP)},
            examples=(Row("constant", "", part.dataset.images[constant[:MAX_IMAGES_SHOWN]]),),
        )
    ]


def scaled_range(part: Part) -> list[Finding]:
    """See whether 8-bit pixels use only the lower half of their range."""
    high = int(part.dataset.images.max())

    # all black is another fault, and a few dark images may well have no bright pixel
    if high > 127 or high == 0 or len(part.hashes) < MIN_IMAGES_OF_RANGE:
        return []

    return [
        Finding(
            name="scaled-range",
            severity="warning",
            where=part.name,
            message=f"no pixel is above {high}, of 255: the images were scaled to 0–{high}",
            effect="Normalised by the mean and sd of 0–255, images look all but black to a model.",
            advice="Save the pixels as they were before scaling, or let mean and sd be measured on these.",
            figures={"low": int(part.dataset.images.min()), "high": high},
            examples=(Row("as it is", "", part.dataset.images[:MAX_IMAGES_SHOWN]),),
        )
    ]


def leaky_pixel(part: Part) -> list[Finding]:
    """See whether one pixel tells the label.

    Which class each of its values means is learned on one half of the images and tried on the other, pixel by pixel.
    """
    labels, num_classes = part.dataset.labels, part.dataset.num_classes
    if labels is None or len(labels) < MIN_IMAGES_OF_LEAK or num_classes > MAX_CLASSES_OF_LEAK:
        return []

    # evenly spread, for files are often sorted by class; pixels first, so that each one's values lie together
    rows = np.linspace(0, len(labels) - 1, min(len(labels), MAX_IMAGES_OF_LEAK)).astype(np.int64)
    pixels_PN = np.ascontiguousarray(part.dataset.images[rows].reshape(len(rows), -1).T)
    labels_N = labels[rows]
    accuracy_P = np.array([_accuracy_of_pixel(values, labels_N, num_classes) for values in pixels_PN])

    # what the others tell is the yardstick: clothes and digits have pixels that say much about the class, too, but
    # then pixels elsewhere say nearly as much
    best = int(accuracy_P.argmax())
    row, column = divmod(best, part.dataset.image_size[1])
    by_others = _best_elsewhere(accuracy_P.reshape(part.dataset.image_size), row, column)
    guess = float(np.bincount(labels_N).max() / len(labels_N))

    error, error_elsewhere = 1 - accuracy_P[best], 1 - by_others
    if accuracy_P[best] < max(0.5, guess + 0.25) or error > 0.5 * error_elsewhere:
        return []

    return [
        Finding(
            name="leaky-pixel",
            severity="error" if accuracy_P[best] >= 0.9 else "warning",
            where=part.name,
            message=f"pixel {best + 1:,} (row {row}, column {column}) alone tells the label of "
            f"{accuracy_P[best]:.1%} of the images (learned on one half, tried on the other, n = {len(rows) // 2:,}); "
            f"pixels away from it tell {by_others:.1%} at best, always the same class {guess:.1%}",
            effect="A model reads the answer from that pixel instead of the image, and fails where it isn't there.",
            advice="See how the label came into the images (a column too many, a stamp, a border), and take it out.",
            figures={"pixel": best + 1, "row": row, "column": column, "accuracy": float(accuracy_P[best])},
            examples=(Row("as it is", f"row {row}, column {column}", part.dataset.images[rows[:MAX_IMAGES_SHOWN]]),),
        )
    ]


def _accuracy_of_pixel(values: NDArray[np.uint8], labels: NDArray[np.int64], num_classes: int) -> float:
    """The share of the odd rows whose class is the most common one of their value among the even rows, 0–1."""
    # value and class in one number, so that one count over it makes the whole table: this runs for every pixel
    key = values.astype(np.int64) * num_classes + labels
    learned = np.bincount(key[::2], minlength=256 * num_classes).reshape(256, num_classes)
    tried = np.bincount(key[1::2], minlength=256 * num_classes).reshape(256, num_classes)
    return float(tried[np.arange(256), learned.argmax(axis=1)].sum() / max(1, tried.sum()))


def _best_elsewhere(accuracy_HW: NDArray[np.float64], row: int, column: int) -> float:
    """The best of the pixels at least three away: a stamp may be some pixels large."""
    rows, columns = np.indices(accuracy_HW.shape)
    far = np.maximum(np.abs(rows - row), np.abs(columns - column)) >= 3
    return float(accuracy_HW[far].max()) if far.any() else 0.0
