import io
import os
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fittingroom.data.dataset import Dataset, Splits
from fittingroom.data.formats.image_folder import read_image_folder
from fittingroom.errors import DataError
from tests.support.same import assert_same

GREY = np.arange(16, dtype=np.uint8).reshape(4, 4) * 16


def save(path: Path, image: NDArray[np.uint8] = GREY, mode: str | None = None, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(image)
    (picture.convert(mode) if mode else picture).save(path, **options)


def write_set(folder: Path, part: Dataset, suffix: str = ".png") -> None:
    assert part.labels is not None
    for number, (image, label) in enumerate(zip(part.images, part.labels, strict=True)):
        save(folder / part.classes[label] / f"{number}{suffix}", image)


def by_class(part: Dataset | None) -> Dataset:
    """The order in which a folder holds the images."""
    assert part is not None
    assert part.labels is not None
    return part.subset(np.argsort(part.labels, kind="stable"))


def test_train_and_test_folders(tmp_path: Path, tiny: Splits) -> None:
    assert tiny.test is not None
    write_set(tmp_path / "train", tiny.train)
    write_set(tmp_path / "test", tiny.test)
    write_set(tmp_path / "val", tiny.test)
    data = read_image_folder(tmp_path)

    assert_same(data.train, by_class(tiny.train))
    assert_same(data.test, by_class(tiny.test))
    assert_same(data.validation, by_class(tiny.test))


def test_one_level_of_classes_is_train(tmp_path: Path, tiny: Splits) -> None:
    write_set(tmp_path, tiny.train)
    (tmp_path / "README.txt").write_text("not a picture")
    (tmp_path / ".git").mkdir()
    (tmp_path / "0" / ".DS_Store").write_bytes(b"")
    (tmp_path / "0" / "notes.txt").write_text("not a picture")
    data = read_image_folder(tmp_path)

    assert_same(data.train, by_class(tiny.train))
    assert data.test is None


def test_classes_and_files_are_in_natural_order(tmp_path: Path) -> None:
    for name in ("10", "9", "1", "b2", "b10", "a"):
        for number in (1, 10, 2):
            save(tmp_path / name / f"{number}.png", np.full((2, 2), number, np.uint8))
    train = read_image_folder(tmp_path).train
    assert train.classes == ("1", "9", "10", "a", "b2", "b10")
    assert train.images[:3, 0, 0].tolist() == [1, 2, 10]


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".gif", ".webp", ".PNG"])
@pytest.mark.parametrize("mode", [None, "RGB", "LA", "RGBA"])
def test_grey_in_any_format_and_mode_is_taken_exactly(tmp_path: Path, suffix: str, mode: str | None) -> None:
    if suffix in (".bmp", ".gif") and mode in ("LA", "RGBA"):
        pytest.skip("the format has no transparency of this kind")
    for name in ("a", "b"):
        save(tmp_path / name / f"1{suffix}", mode=mode, lossless=True)  # which only WebP heeds
    np.testing.assert_array_equal(read_image_folder(tmp_path).train.images, [GREY, GREY])


def test_jpeg_is_taken(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / name / "1.jpg", quality=95)
    assert np.abs(read_image_folder(tmp_path).train.images.astype(int) - GREY).max() < 16


def test_moving_gif_gives_its_first_frame(tmp_path: Path) -> None:
    later = [Image.fromarray(255 - GREY)]
    for name in ("a", "b"):
        save(tmp_path / name / "1.gif", save_all=True, append_images=later)
    np.testing.assert_array_equal(read_image_folder(tmp_path).train.images[0], GREY)


