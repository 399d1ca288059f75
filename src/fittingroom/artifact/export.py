"""A trained network in the forms that other programs run: ONNX, a torch.export program.

What is exported has preprocessing and temperature inside: uint8 pixels go in; probabilities, label, energy and, where
the network has features to measure, residual come out. Nothing is written before the exported form has agreed with the
network on thousands of images, none of them of the test set.
"""

from __future__ import annotations

import copy
import io
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fittingroom.artifact.artifact import Artifact, sha256_of_weights
from fittingroom.artifact.feature_space import (
    FeatureSpace,
    FeatureTap,
    open_feature_space,
    rows_to_fit,
    save_feature_space,
)
from fittingroom.artifact.onnx_model import BATCH, MODEL, OUTPUTS, Metadata, OnnxModel
from fittingroom.artifact.onnx_runtime import silence_telemetry
from fittingroom.artifact.ood_score import MIN_IMAGES, OodScale
from fittingroom.data.dataset import Dataset
from fittingroom.data.normalization import Normalization
from fittingroom.errors import ArtifactError
from fittingroom.evaluation.predictions import Predictions
from fittingroom.evaluation.threshold import Threshold, is_a_tie
from fittingroom.files.atomic import atomic_write
from fittingroom.files.run_file import read_run_text
from fittingroom.models.tensors import as_tensor, normalize

OPSET = 18
TOLERANCE = 1e-4  # in probability
MEASURED = 1e-2  # how far an exported form's energies and residuals may be off, absolutely and as a share
INPUT = "images"


class ExportError(ArtifactError):
    """The network has no exported form that agrees with it; the message has the reasons."""


class Shipped(nn.Module):
    """What is exported: a copy of a network, with what its pixels go through and what its logits become.

    uint8 (N, H, W) or, in colour, (N, H, W, 3), 0–255 → probabilities float32 (N, C), labels int64 (N,), energies
    float32 (N,) and, with a feature space, residuals float32 (N,). The probabilities are those at ``temperature``;
    labels and energies are of the logits as they are, labels with ``threshold`` of the probabilities.
    """

    def __init__(
        self,
        network: nn.Module,
        normalization: Normalization,
        temperature: float = 1.0,
        threshold: Threshold | None = None,
    ):
        super().__init__()
        self.network = copy.deepcopy(network).cpu().float().eval().requires_grad_(False)
        self.normalization = normalization
        self.temperature = temperature
        self.threshold = threshold
        self.residual: nn.Module | None = None
        self._tap: FeatureTap | None = None
        self._fitted_to: tuple[NDArray[np.int64], Tensor, Tensor] | None = None  # rows, their logits and features

    @property
    def outputs(self) -> list[str]:
        """Names of what comes out, in order."""
        return OUTPUTS if self.residual is not None else OUTPUTS[:3]

    def measure(self, space: FeatureSpace | None, example: Tensor) -> None:
        """Give residuals too, by this space, if it is one of this network's features. ``example`` is a batch."""
        tap = FeatureTap(self.network, self._normalized(example))
        if space is not None and tap.features == space.features:
            self.residual, self._tap = space.module(), tap
        else:
            tap.remove()

    def fit_feature_space(self, train: Dataset, example: Tensor) -> FeatureSpace | None:
        """Where the features of up to 5,000 training images lie; None for a network that has none to measure."""
        tap = FeatureTap(self.network, self._normalized(example))
        if tap.features is None or train.labels is None:
            return None
        rows = rows_to_fit(len(train), tap.features).numpy()

        logits, features = [], []
        with torch.inference_mode():
            for batch in as_tensor(train.images[rows]).split(BATCH):
                logits.append(self.network(self._normalized(batch)).float())
                features.append(tap.take())
        tap.remove()
        features_NF = torch.cat(features)
        self._fitted_to = rows, torch.cat(logits), features_NF
        return FeatureSpace.of(features_NF, as_tensor(train.labels[rows])) if features_NF.isfinite().all() else None

    def _normalized(self, images: Tensor) -> Tensor:
        return normalize(images, self.normalization.mean, self.normalization.std)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        logits_NC = self.network(self._normalized(images)).float()
        return self._said(logits_NC, self._tap.take() if self._tap else None)

    def _said(self, logits_NC: Tensor, features_NF: Tensor | None) -> tuple[Tensor, ...]:
        scaled_NC = logits_NC if self.temperature == 1 else logits_NC * (1 / self.temperature)
        probabilities_NC = scaled_NC.softmax(dim=1)
        said = probabilities_NC, self._labels(logits_NC, probabilities_NC), -logits_NC.logsumexp(dim=1)
        return said if self.residual is None else (*said, self.residual(features_NF))

    def _labels(self, logits_NC: Tensor, probabilities_NC: Tensor) -> Tensor:
        if self.threshold is None:
            return logits_NC.argmax(dim=1)
        is_label_N = (probabilities_NC[:, self.threshold.label] >= self.threshold.value).long()
        return is_label_N if self.threshold.label == 1 else 1 - is_label_N

    def answer(self, images: NDArray[np.uint8], device: str = "cpu") -> Predictions:
        """The same for any number of images, 0 too, in batches; ``device`` says where it was moved to."""
        return _answer(self, images, device)

    @torch.inference_mode()
    def answer_rows(self, train: Dataset, rows: NDArray[np.int64]) -> Predictions:
        """The same for rows of ``train``. Those that a feature space was fitted to aren't computed a second time."""
        if self._fitted_to is not None and np.array_equal(self._fitted_to[0], rows):
            return Predictions(*(part.numpy() for part in self._said(*self._fitted_to[1:])))
        return self.answer(train.images[rows])


