"""Scoring of millions of images: a Parquet file of answers for each input file, and an index of all, the manifest.

An output has the rows of :func:`fittingroom.predict.output.frame`, and in its metadata a record of the input and the
model that it was made of. Rows and record appear by one rename, so that whatever is killed, and when, each output is
either there and whole or not there; the manifest is only an index of the records and is made anew from them each time.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from glob import glob, has_magic
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any, TypedDict

from fittingroom.artifact.artifact import open_artifact
from fittingroom.artifact.onnx_model import MODEL
from fittingroom.environment import versions
from fittingroom.errors import ArtifactError, DataError
from fittingroom.events import Hooks
from fittingroom.files import records
from fittingroom.files.atomic import remove_leftovers
from fittingroom.files.json_file import read_json, write_json
from fittingroom.files.lock import exclusive
from fittingroom.files.polars_check import check_polars
from fittingroom.parallel.jobs import Job, run_jobs
from fittingroom.parallel.ray_engine import RayEngine
from fittingroom.predict.classifier import Classified, load
from fittingroom.predict.inputs import Block, Notes, data_blocks, data_files_below, is_data
from fittingroom.predict.output import write_parquet

SCORING_INDEX = "manifest.json"
FORMAT = 1  # of the index, and of the record in each output
RECORD = "fittingroom.shard"  # key of an output's metadata


@dataclass(frozen=True)
class Shard:
    """A file of images, and the file that its answers go to."""

    input: Path
    output: Path


@dataclass(frozen=True, kw_only=True)
class Record:
    """What an output was made of.

    Attributes:
        input: the absolute path of the images.
        bytes, mtime_ns: of that file; while both are the same its content is taken for the same.
        sha256: of its content, which decides where they are not.
        model: SHA-256 of the ``model.onnx`` that answered.
        versions: of what made it.
    """

    input: str
    bytes: int
    mtime_ns: int
    sha256: str
    model: str
    versions: dict[str, str]


@dataclass(frozen=True)
class ShardDone:
    """A shard was scored, or, with a ``problem``, could not be. ``rows`` images took ``seconds``.

    ``notes`` say what is worth knowing of how its images were made ready for the model.
    """

    shard: Shard
    rows: int
    seconds: float
    problem: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scoring:
    """What :func:`score_shards` came to: shards scored now, how many were there already, and the manifest's path."""

    done: tuple[ShardDone, ...]
    already: int
    manifest: Path

    @property
    def failed(self) -> tuple[ShardDone, ...]:
        """Those that could not be scored."""
        return tuple(shard for shard in self.done if shard.problem)


class Scorer:
    """The model of a run, opened to score shards. Each process that scores opens its own.

    Args:
        run: the run's folder.
        model: SHA-256 of its ``model.onnx``.
        threads: as in :func:`fittingroom.predict.classifier.load`, which raises ArtifactError.
    """

    def __init__(self, run: Path, model: str, threads: int | None):
        self.model = model
        self.classifier = load(run, threads=threads)

    def score(self, shard: Shard) -> ShardDone:
        """Write a shard's answers, whole or not at all, in the memory of a few blocks.

        What is wrong with the input comes back as the problem; an output that can't be written is an OSError.
        """
        started = perf_counter()
        rows = 0
        notes: list[str] = []

        def answered() -> Iterator[tuple[Block, Classified]]:
            nonlocal rows
            for block in data_blocks(shard.input, self.classifier, Notes(self.classifier, notes.append)):
                yield block, self.classifier.classify(block.images)
                rows += len(block.files)

            # Rows of two versions of a file would be recorded as those of the first.
            if _state(shard.input) != (record.bytes, record.mtime_ns):
                raise DataError(f"{shard.input}: it was changed while it was read; score it again")

        try:
            record = self._record_of(shard.input)
            shard.output.parent.mkdir(parents=True, exist_ok=True)
            kept = {RECORD: json.dumps({"format": FORMAT} | asdict(record))}
            write_parquet(answered(), self.classifier.classes, shard.output, metadata=kept)
        except DataError as error:
            return ShardDone(shard, 0, perf_counter() - started, str(error))
        return ShardDone(shard, rows, perf_counter() - started, notes=tuple(notes))

    def _record_of(self, file: Path) -> Record:
        size, mtime_ns = _state(file)
        return Record(
            input=str(file),
            bytes=size,
            mtime_ns=mtime_ns,
            sha256=_digest_of(file),
            model=self.model,
            versions=versions() | {"onnxruntime": metadata.version("onnxruntime")},
        )


