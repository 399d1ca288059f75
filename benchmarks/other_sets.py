"""How right are the recipes made for Fashion-MNIST on other sets of its size? Emoji and icons at 32×32, in colour.

    python benchmarks/colour_sets.py emoji SETS/emoji
    python benchmarks/colour_sets.py icons SETS/icons
    python benchmarks/other_sets.py SETS/emoji SETS/icons [--seeds 3] [--threads 1] [--record]

Each set is read as `train FOLDER --size 32` reads it. A fifth is held out as `train` does it, the same fifth for all;
accuracy is that on it, of the model of the last step: nothing is chosen by it. Batches of 64, as some thousand images
want; `plain` chooses its own. Half a minute a training on one thread.

Last result: in docs/reference/recipes.md and results.csv.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import record
from process import fittingroom_train

SIDE = 32
RECIPES = {"swift": ("--batch-size", "64"), "steady": ("--batch-size", "64"), "plain": ()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", type=Path, metavar="SET")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="try the script: one epoch, nothing recorded")
    record.add_options(parser)
    args = parser.parse_args()

    figures = []
    for pictures in args.sets:
        images = sum(1 for _ in pictures.rglob("*.png"))
        options = ["--size", str(SIDE), "--no-test", "--threads", str(args.threads), "--set", "keep=last"]
        options += ["--set", f"validation={images // 5}", *(["--epochs", "1"] if args.quick else [])]
        for recipe, own in RECIPES.items():
            found = [trained(pictures, recipe, seed, *options, *own) for seed in range(args.seeds)]
            name = f"{recipe}, {pictures.name}"
            figures.append(record.figure(name, "validation accuracy", [accuracy for accuracy, _ in found]))
            figures.append(record.figure(name, "cpu_seconds", [seconds for _, seconds in found]))
            record.show(figures[-2:])
    if not args.quick:
        record.keep(__file__, figures, args)


def trained(pictures: Path, recipe: str, seed: int, *options: str) -> tuple[float, float]:
    """Accuracy on what was held out, 0–1, and processor seconds of the whole process."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        process = fittingroom_train(pictures, "--recipe", recipe, "--seed", str(seed), *options, out=out)
        result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    return result["validation"]["accuracy"], process.cpu_seconds


if __name__ == "__main__":
    main()
