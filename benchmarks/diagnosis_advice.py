"""Does following the diagnosis help? Trainings that get a diagnosis, and the same with the options that it suggests.

    .venv/bin/python benchmarks/diagnosis_advice.py [--enough 20] [--rounds 40] [--minutes 60] [--only STATE …]
    .venv/bin/python benchmarks/diagnosis_advice.py --table      the last result as it stands in docs/explain/judging.md

Each training learns from another draw of images (of Fashion-MNIST's official training set, or scikit-learn's digits)
and another seed; both models are judged on the same images that neither saw: 2,000 others of the official training
set, or the digits left over. The official test set is not read. Printed for each diagnosis that suggests options, or
names what may be tried: how many trainings got it, by how many points following it changes accuracy (mean, Student's
95% interval), and how often it was better or worse beyond what the images leave open (exact McNemar, p ≤ 0.05). A
round has a draw of each kind, so that a run cut short by --minutes has as many of all; an advice that has been followed
in --enough trainings is followed no more, whatever came of it. Results go to results.csv; --quick records nothing.
"""

from __future__ import annotations

import argparse
import math
import re
import statistics
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path

import numpy as np
import record
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

import fittingroom as fr
from fittingroom.compare.mcnemar import exact_mcnemar
from fittingroom.data.dataset import Dataset
from fittingroom.data.splits import Splits
from fittingroom.errors import TrainingDiverged
from fittingroom.evaluation.intervals import half_of_mean
from fittingroom.evaluation.metrics import score
from fittingroom.events import EpochDone, Event, Hooks, StepDone
from fittingroom.recipes.by_data import settled
from fittingroom.recipes.changes import with_epochs, with_lr
from fittingroom.recipes.reading import load_recipe, parse_recipe
from fittingroom.recipes.recipe import Recipe
from fittingroom.report.diagnosis import Diagnosis, diagnose
from fittingroom.training.fit import fit
from fittingroom.training.inference import predict_dataset

