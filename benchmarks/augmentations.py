"""What each augmentation does to the accuracy on small real sets, and what it costs.

    python benchmarks/augmentations.py [--emoji FOLDER] [--seeds 5] [--record] [--provisional]

Sets: 1,000 images of Fashion-MNIST, 100 of each class, judged on 5,000 others of its training set; with ``--emoji``
1,000 of the pictures that ``colour_sets.py emoji`` makes, in 32×32, judged on the others. Each augmentation by itself
in the recipe BASE below, beside the same recipe without: accuracy on validation over the seeds, and the difference
paired by seed. The cost is of a batch of 256 on one thread, the least of 60, to which other work can only add, less
that of the plain batch; ``--costs`` measures it alone. ``--provisional`` says in the names of the figures that other
work ran beside them.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from typing import Any

import numpy as np
import torch
from record import Figure, add_options, figure, keep, show

import fittingroom as fr
from fittingroom.data.normalization import normalization_of
from fittingroom.training.batches import Batches
from fittingroom.training.device import keep_freed_memory
from fittingroom.training.fit import fit
from fittingroom.training.inference import predict_dataset

BASE = fr.Recipe(
    model="tutorial",
    batch_size=64,
    weight_decay=0.01,
    validation=0,
    precision="float32",
    stages=(fr.Stage(epochs=25, lr=0.003, schedule="one-cycle"),),
)
EACH: dict[str, dict[str, Any]] = {
    "mirror": {"mirror": "random"},
    "vertical_flip": {"vertical_flip": "random"},
    "shift 2": {"shift": 2},
    "shift 2, edge": {"shift": 2, "border": "edge"},
    "rotate 10": {"rotate": 10},
    "scale 0.15": {"scale": 0.15},
    "brightness 0.3": {"brightness": 0.3},
    "contrast 0.3": {"contrast": 0.3},
    "saturation 0.5": {"saturation": 0.5},
    "hue 0.05": {"hue": 0.05},
    "noise 0.1": {"noise": 0.1},
    "erase 8": {"erase": 8},
    "mixup 0.2": {"mixup": 0.2},
    "cutmix 1": {"cutmix": 1.0},
    "rotate, scale, shift": {"rotate": 10, "scale": 0.15, "shift": 2},
}
COLOUR_ONLY = ("saturation 0.5", "hue 0.05")


def fashion() -> fr.Splits:
    """1,000 training images, 100 of each class, and 5,000 others to judge on."""
    train = fr.open_dataset("fashion-mnist").train
    assert train.labels is not None
    order = np.random.default_rng(0).permutation(len(train))
    by_class = [order[train.labels[order] == label] for label in range(train.num_classes)]
    chosen = np.concatenate([rows[:100] for rows in by_class])
    others = np.concatenate([rows[100:600] for rows in by_class])
    return fr.Splits(train.subset(chosen), validation=train.subset(others))


def emoji(folder: str) -> fr.Splits:
    """1,000 pictures in 32×32, drawn from all, and the others to judge on."""
    from fittingroom.data.preprocessing import Preprocessing

    train = fr.open_dataset(folder, preprocessing=Preprocessing(size=(32, 32))).train
    assert train.labels is not None
    order = np.random.default_rng(0).permutation(len(train))
    return fr.Splits(train.subset(np.sort(order[:1000])), validation=train.subset(np.sort(order[1000:])))


def accuracies(splits: fr.Splits, changes: dict[str, Any], seeds: int) -> list[float]:
    """On the images held out, of each seed; they are judged once, at the end."""
    found, held_out = [], splits.validation
    assert held_out is not None
    for seed in range(seeds):
        fitted = fit(fr.Splits(splits.train), dataclasses.replace(BASE, seed=seed, **changes), device="cpu")
        said = predict_dataset(fitted.network, held_out, fitted.normalization, device=torch.device("cpu"))
        found.append(float((said.predicted == held_out.labels).mean()))
    return found


def milliseconds(data: fr.Dataset, changes: dict[str, Any]) -> float:
    """The least time that a batch of 256 takes, on one thread of the CPU."""
    recipe = dataclasses.replace(BASE, batch_size=256, **changes)
    rows = np.resize(np.arange(len(data)), 256 * 20)
    batches = Batches(data.subset(rows), recipe, normalization_of("standard", data), torch.device("cpu"))
    times = []
    for epoch in range(3):
        before = time.perf_counter()
        for _ in batches.epoch(epoch):
            now = time.perf_counter()
            times.append(1000 * (now - before))
            before = now
    return min(times)


def measured(name: str, splits: fr.Splits, seeds: int, only: list[str] | None) -> list[Figure]:
    """The figures of one set, which are printed as they come."""
    figures: list[Figure] = []

    def note(*new: Figure) -> None:
        figures.extend(new)
        show(new)
        sys.stdout.flush()

    without = accuracies(splits, {}, seeds) if seeds else []
    plain_ms = milliseconds(splits.train, {})
    note(figure(f"{name}, none", "ms a batch of 256", [plain_ms]))
    if seeds:
        note(figure(f"{name}, none", "validation accuracy", without))
    for key, changes in EACH.items():
        if only and key not in only:
            continue
        if splits.train.channels == 1 and key in COLOUR_ONLY:
            continue
        cost = milliseconds(splits.train, changes) - plain_ms
        note(figure(f"{name}, {key}", "ms more a batch of 256", [cost]))
        if not seeds:
            continue
        found = accuracies(splits, changes, seeds)
        gains = [100 * (a - b) for a, b in zip(found, without, strict=True)]
        note(
            figure(f"{name}, {key}", "validation accuracy", found),
            figure(f"{name}, {key}", "points above none, paired by seed", gains),
        )
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--emoji", help="the folder that colour_sets.py emoji made")
    parser.add_argument("--no-fashion", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=EACH, help="measure these alone")
    parser.add_argument("--costs", action="store_true", help="measure no accuracies")
    add_options(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as the loop does
    seeds = 0 if args.costs else args.seeds

    figures = [] if args.no_fashion else measured("fashion-mnist, 1,000 images", fashion(), seeds, args.only)
    if args.emoji:
        figures += measured("emoji, 1,000 pictures of 32×32", emoji(args.emoji), seeds, args.only)
    keep("augmentations.py", figures, args)


if __name__ == "__main__":
    main()
