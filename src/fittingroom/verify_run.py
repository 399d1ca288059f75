"""``fittingroom verify``: a run is trained again from its folder, and what comes out is held against what lies there.

The same bits are looked for first: the loss of each step, the state after each epoch, the weights. Where they differ,
as they do on another kind of processor, the two models are compared on images, and the difference is judged by what
other seeds of the same recipe give (:mod:`fittingroom.compare.same_recipe`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fittingroom.compare.beside_recipe import beside_the_recipe
from fittingroom.compare.same_recipe import FEWEST, AmongSeeds, among_seeds
from fittingroom.data.dataset import Dataset, Splits
from fittingroom.environment import describe_machine, git_revision, versions
from fittingroom.errors import ArtifactError, Interrupted, RecipeError
from fittingroom.evaluation.predictions import JudgedPredictions, read_predictions
from fittingroom.events import EpochDone, Event, Hooks, JobEvent, Observer, StepDone
from fittingroom.files.temporary import temporary_folder
from fittingroom.models import find_model
from fittingroom.own_code.name import OwnCode
from fittingroom.parallel.process_group import ALONE
from fittingroom.recipes.own_names import code_names, with_kept_code
from fittingroom.recipes.recipe import Recipe
from fittingroom.rendering.share import share_text
from fittingroom.runs.command_line import command_line
from fittingroom.runs.cut import bundles_of
from fittingroom.runs.environment_record import Environment, holds_run
from fittingroom.runs.ledger import record_evaluation
from fittingroom.runs.metrics_log import read_metrics
from fittingroom.runs.out_of_fold import judge_out_of_fold, read_out_of_fold
from fittingroom.runs.recorded import recorded_code, recorded_start, refuse_changes
from fittingroom.runs.run import Run, open_run, runs_folder
from fittingroom.runs.run_data import given_again, open_recorded_data
from fittingroom.training.device import pick_device, prepare_torch
from fittingroom.training.fit import Fitted, fit, judge_on_validation
from fittingroom.training.inference import judge, predict_dataset
from fittingroom.training.precision import refuse_without_bf16
from fittingroom.training.start_weights import StartWeights

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


@dataclass
class _Trace:
    """What a training said of its steps, gathered by an observer or read from ``metrics.jsonl``."""

    losses: dict[int, float] = field(default_factory=dict)
    states: dict[int, str] = field(default_factory=dict)

    def observe(self, event: Event) -> None:
        """Take what is compared."""
        if isinstance(event, StepDone):
            self.losses[event.step] = event.loss
        elif isinstance(event, EpochDone):
            self.states[event.epoch] = event.state_sha256

    @classmethod
    def read(cls, file: Path) -> _Trace:
        """That of a recorded training; empty where nothing is recorded. The losses come back bit for bit."""
        events = read_metrics(file) if file.exists() else []
        losses = {event["step"]: event["loss"] for event in events if event["event"] == "step"}
        epochs = [event for event in events if event["event"] == "epoch"]
        return cls(losses, {event["epoch"]: event.get("state_sha256", "") for event in epochs})


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
    again = _Again.of(run, environment, trust_code, device, threads, observe)
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


@dataclass(frozen=True)
class _Again:
    """How a run is trained again: all that its folder says, on the device and with the threads that are here."""

    splits: Splits
    environment: Environment
    codes: Mapping[str, OwnCode]
    bundles: NDArray[np.int64] | None
    start: StartWeights | None
    device: str
    observe: Observer
    trust_code: bool

    @classmethod
    def of(
        cls,
        run: Run,
        environment: Environment,
        trust_code: bool,
        device: str | None,
        threads: int | None,
        observe: Observer | None,
    ) -> _Again:
        """Settle everything, and refuse what can't be the same training."""
        device = pick_device(device or environment.machine.device)
        refuse_without_bf16(environment.precision, environment.bf16_emulated, device, str(run.path))
        prepare_torch(threads or environment.machine.threads, environment.options.deterministic)
        first = (run.members or [run])[0]  # a run of several seeds keeps the source with each of them
        recipe = recorded_code(first, first.recipe, ALONE, trust_code=trust_code)
        splits = run.open_data()
        bundles = bundles_of(environment, splits)
        start = recorded_start(first, environment, ALONE)
        codes = {str(name): name.code for name in code_names(recipe)}
        return cls(splits, environment, codes, bundles, start, device, observe or (lambda _event: None), trust_code)

    def with_code(self, recipe: Recipe) -> Recipe:
        """A recipe of the run, with the code that its names mean."""
        return with_kept_code(recipe, self.codes, Path("the run"))

    def train(self, recipe: Recipe, name: str, trace: _Trace, stop_after: int | None = None) -> Fitted | None:
        """Train by a recipe; None where it was to stop before its end."""

        def observe(event: Event) -> None:
            trace.observe(event)
            self.observe(JobEvent(job=name, event=event))

        stops = Hooks(
            observe=observe, should_stop=lambda: stop_after is not None and len(trace.losses) + 1 >= stop_after
        )
        try:
            return fit(
                self.splits,
                self.with_code(recipe),
                device=self.device,
                precision=self.environment.precision,
                group_N=self.bundles,
                start=self.start,
                hooks=stops,
            )
        except Interrupted:
            return None

    def differences(self) -> list[str]:
        """What is otherwise now than when the run was trained."""
        now = dataclasses.replace(
            self.environment,
            processes=1,
            machine=describe_machine(self.device),
            versions=versions(*(package for package in ("timm",) if package in self.environment.versions)),
            revision=git_revision(),
        )
        return beside_the_recipe("the run", self.environment, "this training", now)


