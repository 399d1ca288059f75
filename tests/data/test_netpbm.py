"""Netpbm files of every kind are read as the format says, those also that Pillow would take minutes for."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from fittingroom.data import netpbm
from fittingroom.data.picture_file import opaque_8_bit, open_picture, probe_picture, probe_size
from fittingroom.data.preprocessing import Preprocessing, read_picture
from fittingroom.errors import DataError

RANDOM = np.random.default_rng(0).integers(0, 2**16, (9, 13, 3))


def text(kind: str, white: int) -> bytes:
    values = (RANDOM if kind == "P3" else RANDOM[..., 0]) % (white + 1)
    rows = "\n# between\n".join(" ".join(map(str, row.ravel())) for row in values)
    return f"{kind}\n# a comment of 8 words and 2 numbers\n13 9{'' if kind == 'P1' else f' {white}'}\n{rows}\n".encode()


def binary(kind: str, white: int) -> bytes:
    values = (RANDOM if kind == "P6" else RANDOM[..., 0]) % (white + 1)
    return f"{kind} 13 9 {white}\n".encode() + values.astype("u1" if white < 256 else ">u2").tobytes()


KINDS = [
    *(text("P1", 1), b"P4 13 9\n" + np.packbits(RANDOM[..., 0] % 2, axis=1).tobytes()),
    *(text("P2", white) for white in (1, 37, 255, 1000, 65535)),
    *(text("P3", white) for white in (15, 255)),
    *(binary("P5", white) for white in (7, 255, 4095, 65535)),
    *(binary("P6", white) for white in (99, 255, 65535)),
]


@pytest.mark.parametrize("content", KINDS, ids=lambda content: content[:40].decode("ascii", "replace"))
def test_pixels_of_a_netpbm_file_are_those_that_pillow_reads_one_by_one(
    content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netpbm, "BLOCK", 50)
    with Image.open(io.BytesIO(content)) as picture:
        expected = np.asarray(opaque_8_bit(picture))
    with open_picture(content, "picture") as picture:
        np.testing.assert_array_equal(np.asarray(opaque_8_bit(picture)), expected)
    assert probe_size(content, "bytes") == probe_size(io.BytesIO(content), "file") == (9, 13)


@pytest.mark.parametrize("content", KINDS, ids=lambda content: content[:40].decode("ascii", "replace"))
def test_a_netpbm_file_that_is_cut_off_is_named(content: bytes) -> None:
    with pytest.raises(DataError, match=r"^cut: a picture \(PNG.*PPM\) expected"):
        read_picture(content[: len(content) // 2], "cut", Preprocessing())


@pytest.mark.parametrize(
    "bad", [b"P2 2 1 9\n1 x", b"P2 2 1 9\n-1 2", b"P1 2 1\n02", b"P5 2 1 70000\n\0\0\0\0", b"P5 0 9 9 "]
)
def test_what_is_no_pixel_is_refused(bad: bytes) -> None:
    with pytest.raises(DataError, match="damaged or other content found"):
        probe_picture(bad, "bad")


def test_values_above_white_are_white() -> None:
    with open_picture(b"P5 2 1 100\n\xff\x64", "picture") as picture:
        assert np.asarray(picture).tolist() == [[255, 255]]


def test_a_netpbm_file_of_decimals_is_refused_as_other_pictures_of_decimals_are() -> None:
    with pytest.raises(DataError, match="ones with decimals found, whose white isn't known"):
        probe_picture(b"Pf 2 1 -1.0\n" + bytes(8), "float")
