"""What was saved in place of a file: a pointer of Git LFS, or a web page."""

from __future__ import annotations

from pathlib import Path

from fittingroom.files.regular_file import open_regular_file

LONGEST_START = 1_024  # bytes by which one is told
_ANY_SIZE = 1 << 62


def stand_in(start: bytes) -> str:
    """Name what a file is in place of what was expected, by its first bytes, and what to do; "" for anything else.

    Example:
        >>> stand_in(b"<!DOCTYPE html><html>")
        ': this is a web page; download the file itself'
    """
    text = start[:LONGEST_START].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"version https://git-lfs"):
        return ": this is a pointer of Git LFS; `git lfs pull` fetches the file itself"
    if text.startswith((b"<!doctype", b"<html", b"<head")):
        return ": this is a web page; download the file itself"
    return ""


def stand_in_at(path: Path) -> str:
    """The same of the file at a path; "" where it can't be read."""
    try:
        with open_regular_file(path, _ANY_SIZE) as file:
            return stand_in(file.read(LONGEST_START))
    except (OSError, ValueError):
        return ""
