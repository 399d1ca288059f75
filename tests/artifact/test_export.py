"""What is exported answers as the network does, for any number of images, or is not written."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]
import pytest
import torch
from numpy.typing import NDArray

import fittingroom as fr
from fittingroom.artifact.export import export_onnx, export_torch
from fittingroom.artifact.onnx_model import OnnxModel
from fittingroom.artifact.parity_gate import ExportError, ParityGate
from fittingroom.artifact.quantize import quantize_int8
from fittingroom.artifact.shipped import Shipped
from fittingroom.evaluation.predictions import Predictions
from fittingroom.training.hold_out import hold_out
from fittingroom.training.inference import predict_dataset
from tests.support.photo_patches import photo_patches
from tests.support.small_run import seen_in_training, train_small

NETWORKS = """
import torch
from torch import nn


class Linear(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.fc = nn.Linear(28 * 28, num_classes)

    def forward(self, x):
        return self.fc(x.flatten(1))


class Normed(Linear):  # the TorchScript-based exporter has no such operator
    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.norm = nn.RMSNorm(28 * 28)

    def forward(self, x):
        return self.fc(self.norm(x.flatten(1)))


class Whimsical(Linear):  # what it does hangs on the size of the batch, which no exporter takes down
    def forward(self, x):
        logits = super().forward(x)
        return logits.flip(1) if len(x) == 2 else logits
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> fr.Run:
    """Of a moving average, so that what ships is not what was stepped."""
    return train_small(tmp_path_factory.mktemp("export") / "run", "ema=0.9")


@pytest.fixture(scope="module")
def of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], fr.Run]:
    folder = tmp_path_factory.mktemp("own")
    (folder / "net.py").write_text(NETWORKS, encoding="utf-8")
    return lambda name: train_small(folder / name, model=f"{folder}/net.py:{name}")


@pytest.fixture(scope="module")
def file(run: fr.Run) -> Path:
    return export_onnx(run.artifact, run.artifact.network(), *seen_in_training(run))


