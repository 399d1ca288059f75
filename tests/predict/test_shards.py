"""Scoring of many files: each scored once, whole or not at all, whatever is killed, changed or damaged."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import fittingroom as fr
from fittingroom.data.convert import convert
from fittingroom.data.formats.idx import write_idx
from fittingroom.errors import ArtifactError, DataError
from fittingroom.predict.classifier import Classifier
from fittingroom.predict.inputs import Notes, data_blocks
from fittingroom.predict.shards import Scoring, read_record, score_shards
from tests.support.photo_patches import photo_patches
from tests.support.small_run import train_small

ROWS = 300  # of a shard


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_small(tmp_path_factory.mktemp("shards") / "run").path


@pytest.fixture(scope="module")
def images() -> fr.Dataset:
    return fr.open_dataset("sample").train


@pytest.fixture
def inputs(tmp_path: Path, images: fr.Dataset, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five shards in four formats, one of them in a folder of its own. The test runs in the folder above."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "in"
    (folder / "later").mkdir(parents=True)
    parts = [images.subset(range(i * ROWS, (i + 1) * ROWS)) for i in range(5)]
    for part, name in zip(parts, ["a.parquet", "b.parquet", "c.npz", "later/a.parquet"], strict=False):
        convert(fr.Splits(part), folder / name)
    write_idx(folder / "d-images-idx3-ubyte.gz", parts[4].images)
    return folder


def names(scoring: Scoring) -> list[str]:
    return [each.shard.output.name for each in scoring.done]


def manifest(out: Path) -> dict[str, Any]:
    index: dict[str, Any] = json.loads((out / "manifest.json").read_text())
    return index


def answers(out: Path) -> dict[str, pl.DataFrame]:
    return {shard["output"]: pl.read_parquet(out / shard["output"]) for shard in manifest(out)["shards"]}


def test_every_input_gets_one_output_of_its_name_with_the_answers_of_the_model(
    run: Path, inputs: Path, images: fr.Dataset
) -> None:
    scoring = score_shards(run, ["in"], "out")

    outputs = ["a.parquet", "b.parquet", "c.npz.parquet", "d-images-idx3-ubyte.gz.parquet", "later/a.parquet"]
    assert [shard["output"] for shard in manifest(Path("out"))["shards"]] == outputs
    assert sorted(file.relative_to("out").as_posix() for file in Path("out").rglob("*.parquet")) == outputs
    assert sum(shard.rows for shard in scoring.done) == manifest(Path("out"))["rows"] == 5 * ROWS

    classified = fr.load(run).classify(images.images[3 * ROWS : 4 * ROWS])
    table = answers(Path("out"))["later/a.parquet"]
    assert table["row"].to_list() == list(range(ROWS))
    assert table["file"].unique().to_list() == [str(inputs / "later/a.parquet")]
    np.testing.assert_array_equal(table["label"], classified.labels)
    np.testing.assert_array_equal(table.select(pl.col("^p[0-9]+$")).to_numpy(), classified.probabilities)


def test_the_manifest_says_what_was_made_of_what(run: Path, inputs: Path) -> None:
    score_shards(run, ["in/a.parquet"], "out")

    (shard,) = manifest(Path("out"))["shards"]
    stat = (inputs / "a.parquet").stat()
    assert (shard["input"], shard["bytes"], shard["mtime_ns"]) == (
        str(inputs / "a.parquet"),
        stat.st_size,
        stat.st_mtime_ns,
    )
    assert shard["rows"] == ROWS
    assert shard["output_bytes"] == Path("out/a.parquet").stat().st_size
    assert {"fittingroom", "onnxruntime", "polars"} <= shard["versions"].keys()
    assert shard["model"] == manifest(Path("out"))["model"]


def test_a_second_time_nothing_is_done(run: Path, inputs: Path) -> None:
    score_shards(run, ["in"], "out")
    before = {file: file.stat().st_mtime_ns for file in Path("out").rglob("*.parquet")}

    again = score_shards(run, ["in"], "out")
    assert (again.done, again.already) == ((), 5)
    assert {file: file.stat().st_mtime_ns for file in Path("out").rglob("*.parquet")} == before


def test_only_what_is_missing_or_changed_is_done(run: Path, inputs: Path, images: fr.Dataset) -> None:
    score_shards(run, ["in"], "out")
    Path("out/b.parquet").unlink()
    (inputs / "a.parquet").unlink()
    convert(fr.Splits(images.subset(range(7))), inputs / "a.parquet")
    os.utime(inputs / "c.npz")  # touched, with the content that it had

    assert sorted(names(score_shards(run, ["in"], "out"))) == ["a.parquet", "b.parquet"]
    assert len(answers(Path("out"))["a.parquet"]) == 7
    assert manifest(Path("out"))["rows"] == 4 * ROWS + 7


def test_shards_that_come_later_are_added_to_the_manifest(run: Path, inputs: Path) -> None:
    score_shards(run, ["in/*.parquet"], "out")
    score_shards(run, [f"{inputs}/*.npz", "in/later"], "other")
    score_shards(run, ["in/*.npz"], "out")
    assert list(answers(Path("out"))) == ["a.parquet", "b.parquet", "c.npz.parquet"]
    assert list(answers(Path("other"))) == ["a.parquet", "c.npz.parquet"]


def test_a_damaged_input_is_named_and_the_others_go_on_and_a_rerun_tries_it_again(run: Path, inputs: Path) -> None:
    whole = (inputs / "a.parquet").read_bytes()
    (inputs / "a.parquet").write_bytes(whole[: len(whole) // 2])

    scoring = score_shards(run, ["in"], "out")
    (failed,) = scoring.failed
    assert failed.problem is not None
    assert failed.problem.startswith(f"{inputs / 'a.parquet'}: a whole Parquet file expected")

    assert len(answers(Path("out"))) == 4
    assert manifest(Path("out"))["failed"] == [{"input": str(inputs / "a.parquet"), "problem": failed.problem}]
    assert not Path("out/a.parquet").exists()

    (inputs / "a.parquet").write_bytes(whole)
    assert names(score_shards(run, ["in"], "out")) == ["a.parquet"]
    assert manifest(Path("out"))["failed"] == []


def test_damage_in_a_late_row_leaves_no_half_of_an_output(run: Path, inputs: Path, images: fr.Dataset) -> None:
    table = pl.read_parquet(inputs / "a.parquet")
    bad = pl.DataFrame({"image": [{"bytes": b"no picture", "path": None}], "label": [0]}, schema=table.schema)
    pl.concat([table, bad]).write_parquet(inputs / "a.parquet")

    (failed,) = score_shards(run, ["in/a.parquet"], "out").failed
    assert f"row {ROWS + 1}: a picture" in str(failed.problem)
    assert [file.name for file in Path("out").iterdir() if file.name != ".lock"] == ["manifest.json"]


def test_images_of_another_size_are_resized_and_it_is_said(run: Path, inputs: Path) -> None:
    np.savez(inputs / "small.npz", images=np.zeros((3, 8, 8), np.uint8))
    (done,) = score_shards(run, ["in/small.npz"], "out").done
    assert (done.problem, done.rows) == (None, 3)
    (note,) = done.notes
    assert "images of another size than 28×28 are fitted in" in note


def test_an_input_that_changes_while_it_is_read_has_no_output(
    run: Path, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_and_touch(file: Path, model: Classifier, notes: Notes) -> Any:
        yield from data_blocks(file, model, notes)
        os.utime(file, ns=(1, 1))

    monkeypatch.setattr("fittingroom.predict.shards.data_blocks", read_and_touch)
    (failed,) = score_shards(run, ["in/a.parquet"], "out").failed
    assert "it was changed while it was read" in str(failed.problem)
    assert not Path("out/a.parquet").exists()


def test_two_inputs_for_one_output_are_refused_before_anything_is_done(run: Path, inputs: Path) -> None:
    with pytest.raises(DataError, match=r"in/a\.parquet and .*later/a\.parquet: both would be answered in"):
        score_shards(run, ["in/a.parquet", "in/later/a.parquet"], "out")
    assert not Path("out").exists()
    assert len(score_shards(run, ["in/a.parquet", "in/a.parquet", "in/a.*"], "out").done) == 1


def test_answers_are_never_written_over_those_for_another_input(run: Path, inputs: Path) -> None:
    score_shards(run, ["in/a.parquet"], "out")
    with pytest.raises(DataError, match=r"out/a\.parquet: has the answers for .*in/a\.parquet, which is not what"):
        score_shards(run, ["in/later/a.parquet"], "out")
    shutil.move(inputs / "a.parquet", inputs / "later" / "a.parquet")  # the same content at another place is the same
    assert score_shards(run, ["in/later/a.parquet"], "out").already == 1


def test_files_of_others_are_never_written_over(run: Path, inputs: Path) -> None:
    before = (inputs / "a.parquet").read_bytes()
    with pytest.raises(DataError, match="to score expected, none found there"):
        score_shards(run, ["in/a.parquet"], "in")

    Path("out").mkdir()
    shutil.copy(inputs / "a.parquet", "out/a.parquet")
    with pytest.raises(DataError, match=r"out/a\.parquet: no answers of a scoring, and in the way of some"):
        score_shards(run, ["in"], "out")

    assert (inputs / "a.parquet").read_bytes() == Path("out/a.parquet").read_bytes() == before

    Path("out/a.parquet").unlink()
    Path("out/manifest.json").write_text('{"format": 1}')
    with pytest.raises(DataError, match=r"manifest\.json: not the manifest of a scoring"):
        score_shards(run, ["in"], "out")


def test_an_output_that_was_damaged_is_made_anew(run: Path, inputs: Path) -> None:
    score_shards(run, ["in"], "out")
    whole = Path("out/a.parquet").read_bytes()
    Path("out/a.parquet").write_bytes(whole[:-1_000])
    assert names(score_shards(run, ["in"], "out")) == ["a.parquet"]
    assert Path("out/a.parquet").read_bytes() == whole


@pytest.mark.parametrize("shards", [7, ["a"], [{"output": 7}], [{}]])
def test_a_manifest_that_was_changed_is_one_message(shards: object, run: Path, inputs: Path) -> None:
    Path("out").mkdir()
    Path("out/manifest.json").write_text(json.dumps({"format": 1, "shards": shards}))
    with pytest.raises(ArtifactError, match=r"manifest.json: shards.* expected, .*; choose another `out`"):
        score_shards(run, ["in"], "out")


def test_answers_of_two_models_do_not_mix(run: Path, inputs: Path, tmp_path: Path) -> None:
    score_shards(run, ["in/a.parquet"], "out")
    other = train_small(tmp_path / "other", "seed=1").path
    with pytest.raises(ArtifactError, match=r"out/a\.parquet: answers of the model .* expected.*choose another `out`"):
        score_shards(other, ["in"], "out")


def test_a_run_without_its_onnx_is_told_what_makes_it(run: Path, inputs: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "bare")
    (tmp_path / "bare" / "model.onnx").unlink()
    with pytest.raises(ArtifactError, match=r"model\.onnx: needed for scoring, and not there; `fittingroom export"):
        score_shards(tmp_path / "bare", ["in"], "out")


def test_pictures_are_not_scored_into_a_folder(run: Path, inputs: Path) -> None:
    Path("shoe.png").write_bytes(b"")
    for name in ("shoe.png", "*.png", "nothing-there"):
        with pytest.raises(DataError, match=r"data sets .* to score expected, none found there"):
            score_shards(run, [name], "out")


def score_command(run: Path) -> list[str | Path]:
    return [sys.executable, "-m", "fittingroom", "predict", run, "in", "--out", "out"]


@pytest.mark.parametrize("more", [5, pytest.param(25, marks=pytest.mark.nightly)])
def test_killed_anywhere_nothing_is_lost_or_doubled(run: Path, inputs: Path, images: fr.Dataset, more: int) -> None:
    """SIGKILL at many moments of a scoring, from its start to its end; each next one goes on from what is there."""
    for i in range(more):
        convert(fr.Splits(images.subset(range(i, 1_000 + i))), inputs / f"more-{i:02}.parquet")

    draw = random.Random(0)
    kept: dict[Path, int] = {}
    kills = 0
    while True:
        process = subprocess.Popen(score_command(run), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        if kills:
            process.stderr.readline()  # the first shard of this turn is done; the first turn ends while it starts
        time.sleep(draw.uniform(0, 0.1))

        process.send_signal(signal.SIGKILL)
        was_killed = process.wait() == -signal.SIGKILL
        process.stderr.close()

        there = {file: file.stat().st_ino for file in Path("out").rglob("*.parquet") if not file.name.startswith(".")}
        assert kept.items() <= there.items()  # what was made is not made again
        for file in there.keys() - kept.keys():
            assert read_record(file) is not None
            assert len(pl.read_parquet(file)) in (ROWS, 1_000)

        kept = there
        if not was_killed:
            break
        kills += 1

    assert kills > 1
    score_shards(run, ["in"], "out")
    assert manifest(Path("out"))["rows"] == 5 * ROWS + more * 1_000
    assert not list(Path("out").rglob("*.tmp"))

    score_shards(run, ["in"], "undisturbed")
    for name, table in answers(Path("undisturbed")).items():
        assert table.equals(answers(Path("out"))[name])


def test_the_command_says_what_it_did(run: Path, inputs: Path) -> None:
    (inputs / "b.parquet").write_bytes(b"PAR1")
    first = subprocess.run(score_command(run), capture_output=True, text=True, check=False)

    assert first.returncode == 2
    assert first.stdout.splitlines()[0] == f"scored     4 shards, {4 * ROWS:,} images"
    assert "failed     1 shard" in first.stdout
    assert f"fittingroom: {inputs / 'b.parquet'}: a whole Parquet file expected" in first.stderr

    (inputs / "b.parquet").unlink()
    second = subprocess.run(score_command(run), capture_output=True, text=True, check=False)
    assert second.returncode == 0
    assert second.stdout.splitlines()[:2] == ["scored     nothing", "as before  4 shards"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "out", "--json"], "not allowed with argument"),
        (["--out", "out", "--csv"], "not allowed with argument"),
        (["--out", "out", "--parquet", "x"], "not allowed with argument"),
        (["--out", "out", "--html", "x.html"], "--html, --sheet and --trust-code don't go with it"),
        (["--engine", "ray"], "give it by --out DIR"),
        (["--ray-address", "auto", "--out", "out"], "give --engine ray with it"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    run: Path, inputs: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from fittingroom.cli import main

    try:
        code: object = main(["predict", str(run), "in", *options])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert message in capsys.readouterr().err
    assert not Path("out").exists()


needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is an extra")


@needs_ray
@pytest.mark.nightly
def test_ray_gives_the_same_files(run: Path, inputs: Path) -> None:
    (inputs / "b.parquet").write_bytes(b"PAR1")
    score_shards(run, ["in"], "alone")
    done = subprocess.run([*score_command(run), "--engine", "ray"], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert f"fittingroom: {inputs / 'b.parquet'}: a whole Parquet file expected" in done.stderr
    assert list(answers(Path("out"))) == list(answers(Path("alone")))
    for file in Path("alone").rglob("*.parquet"):
        assert (Path("out") / file.relative_to("alone")).read_bytes() == file.read_bytes()


@needs_ray
@pytest.mark.nightly
def test_ray_gives_the_shard_of_a_worker_that_was_killed_to_another(
    run: Path, inputs: Path, images: fr.Dataset
) -> None:
    for i in range(8):
        convert(fr.Splits(images), inputs / f"more-{i}.parquet")

    command = [*score_command(run), "--engine", "ray"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        process.stderr.readline()  # a shard is done, others are under way
        workers = [pid for pid in descendants(process.pid) if "ray::_work_on_ray" in command_of(pid)]
        os.kill(workers[0], signal.SIGKILL)
        assert process.wait() == 0

    assert manifest(Path("out"))["rows"] == 5 * ROWS + 8 * 2_000


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and those that they started."""
    started = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            started += [child, *descendants(child)]
    return started


def command_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def test_images_in_colour_are_scored_as_they_are_predicted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=1", "stages.0.warmup=0", "precision=float32"])
    run = fr.train(photo_patches(300), recipe, out=tmp_path / "run").path
    other = photo_patches(120, seed=1)
    np.savez("a.npz", images=other.images)

    (done,) = score_shards(run, ["a.npz"], "out").done

    assert (done.problem, done.rows, done.notes) == (None, 120, ())
    table = pl.read_parquet("out/a.npz.parquet")
    assert table["label"].to_list() == fr.load(run).predict(other.images).tolist()
