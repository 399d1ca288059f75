"""Does the out-of-distribution score tell what a model never saw? Noise, damaged pictures, digits, a class left out.

Five trainings on 50,000 of Fashion-MNIST's training images, and three for each class on those of the other nine.
Against the 10,000 training images that were kept out of it (of the known classes; the test set is not looked at): how
many are flagged (``typical`` ≤ 0.05) of 2,000 images of uniform noise, of 2,000 kept-out images with their pixels
shuffled, of the same negated, of the 1,797 digits of scikit-learn; and the area under the ROC curve for the kept-out
images of the class that was left out, by the score and by the energy alone.

    benchmarks/.venv/bin/python benchmarks/ood.py [--recipe swift] [--seeds 3] [--threads N] [--quick]

Takes 35 trainings. --quick tries the script on the sample and records nothing.

Last result:
  2026-11-30, AMD EPYC, 2 cores, torch 2.13.0+cpu, commit 79c98074cfd0
    known classes, share flagged: median 0.04920, mean 0.04990 ± 0.001578, n 5
    known classes, share ≤ 0.01: median 0.009500, mean 0.008580 ± 0.002258, n 5
    uniform noise, share flagged: median 1.000, mean 1.000 ± 0, n 5
    uniform noise, share flagged by energy alone: median 0.7540, mean 0.6467 ± 0.3722, n 5
    uniform noise, AUROC: median 0.9981, mean 0.9982 ± 0.001619, n 5
    shuffled pixels, share flagged: median 0.9980, mean 0.9967 ± 0.004251, n 5
    shuffled pixels, share flagged by energy alone: median 0.4730, mean 0.5044 ± 0.3607, n 5
    shuffled pixels, AUROC: median 0.9980, mean 0.9969 ± 0.002476, n 5
    negated, share flagged: median 0.9880, mean 0.9721 ± 0.04183, n 5
    negated, share flagged by energy alone: median 0.7095, mean 0.6933 ± 0.1459, n 5
    negated, AUROC: median 0.9956, mean 0.9925 ± 0.007634, n 5
    digits, share flagged: median 0.9839, mean 0.9519 ± 0.04950, n 5
    digits, share flagged by energy alone: median 0.9182, mean 0.8670 ± 0.1181, n 5
    digits, AUROC: median 0.9931, mean 0.9882 ± 0.009230, n 5
    left out: T-shirt/top, AUROC: median 0.8445, mean 0.8345 ± 0.04559, n 3
    left out: T-shirt/top, share flagged: median 0.2260, mean 0.2137 ± 0.06341, n 3
    each class left out, AUROC: median 0.8015, mean 0.8076 ± 0.09546, n 30
    each class left out, AUROC of energy alone: median 0.7949, mean 0.7910 ± 0.09094, n 30
    each class left out, AUROC, score - energy: median 0.01437, mean 0.01660 ± 0.05440, n 30
    each class left out, share flagged: median 0.2790, mean 0.3285 ± 0.2369, n 30
    left out: Trouser, AUROC: median 0.8504, mean 0.8183 ± 0.07751, n 3
    left out: Trouser, share flagged: median 0.3030, mean 0.2627 ± 0.1111, n 3
    left out: Pullover, AUROC: median 0.8302, mean 0.8135 ± 0.03204, n 3
    left out: Pullover, share flagged: median 0.2830, mean 0.2667 ± 0.04479, n 3
    left out: Dress, AUROC: median 0.9092, mean 0.9081 ± 0.006117, n 3
    left out: Dress, share flagged: median 0.4720, mean 0.4630 ± 0.01825, n 3
    left out: Coat, AUROC: median 0.7484, mean 0.7638 ± 0.04453, n 3
    left out: Coat, share flagged: median 0.1380, mean 0.1600 ± 0.05726, n 3
    left out: Sandal, AUROC: median 0.8450, mean 0.8165 ± 0.05166, n 3
    left out: Sandal, share flagged: median 0.4030, mean 0.3727 ± 0.05781, n 3
    left out: Shirt, AUROC: median 0.7200, mean 0.7063 ± 0.03343, n 3
    left out: Shirt, share flagged: median 0.1770, mean 0.1733 ± 0.02470, n 3
    left out: Sneaker, AUROC: median 0.6660, mean 0.6814 ± 0.06475, n 3
    left out: Sneaker, share flagged: median 0.07800, mean 0.09467 ± 0.04536, n 3
    left out: Bag, AUROC: median 0.9851, mean 0.9856 ± 0.001718, n 3
    left out: Bag, share flagged: median 0.9410, mean 0.9387 ± 0.01762, n 3
    left out: Ankle boot, AUROC: median 0.7400, mean 0.7479 ± 0.03773, n 3
    left out: Ankle boot, share flagged: median 0.3480, mean 0.3397 ± 0.06093, n 3
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import record
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

import fittingroom as fr
from fittingroom.data.cut import stratified_split
from fittingroom.recipes.changes import with_epochs

STRANGERS = 2_000
SEEDS_OF_ALL = 5

Scores = tuple[NDArray[np.float64], NDArray[np.float64]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="swift")
    parser.add_argument("--seeds", type=int, default=3, help="trainings without each class; default: 3")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    data = fr.open_dataset("sample" if args.quick else "fashion-mnist").train
    recipe = with_epochs(fr.load_recipe("plain"), 1) if args.quick else fr.load_recipe(args.recipe)
    options = fr.Options(threads=args.threads)
    rest, kept_out = stratified_split(data, len(data) // 6, seed=1)

    # With all classes: what is strange in other ways.
    taken: dict[tuple[str, str], list[float]] = defaultdict(list)
    strangers = strange_images(kept_out.images[:STRANGERS])
    for seed in range(1 if args.quick else SEEDS_OF_ALL):
        model = trained(rest, recipe, seed, options)
        known, _ = scores(model, kept_out.images)
        taken["known classes", "share flagged"].append(flagged(known))
        taken["known classes", "share ≤ 0.01"].append(float((known <= 0.01).mean()))
        for name, images in strangers.items():
            typical, by_energy = scores(model, images)
            taken[name, "share flagged"].append(flagged(typical))
            taken[name, "share flagged by energy alone"].append(flagged(by_energy))
            taken[name, "AUROC"].append(area(known, typical))
            print(seed, name, f"{flagged(typical):.4f}", f"{flagged(by_energy):.4f}", flush=True)

    # Without one: a garment of a kind that the model never saw.
    for seed in range(args.seeds):
        for left_out in data.classes:
            model = trained(without(rest, left_out), recipe, seed, options)
            known, known_by_energy = scores(model, without(kept_out, left_out).images)
            images = kept_out.images[kept_out.labels == data.classes.index(left_out)]
            typical, by_energy = scores(model, images)
            by_score, by_energy_alone = area(known, typical), area(known_by_energy, by_energy)
            print(seed, f"without {left_out}", f"{by_score:.4f}", f"{by_energy_alone:.4f}", flush=True)
            taken[f"left out: {left_out}", "AUROC"].append(by_score)
            taken[f"left out: {left_out}", "share flagged"].append(flagged(typical))
            taken["each class left out", "AUROC"].append(by_score)
            taken["each class left out", "AUROC of energy alone"].append(by_energy_alone)
            taken["each class left out", "AUROC, score - energy"].append(by_score - by_energy_alone)
            taken["each class left out", "share flagged"].append(flagged(typical))
    figures = [record.figure(name, metric, values) for (name, metric), values in taken.items()]
    record.show(figures)
    if not args.quick:
        record.append(__file__, figures)


def trained(data: fr.Dataset, recipe: fr.Recipe, seed: int, options: fr.Options) -> fr.Classifier:
    with tempfile.TemporaryDirectory() as folder:
        return fr.load(fr.train(data, recipe, seed=seed, out=Path(folder, "run"), options=options).path)


def scores(model: fr.Classifier, images: NDArray[np.uint8]) -> Scores:
    """``typical`` of the images, and what it would be by the energy alone."""
    answer = model.classify(images)
    assert answer.typical is not None, "a recipe with 100 validation images expected"
    assert model.ood_scale is not None
    assert answer.energies is not None
    return answer.typical, model.ood_scale.typical(answer.energies)


def flagged(typical: NDArray[np.float64]) -> float:
    return float((typical <= 0.05).mean())


def area(known: NDArray[np.float64], strange: NDArray[np.float64]) -> float:
    """Under the ROC curve: how often a strange image is less typical than a known one."""
    truth = np.r_[np.zeros(len(known)), np.ones(len(strange))]
    return float(roc_auc_score(truth, -np.r_[known, strange]))


def without(dataset: fr.Dataset, left_out: str) -> fr.Dataset:
    """The set without a class, and without its name."""
    assert dataset.labels is not None
    gone = dataset.classes.index(left_out)
    rows = np.flatnonzero(dataset.labels != gone)
    labels = dataset.labels[rows] - (dataset.labels[rows] > gone)
    classes = tuple(name for name in dataset.classes if name != left_out)
    return fr.Dataset(dataset.images[rows], labels, classes, f"{dataset.name} without {left_out}")


def strange_images(known: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    """Noise, and pictures that are damaged or of other things."""
    random = np.random.default_rng(0)
    return {
        "uniform noise": random.integers(0, 256, (STRANGERS, *known.shape[1:]), dtype=np.uint8),
        "shuffled pixels": random.permuted(known.reshape(len(known), -1), axis=1).reshape(known.shape),
        "negated": 255 - known,
        "digits": digits(),
    }


def digits() -> NDArray[np.uint8]:
    """Enlarged from 8×8 with 17 tones, in the set's polarity already."""
    tones = (load_digits().images * (255 / 16)).round().astype(np.uint8)
    return np.stack([np.asarray(Image.fromarray(each).resize((28, 28))) for each in tones])


if __name__ == "__main__":
    main()
