"""Whether fine-tuning beats training from scratch on few images: a network of timm, pretrained here on other classes.

    python benchmarks/finetune.py [--emoji FOLDER] [--seeds 5] [--network test_resnet] [--record] [--provisional]
    python benchmarks/finetune.py --augmented [--seeds 10] …    (what plain's augmentations add to finetune)

The few images are 200 of classes that the network hasn't seen, others for each seed. The tasks are chosen for what
somebody who fine-tunes has: few pictures of things that vary in everything but what they are, and a network that has
learned other things in many pictures of the same kind.

letters  ten letters in pieces of photographs, in any font, colour, size, place and light (tests/support/glyphs.py),
         judged on 1,000 others; the network has learned the other 56 letters, digits and signs
emoji    of the pictures that ``colour_sets.py emoji`` makes, in 32×32, the five groups of things, judged on the others
         of them; the network has learned the four groups of people, faces, symbols and flags

From scratch it is trained by the recipe ``plain`` in the best of several lengths and batch sizes, chosen on other seeds
than it is judged on. ``plain`` with its own network stands beside, as it comes. All are judged on validation; no test
set has a part in it.

Each training is a line of finetune.csv when it ends, and none is trained twice, so that it may be stopped and goes on.
Take lines out whose recipe has changed since.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

import fittingroom as fr
from fittingroom.data.preprocessing import Preprocessing
from fittingroom.evaluation.intervals import half_of_mean
from fittingroom.training.fit import fit, judge_on_validation

HERE = Path(__file__).resolve().parent
LINES, COLUMNS = HERE / "finetune.csv", ("task", "network", "way", "seed", "accuracy")
sys.path[:0] = [str(HERE), str(HERE.parent)]
from record import Figure, add_options, figure, keep, show  # noqa: E402
from tests.support.glyphs import HELD_OUT, OTHERS, letters_in_photos  # noqa: E402

EACH_BEFORE, EACH, EACH_JUDGED = 200, 20, 100  # images of each class: pretraining, training, validation
FEW = EACH * len(HELD_OUT)
THINGS = ("activities", "animals-nature", "food-drink", "objects", "travel-places")
FROM_SCRATCH = ((32, 100), (32, 200), (8, 50))  # images a step, epochs; the last as plain has it for so few
BEST_FROM_SCRATCH = FROM_SCRATCH[1]  # of the letters, for the test that has no time to choose
CHOOSING = (100, 101)  # seeds by which these are chosen
AUGMENTED_FROM = 200  # the first seed by which plain's augmentations are judged: a choice is made by none of the others
AUGMENTATIONS = ("shift", "rotate", "scale", "border", "brightness", "contrast")
OPTIONS = fr.Options(device="cpu", threads=1)


@dataclass(frozen=True)
class Task:
    """What is learned before, and the few images of each seed with those that they are judged by."""

    name: str
    before: Callable[[], fr.Dataset]
    few: Callable[[int], fr.Splits]


def letters() -> Task:
    """Letters in photographs."""
    judged = letters_in_photos(HELD_OUT, EACH_JUDGED, seed=2, name="letters to judge by")

    def few(seed: int) -> fr.Splits:
        return fr.Splits(letters_in_photos(HELD_OUT, EACH, seed=1_000 + seed, name="few letters"), validation=judged)

    def before() -> fr.Dataset:
        return letters_in_photos(OTHERS, EACH_BEFORE, seed=1, name="other letters")

    return Task("letters", before, few)


def emoji(folder: str) -> Task:
    """Emoji of things, after those of people, faces, symbols and flags."""
    every = fr.open_dataset(folder, preprocessing=Preprocessing(size=(32, 32))).train
    assert every.labels is not None
    of_things = np.isin(every.labels, [every.classes.index(name) for name in THINGS])
    things, others = _of_classes(every, of_things, "things"), _of_classes(every, ~of_things, "other emoji")

    def few(seed: int) -> fr.Splits:
        assert things.labels is not None
        order = np.random.default_rng(seed).permutation(len(things))
        each = FEW // things.num_classes
        chosen = np.concatenate([order[things.labels[order] == label][:each] for label in range(things.num_classes)])
        return fr.Splits(things.subset(chosen), validation=things.subset(np.setdiff1d(order, chosen)))

    return Task("emoji", lambda: others, few)


def _of_classes(data: fr.Dataset, rows_N: np.ndarray, name: str) -> fr.Dataset:
    """The rows, with the classes that they are of alone."""
    assert data.labels is not None
    kept, labels = np.unique(data.labels[rows_N], return_inverse=True)
    return fr.Dataset(data.images[rows_N], labels, tuple(data.classes[label] for label in kept), name)


def pretrained(network: str, task: Task, folder: Path) -> fr.Run:
    """The network after it has learned the other classes; once in a folder."""
    recipe, out = _plain(network, epochs=30, batch_size=128), folder / f"{task.name}-{network}"
    if (out / "result.json").exists():
        return fr.open_run(out)
    return fr.train(fr.Splits(task.before()), recipe, weights="none", out=out, options=OPTIONS)


def scratch(network: str, task: Task, seed: int, batch_size: int, epochs: int) -> float:
    """Validation accuracy of the network trained from new weights."""
    return _fitted(_plain(network, epochs=epochs, batch_size=batch_size), task, seed)


def own_network(task: Task, seed: int) -> float:
    """Validation accuracy of ``plain`` as it comes, with its own network."""
    return _fitted(fr.load_recipe("plain", overrides=["precision=float32"]), task, seed)


def best_from_scratch(network: str, task: Task) -> tuple[int, int]:
    """Images a step and epochs that are best on the seeds to choose by."""
    means = {}
    for way in FROM_SCRATCH:
        found = [
            kept(network, task, _words(*way), seed, partial(scratch, network, task, seed, *way)) for seed in CHOOSING
        ]
        means[way] = statistics.fmean(found)
    return max(means, key=means.__getitem__)


def tuned(before: fr.Run, task: Task, seed: int, folder: Path, augmented_as: str = "finetune") -> float:
    """Validation accuracy of the pretrained network, trained by ``finetune`` with another recipe's augmentations."""
    augmentations = fr.load_recipe(augmented_as)
    changes = [f"{key}={getattr(augmentations, key)}" for key in AUGMENTATIONS]
    recipe = fr.load_recipe("finetune", overrides=["precision=float32", *changes])
    out = folder / f"{task.name}-{augmented_as}-{seed}"
    return _accuracy(fr.train(task.few(seed), recipe, seed=seed, from_run=before, out=out, options=OPTIONS))


