"""The architectures, one file each, and how a recipe's ``model`` becomes a network.

To add one: write ``models/<name>.py`` with an ``nn.Module`` that takes ``num_classes`` and, if it needs them,
``image_size`` and ``in_channels``, and name it in :data:`MODELS`.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from fittingroom.errors import FittingRoomError, RecipeError, lacks_memory
from fittingroom.models.residual_cnn import ResidualCNN
from fittingroom.models.timm_networks import is_timm, timm_constructor
from fittingroom.models.tutorial_cnn import TutorialCNN
from fittingroom.own_code.collect import read_code
from fittingroom.own_code.execute import execute, of_name
from fittingroom.own_code.name import CodeName, OwnCode, attribute_of, is_own

MODELS: dict[str, Callable[..., nn.Module]] = {
    "residual": ResidualCNN,
    "tutorial": TutorialCNN,
}


@dataclass(frozen=True)
class ModelSource:
    """Where a network's constructor comes from.

    Attributes:
        name: as the recipe gives it, ``tutorial`` or ``net.py:Net``.
        construct: called with ``num_classes``, ``image_size``, ``in_channels`` and further arguments, where its
            signature takes them.
        code: the user's own source; None for the package's models.
    """

    name: str
    construct: Callable[..., Any]
    code: OwnCode | None = None

    @property
    def sha256(self) -> str | None:
        """The SHA-256 of the user's code, 64 hexadecimal digits."""
        return None if self.code is None else self.code.sha256


def package_model(name: str) -> ModelSource:
    """Look up the model of a name in :data:`MODELS`, or of timm: all that a name in a file of a run may mean.

    Such a file may come from a stranger. The path of code to execute is for its user alone to give.

    Raises:
        RecipeError: any other name; the known ones are listed.
    """
    if name in MODELS:
        return ModelSource(name, MODELS[name])
    if is_timm(name):
        return ModelSource(name, timm_constructor(name))
    raise RecipeError(f"model {name!r}: one of this package's models expected in a file of a run: {', '.join(MODELS)}")


