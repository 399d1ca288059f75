"""A ``Dataset`` as PyTorch's data loaders want it; imported only by ``Dataset.as_torch``, for torch is slow."""

import numpy as np
import torch
import torch.utils.data
from numpy.typing import NDArray


class TorchDataset(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """Map-style data set of (float32 image 1×H×W in 0–1, label). Picklable, for loaders with workers.

    Attributes:
        images: uint8 (N, H, W).
        labels: int64 (N,).
    """

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        self.images = images
        self.labels = labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """(float32 image 1×H×W in 0–1, label)."""
        image_1HW = torch.from_numpy(self.images[index].astype("float32"))[None]
        return image_1HW / 255, int(self.labels[index])
