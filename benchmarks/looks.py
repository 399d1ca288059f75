"""How often has this project itself looked at Fashion-MNIST's official test images? Counted from results.csv.

    python benchmarks/looks.py        prints what `table.py --write` puts into docs/what-was-looked-at.md

A look is one accuracy on the 10,000 images: a training judged at its end, or a network judged after an epoch. Every row
of results.csv counts, also those that a later measurement replaced.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

from record import RESULTS, Row

JUDGED = ("time_to_accuracy.py", "gpu.py")  # an accuracy a seed, of a finished training
CURVES = "curves.py"  # one after each epoch
UNSEEN = {
    "memory.py": "peak MiB",
    "scaling.py": "peak MiB",
}  # `train` judges each run of theirs; nobody kept what it said


def looks_lines(results: Path = RESULTS) -> list[str]:
    """A table of looks by recipe or program, with the total, as Markdown, and what was judged and not kept."""
    with results.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [
        "| what was judged | commit | accuracies | looks |",
        "| --- | --- | --- | ---: |",
    ]
    judged = [row for row in rows if row["script"] in JUDGED and row["metric"] == "accuracy"]
    for row in sorted(judged, key=lambda row: row["name"]):
        figures = f"{row['n']} seeds, mean {100 * float(row['mean']):.2f}%"
        lines.append(f"| `{row['name']}` | {row['commit']} | {figures} | {row['n']} |")
    for (name, commit), points in _curves(rows).items():
        epochs = max(int(row["epoch"]) for row in points)
        seeds = max(int(row["n"]) for row in points)
        figures = f"after each of {epochs} epochs, {seeds} seed{'s' if seeds > 1 else ''}"
        lines.append(f"| {name} | {commit} | {figures} | {sum(int(row['n']) for row in points)} |")
    total = sum(looks_by_name(results).values())
    lines += [f"| **together** | | | **{total}** |", ""]
    unseen = sum(
        int(row["n"])
        for row in rows
        if row["metric"] == UNSEEN.get(row["script"]) and row["name"] not in ("notebook", "swift line")
    )
    lines.append(
        f"Beside these, {unseen} trainings for memory and time (`memory.py`, `scaling.py`) judged their model too, as\n"
        "`train` does; their accuracies were not kept."
    )
    return lines


def looks_by_name(results: Path = RESULTS) -> Counter[str]:
    """How many accuracies on test stand in results.csv, by recipe or program."""
    with results.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "accuracy"]
    looks: Counter[str] = Counter()
    for row in rows:
        if row["script"] in (*JUDGED, CURVES):
            looks[row["name"]] += int(row["n"])
    return looks


def _curves(rows: list[Row]) -> dict[tuple[str, str], list[Row]]:
    curves: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if (row["script"], row["metric"]) == (CURVES, "accuracy"):
            curves.setdefault((row["name"], row["commit"]), []).append(row)
    return curves


if __name__ == "__main__":
    print("\n".join(looks_lines()))
