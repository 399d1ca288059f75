"""Does the doubt tell what a model never saw? Each class left out of training in turn, sklearn's digits, and noise.

Ten trainings on Fashion-MNIST's training images without one class, and one on all of them. Against 10,000 training
images that were kept out of it (of the known classes; the test set is not looked at), the area under the ROC curve of
the doubt for: the kept-out images of the class that was left out, the 1,797 digits of scikit-learn, 2,000 images of
noise. Also the share that is flagged, which for the known classes has to be near 5 %.

    benchmarks/.venv/bin/python benchmarks/doubt.py [--recipe swift] [--epochs N] [--quick]

Takes eleven trainings. --quick tries the script on the sample and records nothing.

Last result:
  2026-11-23, AMD EPYC, 2 cores, torch 2.13.0+cpu, commit 763fadc94d63
    known classes, share flagged: median 0.05067, mean 0.05034 ± 0.003044, n 11
    digits, AUROC: median 0.9752, mean 0.9736 ± 0.01363, n 11
    digits, share flagged: median 0.8865, mean 0.8668 ± 0.08654, n 11
    noise, AUROC: median 0.9208, mean 0.8973 ± 0.08662, n 11
    noise, share flagged: median 0.3610, mean 0.4369 ± 0.3606, n 11
    left out: T-shirt/top, AUROC: median 0.6507, mean 0.6507, n 1
    left out: T-shirt/top, share flagged: median 0.1730, mean 0.1730, n 1
    left out: Trouser, AUROC: median 0.7269, mean 0.7269, n 1
    left out: Trouser, share flagged: median 0.2150, mean 0.2150, n 1
    left out: Pullover, AUROC: median 0.7921, mean 0.7921, n 1
    left out: Pullover, share flagged: median 0.3700, mean 0.3700, n 1
    left out: Dress, AUROC: median 0.8198, mean 0.8198, n 1
    left out: Dress, share flagged: median 0.3260, mean 0.3260, n 1
    left out: Coat, AUROC: median 0.7280, mean 0.7280, n 1
    left out: Coat, share flagged: median 0.1590, mean 0.1590, n 1
    left out: Sandal, AUROC: median 0.8082, mean 0.8082, n 1
    left out: Sandal, share flagged: median 0.2600, mean 0.2600, n 1
    left out: Shirt, AUROC: median 0.7943, mean 0.7943, n 1
    left out: Shirt, share flagged: median 0.3080, mean 0.3080, n 1
    left out: Sneaker, AUROC: median 0.7200, mean 0.7200, n 1
    left out: Sneaker, share flagged: median 0.07200, mean 0.07200, n 1
    left out: Bag, AUROC: median 0.9590, mean 0.9590, n 1
    left out: Bag, share flagged: median 0.7640, mean 0.7640, n 1
    left out: Ankle boot, AUROC: median 0.8295, mean 0.8295, n 1
    left out: Ankle boot, share flagged: median 0.3100, mean 0.3100, n 1
    each class left out, AUROC: median 0.7932, mean 0.7828 ± 0.08366, n 10
"""

from __future__ import annotations

import argparse
import tempfile
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="swift")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    data = fr.open_dataset("sample" if args.quick else "fashion-mnist").train
    recipe = fr.load_recipe("plain" if args.quick else args.recipe)
    if args.epochs or args.quick:
        recipe = with_epochs(recipe, args.epochs or 1)
    rest, kept_out = stratified_split(data, len(data) // 6, seed=1)
    strangers = {"digits": digits(), "noise": noise()}
    taken: dict[tuple[str, str], list[float]] = {}
    for left_out in [None, *data.classes]:
        with tempfile.TemporaryDirectory() as folder:
            run = fr.train(without(rest, left_out), recipe, out=Path(folder, "run"))
            model = fr.load(run.path)
        known = doubt(model, without(kept_out, left_out).images)
        against = dict(strangers)
        if left_out is not None:
            against[left_out] = kept_out.images[kept_out.labels == data.classes.index(left_out)]
        taken.setdefault(("known classes", "share flagged"), []).append(float((known > 0.95).mean()))
        for name, images in against.items():
            strange = doubt(model, images)
            truth = np.r_[np.zeros(len(known)), np.ones(len(strange))]
            label = name if name in strangers else f"left out: {name}"
            taken.setdefault((label, "AUROC"), []).append(float(roc_auc_score(truth, np.r_[known, strange])))
            taken.setdefault((label, "share flagged"), []).append(float((strange > 0.95).mean()))
    every = [values[0] for (name, metric), values in taken.items() if name.startswith("left out") and metric == "AUROC"]
    figures = [record.figure(name, metric, values) for (name, metric), values in taken.items()]
    figures.append(record.figure("each class left out", "AUROC", every))
    record.show(figures)
    if not args.quick:
        record.append(__file__, figures)


def without(dataset: fr.Dataset, left_out: str | None) -> fr.Dataset:
    """The set without a class, and without its name."""
    if left_out is None:
        return dataset
    gone = dataset.classes.index(left_out)
    rows = np.flatnonzero(dataset.labels != gone)
    labels = dataset.labels[rows] - (dataset.labels[rows] > gone)
    classes = tuple(name for name in dataset.classes if name != left_out)
    return fr.Dataset(dataset.images[rows], labels, classes, f"{dataset.name} without {left_out}")


def doubt(model: fr.Classifier, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    found = model.classify(images).doubt
    assert found is not None, "a recipe with validation images expected"
    return found


def digits() -> NDArray[np.uint8]:
    """Enlarged from 8×8 with 17 tones, in the set's polarity already."""
    tones = (load_digits().images * (255 / 16)).round().astype(np.uint8)
    return np.stack([np.asarray(Image.fromarray(each).resize((28, 28))) for each in tones])


def noise() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (2_000, 28, 28), dtype=np.uint8)


if __name__ == "__main__":
    main()
