"""A recipe as a scikit-learn classifier, for those whose tools are scikit-learn's."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from fittingroom.data.cut import bundles
from fittingroom.data.dataset import Dataset
from fittingroom.data.in_memory import as_array, is_missing
from fittingroom.data.splits import Splits
from fittingroom.evaluation.temperature import UNCALIBRATED, Temperature
from fittingroom.evaluation.threshold import Threshold
from fittingroom.recipes.by_data import default_recipe, settled
from fittingroom.recipes.changes import with_epochs, with_lr
from fittingroom.recipes.fields import is_finite
from fittingroom.recipes.keywords import plain
from fittingroom.recipes.own_names import with_code_of, with_own_code
from fittingroom.recipes.reading import load_recipe, parse_recipe
from fittingroom.recipes.recipe import Recipe
from fittingroom.runs.preprocessing import prepared_dataset, preprocessing_of
from fittingroom.training.fit import fit, judge_on_validation
from fittingroom.training.hold_out import held_out_count, learned_from_count
from fittingroom.training.inference import predict_dataset

WHITE = 255  # of whole numbers, where no scale is given
ROUNDING = 1e-6  # of the scale: what floats may miss its ends by
DARKEST_WHITE = 32  # of which images that reach 1 at most would be nearly black
MOST_BEYOND = 0.25  # of the pixels of images to predict, that may lie beyond the scale


class FittingRoomClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is not typed
    """Trains a recipe on images given as arrays. Nothing is written to disk; :func:`fittingroom.train` makes runs.

    Images are grey, (N, H, W), (N, H, W, 1) or (N, H·W), or in colour, (N, H, W, 3) or (N, H·W·3): whole numbers of
    0–255, or floats whose ``scale`` is given. Networks are fed 8 bits a channel, so floats are rounded to 256 levels.
    Images to predict may lie a little outside of the scale, as those of a test fold after ``MinMaxScaler`` do, and are
    cut off at its ends. Labels are of any kind.

    Args:
        recipe: a recipe, the name of one of the package's, or the path of a TOML file; None for the one that
            :func:`fittingroom.train` takes where none is named.
        epochs, lr: as ``fittingroom train --epochs`` and ``--lr``; None for the recipe's.
        overrides: further keys of the recipe as ``KEY=VALUE``, such as ``batch_size=64``.
        random_state: the seed, ≥ 0, or a ``RandomState`` of NumPy's, of which one is drawn; None for the recipe's.
        scale: the value that is white: 1.0 for floats of 0–1. None: 255 for whole numbers, and floats are refused.
        image_size: (H, W) in pixels of flat images, or (H, W, 3) of flat images in colour; H or W may be -1 for what
            fits. None: they are square and grey.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Images are held out for validation only where the recipe says how many, or chooses by them (``early_stop``,
    ``keep = "best"``: then a tenth): the folds of a cross-validation judge from outside.

    Attributes:
        classes_: (C,) the labels, sorted; column i of ``predict_proba`` belongs to ``classes_[i]``.
        n_features_in_: numbers of an image, H·W or H·W·3.
        image_size_: (H, W).
        channels_: 1, or 3 for colour.
        network_: the trained network, on the CPU.
        preprocessing_: the size and channels that the recipe asks for, where it does.
        normalization_: what pixels of 0–255 go through before the network.
        temperature_: by which logits are changed, fitted on the images that were held out; 1 where they are fewer than
            200, or none.
        recipe_: what was trained by, with all that the number of images decides.
        n_iter_: epochs that it was trained for.

    Example:
        >>> from sklearn.model_selection import cross_val_score
        >>> import fittingroom as fr
        >>> train = fr.open_dataset("sample").train
        >>> classifier = fr.FittingRoomClassifier("plain", epochs=1)
        >>> cross_val_score(classifier, train.images, train.labels, cv=2).shape
        (2,)
    """

    def __init__(
        self,
        recipe: Recipe | str | Path | None = None,
        *,
        epochs: int | None = None,
        lr: float | None = None,
        overrides: Sequence[str] = (),
        random_state: int | np.random.RandomState | None = None,
        scale: float | None = None,
        image_size: tuple[int, int] | tuple[int, int, int] | None = None,
        device: str = "auto",
    ):
        self.recipe = recipe
        self.epochs = epochs
        self.lr = lr
        self.overrides = overrides
        self.random_state = random_state
        self.scale = scale
        self.image_size = image_size
        self.device = device

    def fit(self, X: ArrayLike, y: ArrayLike) -> FittingRoomClassifier:
        """Train a new network.

        Args:
            X: images, as the class says.
            y: (N,) labels of two classes or more.

        Raises:
            ValueError: arrays that are not such images or labels.
            RecipeError: the recipe is wrong, or doesn't suit the data.
        """
        # Scikit-learn's own checks come first, by its own messages: its tests of an estimator ask for them.
        flat, shape = self._flattened(X)
        flat_NP, y_N = validate_data(self, flat, _labels(y), dtype="numeric")
        check_classification_targets(y_N)
        self.classes_, labels_N = np.unique(y_N, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y: two classes or more expected, one class found ({self.classes_[0]})")

        # Pixels beyond the scale are cut off in predict, but where a network learns they are a mistake in the scale.
        height, width, self.channels_ = shape or self._shape_of_flat()
        self.image_size_ = height, width
        low, high = float(flat_NP.min()), float(flat_NP.max())
        white = self._white(flat_NP)
        if low < -ROUNDING * white or high > (1 + ROUNDING) * white:
            raise ValueError(
                f"Negative values in data passed to FittingRoomClassifier, or too large ones: X goes from {low:g} to "
                f"{high:g}, 0 to {white:g} expected; give scale=, or bring the pixels to it"
            )
        _refuse_fractions(flat_NP, white, hint="give scale=1.0")

        names = tuple(f"{i}: {label}" for i, label in enumerate(self.classes_))  # a label may be empty text
        chosen = default_recipe(len(flat_NP), self.image_size_, self.channels_, overrides=self.overrides)
        recipe = with_own_code(self._resolved_recipe(chosen.recipe))
        self.preprocessing_ = preprocessing_of(recipe)
        train = prepared_dataset(Dataset(self._as_images(flat_NP), labels_N, names, "X"), self.preprocessing_)

        # where it validates by some of X, by none that equals one that it learns from
        splits = Splits(train)
        self.recipe_ = recipe = settled(recipe, learned_from_count(splits, recipe), train.image_size)
        group_N = bundles(len(train), pairs=[train.repeats]) if held_out_count(splits, recipe) else None
        fitted = fit(splits, recipe, device=self.device, group_N=group_N)
        judged = judge_on_validation(fitted)
        self.temperature_ = Temperature.fitted(judged.probabilities, judged.truth) if judged else UNCALIBRATED
        self.threshold_ = None
        if judged and recipe.threshold != "none":
            self.threshold_ = Threshold.fitted(self.temperature_.applied(judged.probabilities), judged.truth)
        self.network_ = fitted.network.cpu()
        self.normalization_ = fitted.normalization
        self.n_iter_ = fitted.epochs
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Give probabilities, float32 (N, C), of the classes in the order of ``classes_``; each row sums to 1.

        Args:
            X: images of the same size, channels and scale as in :meth:`fit`.

        Raises:
            ValueError: images of another size, or with other channels.
        """
        check_is_fitted(self)
        flat, shape = self._flattened(X)
        expected = (*self.image_size_, self.channels_)
        is_one = np.asarray(flat).shape == self.image_size_ and self.channels_ == 1 and self.image_size_[0] > 1
        if is_one:
            raise ValueError(f"X: images (N, H, W) expected, one of {_words(expected)} found; give it as X[None]")
        if shape is not None and shape != expected:
            raise ValueError(f"X: images of {_words(expected)} expected, as in fit, {_words(shape)} found")
        flat_NP = validate_data(self, flat, reset=False, dtype="numeric")
        self._refuse_other_scale(flat_NP)
        images = prepared_dataset(Dataset(self._as_images(flat_NP), None, (), "X"), self.preprocessing_)
        said = predict_dataset(self.network_, images, self.normalization_, device=torch.device("cpu"))
        return self.temperature_.applied(said.probabilities)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Give the label of each image, (N,): the most probable one, or by the recipe's ``threshold``.

        Args:
            X: as for :meth:`predict_proba`.
        """
        probabilities_NC = self.predict_proba(X)
        predicted_N = probabilities_NC.argmax(axis=1)
        if self.threshold_ is not None:
            predicted_N = self.threshold_.applied(probabilities_NC)
        labels_N: NDArray[Any] = self.classes_[predicted_N]
        return labels_N

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that arrays of three dimensions are fine (it has no word for four), negatives are not."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.positive_only = True
        return tags

    def _seed(self) -> int:
        """``random_state`` as a recipe's seed."""
        state = plain(self.random_state)
        if isinstance(state, np.random.RandomState):
            return state.randint(2**31 - 1)
        if not isinstance(state, int):
            found = type(state).__name__
            raise ValueError(f"random_state: a whole number, a RandomState of NumPy's or None expected, {found} found")
        return int(state)

    @staticmethod
    def _flattened(X: ArrayLike) -> tuple[ArrayLike, tuple[int, int, int] | None]:
        """Flatten images, and give (H, W, channels) as well; what is no array of images stays what it is."""
        array = as_array(X, "X") if hasattr(X, "detach") else np.asarray(X)
        if array.ndim not in (3, 4):
            return (array if hasattr(X, "detach") else X), None
        images = check_array(array, allow_nd=True, dtype="numeric")
        height, width, channels = images.shape[1:] if images.ndim == 4 else (*images.shape[1:], 1)
        if channels not in (1, 3):
            hint = "; PyTorch's order of axes becomes it by X.transpose(0, 2, 3, 1)" if height in (1, 3) else ""
            raise ValueError(
                f"X: images (N, H, W) or (N, H, W, 3) expected, {images.shape} with {channels} channels found{hint}"
            )
        return images.reshape(len(images), -1), (height, width, channels)

    def _shape_of_flat(self) -> tuple[int, int, int]:
        """(H, W, channels) of flat images, by ``image_size`` or as a grey square."""
        numbers = self.n_features_in_
        if self.image_size is not None:
            height, width, channels = (*self.image_size, 1)[:3]
            height = numbers // (width * channels) if height == -1 else height
            width = numbers // (height * channels) if width == -1 else width
        else:
            height, width, channels = round(numbers**0.5), round(numbers**0.5), 1
        if height * width * channels != numbers:
            raise ValueError(
                f"X: {numbers} numbers an image are not {_words((height, width, channels))}; give image_size=(H, W), "
                "(H, W, 3) for colour, or X as (N, H, W) or (N, H, W, 3)"
            )
        return height, width, channels

    def _white(self, flat_NP: NDArray[Any]) -> float:
        """The value that is white: ``scale``, or 255 for whole numbers."""
        if self.scale is not None:
            if not (is_finite(self.scale) and self.scale > 0):
                raise ValueError(f"scale: the value that is white, above 0, expected, {self.scale} found")
            return float(self.scale)
        if flat_NP.dtype.kind not in "iu":
            raise ValueError(
                f"X: {flat_NP.dtype} found, whose scale isn't known; give scale=1.0 for pixels of 0–1, scale=255 for "
                "0–255"
            )
        return WHITE

    def _refuse_other_scale(self, flat_NP: NDArray[Any]) -> None:
        """Refuse pixels far beyond the scale, as 0–255 are for a model of 0–1: all of them would be cut off."""
        # by their mean: single pixels of a test fold may lie anywhere after MinMaxScaler, as borders are black in most
        white, mean = self._white(flat_NP), float(flat_NP.mean(dtype=np.float64))
        if not -white <= mean <= white:
            raise ValueError(
                f"X: pixels of 0 to {white:g}, as in fit, expected, {flat_NP.min():g} to {flat_NP.max():g} found, "
                f"{mean:g} on average: bring them to that scale"
            )

        # of normalized ones, which have a mean near 0, half lie below black
        beyond = float(((flat_NP < -ROUNDING * white) | (flat_NP > (1 + ROUNDING) * white)).mean())
        if beyond > MOST_BEYOND:
            raise ValueError(
                f"X: pixels of 0 to {white:g}, as in fit, expected, {flat_NP.min():g} to {flat_NP.max():g} found, "
                f"{beyond:.0%} of them beyond: bring them to that scale"
            )
        _refuse_fractions(flat_NP, white, hint="bring them to the scale of fit")

    def _as_images(self, flat_NP: NDArray[Any]) -> NDArray[np.uint8]:
        """Convert to uint8 (N, H, W[, 3]), 0–255; what lies beyond black or white becomes that."""
        if flat_NP.dtype != np.uint8 or self.scale is not None:
            white = self._white(flat_NP)
            flat_NP = np.rint(np.clip(flat_NP, 0, white) * (WHITE / white)).astype(np.uint8)
        return flat_NP.reshape(-1, *self.image_size_, *([3] if self.channels_ == 3 else []))

    def _resolved_recipe(self, default: Recipe) -> Recipe:
        """Load the recipe, with everything that was asked for; ``default`` has the overrides already."""
        if self.recipe is None:
            recipe = default
        elif isinstance(self.recipe, Recipe):
            recipe = with_code_of(parse_recipe(self.recipe.to_toml(), overrides=self.overrides), self.recipe)
        else:
            recipe = load_recipe(self.recipe, overrides=self.overrides)
        if self.epochs is not None:
            recipe = with_epochs(recipe, plain(self.epochs))
        if self.lr is not None:
            recipe = with_lr(recipe, plain(self.lr))
        if self.random_state is not None:
            recipe = dataclasses.replace(recipe, seed=self._seed())

        # Nothing is held out by default: a cross-validation judges from outside, and training images are few then.
        chooses = recipe.early_stop or recipe.keep == "best" or recipe.threshold != "none"
        if recipe.validation is None and not chooses:
            recipe = dataclasses.replace(recipe, validation=0)
        return recipe


