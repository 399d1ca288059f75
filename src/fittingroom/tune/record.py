"""What ``study.json`` says of a search: written when one is started, and read, as a stranger's, when it goes on."""

from __future__ import annotations

import dataclasses
import shutil
from contextlib import ExitStack, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

import optuna

from fittingroom.data.open import open_dataset
from fittingroom.data.splits import Splits
from fittingroom.environment import versions
from fittingroom.errors import ArtifactError, DataError, RecipeError
from fittingroom.files.json_file import read_json, write_json
from fittingroom.files.records import LongText, brief, read_record
from fittingroom.files.sqlite_url import without_password
from fittingroom.models import build_model, find_model
from fittingroom.own_code.kept import FOLDER as CODE
from fittingroom.own_code.kept import KeptCode
from fittingroom.recipes.reading import recipe_from_dict
from fittingroom.recipes.recipe import Judge, Recipe
from fittingroom.runs.command_line import command_line
from fittingroom.runs.environment_record import Options
from fittingroom.runs.kept_code import keep_study_code
from fittingroom.runs.new_folder import as_given, claimed_folder
from fittingroom.runs.one_writer import BEGIN_AGAIN, BEGUN, beginning, was_stopped_at_once
from fittingroom.runs.preprocessing import preprocessing_of
from fittingroom.training.device import pick_device, prepare_torch
from fittingroom.training.hold_out import held_out_count
from fittingroom.tune.objective import OBJECTIVES
from fittingroom.tune.own_database import with_own_database
from fittingroom.tune.space import SearchSpace, baseline_values, label, names_in_study, parse_space, read_space
from fittingroom.tune.storage import DATABASE, open_storage, sqlite_in
from fittingroom.tune.study import Study
from fittingroom.tune.trial import Plan

STUDY = "study.json"
FORMAT = 1  # of that file
FIRST_FILES = (CODE, DATABASE, f"{DATABASE}-journal", STUDY)  # that a study has before its first trial; its record last
DAMAGED = "the file was damaged or changed: put a copy of it back, or start a new study"


class StudyData(TypedDict):
    """What ``study.json`` says of its data: where it is, and the fingerprints of what is trained and judged on."""

    source: str
    train: str
    validation: str | None


class StudyRecord(TypedDict):
    """What ``study.json`` says; plan, options and recipe are read by their own records."""

    plan: dict[str, Any]
    recipe: dict[str, Any]
    space: LongText
    code: NotRequired[dict[str, KeptCode]]
    storage: str | None
    options: dict[str, Any]
    data: StudyData


def start_study(
    splits: Splits,
    recipe: Recipe,
    space: str | Path,
    plan: Plan,
    *,
    out: Path | None = None,
    options: Options | None = None,
    storage: str | None = None,
) -> Study:
    """Write a new study's folder and make it known to Optuna. Its first trial is to be the baseline, the recipe itself.

    Args:
        splits: with labels; a test set is put aside.
        recipe: has to hold out validation images.
        space: TOML text, or the path of a file with it; see :mod:`fittingroom.tune.space`.
        plan: objective, pruner, seed and number of trials.
        out: new or empty; by default the next free ``runs/<recipe>-tune-<number>``.
        options: device, threads and the like, of every training.
        storage: a URL of Optuna's; by default an SQLite file in the folder.

    Raises:
        RecipeError: every problem of the space; no validation images.
        ArtifactError: the folder is taken, or the name of the study in the storage is.
        FittingRoomError: the storage can't be reached.
    """
    # Whatever no trial could run with is refused here, before there is a folder.
    options = options or Options()
    pick_device(options.device)
    prepare_torch(options.threads, options.deterministic)
    splits = dataclasses.replace(splits, test=None)
    if OBJECTIVES[plan.objective].is_judge:
        recipe = dataclasses.replace(recipe, judge=cast("Judge", plan.objective))
    if held_out_count(splits, recipe) == 0:
        raise RecipeError(
            "tune chooses by validation images, and the recipe holds none out: give it validation = 2000, say"
        )

    text = read_space(space) if isinstance(space, Path) else space
    entries = _parsed(text, recipe, splits, where=space.name if isinstance(space, Path) else "space")

    if storage is not None:
        open_storage(storage)
    if out is not None and (as_given(out) / STUDY).exists():
        raise ArtifactError(f"{out}: there is a study already; to go on with it: fittingroom tune --resume {out}")

    # Sources are kept now: a trial that is drawn tomorrow trains the network that was tried today.
    with ExitStack() as held:
        folder = claimed_folder(out, f"{recipe.name or 'run'}-tune", held, FIRST_FILES)
        with beginning(folder, FIRST_FILES):
            code = keep_study_code(folder, names_in_study(recipe, entries))
            study = Study(folder, plan, recipe, entries, options, storage or sqlite_in(folder), splits, code)
            _enter_into_storage(study)

            # Last: a folder with this file is a study.
            record = {
                "format": FORMAT,
                "command": command_line(),
                "started": datetime.now(UTC).isoformat(timespec="seconds"),
                "plan": asdict(plan),
                "recipe": recipe.as_dict(),
                "space": text,
                "code": {name: asdict(kept) for name, kept in code.items()},
                "storage": storage and without_password(storage),
                "options": asdict(study.options),
                "data": {"source": splits.source, **_fingerprints(splits)},
                "versions": versions() | {"optuna": optuna.__version__},
            }
            write_json(folder / STUDY, record)
    return study


