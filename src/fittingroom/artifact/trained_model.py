"""A trained model as a PyTorch module that takes pixels, as ``model.onnx`` does."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fittingroom.artifact.artifact import Artifact
from fittingroom.errors import DataError
from fittingroom.models.tensors import change_gaps, normalize


class TrainedModel(nn.Module):
    """Pixels of 0–255 in, probabilities out: normalization, network and temperature, as in ``model.onnx``.

    It is in evaluation mode, and its weights can be trained further. :attr:`network` is the network alone, which wants
    pixels that are normalized already, as :meth:`normalized` makes them, and gives logits.

    Attributes:
        network: float32 (N, 1, H, W) or (N, 3, H, W), normalized → logits (N, C).
        classes: names; the index is the label.
        image_shape: of one image: (H, W), or (H, W, 3) in colour.
        normalization: what pixels of 0–255 go through first.
        temperature: by which their distances from the largest logit are changed.
    """

    def __init__(self, artifact: Artifact, network: nn.Module):
        super().__init__()
        self.network = network
        self.classes = artifact.classes
        self.image_shape = (*artifact.image_size, 3) if artifact.channels == 3 else artifact.image_size
        self.normalization = artifact.normalization
        self.temperature = artifact.temperature

    def normalized(self, images: Tensor) -> Tensor:
        """What the network is fed: float32 (N, 1, H, W) or (N, 3, H, W).

        Args:
            images: uint8 (N, H, W) or, in colour, (N, H, W, 3), or with the axis of the channels in PyTorch's place.

        Raises:
            DataError: another dtype or shape; of floats it can't be told what was done to them.
        """
        channels = self.image_shape[2] if len(self.image_shape) == 3 else 1
        height, width = self.image_shape[:2]
        if images.ndim == 4 and images.shape[1:] == (channels, height, width):
            images = images[:, 0] if channels == 1 else images.permute(0, 2, 3, 1)
        if images.dtype != torch.uint8 or images.shape[1:] != self.image_shape:
            expected = ", ".join(map(str, self.image_shape))
            hint = ""
            if images.is_floating_point():
                hint = "; floats of 0–1 become it by (255 * images).round().to(torch.uint8)"
            raise DataError(
                f"images: uint8 (N, {expected}) of 0–255 expected, {images.dtype} {tuple(images.shape)} found{hint}"
            )
        return normalize(images, self.normalization.mean, self.normalization.std)

    def logits(self, images: Tensor) -> Tensor:
        """The network's own outputs, float32 (N, C), before the temperature; takes what :meth:`normalized` takes."""
        logits_NC: Tensor = self.network(self.normalized(images)).float()
        return logits_NC

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities float32 (N, C), each row summing to 1; takes what :meth:`normalized` takes."""
        changed_NC = change_gaps(self.logits(images), self.temperature.value, self.temperature.exponent)
        return changed_NC.softmax(dim=1)
