"""Groups (a person, a garment, a series of shots) that stand on both sides of a split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fittingroom.audit.findings import MAX_IMAGES_SHOWN, MAX_VALUES_LISTED, Finding, file_figures, place_text
from fittingroom.audit.official_part import Part
from fittingroom.audit.repeats import rank
from fittingroom.rendering.contact_sheet import Row
from fittingroom.rendering.share import share_text


def groups_split(parts: Sequence[Part]) -> list[Finding]:
    """See whether images of one group lie in two parts of one set.

    Args:
        parts: of one set: in two sets one name may mean two groups.
    """
    known = [part for part in parts if part.dataset.groups is not None]
    findings = []
    for index, part in enumerate(known):
        for other in known[index + 1 :]:
            judged, seen = (part, other) if rank(part) > rank(other) else (other, part)
            if judged.role != seen.role:
                findings += _on_both_sides(judged, seen)
    return findings


def _on_both_sides(judged: Part, seen: Part) -> list[Finding]:
    groups, others = judged.dataset.groups or (), seen.dataset.groups or ()
    shared = {group for group in groups if group} & {group for group in others if group}
    if not shared:
        return []

    rows = np.flatnonzero([group in shared for group in groups])
    twins = np.flatnonzero([group in shared for group in others])
    share = len(rows) / len(judged.hashes)
    names = sorted(shared)
    listed = ", ".join(names[:MAX_VALUES_LISTED]) + ", …" * (len(names) > MAX_VALUES_LISTED)
    places = ", ".join(place_text(judged.dataset, row) for row in rows[:MAX_VALUES_LISTED].tolist())
    places += ", …" * (len(rows) > MAX_VALUES_LISTED)

    files = file_figures(judged.dataset, rows).get("files", []) + file_figures(seen.dataset, twins).get("files", [])
    return [
        Finding(
            name="groups-split",
            severity="error",
            where=f"{judged.name} and {seen.name}",
            message=f"{len(shared):,} group{'s' * (len(shared) != 1)} in both ({listed}); {len(rows):,} of the "
            f"{len(judged.hashes):,} images of {judged.name} ({share_text(share)}) are of one of them ({places})",
            effect="A model can recognise what it has seen of a group: accuracy on new groups is then lower than on "
            "these.",
            advice="Put all parts together and split them anew by group: fittingroom data split DATA --group …",
            figures={
                "groups": len(shared),
                "images": len(rows),
                "n": len(judged.hashes),
                "share": share,
                "names": names,
            }
            | ({"files": files} if files else {}),
            examples=(
                Row(f"in {judged.role or 'one'}", "", judged.dataset.images[rows[:MAX_IMAGES_SHOWN]]),
                Row(f"in {seen.role or 'the other'}", "", seen.dataset.images[twins[:MAX_IMAGES_SHOWN]]),
            ),
        )
    ]
