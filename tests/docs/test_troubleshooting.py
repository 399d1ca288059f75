"""The page on troubleshooting quotes the messages that the command prints today."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from PIL import Image

from fittingroom.cli import main
from tests.docs.pages import ROOT, blocks_of

PAGE = ROOT / "docs" / "how-to" / "troubleshoot.md"


def quoted() -> list[tuple[str, str, int]]:
    """Each command of the page's consoles, what stands below it, and the exit code."""
    found: list[tuple[str, str, int]] = []
    for block in blocks_of(PAGE):
        if block.language == "console":
            for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                command, _, said = part.partition("\n")
                if command == "echo $?":
                    found[-1] = (*found[-1][:2], int(said))
                else:
                    found.append((command, said.strip(), 0))
    return found


def test_each_message_is_what_the_command_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if torch.cuda.is_available():
        pytest.skip("the page tells of a machine without a GPU")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FITTINGROOM_API_KEY", raising=False)
    shutil.copytree(ROOT / "tests" / "golden" / "format-1" / "swift-1", tmp_path / "runs" / "swift-1")
    for name in ("originals/Bag", "originals/Coat", "photos/test/T-shirt-top", "photos/test/Bag"):
        Path(name).mkdir(parents=True)
        Image.new("L", (28, 28), len(name)).save(Path(name, "1.png"))

    commands = quoted()
    assert sum(command.startswith("fittingroom") for command, *_ in commands) >= 10
    for command, said, code in commands:
        if not command.startswith("fittingroom"):
            subprocess.run(["bash", "-c", command], check=True)
            continue
        assert main(shlex.split(command)[1:]) == code, command
        told = capsys.readouterr()
        pattern = ".*".join(re.escape(piece) for piece in re.split(r"\s*…\s*", said))
        assert re.search(pattern, told.out + told.err, re.DOTALL), f"{command}\n{told.err}"
