"""How often does `fittingroom try` claim what isn't so, and how soon does it see what is? Simulated answers.

Recipes whose true accuracies are known, about 92% (tests/support/simulated_answers.py), in studies of 1, 3 and 9 ideas
that are looked at after 3 to 32 pairs, as a real one is:

- nothing: no idea makes a difference; how many studies call any of them better or worse. Seeds of the baseline vary by
  0, 0.3 and 1 points beside what chance over images makes of it, those of the ideas by 0.3; then both by as much; then
  ideas whose seeds vary ten times as much as the baseline's; then seeds whose luck has heavy tails and hits whole
  classes; then the folds of a small set, in which each fold's model has a luck of its own, and each recipe one with
  each fold's training images;
- some: a third of the ideas are better by twice the standard deviation from seed to seed; how many studies claim
  anything of the others, or call a better one worse;
- the effect: all ideas are better by the very effect asked for; how many studies call any of them smaller, or worse;
- gain: all ideas are better by twice the standard deviation from seed to seed, as it is seen on the validation images;
  how many are told, and after how many pairs.

    .venv/bin/python -m benchmarks.try_simulation [--repeats 1000] [--only TEXT] [--record] [--table]

Some 15 minutes on one core; the same numbers each time. Of 1,000 repeats a share of 3% has a standard error of 0.5
points, one of 5% of 0.7. Last result: in docs/explain/judging.md and results.csv.
"""

from __future__ import annotations

import argparse
import math
import re
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from benchmarks import record
from numpy.typing import NDArray
from scipy import special
from tests.support.simulated_answers import DENSITY, DIFFICULTY, EASE, REST

from fittingroom.ideas.decide import LOOKS, judge

EFFECT = 0.005
IDEAS = (1, 3, 9)
FOLDS = 5
LARGE, SMALL = 10_000, 1_000  # validation images that `try` holds out of 60,000; images of a set judged by folds
TASTE = 0.2  # sd of an image's difficulty for one recipe alone, of 1
CERTAIN = 5.0  # standard deviations
HEAVY_TAILS, CLASSES = 3, 10  # degrees of freedom of Student's t, whose luck is common to the images of a class

CLAIMS, TOLD, UNTIL = "claims what isn't so", "told better", "pairs until better"  # metrics of results.csv
WITH_IDEAS = re.compile(r", \d of(?= sd)")  # in a scene's name

