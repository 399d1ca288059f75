"""A run on disk: what a training left behind, and its judgement.

The model is judged on the test set by :meth:`Run.evaluate` alone, which puts each evaluation on record.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Container, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.artifact.artifact import Artifact, open_artifact
from fittingroom.audit.subsets import Subset, score_subsets
from fittingroom.data.cut import groups_for_intervals
from fittingroom.data.dataset import Dataset
from fittingroom.data.in_memory import kind_of
from fittingroom.data.preprocessing import Preprocessing
from fittingroom.data.splits import Splits
from fittingroom.errors import ArtifactError, DataError, FittingRoomError, naming_extras
from fittingroom.evaluation.predictions import JudgedPredictions, read_predictions, refuse_nan, write_predictions
from fittingroom.files.atomic import make_own_folder
from fittingroom.files.json_file import write_json
from fittingroom.files.one_state import in_one_state
from fittingroom.files.run_file import read_run_text
from fittingroom.recipes.own_names import as_foreign
from fittingroom.recipes.reading import parse_recipe
from fittingroom.recipes.recipe import Recipe
from fittingroom.runs.command_line import command_line
from fittingroom.runs.environment_record import DataIdentity, Environment, holds_run, read_environment
from fittingroom.runs.ledger import record_evaluation
from fittingroom.runs.metrics_log import read_metrics
from fittingroom.runs.one_writer import AnotherWriter, one_writer
from fittingroom.runs.preprocessing import described, prepared_dataset
from fittingroom.runs.recipe_accuracy import accuracy_of_members
from fittingroom.runs.result_record import EVALUATION_FORMAT, read_result, write_result
from fittingroom.runs.result_record import FILE as RESULT
from fittingroom.runs.run_data import open_recorded_data
from fittingroom.runs.several_seeds import mean_of_members, summarize_members

if TYPE_CHECKING:
    from fittingroom.artifact.trained_model import TrainedModel

PREDICTIONS = {"test": "predictions.parquet", "validation": "predictions-validation.parquet"}


@dataclass(frozen=True)
class Run:
    """A training on disk: of one seed, or a folder with a member for each of several.

    Attributes:
        path: its folder.
        splits: the data that it was trained on where they are at hand; otherwise they are opened again from the
            recorded source when needed.

    Example:
        >>> import fittingroom as fr
        >>> run = fr.open_run("runs/plain-1")
        >>> run.recipe.epochs, run.is_finished, run.members
        (2, True, [])
        >>> scores = run.evaluate(fr.open_dataset("sample").test)  # a test-set evaluation, and recorded as one
        >>> scores["n"], scores["interval"][0] < scores["accuracy"] < scores["interval"][1]
        (1000, True)
    """

    path: Path
    splits: Splits | None = field(default=None, repr=False, compare=False)

    def _repr_html_(self) -> str | None:
        """What a notebook shows: scores and curve; None, so that it shows the text, of a run that can't be read."""
        from fittingroom.runs.in_notebook import view_of_run

        try:
            result = self.result if self.is_finished else None
            events = [] if self.members else self.events
            return view_of_run(str(self.path), self.environment, result, events)
        except (FittingRoomError, OSError, KeyError, TypeError, ValueError, AttributeError):
            return None

    @property
    def artifact(self) -> Artifact:
        """The trained model. Raises :class:`ArtifactError` for a run of several seeds, listing them."""
        return open_artifact(self.path)

    @naming_extras()
    def model(self, *, trust_code: bool = False, device: str = "cpu") -> TrainedModel:
        """The trained model as a PyTorch module that takes pixels of 0–255, as ``model.onnx`` does.

        Its ``network`` is the network alone, without normalization and temperature.

        Args:
            trust_code: permits executing the source that the user's own network came with.
            device: where to put it; ``auto`` for the best there is.

        Raises:
            ArtifactError: the run can't be opened, has several members (they are listed), or code that isn't trusted.

        Example:
            >>> import fittingroom as fr
            >>> import torch
            >>> model = fr.open_run("runs/plain-1").model()
            >>> images = torch.from_numpy(fr.open_dataset("sample").test.images[:5].copy())  # uint8 (5, 28, 28)
            >>> model(images).shape, model.network(model.normalized(images)).shape
            (torch.Size([5, 10]), torch.Size([5, 10]))
        """
        from fittingroom.artifact.trained_model import TrainedModel
        from fittingroom.training.device import pick_device

        artifact = self.artifact
        return TrainedModel(artifact, artifact.network(trust_code=trust_code)).to(pick_device(device)).eval()

    @property
    def result(self) -> dict[str, Any]:
        """What ``result.json`` says; of several seeds with the interval of their recipe, which 0.1 did not write."""
        result = read_result(self.path)
        on = result.get("on")
        if "members" in result and on and "interval" not in result:
            scores = [member[on] for member in result["members"]]
            result |= accuracy_of_members(self.members, on, scores).as_dict()
        return result

    @property
    def environment(self) -> Environment:
        """What ``environment.json`` says: command, data, options, versions, machine. Raises :class:`ArtifactError`."""
        return read_environment(self.path)

    @property
    def recipe(self) -> Recipe:
        """The whole resolved recipe."""
        file = self.path / "recipe.toml"
        return as_foreign(parse_recipe(read_run_text(file, "the run's recipe"), where=str(file)))

    @property
    def events(self) -> list[dict[str, Any]]:
        """What ``metrics.jsonl`` says, oldest first, up to a damaged line. Raises :class:`ArtifactError`."""
        file, epochs = self.path / "metrics.jsonl", self.recipe.epochs
        events = read_metrics(file)
        last = max((event["epoch"] for event in events if event["event"] in ("step", "epoch")), default=0)
        if last >= epochs:
            raise ArtifactError(f"{file}: the {epochs:,} epochs of its recipe expected, epoch {last:,} (from 0) found")
        return events

    @property
    def preprocessing(self) -> Preprocessing:
        """How a picture becomes an image of the run's data, by which other data is to be read too."""
        recorded = self.environment.preprocessing
        return recorded or (self.members or [self])[0].artifact.preprocessing

    @property
    def members(self) -> list[Run]:
        """The runs of single seeds, in the order of the seeds; empty for a run that is one itself."""
        # A copy that somebody put beside them, seed-0-old, is no member; nor is a link to a run elsewhere, into which
        # this one's report would be written.
        folders = [
            folder
            for folder in self.path.glob("seed-*")
            if folder.name[5:].isdecimal()
            and (not folder.is_symlink() or folder.resolve().parent == self.path.resolve())
        ]
        return [Run(folder, self.splits) for folder in sorted(folders, key=lambda folder: int(folder.name[5:]))]

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to train."""
        return (self.path / RESULT).exists()

    def open_data(self) -> Splits:
        """The data that the run was started with, test set included. Raises :class:`DataError`."""
        if self.splits is not None:
            return self.splits
        return open_recorded_data(self.path, self.environment)

    def predictions_file(self, split: str) -> Path:
        """Where the model's predictions on ``test`` or ``validation`` are kept, whether or not they are there."""
        return self.path / PREDICTIONS[split]

    def images(self, split: str, wanted: Container[str] | None = None) -> dict[str, NDArray[np.uint8]]:
        """The images of a part of the run's data, by what predictions and findings name them by.

        Args:
            split: ``train``, ``validation`` or ``test``. Validation images that the run held out of train are looked
                for there.
            wanted: the SHA-256 of those that are needed; None for all.

        Returns:
            Images uint8 (H, W) by the SHA-256 of (shape, pixels), hexadecimal; without those that the data lacks now.

        Raises:
            DataError: the data can't be opened, or has no such part.
        """
        splits = self.open_data()
        parts = {"train": splits.train, "validation": splits.validation or splits.train, "test": splits.test}
        dataset = parts[split]
        if dataset is None:
            raise DataError(f"{splits.source}: a {split} set expected, it has none")

        hashes = (digest.hex() for digest in dataset.image_hashes())
        rows = {digest: row for row, digest in enumerate(hashes) if wanted is None or digest in wanted}
        return {digest: dataset.images[row] for digest, row in rows.items()}

    @naming_extras()
    def evaluate(
        self,
        data: Dataset | None = None,
        *,
        subsets: Sequence[Subset] = (),
        trust_code: bool = False,
        device: str = "cpu",
    ) -> dict[str, Any]:
        """Judge the model as it ships, in float32.

        The first evaluation on the run's own test set fills ``"test"`` in ``result.json`` and writes
        ``predictions.parquet``. Any later one has files of its own, ``evaluations/<number>.json`` and ``.parquet``.

        Args:
            data: what to judge on; by default the run's own test set. Its labels are matched by class name. Images of
                another size, or in colour where the model knows grey ones, are made over as ``predict`` does it.
            subsets: of ``data``, on which the accuracy is given beside that on all of it, under ``"subsets"``; see
                :func:`fittingroom.audit.subsets.make_subsets`.
            trust_code: permits executing the source that the user's own network came with.
            device: where to compute; ``auto`` for the best there is.

        Returns:
            The scores, as :func:`fittingroom.evaluation.metrics.score` describes them; of a run of several seeds,
            their mean, sd, the interval of the recipe (seeds and images crossed), and each member's.

        Raises:
            DataError: there is no test set, or its classes differ from the model's.
            ArtifactError: the run can't be opened.
        """
        if data is not None and not isinstance(data, Dataset):
            raise DataError(
                f"data: a fittingroom.Dataset expected, {kind_of(data)} found: "
                "fittingroom.open_dataset(path, preprocessing=run.artifact.preprocessing).test is one"
            )

        # Of several seeds each model is judged by itself, and what is given is their mean.
        if self.members:
            evaluated = [
                member._evaluate_one(data, subsets, trust_code=trust_code, device=device) for member in self.members
            ]
            if data is None:
                _keep_if_writable(self.path, partial(summarize_members, self.path, self.members))
            dataset = self.own_test_set() if data is None else data
            return mean_of_members(
                self.members, evaluated, subsets, "test" if data is None else data.name, groups_for_intervals(dataset)
            )
        return self._evaluate_one(data, subsets, trust_code=trust_code, device=device)[0]

    def _evaluate_one(
        self, data: Dataset | None, subsets: Sequence[Subset], *, trust_code: bool, device: str
    ) -> tuple[dict[str, Any], NDArray[np.bool_]]:
        """The scores of one model, and bool (N,): which answers are right."""
        # Classes are matched by name: another set may have them in another order.
        with in_one_state(self.path):
            artifact = self.artifact
            dataset = (self.own_test_set() if data is None else data).aligned_to(artifact.classes)
            judged = _judge(artifact, dataset, trust_code=trust_code, device=device)
        scores, _ = judged.scores(), self.result  # a damaged one is refused before the evaluation counts
        if subsets:
            scores["subsets"] = score_subsets(subsets, judged.is_right, judged.group_numbers)

        # On record before anything of it is kept: a figure that nobody counted is worse than a count without a figure.
        # A run that can't be written to, such as another user's, is judged all the same.
        evaluation = record_evaluation(runs_folder(self.path), dataset, run=self.name, command=command_line())

        def keep() -> None:
            result = self.result  # by now another process may have judged it, too
            if data is None and result["test"] is None:
                write_predictions(self.predictions_file("test"), judged)
                evaluations = [*result["test_looks"], evaluation]
                write_result(self.path, result | {"test": scores, "test_looks": evaluations})
            else:
                self._keep_evaluation(dataset, judged, {"scores": scores, "look": evaluation})

        _keep_if_writable(self.path, keep)
        return scores, judged.is_right

    def _keep_evaluation(self, dataset: Dataset, judged: JudgedPredictions, outcome: dict[str, Any]) -> None:
        """Write the files of an evaluation that is not the first one on the run's own test set."""
        folder = self.path / "evaluations"
        make_own_folder(folder)
        number = 1 + max((int(file.stem) for file in folder.glob("*.json") if file.stem.isdecimal()), default=0)

        write_predictions(folder / f"{number}.parquet", judged)
        of_data = {"data": dataset.name, "fingerprint": asdict(dataset.fingerprint)}
        write_json(folder / f"{number}.json", {"format": EVALUATION_FORMAT} | of_data | outcome)

    def own_test_set(self) -> Dataset:
        """The test set that the run was started with. Raises :class:`DataError` where there is none, or another now."""
        test, recorded = self.open_data().test, self.environment.data.test
        if test is None:
            raise DataError(
                f"{self.path}: its data has no test set; name one: fittingroom evaluate {self.path} DATA; what it said "
                "of its validation images: --split validation"
            )
        now = DataIdentity.of(test)
        if recorded is None or not (now.content == recorded.content or now.is_same_data(recorded)):
            raise DataError(
                f"{test.name}: this is not the test set that the run was started with; to judge on it all the same, "
                f"name it: fittingroom evaluate {self.path} DATA"
            )
        return test

    def validation_scores(self) -> dict[str, Any]:
        """What was said of the images that validated it, as the training recorded it: nothing is judged anew.

        Returns:
            As :meth:`evaluate` does.

        Raises:
            DataError: none did.
            ArtifactError: the run's files can't be read.
        """
        members = self.members or [self]
        scores = [member.result["validation"] for member in members]
        if None in scores:
            raise DataError(
                f"{self.path}: no images were held out of its training, so none validated it; name data to judge it "
                f"by: fittingroom evaluate {self.path} DATA"
            )
        if not self.members:
            return dict(scores[0])

        tables = [read_predictions(each.predictions_file("validation"), each.artifact.classes) for each in members]
        evaluated = [(of_one, table.is_right) for of_one, table in zip(scores, tables, strict=True)]
        return mean_of_members(self.members, evaluated, (), "validation", tables[0].groups)

    @property
    def name(self) -> str:
        """What the ledger calls it: ``swift-1``, or ``swift-2/seed-0`` for a member."""
        return str(self.path.resolve().relative_to(runs_folder(self.path).resolve()))


