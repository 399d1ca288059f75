"""JSON files of a run: written whole or not at all, read with an error that names the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fittingroom.errors import ArtifactError
from fittingroom.files.atomic import atomic_write


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write ``value`` atomically, indented, as UTF-8."""
    with atomic_write(path) as file:
        file.write((json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def read_json(path: Path, *, format_number: int = 1) -> dict[str, Any]:
    """Read an object whose ``format`` is ``format_number``.

    Raises:
        ArtifactError: the file is missing, damaged, or of another format.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # the last: brackets without end
        raise ArtifactError(f"{path}: a JSON file of a run expected, but it can't be read: {error}") from None
    if not isinstance(value, dict) or "format" not in value:
        raise ArtifactError(f"{path}: an object with a format's number expected: this is not a file of a run")
    if value["format"] != format_number:
        raise ArtifactError(
            f"{path}: format {format_number} expected, {value['format']!r} found: it was written by another version of "
            "fittingroom; open it with that one"
        )
    return value
