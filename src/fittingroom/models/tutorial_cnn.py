"""The tutorial notebook's network: three convolutions with batch norm and ReLU, two poolings, one linear layer."""

from torch import Tensor, nn

from fittingroom.errors import RecipeError

SMALLEST = 12  # pixels a side: smaller ones leave nothing after the last pooling


class TutorialCNN(nn.Module):
    """The notebook's CNN, layer for layer: 39,786 parameters for 28×28 images and ten classes.

    PyTorch's default initialisation. At 28×28 the shapes are 16×14×14 after the first pooling, 64×5×5 after the second.

    Args:
        num_classes: size of the output, ≥ 2.
        image_size: (H, W) of the input in pixels, each ≥ 12; smaller ones raise :class:`RecipeError`.
        in_channels: 1 for grey images, as the notebook's; 3 for colour.
    """

    def __init__(self, num_classes: int = 10, image_size: tuple[int, int] = (28, 28), in_channels: int = 1):
        super().__init__()
        if min(image_size) < SMALLEST:
            given = "×".join(map(str, image_size))
            raise RecipeError(
                f"model tutorial: images of ≥ {SMALLEST} pixels a side expected, {given} given: "
                "`size` makes them larger"
            )
        self.layer1 = _convolution(in_channels, 16, kernel_size=5, padding=2)
        self.layer2 = _convolution(16, 32, kernel_size=3)
        self.layer3 = _convolution(32, 64, kernel_size=3)
        self.pool = nn.MaxPool2d(2)
        height, width = ((side // 2 - 4) // 2 for side in image_size)
        self.fc = nn.Linear(64 * height * width, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map float (N, in_channels, H, W) to logits (N, num_classes)."""
        x = self.pool(self.layer1(x_NCHW))
        x = self.pool(self.layer3(self.layer2(x)))
        logits_NC: Tensor = self.fc(x.flatten(1))
        return logits_NC


def _convolution(channels_in: int, channels_out: int, *, kernel_size: int, padding: int = 0) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel_size, padding=padding),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )
