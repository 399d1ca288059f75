"""Every file of a run, mutated, against every command that opens it, in a forked process of :data:`TRIES_OF_A_WORKER`.

What is forked has loaded whatever the commands load, found by a rehearsal, and has templates, catalogues and records
compiled; the runs are of small images, few but for the 200 of validation below which a run has no probabilities of its
own: a try costs what its command does with the mutated file, and no more. What looks like a fault is tried again in a
process of its own, which decides. ``--fresh`` starts an interpreter for each try too, and says where the two differ.
Tries go round: each file and command once, then each once more, so that a run that is stopped has tried all alike; a
mutation that makes the same bytes as an earlier one of the file is passed over.

``--tally FILE`` keeps what came of the tries of all calls so far, and begins with the seed after theirs: a thousand of
each can be tried in as many slices as there is time for.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import inspect
import json
import os
import random
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

import fittingroom as fr
from fittingroom.files.json_file import write_json
from fittingroom.tune import Plan
from tests.hostile import mutations
from tests.hostile.mutations import MARK, Mutation

MAX_SECONDS, MAX_BYTES = 10, 1 << 30
IMAGES, VALIDATED, TEST_IMAGES = 1_000, 200, 60  # of the runs' data; a fifth of the first may be held out
BATCH = 160  # five steps an epoch
TRIES_OF_A_WORKER = 25
CPU_SECONDS, ADDRESSES = 30, 8 << 30  # where the kernel ends a try, beyond what is a fault already
PATIENCE = 6  # times the seconds of the processor that a try may take by the clock, on a machine that is busy
SAID_EVERY = 300  # seconds, between two writings of what came of the tries so far
MAX_TOLD, MAX_CORPUS = 200_000, 2_000  # characters of messages; inputs that are kept of a kind
HOSTILE_CODE = f"from pathlib import Path\nPath(__file__).with_name({MARK!r}).touch()\nPath({MARK!r}).touch()\n"
FORBIDDEN = ("Traceback", "panicked", "\x1b", "\x07", "\x9b")


@dataclass(frozen=True)
class Try:
    """What came of one mutated file and one command."""

    outcome: str  # clean, accepted or fault
    why: str
    seconds: float
    bytes: int
    status: int = 0  # as wait has it


@dataclass
class Tally:
    """What came of many."""

    tried: int = 0
    clean: int = 0
    accepted: int = 0
    faults: list[str] = field(default_factory=list)
    bytes: int = 0
    seconds: float = 0.0

    def add(self, result: Try, name: str) -> None:
        self.tried += 1
        self.clean += result.outcome == "clean"
        self.accepted += result.outcome == "accepted"
        self.bytes, self.seconds = max(self.bytes, result.bytes), max(self.seconds, result.seconds)
        if result.outcome == "fault":
            self.faults.append(f"{name}: {result.why}")

    def line(self, name: str) -> str:
        return (
            f"{name:44} {self.tried:6,} tried {self.clean:6,} clean {self.accepted:6,} accepted {len(self.faults):4} "
            f"faults {self.bytes / 2**20:6,.0f} MB {self.seconds:5.1f} s"
        )


def main(*words: str) -> int:
    from fittingroom.cli import main as command

    return command([*words])


def serve(*folders: str) -> int:
    """Start a server on runs, and ask it for all that it knows of them, as its page does."""
    from starlette.testclient import TestClient

    from fittingroom.errors import FittingRoomError
    from fittingroom.serve.app import create_app
    from fittingroom.serve.server import open_models

    try:
        models = open_models([Path(folder) for folder in folders])
    except FittingRoomError as error:
        print(f"fittingroom: {error!r}", file=sys.stderr)
        return 2
    with TestClient(create_app(models), base_url="http://localhost", raise_server_exceptions=False) as client:
        known = client.get("/models")
        paths = ["/", "/docs", "/openapi.json", "/v2", "/metrics"]
        for served in models:
            pair = {"truth": served.model.classes[0], "predicted": served.model.classes[-1]}
            paths += [f"/models/{served.name}/{part}" for part in ("examples", "report")] + [
                f"/v2/models/{served.name}"
            ]
            client.get(f"/models/{served.name}/mistakes", params=pair)
            answer = client.post(f"/predict?model={served.name}", content=Path("picture.png").read_bytes())
            known = answer if answer.status_code >= 500 else known
        answers = [known, *(client.get(path) for path in paths)]
    return max(1 if answer.status_code >= 500 else 0 for answer in answers)


def without(file: str, *words: str) -> int:
    """A command on a run that lacks a file."""
    Path(ONE, file).unlink(missing_ok=True)
    return main(*words)


ONE, DATA = "runs/one", "small.npz"
COMMANDS: dict[str, Callable[[], int]] = {
    "evaluate": lambda: main("evaluate", ONE, "--threads", "1"),
    "evaluate --json": lambda: main("evaluate", ONE, "--json", "--threads", "1"),
    "predict": lambda: main("predict", ONE, "picture.png"),
    "predict --csv": lambda: main("predict", ONE, "picture.png", "--csv"),
    "predict without onnx": lambda: without("model.onnx", "predict", ONE, "picture.png"),
    "report": lambda: main("report", ONE),
    "compare": lambda: main("compare", ONE, "runs/other"),
    "compare other": lambda: main("compare", "runs/third", "runs/other", "--split", "validation"),
    "serve": lambda: serve(ONE),
    "export onnx": lambda: main("export", ONE, "--format", "onnx"),
    "runs": lambda: main("runs", "runs"),
    "runs --csv": lambda: main("runs", "runs", "--csv"),
    "runs --latex": lambda: main("runs", "runs", "--latex"),
    "verify": lambda: main("verify", ONE, "--steps", "1", "--threads", "1", "--quiet"),
    "resume": lambda: main("train", "--resume", ONE, "--quiet"),
    "resume stopped": lambda: without("result.json", "train", "--resume", ONE, "--quiet"),
    "report of two": lambda: main("report", "runs/two"),
    "evaluate two": lambda: main("evaluate", "runs/two", "--threads", "1"),
    "compare two": lambda: main("compare", "runs/two", "runs/other"),
    "add seeds": lambda: main("train", "--add-seeds", "1", "runs/two", "--quiet"),
    "tune resume": lambda: main("tune", "--resume", "runs/study", "--trials", "1", "--final-seeds", "0", "--quiet"),
    "train by its recipe": lambda: main("train", DATA, "--recipe", f"{ONE}/recipe.toml", "--no-test", "--quiet"),
}


@dataclass(frozen=True)
class Kind:
    """A file of a run: where it lies, how it is mutated, and what opens it."""

    file: str
    mutate: Mutation
    commands: tuple[str, ...]
    sealed: bool = False  # whether its checkpoint's hashes are made to fit


OPENS = ("evaluate", "predict", "report", "compare", "serve", "export onnx", "runs", "verify", "resume")
MEMBER = ("report of two", "evaluate two", "compare two", "runs", "add seeds")
CHECKPOINT = "checkpoints/step-00000005"
KINDS = {
    "config.json": Kind(f"{ONE}/config.json", mutations.of_json, (*OPENS, "predict without onnx", "predict --csv")),
    "environment.json": Kind(
        f"{ONE}/environment.json", mutations.of_json, (*OPENS, "resume stopped", "runs --csv", "runs --latex")
    ),
    "result.json": Kind(f"{ONE}/result.json", mutations.of_json, (*OPENS, "runs --csv", "runs --latex")),
    "metrics.jsonl": Kind(f"{ONE}/metrics.jsonl", mutations.of_lines, ("report", "resume", "resume stopped", "verify")),
    "recipe.toml": Kind(
        f"{ONE}/recipe.toml",
        mutations.of_toml,
        ("evaluate", "report", "compare", "export onnx", "runs", "verify", "resume stopped", "train by its recipe"),
    ),
    "predictions.parquet": Kind(
        f"{ONE}/predictions.parquet", mutations.of_parquet, ("report", "compare", "serve", "verify")
    ),
    "model.safetensors": Kind(
        f"{ONE}/model.safetensors",
        mutations.of_safetensors,
        ("evaluate", "predict", "predict without onnx", "export onnx", "verify", "serve"),
    ),
    "model.onnx": Kind(f"{ONE}/model.onnx", mutations.of_onnx, ("predict", "serve")),
    "feature_space.safetensors": Kind(f"{ONE}/feature_space.safetensors", mutations.of_safetensors, ("export onnx",)),
    "state.json": Kind(f"{ONE}/{CHECKPOINT}/state.json", mutations.of_json, ("resume stopped",)),
    "state.json, sealed": Kind(f"{ONE}/{CHECKPOINT}/state.json", mutations.of_json, ("resume stopped",), sealed=True),
    "tensors.safetensors": Kind(
        f"{ONE}/{CHECKPOINT}/tensors.safetensors", mutations.of_safetensors, ("resume stopped",)
    ),
    "tensors.safetensors, sealed": Kind(
        f"{ONE}/{CHECKPOINT}/tensors.safetensors", mutations.of_safetensors, ("resume stopped",), sealed=True
    ),
    "test-looks.jsonl": Kind("runs/test-looks.jsonl", mutations.of_lines, ("evaluate", "report", "compare", "runs")),
    "compare-looks.jsonl": Kind("runs/compare-looks.jsonl", mutations.of_lines, ("compare other",)),
    "evaluations/1.json": Kind(f"{ONE}/evaluations/1.json", mutations.of_json, ("report", "evaluate")),
    "result.json of two": Kind("runs/two/result.json", mutations.of_json, MEMBER),
    "environment.json of two": Kind("runs/two/environment.json", mutations.of_json, MEMBER),
    "result.json of a member": Kind("runs/two/seed-1/result.json", mutations.of_json, MEMBER),
    "study.json": Kind("runs/study/study.json", mutations.of_json, ("tune resume",)),
    "study.db": Kind("runs/study/study.db", mutations.damaged, ("tune resume",)),
    "result.json of a study": Kind("runs/study/result.json", mutations.of_json, ("tune resume",)),
}


def make_base(folder: Path) -> Path:
    """Two runs, one of two seeds and a study, as small as they come, with a picture to ask about."""
    (folder / "runs").mkdir(parents=True)
    before = Path.cwd()
    os.chdir(folder)
    try:
        sample = fr.open_dataset("sample")
        test = sample.test
        assert test is not None
        np.savez(
            DATA,
            x_train=sample.train.images[:IMAGES, ::2, ::2],
            y_train=np.asarray(sample.train.labels)[:IMAGES],
            x_test=test.images[:TEST_IMAGES, ::2, ::2],
            y_test=np.asarray(test.labels)[:TEST_IMAGES],
            classes=np.array(sample.train.classes),
        )
        settings = ["precision=float32", "model_args.widths=[4,8,16]", "min_steps=0"]
        settings += [f"validation={VALIDATED}", f"batch_size={BATCH}"]
        small = ["--threads", "1", "--quiet", "--recipe", "swift"]
        small += [word for setting in settings for word in ("--set", setting)]
        assert main("train", DATA, "--out", ONE, "--epochs", "2", *small) == 0
        assert main("train", DATA, "--out", "runs/other", "--epochs", "1", *small) == 0
        assert main("train", DATA, "--out", "runs/two", "--seeds", "2", "--epochs", "1", *small) == 0
        assert main("evaluate", ONE, "--threads", "1") == 0
        shutil.copytree("runs/other", "runs/third")
        assert main("compare", "runs/third", "runs/other", "--split", "validation") == 0

        overrides = ["stages.0.epochs=1", "precision=float32", "model=tutorial", "min_steps=0"]
        overrides += [f"validation={VALIDATED}", f"batch_size={BATCH}"]
        recipe = fr.load_recipe("plain", overrides=overrides)
        options = fr.Options(threads=1)
        fr.tune_recipe(
            DATA,
            recipe,
            "lr = [0.001, 0.002]",
            plan=Plan(trials=1),
            final_seeds=0,
            out="runs/study",
            options=options,
        )
        Image.fromarray(sample.train.images[0]).save("picture.png")
        Path("hostile.py").write_text(HOSTILE_CODE)
        assert all(Path(kind.file).exists() for kind in KINDS.values()), "a kind's file isn't written any more"
        for run in Path("runs").glob("*/report.html"):
            run.unlink()
    finally:
        os.chdir(before)
    return folder


def mutated(base: Path, kind: Kind, seed: int, place: Path, corpus: Corpus | None = None) -> dict[str, bytes]:
    """A file mutated, as the seed has it: what a copy of the runs is to hold in the place of its own."""
    target = base / kind.file
    content = corpus.pick(target.read_bytes(), seed) if corpus else target.read_bytes()
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for near in target.parent.iterdir() if kind.sealed else ():
        shutil.copy(near, place)

    def put() -> None:
        rng = random.Random(seed)
        try:
            changed = kind.mutate(content, rng)
        except Exception:  # what the corpus kept isn't of the kind any more
            changed = mutations.damaged(content, rng)
        (place / target.name).write_bytes(changed)
        if kind.sealed:
            mutations.seal_checkpoint(place)

    # What has used Polars once has threads, and can't be forked any more.
    if kind.mutate is mutations.of_parquet:
        _wait_for(_forked(put))
    else:
        put()
    beside = Path(kind.file).parent
    return {str(beside / file.name): file.read_bytes() for file in place.iterdir()}


def attempt(
    base: Path,
    files: dict[str, bytes],
    command: str,
    place: Path,
    corpus: Corpus | None = None,
    *,
    worker: Worker | None = None,
    fresh: bool = False,
) -> Try:
    """Carry a command out in a copy of the runs that has these files in place of its own.

    In a process of its own, or in the worker's, where nothing that looks like a fault comes of it there.
    """
    codes = (0, 1, 2) if command == "verify" else (0, 2)
    carried = worker.carry_out(files, command, codes) if worker else None
    if carried is None:
        _lay_out(base, files, place)
        carried = carry_out(place, COMMANDS[command], codes=codes)
    result, told = carried
    if fresh:
        _lay_out(base, files, place)
        program = [
            sys.executable,
            "-c",
            "import warnings\nwarnings.filterwarnings('ignore', 'Using `httpx`')\n"  # Starlette's, of its test client
            f"from tests.hostile.run_files import COMMANDS\nraise SystemExit(COMMANDS[{command!r}]())",
        ]
        paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        with (place / "out").open("w") as out, (place / "err").open("w") as err:
            ended = subprocess.run(program, cwd=place / "in", env=environment, stdout=out, stderr=err, check=False)
        anew, code = (
            _without_numbers((place / "err").read_text(errors="replace")),
            os.waitstatus_to_exitcode(result.status),
        )
        if (ended.returncode, anew) != (code, _without_numbers(told)):
            return Try(
                "fault", f"{command}: forked {code} {told[-300:]!r}, fresh {ended.returncode} {anew[-300:]!r}", 0, 0
            )
    if corpus:
        corpus.keep(next(iter(files.values())), told)
    return replace(result, why=f"{command}: {result.why}") if result.why else result


def _lay_out(base: Path, files: dict[str, bytes], place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(base, place / "in")
    for name, content in files.items():
        (place / "in" / name).write_bytes(content)


def _without_numbers(told: str) -> str:
    """What it says, without what differs from one time to the next: seconds, sizes, temporary names."""
    lines = (line for line in told.splitlines() if "Warning" not in line and "import_module" not in line)
    return re.sub(r"[0-9a-f]{8,}|\d+", "#", "\n".join(lines))


@dataclass
class Corpus:
    """Inputs whose answer was a new one: what is made of them gets further than what is made of a good file."""

    folder: Path
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.seen = {file.name for file in self.folder.iterdir()}

    def pick(self, good: bytes, seed: int) -> bytes:
        kept = sorted(self.seen)
        if not kept or seed % 2:
            return good
        return (self.folder / kept[seed // 2 % len(kept)]).read_bytes()

    def keep(self, content: bytes, told: str) -> None:
        answer = re.sub(r"[0-9a-f]{8,}|\d+|'[^']*'", "#", told)[:400]
        name = hashlib.sha256(answer.encode()).hexdigest()[:16]
        if name not in self.seen and len(content) < 1 << 20 and len(self.seen) < MAX_CORPUS:
            (self.folder / name).write_bytes(content)
            self.seen.add(name)


def carry_out(place: Path, command: Callable[[], int], *, codes: tuple[int, ...] = (0, 2)) -> tuple[Try, str]:
    """Carry a command out in ``place / "in"`` in a process of its own; what came of it, and what it said on stderr."""
    started = time.monotonic()
    child = _forked(lambda: _command(place, command))
    status, usage = _wait_for(child)
    told = (place / "err").read_text(errors="replace")
    if usage is None:
        return Try("fault", "it did not end", time.monotonic() - started, 0), told

    seconds, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss << 10
    return _judged(place, os.waitstatus_to_exitcode(status), seconds, peak, codes, told, status), told


def _judged(
    place: Path, code: int, seconds: float, peak: int, codes: tuple[int, ...], told: str, status: int = 0
) -> Try:
    """What came of a command that ended, by what it said on stderr and what lies there now."""
    found = next((word for word in FORBIDDEN if word in told), None)
    problem = None
    if found:
        last = [line for line in told.splitlines() if line.strip()]
        problem = f"{found!r} in what it prints: … {' | '.join(last[-6:])[-700:]!r}"
    elif seconds > MAX_SECONDS or peak > MAX_BYTES:
        problem = f"{seconds:.1f} s, {peak >> 20} MB"
    elif code not in codes:
        problem = f"exit code {code}: {told[-300:]!r}"
    elif len(told) > MAX_TOLD:
        problem = f"{len(told):,} characters of messages"
    elif any(MARK in names for _, _, names in os.walk(place)):
        problem = "hostile code was executed"
    elif {entry.name for entry in place.iterdir()} - {"in", "err", "out"}:
        problem = f"written outside: {sorted(entry.name for entry in place.iterdir())}"
    outcome = "fault" if problem else "clean" if code == 2 else "accepted"
    return Try(outcome, problem or "", seconds, peak, status)


def _forked(carry: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        try:
            carry()
        finally:
            os._exit(1)
    return child


def _wait_for(child: int, seconds: float | None = None) -> tuple[int, resource.struct_rusage | None]:
    started, seconds = time.monotonic(), seconds or MAX_SECONDS * PATIENCE
    while time.monotonic() - started < seconds:
        found, status, usage = os.wait4(child, os.WNOHANG)
        if found:
            return status, usage
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1], None


def _command(place: Path, command: Callable[[], int]) -> None:
    """In the child: never returns."""
    for limit, most in (("CORE", 0), ("CPU", CPU_SECONDS), ("AS", ADDRESSES)):
        resource.setrlimit(getattr(resource, f"RLIMIT_{limit}"), (most, most))
    os._exit(_code_of(place, command))


def _code_of(place: Path, command: Callable[[], int]) -> int:
    """Carry a command out in this process, with what it says in files of the place, and return its exit code."""
    code = 1
    try:
        for name, number in (("out", 1), ("err", 2)):
            opened = os.open(place / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(opened, number)
            os.close(opened)
        sys.stdout = sys.__dict__["__stdout__"] = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = sys.__dict__["__stderr__"] = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        os.chdir(place / "in")
        code = command()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    with suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    return code


class Worker:
    """A process that carries out one command after another, by which forks, exits and copies are paid once for many.

    A command gets the directory, environment, signals and warnings that a new process has, a copy of the runs that is
    as good as new, and its own peak of memory.

    Args:
        base: the runs.
        place: a folder of the worker's own, for a copy of them.
    """

    def __init__(self, base: Path, place: Path):
        self.copy = _Copy(base, place / "in")
        self.place = place
        self.child, self.left = 0, 0

    def carry_out(self, files: dict[str, bytes], command: str, codes: tuple[int, ...]) -> tuple[Try, str] | None:
        """What came of a command in a copy with these files; None where it may be a fault, and is to be tried alone."""
        if not self.left:
            self.end()
            self._begin()
        self.left -= 1

        self.copy.lay_out(files)
        self.asks.write(f"{command}\n")
        self.asks.flush()
        ended_in_time = select.select([self.answers], [], [], MAX_SECONDS * PATIENCE)[0]
        line = self.answers.readline() if ended_in_time else ""
        if not line:
            self.end()
            return None

        code, seconds, peak = line.split()
        told = (self.place / "err").read_text(errors="replace")
        result = _judged(self.place, int(code), float(seconds), int(peak), codes, told)
        return None if result.outcome == "fault" else (replace(result, status=int(code) << 8), told)

    def end(self) -> None:
        """Let the process end."""
        if self.child:
            os.kill(self.child, signal.SIGKILL)
            os.waitpid(self.child, 0)
            self.asks.close()
            self.answers.close()
        self.child, self.left = 0, 0

    def _begin(self) -> None:
        asked, asks = os.pipe()
        answers, answered = os.pipe()

        def carry() -> None:
            os.close(asks)  # with it open, it would outlive whoever asks
            os.close(answers)
            _carry_out_each(self.place, asked, answered)

        self.child, self.left = _forked(carry), TRIES_OF_A_WORKER
        os.close(asked)
        os.close(answered)
        self.asks, self.answers = os.fdopen(asks, "w"), os.fdopen(answers)


def _carry_out_each(place: Path, asked: int, answered: int) -> None:
    """In the worker: carry out each command that is asked for, until there are no more."""
    for limit, most in (("CORE", 0), ("AS", ADDRESSES)):
        resource.setrlimit(getattr(resource, f"RLIMIT_{limit}"), (most, most))
    environment, paths = dict(os.environ), [*sys.path]
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for line in os.fdopen(asked):
        before = time.process_time()
        resource.setrlimit(resource.RLIMIT_CPU, (int(before) + CPU_SECONDS, resource.RLIM_INFINITY))
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # the peak of memory begins anew
        with warnings.catch_warnings():  # what was warned of once is warned of again
            code = _code_of(place, COMMANDS[line.removesuffix("\n")])

        os.environ.clear()
        os.environ.update(environment)
        sys.path[:] = paths
        for number, handler in signals.items():
            signal.signal(number, handler)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        os.write(answered, f"{code} {time.process_time() - before} {peak}\n".encode())


class _Copy:
    """A copy of a folder that is mended before each use, rather than made anew."""

    def __init__(self, original: Path, folder: Path):
        self.original, self.folder = original, folder
        self.known: dict[str, tuple[int, int, int]] = {}

    def lay_out(self, files: dict[str, bytes]) -> None:
        """Make the folder what the original is, but for the content of these files."""
        try:
            self._mend(files)
        except OSError:  # a folder in the place of a file, or one that lost its permissions
            self.known = {}
            self._mend(files)

    def _mend(self, files: dict[str, bytes]) -> None:
        if not self.known:
            shutil.rmtree(self.folder.parent, ignore_errors=True)
            self.folder.mkdir(parents=True)
            self.known = dict.fromkeys(self._walked(self.original), (0, 0, 0))
        found = self._walked(self.folder)
        for name in found.keys() - self.known.keys():
            (self.folder / name).unlink()

        for name in {name for name, mark in self.known.items() if found.get(name) != mark} | files.keys():
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            target.write_bytes(files[name] if name in files else (self.original / name).read_bytes())
            self.known[name] = (0, 0, 0) if name in files else self._mark(target)

    def _walked(self, folder: Path) -> dict[str, tuple[int, int, int]]:
        """The files in a folder, each with its mark; folders that the original doesn't have are removed."""
        found: dict[str, tuple[int, int, int]] = {}
        for parent, folders, names in os.walk(folder):
            near = Path(parent).relative_to(folder)
            for name in [name for name in folders if not (self.original / near / name).is_dir()]:
                shutil.rmtree(Path(parent, name))
                folders.remove(name)
            found |= {str(near / name): self._mark(Path(parent, name)) for name in names}
        return found

    def _mark(self, file: Path) -> tuple[int, int, int]:
        stat = file.lstat()
        return stat.st_ino, stat.st_size, stat.st_ctime_ns


