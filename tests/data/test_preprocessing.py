"""One way for a picture: what `read_picture` makes of real pictures in every format, mode, depth and rotation."""

from __future__ import annotations

import io
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

from fittingroom.data.picture_file import probe_size
from fittingroom.data.preprocessing import (
    Preprocessing,
    encode_png,
    probe_picture,
    read_picture,
    resize_images,
    see_picture,
)
from fittingroom.errors import ArtifactError, DataError

Image8 = NDArray[np.uint8]

COLOUR = Preprocessing(size=(48, 64), channels=3)
GREY = Preprocessing(size=(48, 64), channels=1)
TURNS = {
    1: [],
    2: [Image.Transpose.FLIP_LEFT_RIGHT],
    3: [Image.Transpose.ROTATE_180],
    4: [Image.Transpose.FLIP_TOP_BOTTOM],
    5: [Image.Transpose.TRANSPOSE],
    6: [Image.Transpose.ROTATE_90],
    7: [Image.Transpose.TRANSVERSE],
    8: [Image.Transpose.ROTATE_270],
}


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """A real photo in colour, 427×640."""
    return Image.fromarray(load_sample_images().images[0])


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def difference(one: Image8, other: Image8) -> float:
    assert one.shape == other.shape
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


# ── the record ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_record_comes_back_from_json() -> None:
    record = Preprocessing(size=(20, 30), channels=3, resize="crop", background=(1, 2, 3), photo="none")
    assert Preprocessing.from_dict(record.as_dict(), "config.json") == record
    assert record.as_dict() == {
        "size": [20, 30],
        "channels": 3,
        "resize": "crop",
        "background": [1, 2, 3],
        "photo": "none",
    }
    assert Preprocessing.from_dict(Preprocessing().as_dict(), "x") == Preprocessing()


@pytest.mark.parametrize(
    "change",
    [
        {"size": [0, 3]},
        {"size": [257, 3]},
        {"size": [3]},
        {"size": "28"},
        {"size": [28.0, 28]},
        {"size": [True, 28]},
        {"channels": 2},
        {"channels": "3"},
        {"channels": True},
        {"resize": "fit"},
        {"resize": ["pad"]},
        {"background": None},
        {"background": [0, 0, 256]},
        {"photo": "product"},
        {"photo": {}},
        {"rotate": 90},
    ],
)
def test_nonsense_in_a_record_is_refused_with_its_place(change: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError, match=r"^config\.json: "):
        Preprocessing.from_dict(Preprocessing().as_dict() | change, "config.json")


@pytest.mark.parametrize("raw", [None, [], "pad", {}, {"size": None}])
def test_what_is_no_record_is_refused(raw: object) -> None:
    with pytest.raises(ArtifactError, match=r"^config.json: an object with size, .* expected"):
        Preprocessing.from_dict(raw, "config.json")


def test_the_data_decide_only_what_was_left_open() -> None:
    asked = Preprocessing(channels=1)
    resolved = asked.resolved_for(size=(28, 30), channels=3)
    assert (resolved.size, resolved.channels, resolved.photo) == ((28, 30), 1, "none")
    assert resolved.is_resolved
    assert not asked.is_resolved
    assert asked.resolved_for(size=(28, 30), channels=3, photo=None).photo is None


# ── rotation ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_picture_is_turned_as_the_camera_noted_before_anything_asks_for_its_size(
    photo: Image.Image, kind: str, orientation: int
) -> None:
    stored = photo
    for turn in TURNS[orientation]:
        stored = stored.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    content = encoded(stored, kind, exif=exif, **options)

    assert probe_picture(content, "photo").size == (427, 640)
    as_it_is = read_picture(content, "photo", Preprocessing())
    assert difference(as_it_is, np.asarray(photo)) < (3 if kind == "JPEG" else 0.001)
    assert difference(read_picture(content, "photo", COLOUR), read_picture(encoded(photo), "photo", COLOUR)) < 2


