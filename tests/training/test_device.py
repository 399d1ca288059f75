"""What is asked of the machine: its memory, its devices, and which precision is faster on it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import fittingroom as fr
from fittingroom.models import find_model
from fittingroom.training.device import pick_device, resolve_precision

COUNT_PAGE_FAULTS = """
import resource, torch
from fittingroom.training.device import keep_freed_memory

kept = keep_freed_memory()
for _ in range(20):  # the heap finds its size in the first few
    torch.ones(10_000_000)  # 40 MB: above what glibc keeps by itself
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    torch.ones(10_000_000)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
@pytest.mark.parametrize(("setting", "kept"), [("", True), ("default", False)])
def test_memory_of_freed_tensors_is_used_again_unless_the_user_says_otherwise(setting: str, kept: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", COUNT_PAGE_FAULTS],
        env=os.environ | {"FITTINGROOM_MALLOC": setting},
        capture_output=True,
        text=True,
        check=True,
    )
    said, page_faults = done.stdout.split()
    assert said == str(kept)
    assert (int(page_faults) < 100) == kept


def recipe(**changes: object) -> fr.Recipe:
    return fr.load_recipe("plain", overrides=[f"{key}={value}" for key, value in changes.items()])


def test_a_recipe_that_names_its_precision_gets_it() -> None:
    source = find_model("tutorial")
    for precision in ("float32", "bf16"):
        assert resolve_precision(recipe(precision=precision), source, 10, (28, 28), "cpu", None) == precision


def test_without_bf16_in_hardware_auto_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    for flag in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, flag, lambda: False, raising=False)
    assert resolve_precision(recipe(precision="auto"), find_model("tutorial"), 10, (28, 28), "cpu", None) == "float32"


def test_the_answer_of_the_probe_is_kept_and_a_damaged_one_is_measured_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    question = (recipe(precision="auto", batch_size=8), find_model("tutorial"), 10, (28, 28), "cpu", tmp_path)
    first = resolve_precision(*question)
    (file,) = tmp_path.iterdir()
    kept = json.loads(file.read_text(encoding="utf-8"))
    assert kept["precision"] == first
    assert set(kept["seconds"]) == {"float32", "bf16"}

    # What is kept is taken, not measured: also where it is the other one.
    other = {"float32": "bf16", "bf16": "float32"}[first]
    file.write_text(json.dumps(kept | {"precision": other}), encoding="utf-8")
    assert resolve_precision(*question) == other

    file.write_text("{", encoding="utf-8")
    assert resolve_precision(*question) in ("float32", "bf16")
    assert json.loads(file.read_text(encoding="utf-8"))["precision"] in ("float32", "bf16")


def test_colour_has_an_answer_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    question = (recipe(precision="auto", batch_size=8), find_model("tutorial"), 10, (28, 28), "cpu", tmp_path)
    resolve_precision(*question)
    (grey,) = tmp_path.iterdir()
    resolve_precision(*question, channels=1)
    assert list(tmp_path.iterdir()) == [grey]
    resolve_precision(*question, channels=3)
    assert len(list(tmp_path.iterdir())) == 2


def test_where_memory_is_too_small_for_a_batch_the_probe_takes_less_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def with_room_for_100(count: int, *_: object) -> dict[str, float]:
        tried.append(count)
        if count > 100:
            raise torch.OutOfMemoryError("no more memory")
        return {"float32": 1.0, "bf16": 0.5}

    monkeypatch.setattr("fittingroom.training.device._has_bf16", lambda _device: True)
    monkeypatch.setattr("fittingroom.training.device._probe_batch", with_room_for_100)
    recipe = fr.load_recipe("plain", overrides=["batch_size=256"])
    assert resolve_precision(recipe, find_model("tutorial"), 10, (28, 28), "cpu", None) == "bf16"
    assert tried == [256, 128, 64]


def test_a_device_that_is_not_there_is_refused_with_those_that_are() -> None:
    assert pick_device("auto") in ("cpu", "cuda", "mps")
    with pytest.raises(fr.RecipeError, match=r"device xpu: not on this machine; it has .*cpu"):
        pick_device("xpu")
