"""The source of the user's own networks, which a study keeps in its folder and executes only where it is trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fittingroom.artifact.artifact import SOURCE, read_trusted_code
from fittingroom.files.atomic import atomic_write
from fittingroom.files.records import SHA256
from fittingroom.models import MODELS, ModelSource, find_model, model_from_code, package_model


@dataclass(frozen=True)
class KeptCode:
    """The copy of one network's source.

    Attributes:
        file: its name in the study's folder.
        sha256: of the source, as it was when it was kept.
    """

    file: str
    sha256: SHA256


KeptCodes = Mapping[str, KeptCode]  # by the model's name, as a recipe spells it


def keep_code(folder: Path, sources: Mapping[str, ModelSource]) -> KeptCodes:
    """Copy the user's own networks into the study's folder, each text once."""
    kept = {}
    for name, source in sources.items():
        # A model of this package has no source to keep.
        if source.code is not None and source.sha256 is not None:
            kept[name] = KeptCode(f"model_source-{source.sha256[:12]}.py", source.sha256)
            with atomic_write(folder / kept[name].file) as file:
                file.write(source.code.encode())
    return kept


def recorded_code(record: Mapping[str, Mapping[str, str]]) -> KeptCodes:
    """The kept sources that ``study.json`` names. Of a path only the file's name counts, inside the study's folder."""
    return {name: KeptCode(Path(entry["file"]).name, entry["sha256"]) for name, entry in record.items()}


def executed_files(folder: Path, models: list[str], kept: KeptCodes) -> list[str]:
    """The files that going on with a study executes: its own copies, and what a study of 0.1 names instead."""
    copies = [str(folder / code.file) for code in kept.values()]
    outside = [name for name in models if name not in MODELS and name not in kept]
    of_trials = map(str, sorted(folder.rglob(SOURCE)))
    return [*copies, *outside, *of_trials]


def open_source(folder: Path, model: str, kept: KeptCodes, *, trusted: bool) -> ModelSource:
    """The constructor of a model that a study names.

    Raises:
        ArtifactError: code that isn't trusted, or was changed.
        RecipeError: the file has no such name or fails.
    """
    if copy := kept.get(model):
        code = read_trusted_code(folder, copy.sha256, trusted=trusted, file=copy.file)
        return model_from_code(model, code, model.rpartition(":")[2], str(folder / copy.file))

    # A study of 0.1 kept no code: its user was shown the path before saying that it is trusted.
    return find_model(model) if trusted else package_model(model)