Right = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is true of a study.

    Attributes:
        name: as results.csv has it.
        ideas: how many.
        baseline_sd, idea_sd: of a recipe's accuracy from seed to seed, in points, beside chance over images.
        gains: true accuracy of each idea less the baseline's, in points.
        images: that all are judged by.
        folds: each seed's answers are those of so many models.
        has_heavy_tails: of the seeds' luck.
    """

    name: str
    ideas: int
    baseline_sd: float = 0.3
    idea_sd: float = 0.3
    gains: tuple[float, ...] = ()
    images: int = LARGE
    folds: int = 1
    has_heavy_tails: bool = False

    def side(self, number: int) -> tuple[float, float]:
        """Standard deviation and gain, in points, of the baseline (0) or an idea."""
        return (self.baseline_sd, 0.0) if number == 0 else (self.idea_sd, self.gains[number - 1] if self.gains else 0.0)


@dataclass(frozen=True)
class Outcome:
    """What a simulated study came to: of each idea the verdict, and after how many pairs."""

    verdicts: tuple[str, ...]
    pairs: tuple[int, ...]


class Answers:
    """What the seeds of each side answer, drawn as they are asked for."""

    def __init__(self, scene: Scene, generator: np.random.Generator):
        self._scene, self._generator = scene, generator
        n = scene.images
        self._part_SN = np.zeros((0, n), dtype=np.int64)
        if scene.has_heavy_tails:
            self._part_SN = np.tile(generator.integers(0, CLASSES, n), (LOOKS[-1], 1))
        self._difficulty_N = DIFFICULTY * generator.standard_normal(n, dtype=np.float32)
        self._own_N = [self._of_recipe(number) for number in range(scene.ideas + 1)]
        self._right_SN = [np.empty((0, n), dtype=np.bool_) for _ in range(scene.ideas + 1)]

    def of(self, number: int, seeds: int) -> Right:
        """(S, N): whether each of a side's first seeds got each image right."""
        missing = seeds - len(self._right_SN[number])
        if missing > 0:
            more = self._draw(number, missing)
            self._right_SN[number] = np.concatenate([self._right_SN[number], more])
        return self._right_SN[number][:seeds]

    def _cuts(self, seeds: int) -> NDArray[np.int64]:
        """(S, N): in which fold each image is; every pair of trainings is cut anew."""
        while len(self._part_SN) < seeds:
            cut_N = np.zeros(self._scene.images, dtype=np.int64)
            if self._scene.folds > 1:
                cut_N = self._generator.permutation(self._scene.images) % self._scene.folds
            self._part_SN = np.concatenate([self._part_SN, cut_N[None]])
        return self._part_SN[:seeds]

    def _of_recipe(self, number: int) -> NDArray[np.float32]:
        """How easy each image is for one recipe."""
        sd, gain = self._scene.side(number)
        own_N = TASTE * self._generator.standard_normal(self._scene.images, dtype=np.float32)
        spread = math.sqrt(DIFFICULTY**2 + TASTE**2 + (sd / 100 / DENSITY) ** 2 + REST**2)
        if self._scene.folds > 1:
            spread = math.sqrt(spread**2 + (sd / 100 / DENSITY) ** 2)

        # Scaled, so that every recipe without a gain has the same true accuracy whatever its seeds vary by.
        target = float(special.ndtri(special.ndtr(EASE) + gain / 100))
        return np.asarray(self._difficulty_N + own_N + target * spread, dtype=np.float32)

    def _draw(self, number: int, seeds: int) -> Right:
        sd, folds = self._scene.side(number)[0] / 100 / DENSITY, self._scene.folds
        if self._scene.has_heavy_tails:
            luck_SP = self._generator.standard_t(HEAVY_TAILS, (seeds, CLASSES)) * sd * math.sqrt(CLASSES / 3)
        else:
            # Of each fold's model: a luck of its own, and what the recipe owes to just the images that it learned from.
            luck_SP = sd * math.sqrt(folds) * self._generator.standard_normal((seeds, folds))
            luck_SP += (sd * self._generator.standard_normal((seeds, folds))) if folds > 1 else 0.0
        first = len(self._right_SN[number])
        part_SN = self._cuts(first + seeds)[first:]

        # Images so easy, or so hard, that not one answer in three million comes out the other way need no draw.
        own_N = self._own_N[number]
        open_N = np.flatnonzero(np.abs(own_N) < CERTAIN * REST + np.abs(luck_SP).max())
        rest_SM = REST * self._generator.standard_normal((seeds, len(open_N)), dtype=np.float32)
        rest_SM += np.take_along_axis(luck_SP.astype(np.float32), part_SN[:, open_N], axis=1)
        rest_SM += own_N[open_N]
        right_SN = np.tile(own_N > 0, (seeds, 1))
        right_SN[:, open_N] = rest_SM > 0
        return right_SN


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--table", action="store_true", help="the tables of docs/explain/judging.md, from results.csv")
    parser.add_argument("--only", default="", help="scenes whose names have this text")
    record.add_options(parser)
    args = parser.parse_args()
    if args.table:
        print(tables())
        return

    for scene in scenes():
        if args.only in scene.name:
            started = time.process_time()
            figures = figures_of(scene, args.repeats)
            record.show(figures)
            print(f"{time.process_time() - started:.0f} s", flush=True)
            record.keep(__file__, figures, args)


