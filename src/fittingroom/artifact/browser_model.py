"""A trained model as a page can hold it: its layers as a short list, its weights in half precision, all of it JSON.

``rendering/try_it/network.js`` computes what the list says. NumPy alone reads the weights; nothing is traced or
executed, so only the package's own networks have this form.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.artifact.artifact import FEATURE_SPACE, WEIGHTS, Artifact
from fittingroom.artifact.onnx_model import Metadata
from fittingroom.artifact.ood_score import OodScale, Ranks
from fittingroom.errors import ArtifactError
from fittingroom.files.safetensors_header import refuse_large_header
from fittingroom.recipes.residual_args import (
    BLOCK_LAYERS,
    DEPTHS,
    FIXED_STEM,
    MIRROR_AVERAGE,
    POOLS,
    SHIFT_AVERAGE,
    WIDTHS,
)

MAX_PARAMETERS = 500_000  # of a model that a page holds: 1.3 MB of text
NORM_EPSILON = 1e-5  # PyTorch's default, which the package's networks keep

Layer = dict[str, Any]
Weights = Mapping[str, NDArray[np.float32]]


def browser_model(artifact: Artifact, metadata: Metadata) -> dict[str, Any]:
    """What ``network.js`` and ``picture.js`` need, as plain values.

    Args:
        artifact: the model; its weights are read from its folder.
        metadata: of its ``model.onnx``, which has what a picture is laid on and the out-of-distribution scale.

    Returns:
        ``classes``, ``size`` (H, W), ``channels``, ``preprocessing``, ``background``, ``mean`` and ``std`` on the scale
        of 0–255, ``temperature``, ``exponent``, ``calibratedOn`` (validation images; None where it isn't),
        ``threshold``, ``layers``, ``space`` and ``scale`` (each None where there is none).

    Raises:
        ArtifactError: a network with layers of its own, a larger one, or weights that are damaged.
    """
    build = _BUILDERS.get(artifact.model) if artifact.code_sha256 is None else None
    if build is None:
        raise ArtifactError(f"model {artifact.model} has layers of its own, which a page can't compute")
    if artifact.parameters > MAX_PARAMETERS:
        raise ArtifactError(
            f"model {artifact.model} has {artifact.parameters:,} parameters; a page holds up to {MAX_PARAMETERS:,}"
        )

    path = artifact.path / WEIGHTS
    try:
        layers = build(_read(path), artifact.model_args)
    except (KeyError, ValueError, IndexError, TypeError, AttributeError, OverflowError) as error:
        raise ArtifactError(f"{path}: the weights of model {artifact.model} expected: {error}") from None

    scale = metadata.ood_scale
    return {
        "classes": list(artifact.classes),
        "size": list(artifact.image_size),
        "channels": artifact.channels,
        "preprocessing": artifact.preprocessing.as_dict(),
        "background": metadata.background,
        "mean": artifact.normalization.mean,
        "std": artifact.normalization.std,
        "temperature": artifact.temperature.value,
        "exponent": artifact.temperature.exponent,
        "calibratedOn": artifact.temperature.n or None,
        "threshold": artifact.threshold and {"label": artifact.threshold.label, "value": artifact.threshold.value},
        "layers": layers,
        "space": _space(artifact) if scale and scale.residual else None,
        "scale": scale and _scale(scale),
    }


# ── networks ─────────────────────────────────────────────────────────────────────────────────────────────────


def _residual_layers(weights: Weights, model_args: Mapping[str, Any]) -> list[Layer]:
    """The layers of :class:`~fittingroom.models.residual_cnn.ResidualCNN`."""
    widths, depths = model_args.get("widths", WIDTHS), model_args.get("depths", DEPTHS)
    pools = model_args.get("pools", POOLS)
    strides = model_args.get("strides") or [1] * len(widths)
    block_layers = model_args.get("block_layers", BLOCK_LAYERS)

    layers: list[Layer] = []
    place = 0  # among the network's ``stages``, where blocks stand beside the convolutions that widen
    for depth, pool, stride in zip(depths, pools, strides, strict=True):
        if place == 0 and model_args.get("fixed_stem", FIXED_STEM):
            responses = weights["stages.0.responses"]
            # patterns stand at the four places of a window; those of the first are the patterns themselves
            layers.append({"op": "extremes", "patterns": _full(responses[: len(responses) // 4, :, :3, :3])})
        else:
            layers += _convolution(weights, f"stages.{place}", 0, stride=stride, pool=pool)
        place += 1

        for _ in range(depth):
            body = [
                layer
                for i in range(block_layers)
                for layer in _convolution(weights, f"stages.{place}.body", 4 * i, stride=1, pool=False)
            ]
            layers.append({"op": "add", "body": body})
            place += 1
    layers.append({"op": "max"})
    if model_args.get("shift_average", SHIFT_AVERAGE):
        layers = [{"op": "moved", "body": layers}]
    if model_args.get("mirror_average", MIRROR_AVERAGE):
        layers = [{"op": "both_ways", "body": layers}]
    return [*layers, _linear(weights, "head")]


def _tutorial_layers(weights: Weights, _model_args: Mapping[str, Any]) -> list[Layer]:
    """The layers of :class:`~fittingroom.models.tutorial_cnn.TutorialCNN`."""
    first, second, third = (
        _folded(weights, f"layer{i}.0", f"layer{i}.1", stride=1, pad=pad) for i, pad in ((1, 2), (2, 0), (3, 0))
    )
    relu, pool = {"op": "relu"}, {"op": "pool"}
    return [first, relu, pool, second, relu, third, relu, pool, {"op": "flatten"}, _linear(weights, "fc")]


_BUILDERS = {"residual": _residual_layers, "tutorial": _tutorial_layers}


def _convolution(weights: Weights, prefix: str, first: int, *, stride: int, pool: bool) -> list[Layer]:
    """Convolution, perhaps pooling, batch norm, ReLU: four modules from number ``first`` of a sequence."""
    convolution, norm = f"{prefix}.{first}", f"{prefix}.{first + 2}"
    if not pool:
        return [_folded(weights, convolution, norm, stride=stride, pad=1), {"op": "relu"}]

    # A factor below 0 turns the largest of a window into the least: it can't go into the filters.
    scale, shift = _norm(weights, norm)
    plain = {"op": "conv", "weight": _half(weights[f"{convolution}.weight"]), "bias": None, "stride": stride, "pad": 1}
    return [plain, {"op": "pool"}, {"op": "scale", "scale": _full(scale), "shift": _full(shift)}, {"op": "relu"}]


def _folded(weights: Weights, convolution: str, norm: str, *, stride: int, pad: int) -> Layer:
    """A convolution with the batch norm that follows it in its filters."""
    scale, shift = _norm(weights, norm)
    filters = weights[f"{convolution}.weight"] * scale[:, None, None, None]
    bias = weights.get(f"{convolution}.bias", np.zeros_like(shift)) * scale + shift
    return {"op": "conv", "weight": _half(filters), "bias": _full(bias), "stride": stride, "pad": pad}


def _norm(weights: Weights, name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Batch norm by its running statistics: what channels are multiplied by, and what is added then."""
    scale = weights[f"{name}.weight"] / np.sqrt(weights[f"{name}.running_var"] + NORM_EPSILON)
    return scale, weights[f"{name}.bias"] - weights[f"{name}.running_mean"] * scale


def _linear(weights: Weights, name: str) -> Layer:
    return {"op": "linear", "weight": _half(weights[f"{name}.weight"]), "bias": _full(weights[f"{name}.bias"])}


# ── how strange a picture is ─────────────────────────────────────────────────────────────────────────────────


def _space(artifact: Artifact) -> dict[str, Any]:
    """The numbers of the exported residual, see :mod:`fittingroom.artifact.feature_space`."""
    space = _read(artifact.path / FEATURE_SPACE)
    mean, basis, centres = space["mean"], space["basis"], space["centres"]
    inside = basis @ space["whitening"]
    has_outside = basis.shape[0] > basis.shape[1]
    return {
        "weight": _half(inside.T),
        "bias": _full(-mean @ inside),
        "centres": _full(-2 * centres),
        "squares": _full((centres**2).sum(axis=1)),
        "outside": {"mean": _full(mean), "basis": _half(basis.T), "spread": float(space["spread"])}
        if has_outside
        else None,
    }


def _scale(scale: OodScale) -> dict[str, Any]:
    """How strange an image is, by at most 158 of the values that ``predict`` goes by, the 100 strangest among them:
    all take 19 KB more.
    """
    last = len(scale.energy.values) - 1
    rows = np.unique(np.r_[np.arange(min(100, last)), np.linspace(min(100, last), last, 58).astype(int)])
    return {
        "n": scale.n,
        "groups": scale.groups,
        "counts": [0, *scale.energy.counts[rows + 1].astype(int).tolist()],
        "energy": _ranks(scale.energy, rows),
        "residual": scale.residual and _ranks(scale.residual, rows),
        "joined": scale.joined and _ranks(scale.joined, rows),
    }


def _ranks(ranks: Ranks, rows: NDArray[np.int64]) -> dict[str, Any]:
    return _full(ranks.values[rows])


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────


def _read(path: Any) -> dict[str, NDArray[np.float32]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        refuse_large_header(path)
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"{path}: a safetensors file expected: {error}") from None


def _half(array: NDArray[np.float32]) -> dict[str, Any]:
    """Weights: rounding to 11 bits moves a probability by less than 0.003. Those of a wrecked training stay whole."""
    if np.abs(array).max(initial=0) > float(np.finfo(np.float16).max):
        return _full(array)
    return {"shape": list(array.shape), "f2": _text(array.astype("<f2"))}


def _full(array: NDArray[np.float32]) -> dict[str, Any]:
    return {"shape": list(array.shape), "f4": _text(array.astype("<f4"))}


def _text(array: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
