"""What a model said of images, and the Parquet file that keeps it beside the truth. Torch is not needed."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.errors import ArtifactError
from fittingroom.evaluation.temperature import Temperature, cross_fitted
from fittingroom.evaluation.threshold import Threshold, cross_fitted_answers
from fittingroom.files.atomic import atomic_write
from fittingroom.files.parquet_pages import page_problem
from fittingroom.files.polars_check import check_polars
from fittingroom.files.records import brief
from fittingroom.files.run_file import read_run_file
from fittingroom.rendering.share import counted

if TYPE_CHECKING:
    import polars as pl

FORMAT = "1"
MAX_BYTES = 256 << 20  # of the file
MAX_VALUES = 64_000_000  # of the table: rows times columns
MAX_TEXT = 10_000  # bytes of a hash, a file's name or a group
ROUNDING = 1e-5
ANSWER = "predicted"
OPTIONAL = ("source", "file", "group")  # columns that are there where the data has them


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model said of N images, a row an image.

    Attributes:
        probabilities: float32 (N, C); rows sum to 1.
        predicted: int64 (N,): the most probable class of each image, the first of several that tie; of two classes with
            a :class:`~fittingroom.evaluation.threshold.Threshold` what that says.
        energies: float32 (N,), see :mod:`fittingroom.artifact.ood_score`; None where nobody asked for them.
        residuals: float32 (N,), see there; None where the model has none.
    """

    probabilities: NDArray[np.float32]
    predicted: NDArray[np.int64]
    energies: NDArray[np.float32] | None = None
    residuals: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, probabilities_NC: NDArray[np.float32]) -> Predictions:
        """The predictions that these probabilities are."""
        return Predictions(probabilities_NC, np.asarray(probabilities_NC.argmax(axis=1)))

    def __len__(self) -> int:
        return len(self.predicted)

    @cached_property
    def confidence(self) -> NDArray[np.float32]:
        """float32 (N,): the probability of the predicted class."""
        return np.asarray(self.probabilities[np.arange(len(self.predicted)), self.predicted])

    def subset(self, rows: slice) -> Predictions:
        """What was said of some of the images."""
        energies = None if self.energies is None else self.energies[rows]
        residuals = None if self.residuals is None else self.residuals[rows]
        return Predictions(self.probabilities[rows], self.predicted[rows], energies, residuals)


