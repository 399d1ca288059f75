import numpy as np
import pytest

from fittingroom.rendering.contact_sheet import PAPER, Row, contact_sheet


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
