"""How right `plain` is on small sets: beside the best number of epochs, other recipes, and other programs.

    python benchmarks/small_sets.py SETS
    python benchmarks/small_sets_accuracy.py SETS [--repeats 5] [--sets NAME …] [--only PROGRAM …] [--threads 1]
    python benchmarks/small_sets_accuracy.py --docs        (writes the tables of docs/explain/small-sets.md)
    python benchmarks/small_sets_accuracy.py --record      (a line of results.csv for each new mean of repeats)

A repeat has a cut and a seed of its own, the same for all programs. Each training is a line of small_sets.csv when
it ends, and none is trained twice, so that it may be stopped and goes on. Keras is run on torch, where it can be
imported, and left out elsewhere.

The default falls short of the best number of epochs by so much: of the four lengths below, the one that is best on the
mean of the other repeats is compared with the default on the repeat that is left, each repeat in turn.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from record import RESULTS, Figure, append, figure
from small_sets import MAKERS, cut

import fittingroom as fr
from fittingroom.data.dataset import Dataset
from fittingroom.data.splits import Splits
from fittingroom.evaluation.intervals import half_of_mean

HERE = Path(__file__).resolve().parent
LINES = HERE / "small_sets.csv"
PAGE = HERE.parent / "docs" / "explain" / "small-sets.md"
COLUMNS = ("set", "program", "repeat", "images", "judged", "correct", "seconds")

LENGTHS = (0.5, 1, 2, 4)  # times the default's epochs

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Program = Callable[[Images, Labels, Images, list[str], int], NDArray[np.integer]]


def recipe_of(name: str, length: float = 1) -> Program:
    """A recipe of the package, for so many times its own epochs."""

    def train(images: Images, labels: Labels, judged: Images, classes: list[str], seed: int) -> NDArray[np.integer]:
        from fittingroom.recipes.by_data import settled
        from fittingroom.recipes.changes import with_epochs
        from fittingroom.training.fit import fit
        from fittingroom.training.inference import predict_dataset

        recipe = settled(fr.load_recipe(name, overrides=["validation=0", f"seed={seed}"]), len(images))
        if length != 1:
            recipe = with_epochs(recipe, max(1, round(recipe.epochs * length)))
        fitted = fit(Splits(Dataset(images, labels, tuple(classes), "cut")), recipe, device="cpu")
        answers = predict_dataset(fitted.network, Dataset(judged, None, (), "judged"), fitted.normalization)
        return answers.probabilities.argmax(axis=1)

    return train


def scikit(name: str) -> Program:
    """What a tutorial of scikit-learn does with pixels."""

    def train(images: Images, labels: Labels, judged: Images, classes: list[str], seed: int) -> NDArray[np.integer]:
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC

        classifier = {
            "logistic regression": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)),
            "SVM": lambda: make_pipeline(StandardScaler(), SVC()),
            "random forest": lambda: RandomForestClassifier(300, random_state=seed, n_jobs=1),
        }[name]()
        classifier.fit(images.reshape(len(images), -1) / 255, labels)
        answers: NDArray[np.integer] = classifier.predict(judged.reshape(len(judged), -1) / 255)
        return answers

    return train


def keras_guide(images: Images, labels: Labels, judged: Images, classes: list[str], seed: int) -> NDArray[np.integer]:
    """Keras' guide for images: three convolutions, Adam, a fifth held out, stopped when that gets no better."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    keras.utils.set_random_seed(seed)
    images, judged = (part[..., None] if part.ndim == 3 else part for part in (images, judged))
    layers = keras.layers
    model = keras.Sequential([layers.Input(images.shape[1:]), layers.Rescaling(1 / 255)])
    for width in (32, 64, 128):
        model.add(layers.Conv2D(width, 3, padding="same", activation="relu"))
        if min(model.output_shape[1:3]) >= 4:
            model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dropout(0.5))
    model.add(layers.Dense(len(classes), activation="softmax"))
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])

    held_out = np.random.default_rng(seed).permutation(len(images))[: len(images) // 5]
    learned = np.setdiff1d(np.arange(len(images)), held_out)
    stop = keras.callbacks.EarlyStopping(patience=8, restore_best_weights=True)
    model.fit(
        *(images[learned], labels[learned]),
        validation_data=(images[held_out], labels[held_out]),
        batch_size=32,
        epochs=60,
        callbacks=[stop],
        verbose=0,
    )
    answers: NDArray[np.integer] = model.predict(judged, verbose=0).argmax(axis=1)
    return answers


PROGRAMS: dict[str, Program] = {
    **{("plain" if length == 1 else f"plain ×{length:g}"): recipe_of("plain", length) for length in LENGTHS},
    **{name: recipe_of(name) for name in ("swift", "steady")},
    **{name: scikit(name) for name in ("logistic regression", "SVM", "random forest")},
    "Keras": keras_guide,
}


@dataclasses.dataclass(frozen=True)
class Line:
    """One training: right answers among the images that it was judged on."""

    set: str
    program: str
    repeat: int
    images: int
    judged: int
    correct: int
    seconds: float

    @property
    def accuracy(self) -> float:
        """0–1."""
        return self.correct / self.judged


def read_lines() -> list[Line]:
    """All trainings so far."""
    if not LINES.exists():
        return []
    with LINES.open(encoding="utf-8", newline="") as file:
        return [
            Line(row["set"], row["program"], *(int(row[key]) for key in COLUMNS[2:6]), float(row["seconds"] or "nan"))
            for row in csv.DictReader(file)
        ]


def train_all(folder: Path, sets: list[str], programs: list[str], repeats: int) -> None:
    """Train whatever has no line yet, all programs of a set and a repeat one after another."""
    done = {(line.set, line.program, line.repeat) for line in read_lines()}
    if not LINES.exists():
        LINES.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    for repeat in range(repeats):
        for name in sets:
            for program in programs:
                if (name, program, repeat) in done or not _can_run(program, name):
                    continue
                (images, labels), (judged, truth), classes = cut(folder, name, repeat)
                began = time.perf_counter()
                answers = PROGRAMS[program](images, labels, judged, classes, repeat)
                seconds = time.perf_counter() - began
                line = Line(name, program, repeat, len(images), len(judged), int((answers == truth).sum()), seconds)
                with LINES.open("a", encoding="utf-8") as file:
                    values = dataclasses.astuple(dataclasses.replace(line, seconds=round(seconds, 1)))
                    csv.writer(file, lineterminator="\n").writerow(values)
                print(f"{name:14}{program:22}{repeat}  {line.accuracy:.1%}  {seconds:.1f} s", flush=True)


def _can_run(program: str, name: str) -> bool:
    """Whether the program is there."""
    return program != "Keras" or find_spec("keras") is not None


def means(lines: list[Line]) -> Iterator[Figure]:
    """The mean of the repeats of each program on each set that has two or more."""
    of: dict[tuple[str, str], list[float]] = {}
    for line in lines:
        of.setdefault((line.set, line.program), []).append(line.accuracy)
    for (name, program), accuracies in of.items():
        if len(accuracies) > 1:
            yield figure(f"{name}: {program}", "accuracy", accuracies)


def mean_interval(lines: list[Line]) -> tuple[float, float, float]:
    """Mean over the repeats and its 95 % interval, by Student's t; the variance is at least that of the images."""
    accuracies = [line.accuracy for line in lines]
    mean, count = statistics.fmean(accuracies), len(lines)
    if count < 2:
        return mean, math.nan, math.nan

    # Where all repeats are right to the last image they don't vary: the images do, by Agresti and Min's two and two.
    judged = lines[0].judged
    share = (mean * judged + 2) / (judged + 4)
    variance = max(statistics.variance(accuracies), share * (1 - share) / (judged + 4))
    half = half_of_mean(math.sqrt(variance), count)
    return mean, max(0.0, mean - half), min(1.0, mean + half)


def by_length(lines: list[Line], name: str) -> dict[float, list[float]]:
    """The accuracies of each length on a set, of the repeats that all lengths have, in their order."""
    accuracy: dict[float, dict[int, float]] = {}
    for length in LENGTHS:
        program = "plain" if length == 1 else f"plain ×{length:g}"
        accuracy[length] = {line.repeat: line.accuracy for line in lines if (line.set, line.program) == (name, program)}
    repeats = sorted(set.intersection(*(set(by_repeat) for by_repeat in accuracy.values())))
    return {length: [accuracy[length][repeat] for repeat in repeats] for length in LENGTHS}


def shortfalls(accuracy: dict[float, list[float]]) -> list[float]:
    """By how much the default falls short of the best length, for each repeat; the length chosen on the others."""
    count, found = len(accuracy[1]), []
    for left in range(count if count > 1 else 0):
        others = [repeat for repeat in range(count) if repeat != left]
        best = max(LENGTHS, key=lambda length: statistics.fmean(accuracy[length][repeat] for repeat in others))
        found.append(accuracy[best][left] - accuracy[1][left])
    return found


def tables(lines: list[Line]) -> Iterator[str]:
    """The two tables of the docs; a row is of the repeats that ``plain`` has, as cuts differ much."""
    shown = [name for name in PROGRAMS if "×" not in name and any(line.program == name for line in lines)]
    sets = [name for name in MAKERS if any(line.set == name and line.program == "plain" for line in lines)]
    heads = [f"`{name}`" if name in ("plain", "swift", "steady") else name for name in shown]
    yield f"| set | images | repeats | {' | '.join(heads)} |"
    yield f"| --- | ---: | ---: |{' ---: |' * len(shown)}"
    for name in sets:
        repeats = {line.repeat for line in lines if (line.set, line.program) == (name, "plain")}
        cells = []
        for program in shown:
            of = [line for line in lines if (line.set, line.program) == (name, program) and line.repeat in repeats]
            mean, low, high = mean_interval(of) if of else (math.nan,) * 3
            whole = f"{100 * mean:.1f} ({100 * low:.1f}–{100 * high:.1f})" if len(of) > 1 else f"{100 * mean:.1f}"
            cells.append(whole if of else "")
        images = next(line.images for line in lines if line.set == name)
        yield f"| {name} | {images:,} | {len(repeats)} | {' | '.join(cells)} |"
    yield from lengths_table(lines, sets)


def lengths_table(lines: list[Line], sets: list[str]) -> Iterator[str]:
    """The default beside other lengths, of the sets that were trained for all of them; nothing where none was."""
    rows, means = [], []
    for name in sets:
        accuracy = by_length(lines, name)
        short = [100 * value for value in shortfalls(accuracy)]
        if not short:
            continue
        cells = [f"{100 * statistics.fmean(accuracy[length]):.1f}" for length in LENGTHS]
        mean, half = statistics.fmean(short), half_of_mean(statistics.stdev(short), len(short))
        means.append(mean)
        rows.append(
            f"| {name} | {len(short)} | {' | '.join(cells)} | {mean:.1f} ({mean - half:.1f} to {mean + half:.1f}) |"
        )
    if rows:
        yield ""
        yield f"| set | repeats | {' | '.join(f'×{length:g}' for length in LENGTHS)} | falls short by (points) |"
        yield f"| --- |{' ---: |' * (len(LENGTHS) + 2)}"
        yield from rows
        if len(rows) > 1:
            yield f"| mean over the sets |{' |' * (len(LENGTHS) + 1)} {statistics.fmean(means):.1f} |"


def main() -> None:
    """Train what is missing, or write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sets", nargs="+", choices=list(MAKERS), default=list(MAKERS))
    parser.add_argument("--only", nargs="+", choices=list(PROGRAMS), default=list(PROGRAMS), metavar="PROGRAM")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--docs", action="store_true", help="write the tables into the docs")
    parser.add_argument("--record", action="store_true", help="append the means to results.csv")
    args = parser.parse_args()

    if args.docs:
        start, end = "<!-- small_sets_accuracy.py -->\n", "<!-- end -->"
        text = PAGE.read_text(encoding="utf-8")
        before, _, rest = text.partition(start)
        table = "\n".join(tables(read_lines()))
        PAGE.write_text(f"{before}{start}{table}\n{end}{rest.partition(end)[2]}", encoding="utf-8")
        return
    if args.record:
        with RESULTS.open(encoding="utf-8", newline="") as file:
            known = {(row["script"], row["name"], row["n"]) for row in csv.DictReader(file)}
        script = Path(__file__).name
        append(script, (each for each in means(read_lines()) if (script, each.name, str(each.n)) not in known))
        return
    if args.folder is None:
        sys.exit("SETS expected: the folder that benchmarks/small_sets.py wrote")

    import torch

    torch.set_num_threads(args.threads)
    train_all(args.folder, args.sets, args.only, args.repeats)


if __name__ == "__main__":
    main()