def test_part_that_lacks_a_class_keeps_trains_numbers(tmp_path: Path) -> None:
    for name in ("train/a", "train/b", "train/c", "test/c"):
        save(tmp_path / name / "1.png")
    test = read_image_folder(tmp_path).test
    assert test is not None
    assert test.labels is not None
    assert (test.classes, test.labels.tolist()) == (("a", "b", "c"), [2])


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def png(image: NDArray[Any], mode: str | None = None) -> bytes:
    memory = io.BytesIO()
    picture = Image.fromarray(image)
    (picture.convert(mode) if mode else picture).save(memory, "PNG")
    return memory.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged or other content found"),
        (b"no picture", "damaged or other content found"),
        (png(GREY)[:50], "damaged or other content found"),
        (png(GREY)[:40] + b"\xff" * 10 + png(GREY)[50:], "damaged or other content found"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "damaged or other content found"),
        (png(GREY[:3]), r"4×4 pixels expected as in 1.png, 3×4 found"),
        (png(np.zeros((257, 4), np.uint8)), "at most 256 pixels a side expected, 257×4 found"),
        (png_that_claims(2**31 - 1, 2**31 - 1), "at most 256 pixels a side expected"),
        (png_that_claims(60_000, 60_000), "at most 256 pixels a side expected"),
        (png_that_claims(0, 0), "damaged or other content found"),
        (png(GREY.astype(np.uint16) * 256), "8-bit grey expected, mode I;16 found"),
        (png(np.stack([GREY, GREY, GREY.T], -1)), "a grey picture expected, colour found"),
        (png(np.stack([GREY] * 4, -1)), "an opaque picture expected, transparency found"),
    ],
)
def test_bad_picture_is_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    for name in ("a", "b"):
        save(tmp_path / name / "1.png")
    (tmp_path / "b" / "2.png").write_bytes(content)
    start = time.perf_counter()
    with pytest.raises(DataError, match=rf"b.2\.png: .*{message}"):
        read_image_folder(tmp_path)
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "folders named after classes, with pictures in them, expected, none found"),
        (["1.png"], "folders named after classes, with pictures in them, expected, none found"),
        (["a/1.txt", "b/1.txt"], "in folders named after classes expected, none found"),
        (["a/1.png"], "2 to 1,000 classes expected, 1 found"),
        (["a/1.png", "b/1.png", "1.png"], r"1\.png: a picture inside a folder named after its class expected"),
        (["train/a/1.png", "train/1.png"], r"train.1\.png: a picture inside a folder named after its class expected"),
        (["train/a/1.png", "train/b/1.png", "test/1.png"], "test: .* in folders named after classes expected"),
        (["train/a/1.png", "train/b/1.png", "c/1.png"], r"either parts \(train\) or classes expected, c found too"),
        (["train/a/1.png", "training/a/1.png"], r"either parts .* or classes expected, train(ing)? found too"),
        (["a/1.png", "b/1.png", "b/deep/1.png"], r"b.deep: a class's folder holds pictures only, a folder found"),
        (["train/a/1.png", "train/b/1.png", "test/x/1.png"], r"test.x: a class of train expected \(a, b\)"),
    ],
)
def test_wrong_layout_is_refused_with_its_place(tmp_path: Path, files: list[str], message: str) -> None:
    for file in files:
        save(tmp_path / file, format="PNG")
    with pytest.raises(DataError, match=message):
        read_image_folder(tmp_path)


@pytest.mark.parametrize("link", ["loop", "a/loop", "a/self.png", "a/nowhere.png"])
def test_loops_of_links_and_broken_links_are_refused(tmp_path: Path, link: str) -> None:
    for name in ("a", "b"):
        save(tmp_path / name / "1.png")
    targets: dict[str, Path | str] = {
        "loop": tmp_path,
        "a/loop": tmp_path,
        "a/self.png": "self.png",
        "a/nowhere.png": "nowhere",
    }
    (tmp_path / link).symlink_to(targets[link])

    with pytest.raises(DataError, match=r"(loop/b|loop|self\.png|nowhere\.png): "):
        read_image_folder(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes in folders")
def test_pipe_and_huge_file_are_refused_without_being_read(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / name / "1.png")
    with (tmp_path / "a" / "2.png").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(DataError, match=r"2\.png: a small picture of at most 16,777,216 bytes expected, more found"):
        read_image_folder(tmp_path)

    (tmp_path / "a" / "2.png").unlink()
    os.mkfifo(tmp_path / "a" / "2.png")
    with pytest.raises(DataError, match=r"2\.png: a file expected, a broken link, device or pipe found"):
        read_image_folder(tmp_path)


def test_linked_classes_and_pictures_are_followed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / "store" / name / "1.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").symlink_to(tmp_path / "store" / "a")
    (tmp_path / "data" / "b").mkdir()
    (tmp_path / "data" / "b" / "1.png").symlink_to(tmp_path / "store" / "b" / "1.png")
    assert len(read_image_folder(tmp_path / "data").train) == 2
