import pytest
import torch
from torch import Tensor, nn

from fittingroom.models.summary import LayerRow, count_parameters, summarize
from fittingroom.models.tutorial_cnn import TutorialCNN


def test_tutorial_cnn_has_the_figures_worked_out_by_hand() -> None:
    rows = summarize(TutorialCNN(), (28, 28))
    assert rows == [
        LayerRow("layer1.0", "Conv2d", (16, 28, 28), 5 * 5 * 16 + 16, 313_600),  # 25 · 16 · 28²
        LayerRow("layer1.1", "BatchNorm2d", (16, 28, 28), 32, 0),
        LayerRow("layer1.2", "ReLU", (16, 28, 28), 0, 0),
        LayerRow("pool", "MaxPool2d", (16, 14, 14), 0, 0),
        LayerRow("layer2.0", "Conv2d", (32, 12, 12), 16 * 9 * 32 + 32, 663_552),  # 16 · 9 · 32 · 12²
        LayerRow("layer2.1", "BatchNorm2d", (32, 12, 12), 64, 0),
        LayerRow("layer2.2", "ReLU", (32, 12, 12), 0, 0),
        LayerRow("layer3.0", "Conv2d", (64, 10, 10), 32 * 9 * 64 + 64, 1_843_200),  # 32 · 9 · 64 · 10²
        LayerRow("layer3.1", "BatchNorm2d", (64, 10, 10), 128, 0),
        LayerRow("layer3.2", "ReLU", (64, 10, 10), 0, 0),
        LayerRow("pool", "MaxPool2d", (64, 5, 5), 0, 0),
        LayerRow("fc", "Linear", (10,), 1600 * 10 + 10, 16_000),
    ]
    assert sum(row.parameters for row in rows) == 39_786
    assert sum(row.multiply_adds for row in rows) == 2_836_352


@pytest.mark.parametrize(
    ("layer", "multiply_adds"),
    [
        (nn.Conv2d(1, 4, 3, groups=1, stride=2, padding=1), 9 * 4 * 4 * 4),
        (nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 3, padding=1, groups=4)), 4 * 64 + 9 * 4 * 64),
        (nn.Linear(8, 3), 8 * 8 * 3),  # on each of 8 rows
    ],
)
def test_multiply_adds_count_strides_groups_and_positions(layer: nn.Module, multiply_adds: int) -> None:
    assert sum(row.multiply_adds for row in summarize(layer, (8, 8))) == multiply_adds


def test_colour_counts_three_channels_of_the_first_layer() -> None:
    first, *_ = summarize(TutorialCNN(in_channels=3), (28, 28), 3)
    assert first == LayerRow("layer1.0", "Conv2d", (16, 28, 28), 3 * 5 * 5 * 16 + 16, 3 * 313_600)


def test_a_layer_that_gives_several_tensors_is_listed_by_its_first() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(8, 5, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            sequence: Tensor = self.rnn(x.squeeze(1))[0]
            return sequence[:, -1]

    (row,) = summarize(Recurrent(), (8, 8))
    assert (row.kind, row.output_shape) == ("GRU", (8, 5))


@pytest.mark.parametrize("training", [True, False])
def test_a_summary_leaves_the_model_as_it_was(training: bool) -> None:
    model = TutorialCNN().train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    summarize(model, (28, 28))
    assert model.training == training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_shared_parameters_are_counted_once_and_buffers_never() -> None:
    shared = nn.Linear(4, 4)
    assert count_parameters(nn.Sequential(shared, nn.BatchNorm1d(4), shared)) == 20 + 8
