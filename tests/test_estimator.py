"""The scikit-learn classifier, judged by scikit-learn's own tools."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import fittingroom as fr
from fittingroom.estimator import FittingRoomClassifier
from fittingroom.training.inference import predict_dataset
from tests.support import SUPPORT
from tests.support.photo_patches import photo_patches

LINEAR = f"model='{SUPPORT / 'linear_net.py'}:net'"

# A row of features is no picture, which means the same when it is turned or made smaller.
UNCHANGED = ("shift=0", "rotate=0", "scale=0", "brightness=0", "contrast=0", "ema=0")

# scikit-learn's checks come with 2 to 30 features of no particular scale: images of one row, white at 16. All that run
# pass. One skips itself: the array API wants SCIPY_ARRAY_API set before SciPy is imported.
AS_ROWS = FittingRoomClassifier(
    "plain",
    epochs=6,
    lr=0.3,
    overrides=(LINEAR, "precision=float32", "batch_size=64", *UNCHANGED),
    random_state=0,
    scale=16.0,
    image_size=(1, -1),
    device="cpu",
)


@parametrize_with_checks([AS_ROWS])  # type: ignore[untyped-decorator]
def test_scikit_learns_own_checks_pass(estimator: FittingRoomClassifier, check: Callable[[Any], None]) -> None:
    check(estimator)


def classifier(**parameters: Any) -> FittingRoomClassifier:
    usual: dict[str, Any] = {"epochs": 3, "lr": 0.01, "overrides": (LINEAR, "precision=float32", "batch_size=64")}
    return FittingRoomClassifier("plain", **usual | {"device": "cpu"} | parameters)


@pytest.fixture(scope="module")
def images() -> fr.Dataset:
    return fr.open_dataset("sample").train.subset(np.arange(600))


@pytest.fixture(scope="module")
def names(images: fr.Dataset) -> np.ndarray:
    assert images.labels is not None
    return np.array(images.classes)[images.labels]


@pytest.fixture(scope="module")
def fitted(images: fr.Dataset, names: np.ndarray) -> FittingRoomClassifier:
    return classifier().fit(images.images[:400], names[:400])


def test_it_learns_and_speaks_in_the_labels_it_was_given(
    fitted: FittingRoomClassifier, images: fr.Dataset, names: np.ndarray
) -> None:
    rest, truth = images.images[400:], names[400:]
    assert list(fitted.classes_) == sorted(images.classes)
    probabilities = fitted.predict_proba(rest)
    assert probabilities.shape == (200, 10)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)

    predicted = fitted.predict(rest)
    assert (predicted == fitted.classes_[probabilities.argmax(axis=1)]).all()
    assert fitted.score(rest, truth) == accuracy_score(truth, predicted) > 0.4

    assert fitted.n_iter_ == 3
    assert fitted.n_features_in_ == 784
    assert fitted.image_size_ == (28, 28)


@pytest.mark.parametrize("kind", ["flat", "lists", "floats of 0-1", "floats of 0-255", "int64", "one channel"])
def test_the_same_images_give_the_same_model_in_whatever_form(
    kind: str, fitted: FittingRoomClassifier, images: fr.Dataset, names: np.ndarray
) -> None:
    X = images.images[:400]
    scale = {"floats of 0-1": 1.0, "floats of 0-255": 255.0}.get(kind)
    form: Any = {
        "flat": X.reshape(400, -1),
        "lists": X.tolist(),
        "floats of 0-1": X / 255,
        "floats of 0-255": X.astype(np.float32),
        "int64": X.astype(np.int64),
        "one channel": X[..., None],
    }[kind]

    other = classifier(scale=scale).fit(form, names[:400])
    assert (other.predict_proba(form) == fitted.predict_proba(X)).all()


@pytest.fixture(scope="module")
def patches() -> tuple[np.ndarray, np.ndarray]:
    """Pieces of photographs, uint8 (400, 16, 16, 3), and the name of each one's photograph."""
    data = photo_patches()
    return np.array(data.images), np.array(data.classes)[data.labels]


