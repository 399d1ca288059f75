"""Any terminal: other encodings, closed and full streams cost neither an answer nor a training."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fittingroom as fr
from tests.support.machine import missing

COMMAND = f"{sys.executable} -m fittingroom"
RUN = Path(__file__).parents[1] / "golden" / "format-1" / "swift-1"
FULL = Path("/dev/full")


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    variables = os.environ | {"PYTHONPATH": str(Path(fr.__file__).parents[1])} | environment
    return subprocess.run(line, shell=True, cwd=folder, env=variables, capture_output=True, check=False)


NAMED = "data info named.npz"


@pytest.mark.parametrize(
    ("words", "encoding"),
    [
        *((words, "ascii") for words in (NAMED, "models", "recipes", "recipes swift", "runs .", "--help")),
        *((NAMED, encoding) for encoding in ("latin-1", "cp1252", "utf-8")),
    ],
)
def test_what_an_encoding_lacks_is_replaced_and_nothing_fails(tmp_path: Path, encoding: str, words: str) -> None:
    images, labels = np.zeros((20, 28, 28), np.uint8), np.arange(20) % 2
    np.savez(tmp_path / "named.npz", x_train=images, y_train=labels, classes=np.array(["裤子", "→ coat…"]))

    done = shell(f"{COMMAND} {words}", tmp_path, PYTHONIOENCODING=encoding)

    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    done.stdout.decode(encoding)


def test_json_keeps_every_name_whatever_the_encoding(tmp_path: Path) -> None:
    images, labels = np.zeros((20, 28, 28), np.uint8), np.arange(20) % 2
    np.savez(tmp_path / "named.npz", x_train=images, y_train=labels, classes=np.array(["裤子", "coat"]))

    answers = [
        json.loads(shell(f"{COMMAND} data info named.npz --json", tmp_path, PYTHONIOENCODING=encoding).stdout)
        for encoding in ("utf-8", "latin-1", "ascii")
    ]

    assert answers[0] == answers[1] == answers[2]
    assert "裤子" in json.dumps(answers[0], ensure_ascii=False)


def test_closed_streams_are_no_error(tmp_path: Path) -> None:
    for closed in (">&-", "2>&-", "<&-", "<&- >&- 2>&-"):
        done = shell(f"{COMMAND} recipes {closed}", tmp_path)
        assert done.returncode == 0, (closed, done.stderr)
        assert b"Traceback" not in done.stderr


def test_a_picture_on_a_closed_standard_input_is_one_message(tmp_path: Path) -> None:
    done = shell(f"{COMMAND} predict {RUN} - <&-", tmp_path)
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == [
        "fittingroom: -: a picture on standard input expected, which is closed here"
    ]


def test_a_full_stdout_is_one_message(tmp_path: Path) -> None:
    if not FULL.exists():
        missing(f"a full stdout was not tried: {FULL} is missing")
    done = shell(f"{COMMAND} recipes > {FULL}", tmp_path)

    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert line == "fittingroom: a file or stdout could not be written: No space left on device; make room for it"


def test_a_training_is_whole_with_stdout_closed_and_stderr_full(tmp_path: Path) -> None:
    if not FULL.exists():
        missing(f"a full stderr was not tried: {FULL} is missing")
    done = shell(f"{COMMAND} train sample --model tutorial --epochs 1 --threads 1 --out run >&- 2> {FULL}", tmp_path)

    assert done.returncode == 0
    for name in ("model.onnx", "report.html", "result.json"):
        assert (tmp_path / "run" / name).exists()
    assert "unmade" not in fr.open_run(tmp_path / "run").result


@pytest.mark.parametrize(
    "words",
    ["train sample --out {}", "train sample --recipe {}.toml", "evaluate {}", "report {}", "compare a {}", "export {}"],
)
def test_names_whose_bytes_are_not_utf_8_are_refused_before_any_work(tmp_path: Path, words: str) -> None:
    done = shell(f"{COMMAND} {words.format('$NAME')}", tmp_path, NAME="caf\udce9")

    assert done.returncode == 2, done.stderr
    assert b"caf\\xe9" in done.stderr
    assert b"a name in UTF-8 expected" in done.stderr
    assert b"Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_picture_is_predicted_whatever_its_name_is(tmp_path: Path) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8))
    image.save(os.fsencode(tmp_path) + b"/caf\xe9.png")

    done = shell(f"{COMMAND} predict {RUN} $NAME --json", tmp_path, NAME="caf\udce9.png")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)


@pytest.mark.parametrize("words", [f"predict {RUN} a.png", f"evaluate {RUN}"])
def test_more_threads_than_processors_are_warned_of(tmp_path: Path, words: str) -> None:
    shutil.copytree(RUN, tmp_path / "run")
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(tmp_path / "a.png")

    done = shell(f"{COMMAND} {words.replace(str(RUN), 'run')} --threads 99", tmp_path)

    assert b"warning: threads: 99 asked for" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_date_that_is_none_costs_no_report(tmp_path: Path) -> None:
    """NumPy's own reader of Fortran, which SciPy loads, takes it for a number."""
    ended = shell(f"{COMMAND} report {RUN} --out {tmp_path}", tmp_path, SOURCE_DATE_EPOCH="tomorrow")
    assert ended.returncode == 0, ended.stderr