@dataclass(frozen=True)
class ParityGate:
    """What an exported form has to agree with: the images, and the network's own answers to them.

    Energies and residuals are compared where there are validation images enough for a scale of them: nothing is made of
    them elsewhere, and the residuals of a handful of images are all rounding.
    """

    sets: tuple[Dataset, ...]
    expected: tuple[Predictions, ...]
    has_scale: bool = True
    held_out: Predictions | None = None
    threshold: Threshold | None = None

    @classmethod
    def of(
        cls, shipped: Shipped, train: Dataset, validation: Dataset | None, held_out: Predictions | None = None
    ) -> ParityGate:
        """5,000 images from all over ``train``, those of the feature space, and all of ``validation``.

        ``held_out`` is what others of its kind say of images that they didn't learn from, for a network without
        validation images.
        """
        rows = rows_to_fit(len(train)).numpy()
        sets, expected = [train.subset(rows)], [shipped.answer_rows(train, rows)]
        if validation is not None:
            sets.append(validation)
            expected.append(shipped.answer(validation.images))
            held_out = expected[1]  # the network's own

        # of images that were trained on, energies and residuals are too low to compare others with
        has_scale = held_out is not None and len(held_out) >= MIN_IMAGES
        return cls(tuple(sets), tuple(expected), has_scale, held_out, shipped.threshold)

    def check(self, answer: Callable[[NDArray[np.uint8]], Predictions]) -> None:
        """Compare: probabilities within 1e-4, and equal labels.

        Labels may differ where the network's two largest probabilities differ by less than 1e-4, or one is as near to
        the threshold. The first image of each set goes through alone too, so that a batch of one is tried.

        Raises:
            ExportError: they differ; the message counts the images and names the first.
        """
        for dataset, expected in zip(self.sets, self.expected, strict=True):
            for part in (slice(0, 1), slice(None)):
                found = answer(dataset.images[part])
                _compare(found, expected.subset(part), dataset, self.threshold)
                if self.has_scale:
                    _compare_measurements(found, expected.subset(part), dataset)