def test_a_png_that_notes_its_rotation_after_the_pixels_is_turned(photo: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(photo.transpose(Image.Transpose.ROTATE_90), exif=exif)
    start = content.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(content[start : start + 4], "big")
    moved = content[:start] + content[end:-12] + content[start:end] + content[-12:]

    assert probe_picture(moved, "late").size == (427, 640)
    assert (read_picture(moved, "late", Preprocessing()) == np.asarray(photo)).all()


# ── formats and modes ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "options", "allowed"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 90}, 5),
        ("JPEG", {"quality": 95}, 2),
    ],
)
def test_every_format_gives_the_same_picture(
    photo: Image.Image, kind: str, options: dict[str, Any], allowed: float
) -> None:
    image = read_picture(encoded(photo, kind, **options), "photo", COLOUR)
    assert image.shape == (48, 64, 3)
    assert difference(image, read_picture(encoded(photo), "photo", COLOUR)) <= allowed


def test_grey_of_a_colour_photo_is_pillows(photo: Image.Image) -> None:
    image = read_picture(encoded(photo), "photo", Preprocessing(channels=1))
    assert (image == np.asarray(photo.convert("L"))).all()


def test_a_grey_photo_for_a_model_of_colours_has_three_equal_channels(photo: Image.Image) -> None:
    image = read_picture(encoded(photo.convert("L")), "photo", COLOUR)
    assert image.shape == (48, 64, 3)
    assert (image == image[..., :1]).all()


def test_16_bits_are_scaled_to_8(photo: Image.Image) -> None:
    grey = np.asarray(photo.convert("L"))
    content = encoded(Image.fromarray(grey.astype(np.uint16) * 257))
    assert probe_picture(content, "deep").is_deep
    assert (read_picture(content, "deep", Preprocessing(channels=1)) == grey).all()


def test_a_palette_is_looked_up(photo: Image.Image) -> None:
    palette = photo.quantize(64)
    expected = np.asarray(palette.convert("RGB"))
    assert (read_picture(encoded(palette), "palette", Preprocessing()) == expected).all()


def test_cmyk_becomes_rgb(photo: Image.Image) -> None:
    image = read_picture(encoded(photo.convert("CMYK"), "JPEG", quality=95), "print", COLOUR)
    assert difference(image, read_picture(encoded(photo), "photo", COLOUR)) < 3


def test_one_bit_is_black_and_white(photo: Image.Image) -> None:
    drawing = photo.convert("1")
    image = read_picture(encoded(drawing), "drawing", Preprocessing())
    assert image.shape == (427, 640)
    assert (image == np.asarray(drawing) * 255).all()


@pytest.mark.parametrize("background", [(255, 255, 255), (10, 200, 30)])
def test_transparent_parts_lie_on_the_background(photo: Image.Image, background: tuple[int, int, int]) -> None:
    cut_out = photo.convert("RGBA")
    opacity = np.zeros((427, 640), np.uint8)
    opacity[100:300, 200:400] = 255
    cut_out.putalpha(Image.fromarray(opacity))

    content = encoded(cut_out)
    image = read_picture(content, "cut out", Preprocessing(background=background))
    expected = np.where(opacity[..., None] == 255, np.asarray(photo), np.array(background, np.uint8))
    assert (image == expected).all()


def test_an_animation_gives_its_first_frame(photo: Image.Image) -> None:
    frames = [photo.convert("L"), photo.convert("L").transpose(Image.Transpose.ROTATE_180)]
    for kind in ("GIF", "WEBP", "PNG"):
        options = {"lossless": True} if kind == "WEBP" else {}
        content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert (read_picture(content, kind, Preprocessing()) == np.asarray(frames[0])).all()


def test_facts_of_a_picture(photo: Image.Image) -> None:
    colour, grey = probe_picture(encoded(photo, "JPEG"), "a"), probe_picture(encoded(photo.convert("L")), "b")
    assert (colour.size, colour.is_colour, colour.is_deep) == ((427, 640), True, False)
    assert (grey.size, grey.is_colour, grey.is_deep) == ((427, 640), False, False)
    assert not probe_picture(encoded(photo.convert("L").convert("RGB"), "JPEG"), "grey saved in colour").is_colour


