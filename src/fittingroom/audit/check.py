"""Every check that ``fittingroom data check`` runs, in order: files, images, identity, labels, repeated images."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fittingroom.audit.audited_file import AuditedFile
from fittingroom.audit.findings import SEVERITIES, Finding
from fittingroom.audit.groups import groups_split
from fittingroom.audit.identity import identity_findings, identity_of
from fittingroom.audit.labels import classes, labels_displaced
from fittingroom.audit.layout import shifted, wrong_width
from fittingroom.audit.official_part import Part, part_of
from fittingroom.audit.orientation import inverted, turned
from fittingroom.audit.read_damaged import holds_pictures, read_audited_file
from fittingroom.audit.repeats import duplicates, near_findings, overlap
from fittingroom.audit.statistics import constant_images, leaky_pixel, scaled_range, split_shift
from fittingroom.data.dataset import Dataset
from fittingroom.data.fetch.fingerprints import FASHION_MNIST_CLASSES
from fittingroom.data.formats.many_pictures import Decoding
from fittingroom.data.large import is_large
from fittingroom.data.preprocessing import Preprocessing
from fittingroom.data.splits import Splits, parts_of

FAST_IMAGES = 400  # of a part, on which the fast check judges whether images are whole and upright

# Each takes a set and gives its findings and the set repaired. The order counts: rows must be as long as they say
# before an offset within them can be measured, and images whole before it can be told which way up they are.
IMAGE_CHECKS = (wrong_width, shifted, turned, inverted)
BYTE_CHECKS = (wrong_width, shifted)  # of those, what no picture file can have: its pixels are no run of bytes

# Each takes a part whose images are repaired and gives its findings.
PART_CHECKS = (duplicates, constant_images, scaled_range, leaky_pixel)


@dataclass(frozen=True, eq=False)
class Checked:
    """One path that was checked.

    Attributes:
        given: the path or name as it was given.
        identity: what each part is, in words, by its name; None where nothing is known.
        parts: the repaired parts.
        changes: what was repaired.
        problem: why it couldn't be read, where no finding says so.
        notes: what its reader says of it, a sentence each: what was left out, what was resized.
    """

    given: str
    identity: dict[str, str | None]
    parts: tuple[Part, ...]
    changes: tuple[str, ...]
    problem: str | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Report:
    """All findings, worst first, what each path holds, and the seconds that the check took."""

    findings: tuple[Finding, ...]
    checked: tuple[Checked, ...]
    seconds: float

    @property
    def has_errors(self) -> bool:
        """Whether anything is wrong enough to make a result false, or couldn't be read."""
        is_wrong = any(finding.severity == "error" for finding in self.findings)
        return is_wrong or any(checked.problem for checked in self.checked)

    @property
    def parts(self) -> list[Part]:
        """The parts of all paths."""
        return [part for checked in self.checked for part in checked.parts]

    def with_findings(self, more: Sequence[Finding], seconds: float) -> Report:
        """The report with the findings of another check, which took ``seconds``."""
        return Report(_worst_first([*self.findings, *more]), self.checked, self.seconds + seconds)


def check(
    paths: Sequence[str | Path],
    *,
    near: bool = True,
    cache: bool = True,
    preprocessing: Preprocessing | None = None,
    group: str | None = None,
    skip_broken: bool = False,
    decoding: Decoding = lambda _what, _done, _all: None,
) -> Report:
    """Check data sets, each by itself and against each other; what is wrong with them raises nothing.

    Args:
        paths: names of known sets, files or folders, as ``open_dataset`` takes them, damaged or not.
        near: whether to search for near-duplicates too, half a minute for 70,000 images.
        cache, preprocessing, group, decoding: as in ``open_dataset``.
        skip_broken: pictures that can't be read are left out knowingly: a note, and no error.
    """
    begun = time.monotonic()
    findings: list[Finding] = []
    checked: list[Checked] = []
    for given in map(str, paths):
        audited_file = read_audited_file(
            given,
            cache=cache,
            preprocessing=preprocessing,
            group=group,
            skip_broken=skip_broken,
            decoding=decoding,
        )
        image_findings, parts = _repaired_parts(audited_file)
        repairable = [*audited_file.findings, *image_findings]
        findings += repairable

        # identity goes by the pixels' hashes, so it is looked up only once the images are as they should be
        findings += identity_findings(parts, _claims_fashion(audited_file))
        identity = {part.name: identity_of(part) for part in parts}
        changes = tuple(f"{finding.where}: {finding.fix}" for finding in repairable if finding.fix)
        checked.append(Checked(given, identity, tuple(parts), changes, audited_file.problem, audited_file.notes))
        findings += [*classes(parts), *split_shift(parts)]

    for of_one_set in _by_set(checked):
        findings += groups_split(of_one_set)

    # across paths: somebody trains on the one and judges on the other
    all_parts = [part for path in checked for part in path.parts]
    for part in all_parts:
        findings += [finding for part_check in PART_CHECKS for finding in part_check(part)]
    findings += overlap(all_parts)
    if near:
        findings += near_findings(all_parts, keep=cache)

    return Report(_worst_first(findings), tuple(checked), time.monotonic() - begun)


