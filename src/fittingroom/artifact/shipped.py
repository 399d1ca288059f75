"""What is exported: a network with what its pixels go through and what its logits become."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fittingroom.artifact.feature_space import FeatureSpace, FeatureTap, rows_to_fit
from fittingroom.artifact.onnx_model import BATCH, OUTPUTS
from fittingroom.data.dataset import Dataset
from fittingroom.data.normalization import Normalization
from fittingroom.evaluation.predictions import Predictions
from fittingroom.evaluation.temperature import UNCALIBRATED, Temperature
from fittingroom.evaluation.threshold import Threshold
from fittingroom.models.tensors import as_tensor, change_gaps, normalize


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
        temperature: Temperature = UNCALIBRATED,
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
        temperature = self.temperature
        probabilities_NC = change_gaps(logits_NC, temperature.value, temperature.exponent).softmax(dim=1)
        said = probabilities_NC, self._labels(logits_NC, probabilities_NC), -logits_NC.logsumexp(dim=1)
        return said if self.residual is None else (*said, self.residual(features_NF))

    def _labels(self, logits_NC: Tensor, probabilities_NC: Tensor) -> Tensor:
        if self.threshold is None:
            return logits_NC.argmax(dim=1)
        is_label_N = (probabilities_NC[:, self.threshold.label] >= self.threshold.value).long()
        return is_label_N if self.threshold.label == 1 else 1 - is_label_N

    def answer(self, images: NDArray[np.uint8], device: str = "cpu") -> Predictions:
        """The same for any number of images, 0 too, in batches; ``device`` says where it was moved to."""
        return answer_in_batches(self, images, device)

    @torch.inference_mode()
    def answer_rows(self, train: Dataset, rows: NDArray[np.int64]) -> Predictions:
        """The same for rows of ``train``. Those that a feature space was fitted to aren't computed a second time."""
        if self._fitted_to is not None and np.array_equal(self._fitted_to[0], rows):
            return Predictions(*(part.numpy() for part in self._said(*self._fitted_to[1:])))
        return self.answer(train.images[rows])


@torch.inference_mode()
def answer_in_batches(module: nn.Module, images: NDArray[np.uint8], device: str = "cpu") -> Predictions:
    """What a module that takes pixels says of any number of images, a batch at a time."""
    parts = [module(batch.to(device)) for batch in as_tensor(images).split(BATCH)]
    return Predictions(*(torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True)))
