"""A text of a stranger's run that becomes terminal output, a CSV cell, Markdown, a path or a URL does nothing there."""

from __future__ import annotations

import json
import os
import pty
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

import fittingroom as fr
from fittingroom.artifact.onnx_model import OnnxModel
from fittingroom.cli import main
from fittingroom.files.csv_text import csv_text
from fittingroom.files.run_file import read_run_file
from fittingroom.runs.run import Run
from fittingroom.serve.run_info import examples
from fittingroom.tune import Plan
from tests.support.small_run import train_small

ESCAPE, FORMULA, SCRIPT = "Boot\x1b[2J\x9bx", "=cmd|' /C calc'!A0", "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_small(tmp_path_factory.mktemp("author") / "run").path


@pytest.fixture
def run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, "run")
    Image.fromarray(fr.open_dataset("sample").train.images[0]).save("picture.png")
    return Path("run")


def edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def rename_classes(run: Path, *names: str) -> None:
    edit(run / "config.json", classes=[*names, *(f"class {i}" for i in range(10 - len(names)))])
    (run / "model.onnx").unlink()


def on_a_terminal(*words: str) -> str:
    """What a command writes to a terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "fittingroom", *words])
    written = b""
    while True:
        try:
            written += os.read(terminal, 1 << 16)
        except OSError:
            break
    os.waitpid(pid, 0)
    os.close(terminal)
    return written.decode()


@pytest.mark.parametrize(
    "command",
    [
        ["predict", "run", "picture.png", "--top", "10"],
        ["predict", "run", f"{ESCAPE}.png"],
        ["predict", "run", f"no {ESCAPE}.png"],
        ["runs", "."],
    ],
)
def test_no_name_reaches_the_terminal_as_a_command(command: list[str], run: Path) -> None:
    rename_classes(run, *(f"{ESCAPE}{i}" for i in range(10)))
    recorded = json.loads((run / "environment.json").read_text(encoding="utf-8"))
    edit(run / "environment.json", data=recorded["data"] | {"source": ESCAPE})

    shutil.copy("picture.png", f"{ESCAPE}.png")

    shown = on_a_terminal(*command)

    assert "Boot" in shown
    assert "\x1b[2J" not in shown
    assert "\x9b" not in shown


def test_a_spreadsheet_computes_no_cell(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rename_classes(run, *(f"{FORMULA}{i}" for i in range(10)))
    assert main(["predict", "run", "picture.png", "--csv"]) == 0
    assert f",'{FORMULA}" in capsys.readouterr().out.replace('"', "")
    assert [csv_text(text) for text in ("=1", "+x", "-x", "@x", " =1", "-5", "+1e3", "bag")] == [
        *("'=1", "'+x", "'-x", "'@x", "' =1", "-5", "+1e3", "bag")
    ]


def test_the_model_card_holds_no_html_of_a_stranger(run: Path) -> None:
    names = [f"{SCRIPT}{i}" for i in range(10)]
    rename_classes(run, *names)
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    for row, name in zip(result["validation"]["per_class"], names, strict=True):
        row["class"] = name
    edit(run / "result.json", **result)
    (run / "result.json").write_text(json.dumps(result | {"validation": None}), encoding="utf-8")

    assert main(["report", "run"]) == 0
    for page in ("README.md", "report.html"):
        assert "<script>alert" not in (run / page).read_text(encoding="utf-8")
    assert "&lt;script&gt;" in (run / "README.md").read_text(encoding="utf-8")


def test_a_name_of_data_reaches_neither_card_nor_latex_with_an_escape(run: Path) -> None:
    """Also where the card shows the command that trains it again, in a block that holds texts as they are."""
    record = json.loads((run / "environment.json").read_text(encoding="utf-8"))
    edit(run / "environment.json", data=record["data"] | {"source": "x\x1b[2J.npz"})

    assert main(["report", "run"]) == 0
    assert main(["runs", ".", "--latex", "runs.tex"]) == 0
    for file in (run / "README.md", Path("runs.tex")):
        assert "\x1b" not in file.read_text(encoding="utf-8")
    assert r"textbackslash{}x1b[2J" in Path("runs.tex").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ['"\\ud800"', '"' + "x" * 1_000_000 + '"', "[" * 100_000 + "]" * 100_000, "1e999"])
def test_what_no_text_should_be_is_refused(text: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = run / "config.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"tutorial"', text, 1), encoding="utf-8")
    assert main(["evaluate", "run"]) == 2
    message = capsys.readouterr().err
    assert "config.json" in message
    assert len(message) < 2_000


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("config.json", ["report", "run"]),
        ("result.json", ["report", "run"]),
        ("environment.json", ["report", "run"]),
        ("predictions-validation.parquet", ["report", "run"]),
        ("model.onnx", ["predict", "run", "picture.png"]),
    ],
)
def test_what_never_ends_is_not_read(
    name: str, command: list[str], make: Callable[[Path], object], run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / name).unlink()
    make(run / name)
    assert main(command) == 2
    assert name in capsys.readouterr().err


def test_a_file_that_claims_gigabytes_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(8 << 30)
    with pytest.raises(fr.ArtifactError, match="at most 33,554,432 bytes"):
        read_run_file(tmp_path / "config.json", "a description")


def edited_onnx(run: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    model = onnx.load(run / "model.onnx")
    change(model)
    (run / "model.onnx").write_bytes(model.SerializeToString())
    return run / "model.onnx"


def point_elsewhere(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "secret.bin"
    tensor.ClearField("raw_data")


def loop(model: onnx.ModelProto) -> None:
    model.graph.node.add().op_type = "Loop"


@pytest.mark.parametrize(("change", "says"), [(point_elsewhere, "lie in another one"), (loop, "without loops")])
def test_an_onnx_file_neither_reads_other_files_nor_loops(
    change: Callable[[onnx.ModelProto], None], says: str, run: Path
) -> None:
    Path("secret.bin").write_bytes(bytes(1 << 20))
    with pytest.raises(fr.ArtifactError, match=says):
        OnnxModel(edited_onnx(run, change))


def test_a_network_that_cannot_answer_is_one_message_without_onnx_runtimes_colours(
    run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def ask_for_three_images(model: onnx.ModelProto) -> None:
        nodes = list(model.graph.node)
        place = next(row for row, node in enumerate(nodes) if node.op_type == "Flatten")
        after = onnx.helper.make_node("Reshape", ["flat", "three"], [nodes[place].output[0]])
        nodes[place].output[0] = "flat"
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([3, -1]), "three"))
        model.graph.ClearField("node")
        model.graph.node.extend([*nodes[: place + 1], after, *nodes[place + 1 :]])

    edited_onnx(run, ask_for_three_images)
    assert main(["predict", str(run), "picture.png"]) == 2
    said = capfd.readouterr().err
    assert "but it can't answer" in said
    assert len(said.splitlines()) == 1
    assert "\x1b" not in said


def test_a_study_opens_no_database_that_its_folder_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=1", "precision=float32", "model=tutorial"])
    fr.tune_recipe("sample", recipe, "lr = [0.001, 0.002]", plan=Plan(trials=1), final_seeds=0, out="study")
    edit(Path("study/study.json"), storage="sqlite:///elsewhere.db")

    with pytest.raises(fr.ArtifactError, match="opened only where you name it"):
        fr.resume_study("study", final_seeds=0)
    assert not Path("elsewhere.db").exists()


def test_one_damaged_run_costs_no_other(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(run, "runs/good")
    shutil.copytree(run, "runs/bad")
    for name in ("environment.json", "result.json"):
        kept = Path("runs/bad", name).read_bytes()
        Path("runs/bad", name).write_text('{"format": 1, "test": 7}')
        assert main(["runs", "runs"]) == 0
        captured = capsys.readouterr()
        assert "good" in captured.out
        assert name in captured.err
        Path("runs/bad", name).write_bytes(kept)


def test_a_server_shows_no_pictures_that_the_run_was_not_made_with(run: Path) -> None:
    """A sent record may name a folder of anyone's as its data."""
    opened = Run(run)
    classes = opened.artifact.classes
    recorded = json.loads((run / "environment.json").read_text(encoding="utf-8"))
    recorded["data"]["test"]["images"] = "0" * 64
    edit(run / "environment.json", **recorded)

    assert examples(opened, classes) == []
    assert not (run / "examples.npz").exists()


def test_a_link_in_a_strangers_folder_changes_no_file_of_mine(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As an archive may hold them: every file that a command writes beside what it reads leads to one of the user's."""
    mine = Path("mine")
    mine.write_text("mine")
    for name in ("report.html", "README.md", "loss.png", "result.json", "predictions.parquet"):
        if (run / name).exists() and name == "result.json":
            continue  # it is read first
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(mine.absolute())
    Path("test-looks.jsonl").symlink_to(mine.absolute())

    assert main(["report", "run"]) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["evaluate", "run", "--threads", "1"]) == 0
    said = capsys.readouterr().err
    assert "sample test is not on record there: a file of JSON lines expected, a link to another file found" in said
    assert main(["report", "run"]) == 0
    assert mine.read_text() == "mine"
    assert not (run / "report.html").is_symlink()
