"""Predictions that any other program wrote, as a side of a comparison, or judged alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.artifact.artifact import CONFIG
from fittingroom.compare.answers import Answers, matched, numbered_images, pair
from fittingroom.data.cut import groups_for_intervals, groups_or_bundles
from fittingroom.data.dataset import Dataset
from fittingroom.data.open import open_dataset
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError
from fittingroom.evaluation.group_intervals import group_numbers
from fittingroom.evaluation.prediction_file import KEYS, SUFFIXES, PredictionFile, read_prediction_file
from fittingroom.evaluation.predictions import JudgedPredictions
from fittingroom.runs.environment_record import holds_run
from fittingroom.runs.recipe_accuracy import accuracy_of_answers

NO_NAMES = ("", "seed", "seeds", "run", "predictions", "p")  # of files, that say less than their folder's
MAX_FILES = 1_000  # of one side
MAX_ANSWERS, MAX_PROBABILITIES = 20_000_000, 256_000_000  # in all files of one side


def files_of(side: str | Path | Sequence[str | Path]) -> list[Path] | None:
    """The files of predictions that a side of a comparison names; None where it is a run.

    One file, several, a pattern such as ``mine/seed-*.csv``, or a folder that has such files and no run.

    Raises:
        DataError: no file fits the pattern, or too many.
    """
    if not isinstance(side, str | Path):
        paths = [Path(path) for path in side]
        if not paths:
            raise DataError("one file of predictions or more expected, an empty list found")
    else:
        # What lies there decides, whatever it is called: a file may have brackets in its name.
        path = Path(side)
        if path.is_file():
            return [path]
        if path.is_dir():
            if holds_run(path) or (path / CONFIG).exists():
                return None
            paths = [file for file in sorted(path.iterdir()) if file.suffix.lower() in SUFFIXES]
            if not paths:
                return None
        elif path.suffix.lower() in SUFFIXES:
            paths = [path]
            if any(character in path.name for character in "*?["):
                paths = sorted(path.parent.glob(path.name))
                if not paths:
                    raise DataError(f"{path}: files of predictions expected, none has such a name")
        else:
            return None

    if len(paths) > MAX_FILES:
        raise DataError(f"{side}: up to {MAX_FILES:,} files of predictions expected, {len(paths):,} found")
    return paths


def name_of(paths: Sequence[Path]) -> str:
    """What messages call files of predictions: what their names have in common."""
    if len(paths) == 1:
        return paths[0].stem
    first, last = min(path.stem for path in paths), max(path.stem for path in paths)
    common = "".join(a for a, _ in itertools.takewhile(lambda both: both[0] == both[1], zip(first, last, strict=False)))

    # Of loop-10 and loop-11 that is loop, and not loop-1: a number is common as a whole or not at all.
    if any(path.stem[len(common) :][:1].isdigit() for path in paths):
        common = common.rstrip("0123456789")
    common = common.rstrip("-_. ")
    return paths[0].resolve().parent.name if common.lower() in NO_NAMES else common


def read_files(
    paths: Sequence[Path], name: str, dataset: Dataset | None = None, *, with_probabilities: bool = False
) -> Answers:
    """Read the predictions of one model a file.

    Args:
        paths: one file a seed, about the same images.
        name: what messages call them.
        dataset: whose images they are about: it has the labels where the files have none, and the pictures.
        with_probabilities: keep them, where every file has some.

    Raises:
        DataError: of a file; files about other images, or of other labels, than the first; no labels anywhere.
    """
    tables = _read_all(paths, name)
    first = tables[0]
    if first.labels is None and dataset is None:
        raise DataError(f"{first.path}: label expected, it has none; name the data that has the labels")
    classes, numbered = _classes_of(tables, name)

    # All follow the first one's order of images.
    orders = [_order(first, table) for table in tables]
    predicted = np.stack([table.predicted[order] for table, order in zip(tables, orders, strict=True)])
    probabilities = _probabilities_of(tables, orders, classes, name) if with_probabilities else None
    truth = predicted[0] if first.labels is None else first.labels  # in place of what the data says

    images, files, ids = (_texts(first.keys.get(key)) for key in ("image", "file", "id"))
    rows: Sequence[int] | None = None
    if first.says_rows:
        rows = [int(row) for row in first.keys["row"]]
    elif images is files is ids is None:
        rows = range(len(first))

    answers = Answers(
        name,
        None,
        numbered_images(images, truth.tolist()) if images else _told_by(first),
        classes,
        truth,
        predicted,
        files=files,
        groups=None if images is None else groups_or_bundles(None, np.unique(images, return_inverse=True)[1]),
        ids=ids,
        rows=rows,
        has_pixels=images is not None,
        numbered=numbered,
        place=paths[0],
        notes=tuple(f"Of {table.path.name}, {table.unused}." for table in tables if table.unused),
        probabilities=probabilities,
    )
    return answers if dataset is None else _with_dataset(answers, dataset, has_labels=first.labels is not None)


def _read_all(paths: Sequence[Path], name: str) -> list[PredictionFile]:
    tables: list[PredictionFile] = []
    for path in paths:
        tables.append(read_prediction_file(path))

        # While it is read: a thousand files of a million rows each wouldn't fit into memory.
        if len(tables) * len(tables[0]) > MAX_ANSWERS:
            raise DataError(f"{name}: up to {MAX_ANSWERS:,} answers in all files expected, more found")
    return tables


def _classes_of(tables: Sequence[PredictionFile], name: str) -> tuple[tuple[str, ...], bool]:
    """The classes of all files, as one may be missing from one seed's answers; and whether they are numbers."""
    numbered = all(table.are_numbers for table in tables)
    if not numbered and any(table.are_numbers for table in tables):
        raise DataError(f"{name}: classes as numbers in all files, or as names in all, expected; found both")
    classes = tuple(dict.fromkeys(known for table in tables for known in table.classes))
    if numbered:
        classes = tuple(str(number) for number in range(max(map(int, classes)) + 1))
    return classes, numbered


