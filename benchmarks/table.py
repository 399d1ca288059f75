"""The README's table and sentences, and each script's last result, made from results.csv.

benchmarks/.venv/bin/python benchmarks/table.py            prints what belongs into the README
benchmarks/.venv/bin/python benchmarks/table.py --write    puts it there, between the two marks, and each script's
                                                           last result into its docstring
benchmarks/.venv/bin/python benchmarks/table.py --check    fails if either says anything else than results.csv
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from pathlib import Path

from record import RESULTS, Row, digits, last_epoch, latest

from fittingroom.bench import NOTEBOOK_EPOCHS
from fittingroom.evaluation.intervals import model_interval, recipe_accuracy_of_mean

FOLDER = Path(__file__).resolve().parent
START, END = "<!-- bench: made by benchmarks/table.py -->", "<!-- bench: end -->"
TEST_IMAGES = 10_000  # official, of Fashion-MNIST
RECIPES = ("swift", "steady", "strong", "compact")
PEERS = ("notebook", "Lightning", "skorch", "fastai", "Keras on torch")
SCRIPTS = (
    *("throughput.py", "curves.py", "time_to_accuracy.py", "data_path.py", "memory.py", "scaling.py"),
    *("predict.py", "serving.py", "ood.py"),
)
LAST = re.compile(r"Last result.*?(?=\"\"\")", re.DOTALL)

Rows = dict[tuple[str, str, str, str], Row]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--write", action="store_true")
    how.add_argument("--check", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--readme", type=Path, default=FOLDER.parent / "README.md")
    args = parser.parse_args()
    rows = latest(args.results)
    text = "\n".join(readme_lines(rows))
    if not (args.write or args.check):
        print(text)
        return 0
    wanted = {args.readme: _between_marks(args.readme, text)}
    for name in SCRIPTS:
        wanted[FOLDER / name] = LAST.sub(
            lambda _match, name=name: last_result(rows, name), (FOLDER / name).read_text("utf-8"), count=1
        )
    stale = [file for file, content in wanted.items() if file.read_text("utf-8") != content]
    for file in stale:
        if args.write:
            file.write_text(wanted[file], "utf-8")
        print(f"{file.name}: {'written' if args.write else 'differs from results.csv'}", file=sys.stderr)
    return int(args.check and bool(stale))


def readme_lines(rows: Rows) -> list[str]:
    """The table of trainings and a line for each other question, as Markdown; what was not measured is left out."""
    return [*_trainings(rows), "", *_throughput(rows), *_data_path(rows), *_memory(rows), *_scaling(rows)]


def last_result(rows: Rows, script: str) -> str:
    """What a script's docstring says of its last result; of a curve its last point."""
    own = [row for row in rows.values() if row["script"] == script]
    own = [row for row in own if not row["epoch"] or row is last_epoch(rows, script, row["name"], row["metric"])]
    if not own:
        return "Last result: none yet.\n"
    lines = ["Last result:"]
    for where in dict.fromkeys(map(_where, own)):
        lines += textwrap.wrap(f"{where}", 118, initial_indent="  ", subsequent_indent="  ")
        for row in own:
            if _where(row) == where:
                epoch = f" after epoch {row['epoch']}" if row["epoch"] else ""
                sd = f" ± {digits(float(row['sd']))}" if row["sd"] else ""
                figures = f"median {digits(float(row['median']))}, mean {digits(float(row['mean']))}{sd}, n {row['n']}"
                lines.append(f"    {row['name']}, {row['metric']}{epoch}: {figures}")
    return "\n".join(lines) + "\n"


def _part(share: float) -> str:
    return f"1/{1 / share:.0f}" if share <= 0.5 else f"{share:.2f}"


