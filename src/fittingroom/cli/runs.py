"""``fittingroom runs``: every run, best first."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fittingroom.cli.parser import Parser

if TYPE_CHECKING:
    from fittingroom.runs.run import Run


def add_options(parser: Parser) -> None:
    """Add the options of ``runs``."""
    parser.description = "List every run below a folder: by test, then by validation accuracy; unfinished ones last."
    parser.epilog = "example: fittingroom runs --json"
    parser.add_argument(
        "folder", metavar="DIR", nargs="?", type=Path, default=Path("runs"), help="folder of runs; default: runs"
    )
    parser.add_argument("--json", action="store_true", help="JSON on stdout")
    parser.set_defaults(run=run_runs)


def run_runs(args: argparse.Namespace) -> int:
    """Print a line for each run."""
    from fittingroom.cli import console
    from fittingroom.errors import ArtifactError
    from fittingroom.runs.run import find_runs

    if not args.folder.is_dir():
        raise ArtifactError(f"{args.folder}: a folder of runs expected, nothing found; `fittingroom train` makes one")

    # A damaged run must not keep the others from the list.
    rows = []
    for run in find_runs(args.folder):
        try:
            rows.append(_row(run))
        except ArtifactError as error:
            console.stderr().print(f"warning: {run.path} is not listed: {error}")
    rows.sort(key=_rank)
    if args.json:
        console.print_json(rows)
        return 0

    # Of an unfinished run nothing is known but its recipe and when it began.
    listing = console.table(
        "run", "recipe", "seeds", "test", "95 % interval", "validation", "parameters", "seconds", "started",
        right=("seeds", "test", "validation", "parameters", "seconds"), muted=("started",),
    )  # fmt: skip
    for row in rows:
        test, interval = row["test"], row["interval"]
        listing.add_row(
            row["run"],
            row["recipe"],
            f"{row['seeds']}",
            "–" if test is None else f"{test:.2%}",
            f"{interval[0]:.2%} to {interval[1]:.2%}" if interval else ("" if row["finished"] else "not finished"),
            "–" if row["validation"] is None else f"{row['validation']:.2%}",
            f"{row['parameters']:,}" if row["parameters"] else "",
            f"{row['train_seconds']:,.1f}" if row["train_seconds"] is not None else "",
            row["started"][:16].replace("T", " "),
        )
    console.stdout().print(listing)
    return 0


def _row(run: Run) -> dict[str, Any]:
    """What the list says of a run; for several seeds the mean, with its interval."""
    environment = run.environment
    row: dict[str, Any] = {
        "run": run.path.name,
        "recipe": environment.recipe_name,
        "seeds": len(environment.seeds or [0]),
        "finished": run.is_finished,
        "test": None,
        "interval": None,
        "validation": None,
        "parameters": None,
        "train_seconds": None,
        "started": environment.started,
    }
    if not run.is_finished:
        return row

    result = run.result
    row |= {"parameters": result["parameters"], "train_seconds": result["train_seconds"]}

    # Of several seeds only the split that they were judged on has a mean, and only test an interval in the list.
    if "members" in result:
        if result["on"]:
            row |= {result["on"]: result["mean"]}
        if result["on"] == "test":
            row["interval"] = result["interval_of_mean"]
        return row
    for split in ("test", "validation"):
        row[split] = result[split] and result[split]["accuracy"]
    row["interval"] = result["test"] and result["test"]["interval"]
    return row


def _rank(row: dict[str, Any]) -> tuple[float, float, str]:
    return -(row["test"] or 0), -(row["validation"] or 0), row["run"]
