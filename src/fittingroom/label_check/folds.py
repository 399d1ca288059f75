"""The trainings of a label check: each judges the images that it was not trained on, and is kept when it is done."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.known_pairs import pairs_at_hand
from fittingroom.audit.official_part import Part
from fittingroom.data.cache import LABEL_CHECKS
from fittingroom.data.cut import bundles, stratified_folds
from fittingroom.data.dataset import Dataset
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError, RecipeError
from fittingroom.events import Hooks
from fittingroom.files.atomic import atomic_write
from fittingroom.files.cache_dir import cache_dir
from fittingroom.models import find_model
from fittingroom.parallel.jobs import Job, run_jobs
from fittingroom.parallel.ray_engine import RayEngine
from fittingroom.recipes.by_data import settled
from fittingroom.recipes.own_names import code_names, with_own_code
from fittingroom.recipes.reading import load_recipe
from fittingroom.recipes.recipe import Precision, Recipe
from fittingroom.recipes.steps import AUTO, auto_batch_size
from fittingroom.version import __version__

Log = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class LabelCheck:
    """How labels are checked.

    Attributes:
        recipe: a recipe, the name of one of the package's, or a TOML file; a fast one will do.
        folds: ≥ 2; as many trainings.
        seed: of the split into folds; fold i is trained with seed + i.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        threads: of the CPU, for each training; None for the number of cores, on Ray for one.
        keep: whether finished folds are kept in the cache, so that a check that was stopped goes on.
    """

    recipe: Recipe | str | Path = "swift"
    folds: int = 5
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    keep: bool = True

    def resolved(self) -> Recipe:
        """Give the recipe that the folds are trained by: it holds out nothing, unless it chooses by what it holds out.

        Raises:
            RecipeError: the recipe is wrong, or there are too few folds or threads.
        """
        if self.folds < 2:
            raise RecipeError(f"folds: 2 or more expected, {self.folds} found: each image is judged by the other folds")
        if self.threads is not None and self.threads < 1:
            raise RecipeError(f"threads: 1 or more expected, {self.threads} found")
        recipe = with_own_code(self.recipe if isinstance(self.recipe, Recipe) else load_recipe(self.recipe))
        chooses = recipe.early_stop or recipe.keep == "best"
        return recipe if chooses else dataclasses.replace(recipe, validation=0)


@dataclass(frozen=True, eq=False)
class Fold:
    """One training and the images that it judges, none of which it sees.

    Attributes:
        train: what is learned from.
        judged: uint8 (M, H, W), or (M, H, W, 3) in colour.
        recipe: with the fold's own seed.
        device: where to compute.
        threads: of the CPU; None for the number of cores.
        emulated: whether bf16 was asked for where the hardware of the caller doesn't compute in it.
    """

    train: Dataset
    judged: NDArray[np.uint8]
    recipe: Recipe
    device: str
    threads: int | None = None
    emulated: bool = False

    def predict(self) -> NDArray[np.float32]:
        """Train, and return the probabilities (M, C) of the judged images; 0 for a class without an image."""
        # Only where a fold is trained: kept folds are read without torch.
        from fittingroom.training.device import prepare_torch
        from fittingroom.training.fit import fit
        from fittingroom.training.inference import predict_dataset
        from fittingroom.training.precision import refuse_without_bf16

        prepare_torch(self.threads, deterministic=False)
        refuse_without_bf16(self.recipe.precision, self.emulated, self.device, "label check")

        # The network gets an output for each class that has images: one that it never saw it can't suggest.
        assert self.train.labels is not None
        present, labels_N = np.unique(self.train.labels, return_inverse=True)
        classes = tuple(self.train.classes[number] for number in present)
        train = Dataset(self.train.images, labels_N, classes, self.train.name)
        fitted = fit(Splits(train), self.recipe, device=self.device)

        judged = Dataset(self.judged, None, classes, "judged")
        probabilities_MC = np.zeros((len(self.judged), self.train.num_classes), np.float32)
        probabilities_MC[:, present] = predict_dataset(fitted.network.cpu(), judged, fitted.normalization).probabilities
        return probabilities_MC


def out_of_fold(
    parts: Sequence[Part],
    recipe: Recipe,
    how: LabelCheck,
    log: Log = lambda _text: None,
    engine: RayEngine | None = None,
) -> NDArray[np.float32]:
    """Judge all images by models that saw neither them nor their equals.

    Args:
        parts: with the same classes, image size and channels.
        recipe: of the folds, as :meth:`LabelCheck.resolved` gives it.
        how: folds, seed, device and the like.
        log: receives a line for each fold as it begins.
        engine: as for :func:`fittingroom.label_check.check_labels`.

    Returns:
        Probabilities, float32 (N, C), of all parts' images, one part after another.

    Raises:
        DataError: a class has fewer images than there are folds.
    """
    fold_N = _fold_numbers(parts, how)
    folder = _folder(parts, recipe, how, fold_N) if how.keep else None
    rows_of = [np.flatnonzero((fold_N == number) | (fold_N == -1)) for number in range(how.folds)]
    classes = parts[0].dataset.num_classes

    def file_of(number: int) -> Path | None:
        return folder / f"fold-{number}.npy" if folder else None

    # A check that was stopped has left the folds that were finished: only the others are trained.
    kept = {number: _read(file_of(number), (len(rows), classes)) for number, rows in enumerate(rows_of)}
    done = {number: probabilities_MC for number, probabilities_MC in kept.items() if probabilities_MC is not None}
    missing = [number for number in kept if number not in done]
    for number, probabilities_MC in _carry_out(missing, parts, fold_N, recipe, how, log, engine):
        done[number] = probabilities_MC
        _write(file_of(number), probabilities_MC)

    # Summed in the order of the folds, whichever ended first: sums of floats depend on their order.
    sums_NC = np.zeros((len(fold_N), classes), np.float32)
    judges_N = np.zeros(len(fold_N), np.float32)
    for number, rows in enumerate(rows_of):
        sums_NC[rows] += done[number]
        judges_N[rows] += 1
    return sums_NC / judges_N[:, None]


def long_enough(parts: Sequence[Part], how: LabelCheck) -> Recipe:
    """The recipe for the folds of these parts: it trains them for the steps that it asks for, ``min_steps``.

    Two epochs of a few hundred images are two or three steps: judges that know next to nothing doubt half the labels.

    Raises:
        RecipeError: as :meth:`LabelCheck.resolved`.
    """
    recipe = how.resolved()
    learned_from = sum(len(part.dataset) for part in for_training(parts)) * (how.folds - 1) // how.folds
    long = settled(recipe, learned_from)

    # As many steps of a batch that is large beside the set would be as many epochs: a twentieth of the images will do.
    if long.epochs > recipe.epochs:
        batch_size = min(recipe.images_a_step, auto_batch_size(learned_from)) if recipe.batch_size != AUTO else AUTO
        long = settled(dataclasses.replace(recipe, batch_size=batch_size), learned_from)
    return dataclasses.replace(long, min_steps=0)  # the folds are about equally large, and all are trained alike


def for_training(parts: Sequence[Part]) -> list[Part]:
    """Choose the parts that are split into folds: those for training, or all where there is none."""
    return [part for part in parts if part.role in ("train", "")] or list(parts)


def _fold_numbers(parts: Sequence[Part], how: LabelCheck) -> NDArray[np.int64]:
    """Give each image its fold, -1 for those that no fold is trained on: int64 (N,).

    The classes are spread evenly; equal images are in one fold, wherever they stand, and so are those of one group and
    near-duplicates.
    """
    # Of equal images, the first stands for all: U are the different ones.
    trained = for_training(parts)
    hashes = np.concatenate([part.hashes for part in trained])
    labels = np.concatenate([part.dataset.labels for part in trained if part.dataset.labels is not None])
    known_U, first_U = np.unique(hashes, return_index=True)
    labels_U, classes = labels[first_U], parts[0].dataset.classes

    # Each fold has to see each class, or its model could never suggest that one.
    counts = np.bincount(labels_U, minlength=len(classes))
    if len(few := np.flatnonzero((counts > 0) & (counts < how.folds))):
        listed = ", ".join(f"{classes[label]} has {counts[label]}" for label in few[:5].tolist())
        raise DataError(
            f"{trained[0].name}: at least {how.folds} different images of each class expected for {how.folds} folds; "
            f"{listed}: give fewer folds, or leave the class out"
        )

    bundle_U = _bundles(trained, known_U, cache=how.keep)
    fold_U = stratified_folds(labels_U, how.folds, how.seed, bundle_U)
    unseen = [label for label in np.unique(labels_U).tolist() if len(set(fold_U[labels_U == label].tolist())) < 2]
    if unseen:
        raise DataError(
            f"{trained[0].name}: images of each class in two bundles or more expected, for each fold has to see the "
            f"class; those of {classes[unseen[0]]} are all of one group or near-duplicates: give finer groups, or leave"
            " the class out"
        )

    # Back to all images by their hashes. An image of a test set that training has too is in a fold as well.
    hashes_N = np.concatenate([part.hashes for part in parts])
    place_N = np.minimum(np.searchsorted(known_U, hashes_N), len(known_U) - 1)
    return np.where(known_U[place_N] == hashes_N, fold_U[place_N], -1)


def _bundles(trained: Sequence[Part], known_U: NDArray[np.uint64], *, cache: bool) -> NDArray[np.int64] | None:
    """Which of the different images, by their hashes, are tied by groups or as near-duplicates; None where none is."""
    names: list[str | None] = []
    ties = []
    for part in trained:
        place_N = np.searchsorted(known_U, part.hashes)
        names += part.dataset.groups or [None] * len(part.hashes)
        ties.append(place_N[pairs_at_hand(part.dataset, cache=cache)[1]])

    # a group's images by their places among the different ones
    rows_of: dict[str, list[int]] = {}
    for place, name in zip(
        np.searchsorted(known_U, np.concatenate([part.hashes for part in trained])), names, strict=True
    ):
        if name:
            rows_of.setdefault(name, []).append(int(place))
    chains = [pair for rows in rows_of.values() for pair in pairwise(rows)]
    return bundles(len(known_U), pairs=[*ties, np.array(chains, np.int64).reshape(-1, 2)])


def _carry_out(
    numbers: Sequence[int],
    parts: Sequence[Part],
    fold_N: NDArray[np.int64],
    recipe: Recipe,
    how: LabelCheck,
    log: Log,
    engine: RayEngine | None,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Train the folds of these numbers; each with its probabilities (M, C), in the order in which they end."""
    if not numbers:
        return  # without loading torch
    from fittingroom.training.device import pick_device, prepare_torch
    from fittingroom.training.precision import resolve_precision

    how = dataclasses.replace(how, device=pick_device(how.device), threads=how.threads or (1 if engine else None))
    prepare_torch(how.threads, deterministic=False)

    # Resolved once and here: a worker's processor could be another, and its fold would be judged in other digits.
    dataset, model_source = parts[0].dataset, find_model(recipe.model)
    precision = resolve_precision(
        recipe,
        model_source,
        dataset.num_classes,
        dataset.image_size,
        how.device,
        channels=dataset.channels,
    )
    recipe = dataclasses.replace(recipe, precision=cast("Precision", precision.name))

    number_of = {f"fold {number + 1}": number for number in numbers}

    def jobs() -> Iterator[Job[NDArray[np.float32]]]:
        for name, number in number_of.items():
            log(f"{name} of {how.folds}")
            fold = dataclasses.replace(_fold(parts, fold_N, number, recipe, how), emulated=precision.emulated)
            yield Job(name, partial(_predict, fold))

    gpus = int(how.device.startswith("cuda"))
    for job, probabilities_MC in run_jobs(jobs(), engine, threads=how.threads or 1, gpus=gpus):
        yield number_of[job.name], probabilities_MC


