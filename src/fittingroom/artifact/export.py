"""A trained network in the forms that other programs run: ONNX, a torch.export program.

What is exported has preprocessing and temperature inside: uint8 pixels go in; probabilities, label, energy and, where
the network has features to measure, residual come out. Nothing is written before the exported form has agreed with the
network on thousands of images, none of them of the test set.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fittingroom.artifact.artifact import MAX_WEIGHTS, WEIGHTS, Artifact, sha256_of_weights
from fittingroom.artifact.feature_space import open_feature_space, save_feature_space
from fittingroom.artifact.onnx_model import MODEL, Metadata, OnnxModel
from fittingroom.artifact.onnx_runtime import silence_telemetry
from fittingroom.artifact.ood_score import OodScale
from fittingroom.artifact.parity_gate import ExportError, ParityGate
from fittingroom.artifact.shipped import Shipped, answer_in_batches
from fittingroom.data.cut import groups_for_intervals
from fittingroom.data.dataset import Dataset
from fittingroom.errors import ArtifactError, lacks_memory
from fittingroom.evaluation.group_intervals import group_numbers
from fittingroom.evaluation.predictions import Predictions
from fittingroom.files.atomic import atomic_write
from fittingroom.files.run_file import read_run_file, read_run_text

OPSET = 18
INPUT = "images"


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
    _refuse_other_weights(artifact, network)

    # The quicker exporter first; what it gets wrong, the gate shows.
    reasons = []
    for name, convert in (("TorchScript", _by_torchscript), ("torch.export", _by_torch_export)):
        try:
            content = with_metadata(convert(shipped, _example(artifact)), metadata)
            gate.check(OnnxModel(content, threads=torch.get_num_threads()).answer)
        except Exception as error:  # tracing executes the user's own code, which may raise anything
            if isinstance(error, OSError) or lacks_memory(error):
                raise  # the network isn't beyond it, and it can be tried again
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
    metadata = metadata_of(artifact, gate)
    _refuse_other_weights(artifact, network)

    content = io.BytesIO()
    try:
        with _quietly():
            program = torch.export.export(shipped, (_example(artifact),), dynamic_shapes=_any_number())
            torch.export.save(program, content, extra_files=metadata.to_texts())
        module = program.module()
        gate.check(lambda images: answer_in_batches(module, images))
    except Exception as error:  # as above
        if isinstance(error, OSError) or lacks_memory(error):
            raise
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
        ood_scale=ood_scale_of(gate.held_out, gate.held_out_set),
        weights=sha256_of_weights(artifact.path),
        recipe=read_run_text(artifact.path / "recipe.toml", "the recipe of the run"),
        data=artifact.data,
        versions=artifact.versions,
        temperature=artifact.temperature,
        threshold=artifact.threshold,
    )


def _refuse_other_weights(artifact: Artifact, network: nn.Module) -> None:
    """Refuse what would pass for an export of the weights that are in the run's folder now, and is one of others.

    Raises:
        ArtifactError: another run has taken the folder's place since the network was read.
    """
    import safetensors.torch

    stored = safetensors.torch.load(read_run_file(artifact.path / WEIGHTS, "weights", limit=MAX_WEIGHTS))
    ours = network.state_dict()
    if stored.keys() != ours.keys() or any(
        not torch.equal(stored[name].nan_to_num(), ours[name].cpu().nan_to_num()) for name in stored
    ):
        raise ArtifactError(f"{artifact.path}: replaced or written anew while it was exported: ask again")


def ood_scale_of(held_out: Predictions | None, dataset: Dataset | None) -> OodScale | None:
    """The scale by what a model says of its validation images, ``dataset``; None where there are none, or too few."""
    if held_out is None or held_out.energies is None or dataset is None:
        return None
    group_N = group_numbers(groups_for_intervals(dataset))
    groups = 0 if group_N is None else int(group_N.max()) + 1
    return OodScale.of(held_out.energies, held_out.residuals, groups=groups)


def _shipped(artifact: Artifact, network: nn.Module, train: Dataset, *, keep: bool = False) -> Shipped:
    """What is exported, with the feature space that the run keeps beside its weights.

    A run that is just trained has none yet, and one of before 0.2 never had: it is fitted, and with ``keep`` written.
    """
    shipped = Shipped(network, artifact.normalization, artifact.temperature, artifact.threshold)
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
    """The number of images. ``torch.export`` takes a seventh of a second to load: not for each training."""
    return ({0: torch.export.Dim("N", min=1)},)


def _first_line(error: Exception) -> str:
    text = str(error).strip().split("\n")[0]
    return text if isinstance(error, ExportError) else f"{type(error).__name__}: {text}"
