"""What people have in Python becomes a data set: exactly, or not at all, and what was done for it is said."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

import fittingroom as fr
from fittingroom.data import Preprocessing

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (6, 9, 7), dtype=np.uint8)
COLOUR = RANDOM.integers(0, 256, (6, 9, 7, 3), dtype=np.uint8)
LABELS = [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (GREY, GREY),
        (GREY.astype(np.int64), GREY),
        (GREY.astype(np.float64), GREY),
        (GREY.tolist(), GREY),
        (list(GREY), GREY),
        (torch.tensor(GREY), GREY),
        ((torch.tensor(GREY) // 128 * 128).bfloat16(), GREY // 128 * 128),  # which NumPy has no type for
        (COLOUR, COLOUR),
        (list(COLOUR), COLOUR),
        ([torch.tensor(image).permute(2, 0, 1) for image in COLOUR], COLOUR),
        (np.repeat(GREY[..., None], 3, axis=3), GREY),  # R = G = B is grey, as in every format
        ([Image.fromarray(image) for image in GREY], GREY),
        ([Image.fromarray(image) for image in COLOUR], COLOUR),
    ],
)
def test_pixels_stay_what_they_are(images: Any, expected: np.ndarray) -> None:
    data = fr.Dataset.from_arrays(images, LABELS)
    assert np.array_equal(data.images, expected)
    assert data.labels is not None
    assert data.labels.tolist() == LABELS


@pytest.mark.parametrize(
    ("images", "expected", "said"),
    [
        (GREY[..., None], GREY, r"\(6, 9, 7, 1\) taken as 6 grey images 9×7, \(N, H, W, 1\)"),
        (GREY[:, None], GREY, r"\(6, 1, 9, 7\) taken as 6 grey images 9×7, \(N, 1, H, W\)"),
        (COLOUR.transpose(0, 3, 1, 2), COLOUR, r"taken as 6 colour images 9×7, \(N, 3, H, W\)"),
        ((GREY / 255).astype(np.float32), GREY, "float32 from 0.* taken as pixels of which 1 is white"),
        (GREY > 127, np.where(GREY > 127, 255, 0), "bool from .* of which True is white"),
    ],
)
def test_what_is_changed_is_said(images: np.ndarray, expected: np.ndarray, said: str) -> None:
    with pytest.warns(UserWarning, match=f"^mine: .*{said}") as warned:
        data = fr.Dataset.from_arrays(images, LABELS, name="mine")
    assert [warning.filename for warning in warned] == [__file__]
    assert np.array_equal(data.images, expected)


def test_a_scale_says_what_is_white() -> None:
    with pytest.warns(UserWarning, match="of which 16 is white"):
        data = fr.Dataset.from_arrays(np.full((2, 8, 8), 8.0), [0, 1], scale=16)
    assert set(data.images.ravel().tolist()) == {128}
    with pytest.raises(fr.DataError, match="pixels from 0 to 4, as scale says, expected, 8 to 8 found"):
        fr.Dataset.from_arrays(np.full((2, 8, 8), 8.0), [0, 1], scale=4)
    with pytest.raises(fr.DataError, match="scale above 0 expected, as the value that is white, 0 found"):
        fr.Dataset.from_arrays(np.zeros((2, 8, 8)), [0, 1], scale=0)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ((GREY - 128.0) / 64, r"floats of 0–1 expected, float64 from -.* found: undo their normalization"),
        (GREY / 127.5 - 1, r"floats of 0–1 expected, float64 from -.* found: undo their normalization"),  # of -1 to 1
        (GREY * 1.01, "float64 from .* found: give scale="),
        (GREY.astype(np.int64) * 2, "whole pixel values 0–255 expected"),
        (np.full((6, 9, 7), np.nan), "found"),
        (GREY[0], r"images \(N, height, width\)"),
        (GREY.reshape(6, -1), r"images \(N, height, width\)"),
        ([], "at least one image expected"),
        ([GREY[0, 0]], r"images \(H, W\), \(H, W, 3\) or \(3, H, W\) expected"),
        (["nowhere.png"], "nowhere.png: can't be read"),
        (["no\0where.png"], "can't be read: embedded null byte"),
        ([b"no picture"], "mine: image 0: a picture"),
        ([Image.fromarray(GREY[0]), 3], "mine: image 1"),
        ([[[0, 1], [2]], [[0, 1], [2]]], "mine: image 0: rows of one length expected"),
        ("one.png", "mine: an array or a list of images expected, str found"),
        (None, "mine: an array or a list of images expected, NoneType found"),
        (np.ma.masked_equal(GREY, GREY[0, 0, 0]), "mine: an array without a mask expected, .* masked values found"),
        (torch.empty(6, 9, 7, device="meta"), "mine: a tensor that NumPy can take expected"),
        (torch.zeros(6, 9, 7).to_sparse(), "mine: a tensor that NumPy can take expected, another found .*Sparse"),
    ],
)
def test_what_can_not_be_images_is_refused_in_words(images: Any, message: str) -> None:
    with pytest.raises(fr.DataError, match=message):
        fr.Dataset.from_arrays(images, LABELS, name="mine")


@pytest.mark.parametrize(
    ("labels", "classes", "numbers", "names"),
    [
        ([0, 2, 1, 0, 0, 0], None, [0, 2, 1, 0, 0, 0], ("0", "1", "2")),
        (np.array([[1], [0], [0], [0], [0], [0]]), ("a", "b"), [1, 0, 0, 0, 0, 0], ("a", "b")),
        (torch.tensor([1.0, 0, 0, 0, 0, 0]), ("a", "b"), [1, 0, 0, 0, 0, 0], ("a", "b")),
        ([np.int64(1), torch.tensor(0), 0, 0, 0, 0], None, [1, 0, 0, 0, 0, 0], ("0", "1")),
        (["b", "a", "b", "a", "a", "a"], None, [1, 0, 1, 0, 0, 0], ("a", "b")),
        (["b", "a", "b", "a", "a", "a"], ("b", "a", "c"), [0, 1, 0, 1, 1, 1], ("b", "a", "c")),
        (np.array(["naïve".encode(), b"b"] * 3), None, [1, 0] * 3, ("b", "naïve")),
        (np.array([b"a", b"b"] * 3, object), None, [0, 1] * 3, ("a", "b")),
        (np.array(["no 10", "no 9"] * 3, object), None, [1, 0] * 3, ("no 9", "no 10")),
        ([True, False] * 3, ("off", "on"), [1, 0] * 3, ("off", "on")),
        ([1, 0] * 3, np.array(["off", "on"]), [1, 0] * 3, ("off", "on")),
    ],
)
def test_labels_are_numbers_or_names(labels: Any, classes: Any, numbers: list[int], names: tuple[str, ...]) -> None:
    data = fr.Dataset.from_arrays(GREY, labels, classes)
    assert data.labels is not None
    assert (data.labels.tolist(), data.classes) == (numbers, names)


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        (np.eye(3)[LABELS], None, r"of one-hot rows give labels\.argmax\(1\)"),
        (["a", "b", "x", "a", "a", "a"], ("a", "b"), "labels among the classes, a, b, expected, 'x' found"),
        (["a", None, "b", "a", "a", "a"], None, "none found at image 1"),
        ([0, None, 1, 0, 0, 0], None, "none found at image 1"),
        ([0, 1], None, "6 labels expected, one an image, 2 found"),
        ([b"\xff", b"b"] * 3, None, "labels in UTF-8 expected, other bytes found"),
        ([0.5] * 6, None, "whole numbers as labels expected"),
        (np.ma.masked_equal(LABELS, 1), None, "an array without a mask expected"),
        ([0, 1] * 3, (0, 1), "names of classes as text expected, int found: 0"),
    ],
)
def test_labels_that_can_not_be_are_refused_in_words(labels: Any, classes: Any, message: str) -> None:
    with pytest.raises(fr.DataError, match=message):
        fr.Dataset.from_arrays(GREY, labels, classes)


@pytest.mark.parametrize(("labels", "dtype"), [([0, None, 1, 0, 0, 0], "Int64"), (list("ab") + [None] * 4, "string")])
def test_a_label_that_pandas_lacks_is_no_class(labels: Any, dtype: str) -> None:
    pandas = pytest.importorskip("pandas")
    with pytest.raises(fr.DataError, match=r"(nan|none found) at image"):
        fr.Dataset.from_arrays(GREY, pandas.Series(labels, dtype=dtype))


def test_labels_may_come_one_by_one() -> None:
    data = fr.Dataset.from_arrays((image for image in GREY), (label for label in LABELS))
    assert data.labels is not None
    assert data.labels.tolist() == LABELS


def test_without_labels_a_set_is_unlabelled() -> None:
    assert fr.Dataset.from_arrays(GREY).labels is None


def test_pictures_come_out_as_those_of_a_folder(tmp_path: Path) -> None:
    pictures = []
    for number, size in enumerate([(30, 20), (12, 50), (300, 40), (30, 20)]):
        pixels = RANDOM.integers(0, 256, (*size, 3), dtype=np.uint8)
        pixels = pixels if number % 2 else np.repeat(pixels[..., :1], 3, axis=2)
        pictures.append(Image.fromarray(pixels))
        folder = tmp_path / "set" / ("a" if number < 2 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        pictures[-1].save(folder / f"{number}.png")

    read = fr.open_dataset(tmp_path / "set", cache=False).train
    files = [tmp_path / "set" / file for file in read.files or ()]
    contents = [file.read_bytes() for file in files]
    for given in (pictures, files, list(map(str, files)), contents, [{"bytes": content} for content in contents]):
        with pytest.warns(UserWarning, match="made 64×64"):
            data = fr.Dataset.from_arrays(given, ["a", "a", "b", "b"])
        assert np.array_equal(data.images, read.images)
        assert data.classes == read.classes


def test_a_size_that_is_asked_for_is_made_of_arrays_and_pictures() -> None:
    asked = Preprocessing(size=(5, 4), channels=1)
    of_arrays = fr.Dataset.from_arrays(COLOUR, LABELS, preprocessing=asked)
    of_pictures = fr.Dataset.from_arrays([Image.fromarray(image) for image in COLOUR], LABELS, preprocessing=asked)
    assert of_arrays.images.shape == (6, 5, 4)
    assert np.array_equal(of_arrays.images, of_pictures.images)


def test_a_picture_that_somebody_opened_is_left_as_it_is() -> None:
    file = io.BytesIO()
    Image.fromarray(np.repeat(GREY[0], 40, axis=0).repeat(40, axis=1)).save(file, "JPEG")
    picture = Image.open(file)
    with pytest.warns(UserWarning, match="made 64×64"):
        fr.Dataset.from_arrays([picture, picture], [0, 1])
    assert picture.size == (280, 360)


class Pairs(torch.utils.data.Dataset[Any]):
    """As torchvision's sets are: images by a transform, and the names of the classes."""

    classes = ("red", "green", "blue")

    def __init__(self, transform: Any) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return len(GREY)

    def __getitem__(self, index: int) -> Any:
        return self.transform(GREY[index]), LABELS[index]


