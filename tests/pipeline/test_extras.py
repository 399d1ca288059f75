"""Done work stays done: no failure after the last step, and no full disk before it, loses a training."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.errors import ArtifactError, StorageFailed
from fittingroom.events import StepDone
from fittingroom.pipeline import extras
from tests.support.small_run import train_anew

COMMAND = [sys.executable, "-m", "fittingroom"]
_TRAIN = ["train", "sample", "--model", "tutorial", "--epochs", "1", "--threads", "1"]


def no_room(*_args: object, **_options: object) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_fails_after_the_last_step_is_named_in_one_warning_and_made_up_for_by_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("export_onnx", "plot_loss", "write_report", "write_model_card"):
            patch.setattr(extras, name, no_room)
        with pytest.warns(UserWarning, match="the run is complete but for") as said:
            run = train_anew(tmp_path / "run")

    names = {"model.onnx", "loss.png", "report.html", "README.md"}
    (warning,) = (str(one.message) for one in said if "complete but for" in str(one.message))
    assert all(f"{name} (No space left on device)" in warning for name in names)
    assert warning.endswith(f"make up for it by fittingroom report {run.path}")
    assert run.is_finished
    assert run.result["validation"]["n"] == 200
    assert not any((run.path / name).exists() for name in names)
    test = fr.open_dataset("sample").test
    assert test is not None
    assert len(fr.load(run.path).predict(test.images[:1])) == 1  # the weights answer

    assert main(["report", str(run.path)]) == 0

    assert all((run.path / name).exists() for name in names)
    assert "unmade" not in run.result
    assert run.result["pictures_checked"] == 200
    assert "complete but for" not in capsys.readouterr().err


def test_what_fails_again_stays_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "plot_loss", no_room)
    with pytest.warns(UserWarning, match="complete but for loss.png"):
        run = train_anew(tmp_path / "run")
    with pytest.warns(UserWarning, match="complete but for loss.png"):
        extras.make_up(run)

    assert run.result["unmade"] == {"loss.png": "No space left on device"}


def test_a_test_set_that_cant_be_judged_on_leaves_the_run_and_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fr.Run, "evaluate", no_room)
    recipe = fr.load_recipe("plain", overrides=["model='tutorial'", "stages.0.epochs=1", "precision=float32"])

    with pytest.warns(UserWarning, match="not judged on its test set: No space left on device; fittingroom evaluate"):
        run = fr.train("sample", recipe, out=tmp_path / "run", look_at_test=True)

    assert run.result["test"] is None
    assert (run.path / "report.html").exists()


def test_a_full_disk_at_a_checkpoint_ends_in_one_message_with_the_line_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fr.open_dataset("sample")  # in the cache by now
    full = _train_where_files_may_have(100_000, tmp_path, "my run")

    assert full.returncode == 2, full.stderr
    assert "my run: the training stopped, as a file could not be written: File too large" in full.stderr
    assert full.stderr.rstrip().endswith("go on by\n  fittingroom train --resume 'my run'")
    assert "Traceback" not in full.stderr

    monkeypatch.chdir(tmp_path)
    assert main(["train", "--resume", "my run", "--quiet"]) == 0
    assert (tmp_path / "my run" / "report.html").exists()


def test_a_disk_that_is_full_from_the_start_leaves_a_folder_that_the_next_try_takes(tmp_path: Path) -> None:
    full = _train_where_files_may_have(700, tmp_path, "run")

    assert full.returncode == 2, full.stderr
    assert "Traceback" not in full.stderr
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.nightly
@pytest.mark.parametrize("size", [2_000, 5_000, 20_000, 60_000, 150_000, 300_000, 480_000, 700_000, 1_000_000])
def test_a_training_stopped_by_a_full_disk_at_any_size_goes_on_to_the_same_bytes(tmp_path: Path, size: int) -> None:
    undisturbed = _train_where_files_may_have(100_000_000, tmp_path, "undisturbed")
    assert undisturbed.returncode == 0, undisturbed.stderr
    full = _train_where_files_may_have(size, tmp_path, "run")
    assert "Traceback" not in full.stderr
    assert full.returncode in (0, 2)

    is_begun = (tmp_path / "run" / "environment.json").exists()
    again = ["train", "--resume", "run", "--quiet"] if is_begun else [*_TRAIN, "--out", "run"]
    with_room = _command(tmp_path, *again)
    assert with_room.returncode == 0, with_room.stderr
    main(["report", str(tmp_path / "run")])
    for name in ("model.safetensors", "predictions-validation.parquet"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()


def test_a_folder_that_is_removed_while_it_is_trained_is_named_and_not_made_anew(tmp_path: Path) -> None:
    recipe = fr.load_recipe("plain", overrides=["model='tutorial'", "stages.0.epochs=2", "precision=float32"])

    def observe(event: object) -> None:
        if isinstance(event, StepDone) and event.step == 3:
            shutil.rmtree(tmp_path / "run")

    with pytest.raises(
        ArtifactError, match="run: the training stopped, as this folder was removed or renamed meanwhile"
    ):
        fr.train("sample", recipe, out=tmp_path / "run", observe=observe)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_another_training_has_taken_meanwhile_stays_that_ones_alone(tmp_path: Path) -> None:
    """As where somebody takes a training for ended, moves its folder away, and begins another one by the same name."""
    sample = fr.open_dataset("sample").train
    np.savez(tmp_path / "small.npz", x_train=sample.images[:100], y_train=np.arange(100) % 2)
    quick = ["model='tutorial'", "stages.0.epochs=2", "precision=float32", "min_steps=0", "batch_size=32"]
    recipe = fr.load_recipe("plain", overrides=quick)
    run = fr.train(tmp_path / "small.npz", recipe, out=tmp_path / "undisturbed")

    def observe(event: object) -> None:
        if isinstance(event, StepDone) and event.step == 3:
            (tmp_path / "run").rename(tmp_path / "renamed")
            (tmp_path / "run").mkdir()
            (tmp_path / "run" / "environment.json").write_text("of another training")

    with pytest.raises(ArtifactError, match=r"removed or renamed meanwhile, and another one is there now; .*--resume"):
        fr.train(tmp_path / "small.npz", recipe, out=tmp_path / "run", observe=observe)

    assert [file.name for file in (tmp_path / "run").iterdir()] == ["environment.json"]
    again = fr.resume(tmp_path / "renamed")
    assert again.path.joinpath("model.safetensors").read_bytes() == run.path.joinpath("model.safetensors").read_bytes()


def test_whatever_keeps_a_training_from_being_saved_is_told_with_the_line_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not full disks alone: here a file has come into the place of the folder for checkpoints."""
    monkeypatch.chdir(tmp_path)
    sample = fr.open_dataset("sample").train
    np.savez("small.npz", x_train=sample.images[:100], y_train=np.arange(100) % 2)
    quick = ["model='tutorial'", "stages.0.epochs=1", "precision=float32", "min_steps=0", "batch_size=32"]
    recipe = fr.load_recipe("plain", overrides=quick)

    def observe(event: object) -> None:
        if isinstance(event, StepDone):
            Path("mine/checkpoints").touch()

    with pytest.raises(
        StorageFailed, match=r"mine: .* can't be used: .* once it can be, by\n  fittingroom train --resume mine"
    ):
        fr.train("small.npz", recipe, out="mine", observe=observe)
    Path("mine/checkpoints").unlink()
    assert main(["train", "--resume", "mine", "--quiet"]) == 0