def score_shards(
    run: str | Path,
    names: Iterable[str],
    out: str | Path,
    *,
    engine: RayEngine | None = None,
    observe: Callable[[ShardDone, int, int], None] = lambda _done, _number, _total: None,
    waiting: Callable[[], None] = lambda: None,
) -> Scoring:
    """Score every input that has no answers in ``out`` yet, or was changed since; then write the manifest.

    Args:
        run: the run's folder; it has ``model.onnx``.
        names: data files (Parquet, npz, IDX, CSV), folders with such at any depth, and patterns.
        out: folder of the answers, made if need be. An input's path below the folder or pattern that it was named by
            is the output's path below this one, with ``.parquet`` at its end.
        engine: None for one shard after another in this process, each with every thread that ONNX Runtime may use; or
            Ray, with a shard for each processor. Ray's core and not Ray Data: one task reads, scores and writes a
            shard, so that its output appears at once and under its input's name, and a task whose process died is
            simply begun again. Ray Data cuts its inputs into blocks of its own, and names its outputs by them.
        observe: receives each shard as it is done, how many are done with it, and of how many.
        waiting: called once if another process works on ``out``, which is then waited for.

    Raises:
        DataError: nothing to score; two inputs for one output; a file in the way in ``out``.
        ArtifactError: no usable model; ``out`` has answers of another one.
    """
    run, out = Path(run).absolute(), Path(out).absolute()
    open_artifact(run)  # a path that is no run is said to be none, before anything is looked for
    model, shards = model_digest(run), find_shards(names, out)
    out.mkdir(parents=True, exist_ok=True)

    with exclusive(out / ".lock", waiting):
        remove_leftovers(out)
        listed = _listed(out)
        _refuse_answers_of_another_model(out, model)
        todo = [shard for shard in shards if not _is_answered(shard, was_ours=shard.output in listed)]

        # Ray has a shard for each processor, which then is its own alone.
        threads = None if engine is None else 1
        done: list[ShardDone] = []
        try:
            jobs = [Job(str(shard.input), partial(_score, run, model, threads, shard)) for shard in todo]
            for _, shard_done in run_jobs(jobs, engine) if jobs else ():
                done.append(shard_done)
                observe(shard_done, len(done), len(todo))
        finally:  # what was scored before an interruption is kept, and listed
            _write_index(out, run, model, [shard_done for shard_done in done if shard_done.problem])
    return Scoring(tuple(done), len(shards) - len(todo), out / SCORING_INDEX)


@lru_cache(maxsize=1)  # of a worker of Ray, which has one shard after another to score
def _opened(run: Path, model: str, threads: int | None) -> Scorer:
    return Scorer(run, model, threads)


def _score(run: Path, model: str, threads: int | None, shard: Shard, _hooks: Hooks) -> ShardDone:
    return _opened(run, model, threads).score(shard)


def model_digest(run: Path) -> str:
    """The SHA-256 of a run's ``model.onnx``. Raises ArtifactError where there is none."""
    file = run / MODEL
    if not file.exists():
        raise ArtifactError(f"{file}: needed for scoring, and not there; `fittingroom export {run}` makes it")
    return _digest_of(file)


def find_shards(names: Iterable[str], out: Path) -> list[Shard]:
    """The inputs in order, each once, with their outputs. What lies in ``out`` itself is skipped.

    Raises:
        DataError: a name that gives no data file; two inputs that would have one output.
    """
    shards: dict[Path, Shard] = {}
    for name in names:
        # Outputs may lie below the inputs' own folder, and are no inputs of the next call.
        root, files = _files_of(name)
        inputs = [file for file in files if not file.resolve().is_relative_to(out.resolve())]
        if not inputs:
            raise DataError(
                f"{name}: data sets (Parquet, npz, IDX, CSV) to score expected, none found there; pictures are "
                "predicted without `out`"
            )

        for file in inputs:
            path = file.relative_to(root)
            shard = Shard(file.absolute(), out / (path if path.suffix == ".parquet" else f"{path}.parquet"))
            other = shards.setdefault(shard.output, shard)
            if other.input.resolve() != file.resolve():
                raise DataError(
                    f"{other.input} and {file}: both would be answered in {shard.output}; name the folder above both, "
                    "or score them into two folders"
                )
    return list(shards.values())


def read_record(output: Path) -> Record | None:
    """What an output was made of; None for a file that isn't an output, or not whole."""
    import polars as pl

    try:
        with output.open("rb") as file:
            record = json.loads(pl.read_parquet_metadata(file)[RECORD])
        return records.read_record(Record, record, str(output))
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException, KeyError, ValueError, RecursionError):
        return None
    except ArtifactError:
        return None


