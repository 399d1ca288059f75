"""Does `data check --labels` find wrong labels? Errors planted in the 60,000 training images of Fashion-MNIST.

Uniform errors: a label becomes any of the nine others, in 0, 1, 3 and 10 % of the images. Errors by class, as people
make them: in 3 % of the images a label becomes the class that is most like it. Each setting is five folds of swift and
confident learning. Errors of its own that the data set has count against precision, so that it is a lower bound.

Coverage: the images are cut by chance into 30 parts of 2,000, each of which gets an interval. It should hold the
estimate on all 60,000 in 95 % of the parts, which is what a bootstrap over images promises; whether it holds the
planted rate too depends on the method's bias, which it leaves out.

    .venv/bin/python benchmarks/label_noise.py [--threads 1]

About 6 minutes of processor time. Adds rows to results.csv.

Last result, 2026-11-23, AMD EPYC, one thread, torch 2.13.0, cleanlab 2.9.0:

                    suspects    precision    recall    of as many as planted    estimated rate, 95 % interval
    uniform 0 %          876                                                      2.19 %     2.04 to  2.38
    uniform 1 %        1,355       42.4 %    95.8 %                   83.8 %      3.28 %     3.08 to  3.47
    uniform 3 %        2,352       73.0 %    95.4 %                   88.9 %      5.45 %     5.21 to  5.72
    uniform 10 %       5,952       93.4 %    92.6 %                   93.0 %     12.93 %    12.60 to 13.25
    alike 3 %          2,301       62.8 %    80.3 %                   73.2 %      5.38 %     5.17 to  5.61

Of 150 intervals on 2,000 images, 142 hold the estimate on all 60,000. None of the five above holds the planted rate.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from record import Figure, append, figure, show

import fittingroom as fr
from fittingroom.audit.identity import part_of
from fittingroom.label_check import LabelCheck, LabelNoise, estimate_label_noise, out_of_fold

ALIKE = {0: 6, 1: 3, 2: 4, 3: 1, 4: 2, 5: 7, 6: 0, 7: 9, 8: 6, 9: 7}  # T-shirt/top ↔ Shirt, Trouser ↔ Dress, …
PARTS = 30
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
        figures += coverage(name, share, labels, probabilities, doubts)
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
    found = {
        "rate": doubts.rate,
        "rate, low": doubts.interval[0],
        "rate, high": doubts.interval[1],
        "planted rate covered": float(doubts.interval[0] <= share <= doubts.interval[1]),
        "suspects": len(doubts.rows),
        "out-of-fold accuracy by these labels": doubts.agree,
    }
    if count:
        of_given = probabilities[np.arange(len(labels)), labels]
        first = np.argsort(of_given, kind="stable")[:count]
        found["precision"] = float(is_planted[doubts.rows].mean())
        found["recall"] = float(is_planted[doubts.rows].sum() / count)
        found["precision and recall of as many as planted"] = float(is_planted[first].mean())
    return [figure(name, metric, [value]) for metric, value in found.items()]


def coverage(
    name: str, share: float, labels: NDArray[np.int64], probabilities: NDArray[np.float32], doubts: LabelNoise
) -> list[Figure]:
    order = np.random.default_rng(0).permutation(len(labels))
    intervals = [estimate_label_noise(labels[rows], probabilities[rows]).interval for rows in np.split(order, PARTS)]
    return [
        figure(
            name,
            "interval of 2,000 covers the estimate on all",
            [float(low <= doubts.rate <= high) for low, high in intervals],
        ),
        figure(
            name, "interval of 2,000 covers the planted rate", [float(low <= share <= high) for low, high in intervals]
        ),
    ]


if __name__ == "__main__":
    main()
