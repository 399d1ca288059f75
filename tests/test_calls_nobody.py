"""Nothing that runs calls home: no name is looked up, and no identifier is kept of the machine."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import fittingroom
from fittingroom.artifact.onnx_runtime import SWITCH
from tests.support.offline import names_asked_for

RUN = Path(__file__).parent / "golden" / "format-1" / "swift-1"
COMMAND = [sys.executable, "-m", "fittingroom"]
ASKS_A_SERVER = """
import subprocess, sys, time
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

server = subprocess.Popen(sys.argv[1:])
for _ in range(100):
    time.sleep(0.3)
    try:
        urlopen(Request("http://127.0.0.1:8913/predict", data=Path("picture.png").read_bytes())).read()
    except URLError:
        continue
    break
else:
    sys.exit("it didn't answer")
time.sleep(8)  # what was collected is sent after some seconds, and at the end
server.terminate()
server.wait()
"""


def test_every_import_of_onnxruntime_goes_through_the_one_function_that_silences_it() -> None:
    package = Path(fittingroom.__file__).parent
    for file in package.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.partition(".")[0] == "onnxruntime" for name in names), file


def test_predict_asks_for_no_name_and_leaves_no_file_of_another_program(tmp_path: Path) -> None:
    _write_picture(tmp_path / "picture.png")

    assert names_asked_for([*COMMAND, "predict", RUN, "picture.png"], tmp_path) == ([], [])


def test_the_library_asks_for_no_name_nor_do_its_child_processes(tmp_path: Path) -> None:
    program = f"""
import subprocess, sys
import numpy as np
import fittingroom as fr
fr.load({str(RUN)!r}).predict(np.zeros((1, 28, 28), np.uint8))
subprocess.run([sys.executable, "-c", "import os; assert os.environ[{SWITCH!r}] == '1'"], check=True)
"""
    assert names_asked_for([sys.executable, "-c", program], tmp_path) == ([], [])


@pytest.mark.nightly
def test_train_export_and_serve_ask_for_no_name(tmp_path: Path) -> None:
    # Matplotlib keeps a list of the fonts that there are.
    of_ours = {"FITTINGROOM_CACHE": str(tmp_path / "cache"), "MPLCONFIGDIR": str(tmp_path / "fonts")}
    train = [*COMMAND, "train", "sample", "--threads", "1", "--epochs", "1", "--out", "run", "--quiet"]
    assert names_asked_for(train, tmp_path, of_ours) == ([], [])
    for target in (["--format", "onnx", "--force"], ["--format", "torch-export"]):
        assert names_asked_for([*COMMAND, "export", "run", *target], tmp_path, of_ours) == ([], [])

    _write_picture(tmp_path / "picture.png")
    asks = [sys.executable, "-c", ASKS_A_SERVER, *COMMAND, "serve", "run", "--port", "8913"]
    assert names_asked_for(asks, tmp_path, of_ours) == ([], [])


TUNED = """
import sys
from fittingroom.cli import main
sys.exit(main(["tune", "sample", "--recipe", "plain", "--space", "space.toml", "--trials", "2", "--epochs", "1",
               "--threads", "1", "--out", "t", "--final-seeds", "0", "--quiet"]))
"""


@pytest.mark.nightly
def test_tune_compare_and_report_ask_for_no_name(tmp_path: Path) -> None:
    of_ours = {"FITTINGROOM_CACHE": str(tmp_path / "cache"), "MPLCONFIGDIR": str(tmp_path / "fonts")}
    (tmp_path / "space.toml").write_text("lr = { low = 0.001, high = 0.02, log = true }\n", encoding="utf-8")
    assert names_asked_for([sys.executable, "-c", TUNED], tmp_path, of_ours) == ([], [])
    train = [*COMMAND, "train", "sample", "--threads", "1", "--epochs", "1", "--seeds", "2", "--out", "run", "--quiet"]
    assert names_asked_for(train, tmp_path, of_ours) == ([], [])
    for command in (["evaluate", "run/seed-0"], ["report", "run/seed-0"], ["compare", "run/seed-0", "run/seed-1"]):
        assert names_asked_for([*COMMAND, *command], tmp_path, of_ours) == ([], [])
    for command in (["data", "check", "sample"], ["runs", "."], ["models"]):
        assert names_asked_for([*COMMAND, *command], tmp_path, of_ours) == ([], [])


@pytest.mark.nightly
@pytest.mark.parametrize("tracker", ["tensorboard", "mlflow"])
def test_a_tracker_asks_for_no_name(tmp_path: Path, tracker: str) -> None:
    of_ours = {"FITTINGROOM_CACHE": str(tmp_path / "cache"), "MPLCONFIGDIR": str(tmp_path / "fonts")}
    train = [*COMMAND, "train", "sample", "--threads", "1", "--epochs", "1", "--out", "run", "--track", tracker]
    assert names_asked_for(train, tmp_path, of_ours) == ([], [])


@pytest.mark.nightly
def test_ray_asks_for_no_name(tmp_path: Path) -> None:
    of_ours = {"FITTINGROOM_CACHE": str(tmp_path / "cache"), "MPLCONFIGDIR": str(tmp_path / "fonts")}
    train = [*COMMAND, "train", "sample", "--engine", "ray", "--epochs", "1", "--seeds", "2", "--out", "run", "--quiet"]
    assert names_asked_for(train, tmp_path, of_ours) == ([], [])


@pytest.mark.nightly
def test_a_network_of_timm_is_trained_and_gone_on_from_without_asking_for_a_name(tmp_path: Path) -> None:
    of_ours = {"FITTINGROOM_CACHE": str(tmp_path / "cache"), "MPLCONFIGDIR": str(tmp_path / "fonts")}
    shared = ["--threads", "1", "--epochs", "1", "--quiet"]
    new = ["--model", "timm:test_resnet", "--weights", "none", "--out", "first"]
    assert names_asked_for([*COMMAND, "train", "sample", *new, *shared], tmp_path, of_ours) == ([], [])
    further = ["--from", "first", "--recipe", "finetune", "--out", "second"]
    assert names_asked_for([*COMMAND, "train", *further, *shared], tmp_path, of_ours) == ([], [])


def _write_picture(path: Path) -> None:
    from PIL import Image

    Image.new("L", (28, 28)).save(path)