# ── sizes ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("resize", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("photo_kind", ["none", "fashion-mnist"])
def test_a_picture_of_the_training_size_is_left_as_it_is(photo: Image.Image, resize: Any, photo_kind: Any) -> None:
    small = photo.resize((64, 48))
    record = Preprocessing(size=(48, 64), channels=3, resize=resize, photo=photo_kind)
    assert (read_picture(encoded(small), "small", record) == np.asarray(small)).all()


def test_pad_fits_the_picture_in_and_fills_up_with_the_corners_colour() -> None:
    wide = Image.new("RGB", (200, 50), (10, 120, 240))
    wide.paste((255, 0, 0), (50, 10, 150, 40))
    image = read_picture(encoded(wide), "wide", Preprocessing(size=(40, 40), channels=3))
    assert (image[:15] == (10, 120, 240)).all()
    assert (image[25:] == (10, 120, 240)).all()
    assert (image[20, 20] == (255, 0, 0)).all()


def test_crop_fills_and_cuts_off_both_sides() -> None:
    wide = Image.new("L", (200, 50), 0)
    wide.paste(255, (75, 0, 125, 50))
    image = read_picture(encoded(wide), "wide", Preprocessing(size=(40, 40), channels=1, resize="crop"))
    assert (image[:, 1:-1] == 255).all()
    assert (image > 200).all()


def test_stretch_heeds_no_proportions() -> None:
    wide = Image.new("L", (200, 50), 0)
    wide.paste(255, (0, 0, 100, 50))
    image = read_picture(encoded(wide), "wide", Preprocessing(size=(40, 40), channels=1, resize="stretch"))
    assert (image[:, :19] == 255).all()
    assert (image[:, 21:] == 0).all()


def test_making_smaller_averages_what_it_leaves_out() -> None:
    stripes = np.zeros((400, 400), np.uint8)
    stripes[:, ::2] = 255
    image = read_picture(encoded(Image.fromarray(stripes)), "stripes", Preprocessing(size=(40, 40), channels=1))
    assert np.abs(image.astype(int) - 128).max() <= 4


@pytest.mark.parametrize("resize", ["pad", "crop", "stretch"])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_size_comes_out_as_the_one_that_is_wanted(resize: Any, data: st.DataObject) -> None:
    side = st.one_of(st.integers(1, 300), st.just(2_000))
    height, width = data.draw(side), data.draw(side)
    target = (data.draw(st.integers(1, 256)), data.draw(st.integers(1, 256)))
    channels = data.draw(st.sampled_from([1, 3]))
    content = encoded(Image.new("RGB", (width, height), (1, 2, 3)))
    image = read_picture(content, "plain", Preprocessing(size=target, channels=channels, resize=resize))
    assert image.shape == (target if channels == 1 else (*target, 3))
    assert (image == (2 if channels == 1 else (1, 2, 3))).all()  # nothing foreign at any edge


