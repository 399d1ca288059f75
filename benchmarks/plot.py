"""Accuracy against time, drawn from results.csv: our recipes, and the notebook's network in the notebook and its peers.

benchmarks/.venv/bin/python benchmarks/plot.py        writes benchmarks/time_to_accuracy.svg and .png
"""

from __future__ import annotations

import argparse
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from record import RESULTS, latest
from table import PEERS, RECIPES, Rows

OURS, NOTEBOOK = "#d1495b", "#4059ad"
GREYS = {"Lightning": "o", "skorch": "s", "fastai": "^", "Keras on torch": "D"}
STYLE = {"font.size": 11, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "fittingroom"}
LOWEST = 84  # percent: what lies below are first epochs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("time_to_accuracy"))
    args = parser.parse_args()
    rows = latest(args.results)
    with rc_context(STYLE):
        figure = draw(rows)
        figure.savefig(args.out.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(args.out.with_suffix(".png"), dpi=160)


def draw(rows: Rows) -> Figure:
    """Seconds on a log scale; recipes with the sd over their seeds, the others as curves from epoch to epoch."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.grid(visible=True, which="major", color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    for name in PEERS:
        _curve(axes, rows, name)
    for recipe in RECIPES:
        _recipe(axes, rows, recipe)
    axes.margins(x=0.09, y=0.08)
    axes.set_ylim(bottom=LOWEST)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g} s"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda percent, _: f"{percent:g} %"))
    axes.set_xlabel("seconds (ours: the whole process; the others: training alone)")
    axes.set_ylabel("accuracy on Fashion-MNIST's test set")
    axes.legend(title="the notebook's network, trained by", frameon=False, loc="lower right", alignment="left")
    return figure


def _curve(axes: Axes, rows: Rows, name: str) -> None:
    points = []
    for (script, whose, metric, epoch), row in rows.items():
        if (script, whose, metric) == ("curves.py", name, "accuracy"):
            seconds = rows[script, whose, "seconds", epoch]["median"]
            points.append((float(seconds), 100 * float(row["mean"])))
    if not points:
        return
    x, y = zip(*sorted(points), strict=True)
    label = f"{'the notebook itself' if name == 'notebook' else name}, {len(x)} epochs"
    if name == "notebook":
        axes.plot(x, y, "-", color=NOTEBOOK, linewidth=1.6, label=label)
    else:
        axes.plot(x, y, "-", marker=GREYS[name], color="#8d99ae", markersize=5, linewidth=1, label=label)


def _recipe(axes: Axes, rows: Rows, recipe: str) -> None:
    accuracy = rows.get(("time_to_accuracy.py", recipe, "accuracy", ""))
    seconds = rows.get(("time_to_accuracy.py", recipe, "seconds", ""))
    if not (accuracy and seconds):
        return
    x, y = float(seconds["median"]), 100 * float(accuracy["mean"])
    spread = 100 * float(accuracy["sd"] or 0)
    axes.errorbar(x, y, yerr=spread, fmt="o", color=OURS, markersize=8, capsize=3, zorder=3)
    above = {"xytext": (0, 11), "textcoords": "offset points", "ha": "center", "va": "bottom"}
    axes.annotate(f"{recipe} {y:.2f} %", (x, y), color=OURS, weight="bold", **above)


if __name__ == "__main__":
    main()
