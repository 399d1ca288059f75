"""A study of seven trials that most tests look into, and what it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import fittingroom as fr
from fittingroom.tune import Plan, Study
from fittingroom.tune.storage import close_storages
from tests.support import SUPPORT

LINEAR = f"model='{SUPPORT / 'linear_net.py'}:net'"
SPACE = """
lr = { low = 0.001, high = 0.3, log = true }
mirror = ["none", "random", "alternating"]
shift = { low = 0, high = 1 }
"""


AS_THEY_ARE = ("shift=0", "rotate=0", "scale=0", "brightness=0", "contrast=0", "ema=0")


def recipe(*overrides: str) -> fr.Recipe:
    small = (LINEAR, "stages.0.epochs=3", "precision=float32", "batch_size=64", "validation=80", *AS_THEY_ARE)
    return fr.load_recipe("plain", overrides=[*small, *overrides])


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True, scope="module")
def _storages_closed() -> Iterator[None]:
    """SQLAlchemy keeps connections open for as long as the process lives."""
    yield
    close_storages()


@pytest.fixture(scope="session")
def data() -> fr.Splits:
    return fr.Splits(fr.open_dataset("sample").train.subset(np.arange(400)))


@pytest.fixture(scope="session")
def study(data: fr.Splits, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return fr.tune_recipe(data, recipe(), SPACE, plan=Plan(trials=7), out=tmp_path_factory.mktemp("runs") / "study")
