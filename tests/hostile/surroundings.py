"""The command where its surroundings fail it: read-only and full file systems, few open files, no input, odd homes.

Each try is a process of its own, by fork, in a namespace of mounts of its own: ``python -m tests.hostile.surroundings
FOLDER`` prints a line for each, and what was wrong. Only root may make such namespaces.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np

import fittingroom as fr
from tests.hostile.run_files import Try, _forked, _wait_for, carry_out, main, warm_up
from tests.support import GOLDEN

NEW_MOUNTS, RECURSIVE, PRIVATE, BIND, REMOUNT, READ_ONLY = 0x20000, 0x4000, 0x40000, 4096, 32, 1  # of Linux
DATA, RUN = "small.npz", "runs/old"


# ── surroundings ─────────────────────────────────────────────────────────────────────────────────────────────


def own_mounts() -> None:
    """A namespace in which what this process mounts is its own. Raises OSError where that isn't permitted."""
    libc = ctypes.CDLL(None, use_errno=True)
    for failed in (libc.unshare(NEW_MOUNTS), libc.mount(b"none", b"/", None, RECURSIVE | PRIVATE, None)):
        if failed:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def read_only() -> None:
    """Nothing can be written anywhere, as in a container without a writable layer."""
    own_mounts()
    mounts = {line.split()[1] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()}
    for place in sorted(mounts):
        if not place.startswith(("/proc", "/sys")):
            ctypes.CDLL(None).mount(b"none", place.encode(), None, BIND | REMOUNT | READ_ONLY, None)
    tempfile.tempdir = None  # looked for anew


def full_disk(kilobytes: int) -> None:
    """The current directory, and the only place for temporary files, is a disk of so many kilobytes."""
    own_mounts()
    disk = Path.cwd() / "disk"
    disk.mkdir()
    ctypes.CDLL(None).mount(b"tmpfs", str(disk).encode(), b"tmpfs", 0, f"size={kilobytes}k".encode())
    for name in (DATA, "lr.toml", "picture.png"):
        shutil.copy(name, disk)
    shutil.copytree(RUN, disk / RUN)
    os.chdir(disk)
    os.environ["TMPDIR"] = str(disk)
    tempfile.tempdir = None


def few_files(count: int) -> None:
    """So many files may be open at once."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


def no_input() -> None:
    """Standard input is closed."""
    os.close(0)
    sys.stdin = None


def relative_home() -> None:
    """No place of the user's own has an absolute path."""
    for name in ("FITTINGROOM_CACHE", "TMPDIR"):
        os.environ.pop(name, None)
    os.environ |= {"HOME": "home", "XDG_CACHE_HOME": "cache"}


# ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────

QUICK = ("--epochs", "1", "--threads", "1", "--quiet", "--set", "min_steps=0", "--set", "batch_size=20")
TRAIN = ("train", DATA, "--recipe", "plain", "--set", "model=tutorial", "--set", "precision=float32", "--out", "new")
READ = {
    "predict": ("predict", RUN, "picture.png"),
    "predict to a stream": ("predict", RUN, "picture.png", "--parquet", "/dev/stdout"),
    "runs": ("runs", "runs"),
    "data info": ("data", "info", DATA),
    "data check": ("data", "check", DATA),
}
WRITE = {
    "train": (*TRAIN, *QUICK),
    "train, folds": (*TRAIN, *QUICK, "--folds", "2"),
    "tune": ("tune", *TRAIN[1:], *QUICK, "--space", "lr.toml", "--trials", "1", "--final-seeds", "0"),
    "try": ("try", *TRAIN[1:], *QUICK, "--set", "label_smoothing=0.1", "--budget", "0.1s"),
    "report": ("report", RUN),
    "evaluate": ("evaluate", RUN, DATA, "--threads", "1"),
    "convert": ("data", "convert", DATA, "out.parquet"),
    "split": ("data", "split", DATA, "--out", "parts"),
}
ALL = READ | WRITE
TRIES: dict[str, tuple[Callable[[], None], dict[str, tuple[str, ...]]]] = {
    "read-only": (read_only, ALL),
    "full disk": (partial(full_disk, 700), ALL),
    "half a disk": (partial(full_disk, 1_000), {name: WRITE[name] for name in ("train", "train, folds", "tune")}),
    "20 files": (partial(few_files, 20), {name: ALL[name] for name in ("train", "tune", "data check", "predict")}),
    "no input": (no_input, {"predict": ("predict", RUN, "-"), "train": WRITE["train"]}),
    "relative home": (relative_home, {name: ALL[name] for name in ("train", "data info")}),
}
# Whatever fails, these are answered; a check of data ends with 2 where it finds what is wrong.
ALWAYS_DONE = {("read-only", name) for name in READ if name != "data check"} | {("no input", "train")}


def make_place(folder: Path) -> None:
    """Small data, a run of 0.1 and what the commands are given."""
    sample = fr.open_dataset("sample").train
    labels = np.asarray(sample.labels)
    np.savez(folder / DATA, x_train=sample.images[:120], y_train=labels[:120] % 3, x_test=sample.images[120:160])
    (folder / "lr.toml").write_text("lr = [0.001, 0.002]\n", encoding="utf-8")
    shutil.copytree(GOLDEN / "format-1" / "swift-1", folder / RUN)
    from PIL import Image

    Image.fromarray(sample.images[0]).save(folder / "picture.png")


def attempt(base: Path, place: Path, surroundings: str, name: str) -> Try:
    """Carry out one command in a copy of the folder, in such surroundings."""
    prepare, commands = TRIES[surroundings]

    def carry() -> int:
        prepare()
        return main(*commands[name])

    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(base, place / "in")
    result, told = carry_out(place, carry, codes=(0,) if (surroundings, name) in ALWAYS_DONE else (0, 2))
    if "temporary" not in told and ".tmp" in told:
        return Try("fault", f"a name of ours in what it prints: {told[-300:]!r}", result.seconds, result.bytes)
    return result


def main_program(folder: Path, wanted: list[str]) -> int:
    """Try all, or some surroundings, below a folder; returns the number of faults."""
    base = folder / "base"
    base.mkdir(parents=True)
    _wait_for(_forked(lambda: make_place(base)), 600)
    warm_up(None)
    faults = 0
    for surroundings, (_, commands) in TRIES.items():
        for name in commands if not wanted or surroundings in wanted else ():
            result = attempt(base, folder / "place", surroundings, name)
            faults += result.outcome == "fault"
            print(f"{surroundings} · {name}: {result.outcome} {result.why}", flush=True)
    with suppress(OSError):
        shutil.rmtree(folder / "place")
    return faults


if __name__ == "__main__":
    sys.exit(main_program(Path(sys.argv[1]).absolute(), sys.argv[2:]) > 0)