def _files_of(name: str) -> tuple[Path, list[Path]]:
    """The folder that the paths of a name's files are counted from, and those of them that hold images."""
    path = Path(name)
    if path.is_file():
        return path.parent, [path] if is_data(path) else []
    if path.is_dir():
        return path, data_files_below(path)

    # Paths are counted from the last folder before the pattern begins.
    fixed = Path()
    for part in path.parts[:-1]:
        if has_magic(part):
            break
        fixed /= part

    # not Path.glob, which takes no absolute pattern
    matches = sorted(map(Path, glob(name, recursive=True))) if has_magic(name) else []  # noqa: PTH207
    return fixed, [file for file in matches if file.is_file() and is_data(file)]


def _is_answered(shard: Shard, *, was_ours: bool) -> bool:
    """Whether the output is there and made of what the input holds now. No other file is ever written over.

    Args:
        shard: to be scored, or not.
        was_ours: whether the index of an earlier call names the output, so that it may be replaced even if it is
            damaged.

    Raises:
        DataError: the output is a file of another kind, or has the answers for another input.
    """
    if not shard.output.exists():
        return False
    record = read_record(shard.output)
    if record is None:
        if was_ours:
            return False
        raise DataError(f"{shard.output}: no answers of a scoring, and in the way of some; choose another `out`")

    if not os.access(shard.input, os.R_OK):
        return False  # scoring it says what is wrong

    # A file is read to its end only where size or time say that it may have been changed.
    is_same_file = record.input == str(shard.input)
    if is_same_file and _state(shard.input) == (record.bytes, record.mtime_ns):
        return True
    if _digest_of(shard.input) == record.sha256:
        return True
    if is_same_file:
        return False

    raise DataError(
        f"{shard.output}: has the answers for {record.input}, which is not what {shard.input} holds; choose another "
        "`out`, or remove it"
    )


def _refuse_answers_of_another_model(out: Path, model: str) -> None:
    for output in _outputs(out):
        record = read_record(output)
        if record and record.model != model:
            raise ArtifactError(
                f"{output}: answers of the model {model[:16]}… expected, as all in one folder are of one model, "
                f"{record.model[:16]}… found (SHA-256 of {MODEL}); choose another `out`"
            )


def _write_index(out: Path, run: Path, model: str, failed: Sequence[ShardDone]) -> None:
    """Index all outputs of this model in the folder, whichever call made them, and name the inputs that failed."""
    import polars as pl

    check_polars()
    # What an older version of a failed input gave is not listed.
    outdated = {shard_done.shard.output for shard_done in failed}
    shards: list[dict[str, Any]] = []
    for output in _outputs(out):
        record = read_record(output)
        if record and output not in outdated:
            with output.open("rb") as file:
                rows = pl.scan_parquet(file).select(pl.len()).collect().item()
            entry = {"output": output.relative_to(out).as_posix(), "rows": rows, "output_bytes": output.stat().st_size}
            shards.append(entry | asdict(record))

    index = {
        "format": FORMAT,
        "run": str(run),
        "model": model,
        "rows": sum(shard["rows"] for shard in shards),
        "shards": shards,
        "failed": [{"input": str(shard_done.shard.input), "problem": shard_done.problem} for shard_done in failed],
    }
    write_json(out / SCORING_INDEX, index)


class _Listed(TypedDict):
    output: str


class _Index(TypedDict):
    shards: list[_Listed]


def _listed(out: Path) -> set[Path]:
    """The outputs that the index of an earlier call names."""
    if not (out / SCORING_INDEX).exists():
        return set()
    index = read_json(out / SCORING_INDEX, format_number=FORMAT)
    if "shards" not in index:
        raise DataError(f"{out / SCORING_INDEX}: not the manifest of a scoring, and in its way; choose another `out`")
    known = records.read_record(_Index, index, str(out / SCORING_INDEX), advice="choose another `out`")
    return {out / shard["output"] for shard in known["shards"]}


def _outputs(out: Path) -> list[Path]:
    return sorted(file for file in out.rglob("*.parquet") if not file.name.startswith("."))


def _state(file: Path) -> tuple[int, int]:
    """Size and time of a file. Raises DataError where it can't be read."""
    try:
        stat = file.stat()
    except OSError as error:
        raise DataError(f"{file}: can't be read: {error.strerror}") from error
    return stat.st_size, stat.st_mtime_ns


def _digest_of(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{file}: can't be read: {error.strerror}") from error
