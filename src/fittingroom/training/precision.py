"""Which precision a model is trained in: ``auto`` is a function of the hardware, PyTorch's version and the network.

No clock is asked: the same command gives the same answer on a machine that is busy and on one that is idle. On a
processor, bf16 is chosen where it computes bf16 itself and the network's convolutions are of kinds that a benchmark
found to be faster in it (:mod:`fittingroom.training.bf16_kinds`): some kinds fall into slow kernels, up to ten times
slower than float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from fittingroom.environment import processor_name
from fittingroom.errors import RecipeError
from fittingroom.models import ModelSource, build_model
from fittingroom.recipes.recipe import Recipe
from fittingroom.training.bf16_kinds import BF16_TIME, SINCE_TORCH

# Of the time in float32: what gains by bf16, and what doesn't lose by it beyond the noise of the benchmark. The layer
# that sees the image has few channels and is a small part of a network, so that it may lose more.
FASTER, NOT_SLOWER, NOT_SLOWER_OF_AN_IMAGE = 0.95, 1.15, 1.5

# The functions that convolve, which the modules call too, with the names of their arguments in order.
_ARGUMENTS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_ARGUMENTS_TRANSPOSED = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
CONVOLUTIONS = dict.fromkeys((torch.conv1d, torch.conv2d, torch.conv3d), _ARGUMENTS)
TRANSPOSED = dict.fromkeys(
    (torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d), _ARGUMENTS_TRANSPOSED
)


@dataclass(frozen=True)
class ResolvedPrecision:
    """What a model is trained in.

    Attributes:
        name: ``float32`` or ``bf16``.
        reason: why, in words, as ``environment.json`` has it.
        emulated: bf16 that the recipe asks for where the hardware doesn't compute in it.
    """

    name: str
    reason: str
    emulated: bool = False


def resolve_precision(
    recipe: Recipe,
    model_source: ModelSource,
    num_classes: int,
    image_size: tuple[int, int],
    device: str,
    *,
    channels: int = 1,
) -> ResolvedPrecision:
    """Settle on ``float32`` or ``bf16``: the recipe's choice, or for ``auto`` what suits hardware, PyTorch and network.

    Args:
        recipe: its precision and the arguments of the model count.
        model_source: of the recipe's model.
        num_classes, image_size: of the training set.
        device: as :func:`fittingroom.training.device.pick_device` gives it.
        channels: of the training set.
    """
    if recipe.precision != "auto":
        emulated = recipe.precision == "bf16" and not has_bf16(device)
        how = f", which {hardware_name(device)} emulates" if emulated else ""
        return ResolvedPrecision(recipe.precision, f"the recipe says {recipe.precision}{how}", emulated)

    if not has_bf16(device):
        return ResolvedPrecision("float32", f"{hardware_name(device)} doesn't compute in bf16")
    if device != "cpu":
        return ResolvedPrecision("bf16", f"{hardware_name(device)} computes in bf16")

    torch_version = tuple(int(number) for number in torch.__version__.split(".")[:2])
    if torch_version < SINCE_TORCH:
        since = ".".join(map(str, SINCE_TORCH))
        return ResolvedPrecision(
            "float32", f"torch {torch.__version__} found: what is faster in bf16 is known from {since} on"
        )
    kinds = convolutions(model_source, num_classes, image_size, channels, recipe.model_args)
    return _by_kinds(kinds)


def has_bf16(device: str) -> bool:
    """Whether the hardware computes in bf16; emulation exists everywhere and is slow."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device != "cpu":
        return False
    flags = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, flag, bool)() for flag in flags)


def hardware_name(device: str) -> str:
    """What computes on ``device``, by its own name."""
    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name(device))
    return processor_name() if device == "cpu" else device


