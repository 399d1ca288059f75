"""``fittingroom bench``: this machine's own figures beside those of the tutorial notebook's loop."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fittingroom.cli import options
from fittingroom.cli.parser import Parser
from fittingroom.rendering.share import share_text
from fittingroom.rendering.terminal import tell

if TYPE_CHECKING:
    from fittingroom.bench import Figures, Pass


def add_options(parser: Parser) -> None:
    """Add the options of ``bench``."""
    parser.description = (
        "Run one epoch of the tutorial notebook's loop, one of ours with the same network, and a whole "
        "training, and print them side by side. About a minute on two cores; let nothing else run meanwhile."
    )
    parser.epilog = "example: fittingroom bench"
    parser.add_argument(
        "data", metavar="DATA", nargs="?", default="fashion-mnist", help="labelled data; default: fashion-mnist"
    )
    parser.add_argument(
        "--recipe", default="swift", metavar="NAME|FILE", help="recipe of the whole training; default: swift"
    )
    parser.add_argument("--json", action="store_true", help="the figures as JSON on stdout")
    parser.set_defaults(run=run_bench)


def run_bench(args: argparse.Namespace) -> int:
    """Measure and print."""
    from fittingroom.cli import console

    data = options.open_data(args.data)

    # PyTorch is loaded only now: data that can't be opened are reported at once.
    from fittingroom.bench import bench

    tell("measuring: about a minute on two cores; let nothing else run meanwhile")
    figures = bench(args.data, data, args.recipe)
    if args.json:
        console.print_json(figures.as_dict())
        return 0

    out = console.stdout()
    machine = figures.machine
    out.print(
        f"machine   {machine['processor']}, {machine['cores']} cores, {machine['threads']} threads, "
        f"{machine['device']}, torch {machine['torch']}"
    )
    out.print(f"data      {args.data}: {figures.notebook_epoch.images:,} training images")

    # Our figures stand below those of the notebook for the same work, so that each can be divided by its own.
    out.print()
    numbers = ("seconds", "images/s", "times as fast")
    table = console.table("", *numbers, right=numbers)
    for name, *cells in _rows(figures):
        table.add_row(name, *cells, style=None if cells else "bold")
    out.print(table)

    out.print()
    for line in _notes(figures):
        out.print(line)
    return 0


def _rows(figures: Figures) -> Iterator[tuple[str, ...]]:
    notebook, judged = figures.notebook_epoch, figures.notebook_evaluation
    yield (f"one epoch of the notebook's network, {notebook.images:,} images",)
    yield _row("the notebook's loop", notebook, notebook)
    for precision, epoch in figures.epochs.items():
        yield _row(f"fittingroom, {precision}", epoch, notebook)
    yield (f"judging {judged.images:,} images with it",)
    yield _row("the notebook's loop", judged, judged)
    yield _row("fittingroom", figures.evaluation, judged)
    yield ("a whole training",)
    yield "  the notebook's 80 epochs (one, scaled by 80)", f"{figures.notebook_seconds:,.2f}", "", "1.0"
    command = f"  fittingroom train --recipe {figures.recipe} (whole process)"
    yield command, f"{figures.process_seconds:,.2f}", "", f"{1 / figures.share:,.1f}"


def _row(name: str, measured: Pass, notebook: Pass) -> tuple[str, ...]:
    times = notebook.seconds / measured.seconds
    return f"  {name}", f"{measured.seconds:,.2f}", f"{measured.images_per_second:,.0f}", f"{times:,.1f}"


def _notes(figures: Figures) -> Iterator[str]:
    for split in ("test", "validation"):
        if scores := figures.result[split]:
            low, high = scores["interval"]
            yield (
                f"{figures.recipe}: accuracy {share_text(scores['accuracy'])} on {scores['n']:,} {split} images "
                f"(95% interval {low:.2%} to {high:.2%}, this model), {figures.run}/"
            )
            break
    yield "Each figure is one measurement: run it again to see how far they vary."
    yield "The notebook's 80 epochs were not run: its time is that of its first epoch, times 80."
