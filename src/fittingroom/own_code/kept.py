"""The copy of own code that a run or a study keeps in its folder, and which is executed only where it is trusted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fittingroom.errors import ArtifactError
from fittingroom.files.atomic import atomic_write
from fittingroom.files.records import SHA256
from fittingroom.files.run_file import read_run_text
from fittingroom.own_code.name import CodeName, OwnCode, digest_of

FOLDER = "code"  # of all kept code, in the folder of a run or a study
SOURCE = "model_source.py"  # in its place until 0.1: of a network alone, one file without neighbours


@dataclass(frozen=True)
class KeptCode:
    """The copy of one piece of code.

    Attributes:
        main: the file that has it.
        files: SHA-256 by path, as they were when they were kept.
    """

    main: str
    files: dict[str, SHA256]

    def __post_init__(self) -> None:
        """Refuse paths that lead elsewhere: the record may have come by mail."""
        for path in self.files:
            parts = PurePosixPath(path).parts
            if not path.endswith(".py") or set(path) & set("\\:\0") or not parts or ".." in parts or parts[0] == "/":
                raise ValueError(f"the path of a Python file below the folder expected, {path[:80]!r} found")
        if self.main not in self.files:
            raise ValueError(f"one of its files expected as the main one, {self.main[:80]!r} found")

    @property
    def sha256(self) -> str:
        """The SHA-256 of all files together."""
        return digest_of(self.main, self.files)

    @property
    def folder(self) -> str:
        """Where its files lie in the folder of the run: by their content, so that none is kept twice."""
        return f"{FOLDER}/{self.sha256[:12]}"


KeptCodes = Mapping[str, KeptCode]  # by the name, as a recipe spells it


def kept_codes(names: Iterable[CodeName]) -> dict[str, KeptCode]:
    """The record of what some names brought along."""
    return {str(name): KeptCode(name.code.main, name.code.hashes()) for name in names}


def keep_code(folder: Path, names: Iterable[CodeName]) -> dict[str, KeptCode]:
    """Copy the code of some names into the folder of a run or a study; the record of it."""
    names = list(names)
    kept = kept_codes(names)
    for name in names:
        for path, text in name.code.files.items():
            file = folder / kept[str(name)].folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(file, follow_links=False) as stream:
                stream.write(text.encode())
    return kept


def read_kept_code(folder: Path, kept: KeptCode, what: str, *, trusted: bool) -> OwnCode:
    """The code that a folder keeps, for a caller that is going to execute it.

    Args:
        folder: of the run or the study.
        kept: the record of it.
        what: it is, for messages, such as ``model net.py:Net``.
        trusted: whether the caller's user said so.

    Raises:
        ArtifactError: it isn't trusted, can't be read, or was changed.
    """
    if not trusted:
        raise untrusted(folder, what, f"{kept.folder}/{kept.main}")
    texts = {path: _read(folder / kept.folder / path, sha256) for path, sha256 in kept.files.items()}
    return OwnCode(kept.main, texts, str(folder / kept.folder))


def read_kept_source(folder: Path, sha256: str | None, what: str, *, trusted: bool, file: str = SOURCE) -> OwnCode:
    """The same of a run or a study of 0.1, which kept a network's file alone, and a run not always its SHA-256."""
    if not trusted:
        raise untrusted(folder, what, file)
    return OwnCode(file, {file: _read(folder / file, sha256)}, str(folder))


def untrusted(folder: Path, what: str, file: str) -> ArtifactError:
    """What is said where code would be executed that nobody said is trusted."""
    return ArtifactError(
        f"{folder}: its {what} is the code in {file}; opening it executes that file. "
        "Read it, then say `trust_code=True`"
    )


def _read(path: Path, sha256: str | None) -> str:
    text = read_run_text(path, "kept source")

    # Whoever trusted the code that was recorded has not read what was put in its place.
    if sha256 is not None and hashlib.sha256(text.encode()).hexdigest() != sha256:
        raise ArtifactError(f"{path}: it was changed since the training: its SHA-256 is not the one that was recorded")
    return text
