"""``fittingroom report``: a run as a page to look at."""

from __future__ import annotations

import argparse
import errno
from pathlib import Path

from fittingroom.cli import options
from fittingroom.cli.parser import Parser
from fittingroom.errors import UsageError


def add_options(parser: Parser) -> None:
    """Add the options of ``report``."""
    parser.description = (
        "Write report.html, one self-contained page, and the model card README.md into a run's folder; "
        "into each member's too where the run has several seeds, and whatever else failed when the run was finished. "
        "The test set is not evaluated. With --out nothing is written into the run, which may be read-only."
    )
    parser.epilog = "examples: fittingroom report runs/swift-1 · fittingroom report runs/swift-1 --map --out map.html"
    parser.add_argument("folder", metavar="RUN", type=Path, help="the run's folder")
    parser.add_argument(
        "--out",
        metavar="FILE|FOLDER",
        type=Path,
        help="write the page, without the card, there and not into the run: to a FILE (.html), or as report.html into "
        "a FOLDER, which of several seeds gets each one's page too",
    )
    parser.add_argument("--xkcd", action="store_true", help="draw the curves as if by hand")
    parser.add_argument(
        "--map",
        action="store_true",
        help="add a map of up to 1,000 judged images, placed by the model's features, and the training images nearest "
        "to the worst mistakes; takes seconds, and the extras train and sklearn",
    )
    options.add_trust_code(parser, "execute the model's own source that the run keeps, which a map needs")
    parser.set_defaults(run=run_report)


def run_report(args: argparse.Namespace) -> int:
    """Write the page and the card; print the diagnosis and where they lie."""
    from fittingroom.cli import console
    from fittingroom.report.model_card import write_model_card
    from fittingroom.report.page import write_report
    from fittingroom.report.run_summary import diagnose_run
    from fittingroom.runs.run import open_run

    run = open_run(args.folder)

    # With --out the run stays as it is: neither is made up for what it lacks, nor has it a new card.
    lacks = any("unmade" in member.result for member in run.members or [run])
    if args.out is None and lacks:
        from fittingroom.pipeline.extras import make_up  # loads PyTorch, which the page alone does without

        with console.working("making up for what failed"):
            make_up(run)
    with console.working("writing the report"):
        try:
            page = write_report(run, out=args.out, xkcd=args.xkcd, with_map=args.map, trust_code=args.trust_code)
        except OSError as error:
            if args.out is not None or error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            raise UsageError(
                f"{error.filename}: {error.strerror}; write the page to another place: --out FILE.html"
            ) from error
        if args.out is None:
            write_model_card(run)

    # Each seed is diagnosed by itself: what one of them did is lost in a mean.
    out = console.stdout()
    for member in run.members or [run]:
        for verdict in diagnose_run(member):
            who = f"seed {member.recipe.seed}, " if run.members else ""
            out.print(f"{who}{verdict.name}", style="dim" if verdict.muted else "bold")
            out.print(f"  {verdict.sentence}")
            if verdict.suggestion:
                out.print(f"  Try: {verdict.suggestion}")
    out.print(f"{page}")
    if args.map:  # of each seed, as each network has features of its own
        for member in run.members:
            out.print(f"map  {page.parent / member.path.name / 'report.html'}")
    return 0
