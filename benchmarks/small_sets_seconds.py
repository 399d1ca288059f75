"""How long ``train`` without options takes on 2,000 images: whole process, from reading to the report.

    python benchmarks/small_sets_seconds.py EMOJI [--rounds 3] [--threads 2] [--record] [--provisional]

EMOJI is the folder that ``colour_sets.py emoji`` makes: 2,000 of its pictures, each as an npz in colour at 28×28, 48×48
and 64×64, and 2,000 training images of Fashion-MNIST.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import record
from process import fittingroom_train

IMAGES, SIDES = 2_000, (28, 48, 64)


def main() -> None:
    """Make the sets, train on each in turns, and print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("emoji", type=Path, metavar="EMOJI")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="try the script: one epoch, nothing recorded")
    record.add_options(parser)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds: dict[str, list[float]] = {each: [] for each in make_sets(args.emoji, folder)}
        options = ["--threads", str(args.threads), "--no-test", *(["--epochs", "1"] if args.quick else [])]
        for number in range(args.rounds):
            for each, found in seconds.items():
                out = folder / f"{each}-{number}"
                found.append(fittingroom_train(folder / f"{each}.npz", *options, out=out).seconds)
                print(f"{each}: {found[-1]:.1f} s", flush=True)

    figures = [
        record.figure(f"{IMAGES:,} images, {each}, {args.threads} threads", "seconds", found)
        for each, found in seconds.items()
    ]
    record.show(figures)
    if not args.quick:
        record.keep(__file__, figures, args)


def make_sets(emoji: Path, folder: Path) -> list[str]:
    """An npz for each set, and their names."""
    import fittingroom as fr
    from fittingroom.data.preprocessing import Preprocessing

    sets = {
        f"colour {side}×{side}": fr.open_dataset(emoji, preprocessing=Preprocessing(size=(side, side)))
        for side in SIDES
    }
    sets["grey 28×28"] = fr.open_dataset("fashion-mnist")
    for name, splits in sets.items():
        train = splits.train
        assert train.labels is not None
        rows = np.sort(np.random.default_rng(0).permutation(len(train))[:IMAGES])
        np.savez(folder / f"{name}.npz", x_train=train.images[rows], y_train=train.labels[rows])
    return list(sets)


if __name__ == "__main__":
    main()
