"""``fittingroom evaluate``: judge a run on its own test set or on any labelled data."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fittingroom.cli import options
from fittingroom.cli.parser import Commands

if TYPE_CHECKING:
    from fittingroom.audit.subsets import Subset
    from fittingroom.data.dataset import Dataset
    from fittingroom.runs.run import Run


def add_parser(commands: Commands) -> None:
    """Add ``evaluate``."""
    parser = commands.add_parser(
        "evaluate",
        help="judge a run on its test set or on other labelled data",
        description="Judge a run's model as it ships. Every look at a test set is put on record.",
        epilog="example: fittingroom evaluate runs/swift-1 photos/",
    )
    parser.add_argument("folder", metavar="RUN", type=Path, help="the run's folder")
    parser.add_argument("data", metavar="DATA", nargs="?", help="labelled data; default: the run's own test set")
    parser.add_argument(
        "--split", choices=("train", "validation", "test"), help="of DATA; default: test if it has one, else train"
    )
    parser.add_argument(
        "--subsets",
        action="store_true",
        help="beside all images: accuracy without near-duplicates of training images, and without doubted labels",
    )
    parser.add_argument(
        "--suspects",
        metavar="FILE",
        type=Path,
        help="doubted labels that `data check DATA --labels --suspects FILE` found; for the official test images of "
        "Fashion-MNIST, which need none, those of a reference model come with the package. Means --subsets",
    )
    options.add_no_cache(parser)
    options.add_trust_code(parser, "execute the model's own source that the run keeps")
    parser.add_argument("--json", action="store_true", help="the scores as JSON on stdout")
    parser.set_defaults(run=run_evaluate)


def run_evaluate(args: argparse.Namespace) -> int:
    """Judge, and print accuracy, per-class scores and the confusion matrix."""
    from fittingroom.cli import console
    from fittingroom.errors import DataError
    from fittingroom.report.model_card import write_model_card
    from fittingroom.report.page import write_report
    from fittingroom.runs.run import open_run

    run = open_run(args.folder)
    dataset = None
    if args.data is not None:
        splits = options.open_data(args.data, cache=not args.no_cache)
        dataset = getattr(splits, args.split) if args.split else splits.test or splits.train
        if dataset is None:
            raise DataError(f"{args.data}: a {args.split} set expected, it has none")
    before = run.result
    subsets = _subsets(run, dataset, args) if args.subsets or args.suspects else ()
    scores = run.evaluate(dataset, subsets=subsets, trust_code=args.trust_code)
    if run.result != before or (subsets and dataset is None):  # what is new of its own test set belongs into the report
        write_report(run, xkcd=run.environment.options.xkcd)
        write_model_card(run)
    if args.json:
        console.print_json(scores)
        return 0
    out = console.stdout()
    if "members" in scores:
        low, high = scores["interval_of_mean"]
        of = f"mean of {len(scores['members'])} seeds on {scores['on']}"
        out.print(f"{of} {scores['mean']:.2%}, 95 % interval {low:.2%} to {high:.2%}")
        _print_subsets(scores)
        return 0
    low, high = scores["interval"]
    out.print(f"accuracy   {scores['accuracy']:.2%}: {scores['correct']:,} of {scores['n']:,} right", style="bold")
    out.print(f"           95 % interval {low:.2%} to {high:.2%} (Wilson)")
    out.print(f"top 2      {scores['top2']:.2%}")
    out.print(f"loss       {scores['loss']:.4f}")
    _print_subsets(scores)
    out.print()
    numbers = ("n", "precision", "recall", "F1")
    classes = console.table("class", *numbers, right=numbers)
    for row in scores["per_class"]:
        shares = ("–" if row[key] is None else f"{row[key]:.1%}" for key in ("precision", "recall", "f1"))
        classes.add_row(row["class"], f"{row['n']:,}", *shares)
    out.print(classes)
    out.print()
    names = [row["class"] for row in scores["per_class"]]
    if len(names) <= 20:
        matrix = console.table(
            "true \\ predicted", *map(str, range(len(names))), right=list(map(str, range(len(names))))
        )
        for i, counts in enumerate(scores["confusion"]):
            matrix.add_row(f"{i} {names[i]}", *(f"{count:,}" if count else "·" for count in counts))
        out.print(matrix)
    return 0


def _subsets(run: Run, dataset: Dataset | None, args: argparse.Namespace) -> Sequence[Subset]:
    """The subsets of what is judged. Where the run's training data can't be opened, those that do without."""
    from fittingroom.audit.label_issues import label_issues_of
    from fittingroom.audit.subsets import make_subsets
    from fittingroom.cli import console
    from fittingroom.errors import DataError

    one = (run.members or [run])[0]
    judged = one.own_test_set() if dataset is None else dataset
    tell = console.stderr().print
    suspects = label_issues_of(judged, args.suspects)
    if suspects is None:
        tell(
            f"no suspects are known among the images of {judged.name}; "
            "fittingroom data check DATA --labels --suspects FILE finds some"
        )
    try:
        train = one.open_data().train
    except DataError as error:
        tell(f"near-duplicates are not looked for: {error}")
        train = None
    return make_subsets(judged, train, suspects)


def _print_subsets(scores: dict[str, Any]) -> None:
    from fittingroom.audit.subsets import LABEL_ISSUES_CAVEAT
    from fittingroom.cli import console

    if "subsets" not in scores:
        return
    out = console.stdout()
    out.print()
    table = console.table("images", "n", "accuracy", "95 % interval", right=("n", "accuracy"))
    for row in scores["subsets"]:
        low, high = row["interval"] or (0.0, 0.0)
        figures = (f"{row['accuracy']:.2%}", f"{low:.2%} to {high:.2%}") if row["n"] else ("–", "–")
        table.add_row(row["name"], f"{row['n']:,}", *figures)
    out.print(table)
    for row in scores["subsets"]:
        if row["left_out"]:
            count = scores["subsets"][0]["n"] - row["n"]
            out.print(f"{row['name']}: {count:,} are left out {row['left_out']}", style="bright_black")
    if any(row["name"] == "without suspects" for row in scores["subsets"]):
        out.print(LABEL_ISSUES_CAVEAT)
