"""What weights, balanced draws and a threshold do for a rare class: 95 pullovers to 5 coats of Fashion-MNIST.

    python benchmarks/lopsided.py [--seeds 5] [--record] [--provisional]

1,900 pullovers and 100 coats to learn from, of which 400 images are held out to choose a threshold by; 3,800 and 200
others of the training set to judge on. For each way: recall of the rare and of the frequent class, balanced accuracy,
AUC, accuracy; and the rare class's recall at the balanced accuracy that the plain way has, by another threshold.
"""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

import numpy as np
import torch
from augmentations import BASE as SHORT_TRAINING
from numpy.typing import NDArray
from record import Figure, add_options, figure, keep, show

import fittingroom as fr
from fittingroom.data.dataset import Dataset
from fittingroom.evaluation.class_metrics import class_metrics
from fittingroom.evaluation.threshold import Threshold
from fittingroom.recipes.changes import with_epochs
from fittingroom.training.fit import fit, judge_on_validation
from fittingroom.training.inference import predict_dataset

BASE = with_epochs(dataclasses.replace(SHORT_TRAINING, validation=400), 15)
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "class_weights": {"class_weights": "balanced"},
    "sampling": {"sampling": "balanced"},
}
Floats = NDArray[np.float32]


def sets() -> tuple[Dataset, Dataset]:
    """To learn from, and to judge on."""
    train = fr.open_dataset("fashion-mnist").train
    assert train.labels is not None
    random = np.random.default_rng(0)
    often, rare = (
        random.permutation(np.flatnonzero(train.labels == train.classes.index(name))) for name in ("Pullover", "Coat")
    )

    def of(often: NDArray[np.int64], rare: NDArray[np.int64]) -> Dataset:
        labels = np.repeat([0, 1], [len(often), len(rare)])
        return Dataset(train.images[np.concatenate([often, rare])], labels, ("Pullover", "Coat"), "95 to 5")

    return of(often[:1900], rare[:100]), of(often[2000:5800], rare[2000:2200])


def scores(of_rare: Floats, predicted: NDArray[np.int64], truth: NDArray[np.int64], least: float) -> dict[str, float]:
    """The figures of one way; ``least`` is the balanced accuracy that a threshold has to keep, 0 for its own."""
    recalls = [float((predicted[truth == label] == label).mean()) for label in (0, 1)]
    balanced = sum(recalls) / 2

    # Of all thresholds that are as good by balanced accuracy, the one that finds most of the rare class.
    places = np.unique(of_rare)
    found = np.array([(of_rare[truth == 1] >= place).mean() for place in places])
    kept = np.array([(of_rare[truth == 0] < place).mean() for place in places])
    reachable = found[(found + kept) / 2 >= (least or balanced)]
    probabilities = np.stack([1 - of_rare, of_rare], axis=1)
    return {
        "recall of the rare class": recalls[1],
        "recall of the frequent class": recalls[0],
        "balanced accuracy": balanced,
        "AUC": class_metrics([(probabilities, predicted)], truth)["auc"]["value"],
        "accuracy": float((predicted == truth).mean()),
        "recall of the rare class at the plain way's balanced accuracy": float(reachable.max(initial=0)),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    add_options(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    train, others = sets()
    assert others.labels is not None

    found: dict[str, list[dict[str, float]]] = {}
    for seed in range(args.seeds):
        least = 0.0
        for way, changes in WAYS.items():
            fitted = fit(fr.Splits(train), dataclasses.replace(BASE, seed=seed, **changes), device="cpu")
            said = predict_dataset(fitted.network, others, fitted.normalization)
            of_rare = said.probabilities[:, 1]
            got = scores(of_rare, said.predicted, others.labels, least)
            found.setdefault(way, []).append(got)
            if way == "plain":
                least = got["balanced accuracy"]
            judged = judge_on_validation(fitted)
            assert judged is not None
            threshold = Threshold.fitted(judged.probabilities, judged.truth)
            assert threshold is not None
            answers = threshold.applied(said.probabilities)
            found.setdefault(f"{way}, threshold", []).append(scores(of_rare, answers, others.labels, least))
            print(seed, way, got, found[f"{way}, threshold"][-1], flush=True)

    figures: list[Figure] = [
        figure(f"95:5, {way}", metric, [each[metric] for each in rows])
        for way, rows in found.items()
        for metric in rows[0]
    ]
    show(figures)
    keep("lopsided.py", figures, args)


if __name__ == "__main__":
    main()
