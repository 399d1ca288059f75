"""Pixels: parts or halves that differ, images without content, a pixel that tells the label, a scaled range."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.features import in_grey
from fittingroom.audit.findings import (
    MAX_IMAGES_SHOWN,
    MAX_VALUES_LISTED,
    Finding,
    file_figures,
    kind_of_place,
    place_text,
)
from fittingroom.audit.official_part import Part
from fittingroom.data.dataset import Dataset
from fittingroom.rendering.contact_sheet import Row
from fittingroom.rendering.share import share_text

MAX_P = 1e-6  # of a shift: many parts, halves and classes are compared, and chance alone must be no finding
SMALLEST_P = 1e-100  # that is told apart from smaller ones
MIN_IMAGES_A_HALF, MIN_IMAGES_A_CLASS = 50, 20  # whose brightness is compared
MAX_IMAGES_A_CLASS = 3_000
MIN_IMAGES_OF_RANGE = 20  # below which no brighter pixel may be chance
MIN_IMAGES_OF_LEAK, MAX_IMAGES_OF_LEAK, MAX_CLASSES_OF_LEAK = 100, 20_000, 256
MAX_VALUES_OF_LEAK = 1_000_000_000  # of colour images: three times as many as grey ones have are looked at each
PIXELS_AT_A_TIME = 4_096  # of all images, so that large ones need no copy of the whole set
CHANNELS = ("red", "green", "blue")


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


def _distinct_class_counts(dataset: Dataset) -> NDArray[np.float64]:
    """How many different images of each class there are; float64 (K,)."""
    assert dataset.labels is not None
    labels = np.delete(dataset.labels, dataset.repeats[:, 0])
    return np.bincount(labels, minlength=dataset.num_classes).astype(np.float64)


def _shares_shift(train: Part, part: Part) -> list[Finding]:
    """Chi-squared test of homogeneity, by Wilson and Hilferty's normal approximation; and total variation.

    Copies of an image are tested as one: five of it are no five draws.
    """
    if train.dataset.labels is None or part.dataset.labels is None or train.dataset.classes != part.dataset.classes:
        return []

    table = np.stack([train.dataset.class_counts(), part.dataset.class_counts()]).astype(np.float64)
    table = table[:, table.sum(axis=0) > 0]
    distinct = np.stack([_distinct_class_counts(train.dataset), _distinct_class_counts(part.dataset)])
    distinct = distinct[:, distinct.sum(axis=0) > 0]
    expected = distinct.sum(axis=1, keepdims=True) * distinct.sum(axis=0) / distinct.sum()
    chi2, freedom = float(((distinct - expected) ** 2 / expected).sum()), distinct.shape[1] - 1
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
            message=f"class shares differ: {share_text(variation, 1)} of the images would have to change class "
            f"to make them equal (chi² {chi2:,.0f} at {freedom} degree{'s' * (freedom != 1)} of freedom, "
            f"{_p_text(p)}); {train.dataset.classes[used[worst]]} is "
            f"{share_text(shares[0, worst], 1)} of {train.name}, {share_text(shares[1, worst], 1)} of {part.name}",
            effect="Where some classes are harder than others, accuracy on the one is not that on the other.",
            advice="Split by class (stratified), or compare recall class by class.",
            figures={"total_variation": variation, "chi2": chi2, "p": p},
        )
    ]


def _brightness_shift(first: Dataset, second: Dataset, where: str) -> list[Finding]:
    """Compare the mean brightness of images of the same class, and of colour each channel: the worst of these."""
    if first.num_classes != second.num_classes or first.channels != second.channels:
        return []

    # another white balance leaves the brightness as it is
    kinds: list[int | None] = [None] if first.channels == 1 else [None, 0, 1, 2]
    findings = [finding for channel in kinds for finding in _shift_of(first, second, where, channel)]
    return sorted(findings, key=lambda finding: -finding.figures["standard_deviations"])[:1]


def _shift_of(first: Dataset, second: Dataset, where: str, channel: int | None) -> list[Finding]:
    """Compare the mean brightness, or that of one channel: pooled over classes, in units of its sd."""
    # class by class, so that other class shares (a file sorted by class, say) don't count as another brightness
    gaps, variances, sds, weights = [], [], [], []
    for label in range(max(1, first.num_classes)):
        a, b = _brightness(first, label, channel), _brightness(second, label, channel)
        if len(a) < MIN_IMAGES_A_CLASS or len(b) < MIN_IMAGES_A_CLASS:
            continue

        gaps.append(a.mean() - b.mean())
        variances.append(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
        sds.append((a.var(ddof=1) + b.var(ddof=1)) / 2)
        weights.append(min(len(a), len(b)))
    if not gaps:
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
            message=f"images of the same class differ in mean "
            f"{'brightness' if channel is None else CHANNELS[channel]} by {abs(gap):.1f} of 255, {effect:.2f} "
            f"standard deviations ({_p_text(p)})",
            effect="What was learned on the one may not hold on the other; a split between them isn't random.",
            advice="Look how the two were made or put together; shuffle before splitting.",
            figures={"difference": gap, "standard_deviations": effect, "p": p}
            | ({} if channel is None else {"channel": CHANNELS[channel]}),
        )
    ]


def _p_text(p: float) -> str:
    """``p = 3e-12``; what is beyond the smallest numbers of a float is not 0."""
    return f"p = {p:.1g}" if p > SMALLEST_P else f"p < {SMALLEST_P:.0e}"


def _brightness(dataset: Dataset, label: int, channel: int | None) -> NDArray[np.float64]:
    """The mean pixel of each image of a class, or that of one channel, 0–255; of all images where none has a label."""
    images = dataset.images if dataset.labels is None else dataset.images[dataset.labels == label]
    images = images[:MAX_IMAGES_A_CLASS]
    plane = in_grey(images) if channel is None else images[..., channel]
    means: NDArray[np.float64] = plane.mean(axis=(1, 2), dtype=np.float64)
    return means


# ── single images, single pixels ─────────────────────────────────────────────────────────────────────────────


def constant_images(part: Part) -> list[Finding]:
    """See whether images are of one value, or one colour, throughout."""
    images = part.dataset.images
    height, width = part.dataset.image_size
    flat_NPC = images.reshape(len(images), height * width, part.dataset.channels)

    # two pixels rule out most images before all of their pixels are compared
    candidates = np.flatnonzero((flat_NPC[:, 0] == flat_NPC[:, height * width // 2]).all(axis=1))
    constant = candidates[(flat_NPC[candidates] == flat_NPC[candidates, :1]).all(axis=(1, 2))]
    if not len(constant):
        return []

    listed = ", ".join(place_text(part.dataset, row) for row in constant[:MAX_VALUES_LISTED].tolist())
    what = "value" if part.dataset.channels == 1 else "colour"

    return [
        Finding(
            name="constant-image",
            severity="warning",
            where=part.name,
            message=f"{len(constant):,} of {len(images):,} images have one {what} throughout "
            f"({kind_of_place(part.dataset, len(constant))} {listed}{', …' * (len(constant) > MAX_VALUES_LISTED)})",
            effect="There is nothing in them to learn, or to judge by.",
            advice="Leave them out, and see what went wrong where they come from.",
            figures={"constant": len(constant), "n": len(images)} | file_figures(part.dataset, constant),
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
            message=f"no pixel is above {high}, of 255: the images may have been scaled to 0–{high}",
            effect="Normalised by the mean and sd of other images of 0–255, these look dark to a model.",
            advice="Save the pixels as they were before scaling; if nothing scaled them, nothing.",
            figures={"low": int(part.dataset.images.min()), "high": high},
            examples=(Row("as it is", "", part.dataset.images[:MAX_IMAGES_SHOWN]),),
        )
    ]


def leaky_pixel(part: Part) -> list[Finding]:
    """See whether one pixel tells the label, of colour images one channel of it.

    Which class each of its values means is learned on one half of the images and tried on the other, pixel by pixel.
    """
    labels, num_classes = part.dataset.labels, part.dataset.num_classes
    if labels is None or len(labels) < MIN_IMAGES_OF_LEAK or num_classes > MAX_CLASSES_OF_LEAK:
        return []

    # evenly spread, for files are often sorted by class
    flat_NV = part.dataset.images.reshape(len(labels), -1)
    most = MAX_IMAGES_OF_LEAK
    if part.dataset.channels == 3:
        most = min(most, max(MIN_IMAGES_OF_LEAK, MAX_VALUES_OF_LEAK // flat_NV.shape[1]))
    rows = np.linspace(0, len(labels) - 1, min(len(labels), most)).astype(np.int64)
    labels_N = labels[rows]

    # pixels first, so that each one's values lie together
    accuracies = []
    for start in range(0, flat_NV.shape[1], PIXELS_AT_A_TIME):
        pixels_PN = np.ascontiguousarray(flat_NV[rows, start : start + PIXELS_AT_A_TIME].T)
        accuracies += [_accuracy_of_pixel(values, labels_N, num_classes) for values in pixels_PN]

    # of a pixel in colour its best channel
    height, width = part.dataset.image_size
    accuracy_PC = np.array(accuracies).reshape(height * width, part.dataset.channels)
    accuracy_P = accuracy_PC.max(axis=1)

    # what the others tell is the yardstick: clothes and digits have pixels that say much about the class, too, but
    # then pixels elsewhere say nearly as much
    best = int(accuracy_P.argmax())
    row, column = divmod(best, width)
    channel = "" if part.dataset.channels == 1 else CHANNELS[int(accuracy_PC[best].argmax())]
    place = f"row {row}, column {column}" + (f", its {channel}" if channel else "")
    by_others = _best_elsewhere(accuracy_P.reshape(height, width), row, column)
    guess = float(np.bincount(labels_N).max() / len(labels_N))

    error, error_elsewhere = 1 - accuracy_P[best], 1 - by_others
    if accuracy_P[best] < max(0.5, guess + 0.25) or error > 0.5 * error_elsewhere:
        return []

    return [
        Finding(
            name="leaky-pixel",
            severity="error" if accuracy_P[best] >= 0.9 else "warning",
            where=part.name,
            message=f"pixel {best + 1:,} ({place}) alone tells the label of "
            f"{share_text(accuracy_P[best], 1)} of the images (learned on one half, tried on the other, "
            f"n = {len(rows) // 2:,}); pixels away from it tell {share_text(by_others, 1)} at best, always the same "
            f"class {share_text(guess, 1)}",
            effect="A model can read the answer from that pixel instead of the image, and then fails where it isn't "
            "there.",
            advice="See how the label came into the images (a column too many, a stamp, a border), and take it out.",
            figures={"pixel": best + 1, "row": row, "column": column, "accuracy": float(accuracy_P[best])}
            | ({"channel": channel} if channel else {}),
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
