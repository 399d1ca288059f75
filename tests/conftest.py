"""What every test has: one thread for torch, which others may share the machine with, and a cache of its own."""

import os
import sys

os.environ["OMP_NUM_THREADS"] = "1"  # before anything imports torch, which reads it once
os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # for the tests that import ONNX Runtime by themselves

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.machine import browser as browser  # fixtures for all of them
from tests.support.machine import official_folder as official_folder

# The same examples every time, and no verdict on speed: the machine may be busy with other work.
settings.register_profile(
    "suite", max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's cache out of the tests, and the tests out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FITTINGROOM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_wait_for_the_disk() -> Iterator[None]:
    """What a test writes is to survive no power cut: a small run would wait a third of a second for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _descriptor: None)
        yield


@pytest.fixture
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run the test in an empty folder, with an empty cache: ``pytestmark = pytest.mark.usefixtures("own_folder")``."""
    monkeypatch.setenv("FITTINGROOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _one_thread_again() -> Iterator[None]:
    """Undo what a test's ``--threads`` set for the whole process: other threads round sums otherwise."""
    yield
    torch = sys.modules.get("torch")  # never loaded here: some tests hold that nothing loads it
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)