def warm_up(base: Path | None = None) -> None:
    """Load what the commands load, once: each child begins with it. Nothing of Polars is used, which keeps threads.

    Args:
        base: runs on which each command is rehearsed in a child, to find all that it loads; without it, the main parts.
    """
    from importlib import import_module

    from fittingroom.cli import COMMANDS as NAMES
    from fittingroom.cli import make_parser
    from fittingroom.rendering.html_page import PACKAGE, _environment, _markdown_environment
    from fittingroom.rendering.languages import class_names, language_switch, read_catalogue

    for name in NAMES:
        make_parser(name)
    parts = ["pipeline", "report.page", "compare.page", "serve.app", "tune", "verify_run", "artifact.export"]
    parts += ["report.model_card", "predict.inputs"]
    names = [f"fittingroom.{part}" for part in parts]
    names += ["polars", "onnxruntime", "optuna", "starlette.testclient", "scipy.stats", "rich.console", "onnx"]
    for name in [*names, *(_loaded_by_all(base) if base else ())]:
        with suppress(ImportError):
            import_module(name)
    if base is None:
        return

    for template in PACKAGE.rglob("*.html"):
        _environment().get_template(template.relative_to(PACKAGE).as_posix())
    for template in PACKAGE.rglob("*.md"):
        _markdown_environment().get_template(template.relative_to(PACKAGE).as_posix())
    for catalogue in (PACKAGE / "rendering" / "languages").glob("*.zh.txt"):
        read_catalogue(catalogue.name.removesuffix(".zh.txt"))
    language_switch()
    class_names()
    _read_records(base / ONE)
    Image.init()
    save = Image.SAVE["PNG"]
    Image.SAVE["PNG"] = lambda image, file, name: save(_hardly_packed(image), file, name)
    inspect.getmodule(warm_up, __file__)  # which looks once at the file of every module
    gc.collect()
    gc.freeze()  # else each child's first collection copies all of this process's memory


