"""Answers of recipes whose true accuracies are known, to see how often `compare` is right about them.

An image is hard or easy for everybody, and a little more or less so for a recipe; a seed comes out better or worse; and
seed and image together decide the rest. All four are normal and an answer is right where their sum is above 0, so that
every true accuracy is a value of the normal distribution function. The default makes models of 92% of which two seeds
of a recipe differ on 4%, and two recipes on 5%, of the images, as it is on Fashion-MNIST.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fittingroom.compare.mcnemar import exact_mcnemar, paired_interval
from fittingroom.compare.seed_variance import crossed_difference

EASE = 1.405  # Φ(1.405) = 92 %; every scale below is in units of the whole standard deviation
DIFFICULTY, REST = math.sqrt(0.90), math.sqrt(0.06)
DENSITY = math.exp(-(EASE**2) / 2) / math.sqrt(2 * math.pi)  # of accuracy per unit of ease


@dataclass(frozen=True)
class Scene:
    """Two recipes.

    Attributes:
        gain: true accuracy of the second less the first's, in points, roughly.
        taste: share of the whole variance that is an image's difficulty for one recipe only.
        first_sd, second_sd: of a recipe's true accuracy from seed to seed, in points.
    """

    gain: float = 0.0
    taste: float = 0.04
    first_sd: float = 0.3
    second_sd: float = 0.3

    @property
    def difference(self) -> float:
        """Exact, of the recipes' mean accuracies over all seeds and images."""
        return self._accuracy(self.gain, self.second_sd) - self._accuracy(0, self.first_sd)

    def _accuracy(self, gain: float, sd: float) -> float:
        spread = math.sqrt(DIFFICULTY**2 + self.taste + (sd / 100 / DENSITY) ** 2 + REST**2)
        return float(special.ndtr((EASE + gain / 100 / DENSITY) / spread))

    def draw(
        self, seeds: tuple[int, int], images: int, generator: np.random.Generator
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """(S, N) for each recipe: which answers are right."""
        difficulty = DIFFICULTY * generator.standard_normal(images, dtype=np.float32)
        first = self._side(seeds[0], 0.0, self.first_sd, difficulty, generator)
        return first, self._side(seeds[1], self.gain, self.second_sd, difficulty, generator)

    def draw_several(
        self, others: int, seeds: int, images: int, generator: np.random.Generator
    ) -> list[NDArray[np.bool_]]:
        """(S, N) for the first recipe, then for several that are all better by the gain."""
        difficulty = DIFFICULTY * generator.standard_normal(images, dtype=np.float32)
        first = self._side(seeds, 0.0, self.first_sd, difficulty, generator)
        return [first, *(self._side(seeds, self.gain, self.second_sd, difficulty, generator) for _ in range(others))]

    def _side(
        self, seeds: int, gain: float, sd: float, difficulty: NDArray[np.float32], generator: np.random.Generator
    ) -> NDArray[np.bool_]:
        images = len(difficulty)
        taste = math.sqrt(self.taste) * generator.standard_normal(images, dtype=np.float32)
        luck = (sd / 100 / DENSITY) * generator.standard_normal((seeds, 1), dtype=np.float32)
        rest = REST * generator.standard_normal((seeds, images), dtype=np.float32)
        ease = np.float32(EASE + gain / 100 / DENSITY)
        return np.asarray(ease + difficulty + taste + luck + rest > 0)


@dataclass(frozen=True)
class Recipe:
    """One recipe whose images are easy, hopeless or ambiguous, and whose seeds differ in whole classes.

    Nothing of it is normal in accuracy: difficulty has two peaks, and a seed's luck, common to the images of a class,
    has heavy tails (Student's t with 3 degrees of freedom). The second scene of the simulations, so that no method is
    judged by the assumptions that it was made with alone.

    Attributes:
        accuracy: true, over all seeds and images.
        luck: scale of what a seed gives to a class, in logits; 0.4 makes seeds of 92% differ by about 0.2 points.
        hopeless: share of the errors that every seed makes.
        shared: standard deviation of an ambiguous image's difficulty, in logits; 0 makes answers independent.
        classes: 1 for luck that is common to all images.
    """

    accuracy: float
    luck: float = 0.4
    hopeless: float = 0.5
    shared: float = 2.0
    classes: int = 10

    def draw(self, seeds: int, images: int, generator: np.random.Generator) -> NDArray[np.bool_]:
        """(S, N): which answers are right."""
        # Half of the answers to ambiguous images are right, by symmetry, whatever luck and difficulty vary by.
        error = 1 - self.accuracy
        hopeless, ambiguous = self.hopeless * error, 2 * (1 - self.hopeless) * error
        kind = generator.random(images)
        rows = np.flatnonzero(kind < ambiguous)

        luck = self.luck * generator.standard_t(3, (seeds, self.classes)).astype(np.float32)
        of_class = generator.integers(0, self.classes, len(rows))
        logits = self.shared * generator.standard_normal(len(rows), dtype=np.float32) + luck[:, of_class]
        right_SN = np.tile(kind >= ambiguous + hopeless, (seeds, 1))
        right_SN[:, rows] = generator.random(logits.shape, dtype=np.float32) < special.expit(logits)
        return right_SN


@dataclass(frozen=True)
class Calibration:
    """Shares of the repeats: in which a difference was claimed, and in which the interval held the true one."""

    claimed: float
    covered: float


def calibrate_recipes(scene: Scene, seeds: tuple[int, int], *, images: int, repeats: int, seed: int) -> Calibration:
    """Compare recipes that are drawn anew each time, with their seeds and images."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(repeats):
        compared = crossed_difference(*scene.draw(seeds, images, generator))
        found.append((compared.p_value, *compared.interval()))
    return _condense(found, scene.difference)


def calibrate_models(scene: Scene, *, images: int, repeats: int, seed: int) -> Calibration:
    """Compare two models, drawn once, on other images each time. The scene's seeds must not vary."""
    assert scene.first_sd == scene.second_sd == 0
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(repeats):
        (first,), (second,) = scene.draw((1, 1), images, generator)
        apart = int((first & ~second).sum()), int((second & ~first).sum())
        found.append((exact_mcnemar(*apart), *paired_interval(*apart, images)))
    return _condense(found, scene.difference)


def _condense(found: list[tuple[float, float, float]], truth: float) -> Calibration:
    p_values, lows, highs = np.array(found).T
    claimed = (lows > 0) | (highs < 0)
    assert (claimed == (p_values < 0.05)).all()  # test and interval agree, every time
    return Calibration(float(claimed.mean()), float(((lows <= truth) & (truth <= highs)).mean()))
