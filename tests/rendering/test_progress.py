"""What a training shows: a bar and lines where somebody looks, nothing elsewhere, and never another result."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fittingroom as fr
from fittingroom.events import EpochDone, Event, StepDone, TrainingStarted, Working
from fittingroom.rendering.progress import showing, shown
from tests.support import NARROW, SUPPORT

RECIPE = f'fr.load_recipe("plain", overrides=["stages.0.epochs=1", "precision=float32", "{NARROW}"])'
STAGES = TrainingStarted(
    epochs=3,
    steps_per_epoch=2,
    steps_done=0,
    parameters=10,
    device="cpu",
    precision="float32",
    images=100,
    stage_epochs=(1, 2),
)


def epoch_done(epoch: int) -> EpochDone:
    return EpochDone(
        step=2 * epoch + 2,
        epoch=epoch,
        train_loss=0.5,
        train_accuracy=0.8,
        validation_loss=None,
        validation_accuracy=None,
        seconds=1.0 + epoch,
    )


def test_an_epochs_line_names_the_stage_and_the_rate(capsys: pytest.CaptureFixture[str]) -> None:
    with showing(quiet=False) as observe:
        observe(Working(what="reading the data"))
        observe(STAGES)
        for epoch, rate in enumerate((0.01, 0.001, 0.001)):
            observe(StepDone(step=2 * epoch + 2, epoch=epoch, loss=0.5, lr=rate, examples=50))
            observe(epoch_done(epoch))
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("   ")[0] for line in lines[1:]] == [
        "epoch 1/3 (stage 1/2)",
        "epoch 2/3 (stage 2/2)",
        "epoch 3/3 (stage 2/2)",
    ]
    assert "lr 0.01" in lines[1]
    assert "lr 0.001" in lines[3]


def test_nobody_who_does_not_look_is_shown_anything(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Event] = []
    for progress, observe, lines in ((None, None, 0), (None, seen.append, 0), (False, seen.append, 0), (True, None, 1)):
        with shown(progress, observe) as show:
            show(STAGES)
        assert len(capsys.readouterr().err.splitlines()) == lines
    with shown(True, seen.append) as show:
        show(STAGES)
    assert seen == [STAGES] * 3


def test_what_is_done_beside_the_steps_is_reported_in_its_order(tmp_path: Path) -> None:
    seen: list[Event] = []
    recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=1", "precision=float32", NARROW])
    options = fr.Options(threads=1)
    watched = fr.train(
        "sample", recipe, out=tmp_path / "a", options=options, look_at_test=True, progress=True, observe=seen.append
    )
    told = [event.what if isinstance(event, Working) else type(event).__name__ for event in seen]
    order = [
        "reading the data",
        "checking which images belong together",
        "TrainingStarted",
        "EpochDone",
        "exporting, and checking what predict sees",
        "judging on the test set",
        "writing the report",
    ]
    places = [told.index(what) for what in order]
    assert places == sorted(places)

    # Whoever looks changes no bit.
    alone = fr.train("sample", recipe, out=tmp_path / "b", options=options, progress=False)
    assert (alone.path / "model.safetensors").read_bytes() == (watched.path / "model.safetensors").read_bytes()


def test_a_notebook_shows_richs_own_bar_in_its_place_and_the_epochs_below() -> None:
    for package in ("nbformat", "nbclient", "jupyter_client", "ipykernel"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    cells = [
        # what is drawn in the bar's place, as a browser gets it; what is left of it in the end is nothing
        "from IPython.display import DisplayHandle\n"
        "drawn, update = [], DisplayHandle.update\n"
        "def kept(self, what, **more):\n"
        "    bundle = getattr(what, '_repr_mimebundle_', None)\n"
        "    drawn.append(bundle([], [])['text/html'] if bundle else what.data)\n"
        "    update(self, what, **more)\n"
        "DisplayHandle.update = kept\n"
        f"import fittingroom as fr\nrun = fr.train('sample', {RECIPE}, options=fr.Options(threads=1), out='a')",
        "print(sum('epoch 1/1' in html for html in drawn) > 0, sum('exporting' in html for html in drawn) > 0, "
        "'<pre' in drawn[0], drawn[-1] == '')",
        f"run = fr.train('sample', {RECIPE}, options=fr.Options(threads=1), out='b', progress=False)",
    ]
    done = subprocess.run(
        [sys.executable, SUPPORT / "run_cells.py"],
        input=json.dumps(cells),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    trained, checked, silent = json.loads(done.stdout)
    lines = "".join(output["text"] for output in trained if output["output_type"] == "stream")
    assert "training   1,800 images, 1 epoch of" in lines
    assert "epoch 1/1   loss" in lines
    assert "lr " in lines
    assert checked[0]["text"] == "True True True True\n"
    assert silent == []
