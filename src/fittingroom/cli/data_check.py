"""``fittingroom data check``: what is wrong with data, before anyone trains on them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fittingroom.cli import options
from fittingroom.cli.flags import with_flags
from fittingroom.cli.parser import Commands, add_old_spelling
from fittingroom.rendering.terminal import tell

if TYPE_CHECKING:
    from fittingroom.audit import Finding, Report
    from fittingroom.audit.label_issues import LabelIssues
    from fittingroom.data.dataset import Dataset
    from fittingroom.label_check import LabelCheck
    from fittingroom.parallel.ray_engine import RayEngine

CLEAN, ERRORS = 0, 2


def add_parser(actions: Commands) -> None:
    """Add ``check`` to the commands of ``data``."""
    parser = actions.add_parser(
        "check",
        help="say what is wrong with data: damage, other data than one thinks, leaks, bad labels",
        description="Say what is wrong with data sets, each by itself and against each other. Exit code 0 without "
        "errors, 2 with errors.",
        epilog="example: fittingroom data check fashion-mnist_train.csv fashion-mnist_test.csv",
    )
    # A test set is a path like any other: which part it is, it says itself.
    paths = parser.add_argument(
        "paths",
        metavar="PATH",
        nargs="+",
        action="extend",
        help="fashion-mnist, sample, files or folders, damaged or not",
    )
    add_old_spelling(parser, "--test", paths)
    options.add_pictures(parser)
    options.add_group(parser)
    options.add_skip_broken(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument("--fix", type=Path, metavar="OUT", help="write a copy with all repaired that can be known")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with examples of what was found")
    sheet = parser.add_argument("--sheet", type=Path, metavar="FILE", help="write a contact sheet of the examples")
    add_old_spelling(parser, "--png", sheet)
    parser.add_argument("--no-near-duplicates", action="store_true", help="leave out their search, of half a minute")
    parser.add_argument("--no-cache", action="store_true", help="read the files themselves, and keep nothing")

    # These alone train models: they have a group of their own, and are refused without --labels.
    labels = parser.add_argument_group(
        "labels", "find label issues, image by image, by models trained without the image; minutes"
    )
    labels.add_argument("--labels", action="store_true", help="check the labels too (needs the extra `labels`)")
    labels.add_argument("--recipe", metavar="NAME|FILE", help="how to train the models; default: swift")
    labels.add_argument(
        "--folds", type=int, metavar="N", help="number of trainings, each of which judges 1/N of the images; default: 5"
    )
    labels.add_argument("--seed", type=int, metavar="S", help="seed of the folds and of the trainings; default: 0")
    options.add_device(labels)
    options.add_threads(labels, of=" of each training")
    options.add_engine(labels, what="train the folds side by side, a thread each,")
    labels.add_argument("--suspects", type=Path, metavar="FILE", help="write the label issues, for `evaluate`")
    labels.add_argument(
        "--csv",
        type=Path,
        metavar="FILE",
        help="write the label issues as a table to go through, for `train --without` and `train --labels`",
    )
    parser.set_defaults(run=run_check)


def run_check(args: argparse.Namespace) -> int:
    """Print what each path is and every finding; write what was asked for."""
    from fittingroom.audit import check
    from fittingroom.cli import console

    how, engine = _label_check(args)
    preprocessing = options.preprocessing_of(args)
    with console.working("checking") as decoding:
        report = check(
            args.paths,
            near=not args.no_near_duplicates,
            cache=not args.no_cache,
            preprocessing=preprocessing,
            group=args.group,
            skip_broken=bool(args.skip_broken),
            decoding=decoding,
        )
    report = _with_flags(report)
    issues: list[LabelIssues] = []
    problem = ""
    if how is not None:
        report, issues, problem = _with_labels(report, how, engine)

    # The report is printed before anything is written: a file that can't be doesn't cost it.
    if not args.json:
        _print(report)
    written = _write(report, issues, args)
    if args.json:
        console.print_json(_as_json(report, written))
    else:
        for what, path in written.items():
            console.stdout().print(f"{what:9}{path}")
    if problem:
        tell(f"labels were not checked: {problem}")
    return ERRORS if report.has_errors or problem else CLEAN


def _with_flags(report: Report) -> Report:
    """The report with options where the library names its parameters."""
    from dataclasses import replace

    def said(finding: Finding) -> Finding:
        return replace(
            finding,
            message=with_flags(finding.message),
            effect=with_flags(finding.effect),
            advice=with_flags(finding.advice),
        )

    checked = [replace(each, notes=tuple(map(with_flags, each.notes))) for each in report.checked]
    return replace(report, findings=tuple(map(said, report.findings)), checked=tuple(checked))


def _as_json(report: Report, written: dict[str, str]) -> dict[str, Any]:
    return {
        "findings": [finding.as_json() for finding in report.findings],
        "checked": [
            {
                "path": checked.given,
                "parts": checked.identity,
                "problem": checked.problem,
                "notes": checked.notes,
            }
            for checked in report.checked
        ],
        "written": written,
        "seconds": report.seconds,
    }


def _label_check(args: argparse.Namespace) -> tuple[LabelCheck | None, RayEngine | None]:
    """How labels are to be checked, if they are, and on which engine.

    What is wrong with that is said before anything else takes time.
    """
    from fittingroom.errors import UsageError

    names = ("recipe", "folds", "seed", "device", "threads")
    if not args.labels:
        if named := options.given(args, (*names, "engine", "ray_address", "suspects", "csv")):
            raise UsageError(f"{options.spelled(named)}: for the check of labels alone: add --labels")
        return None, None

    # cleanlab and the file are used at the very end, after minutes of training: what is wrong is to be known now.
    import cleanlab  # noqa: F401

    from fittingroom.audit.label_issues import refuse_filled_in
    from fittingroom.label_check import LabelCheck
    from fittingroom.parallel.ray_engine import check_engine

    how = LabelCheck(keep=not args.no_cache, **{name: getattr(args, name) for name in options.given(args, names)})
    how.resolved()
    if args.csv:
        refuse_filled_in(args.csv)
    engine = options.engine_of(args)
    if engine is not None:
        check_engine(engine)
    return how, engine


def _with_labels(report: Report, how: LabelCheck, engine: RayEngine | None) -> tuple[Report, list[LabelIssues], str]:
    """Add what models say of the labels; what keeps them from it, which must not cost the rest of the report.

    Each fold is reported on stderr as it begins.
    """
    import time

    from fittingroom.cli import console
    from fittingroom.errors import FittingRoomError
    from fittingroom.label_check import check_labels

    # The rest of the report is done by now, and must not be lost to a label check that can't be done.
    begun = time.monotonic()
    try:
        with console.working("training the models that judge the labels"):
            findings, issues = check_labels(report.parts, how, tell, engine)
    except FittingRoomError as error:
        return report, [], str(error)
    except KeyboardInterrupt:
        if how.keep:
            tell("finished folds are kept: the same line goes on with the next")
        raise
    _record_evaluations(report, how)
    return report.with_findings(findings, time.monotonic() - begun), issues, ""


def _record_evaluations(report: Report, how: LabelCheck) -> None:
    """Put on record that a recipe was judged on a test set: agreement with the labels is its accuracy."""
    from fittingroom.runs.command_line import command_line
    from fittingroom.runs.ledger import LEDGER, record_evaluation

    folder, judge = Path("runs"), f"data check --labels, recipe {how.resolved().name or 'of its own'}"
    for part in report.parts:
        if part.role != "test" or part.dataset.labels is None:
            continue
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            why = error.strerror or error
            tell(f"this evaluation on {part.name} is not on record: {folder / LEDGER}: {why}")
        else:
            record_evaluation(folder, part.dataset, run=judge, command=command_line())


def _print(report: Report) -> None:
    """What each path is, then the findings, and their number last, where a terminal stops scrolling."""
    from fittingroom.cli import console

    out = console.stdout()
    for checked in report.checked:
        out.print(checked.given, style="bold")
        for part in checked.parts:
            identity = checked.identity[part.name] or "no known data set"
            out.print(f"  {part.name}: {len(part.hashes):,} images; {identity}")
        for note in checked.notes:
            out.print(f"  {note}")
        if checked.problem:
            out.print(f"  not read: {checked.problem}", style="red")

    # Errors come first: the report has sorted its findings by how much they matter.
    styles = {"error": "bold red", "warning": "bold yellow", "note": "bold blue"}
    for finding in report.findings:
        out.print()
        severity = (finding.severity, styles[finding.severity])
        out.print(console.styled(severity, (f"  {finding.name}", "bold"), (f"  {finding.where}", "")))
        for text in (finding.message, finding.effect, finding.advice):
            out.print(f"  {text}")

    # "0 errors" alone would be taken for good news of a path that could not even be read.
    counts = {kind: sum(finding.severity == kind for finding in report.findings) for kind in styles}
    out.print()
    not_read = ""
    if unread := sum(checked.problem is not None for checked in report.checked):
        not_read = f"{unread} of {len(report.checked)} not read: "
    found = ", ".join(f"{count} {kind}{'s' * (count != 1)}" for kind, count in counts.items())
    out.print(console.styled((not_read, "red"), (f"{found}; {report.seconds:.1f} s", "")))


def _write(report: Report, issues: list[LabelIssues], args: argparse.Namespace) -> dict[str, str]:
    """Write the repaired copy, the label issues, the page and the sheet; return what was written where."""
    from fittingroom.audit import as_html, as_sheet
    from fittingroom.audit.label_issues import write_issue_table, write_label_issues
    from fittingroom.errors import DataError
    from fittingroom.files.atomic import atomic_write

    written = {}
    if args.fix:
        written["repaired"] = _fix(report, args.fix)
    try:
        if args.suspects and issues:
            write_label_issues(args.suspects, issues)
            written["suspects"] = str(args.suspects)
        if args.csv and issues:
            write_issue_table(args.csv, _of_parts(report, issues))
            written["table"] = str(args.csv)
        if args.html:
            with atomic_write(args.html) as file:
                file.write(as_html(report).encode())
            written["page"] = str(args.html)
        if args.sheet:
            sheet = as_sheet(report.findings, ", ".join(checked.given for checked in report.checked))
            if sheet is None:
                raise DataError(f"{args.sheet}: no finding has images to show: nothing was written")
            with atomic_write(args.sheet) as file:
                sheet.save(file, "PNG")
            written["sheet"] = str(args.sheet)

    # A full disk names no file: then it was the page or the sheet.
    except OSError as error:
        path = error.filename or args.html or args.sheet
        raise DataError(f"{path}: can't be written: {error.strerror or error}") from error
    return written


def _of_parts(report: Report, issues: list[LabelIssues]) -> Iterator[tuple[str, Dataset, LabelIssues]]:
    """The label issues of each part with its images; a part that nothing names is what one trains on."""
    for part in report.parts:
        for of_part in issues:
            if of_part.name == part.name and of_part.are_of(part.dataset):
                yield part.role or "train", part.dataset, of_part
                break


def _fix(report: Report, out: Path) -> str:
    """Write a repaired copy; report on stderr what was changed, and what could not be. Return the files."""
    from fittingroom.audit import write_repaired
    from fittingroom.errors import UsageError

    if len(report.checked) > 1:
        raise UsageError("--fix repairs one path at a time: give one")
    checked = report.checked[0]
    files = write_repaired(checked, out)

    # What stays wrong is said too, so that nobody takes the copy for sound because it was written.
    for change in checked.changes:
        tell(f"changed: {change}")
    for finding in report.findings:
        if finding.severity == "error" and not finding.fix:
            tell(f"not changed: {finding.where}: {finding.name}, which can't be undone without guessing")
    return ", ".join(map(str, files))