def _verify_one(run: Run, again: _Again, steps: int | None, seeds: int) -> Verified:
    """Train one model again and judge it, as far as the question goes."""
    recorded, trace = _Trace.read(run.path / "metrics.jsonl"), _Trace()
    fitted = again.train(run.recipe, "again", trace, steps)

    sentences = [*again.differences(), *_compare_steps(recorded, trace)]
    first = next((step for step, loss in trace.losses.items() if recorded.losses.get(step, loss) != loss), None)
    compared = len(trace.losses.keys() & recorded.losses.keys())
    same_steps = first is None and compared == len(trace.losses) and _same_states(recorded, trace)

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

    tensors, apart = _compare_weights(fitted.network, run, again.trust_code)
    if not apart:
        sentences.append(f"weights: all {tensors} tensors have the same bits")
        wrong = list(_compare_answers(run, fitted))
        wrong += _compare_folds(run, again, sentences)
        sentences += wrong
        return verified(OUTSIDE if wrong else SAME)
    sentences.append(f"weights: {len(apart)} of {tensors} tensors have other bits ({', '.join(apart[:3])})")
    if same_steps:
        sentences.append(f"every step is the same and the weights are not: {run.path} was changed after its training")
        return verified(OUTSIDE)

    # Other bits, by rounding or by another training: what other seeds give tells how much that is.
    among = _judge_by_seeds(run, again, fitted, seeds, sentences)
    if among is None:
        return verified(UNKNOWN)
    return verified(WITHIN if among.is_within else OUTSIDE, among)


def _compare_steps(recorded: _Trace, trace: _Trace) -> Iterator[str]:
    """Say how far losses and states are the same."""
    both = sorted(recorded.losses.keys() & trace.losses.keys())
    if not both:
        yield "steps: the run has no losses of its steps to compare with"
        return
    apart = [step for step in both if recorded.losses[step] != trace.losses[step]]
    if apart:
        was, now = recorded.losses[apart[0]], trace.losses[apart[0]]
        yield f"steps: from step {apart[0]:,} of {len(both):,} on the losses differ, there {was!r} then and {now!r} now"
    else:
        yield f"steps: {len(both):,} losses have the same bits"

    # After the first other loss the states are others too, and to say so would say nothing new.
    known = [epoch for epoch in trace.states if recorded.states.get(epoch)]
    if known and not apart:
        same = sum(recorded.states[epoch] == trace.states[epoch] for epoch in known)
        yield f"states: {same} of {len(known)}, each after an epoch, have the same SHA-256"


def _same_states(recorded: _Trace, trace: _Trace) -> bool:
    """Whether the states after epochs are the same, where the run has recorded them."""
    return all(recorded.states.get(epoch) in ("", None, digest) for epoch, digest in trace.states.items())


def _compare_weights(network: nn.Module, run: Run, trust_code: bool) -> tuple[int, list[str]]:
    """How many tensors the network has, and the names of those that have other bits in the run's folder."""
    now = network.state_dict()
    kept = run.artifact.network(trust_code=trust_code).state_dict()
    if now.keys() != kept.keys():
        raise ArtifactError(f"{run.path}: the weights of another network than the recipe's model found")
    return len(now), [name for name in now if not torch.equal(now[name].cpu(), kept[name])]


def _compare_answers(run: Run, fitted: Fitted) -> Iterator[str]:
    """Say where recorded answers or scores are not those of the weights, which are known to be right."""
    result, classes = run.result, run.artifact.classes
    for part in ("validation", "test"):
        file, scores = run.predictions_file(part), result.get(part)
        if not scores or not file.exists():
            continue
        kept = read_predictions(file, classes)
        right = int(kept.is_right.sum())
        if right != scores["correct"]:
            yield f"result.json says {scores['correct']:,} right answers on {part}, {file.name} has {right:,}"

        # Test images are not looked at for it: the same weights give the same answers.
        if part == "validation" and (now := judge_on_validation(fitted)) is not None:
            answers_N = _as_written(run, now)
            other = int((answers_N != kept.predicted).sum()) if now.images == kept.images else len(kept.images)
            if other:
                images = len(kept.images)
                yield f"{file.name} has other answers than the weights give, on {other:,} of {images:,} images"


def _as_written(run: Run, now: JudgedPredictions) -> NDArray[np.int64]:
    """The answers of uncalibrated predictions as the run's file has them, int64 (N,)."""
    shipped = run.artifact
    if shipped.temperature.n or shipped.threshold:
        now = now.cross_fitted(with_threshold=shipped.threshold is not None)
    return now.predicted if len(shipped.classes) == 2 else now.probabilities.argmax(axis=1)  # as they are read


