"""Results: a row for each figure in results.csv, and how figures are condensed and shown."""

from __future__ import annotations

import argparse
import csv
import math
import os
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results.csv"


@dataclass(frozen=True)
class Figure:
    """One measured quantity.

    Attributes:
        name: what was measured, such as ``notebook`` or ``swift``.
        metric: of it, such as ``seconds``.
        n: how many measurements.
        median, mean, sd: of them; the sd has n - 1 below the line and is empty for a single one.
        epoch: after which the figure holds, for a point of a curve.
    """

    name: str
    metric: str
    n: int
    median: float
    mean: float
    sd: float | None
    epoch: int | None = None


def figure(name: str, metric: str, values: Sequence[float], *, epoch: int | None = None) -> Figure:
    """Condense the measurements of one quantity."""
    sd = statistics.stdev(values) if len(values) > 1 else None
    return Figure(name, metric, len(values), statistics.median(values), statistics.fmean(values), sd, epoch)


def ratios(name: str, metric: str, above: Sequence[float], below: Sequence[float]) -> Figure:
    """Condense the ratios of measurements that were taken in turns, pair by pair."""
    return figure(name, metric, [a / b for a, b in zip(above, below, strict=True)])


def show(figures: Iterable[Figure]) -> None:
    """Print a line for each figure."""
    print(f"{'':30}{'':42}{'n':>4}{'median':>12}{'mean':>12}{'sd':>10}")
    for each in figures:
        epoch = "" if each.epoch is None else f" after epoch {each.epoch}"
        sd = "" if each.sd is None else f"{digits(each.sd):>10}"
        what = f"{each.name:30}{each.metric + epoch:42}{each.n:>4}"
        print(f"{what}{digits(each.median):>12}{digits(each.mean):>12}{sd}")


def append(script: str, figures: Iterable[Figure], *, processor: str | None = None) -> None:
    """Add the figures to results.csv, with date, processor (a GPU's name where one trained), cores, torch, commit."""
    import torch

    from fittingroom.environment import git_revision, processor_name

    where = {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": processor or f"{processor_name()} ({torch.backends.cpu.get_cpu_capability()})",
        "cores": len(os.sched_getaffinity(0)),
        "torch": torch.__version__,
        "commit": (git_revision() or "")[:12],
        "script": Path(script).name,
    }
    names = [*where, *(field.name for field in fields(Figure))]
    is_new = not RESULTS.exists()
    with RESULTS.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        if is_new:
            writer.writeheader()
        for each in figures:
            row = {key: _text(value) for key, value in asdict(each).items()}
            writer.writerow(where | row)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that :func:`keep` goes by, for what is measured often before it counts."""
    parser.add_argument("--record", action="store_true", help="append to results.csv")
    parser.add_argument("--provisional", action="store_true", help="other work ran beside it: say so in the names")


def keep(script: str, figures: Iterable[Figure], args: argparse.Namespace) -> None:
    """Append the figures if the options ask for it, under names that say what they are worth."""
    mark = " (provisional)" if args.provisional else ""
    if args.record:
        append(script, [replace(each, name=each.name + mark) for each in figures])


Row = dict[str, str]


def latest(results: Path = RESULTS) -> dict[tuple[str, str, str, str], Row]:
    """The newest row for each (script, name, metric, epoch); the epoch is empty where the figure has none."""
    if not results.exists():
        return {}
    with results.open(encoding="utf-8", newline="") as file:
        return {(row["script"], row["name"], row["metric"], row["epoch"]): row for row in csv.DictReader(file)}


def last_epoch(rows: dict[tuple[str, str, str, str], Row], script: str, name: str, metric: str) -> Row | None:
    """The row of a curve's last point."""
    points = [row for key, row in rows.items() if key[:3] == (script, name, metric)]
    return max(points, key=lambda row: int(row["epoch"]), default=None)


def _text(value: object) -> object:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else value


def digits(value: float) -> str:
    """Four significant digits."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:,.{max(0, 3 - math.floor(math.log10(abs(value))))}f}"


def part(share: float) -> str:
    """A share as ``1/14`` where that is at most 5 % off, else as ``0.39``."""
    whole = round(1 / share)
    return f"1/{whole}" if whole > 1 and abs(1 / whole / share - 1) <= 0.05 else f"{share:.2f}"
