"""A `Dataset` as PyTorch's data loaders want it; imported only by `Dataset.as_torch`, for torch is slow."""

import torch
import torch.utils.data

from fittingroom.data.dataset import Dataset
from fittingroom.errors import DataError


class TorchDataset(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """Map-style data set of (float32 image 1×H×W in 0–1, label). Picklable, for loaders with workers."""

    def __init__(self, dataset: Dataset) -> None:
        if dataset.labels is None:
            raise DataError(f"{dataset.name}: labels expected, none found: as_torch gives (image, label)")
        self.images = dataset.images
        self.labels = dataset.labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """Return (float32 image 1×H×W in 0–1, label)."""
        image_1HW = torch.from_numpy(self.images[index].astype("float32"))[None]
        return image_1HW / 255, int(self.labels[index])
