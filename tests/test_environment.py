"""The number of threads: what a process may use decides it, and no load."""

import math
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from fittingroom import environment
from fittingroom.environment import cpu_quota, default_threads


def git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_revision_is_the_commit_with_a_sign_for_changes_and_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "environment.py"))
    git(tmp_path, "init", "-q")
    assert environment.git_revision() is None
    (tmp_path / "environment.py").write_text("one")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "one")
    commit = git(tmp_path, "rev-parse", "HEAD")

    # The same content with another time, after which git would like to write its index anew.
    os.utime(tmp_path / "environment.py", (1, 1))
    before = (tmp_path / ".git" / "index").stat()
    assert environment.git_revision() == commit
    after = (tmp_path / ".git" / "index").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)

    (tmp_path / "new.py").write_text("not known to git")
    assert environment.git_revision() == commit
    (tmp_path / "environment.py").write_text("two")
    assert environment.git_revision() == f"{commit}+"
    assert git(tmp_path, "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*") == f"{commit}+"


def groups(tmp_path: Path, **limits: str) -> tuple[Path, Path]:
    """A process in the group /jobs/mine, and the groups with their limits, by the name of their folder."""
    membership, root = tmp_path / "cgroup", tmp_path / "mounted"
    tmp_path.mkdir(exist_ok=True)
    membership.write_text("0::/jobs/mine\n", encoding="utf-8")
    (root / "jobs" / "mine").mkdir(parents=True)
    for folder, limit in limits.items():
        (root / ("jobs" if folder == "jobs" else "jobs/mine") / "cpu.max").write_text(f"{limit}\n", encoding="ascii")
    return membership, root


def test_the_quota_is_the_least_of_a_group_and_of_those_that_it_lies_in(tmp_path: Path) -> None:
    assert cpu_quota(*groups(tmp_path / "a", mine="150000 100000", jobs="max 100000")) == 1.5
    assert cpu_quota(*groups(tmp_path / "b", mine="max 100000", jobs="300000 100000")) == 3
    assert cpu_quota(*groups(tmp_path / "c", mine="400000 100000", jobs="200000 100000")) == 2


def test_without_a_limit_or_without_groups_the_quota_is_infinite(tmp_path: Path) -> None:
    assert cpu_quota(*groups(tmp_path / "a")) == math.inf
    assert cpu_quota(*groups(tmp_path / "b", mine="max 100000")) == math.inf
    assert cpu_quota(tmp_path / "nothing", tmp_path) == math.inf

    old = tmp_path / "old"
    old.write_text("12:cpu,cpuacct:/\n", encoding="ascii")
    assert cpu_quota(old, tmp_path) == math.inf


@pytest.mark.parametrize(("quota", "threads"), [(math.inf, 6), (4.5, 4), (0.5, 1), (64.0, 6)])
def test_threads_are_the_cores_within_the_quota(quota: float, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(environment, "_physical_cores", lambda: 6)
    monkeypatch.setattr(environment, "cpu_quota", lambda: quota)
    assert default_threads() == threads


@pytest.mark.parametrize(("said", "threads"), [("3", 3), ("2,1", 2), ("", 6), ("0", 6), ("many", 6)])
def test_what_torchrun_or_a_scheduler_says_comes_first(
    said: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "_physical_cores", lambda: 6)
    monkeypatch.setattr(environment, "cpu_quota", lambda: math.inf)
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert default_threads() == threads


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a system that tells no affinity")
def test_two_hyper_threads_are_one_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {0, 1, 2})
    for number, siblings in enumerate(["0-1", "0-1", "2-3"]):
        folder = tmp_path / f"cpu{number}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings, encoding="ascii")
    assert environment._physical_cores(tmp_path) == 2
    assert environment._physical_cores(tmp_path / "nothing") == 3
