"""What is asked of the machine: its memory and its devices."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

import fittingroom as fr
from fittingroom.training.device import pick_device

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


def test_a_device_that_is_not_there_is_refused_with_those_that_are() -> None:
    assert pick_device("auto") in ("cpu", "cuda", "mps")
    with pytest.raises(fr.RecipeError, match=r"device xpu: not on this machine; it has .*cpu"):
        pick_device("xpu")
