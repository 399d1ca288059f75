"""`fittingroom data check`: what is wrong with data, before anyone trains on them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fittingroom.cli import options
from fittingroom.cli.parser import Commands

if TYPE_CHECKING:
    from fittingroom.audit import Report
    from fittingroom.audit.label_issues import LabelIssues
    from fittingroom.label_check import LabelCheck
    from fittingroom.parallel.ray_engine import RayEngine

CLEAN, ERRORS = 0, 2


def add_parser(actions: Commands) -> None:
    """Add `check` to the commands of `data`."""
    parser = actions.add_parser(
        "check",
        help="say what is wrong with data: damage, other data than one thinks, leaks, bad labels",
        description="Say what is wrong with data sets, each by itself and against each other. Exit code 0 without "
        "errors, 2 with errors.",
        epilog="example: fittingroom data check fashion-mnist_train.csv fashion-mnist_test.csv",
    )
    parser.add_argument(
        "paths", metavar="PATH", nargs="+", help="fashion-mnist, sample, files or folders, damaged or not"
    )
    parser.add_argument("--test", metavar="PATH", dest="more", action="append", default=[], help="the same as PATH")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument("--fix", type=Path, metavar="OUT", help="write a copy with all undone that can be known")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with examples of what was found")
    parser.add_argument("--png", type=Path, metavar="FILE", help="write a contact sheet of the examples")
    parser.add_argument("--no-near-duplicates", action="store_true", help="leave out their search, of half a minute")
    parser.add_argument("--no-cache", action="store_true", help="read the files themselves, and keep nothing")
    labels = parser.add_argument_group("labels", "doubt them one by one, by models trained without them; minutes")
    labels.add_argument("--labels", action="store_true", help="check the labels too (needs the extra `labels`)")
    labels.add_argument("--recipe", metavar="NAME|FILE", help="what the models are trained by; default: swift")
    labels.add_argument("--folds", type=int, metavar="N", help="trainings, each of which judges 1/N; default: 5")
    labels.add_argument("--seed", type=int, metavar="S", help="of the cut into folds and of the trainings; default: 0")
    options.add_threads(labels, of=" of each training")
    options.add_engine(labels, what="train the folds side by side, a thread each,")
    labels.add_argument("--suspects", type=Path, metavar="FILE", help="write the doubted labels, for `evaluate`")
    parser.set_defaults(run=run_check)


def run_check(args: argparse.Namespace) -> int:
    """Print what each path is and every finding; write what was asked for."""
    from fittingroom.audit import check
    from fittingroom.cli import console

    how, engine = _label_check(args)
    report = check([*args.paths, *args.more], near=not args.no_near_duplicates, cache=not args.no_cache)
    suspects: list[LabelIssues] = []
    problem = ""
    if how is not None:
        report, suspects, problem = _with_labels(report, how, engine)
    if not args.json:
        _print(report)
    written = _write(report, suspects, args)
    if args.json:
        console.print_json(
            {
                "findings": [finding.as_json() for finding in report.findings],
                "checked": [
                    {"path": each.given, "parts": each.identity, "problem": each.problem} for each in report.checked
                ],
                "written": written,
                "seconds": report.seconds,
            }
        )
    else:
        for what, path in written.items():
            console.stdout().print(f"{what:9}{path}")
    if problem:
        console.stderr().print(f"labels were not checked: {problem}")
    return ERRORS if report.has_errors or problem else CLEAN


def _label_check(args: argparse.Namespace) -> tuple[LabelCheck | None, RayEngine | None]:
    """How labels are to be checked, if they are, and on which engine.

    What is wrong with that is said before anything else takes time.
    """
    from fittingroom.errors import UsageError

    names = ("recipe", "folds", "seed", "threads")
    if not args.labels:
        if named := options.given(args, (*names, "engine", "ray_address", "suspects")):
            raise UsageError(f"{options.spelled(named)}: for the check of labels alone: add --labels")
        return None, None
    import cleanlab  # noqa: F401

    from fittingroom.label_check import LabelCheck
    from fittingroom.parallel.ray_engine import check_engine

    how = LabelCheck(keep=not args.no_cache, **{name: getattr(args, name) for name in options.given(args, names)})
    how.resolved()
    engine = options.engine_of(args)
    if engine is not None:
        check_engine(engine)
    return how, engine


def _with_labels(report: Report, how: LabelCheck, engine: RayEngine | None) -> tuple[Report, list[LabelIssues], str]:
    """Add what models say of the labels; what keeps them from it, which must not cost the rest of the report.

    Each fold is told on stderr.
    """
    import time

    from fittingroom.cli import console
    from fittingroom.errors import FittingRoomError
    from fittingroom.label_check import check_labels

    begun = time.monotonic()
    messages = console.stderr()
    try:
        findings, suspects = check_labels(report.parts, how, messages.print, engine)
    except FittingRoomError as error:
        return report, [], str(error)
    except KeyboardInterrupt:
        if how.keep:
            messages.print("finished folds are kept: the same line goes on with the next")
        raise
    return report.with_findings(findings, time.monotonic() - begun), suspects, ""


def _print(report: Report) -> None:
    from fittingroom.cli import console

    out = console.stdout()
    for each in report.checked:
        out.print(each.given, style="bold")
        for part in each.parts:
            out.print(f"  {part.name}: {len(part.hashes):,} images; {each.identity[part.name] or 'no known data set'}")
        if each.problem:
            out.print(f"  not read: {each.problem}", style="red")
    styles = {"error": "bold red", "warning": "bold yellow", "note": "bold blue"}
    for finding in report.findings:
        out.print()
        out.print(finding.severity, style=styles[finding.severity], end="")
        out.print(f"  {finding.name}", style="bold", end="")
        out.print(f"  {finding.where}")
        for text in (finding.message, finding.effect, finding.advice):
            out.print(f"  {text}")
    counts = {kind: sum(each.severity == kind for each in report.findings) for kind in styles}
    out.print()
    if unread := sum(each.problem is not None for each in report.checked):
        out.print(f"{unread} of {len(report.checked)} not read: ", end="", style="red")
    out.print(", ".join(f"{count} {kind}{'s' * (count != 1)}" for kind, count in counts.items()), end="")
    out.print(f"; {report.seconds:.1f} s")


def _write(report: Report, suspects: list[LabelIssues], args: argparse.Namespace) -> dict[str, str]:
    """Write the repaired copy, the page, the sheet and the suspects; return what was written where."""
    from fittingroom.audit import as_html, as_sheet
    from fittingroom.audit.label_issues import write_label_issues
    from fittingroom.errors import DataError
    from fittingroom.files.atomic import atomic_write

    written = {}
    if args.fix:
        written["repaired"] = _fix(report, args.fix)
    try:
        if args.suspects and suspects:
            write_label_issues(args.suspects, suspects)
            written["suspects"] = str(args.suspects)
        if args.html:
            with atomic_write(args.html) as file:
                file.write(as_html(report).encode())
            written["page"] = str(args.html)
        if args.png:
            sheet = as_sheet(report.findings, ", ".join(each.given for each in report.checked))
            if sheet is None:
                raise DataError(f"{args.png}: no finding has images to show: nothing was written")
            with atomic_write(args.png) as file:
                sheet.save(file, "PNG")
            written["sheet"] = str(args.png)
    except OSError as error:
        raise DataError(
            f"{error.filename or args.html or args.png}: can't be written: {error.strerror or error}"
        ) from error
    return written


def _fix(report: Report, out: Path) -> str:
    from fittingroom.audit import write_repaired
    from fittingroom.cli import console
    from fittingroom.errors import UsageError

    if len(report.checked) > 1:
        raise UsageError("--fix mends one path at a time: give one")
    checked = report.checked[0]
    files = write_repaired(checked, out)
    messages = console.stderr()
    for change in checked.changes:
        messages.print(f"changed: {change}")
    undone = [finding for finding in report.findings if finding.severity == "error" and not finding.fix]
    for finding in undone:
        messages.print(f"not changed: {finding.where}: {finding.name}, which can't be undone without guessing")
    return ", ".join(map(str, files))