def export_onnx(
    artifact: Artifact,
    network: nn.Module,
    train: Dataset,
    validation: Dataset | None = None,
    *,
    path: Path | None = None,
    held_out: Predictions | None = None,
) -> Path:
    """Write the network as ONNX, with what it is in the file's metadata, after it passed the parity gate.

    The TorchScript-based exporter goes first: it takes a fifteenth of the time. What it gets wrong, and a torch that no
    longer has it, is left to the one based on torch.export.

    Args:
        artifact: what the network is; its weights are on disk.
        network: with those weights, on any device. It is not changed.
        train, validation: what the network was trained and chosen on. The gate compares on them, and the scale of the
            out-of-distribution score is measured on validation.
        path: by default ``model.onnx`` in the run's folder.
        held_out: what the models of the folds said of images that they didn't learn from, for that scale where there
            are no validation images.

    Raises:
        ExportError: no exporter takes the network, or what came out differs from it. Nothing is written.
    """
    own = artifact.path / MODEL
    path = path or own
    shipped = _shipped(artifact, network, train, keep=path == own)
    gate = ParityGate.of(shipped, train, validation, held_out)
    metadata = metadata_of(artifact, gate)

    # The quicker exporter first; what it gets wrong, the gate shows.
    reasons = []
    for name, convert in (("TorchScript", _by_torchscript), ("torch.export", _by_torch_export)):
        try:
            content = with_metadata(convert(shipped, _example(artifact)), metadata)
            gate.check(OnnxModel(content, threads=torch.get_num_threads()).answer)
        except Exception as error:  # tracing executes the user's own code, which may raise anything
            reasons.append(f"the {name}-based exporter: {_first_line(error)}")
        else:
            with atomic_write(path, follow_links=path.parent != artifact.path) as file:
                file.write(content)
            return path
    raise ExportError(f"{path}: model {artifact.model} can't be exported to ONNX by\n  " + "\n  ".join(reasons))


def export_torch(
    artifact: Artifact,
    network: nn.Module,
    train: Dataset,
    validation: Dataset | None,
    path: Path,
    *,
    held_out: Predictions | None = None,
) -> Path:
    """Write the network as a program that ``torch.export.load`` opens without its source, after the same gate.

    Raises:
        ExportError: torch.export doesn't take the network, or the program differs from it. Nothing is written.
    """
    shipped = _shipped(artifact, network, train)
    gate = ParityGate.of(shipped, train, validation, held_out)

    content = io.BytesIO()
    try:
        with _quietly():
            program = torch.export.export(shipped, (_example(artifact),), dynamic_shapes=_any_number())
            torch.export.save(program, content, extra_files=metadata_of(artifact, gate).to_texts())
        module = program.module()
        gate.check(lambda images: _answer(module, images))
    except Exception as error:  # as above
        raise ExportError(f"{path}: model {artifact.model} can't be exported: {_first_line(error)}") from error

    with atomic_write(path, follow_links=path.parent != artifact.path) as file:
        file.write(content.getvalue())
    return path


def metadata_of(artifact: Artifact, gate: ParityGate) -> Metadata:
    """What an exported file is to say of itself. Raises ArtifactError where the run's files are gone."""
    # A picture that is predicted later is laid on what is around the things in the training images.
    corners = gate.sets[0].images[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    background = np.median(corners, axis=(0, 1)).round().astype(int).tolist()

    return Metadata(
        classes=artifact.classes,
        image_size=artifact.image_size,
        preprocessing=artifact.preprocessing,
        normalization=artifact.normalization,
        background=background if isinstance(background, int) else tuple(background),
        ood_scale=ood_scale_of(gate.held_out),
        weights=sha256_of_weights(artifact.path),
        recipe=read_run_text(artifact.path / "recipe.toml", "the recipe of the run"),
        data=artifact.data,
        versions=artifact.versions,
        temperature=artifact.temperature,
        threshold=artifact.threshold,
    )


def ood_scale_of(held_out: Predictions | None) -> OodScale | None:
    """The scale by what a model says of its validation images; None where there are none, or too few."""
    if held_out is None or held_out.energies is None:
        return None
    return OodScale.of(held_out.energies, held_out.residuals)


def _shipped(artifact: Artifact, network: nn.Module, train: Dataset, *, keep: bool = False) -> Shipped:
    """What is exported, with the feature space that the run keeps beside its weights.

    A run that is just trained has none yet, and one of before 0.2 never had: it is fitted, and with ``keep`` written.
    """
    shipped = Shipped(network, artifact.normalization, artifact.temperature.value, artifact.threshold)
    example, weights = _example(artifact), sha256_of_weights(artifact.path)
    space = open_feature_space(artifact.path, weights)
    if space is None:
        space = shipped.fit_feature_space(train, example)
        if keep and space is not None:
            save_feature_space(artifact.path, space, weights)
    shipped.measure(space, example)
    return shipped


def with_metadata(content: bytes, metadata: Metadata) -> bytes:
    """An ONNX file that says of itself what ``metadata`` does."""
    import onnx

    model = onnx.load_from_string(content)
    model.producer_name = "fittingroom"
    onnx.helper.set_model_props(model, metadata.to_texts())
    return bytes(model.SerializeToString())


@torch.inference_mode()
def _answer(module: nn.Module, images: NDArray[np.uint8], device: str = "cpu") -> Predictions:
    parts = [module(batch.to(device)) for batch in as_tensor(images).split(BATCH)]
    return Predictions(*(torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True)))