def scenes() -> Iterator[Scene]:
    """All of them, those that decide first."""
    for sd in (0.3, 0.0, 1.0):
        for ideas in IDEAS:
            yield Scene(name=f"nothing, {ideas} of sd 0.3, baseline {sd:g}", ideas=ideas, baseline_sd=sd)
    for ideas in IDEAS:
        name = f"nothing, {ideas} of sd 1, baseline 0.1"
        yield Scene(name=name, ideas=ideas, baseline_sd=0.1, idea_sd=1.0)
    for ideas in IDEAS:
        name = f"folds, nothing, {ideas} of sd 0.6, baseline 0.6"
        yield Scene(name=name, ideas=ideas, baseline_sd=0.6, idea_sd=0.6, images=SMALL, folds=FOLDS)
    for sd in (1.0, 2.0):  # more than the folds' factor was made for
        for ideas in IDEAS:
            name = f"folds, nothing, {ideas} of sd {sd:g}, baseline {sd:g}"
            yield Scene(name=name, ideas=ideas, baseline_sd=sd, idea_sd=sd, images=SMALL, folds=FOLDS)
    for gain in (2.0, 4.0):
        name = f"folds, gain of {gain:g} points, 1 of sd 0.6, baseline 0.6"
        yield Scene(name=name, ideas=1, baseline_sd=0.6, idea_sd=0.6, gains=(gain,), images=SMALL, folds=FOLDS)
    for sd in (0.15, 0.3, 0.6):
        for ideas in IDEAS:
            gains = (two_sds(sd, LARGE),) * ideas
            name = f"gain of 2 sd, {ideas} of sd {sd:g}, baseline {sd:g}"
            yield Scene(name=name, ideas=ideas, baseline_sd=sd, idea_sd=sd, gains=gains)
    for ideas in (3, 9):
        gains = (two_sds(0.3, LARGE),) * (ideas // 3) + (0.0,) * (ideas - ideas // 3)
        yield Scene(name=f"some, {ideas} of sd 0.3, baseline 0.3", ideas=ideas, gains=gains)
    for ideas in IDEAS:
        yield Scene(name=f"the effect, {ideas} of sd 0.3, baseline 0.3", ideas=ideas, gains=(100 * EFFECT,) * ideas)
    for sd in (0.15, 1.0):
        for ideas in IDEAS:
            yield Scene(name=f"nothing, {ideas} of sd {sd:g}, baseline {sd:g}", ideas=ideas, baseline_sd=sd, idea_sd=sd)
    for ideas in IDEAS:
        yield Scene(name=f"heavy tails, nothing, {ideas} of sd 0.3, baseline 0.3", ideas=ideas, has_heavy_tails=True)


def figures_of(scene: Scene, repeats: int) -> list[record.Figure]:
    """Simulate a scene's studies, and count."""
    generator = np.random.default_rng(0)
    studies = [one_study(scene, generator) for _ in range(repeats)]
    figures = [record.figure(scene.name, CLAIMS, [float(is_false(scene, study)) for study in studies])]

    # An idea that is never told has no number of pairs: it counts as more than all, which the median can bear.
    if any(scene.gains):
        found = [
            (verdict, pairs)
            for study in studies
            for verdict, pairs, gain in zip(study.verdicts, study.pairs, scene.gains, strict=True)
            if gain
        ]
        figures.append(record.figure(scene.name, TOLD, [float(verdict == "better") for verdict, _ in found]))
        told = [float(pairs) if verdict == "better" else math.inf for verdict, pairs in found]
        median, mean = statistics.median(told), statistics.fmean(told)
        figures.append(record.Figure(scene.name, UNTIL, len(told), median, mean, None))
    figures.append(record.figure(scene.name, "pairs to the end", [float(max(study.pairs)) for study in studies]))
    return figures


def one_study(scene: Scene, generator: np.random.Generator) -> Outcome:
    """Looked at until every idea is decided, as :meth:`fittingroom.ideas.study.Study.search` does."""
    answers = Answers(scene, generator)
    still_open = {f"{number}": number for number in range(1, scene.ideas + 1)}
    found: dict[int, tuple[str, int]] = {}
    for look, pairs in enumerate(LOOKS):
        baseline = answers.of(0, pairs)
        both = {name: (baseline, answers.of(number, pairs)) for name, number in still_open.items()}
        for name, judgement in judge(both, look, EFFECT, scene.folds if scene.folds > 1 else None).items():
            if judgement.verdict is not None:
                found[still_open.pop(name)] = (judgement.verdict, pairs)
        if not still_open:
            break
    in_order = [found[number] for number in sorted(found)]
    return Outcome(tuple(verdict for verdict, _ in in_order), tuple(pairs for _, pairs in in_order))


def is_false(scene: Scene, study: Outcome) -> bool:
    """Whether anything was claimed that isn't so."""
    gains = scene.gains or (0.0,) * scene.ideas
    return any(
        verdict == "worse"
        or (verdict == "better" and not gain)
        or (verdict == "smaller than the effect" and gain >= 100 * EFFECT)
        for verdict, gain in zip(study.verdicts, gains, strict=True)
    )


def two_sds(sd: float, images: int) -> float:
    """Twice the standard deviation of one recipe's accuracy from seed to seed on the same images, in points."""
    answers = Answers(Scene(name="", ideas=0, baseline_sd=sd, images=images), np.random.default_rng(1))
    return float(200 * answers.of(0, 500).mean(axis=1).std(ddof=1))


def tables() -> str:
    """Both tables as Markdown, of the newest rows."""
    means, medians = (
        {key[1:3]: float(row[kind]) for key, row in record.latest().items() if key[0] == "try_simulation.py"}
        for kind in ("mean", "median")
    )
    kinds = dict.fromkeys(WITH_IDEAS.sub("{}", scene.name) for scene in scenes())

    heads = "1 idea | 3 ideas | 9 ideas"
    false = [f"| what is true | {heads} |", "| --- | ---: | ---: | ---: |"]
    told = [f"| what is true | {heads} |", "| --- | ---: | ---: | ---: |"]
    for kind in kinds:
        names = [kind.format(f", {ideas} of") for ideas in IDEAS]
        claims = [means.get((name, CLAIMS)) for name in names]
        pairs = [medians.get((name, UNTIL)) for name in names]
        what = kind.format(", seeds of")
        if any(share is not None for share in claims) and "gain" not in kind:
            shares = ["–" if share is None else f"{100 * share:.1f}%" for share in claims]
            false.append(f"| {what} | {' | '.join(shares)} |")
        if any(number is not None for number in pairs):
            found = [means.get((name, TOLD)) for name in names]
            cells = [
                "–" if number is None or share is None else f"{number:g} ({100 * share:.0f}%)"
                for number, share in zip(pairs, found, strict=True)
            ]
            told.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join([*false, "", *told])


if __name__ == "__main__":
    main()
