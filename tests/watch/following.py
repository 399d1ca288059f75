"""A page's process, and a run that is written step by step."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support import PATIENCE


@dataclass
class Watching:
    """``fittingroom watch`` at work, and where it answers."""

    process: subprocess.Popen[str]
    url: str

    @property
    def port(self) -> int:
        return int(re.search(r":(\d+)/", self.url)[1])  # type: ignore[index]

    def get(self, path: str = "", **headers: str) -> httpx.Response:
        return httpx.get(self.url + path, headers=headers, timeout=30, trust_env=False)

    def state(self, **asked: str) -> dict[str, Any]:
        answer = httpx.get(self.url + "state", params=asked, timeout=40, trust_env=False)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@contextmanager
def watching(folder: Path, *words: str) -> Iterator[Watching]:
    command = [sys.executable, "-m", "fittingroom", "watch", str(folder), *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        match = re.search(r"http://127\.0\.0\.1:\d+/[\w-]{20,}/", line)
        assert match, line + process.communicate(timeout=PATIENCE)[1]
        yield Watching(process, match[0])
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


@contextmanager
def held(*folders: Path) -> Iterator[None]:
    """As by the process that trains them."""
    descriptors = [os.open(folder, os.O_RDONLY) for folder in folders]
    try:
        for descriptor in descriptors:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def append(folder: Path, event: dict[str, Any]) -> None:
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(event) + "\n")


def content_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of whatever is in a folder."""
    files = (Path(where, name) for where, _, names in os.walk(folder) for name in names)
    return {str(file): (file.stat().st_size, file.stat().st_mtime_ns) for file in files}