@pytest.mark.nightly
def test_a_training_needs_no_home_no_temporary_folder_no_cache_and_few_open_files(tmp_path: Path) -> None:
    bare = {name: value for name, value in _environment().items() if name not in ("HOME", "XDG_CACHE_HOME")}
    bare |= {"TMPDIR": "/nowhere", "FITTINGROOM_CACHE": "/dev/null/nowhere"}
    done = _command(tmp_path, *_TRAIN, "--out", "run", env=bare, limit=(resource.RLIMIT_NOFILE, 20))
    assert done.returncode == 0, done.stderr
    assert "the cache can't be written" in done.stderr
    assert fr.open_run(tmp_path / "run").is_finished
    assert "unmade" not in fr.open_run(tmp_path / "run").result


@pytest.mark.parametrize("megabytes", [600, 1_500, 2_500])
def test_a_small_address_space_is_one_message_or_a_run(tmp_path: Path, megabytes: int) -> None:
    done = _command(tmp_path, *_TRAIN, "--out", "run", limit=(resource.RLIMIT_AS, megabytes << 20))
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 2), done.stderr
    if done.returncode == 2:
        assert "there is not enough memory for this" in done.stderr


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(fr.__file__).parents[1])}


def _train_where_files_may_have(size: int, folder: Path, out: str) -> subprocess.CompletedProcess[str]:
    """One epoch in a process that can't write a file of more bytes, as on a disk that is full."""
    return _command(folder, *_TRAIN, "--out", out, limit=(resource.RLIMIT_FSIZE, size))


def _command(
    folder: Path, *words: str, env: dict[str, str] | None = None, limit: tuple[int, int] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``fittingroom`` in a folder, with so much of one resource at most."""
    return subprocess.run(
        [*COMMAND, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=env or _environment(),
        preexec_fn=lambda: resource.setrlimit(limit[0], (limit[1], limit[1])) if limit else None,
    )