def _probabilities_of(
    tables: Sequence[PredictionFile], orders: Sequence[Sequence[int]], classes: Sequence[str], name: str
) -> NDArray[np.float32] | None:
    """The probabilities of all files: float32 (files, images, classes); None where a file has none."""
    if any(table.probabilities is None for table in tables):
        return None
    if len(tables) * len(tables[0]) * len(classes) > MAX_PROBABILITIES:
        raise DataError(f"{name}: up to {MAX_PROBABILITIES:,} probabilities in all files expected, more found")
    return np.stack([_in_order(table, classes)[order] for table, order in zip(tables, orders, strict=True)])


def _texts(column: Iterable[Any] | None) -> list[str] | None:
    return None if column is None else list(map(str, column))


def evaluate_files(
    files: str | Path | Sequence[str | Path], data: Splits | Dataset | str | Path | None = None, *, split: str = "test"
) -> dict[str, Any]:
    """Judge the predictions of any program, as :meth:`fittingroom.Run.evaluate` judges a run.

    Args:
        files: Parquet, CSV or npz with ``label`` and ``predicted``, or ``label`` and probabilities: one file, several
            of one recipe's seeds, a pattern such as ``mine/seed-*.csv``, or a folder of such files.
        data: whose images they are about, paired by ``image`` (SHA-256 of the pixels), ``file`` or ``row``: it gives
            the names of the classes, and the labels where the files have none. None: the files' own.
        split: which part of ``data``.

    Returns:
        The scores of one file: ``accuracy``, ``interval``, ``n``, ``per_class``, ``confusion``; ``loss`` and ``top2``
        are None without probabilities. Of several: ``mean``, ``sd``, ``interval`` of the recipe by seeds and images,
        and ``members``.

    Raises:
        DataError: of the files, or they are about other images, or say other labels, than the data.

    Example:
        >>> import numpy as np
        >>> import fittingroom as fr
        >>> np.savez("mine.npz", label=[0, 1, 1, 2], predicted=[0, 1, 1, 1])
        >>> scores = fr.evaluate_files("mine.npz")
        >>> scores["accuracy"], scores["n"]
        (0.75, 4)
    """
    paths = files_of(files)
    if paths is None:
        raise DataError(f"{files}: files of predictions ({', '.join(SUFFIXES)}) expected, none found")
    dataset = None if data is None else dataset_of(data, split)
    return scores_of(read_files(paths, name_of(paths), dataset, with_probabilities=True), paths)


def scores_of(answers: Answers, paths: Sequence[Path]) -> dict[str, Any]:
    """What :func:`evaluate_files` returns, of answers that were read from these files."""
    members = [_scores(answers, seed) | {"file": str(path)} for seed, path in enumerate(paths)]
    known = {"name": answers.name, "notes": list(answers.notes)}
    if len(members) == 1:
        return members[0] | known
    accuracy = accuracy_of_answers(answers.correct, group_numbers(answers.groups))
    return (
        accuracy.as_dict()
        | {"members": members, "n": len(answers.images), "on": f"{len(answers.images):,} images"}
        | known
    )


def dataset_of(data: Splits | Dataset | str | Path, split: str) -> Dataset:
    """One part of data, with labels.

    Raises:
        DataError: of the data; it has no such part.
    """
    if isinstance(data, str | Path):
        data = open_dataset(data)
    if isinstance(data, Splits):
        part: Dataset | None = getattr(data, split)
        if part is None:
            raise DataError(f"{data.source or data.train.name}: a {split} set expected, it has none")
        data = part
    if data.labels is None:
        raise DataError(f"{data.name}: labelled images expected, it has no labels")
    return data


