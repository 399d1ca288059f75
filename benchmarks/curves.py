"""How accurate are the notebook and its peers after how many seconds of training?

The tutorial's network, batch 256, Adam at 0.01, each program at its usual settings (programs.py), in a process of its
own, in turns for each seed; judged on the test set after every epoch, off the clock. The notebook runs all of its 80
epochs, at its three learning rates; its peers run the first ones: they take the same steps, only at another speed.

    benchmarks/.venv/bin/python benchmarks/curves.py [--seeds 1] [--peer-epochs 5] [--epochs 80] [--quick]

About 19 minutes for the notebook and 6 for its peers on two cores. --quick tries the script on the sample, 2 epochs
each, and records nothing.

Last result:
  2026-11-23, AMD EPYC, 2 cores, torch 2.13.0+cpu, commit 4bdd50ebd86a
    notebook, seconds after epoch 10: median 141.3, mean 141.3, n 1
    notebook, accuracy after epoch 10: median 0.9091, mean 0.9091, n 1
    Lightning, seconds after epoch 3: median 30.15, mean 30.15, n 1
    Lightning, accuracy after epoch 3: median 0.8829, mean 0.8829, n 1
    skorch, seconds after epoch 3: median 29.62, mean 29.62, n 1
    skorch, accuracy after epoch 3: median 0.8829, mean 0.8829, n 1
    fastai, seconds after epoch 3: median 29.48, mean 29.48, n 1
    fastai, accuracy after epoch 3: median 0.8884, mean 0.8884, n 1
    Keras on torch, seconds after epoch 3: median 49.57, mean 49.57, n 1
    Keras on torch, accuracy after epoch 3: median 0.8950, mean 0.8950, n 1
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from itertools import accumulate

import record
from process import script

PROGRAMS = ("notebook", "Lightning", "skorch", "fastai", "Keras on torch")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=80, help="of the notebook")
    parser.add_argument("--peer-epochs", type=int, default=5)
    parser.add_argument("--programs", nargs="+", default=PROGRAMS, metavar="NAME")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--one", nargs=3, metavar=("NAME", "EPOCHS", "SEED"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        name, epochs, seed = args.one
        print(json.dumps(_one(name, int(epochs), int(seed), quick=args.quick)))
        return
    epochs_of = dict.fromkeys(args.programs, args.peer_epochs) | {"notebook": args.epochs}
    if args.quick:
        epochs_of = dict.fromkeys(args.programs, 2)
    figures = compare(args.programs, epochs_of, args.seeds, quick=args.quick)
    record.show(figures)
    if not args.quick:
        record.append(__file__, figures)


def compare(programs: list[str], epochs_of: dict[str, int], seeds: int, *, quick: bool) -> list[record.Figure]:
    """Train each program from each seed; seconds and accuracy after each epoch."""
    quickly = ["--quick"] if quick else []
    curves: dict[str, list[dict[str, list[float]]]] = {name: [] for name in programs}
    for seed in range(seeds):
        for name in programs:
            _, curve = script("curves.py", "--one", name, str(epochs_of[name]), str(seed), *quickly)
            curves[name].append(curve)
            said = f"{curve['seconds'][-1]:.1f} s, {curve['accuracy'][-1]:.2%}"
            print(f"seed {seed}: {name} {said}", file=sys.stderr, flush=True)
    return [
        record.figure(name, metric, values, epoch=epoch)
        for name, runs in curves.items()
        for metric in ("seconds", "accuracy")
        for epoch, values in enumerate(zip(*(run[metric] for run in runs), strict=True), 1)
    ]


def _one(name: str, epochs: int, seed: int, *, quick: bool) -> dict[str, list[float]]:
    """Train one program in this process: seconds of training until the end of each epoch, and accuracy there."""
    import official
    import torch
    from programs import PROGRAMS, EpochClock

    data, clock = official.splits(quick=quick), EpochClock(judge_epochs=True)
    assert data.test is not None
    torch.manual_seed(seed)
    with contextlib.redirect_stdout(sys.stderr):  # bars and tables of the peers
        PROGRAMS[name](data.train, data.test, epochs, clock)
    return {"seconds": list(accumulate(clock.seconds)), "accuracy": clock.accuracies}


if __name__ == "__main__":
    main()
