"""Images that occur more than once, in one part or in two: equal ones, and near-duplicates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.findings import (
    MAX_IMAGES_SHOWN,
    MAX_VALUES_LISTED,
    Finding,
    Severity,
    file_figures,
    kind_of_place,
    place_text,
)
from fittingroom.audit.known_pairs import keep_pairs, keep_pairs_between
from fittingroom.audit.near_duplicates import near_duplicates
from fittingroom.audit.official_part import Part
from fittingroom.rendering.contact_sheet import Row
from fittingroom.rendering.share import share_text

MAX_PAIRS_LISTED = 4  # of near-duplicates, by a message
PAIRS_A_ROW, MAX_ROWS_SHOWN = 6, 10


def duplicates(part: Part) -> list[Finding]:
    """See whether images occur in the part more than once, and with different labels."""
    # a stable sort keeps equal hashes in file order, so that each is paired with the one before it in the file
    order = np.argsort(part.hashes, kind="stable")
    same_as_before = part.hashes[order][1:] == part.hashes[order][:-1]
    if not same_as_before.any():
        return []

    again, first = order[1:][same_as_before], order[:-1][same_as_before]

    # the same picture under two names: one of the labels is wrong
    labels = part.dataset.labels
    contradict = 0 if labels is None else int((labels[again] != labels[first]).sum())

    images = part.dataset.images
    shown = np.stack([first[:MAX_IMAGES_SHOWN], again[:MAX_IMAGES_SHOWN]], axis=1).reshape(-1)[:MAX_IMAGES_SHOWN]
    pairs = list(zip(first.tolist(), again.tolist(), strict=True))
    listed = ", ".join(_pair_text(part, part, a, b, "=") for a, b in pairs[:MAX_VALUES_LISTED])

    return [
        Finding(
            name="duplicates",
            severity="warning",
            where=part.name,
            message=f"{len(again):,} of {len(part.hashes):,} images occur{'s' * (len(again) == 1)} earlier in it "
            f"({kind_of_place(part.dataset, 2 * len(again))} {listed}"
            + (", …)" if len(again) > MAX_VALUES_LISTED else ")")
            + (f"; {contradict:,} with another label" if contradict else ""),
            effect="They count more than once; split at random, one may go into train and its twin into test.",
            advice="Keep one of each" + (", and decide on its label." if contradict else "."),
            figures={"duplicates": len(again), "n": len(part.hashes), "other_label": contradict}
            | file_figures(part.dataset, again)
            | _pairs_of_files(part, part, pairs),
            examples=(Row("pairs", "side by side", images[shown]),),
        )
    ]


def overlap(parts: Sequence[Part]) -> list[Finding]:
    """See whether two parts have images in common: equal pixels or, where both were read from files, equal files.

    Parts of one role (two copies of train, say) are no harm.
    """
    findings = []
    for index, part in enumerate(parts):
        for other in parts[index + 1 :]:
            # the share counts of the part that is judged: test before validation before train
            judged, seen = (part, other) if rank(part) > rank(other) else (other, part)
            is_common = np.zeros(len(judged.hashes), dtype=bool)
            if _shape(part) == _shape(other):
                is_common |= np.isin(judged.hashes, seen.hashes)
            if judged.dataset.sources is not None and seen.dataset.sources is not None:
                files = set(seen.dataset.sources)
                is_common |= np.array([source in files for source in judged.dataset.sources])
            if is_common.any():
                findings.append(_overlap(judged, seen, np.flatnonzero(is_common)))
    return findings


def _overlap(judged: Part, seen: Part, common: NDArray[np.int64]) -> Finding:
    share = len(common) / len(judged.hashes)
    # copies of one part leak nothing: no model is trained on the one and judged on the other
    is_copy = judged.role == seen.role
    severity: Severity = "note" if is_copy else "error" if share >= 0.001 else "warning"

    rows = ", ".join(place_text(judged.dataset, row) for row in common[:MAX_VALUES_LISTED].tolist())
    listed = rows + ", …" * (len(common) > MAX_VALUES_LISTED)

    return Finding(
        name="overlap",
        severity=severity,
        where=f"{judged.name} and {seen.name}",
        message=f"{len(common):,} of the {len(judged.hashes):,} images of {judged.name} ({share_text(share)}) "
        f"occur{'s' * (len(common) == 1)} in {seen.name} too ({kind_of_place(judged.dataset, len(common))} {listed})",
        effect="Both are the same part: given twice, they count twice."
        if is_copy
        else f"Trained on the one, a model has seen {share_text(share)} of the other: its accuracy there is mostly too "
        "high.",
        advice="Give one of them." if is_copy else "Take these images out of the part that is trained on.",
        figures={"overlap": len(common), "n": len(judged.hashes), "share": share}
        | file_figures(judged.dataset, common),
        examples=(Row("in both", "", judged.dataset.images[common[:MAX_IMAGES_SHOWN]]),),
    )


def rank(part: Part) -> int:
    """How late a part is used: what is judged last must not be known from before."""
    return {"train": 0, "": 1, "validation": 2, "test": 3}[part.role]


# ── near-duplicates ──────────────────────────────────────────────────────────────────────────────────────────


def near_findings(parts: Sequence[Part], *, keep: bool = False) -> list[Finding]:
    """See whether there are near-duplicates within and between parts of one image size, all grey or all in colour.

    Args:
        parts: of one or several sets.
        keep: whether to keep what is found within and between parts, for trainings that hold images out of one or
            are judged on one.
    """
    findings = []
    for shape in dict.fromkeys(map(_shape, parts)):
        # one search over all parts of a size: within them and between them at once
        same_size = [part for part in parts if _shape(part) == shape]
        images = np.concatenate([part.dataset.images for part in same_size])
        hashes = np.concatenate([part.hashes for part in same_size])
        owner = np.repeat(np.arange(len(same_size)), [len(part.hashes) for part in same_size])
        first_row = np.cumsum([0, *(len(part.hashes) for part in same_size)])

        near = near_duplicates(images)

        if keep:
            for number, part in enumerate(same_size):
                within = (owner[near.pairs] == number).all(axis=1)
                keep_pairs(part.dataset, near.pairs[within] - first_row[number])
                for other in range(number + 1, len(same_size)):
                    between = (owner[near.pairs] == [number, other]).all(axis=1)
                    rows = near.pairs[between] - first_row[[number, other]]
                    keep_pairs_between(part.dataset, same_size[other].dataset, rows)

        # equal images have a finding of their own: duplicates, or overlap
        differ = hashes[near.pairs[:, 0]] != hashes[near.pairs[:, 1]]
        pairs, correlation, mirrored = near.pairs[differ], near.correlation[differ], near.mirrored[differ]

        for first in range(len(same_size)):
            for second in range(first, len(same_size)):
                here = (owner[pairs[:, 0]] == first) & (owner[pairs[:, 1]] == second)
                if not here.any():
                    continue
                rows = pairs[here] - first_row[[first, second]]
                both = same_size[first], same_size[second]
                sheet = _pair_rows(images, pairs[here], rows, correlation[here], both)
                findings.append(_near(*both, rows, int(mirrored[here].sum()), sheet))
    return findings


def _shape(part: Part) -> tuple[int, ...]:
    """(H, W) of grey images, (H, W, 3) of those in colour."""
    return part.dataset.images.shape[1:]


def _pair_text(first: Part, second: Part, a: int, b: int, sign: str) -> str:
    """A pair of images, row ``a`` of the first part and row ``b`` of the second, as a message lists it."""
    return f"{place_text(first.dataset, a)} {sign} {place_text(second.dataset, b)}"


def _pairs_of_files(first: Part, second: Part, pairs: Sequence[Sequence[int]]) -> dict[str, list[list[str]]]:
    """``pairs`` for a finding's figures, where both parts were read from picture files."""
    if first.dataset.files is None or second.dataset.files is None:
        return {}
    return {"pairs_of_files": [[first.dataset.files[a], second.dataset.files[b]] for a, b in pairs]}


