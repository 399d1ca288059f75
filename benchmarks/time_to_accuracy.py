"""How accurate is each recipe on the test set, and what share of the notebook's 80 epochs does it take?

For each seed in turn: one epoch of the notebook (notebook.py), then for each recipe the whole process
`fittingroom train --recipe R --seed S`, from its start to its exit, everything that it writes included, with the data
in the cache. The share is that time over 80 times the notebook's epoch of the same turn. Accuracy is that of the run's
result.json: one look a seed, kept on record in benchmarks/runs/test-looks.jsonl.

    benchmarks/.venv/bin/python benchmarks/time_to_accuracy.py --recipes swift --seeds 20 --first-seed 40
    benchmarks/.venv/bin/python benchmarks/time_to_accuracy.py --recipes steady compact tiny --seeds 5 --first-seed 40
    benchmarks/.venv/bin/python benchmarks/time_to_accuracy.py --recipes strong --seeds 5 --first-seed 40

A turn takes a quarter of a minute and the recipes' own time. --first-seed draws new seeds. Each training is a line of
benchmarks/seeds.csv as soon as it ends, and the same command goes on where it was stopped: what is there of the same
recipe and seed is not trained again. --threads 1 is for long recipes beside other work, whose bits are the same on one
thread and on two: accuracies alone, as these times would be those of another setting. --quick tries the script on the
sample, one epoch a recipe, and records nothing.

Last result:
  2026-11-30, AMD EPYC, 2 cores, torch 2.13.0+cpu, commit 8d2810f1e099
    notebook, seconds of 80 epochs, scaled from one: median 728.4, mean 795.7 ± 156.2, n 5
    tiny, accuracy: median 0.9201, mean 0.9203 ± 0.0009864, n 5
    tiny, seconds: median 121.2, mean 122.3 ± 3.314, n 5
    tiny, cpu_seconds: median 191.9, mean 191.3 ± 3.107, n 5
    tiny, train_seconds: median 117.0, mean 118.2 ± 3.318, n 5
    tiny, share of the notebook: median 0.1664, mean 0.1571 ± 0.02205, n 5
    tiny, parameters: median 9,802, mean 9,802 ± 0, n 5
  2026-11-30, AMD EPYC, 2 cores, torch 2.13.0+cpu, commit a150c3d7d3d4
    swift, accuracy: median 0.9185, mean 0.9187 ± 0.001743, n 20
    swift, seconds: median 7.458, mean 7.524 ± 1.156, n 20
    swift, cpu_seconds: median 9.656, mean 9.516 ± 0.5791, n 20
    swift, train_seconds: median 4.462, mean 4.585 ± 0.8941, n 20
    swift, share of the notebook: median 0.007863, mean 0.008318 ± 0.001703, n 20
    swift, parameters: median 60,874, mean 60,874 ± 0, n 20
    steady, accuracy: median 0.9410, mean 0.9408 ± 0.001028, n 5
    steady, seconds: median 68.92, mean 68.17 ± 1.724, n 5
    steady, cpu_seconds: median 114.4, mean 114.0 ± 2.314, n 5
    steady, train_seconds: median 62.17, mean 61.39 ± 1.677, n 5
    steady, share of the notebook: median 0.09135, mean 0.08684 ± 0.01283, n 5
    steady, parameters: median 172,490, mean 172,490 ± 0, n 5
  2026-11-30, AMD EPYC, 2 cores, torch 2.13.0+cpu, commit ab154491e978
    strong, accuracy: median 0.9520, mean 0.9523 ± 0.0008989, n 5
    strong, seconds: median 831.5, mean 831.5, n 1
    strong, cpu_seconds: median 1,512, mean 1,512, n 1
    strong, train_seconds: median 803.9, mean 803.9, n 1
    strong, share of the notebook: median 1.247, mean 1.247, n 1
    strong, parameters: median 2,300,990, mean 2,300,990 ± 0, n 5
  2026-11-30, AMD EPYC, 2 cores, torch 2.13.0+cpu, commit e223b225efdf
    compact, accuracy: median 0.9437, mean 0.9436 ± 0.0009439, n 6
    compact, seconds: median 425.2, mean 425.2, n 1
    compact, cpu_seconds: median 721.1, mean 721.1, n 1
    compact, train_seconds: median 410.9, mean 410.9, n 1
    compact, share of the notebook: median 0.4565, mean 0.4565, n 1
    compact, parameters: median 48,682, mean 48,682 ± 0, n 6
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import official
import record
from process import FOLDER, fittingroom_train, script

import fittingroom as fr
from fittingroom.bench import NOTEBOOK_EPOCHS

SEEDS = FOLDER / "seeds.csv"
MEASURED = ("accuracy", "seconds", "cpu_seconds", "train_seconds", "share of the notebook", "parameters")
COLUMNS = ("date", "commit", "recipe", "digest", "seed", "notebook_seconds", *MEASURED)

Seed = dict[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=["swift"])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="of each training, whose times then don't count")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    trained = measure(args.recipes, seeds, threads=args.threads, quick=args.quick)
    figures = condensed(trained)
    record.show(figures)
    if not args.quick:
        record.append(__file__, figures)


def measure(recipes: list[str], seeds: range, *, threads: int | None = None, quick: bool) -> list[Seed]:
    """Train every recipe from every seed that isn't among those kept, each turn beside an epoch of the notebook.

    With so many threads there is no epoch of the notebook, and the times are left empty.
    """
    data = official.name(quick=quick)
    official.splits(quick=quick)  # into the cache
    folder = FOLDER / "runs" / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}"
    folder.parent.mkdir(exist_ok=True)
    digests = {recipe: digest(recipe) for recipe in recipes}
    known = [] if quick else kept()

    trained: list[Seed] = []
    for seed in seeds:
        of_seed = [row for row in known if row["seed"] == str(seed) and row["digest"] in digests.values()]
        trained += of_seed
        missing = [recipe for recipe in recipes if digests[recipe] not in {row["digest"] for row in of_seed}]
        if not missing:
            continue

        notebook = None
        if threads is None:
            _, yardstick = script("notebook.py", "--epochs", "1", *(["--quick"] if quick else []))
            notebook = NOTEBOOK_EPOCHS * yardstick["epoch_seconds"][0]
        for recipe in missing:
            out = Path(f"{folder}-{Path(recipe).stem}-{seed}")
            options = [*(official.QUICK if quick else ()), *(["--threads", str(threads)] if threads else [])]
            process = fittingroom_train(data, "--recipe", recipe, "--seed", str(seed), *options, out=out)
            result = json.loads((out / "result.json").read_text(encoding="utf-8"))
            values = {"accuracy": result["test"]["accuracy"], "parameters": result["parameters"]}
            if notebook is not None:
                values |= {
                    "notebook_seconds": notebook,
                    "seconds": process.seconds,
                    "cpu_seconds": process.cpu_seconds,
                    "train_seconds": result["train_seconds"],
                    "share of the notebook": process.seconds / notebook,
                }
            row = stamp() | {"recipe": Path(recipe).stem, "digest": digests[recipe], "seed": str(seed)}
            row |= {metric: f"{value:.7g}" for metric, value in values.items()}
            trained.append(row)
            if not quick:
                keep(row)
            share = f", {record.part(process.seconds / notebook)} of the notebook" if notebook is not None else ""
            print(
                f"seed {seed}: {recipe} {float(row['accuracy']):.2%} in {process.seconds:.1f} s{share}",
                file=sys.stderr,
                flush=True,
            )
    return trained


def condensed(trained: list[Seed]) -> list[record.Figure]:
    """The figures of each recipe, over its seeds, and of the notebook, over the turns."""
    turns = {row["seed"]: float(row["notebook_seconds"]) for row in trained if row.get("notebook_seconds")}
    figures = []
    if turns:
        figures.append(record.figure("notebook", "seconds of 80 epochs, scaled from one", list(turns.values())))
    for recipe in dict.fromkeys(row["recipe"] for row in trained):
        for metric in MEASURED:
            values = [float(row[metric]) for row in trained if row["recipe"] == recipe and row.get(metric)]
            if values:
                figures.append(record.figure(recipe, metric, values))
    return figures


def digest(recipe: str) -> str:
    """By which a recipe is known again: of its values, whatever it says of itself."""
    values = fr.load_recipe(recipe).as_dict() | {"description": ""}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def stamp() -> Seed:
    """When, and by which code."""
    from fittingroom.environment import git_revision

    return {"date": datetime.now(UTC).date().isoformat(), "commit": (git_revision() or "")[:12]}


def kept() -> list[Seed]:
    """The trainings of seeds.csv."""
    if not SEEDS.exists():
        return []
    with SEEDS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def keep(row: Seed) -> None:
    """Add a training to seeds.csv, which is made anew if it isn't there."""
    is_new = not SEEDS.exists()
    with SEEDS.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    main()