JUDGED = 2000  # images at most
MOST_OF_A_FIXED_STEM = 18  # channels
CONSTANT = ("stages.0.schedule=constant", "shift=0", "rotate=0", "scale=0", "brightness=0", "contrast=0", "ema=0")
SMALL = ("model_args={widths=[8,16,32], fixed_stem=true}",)
TINY = ("model_args={widths=[2,4,8], fixed_stem=true}",)
TRAININGS = {
    "few-steps": [("plain", ("stages.0.epochs=4",), 300), ("swift", ("min_steps=0",), 500)],
    "few-steps, at a high rate": [
        ("plain", (*SMALL, "stages.0.epochs=6", "stages.0.lr=0.1"), 400),
        ("plain", (*SMALL, "stages.0.epochs=8", "stages.0.lr=0.3"), 300),
    ],
    "not-learning": [
        ("plain", (*CONSTANT, *SMALL, "stages.0.lr=3", "stages.0.epochs=16"), 400),
        ("swift", ("min_steps=0", "stages.0.lr=2"), 400),
    ],
    "unstable": [
        ("plain", (*CONSTANT, *SMALL, "stages.0.lr=0.05", "stages.0.epochs=20"), 600),
        ("plain", (*CONSTANT, *SMALL, "stages.0.lr=0.15", "stages.0.epochs=20"), 600),
    ],
    "still-improving": [
        ("plain", (*CONSTANT, *SMALL, "stages.0.lr=0.0003", "stages.0.epochs=16"), 600),
        ("plain", ("stages.0.schedule=constant", *SMALL, "stages.0.epochs=16"), 600),
    ],
    "plateau": [
        ("plain", ("stages.0.schedule=constant", *SMALL, "stages.0.lr=0.02", "stages.0.epochs=40", "erase=6"), 500),
        ("plain", ("stages.0.schedule=constant", *TINY, "stages.0.lr=0.02", "stages.0.epochs=30"), 500),
    ],
    "over-fitting": [
        ("plain", (*CONSTANT, *SMALL, "stages.0.epochs=30"), 600),
        ("steady", ("stages.0.epochs=20", "mirror=none"), 500),
    ],
    "under-fitting": [
        ("plain", ("stages.0.schedule=constant", *TINY, "stages.0.epochs=30", "erase=12", "shift=4"), 500),
    ],
}
"""Recipe, what is set otherwise, images to learn from: made to get each diagnosis that says what to do."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--enough", type=int, default=20, help="trainings in which an advice is followed")
    parser.add_argument("--rounds", type=int, default=40, help="at most: draws of each training and each data set")
    parser.add_argument(
        "--only", nargs="+", choices=TRAININGS, default=list(TRAININGS), help="trainings made for these"
    )
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no training after so many")
    parser.add_argument("--quick", action="store_true", help="two trainings, one draw each; records nothing")
    parser.add_argument("--table", action="store_true", help="print the last result of each advice as Markdown")
    args = parser.parse_args()
    if args.table:
        print("\n".join(table_lines()))
        return
    torch.set_num_threads(1)
    begun = time.monotonic()

    tally: dict[str, list[tuple[float, bool]]] = {}
    pools = (_digits(),) if args.quick else (_digits(), fr.open_dataset("fashion-mnist").train)
    seen: dict[str, set[str]] = {}
    trainings = [(made_for, each) for made_for in args.only for each in TRAININGS[made_for]]
    rounds = range(1 if args.quick else args.rounds)
    for draw, (made_for, training), pool in product(rounds, trainings[:2] if args.quick else trainings, pools):
        if time.monotonic() - begun > 60 * args.minutes:
            break
        enough = {advice for advice, gains in tally.items() if len(gains) >= args.enough}
        if seen.get(made_for, {""}) <= enough:
            continue
        for advice, gain, certain in _follow(*training, pool, draw, enough):
            tally.setdefault(advice, []).append((gain, certain))
            seen.setdefault(made_for, set()).add(advice)
            beyond = ", beyond chance" if certain else ""
            print(f"  {made_for}, {pool.name}, draw {draw}: {advice} {gain:+.2f}{beyond}", flush=True)

    print(f"{'diagnosis, advice':42} {'trainings':>9} {'followed: points':>28} {'better':>7} {'worse':>6}")
    figures = []
    for advice, gains in sorted(tally.items()):
        points = [gain for gain, _ in gains]
        better, worse = ([float(certain and sign * gain > 0) for gain, certain in gains] for sign in (1, -1))
        print(f"{advice:42} {len(gains):>9} {_mean(points):>28} {sum(better):>7.0f} {sum(worse):>6.0f}")
        figures += [record.figure(advice, "points gained", points)]
        figures += [record.figure(advice, name, found) for name, found in (("better", better), ("worse", worse))]
        for name, sign in (("better at all", 1), ("worse at all", -1)):
            figures.append(record.figure(advice, name, [float(sign * gain > 0) for gain in points]))
    if not args.quick:
        record.append(__file__, figures)


def _follow(
    recipe_name: str, overrides: Sequence[str], n: int, pool: Dataset, draw: int, enough: Collection[str]
) -> Iterator[tuple[str, float, bool]]:
    """Train, and train again by each diagnosis: name and advice, points gained, and whether that is beyond chance."""
    # Of the few digits a third is left to judge by.
    order = np.random.default_rng((draw, n)).permutation(len(pool))
    n_train = min(n, 2 * len(pool) // 3)
    train, judged = pool.subset(order[:n_train]), pool.subset(order[n_train : n_train + JUDGED])
    settings = (*overrides, "precision=float32", f"validation={n_train // 5}", f"seed={draw}")
    recipe = load_recipe(recipe_name, overrides=settings)
    recipe = settled(recipe, n_train - n_train // 5, train.image_size)

    # What diverges says so itself, and gets no diagnosis.
    try:
        before, found = _train(train, judged, recipe)
    except TrainingDiverged:
        return
    for diagnosis in found:
        for advice, options in _advice(diagnosis, recipe):
            if advice in enough:
                continue
            try:
                after, _ = _train(train, judged, _followed(recipe, options))
            except TrainingDiverged:
                after = np.zeros_like(before)
            won, lost = int((after & ~before).sum()), int((before & ~after).sum())
            yield advice, 100 * float(after.mean() - before.mean()), exact_mcnemar(won, lost) <= 0.05


def _advice(diagnosis: Diagnosis, recipe: Recipe) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What a diagnosis suggests, each as it is called here and as options of ``fittingroom train``."""
    if diagnosis.options:
        what = diagnosis.options[0]  # whose value differs from one to the next
        if what == "--set":
            what = " ".join(option.split("=")[0] for option in diagnosis.options[:2])
        yield f"{diagnosis.name}: {what}", diagnosis.options
    for setting in re.findall(r"--set (\w+=\w+) ", diagnosis.suggestion):  # what may be tried
        yield f"{diagnosis.name}: --set {setting.split('=')[0]}", ("--set", setting)
    if diagnosis.name == "under-fitting":  # its advice is in words
        first, *others = recipe.model_args["widths"]
        widths = [min(4 * first, MOST_OF_A_FIXED_STEM), *(4 * width for width in others)]
        yield f"{diagnosis.name}: a larger model", ("--set", f"model_args.widths={widths}")
        if recipe.erase or recipe.shift:
            yield f"{diagnosis.name}: weaker augmentation", ("--set", "erase=0", "--set", "shift=0")


