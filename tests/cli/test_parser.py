"""What the command line answers to a slip: an option that isn't one, a command mistyped, a spelling of 0.1."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import pytest

from fittingroom.cli import COMMANDS, habits, main, make_parser
from fittingroom.cli.parser import Parser, _recipe_keys

Captured = pytest.CaptureFixture[str]


def refused(capsys: Captured, *words: str) -> str:
    """What is printed on stderr when the words can't be parsed."""
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err


def parsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The parser and all below it."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return [parser, *(inner for action in below for child in action.choices.values() for inner in parsers(child))]


PARSERS = parsers(make_parser())


@pytest.mark.parametrize(
    ("words", "command"),
    [([], "train"), (["data"], "check")],
)
def test_without_a_command_the_commands_are_listed(words: list[str], command: str, capsys: Captured) -> None:
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out.startswith("usage: fittingroom")
    assert f"\n    {command} " in printed.out
    assert printed.err == ""


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["trian"], "trian: no such command; did you mean train?"),
        (["data", "shwo", "sample"], "shwo: no such command; did you mean show?"),
        (["fit", "data.npz"], "fit: no such command; did you mean train?"),
        (["info", "data.npz"], "info: no such command; did you mean data info?"),
        (["version"], "version: no such command; did you mean --version?"),
        (["data", "stats"], "stats: no such command; did you mean info?"),
        (["data", "list"], "list: no such command; known are fetch"),
        (["xyzzy"], "xyzzy: no such command; known are data, train, watch, evaluate, report, predict, export"),
    ],
)
def test_a_mistyped_command_is_answered_with_the_one_that_was_meant(
    words: list[str], hint: str, capsys: Captured
) -> None:
    assert hint in refused(capsys, *words)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["train", "--weight-decay", "0.1"], "--set weight_decay=0.1"),
        (["train", "sample", "--weight-decay=0.1"], "--set weight_decay=0.1"),
        (["train", "--label-smoothing"], "--set label_smoothing=VALUE"),
        (["train", "--label_smoothing", "--json"], "--set label_smoothing=VALUE"),
        (["train", "--warmup", "2"], "--set stages.0.warmup=2"),
        (["tune", "--mirrors", "random"], "--set mirror=random"),
        (["train", "--image-sizes", "[[0, 14]]"], "--set 'image_sizes=[[0, 14]]'"),
    ],
)
def test_an_option_that_is_a_key_of_the_recipe_is_answered_with_the_set_that_does_it(
    words: list[str], hint: str, capsys: Captured
) -> None:
    printed = refused(capsys, *words)
    assert printed.startswith(f"usage: fittingroom {words[0]} ")
    assert printed.rstrip().endswith(hint)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("train a --learning-rate 0.1", "did you mean --lr?"),
        ("train a --batch 64", "did you mean --batch-size?"),
        ("train a --imgsz 64", "did you mean --size?"),
        ("train a --output-dir x", "did you mean --out?"),
        ("train a --gpu", "did you mean --device?"),
        ("train a -e 5", "-e: no such option; did you mean --epochs?"),
        ("train a -o x", "-o: no such option; did you mean --out?"),
        ("train a -x", "-x: no such option; did you mean --xkcd?"),
        ("train a epochs=3", "too many arguments: epochs=3; did you mean --epochs 3?"),
        ("predict a b --csv c.csv", "too many arguments: c.csv; --csv takes no value, it prints: --csv > c.csv"),
        ("train a --quiet yes", "too many arguments: yes; --quiet takes no value"),
        ("train --data a", "the data are given without an option: fittingroom train PATH"),
        ("train a --opt adam", "it is a key of the recipe: --set optimizer=adam"),
        ("train a --patience 5", "it is a key of the recipe: --set early_stop=5"),
        ("train a --validation-split 0.2", "--set validation=N, so many images"),
        ("train a --val-size 60", "--set validation=60"),
        ("train a --amp", "--set precision=bf16"),
        ("train a --name x", "--out DIR names the run, by its folder; --set name=NAME the recipe"),
        ("train a --workers 4", "so that there are no workers to count"),
        ("predict run a --batch 64", "--batch: no such option"),
        ("predict run a --opt adam", "--opt: no such option"),
        ("-V", "-V: no such option; did you mean --version?"),
    ],
)
def test_what_other_programs_call_an_option_is_answered_with_what_it_is_called_here(
    words: str, hint: str, capsys: Captured
) -> None:
    assert refused(capsys, *words.split()).rstrip().endswith(hint)


@pytest.mark.parametrize("word", ["--verbose", "--amp", "--arch", "--augment", "--verbosity"])
def test_letters_in_common_alone_propose_nothing(word: str, capsys: Captured) -> None:
    printed = refused(capsys, "train", "sample", word)
    assert not any(wrong in printed.rsplit("error:")[-1] for wrong in ("erase", "warmup", "--watch", "--out?"))


