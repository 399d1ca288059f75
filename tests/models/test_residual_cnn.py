import pytest
import torch

from fittingroom.errors import RecipeError
from fittingroom.models import build_model, find_model
from fittingroom.models.residual_cnn import ResidualCNN
from fittingroom.models.summary import count_parameters


def test_swifts_network_has_61_050_parameters() -> None:
    by_hand = 9 * (16 + 32 * 16 + 64 * 32 + 64 * 64) + 2 * (16 + 32 + 64 + 64) + 64 * 10 + 10
    assert count_parameters(ResidualCNN()) == by_hand == 61_050


@pytest.mark.parametrize(
    ("classes", "size", "args"),
    [
        (10, (28, 28), {}),
        (2, (8, 8), {}),
        (1000, (33, 64), {"widths": [8, 16, 24, 8], "depths": [1, 3, 2, 0], "pools": [False, True, True, False]}),
    ],
)
def test_any_size_that_the_poolings_leave_something_of_fits(
    classes: int, size: tuple[int, int], args: dict[str, object]
) -> None:
    model = build_model(find_model("residual"), num_classes=classes, image_size=size, model_args=args)
    assert model(torch.zeros(3, 1, *size)).shape == (3, classes)


def test_images_that_the_poolings_use_up_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"≥ 8 pixels a side expected, \(7, 28\) given"):
        build_model(find_model("residual"), num_classes=10, image_size=(7, 28))


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(RecipeError, match="one length expected"):
        build_model(find_model("residual"), num_classes=10, image_size=(28, 28), model_args={"widths": [8]})


def test_a_residual_convolution_that_gives_zero_changes_nothing() -> None:
    torch.manual_seed(0)
    with_it = ResidualCNN(widths=[8], depths=[1], pools=[True]).eval()
    without = ResidualCNN(widths=[8], depths=[0], pools=[True]).eval()
    without.load_state_dict(with_it.state_dict(), strict=False)
    x = torch.rand(2, 1, 12, 12)
    assert not torch.equal(with_it(x), without(x))
    torch.nn.init.zeros_(with_it.get_parameter("stages.1.body.0.weight"))
    assert torch.equal(with_it(x), without(x))
