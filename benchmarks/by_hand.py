"""What other trainings reach on the very images that validated a run: is the default as good as the best of them?

    fittingroom train FOLDER                                     (or with --folds 5, by which every image validates)
    python benchmarks/by_hand.py RUN [--only PROGRAM …] [--threads 1]

Each program learns from the images that the run learned from, or in turn from those outside of each fold, and judges
the same ones: a line for each, with its interval and how many images it alone, or the run alone, answers rightly.
The programs of small_sets_accuracy.py, and what somebody would try by hand: other sizes, mirror images, other recipes,
weights of the classes. Keras is run on torch, where it can be imported.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from small_sets_accuracy import PROGRAMS, Program

import fittingroom as fr
from fittingroom.data.dataset import Dataset
from fittingroom.data.splits import Splits
from fittingroom.evaluation.intervals import model_interval
from fittingroom.evaluation.predictions import read_predictions
from fittingroom.runs.cut import bundles_of
from fittingroom.runs.folds import fold_numbers
from fittingroom.training.fit import fit
from fittingroom.training.hold_out import hold_out
from fittingroom.training.inference import predict_dataset

SIZES = (32, 96)  # pixels a side, of pictures alone


def plain_with(*overrides: str) -> Program:
    """``plain``, changed."""

    def train(
        images: NDArray[np.uint8], labels: NDArray[np.int64], judged: NDArray[np.uint8], classes: list[str], seed: int
    ) -> NDArray[np.integer]:
        recipe = fr.load_recipe("plain", overrides=["validation=0", f"seed={seed}", *overrides])
        fitted = fit(Splits(Dataset(images, labels, tuple(classes), "cut")), recipe, device="cpu")
        answers = predict_dataset(fitted.network, Dataset(judged, None, (), "judged"), fitted.normalization)
        return answers.probabilities.argmax(axis=1)

    return train


TRIED: dict[str, Program] = PROGRAMS | {
    "plain, mirrored": plain_with("mirror=random"),
    "plain, balanced": plain_with("class_weights=balanced"),
    "plain, saturation": plain_with("saturation=0.3"),
    "plain, no turns": plain_with("rotate=0", "scale=0"),
    "plain, half the rate": plain_with("stages.0.lr=0.002"),
    "plain, wide": plain_with("model_args={widths = [32, 128, 256], fixed_stem = true}"),
    **{f"plain, {side} pixels": PROGRAMS["plain"] for side in SIZES},
}


def cuts(run: fr.Run, splits: Splits) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(rows to learn from, rows to be judged on) of the run's training images: one cut, or one for each fold."""
    group_N = bundles_of(run.environment, splits)
    rows_N = np.arange(len(splits.train))
    if folds := run.environment.folds:
        fold_N = fold_numbers(splits.train, folds, run.recipe.split_seed, group_N)
        for fold in range(folds):
            yield rows_N[fold_N != fold], rows_N[fold_N == fold]
        return

    _, held_out = hold_out(splits, run.recipe, group_N)
    if held_out is None or splits.validation is not None:
        sys.exit(f"{run.path}: a run that held images out of its training set expected, or one of folds")
    is_judged = np.isin(splits.train.image_hashes(), held_out.image_hashes())  # equal ones are on one side
    yield rows_N[~is_judged], rows_N[is_judged]


def right_of_run(run: fr.Run, train: Dataset) -> NDArray[np.bool_]:
    """bool (N,): which of the training images the run answered rightly as validation; False where it didn't judge."""
    table = read_predictions(run.predictions_file("validation"), train.classes)
    right = {image for image, is_right in zip(table.images, table.is_right, strict=True) if is_right}
    return np.array([image.hex() in right for image in train.image_hashes()])


def right_of(program: str, train: Dataset, cut: list[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> NDArray[np.bool_]:
    """The same of a program, which learns and judges by each cut in turn."""
    assert train.labels is not None
    right_N = np.zeros(len(train), bool)
    for learned, judged in cut:
        of = train.images[learned], train.labels[learned], train.images[judged], list(train.classes), 0
        right_N[judged] = TRIED[program](*of) == train.labels[judged]
    return right_N


def at_size(run: fr.Run, side: int) -> Dataset:
    """The run's training images anew, of so many pixels a side, in the same order."""
    environment = run.environment
    assert environment.preprocessing is not None
    other = dataclasses.replace(environment.preprocessing, size=(side, side))
    splits = fr.open_dataset(environment.data.source, preprocessing=other, skip_broken=environment.options.skip_broken)
    return splits.train


def main() -> None:
    """Train each program that was asked for, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--only", nargs="+", choices=list(TRIED), default=list(TRIED), metavar="PROGRAM")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()

    import torch

    torch.set_num_threads(args.threads)
    run = fr.open_run(args.run)
    splits = run.open_data()
    cut = list(cuts(run, splits))
    judged_N = np.concatenate([judged for _, judged in cut])
    own_N = right_of_run(run, splits.train)[judged_N]
    print(line(f"{run.path.name}, as it is", own_N, own_N, float("nan")), flush=True)

    for program in args.only:
        if program == "Keras" and find_spec("keras") is None:
            continue
        side = re.fullmatch(r"plain, (\d+) pixels", program)
        began = time.process_time()
        train = at_size(run, int(side[1])) if side else splits.train
        right_N = right_of(program, train, cut)[judged_N]
        print(line(program, right_N, own_N, time.process_time() - began), flush=True)


def line(name: str, right_N: NDArray[np.bool_], own_N: NDArray[np.bool_], seconds: float) -> str:
    """Accuracy with its interval, the difference to the run's in points, and what each answers rightly alone."""
    n, right = len(right_N), int(right_N.sum())
    low, high = model_interval(right, n)
    better, worse = int((right_N & ~own_N).sum()), int((own_N & ~right_N).sum())
    return (
        f"{name:24}{right / n:7.1%} of {n:,} ({low:.1%} to {high:.1%})   {100 * (better - worse) / n:+.1f} points: "
        f"{better} it alone, {worse} the run alone   {seconds:.0f} s of processor time"
    )


if __name__ == "__main__":
    main()