def refuse_nan(said: Predictions, where: str | Path) -> None:
    """Refuse answers that are no numbers, of which each figure would be made up.

    Spoilt weights give them for every image; a sound network may for some, such as one that divides by an image's own
    standard deviation does for an image of one tone.

    Raises:
        ArtifactError: some are NaN.
    """
    spoilt = int(np.isnan(said.probabilities).any(axis=1).sum())
    if spoilt:
        raise ArtifactError(
            f"{where}: numbers for probabilities expected, NaN found for {counted(spoilt)} of {len(said):,}: its "
            "weights are damaged, which a copy of them would mend, or it has no answer to such images"
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class JudgedPredictions(Predictions):
    """Predictions of labelled images, beside the truth.

    Attributes:
        classes: names; index = label.
        truth: int64 (N,): the true classes, 0 to C - 1.
        images: SHA-256 of (shape, pixels) of each image, hexadecimal.
        files: path of each image relative to the data set's; None for data that didn't come as picture files.
        sources: SHA-256 of each image's file, or of its cell in a table, hexadecimal; None for arrays.
        groups: the group of each image, None for one in none; None where nothing is known of groups.
        uncalibrated: the probabilities before a temperature, float32 (N, C), where they are known; no file keeps them.
    """

    classes: tuple[str, ...]
    truth: NDArray[np.int64]
    images: tuple[str, ...]
    files: tuple[str, ...] | None = None
    sources: tuple[str, ...] | None = None
    groups: tuple[str | None, ...] | None = None
    uncalibrated: NDArray[np.float32] | None = None

    def calibrated(self, temperature: Temperature, threshold: Threshold | None = None) -> JudgedPredictions:
        """These with the probabilities and answers that the model ships, for images by which neither was chosen."""
        probabilities_NC = temperature.applied(self.probabilities)
        predicted_N = self.predicted if threshold is None else threshold.applied(probabilities_NC)
        return replace(self, probabilities=probabilities_NC, predicted=predicted_N, uncalibrated=self.probabilities)

    def cross_fitted(self, *, with_threshold: bool = False) -> JudgedPredictions:
        """These with probabilities that are as honest on the validation images as the model's are on others.

        The answers stay; ``with_threshold`` they are those of thresholds that are chosen in the same way.
        """
        probabilities_NC, predicted_N = cross_fitted(self.probabilities, self.truth), self.predicted
        if with_threshold and (answers_N := cross_fitted_answers(probabilities_NC, self.truth)) is not None:
            predicted_N = answers_N
        return replace(self, probabilities=probabilities_NC, predicted=predicted_N, uncalibrated=self.probabilities)

    @cached_property
    def is_right(self) -> NDArray[np.bool_]:
        """bool (N,): whether the predicted class is the true one."""
        return np.asarray(self.predicted == self.truth)

    @cached_property
    def group_numbers(self) -> NDArray[np.int64] | None:
        """int64 (N,): the same for images of one group; None where no two are of one."""
        from fittingroom.evaluation.group_intervals import group_numbers  # it judges, which predict has no use for

        return group_numbers(self.groups)

    def scores(self, folds: int | None = None) -> dict[str, Any]:
        """See :func:`fittingroom.evaluation.metrics.score`; with ``loss_uncalibrated`` where that is known.

        Where groups are known the interval is by them, and ``groups`` counts these, an image in none as one; a class of
        which some are of one group has ``counts_for``, as how many unrelated images its own count. Where the
        largest class has three times the images of the smallest, there are those of
        :func:`fittingroom.evaluation.class_metrics.class_metrics` too.

        Args:
            folds: of the cross-validation whose models answered; for the scores by class alone.
        """
        from fittingroom.evaluation.class_metrics import class_metrics, is_lopsided
        from fittingroom.evaluation.fold_interval import COUNTS_FOR
        from fittingroom.evaluation.group_intervals import effective_images, groups_among, model_interval_by_groups
        from fittingroom.evaluation.metrics import log_loss, score

        scores = score(self.probabilities, self.truth, self.classes, self.predicted)
        if self.group_numbers is not None:
            scores["interval"] = list(model_interval_by_groups(self.is_right, self.group_numbers))
            scores["groups"] = int(self.group_numbers.max()) + 1
            for label, row in enumerate(scores["per_class"]):
                of_class_N = self.truth == label
                if (of_class := groups_among(self.group_numbers, of_class_N)) is not None:
                    row[COUNTS_FOR] = effective_images(self.is_right[of_class_N], of_class)
        if is_lopsided(self.truth):
            scores |= class_metrics([(self.probabilities, self.predicted)], self.truth, self.group_numbers, folds)
        if self.uncalibrated is not None:
            scores["loss_uncalibrated"] = log_loss(self.uncalibrated, self.truth)
        return scores


def write_predictions(path: Path, predictions: JudgedPredictions) -> None:
    """Write Parquet, a row an image: ``image`` (its SHA-256), ``file``, ``row``, ``label``, ``predicted``, ``p0``…

    ``label`` and ``predicted`` are class names; ``p<i>`` is the probability of class i as listed in the run's
    ``config.json``. ``file`` is there where the images were read from picture files: a path relative to the data;
    ``source``, the SHA-256 of the file or of the cell in a table, where there was one; ``group`` where groups are
    known.
    """
    import polars as pl

    check_polars()
    classes = np.array(predictions.classes)
    columns: dict[str, Any] = {"image": list(predictions.images)}
    for name, values in zip(OPTIONAL, (predictions.sources, predictions.files, predictions.groups), strict=True):
        if values is not None:
            columns[name] = pl.Series(values, dtype=pl.String)
    columns |= {
        "row": np.arange(len(predictions), dtype=np.int32),
        "label": classes[predictions.truth],
        ANSWER: classes[predictions.predicted],
    }
    columns |= {f"p{i}": column for i, column in enumerate(predictions.probabilities.T)}

    with atomic_write(path, follow_links=False) as file:
        pl.DataFrame(columns).write_parquet(file, metadata={"format": FORMAT})


def read_predictions(path: Path, classes: Sequence[str]) -> JudgedPredictions:
    """Read what :func:`write_predictions` wrote; before 0.2 it wrote neither ``file`` nor ``source`` nor ``group``.

    Args:
        path: the Parquet file.
        classes: names in the order of the model's outputs, as in the run's ``config.json``.

    Raises:
        ArtifactError: the file is missing, damaged, of another format, without labels, or of other classes.
    """
    import polars as pl

    check_polars()
    where = f"predictions of {len(classes)} classes"
    content = read_run_file(path, where, limit=MAX_BYTES)
    if problem := page_problem(io.BytesIO(content)):
        raise ArtifactError(f"{path}: {where} expected, but it can't be read: {problem}")
    try:
        # As bytes: Polars takes a path for a pattern, and reads another file where it has brackets.
        written = pl.read_parquet_metadata(io.BytesIO(content)).get("format")
        if written != FORMAT:
            raise ArtifactError(f"{path}: format {FORMAT} expected, {brief(written)} found: another version wrote it")
        there = pl.read_parquet_schema(io.BytesIO(content))
        wanted = _columns(classes, there, path)
        rows = pl.scan_parquet(io.BytesIO(content)).select(pl.len()).collect().item()
        if not 0 < rows * len(wanted) <= MAX_VALUES:
            raise ArtifactError(f"{path}: {where}, up to {MAX_VALUES:,} values, expected, {rows:,} rows found")
        table = pl.read_parquet(content, columns=list(wanted))
        problem = _problem_of(table, classes)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise ArtifactError(f"{path}: {where} expected, but it can't be read: {error}") from None
    if problem:
        raise ArtifactError(f"{path}: {problem}")

    # Labels are kept by name, so that a file means the same whatever order the classes have had.
    number = {name: i for i, name in enumerate(classes)}
    optional = [name for name in OPTIONAL if name in wanted]
    probabilities = [f"p{i}" for i in range(len(classes))]
    known: dict[str, Any] = {f"{name}s": tuple(table[name]) for name in optional}
    probabilities_NC = table.select(probabilities).to_numpy().astype(np.float32, copy=False)
    predicted_N = np.asarray(probabilities_NC.argmax(axis=1))
    if ANSWER in table.columns:
        predicted_N = np.array([number[name] for name in table[ANSWER]], dtype=np.int64)
    return JudgedPredictions(
        probabilities_NC,
        predicted_N,
        classes=tuple(classes),
        truth=np.array([number[name] for name in table["label"]], dtype=np.int64),
        images=tuple(table["image"]),
        **known,
    )


def _columns(classes: Sequence[str], there: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The columns that are read, with their kinds; raises ArtifactError where the file has others."""
    import polars as pl

    wanted: dict[str, Any] = dict.fromkeys(["image", *(name for name in OPTIONAL if name in there), "label"], pl.String)
    if len(classes) == 2 and ANSWER in there:  # by a threshold it may be the less probable one
        wanted[ANSWER] = pl.String
    wanted |= {f"p{i}": pl.Float32 for i in range(len(classes))}
    for name, kind in wanted.items():
        if there.get(name) not in ((pl.Float32, pl.Float64) if kind == pl.Float32 else (kind,)):
            found = there.get(name, "no such column")
            raise ArtifactError(f"{path}: predictions of {len(classes)} classes expected: {name}: {found} found")
    return wanted


def _problem_of(table: pl.DataFrame, classes: Sequence[str]) -> str | None:
    """What of the values can't be; looked at in Polars, where a text that is there often is there once."""
    import polars as pl

    for column in ("label", *({ANSWER} & set(table.columns))):
        known = pl.col(column).is_in(list(classes)).fill_null(value=False)
        unknown = table.filter(~known)[column].unique().head(5)
        if len(unknown):
            return f"labels among the model's classes expected, found {sorted(map(str, unknown.str.slice(0, 60)))}"
    for name in ("image", *OPTIONAL):
        if name not in table.columns:
            continue
        lengths = table[name].str.len_bytes()
        if longer := int((lengths > MAX_TEXT).sum()):
            return f"{name}: texts of up to {MAX_TEXT:,} bytes expected, {longer:,} longer ones found"
        if name != "group" and lengths.null_count():
            return f"{name}: a text for each image expected, some have none"
    shares = table.select(pl.col("^p[0-9]+$").is_between(0, 1 + ROUNDING).fill_null(value=False).all())
    if not all(shares.row(0)):
        return "probabilities of 0 to 1 expected, others found"
    return None
