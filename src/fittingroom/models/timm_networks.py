"""Networks of timm, ``timm:NAME``: hundreds of architectures with pretrained weights. The extra ``timm`` brings it.

Only its networks are used here. They need no torchvision, which timm loads for its data readers all the same: where
that is missing, or doesn't load beside this build of PyTorch, its names stand for nothing while timm is imported. What
Python has of torchvision is then as its own import left it, also where timm's fails. While it lasts, another thread
that imports torchvision finds the stand-ins too; and timm keeps them, so that a torchvision that is installed later is
seen by it in a new process.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from torch import nn

from fittingroom.errors import RecipeError, how_to_install

PREFIX = "timm:"
ABSENT = "torchvision"

# What a file of a run, which may come from a stranger, must not ask of timm: to fetch or open further files.
NOT_ARGUMENTS = (
    *("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"),
    *("features_only", "scriptable", "exportable"),
)
MOST_NAMES, LONGEST_SHOWN = 5, 80  # names that a message lists; characters of one that is shown
_IMPORTING = threading.Lock()


def is_timm(model: str) -> bool:
    """Whether a recipe's ``model`` names a network of timm."""
    return model.startswith(PREFIX)


def timm_constructor(model: str) -> Callable[..., nn.Module]:
    """The constructor of the network ``timm:NAME``, with new weights.

    Args:
        model: ``timm:`` and a name that timm knows, with or without the tag of its weights:
            ``timm:resnet18``, ``timm:resnet18.a1_in1k``.

    Raises:
        RecipeError: timm isn't installed, or doesn't know the name (close ones are listed).
    """
    timm, architecture = import_timm(), known_architecture(model)

    def construct(num_classes: int, image_size: tuple[int, int], in_channels: int = 3, **arguments: Any) -> nn.Module:
        """Construct it for these images; ``arguments`` are those of the network in timm."""
        if unfit := [key for key in arguments if key in NOT_ARGUMENTS]:
            raise RecipeError(f"model {model}: model_args.{unfit[0]} is not for a recipe to say")
        if takes_size(model):
            arguments["img_size"] = image_size
        network: nn.Module = timm.create_model(
            architecture, pretrained=False, num_classes=num_classes, in_chans=in_channels, **arguments
        )
        return network

    return construct


def known_architecture(model: str) -> str:
    """``timm:resnet18.a1_in1k`` → ``resnet18``, of a name that timm knows.

    Raises:
        RecipeError: timm isn't installed, or doesn't know the name or its tag (close ones are listed).
    """
    timm = import_timm()
    name = model.removeprefix(PREFIX)
    architecture, _, tag = name.partition(".")
    shown = name if len(name) <= LONGEST_SHOWN else f"{name[:LONGEST_SHOWN]}…"

    # A name with a scheme, such as hf-hub:, would have timm open what it names.
    if ":" in name or "/" in name or not timm.is_model(architecture):
        names = timm.list_models() if len(architecture) <= LONGEST_SHOWN else []
        known = difflib.get_close_matches(architecture, names, n=MOST_NAMES, cutoff=0.5)
        hint = f"; close are {', '.join(known)}" if known else ""
        raise RecipeError(f"model: a name that timm {timm.__version__} knows expected, {shown!r} found{hint}")
    try:
        timm.get_pretrained_cfg(name, allow_unregistered=True)
    except RuntimeError:  # what timm says of a tag alone
        tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
        close = difflib.get_close_matches(tag, tags, n=MOST_NAMES, cutoff=0.0)
        raise RecipeError(
            f"model: a tag of weights that timm {timm.__version__} has for {architecture} expected "
            f"({', '.join(close) or 'it has none'}), {shown!r} found"
        ) from None
    return architecture


def takes_size(model: str) -> bool:
    """Whether the network is built for images of one size, as vision transformers are."""
    return bool(pretrained_cfg(model).get("fixed_input_size"))


def own_size(model: str) -> tuple[int, int]:
    """(height, width) of the images that the weights of ``timm:NAME`` were trained on."""
    _, height, width = pretrained_cfg(model)["input_size"]
    return int(height), int(width)


def own_scales(model: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std of red, green and blue that the weights of ``timm:NAME`` take pixels by, on the scale of 0–255."""
    config = pretrained_cfg(model)
    mean, std = (tuple(255.0 * float(value) for value in config[key]) for key in ("mean", "std"))
    return mean, std


def pretrained_cfg(model: str) -> dict[str, Any]:
    """What timm says of the weights of ``timm:NAME``: size, mean and std of the images, where they lie."""
    known_architecture(model)
    config = import_timm().get_pretrained_cfg(model.removeprefix(PREFIX), allow_unregistered=True)
    return {} if config is None else dict(config.to_dict())


def import_timm() -> Any:
    """Import timm, which calls nobody here: its hub is never asked.

    Raises:
        RecipeError: it isn't installed.
    """
    # One thread at a time: another one would find timm half imported, or take the stand-ins for torchvision.
    with _IMPORTING:
        if find_spec("timm") is None:
            raise RecipeError(
                f"the networks timm:NAME need timm, which is not installed: {how_to_install('timm')}. Of a trained "
                "one predict and serve open model.onnx, which needs none"
            )
        for switch in ("HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK", "HF_HUB_DISABLE_IMPLICIT_TOKEN"):
            os.environ.setdefault(switch, "1")
        if "timm" in sys.modules or _loads(ABSENT):
            return importlib.import_module("timm")
        with _stand_ins():
            return importlib.import_module("timm")


def _loads(package: str) -> bool:
    """Whether a package is there and can be imported."""
    if sys.modules.get(package) is None and find_spec(package) is None:
        return False
    try:
        importlib.import_module(package)
    except Exception:  # built for another PyTorch, it fails with errors of any kind
        return False
    return True


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Have the stand-ins found, and in the end what there was: nobody else is to take them for the package."""
    before, finder = dict(sys.modules), _StandIns()
    _have_only(ABSENT, {})  # what is left of a failed import would be found first
    sys.meta_path.insert(0, finder)
    try:
        yield
    except BaseException:
        _have_only("timm", before)  # parts of it that are whole hold stand-ins, and would be taken up by a second try
        raise
    finally:
        sys.meta_path.remove(finder)
        _have_only(ABSENT, before)


def _have_only(package: str, modules: Mapping[str, ModuleType]) -> None:
    """Have Python know, of a package and what lies in it, those of ``modules`` and no others."""
    for name in {*sys.modules, *modules}:
        if name == package or name.startswith(f"{package}."):
            sys.modules.pop(name, None)
            if name in modules:
                sys.modules[name] = modules[name]


class _StandIns(MetaPathFinder, Loader):
    """Gives a module for torchvision and whatever lies in it, whose names are classes that can't be made."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == ABSENT or fullname.startswith(f"{ABSENT}."):
            return ModuleSpec(fullname, self, is_package=True)
        return None

    def exec_module(self, module: ModuleType) -> None:
        def stand_in(name: str) -> type:
            if name.startswith("__"):
                raise AttributeError(name)
            return _StandIn(name, (), {})

        module.__getattr__ = stand_in  # type: ignore[method-assign]


class _StandIn(type):
    """A class of torchvision in name alone: it may be compared with, derived from and looked into."""

    def __getattr__(cls, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return _StandIn(name, (), {})

    def __call__(cls, *arguments: Any, **named: Any) -> Any:
        raise ImportError(f"torchvision is needed for {cls.__name__}, and can't be imported here")