def with_and_without(network: str, task: Task, before: fr.Run, seeds: int, folder: Path) -> list[Figure]:
    """What plain's augmentations add to ``finetune`` with none, as ``tutorial`` has it, seed by seed."""
    ways: dict[str, list[float]] = {"without augmentation": [], "with plain's": []}
    for seed in range(AUGMENTED_FROM, AUGMENTED_FROM + seeds):
        for (way, found), recipe in zip(ways.items(), ("tutorial", "plain"), strict=True):
            train = partial(tuned, before, task, seed, folder, recipe)
            found.append(kept(network, task, f"fine-tuned, {way}", seed, train))
    return _paired(f"timm:{network}, {FEW} {task.name}, fine-tuned", ways)


def beside_scratch(network: str, task: Task, before: fr.Run, seeds: int, folder: Path) -> list[Figure]:
    """The gain, seed by seed."""
    best = best_from_scratch(network, task)
    ways: dict[str, list[float]] = {_words(*best): [], "fine-tuned": []}
    for seed in range(seeds):
        trainings = partial(scratch, network, task, seed, *best), partial(tuned, before, task, seed, folder)
        for (way, found), train in zip(ways.items(), trainings, strict=True):
            found.append(kept(network, task, way, seed, train))
    own = [kept("its own", task, "plain", seed, partial(own_network, task, seed)) for seed in range(seeds)]
    figures = _paired(f"timm:{network}, {FEW} {task.name}", ways)
    return [*figures, figure(f"plain, {FEW} {task.name}", "validation accuracy", own)]


def kept(network: str, task: Task, way: str, seed: int, train: Callable[[], float]) -> float:
    """The accuracy of a line of finetune.csv, or of a training that becomes one."""
    key = (task.name, network, way, str(seed))
    if not LINES.exists():
        LINES.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    with LINES.open(encoding="utf-8", newline="") as file:
        for *known, accuracy in csv.reader(file):
            if tuple(known) == key:
                return float(accuracy)

    accuracy = train()
    with LINES.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow((*key, f"{accuracy:.6f}"))
    print(f"{task.name}, {network}, {way}, seed {seed}: {accuracy:.2%}", flush=True)
    return accuracy


def _words(batch_size: int, epochs: int) -> str:
    return f"from scratch, {epochs} epochs of {batch_size} a step"


def _paired(name: str, ways: dict[str, list[float]]) -> list[Figure]:
    """Two ways, and the points that the second is better by."""
    (one, ones), (other, others) = ways.items()
    gains = [100 * (b - a) for a, b in zip(ones, others, strict=True)]
    mean, half = statistics.fmean(gains), float("nan")
    if len(gains) > 1:
        half = half_of_mean(statistics.stdev(gains), len(gains))
    print(f"{name}: {other} {mean:+.1f} points ({mean - half:+.1f} to {mean + half:+.1f}) beside {one}", flush=True)
    return [
        *(figure(name, f"validation accuracy, {way}", found) for way, found in ways.items()),
        figure(name, f"points, {other} above {one}", gains),
    ]


def _plain(network: str, *, epochs: int, batch_size: int) -> fr.Recipe:
    changes = ("min_steps=0", "precision=float32", f"batch_size={batch_size}", f"stages.0.epochs={epochs}")
    return fr.load_recipe("plain", overrides=[f"model='timm:{network}'", *changes])


def _fitted(recipe: fr.Recipe, task: Task, seed: int) -> float:
    """Validation accuracy of a recipe from new weights; in memory, as nothing is made of the network."""
    fitted = fit(task.few(seed), dataclasses.replace(recipe, seed=seed), device="cpu")
    judged = judge_on_validation(fitted)
    assert judged is not None
    return float((judged.predicted == judged.truth).mean())


def _accuracy(run: fr.Run) -> float:
    return float(run.result["validation"]["accuracy"])


def main() -> None:
    """Measure, and print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--emoji", metavar="FOLDER", help="this task in place of the letters: the folder of colour_sets.py"
    )
    parser.add_argument("--augmented", action="store_true", help="measure what plain's augmentations add")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--network", default="test_resnet", help="of timm")
    parser.add_argument(
        "--before", type=Path, metavar="FOLDER", help="keeps the pretrained network, and finds it again"
    )
    add_options(parser)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)

    task = letters() if args.emoji is None else emoji(args.emoji)
    with tempfile.TemporaryDirectory() as name:
        before = pretrained(args.network, task, args.before or Path(name))
        classes = before.artifact.classes
        print(f"{task.name}: pretrained on {len(classes)} other classes, {_accuracy(before):.2%} of such", flush=True)
        measure = with_and_without if args.augmented else beside_scratch
        figures = measure(args.network, task, before, args.seeds, Path(name))
    show(figures)
    keep("finetune.py", figures, args)


if __name__ == "__main__":
    main()
