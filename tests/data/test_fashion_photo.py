"""A product photo becomes what the model knows, by the steps of the data set's paper."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import fittingroom as fr
from fittingroom.data.fashion_photo import convert_photo
from fittingroom.data.preprocessing import Preprocessing, read_picture
from fittingroom.errors import DataError

Image8 = NDArray[np.uint8]
FASHION_MNIST = Preprocessing(size=(28, 28), channels=1, photo="fashion-mnist")


@pytest.fixture(scope="module")
def garments() -> Image8:
    return fr.open_dataset("sample").train.images[:40]


def photo_of(image: Image8, *, side: int = 280, margin: int = 30, paper: int = 255) -> Image.Image:
    """The image as a shop's photo would show it: large, dark on light paper, with a margin."""
    ink = paper - image.astype(float) * paper / 255
    photo = Image.new("RGB", (side + 2 * margin, side + 2 * margin), (paper, paper, paper))
    photo.paste(Image.fromarray(ink.round().astype(np.uint8)).resize((side, side)), (margin, margin))
    return photo


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def likeness(one: Image8, other: Image8) -> float:
    return float(np.corrcoef(one.reshape(-1), other.reshape(-1))[0, 1])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("paper", [255, 225, 140])
def test_a_photo_comes_out_as_the_image_that_it_shows(garments: Image8, kind: str, paper: int) -> None:
    """Sharpened, as the images already are, so not equal; and on any light paper."""
    options = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
    images = [
        read_picture(encoded(photo_of(garment, paper=paper), kind, **options), "photo", FASHION_MNIST)
        for garment in garments
    ]
    assert all(image.shape == (28, 28) and image.dtype == np.uint8 for image in images)
    assert np.median([likeness(*pair) for pair in zip(images, garments, strict=True)]) > 0.93
    assert np.mean([image[0, 0] for image in images]) < 5


def test_what_is_in_the_set_already_is_left_alone(garments: Image8) -> None:
    for image in garments:
        assert (read_picture(encoded(Image.fromarray(image)), "image", FASHION_MNIST) == image).all()


def test_a_picture_of_the_training_size_is_left_alone_whatever_its_ground(garments: Image8) -> None:
    """Else the gate could not hold: some of the set's own images fill all four corners."""
    image = read_picture(encoded(Image.fromarray(255 - garments[1])), "image", FASHION_MNIST)
    assert (image == 255 - garments[1]).all()


def test_a_model_that_knows_dark_on_white_is_given_that(garments: Image8) -> None:
    image = read_picture(encoded(photo_of(garments[1])), "photo", FASHION_MNIST, training_background=255)
    assert (image == 255 - read_picture(encoded(photo_of(garments[1])), "photo", FASHION_MNIST)).all()


def test_every_step_on_a_photo_that_can_be_counted_by_hand() -> None:
    """A black bar of 20 × 200 on white: trimmed to itself, 28 rows, 3 columns, centred, one more column on the left."""
    photo = np.full((300, 200, 3), 255, np.uint8)
    photo[60:260, 70:90] = 0
    expected = np.zeros((28, 28), np.uint8)
    expected[:, 13:16] = 255
    assert (convert_photo(photo) == expected).all()


def test_the_border_is_what_lies_within_5_percent_of_the_corners_colour() -> None:
    photo = np.full((100, 100, 3), 200, np.uint8)
    photo[:, 40:60] = 0
    photo[:, 5:10] = 200 - 12  # 4.7 % of 255: still border
    near = convert_photo(photo)
    photo[:, 5:10] = 200 - 14  # 5.5 %: part of the thing
    far = convert_photo(photo)

    assert near[14].nonzero()[0].min() > 8  # the bar alone, 20 × 100
    assert far[14].nonzero()[0].min() < 8