def refuse_without_bf16(precision: str, emulated: bool, device: str, place: str) -> None:
    """Hold whoever goes on with a training, elsewhere or later, to the precision that it was begun in.

    Args:
        precision: that the run was begun in.
        emulated: whether it was emulated from the start.
        device: that is to train now.
        place: the run, for the message.

    Raises:
        RecipeError: bf16 is expected, and this hardware doesn't compute in it.
    """
    if precision == "bf16" and not emulated and not has_bf16(device):
        raise RecipeError(
            f"{place}: this run is trained in bf16, and {hardware_name(device)} doesn't compute in it: the result "
            "would be another, and slow; go on where the hardware has bf16, or start a new run in "
            "float32"
        )


def convolutions(
    model_source: ModelSource,
    num_classes: int,
    image_size: tuple[int, int],
    channels: int,
    model_args: Mapping[str, Any],
) -> tuple[str, ...]:
    """Find the kinds of all convolutions that a network carries out, those of functions included, each once, sorted."""
    # Drawing its weights must not change what is trained: the ambient generator is as before when this is done.
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        network = build_model(
            model_source, num_classes=num_classes, image_size=image_size, channels=channels, model_args=model_args
        )
        network.eval()
        with torch.no_grad(), _Convolutions() as seen:
            network(torch.zeros(2, channels, *image_size))
    return tuple(sorted(seen.kinds))


def kind_of(weight: Sequence[int], stride: int | Sequence[int], dilation: int | Sequence[int], groups: int) -> str:
    """Name the kind of a convolution, by which the table has it, such as ``3x3/2 depthwise``.

    Args:
        weight: its shape, (filters, channels of a group, H, W); of one or three dimensions in space likewise.
        stride, dilation: in each direction, or one for all.
        groups: 1 for a dense one.
    """
    _filters, channels, *sides = weight
    steps = [stride] if isinstance(stride, int) else dict.fromkeys(stride)
    step = "/".join(map(str, steps))
    name = "x".join(map(str, sides)) + f"/{step}"
    if any(rate != 1 for rate in ([dilation] if isinstance(dilation, int) else dilation)):
        name += " dilated"
    if groups == 1:
        # Maps of an image, of a narrow first layer, and of what fills a vector.
        return f"{name} of " + ("an image" if channels <= 3 else "< 16 maps" if channels < 16 else "≥ 16 maps")
    return f"{name} depthwise" if channels == 1 else f"{name} in groups"


class _Convolutions(TorchFunctionMode):
    """Notes the kind of each convolution while it is on, whether a module or a function carries it out."""

    # A mode of the dispatcher would see them too, and loads 800 modules for it, which takes a second.

    def __init__(self) -> None:
        super().__init__()
        self.kinds: set[str] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in CONVOLUTIONS or func in TRANSPOSED:
            given = dict(zip(CONVOLUTIONS.get(func) or TRANSPOSED[func], args, strict=False)) | (kwargs or {})
            kind = kind_of(
                given["weight"].shape, given.get("stride", 1), given.get("dilation", 1), given.get("groups", 1)
            )
            self.kinds.add(f"transposed {kind}" if func in TRANSPOSED else kind)
        return func(*args, **(kwargs or {}))


def _by_kinds(kinds: Sequence[str]) -> ResolvedPrecision:
    """Decide by the table: a kind that is slow in bf16, or isn't known, settles it for float32."""
    unknown = [kind for kind in kinds if kind not in BF16_TIME]
    slow = [kind for kind in kinds if BF16_TIME.get(kind, 0.0) > _limit(kind)]
    if slow:
        return ResolvedPrecision("float32", f"slower in bf16: its convolution {', '.join(slow)}")
    if unknown:
        return ResolvedPrecision("float32", f"not known to be faster in bf16: its convolution {', '.join(unknown)}")
    if not any(BF16_TIME[kind] < FASTER for kind in kinds):
        return ResolvedPrecision("float32", "none of its layers is known to be faster in bf16")
    return ResolvedPrecision("bf16", f"{processor_name()} computes in bf16, in which its convolutions are faster")


def _limit(kind: str) -> float:
    return NOT_SLOWER_OF_AN_IMAGE if kind.endswith("of an image") else NOT_SLOWER
