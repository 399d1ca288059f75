"""``fittingroom runs``: every run, by data set and validation accuracy."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from fittingroom.cli.parser import Parser
from fittingroom.rendering.terminal import tell

# What a narrow terminal leaves out goes from the right of this list.
COLUMNS = (
    *(
        "run",
        "validation",
        "seeds",
        "test",
        "95% interval",
        "changed",
        "continued from",
        "recipe",
        "sd",
        "looks",
        "interval of",
    ),
    *("model", "n", "seconds", "parameters", "started"),
)
SHOWN_IN = (
    *(
        "run",
        "recipe",
        "model",
        "changed",
        "continued from",
        "seeds",
        "validation",
        "sd",
        "n",
        "test",
        "95% interval",
        "interval of",
    ),
    *("looks", "parameters", "seconds", "started"),
)
NUMBERS = ("seeds", "validation", "sd", "n", "test", "looks", "parameters", "seconds")
GAP = 3  # characters between columns


def add_options(parser: Parser) -> None:
    """Add the options of ``runs``."""
    parser.description = (
        "List every run below a folder: by data set, and within it by validation accuracy; never by test, as whoever "
        "takes the best would choose by it. Unfinished ones last."
    )
    parser.epilog = "example: fittingroom runs --csv runs.csv"
    parser.add_argument(
        "folder", metavar="DIR", nargs="?", type=Path, default=Path("runs"), help="folder of runs; default: runs"
    )
    parser.add_argument("--csv", metavar="FILE", nargs="?", const="-", help="a line a run as CSV; default: on stdout")
    parser.add_argument("--latex", metavar="FILE", nargs="?", const="-", help="as a table of LaTeX; default: on stdout")
    parser.add_argument("--json", action="store_true", help="JSON on stdout")
    parser.set_defaults(run=run_runs)


def run_runs(args: argparse.Namespace) -> int:
    """Print a line for each run."""
    from fittingroom.cli import console
    from fittingroom.errors import ArtifactError
    from fittingroom.runs.listing import as_csv, as_latex, list_runs

    if not args.folder.is_dir():
        raise ArtifactError(f"{args.folder}: a folder of runs expected, nothing found; `fittingroom train` makes one")

    # A damaged run must not keep the others from the list.
    rows, warnings = list_runs(args.folder)
    for warning in warnings:
        tell(f"warning: {warning}")

    if args.csv:
        write_table(args.csv, as_csv(rows), "--csv")
    if args.latex:
        write_table(args.latex, as_latex(rows), "--latex")
    if args.json:
        console.print_json(rows)
    elif not (args.csv or args.latex):
        _print(rows)
    return 0


def write_table(file: str, text: str, option: str) -> None:
    """Write what ``option`` asked for to its file, or for ``-`` to stdout."""
    from fittingroom.errors import DataError, UsageError
    from fittingroom.files.atomic import atomic_write

    if file == "-":
        print(text, end="")
        return
    if Path(file).is_dir():
        raise UsageError(f"{option} {file}: a file expected, found a folder; the folder of runs goes before {option}")
    try:
        with atomic_write(file) as out:
            out.write(text.encode())
    except OSError as error:
        raise DataError(f"{file}: can't be written: {error.strerror or error}") from error


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    """A table for each data set, with as many columns as there is room for."""
    from fittingroom.cli import console

    out = console.stdout()
    texts = {id(row): _texts(row) for row in rows}
    for (data, _), of_data in groupby(rows, key=lambda row: (row["data"], row["data_set"])):
        listed = [texts[id(row)] for row in of_data]
        columns, left_out = _that_fit(listed, out.width)
        table = console.table(*columns, right=NUMBERS, muted=("started",), gap=GAP)
        for row in listed:
            table.add_row(*(row[column] for column in columns))
        out.print(data, style="bold")
        out.print(table)
        if left_out:
            out.print(f"no room for {', '.join(left_out)}: a wider terminal, --csv or --json", style="bright_black")
        out.print()
    if rows:
        out.print("best on validation first; test plays no part in the order", style="bright_black")


def _texts(row: Mapping[str, Any]) -> dict[str, str]:
    """What the table says of a run; of an unfinished one nothing is known but its recipe and when it began."""
    interval = row["interval"]
    return {
        "run": row["run"],
        "recipe": row["recipe"],
        "model": row["model"],
        "changed": ", ".join(row["changed"]),
        "continued from": row["continued_from"] or "",
        "seeds": f"{row['seeds']}",
        "validation": _share(row["validation"]) if row["finished"] else "not finished",
        "sd": "" if row["sd"] is None else f"{100 * row['sd']:.2f}",
        "n": "" if row["n"] is None else f"{row['n']:,}",
        "test": _share(row["test"]),
        "95% interval": f"{interval[0]:.2%} to {interval[1]:.2%}" if interval else "",
        "interval of": (row["interval_of"] or "").partition(":")[0],
        "looks": f"{row['looks']}",
        "parameters": f"{row['parameters']:,}" if row["parameters"] else "",
        "seconds": f"{row['train_seconds']:,.1f}" if row["train_seconds"] is not None else "",
        "started": row["started"][:16].replace("T", " "),
    }


def _share(share: float | None) -> str:
    from fittingroom.rendering.share import share_text

    return "–" if share is None else share_text(share)


def _that_fit(rows: Sequence[Mapping[str, str]], width: int) -> tuple[list[str], list[str]]:
    """The columns that fit into the width, and the less important ones that don't; empty ones are in neither list."""
    from fittingroom.rendering.terminal import cells

    fitting: list[str] = []
    left_out: list[str] = []
    room = width + GAP
    for column in COLUMNS:
        if not any(row[column] for row in rows):
            continue
        needed = max(cells(column), *(cells(row[column]) for row in rows)) + GAP
        if needed > room and fitting:
            left_out.append(column)
            continue
        fitting.append(column)
        room -= needed
    return [column for column in SHOWN_IN if column in fitting], left_out
