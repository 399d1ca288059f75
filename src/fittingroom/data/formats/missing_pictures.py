"""What to say where pictures that a table names aren't there: which, and by how they are called, why."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from fittingroom.errors import DataError

MAX_ROWS_SHOWN = 20
MOST_LISTED = 100_000  # entries of a folder among which a name is looked for


def problem_of(file: Path, row: str) -> str:
    """What is wrong before the file is opened; "" where nothing is."""
    if file.is_file():
        return ""
    return f"{row}: {file}: {'a file expected, something else found' if file.exists() else 'no such file'}"


def _way_on(name: str, file: Path) -> str:
    """What to do where none of a table's files is there, by how its first one is called."""
    name = name.strip()
    if re.match(r"[A-Za-z]:[\\/]|/", name):
        return f"such a path is of one machine alone: write paths from the table's folder on ({Path(file).name}, say)"
    if (spelt := _in_other_letters(file)) is not None:
        if spelt.name.lower() != file.name.lower():  # macOS takes accents apart where others keep them in one
            return f"{spelt} is there, whose accents are written otherwise in Unicode (NFC, NFD): rename the files"
        return f"{spelt} is there: capital letters count here, so write it as it is"
    return "paths count from the table's folder, or from one folder beside it"


def _in_other_letters(file: Path) -> Path | None:
    """A file that is called the same but for capital letters and Unicode's forms; None where there is none."""
    place = file
    missing: list[str] = []
    while not place.exists() and place != place.parent:
        missing.insert(0, place.name)
        place = place.parent
    for name in missing:
        try:
            same = [entry for entry in islice(place.iterdir(), MOST_LISTED) if _folded(entry.name) == _folded(name)]
        except OSError:
            return None
        if not same:
            return None
        place = same[0]
    return place if missing else None


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).lower()


def refuse_missing(
    missing: Sequence[str], count: int, path: Path, first: str, file: Path, *, may_skip: bool = True
) -> None:
    """Refuse a table whose pictures are missing.

    Args:
        missing: what is wrong with each of them.
        count: pictures of the table.
        path: that was opened.
        first: the path of the first picture as it stands in its table, which says what may be wrong with all.
        file: where that is looked for.
        may_skip: whether they could be left out.
    """
    if len(missing) == count and count > 1:
        raise DataError(
            f"{path}: none of the {count:,} files of the table is there; the first: {missing[0]}: "
            f"{_way_on(first, file)}"
        )
    if len(missing) == 1:
        raise DataError(missing[0] + ("; `skip_broken=True` leaves it out" if may_skip else ""))
    lines, more = list(missing[:MAX_ROWS_SHOWN]), len(missing) - MAX_ROWS_SHOWN
    if more > 0:
        lines.append(f"and {more:,} more")
    shown = "\n  ".join(lines)
    way_on = " (`skip_broken=True` leaves them out)" if may_skip else ""
    raise DataError(f"{path}: {len(missing):,} of {count:,} pictures are missing{way_on}:\n  {shown}")
