"""How often has this project itself looked at Fashion-MNIST's official test images? Counted from results.csv.

    python benchmarks/looks.py                      prints what `table.py --write` puts into docs/what-was-looked-at.md
    python benchmarks/looks.py --add LOOKS WHAT     notes looks that are in no other table in looks.csv, by today's date
    python benchmarks/looks.py --ledgers FOLDER     counts the evaluations in each test-looks.jsonl below a folder

A look is one judgement on the 10,000 images: of a training at its end, of its probabilities, or of a network after an
epoch. Every row of results.csv counts, also those that a later measurement replaced. looks.csv has what isn't in there;
where nobody knows how many, the number is left out. The page itself changes by `table.py --write` alone.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from record import RESULTS, Row

from fittingroom.data.fetch.fingerprints import KNOWN_FINGERPRINTS

BESIDE = Path(__file__).resolve().parent / "looks.csv"
OFFICIAL_TEST = KNOWN_FINGERPRINTS["fashion-mnist test (official)"].images

JUDGED = ("time_to_accuracy.py", "gpu.py")  # an accuracy a seed, of a finished training
CALIBRATED = ("calibration.py", "calibration error (%)")  # the probabilities of as many
CURVES = "curves.py"  # one after each epoch
UNSEEN = {
    "memory.py": "peak MiB",
    "first_run.py": "seconds",
    "scaling.py": "peak MiB",
}  # `train` judges each run of theirs; nobody kept what it said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--add", nargs=2, metavar=("LOOKS", "WHAT"), help="LOOKS is a number, or - where nobody knows it")
    how.add_argument("--ledgers", type=Path, metavar="FOLDER")
    args = parser.parse_args()
    if args.ledgers is not None:
        print(f"{in_ledgers(args.ledgers):,} evaluations on the official test images")
    elif args.add is not None:
        add(*args.add)
    else:
        print("\n".join(looks_lines()))


def add(looks: str, what: str, beside: Path = BESIDE) -> None:
    """Note looks of today in looks.csv."""
    count = "" if looks == "-" else int(looks)
    with beside.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow([datetime.now(UTC).date().isoformat(), count, what])


def in_ledgers(folder: Path) -> int:
    """Evaluations on the official test images in the ledgers below a folder; copies of a ledger count once."""
    found = set()
    for ledger in folder.rglob("test-looks.jsonl"):
        for line in ledger.read_text(encoding="utf-8").splitlines():
            look = json.loads(line)
            if look["fingerprint"] == OFFICIAL_TEST:
                found.add((look["when"], look["run"], look["command"]))
    return len(found)


def looks_lines(results: Path = RESULTS, beside: Path = BESIDE) -> list[str]:
    """Looks by recipe or program, with the total, what was judged and not kept, and looks.csv, as Markdown."""
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
    lines += [
        f"| probabilities of `{row['name']}` | {row['commit']} | {row['n']} seeds | {row['n']} |"
        for row in rows
        if (row["script"], row["metric"]) == CALIBRATED
    ]
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
    scripts = ", ".join(f"`{script}`" for script in UNSEEN)
    lines.append(
        f"Beside these, {unseen} trainings for memory and time ({scripts}) judged their model\n"
        "too, as `train` does; their accuracies were not kept."
    )
    with beside.open(encoding="utf-8", newline="") as file:
        others = list(csv.DictReader(file))
    lines += ["", "Known beside the table, and not in `results.csv`:", ""]
    for row in others:
        looks = f"{row['looks']} look{'s' * (row['looks'] != '1')}: " if row["looks"] else ""
        lines.append(f"- {row['date']}: {looks}{row['what']};")
    lines[-1] = lines[-1][:-1] + "."
    total += sum(int(row["looks"] or 0) for row in others)
    lines += [
        "",
        f"So there were at least {total:,}; what nobody wrote down isn't counted. Nor are evaluations on the 1,000 of",
        "these images that the packaged `sample` has, by which tests and trials of commands judge their models.",
    ]
    return lines


def looks_by_name(results: Path = RESULTS) -> Counter[str]:
    """How many judgements on test stand in results.csv, by recipe or program."""
    looks: Counter[str] = Counter()
    with results.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            is_accuracy = row["script"] in (*JUDGED, CURVES) and row["metric"] == "accuracy"
            if is_accuracy or (row["script"], row["metric"]) == CALIBRATED:
                looks[row["name"]] += int(row["n"])
    return looks


def _curves(rows: list[Row]) -> dict[tuple[str, str], list[Row]]:
    curves: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if (row["script"], row["metric"]) == (CURVES, "accuracy"):
            curves.setdefault((row["name"], row["commit"]), []).append(row)
    return curves


if __name__ == "__main__":
    main()