def _parsed(text: str, recipe: Recipe, splits: Splits, *, where: str) -> SearchSpace:
    """The space of a new study, each of its models built once. Raises RecipeError with every problem."""
    source = find_model(recipe.model)
    classes, size = splits.train.num_classes, splits.train.image_size

    def try_model(changed: Recipe) -> None:
        tried = source if changed.model == recipe.model else find_model(changed.model)
        build_model(
            tried,
            num_classes=classes,
            image_size=size,
            channels=splits.train.channels,
            model_args=changed.model_args,
        )

    return parse_space(text, recipe, try_model, where=where)


def _enter_into_storage(study: Study) -> None:
    """Make a new study known to Optuna, its baseline the first trial to be drawn where the space has it.

    Raises:
        ArtifactError: the storage has a study of this name; the new folder is removed.
    """
    storage, direction = open_storage(study.storage), study.objective.direction
    try:
        known = optuna.create_study(study_name=study.name, storage=storage, direction=direction)
    except optuna.exceptions.DuplicatedStudyError:
        shutil.rmtree(study.path)
        raise ArtifactError(
            f"{study.name}: the storage has a study of this name already; give another `out`, or "
            "go on with that one: fittingroom tune --resume STUDY"
        ) from None
    if (baseline := baseline_values(study.recipe, study.space)) is not None:
        known.enqueue_trial({path: label(value) for path, value in baseline.items()})


def open_study(path: Path, *, splits: Splits | None = None, storage: str | None = None) -> Study:
    """A study that was started.

    Args:
        path: its folder.
        splits: needed where it was given its data in memory.
        storage: its URL, needed where that has a password, which is not kept.

    Raises:
        ArtifactError: no study there, or a damaged one; a password is missing.
        DataError: the data is not what the study was started with.
    """
    if not (path / STUDY).exists():
        way = BEGIN_AGAIN if was_stopped_at_once(path, STUDY) else "`fittingroom tune` makes one"
        raise ArtifactError(f"{path}: the folder of a study expected, with a {STUDY}; {way}")
    with suppress(OSError):
        (path / BEGUN).unlink(missing_ok=True)  # of a process that was killed right after the record was whole
    record, file = read_json(path / STUDY), str(path / STUDY)
    read_record(StudyRecord, record, file, advice=DAMAGED)
    options = read_record(Options, record["options"], f"{file}: options", advice=DAMAGED)

    # A study goes on with the images that it was begun with, or its trials could not be compared.
    recipe = recipe_from_dict(record["recipe"], where=str(path / STUDY))
    if splits is None:
        if not record["data"]["source"]:
            raise DataError(f"{path}: its data was given in memory; give it again")
        splits = open_dataset(record["data"]["source"], cache=options.cache, preprocessing=preprocessing_of(recipe))
    splits = dataclasses.replace(splits, test=None)
    for part, fingerprint in _fingerprints(splits).items():
        if record["data"][part] != fingerprint:
            raise DataError(f"{path}: a study goes on only with its own data; its {part} set has changed since")

    # The study may have come from a stranger: which database is opened beside its own file is for its user to say. And
    # a password is not kept.
    kept = record["storage"]
    if storage is None and kept and kept != without_password(kept, mask=""):
        raise ArtifactError(
            f"{path}: its storage {brief(kept)} has a password, which is not kept: give `storage` with it again"
        )
    if storage is None and kept:
        raise ArtifactError(
            f"{path}: it was begun with the storage {brief(kept)}, which is opened only where you name it: give "
            "`storage` again"
        )

    plan = read_record(Plan, record["plan"], f"{file}: plan", advice=DAMAGED)
    space = parse_space(record["space"], recipe, where=file)
    code = read_record(dict[str, KeptCode], record.get("code", {}), f"{file}: code", advice=DAMAGED)
    study = Study(path, plan, recipe, space, options, storage or sqlite_in(path), splits, code)
    return study if storage else with_own_database(study)


def _fingerprints(splits: Splits) -> dict[str, str | None]:
    """The fingerprints of what is trained and judged on, in file order."""
    return {
        "train": splits.train.fingerprint.order,
        "validation": splits.validation.fingerprint.order if splits.validation is not None else None,
    }
