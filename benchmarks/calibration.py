"""Do the shipped probabilities mean what they say, and do sets hold the right class as often as was asked for?

For each seed of a run that was judged on its test set: temperature and exponent fitted on its validation images, by
the package's own function; calibration error (15 bins of equal count) and log loss on test before and after, and the
answers that changed. For sets of 95 %: coverage on test by the scores of validation; and validation and test pooled
and cut anew 200 times a seed, each time with a temperature, exponent and scores of its own. Runs of before 0.2 serve
too: nothing is trained.

    python benchmarks/calibration.py RUN... [--quick]

RUN is of one seed or, such as `fittingroom train --recipe swift --seeds 5` makes it, of several; all of one recipe
count together. Nothing depends on the machine's speed. --quick cuts 5 times and records nothing.

Last result: in docs/explain/judging.md and results.csv.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import record
from numpy.typing import NDArray

import fittingroom as fr
from fittingroom.evaluation.calibration import calibration
from fittingroom.evaluation.conformal import ConformalScores, scores_of, sets_of
from fittingroom.evaluation.metrics import log_loss
from fittingroom.evaluation.predictions import read_predictions
from fittingroom.evaluation.temperature import Temperature
from fittingroom.training.inference import predict_dataset

COVERAGE, CUTS = 0.95, 200
Said = tuple[NDArray[np.float32], NDArray[np.int64]]  # probabilities (N, C), true classes (N,)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()

    by_recipe: dict[str, list[dict[str, float]]] = {}
    for run in map(fr.open_run, args.runs):
        for member in run.members or [run]:
            by_recipe.setdefault(member.recipe.name, []).append(measure(member, 5 if args.quick else CUTS))
    figures = [
        record.figure(name, metric, [each[metric] for each in measured])
        for name, measured in by_recipe.items()
        for metric in measured[0]
    ]
    record.show(figures)
    if not args.quick:
        record.append("calibration.py", figures)


def measure(run: fr.Run, cuts: int) -> dict[str, float]:
    """The figures of one model; shares in percent."""
    validation, test = uncalibrated(run, "validation"), uncalibrated(run, "test")
    temperature = Temperature.fitted(*validation)
    shipped_NC, truth_N = temperature.applied(test[0]), test[1]
    before, after = calibration(*test), calibration(shipped_NC, truth_N)

    scores = ConformalScores.of(temperature.applied(validation[0]), validation[1])
    sizes = [len(classes) for classes in sets_of(shipped_NC, scores.limit(COVERAGE))]
    return {
        "temperature": temperature.value,
        "exponent": temperature.exponent,
        "calibration error, uncalibrated (%)": 100 * before.ece,
        "calibration error (%)": 100 * after.ece,
        "the same by chance (%)": 100 * after.ece_by_chance,
        "log loss, uncalibrated": log_loss(*test),
        "log loss": log_loss(shipped_NC, truth_N),
        "answers changed": float((shipped_NC.argmax(axis=1) != test[0].argmax(axis=1)).sum()),
        "sets of 95 %: coverage on test (%)": 100 * held(scores, shipped_NC, truth_N),
        "sets of 95 %: classes a set": float(np.mean(sizes)),
        "sets of 95 %: coverage, mean of 200 cuts (%)": 100 * recut(validation, test, cuts),
    }


def recut(validation: Said, test: Said, cuts: int) -> float:
    """The coverage on the rest, mean over ``cuts``, where as many images as validation's are drawn from both sets."""
    both_NC = np.concatenate([validation[0], test[0]])
    truth_N = np.concatenate([validation[1], test[1]])
    rng, n, coverages = np.random.default_rng(0), len(validation[1]), []
    for _ in range(cuts):
        rows = rng.permutation(len(truth_N))
        drawn, rest = rows[:n], rows[n:]
        temperature = Temperature.fitted(both_NC[drawn], truth_N[drawn])
        scores = ConformalScores.of(temperature.applied(both_NC[drawn]), truth_N[drawn])
        coverages.append(held(scores, temperature.applied(both_NC[rest]), truth_N[rest]))
    return float(np.mean(coverages))


def held(scores: ConformalScores, shipped_NC: NDArray[np.float32], truth_N: NDArray[np.int64]) -> float:
    """The share of images whose set holds the right class."""
    of_truth_N = scores_of(shipped_NC)[np.arange(len(truth_N)), truth_N]
    return float((of_truth_N <= np.float32(scores.limit(COVERAGE))).mean())


def uncalibrated(run: fr.Run, split: str) -> Said:
    """What the network says without a temperature: of a calibrated run by its weights, for its files have another."""
    kept = read_predictions(run.predictions_file(split), run.artifact.classes)
    temperature = run.artifact.temperature
    if not temperature.n:
        return kept.probabilities, kept.truth
    if split == "test":
        inverse = Temperature(temperature.value**-temperature.exponent, exponent=1 / temperature.exponent)
        return inverse.applied(kept.probabilities), kept.truth

    # Those of validation are cross-fitted: five temperatures, none of which is the run's.
    images = run.images(split, set(kept.images))
    dataset = fr.Dataset(np.stack([images[digest] for digest in kept.images]), kept.truth, kept.classes, split)
    said = predict_dataset(run.artifact.network(), dataset, run.artifact.normalization)
    return said.probabilities, kept.truth


if __name__ == "__main__":
    main()
