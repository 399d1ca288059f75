"""``fittingroom compare``: is one run better than another?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fittingroom.cli.parser import Parser, add_old_spelling

if TYPE_CHECKING:
    from fittingroom.compare.disagreements import Disagreements
    from fittingroom.compare.verdict import Comparison


def add_options(parser: Parser) -> None:
    """Add the options of ``compare``."""
    parser.description = (
        "Compare runs with the first of them, image by image, and say in one sentence whether they differ "
        "and how sure that is. Runs of several seeds are compared as recipes, others as the models that they are. "
        "Several runs at once, and looking again after more seeds, are allowed for. "
        "Nothing is trained or judged anew. On test, it is a test-set evaluation and goes on record."
    )
    parser.epilog = "example: fittingroom compare runs/swift-1 runs/strong-1 --split validation"
    parser.add_argument(
        "folders", metavar="RUN", nargs="+", type=Path, help="the runs' folders; the first is the baseline"
    )
    split = parser.add_argument(
        "--split", choices=("test", "validation"), default="test", help="which split they were judged on; default: test"
    )
    add_old_spelling(parser, "--on", split)
    parser.add_argument(
        "--difference",
        metavar="POINTS",
        type=float,
        default=0.2,
        help="minimum effect of interest: say what it takes to detect it; default: 0.2 points",
    )
    parser.add_argument(
        "--sheet",
        metavar="FILE",
        type=Path,
        help="a contact sheet of the discordant images; default: compare-A-B.png by the runs",
    )
    # The sheet is written in any case, beside the runs; the page only where it is asked for, with a name or without.
    parser.add_argument(
        "--html",
        metavar="FILE",
        nargs="?",
        type=Path,
        const=Path(),
        help="a page; default: compare-A-B.html by the runs",
    )
    parser.add_argument("--json", action="store_true", help="the figures as JSON on stdout")
    parser.set_defaults(run=run_compare)


def run_compare(args: argparse.Namespace) -> int:
    """Compare, print the verdict with what it rests on, and write the sheet and the page."""
    from fittingroom.cli import console
    from fittingroom.compare import compare_runs
    from fittingroom.compare.page import write_page

    _refuse_what_does_not_go_together(args)
    compared = compare_runs(args.folders, on=args.split, minimum_effect=args.difference / 100)

    # Each verdict is followed by its own sheet: with several runs they would not be told apart at the end.
    out = console.stdout()
    sheets: list[Path | None] = []
    for comparison, disagreements in zip(compared.comparisons, compared.disagreements, strict=True):
        if not args.json:
            _print(comparison, out)
        sheets.append(_write_sheet(args, comparison, disagreements))
        if not args.json:
            missing = disagreements.missing
            where = sheets[-1] or (f"no pictures: {missing}" if missing else "no image")
            out.print(f"discordant {len(disagreements.images):,} of {comparison.overall.n:,} images   {where}")

    # One page has them all; without a name it is called by the last of the runs.
    page = None
    if args.html is not None:
        page = args.html if args.html != Path() else _beside(args, compared.comparisons[-1], ".html")
        write_page(page, compared)
        if not args.json:
            out.print(f"page       {page}")
    if args.json:
        console.print_json(compared.as_dict(sheets=sheets, page=page))
    return 0


def _refuse_what_does_not_go_together(args: argparse.Namespace) -> None:
    from fittingroom.errors import UsageError

    if not 0 < args.difference <= 100:
        raise UsageError(f"--difference {args.difference:g}: points above 0 and up to 100 expected, such as 0.2")
    if args.sheet and len(args.folders) > 2:
        raise UsageError("--sheet names one file, and every comparison has a sheet: leave it out, or compare two runs")


def _write_sheet(args: argparse.Namespace, comparison: Comparison, disagreements: Disagreements) -> Path | None:
    """Draw the discordant images; None where there are none, or where they can't be opened."""
    from fittingroom.files.atomic import atomic_write

    sheet = disagreements.sheet()
    if sheet is None:
        return None
    path: Path = args.sheet or _beside(args, comparison, ".png")
    with atomic_write(path) as file:
        sheet.save(file, format="PNG")
    return path


def _beside(args: argparse.Namespace, comparison: Comparison, ending: str) -> Path:
    """``compare-A-B.png`` in the folder that holds the baseline, the ledger and the other runs."""
    import re

    from fittingroom.runs.run import runs_folder

    name = re.sub(r"[^\w.-]+", "-", f"compare-{comparison.baseline}-{comparison.run}") + ending
    path, here = runs_folder(args.folders[0]) / name, Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _print(comparison: Comparison, out: Any) -> None:
    """The verdict, with what may make it wrong above it and what it rests on below."""
    from fittingroom.cli import console
    from fittingroom.compare.verdict import p_text, points

    # A warning may take the sentence's worth away, so it is read before it.
    for warning in comparison.warnings:
        out.print(f"warning: {warning}", style="yellow")
    out.print(comparison.sentence, style="bold")
    for line in (comparison.scope, *comparison.notes):
        if line:
            out.print(line)

    # Differences of classes are too many to be judged one by one: p by Holm and the intervals allow for all of them.
    out.print()
    numbers = ("n", comparison.baseline, comparison.run, "difference", "p")
    table = console.table(
        "class", "n", comparison.baseline, comparison.run, "difference", "interval", "p", right=numbers
    )
    rows = [row for row in comparison.per_class if row.says_something]
    for row in rows:
        table.add_row(
            row.name,
            f"{row.n:,}",
            f"{row.first:.1%}",
            f"{row.second:.1%}",
            points(row.difference, signed=True),
            f"{points(row.interval[0])} to {points(row.interval[1])}" if row.interval else "",
            "" if row.p_holm is None else p_text(row.p_holm) + ("  differs" if row.differs else ""),
        )
    if rows:
        out.print(table)
        share = f"{100 * (1 - comparison.overall.decision.level):.4g} %"
        out.print(
            f"differences and intervals in points; all intervals hold together in {share} of cases; p by Holm",
            style="bright_black",
        )
    if few := len(comparison.per_class) - len(rows):
        out.print(
            f"{few} of {len(comparison.per_class)} classes are not listed: too few images or seeds to say anything",
            style="bright_black",
        )

    out.print()
    out.print(f"method     {comparison.method}; p {p_text(comparison.overall.p_value, sign=True)}")
