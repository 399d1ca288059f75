"""Every file of a run, mutated, against every command that opens it: each try in a process of its own, by fork."""

from __future__ import annotations

import hashlib
import os
import random
import re
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import fittingroom as fr
from fittingroom.tune import Plan
from tests.hostile import mutations
from tests.hostile.mutations import MARK, Mutation

MAX_SECONDS, MAX_BYTES = 10, 1 << 30
PATIENCE = 6  # times the seconds of the processor that a try may take by the clock, on a machine that is busy
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


ONE = "runs/one"
COMMANDS: dict[str, Callable[[], int]] = {
    "evaluate": lambda: main("evaluate", ONE, "--threads", "1"),
    "evaluate --json": lambda: main("evaluate", ONE, "--json", "--threads", "1"),
    "predict": lambda: main("predict", ONE, "picture.png"),
    "predict --csv": lambda: main("predict", ONE, "picture.png", "--csv", "out.csv"),
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
    "train by its recipe": lambda: main("train", "sample", "--recipe", f"{ONE}/recipe.toml", "--no-test", "--quiet"),
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
        small = [
            *("--threads", "1", "--quiet", "--set", "precision=float32", "--set", "model_args.widths=[4,8,16]"),
            *("--set", "min_steps=0", "--recipe", "swift"),
        ]
        assert main("train", "sample", "--out", ONE, "--epochs", "2", *small) == 0
        assert main("train", "sample", "--out", "runs/other", "--epochs", "1", *small) == 0
        assert main("train", "sample", "--out", "runs/two", "--seeds", "2", "--epochs", "1", *small) == 0
        assert main("evaluate", ONE, "--threads", "1") == 0
        shutil.copytree("runs/other", "runs/third")
        assert main("compare", "runs/third", "runs/other", "--split", "validation") == 0

        overrides = ["stages.0.epochs=1", "precision=float32", "model=tutorial", "min_steps=0"]
        recipe = fr.load_recipe("plain", overrides=overrides)
        options = fr.Options(threads=1)
        fr.tune_recipe(
            "sample",
            recipe,
            "lr = [0.001, 0.002]",
            plan=Plan(trials=1),
            final_seeds=0,
            out="runs/study",
            options=options,
        )
        from PIL import Image

        Image.fromarray(fr.open_dataset("sample").train.images[0]).save("picture.png")
        Path("hostile.py").write_text(HOSTILE_CODE)
        for run in Path("runs").glob("*/report.html"):
            run.unlink()
    finally:
        os.chdir(before)
    return folder


def attempt(base: Path, kind: Kind, command: str, seed: int, place: Path, corpus: Corpus | None = None) -> Try:
    """Mutate the file in a copy of the runs, and carry the command out there in a process of its own."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(base, place / "in")
    target = place / "in" / kind.file
    content = corpus.pick(target.read_bytes(), seed) if corpus else target.read_bytes()

    # In a process of its own too: what has used Polars once has threads, and can't be forked any more.
    def put() -> None:
        target.write_bytes(kind.mutate(content, random.Random(seed)))
        if kind.sealed:
            mutations.seal_checkpoint(target.parent)

    _wait_for(_forked(put))
    mutated = target.read_bytes()
    result, told = carry_out(place, COMMANDS[command], codes=(0, 1, 2) if command == "verify" else (0, 2))
    if corpus:
        corpus.keep(mutated, told)
    return replace(result, why=f"{command}: {result.why}") if result.why else result


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
    found = next((word for word in FORBIDDEN if word in told), None)
    code = os.waitstatus_to_exitcode(status)
    problem = None
    if found:
        last = [line for line in told.splitlines() if line.strip()]
        problem = f"{found!r} in what it prints: … {' | '.join(last[-6:])[-700:]!r}"
    elif code not in codes:
        problem = f"exit code {code}: {told[-300:]!r}"
    elif seconds > MAX_SECONDS or peak > MAX_BYTES:
        problem = f"{seconds:.1f} s, {peak >> 20} MB"
    elif len(told) > MAX_TOLD:
        problem = f"{len(told):,} characters of messages"
    elif any(place.rglob(MARK)):
        problem = "hostile code was executed"
    elif {entry.name for entry in place.iterdir()} - {"in", "err", "out"}:
        problem = f"written outside: {sorted(entry.name for entry in place.iterdir())}"
    outcome = "fault" if problem else "clean" if code == 2 else "accepted"
    return Try(outcome, problem or "", seconds, peak), told


def _forked(carry: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        try:
            carry()
        finally:
            os._exit(1)
    return child


def _wait_for(child: int, seconds: float = MAX_SECONDS * PATIENCE) -> tuple[int, resource.struct_rusage | None]:
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        found, status, usage = os.wait4(child, os.WNOHANG)
        if found:
            return status, usage
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1], None


def _command(place: Path, command: Callable[[], int]) -> None:
    """In the child: never returns."""
    code = 1
    try:
        for name, number in (("out", 1), ("err", 2)):
            os.dup2(os.open(place / name, os.O_WRONLY | os.O_CREAT), number)
        sys.stdout = sys.__dict__["__stdout__"] = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = sys.__dict__["__stderr__"] = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        os.chdir(place / "in")
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        code = command()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    with suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def warm_up() -> None:
    """Load what the commands load, once: each child begins with it. Nothing of Polars is used, which keeps threads."""
    from importlib import import_module

    from fittingroom.cli import COMMANDS as NAMES
    from fittingroom.cli import make_parser

    for name in NAMES:
        make_parser(name)
    for name in ("fittingroom.pipeline", "fittingroom.report.page"):
        import_module(name)
    for name in ("polars", "onnxruntime", "optuna", "starlette.testclient", "scipy.stats", "rich.console", "onnx"):
        import_module(name)
    for name in (
        "compare.page",
        "serve.app",
        "tune",
        "verify_run",
        "artifact.export",
        "report.model_card",
        "predict.inputs",
    ):
        import_module(f"fittingroom.{name}")


def sweep(base: Path, place: Path, kinds: dict[str, Kind], tries: int, first_seed: int = 0) -> dict[str, Tally]:
    """So many mutations of each kind, each against every command that opens it."""
    tallies: dict[str, Tally] = {}
    for name, kind in kinds.items():
        for command in kind.commands:
            tally = tallies.setdefault(f"{name} · {command}", Tally())
            for seed in range(first_seed, first_seed + tries):
                tally.add(attempt(base, kind, command, seed, place), f"{name}, seed {seed}")
            print(tally.line(f"{name} · {command}"), flush=True)
    return tallies


def main_program(base: Path, tries: int, first_seed: int = 0, *names: str) -> int:
    """BASE TRIES [FIRST_SEED [KIND …]]: sweep, print a line for each file and command, and every fault.

    TRIES 0 is a short one: each file once against two of the commands that open it.
    """
    if not base.exists():
        _wait_for(_forked(lambda: make_base(base)), 1_800)  # Polars would keep threads in this process
    warm_up()
    work = base.parent / f"work-{os.getpid()}"
    kinds = {name: KINDS[name] for name in names or KINDS}
    if tries == 0:
        rng = random.Random(first_seed)
        kinds = {
            name: replace(k, commands=tuple(rng.sample(k.commands, min(2, len(k.commands)))))
            for name, k in kinds.items()
        }
    tallies = sweep(base, work, kinds, tries or 1, first_seed)
    shutil.rmtree(work, ignore_errors=True)
    faults = [fault for tally in tallies.values() for fault in tally.faults]
    print(*faults, sep="\n")
    return len(faults) > 0


if __name__ == "__main__":
    os.environ.setdefault("FITTINGROOM_CACHE", str(Path(sys.argv[1]).absolute().parent / "cache"))
    tries_, seed_ = [int(word) for word in [*sys.argv[2:4], "0"][:2]]
    sys.exit(main_program(Path(sys.argv[1]).absolute(), tries_, seed_, *sys.argv[4:]))
