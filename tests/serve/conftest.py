"""A server in a process of its own, as its users have it."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx
import numpy as np
import pytest
from PIL import Image

import fittingroom as fr
from tests.support import PATIENCE
from tests.support.small_run import train_small

SERVER = Path(__file__).with_name("run_server.py")


@dataclass
class Running:
    """A server's process and where it answers."""

    process: subprocess.Popen[str]
    port: int
    stderr: IO[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        """What it has written to standard error."""
        self.stderr.seek(0)
        return self.stderr.read()

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30, trust_env=False)


@contextmanager
def started(folders: list[Path], **options: object) -> Iterator[Running]:
    command = [sys.executable, str(SERVER), json.dumps([str(folder) for folder in folders]), json.dumps(options)]
    with tempfile.TemporaryFile("w+") as log:  # not a pipe, which fills up when nobody reads it
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            log.seek(0)
            match = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
            assert match, line + log.read()
            yield Running(process, int(match[1]), log)
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE)


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Of different seeds; the first was judged on test, so it has mistakes to show."""
    folder = tmp_path_factory.mktemp("serve")
    runs = [train_small(folder / name, f"seed={seed}") for seed, name in enumerate(("first", "second"))]
    runs[0].evaluate()
    return [run.path for run in runs]


@pytest.fixture(scope="session")
def server(two_runs: list[Path]) -> Iterator[Running]:
    with started(two_runs) as running:
        yield running


@pytest.fixture(scope="session")
def test_set() -> fr.Dataset:
    test = fr.open_dataset("sample").test
    assert test is not None
    return test


@pytest.fixture(scope="session")
def shoe(test_set: fr.Dataset) -> bytes:
    """A photo, as a shop has it."""
    file = io.BytesIO()
    Image.fromarray(np.pad(255 - test_set.images[1], 3, constant_values=255)).resize((340, 340)).save(file, "JPEG")
    return file.getvalue()