def _compare_folds(run: Run, again: _Again, sentences: list[str]) -> list[str]:
    """Train the folds of a cross-validation again, and say where their answers are others than the recorded ones.

    That they are the same is added to ``sentences``.
    """
    recorded = read_out_of_fold(run, again.environment, again.splits)
    if recorded is None:
        return []
    machine = dataclasses.replace(again.environment.options, device=again.device)

    recipe = again.with_code(run.recipe)

    # Elsewhere, as the run's own folder has the folds already and would give them back untrained.
    with temporary_folder("the folds that are trained again") as folder:
        now = judge_out_of_fold(
            Run(folder, again.splits),
            recipe,
            find_model(recipe.model),
            dataclasses.replace(again.environment, options=machine),
            again.splits,
            Hooks(observe=again.observe),
            start=again.start,
        )
    assert now is not None

    other_N = (now.said.probabilities != recorded.said.probabilities).any(axis=1)
    if other_N.any():
        return [f"folds: {int(other_N.sum()):,} of {len(other_N):,} images are answered otherwise when trained again"]
    sentences.append(f"folds: the answers to all {len(other_N):,} images have the same bits")

    # The file and the score are of these answers.
    kept = read_predictions(run.predictions_file("validation"), run.artifact.classes)
    differ = int((kept.predicted != _as_written(run, now.judged(again.splits.train))).sum())
    return [f"{run.predictions_file('validation').name} has other answers, on {differ:,} images"] if differ else []


def _judge_by_seeds(run: Run, again: _Again, fitted: Fitted, seeds: int, sentences: list[str]) -> AmongSeeds | None:
    """Place the recorded model among this one and other seeds of its recipe, on the same images; None if that fails.

    What it finds is added to ``sentences``.
    """
    part, dataset = ("validation", fitted.validation_set) if fitted.validation_set else ("test", again.splits.test)
    if dataset is None or dataset.labels is None:
        sentences.append("neither validation nor labelled test images: nothing to judge the difference by")
        return None
    if part == "test":
        dataset = dataset.aligned_to(run.artifact.classes)
        record_evaluation(runs_folder(run.path), dataset, run=run.name, command=command_line())

    kept = run.artifact.network(trust_code=again.trust_code).to(fitted.device)
    recorded, now = (_answers(network, dataset, fitted) for network in (kept, fitted.network))
    discordant = int((recorded.is_right != now.is_right).sum())
    before, after = (share_text(float(answers.is_right.mean())) for answers in (recorded, now))
    sentences.append(
        f"{part}: {before} then and {after} now of {len(dataset):,} images; "
        f"{discordant:,} discordant, on which one of the two is right"
    )

    # The members of the run where there are enough of them, else new seeds.
    others = [right for right in _members(run, part, dataset) if len(right) == len(dataset)]
    of_what = f"{len(others)} other members of the run"
    if len(others) + 1 < FEWEST:
        if seeds + 1 < FEWEST:
            sentences.append(f"{FEWEST - 1} seeds or more are needed to judge by, {seeds} asked for")
            return None
        others, of_what = list(_new_seeds(run, again, seeds, dataset)), f"{seeds} new seeds"

    among = among_seeds(recorded.is_right, np.stack([now.is_right, *others]))
    low, high = among.interval
    sentences.append(
        f"by this training and {of_what}, one more seed has {low:.2%} to {high:.2%} right and at most "
        f"{among.most_discordant:,.0f} discordant images with the others (97.5% each); the run has "
        f"{share_text(among.accuracy)} and {among.discordant:,.0f}"
    )
    return among


def _answers(network: nn.Module, dataset: Dataset, fitted: Fitted) -> JudgedPredictions:
    device = torch.device(fitted.device)
    return judge(predict_dataset(network, dataset, fitted.normalization, device=device), dataset)


def _members(run: Run, part: str, dataset: Dataset) -> Iterator[NDArray[np.bool_]]:
    """Which images the other members have right, of those that answered the same ones."""
    parent = Run(run.path.parent)
    if not holds_run(parent.path):
        return
    images = tuple(digest.hex() for digest in dataset.image_hashes())
    for member in parent.members:
        file = member.predictions_file(part)
        if member.path.name != run.path.name and member.is_finished and file.exists():
            answers = read_predictions(file, member.artifact.classes)
            if answers.images == images:
                yield answers.is_right


def _new_seeds(run: Run, again: _Again, seeds: int, dataset: Dataset) -> Iterator[NDArray[np.bool_]]:
    """Which images models of other seeds have right."""
    for number in range(1, seeds + 1):
        recipe = dataclasses.replace(run.recipe, seed=run.recipe.seed + number)
        fitted = again.train(recipe, f"seed-{recipe.seed}", _Trace())
        assert fitted is not None  # nothing stops it
        yield _answers(fitted.network, dataset, fitted).is_right


def outcome_of(verified: Sequence[Verified]) -> int:
    """The exit code of several: 1 if any is outside, else 2 if any can't be judged, else 0."""
    codes = {each.exit_code for each in verified}
    return next((code for code in (1, 2) if code in codes), 0)