def test_sharpening_acts_at_outlines_and_leaves_plain_parts_alone() -> None:
    photo = np.full((68, 68, 3), 255, np.uint8)
    photo[20:48, 20:34] = 150
    photo[20:48, 34:48] = 100
    row = convert_photo(photo)[14].astype(int)
    plain_left, plain_right = 255 - 150, 255 - 100

    assert row[6] == plain_left
    assert row[20] == plain_right
    assert row[13] < plain_left
    assert row[14] > plain_right


@pytest.mark.parametrize(("height", "width"), [(28, 28), (32, 32), (20, 40)])
def test_a_photo_is_fitted_to_the_size_that_the_model_takes(height: int, width: int) -> None:
    photo = np.full((90, 90, 3), 255, np.uint8)
    photo[10:80, 20:70] = 30
    image = convert_photo(photo, (height, width))
    assert image.shape == (height, width)
    inked = image > 100
    assert inked.any(axis=1).sum() == min(height, round(70 * min(height / 70, width / 50)))


def test_transparent_parts_are_white_paper(garments: Image8) -> None:
    rgba = np.zeros((280, 280, 4), np.uint8)
    large = np.asarray(Image.fromarray(garments[1]).resize((280, 280)))
    rgba[..., :3] = (255 - large)[..., None]
    rgba[..., 3] = np.where(large > 12, 255, 0)
    image = read_picture(encoded(Image.fromarray(rgba)), "cut out", FASHION_MNIST)
    assert likeness(image, garments[1]) > 0.9


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_every_mode_of_pixels_shows_the_same(garments: Image8, mode: str) -> None:
    photo = photo_of(garments[1])
    expected = read_picture(encoded(photo), "RGB", FASHION_MNIST)
    if mode == "I;16":
        converted = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)
    else:
        converted = photo.convert(mode, dither=Image.Dither.NONE)
    image = read_picture(encoded(converted, "TIFF"), mode, FASHION_MNIST)
    assert likeness(image, expected) > (0.6 if mode == "1" else 0.98)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_rotation_that_a_camera_noted_is_carried_out(garments: Image8, orientation: int) -> None:
    upright = photo_of(garments[0])
    stored = upright
    for turn in {
        1: [],
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }[orientation]:
        stored = stored.transpose(turn)

    # tag 0x0112 tells how the camera was held
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = read_picture(encoded(stored, "PNG", exif=exif), "photo", FASHION_MNIST)
    assert (image == read_picture(encoded(upright), "photo", FASHION_MNIST)).all()


def test_a_blank_sheet_stays_blank() -> None:
    assert (read_picture(encoded(Image.new("RGB", (300, 200), "white")), "blank", FASHION_MNIST) == 0).all()
    assert (read_picture(encoded(Image.new("RGB", (300, 200), "black")), "blank", FASHION_MNIST) == 0).all()


def test_extreme_shapes_are_fitted() -> None:
    for size in ((1, 1), (1, 500), (3000, 2)):
        assert read_picture(encoded(Image.new("RGB", size, "white")), "line", FASHION_MNIST).shape == (28, 28)


PNG = encoded(Image.new("L", (50, 50)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        PNG[:40],
        PNG[:-20],
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.4",
    ],
    ids=["empty", "text", "head", "cut", "svg", "pdf"],
)
def test_what_is_no_picture_is_named(content: bytes) -> None:
    with pytest.raises(DataError, match=r"^shoe.png: a picture \(PNG"):
        read_picture(content, "shoe.png", FASHION_MNIST)


def test_a_picture_of_decimals_has_no_known_white() -> None:
    with pytest.raises(DataError, match=r"^shoe.png: pixels of 8 or 16 bits expected, ones with decimals found"):
        read_picture(encoded(Image.new("F", (9, 9)), "TIFF"), "shoe.png", FASHION_MNIST)


@pytest.mark.parametrize("side", [8_000, 20_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(side: int) -> None:
    bomb = encoded(Image.new("1", (side, side)))
    assert len(bomb) < 100_000
    with pytest.raises(DataError, match=r"bomb.png: at most 50,000,000 pixels expected"):
        read_picture(bomb, "bomb.png", FASHION_MNIST)
