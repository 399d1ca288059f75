"""What ``--fix`` writes: the data with all undone that could be without guessing, and nothing else."""

from __future__ import annotations

from pathlib import Path

from fittingroom.audit.check import Checked
from fittingroom.data.convert import convert
from fittingroom.data.formats.table import IDX, format_of_name
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError


def write_repaired(checked: Checked, out: Path) -> list[Path]:
    """Write the repaired parts of one path.

    Labels and class names are kept; what was changed is in ``checked.changes``.

    Args:
        checked: a path, with its repaired parts.
        out: a name that ends in .npz, .csv, .csv.gz or .parquet, or a folder, which gets IDX files. It must not exist.

    Returns:
        The files written.

    Raises:
        DataError: there was nothing to repair, nothing is left, or ``out`` can't be written.
    """
    if not checked.changes:
        raise DataError(f"{checked.given}: nothing that can be undone without guessing was found: nothing was written")
    if not checked.parts:
        raise DataError(f"{checked.given}: no images are left to write")
    by_role = {part.role or "train": part.dataset for part in checked.parts}
    if len(by_role) < len(checked.parts):
        raise DataError(f"{checked.given}: one part of each kind expected, two found: repair them one by one")

    # one list of names for all parts: a part without the last classes has the same labels for the others
    names = max((dataset.classes for dataset in by_role.values()), key=len)
    parts = {role: dataset.aligned_to(names) for role, dataset in by_role.items()}

    # data have a train part, whatever they are: a test set alone is written as one
    first = parts.get("train") or next(iter(parts.values()))
    others = {role: part for role, part in parts.items() if part is not first and role != "train"}
    data = Splits(first, others.get("validation"), others.get("test"), checked.given)
    return convert(data, out, to=None if format_of_name(out) else IDX.name)
