"""Write the mended data: what could be undone without guessing, and nothing else."""

from __future__ import annotations

from pathlib import Path

from fittingroom.audit.check import Checked
from fittingroom.data.convert import convert
from fittingroom.data.dataset import Splits
from fittingroom.data.formats.table import IDX, format_of_name
from fittingroom.errors import DataError


def write_repaired(checked: Checked, out: Path) -> list[Path]:
    """Write the mended parts of one path, and return the files written.

    out: a name that ends in .npz, .csv, .csv.gz or .parquet, or a folder, which gets IDX files. It must not exist.
    Labels and class names are kept; a file's changes are `checked.changes`. Raises DataError when there was nothing
    to mend, nothing is left, or `out` can't be written.
    """
    if not checked.changes:
        raise DataError(f"{checked.given}: nothing that can be undone without guessing was found: nothing was written")
    if not checked.parts:
        raise DataError(f"{checked.given}: no images are left to write")
    by_role = {part.role or "train": part.dataset for part in checked.parts}
    if len(by_role) < len(checked.parts):
        raise DataError(f"{checked.given}: one part of each kind expected, two found: mend them one by one")
    names = max((dataset.classes for dataset in by_role.values()), key=len)
    parts = {role: dataset.aligned_to(names) for role, dataset in by_role.items()}
    first = parts.get("train") or next(iter(parts.values()))
    others = {role: each for role, each in parts.items() if each is not first and role != "train"}
    data = Splits(first, others.get("validation"), others.get("test"), checked.given)
    return convert(data, out, to=None if format_of_name(out) else IDX.name)
