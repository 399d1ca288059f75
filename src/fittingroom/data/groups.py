"""Which images belong together: by a column of the table that they came from, or by the names of their files."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fittingroom.data.dataset import Dataset
from fittingroom.data.formats import csv_kinds, json_lines_table, parquet, parquet_file
from fittingroom.data.formats.file_table import FileTable, shown_files
from fittingroom.data.formats.kaggle_csv import find_csv
from fittingroom.data.formats.table import CSV, JSON_LINES, PARQUET, Format, format_at
from fittingroom.data.splits import Splits, parts_of
from fittingroom.errors import DataError

LONGEST_PATTERN, LONGEST_NAME = 200, 1_000  # characters, of a pattern and of a file's path

SECONDS, FILES_A_SECOND = 10, 20_000  # that a search may take, and what is added for each file
SEARCH = """
import json, re, sys
pattern, files = json.load(sys.stdin.buffer)
search = re.compile(pattern).search
found = {file: search(file) for file in files}
sys.stdout.write(json.dumps({file: match and match.group(1) for file, match in found.items()}))
"""

Groups = list[str | None]


def with_groups(data: Splits, group: str, path: Path | None, *, required: bool = True) -> Splits:
    """The data with the group of each image.

    Args:
        data: as it was read.
        group: a column of the table at ``path``, or a regular expression with one group that is searched in each
            image's file; in place of what a column called ``group`` says.
        path: that the data was read from; None for data made in memory.
        required: whether to refuse data in which no group is found; else they stay as they are.

    Raises:
        DataError: neither such a column nor files in whose names it could be found; no regular expression with one
            group, one of more than 200 characters, or one that no file matches.
    """
    parts = parts_of(data)
    found = None if path is None else _by_column(parts, group, path)
    if found is None:
        named = {name: part.files for name, part in parts.items() if part.files is not None}
        if not named and not required:
            return data
        if not named:
            raise DataError(
                f"group {group!r}: {data.source or data.train.name} has no such column, and no files in whose names it "
                "could be found: give the name of a column, or data with files"
            )
        in_files = groups_by_pattern([file for files in named.values() for file in files], group, required=required)
        places = iter(in_files)
        found = {name: [next(places) for _ in files] for name, files in named.items()}

    # a part without a single image in a group has none, as where a pattern fits the files of another part alone
    made = {
        name: replace(part, groups=tuple(found[name])) if any(found.get(name, ())) else replace(part, groups=None)
        for name, part in parts.items()
    }
    return replace(data, train=made["train"], validation=made.get("validation"), test=made.get("test"))


def groups_by_pattern(files: Sequence[str], pattern: str, *, required: bool = True) -> Groups:
    """The group of each file by a regular expression with one group, searched in its path; None where it isn't found.

    Raises:
        DataError: no such expression, one of more than 200 characters, or one that no file matches; a path of more
            than 1,000 characters.

    Example:
        >>> groups_by_pattern(["cat/anna_1.png", "cat/anna_2.png", "cat/ben_1.png"], "/([a-z]+)_")
        ['anna', 'anna', 'ben']
    """
    # What may be typed is bounded, and so is the time that it takes: of an unlucky expression that doubles with each
    # character of a name.
    if len(pattern) > LONGEST_PATTERN:
        raise DataError(f"group: at most {LONGEST_PATTERN} characters expected, {len(pattern):,} found")
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise DataError(
            f"group {pattern!r}: a column of the table, or a regular expression, expected: {error}"
        ) from None
    if compiled.groups != 1:
        raise DataError(
            f"group {pattern!r}: a column of the table, or a regular expression with one group expected, as in "
            f"'([a-z]+)_\\d+', one with {compiled.groups} groups found"
        )

    longest = max(files, key=len, default="")
    if len(longest) > LONGEST_NAME:
        raise DataError(f"{longest[:80]}…: a path of at most {LONGEST_NAME:,} characters expected, it has more")
    found = _searched(compiled, files)
    if required and all(group is None for group in found):
        raise DataError(f"group {pattern!r}: found in none of {len(files):,} files, such as {files[0]}")
    return found


def _searched(compiled: re.Pattern[str], files: Sequence[str]) -> Groups:
    """The group of each file, searched by a process of its own: nothing else ends a search that would never end.

    Raises:
        DataError: it takes too long.
    """
    if not sys.executable or not files:
        return [match.group(1) if (match := compiled.search(file)) else None for file in files]

    question = json.dumps([compiled.pattern, list(dict.fromkeys(files))])
    try:
        answer = subprocess.run(
            [sys.executable, "-I", "-S", "-c", SEARCH],
            input=question.encode(),
            stdout=subprocess.PIPE,
            timeout=SECONDS + len(files) / FILES_A_SECOND,
            check=True,
        )
    except subprocess.TimeoutExpired:
        raise DataError(
            f"group {compiled.pattern!r}: an expression that is found within {SECONDS} seconds expected, this one "
            f"takes longer on names such as {max(files, key=len)}: leave out repeats within repeats, such as (a+)+"
        ) from None
    groups: dict[str, str | None] = json.loads(answer.stdout)
    return [groups[file] for file in files]


def _by_column(parts: dict[str, Dataset], name: str, path: Path) -> dict[str, Groups] | None:
    """The groups of each part by a column of the table at ``path``; None where there is no table or no such column.

    Raises:
        DataError: the column can't be read, or has another number of rows than there are images.
    """
    kind = format_at(path)[0]
    if kind is CSV:
        tables = {part: [file] for part, file in find_csv(path).items()}
        columns = {file: csv_kinds.text_column(file, name) for files in tables.values() for file in files}
    elif kind is PARQUET:
        tables = parquet_file.find_parquet(path)
        there = [file for files in tables.values() for file in files if parquet_file.has_column(file, name)]
        columns = {file: parquet_file.text_column(file, name) for file in there}
    elif kind is JSON_LINES:
        tables = {part: [file] for part, file in json_lines_table.find_tables(path).items()}
        columns = {file: json_lines_table.text_column(file, name) for files in tables.values() for file in files}
    else:
        return None
    values = {file: column for file, column in columns.items() if column is not None}
    if not values:
        return None

    # a table of files says which image is meant, whatever was left out or went into which part
    if parts["train"].files is not None:
        group_of: dict[str, str | None] = {}
        for file, column in values.items():
            for shown, group in zip(shown_files(_file_table(file, kind), path), column, strict=True):
                group_of[shown] = group_of.get(shown) or group
        return {part: [group_of.get(file) for file in data.files or ()] for part, data in parts.items()}

    if len(parts) == 1:
        tables = {"train": next(iter(tables.values()))}
    found = {}
    for part, data in parts.items():
        groups = [group for file in tables.get(part, ()) for group in values.get(file, ())]
        if groups and len(groups) != len(data):
            raise DataError(
                f"group {name!r}: {len(data):,} values expected in this column for {data.name}, {len(groups):,} found: "
                "pictures were left out, or the table has other rows too"
            )
        found[part] = groups
    return found


def _file_table(file: Path, kind: Format) -> FileTable:
    if kind is CSV:
        return csv_kinds.read_file_table(file)
    return json_lines_table.read_file_table(file) if kind is JSON_LINES else parquet.read_file_table(file)
