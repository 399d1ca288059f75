"""Everything that `fittingroom data check` looks at, in order: files, images, identity, labels, repeated images."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.findings import SEVERITIES, Finding
from fittingroom.audit.identity import Part, identity_findings, identity_of, part_of
from fittingroom.audit.labels import classes, labels_displaced
from fittingroom.audit.layout import shifted, wrong_width
from fittingroom.audit.near_duplicates import ALIKE, near_duplicates
from fittingroom.audit.orientation import inverted, turned
from fittingroom.audit.read_damaged import Source, read_source
from fittingroom.audit.repeats import duplicates, overlap
from fittingroom.audit.statistics import constant_images, leaky_pixel, scaled_range, split_shift
from fittingroom.data.dataset import Dataset, Splits, parts_of
from fittingroom.data.fetch.known_sets import FASHION_MNIST_CLASSES
from fittingroom.data.large import is_large
from fittingroom.rendering.contact_sheet import Row

FAST_IMAGES = 400  # of a part, on which the fast check looks at structure
PAIRS_IN_A_ROW, ROWS_SHOWN = 6, 10


@dataclass(frozen=True, eq=False)
class Checked:
    """One path: what it is, part by part (None: nothing known), its mended parts, and what was mended."""

    given: str
    identity: dict[str, str | None]
    parts: tuple[Part, ...]
    changes: tuple[str, ...]
    problem: str | None


@dataclass(frozen=True, eq=False)
class Report:
    """All findings, worst first, and what each path holds. seconds: how long it took."""

    findings: tuple[Finding, ...]
    checked: tuple[Checked, ...]
    seconds: float

    @property
    def has_errors(self) -> bool:
        """Whether anything is wrong enough to make a result false, or couldn't be read."""
        return any(each.severity == "error" for each in self.findings) or any(each.problem for each in self.checked)

    @property
    def parts(self) -> list[Part]:
        """The parts of all paths."""
        return [part for each in self.checked for part in each.parts]

    def with_findings(self, more: Sequence[Finding], seconds: float) -> Report:
        """The report with what another check found, which took so long."""
        return Report(_worst_first([*self.findings, *more]), self.checked, self.seconds + seconds)


def check(paths: Sequence[str | Path], *, near: bool = True, cache: bool = True) -> Report:
    """Check data sets, each by itself and against each other. Raises nothing for what is wrong with them.

    paths: names of known sets, files or folders, as `open_dataset` takes them, damaged or not.
    near: look for near-duplicates too, half a minute for 70,000 images. cache: as in `open_dataset`.
    """
    begun = time.monotonic()
    findings: list[Finding] = []
    checked: list[Checked] = []
    for given in map(str, paths):
        source = read_source(given, cache=cache)
        found, parts = _mended(source)
        findings += source.findings + found
        findings += identity_findings(parts, _claims_fashion(source))
        changes = tuple(f"{each.where}: {each.fix}" for each in [*source.findings, *found] if each.fix)
        identity = {part.name: identity_of(part) for part in parts}
        checked.append(Checked(given, identity, tuple(parts), changes, source.problem))
        findings += [*classes(parts), *split_shift(parts)]
    every = [part for each in checked for part in each.parts]
    for part in every:
        findings += [*duplicates(part), *constant_images(part), *scaled_range(part), *leaky_pixel(part)]
    findings += overlap(every)
    if near:
        findings += near_findings(every)
    return Report(_worst_first(findings), tuple(checked), time.monotonic() - begun)


def fast_findings(splits: Splits) -> list[Finding]:
    """The part of the check that takes a fraction of a second: for `train`, which warns of what it finds.

    Identity, labels, classes, equal images within and between parts, and the structure of the first 400 images; of a
    large part (:mod:`fittingroom.data.large`) the structure alone.
    """
    findings: list[Finding] = []
    parts = []
    for role, dataset in parts_of(splits).items():
        found, _ = straightened(dataset.subset(np.arange(min(len(dataset), FAST_IMAGES))))
        findings += found
        if is_large(dataset.images):
            continue  # to look at every image takes longer than a fraction of a second
        part = part_of(role, dataset)
        parts.append(part)
        findings += duplicates(part)
    claims = "fashion" in splits.source.lower() or splits.train.classes == FASHION_MNIST_CLASSES
    findings += identity_findings(parts, claims)
    return list(_worst_first([*findings, *classes(parts), *overlap(parts)]))