@pytest.mark.parametrize(
    "transform",
    [Image.fromarray, lambda image: torch.tensor(image)[None] / 255, lambda image: torch.tensor(image)],
    ids=["pillow", "floats", "bytes"],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_set_of_pytorch_is_taken_as_it_gives_its_pairs(transform: Any, wrapped: bool) -> None:
    pairs: Any = Pairs(transform)
    data = fr.Dataset.from_torch(torch.utils.data.Subset(pairs, [0, 1, 2, 3]) if wrapped else pairs)
    count = 4 if wrapped else 6
    assert np.array_equal(data.images, GREY[:count])
    assert data.classes == Pairs.classes
    assert data.labels is not None
    assert data.labels.tolist() == LABELS[:count]


def test_our_own_way_to_pytorch_leads_back() -> None:
    data = fr.open_dataset("sample").train.subset(range(50))
    back = fr.Dataset.from_torch(data.as_torch(), data.classes)
    assert back.fingerprint == data.fingerprint


@pytest.mark.parametrize(("classes", "names"), [(np.array(["off", "on"]), ("off", "on")), (2, ("0", "1"))])
def test_what_a_set_of_ones_own_calls_classes_are_its_names_where_they_can_be(
    classes: Any, names: tuple[str, ...]
) -> None:
    class Own(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return 6

        def __getitem__(self, row: int) -> tuple[np.ndarray, int]:
            return GREY[row], row % 2

    own = Own()
    own.classes = classes  # type: ignore[attr-defined]
    assert fr.Dataset.from_torch(own).classes == names


@pytest.mark.parametrize("wrap", [lambda label: np.array([label]), lambda label: torch.tensor([label])])
def test_a_label_with_an_axis_of_its_own_is_one_label(wrap: Any) -> None:
    data = fr.Dataset.from_torch([(image, wrap(label)) for image, label in zip(GREY, LABELS, strict=True)])
    assert data.labels is not None
    assert data.labels.tolist() == LABELS


def test_normalized_images_and_loaders_of_pytorch_are_refused_in_words() -> None:
    normalized = torch.utils.data.TensorDataset(torch.randn(6, 1, 8, 8), torch.tensor(LABELS))
    with pytest.raises(fr.DataError, match="undo their normalization"):
        fr.Dataset.from_torch(normalized)
    loader = torch.utils.data.DataLoader(Pairs(lambda image: torch.tensor(image)), batch_size=2)
    with pytest.raises(fr.DataError, match="give the data set, not a loader"):
        fr.Dataset.from_torch(loader)
    with pytest.raises(fr.DataError, match=r"a pair \(image, label\) expected at 0, int found"):
        fr.Dataset.from_torch([1, 2])


class ClassLabel:
    """The feature of a column of labels."""

    names = ("red", "green", "blue")


class HuggingFace:
    """As that library's sets are, as far as they are asked."""

    features = {"picture": type("Image", (), {})(), "id": None, "label": ClassLabel()}  # noqa: RUF012

    def __init__(self, labels: list[int], images: Sequence[Any] | None = None) -> None:
        self.labels = labels
        self.images = [Image.fromarray(image) for image in GREY] if images is None else images

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for image, label in zip(self.images, self.labels, strict=True):
            yield {"picture": image, "id": 7, "label": label}


def test_a_set_of_hugging_face_keeps_its_names() -> None:
    data = fr.Dataset.from_hf(HuggingFace(LABELS))
    assert np.array_equal(data.images, GREY)
    assert data.classes == ClassLabel.names
    assert fr.Dataset.from_hf(HuggingFace([-1] * 6)).labels is None
    with pytest.raises(
        fr.DataError, match="one part of the data set expected, all of them found: give one of train, test"
    ):
        fr.Dataset.from_hf({"train": HuggingFace(LABELS), "test": HuggingFace(LABELS)})
    with pytest.raises(fr.DataError, match="a column 'img' expected, found picture, id, label"):
        fr.Dataset.from_hf(HuggingFace(LABELS), image="img")


def test_all_parts_of_hugging_face_become_one_set_of_one_size() -> None:
    data = fr.Splits.from_hf(
        {"train": HuggingFace(LABELS), "valid": HuggingFace(LABELS), "test": HuggingFace([-1] * 6)}
    )
    assert list(data) == ["train", "validation", "test"]
    assert data.train.classes == data["validation"].classes == ClassLabel.names
    assert data["test"].labels is None
    assert data.preprocessing is None  # as of all that was made in memory

    large = [Image.fromarray(image).resize((90, 70)) for image in COLOUR]
    data = fr.Splits.from_hf({"train": HuggingFace(LABELS), "test": HuggingFace(LABELS, large)})
    assert data.train.images.shape == data["test"].images.shape == (6, 64, 64, 3)

    asked = Preprocessing(size=(5, 5), resize="crop")
    data = fr.Splits.from_hf({"train": HuggingFace(LABELS), "test": HuggingFace(LABELS, large)}, preprocessing=asked)
    assert data.train.image_size == (5, 5)
    assert data.preprocessing is not None
    assert data.preprocessing.resize == "crop"  # what predict is to make of a file


@pytest.mark.parametrize("names", [("fold1", "fold2"), ("test",), ("train", "val", "dev")])
def test_parts_of_other_names_are_refused(names: tuple[str, ...]) -> None:
    parts = {name: HuggingFace(LABELS) for name in names}
    with pytest.raises(
        fr.DataError, match=rf"train, validation and test expected, found {', '.join(names)}: make each"
    ):
        fr.Splits.from_hf(parts)
    with pytest.raises(fr.DataError, match=r"HuggingFace found: Dataset\.from_hf takes one part"):
        fr.Splits.from_hf(HuggingFace(LABELS))  # type: ignore[arg-type]


def test_what_is_none_for_an_image_is_named() -> None:
    with pytest.raises(fr.DataError, match="hugging face: image 0: an image expected, None found"):
        fr.Dataset.from_hf(HuggingFace(LABELS, [None, *GREY[1:]]))
    with pytest.raises(fr.DataError, match="hugging face: image 5: an image expected, None found"):
        fr.Dataset.from_hf(HuggingFace(LABELS, [*map(Image.fromarray, GREY[:5]), None]))


def pandas_frame(columns: dict[str, Any]) -> Any:
    return pytest.importorskip("pandas").DataFrame(columns)


@pytest.mark.parametrize("frame", [pl.DataFrame, pl.LazyFrame, pandas_frame], ids=["polars", "lazy", "pandas"])
def test_a_frame_with_a_column_a_pixel_is_kaggles_table(frame: Any) -> None:
    square = GREY[:, :7]
    pixels = {f"pixel{number + 1}": column.tolist() for number, column in enumerate(square.reshape(6, -1).T)}
    data = fr.Dataset.from_dataframe(frame({"id": list("abcdef"), "label": LABELS, **pixels}))
    assert np.array_equal(data.images, square)
    whole = {f"px{number}": column.tolist() for number, column in enumerate(GREY.reshape(6, -1).T)}
    with pytest.raises(fr.DataError, match="63 pixels an image are not 7×7: give shape="):
        fr.Dataset.from_dataframe(frame({"label": LABELS, **whole}))
    assert np.array_equal(fr.Dataset.from_dataframe(frame({"label": LABELS, **whole}), shape=(9, 7)).images, GREY)


def test_a_frame_whose_columns_are_numbers_is_taken() -> None:
    """As pandas makes it of an array, with a column for the labels added by name or by number."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(GREY[:, :7].reshape(6, -1))
    frame["label"] = LABELS
    for given in (frame, frame.sample(frac=1, random_state=0).sort_index()):
        data = fr.Dataset.from_dataframe(given)
        assert np.array_equal(data.images, GREY[:, :7])
        assert data.labels is not None
        assert data.labels.tolist() == LABELS
    numbered = pandas.DataFrame(np.c_[LABELS, GREY[:, :7].reshape(6, -1)])
    assert np.array_equal(fr.Dataset.from_dataframe(numbered, label="0").images, GREY[:, :7])
    with pytest.raises(fr.DataError, match="columns of different names expected, 'label' found 2 times"):
        fr.Dataset.from_dataframe(pandas.concat([frame, frame["label"]], axis=1))


@pytest.mark.parametrize("frame", [pl.DataFrame, pandas_frame], ids=["polars", "pandas"])
def test_a_frame_with_an_image_a_cell_is_taken(frame: Any, tmp_path: Path) -> None:
    contents, files = [], []
    for number, image in enumerate(GREY):
        files.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(image).save(files[-1])
        contents.append(Path(files[-1]).read_bytes())
    names = [ClassLabel.names[label] for label in LABELS]
    for cells in (contents, files, [image.tolist() for image in GREY]):
        data = fr.Dataset.from_dataframe(frame({"image": cells, "class": names, "group": [*"xxyyz", None]}))
        assert np.array_equal(data.images, GREY)
        assert (data.classes, data.groups) == (("blue", "green", "red"), ("x", "x", "y", "y", "z", None))
    flat = fr.Dataset.from_dataframe(frame({"pixels": GREY.reshape(6, -1).tolist(), "y": LABELS}), shape=(9, 7))
    assert np.array_equal(flat.images, GREY)


def test_what_a_frame_lacks_is_named_with_what_it_has() -> None:
    with pytest.raises(
        fr.DataError, match="a column of images, or one of numbers for each pixel, expected, found name"
    ):
        fr.Dataset.from_dataframe(pl.DataFrame({"name": ["a", "b"], "label": [0, 1]}))
    with pytest.raises(fr.DataError, match="a column 'kind' expected, found image, label"):
        fr.Dataset.from_dataframe(pl.DataFrame({"image": ["a"], "label": [0]}), label="kind")
    with pytest.raises(fr.DataError, match=r"a data frame of pandas or Polars expected, numpy\.ndarray found"):
        fr.Dataset.from_dataframe(GREY)


def test_what_came_from_memory_trains(tmp_path: Path) -> None:
    sample = fr.open_dataset("sample").train
    assert sample.labels is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = fr.Dataset.from_arrays(sample.images[:, None] / 255.0, [sample.classes[k] for k in sample.labels])
    assert np.array_equal(data.images, sample.images)
    run = fr.train(data, "plain", model="tutorial", epochs=1, precision="float32", out=tmp_path / "run")
    assert set(run.artifact.classes) == set(sample.classes)
