"""How accurate is each recipe on the test set, and what share of the notebook's 80 epochs does it take?

For each seed in turn: one epoch of the notebook (notebook.py), then for each recipe the whole process
`fittingroom train --recipe R --seed S`, from its start to its exit, everything that it writes included, with the data
in the cache. The share is that time over 80 times the notebook's epoch of the same turn. Accuracy is that of the run's
result.json: one look a seed, kept on record in benchmarks/runs/test-looks.jsonl.

    benchmarks/.venv/bin/python benchmarks/time_to_accuracy.py --recipes swift --seeds 20
    benchmarks/.venv/bin/python benchmarks/time_to_accuracy.py --recipes steady --seeds 5
    benchmarks/.venv/bin/python benchmarks/time_to_accuracy.py --recipes strong compact --seeds 3

A turn takes half a minute and the recipes' own time. --first-seed draws new seeds. --quick tries the script on the
sample with one epoch a recipe and records nothing.

Last result:
  2026-11-23, AMD EPYC, 2 cores, torch 2.13.0+cpu, commit 02f2a6b836ec
    notebook, seconds of 80 epochs, scaled from one: median 1,063, mean 1,010 ± 125.9, n 5
    steady, accuracy: median 0.9374, mean 0.9376 ± 0.001244, n 5
    steady, seconds: median 88.97, mean 90.08 ± 2.611, n 5
    steady, cpu_seconds: median 166.1, mean 167.5 ± 3.901, n 5
    steady, train_seconds: median 83.62, mean 84.65 ± 2.493, n 5
    steady, share of the notebook: median 0.08372, mean 0.09023 ± 0.01061, n 5
    steady, parameters: median 172,666, mean 172,666 ± 0, n 5
  2026-11-23, AMD EPYC, 2 cores, torch 2.13.0+cpu, commit 7e81a795053d
    swift, accuracy: median 0.9175, mean 0.9177 ± 0.001829, n 20
    swift, seconds: median 10.95, mean 11.14 ± 0.6411, n 20
    swift, cpu_seconds: median 18.17, mean 18.40 ± 1.110, n 20
    swift, train_seconds: median 7.730, mean 7.864 ± 0.5210, n 20
    swift, share of the notebook: median 0.01292, mean 0.01268 ± 0.001366, n 20
    swift, parameters: median 61,050, mean 61,050 ± 0, n 20
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import official
import record
from process import FOLDER, fittingroom_train, script

from fittingroom.bench import NOTEBOOK_EPOCHS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=["swift"])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    figures = measure(args.recipes, seeds, quick=args.quick)
    record.show(figures)
    if not args.quick:
        record.append(__file__, figures)


def measure(recipes: list[str], seeds: range, *, quick: bool) -> list[record.Figure]:
    """Train every recipe from every seed, each turn beside an epoch of the notebook."""
    data = official.name(quick=quick)
    official.splits(quick=quick)  # into the cache
    folder = FOLDER / "runs" / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}"
    folder.parent.mkdir(exist_ok=True)
    notebook: list[float] = []
    found: dict[str, dict[str, list[float]]] = {recipe: {} for recipe in recipes}
    for seed in seeds:
        _, yardstick = script("notebook.py", "--epochs", "1", *(["--quick"] if quick else []))
        notebook.append(NOTEBOOK_EPOCHS * yardstick["epoch_seconds"][0])
        for recipe in recipes:
            out = Path(f"{folder}-{Path(recipe).stem}-{seed}")
            quickly = official.QUICK if quick else ()
            process = fittingroom_train(data, "--recipe", recipe, "--seed", str(seed), *quickly, out=out)
            result = json.loads((out / "result.json").read_text(encoding="utf-8"))
            figures = {
                "accuracy": result["test"]["accuracy"],
                "seconds": process.seconds,
                "cpu_seconds": process.cpu_seconds,
                "train_seconds": result["train_seconds"],
                "share of the notebook": process.seconds / notebook[-1],
                "parameters": result["parameters"],
            }
            for metric, value in figures.items():
                found[recipe].setdefault(metric, []).append(value)
            print(
                f"seed {seed}: {recipe} {figures['accuracy']:.2%} in {process.seconds:.1f} s, "
                f"1/{1 / figures['share of the notebook']:.0f} of the notebook",
                file=sys.stderr,
                flush=True,
            )
    figures_of_all = [record.figure("notebook", "seconds of 80 epochs, scaled from one", notebook)]
    for recipe, metrics in found.items():
        figures_of_all += [record.figure(Path(recipe).stem, metric, values) for metric, values in metrics.items()]
    return figures_of_all


if __name__ == "__main__":
    main()