def _with_dataset(answers: Answers, dataset: Dataset, *, has_labels: bool) -> Answers:
    """The answers with what the data knows of the images; where both have labels, they have to agree."""
    assert dataset.labels is not None
    truth = np.array(dataset.classes)[dataset.labels]

    # As a side that is always right: pairing with it is pairing with the data.
    known = Answers(
        dataset.name,
        None,
        numbered_images([digest.hex() for digest in dataset.image_hashes()], truth.tolist()),
        dataset.classes,
        truth,
        truth[None],
        files=dataset.files,
        sources=None
        if dataset.sources is None
        else numbered_images([each.hex() for each in dataset.sources], truth.tolist()),
        groups=groups_for_intervals(dataset),
        rows=[*range(len(dataset))],
    )

    if has_labels:
        ours, theirs = pair(answers, known)
    else:
        # Without labels equal images can't be told apart: each is taken for any of them.
        ours, theirs, _ = matched(answers, known)
        strangers = sorted(set(np.unique(ours.predicted).tolist()) - set(dataset.classes))
        if strangers:
            raise DataError(
                f"{answers.name}: classes of {dataset.name} expected ({', '.join(dataset.classes[:10])}), "
                f"{', '.join(map(repr, strangers[:5]))} found"
            )

    # Images that the data hasn't are a mistake; images of the data that the file hasn't may be a choice.
    notes = ours.notes
    if len(ours.images) < len(answers.images):
        missing = len(answers.images) - len(ours.images)
        raise DataError(
            f"{answers.name}: images of {dataset.name} expected, {missing:,} of {len(answers.images):,} are not in it"
        )
    if len(ours.images) < len(dataset):
        notes = (*notes, f"{answers.name} has {len(ours.images):,} of the {len(dataset):,} images of {dataset.name}.")

    return replace(
        ours,
        truth=theirs.truth,
        images=theirs.images,
        sources=theirs.sources,
        files=theirs.files,
        groups=theirs.groups,
        rows=theirs.rows,
        has_pixels=True,
        dataset=dataset,
        notes=notes,
    )


def _scores(answers: Answers, seed: int) -> dict[str, Any]:
    """The scores of one file, as ``result.json`` has them; what takes probabilities is None where there are none."""
    # Labels and answers may have classes that no column of probabilities has: these come last.
    classes = list(
        dict.fromkeys([*answers.classes, *np.unique(answers.truth).tolist(), *np.unique(answers.predicted).tolist()])
    )
    number = {name: i for i, name in enumerate(classes)}
    truth_N, predicted_N = (
        np.array([number[name] for name in names.tolist()], dtype=np.int64)
        for names in (answers.truth, answers.predicted[seed])
    )

    # Where a file only answers, all goes to the answer: accuracy and confusion hold, what takes probabilities doesn't.
    said = None if answers.probabilities is None else answers.probabilities[seed]
    probabilities_NC = np.zeros((len(truth_N), len(classes)), dtype=np.float32)
    if said is None:
        probabilities_NC[np.arange(len(truth_N)), predicted_N] = 1
    else:
        probabilities_NC[:, : said.shape[1]] = said

    judged = JudgedPredictions(
        probabilities_NC,
        predicted_N,
        classes=tuple(classes),
        truth=truth_N,
        images=tuple(image for image, _ in answers.images),
        groups=None if answers.groups is None else tuple(answers.groups),
    )
    scores = judged.scores()
    if said is None:
        scores.pop("auc", None)
        scores |= {"loss": None, "top2": None}
    return scores


def _in_order(table: PredictionFile, classes: Sequence[str]) -> NDArray[np.float32]:
    """Its probabilities in the order of ``classes``, 0 for those that it doesn't know."""
    assert table.probabilities is not None
    if tuple(classes) == table.classes:
        return table.probabilities
    probabilities_NC = np.zeros((len(table), len(classes)), dtype=np.float32)
    probabilities_NC[:, [classes.index(name) for name in table.classes]] = table.probabilities
    return probabilities_NC


def _told_by(table: PredictionFile) -> list[tuple[str, int]]:
    """What its images are called where no hash is known: by file, id or row."""
    by = next(name for name in KEYS if name != "image" and name in table.keys)
    return [(f"{by} {value}", 0) for value in table.keys[by]]


def _order(first: PredictionFile, table: PredictionFile) -> list[int]:
    """The rows of a file in the order of the first one's images."""
    by = next((name for name in KEYS if name in first.keys and name in table.keys), "row")
    ours, theirs = (numbered_images(list(map(str, each.keys[by])), _labels(each)) for each in (first, table))
    row_of = {image: row for row, image in enumerate(theirs)}
    if row_of.keys() != set(ours):
        raise DataError(
            f"{table.path}: the images of {first.path} expected, {len(table):,} found, of which "
            f"{len(row_of.keys() & set(ours)):,} are among its {len(first):,}"
        )

    order = [row_of[image] for image in ours]
    if first.labels is not None and table.labels is not None and (first.labels != table.labels[order]).any():
        count = int((first.labels != table.labels[order]).sum())
        raise DataError(f"{table.path}: the labels of {first.path} expected, {count:,} of {len(table):,} differ")
    return order


def _labels(table: PredictionFile) -> list[str]:
    return [""] * len(table) if table.labels is None else table.labels.tolist()