def _read_records(run: Path) -> None:
    """Read what a good run says, by which the annotations of its records are evaluated, once for all tries."""
    from fittingroom.artifact.artifact import open_artifact
    from fittingroom.runs.metrics_log import read_metrics

    opened = fr.Run(run)
    for read in (opened.environment, opened.result, opened.recipe, read_metrics(run / "metrics.jsonl")):
        assert read
    open_artifact(run)


def _hardly_packed(image: Image.Image) -> Image.Image:
    """A picture that is saved without much of zlib's work, which is a third of a report's time."""
    image.encoderinfo.setdefault("compress_level", 1)
    return image


def _loaded_by_all(base: Path) -> list[str]:
    """The modules that a process has loaded when it has carried out every command."""
    place = base.parent / f"rehearsal-{os.getpid()}"

    def rehearse() -> None:
        sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
        for carry in COMMANDS.values():
            _lay_out(base, {}, place)
            os.chdir(place / "in")
            with suppress(SystemExit):
                carry()
        (place / "modules").write_text("\n".join(sorted(set(sys.modules) - {"__mp_main__"})))

    _wait_for(_forked(rehearse), 600)
    found = (place / "modules").read_text().split()
    shutil.rmtree(place, ignore_errors=True)
    return found


@dataclass
class Sweep:
    """So many mutations of each kind, each against every command that opens it, round and round.

    Attributes:
        base, work: the runs, and a folder for copies of them.
        tally: where what came of the tries is kept from one slice to the next; None for nowhere.
        tallies: what came of each file and command so far.
        next_seed: the first that no slice has begun with.
    """

    base: Path
    work: Path
    fresh: bool = False
    tally: Path | None = None
    tallies: dict[str, Tally] = field(default_factory=dict)
    next_seed: int = 0

    def __post_init__(self) -> None:
        if self.tally is not None and self.tally.exists():
            kept = json.loads(self.tally.read_text(encoding="utf-8"))
            self.next_seed = kept["next_seed"]
            self.tallies = {name: Tally(**figures) for name, figures in kept["tallies"].items()}

    def keep(self) -> None:
        """Write the tally whole, so that a slice that is killed costs its last tries alone."""
        if self.tally is not None:
            write_json(
                self.tally, {"next_seed": self.next_seed, "tallies": {n: asdict(t) for n, t in self.tallies.items()}}
            )

    def run(
        self, kinds: dict[str, Kind], seeds: range, *, end: float = float("inf"), report: Path | None = None
    ) -> None:
        """Try all, until a time of the monotonic clock; with a report, write it there each few minutes."""
        told, seen = time.monotonic(), set[bytes]()
        worker = Worker(self.base, self.work / "worker")
        try:
            for seed in seeds:
                self.next_seed = seed + 1
                for name, kind in kinds.items():
                    files = mutated(self.base, kind, seed, self.work / "mutated")
                    made = hashlib.sha256(repr((name, sorted(files.items()))).encode()).digest()
                    if made in seen:
                        continue
                    seen.add(made)
                    self._try_each(name, kind, seed, files, worker)

                    if time.monotonic() > end:
                        return
                    if time.monotonic() > told + SAID_EVERY:
                        told = time.monotonic()
                        self.keep()
                        if report:
                            report.write_text(self.said())
        finally:
            worker.end()
            self.keep()

    def _try_each(self, name: str, kind: Kind, seed: int, files: dict[str, bytes], worker: Worker) -> None:
        """A mutated file against every command that opens it."""
        for command in kind.commands:
            tally = self.tallies.setdefault(f"{name} · {command}", Tally())
            place = self.work / "place"
            result = attempt(self.base, files, command, place, worker=worker, fresh=self.fresh)
            tally.add(result, f"{name}, seed {seed}")

    def said(self) -> str:
        """A line for each file and command, one for all, and every fault."""
        each = self.tallies.values()
        all_ = Tally(
            tried=sum(tally.tried for tally in each),
            clean=sum(tally.clean for tally in each),
            accepted=sum(tally.accepted for tally in each),
            faults=[fault for tally in each for fault in tally.faults],
            bytes=max(tally.bytes for tally in each),
            seconds=max(tally.seconds for tally in each),
        )
        lines = [tally.line(name) for name, tally in self.tallies.items()]
        return "\n".join([*lines, all_.line("all"), *all_.faults]) + "\n"


