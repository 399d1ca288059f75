"""What README and docs say can be done, can be done; and they and the command's help say the same."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from fittingroom.cli import make_parser
from fittingroom.recipes.reading import load_recipe, recipe_names
from fittingroom.recipes.recipe import Recipe
from tests.docs.conftest import copy_of
from tests.docs.pages import PAGES, READ, ROOT, RUNS, SERVE, Block, blocks_of, in_python, on_the_sample

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
SAME_AS_ENGLISH = (ROOT / "README.zh-CN.md", ROOT / "docs" / "zh-CN" / "tutorial.md")  # test_readmes holds this
EXECUTED = [
    page
    for page in PAGES
    if page not in SAME_AS_ENGLISH
    and any(block.why_not_run is None for block in blocks_of(page) if block.language in RUNS)
]
SPANS = [
    (page, span)
    for page in PAGES
    for span in re.findall(r"`(fittingroom [a-z][^`]*)`", page.read_text(encoding="utf-8").replace("\n", " "))
]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def load_generator() -> ModuleType:
    """docs/generated.py, which the site is built with."""
    spec = importlib.util.spec_from_file_location("generated", ROOT / "docs" / "generated.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATED = load_generator()
PARSERS: list[argparse.ArgumentParser] = list(GENERATED.subcommands(make_parser()))


@pytest.mark.parametrize("block", BLOCKS, ids=[block.where for block in BLOCKS])
def test_a_block_runs_or_is_read_or_says_why_not(block: Block) -> None:
    assert block.language in RUNS + READ, f"{block.where}: one of {', '.join(RUNS + READ)} expected after ```"
    if block.language == "text":
        commands = [line for line in block.text.splitlines() if re.match(r"(\$ |fittingroom |make |python )", line)]
        assert not commands or "--help" in block.text, f"{block.where}: commands belong into a block in sh"


@pytest.mark.parametrize("block", BLOCKS, ids=[block.where for block in BLOCKS])
def test_every_command_is_one_that_the_program_knows(block: Block) -> None:
    if block.language not in ("sh", "console"):
        return
    for line, _ in block.commands:
        for part in re.split(r"\s(?:\||>|&&|\|\|)\s", line):
            words = shlex.split(part, comments=True)
            if "fittingroom" in words and block.why_not_run != "a synopsis":
                parses(words[words.index("fittingroom") + 1 :], block.where)


@pytest.mark.parametrize(("page", "span"), SPANS, ids=[f"{name_of(page)}: {span}" for page, span in SPANS])
def test_a_command_within_a_sentence_is_one_that_the_program_knows(page: Path, span: str) -> None:
    if "COMMAND" in span:
        return
    words = shlex.split(re.sub(r"[\[\]]", "", span.replace("…", "")))[1:]
    complete = [parser.prog for parser in PARSERS]
    if span in complete or any(prog.startswith(span + " ") for prog in complete):
        return  # names a command without its arguments
    parses(words, name_of(page))


def parses(words: list[str], where: str) -> None:
    if "--help" in words or "--version" in words:
        return
    try:
        make_parser().parse_args(words)
    except SystemExit:
        pytest.fail(f"{where}: fittingroom {' '.join(words)}: its own parser refuses this")


def test_every_recipe_and_every_key_that_is_set_is_one_that_the_program_knows() -> None:
    """``--recipe swift``, ``--set mirror=random``: the parser takes any word there, and a training does not."""
    keys = {field.name for field in dataclasses.fields(Recipe)}
    for page in PAGES:
        if page.name == "troubleshoot.md":  # whose commands are refused, and test_troubleshooting holds it to how
            continue
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"--recipe ([a-z][\w-]*)(?![\w./-])", text):
            assert name in recipe_names(), f"{name_of(page)}: --recipe {name}: the package has no such recipe"
        for key, value in re.findall(r"--(?:set|baseline)[ =]([a-z][\w.]*)=([^\s`'\"]+)", text):
            assert key.partition(".")[0] in keys, f"{name_of(page)}: --set {key}: a recipe has no such key"
            if not (
                value.isupper() or value == "…" or re.search(r"[.:][A-Za-z]", value)
            ):  # code, or what stands for any
                load_recipe("plain", overrides=[f"{key}={value}"])


def test_every_option_that_exists_is_in_the_reference() -> None:
    reference = GENERATED.commands()
    for parser in PARSERS:
        section = reference.partition(f"## {parser.prog}\n")[2].partition("\n## ")[0]
        assert section, f"{parser.prog}: not in the reference"
        for action in parser._actions:
            for option in action.option_strings if action.help != argparse.SUPPRESS else ():
                assert option in ("-h", "--help") or f"`{option}" in section, f"{parser.prog} {option}"


def test_every_option_that_is_named_exists() -> None:
    shown = [action for parser in PARSERS for action in parser._actions if action.help != argparse.SUPPRESS]
    known = {option for action in shown for option in action.option_strings}
    known |= {"--help", "--version"}
    for page in PAGES:
        for option in re.findall(r"`(--[a-z][a-z-]+)", page.read_text(encoding="utf-8")):
            assert option in known, f"{name_of(page)}: {option}: no command has such an option"


def test_every_command_that_exists_is_in_both_readmes() -> None:
    for readme in sorted(ROOT.glob("README*.md")):
        text = readme.read_text(encoding="utf-8")
        missing = [parser.prog for parser in PARSERS if parser.prog not in text]
        assert not missing, f"{readme.name}: {', '.join(missing)}"


def test_the_programs_help_is_what_the_reference_was_made_from(capsys: pytest.CaptureFixture[str]) -> None:
    from fittingroom.cli import main

    with pytest.raises(SystemExit):
        main(["train", "--help"])
    said = re.findall(r"--[a-z-]+", capsys.readouterr().out)
    section = GENERATED.commands().partition("## fittingroom train\n")[2].partition("\n## ")[0]
    assert set(said) - {"--help"} <= set(re.findall(r"--[a-z-]+", section))


@pytest.mark.nightly
@pytest.mark.parametrize("page", EXECUTED, ids=[name_of(page) for page in EXECUTED])
def test_everything_on_a_page_runs(page: Path, given: Path, tmp_path: Path) -> None:
    folder, port = copy_of(given, tmp_path / "work"), free_port()
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "FITTINGROOM_CACHE": str(tmp_path / "cache"),
        "COLUMNS": "100",
    }
    with servers(environment) as serve:
        for block in blocks_of(page):
            if block.language not in RUNS or block.why_not_run:
                continue
            program = in_python(block.text, port)
            if block.file:
                (folder / block.file).write_text(program, encoding="utf-8")
            elif block.language == "python":
                run([sys.executable, "-c", program], block, 0, folder, environment)
            else:
                for line, code in block.commands:
                    command = on_the_sample(line, port)
                    if command.startswith("cd "):
                        folder = folder / command[3:].strip()
                    elif command.startswith(SERVE) and code == 0:
                        serve(command, folder, port)
                    else:
                        run(["bash", "-c", command], block, code, folder, environment)


def run(command: list[str], block: Block, code: int, folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    said = f"{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
    assert done.returncode == code, (
        f"{block.where}: {command[-1]}\nexit code {code} expected, {done.returncode}\n{said}"
    )


@contextmanager
def servers(environment: dict[str, str]) -> Iterator[Callable[[str, Path, int], None]]:
    """A function that starts `fittingroom serve` and waits until it answers; all are stopped at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def serve(command: str, folder: Path, port: int) -> None:
        started.append(subprocess.Popen(shlex.split(command), cwd=folder, env=environment))
        for _ in range(300):
            try:
                with urlopen(f"http://127.0.0.1:{port}/v2/health/ready"):
                    return
            except URLError:
                assert started[-1].poll() is None, f"{command}: ended before it answered"
                time.sleep(0.1)
        pytest.fail(f"{command}: no answer within 30 s")

    try:
        yield serve
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