@pytest.mark.parametrize("model", ["residual", "tutorial"])
def test_it_learns_from_colour_in_whatever_form(model: str, patches: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = patches
    colour = {"epochs": 5, "overrides": (f"model={model}", "precision=float32", "batch_size=32")}
    fitted = classifier(**colour).fit(X[::2], y[::2])
    assert (fitted.image_size_, fitted.channels_, fitted.n_features_in_) == ((16, 16), 3, 768)
    assert fitted.score(X[1::2], y[1::2]) > 0.75

    flat = classifier(**colour, image_size=(16, -1, 3)).fit(X[::2].reshape(200, -1), y[::2])
    floats = classifier(**colour, scale=1.0).fit(X[::2] / 255, y[::2])
    expected = fitted.predict_proba(X)
    assert (flat.predict_proba(X) == expected).all()
    assert (floats.predict_proba(X / 255) == expected).all()
    assert (pickle.loads(pickle.dumps(fitted)).predict_proba(X) == expected).all()


def test_a_recipe_resizes_and_makes_grey_in_fit_and_predict(patches: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = patches
    overrides = ("model=residual", "precision=float32", "batch_size=32", "size=12", "channels=1", "model_args={}")
    fitted = classifier(epochs=2, overrides=overrides).fit(X, y)
    assert fitted.image_size_ == (16, 16)  # of what it takes
    assert fitted.network_.get_parameter("stages.0.0.weight").shape[1] == 1
    assert fitted.predict_proba(X).shape == (400, 2)


def test_a_random_state_is_the_seed(fitted: FittingRoomClassifier, images: fr.Dataset, names: np.ndarray) -> None:
    X, y = images.images[:400], names[:400]
    one, again, two = (classifier(random_state=state).fit(X, y).predict_proba(X) for state in (5, 5, 6))
    assert (one == again).all()
    assert (one != two).any()
    assert (classifier(random_state=0).fit(X, y).predict_proba(X) == fitted.predict_proba(X)).all()


def test_a_random_state_of_numpy_gives_the_seed(images: fr.Dataset, names: np.ndarray) -> None:
    fits = [
        FittingRoomClassifier(overrides=(LINEAR,), epochs=1, random_state=np.random.RandomState(seed)).fit(
            images.images, names
        )
        for seed in (3, 3, 4)
    ]
    first, again, other = (each.predict_proba(images.images[:50]) for each in fits)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_pixels_of_another_scale_than_in_fit_are_refused(images: fr.Dataset, names: np.ndarray) -> None:
    """All would be cut off at white, and the answers be worthless without a word."""
    fitted = FittingRoomClassifier(overrides=(LINEAR,), epochs=1, scale=1.0).fit(images.images / 255, names)
    with pytest.raises(ValueError, match="pixels of 0 to 1, as in fit, expected, 0 to 255 found"):
        fitted.predict(images.images)
    for scale in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="scale: the value that is white, above 0, expected"):
            FittingRoomClassifier(overrides=(LINEAR,), scale=scale).fit(images.images / 255, names)


def test_pixels_of_0_to_1_are_refused_where_white_is_255(images: fr.Dataset, names: np.ndarray) -> None:
    """Each would be black, and the answers all the same."""
    made = FittingRoomClassifier(overrides=(LINEAR,), epochs=1, scale=255)
    with pytest.raises(ValueError, match=r"pixels of 0 to 255 expected, fractions of 0 to 1 found: give scale=1\.0"):
        made.fit(images.images / 255, names)
    made.fit(images.images, names)
    with pytest.raises(ValueError, match="fractions of 0 to 1 found: bring them to the scale of fit"):
        made.predict(images.images / 255)
    made.predict(np.zeros((2, 28, 28)))  # black all over is a picture


def test_normalized_pixels_are_refused_in_predict(images: fr.Dataset, names: np.ndarray) -> None:
    """Their mean is within the scale, and half of them would be cut off at black."""
    fitted = FittingRoomClassifier(overrides=(LINEAR,), epochs=1, scale=1.0).fit(images.images / 255, names)
    X = images.images / 255
    with pytest.raises(ValueError, match=r"pixels of 0 to 1, as in fit, expected, .* of them beyond"):
        fitted.predict((X - X.mean()) / X.std())


def test_a_missing_label_is_named(images: fr.Dataset, names: np.ndarray) -> None:
    pandas = pytest.importorskip("pandas")
    for missing in (None, float("nan"), pandas.NA, pandas.NaT):
        labels = names.astype(object)
        labels[7] = missing
        with pytest.raises(ValueError, match="1 missing, the first at image 7"):
            classifier().fit(images.images, labels)


def test_labels_of_two_kinds_are_refused_as_such(images: fr.Dataset) -> None:
    with pytest.raises(ValueError, match="labels of one kind expected, int and str found in y"):
        classifier().fit(images.images[:4], np.array([1, "a", 1, "a"], object))


def test_one_image_without_its_axis_is_told_from_rows(fitted: FittingRoomClassifier, images: fr.Dataset) -> None:
    with pytest.raises(ValueError, match=r"one of 28 × 28 found; give it as X\[None\]"):
        fitted.predict(images.images[0])


def test_parameters_may_be_numbers_of_numpy(images: fr.Dataset, names: np.ndarray) -> None:
    """As a search over ``np.arange`` or ``np.linspace`` sets them."""
    made = classifier(epochs=np.int64(1), lr=np.float32(0.05), random_state=np.int64(3))
    assert made.fit(images.images[:40], names[:40]).recipe_.seed == 3
    with pytest.raises(ValueError, match=r"random_state: a whole number, .* expected, Generator found"):
        classifier(random_state=np.random.default_rng(0)).fit(images.images[:40], names[:40])


def test_tensors_that_record_gradients_are_taken(images: fr.Dataset) -> None:
    assert images.labels is not None
    X, y = torch.tensor(images.images[:40] / 255, requires_grad=True), torch.tensor(images.labels[:40])
    assert classifier(epochs=1, scale=1.0).fit(X, y).predict(X).shape == (40,)


def test_its_probabilities_are_calibrated_where_it_holds_images_out() -> None:
    X = fr.open_dataset("sample").train
    assert X.labels is not None
    overrides = (LINEAR, "precision=float32", "batch_size=64", "validation=250")
    fitted = classifier(overrides=overrides).fit(X.images, X.labels)
    assert fitted.temperature_.n == 250
    said = predict_dataset(fitted.network_, X, fitted.normalization_)
    expected = fitted.temperature_.applied(said.probabilities)
    assert np.abs(expected - said.probabilities).max() > 0.001
    np.testing.assert_allclose(fitted.predict_proba(X.images), expected, atol=1e-6)
    assert classifier().fit(X.images, X.labels).temperature_.n == 0


def test_it_is_cloned_and_pickled(fitted: FittingRoomClassifier, images: fr.Dataset) -> None:
    fresh = clone(fitted)
    assert fresh.get_params() == fitted.get_params()
    assert not hasattr(fresh, "network_")
    loaded = pickle.loads(pickle.dumps(fitted))
    assert (loaded.predict(images.images) == fitted.predict(images.images)).all()


def test_the_packages_own_model_is_trained_and_pickled(images: fr.Dataset, names: np.ndarray) -> None:
    model = classifier(epochs=1, overrides=("precision=float32",)).fit(images.images[:100], names[:100])
    loaded = pickle.loads(pickle.dumps(model))
    assert (loaded.predict_proba(images.images) == model.predict_proba(images.images)).all()


def test_cross_validation(images: fr.Dataset, names: np.ndarray) -> None:
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    scores = cross_val_score(classifier(), images.images, names, cv=folds)
    assert scores.shape == (3,)
    assert (scores > 0.4).all()


def test_grid_search_chooses_the_rate_that_learns(images: fr.Dataset, names: np.ndarray) -> None:
    search = GridSearchCV(classifier(), {"lr": [1e-6, 0.01], "epochs": [1, 2]}, cv=2)
    search.fit(images.images, names)
    assert search.best_params_ == {"lr": 0.01, "epochs": 2}
    assert search.best_score_ > 0.4


def test_recipes_themselves_can_be_searched(images: fr.Dataset, names: np.ndarray) -> None:
    recipe = fr.load_recipe("plain", overrides=[LINEAR, "precision=float32"])
    grid = {"recipe": [recipe], "overrides": [("batch_size=32",), ("batch_size=64", "mirror=none")]}
    search = GridSearchCV(FittingRoomClassifier(epochs=1, device="cpu"), grid, cv=2).fit(images.images, names)
    assert len(search.cv_results_["params"]) == 2
    assert search.best_score_ > 0.2


def test_pipeline_with_a_scaler_whose_test_fold_leaves_the_scale(images: fr.Dataset, names: np.ndarray) -> None:
    flat = images.images.reshape(600, -1)
    pipeline = make_pipeline(MinMaxScaler(), classifier(scale=1.0))
    assert (cross_val_score(pipeline, flat, names, cv=2) > 0.3).all()
    inverted = make_pipeline(FunctionTransformer(lambda X: 255 - X), classifier())
    assert inverted.fit(images.images, names).score(images.images, names) > 0.4


@pytest.mark.parametrize("labels", [np.arange(10) - 3, np.arange(10) * 0.5, np.array(list("abcdefghij"), dtype=object)])
def test_labels_may_be_of_any_kind(labels: np.ndarray, images: fr.Dataset) -> None:
    y = labels[images.labels]
    if y.dtype.kind == "f":
        y = y.astype(int) + 0.0  # whole numbers: scikit-learn takes others for a regression
    model = classifier(epochs=1).fit(images.images, y)
    assert set(model.predict(images.images)) <= set(y)
    assert model.classes_.dtype == y.dtype


def test_a_label_may_be_empty_text(images: fr.Dataset) -> None:
    y = np.array(["", "something"] * 300)
    assert set(classifier(epochs=1).fit(images.images, y).predict(images.images)) <= {"", "something"}


def test_a_recipe_that_chooses_by_validation_gets_a_tenth(images: fr.Dataset, names: np.ndarray) -> None:
    chooses = classifier(overrides=(LINEAR, "precision=float32", "keep=best", "early_stop=1")).fit(images.images, names)
    assert chooses.score(images.images, names) > 0.4


def test_flat_images_that_are_not_square_need_their_size(images: fr.Dataset, names: np.ndarray) -> None:
    tall = images.images[:, :, :14].reshape(600, -1)
    with pytest.raises(ValueError, match=r"392 numbers an image are not 20 × 20; give image_size"):
        classifier(epochs=1).fit(tall, names)
    assert classifier(epochs=1, image_size=(-1, 14)).fit(tall, names).image_size_ == (28, 14)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X / 255, "float64 found, whose scale isn't known; give scale=1.0"),
        (lambda X: X.astype(np.int64) - 1, "Negative values .* X goes from -1 to"),
        (lambda X: X.astype(np.int64) + 1, "too large ones: X goes from 1 to 256, 0 to 255 expected"),
        (lambda X: np.stack([X] * 4, axis=-1), r"\(600, 28, 28, 4\) with 4 channels found$"),
        (lambda X: np.stack([X] * 3, axis=1), r"28 channels found; PyTorch's order of axes becomes it by X\.transpose"),
        (lambda X: X[:, None, :, :, None], "dim 5|5 dim"),
        (lambda X: X[:0], "0 sample"),
        (lambda X: X[:599], "inconsistent numbers of samples"),
        (lambda X: np.where(X == 0, np.nan, X), "NaN"),
    ],
)
def test_what_are_no_such_images_is_refused(change: Any, message: str, images: fr.Dataset, names: np.ndarray) -> None:
    with pytest.raises(ValueError, match=message):
        classifier().fit(change(images.images), names)


def test_images_of_another_size_are_refused_in_predict(fitted: FittingRoomClassifier, images: fr.Dataset) -> None:
    with pytest.raises(ValueError, match=r"images of 28 × 28 expected, as in fit, 14 × 56 found"):
        fitted.predict(images.images.reshape(-1, 14, 56))
    with pytest.raises(ValueError, match="images of 28 × 28 expected, as in fit, 28 × 28 in colour found"):
        fitted.predict(np.stack([images.images] * 3, axis=-1))
    with pytest.raises(ValueError, match="expecting 784 features"):
        fitted.predict(images.images[:, :20, :20].reshape(600, -1))


def test_a_wrong_recipe_is_told_as_everywhere(images: fr.Dataset, names: np.ndarray) -> None:
    with pytest.raises(fr.RecipeError, match="did you mean plain"):
        FittingRoomClassifier("plian").fit(images.images, names)
    with pytest.raises(fr.RecipeError, match="batch_size"):
        classifier(overrides=("batch_size=0",)).fit(images.images, names)
