"""The ledger of comparisons: a line for each time that a pair of recipes was looked at with other members than before.

Whoever adds seeds and looks again, until a difference shows, finds one without cause in a fifth of cases. So each look
at a pair costs: look k is held to the level α_k, with α_1 = 0.05 and α_k = 0.01 · (6/π²) / (k − 1)² from k = 2 on. The
sum over all k is 0.06, and by a union bound claims without cause come to no more, however often one looks.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict

from fittingroom.files.json_lines import append_json_line, read_json_lines

COMPARE_LEDGER = "compare-looks.jsonl"
FORMAT = 1
FIRST_LEVEL, LATER_LEVELS = 0.05, 0.01  # of the first look, and of all later ones together


class RecordedLook(TypedDict):
    """What a line says, beside what its reader can do without."""

    pair: str
    members: str


def level_of_look(look: int) -> float:
    """What p has to fall below at look 1, 2, … at the same pair."""
    return FIRST_LEVEL if look == 1 else LATER_LEVELS * 6 / math.pi**2 / (look - 1) ** 2


def digest(value: Any) -> str:
    """SHA-256 of a value as JSON, hexadecimal."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def record_look(folder: Path, pair: Mapping[str, Any], members: str, names: Sequence[str]) -> int:
    """Put a look on record, if these members of the pair were not compared before.

    Args:
        folder: of all runs.
        pair: what is compared, whichever seeds were trained: both recipes, the split, the images.
        members: what tells the members apart from those of another look.
        names: of the two runs, for whoever reads the file.

    Returns:
        The number of the look at this pair, 1 for the first; of members that were compared before, their own.

    Raises:
        ArtifactError: it can't be read.
        OSError: it can't be written.
    """
    file, key = folder / COMPARE_LEDGER, digest(pair)
    seen = _members(file, key)
    if members in seen:
        return seen.index(members) + 1

    line = {"format": FORMAT, "when": datetime.now(UTC).isoformat(timespec="seconds"), "pair": key, "members": members}
    append_json_line(file, {**line, "runs": list(names), "look": len(seen) + 1, **pair})

    # Another process may have looked at the same time: of the two the one whose line stands first was the earlier look.
    return _members(file, key).index(members) + 1


def _members(file: Path, key: str) -> list[str]:
    """The members of each look at a pair that is on record, the first look first."""
    lines = read_json_lines(file, RecordedLook)
    return list(dict.fromkeys(line["members"] for line in lines if line["pair"] == key))
