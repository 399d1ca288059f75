"""``fittingroom evaluate``: judge a run on its own test set or on any labelled data."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
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
    parser.add_argument("--no-cache", action="store_true", help="read the data anew and keep no copy")
    parser.add_argument("--trust-code", action="store_true", help="execute the model's own source that the run keeps")
    parser.add_argument("--json", action="store_true", help="the scores as JSON on stdout")
    parser.set_defaults(run=run_evaluate)


def run_evaluate(args: argparse.Namespace) -> int:
    """Judge, and print accuracy, per-class scores and the confusion matrix."""
    from fittingroom.cli import console
    from fittingroom.data.open import open_dataset
    from fittingroom.errors import DataError
    from fittingroom.report.model_card import write_model_card
    from fittingroom.report.page import write_report
    from fittingroom.run import open_run

    run = open_run(args.folder)
    dataset = None
    if args.data is not None:
        splits = open_dataset(args.data, cache=not args.no_cache)
        dataset = getattr(splits, args.split) if args.split else splits.test or splits.train
        if dataset is None:
            raise DataError(f"{args.data}: a {args.split} set expected, it has none")
    before = run.result
    scores = run.evaluate(dataset, trust_code=args.trust_code)
    if run.result != before:  # the first look at its own test set belongs into report and card
        write_report(run, xkcd=run.environment["options"]["xkcd"])
        write_model_card(run)
    if args.json:
        console.print_json(scores)
        return 0
    out = console.stdout()
    if "members" in scores:
        low, high = scores["interval_of_mean"]
        out.print(f"mean of {len(scores['members'])} seeds {scores['mean']:.2%}, 95 % interval {low:.2%} to {high:.2%}")
        return 0
    low, high = scores["interval"]
    out.print(f"accuracy   {scores['accuracy']:.2%}: {scores['correct']:,} of {scores['n']:,} right", style="bold")
    out.print(f"           95 % interval {low:.2%} to {high:.2%} (Wilson)")
    out.print(f"top 2      {scores['top2']:.2%}")
    out.print(f"loss       {scores['loss']:.4f}")
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
