"""A ``Dataset`` as PyTorch's data loaders want it; imported only by ``Dataset.as_torch``, for torch is slow."""

import numpy as np
import torch
import torch.utils.data
from numpy.typing import NDArray


class TorchDataset(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """Map-style data set of (float32 image 1×H×W or 3×H×W in 0–1, label). Picklable, for loaders with workers.

    Attributes:
        images: uint8 (N, H, W) or (N, H, W, 3).
        labels: int64 (N,).
    """

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        self.images = images
        self.labels = labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """(float32 image 1×H×W or 3×H×W in 0–1, label)."""
        pixels = torch.from_numpy(self.images[index].astype("float32"))
        image_CHW = pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()
        return image_CHW / 255, int(self.labels[index])