def find_model(name: str) -> ModelSource:
    """Find the model of a name in :data:`MODELS`, of ``timm:NAME``, or of the user's own code.

    The last is executed: what the name has brought along, and otherwise what it means, ``path/to/file.py:name`` or
    ``package.module:name``. For names that the user gave; one that stands in a file of a run goes to
    :func:`package_model`, or comes with the code that the run keeps.

    Raises:
        RecipeError: the name is unknown (the known ones are listed), or the code lacks it or fails.
    """
    if name in MODELS or is_timm(name):
        return package_model(name)
    if isinstance(name, CodeName):
        return model_from_code(name, name.code)
    if is_own(name):
        return model_from_code(name, read_code(name, "model"))

    close = difflib.get_close_matches(name, MODELS, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise RecipeError(
        f"model {name!r}: unknown; {hint}known are {', '.join(MODELS)}, timm:NAME, or your own as "
        "path/to/file.py:ClassName or package.module:ClassName"
    )


def model_from_code(name: str, code: OwnCode) -> ModelSource:
    """Execute the user's source and take the class or function that constructs the network.

    Args:
        name: as the recipe gives it.
        code: with all that it imports from beside it.

    Raises:
        RecipeError: the code fails, or has no such class or function.
    """
    module = execute(code, name, "model")

    # A network that is constructed already would be one and the same for every seed.
    return ModelSource(name, of_name(module, attribute_of(name), name, "model", unless=nn.Module), code)


def build_model(
    model_source: ModelSource,
    *,
    num_classes: int,
    image_size: tuple[int, int],
    channels: int = 1,
    model_args: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Construct the network and check on one small batch that it maps (N, C, H, W) to (N, ``num_classes``).

    Args:
        model_source: where its constructor comes from.
        num_classes: size of the output, ≥ 2.
        image_size: (H, W) in pixels.
        channels: C of the images: 1 for grey, 3 for colour. The constructor is given it as ``in_channels``.
        model_args: further arguments of the constructor.

    Raises:
        RecipeError: an argument that its constructor doesn't take, a failure inside, or a wrong output shape.
    """
    known = {"num_classes": num_classes, "image_size": image_size, "in_channels": channels}
    named, unnamed = _arguments(model_source, known, dict(model_args or {}))
    try:
        model, arguments = _construct(model_source.construct, named, unnamed)
    except FittingRoomError:
        raise
    except (Exception, SystemExit) as error:
        if lacks_memory(error):
            raise
        raise RecipeError(
            f"model {model_source.name}: constructing it failed: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(model, nn.Module):
        raise RecipeError(f"model {model_source.name}: a torch.nn.Module expected, {type(model).__name__} found")

    try:
        check_output(model, model_source.name, num_classes, image_size, channels)
    except RecipeError as error:
        if channels == 1 or "in_channels" in arguments:
            raise
        raise RecipeError(
            f"{error}.\nThe images are in colour, and its constructor doesn't take their number of channels: add "
            "in_channels to its arguments and make the first layer with it (3 here), or make the images grey by "
            "channels = 1 in the recipe"
        ) from error
    _to_channels_last(model, image_size, channels)
    return model


def _arguments(
    model_source: ModelSource, known: Mapping[str, Any], given: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a constructor is called with: by the names in its signature, or the recipe's, and what its ``**kwargs`` get.

    Args:
        model_source: whose constructor it is.
        known: what every network is built for, of which it gets what it takes.
        given: by the recipe.

    Raises:
        RecipeError: the recipe gives an argument that it doesn't take.
    """
    parameters = _parameters(model_source.construct)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    unknown = [key for key in given if key not in parameters and not takes_any]
    if unknown:
        takes = [name for name in parameters if name not in known]
        raise RecipeError(
            f"model {model_source.name}: model_args.{unknown[0]} is not an argument of its constructor; "
            f"it takes {', '.join(takes) or 'none'}"
        )

    # What takes anything may pass it on to a network for grey images, which knows nothing of channels.
    named = {key: value for key, value in known.items() if key in parameters}
    unnamed = {key: value for key, value in known.items() if takes_any and key not in parameters and key not in given}
    if known["in_channels"] == 1:
        unnamed.pop("in_channels", None)
    return {**named, **given}, unnamed


def _construct(
    construct: Callable[..., Any], arguments: Mapping[str, Any], unnamed: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Call a constructor; what it made, and of which arguments.

    Args:
        construct: the constructor.
        arguments: that its signature names, or the recipe.
        unnamed: further ones for its ``**kwargs``. What the network behind those takes, no signature says: one that it
            refuses by name is left out, as of torchvision's networks ``image_size``.
    """
    unnamed = dict(unnamed)
    while True:
        try:
            return construct(**arguments, **unnamed), {**arguments, **unnamed}
        except TypeError as error:
            refused = [key for key in unnamed if f"unexpected keyword argument '{key}'" in str(error)]
            if not refused:
                raise
            for key in refused:
                del unnamed[key]


def _parameters(construct: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Tell what a constructor takes; that of ``nn.Module`` says anything, and then refuses everything."""
    if getattr(construct, "__init__", None) is nn.Module.__init__:
        return {}
    return inspect.signature(construct).parameters


def check_output(model: nn.Module, name: str, num_classes: int, image_size: tuple[int, int], channels: int = 1) -> None:
    """Try a network on one small batch.

    Raises:
        RecipeError: it fails, or doesn't map images of this size to ``num_classes`` logits.
    """
    # Two images: a network that drops the first dimension, or mixes the images, shows it in the shape.
    batch = torch.zeros(2, channels, *image_size)
    expected = (2, num_classes)
    was_training = model.training
    model.eval()  # so that no running statistic is touched
    try:
        with torch.no_grad():
            logits = model(batch)
    except (Exception, SystemExit) as error:
        if lacks_memory(error):
            raise
        raise RecipeError(
            f"model {name}: it failed on a batch of shape {tuple(batch.shape)} (N, channels, H, W): "
            f"{type(error).__name__}: {error}"
        ) from error
    finally:
        model.train(was_training)

    if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != expected:
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise RecipeError(
            f"model {name}: logits of shape {expected} (N, classes) expected for a batch {tuple(batch.shape)}, "
            f"{shape} found; make its last layer give num_classes outputs"
        )


def _to_channels_last(model: nn.Module, image_size: tuple[int, int], channels: int) -> None:
    """Lay the filters out as NHWC, in which CPUs and GPUs convolve and pool faster, where the model permits it.

    A network that calls ``.view`` on a feature map does not: it keeps PyTorch's default layout. Results are the same.
    """
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            model(torch.zeros(2, channels, *image_size))
    except RuntimeError:
        model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    finally:
        model.train(was_training)
