import math

import pytest
import torch
from torch import nn

from fittingroom.errors import RecipeError
from fittingroom.models import build_model, find_model
from fittingroom.models.summary import count_parameters
from fittingroom.models.tutorial_cnn import TutorialCNN


def test_it_is_the_notebooks_layer_for_layer() -> None:
    leaves = [module for module in TutorialCNN().modules() if not any(module.children())]
    convolutions = [layer for layer in leaves if isinstance(layer, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels, c.kernel_size[0], c.padding) for c in convolutions] == [
        (1, 16, 5, (2, 2)),
        (16, 32, 3, (0, 0)),
        (32, 64, 3, (0, 0)),
    ]
    assert [layer.num_features for layer in leaves if isinstance(layer, nn.BatchNorm2d)] == [16, 32, 64]
    assert [(layer.in_features, layer.out_features) for layer in leaves if isinstance(layer, nn.Linear)] == [(1600, 10)]


def test_it_has_39_786_parameters() -> None:
    assert count_parameters(TutorialCNN()) == 39_786


@pytest.mark.parametrize(
    ("classes", "size"), [(10, (28, 28)), (2, (12, 12)), (26, (32, 20)), (1000, (13, 64)), (7, (28, 29))]
)
def test_any_number_of_classes_and_any_size_from_12_fits(classes: int, size: tuple[int, int]) -> None:
    model = build_model(find_model("tutorial"), num_classes=classes, image_size=size)
    assert model(torch.zeros(3, 1, *size)).shape == (3, classes)


def test_images_too_small_for_it_are_refused_with_their_size() -> None:
    with pytest.raises(RecipeError, match=r"≥ 12 pixels a side expected, 8×8 given: `size` makes"):
        build_model(find_model("tutorial"), num_classes=10, image_size=(8, 8))


def test_initialisation_is_pytorchs_and_follows_the_seed() -> None:
    torch.manual_seed(3)
    model = TutorialCNN()
    torch.manual_seed(3)
    plain = nn.Conv2d(1, 16, 5, padding=2)  # the first thing that either draws
    assert torch.equal(next(model.parameters()), plain.weight)
    bound = 1 / math.sqrt(1600)
    assert 0.9 * bound < model.fc.weight.abs().max() <= bound


def test_output_is_logits_and_not_probabilities() -> None:
    torch.manual_seed(0)
    logits = TutorialCNN()(torch.randn(8, 1, 28, 28))
    assert (logits < 0).any()
    assert logits.requires_grad