@pytest.fixture(autouse=True)
def _no_log() -> Iterator[None]:
    """pytest keeps every record of torch's trace log, which makes torch.export ten times slower than it is."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("count", [1, 2, 99, 100, 301])
def test_onnx_takes_pixels_and_gives_what_the_network_gives(run: fr.Run, file: Path, count: int) -> None:
    test = fr.open_dataset("sample").test
    assert test is not None
    images = test.subset(range(count))

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    probabilities, labels, energies, residuals = session.run(None, {"images": images.images})

    uncalibrated = predict_dataset(run.artifact.network(), images, run.artifact.normalization).probabilities
    np.testing.assert_allclose(probabilities, run.artifact.temperature.applied(uncalibrated), atol=1e-5)
    assert (labels == uncalibrated.argmax(axis=1)).all()
    assert energies.shape == residuals.shape == (count,)


def test_onnx_says_what_it_is(run: fr.Run, file: Path) -> None:
    _train, validation = seen_in_training(run)
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    assert [opset.version for opset in model.opset_import] == [18]
    assert [value.name for value in model.graph.output] == ["probabilities", "label", "energy", "residual"]

    metadata = {pair.key: pair.value for pair in model.metadata_props}
    assert json.loads(metadata["fittingroom.format"]) == 2
    assert json.loads(metadata["fittingroom.preprocessing"]) == run.artifact.preprocessing.as_dict()
    assert json.loads(metadata["fittingroom.classes"]) == list(run.artifact.classes)
    assert json.loads(metadata["fittingroom.normalization"]) == {
        "mean": run.artifact.normalization.mean,
        "std": run.artifact.normalization.std,
    }
    assert json.loads(metadata["fittingroom.data"])["train"]["content"] == run.open_data().train.fingerprint.content
    assert metadata["fittingroom.recipe"] == (run.path / "recipe.toml").read_text(encoding="utf-8")

    # The package reads the same.
    opened = OnnxModel(file).metadata
    assert (opened.background, opened.image_size) == (0, (28, 28))
    assert opened.ood_scale is not None
    assert validation is not None
    assert opened.ood_scale.n == len(validation) == json.loads(metadata["fittingroom.doubt"])["n"]


def test_the_temperature_is_in_every_exported_form_and_changes_neither_answers_nor_energies(
    run: fr.Run, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fittingroom.artifact.quantize.MAX_LOSS", 0.05)  # of a network this raw
    train, validation = seen_in_training(run)
    network, temperature = run.artifact.network(), run.artifact.temperature
    assert temperature.n == 200
    assert temperature.value != 1
    assert OnnxModel(file).metadata.temperature == temperature

    plain = Shipped(network, run.artifact.normalization).answer(train.images)
    assert plain.energies is not None
    assert np.abs(temperature.applied(plain.probabilities) - plain.probabilities).max() > 0.01
    program = torch.export.load(export_torch(run.artifact, network, train, validation, tmp_path / "model.pt2")).module()
    quantize_int8(file, train, validation, tmp_path / "model.int8.onnx")
    int8 = OnnxModel(tmp_path / "model.int8.onnx")
    assert int8.metadata.temperature == temperature

    with torch.inference_mode():
        by_program = [part.numpy() for part in program(torch.tensor(train.images))]
    for probabilities, predicted, energies, _residuals in (
        (said := OnnxModel(file).answer(train.images)).__dict__.values(),
        by_program,
    ):
        np.testing.assert_allclose(probabilities, temperature.applied(plain.probabilities), atol=1e-5)
        np.testing.assert_allclose(energies, plain.energies, atol=1e-4)
        assert np.count_nonzero(predicted != plain.predicted) == 0
    confidence = int8.answer(train.images).confidence
    assert np.abs(confidence - said.confidence).mean() < 0.03 < np.abs(confidence - plain.confidence).mean()


def test_the_quick_exporter_is_the_one_that_is_used(
    run: fr.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "onnxscript", raising=False)  # what the slow one is made with
    monkeypatch.setattr(sys, "meta_path", [_Refusing("onnxscript"), *sys.meta_path])
    export_onnx(run.artifact, run.artifact.network(), *seen_in_training(run), path=tmp_path / "model.onnx")


class _Refusing:
    def __init__(self, name: str):
        self.name = name

    def find_spec(self, name: str, *_args: object) -> None:
        if name.partition(".")[0] == self.name:
            raise ModuleNotFoundError(name)


@pytest.mark.parametrize("name", ["Linear", "Normed"])
def test_a_network_of_the_users_own_is_exported_and_then_needs_no_code(
    of_the_user: Callable[[str], fr.Run], name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    run = of_the_user(name)
    network = run.artifact.network(trust_code=True)
    export_onnx(run.artifact, network, *seen_in_training(run))

    images = fr.open_dataset("sample").train.images[:50]
    with torch.inference_mode():
        shipped = Shipped(network, run.artifact.normalization, run.artifact.temperature)
        expected = shipped(torch.tensor(images))[0].numpy()
    np.testing.assert_allclose(fr.load(run.path).predict_proba(images), expected, atol=1e-5)
    assert capfd.readouterr().out == ""  # the exporters' own prints would spoil --json


def test_a_network_that_no_exporter_gets_right_is_refused_with_the_reasons(
    of_the_user: Callable[[str], fr.Run], tmp_path: Path
) -> None:
    with pytest.warns(UserWarning, match="the run is complete without it"):
        run = of_the_user("Whimsical")

    file = tmp_path / "model.onnx"
    with pytest.raises(ExportError, match=r"Whimsical can't be exported(.|\n)*TorchScript(.|\n)*images of .* differ"):
        export_onnx(run.artifact, run.artifact.network(trust_code=True), *seen_in_training(run), path=file)
    assert not list(tmp_path.iterdir())


def test_export_changes_nothing_about_the_network(run: fr.Run, tmp_path: Path) -> None:
    network = run.artifact.network().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    export_onnx(run.artifact, network, *seen_in_training(run), path=tmp_path / "model.onnx")

    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_the_gate_names_the_first_image_that_differs(run: fr.Run) -> None:
    _train, validation = seen_in_training(run)
    assert validation is not None
    shipped = Shipped(run.artifact.network(), run.artifact.normalization)
    gate = ParityGate((validation,), (shipped.answer(validation.images),))

    def wrong_at_7(images: NDArray[np.uint8]) -> Predictions:
        answers = shipped.answer(images)
        answers.probabilities[7:9] += 2e-4
        return answers

    gate.check(shipped.answer)
    with pytest.raises(ExportError, match=r"on 2 of 200 images of .* differ, first at row 7 by 0.0002"):
        gate.check(wrong_at_7)


def test_the_gate_takes_not_a_number_for_different() -> None:
    images = fr.Dataset(np.zeros((1, 28, 28), np.uint8), np.array([0]), ("left", "right"), "one image")
    sure, nan = np.array([[1, 0]], np.float32), np.full((1, 2), np.nan, np.float32)
    gate = ParityGate((images,), (Predictions(sure, np.array([0]), np.zeros(1, np.float32)),))
    with pytest.raises(ExportError, match="1 of 1 images"):
        gate.check(lambda _: Predictions(nan, np.array([0]), np.zeros(1, np.float32)))


@pytest.mark.parametrize(("gap", "passes"), [(0.5e-4, True), (2e-4, False)])
def test_the_gate_lets_labels_differ_only_where_the_network_is_undecided(gap: float, passes: bool) -> None:
    images = fr.Dataset(np.zeros((1, 28, 28), np.uint8), np.array([0]), ("left", "right"), "one image")
    probabilities = np.array([[0.5 + gap / 2, 0.5 - gap / 2]], np.float32)
    gate = ParityGate((images,), (Predictions(probabilities, np.array([0]), np.zeros(1, np.float32)),))
    found = Predictions(probabilities, np.array([1]), np.zeros(1, np.float32))
    if passes:
        gate.check(lambda _: found)
    else:
        with pytest.raises(ExportError, match="left expected, right found"):
            gate.check(lambda _: found)


def test_torch_export_is_a_program_of_its_own(run: fr.Run, tmp_path: Path) -> None:
    network = run.artifact.network()
    file = export_torch(run.artifact, network, *seen_in_training(run), tmp_path / "model.pt2")
    extra = {"fittingroom.classes": ""}

    program = torch.export.load(file, extra_files=extra).module()

    images = torch.tensor(fr.open_dataset("sample").train.images[:33])
    with torch.inference_mode():
        expected = Shipped(network, run.artifact.normalization, run.artifact.temperature)(images)
    torch.testing.assert_close(program(images)[:3], expected)
    assert json.loads(extra["fittingroom.classes"]) == list(run.artifact.classes)


@pytest.fixture(scope="module")
def in_colour(tmp_path_factory: pytest.TempPathFactory) -> fr.Run:
    """Of pieces of photographs."""
    recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=3", "precision=float32", "batch_size=32"])
    splits = fr.Splits(photo_patches(400, side=20), test=photo_patches(80, side=20, seed=1))
    return fr.train(splits, recipe, out=tmp_path_factory.mktemp("colour") / "run")


def test_a_network_that_knows_colour_is_exported_with_three_channels(in_colour: fr.Run, tmp_path: Path) -> None:
    assert in_colour.splits is not None
    train, validation = hold_out(in_colour.splits, in_colour.recipe)
    network, test = in_colour.artifact.network(), in_colour.splits.test
    assert test is not None
    expected = predict_dataset(network, test, in_colour.artifact.normalization).probabilities
    assert str(in_colour.artifact.temperature) == "not calibrated"  # by less than 200 images nothing is fitted

    session = onnxruntime.InferenceSession(in_colour.path / "model.onnx", providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == ["N", 20, 20, 3]
    for count in (1, 2, 80):
        probabilities = session.run(None, {"images": test.images[:count]})[0]
        np.testing.assert_allclose(probabilities, expected[:count], atol=1e-5)

    file = export_torch(in_colour.artifact, network, train, validation, tmp_path / "model.pt2")
    program = torch.export.load(file).module()
    np.testing.assert_allclose(program(torch.tensor(test.images))[0].detach(), expected, atol=1e-5)


def test_colour_is_normalized_and_backed_channel_by_channel(in_colour: fr.Run) -> None:
    metadata = OnnxModel(in_colour.path / "model.onnx").metadata
    assert metadata.normalization == in_colour.artifact.normalization
    assert len(metadata.normalization.mean) == 3  # type: ignore[arg-type]
    assert isinstance(metadata.background, tuple)
    assert len(metadata.background) == 3
    assert metadata.ood_scale is None  # 40 validation images can't show what is rare
    assert fr.load(in_colour.path).background == metadata.background


def test_colour_is_quantized_too(in_colour: fr.Run, tmp_path: Path) -> None:
    assert in_colour.splits is not None
    train, validation = hold_out(in_colour.splits, in_colour.recipe)
    try:
        quantize_int8(in_colour.path / "model.onnx", train, validation, tmp_path / "model.int8.onnx")
    except ExportError as error:
        assert "a fall of less than 0.2 points expected" in str(error)  # noqa: PT017 - by chance, of so few images
    else:
        answer = OnnxModel(tmp_path / "model.int8.onnx").answer(train.images[:5])
        assert answer.probabilities.shape == (5, 2)
