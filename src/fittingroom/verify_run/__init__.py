"""``fittingroom verify``: a run is trained again from its folder, and what comes out is held against what lies there.

The same bits are looked for first: the loss of each step, the state after each epoch, the weights. Where they differ,
as they do on another kind of processor, the two models are compared on images, and the difference is judged by what
other seeds of the same recipe give (:mod:`fittingroom.compare.same_recipe`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fittingroom.compare.same_recipe import AmongSeeds
from fittingroom.data.splits import Splits
from fittingroom.errors import RecipeError
from fittingroom.events import Observer
from fittingroom.parallel.process_group import ALONE
from fittingroom.runs.environment_record import Environment
from fittingroom.runs.recorded import refuse_changes
from fittingroom.runs.run import Run, open_run
from fittingroom.runs.run_data import given_again, open_recorded_data
from fittingroom.verify_run.again import Again, Trace
from fittingroom.verify_run.other_seeds import judge_by_seeds
from fittingroom.verify_run.same_bits import (
    are_same_states,
    compare_answers,
    compare_folds,
    compare_steps,
    compare_weights,
)

SEEDS = 3  # new ones, where the run has no members to judge by
SAME, WITHIN, OUTSIDE, UNKNOWN = "same", "within seeds", "outside", "can't be judged"
EXIT_CODES = {SAME: 0, WITHIN: 0, OUTSIDE: 1, UNKNOWN: 2}


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What came of training a run again.

    Attributes:
        run: the folder of the run, or of its member.
        outcome: ``same`` (the same bits), ``within seeds``, ``outside`` or ``can't be judged``.
        sentences: what was found, in the order in which it was looked for.
        steps, steps_compared: of the training, and so many of their losses that were compared.
        first_difference: the first step whose loss has other bits; None where all are the same.
        among: the recorded model among others of its recipe, where the bits differ; else None.
    """

    run: Path
    outcome: str
    sentences: tuple[str, ...]
    steps: int
    steps_compared: int
    first_difference: int | None = None
    among: AmongSeeds | None = None

    @property
    def exit_code(self) -> int:
        """0 for the same bits or within what seeds vary, 1 outside of it, 2 where it can't be judged."""
        return EXIT_CODES[self.outcome]

    def as_dict(self) -> dict[str, Any]:
        """What ``--json`` prints of it."""
        return dataclasses.asdict(self) | {"run": str(self.run), "sentences": list(self.sentences)}


def verify(
    run: Run | str | Path,
    *,
    data: Splits | str | Path | None = None,
    steps: int | None = None,
    seeds: int = SEEDS,
    trust_code: bool = False,
    device: str | None = None,
    threads: int | None = None,
    observe: Observer | None = None,
) -> list[Verified]:
    """Train a run again from its folder and compare what comes out with what lies there. Nothing is written into it.

    Args:
        run: a finished run, of one seed or of several.
        data: where the run's data lies now, or the data itself; None for where it was.
        steps: train only so many, and compare their losses and the states after whole epochs alone.
        seeds: how many new ones are trained to judge other bits by, where the run has too few members for it.
        trust_code: permits executing the source of the user's own network that the run keeps.
        device, threads: in place of the run's own.
        observe: receives the events of the trainings, each with its name.

    Returns:
        What came of it, for each member of a run of several seeds, else for the one run.

    Raises:
        ArtifactError: the run isn't finished, was changed, or has code that isn't trusted.
        DataError: the data is not what the run was trained on.
        RecipeError: the device isn't here, or has no bf16 where the run was trained in it.

    Example:
        >>> import fittingroom as fr
        >>> (verified,) = fr.verify("runs/plain-1")
        >>> verified.outcome
        'same'
    """
    for name, number in (("steps", steps), ("seeds", seeds)):
        if number is not None and number < 1:
            raise RecipeError(f"{name}: 1 or more expected, {number} found")
    run = run if isinstance(run, Run) else open_run(run)
    environment = run.environment
    run = dataclasses.replace(run, splits=_data_of(run, environment, data))
    refuse_changes(run, environment, run.recipe, ALONE)
    for member in run.members or [run] if steps is None else []:  # what is damaged is said before anything is trained
        member.artifact.network(trust_code=trust_code)
        _ = member.result
    again = Again.of(run, environment, trust_code, device, threads, observe)
    return [_verify_one(member, again, steps, seeds) for member in run.members or [run]]


def _data_of(run: Run, environment: Environment, given: Splits | str | Path | None) -> Splits:
    """The run's data, from where it lies now."""
    if isinstance(given, Splits):
        return given_again(given, environment, run.recipe)
    if given is not None:
        moved = dataclasses.replace(environment.data, source=str(given))
        environment = dataclasses.replace(environment, data=moved)
    elif run.splits is not None:
        return run.splits
    return open_recorded_data(run.path, environment)


def _verify_one(run: Run, again: Again, steps: int | None, seeds: int) -> Verified:
    """Train one model again and judge it, as far as the question goes."""
    recorded, trace = Trace.read(run.path / "metrics.jsonl"), Trace()
    fitted = again.train(run.recipe, "again", trace, steps)

    sentences = [*again.differences(), *compare_steps(recorded, trace)]
    first = next((step for step, loss in trace.losses.items() if recorded.losses.get(step, loss) != loss), None)
    compared = len(trace.losses.keys() & recorded.losses.keys())
    same_steps = first is None and compared == len(trace.losses) and are_same_states(recorded, trace)

    def verified(outcome: str, among: AmongSeeds | None = None) -> Verified:
        total = max(recorded.losses, default=len(trace.losses))
        return Verified(
            run=run.path,
            outcome=outcome,
            sentences=tuple(sentences),
            steps=total,
            steps_compared=compared,
            first_difference=first,
            among=among,
        )

    # So many steps say whether the training is the same, and no more.
    if fitted is None:
        if not same_steps:
            sentences.append(f"whether that matters takes the whole training: fittingroom verify {run.path}")
        return verified(SAME if same_steps else UNKNOWN)

    tensors, apart = compare_weights(fitted.network, run, again.trust_code)
    if not apart:
        sentences.append(f"weights: all {tensors} tensors have the same bits")
        same, other = compare_folds(run, again)
        wrong = [*compare_answers(run, fitted), *other]
        sentences += [*same, *wrong]
        return verified(OUTSIDE if wrong else SAME)
    sentences.append(f"weights: {len(apart)} of {tensors} tensors have other bits ({', '.join(apart[:3])})")
    if same_steps:
        sentences.append(f"every step is the same and the weights are not: {run.path} was changed after its training")
        return verified(OUTSIDE)

    # Other bits, by rounding or by another training: what other seeds give tells how much that is.
    among, found = judge_by_seeds(run, again, fitted, seeds)
    sentences += found
    if among is None:
        return verified(UNKNOWN)
    return verified(WITHIN if among.is_within else OUTSIDE, among)


def outcome_of(verified: Sequence[Verified]) -> int:
    """The exit code of several: 1 if any is outside, else 2 if any can't be judged, else 0."""
    codes = {each.exit_code for each in verified}
    return next((code for code in (1, 2) if code in codes), 0)
