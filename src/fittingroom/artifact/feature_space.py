"""How far an image's features are from those of the training images: the residual of the out-of-distribution score.

The features are what enters a network's last linear layer, scaled to length 1: what tells a strange picture from a
known one is their direction; how long they are, the energy knows. The distance is Mahalanobis's to the nearest class's
mean, with one covariance for all classes (Lee, Lee, Lee and Shin 2018, arXiv 1807.03888): in the principal subspace of
the training images it is estimated, and outside it, as in probabilistic PCA (Tipping and Bishop 1999), the same in
every direction. ``benchmarks/ood.py`` has the figures, ``benchmarks/log.md`` what other distances came to.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from fittingroom.artifact.artifact import FEATURE_SPACE
from fittingroom.errors import ArtifactError
from fittingroom.files.atomic import atomic_write
from fittingroom.files.safetensors_header import refuse_large_header

FORMAT = "1"
FIT_IMAGES = 5_000  # of the training's; 10,000 take twice the time and flag no more
MAX_FEATURES = 16_384  # more are pixels rather than features, and their statistics would outweigh the network
MAX_DIRECTIONS = 64  # of the principal subspace: the file stays small beside the weights
IMAGES_PER_DIRECTION = 4  # fewer don't tell a covariance
MAX_NUMBERS = 2**24  # images × features that are looked at: 64 MiB
SHRINKAGE = 0.01  # of the covariance towards the same in every direction
ITERATIONS = 3  # of the subspace iteration


@dataclass(frozen=True, eq=False)
class FeatureSpace:
    """Where the features of the training images lie, C classes among F features and K directions.

    Attributes:
        mean: (F,), of the features of length 1.
        basis: (F, K), orthonormal: the principal subspace, the identity where K is F.
        whitening: (K, K): what is multiplied by it there varies by 1 in each direction within a class.
        centres: (C, K): the classes' means, whitened; classes without an image among those looked at are left out.
        spread: standard deviation in each direction outside the subspace.
    """

    mean: Tensor
    basis: Tensor
    whitening: Tensor
    centres: Tensor
    spread: Tensor

    @classmethod
    def of(cls, features_NF: Tensor, labels_N: Tensor) -> FeatureSpace:
        """Fit it to the features of N training images, float32 (N, F), and their labels, int64 (N,)."""
        units_NF = unit_length(features_NF)
        n, f = units_NF.shape
        mean_F = units_NF.mean(dim=0)
        centred_NF = units_NF - mean_F

        k = max(1, min(f, MAX_DIRECTIONS, n // IMAGES_PER_DIRECTION))
        basis_FK = torch.eye(f) if k == f else _principal_directions(centred_NF, k)
        inside_NK = centred_NF @ basis_FK

        # One covariance for all classes, as few have the images for their own.
        present, rows_N = labels_N.unique(return_inverse=True)
        centres_CK = torch.zeros(len(present), k).index_add_(0, rows_N, inside_NK)
        centres_CK /= rows_N.bincount()[:, None]
        within_NK = inside_NK - centres_CK[rows_N]
        covariance_KK = within_NK.T.double() @ within_NK.double() / n
        variance = covariance_KK.trace() / k
        covariance_KK = (1 - SHRINKAGE) * covariance_KK + (SHRINKAGE * variance + 1e-12) * torch.eye(k).double()
        whitening_KK = torch.linalg.cholesky(torch.linalg.inv(covariance_KK)).float()

        # A direction in which the training images don't vary at all would make rounding a sign of strangeness.
        outside = (centred_NF.square().sum() - inside_NK.square().sum()) / n / max(1, f - k)
        spread = outside.clamp(min=float(SHRINKAGE * variance) + 1e-12).sqrt()
        return cls(mean_F, basis_FK, whitening_KK, centres_CK @ whitening_KK, spread)

    @property
    def features(self) -> int:
        """F: how many enter the layer."""
        return len(self.mean)

    def module(self) -> nn.Module:
        """Features float32 (N, F) → residuals float32 (N,), for an exported graph."""
        return _Residual(self)


class _Residual(nn.Module):
    """The distance in few operators: each takes its time to be loaded with the file, before a picture is answered."""

    mean: Tensor
    basis: Tensor
    spread: Tensor
    weight: Tensor
    bias: Tensor
    centres: Tensor
    squares: Tensor

    def __init__(self, space: FeatureSpace):
        super().__init__()
        f, k = space.basis.shape
        self.has_outside = f > k
        inside = space.basis @ space.whitening
        self.register_buffer("weight", inside.T.contiguous())
        self.register_buffer("bias", -space.mean @ inside)

        # |a - b|² by its parts, without the square of a: of a thousand classes there is no (N, C, K) in memory.
        self.register_buffer("centres", -2 * space.centres)
        self.register_buffer("squares", space.centres.square().sum(dim=1))
        if self.has_outside:
            self.register_buffer("mean", space.mean)
            self.register_buffer("basis", space.basis)
            self.register_buffer("spread", space.spread)

    def forward(self, features_NF: Tensor) -> Tensor:
        units_NF = unit_length(features_NF)
        white_NK = F.linear(units_NF, self.weight, self.bias)
        nearest_N = F.linear(white_NK, self.centres, self.squares).amin(dim=1)
        squares_N = white_NK.square().sum(dim=1) + nearest_N

        if self.has_outside:
            centred_NF = units_NF - self.mean
            outside_NF = centred_NF - (centred_NF @ self.basis) @ self.basis.T
            squares_N = squares_N + (outside_NF / self.spread).square().sum(dim=1)
        residuals_N: Tensor = squares_N.clamp(min=0).sqrt()
        return residuals_N


def unit_length(features_NF: Tensor) -> Tensor:
    """The features scaled to length 1; those that are all 0 stay so."""
    lengths_N1: Tensor = torch.linalg.vector_norm(features_NF, dim=1, keepdim=True)
    return features_NF / lengths_N1.clamp(min=1e-12)


def rows_to_fit(count: int, features: int = 1) -> Tensor:
    """Which of ``count`` images to look at: up to 5,000 from all over, fewer where there are many features."""
    n = max(1, min(count, FIT_IMAGES, MAX_NUMBERS // features))
    return torch.linspace(0, count - 1, n, dtype=torch.float64).long()


class FeatureTap:
    """Reads what enters the last linear layer of a network while that computes.

    Args:
        network: it is looked at, not changed, beyond a hook on that layer.
        example: a batch for which the network is called once, to find the layer.

    Attributes:
        features: F of the layer; None where there is no such layer: none that is called last with (N, F).
    """

    def __init__(self, network: nn.Module, example: Tensor):
        self.features: int | None = None
        self._seen: list[Tensor] = []
        self._hook: RemovableHandle | None = None

        layer = _last_linear(network, example)
        if layer is not None and layer.in_features <= MAX_FEATURES:
            self.features = layer.in_features
            self._hook = layer.register_forward_pre_hook(lambda _layer, inputs: self._keep(inputs[0]))

    def _keep(self, features_NF: Tensor) -> None:
        self._seen[:] = [features_NF]

    def take(self) -> Tensor:
        """What entered the layer at its last call: float32 (N, F)."""
        features_NF = self._seen.pop()
        return features_NF if features_NF.dtype == torch.float32 else features_NF.float()

    def remove(self) -> None:
        """Leave the network as it was."""
        if self._hook is not None:
            self._hook.remove()


def _last_linear(network: nn.Module, example: Tensor) -> nn.Linear | None:
    """The linear layer that is called last, if what enters is one row of features for each image."""
    called: list[tuple[nn.Linear, tuple[int, ...]]] = []
    hooks = [
        layer.register_forward_pre_hook(lambda layer, inputs: called.append((layer, tuple(inputs[0].shape))))
        for layer in network.modules()
        if isinstance(layer, nn.Linear)
    ]
    try:
        with torch.inference_mode():
            network(example)
    finally:
        for hook in hooks:
            hook.remove()

    if not called:
        return None
    layer, shape = called[-1]
    return layer if shape == (len(example), layer.in_features) else None


def _principal_directions(centred_NF: Tensor, k: int) -> Tensor:
    """The K directions of the largest variance: orthonormal (F, K), by subspace iteration (Halko and others 2011)."""
    if centred_NF.shape[1] <= 4 * k:  # small enough to be exact
        directions_FF: Tensor = torch.linalg.eigh(centred_NF.T @ centred_NF)[1]
        return directions_FF[:, -k:].flip(1).contiguous()

    # Random numbers of its own: the same images give the same directions, and nobody else's draws change.
    start = torch.randn(centred_NF.shape[1], k + 8, generator=torch.Generator().manual_seed(0))
    basis: Tensor = torch.linalg.qr(start)[0]
    for _ in range(ITERATIONS):
        basis = torch.linalg.qr(centred_NF.T @ (centred_NF @ basis))[0]
    rotation: Tensor = torch.linalg.eigh((centred_NF @ basis).T @ (centred_NF @ basis))[1]
    return (basis @ rotation[:, -k:].flip(1)).contiguous()


def save_feature_space(folder: Path, space: FeatureSpace, weights: str) -> None:
    """Keep it beside the weights whose SHA-256 is ``weights``, so that an export needs no training images for it."""
    import safetensors.torch

    tensors = {field.name: getattr(space, field.name).contiguous() for field in fields(space)}
    with atomic_write(folder / FEATURE_SPACE, follow_links=False) as file:
        file.write(_with_metadata_in_order(safetensors.torch.save(tensors, {"format": FORMAT, "weights": weights})))


def _with_metadata_in_order(content: bytes) -> bytes:
    """The same file with its metadata sorted: safetensors writes them in an order of chance, and equal runs have equal
    bytes."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    return content[:8] + json.dumps(header, separators=(",", ":")).encode().ljust(end - 8) + content[end:]


def open_feature_space(folder: Path, weights: str) -> FeatureSpace | None:
    """What :func:`save_feature_space` kept for these ``weights``; None where there is none, or one of others.

    Raises:
        ArtifactError: the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / FEATURE_SPACE
    try:
        refuse_large_header(path)
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT or metadata.get("weights") != weights:
                return None
            space = FeatureSpace(**{field.name: file.get_tensor(field.name) for field in fields(FeatureSpace)})
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"{path}: statistics of a network's features expected, they are damaged: {error}") from None

    c, k = space.centres.shape[0], space.whitening.shape[0]
    expected = ((space.features,), (space.features, k), (k, k), (c, k), ())
    found = tuple(tuple(getattr(space, field.name).shape) for field in fields(space))
    if found != expected or not all(bool(getattr(space, field.name).isfinite().all()) for field in fields(space)):
        raise ArtifactError(f"{path}: statistics of a network's features expected, found shapes {found}")
    return space
