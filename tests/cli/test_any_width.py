"""Terminals of 40, 80 and 120 columns: no cell is cut, no word broken, whatever the command and the class names."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.rendering.terminal import broken, cells
from tests.support.bench_figures import MEASURED
from tests.support.terminal import on_terminal, terminal

WIDTHS = (40, 80, 120)
CHINESE = ("T恤/上衣", "裤子", "套头衫", "连衣裙", "外套", "凉鞋", "衬衫", "运动鞋", "手提包（大号、带肩带）", "短靴")
SMALL = "--model tutorial --epochs 1 --threads 1 --set precision=float32"

# Each command that prints a table; those that take a name for what they write get another one each time.
WHOLE = (
    "models",
    "models tutorial",
    "recipes",
    "data info data.npz",
    "data split few.npz --test 20% --out split-{name}.npz",
    "data convert few.npz idx-{name} --to idx",
    "data header idx/train-images-idx3-ubyte.gz",
    "evaluate runs/one --subsets",
    "compare runs/one runs/two",
    "report runs/one",
    "predict runs/one sheet.png --coverage 90",
    "bench data.npz",
)

# These leave out what there is no room for, or say how long it took.
IN_PART = ("data show data.npz --rows 4", "data check data.npz", "data cache", "runs", f"train data.npz {SMALL}")
LONG = (
    f"try data.npz {SMALL.replace('--set', '--baseline')} --set mirror=random --budget 1s --out try-{{name}}",
    f"tune data.npz {SMALL} --space space.toml --trials 2 --final-seeds 2 --out tune-{{name}}",
)


@pytest.fixture(scope="module", params=["chinese", pytest.param("english", marks=pytest.mark.nightly)])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, and their data with class names in one language."""
    root: Path = tmp_path_factory.mktemp(request.param)
    sample = fr.open_dataset("sample")
    assert sample.test is not None
    names = sample.train.classes if request.param == "english" else CHINESE
    few: dict[str, Any] = {"images": sample.train.images[:400], "labels": np.asarray(sample.train.labels)[:400]}
    whole: dict[str, Any] = {"x_train": sample.train.images, "y_train": sample.train.labels}
    whole |= {"x_test": sample.test.images, "y_test": sample.test.labels}
    np.savez(root / "data.npz", classes=np.array(names), **whole)
    np.savez(root / "few.npz", classes=np.array(names), **few)
    (root / "space.toml").write_text("lr = { low = 0.001, high = 0.3, log = true }\n", encoding="utf-8")

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for seed, name in enumerate(("one", "two")):
            words = f"train data.npz {SMALL} --seed {seed} --quiet --out runs/{name}"
            assert main(words.split()) == 0
        assert main(["data", "convert", "few.npz", "idx", "--to", "idx"]) == 0
        assert main(["data", "show", "data.npz", "--sheet", "sheet.png"]) == 0
    return root


@pytest.fixture
def folder(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    monkeypatch.setattr("fittingroom.bench.bench", lambda *_args: MEASURED)
    return made


def words_of(lines: Sequence[str]) -> Counter[str]:
    """Figures and names in Chinese, each as often as it stands there."""
    words = (word.rstrip(":,;") for line in lines for word in line.split())
    return Counter(word for word in words if re.search(r"[\d一-鿿–]", word))


def check_lines(lines: Sequence[str], width: int) -> None:
    """Only one word, such as a path, may be longer than a line, or a command, which is to be copied whole."""
    for line in lines:
        is_one = len(line.split()) == 1 or line.strip().startswith("fittingroom ")
        assert cells(line) <= width or is_one, line


@pytest.mark.parametrize("line", WHOLE)
def test_every_figure_is_whole_at_every_width(folder: Path, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(shlex.split(line.format(name="piped"))) == 0
    told = capsys.readouterr()
    expected = words_of(f"{told.out}\n{told.err}".replace("-piped", "").split("\n"))
    assert expected

    for width in WIDTHS:
        shown = on_terminal(width, *shlex.split(line.format(name=width)))
        check_lines(shown, width)
        shown = [text.replace(f"-{width}", "") for text in shown]
        missing = expected - words_of(shown)
        looks = line.startswith(("evaluate", "compare"))  # each of which is one more on the list
        assert not missing or (looks and sum(missing.values()) <= 4), (width, missing)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("line", IN_PART)
def test_no_line_is_too_long(folder: Path, line: str, width: int) -> None:
    check_lines(on_terminal(width, *shlex.split(line)), width)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("command", ["", "train", "report", "data check", "predict"])
def test_help_is_as_wide_as_the_terminal(command: str, width: int) -> None:
    with terminal(width) as shown, pytest.raises(SystemExit):
        main([*command.split(), "--help"])
    check_lines([line for line in shown if not line.lstrip().startswith("[")], width)  # an option with its value
    assert max(map(cells, shown)) > 0.75 * width


@pytest.mark.nightly
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("line", LONG)
def test_no_line_of_a_search_is_too_long(folder: Path, line: str, width: int) -> None:
    check_lines(on_terminal(width, *shlex.split(line.format(name=width))), width)


@pytest.mark.parametrize("width", WIDTHS)
def test_what_runs_has_no_room_for_is_named(folder: Path, width: int) -> None:
    text = " ".join(on_terminal(width, "runs"))
    for column in ("run", "validation", "test", "recipe", "parameters", "started"):
        assert re.search(rf"\b{column}\b", text), column
    assert "no room for" in text


def test_a_line_is_broken_between_words_and_goes_on_below_its_text() -> None:
    assert broken("time        12 s training; 39,786 parameters", 40) == (
        "time        12 s training; 39,786\n            parameters"
    )
    assert broken("衬衫 衬衫 衬衫 衬衫", 10) == "衬衫 衬衫\n  衬衫\n  衬衫"
    assert broken("a runs/of/a/long/name/report.html b", 12) == "a\n  runs/of/a/long/name/report.html\n  b"
    command = "go on with it by\n  fittingroom train --resume runs/one"
    assert broken(command, 20) == command
    assert broken("as it is", None) == "as it is"