def near_findings(parts: Sequence[Part]) -> list[Finding]:
    """Near-duplicates within and between parts of one image size."""
    findings = []
    for size in dict.fromkeys(part.dataset.image_size for part in parts):
        same_size = [part for part in parts if part.dataset.image_size == size]
        images = np.concatenate([part.dataset.images for part in same_size])
        hashes = np.concatenate([part.hashes for part in same_size])
        owner = np.repeat(np.arange(len(same_size)), [len(part.hashes) for part in same_size])
        first_row = np.cumsum([0, *(len(part.hashes) for part in same_size)])
        found = near_duplicates(images)
        pairs = found.pairs
        differ = hashes[pairs[:, 0]] != hashes[pairs[:, 1]]
        pairs, correlation = pairs[differ], found.correlation[differ]
        for one in range(len(same_size)):
            for other in range(one, len(same_size)):
                here = (owner[pairs[:, 0]] == one) & (owner[pairs[:, 1]] == other)
                if here.any():
                    names = same_size[one].name, same_size[other].name
                    rows = pairs[here] - first_row[[one, other]]
                    mirrored = int(found.mirrored[differ][here].sum())
                    sheet = _pair_rows(images, pairs[here], rows, correlation[here])
                    judged = len(same_size[other].hashes)
                    findings.append(_near(names, one == other, rows, mirrored, judged, sheet))
    return findings


def _near(
    names: tuple[str, str], within: bool, rows: NDArray[np.int64], mirrored: int, judged: int, sheet: tuple[Row, ...]
) -> Finding:
    images = len(np.unique(rows)) if within else len(np.unique(rows[:, 1]))
    share = images / judged
    where = names[0] if within else f"{names[0]} and {names[1]}"
    listed = "; ".join(f"{a:,} ~ {b:,}" for a, b in rows[:4].tolist())
    return Finding(
        name="near-duplicates",
        severity="note" if within or share < 0.01 else "warning",
        where=where,
        message=f"{len(rows):,} pair{'s' * (len(rows) != 1)} of images alike but for a small shift, brightness, a "
        f"mirror or encoding: their pixels correlate by {ALIKE} or more; {images:,} of {judged:,} images of {names[1]} "
        f"({share:.2%}) are in one; {mirrored:,} mirrored (rows {listed})",
        effect="They weigh more than others in training."
        if within
        else "What was trained on comes back in the test: accuracy is a little too high.",
        advice="Look at the pairs (--png, --html): plain clothes can be this much alike and differ."
        + ("" if within else " Judge without these images too."),
        figures={"pairs": len(rows), "images": images, "of": judged, "share": share, "mirrored": mirrored},
        examples=sheet,
    )


def _pair_rows(
    images: NDArray[np.uint8], pairs: NDArray[np.int64], rows: NDArray[np.int64], correlation: NDArray[np.float32]
) -> tuple[Row, ...]:
    """Rows of a sheet: the pairs side by side, most alike first."""
    result = []
    for start in range(0, min(len(pairs), PAIRS_IN_A_ROW * ROWS_SHOWN), PAIRS_IN_A_ROW):
        some = slice(start, start + PAIRS_IN_A_ROW)
        a, b = rows[start].tolist()
        note = f"correlation {correlation[some].max():.4f} to {correlation[some].min():.4f}"
        result.append(Row(f"pairs from {a:,} ~ {b:,}", note, images[pairs[some].reshape(-1)]))
    return tuple(result)


def _mended(source: Source) -> tuple[list[Finding], list[Part]]:
    """Put right what can be known of images and labels; return what was wrong, and the parts as they should be."""
    findings: list[Finding] = []
    parts = []
    for role, dataset in source.parts:
        found, dataset = straightened(dataset)
        displaced, dataset = labels_displaced(dataset)
        findings += [*found, *displaced]
        parts.append(part_of(role, dataset))
    return findings, parts


def _claims_fashion(source: Source) -> bool:
    """Whether names say that this is Fashion-MNIST: the path, its folder for a file, or the classes."""
    path = Path(source.given)
    names = (path.name, path.absolute().parent.name if path.is_file() else "")
    return any("fashion" in name.lower() for name in names) or any(
        dataset.classes == FASHION_MNIST_CLASSES for _, dataset in source.parts
    )


def _worst_first(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def straightened(part: Dataset) -> tuple[list[Finding], Dataset]:
    """Return what is wrong with the images as such, and the set with all of it undone that can be known."""
    findings: list[Finding] = []
    for look in (wrong_width, shifted, turned, inverted):
        found, part = look(part)
        findings += found
    return findings, part
