"""What the residual measures, on which networks, and that it is kept with the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import pytest
import torch
from torch import Tensor

import fittingroom as fr
from fittingroom.artifact import quantize
from fittingroom.artifact.artifact import FEATURE_SPACE
from fittingroom.artifact.export import export_onnx
from fittingroom.artifact.feature_space import FeatureSpace, open_feature_space, save_feature_space, unit_length
from fittingroom.artifact.onnx_model import OnnxModel
from fittingroom.errors import ArtifactError
from tests.support.small_run import seen_in_training, train_small

NETWORKS = """
import torch
from torch import nn


class Convolved(nn.Module):  # its logits come from a convolution
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(1, num_classes, 5, stride=4)

    def forward(self, x):
        return self.conv(x).amax(dim=(2, 3))


class Patches(nn.Module):  # its linear layer is given a row for each patch, not for each image
    def __init__(self, num_classes):
        super().__init__()
        self.fc = nn.Linear(28, num_classes)

    def forward(self, x):
        return self.fc(x[:, 0]).mean(dim=1)


class Gated(nn.Module):  # defined first, called last
    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.Linear(12, num_classes)
        self.body = nn.Linear(28 * 28, 12)

    def forward(self, x):
        return self.head(self.body(x.flatten(1)).relu())
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> fr.Run:
    return train_small(tmp_path_factory.mktemp("space") / "run")


@pytest.fixture(scope="module")
def of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], fr.Run]:
    folder = tmp_path_factory.mktemp("own")
    (folder / "net.py").write_text(NETWORKS, encoding="utf-8")
    return lambda name: train_small(folder / name, model=f"{folder}/net.py:{name}")


def clouds(n: int, features: int, classes: int = 3) -> tuple[Tensor, Tensor]:
    """Features of a few classes, each with its own mean, all with the same covariance."""
    random = torch.Generator().manual_seed(0)
    mixing = torch.randn(features, features, generator=random) / features**0.5
    means = 5 + torch.randn(classes, features, generator=random)
    labels = torch.arange(n) % classes
    return means[labels] + torch.randn(n, features, generator=random) @ mixing, labels


