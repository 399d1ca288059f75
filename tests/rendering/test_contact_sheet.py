import base64
import io

import numpy as np
import pytest
from PIL import Image

from fittingroom.rendering import contact_sheet as sheets
from fittingroom.rendering.contact_sheet import PAPER, Row, contact_sheet, png_uri


def random_images(count: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width), np.uint8)


@pytest.mark.parametrize(("height", "width", "scale"), [(28, 28, 4), (14, 28, 4), (8, 8, 14), (200, 256, 1)])
def test_every_pixel_is_a_crisp_square(height: int, width: int, scale: int) -> None:
    images = random_images(2, height, width)
    sheet = np.asarray(contact_sheet([Row("Coat", "2 images", images)], title="x"))
    tile = np.repeat(np.repeat(images[1], scale, 0), scale, 1)
    right = sheet.shape[1] - int(np.argmax((sheet[:, ::-1] != PAPER).any((0, 2))))
    bottom = sheet.shape[0] - int(np.argmax((sheet[::-1] != PAPER).any((1, 2))))
    column = sheet[:bottom, right - tile.shape[1] : right, 0]
    rows = [top for top in range(len(column) - len(tile) + 1) if np.array_equal(column[top : top + len(tile)], tile)]
    assert len(rows) == 1


def test_colour_and_grey_stand_on_one_sheet() -> None:
    grey = random_images(2, 28, 28)
    colour = np.stack([grey, 255 - grey, grey // 2], axis=-1)
    both = [Row("grey", "", grey), Row("colour", "", colour)]
    sheet = np.asarray(contact_sheet(both, title="x"))
    for tile in (np.stack([grey[0]] * 3, axis=-1), colour[0]):
        enlarged = np.repeat(np.repeat(tile, 4, 0), 4, 1)
        corners = np.argwhere((sheet[:-111, :-111] == enlarged[0, 0]).all(axis=2))
        assert any(np.array_equal(sheet[y : y + 112, x : x + 112], enlarged) for y, x in corners)


def test_a_data_uri_keeps_the_colours_and_is_reduced() -> None:
    image = np.zeros((128, 64, 3), np.uint8)
    image[:, :32] = (200, 30, 90)

    for longest, size in ((None, (64, 128)), (64, (32, 64))):
        content = base64.b64decode(png_uri(image, longest).removeprefix("data:image/png;base64,"))
        with Image.open(io.BytesIO(content)) as picture:
            assert (picture.size, picture.mode) == (size, "RGB")
            assert picture.getpixel((0, 0)) == (200, 30, 90)


def test_sheet_grows_with_rows_and_columns_and_keeps_its_margin() -> None:
    few = contact_sheet([Row("a", "", random_images(2, 28, 28))], title="x")
    many = contact_sheet([Row("a", "", random_images(12, 28, 28))] * 10, title="x")
    assert many.width > few.width
    assert many.height > few.height
    pixels = np.asarray(many)
    edges = [pixels[:60], pixels[-60:], pixels[:, :60], pixels[:, -60:]]
    assert all((edge == PAPER).all() for edge in edges)


def test_long_names_and_other_scripts_fit() -> None:
    images = random_images(1, 28, 28)
    short = contact_sheet([Row("Bag", "", images)], title="x")
    long = contact_sheet([Row("Handtasche für den Abend", "", images), Row("каска ×", "", images)], title="x")
    assert long.width > short.width


def test_sheet_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a row"):
        contact_sheet([], title="x")


def test_letters_of_other_scripts_are_drawn_where_any_typeface_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib import get_data_path

    # The first of the system's is not the one that has them, and a note has them alone.
    faces = tuple(f"{get_data_path()}/fonts/ttf/{name}.ttf" for name in ("cmr10", "DejaVuSans"))
    monkeypatch.setattr(sheets, "SYSTEM_TYPEFACES", faces)
    images = random_images(1, 28, 28)
    drawn = {note: contact_sheet([Row("a", note, images)], title="x").tobytes() for note in ("Ж", "Щ")}
    assert drawn["Ж"] != drawn["Щ"]
