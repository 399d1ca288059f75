"""JSON files of a run: written whole or not at all, read with an error that names the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fittingroom.errors import ArtifactError
from fittingroom.files.atomic import atomic_write
from fittingroom.files.records import brief
from fittingroom.files.run_file import read_run_file

MAX_CONTAINERS = 2_000_000


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write ``value`` atomically, indented, as UTF-8."""
    with atomic_write(path, follow_links=False) as file:
        file.write((json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def read_json(path: Path, *, format_number: int = 1) -> dict[str, Any]:
    """Read an object whose ``format`` is ``format_number``.

    Raises:
        ArtifactError: the file is missing, damaged, or of another format.
    """
    value = read_json_object(path, "a JSON file of a run")
    found = value["format"]
    if isinstance(found, bool) or found != format_number:
        raise ArtifactError(
            f"{path}: format {format_number} expected, {brief(found)} found: it was written by another version of "
            "fittingroom; open it with that one"
        )
    return value


def read_json_object(path: Path, expected: str) -> dict[str, Any]:
    """Read an object of any format; ``expected`` is what messages call the file. Raises as :func:`read_json` does."""
    try:
        value = parse_json(read_run_file(path, expected))
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: {expected} expected, but it can't be read: {error}") from None
    if not isinstance(value, dict) or "format" not in value:
        raise ArtifactError(f"{path}: an object with a format's number expected: this is not a file of a run")
    return value


def parse_json(content: bytes) -> Any:
    """Parse JSON whose objects take no more memory than its size lets one expect.

    Raises:
        ValueError: no JSON, more than two million lists and objects, or a text that isn't Unicode.
        RecursionError: nested too deep.
    """
    # Each empty list takes twenty times the memory of its two characters.
    if content.count(b"[") + content.count(b"{") > MAX_CONTAINERS:
        raise ValueError(f"at most {MAX_CONTAINERS:,} lists and objects expected")
    value = json.loads(content.decode())

    # Half of a surrogate pair, which only an escape can bring in, can't be printed or written anywhere.
    if b"\\ud" in content or b"\\uD" in content:
        json.dumps(value, ensure_ascii=False).encode()
    return value
