"""A small convolutional network without batch norm, whose result doesn't depend on how a batch is cut."""

from torch import nn


class Net(nn.Sequential):
    def __init__(self, num_classes: int, image_size: tuple[int, int], dropout: float = 0.0):
        height, width = image_size
        super().__init__(
            nn.Conv2d(1, 8, 4, stride=4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(8 * (height // 4) * (width // 4), num_classes),
        )