def test_equal_spaces_are_kept_in_equal_bytes(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    features_NF, labels_N = torch.randn(40, 6, generator=generator), torch.arange(40) % 3
    space = FeatureSpace.of(features_NF, labels_N)
    written = set()
    for _ in range(12):  # in an order of chance, two entries would come in the same one with a probability of 1 in 2048
        save_feature_space(tmp_path, space, "0" * 64)
        written.add((tmp_path / FEATURE_SPACE).read_bytes())
    assert len(written) == 1
    again = open_feature_space(tmp_path, "0" * 64)
    assert again is not None
    assert torch.equal(again.whitening, space.whitening)


def test_the_residual_is_mahalanobis_distance_to_the_nearest_class() -> None:
    features, labels = clouds(3_000, 10)
    found = FeatureSpace.of(features, labels).module()(features)

    units = unit_length(features).double()
    means = torch.stack([units[labels == c].mean(dim=0) for c in range(3)])
    covariance = (units - means[labels]).T @ (units - means[labels]) / len(units)
    covariance = 0.99 * covariance + 0.01 * covariance.trace() / 10 * torch.eye(10)
    differences = units[:, None] - means
    squares = torch.einsum("ncf,fg,ncg->nc", differences, torch.linalg.inv(covariance), differences)
    torch.testing.assert_close(found.double(), squares.amin(dim=1).sqrt(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("n", "features"), [(2_000, 200), (2_000, 1_000), (60, 300)])
def test_what_leaves_the_principal_subspace_is_far(n: int, features: int) -> None:
    """Of training images that vary in ten directions alone, however many features there are."""
    random = torch.Generator().manual_seed(1)
    directions = torch.linalg.qr(torch.randn(features, 11, generator=random))[0].T
    known = 3 * directions[0] + torch.randn(n, 10, generator=random) @ directions[1:]
    space = FeatureSpace.of(known, torch.arange(n) % 2)
    assert space.basis.shape[1] <= 64
    again = FeatureSpace.of(known, torch.arange(n) % 2)
    assert torch.equal(space.basis, again.basis), "the same images, the same directions"

    strange = known + 0.3 * torch.randn(n, features, generator=random)
    residual = space.module()
    assert residual(strange).min() > residual(known).max()


def test_features_that_are_nought_or_not_numbers_end_in_numbers_and_not_numbers() -> None:
    residual = FeatureSpace.of(*clouds(500, 8)).module()
    found = residual(torch.tensor([[0.0] * 8, [float("nan")] * 8]))
    assert found.isfinite().tolist() == [True, False]


def test_a_training_keeps_the_space_and_an_export_reads_it(
    run: fr.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> None:
        raise AssertionError("it was kept, and isn't fitted anew")

    monkeypatch.setattr("fittingroom.artifact.shipped.Shipped.fit_feature_space", refuse)
    path = export_onnx(run.artifact, run.artifact.network(), *seen_in_training(run), path=tmp_path / "model.onnx")
    images = fr.open_dataset("sample").train.images[:50]
    first, second = (OnnxModel(file).answer(images).residuals for file in (run.path / "model.onnx", path))
    assert first is not None
    np.testing.assert_array_equal(first, second)


def test_a_run_without_a_space_or_with_anothers_is_exported_with_one_of_its_own(run: fr.Run, tmp_path: Path) -> None:
    kept = (run.path / FEATURE_SPACE).read_bytes()
    images = fr.open_dataset("sample").train.images[:50]
    expected = OnnxModel(run.path / "model.onnx").answer(images).residuals
    assert expected is not None
    other = train_small(tmp_path / "other", "seed=5")
    try:
        for content in (None, (other.path / FEATURE_SPACE).read_bytes()):
            (run.path / FEATURE_SPACE).unlink(missing_ok=True)
            if content is not None:
                (run.path / FEATURE_SPACE).write_bytes(content)
            path = tmp_path / "model.onnx"
            export_onnx(run.artifact, run.artifact.network(), *seen_in_training(run), path=path)
            found = OnnxModel(path).answer(images).residuals
            assert found is not None
            np.testing.assert_allclose(found, expected, rtol=1e-4)
    finally:
        (run.path / FEATURE_SPACE).write_bytes(kept)


@pytest.mark.parametrize("damage", [b"", b"\x08\0\0\0\0\0\0\0{}      ", b"no such thing"])
def test_a_damaged_space_is_one_message(run: fr.Run, tmp_path: Path, damage: bytes) -> None:
    kept = (run.path / FEATURE_SPACE).read_bytes()
    (run.path / FEATURE_SPACE).write_bytes(damage or kept[:-20])
    try:
        if damage.endswith(b"{}      "):  # a file in order, of somebody else's
            export_onnx(run.artifact, run.artifact.network(), *seen_in_training(run), path=tmp_path / "model.onnx")
            return
        with pytest.raises(ArtifactError, match=f"{FEATURE_SPACE}: statistics of a network's features expected"):
            export_onnx(run.artifact, run.artifact.network(), *seen_in_training(run), path=tmp_path / "model.onnx")
    finally:
        (run.path / FEATURE_SPACE).write_bytes(kept)


@pytest.mark.parametrize(("name", "has_residual"), [("Convolved", False), ("Patches", False), ("Gated", True)])
def test_a_network_without_features_for_each_image_has_energy_alone(
    of_the_user: Callable[[str], fr.Run], name: str, has_residual: bool
) -> None:
    run = of_the_user(name)
    session = onnxruntime.InferenceSession(run.path / "model.onnx", providers=["CPUExecutionProvider"])
    assert ("residual" in [output.name for output in session.get_outputs()]) == has_residual
    assert (run.path / FEATURE_SPACE).exists() == has_residual

    answer = fr.load(run.path).classify(fr.open_dataset("sample").train.images[:20])
    assert (answer.residuals is not None) == has_residual
    assert answer.typical is not None
    assert ((answer.typical > 0) & (answer.typical <= 1)).all()


def test_eight_bits_have_a_scale_of_their_own(run: fr.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "MAX_LOSS", 0.02)  # of so few images one is more than may be lost
    train, validation = seen_in_training(run)
    assert validation is not None
    path = tmp_path / "model.int8.onnx"
    quantize.quantize_int8(run.path / "model.onnx", train, validation, path)

    whole, quantized = OnnxModel(run.path / "model.onnx"), OnnxModel(path)
    scale = quantized.metadata.ood_scale
    assert scale is not None
    said = quantized.answer(validation.images)
    assert said.energies is not None
    assert scale.n == len(validation)
    assert scale.energy.values[0] == said.energies.max() != whole.answer(validation.images).energies.max()  # type: ignore[union-attr]
    assert abs((scale.typical(said.energies, said.residuals) <= 0.05).mean() - 0.05) < 0.025

    # The distance itself is not computed with 8 bits: it differs by what the features do.
    in_float32 = whole.answer(validation.images).residuals
    assert in_float32 is not None
    assert said.residuals is not None
    assert np.corrcoef(in_float32, said.residuals)[0, 1] > 0.95


def test_a_set_of_one_training_image_is_exported_though_its_residuals_are_all_rounding(tmp_path: Path) -> None:
    sample = fr.open_dataset("sample").train
    rows = [int(np.flatnonzero(sample.labels == label)[0]) for label in (0, 5)]
    images, labels = sample.images[rows], np.array([0, 1])
    data = fr.Dataset(images, labels, ("top", "sandal"), "two")
    recipe = fr.load_recipe("swift", overrides=["stages.0.epochs=1", "validation=0"])
    run = fr.train(fr.Splits(train=data), recipe, out=tmp_path / "run", options=fr.Options(threads=1))
    assert (run.path / "model.onnx").exists()
