"""Where a command may write, asked before its work: in a folder that is there, and not over what it reads, nor over a
file of a run, for which nothing makes up.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from fittingroom.errors import UsageError

RECORDS = ("environment.json", "config.json", "study.json")  # by one of which a folder is a run's or a study's
OF_A_RUN = re.compile(
    r"(config|environment|result|study|test|mlflow)\.json|metrics\.jsonl|(recipe|best)\.toml|study\.db"
    r"|(model|feature_space|start)\.safetensors|model\.onnx|predictions(-validation)?\.parquet"
)
LEDGERS = ("test-looks.jsonl", "compare-looks.jsonl")  # they lie beside the runs
FOLDERS = ("checkpoints", "evaluations", "code")  # of a run, all of whose files are its own
MAKE_FOLDERS = ("out",)  # options for which the folders above are made


def refuse_bad_places(args: argparse.Namespace, outputs: Sequence[str]) -> None:
    """Refuse a file to be written in a folder that isn't there, or over one that the command reads or that is a run's.

    Args:
        args: of the command.
        outputs: its options that name a file to be written, where they are given.

    Raises:
        UsageError: there is one, with the option that names it.
    """
    may_replace = "model.onnx" if getattr(args, "force", False) else None  # which `export` makes anew from the run
    for option in outputs:
        path = _path_of(getattr(args, option, None))
        if path is not None and option not in MAKE_FOLDERS and not path.absolute().parent.is_dir():
            raise UsageError(f"--{option} {path}: there is no folder {path.parent}; make it first")
        status = None if path is None else _status(path)
        if path is None or status is None or not path.is_file():
            continue
        if any(found is not None and os.path.samestat(status, found) for found in map(_status, _inputs(args, outputs))):
            raise UsageError(
                f"--{option} {path}: a file of its own expected, but this one is read: choose another name"
            )
        real = Path(os.path.realpath(path))  # where a link leads, and what is written with it
        if real.name != may_replace and (_is_of_a_run(path.absolute()) or _is_of_a_run(real)):
            raise UsageError(
                f"--{option} {path}: a file of its own expected, but this one belongs to a run, which would lose it: "
                "choose another name"
            )


def _path_of(value: object) -> Path | None:
    is_path = isinstance(value, str | Path) and str(value) != "-"
    return Path(value) if is_path else None  # type: ignore[arg-type]


def _inputs(args: argparse.Namespace, outputs: Sequence[str]) -> Iterator[Path]:
    """Whatever else is given that may be the name of a file."""
    for name, value in vars(args).items():
        if name in outputs:
            continue
        for one in value if isinstance(value, list | tuple) else [value]:
            if (path := _path_of(one)) is not None:
                yield path


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (OSError, ValueError):  # no such file, or no name of one
        return None


def _is_of_a_run(path: Path) -> bool:
    if path.name in LEDGERS:
        return True
    folders = list(path.parents)
    if OF_A_RUN.fullmatch(path.name) and _holds_a_record(folders[0]):
        return True
    return any(folder.name in FOLDERS and _holds_a_record(folder.parent) for folder in folders[:-1])


def _holds_a_record(folder: Path) -> bool:
    return any((folder / name).is_file() for name in RECORDS)
