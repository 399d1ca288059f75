"""The pages, their blocks of code, and the rules by which a block runs.

A block in ``sh`` or ``python`` runs, unless a comment right before it says why not: ``<!-- not run: … -->``. In a
``console`` block the lines after ``$`` run, and what stands below ``$ echo $?`` is the exit code. ``text`` is output;
``toml`` and ``json`` are files to read. A Python block whose first line is a comment like ``# net.py`` is that file.

The blocks of a page run in their order, in one folder that holds what :func:`tests.docs.conftest.lay_out` puts there.
Three things are changed, so that they end in time: see :func:`on_the_sample`.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("README*.md"), ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
RUNS, READ = ("sh", "python", "console"), ("text", "toml", "json", "{toctree}")
FENCE = re.compile(
    r"(?:^<!-- not run: (?P<why>.+?) -->\n\s*)?^```(?P<language>\S*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
FILE = re.compile(r"# ([\w.]+\.py)\n")
NAME = re.compile(r"(?<![\w./-])fashion-mnist(?![\w./-])")
SERVE = "fittingroom serve"


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        where: page and line, for messages.
        language: after the fence; "" where there is none.
        why_not_run: the reason that stands before it; None for a block that runs.
    """

    where: str
    language: str
    text: str
    why_not_run: str | None

    @property
    def file(self) -> str | None:
        """The name of the file that a Python block is."""
        head = FILE.match(self.text) if self.language == "python" else None
        return head[1] if head else None

    @property
    def commands(self) -> list[tuple[str, int]]:
        """Each command of a shell block with the exit code that it is to have."""
        if self.language == "sh":
            lines = self.text.replace("\\\n", " ").splitlines()
            return [(line, 0) for line in lines if line.strip() and not line.startswith("#")]
        found: list[tuple[str, int]] = []
        lines = self.text.splitlines()
        for line, below in zip(lines, [*lines[1:], ""], strict=True):
            if line == "$ echo $?":
                found[-1] = (found[-1][0], int(below))
            elif line.startswith("$ "):
                found.append((line[2:], 0))
        return found


def blocks_of(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            where=f"{page.relative_to(ROOT)}, line {text.count(chr(10), 0, match.start('language')) + 1}",
            language=match["language"],
            text=match["text"],
            why_not_run=match["why"],
        )
        for match in FENCE.finditer(text)
    ]


def on_the_sample(line: str, port: int) -> str:
    """A line of a page as the tests run it.

    fashion-mnist becomes sample; `train` and `bench` without data take the sample; port 8000 becomes a free one.
    """
    line = NAME.sub("sample", line)
    words = shlex.split(line, comments=True)
    if words[:2] in (["fittingroom", "train"], ["fittingroom", "bench"]) and not has_data(words):
        line = line.replace(f"fittingroom {words[1]}", f"fittingroom {words[1]} sample", 1)
    if line.startswith(SERVE) and "--port" not in words:
        line += f" --port {port}"
    return line.replace("127.0.0.1:8000", f"127.0.0.1:{port}")


def in_python(program: str, port: int) -> str:
    """A piece of Python of a page as the tests run it: the same changes."""
    return program.replace('"fashion-mnist"', '"sample"').replace("127.0.0.1:8000", f"127.0.0.1:{port}")


def has_data(words: list[str]) -> bool:
    """Whether a `train` or `bench` says what to train on, or takes it from a run."""
    from fittingroom.cli import make_parser

    args = make_parser().parse_args(words[1:])
    return args.data in words or getattr(args, "resume", None) is not None
