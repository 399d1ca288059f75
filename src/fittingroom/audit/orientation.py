"""Whether images are the right way round and white on black, as Fashion-MNIST and MNIST are.

Two ways to know: by hash, where undoing a turn makes official images of them; and by the mean image of each class, for
images that are like those of a known set without being the same. The known sets are grey: images in colour are judged
by what they are in grey.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.features import dataset_in_grey, in_grey
from fittingroom.audit.findings import MAX_IMAGES_SHOWN, Finding
from fittingroom.audit.reference import class_means, hashes_of, manifest
from fittingroom.data.dataset import Dataset
from fittingroom.rendering.contact_sheet import Row
from fittingroom.rendering.share import share_text

MIN_IMAGES = 100  # below which nothing is said
MIN_IMAGES_A_CLASS, MIN_CLASSES = 5, 5  # of which mean images are compared
MAX_IMAGES = 5_000  # that class means are taken over
MAX_IMAGES_HASHED = 300  # for each of the turns

Images = NDArray[np.uint8]
Transform = Callable[[Images], Images]

TURNS: dict[str, tuple[str, Transform, Transform]] = {
    # what was done to the images: the finding's name, how to do it, and how to undo it
    "rows and columns are swapped": ("transposed", lambda x: x.swapaxes(1, 2), lambda x: x.swapaxes(1, 2)),
    "left and right are swapped": ("mirrored", lambda x: x[:, :, ::-1], lambda x: x[:, :, ::-1]),
    "top and bottom are swapped": ("mirrored", lambda x: x[:, ::-1], lambda x: x[:, ::-1]),
    "they are turned by 180°": ("mirrored", lambda x: x[:, ::-1, ::-1], lambda x: x[:, ::-1, ::-1]),
    "they are turned by 90° to the left": (
        "transposed",
        lambda x: np.rot90(x, 1, (1, 2)),
        lambda x: np.rot90(x, -1, (1, 2)),
    ),
    "they are turned by 90° to the right": (
        "transposed",
        lambda x: np.rot90(x, -1, (1, 2)),
        lambda x: np.rot90(x, 1, (1, 2)),
    ),
    "rows and columns are swapped, and turned by 180°": (
        "transposed",
        lambda x: x.swapaxes(1, 2)[:, ::-1, ::-1],
        lambda x: x[:, ::-1, ::-1].swapaxes(1, 2),
    ),
}


def turned(part: Dataset) -> tuple[list[Finding], Dataset]:
    """See whether the images are transposed or mirrored Fashion-MNIST or MNIST, and turn them back."""
    if part.image_size != (28, 28):
        return [], part

    # hashes first: they are certain, and need no labels
    grey = dataset_in_grey(part)
    evidence_of_turn = _official_turned(grey) or _known_turned(grey)
    if evidence_of_turn is None:
        return [], part

    what, evidence, figures = evidence_of_turn
    name, _, undo = TURNS[what]
    back = replace(part, images=np.ascontiguousarray(undo(part.images)))

    finding = Finding(
        name=name,
        severity="error",
        where=part.name,
        message=f"{what}: {evidence}",
        effect="A model trained on them may fail on images that are the right way round, and vice versa.",
        advice="Turn them back before training (EMNIST's files, for one, have rows and columns swapped); --fix does.",
        figures={"what": what, **figures},
        fix=f"images turned back ({what})",
        examples=(
            Row("as it is", "", part.images[:MAX_IMAGES_SHOWN]),
            Row("turned back", "", back.images[:MAX_IMAGES_SHOWN]),
        ),
    )
    return [finding], back


def inverted(part: Dataset) -> tuple[list[Finding], Dataset]:
    """See whether the ground is white where it should be black; of colour images only where that is sure."""
    if len(part) < MIN_IMAGES:
        return [], part

    # the border shows the ground: its median leaves out clothes that reach it, the share those that fill the image
    border_NB = _border(in_grey(part.images[: MAX_IMAGES * 2]))
    share = float((np.median(border_NB, axis=1) >= 128).mean())
    if share < 0.8:
        return [], part

    # a white ground may be meant: it is a fault only of images that are known to be white on black
    back = replace(part, images=255 - part.images)
    official = _official_share(in_grey(back.images[_spread_rows(part)]))
    known = means_fit(back)
    is_known = official >= 0.5 or (known is not None and known[1] >= 0.85)
    if part.channels == 3 and not is_known:
        return [], part  # most pictures in colour have a light ground, and are meant to

    message = f"the ground is white: {share_text(share, 0)} of the images have a border of 128 or more (median)"
    if official >= 0.5:
        message += f"; inverted, {share_text(official, 0)} of them are official Fashion-MNIST"
    elif is_known and known is not None:
        message += f"; inverted, the means of the classes are those of {known[0]} (correlation {known[1]:.2f})"

    finding = Finding(
        name="inverted",
        severity="error" if is_known else "note",
        where=part.name,
        message=message,
        effect="Fashion-MNIST and MNIST are white on black: a model trained on the one may fail on the other.",
        advice="Use 255 - pixel for train and test alike"
        + ("; --fix does." if is_known else "; nothing to do where such images are what the model is for."),
        figures={"share": share, "official_when_inverted": official},
        fix="pixels replaced by 255 - pixel" if is_known else "",
        examples=(Row("as it is", "", part.images[:MAX_IMAGES_SHOWN]),),
    )
    return [finding], back if is_known else part


def _official_turned(part: Dataset) -> tuple[str, str, dict[str, float]] | None:
    """The turn whose undoing makes official images of most of these: what it is, evidence, figures."""
    looked_at = part.images[_spread_rows(part)]
    as_they_are = max(_official_share(looked_at), _official_share(255 - looked_at))
    if as_they_are >= 0.5:
        return None

    # turned images may be inverted too, which is a check of its own: each turn is tried both ways
    for what, (_, _, undo) in TURNS.items():
        for invert in (False, True):
            images = undo(255 - looked_at if invert else looked_at)
            share = _official_share(images)
            if share >= 0.5:
                evidence = (
                    f"turned back, {share_text(share, 1)} of {len(looked_at):,} images looked at are official "
                    f"Fashion-MNIST, {share_text(as_they_are, 1)} as they are"
                )
                return what, evidence, {"official": as_they_are, "official_when_turned_back": share}
    return None


def _known_turned(part: Dataset) -> tuple[str, str, dict[str, float]] | None:
    """The turn whose undoing makes the means of the classes those of a known set: what it is, evidence, figures."""
    best_here = means_fit(part)
    if best_here is None:
        return None

    fits = {what: means_fit(replace(part, images=undo(part.images))) for what, (_, _, undo) in TURNS.items()}
    what, fit = max(((what, fit) for what, fit in fits.items() if fit), key=lambda item: item[1][1])
    # clearly a known set, and clearly better than as they are: symmetric clothes look alike in a mirror
    if fit[1] < 0.85 or fit[1] < best_here[1] + 0.03:
        return None

    evidence = (
        f"turned back, the mean image of each class is that of {fit[0]} (correlation {fit[1]:.3f}), "
        f"as they are it is {best_here[1]:.3f}"
    )
    return what, evidence, {"correlation": best_here[1], "correlation_when_turned_back": fit[1]}


def means_fit(part: Dataset) -> tuple[str, float] | None:
    """The known set whose classes look most like this one's, and how much.

    Returns:
        Its name, ``fashion-mnist`` or ``mnist``, and the correlation of mean images, 0–1, averaged over the classes; of
        light on dark or dark on light alike. None for sets without ten labelled classes, or with too few images.
    """
    if part.labels is None or part.num_classes != 10 or part.image_size != (28, 28) or len(part) < MIN_IMAGES:
        return None

    # spread over the set, for files are often sorted by class
    rows = np.linspace(0, len(part) - 1, min(len(part), MAX_IMAGES)).astype(np.int64)
    labels, images = part.labels[rows], in_grey(part.images[rows]).reshape(len(rows), -1).astype(np.float32)
    present = [label for label in range(10) if (labels == label).sum() >= MIN_IMAGES_A_CLASS]
    if len(present) < MIN_CLASSES:
        return None

    means_CP = np.stack([images[labels == label].mean(axis=0) for label in present])
    fits = {}
    for name, known in class_means().items():
        known_CP = known[present].reshape(len(present), -1)
        correlations = [np.corrcoef(mean_P, known_P)[0, 1] for mean_P, known_P in zip(means_CP, known_CP, strict=True)]
        fits[name] = float(np.mean(correlations))

    # inverted images correlate just as much, with the opposite sign
    name = max(fits, key=lambda name: abs(fits[name]))
    return name, abs(fits[name])


def _official_share(images: Images) -> float:
    """The share of grey images that are official Fashion-MNIST, 0–1."""
    hashes = hashes_of(Dataset(np.ascontiguousarray(images), None, (), "images looked at"))
    return float((manifest().rows_of(hashes) >= 0).mean())


def _spread_rows(part: Dataset) -> NDArray[np.int64]:
    """Up to 300 rows, int64, evenly spread."""
    return np.linspace(0, len(part) - 1, min(len(part), MAX_IMAGES_HASHED)).astype(np.int64)


def _border(images: Images) -> Images:
    """The pixels of each image's edge: uint8 (N, B)."""
    return np.concatenate([images[:, 0], images[:, -1], images[:, 1:-1, 0], images[:, 1:-1, -1]], axis=1)