@pytest.mark.parametrize("turned", [False, True])
def test_a_large_jpeg_decoded_at_a_part_of_its_size_looks_the_same(photo: Image.Image, turned: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    content = encoded(photo.resize((1_999, 1_333), Image.Resampling.BICUBIC), "JPEG", quality=92, exif=exif)
    whole = encode_png(read_picture(content, "large", Preprocessing()))
    resizes: tuple[Any, ...] = ("pad", "crop", "stretch")
    for side, resize in product((28, 64, 128), resizes):
        record = Preprocessing(size=(side, side), channels=3, resize=resize)
        seen = read_picture(content, "large", record)
        assert difference(seen, read_picture(whole, "large", record)) < 1.5, (side, resize)


def test_a_strip_is_cut_in_the_memory_of_its_middle() -> None:
    strip = np.zeros((2, 200_000), np.uint8)
    strip[:, 99_999:100_001] = 255
    record = Preprocessing(size=(256, 256), channels=1, resize="crop")
    image = read_picture(encode_png(strip), "strip", record)
    assert image.shape == (256, 256)
    assert image.mean() > 180


def test_arrays_are_resized_by_the_same_steps(photo: Image.Image) -> None:
    image = np.asarray(photo.resize((100, 70)))
    for record in (COLOUR, GREY, Preprocessing(size=(30, 31), channels=1, resize="crop")):
        expected = read_picture(encode_png(image), "png", record)
        assert (resize_images(image[None], record)[0] == expected).all()
    assert resize_images(image[None], Preprocessing()).shape == (1, 70, 100, 3)
    grey = image[None, ..., 0]
    assert resize_images(grey, Preprocessing(size=(70, 100), channels=1)) is grey


# ── what is no picture ───────────────────────────────────────────────────────────────────────────────────────


def test_a_picture_that_is_cut_off_is_named(photo: Image.Image) -> None:
    for content in (encoded(photo), encoded(photo, "JPEG"), encoded(photo, "TIFF"), encoded(photo, "WEBP")):
        with pytest.raises(DataError, match=r"^a\.png: a picture \(PNG, JPEG"):
            read_picture(content[: len(content) // 2], "a.png", COLOUR)


@pytest.mark.parametrize("content", [b"", b"hello", b"%PDF-1.4", b"<svg xmlns='http://www.w3.org/2000/svg'/>"])
def test_what_is_no_picture_is_named(content: bytes) -> None:
    for read in (lambda: read_picture(content, "a.png", COLOUR), lambda: probe_picture(content, "a.png")):
        with pytest.raises(DataError, match=r"^a\.png: a picture \(PNG, JPEG"):
            read()


@pytest.mark.parametrize("side", [8_000, 20_000])
def test_a_bomb_is_refused_before_it_is_decoded(side: int) -> None:
    bomb = encoded(Image.new("1", (side, side)))
    for read in (lambda: read_picture(bomb, "a.png", COLOUR), lambda: probe_picture(bomb, "a.png")):
        with pytest.raises(DataError, match=r"^a\.png: at most 50,000,000 pixels expected"):
            read()


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_what_needs_nothing_is_given_as_it_was_written_whatever_stands_beside_the_pixels(mode: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28) if mode == "L" else (28, 28, 3), dtype=np.uint8)
    upright = Image.Exif()
    upright[0x0112] = 1
    kinds: dict[str, dict[str, Any]] = {"bare": {}, "dpi": {"dpi": (72, 72)}, "EXIF": {"exif": upright}}
    for name, options in kinds.items():
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG", **options)
        record = Preprocessing(size=(28, 28), channels=1 if mode == "L" else 3, photo="none")
        np.testing.assert_array_equal(read_picture(file.getvalue(), name, record), pixels)


@pytest.mark.parametrize(("mode", "channels", "lost"), [("RGB", 1, True), ("RGB", 3, False), ("L", 1, False)])
def test_it_is_told_where_colour_is_lost(photo: Image.Image, mode: str, channels: int, lost: bool) -> None:
    file = io.BytesIO()
    photo.convert(mode).save(file, "PNG")
    seen = see_picture(file.getvalue(), "photo", Preprocessing(size=(20, 20), channels=channels, photo="none"))
    assert (seen.size, seen.lost_colour) == ((photo.height, photo.width), lost)


def test_a_grey_picture_kept_in_three_channels_loses_no_colour(photo: Image.Image) -> None:
    file = io.BytesIO()
    photo.convert("L").convert("RGB").save(file, "JPEG")
    assert not see_picture(file.getvalue(), "photo", Preprocessing(size=(20, 20), channels=1)).lost_colour


@pytest.mark.parametrize("options", [{}, {"dpi": (72, 72)}, {"exif": True}, {"cut": True}, {"format": "BMP"}])
def test_the_size_in_the_head_of_bytes_is_the_one_that_the_file_tells(photo: Image.Image, options: Any) -> None:
    file = io.BytesIO()
    turned = Image.Exif()
    turned[0x0112] = 6
    given = {"exif": turned} if "exif" in options else {key: options[key] for key in options if key == "dpi"}
    photo.crop((0, 0, 50, 30)).save(file, options.get("format", "PNG"), **given)
    content = file.getvalue()[: 60 if "cut" in options else None]
    expected = (50, 30) if "exif" in options else (30, 50)
    assert probe_size(content, "bytes") == probe_size(io.BytesIO(content), "file") == expected