def main_program(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path, metavar="FOLDER", help="of the runs; made where there is none")
    parser.add_argument("tries", type=int, help="of each file and command; 0: each file once, with two of its commands")
    parser.add_argument("first", nargs="?", default="-", metavar="SEED", help="of the first try; -: as --tally says")
    parser.add_argument("names", nargs="*", metavar="KIND", help=f"files; default: all of {', '.join(KINDS)}")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="after which it ends")
    parser.add_argument("--fresh", action="store_true", help="carry each try out in a new interpreter too, and compare")
    parser.add_argument(
        "--tally", type=Path, metavar="FILE", help="add to what came of earlier slices, and begin after them"
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="write what came of it each few minutes")
    args = parser.parse_args(words)

    base = args.base.absolute()
    if not base.exists():
        _wait_for(_forked(lambda: make_base(base)), 1_800)  # Polars would keep threads in this process
    warm_up(base if args.tries > 1 else None)
    kinds = {name: KINDS[name] for name in args.names or KINDS}

    # In memory, where there is such a place: a try copies the runs, and waits for no disk.
    memory = Path("/dev/shm")
    work = (memory if os.access(memory, os.W_OK) else base.parent) / f"fittingroom-hostile-{os.getpid()}"
    sweep, end = Sweep(base, work, args.fresh, args.tally), time.monotonic() + 60 * args.minutes
    first = sweep.next_seed if args.first == "-" else int(args.first)
    if args.tries == 0:
        rng = random.Random(first)
        kinds = {
            name: replace(k, commands=tuple(rng.sample(k.commands, min(2, len(k.commands)))))
            for name, k in kinds.items()
        }

    try:
        sweep.run(kinds, range(first, first + max(1, args.tries)), end=end, report=args.report)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if args.report:
        args.report.write_text(sweep.said())
    print(sweep.said())
    return any(tally.faults for tally in sweep.tallies.values())


if __name__ == "__main__":
    os.environ.setdefault("FITTINGROOM_CACHE", str(Path(sys.argv[1]).absolute().parent / "cache"))
    sys.exit(main_program(sys.argv[1:]))
