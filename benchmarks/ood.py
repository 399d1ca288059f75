"""Does the out-of-distribution score tell what a model never saw? Noise, damaged pictures, digits, a class left out.

Five trainings on 50,000 of Fashion-MNIST's training images, and three for each class on those of the other nine.
Against the 10,000 training images that were kept out of it (of the known classes; the test set is not looked at): how
many are flagged (``typical`` ≤ 0.05) of 2,000 images of uniform noise, of 2,000 kept-out images with their pixels
shuffled, of the same negated, of the 1,797 digits of scikit-learn; and the area under the ROC curve for the kept-out
images of the class that was left out, by the score and by the energy alone.

    benchmarks/.venv/bin/python benchmarks/ood.py [--recipe swift] [--seeds 3] [--threads N] [--quick]

Takes 35 trainings. --quick tries the script on the sample and records nothing.

Last result: none yet.
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
from fittingroom.recipes.recipe import with_epochs

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
