import numpy as np
import pytest
import torch
from torch.nn import functional as F

import fittingroom as fr
from fittingroom.errors import RecipeError
from fittingroom.models import build_model, find_model
from fittingroom.models.residual_cnn import PatternExtremes, ResidualCNN, colour_patterns, cosine_patterns
from fittingroom.models.summary import count_parameters
from tests.support.photo_patches import photo_patches


def test_its_parameters_are_those_of_its_layers() -> None:
    by_hand = 9 * (16 + 32 * 16 + 64 * 32 + 64 * 64) + 2 * (16 + 32 + 64 + 64) + 64 * 10 + 10
    assert count_parameters(ResidualCNN()) == by_hand == 61_050
    assert count_parameters(ResidualCNN(fixed_stem=True)) == by_hand - 9 * 16 - 2 * 16


@pytest.mark.parametrize(
    ("classes", "size", "args"),
    [
        (10, (28, 28), {}),
        (2, (8, 8), {}),
        (10, (28, 28), {"fixed_stem": True}),
        (10, (8, 9), {"fixed_stem": True, "pools": [True, False, True], "strides": [1, 2, 1]}),
        (1000, (33, 64), {"widths": [8, 16, 24, 8], "depths": [1, 3, 2, 0], "pools": [False, True, True, False]}),
    ],
)
def test_any_size_that_the_poolings_leave_something_of_fits(
    classes: int, size: tuple[int, int], args: dict[str, object]
) -> None:
    model = build_model(find_model("residual"), num_classes=classes, image_size=size, model_args=args)
    assert model(torch.zeros(3, 1, *size)).shape == (3, classes)


@pytest.mark.parametrize("fixed_stem", [False, True])
def test_colour_takes_no_more_than_wider_first_filters(fixed_stem: bool) -> None:
    args = {"fixed_stem": fixed_stem}
    colour = build_model(find_model("residual"), num_classes=4, image_size=(9, 12), channels=3, model_args=args)
    assert colour(torch.zeros(2, 3, 9, 12)).shape == (2, 4)
    grey = build_model(find_model("residual"), num_classes=4, image_size=(9, 12), model_args=args)
    assert count_parameters(colour) - count_parameters(grey) == (0 if fixed_stem else 2 * 9 * 16)


def test_images_that_the_poolings_use_up_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"≥ 8 pixels a side expected, 7×28 given: `size` makes"):
        build_model(find_model("residual"), num_classes=10, image_size=(7, 28))


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(RecipeError, match="one length expected"):
        build_model(find_model("residual"), num_classes=10, image_size=(28, 28), model_args={"widths": [8]})


@pytest.mark.parametrize("image_size", [(28, 28), (9, 12)])
def test_with_mirror_average_an_answer_is_the_mean_of_those_to_the_image_and_its_mirror_image(
    image_size: tuple[int, int],
) -> None:
    args = {"widths": [8, 16], "depths": [1, 1], "pools": [True, False]}
    torch.manual_seed(0)
    alone = ResidualCNN(image_size=image_size, **args)  # type: ignore[arg-type]
    both = ResidualCNN(image_size=image_size, mirror_average=True, **args)  # type: ignore[arg-type]
    both.load_state_dict(alone.state_dict())
    x = torch.rand(5, 1, *image_size)
    torch.testing.assert_close(both.train()(x), alone.train()(x))  # what learns is the same

    expected = (alone.eval()(x) + alone(x.flip(3))) / 2
    torch.testing.assert_close(both.eval()(x), expected)
    torch.testing.assert_close(both(x.flip(3)), expected)
    assert not torch.allclose(alone(x), expected)


def test_with_shift_average_an_answer_is_the_mean_over_moves_by_a_pixel_and_their_mirror_images() -> None:
    args = {"widths": [8, 16], "depths": [1, 1], "pools": [True, False]}
    torch.manual_seed(0)
    alone = ResidualCNN(image_size=(9, 12), **args)  # type: ignore[arg-type]
    moving = ResidualCNN(image_size=(9, 12), mirror_average=True, shift_average=True, **args)  # type: ignore[arg-type]
    moving.load_state_dict(alone.state_dict())
    x = torch.rand(5, 1, 9, 12)
    torch.testing.assert_close(moving.train()(x), alone.train()(x))  # what learns is the same

    up, down = x[:, :, [*range(1, 9), 8]], x[:, :, [0, *range(8)]]
    left, right = x[..., [*range(1, 12), 11]], x[..., [0, *range(11)]]
    answers = [alone.eval()(view) for moved in (x, up, down, left, right) for view in (moved, moved.flip(3))]
    torch.testing.assert_close(moving.eval()(x), torch.stack(answers).mean(0))


def test_a_residual_convolution_that_gives_zero_changes_nothing() -> None:
    torch.manual_seed(0)
    with_it = ResidualCNN(widths=[8], depths=[1], pools=[True]).eval()
    without = ResidualCNN(widths=[8], depths=[0], pools=[True]).eval()
    without.load_state_dict(with_it.state_dict(), strict=False)
    x = torch.rand(2, 1, 12, 12)
    assert not torch.equal(with_it(x), without(x))
    torch.nn.init.zeros_(with_it.get_parameter("stages.1.body.0.weight"))
    assert torch.equal(with_it(x), without(x))


