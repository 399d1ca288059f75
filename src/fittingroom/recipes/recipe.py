"""A recipe: everything that decides how a model is trained, as one frozen, flat, validated value.

Recipes are TOML files (:mod:`fittingroom.recipes.reading`). The package's own lie beside this file; each opens with the
command that runs it and its measured result. What would need inheritance or conditions is Python that builds a
:class:`Recipe`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from fittingroom.errors import RecipeError
from fittingroom.files.records import brief
from fittingroom.own_code.name import is_own
from fittingroom.recipes.code_keys import KINDS, named
from fittingroom.recipes.fields import (
    bounded,
    checked,
    choice_or_code,
    field_problems,
    in_lines,
    unwritten,
    unwritten_table,
)
from fittingroom.recipes.picture_keys import (
    Channels,
    Photo,
    Resize,
    background_of,
    background_problem,
    photo_of,
    photo_problem,
    size_of,
    size_problem,
)
from fittingroom.recipes.steps import batch_size_problem, shift_problem
from fittingroom.recipes.toml_text import to_toml

OptimizerName = Literal["sgd", "adam", "adamw", "muon"]
Schedule = Literal["constant", "linear", "cosine", "one-cycle"]
Mirror = Literal["none", "random", "alternating"]
VerticalFlip = Literal["none", "random"]
Border = Literal["zero", "edge", "reflect"]
ClassWeights = Literal["none", "balanced"]
Sampling = Literal["shuffle", "balanced"]
Judge = Literal["accuracy", "balanced_accuracy", "macro_f1"]
ThresholdRule = Literal["none", "balanced_accuracy"]
Precision = Literal["auto", "float32", "bf16"]
Normalize = Literal["none", "unit", "standard", "model"]
Keep = Literal["last", "best"]
Freeze = Literal["none", "body"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A stretch of training with one learning-rate curve.

    Attributes:
        epochs: passes over the training set, ≥ 1.
        lr: peak learning rate (of the filters, where the optimizer treats them apart), > 0.
        rest_lr: peak learning rate of all other parameters; the same as ``lr`` where absent.
        schedule: the curve after the warm-up: ``constant``; ``linear`` or ``cosine`` down to 0 at the stage's end;
            ``one-cycle`` (cosine from lr/25 up to lr over the first 30% of the steps, then down to lr/10,000); or your
            own as ``path/to/file.py:name`` or ``package.module:name``: a function of (step, total) to the factor on lr.
        schedule_args: further arguments of your own schedule.
        warmup: epochs of linear rise from 0 to ``lr`` at the stage's start; not with ``one-cycle``.
        fresh_optimizer: start the stage with an optimizer that has no memory of the stage before.
        freeze: ``body`` lets only the head learn, the weights that belong to the classes; the statistics of batch norm
            in the body stay. For a training that starts from weights (``--from``, ``--weights``). ``none``, or absent:
            all learn.

    Example:
        >>> import fittingroom as fr
        >>> fr.Stage(epochs=4, lr=0.003, schedule="one-cycle").warmup
        0.0
    """

    epochs: int = bounded(low=1, high=100_000)
    lr: float = bounded(low=0, open_low=True, high=1000)
    rest_lr: float | None = bounded(None, low=0, open_low=True, high=1000)
    schedule: str = checked("constant", choice_or_code(*get_args(Schedule)))
    schedule_args: Mapping[str, Any] = unwritten_table()
    warmup: float = bounded(0.0, low=0)
    fresh_optimizer: bool = True
    freeze: Freeze | None = None

    def __post_init__(self) -> None:
        """Name a function of the user's own."""
        object.__setattr__(self, "schedule", named(self.schedule, "schedule"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How to train: model, data handling, optimizer, stages.

    Attributes:
        model: a name from ``fittingroom models``, ``timm:NAME``, or ``path/to/file.py:ClassName`` (which executes that
            file).
        model_args: further arguments of the model's constructor.
        name: names the run's folder; the file's name where the TOML has none.
        description: one line for ``fittingroom recipes``.
        batch_size: examples a step, ≥ 1; the last batch of an epoch may be shorter and is used. ``auto``: the largest
            power of two that is at most a twentieth of the images learned from, within 8–256.
        batch_parts: in how many parts a batch goes through the network at once, each on threads of its own and with
            batch norm of its own (ghost batch norm), 1–16. Gradients are summed in the order of the parts.
        loss: ``cross_entropy``, or your own as ``path/to/file.py:name`` or ``package.module:name``: a function of
            logits (N, classes) and labels (N,) that gives each image's loss (N,), or their mean.
        loss_args: further arguments of your own loss.
        label_smoothing: probability mass spread over all classes in the cross-entropy, in [0, 1).
        optimizer: ``sgd`` (Nesterov), ``adam``, ``adamw``, or ``muon`` (Muon on the filters, AdamW on the rest).
            *Filters* are the convolution kernels for muon, all weights of two dimensions or more for the others;
            *rest* is everything else. Or your own as ``path/to/file.py:name`` or ``package.module:name``: a class that
            is constructed with the two groups, such as ``torch.optim:RAdam``.
        optimizer_args: further arguments of your own optimizer.
        momentum, rest_momentum: of sgd and muon; β₁ of adam and adamw. ``rest_momentum`` defaults to ``momentum``.
        beta2: β₂ of adam and adamw.
        weight_decay, rest_weight_decay: decoupled for adamw and muon, L2 for sgd and adam. The rest: 0 by default.
        stages: one or more :class:`Stage`, run in order.
        min_steps: where the stages come to fewer steps, as with few images, all of them are stretched by one factor; 0
            never does that. Whoever sets the number of epochs (``--epochs``, ``--set stages.0.epochs=…``) sets it to 0.
        augmentation: ``none``, or your own as ``path/to/file.py:name`` or ``package.module:name``: a function of images
            (N, C, H, W), float32 of 0–255, and a ``torch.Generator``; it is carried out after those of the keys below,
            before images are mixed.
        augmentation_args: further arguments of your own augmentation.
        mirror: left–right flips: ``random`` for each image and epoch, or ``alternating`` (each image flips every epoch,
            from a random start, so that two epochs show both sides of every image).
        shift: random translation by up to this many pixels each way, the border filled with 0; ``auto`` for a sixteenth
            of the shorter side.
        erase: side in pixels of a random square set to 0; 0 for none.
        vertical_flip: top–bottom flips, ``random`` for each image and epoch.
        rotate: random turn by up to this many degrees either way, 0–180.
        scale: random size, from 1 / (1 + ``scale``) to 1 + ``scale`` times the image's own.
        border: what rotation, scale and shift uncover: ``zero``, the image's own ``edge`` drawn out, or the image
            ``reflect``-ed.
        brightness: pixels times a random factor within 1 ± ``brightness``, 0–1.
        contrast: distance from the image's mean grey times a random factor within 1 ± ``contrast``, 0–1.
        saturation: distance of a colour from its own grey times a random factor within 1 ± ``saturation``, 0–1; of grey
            images nothing changes.
        hue: colours turned about the grey axis by up to this part of a full turn either way, 0–0.5; of grey images
            nothing changes.
        noise: random Gaussian noise on each pixel, its standard deviation drawn from 0 to this part of the pixels'
            range, 0–1.
        mixup: α of Beta(α, α), from which each image draws its share in its mixture with another image of its batch;
            labels are mixed alike. 0 for none.
        cutmix: the same, where a rectangle of the other image is set into the image. With both keys, each image draws
            which of the two it is.
        image_sizes: pairs [first epoch, side in pixels]: train at that size until the next pair. Empty: as they are.
        ema: decay per step of the moving average of weights that ships in place of the last weights; 0 for none.
        precision: ``bf16`` is autocast; ``auto`` goes by hardware, version of torch and model, never by a clock.
        normalize: ``none`` feeds 0–255, ``unit`` 0–1, ``standard`` zero mean and unit variance of the training set,
            ``model`` what the weights that the training starts from were trained with.
        validation: number of training images held out, at most a fifth of them; absent, min(5,000, 10%); 0 for none.
        split_seed: of the stratified split that makes the validation set.
        early_stop: stop after this many epochs without a better validation loss; 0 never. Needs validation images.
        keep: ship the ``last`` weights or those of the ``best`` epoch by validation accuracy. Needs validation images.
        judge: what both go by, on validation: ``accuracy`` (``early_stop`` by the loss), ``balanced_accuracy``, the
            mean of the classes' recalls, or ``macro_f1``, the mean of their F1 scores.
        class_weights: ``balanced`` weighs each image's loss by N / (classes × images of its class), so that every class
            has the same share in the sum.
        sampling: ``shuffle`` shows every image once an epoch; ``balanced`` draws as many of each class, of a small one
            the same images repeatedly, of a large one other images each epoch.
        threshold: of two classes, the rarer one is predicted from a probability on that is chosen on validation, where
            the ``balanced_accuracy`` is largest; ``none`` predicts the more probable one.
        seed: of initialisation, order, augmentation and dropout.
        size: (height, width) in pixels that pictures are brought to, each 1–256; in TOML also one number for both.
            Absent: the data's own size where its images have one of at most 256 pixels a side, else 64.
        channels: 1 makes the images grey, 3 makes them colour. Absent: as the data is.
        resize: how a picture of another shape is brought to ``size``: ``pad`` (fitted in, what is left filled with the
            colour of its corners), ``crop`` (filled, the middle cut out) or ``stretch``. Absent: ``pad``.
        background: what transparent parts of pictures lie on: (red, green, blue), each 0–255; in TOML also ``white`` or
            ``black``. Absent: white.
        photo: ``fashion-mnist`` prepares a picture of another size as the set's own product photos were: trimmed, made
            small, centred, negated; ``none`` resizes it plainly. Absent, or ``auto`` in TOML: ``fashion-mnist`` where
            the training images are those of Fashion-MNIST, else ``none``.

    Raises:
        RecipeError: one line for each problem.

    Example:
        >>> import fittingroom as fr
        >>> recipe = fr.Recipe(model="tutorial", stages=(fr.Stage(epochs=2, lr=0.01), fr.Stage(epochs=1, lr=0.001)))
        >>> recipe.epochs, recipe.optimizer
        (3, 'adamw')
        >>> fr.Recipe(model="tutorial", stages=(fr.Stage(epochs=2, lr=-1),), mirror="both")
        Traceback (most recent call last):
        fittingroom.errors.RecipeError: recipe: mirror: none, random or alternating expected, 'both' found
        recipe: stages.0.lr: > 0 and ≤ 1000 expected, -1 found
    """

    model: str
    model_args: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    description: str = ""
    batch_size: int | Literal["auto"] = checked(256, batch_size_problem)
    batch_parts: int = bounded(1, low=1, high=16, unwritten=True)
    loss: str = checked("cross_entropy", choice_or_code("cross_entropy"), unwritten=True)
    loss_args: Mapping[str, Any] = unwritten_table()
    label_smoothing: float = bounded(0.0, low=0, high=1, open_high=True)
    optimizer: str = checked("adamw", choice_or_code(*get_args(OptimizerName)))
    optimizer_args: Mapping[str, Any] = unwritten_table()
    momentum: float = bounded(0.9, low=0, high=1, open_high=True)
    rest_momentum: float | None = bounded(None, low=0, high=1, open_high=True)
    beta2: float = bounded(0.999, low=0, high=1, open_high=True)
    weight_decay: float = bounded(0.0, low=0)
    rest_weight_decay: float = bounded(0.0, low=0)
    stages: tuple[Stage, ...]
    min_steps: int = bounded(0, low=0, high=1_000_000, unwritten=True)
    augmentation: str = checked("none", choice_or_code("none"), unwritten=True)
    augmentation_args: Mapping[str, Any] = unwritten_table()
    mirror: Mirror = "none"
    shift: int | Literal["auto"] = checked(0, shift_problem)
    erase: int = bounded(0, low=0, high=256)
    vertical_flip: VerticalFlip = unwritten("none")
    rotate: float = bounded(0.0, low=0, high=180, unwritten=True)
    scale: float = bounded(0.0, low=0, high=4, unwritten=True)
    border: Border = unwritten("zero")
    brightness: float = bounded(0.0, low=0, high=1, unwritten=True)
    contrast: float = bounded(0.0, low=0, high=1, unwritten=True)
    saturation: float = bounded(0.0, low=0, high=1, unwritten=True)
    hue: float = bounded(0.0, low=0, high=0.5, unwritten=True)
    noise: float = bounded(0.0, low=0, high=1, unwritten=True)
    mixup: float = bounded(0.0, low=0, high=100, unwritten=True)
    cutmix: float = bounded(0.0, low=0, high=100, unwritten=True)
    image_sizes: tuple[tuple[int, int], ...] = ()
    ema: float = bounded(0.0, low=0, high=1, open_high=True)
    precision: Precision = "auto"
    normalize: Normalize = "standard"
    validation: int | None = bounded(None, low=0)
    split_seed: int = bounded(0, low=0)
    early_stop: int = bounded(0, low=0)
    keep: Keep = "last"
    judge: Judge = unwritten("accuracy")
    class_weights: ClassWeights = unwritten("none")
    sampling: Sampling = unwritten("shuffle")
    threshold: ThresholdRule = unwritten("none")
    seed: int = bounded(0, low=0, high=2**31 - 1)
    size: tuple[int, int] | None = checked(None, size_problem)
    channels: Channels | None = None
    resize: Resize | None = None
    background: tuple[int, int, int] | None = checked(None, background_problem)
    photo: Photo | None = checked(None, photo_problem)

    def __post_init__(self) -> None:
        """Refuse what :func:`find_problems` finds, also when the recipe was built in Python."""
        for kind in KINDS:
            object.__setattr__(self, kind, named(getattr(self, kind), kind))
        problems = find_problems(self.as_dict())
        if problems:
            raise RecipeError(in_lines([f"recipe: {path}: {problem}" for path, problem in problems]))

        # One form of each value: recipes that mean the same are equal.
        object.__setattr__(self, "size", size_of(self.size))
        object.__setattr__(self, "background", background_of(self.background))
        object.__setattr__(self, "photo", photo_of(self.photo))

    @property
    def images_a_step(self) -> int:
        """``batch_size``, once it is a number.

        Raises:
            RecipeError: it is still ``auto``: :func:`fittingroom.recipes.by_data.settled` was not asked.
        """
        if self.batch_size == "auto":
            raise RecipeError("batch_size: a whole number expected by now, auto found: the data has to settle it")
        return self.batch_size

    @property
    def epochs(self) -> int:
        """Epochs of all stages together."""
        return sum(stage.epochs for stage in self.stages)

    def stage_at(self, epoch: int) -> tuple[Stage, int]:
        """The stage that the 0-based ``epoch`` lies in, and how many of its epochs come before.

        Raises:
            IndexError: the recipe has fewer epochs.
        """
        for stage in self.stages:
            if epoch < stage.epochs:
                return stage, epoch
            epoch -= stage.epochs
        raise IndexError("the recipe has no such epoch")

    def as_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and scalars; keys that are ``None`` are left out, as TOML has no null.

        So are those that came after 0.1 and are off: two recipes that mean the same are the same, whenever written.
        """
        return {name: _plain(value) for name, value in _present(self)}

    def to_toml(self) -> str:
        """The recipe as TOML text, from which :mod:`fittingroom.recipes.reading` makes an equal one."""
        return to_toml(self.as_dict())


def find_problems(raw: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Everything wrong with a recipe given as plain values: pairs of (path such as ``stages.0.lr``, what is wrong)."""
    of_a_stage = {known.name for known in dataclasses.fields(Stage)}
    problems = [
        (path, f"unknown key; it is one of a stage: stages.0.{path}")
        if path in of_a_stage and problem.startswith("unknown key")
        else (path, problem)
        for path, problem in field_problems(Recipe, raw, "")
    ]

    problems += _stages_problems(raw.get("stages"))
    problems += _image_size_problems(raw.get("image_sizes", ()))
    return problems + _conflicts(raw)


def _stages_problems(stages: Any) -> list[tuple[str, str]]:
    """What is wrong in the list of stages; that it is one, its field's annotation has said."""
    if not isinstance(stages, Sequence) or isinstance(stages, str):
        return []
    if not stages:
        return [("stages", "at least one stage expected, none found")]
    problems = []
    for i, stage in enumerate(stages):
        if isinstance(stage, Mapping):
            problems += field_problems(Stage, stage, f"stages.{i}.")
            problems += _stage_problems(stage, f"stages.{i}.")
        else:
            problems.append((f"stages.{i}", f"a table with epochs and lr expected, {brief(stage)} found"))
    return problems


def _conflicts(raw: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong between keys that are each right by themselves."""
    problems = []
    if raw.get("validation") == 0:
        for key, off in (("early_stop", 0), ("keep", "last")):
            if raw.get(key, off) != off:
                problems.append((key, "chooses by validation images, but validation = 0 holds none out"))
    if raw.get("class_weights") == raw.get("sampling") == "balanced":
        problems.append(("sampling", "class_weights = balanced weighs the classes already; balance by one of the two"))

    model_args = raw.get("model_args")
    mirrors_answers = isinstance(model_args, Mapping) and model_args.get("mirror_average") is True
    if raw.get("model") == "residual" and mirrors_answers and raw.get("mirror", "none") == "none":
        problems.append(
            (
                "mirror",
                "random or alternating expected, as model_args.mirror_average answers by mirror images too, none "
                "found; where left and right differ, set model_args.mirror_average = false with it",
            )
        )
    return problems


def _stage_problems(stage: Mapping[str, Any], prefix: str) -> list[tuple[str, str]]:
    warmup, epochs = stage.get("warmup", 0), stage.get("epochs", math.inf)
    if not isinstance(warmup, int | float) or not isinstance(epochs, int | float):
        return []
    problems = []
    if warmup > epochs:
        problems.append((prefix + "warmup", f"at most the stage's {epochs} epochs expected, {warmup} found"))
    schedule = stage.get("schedule")
    if warmup and (schedule == "one-cycle" or is_own(schedule)):
        whose = "one-cycle" if schedule == "one-cycle" else "a schedule of your own"
        problems.append((prefix + "warmup", f"{whose} has its own warm-up; leave it out"))
    return problems


def _image_size_problems(pairs: Any) -> list[tuple[str, str]]:
    expected = "pairs [first epoch, side in pixels], epochs rising from 0"
    if not isinstance(pairs, Sequence) or isinstance(pairs, str) or not pairs:
        return []
    for i, pair in enumerate(pairs):
        whole = isinstance(pair, Sequence) and len(pair) == 2 and all(type(number) is int for number in pair)
        if not whole or pair[0] < 0 or not 4 <= pair[1] <= 256:
            return [(f"image_sizes.{i}", f"{expected} and sides 4–256 expected, {brief(pair)} found")]

    epochs = [pair[0] for pair in pairs]
    if epochs[0] != 0 or epochs != sorted(set(epochs)):
        return [("image_sizes", f"{expected} expected, {[list(pair) for pair in pairs]} found")]
    return []


def _present(value: Recipe | Stage) -> list[tuple[str, Any]]:
    pairs = [(key, getattr(value, key.name)) for key in dataclasses.fields(value)]
    return [
        (key.name, item)
        for key, item in pairs
        if item is not None and not (key.metadata.get("unwritten") and item == _default_of(key))
    ]


def _default_of(key: dataclasses.Field[Any]) -> Any:
    return key.default if key.default_factory is dataclasses.MISSING else key.default_factory()


def _plain(value: Any) -> Any:
    if isinstance(value, Stage):
        return {name: _plain(item) for name, item in _present(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
