import pytest
import torch

from fittingroom.errors import RecipeError
from fittingroom.models import build_model, find_model
from fittingroom.models.residual_cnn import ResidualCNN, _Group
from fittingroom.models.summary import count_parameters


def test_swifts_network_has_59_854_parameters() -> None:
    by_hand = 12 * 9 + 2 * 12 + (32 * 12 + 64 * 32 + 64 * 64) * 9 + 2 * (32 + 64 + 64) + 64 * 10 + 10
    assert count_parameters(ResidualCNN()) == by_hand == 59_854


@pytest.mark.parametrize(
    ("classes", "size", "args"),
    [
        (10, (28, 28), {}),
        (2, (8, 8), {}),
        (1000, (33, 64), {"widths": [8, 16, 24], "depths": [1, 3, 2], "pools": [False, True, True]}),
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


def test_a_group_of_three_adds_what_entered_its_second_convolution() -> None:
    group = _Group(12, 8, 3, pool=False).eval()
    x = torch.rand(2, 12, 6, 6)
    entered = group.first(x).relu()
    chain = group.others[1](group.others[0](entered).relu())
    assert torch.equal(group(x), (chain + entered).relu())