def _keep_if_writable(folder: Path, write: Callable[[], object]) -> None:
    """Hold a run's folder and write an evaluation there, or warn that it can't be: the scores are given anyway."""
    try:
        with one_writer(folder):
            write()
    except AnotherWriter as error:
        warnings.warn(f"{error}; this evaluation is not kept there", stacklevel=3)
    except OSError as error:
        why = error.strerror or error
        warnings.warn(f"{folder}: this evaluation can't be kept there: {why}", stacklevel=3)


def _as_the_model_takes_it(dataset: Dataset, preprocessing: Preprocessing) -> Dataset:
    """The images with the size and channels of the training; says so where they had others."""
    made_over = prepared_dataset(dataset, preprocessing)
    if made_over is not dataset:
        warnings.warn(
            f"{dataset.name}: the model was trained on {described(made_over)}; these, {described(dataset)}, are "
            "made over",
            stacklevel=3,
        )
    return made_over


def _judge(artifact: Artifact, dataset: Dataset, *, trust_code: bool, device: str) -> JudgedPredictions:
    """What the artifact's network says of a data set with its classes, beside the truth."""
    import torch

    from fittingroom.training.device import pick_device
    from fittingroom.training.inference import judge, predict_dataset

    device = pick_device(device)
    network = artifact.network(trust_code=trust_code).to(device)
    shown = _as_the_model_takes_it(dataset, artifact.preprocessing)
    predictions = predict_dataset(network, shown, artifact.normalization, device=torch.device(device))
    refuse_nan(predictions, artifact.path)
    judged = judge(predictions, dataset)  # images go by their own hashes, whatever a model makes of them
    return judged.calibrated(artifact.temperature, artifact.threshold)


def open_run(path: str | Path) -> Run:
    """A finished run by its folder.

    Raises:
        ArtifactError: there is none, or its training is not finished.

    Example:
        >>> import fittingroom as fr
        >>> result = fr.open_run("runs/plain-1").result
        >>> result["test"]["n"], len(result["test_looks"])
        (1000, 1)
    """
    run = Run(Path(path))
    if not run.is_finished:
        if not run.members:
            open_artifact(run.path)  # its error says what is there instead
        raise ArtifactError(f"{path}: its training is not finished; `fittingroom train --resume {path}` does the rest")
    return run


def find_runs(folder: Path) -> list[Run]:
    """Every run right below ``folder``, finished or not; the members of a run of several seeds are not listed."""
    return [Run(file.parent) for file in sorted(folder.glob("*/environment.json"))]


def runs_folder(path: Path) -> Path:
    """The folder of all runs, where the ledger is kept, for the folder of a run, a member or a trial."""
    parent = path.resolve().parent
    while holds_run(parent) or (parent / "study.json").exists():
        parent = parent.parent
    return parent
