"""What ``precision = "auto"`` comes to: a function of hardware, PyTorch and network, which no clock has a part in."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import fittingroom as fr
from fittingroom.models import ModelSource, find_model
from fittingroom.training.bf16_kinds import BF16_TIME
from fittingroom.training.precision import convolutions, refuse_without_bf16, resolve_precision


@pytest.fixture
def with_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    monkeypatch.setattr("fittingroom.training.precision.SINCE_TORCH", (2, 0))


@pytest.fixture
def without_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    for flag in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, flag, lambda: False, raising=False)


def recipe(**changes: object) -> fr.Recipe:
    """For the tests' own networks: naming one leaves out the arguments of the recipe's."""
    changes = {"model": "tutorial"} | changes
    return fr.load_recipe("plain", overrides=[f"{key}={value}" for key, value in changes.items()])


def resolved(construct: Callable[..., nn.Module], **changes: object) -> tuple[str, str]:
    source = ModelSource("net.py:Net", construct)
    found = resolve_precision(recipe(**changes), source, 10, (28, 28), "cpu")
    return found.name, found.reason


class Net(nn.Module):
    """A convolution of an image, then ``layers``, then the classes."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), *layers)
        self.head = nn.LazyLinear(10)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.layers(x).mean(dim=(2, 3)))
        return out


class Functional(nn.Module):
    """A network that convolves by a function, so that none of its modules is a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.Parameter(torch.zeros(10, 1, 3, 3))
        self.depthwise = nn.Parameter(torch.zeros(10, 1, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(x, self.filters), self.depthwise, stride=2, groups=10).mean(dim=(2, 3))


def test_a_recipe_that_names_its_precision_gets_it() -> None:
    for precision in ("float32", "bf16"):
        assert (
            resolve_precision(recipe(precision=precision), find_model("tutorial"), 10, (28, 28), "cpu").name
            == precision
        )


@pytest.mark.usefixtures("without_bf16")
def test_without_bf16_in_hardware_auto_is_float32() -> None:
    found = resolve_precision(recipe(), find_model("tutorial"), 10, (28, 28), "cpu")
    assert (found.name, found.emulated) == ("float32", False)
    assert "doesn't compute in bf16" in found.reason


@pytest.mark.usefixtures("with_bf16")
@pytest.mark.parametrize("name", ["swift", "steady", "plain", "compact", "strong", "tiny"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_recipes_of_the_package_gain_by_bf16(name: str, channels: int) -> None:
    recipe = fr.load_recipe(name)
    found = resolve_precision(recipe, find_model(recipe.model), 10, (28, 28), "cpu", channels=channels)
    assert found.name == "bf16", found.reason


@pytest.mark.usefixtures("with_bf16")
def test_a_kind_that_is_slow_or_not_known_settles_it_for_float32() -> None:
    assert resolved(lambda: Net(nn.Conv2d(32, 64, 3)))[0] == "bf16"

    precision, reason = resolved(lambda: Net(nn.Conv2d(32, 32, 3, stride=2, groups=32), nn.Conv2d(32, 64, 3)))
    assert (precision, reason) == ("float32", "slower in bf16: its convolution 3x3/2 depthwise")
    precision, reason = resolved(lambda: Net(nn.ConvTranspose2d(32, 16, 3)))
    assert precision == "float32"
    assert "not known to be faster" in reason
    assert "transposed 3x3/1" in reason

    # A network without convolutions, and one with but a few for an image, have nothing to gain that is known.
    assert resolved(lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10)))[0] == "float32"
    assert resolved(lambda: Net())[0] == "float32"


@pytest.mark.usefixtures("with_bf16")
def test_convolutions_are_found_however_they_are_called() -> None:
    assert convolutions(ModelSource("own", Functional), 10, (28, 28), 1, {}) == (
        "3x3/1 of an image",
        "3x3/2 depthwise",
    )
    assert resolved(Functional)[0] == "float32"


@pytest.mark.usefixtures("with_bf16")
def test_no_clock_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> float:
        raise AssertionError("a clock was asked")

    for name in ("perf_counter", "process_time", "monotonic", "thread_time"):
        monkeypatch.setattr(f"time.{name}", broken)
    answers = {resolve_precision(recipe(), find_model("tutorial"), 10, (28, 28), "cpu") for _ in range(3)}
    assert [answer.name for answer in answers] == ["bf16"]


@pytest.mark.usefixtures("with_bf16")
def test_an_older_torch_than_the_table_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fittingroom.training.precision.SINCE_TORCH", (99, 0))
    assert resolve_precision(recipe(), find_model("tutorial"), 10, (28, 28), "cpu").name == "float32"


@pytest.mark.usefixtures("with_bf16")
def test_deciding_draws_nothing_from_the_callers_generator() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    resolve_precision(recipe(), find_model("tutorial"), 10, (28, 28), "cpu")
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.usefixtures("without_bf16")
def test_emulated_bf16_is_for_those_who_ask_for_it() -> None:
    found = resolve_precision(recipe(precision="bf16"), find_model("tutorial"), 10, (28, 28), "cpu")
    assert found.emulated
    assert "emulates" in found.reason
    refuse_without_bf16("bf16", found.emulated, "cpu", "runs/x")
    refuse_without_bf16("float32", False, "cpu", "runs/x")
    with pytest.raises(fr.RecipeError, match=r"runs/x: this run is trained in bf16, and .* doesn't compute in it"):
        refuse_without_bf16("bf16", False, "cpu", "runs/x")


def test_the_table_holds_what_can_be_slow() -> None:
    assert BF16_TIME["3x3/2 depthwise"] > 2
    assert BF16_TIME["3x3/1 of ≥ 16 maps"] < 1