def test_each_name_that_habits_propose_is_one_that_there_is() -> None:
    options = {name for parser in PARSERS for action in parser._actions for name in action.option_strings}
    assert set(habits.OPTIONS) <= options
    paths = {key.partition("=")[0] for key in habits.KEYS}
    assert paths <= set(_recipe_keys().values())
    words = {name.split()[0] for name in habits.COMMANDS} - {"--version", "--help"}
    assert words <= set(COMMANDS)
    of_data = next(parser for parser in PARSERS if parser.prog == "fittingroom data")
    known = next(action.choices for action in of_data._actions if isinstance(action, argparse._SubParsersAction))
    assert {name.split()[1] for name in habits.COMMANDS if name.startswith("data ")} | set(
        habits.COMMANDS_OF_DATA
    ) <= set(known)
    for names in (habits.OPTIONS, habits.KEYS, habits.COMMANDS, habits.COMMANDS_OF_DATA):
        words_of_all = " ".join(names.values()).split()
        assert len(words_of_all) == len(set(words_of_all))


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["train", "--epoch", "3"], "--epoch: no such option; did you mean --epochs?"),
        (["train", "--no_test"], "--no_test: no such option; did you mean --no-test?"),
        (["compare", "a", "b", "--weight-decay", "3"], "--weight-decay: no such option\n"),
        (["report", "run", "more"], "too many arguments: more"),
        (["data", "info", "--frobnicate"], "--frobnicate: no such option\n"),
    ],
)
def test_an_unknown_option_is_answered_by_the_command_that_it_was_given_to(
    words: list[str], hint: str, capsys: Captured
) -> None:
    printed = refused(capsys, *words)
    command = " ".join(words[:2] if words[0] == "data" else words[:1])
    assert printed.startswith(f"usage: fittingroom {command} ")
    assert hint in printed


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_is_asked_for_gets_all_its_options(command: str) -> None:
    def helps(root: Parser) -> list[str]:
        return [inner.format_help() for inner in parsers(root) if inner.prog.startswith(f"fittingroom {command}")]

    assert helps(make_parser(command)) == helps(make_parser())


@pytest.mark.parametrize("parser", PARSERS, ids=[parser.prog for parser in PARSERS])
def test_no_command_takes_abbreviations(parser: argparse.ArgumentParser) -> None:
    assert isinstance(parser, Parser)
    assert not parser.allow_abbrev


@pytest.mark.parametrize("parser", PARSERS, ids=[parser.prog for parser in PARSERS])
def test_every_option_that_is_shown_has_a_help_that_begins_with_a_word(parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:
        if action.help != argparse.SUPPRESS and not isinstance(action, argparse._SubParsersAction):
            assert action.help, f"{parser.prog} {action.dest}"
            assert not action.help.startswith(("of ", "default", "to ", "in ")), f"{parser.prog}: {action.help}"


@pytest.mark.parametrize(
    ("old", "new", "dest"),
    [
        ("data show sample --part test", "data show sample --split test", "split"),
        ("data show sample --out a.png", "data show sample --sheet a.png", "sheet"),
        ("data check sample --png a.png", "data check sample --sheet a.png", "sheet"),
        ("data check a --test b --json", "data check a b --json", "paths"),
        ("compare a b --on validation", "compare a b --split validation", "split"),
        ("predict run a.png --show b.png", "predict run a.png --sheet b.png", "sheet"),
        ("train --timeout 60", "train --peer-timeout 60", "peer_timeout"),
    ],
)
def test_a_spelling_of_0_1_is_taken_hidden_and_answered_with_the_new_one(
    old: str, new: str, dest: str, capsys: Captured
) -> None:
    expected = make_parser().parse_args(new.split())
    assert capsys.readouterr().err == ""
    assert vars(make_parser().parse_args(old.split())) == vars(expected)

    option = next(word for word in old.split() if word.startswith("--"))
    name = "PATH, without an option" if dest == "paths" else f"--{dest.replace('_', '-')}"
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"fittingroom: {option} is now {name}; the old spelling goes in the next release"
    prog = "fittingroom " + " ".join(old.split()[: 2 if old.startswith("data") else 1])
    (parser,) = (parser for parser in PARSERS if parser.prog == prog)
    assert f"{option} " not in parser.format_help().replace("--timeout-", "")


def test_an_old_spelling_does_what_the_new_one_does(
    capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data", "show", "sample", "--part", "test", "--out", "old.png", "--rows", "2"]) == 0
    assert "sample test  1,000 rows" in capsys.readouterr().out
    assert main(["data", "show", "sample", "--split", "test", "--sheet", "new.png", "--rows", "2"]) == 0
    assert Path("old.png").read_bytes() == Path("new.png").read_bytes()


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1", "mps"])
def test_a_device_is_taken_by_its_name_and_number(device: str) -> None:
    assert make_parser().parse_args(["train", "--device", device]).device == device


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cpu:1"])
def test_what_is_no_device_is_refused(device: str, capsys: Captured) -> None:
    assert f"auto, cpu, cuda, cuda:1 or mps expected, {device} found" in refused(capsys, "train", "--device", device)


def test_a_warning_of_the_library_names_the_option_that_sets_the_parameter(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # the command replaces it
    assert main(["recipes", "swift"]) == 0
    warnings.showwarning("with `folds=5` every image validates", UserWarning, "", 0)
    assert "warning: with --folds 5 every image validates" in capsys.readouterr().err
