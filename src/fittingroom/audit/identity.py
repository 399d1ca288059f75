"""Which known data set this is, row for row: official Fashion-MNIST, a re-split, an older release, or another set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fittingroom.audit.findings import MAX_IMAGES_SHOWN, Finding
from fittingroom.audit.official_labels import MAX_ROWS_LISTED, label_noise, official_numbers
from fittingroom.audit.official_part import Part
from fittingroom.audit.orientation import means_fit
from fittingroom.audit.reference import TEST, TRAIN
from fittingroom.data.dataset import Dataset
from fittingroom.data.fetch.fingerprints import FASHION_MNIST_CLASSES
from fittingroom.rendering.contact_sheet import Row
from fittingroom.rendering.share import share_text

SAME_MEANS = 0.99  # correlation of the classes' mean images from which on it is the same set
SIZE = {"train": TRAIN, "test": TEST}
OLD_RELEASE = "43 pairs of equal images within train, 1 within test, and 10 test images in train"


def identity_of(part: Part) -> str | None:
    """What known data this is, in a few words; None where nothing is known."""
    counts, n = part.counts, len(part.rows)

    # MNIST's images are not in the manifest: they are known by what their classes look like
    if counts["neither"] > n / 2:
        fit = means_fit(_numbered_officially(part.dataset))
        if fit and fit[0] == "fashion-mnist" and fit[1] >= SAME_MEANS:
            return (
                "Fashion-MNIST by the means of its classes, with other pixels than officially in "
                f"{counts['neither']:,} images (encoded anew, or changed): which are "
                "official test images can't be told"
            )
        return "MNIST, by the means of its classes" if fit and fit[0] == "mnist" and fit[1] >= 0.9 else None

    for role, size, first in (("train", TRAIN, 0), ("test", TEST, TRAIN)):
        if counts[role] == n:
            whole = n == size and len(np.unique(part.rows)) == size
            in_order = whole and bool((part.rows == np.arange(first, first + size)).all())
            if whole:
                return f"Fashion-MNIST {role}, official" + ("" if in_order else ", in another order")
            return f"{n:,} images of Fashion-MNIST {role}"
        if counts[role] >= 0.99 * n:
            return f"Fashion-MNIST {role}, but for {n - counts[role]:,} images"

    return (
        f"Fashion-MNIST in a split of its own: {counts['train']:,} official train images, {counts['test']:,} test "
        f"images, {counts['neither']:,} others"
    )


def _numbered_officially(dataset: Dataset) -> Dataset:
    """The set with the official numbers for its classes where all ten names are official, as in folders by name."""
    numbers = official_numbers(dataset.classes)
    if dataset.labels is None or sorted(numbers.tolist()) != list(range(len(FASHION_MNIST_CLASSES))):
        return dataset
    return replace(dataset, labels=numbers[dataset.labels], classes=FASHION_MNIST_CLASSES)


def identity_findings(parts: Sequence[Part], claims_fashion: bool) -> list[Finding]:
    """Compare each part with the official data.

    Args:
        parts: the parts of one data set.
        claims_fashion: whether names say that this is Fashion-MNIST.
    """
    findings: list[Finding] = []
    for part in parts:
        share = float(part.official.mean())
        if share < 0.5:
            findings += _other_set(part, claims_fashion)
            continue
        # the first that holds says what the next ones would: a re-split is a subset of each official part too
        findings += resplit(part) or old_release(part) or subset(part)
        findings += label_noise(part)
    return findings


def resplit(part: Part) -> list[Finding]:
    """See whether the part mixes official train and test images. By share: a few of either may be others."""
    counts, n = part.counts, len(part.rows)
    known = counts["train"] + counts["test"]
    role = _official_role(part)
    other = "test" if role == "train" else "train"
    wrong = counts[other]

    # a stray image or two is no other split: subset and overlap say what those are
    if wrong < max(2, 0.005 * known):
        return []

    is_other = (part.rows >= TRAIN) if other == "test" else (part.rows >= 0) & (part.rows < TRAIN)
    first = np.flatnonzero(is_other)[:MAX_IMAGES_SHOWN]
    listed = ", ".join(
        f"row {row:,} is {other} {_number(part.rows[row]):,}" for row in first[:MAX_ROWS_LISTED].tolist()
    )
    message = (
        f"{wrong:,} of its {n:,} images ({share_text(wrong / n, 1)}) are official {other} images, "
        f"{counts[role]:,} official {role} images, {counts['neither']:,} neither ({listed})"
    )

    expected = SIZE[other] / (TRAIN + TEST)
    is_chance = _is_share_of_chance(wrong, known, expected)
    if is_chance:
        message += f". That is the share ({expected:.1%}) of a random split of all 70,000, as Kaggle's CSV files are"

    return [
        Finding(
            name="resplit",
            severity="error",
            where=part.name,
            message=message,
            effect=(
                "An accuracy on it can't be compared with a published one; and whoever trained on the official train "
                f"file has trained on {counts['train']:,} of these images."
                if role == "test"
                else f"A model trained on it has seen {wrong:,} of the 10,000 official test images: its accuracy on "
                "the official test file is false."
            ),
            advice="Train and judge on the official files: fittingroom data fetch fashion-mnist. A split of one's own "
            "is fair only to models trained and judged on its own two parts.",
            figures={"n": n, **{f"official_{key}": value for key, value in counts.items() if key != "neither"}}
            | {"not_official": counts["neither"], "share": wrong / n, "looks_like_chance": is_chance},
            examples=(Row(f"official {other}", f"found in {part.name}", part.dataset.images[first]),),
        )
    ]


def _official_role(part: Part) -> str:
    """The official part that this one stands for: by its role, or what most of its images are where none is known."""
    if part.role == "validation":
        return "train"  # the official data have none: it can only be held out of train
    return part.role if part.role in ("train", "test") else _most_common_role(part)


def _most_common_role(part: Part) -> str:
    return "train" if part.counts["train"] >= part.counts["test"] else "test"


def _is_share_of_chance(wrong: int, known: int, expected: float) -> bool:
    """Whether ``wrong`` of ``known`` lies within four standard errors of the share ``expected``."""
    standard_error: float = (expected * (1 - expected) / known) ** 0.5
    return abs(wrong / known - expected) < 4 * standard_error + 1e-9


def old_release(part: Part) -> list[Finding]:
    """See whether it is the release before 2017-08-31, by what it had: equal images in place of official ones."""
    counts, n = part.counts, len(part.rows)
    role = _most_common_role(part)
    if n != SIZE[role] or counts[role] < 0.99 * n:
        return []

    # the official files have no two equal images, so any pair in a set of their size is one too many
    _, first, times = np.unique(part.hashes, return_index=True, return_counts=True)
    pairs = int((times - 1).sum())
    if not pairs:
        return []

    known = {"train": 43, "test": 1}[role]
    shown = first[times > 1][:MAX_IMAGES_SHOWN]

    return [
        Finding(
            name="old-release",
            severity="warning",
            where=part.name,
            message=f"{counts[role]:,} of {n:,} images are official {role} images, and {pairs:,} images occur in it "
            f"once more: the release before 2017-08-31 had {OLD_RELEASE}, {known} of them in a file like this",
            effect="Results differ a little from those on the official files, and some test images were trained on.",
            advice="Get the official files: fittingroom data fetch fashion-mnist.",
            figures={
                "n": n,
                "official": counts[role],
                "duplicate_pairs": pairs,
                "of_old_release": known,
            },
            examples=(Row("more than once", "", part.dataset.images[shown]),),
        )
    ]


def subset(part: Part) -> list[Finding]:
    """See whether the part is a piece of the official train or test images, and no more."""
    counts, n = part.counts, len(part.rows)
    role = _most_common_role(part)

    distinct = len(np.unique(part.rows[part.official]))  # repeated, an image is still one
    if counts[role] < 0.99 * n or distinct == SIZE[role]:
        return []

    others = n - counts[role]
    return [
        Finding(
            name="subset",
            severity="note",
            where=part.name,
            message=f"{distinct:,} of the {SIZE[role]:,} official {role} images"
            + (f", and {others:,} that aren't among them" if others else "")
            + ("" if part.role in ("", role) else f", given as {part.role}"),
            effect="The test's interval is wider, and models that train on less are mostly worse: say so with a result."
            if role == "test"
            else "Models that train on less are mostly worse: say so with a result.",
            advice="For a result to compare, use all of it: fittingroom data fetch fashion-mnist.",
            figures={"n": n, "official": distinct, "of": SIZE[role]},
        )
    ]


def _other_set(part: Part, claims_fashion: bool) -> list[Finding]:
    """See whether a set of other images is MNIST, or is called Fashion-MNIST and isn't."""
    fit = means_fit(part.dataset)
    is_mnist = fit is not None and fit[0] == "mnist" and fit[1] >= 0.9

    # turned or otherwise changed Fashion-MNIST keeps its class means: that finding says more than this one
    looks_like_fashion = fit is not None and fit[0] == "fashion-mnist" and fit[1] >= 0.85
    if not is_mnist and (not claims_fashion or looks_like_fashion or part.dataset.image_size != (28, 28)):
        return []

    official = int(part.official.sum())
    seen = f"{official:,} of {len(part.rows):,} images are official Fashion-MNIST"
    if is_mnist and fit is not None:
        seen += f", and the mean images of its classes are those of MNIST's digits (correlation {fit[1]:.3f})"

    return [
        Finding(
            name="wrong-dataset",
            severity="error" if claims_fashion else "warning",
            where=part.name,
            message=seen + (": this is MNIST, not Fashion-MNIST" if is_mnist else ", though its name says it is that"),
            effect="MNIST is far easier: 99% there is no feat, 95% on Fashion-MNIST is."
            if is_mnist
            else "A result on it is no result on Fashion-MNIST.",
            advice="The files of the two have the same names; get the right ones: fittingroom data fetch fashion-mnist."
            " If it is meant to be this set, say its name with each result.",
            figures={
                "official": official,
                "n": len(part.rows),
                "is_mnist": is_mnist,
            },
            examples=(Row(part.name, "", part.dataset.images[:MAX_IMAGES_SHOWN]),),
        )
    ]


def _number(row: int) -> int:
    """The number of an official row within its own part."""
    return row if row < TRAIN else row - TRAIN
