"""``fittingroom compare``: is one run better than another?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fittingroom.cli.parser import Parser, add_old_spelling

if TYPE_CHECKING:
    from fittingroom.compare import Compared
    from fittingroom.compare.comparison import Comparison
    from fittingroom.compare.disagreements import Disagreements


def add_options(parser: Parser) -> None:
    """Add the options of ``compare``."""
    parser.description = (
        "Compare runs with the first of them, image by image, and say in one sentence whether they differ "
        "and how sure that is. Runs of several seeds are compared as recipes, others as the models that they are. "
        "Several runs at once, and looking again after more seeds, are allowed for. "
        "Predictions of any other program are compared in the same way. "
        "Nothing is trained or judged anew. On test, it is a test-set evaluation and goes on record."
    )
    parser.epilog = "example: fittingroom compare runs/swift-1 runs/strong-1 --split validation"
    parser.add_argument(
        "folders",
        metavar="RUN",
        nargs="+",
        type=Path,
        help="the runs' folders; the first is the baseline. Or predictions of any program, as Parquet, CSV or npz: a "
        "file, a folder of files of one recipe's seeds, or a pattern such as 'mine/seed-*.csv'",
    )
    parser.add_argument(
        "--data",
        metavar="DATA",
        help="which data files of predictions are about, for pictures, names of classes and labels",
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

    _refuse_conflicting_options(args)
    compared = compare_runs(args.folders, on=args.split, data=args.data, minimum_effect=args.difference / 100)

    # Several runs are one table. Of two there is more to say, and of each pair which images tell it apart.
    out = console.stdout()
    is_one = len(compared.comparisons) == 1
    if not args.json:
        (_print_one if is_one else _print_several)(compared, out)
    sheets: list[Path | None] = []
    for comparison, disagreements in zip(compared.comparisons, compared.disagreements, strict=True):
        sheets.append(_write_sheet(args, comparison, disagreements))
        if not args.json:
            missing = disagreements.missing
            where = sheets[-1] or (f"no pictures: {missing}" if missing else "no image")
            whose = "" if is_one else f" ({comparison.run})"
            out.print(f"discordant {len(disagreements.images):,} of {comparison.overall.n:,} images{whose}   {where}")

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


def _refuse_conflicting_options(args: argparse.Namespace) -> None:
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


def _print_one(compared: Compared, out: Any) -> None:
    """The verdict, with what may make it wrong above it and what it rests on below."""
    (comparison,) = compared.comparisons

    # A warning may take the sentence's worth away, so it is read before it.
    for warning in comparison.warnings:
        out.print(f"warning: {warning}", style="yellow")
    out.print(comparison.sentence, style="bold")
    for line in (comparison.scope, *comparison.notes):
        if line:
            out.print(line)
    out.print()
    _print_sides(compared, out)
    _print_classes(comparison, out)
    _print_method(comparison, out)


def _print_several(compared: Compared, out: Any) -> None:
    """One table of all; what is true of every comparison is said once."""
    of_all = [comparison.warnings for comparison in compared.comparisons]
    common = [warning for warning in of_all[0] if all(warning in warnings for warnings in of_all)]
    for warning in common:
        out.print(f"warning: {warning}", style="yellow")
    for comparison in compared.comparisons:
        for warning in comparison.warnings:
            if warning not in common:
                out.print(f"warning: {comparison.run}: {warning}", style="yellow")
    _print_sides(compared, out)

    out.print()
    said: set[str] = set()
    for comparison in compared.comparisons:
        out.print(comparison.sentence, style="bold")
        for line in (comparison.scope, *comparison.notes):
            if line and line not in said:
                out.print(line)
                said.add(line)
    out.print()
    out.print("class by class: --html, or --json", style="bright_black")


def _print_sides(compared: Compared, out: Any) -> None:
    """A row for each run: its own accuracy, how it differs from the baseline's, and in what."""
    from fittingroom.cli import console
    from fittingroom.compare.comparison import p_text, points
    from fittingroom.rendering.share import share_text

    numbers = ("seeds", "accuracy", "sd", "difference", "p")
    several = len(compared.comparisons) > 1
    judged = ("difference", "its interval", "p", "verdict") if several else ()
    columns = ("run", "seeds", "accuracy", "sd", "95% interval", *judged, "differs in")
    table = console.table(*columns, right=numbers, prose=("differs in",))
    for side, comparison in zip(compared.sides, [None, *compared.comparisons], strict=True):
        cells = ["", "", "", "baseline"]
        if comparison is not None:
            overall = comparison.overall
            low, high = overall.interval
            interval, p_value = f"{points(low)} to {points(high)}", p_text(overall.p_decisive)
            cells = [points(overall.difference, signed=True), interval, p_value, overall.verdict]
        differs = "not known" if side.differs is None else ", ".join(side.differs)
        if comparison is None:
            differs = ""
        elif side.differs == []:
            differs = "nothing but seeds"
        table.add_row(
            side.name,
            f"{side.seeds}",
            share_text(side.mean),
            f"{100 * side.sd:.2f}" if side.seeds > 1 else "",
            f"{side.interval[0]:.2%} to {side.interval[1]:.2%} ({side.whose.partition(':')[0]})",
            *(cells if several else ()),
            differs,
        )
    out.print(table)
    if several:
        out.print(
            f"differences in points, intervals {compared.interval_names}, p by Holm; sd from seed to seed",
            style="bright_black",
        )


def _print_classes(comparison: Comparison, out: Any) -> None:
    """The difference on the images of each class."""
    from fittingroom.cli import console
    from fittingroom.compare.comparison import confidence_text, p_text, points
    from fittingroom.rendering.share import share_text

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
            share_text(row.first, 1),
            share_text(row.second, 1),
            points(row.difference, signed=True),
            f"{points(row.interval[0])} to {points(row.interval[1])}" if row.interval else "",
            "" if row.p_holm is None else p_text(row.p_holm) + ("  differs" if row.differs else ""),
        )
    if rows:
        out.print(table)
        share = confidence_text(1 - comparison.overall.decision.level)
        out.print(
            f"differences and intervals in points; all intervals hold together in {share} of cases; p by Holm",
            style="bright_black",
        )
        if any(row.interval_disagrees for row in rows):
            out.print(
                "where an interval holds 0 and the class differs, p decides, as Holm's test is sharper",
                style="bright_black",
            )
    if few := len(comparison.per_class) - len(rows):
        out.print(
            f"{few} of {len(comparison.per_class)} classes {'is' if few == 1 else 'are'} not listed: too few images or "
            "seeds to say anything",
            style="bright_black",
        )


def _print_method(comparison: Comparison, out: Any) -> None:
    from fittingroom.compare.comparison import p_text

    out.print()
    out.print(f"method     {comparison.method}; p {p_text(comparison.overall.p_value, sign=True)}")