def _predict(fold: Fold, _hooks: Hooks) -> NDArray[np.float32]:
    return fold.predict()


def _fold(parts: Sequence[Part], fold_N: NDArray[np.int64], number: int, recipe: Recipe, how: LabelCheck) -> Fold:
    """The fold of a number: trained on the images of all other folds, judging its own and those of no fold."""
    trained = for_training(parts)
    images, labels = [], []
    starts = np.cumsum([len(part.dataset) for part in parts])[:-1]
    for part, fold_P in zip(parts, np.split(fold_N, starts), strict=True):
        if part in trained and part.dataset.labels is not None:
            images.append(part.dataset.images[fold_P != number])
            labels.append(part.dataset.labels[fold_P != number])

    classes = parts[0].dataset.classes
    train = Dataset(np.concatenate(images), np.concatenate(labels), classes, f"fold {number}")
    judged = np.concatenate([part.dataset.images for part in parts])[(fold_N == number) | (fold_N == -1)]
    return Fold(train, judged, dataclasses.replace(recipe, seed=how.seed + number), how.device, how.threads)


def _folder(parts: Sequence[Part], recipe: Recipe, how: LabelCheck, fold_N: NDArray[np.int64]) -> Path:
    """Where finished folds of just this check are kept: by everything that decides what they say."""
    decides = [
        __version__,
        [(part.role, part.dataset.fingerprint.order) for part in parts],
        recipe.as_dict(),
        [name.code.sha256 for name in code_names(recipe)] or find_model(recipe.model).sha256,
        [how.folds, how.seed, how.device],
        hashlib.sha256(np.ascontiguousarray(fold_N, "<i8").data).hexdigest(),
    ]
    key = hashlib.sha256(json.dumps(decides, default=str).encode()).hexdigest()[:16]
    return cache_dir() / LABEL_CHECKS / f"{parts[0].name.replace('/', '-')[:40]}-{key}"


def _read(file: Path | None, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """Read kept probabilities; None where there are none, or the file is damaged."""
    try:
        kept: NDArray[np.float32] | None = None if file is None else np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return kept if kept is not None and kept.shape == shape and kept.dtype == np.float32 else None


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