def _compare(
    exported: Predictions, expected: Predictions, dataset: Dataset, threshold: Threshold | None = None
) -> None:
    largest_N = np.abs(exported.probabilities - expected.probabilities).max(axis=1)

    # Where two classes are as probable as each other, rounding decides: either label is right.
    is_tie_N = is_a_tie(expected.probabilities, threshold, TOLERANCE)
    agrees_N = (largest_N <= TOLERANCE) & ((exported.predicted == expected.predicted) | is_tie_N)  # false for NaN
    if agrees_N.all():
        return

    row = int(agrees_N.argmin())
    raise ExportError(
        f"the network's probabilities within {TOLERANCE:g} expected; on {np.count_nonzero(~agrees_N):,} of "
        f"{len(agrees_N):,} images of {dataset.name} they differ, first at row {row:,} by {largest_N[row]:.2g}: "
        f"{dataset.classes[expected.predicted[row]]} expected, {dataset.classes[exported.predicted[row]]} found"
    )


def _compare_measurements(exported: Predictions, expected: Predictions, dataset: Dataset) -> None:
    """The scale is made of the network's own energies and residuals, so the exported form has to give the same."""
    for name in ("energies", "residuals"):
        found_N, expected_N = getattr(exported, name), getattr(expected, name)
        if expected_N is None:
            continue
        agrees_N = np.isclose(found_N, expected_N, rtol=MEASURED, atol=MEASURED, equal_nan=True)
        if not agrees_N.all():
            row = int(agrees_N.argmin())
            raise ExportError(
                f"the network's {name} within {MEASURED:.0%} expected; on {np.count_nonzero(~agrees_N):,} of "
                f"{len(agrees_N):,} images of {dataset.name} they differ, first at row {row:,}: "
                f"{expected_N[row]:.4g} expected, {found_N[row]:.4g} found"
            )


def _by_torchscript(shipped: Shipped, example: Tensor) -> bytes:
    content = io.BytesIO()
    with _quietly():
        torch.onnx.export(
            shipped,
            (example,),
            content,  # type: ignore[arg-type]  # it takes a file, too
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=shipped.outputs,
            dynamic_axes={name: {0: "N"} for name in (INPUT, *shipped.outputs)},
        )
    return content.getvalue()


def _by_torch_export(shipped: Shipped, example: Tensor) -> bytes:
    with _quietly():
        program = torch.onnx.export(
            shipped,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=shipped.outputs,
            dynamic_shapes=_any_number(),
            verbose=False,
        )
    assert program is not None
    return bytes(program.model_proto.SerializeToString())


@contextmanager
def _quietly() -> Iterator[None]:
    """Exporters warn of their own deprecation and of what the gate then measures, and print graphs that they refuse."""
    silence_telemetry()  # they may load ONNX Runtime by themselves
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), _without_stdout():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


@contextmanager
def _without_stdout() -> Iterator[None]:
    """Let nothing through to standard output, where ``--json`` is read, not even from the C++ inside of torch."""
    # Under a program without streams there is nothing to keep quiet.
    if sys.stdout is None:
        yield
        return
    sys.stdout.flush()

    # The C++ inside writes to the descriptor, past sys.stdout.
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
        sys.stdout.flush()
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _example(artifact: Artifact) -> Tensor:
    """Two images: a batch of one would be taken for a fixed size."""
    colours = (3,) if artifact.channels == 3 else ()
    return torch.zeros(2, *artifact.image_size, *colours, dtype=torch.uint8)


def _any_number() -> Any:
    """Of images. ``torch.export`` takes a seventh of a second to load and is not needed for a usual training."""
    return ({0: torch.export.Dim("N", min=1)},)


def _first_line(error: Exception) -> str:
    text = str(error).strip().split("\n")[0]
    return text if isinstance(error, ExportError) else f"{type(error).__name__}: {text}"
