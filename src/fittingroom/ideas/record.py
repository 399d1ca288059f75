"""``study.json``: what is tried, against what, and how it is judged. A study's folder may come from a stranger."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from fittingroom.data.splits import Splits
from fittingroom.errors import ArtifactError
from fittingroom.files.json_file import read_json, write_json
from fittingroom.files.records import WHAT_TO_DO, LongText, Range, read_record
from fittingroom.ideas.asked import changes
from fittingroom.ideas.side import Side
from fittingroom.ideas.study import BASELINE, Idea, Study
from fittingroom.own_code.kept import FOLDER as CODE
from fittingroom.own_code.kept import KeptCode
from fittingroom.recipes.reading import recipe_from_dict
from fittingroom.recipes.recipe import Recipe
from fittingroom.runs.environment_record import Options
from fittingroom.runs.kept_code import executed_files, names_of_code, with_study_code
from fittingroom.runs.one_writer import BEGIN_AGAIN, was_stopped_at_once

FILE = "study.json"
FIRST_FILES = (CODE, FILE)  # that a study has before its first training; its record last
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a study was started with.

    Attributes:
        format: of this file.
        command: that started it.
        started: when, in UTC.
        effect: the smallest difference of accuracies that is of interest, a share.
        budget: seconds of training, after which none is begun; None for no limit.
        test: whether the best idea is compared on test in the end.
        validation: how many images are held out; None with folds, and where the data has its own.
        folds: of the cross-validation; None where images are held out.
        source: what opens the data; empty where it was given in memory.
        fingerprint: of the training set, in file order.
        baseline: the recipe that all is compared with.
        ideas: each idea's whole recipe, by its name.
        code: all code of the user's own that the study keeps, by its name.
        options: of every training.
        versions: of fittingroom, torch and Python.
    """

    format: Annotated[int, Range(FORMAT, FORMAT)] = FORMAT
    command: LongText
    started: str
    effect: Annotated[float, Range(0, 1)]
    budget: Annotated[float, Range(0)] | None
    test: bool
    validation: Annotated[int, Range(1)] | None
    folds: Annotated[int, Range(2)] | None
    source: str
    fingerprint: str
    baseline: dict[str, Any]
    ideas: dict[str, dict[str, Any]]
    code: dict[str, KeptCode]
    options: Options
    versions: dict[str, str]

    @property
    def recipes(self) -> dict[str, Recipe]:
        """Baseline and ideas as they were asked for, by their names."""
        asked = {BASELINE: self.baseline, **self.ideas}
        return {name: recipe_from_dict(recipe, where=f"{FILE}: {name}") for name, recipe in asked.items()}


def write_study(folder: Path, record: Record) -> None:
    """Write the record; from here on the folder is a study."""
    write_json(folder / FILE, asdict(record))


def read_study(folder: Path) -> Record:
    """Read it.

    Raises:
        ArtifactError: no study, or a damaged one.
    """
    file = folder / FILE
    if not file.exists():
        way = BEGIN_AGAIN if was_stopped_at_once(folder, FILE) else "`fittingroom try` starts one"
        raise ArtifactError(f"{folder}: a study of ideas expected, {FILE} is missing; {way}")
    record = read_record(Record, read_json(file), str(file))
    if not record.ideas or BASELINE in record.ideas:
        raise ArtifactError(f"{file}: ideas: one or more expected, none called {BASELINE}; {WHAT_TO_DO}")
    return record


def opened_study(folder: Path, record: Record, splits: Splits, *, trust_code: bool) -> Study:
    """The study that a record describes, to be carried out on ``splits``, whose test set is put aside.

    Raises:
        ArtifactError: it would execute code that isn't trusted.
    """
    recipes = record.recipes
    files = executed_files(folder, names_of_code(recipes.values()), record.code)
    if files and not trust_code:
        raise ArtifactError(
            f"{folder}: going on executes code of its author's own, {', '.join(files)}. Read it, then say "
            "`trust_code=True`"
        )

    with_code = {
        name: with_study_code(recipe, folder, record.code, trusted=trust_code) for name, recipe in recipes.items()
    }

    # Test images are taken away here, so that nothing in the search can look at them.
    def side(name: str, path: str, kind: type[Any], **more: Any) -> Any:
        held_out: Mapping[str, Any] = {} if record.validation is None else {"validation": record.validation}
        return kind(
            name=name,
            path=folder / path,
            recipe=dataclasses.replace(with_code[name], **held_out),
            folds=record.folds,
            options=record.options,
            splits=dataclasses.replace(splits, test=None),
            trust_code=trust_code,
            **more,
        )

    ideas = [
        side(name, f"idea-{number}", Idea, changes=changes(recipes[BASELINE], recipes[name]))
        for number, name in enumerate(record.ideas, start=1)
    ]
    return Study(folder, side(BASELINE, BASELINE, Side), ideas, record.effect, record.budget)