def _near(first: Part, second: Part, rows: NDArray[np.int64], mirrored: int, sheet: tuple[Row, ...]) -> Finding:
    """The finding for the pairs ``rows`` (P, 2) of two parts, or of one part with itself."""
    within = first is second

    # between parts the second one's images count: it is the later one, which is judged
    in_a_pair = np.unique(rows) if within else np.unique(rows[:, 1])
    images, judged = len(in_a_pair), len(second.hashes)
    share = images / judged

    listed = "; ".join(_pair_text(first, second, a, b, "~") for a, b in rows[:MAX_PAIRS_LISTED].tolist())

    return Finding(
        name="near-duplicates",
        severity="note" if within or share < 0.01 else "warning",
        where=first.name if within else f"{first.name} and {second.name}",
        message=f"{len(rows):,} pair{'s' * (len(rows) != 1)} of images that may be copies but for a small shift, "
        f"turn or zoom, brightness, blur, a mirror, inversion or encoding; {images:,} of {judged:,} images of "
        f"{second.name} ({share_text(share)}) {'is' if images == 1 else 'are'} in one "
        f"({kind_of_place(second.dataset, 2 * len(rows))} {listed}); mirrored pairs: {mirrored:,}",
        effect="If they are copies, they weigh more than others in training."
        if within
        else "If they are copies, what was trained on comes back in the test, and accuracy is a little too high.",
        advice=f"Look at the pairs (--sheet, --html): {_what_may_differ(second)} can be this much alike and differ."
        + ("" if within else " Judge without these images too."),
        figures={"pairs": len(rows), "images": images, "of": judged, "share": share, "mirrored": mirrored}
        | file_figures(second.dataset, in_a_pair)
        | _pairs_of_files(first, second, rows.tolist()),
        examples=sheet,
    )


def _what_may_differ(part: Part) -> str:
    """What is alike without being the same, in words that are true of these images."""
    return "plain clothes" if part.official.mean() >= 0.5 else "simple pictures"


def _pair_rows(
    images: NDArray[np.uint8],
    pairs: NDArray[np.int64],
    rows: NDArray[np.int64],
    correlation: NDArray[np.float32],
    parts: tuple[Part, Part],
) -> tuple[Row, ...]:
    """Rows of a sheet: the pairs side by side, most alike first."""
    result = []
    for start in range(0, min(len(pairs), PAIRS_A_ROW * MAX_ROWS_SHOWN), PAIRS_A_ROW):
        shown = slice(start, start + PAIRS_A_ROW)
        note = f"correlation {correlation[shown].max():.4f} to {correlation[shown].min():.4f}"
        # a path may be long, and a label makes room for itself on the whole sheet
        a, b = rows[start].tolist()
        has_files = any(part.dataset.files is not None for part in parts)
        first = f"{start + 1}" if has_files else _pair_text(*parts, a, b, "~")
        result.append(Row(f"pairs from {first}", note, images[pairs[shown].reshape(-1)]))
    return tuple(result)
