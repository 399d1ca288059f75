"""Which labels may be wrong: every image is judged by models that never saw it, then confident learning sorts them.

    check_labels(parts, LabelCheck())     # parts: of fittingroom.data.audit.check(...)

The trainings are jobs, a :class:`Fold` each, which need none of the others: one after another here, or on Ray side by
side. Confident learning (Northcutt, Jiang and Chuang 2021) is cleanlab's.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

import fittingroom
from fittingroom.atomic import atomic_write
from fittingroom.data.audit import Finding
from fittingroom.data.audit.identity import Part
from fittingroom.data.cache import LABEL_CHECKS, cache_dir
from fittingroom.data.dataset import Dataset
from fittingroom.data.pictures import Row
from fittingroom.data.suspects import Suspect, Suspects
from fittingroom.errors import DataError, RecipeError
from fittingroom.events import Observer
from fittingroom.jobs import Job, run_jobs
from fittingroom.models import find_model
from fittingroom.ray_engine import RayEngine
from fittingroom.recipe import Precision, Recipe, load_recipe

BOOTSTRAPS = 200  # resamples of the images, for the interval of the noise rate
PICTURES, IN_A_ROW, TOLD = 120, 12, 4

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class LabelCheck:
    """How labels are checked.

    Attributes:
        recipe: a recipe, the name of one of the package's, or a TOML file; a fast one will do.
        folds: ≥ 2; as many trainings.
        seed: of the cut into folds; fold i is trained with seed + i.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        threads: of the CPU, for each training; None for PyTorch's choice, on Ray for one.
        keep: whether finished folds are kept in the cache, so that a check that was stopped goes on.
    """

    recipe: Recipe | str | Path = "swift"
    folds: int = 5
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    keep: bool = True

    def resolved(self) -> Recipe:
        """The recipe that the folds are trained by. It holds out nothing, unless it chooses by what it holds out.

        Raises :class:`RecipeError`.
        """
        if self.folds < 2:
            raise RecipeError(f"folds: 2 or more expected, {self.folds} found: each image is judged by the other folds")
        if self.threads is not None and self.threads < 1:
            raise RecipeError(f"threads: 1 or more expected, {self.threads} found")
        recipe = self.recipe if isinstance(self.recipe, Recipe) else load_recipe(self.recipe)
        chooses = recipe.early_stop or recipe.keep == "best"
        return recipe if chooses else dataclasses.replace(recipe, validation=0)


@dataclass(frozen=True, eq=False)
class Fold:
    """One training and the images that it judges, none of which it sees.

    Attributes:
        train: what is learned from.
        judged: uint8 (M, H, W).
        recipe: with the fold's own seed.
        device: where to compute.
        threads: of the CPU; None for PyTorch's choice.
    """

    train: Dataset
    judged: NDArray[np.uint8]
    recipe: Recipe
    device: str
    threads: int | None = None

    def predict(self) -> NDArray[np.float32]:
        """Train, and return the probabilities (M, C) of the judged images; 0 for a class without an image."""
        import torch  # this and scikit-learn: only where a fold is trained

        from fittingroom.estimator import FittingRoomClassifier

        if self.threads is not None:
            torch.set_num_threads(self.threads)
        classifier = FittingRoomClassifier(self.recipe, device=self.device)
        assert self.train.labels is not None
        classifier.fit(self.train.images, self.train.labels)
        probabilities_MC = np.zeros((len(self.judged), self.train.num_classes), np.float32)
        probabilities_MC[:, classifier.classes_] = classifier.predict_proba(self.judged)
        return probabilities_MC


@dataclass(frozen=True, eq=False)
class Doubts:
    """What confident learning says of N labels.

    Attributes:
        rows: int64 (S,) of the doubted labels, worst first.
        suggested: int64 (N,), the most probable class of each image.
        rate: the estimated share of wrong labels, 0–1.
        interval: its 95 % interval, over the images alone (percentiles of a bootstrap of 200). It leaves out the
            method's bias, and what other folds or seeds would say.
        agree: share of images at which ``suggested`` is the label.
    """

    rows: NDArray[np.int64]
    suggested: NDArray[np.int64]
    rate: float
    interval: tuple[float, float]
    agree: float


def check_labels(
    parts: Sequence[Part],
    how: LabelCheck,
    tell: Tell = lambda _text: None,
    engine: RayEngine | None = None,
) -> tuple[list[Finding], list[Suspects]]:
    """Check the labels of all parts: a finding and the suspects of each that has labels.

    Parts with the same classes and image size are checked together: the folds are cut from those for training (from
    all of them, if none is), and whatever else is there is judged by the mean of all folds' models.

    Args:
        parts: of :attr:`fittingroom.data.audit.Checked.parts`.
        how: recipe, folds, seed.
        tell: is told of each fold as it begins.
        engine: where the folds are trained side by side; None trains them one after another in this process. The
            result is the same for the same number of threads.

    Raises:
        DataError: no labels, or too few images of a class.
        RecipeError: the recipe is wrong, or there are too few folds.
        FittingRoomError: Ray isn't installed, or failed; the folds that were finished are kept.
        ModuleNotFoundError: cleanlab is not installed; said before anything is trained.
    """
    import cleanlab  # noqa: F401

    recipe = how.resolved()
    together: dict[tuple[object, ...], list[Part]] = {}
    for part in parts:
        if part.dataset.labels is not None:
            together.setdefault((part.dataset.image_size, part.dataset.classes), []).append(part)
    if not together:
        raise DataError("--labels: labelled images expected, none found")
    findings, suspects = [], []
    for group in together.values():
        probabilities_NC = out_of_fold(group, recipe, how, tell, engine)
        trained_on = ", ".join(part.name for part in _for_training(group))
        reference = f"recipe {recipe.name or 'of its own'}, {how.folds} folds of {trained_on}, seed {how.seed}"
        starts = np.cumsum([len(part.dataset) for part in group])[:-1]
        for part, probabilities_PC in zip(group, np.split(probabilities_NC, starts), strict=True):
            tell(f"confident learning: {part.name}")
            assert part.dataset.labels is not None
            doubts = find_doubts(part.dataset.labels, probabilities_PC, seed=how.seed)
            found = _suspects(part, doubts, probabilities_PC, reference)
            suspects.append(found)
            findings.append(_finding(part, doubts, found))
    return findings, suspects


def out_of_fold(
    parts: Sequence[Part],
    recipe: Recipe,
    how: LabelCheck,
    tell: Tell = lambda _text: None,
    engine: RayEngine | None = None,
) -> NDArray[np.float32]:
    """Probabilities (N, C) of all parts' images, one after another, by models that saw neither them nor their equals.

    Raises :class:`DataError` where a class has fewer images than there are folds.
    """
    kept = _folder(parts, recipe, how) if how.keep else None
    fold_N = _fold_numbers(parts, how)
    rows_of = [np.flatnonzero((fold_N == number) | (fold_N == -1)) for number in range(how.folds)]
    classes = parts[0].dataset.num_classes

    def file_of(number: int) -> Path | None:
        return kept / f"fold-{number}.npy" if kept else None

    found = {number: _read(file_of(number), (len(rows), classes)) for number, rows in enumerate(rows_of)}
    done = {number: probabilities_MC for number, probabilities_MC in found.items() if probabilities_MC is not None}
    missing = [number for number in found if number not in done]
    for number, probabilities_MC in _carry_out(missing, parts, fold_N, recipe, how, tell, engine):
        done[number] = probabilities_MC
        _write(file_of(number), probabilities_MC)

    sums_NC = np.zeros((len(fold_N), classes), np.float32)
    judges_N = np.zeros(len(fold_N), np.float32)
    for number, rows in enumerate(rows_of):  # in this order, whichever fold ended first: sums of floats depend on it
        sums_NC[rows] += done[number]
        judges_N[rows] += 1
    return sums_NC / judges_N[:, None]


def find_doubts(labels_N: NDArray[np.int64], probabilities_NC: NDArray[np.float32], *, seed: int = 0) -> Doubts:
    """Confident learning: which of N labels disagree with probabilities that were made without them, and how many.

    As many labels are doubted as images are confidently counted for another class, those first that the probabilities
    leave least to (cleanlab's ``low_self_confidence``). Of cleanlab's rules this one found most of 3 % planted errors
    on Fashion-MNIST (95 %; its default 90 %) among fewest suspects. The rate is that of the calibrated confident joint.
    """
    from cleanlab.count import compute_confident_joint
    from cleanlab.filter import find_label_issues

    def rate(rows: NDArray[np.int64]) -> float:
        joint_CC = compute_confident_joint(labels_N[rows], probabilities_NC[rows])
        return 1 - float(np.trace(joint_CC)) / float(joint_CC.sum())

    n = len(labels_N)
    how = {"filter_by": "low_self_confidence", "return_indices_ranked_by": "self_confidence"}
    rows = np.asarray(find_label_issues(labels_N, probabilities_NC, n_jobs=1, **how), np.int64)
    random = np.random.default_rng(seed)
    low, high = np.percentile([rate(random.integers(0, n, n)) for _ in range(BOOTSTRAPS)], [2.5, 97.5]).tolist()
    suggested_N = probabilities_NC.argmax(axis=1)
    return Doubts(
        rows=rows[suggested_N[rows] != labels_N[rows]],
        suggested=suggested_N,
        rate=rate(np.arange(n)),
        interval=(low, high),
        agree=float((suggested_N == labels_N).mean()),
    )


# Folds.


def _for_training(parts: Sequence[Part]) -> list[Part]:
    """The parts that folds are cut from: those for training, or all where there is none."""
    return [part for part in parts if part.role in ("train", "")] or list(parts)


def _fold_numbers(parts: Sequence[Part], how: LabelCheck) -> NDArray[np.int64]:
    """The fold of each image, -1 for those that no fold is trained on.

    The classes are spread evenly, and equal images are in one fold, wherever they stand.
    """
    trained = _for_training(parts)
    hashes = np.concatenate([part.hashes for part in trained])
    labels = np.concatenate([part.dataset.labels for part in trained if part.dataset.labels is not None])
    known_U, first_U = np.unique(hashes, return_index=True)
    labels_U, classes = labels[first_U], parts[0].dataset.classes
    counts = np.bincount(labels_U, minlength=len(classes))
    if len(few := np.flatnonzero((counts > 0) & (counts < how.folds))):
        listed = ", ".join(f"{classes[label]} has {counts[label]}" for label in few[:5].tolist())
        raise DataError(
            f"{trained[0].name}: at least {how.folds} different images of each class expected for {how.folds} folds; "
            f"{listed}: give fewer folds (--folds), or leave the class out"
        )
    by_class = np.lexsort((np.random.default_rng(how.seed).random(len(known_U)), labels_U))
    fold_U = np.empty(len(known_U), np.int64)
    fold_U[by_class] = np.arange(len(known_U)) % how.folds
    every_N = np.concatenate([part.hashes for part in parts])
    place_N = np.minimum(np.searchsorted(known_U, every_N), len(known_U) - 1)
    return np.where(known_U[place_N] == every_N, fold_U[place_N], -1)


def _carry_out(
    numbers: Sequence[int],
    parts: Sequence[Part],
    fold_N: NDArray[np.int64],
    recipe: Recipe,
    how: LabelCheck,
    tell: Tell,
    engine: RayEngine | None,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Train the folds of these numbers; each with its probabilities (M, C), in the order in which they end."""
    if not numbers:
        return  # without loading torch
    import torch

    from fittingroom.device import pick_device, resolve_precision

    how = dataclasses.replace(how, device=pick_device(how.device), threads=how.threads or (1 if engine else None))
    if how.threads is not None:
        torch.set_num_threads(how.threads)
    # Resolved once and here: measured by each worker, with others at work beside it, it could differ between folds.
    dataset, source, cache = parts[0].dataset, find_model(recipe.model), cache_dir() / "precision"
    precision = resolve_precision(
        recipe, source, dataset.num_classes, dataset.image_size, how.device, cache if how.keep else None
    )
    recipe = dataclasses.replace(recipe, precision=cast("Precision", precision))
    number_of = {f"fold {number + 1}": number for number in numbers}

    def jobs() -> Iterator[Job[NDArray[np.float32]]]:
        for name, number in number_of.items():
            tell(f"{name} of {how.folds}")
            yield Job(name, partial(_predict, _fold(parts, fold_N, number, recipe, how)))

    for job, probabilities_MC in run_jobs(jobs(), engine, threads=how.threads or 1, gpus=int(how.device == "cuda")):
        yield number_of[job.name], probabilities_MC


def _predict(fold: Fold, _observe: Observer, _should_stop: Callable[[], bool]) -> NDArray[np.float32]:
    return fold.predict()


def _fold(parts: Sequence[Part], fold_N: NDArray[np.int64], number: int, recipe: Recipe, how: LabelCheck) -> Fold:
    trained = _for_training(parts)
    images, labels = [], []
    start = 0
    for part in parts:
        own = fold_N[start : start + len(part.dataset)]
        start += len(own)
        if part in trained and part.dataset.labels is not None:
            images.append(part.dataset.images[own != number])
            labels.append(part.dataset.labels[own != number])
    classes = parts[0].dataset.classes
    train = Dataset(np.concatenate(images), np.concatenate(labels), classes, f"fold {number}")
    judged = np.concatenate([part.dataset.images for part in parts])[(fold_N == number) | (fold_N == -1)]
    return Fold(train, judged, dataclasses.replace(recipe, seed=how.seed + number), how.device, how.threads)


def _folder(parts: Sequence[Part], recipe: Recipe, how: LabelCheck) -> Path:
    """Where finished folds of just this check are kept: by everything that decides what they say."""
    decides = [
        fittingroom.__version__,
        [(part.role, part.dataset.fingerprint.order) for part in parts],
        recipe.as_dict(),
        find_model(recipe.model).sha256,
        [how.folds, how.seed, how.device],
    ]
    key = hashlib.sha256(json.dumps(decides, default=str).encode()).hexdigest()[:16]
    return cache_dir() / LABEL_CHECKS / f"{parts[0].name.replace('/', '-')[:40]}-{key}"


def _read(file: Path | None, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """Kept probabilities; None where there are none, or the file is damaged."""
    try:
        found: NDArray[np.float32] | None = None if file is None else np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found is not None and found.shape == shape and found.dtype == np.float32 else None


def _write(file: Path | None, probabilities_MC: NDArray[np.float32]) -> None:
    """Keep a fold; a cache that can't be written costs only the time of another training."""
    if file is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as stream:
            np.save(stream, probabilities_MC, allow_pickle=False)
    except OSError:
        return


# What is said.


def _suspects(part: Part, doubts: Doubts, probabilities_NC: NDArray[np.float32], reference: str) -> Suspects:
    dataset = part.dataset
    assert dataset.labels is not None
    return Suspects(
        reference=reference,
        name=part.name,
        n=len(dataset),
        images=dataset.fingerprint.images,
        suspects=tuple(
            Suspect(
                image=f"{part.hashes[row]:016x}",
                row=row,
                given=dataset.classes[dataset.labels[row]],
                suggested=dataset.classes[doubts.suggested[row]],
                of_given=round(float(probabilities_NC[row, dataset.labels[row]]), 4),
                of_suggested=round(float(probabilities_NC[row].max()), 4),
            )
            for row in doubts.rows.tolist()
        ),
    )


def _finding(part: Part, doubts: Doubts, found: Suspects) -> Finding:
    low, high = doubts.interval
    worst = "; ".join(f"row {each.row:,}: {each.given}, rather {each.suggested}" for each in found.suspects[:TOLD])
    told = f" (worst: {worst})" if worst else ""
    figures: dict[str, Any] = {
        "n": found.n,
        "rate": doubts.rate,
        "interval": [low, high],
        "agree": doubts.agree,
        "reference": found.reference,
        "suspects": [dataclasses.asdict(each) for each in found.suspects],
    }
    return Finding(
        name="label-noise",
        severity="note",  # an estimate whose bias nobody knows is no ground for a warning
        where=part.name,
        message=f"{len(found.suspects):,} of {found.n:,} labels are doubted by models that didn't see the image; they "
        f"agree with {doubts.agree:.1%} of the labels{told}. Confident learning estimates that {doubts.rate:.2%} of "
        f"the labels are wrong; 95 % interval {low:.2%} to {high:.2%}, by a bootstrap over the images. It leaves out "
        f"the method's bias: what is hard for the models counts as mislabelled. Judged by {found.reference}",
        effect="Models learn what is wrong, and are marked down for what is right.",
        advice="Look at them, worst first (--html, --png), and decide by eye; nothing is changed for you. "
        "--suspects FILE keeps the list for fittingroom evaluate.",
        figures=figures,
        examples=tuple(_pictures(part.dataset, found.suspects)),
    )


def _pictures(dataset: Dataset, suspects: Sequence[Suspect]) -> Iterator[Row]:
    """The worst suspects in rows, each with the given and the suggested label."""
    for start in range(0, min(PICTURES, len(suspects)), IN_A_ROW):
        some = suspects[start : start + IN_A_ROW]
        yield Row(
            f"{start + 1} to {start + len(some)}",
            f"{dataset.name}: given, suggested",
            dataset.images[[each.row for each in some]],
            tuple((each.given, each.suggested) for each in some),
        )
