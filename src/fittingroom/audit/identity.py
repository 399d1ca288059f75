"""Which known data set this is, row for row: official Fashion-MNIST, a re-split, an older release, or another set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.features import dataset_in_grey
from fittingroom.audit.findings import MAX_IMAGES_SHOWN, Finding, file_figures, row_text
from fittingroom.audit.orientation import means_fit
from fittingroom.audit.reference import TEST, TRAIN, hashes_of, manifest
from fittingroom.data.dataset import Dataset
from fittingroom.data.fetch.fingerprints import FASHION_MNIST_CLASSES
from fittingroom.rendering.contact_sheet import Row

MAX_ROWS_LISTED = 4  # by a message
SAME_MEANS = 0.99  # correlation of the classes' mean images from which on it is the same set
SIZE = {"train": TRAIN, "test": TEST}
OLD_RELEASE = "43 pairs of equal images within train, 1 within test, and 10 test images in train"


@dataclass(frozen=True, eq=False)
class Part:
    """A part of the data, looked up in the official one.

    Attributes:
        role: ``train``, ``validation``, ``test``, or "" if nothing says.
        dataset: images and labels.
        hashes: uint64 (N,), of the images.
        rows: int64 (N,), the row of each image in the official data, -1 where it is none of them.
    """

    role: str
    dataset: Dataset
    hashes: NDArray[np.uint64]
    rows: NDArray[np.int64]

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.dataset.name

    @property
    def official(self) -> NDArray[np.bool_]:
        """bool (N,): whether an image is an official one."""
        return self.rows >= 0

    @property
    def counts(self) -> dict[str, int]:
        """How many of its images are official train images, official test images, and neither."""
        train, test = int(((self.rows >= 0) & (self.rows < TRAIN)).sum()), int((self.rows >= TRAIN).sum())
        return {"train": train, "test": test, "neither": len(self.rows) - train - test}


def part_of(role: str, dataset: Dataset) -> Part:
    """Look up every image of the set in the manifest; one in colour by what it is in grey."""
    hashes = hashes_of(dataset)
    if dataset.image_size == (28, 28):
        in_grey = hashes if dataset.channels == 1 else hashes_of(dataset_in_grey(dataset))
        return Part(role, dataset, hashes, manifest().rows_of(in_grey))
    return Part(role, dataset, hashes, np.full(len(dataset), -1))


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
    numbers = _official_numbers(dataset.classes)
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
        findings += _label_noise(part)
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
        f"{wrong:,} of its {n:,} images ({wrong / n:.1%}) are official {other} images, {counts[role]:,} official "
        f"{role} images, {counts['neither']:,} neither ({listed})"
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


def _label_noise(part: Part) -> list[Finding]:
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
            message=f"{len(differ):,} of {len(known):,} official images ({share:.2%}) have another label than "
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
    number_C = np.arange(len(classes)) if is_numbered else _official_numbers(classes)
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
    """By how much labels that are bare numbers exceed the official ones, and of how many images; 0, 0 if they don't."""
    present, classes = len(np.unique(right_K)), len(FASHION_MNIST_CLASSES)
    differences_K = given_K - right_K
    if present == classes:
        differences_K %= classes
    elif present < 3 or given_K.min() == 0:
        return 0, 0  # a subset may well be numbered anew from 0, and one of two classes anyhow

    values, times = np.unique(differences_K, return_counts=True)
    offset, count = int(values[times.argmax()]), int(times.max())
    return (offset, count) if offset > 0 and count >= 0.9 * len(given_K) else (0, 0)


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


def _official_numbers(classes: Sequence[str]) -> NDArray[np.int64]:
    """The official number of each class by its name, however it is spelled; -1 for a name that is no official one."""
    official = {_letters(name): number for number, name in enumerate(FASHION_MNIST_CLASSES)}
    return np.array([official.get(_letters(name), -1) for name in classes], dtype=np.int64)


def _are_numbers(classes: Sequence[str]) -> bool:
    """Whether the names are the labels themselves, as where a CSV or npz file has numbers alone."""
    return tuple(classes) == tuple(map(str, range(len(classes))))


def _letters(name: str) -> str:
    return "".join(filter(str.isalpha, name.lower()))
