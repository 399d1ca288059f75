"""What ``fittingroom verify`` promises: the same bits are recognised, others are judged, a changed folder is found."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.data.formats.npz import write_npz
from fittingroom.runs.metrics_log import read_metrics
from tests.support import NARROW, SUPPORT

OPTIONS = fr.Options(device="cpu", threads=1)


def short(*overrides: str) -> fr.Recipe:
    small = ["stages.0.epochs=2", "precision=float32", "batch_size=256"]
    if not any(override.startswith("model=") for override in overrides):
        small += [NARROW, "stages.0.lr=0.02", "batch_size=64"]  # 58 steps
    return fr.load_recipe("plain", overrides=[*small, *overrides])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fr.train("sample", short(), out=tmp_path_factory.mktemp("runs") / "run", options=OPTIONS).path


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy, which a test may change."""
    return Path(shutil.copytree(trained, tmp_path / "runs" / "run"))


def change(file: Path, **values: object) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(content | values), encoding="utf-8")


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_the_same_bits_are_the_same_and_nothing_is_written(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(run.parent)

    assert main(["verify", str(run), "--quiet"]) == 0

    said = capsys.readouterr().out
    assert "steps: 58 losses have the same bits" in said
    assert "states: 2 of 2, each after an epoch, have the same SHA-256" in said
    assert "have the same bits\n" in said
    assert said.splitlines()[-1] == f"{run}: the same bits"
    assert files(run.parent) == before


def test_the_first_steps_are_compared_alone(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "model.safetensors").unlink()  # not read for it
    assert main(["verify", str(run), "--steps", "30", "--json", "--quiet"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["outcome"], found["steps"], found["steps_compared"]) == ("same", 58, 30)
    assert any(sentence.startswith("states: 1 of 1") for sentence in found["sentences"])

    # A loss that differs in its last digit is another one, and a few steps can't tell what it matters.
    lines = read_metrics(run / "metrics.jsonl")
    lines[4]["loss"] = float(np.nextafter(lines[4]["loss"], 9))
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert main(["verify", str(run), "--steps", "30", "--json", "--quiet"]) == 2
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["outcome"], found["first_difference"]) == ("can't be judged", lines[4]["step"])
    assert f"fittingroom verify {run}" in found["sentences"][-1]


def test_weights_that_were_changed_afterwards_are_outside(run: Path) -> None:
    file = run / "model.safetensors"
    tensors = safetensors.numpy.load_file(file)
    name = next(name for name in tensors if tensors[name].dtype == np.float32)
    tensors[name] = np.nextafter(tensors[name], np.float32(9))
    safetensors.numpy.save_file(tensors, file)

    (found,) = fr.verify(run)
    assert (found.outcome, found.exit_code) == ("outside", 1)
    assert f"weights: 1 of {len(tensors)} tensors have other bits ({name})" in found.sentences
    assert "was changed after its training" in found.sentences[-1]


def test_a_result_that_was_changed_afterwards_is_outside(run: Path) -> None:
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    scores = result["validation"]
    right, counts = scores["correct"], scores["confusion"]

    # Figures that fit together, as whoever improves a result by hand would have it; others are refused when read.
    better = 0
    for i, row in enumerate(counts):
        for k in range(len(row)):
            if k != i:
                moved = min(row[k], 9 - better)
                row[k], row[i], better = row[k] - moved, row[i] + moved, better + moved
    assert better == 9
    change(run / "result.json", validation=scores | {"correct": right + 9, "confusion": counts})

    (found,) = fr.verify(run)
    assert found.outcome == "outside"
    assert (
        f"says {right + 9} right answers on validation, predictions-validation.parquet has {right}"
        in found.sentences[-1]
    )


@pytest.mark.parametrize("file", ["config.json", "result.json", "model.safetensors"])
def test_what_is_damaged_is_said_before_anything_is_trained(file: str, run: Path) -> None:
    (run / file).write_bytes((run / file).read_bytes()[:-9])
    seen: list[object] = []
    with pytest.raises(fr.ArtifactError, match=rf"{re.escape(file)}|weights expected"):
        fr.verify(run, observe=seen.append)
    assert seen == []


def test_other_data_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample = fr.open_dataset("sample").train
    assert sample.labels is not None
    images = sample.images.copy()
    images[7, 3, 3] ^= 1
    names = np.array(sample.classes)
    np.savez(tmp_path / "other.npz", x_train=images, y_train=sample.labels, classes=names)

    assert main(["verify", str(run), str(tmp_path / "other.npz"), "--quiet"]) == 2
    assert "only on the data that it was started with" in capsys.readouterr().err


def other_bits(run: Path) -> None:
    """Change all losses and weights by their last digit, as another kind of processor rounds them."""
    lines = read_metrics(run / "metrics.jsonl")
    for line in lines:
        if line["event"] == "step":
            line["loss"] = float(np.nextafter(line["loss"], 9))
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    tensors = safetensors.numpy.load_file(run / "model.safetensors")
    nudged = {k: np.nextafter(v, np.float32(9)) if v.dtype == np.float32 else v for k, v in tensors.items()}
    safetensors.numpy.save_file(nudged, run / "model.safetensors")


def test_other_bits_are_judged_by_new_seeds(run: Path) -> None:
    other_bits(run)
    (found,) = fr.verify(run, seeds=2)
    assert (found.outcome, found.exit_code, found.first_difference) == ("within seeds", 0, 1)
    assert found.among is not None
    assert (found.among.models, found.among.n) == (3, 200)
    assert "0 discordant" in found.sentences[-2]
    assert "2 new seeds" in found.sentences[-1]

    # Of one new seed nothing can be said.
    (found,) = fr.verify(run, seeds=1)
    assert (found.outcome, found.exit_code) == ("can't be judged", 2)


@pytest.mark.nightly  # two threads wait for each other where others are at work
def test_another_number_of_threads_is_named_and_judged(run: Path) -> None:
    threads = torch.get_num_threads()
    try:
        (found,) = fr.verify(run, threads=2, seeds=2)
    finally:
        torch.set_num_threads(threads)
    assert "threads (1 and 2)" in found.sentences[0]
    assert found.exit_code == 0


def test_another_model_in_place_of_the_runs_own_is_outside(run: Path, tmp_path: Path) -> None:
    worse = fr.train("sample", short("stages.0.epochs=1", "stages.0.lr=1e-9"), out=tmp_path / "worse", options=OPTIONS)
    for name in ("model.safetensors", "metrics.jsonl"):
        shutil.copy(worse.path / name, run / name)

    (found,) = fr.verify(run, seeds=2)
    assert (found.outcome, found.exit_code) == ("outside", 1)


@pytest.mark.nightly
def test_each_member_is_verified_and_members_are_judged_by_the_others(tmp_path: Path) -> None:
    seeds = fr.train("sample", short("stages.0.epochs=1"), seeds=4, out=tmp_path / "runs" / "seeds", options=OPTIONS)
    assert [(found.run.name, found.outcome) for found in fr.verify(seeds.path)] == [
        (f"seed-{seed}", "same") for seed in range(4)
    ]

    # A member that another machine trained: its bits are others, and its brothers say what that is worth.
    member = seeds.path / "seed-1"
    other_bits(member)
    (member / "metrics.jsonl").unlink()
    (found,) = fr.verify(member)
    assert found.outcome == "within seeds"
    assert "steps: the run has no losses of its steps to compare with" in found.sentences
    assert "3 other members of the run" in found.sentences[-1]


def test_a_model_of_ones_own_waits_for_trust(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = short("stages.0.epochs=1", f"model='{SUPPORT / 'plain_net.py'}:Net'")
    run = fr.train("sample", recipe, out=tmp_path / "run", options=OPTIONS)

    assert main(["verify", str(run.path), "--quiet"]) == 2
    assert "--trust-code" in capsys.readouterr().err
    assert main(["verify", str(run.path), "--quiet", "--trust-code"]) == 0


def test_a_run_that_came_by_mail_is_verified_by_the_code_and_data_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its author's code and data are gone; the code is in the folder, and the data are given again."""
    author, reader = tmp_path / "author", tmp_path / "reader"
    author.mkdir()
    reader.mkdir()
    (author / "parts.py").write_text(
        "from torch import nn\n\n\ndef middle() -> nn.Module:\n    return nn.Linear(784, 16)\n"
    )
    (author / "net.py").write_text(
        "from parts import middle\nfrom torch import Tensor, nn\n\n\nclass Net(nn.Module):\n"
        "    def __init__(self, num_classes: int) -> None:\n        super().__init__()\n"
        "        self.net = nn.Sequential(nn.Flatten(), middle(), nn.ReLU(), nn.Linear(16, num_classes))\n\n"
        "    def forward(self, x: Tensor) -> Tensor:\n        return self.net(x)\n"
    )
    sample = fr.open_dataset("sample")
    write_npz(author / "data.npz", fr.Splits(sample.train.subset(range(600)), None, None))
    recipe = short("stages.0.epochs=1", f"model='{author / 'net.py'}:Net'")
    sent = fr.train(author / "data.npz", recipe, out=author / "run", options=OPTIONS).path

    shutil.unpack_archive(shutil.make_archive(str(tmp_path / "mail"), "zip", sent), reader / "run")
    shutil.move(author / "data.npz", reader / "data.npz")
    shutil.rmtree(author)
    for name in ("net", "parts"):
        sys.modules.pop(name, None)
    monkeypatch.chdir(reader)

    assert main(["verify", "run", "data.npz", "--quiet"]) == 2
    told = capsys.readouterr().err
    assert "--trust-code" in told
    assert "Traceback" not in told

    before = files(reader / "run")
    assert main(["verify", "run", "data.npz", "--quiet", "--trust-code"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "run: the same bits"
    assert files(reader / "run") == before

    # Without the data it says which are missing, and trains nothing.
    assert main(["verify", "run", "--quiet", "--trust-code"]) == 2
    assert "data.npz" in capsys.readouterr().err

    # Other code under the same name is not executed.
    (kept,) = (file for file in (reader / "run").rglob("*.py") if "Net" in file.read_text(encoding="utf-8"))
    kept.write_text(kept.read_text(encoding="utf-8") + "\nopen('executed', 'w')\n", encoding="utf-8")
    assert main(["verify", "run", "data.npz", "--quiet", "--trust-code"]) == 2
    assert not Path("executed").exists()


def test_a_run_in_bf16_is_refused_by_hardware_without_it(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = json.loads((run / "environment.json").read_text(encoding="utf-8"))
    change(run / "environment.json", precision="bf16", recipe=environment["recipe"] | {"precision": "bf16"})
    toml = (run / "recipe.toml").read_text(encoding="utf-8")
    (run / "recipe.toml").write_text(toml.replace("float32", "bf16"), encoding="utf-8")
    monkeypatch.setattr("fittingroom.training.precision.has_bf16", lambda _device: False)
    assert main(["verify", str(run), "--quiet"]) == 2
    assert "doesn't compute in it" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--steps", "--seeds"])
def test_less_than_one_is_refused(option: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(run), option, "0"]) == 2
    assert f"{option[2:]}: 1 or more expected, 0 found" in capsys.readouterr().err
