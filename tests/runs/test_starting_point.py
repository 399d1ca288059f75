"""Going on from a run: what is taken over, what is kept of it, and what it has seen is not forgotten."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.compare import compare_runs
from fittingroom.errors import ArtifactError, Interrupted, RecipeError
from fittingroom.rendering.languages import translated
from fittingroom.runs.create import start
from fittingroom.runs.environment_record import StartingPoint
from fittingroom.runs.origin import open_origin
from fittingroom.runs.starting_point import image_hashes, read_seen, read_weights
from tests.support import GOLDEN, SUPPORT
from tests.support.stopping import stop_after

ONE_EPOCH = ["model='tutorial'", "stages.0.epochs=1", "precision=float32", "batch_size=64", "min_steps=0", "ema=0"]
CODE = SUPPORT / "plain_net.py"


@pytest.fixture(scope="module")
def small() -> fr.Splits:
    """600 images of ten classes, and as many that judge."""
    sample = fr.open_dataset("sample")
    assert sample.test is not None
    return fr.Splits(sample.train.subset(np.arange(600)), test=sample.test.subset(np.arange(300)))


@pytest.fixture(scope="module")
def first(small: fr.Splits, tmp_path_factory: pytest.TempPathFactory) -> fr.Run:
    """A run that the others go on from, on the first half of the images."""
    data = fr.Splits(small.train.subset(np.arange(300)), test=small.test)
    return fr.train(data, recipe(), out=tmp_path_factory.mktemp("first") / "runs" / "first")


def recipe(*overrides: str, stages: Sequence[fr.Stage] = ()) -> fr.Recipe:
    plain = fr.load_recipe("plain", overrides=[*ONE_EPOCH, *overrides])
    return replace(plain, stages=tuple(stages)) if stages else plain


def tensors(run: fr.Run, name: str = "model.safetensors") -> dict[str, np.ndarray]:
    return safetensors.numpy.load_file(run.path / name)


def renamed(data: fr.Splits, classes: Sequence[str]) -> fr.Splits:
    """The same images, with other names for the numbers of their classes."""
    return fr.Splits(replace(data.train, classes=tuple(classes)))


def reordered(data: fr.Splits, classes: Sequence[str]) -> fr.Splits:
    """The same images of the same classes, which are numbered in another order."""
    return fr.Splits(data.train.aligned_to(classes), test=data.test and data.test.aligned_to(classes))


HARDLY = [fr.Stage(epochs=1, lr=1e-12)]  # a training after which the weights are those that it started from


def test_going_on_starts_from_the_weights_of_the_run(first: fr.Run, small: fr.Splits, tmp_path: Path) -> None:
    run = fr.train(first.open_data(), recipe(stages=HARDLY), from_run=first, out=tmp_path / "next")
    before, now = tensors(first), tensors(run)
    assert all(np.allclose(before[name], now[name], atol=1e-6) for name in before if name.endswith(("weight", "bias")))
    assert run.artifact.normalization == first.artifact.normalization

    # What it came from stands in the record and in what is shipped, without a path.
    start = run.environment.start
    assert start is not None
    assert start.in_words == "continued from first"
    assert start.head == "its head is kept, with the same 10 classes"
    shipped = json.loads((run.path / "config.json").read_text(encoding="utf-8"))["start"]
    assert shipped["weights_sha256"] == start.weights_sha256
    assert shipped["train"]["content"] == first.environment.data.train.content
    assert str(first.path.parent) not in json.dumps(shipped)
    assert (run.path / "start.safetensors").read_bytes() == (first.path / "model.safetensors").read_bytes()


def test_classes_in_another_order_keep_their_rows_of_the_head(first: fr.Run, tmp_path: Path) -> None:
    classes = first.artifact.classes[::-1]
    data = reordered(first.open_data(), classes)
    run = fr.train(data, recipe(stages=HARDLY), from_run=first, out=tmp_path / "next")
    (name,) = [name for name, value in tensors(run).items() if value.ndim == 2]
    assert np.allclose(tensors(run)[name], tensors(first)[name][::-1], atol=1e-6)
    assert run.environment.start is not None
    assert run.environment.start.head == "its head is kept by name for 10 classes"


def test_new_classes_get_new_rows_and_the_others_keep_theirs(first: fr.Run, tmp_path: Path) -> None:
    classes = (*first.artifact.classes[:8], "Hat", "Glove")
    run = fr.train(renamed(first.open_data(), classes), recipe(stages=HARDLY), from_run=first, out=tmp_path / "next")
    (name,) = [name for name, value in tensors(run).items() if value.ndim == 2]
    same = [
        np.allclose(now, before, atol=1e-6)
        for now, before in zip(tensors(run)[name], tensors(first)[name], strict=True)
    ]
    assert same == [True] * 8 + [False] * 2
    assert run.environment.start is not None
    assert run.environment.start.head == "of its head 8 classes are kept by name, 2 are new: Hat, Glove"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (9, 1, "of its head 9 classes are kept by name, 1 is new: Hat"),
        (1, 9, "of its head 1 class is kept by name, 9 are new: Hat, "),
    ],
)
def test_one_class_is_said_in_the_singular(first: fr.Run, tmp_path: Path, old: int, new: int, said: str) -> None:
    others = ("Hat", "Cap", "Tie", "Sock", "Belt", "Scarf", "Glove", "Robe", "Vest")
    data = renamed(first.open_data(), (*first.artifact.classes[:old], *others[:new]))
    begun = start(data, recipe(stages=HARDLY), origin=open_origin(first), out=tmp_path / "next")
    assert begun.environment.start is not None
    assert begun.environment.start.head.startswith(said)
    assert translated(begun.environment.start.head, "report") is not None


def test_other_classes_get_a_new_head(first: fr.Run, small: fr.Splits, tmp_path: Path) -> None:
    three = small.train.labels
    assert three is not None
    rows = np.flatnonzero(three < 3)
    data = fr.Splits(replace(small.train.subset(rows), classes=("red", "green", "blue")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of validation images that the first run was trained on
        run = fr.train(data, recipe(stages=HARDLY), from_run=first, out=tmp_path / "next")
    (name,) = [name for name, value in tensors(run).items() if value.ndim == 2]
    assert tensors(run)[name].shape[0] == 3
    assert run.environment.start is not None
    assert run.environment.start.head == "a new head for 3 classes: none of them is among the 10 that it knows"


FROZEN_FIRST = [fr.Stage(epochs=1, lr=0.01, freeze="body"), fr.Stage(epochs=1, lr=0.001)]


def test_a_frozen_body_keeps_its_bits_and_its_statistics(first: fr.Run, tmp_path: Path) -> None:
    frozen = recipe(stages=FROZEN_FIRST[:1])
    run = fr.train(first.open_data(), frozen, from_run=first, out=tmp_path / "next")
    before, now = tensors(first), tensors(run)
    head = {name for name, value in now.items() if value.shape[:1] == (10,)}
    assert any("running" in name for name in before), "a network with batch norm is needed to show it"
    assert {name for name in before if not np.array_equal(before[name], now[name])} == head


@pytest.mark.parametrize("steps", [2, 5, 8])
def test_resume_of_a_run_gone_on_from_another_equals_uninterrupted(steps: int, first: fr.Run, tmp_path: Path) -> None:
    source = shutil.copytree(first.path, tmp_path / "first")
    data, staged = first.open_data(), recipe(stages=FROZEN_FIRST)
    whole = fr.train(data, staged, from_run=source, out=tmp_path / "whole")
    with pytest.raises(Interrupted):
        fr.train(data, staged, from_run=source, out=tmp_path / "next", should_stop=stop_after(steps))
    shutil.rmtree(source)  # nothing of it is needed any more
    if steps == 2:
        shutil.rmtree(tmp_path / "next" / "checkpoints")  # as if killed before the first of them
    resumed = fr.resume(tmp_path / "next", data=data)
    assert (resumed.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()
    (verified,) = fr.verify(resumed.path, data=data)
    assert verified.outcome == "same"


def test_a_start_that_was_changed_is_refused(first: fr.Run, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        fr.train(first.open_data(), recipe(), from_run=first, out=tmp_path / "next", should_stop=stop_after(1))
    file = tmp_path / "next" / "start.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    with pytest.raises(ArtifactError, match="was changed since the run was started"):
        fr.resume(tmp_path / "next", data=first.open_data())


def test_several_seeds_go_on_from_one_model_and_each_keeps_it(first: fr.Run, tmp_path: Path) -> None:
    data = first.open_data()
    run = fr.train(data, recipe(), seeds=2, from_run=first, out=tmp_path / "seeds")
    for member in run.members:
        assert (member.path / "start.safetensors").exists()
        assert member.environment.start == run.environment.start
    more = fr.add_seeds(run.path, 1, data=data)
    assert len(more.members) == 3
    assert (more.members[2].path / "start.safetensors").exists()

    # One model of several has to be named.
    with pytest.raises(ArtifactError, match="a run of 3 seeds found; give one of seed-0, seed-1, seed-2"):
        fr.train(data, recipe(), from_run=run, out=tmp_path / "of-which")


def test_images_of_another_size_are_made_over_or_refused_with_what_to_do(first: fr.Run, tmp_path: Path) -> None:
    data = first.open_data()
    large = fr.Splits(replace(data.train, images=data.train.images.repeat(2, 1).repeat(2, 2)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = fr.train(large, recipe(), from_run=first, out=tmp_path / "next")
    assert run.artifact.image_size == (28, 28)

    with pytest.raises(RecipeError, match=r"don't fit this network: .*leave `size` and `channels` to the weights"):
        fr.train(large, recipe("size=56"), from_run=first, out=tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


def test_what_the_first_run_was_trained_on_is_told_of_the_second(
    first: fr.Run, small: fr.Splits, tmp_path: Path
) -> None:
    other = fr.Splits(small.train.subset(np.arange(300, 600)), test=small.test)
    second = fr.train(other, recipe(), from_run=first, out=tmp_path / "second")
    third = fr.train(other, recipe(), from_run=second, out=tmp_path / "third")
    start = third.environment.start
    assert start is not None
    assert start.in_words == "continued from second, itself continued from first"

    # The images of the first, over the second: none of them is in the data of the third.
    seen, unknown = read_seen(third.path, start)
    assert seen is not None, unknown
    known = {row.tobytes() for row in seen}
    trained_on = first.open_data().train.subset(np.arange(300))
    assert sum(row.tobytes() in known for row in image_hashes(trained_on)) == 270  # 30 validated it


def test_evaluating_on_images_of_the_run_before_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sample = fr.open_dataset("sample").train
    for name, rows in (("a", np.arange(300)), ("b", np.arange(300, 600))):
        part = sample.subset(rows)
        np.savez(f"{name}.npz", x_train=part.images, y_train=np.asarray(part.labels))
    short = ["--recipe", "plain", "--epochs", "1", "--set", "precision=float32", "--threads", "1"]
    assert main(["train", "a.npz", *short, "--out", "runs/a"]) == 0
    assert main(["train", "b.npz", *short, "--from", "runs/a", "--out", "runs/b"]) == 0
    printed = capsys.readouterr()
    assert "continued from a: its head is kept, with the same 10 classes" in printed.err
    assert "start       continued from a: its head is kept" in printed.out
    assert main(["evaluate", "runs/b", "a.npz"]) == 0
    assert "a, from which the model started, was trained on 270 of these 300 images" in capsys.readouterr().err

    # The list and the pages say it too.
    assert main(["runs", "--json"]) == 0
    listed = {row["run"]: row for row in json.loads(capsys.readouterr().out)}
    assert (listed["a"]["continued_from"], listed["b"]["continued_from"]) == (None, "a")
    assert listed["b"]["changed"] == listed["a"]["changed"]
    for page in ("README.md", "report.html"):
        assert "continued from a" in Path("runs/b", page).read_text(encoding="utf-8")
    card = Path("runs/b/README.md").read_text(encoding="utf-8")
    assert " --from runs/a " in card
    assert str(tmp_path) not in card

    # Without recipe and data they are the run's own.
    assert main(["train", "--from", "runs/b", "--epochs", "1", "--lr", "0.0001", "--out", "runs/c", "--quiet"]) == 0
    third = fr.open_run("runs/c")
    assert third.environment.data.source == "b.npz"
    assert third.recipe.stages[0].lr == 0.0001
    assert main(["train", "--from", "runs/b", "--model", "tutorial"]) == 2


def test_compare_knows_what_the_run_before_was_trained_on(first: fr.Run, small: fr.Splits, tmp_path: Path) -> None:
    assert small.test is not None
    tested_on_the_first = fr.Splits(small.train.subset(np.arange(300, 600)), test=small.train.subset(np.arange(300)))
    options = {"look_at_test": True}
    alone = fr.train(tested_on_the_first, recipe(), out=tmp_path / "alone", **options)  # type: ignore[arg-type]
    gone_on = fr.train(tested_on_the_first, recipe(), from_run=first, out=tmp_path / "next", **options)  # type: ignore[arg-type]
    said = compare_runs([alone, gone_on]).as_dict()["comparisons"][0]["warnings"]
    assert any("with what it was continued from first on, hold 270 of 300 test images" in line for line in said), said
    assert any("start (none and continued from first, weights " in line for line in said), said


def test_validation_images_that_the_first_run_was_trained_on_are_told(
    first: fr.Run, small: fr.Splits, tmp_path: Path
) -> None:
    # On its own data the cut is the run's own, whatever the recipe says: none of them was learned from.
    again = fr.train(first.open_data(), recipe("validation=50"), from_run=first, out=tmp_path / "same")
    assert again.recipe.validation == first.recipe.validation
    assert again.environment.start is not None
    assert again.environment.start.validated_by == 0

    with pytest.warns(UserWarning, match=r"of the 60 validation images are ones that first was trained on"):
        mixed = fr.train(fr.Splits(small.train), recipe(), from_run=first, out=tmp_path / "mixed")
    assert mixed.environment.start is not None
    assert 10 < mixed.environment.start.validated_by < 50


def test_code_of_a_run_is_executed_only_where_it_is_trusted(first: fr.Run, tmp_path: Path) -> None:
    data = first.open_data()
    own = fr.train(data, recipe(f"model='{CODE}:Net'"), out=tmp_path / "own")
    with pytest.raises(ArtifactError, match="trust_code"):
        fr.train(data, recipe(), from_run=own, out=tmp_path / "untrusted")
    run = fr.train(data, recipe(), from_run=own, trust_code=True, out=tmp_path / "next")
    (kept,) = run.path.glob(f"code/*/{CODE.name}")
    assert kept.read_text(encoding="utf-8") == CODE.read_text(encoding="utf-8")
    assert run.artifact.code_sha256 == own.artifact.code_sha256


@pytest.mark.parametrize(
    ("override", "message"),
    [("normalize=model", "normalize: for a training that starts"), ("stages.0.freeze=body", r"stages.0.freeze: for")],
)
def test_what_goes_by_starting_weights_is_refused_without_them(
    override: str, message: str, first: fr.Run, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=message):
        fr.train(first.open_data(), recipe(override), out=tmp_path / "next")


@pytest.mark.parametrize(
    ("name", "learned_from"), [("format-1/swift-1", 1600), ("format-1-seeds-and-own-models/own-model", 1800)]
)
def test_a_run_of_format_1_can_be_gone_on_from(name: str, learned_from: int, tmp_path: Path) -> None:
    run = fr.train("sample", recipe("batch_size=256"), from_run=GOLDEN / name, trust_code=True, out=tmp_path / "next")
    start = run.environment.start
    assert start is not None
    assert start.head == "its head is kept, with the same 10 classes"
    assert start.hashes == learned_from
    assert run.result["validation"]["accuracy"] > 0.5


@pytest.mark.parametrize("name", ["start.safetensors", "start-images.npy"])
def test_a_start_that_never_ends_or_claims_gigabytes_is_not_read(tmp_path: Path, name: str) -> None:
    point = StartingPoint(kind="run", name="first", head="new", weights_sha256="0" * 64, hashes=10)
    makers: list[tuple[Callable[[Path], object], str]] = [
        (os.mkfifo, "device or pipe"),
        (lambda file: file.symlink_to("/dev/zero"), "device or pipe"),
        (_sparse, "bytes expected, 8,589,934,592 found"),
        (_claiming, ""),
    ]
    for make, reason in makers:
        file = tmp_path / name
        file.unlink(missing_ok=True)
        make(file)
        if name == "start-images.npy":
            hashes, why = read_seen(tmp_path, point)
            assert hashes is None
            assert name in why
            assert reason in why
        else:
            with pytest.raises(fr.ArtifactError, match=f"{name}: .*{reason}"):
                read_weights(tmp_path, point)


def _sparse(file: Path) -> None:
    with file.open("wb") as stream:
        stream.truncate(8 << 30)


def _claiming(file: Path) -> None:
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (999999999999, 32), }"
    file.write_bytes(b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header)