def _digits() -> Dataset:
    """scikit-learn's digits, twice as large: 1,797 of 16×16."""
    digits = load_digits()
    images = np.kron(np.round(digits.images * 255 / 16).astype(np.uint8), np.ones((2, 2), dtype=np.uint8))
    return Dataset(images, digits.target.astype(np.int64), tuple("0123456789"), name="digits")


def _train(train: Dataset, judged: Dataset, recipe: Recipe) -> tuple[NDArray[np.bool_], list[Diagnosis]]:
    """Which of ``judged`` are right, and what the diagnosis says of the training."""
    events: list[dict[str, object]] = []
    fitted = fit(Splits(train=train), recipe, device="cpu", hooks=_recorder(events))
    held_out = fitted.validation_set
    assert held_out is not None
    assert held_out.labels is not None

    predictions = predict_dataset(fitted.network, held_out, fitted.normalization)
    scores = score(predictions.probabilities, held_out.labels, train.classes)
    answers = predict_dataset(fitted.network, judged, fitted.normalization).predicted
    return answers == judged.labels, diagnose(events, recipe, scores)


def _recorder(events: list[dict[str, object]]) -> Hooks:
    """Keep the events as ``metrics.jsonl`` would have them."""
    names = {StepDone: "step", EpochDone: "epoch"}

    def observe(event: Event) -> None:
        if type(event) in names:
            events.append({"event": names[type(event)]} | asdict(event))

    return Hooks(observe=observe)


def _followed(recipe: Recipe, options: Sequence[str]) -> Recipe:
    """The recipe with the options of ``fittingroom train`` that the suggestion names."""
    option, value = options[:2]
    if option == "--epochs":
        return with_epochs(recipe, int(value))
    if option == "--lr":
        return with_lr(recipe, float(value))
    return parse_recipe(recipe.to_toml(), overrides=options[1::2])


def _mean(gains: Sequence[float]) -> str:
    if len(gains) < 2:
        return "–"
    mean, half = statistics.fmean(gains), half_of_mean(statistics.stdev(gains), len(gains))
    return f"{mean:+.1f} ({mean - half:+.1f} to {mean + half:+.1f})"


def table_lines() -> list[str]:
    """The newest result of each advice as Markdown: how often it was followed, what that changed, and when."""
    rows, script = record.latest(), Path(__file__).name
    lines = [
        "| told: followed | trainings | accuracy changes, points (95%) | better, worse | beyond chance | measured |",
        "| --- | ---: | --- | --- | --- | --- |",
    ]
    for advice in sorted({name for of, name, *_ in rows if of == script}):
        points = rows[script, advice, "points gained", ""]
        n, mean = int(points["n"]), float(points["mean"])
        half = half_of_mean(float(points["sd"]), n) if n > 1 else math.nan
        interval = f"{mean:+.1f} ({mean - half:+.1f} to {mean + half:+.1f})".replace("-", "−")
        kinds = (("better at all", "worse at all"), ("better", "worse"))
        counts = [_counts([rows.get((script, advice, metric, "")) for metric in kind], points) for kind in kinds]
        where = f"{points['date']}, {points['commit'][:7]}"
        lines.append(f"| {advice} | {n} | {interval} | {' | '.join(counts)} | {where} |")
    return lines


def _counts(found: Sequence[record.Row | None], points: record.Row) -> str:
    """How often each, where it was counted in the same trainings as the points; else a dash."""
    same = [row for row in found if row and (row["commit"], row["n"]) == (points["commit"], points["n"])]
    return ", ".join(f"{round(float(row['mean']) * int(row['n']))}" for row in same) or "–"


if __name__ == "__main__":
    main()