def _labels(y: ArrayLike) -> ArrayLike:
    """The labels, a tensor's as an array; refuses objects of which some are missing or can't be sorted."""
    if hasattr(y, "detach"):
        return as_array(y, "y")
    array = np.asarray(y)
    if array.dtype != object or array.ndim == 0:
        return y
    values = array.reshape(-1).tolist()
    missing = [row for row, label in enumerate(values) if is_missing(label)]
    if missing:
        raise ValueError(
            f"Input y contains NaN or None: a label of each image expected, {len(missing):,} missing, the first at "
            f"image {missing[0]:,}: leave such images out"
        )
    if len(kinds := sorted({type(label).__name__ for label in values})) > 1 and "str" in kinds:
        raise ValueError(f"Unknown label type: labels of one kind expected, {' and '.join(kinds)} found in y")
    return y


def _refuse_fractions(flat_NP: NDArray[Any], white: float, *, hint: str) -> None:
    """Refuse pixels of 0–1 where white is much more: all of them would be black."""
    if white < DARKEST_WHITE or flat_NP.dtype.kind != "f" or not 0 < (high := float(flat_NP.max())) <= 1:
        return
    if bool((flat_NP != np.floor(flat_NP)).any()):
        raise ValueError(f"X: pixels of 0 to {white:g} expected, fractions of 0 to {high:g} found: {hint}")


def _words(shape: tuple[int, int, int]) -> str:
    """``28 × 28`` pixels, or ``28 × 28 in colour``."""
    height, width, channels = shape
    return f"{height} × {width}{' in colour' if channels == 3 else ''}"
