"""On a GPU: how accurate is each recipe, after how many seconds, and what is reached in ten minutes?

For each seed in turn, each recipe as a whole process, `fittingroom train --device cuda`: the data on the card, bf16.
Accuracy on the test set is that of the run's result.json: one look a seed. `wide.toml` beside this file is meant for
the ten minutes; --set changes what it can't reach in that time.

    benchmarks/.venv/bin/python benchmarks/gpu.py [--recipes swift steady strong benchmarks/wide.toml] [--seeds 3]

The environment's torch must be built for the card. --quick tries the script on the processor and the sample, one epoch
a recipe, and records nothing.

Last result: none yet: no GPU was at hand.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import official
import record
from process import FOLDER, fittingroom_train

RECIPES = ["swift", "steady", "strong", str(FOLDER / "wide.toml")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="for every recipe")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    card = _card()
    if card is None and not args.quick:
        print("gpu.py: a CUDA device expected, none found; --quick tries the script without", file=sys.stderr)
        return 2
    options = [word for pair in args.set for word in ("--set", pair)]
    figures = measure(args.recipes, args.seeds, options, quick=args.quick)
    record.show(figures)
    if not args.quick:
        record.append(__file__, figures, processor=card)
    return 0


def measure(recipes: list[str], seeds: int, options: list[str], *, quick: bool) -> list[record.Figure]:
    """Train every recipe from every seed: accuracy on test, seconds of the training and of the whole process."""
    data = official.name(quick=quick)
    official.splits(quick=quick)  # into the cache
    where = ["--device", "cpu", *official.QUICK] if quick else ["--device", "cuda", "--set", "precision=bf16"]
    folder = FOLDER / "runs" / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}-gpu"
    folder.parent.mkdir(exist_ok=True)
    found: dict[str, dict[str, list[float]]] = {Path(recipe).stem: {} for recipe in recipes}
    for seed in range(seeds):
        for recipe in recipes:
            name = Path(recipe).stem
            out = Path(f"{folder}-{name}-{seed}")
            process = fittingroom_train(data, "--recipe", recipe, "--seed", str(seed), *where, *options, out=out)
            result = json.loads((out / "result.json").read_text(encoding="utf-8"))
            figures = {
                "accuracy": result["test"]["accuracy"],
                "seconds": process.seconds,
                "train_seconds": result["train_seconds"],
                "parameters": result["parameters"],
            }
            for metric, value in figures.items():
                found[name].setdefault(metric, []).append(value)
            print(f"seed {seed}: {name} {figures['accuracy']:.2%} in {process.seconds:.1f} s", file=sys.stderr)
    return [record.figure(name, metric, values) for name, each in found.items() for metric, values in each.items()]


def _card() -> str | None:
    """The name of the CUDA device, if there is one."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


if __name__ == "__main__":
    sys.exit(main())