def test_a_fixed_stem_is_convolution_with_patterns_and_their_negatives_and_pooling() -> None:
    x = torch.randn(5, 1, 13, 28)
    patterns = cosine_patterns(9).unsqueeze(1)
    pooled = F.max_pool2d(F.conv2d(x, torch.cat([patterns, -patterns]), padding=1), 2)
    largest, negative_least = pooled.chunk(2, dim=1)
    expected = torch.cat([largest, -negative_least], dim=1)
    assert torch.allclose(PatternExtremes(18)(x), expected, atol=1e-5)
    assert torch.allclose(PatternExtremes(18).by_pooling(x), expected, atol=1e-5)  # as it goes into model.onnx


def test_the_patterns_of_a_fixed_stem_are_orthogonal_and_begin_with_the_mean() -> None:
    patterns = F.normalize(cosine_patterns(9).flatten(1))
    assert torch.allclose(patterns @ patterns.T, torch.eye(9), atol=1e-6)
    assert patterns[0].std() < 1e-6


def test_the_maps_of_a_fixed_stem_vary_by_about_one_on_real_images() -> None:
    images = torch.tensor(np.array(fr.open_dataset("sample").train.images), dtype=torch.float32).unsqueeze(1)
    maps = PatternExtremes(16)((images - images.mean()) / images.std())
    assert ((maps.std(dim=(0, 2, 3)) > 0.7) & (maps.std(dim=(0, 2, 3)) < 1.5)).all()


def test_a_fixed_stem_for_colour_is_convolution_with_patterns_and_their_negatives_and_pooling() -> None:
    x = torch.randn(5, 3, 13, 28)
    patterns = colour_patterns(8)
    pooled = F.max_pool2d(F.conv2d(x, torch.cat([patterns, -patterns]), padding=1), 2)
    largest, negative_least = pooled.chunk(2, dim=1)
    expected = torch.cat([largest, -negative_least], dim=1)
    assert torch.allclose(PatternExtremes(16, 3)(x), expected, atol=1e-5)
    assert torch.allclose(PatternExtremes(16, 3).by_pooling(x), expected, atol=1e-5)


def test_the_patterns_for_colour_are_orthogonal_and_see_grey_as_those_for_grey_do() -> None:
    patterns = F.normalize(colour_patterns(27).flatten(1))
    assert torch.allclose(patterns @ patterns.T, torch.eye(27), atol=1e-6)

    # A grey picture in three equal channels: the brightness as ever, and no colour.
    grey = torch.randn(2, 1, 8, 8)
    responses = F.conv2d(grey.expand(-1, 3, -1, -1), colour_patterns(8))
    of_grey = F.conv2d(grey, cosine_patterns(6).unsqueeze(1))
    is_colour = responses.abs().amax(dim=(0, 2, 3)) < 1e-5
    assert is_colour.sum() == 2
    torch.testing.assert_close(responses[:, ~is_colour], of_grey)


def test_the_maps_of_a_fixed_stem_vary_by_about_one_on_real_photographs() -> None:
    images = torch.from_numpy(np.array(photo_patches(400, side=32).images)).permute(0, 3, 1, 2).float()
    mean, std = images.mean(dim=(0, 2, 3), keepdim=True), images.std(dim=(0, 2, 3), keepdim=True)
    maps = PatternExtremes(16, 3)((images - mean) / std)
    assert ((maps.std(dim=(0, 2, 3)) > 0.3) & (maps.std(dim=(0, 2, 3)) < 1.5)).all()


def test_nothing_in_a_fixed_stem_is_learned() -> None:
    model = ResidualCNN(widths=[18, 16], depths=[0, 0], pools=[True, True], fixed_stem=True)
    assert all(name.startswith(("stages.1.", "head.")) for name, _ in model.named_parameters())
    assert "stages.0.responses" in model.state_dict()  # the file of weights is the whole network


def test_a_fixed_stem_of_another_number_of_channels_says_what_to_do() -> None:
    with pytest.raises(RecipeError, match=r"1 or 3 channels expected, 4 given; set model_args\.fixed_stem = false"):
        ResidualCNN(in_channels=4, fixed_stem=True)


@pytest.mark.parametrize("width", [15, 20])
def test_a_fixed_stem_of_another_width_than_its_patterns_is_refused(width: int) -> None:
    with pytest.raises(RecipeError, match=f"even first width of 2–18 expected, {width} given"):
        ResidualCNN(widths=[width], depths=[0], pools=[True], fixed_stem=True)


@pytest.mark.parametrize(("pool", "stride"), [(False, 1), (True, 2)])
def test_a_fixed_stem_that_is_not_to_pool_is_refused(pool: bool, stride: int) -> None:
    with pytest.raises(RecipeError, match="fixed_stem pools"):
        ResidualCNN(widths=[16], depths=[0], pools=[pool], strides=[stride], fixed_stem=True)
