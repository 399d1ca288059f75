"""What picture files cost, and that bounding it changes no pixel."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fittingroom.data import picture_file
from fittingroom.data.picture_file import opaque_8_bit, open_picture, probe_picture
from fittingroom.errors import DataError

RANDOM = np.random.default_rng(0).integers(0, 256, (97, 61, 4), dtype=np.uint8)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        saved(Image.fromarray(RANDOM), "PNG"),
        saved(Image.fromarray(RANDOM), "WEBP", lossless=True),
        saved(Image.fromarray(RANDOM).convert("LA"), "PNG"),
        saved(Image.fromarray(RANDOM).convert("RGB").quantize(16), "PNG", transparency=3),
        saved(Image.fromarray(RANDOM).convert("RGB").quantize(16), "GIF", transparency=3),
        saved(Image.fromarray(RANDOM).convert("RGB"), "PNG", transparency=tuple(RANDOM[0, 0, :3].tolist())),
    ],
    ids=["RGBA", "WebP", "LA", "palette", "GIF", "one colour"],
)
def test_a_picture_that_is_laid_on_its_background_in_strips_has_the_same_pixels(
    content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = []
    for strip in (1_000_000, 610, 1):
        monkeypatch.setattr(picture_file, "STRIP", strip)
        with open_picture(content, "picture") as picture:
            images.append(np.asarray(opaque_8_bit(picture, (10, 20, 30))))

    np.testing.assert_array_equal(images[1], images[0])
    np.testing.assert_array_equal(images[2], images[0])


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 50}], ids=["lossless", "lossy"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_the_size_of_a_webp_is_known_before_it_is_opened(
    mode: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = saved(Image.new(mode, (300, 7)), "WEBP", **options)
    assert probe_picture(content, "w").size == (7, 300)

    monkeypatch.setattr(picture_file, "MAX_WEBP_PIXELS", 2_099)
    with pytest.raises(DataError, match="a WebP of at most 2,099 pixels expected, 2,100 found"):
        probe_picture(content, "w")


def test_ordinary_progressive_jpegs_are_read() -> None:
    for mode in ("L", "RGB"):
        content = saved(Image.new(mode, (400, 300)), "JPEG", progressive=True, quality=95)
        assert probe_picture(content, "j").size == (300, 400)
