"""Does `data check --labels` find wrong labels? Errors planted in the 60,000 training images of Fashion-MNIST.

Uniform errors: a label becomes any of the nine others, in 0, 1, 3 and 10 % of the images. Errors by class, as people
make them: in 3 % of the images a label becomes the class that is most like it. Each setting is five folds of swift and
confident learning. Errors of its own that the data set has count against precision, so that it is a lower bound.

Where the judges agree with 90 % of the labels or more, an upper bound is given, which should lie above the planted
rate: counted too on scikit-learn's 1,797 digits, and on 30 draws of 300 of them, with 0, 2 and 5 % planted.

    .venv/bin/python benchmarks/label_noise.py [--threads 1]

About 6 minutes of processor time. Adds rows to results.csv.

Last result, 2026-11-30, AMD EPYC, one thread, torch 2.13.0:

                    suspects    precision    recall    of as many as planted    estimate    bound
    uniform 0 %          798                                                      2.00 %    2.12 %
    uniform 1 %        1,247       45.7 %    95.0 %                   83.2 %      3.02 %    3.16 %
    uniform 3 %        2,269       75.5 %    95.1 %                   88.6 %      5.30 %      none
    uniform 10 %       5,828       93.5 %    90.8 %                   92.5 %     12.77 %      none
    alike 3 %          2,307       63.1 %    80.9 %                   72.1 %      5.41 %      none
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from record import Figure, append, figure, show
from sklearn.datasets import load_digits

import fittingroom as fr
from fittingroom.audit.official_part import part_of
from fittingroom.label_check import LabelCheck, LabelNoise, estimate_label_noise, out_of_fold
from fittingroom.label_check.folds import long_enough

ALIKE = {0: 6, 1: 3, 2: 4, 3: 1, 4: 2, 5: 7, 6: 0, 7: 9, 8: 6, 9: 7}  # T-shirt/top ↔ Shirt, Trouser ↔ Dress, …
SETTINGS = {
    "uniform 0 %": (0.0, False),
    "uniform 1 %": (0.01, False),
    "uniform 3 %": (0.03, False),
    "uniform 10 %": (0.10, False),
    "alike 3 %": (0.03, True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    train = fr.open_dataset("fashion-mnist").train
    how = LabelCheck(keep=False)
    for number, (name, (share, is_alike)) in enumerate(SETTINGS.items()):
        labels, is_planted = planted(train, share, is_alike, seed=100 + number)
        begun = time.process_time()
        part = part_of("train", replace(train, labels=labels))
        probabilities = out_of_fold([part], how.resolved(), how)
        doubts = estimate_label_noise(labels, probabilities)
        figures = judge(name, share, is_planted, labels, probabilities, doubts)
        figures.append(figure(name, "processor seconds", [time.process_time() - begun]))
        show(figures)
        append(__file__, figures)
    figures = digits_figures(args.threads)
    show(figures)
    append(__file__, figures)


def planted(train: fr.Dataset, share: float, is_alike: bool, seed: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Labels with errors, and which they are."""
    assert train.labels is not None
    random = np.random.default_rng(seed)
    rows = random.permutation(len(train))[: round(share * len(train))]
    labels = train.labels.copy()
    if is_alike:
        labels[rows] = np.array([ALIKE[label] for label in labels[rows].tolist()], np.int64)
    else:
        labels[rows] = (labels[rows] + random.integers(1, train.num_classes, len(rows))) % train.num_classes
    is_planted = np.zeros(len(train), dtype=bool)
    is_planted[rows] = True
    return labels, is_planted


def judge(
    name: str,
    share: float,
    is_planted: NDArray[np.bool_],
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    doubts: LabelNoise,
) -> list[Figure]:
    """Of the suspects, and of as many of the least probable labels as errors were planted."""
    count = int(is_planted.sum())
    if doubts.at_most is not None:
        found_bound = {"bound": doubts.at_most, "the bound holds": float(doubts.at_most >= share)}
    else:
        found_bound = {}
    found = {
        "rate": doubts.rate,
        "a bound is given": float(doubts.at_most is not None),
        "suspects": len(doubts.rows),
        "out-of-fold accuracy by these labels": doubts.agree,
    } | found_bound
    if count:
        of_given = probabilities[np.arange(len(labels)), labels]
        first = np.argsort(of_given, kind="stable")[:count]
        found["precision"] = float(is_planted[doubts.rows].mean())
        found["recall"] = float(is_planted[doubts.rows].sum() / count)
        found["precision and recall of as many as planted"] = float(is_planted[first].mean())
    return [figure(name, metric, [value]) for metric, value in found.items()]


def digits_figures(threads: int) -> list[Figure]:
    """On scikit-learn's digits, all and 300 at a time: how often there is a bound, and how often it holds."""
    pixels, classes = load_digits(), tuple(map(str, range(10)))
    images = (pixels.images * (255 / 16)).round().astype(np.uint8)
    figures = []
    for size, draws in ((len(images), 3), (300, 30)):
        for share in (0.0, 0.02, 0.05):
            given, holds, bounds = [], [], []
            for draw in range(draws):
                rows = np.random.default_rng(draw).permutation(len(images))[:size]
                whole = fr.Dataset(images[rows], pixels.target[rows].astype(np.int64), classes, "digits")
                labels, _ = planted(whole, share, is_alike=False, seed=draw)
                how = LabelCheck(keep=False, seed=draw, threads=threads)
                part = part_of("train", replace(whole, labels=labels))
                noise = estimate_label_noise(labels, out_of_fold([part], long_enough([part], how), how))
                given.append(float(noise.at_most is not None))
                if noise.at_most is not None:
                    holds.append(float(noise.at_most >= share))
                    bounds.append(noise.at_most)
            name = f"{size} digits, {share:.0%} planted"
            figures.append(figure(name, "a bound is given", given))
            if holds:
                figures += [figure(name, "the bound holds", holds), figure(name, "bound", bounds)]
    return figures


if __name__ == "__main__":
    main()
