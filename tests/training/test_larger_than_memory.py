"""Training on more images than memory holds: from shards through a map of one file, resumed as exactly as any."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import fittingroom as fr
from fittingroom.audit import fast_findings
from fittingroom.data import large
from fittingroom.data.convert import convert
from fittingroom.data.formats.idx import write_idx
from fittingroom.errors import Interrupted
from fittingroom.runs.metrics_log import read_metrics
from tests.support.memory_limit import memory_cgroup, peak_anonymous_memory
from tests.support.stopping import stop_after

GIB = 1 << 30
IMAGES = 6_000_000
ROOM = 20 * GIB  # on disk: the file, the room that it is read into, the cache


@pytest.fixture
def shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sample in four Parquet files, sorted by label, where half a mebibyte counts as large."""
    monkeypatch.setattr(large, "LARGE", 1 << 19)
    monkeypatch.setenv("FITTINGROOM_CACHE", str(tmp_path / "cache"))
    train = fr.open_dataset("sample").train
    assert train.labels is not None
    by_label = train.subset(np.argsort(train.labels, kind="stable"))
    (tmp_path / "shards").mkdir()
    for i in range(4):
        part = by_label.subset(range(i * 500, (i + 1) * 500))
        convert(fr.Splits(part), tmp_path / "shards" / f"train-0000{i}-of-00004.parquet")
    return tmp_path / "shards"


def plain() -> fr.Recipe:
    return fr.load_recipe("plain", overrides=["stages.0.epochs=1", "validation=200", "shift=1", "precision=float32"])


def test_shards_are_read_into_one_file_that_is_mapped(shards: Path) -> None:
    for _ in range(2):
        data = fr.open_dataset(shards).train
        base = data.images
        while isinstance(base.base, np.ndarray):
            base = base.base
        assert isinstance(base, np.memmap)
        assert str(base.filename).endswith("train-images.npy")
        assert data.fingerprint.content == fr.open_dataset("sample").train.fingerprint.content


def test_without_the_cache_they_are_read_into_a_file_without_a_name(shards: Path, tmp_path: Path) -> None:
    before = set((tmp_path / "cache").rglob("*"))
    data = fr.open_dataset(shards, cache=False).train
    assert len(data) == 2_000
    assert set((tmp_path / "cache").rglob("*")) == before


def test_resume_equals_uninterrupted(shards: Path, tmp_path: Path) -> None:
    whole = fr.train(shards, plain(), out=tmp_path / "whole")
    with pytest.raises(Interrupted):
        fr.train(shards, plain(), out=tmp_path / "stopped", should_stop=stop_after(4))
    resumed = fr.resume(tmp_path / "stopped")
    assert (resumed.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()
    assert resumed.result["validation"] == whole.result["validation"]


def test_the_quick_check_before_a_training_does_not_hash_every_image(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = fr.open_dataset(shards)
    hashed, image_hashes = [], fr.Dataset.image_hashes

    def count_and_hash(dataset: fr.Dataset) -> list[bytes]:
        hashed.append(len(dataset))
        return image_hashes(dataset)

    monkeypatch.setattr(fr.Dataset, "image_hashes", count_and_hash)
    fast_findings(data)
    assert max(hashed) <= 400


@dataclass(frozen=True)
class Outcome:
    """Of reading 6 million images and training on them for some steps, stopped, and resumed for some more."""

    limited: bool
    codes: list[int]
    peaks: list[int]
    steps: int


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    if not sys.platform.startswith("linux"):
        pytest.skip("RssAnon is Linux's")

    folder = tmp_path_factory.mktemp("large")
    if shutil.disk_usage(folder).free < ROOM:
        pytest.skip(f"{ROOM / GIB:.0f} GiB of disk needed in {folder}")
    _write_large_set(folder / "data")

    run, log = folder / "run", folder / "run" / "metrics.jsonl"
    train: list[str | Path] = [sys.executable, "-m", "fittingroom", "train"]
    commands = [
        [*train, folder / "data", "--recipe", "plain", "--epochs", "1", "--out", run],
        [*train, "--resume", run],
    ]

    # Stopped after 100 steps, and resumed for 100 more, both within the limit where the machine can set one.
    codes, peaks, steps = [], [], 0
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("FITTINGROOM_CACHE", str(folder / "cache"))
        try:
            enter = stack.enter_context(memory_cgroup(2 * GIB))
        except (OSError, LookupError):
            enter = None

        for command in commands:
            enough = partial(_has_steps, log, steps + 100)
            code, peak = peak_anonymous_memory(command, enter=enter, stop_when=enough)
            codes.append(code)
            peaks.append(peak)
            steps = _steps(log)

        yield Outcome(enter is not None, codes, peaks, steps)


def _has_steps(log: Path, count: int) -> bool:
    return _steps(log) >= count


def _steps(log: Path) -> int:
    return sum(event["event"] == "step" for event in read_metrics(log)) if log.exists() else 0


def _write_large_set(folder: Path) -> None:
    """The sample, over and over, each time inverted at other pixels; nothing of it stays in the system's page cache."""
    folder.mkdir()
    sample = fr.open_dataset("sample").train
    assert sample.labels is not None
    times, draw = IMAGES // len(sample), np.random.default_rng(0)
    with (folder / "train-images-idx3-ubyte").open("wb") as file:
        file.write(bytes([0, 0, 8, 3]) + np.array([IMAGES, 28, 28], ">u4").tobytes())
        for _ in range(times):
            file.write((sample.images ^ draw.integers(0, 2, (28, 28), dtype=np.uint8)).tobytes())
        os.fdatasync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    write_idx(folder / "train-labels-idx1-ubyte", np.tile(sample.labels, times).astype(np.uint8))
    (folder / "classes.txt").write_text("\n".join(sample.classes))


@pytest.mark.nightly
def test_training_on_4_7_gb_takes_less_than_1_gb_for_itself(outcome: Outcome) -> None:
    """While they are read for the first time, in training, and resumed; pages of files are not its own."""
    assert outcome.codes == [130, 130]
    assert max(outcome.peaks) < GIB
    assert outcome.steps >= 200


@pytest.mark.nightly
def test_training_on_4_7_gb_runs_in_2_gb(outcome: Outcome) -> None:
    if not outcome.limited:
        pytest.skip("this machine allows no memory cgroup here")
    assert outcome.codes == [130, 130]  # 137 would be the kernel's end of a process without memory