def fast_findings(splits: Splits) -> list[Finding]:
    """The part of the check that takes a fraction of a second: for ``train``, which warns of what it finds.

    Identity, labels, classes, the range of pixels, equal images within and between parts, and the structure of the
    first 400 images; of a large part (:mod:`fittingroom.data.large`) the structure alone.
    """
    findings: list[Finding] = []
    parts = []
    is_pictures = splits.train.files is not None or holds_pictures(splits.source)
    for role, dataset in parts_of(splits).items():
        beginning = dataset.subset(np.arange(min(len(dataset), FAST_IMAGES)))
        image_findings, _ = repair_images(beginning, is_pictures=is_pictures)
        findings += image_findings
        if is_large(dataset.images):
            continue  # a hash of every image takes longer than a fraction of a second

        part = part_of(role, dataset)
        parts.append(part)
        findings += [*duplicates(part), *scaled_range(part)]

    claims = "fashion" in splits.source.lower() or splits.train.classes == FASHION_MNIST_CLASSES
    findings += identity_findings(parts, claims)
    return list(_worst_first([*findings, *classes(parts), *overlap(parts), *groups_split(parts)]))


def repair_images(dataset: Dataset, *, is_pictures: bool = False) -> tuple[list[Finding], Dataset]:
    """What is wrong with the images as such, and the set with all of it undone that can be known.

    Args:
        dataset: the images.
        is_pictures: whether they come from picture files, which nothing can have shifted.
    """
    findings: list[Finding] = []
    for image_check in IMAGE_CHECKS:
        if is_pictures and image_check in BYTE_CHECKS:
            continue
        more, dataset = image_check(dataset)
        findings += more
    return findings, dataset


def _repaired_parts(audited_file: AuditedFile) -> tuple[list[Finding], list[Part]]:
    """What is wrong with images and with where labels stand, and the parts with it undone where that needs no guess."""
    findings: list[Finding] = []
    parts = []
    for role, dataset in audited_file.parts:
        image_findings, dataset = repair_images(dataset, is_pictures=audited_file.is_pictures)
        # whether labels fit their images shows only in whole images, the right way up
        label_findings, dataset = labels_displaced(dataset)
        findings += [*image_findings, *label_findings]
        parts.append(part_of(role, dataset))
    return findings, parts


def _by_set(checked: Sequence[Checked]) -> list[list[Part]]:
    """The parts by the set that they are of: those of one path, and paths of one part each that lie side by side."""
    sets: dict[Path, list[Part]] = {}
    for path in checked:
        place = Path(path.given).absolute()
        sets.setdefault(place.parent if len(path.parts) == 1 else place, []).extend(path.parts)
    return list(sets.values())


def _claims_fashion(audited_file: AuditedFile) -> bool:
    """Whether names say that this is Fashion-MNIST: the path, its folder for a file, or the classes."""
    path = Path(audited_file.given)
    names = (path.name, path.absolute().parent.name if path.is_file() else "")
    return any("fashion" in name.lower() for name in names) or any(
        dataset.classes == FASHION_MNIST_CLASSES for _, dataset in audited_file.parts
    )


def _worst_first(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))