def _trainings(rows: Rows) -> list[str]:
    lines = [
        "| whole training | test accuracy (mean ± sd) | 95 % interval | seeds | seconds (median) "
        "| share of the notebook's 80 epochs |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    seconds, accuracy = (last_epoch(rows, "curves.py", "notebook", metric) for metric in ("seconds", "accuracy"))
    if seconds and accuracy:
        what, part = f"the tutorial notebook, {seconds['epoch']} epochs", _part(int(seconds["epoch"]) / NOTEBOOK_EPOCHS)
        figures = f"{_accuracy(accuracy)} | {_interval(accuracy)} | {seconds['n']}"
        lines.append(f"| {what} | {figures} | {float(seconds['median']):,.0f} | {part} |")
    measured: dict[str, list[str]] = {}
    for recipe in RECIPES:
        found = [_get(rows, "time_to_accuracy.py", recipe, key) for key in ("accuracy", "seconds", SHARE)]
        if all(found):
            accuracy, seconds, share = found
            measured.setdefault(_where(accuracy), []).append(f"`{recipe}`")
            part = _part(float(share["median"]))
            figures = f"{_accuracy(accuracy)} | {_interval(accuracy)} | {accuracy['n']}"
            lines.append(f"| `{recipe}` | {figures} | {float(seconds['median']):,.1f} | {part} |")
    lines += ["", INTERVAL_NOTE]
    return [*lines, "", "Measured:", "", *(f"- {', '.join(names)}: {where}." for where, names in measured.items())]


INTERVAL_NOTE = (
    "The interval is that of the recipe, seeds × images, with images taken to vary as much as they can at such an\n"
    "accuracy; of a single seed it is that of this model."
)
SHARE = "share of the notebook"
TIMES = "times as fast as the notebook"


def _throughput(rows: Rows) -> list[str]:
    names = [*PEERS, "fittingroom float32", "fittingroom auto"]
    found = {name: _get(rows, "throughput.py", name, "images_per_second") for name in names}
    figures = [f"{name} {float(row['median']):,.0f}" for name, row in found.items() if row]
    return [f"- Images a second in training the notebook's network: {', '.join(figures)}."] if figures else []


def _data_path(rows: Rows) -> list[str]:
    names = ("CSV, no cache", "CSV, empty cache", "CSV, from the cache", "judging")
    found = {name: _get(rows, "data_path.py", name, TIMES) for name in names}
    figures = [f"{name} {digits(float(row['median']))}" for name, row in found.items() if row]
    return [f"- Times as fast as the notebook in reading and judging: {'; '.join(figures)}."] if figures else []


def _memory(rows: Rows) -> list[str]:
    peaks = {name: _get(rows, "memory.py", name, "peak MiB") for name in ("notebook", "swift", "tutorial, 1 epoch")}
    figures = [f"{name} {float(row['median']):,.0f} MiB" for name, row in peaks.items() if row]
    return [f"- Peak memory: {'; '.join(figures)}."] if figures else []


def _scaling(rows: Rows) -> list[str]:
    metrics = ("epoch seconds", "peak MiB")
    found = {metric: _get(rows, "scaling.py", "swift line", f"{metric}, R² of the line") for metric in metrics}
    figures = [f"{metric} R² = {float(row['median']):.4f}" for metric, row in found.items() if row]
    return [f"- Linear in the number of images from 1 to 8 times: {'; '.join(figures)}."] if figures else []


def _get(rows: Rows, script: str, name: str, metric: str) -> Row | None:
    return rows.get((script, name, metric, ""))


def _interval(row: Row) -> str:
    """Of the test accuracy, on the 10,000 official images."""
    mean, seeds = float(row["mean"]), int(row["n"])
    low, high = (
        recipe_accuracy_of_mean(mean, float(row["sd"]), seeds, TEST_IMAGES).interval
        if seeds > 1
        else model_interval(round(mean * TEST_IMAGES), TEST_IMAGES)
    )
    return f"{100 * low:.2f} to {100 * high:.2f} %"


def _accuracy(row: Row) -> str:
    sd = f" ± {100 * float(row['sd']):.2f}" if row["sd"] else ""
    return f"{100 * float(row['mean']):.2f}{sd} %"


def _where(row: Row) -> str:
    return f"{row['date']}, {row['processor']}, {row['cores']} cores, torch {row['torch']}, commit {row['commit']}"


def _between_marks(readme: Path, text: str) -> str:
    before, start, rest = readme.read_text("utf-8").partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise SystemExit(f"{readme}: the lines {START} and {END} expected, around what is to be replaced")
    return f"{before}{START}\n{text}\n{END}{after}"


if __name__ == "__main__":
    sys.exit(main())
