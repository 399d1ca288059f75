"""Equal images, in one part or in two."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.findings import Finding, Severity
from fittingroom.audit.identity import Part
from fittingroom.rendering.contact_sheet import Row

SHOWN = 12
TOLD = 5  # rows that a message names


def duplicates(part: Part) -> list[Finding]:
    """See whether images stand in the part more than once, and with different labels."""
    order = np.argsort(part.hashes, kind="stable")
    same_as_before = part.hashes[order][1:] == part.hashes[order][:-1]
    if not same_as_before.any():
        return []
    again, first = order[1:][same_as_before], order[:-1][same_as_before]
    labels = part.dataset.labels
    contradict = 0 if labels is None else int((labels[again] != labels[first]).sum())
    images = part.dataset.images
    shown = np.stack([first[:SHOWN], again[:SHOWN]], axis=1).reshape(-1)[:SHOWN]
    listed = ", ".join(f"{a:,} = {b:,}" for a, b in list(zip(first.tolist(), again.tolist(), strict=True))[:TOLD])
    return [
        Finding(
            name="duplicates",
            severity="warning",
            where=part.name,
            message=f"{len(again):,} of {len(part.hashes):,} images stand in it before already (rows {listed}"
            + (", …)" if len(again) > TOLD else ")")
            + (f"; {contradict:,} with another label" if contradict else ""),
            effect="They count more than once; cut at random, one goes into train and its twin into test.",
            advice="Keep one of each" + (", and decide on its label." if contradict else "."),
            figures={"duplicates": len(again), "n": len(part.hashes), "other_label": contradict},
            examples=(Row("pairs", "side by side", images[shown]),),
        )
    ]


def overlap(parts: Sequence[Part]) -> list[Finding]:
    """See whether two parts have images in common. Parts of one role (two copies of train, say) are no harm."""
    findings = []
    for index, one in enumerate(parts):
        for other in parts[index + 1 :]:
            judged, seen = (one, other) if _rank(one) > _rank(other) else (other, one)
            common = np.flatnonzero(np.isin(judged.hashes, seen.hashes))
            if len(common) and one.dataset.image_size == other.dataset.image_size:
                findings.append(_overlap(judged, seen, common))
    return findings


def _overlap(judged: Part, seen: Part, common: NDArray[np.int64]) -> Finding:
    share = len(common) / len(judged.hashes)
    is_copy = judged.role == seen.role
    severity: Severity = "note" if is_copy else "error" if share >= 0.001 else "warning"
    listed = ", ".join(f"{row:,}" for row in common[:TOLD].tolist()) + ", …" * (len(common) > TOLD)
    return Finding(
        name="overlap",
        severity=severity,
        where=f"{judged.name} and {seen.name}",
        message=f"{len(common):,} of the {len(judged.hashes):,} images of {judged.name} ({share:.2%}) stand in "
        f"{seen.name} too (rows {listed})",
        effect="Both are the same part: given twice, they count twice."
        if is_copy
        else f"Trained on the one, a model knows {share:.1%} of the other's answers: its accuracy is too high.",
        advice="Give one of them." if is_copy else "Take these images out of the part that is trained on.",
        figures={"overlap": len(common), "n": len(judged.hashes), "share": share},
        examples=(Row("in both", "", judged.dataset.images[common[:SHOWN]]),),
    )


def _rank(part: Part) -> int:
    return {"train": 0, "": 1, "validation": 2, "test": 3}[part.role]
