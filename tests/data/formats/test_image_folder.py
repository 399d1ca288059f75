import io
import os
import struct
import sys
import time
import warnings
import zlib
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

from fittingroom.cli import main
from fittingroom.data.cache import cache_entries
from fittingroom.data.dataset import Dataset
from fittingroom.data.formats.image_folder import read_image_folder
from fittingroom.data.open import open_dataset
from fittingroom.data.picture_file import SUFFIXES
from fittingroom.data.preprocessing import Preprocessing, read_picture
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError
from tests.support.same import assert_same

GREY = np.arange(16, dtype=np.uint8).reshape(4, 4) * 16


def save(path: Path, image: NDArray[Any] = GREY, mode: str | None = None, **options: Any) -> None:
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


def test_the_folder_that_one_stands_in_is_called_by_its_name(
    tmp_path: Path, tiny: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(tmp_path / "鞋" / "train", tiny.train)
    monkeypatch.chdir(tmp_path / "鞋")
    assert open_dataset(".").train.name == "鞋 train"


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
        (png_that_claims(2**31 - 1, 2**31 - 1), "at most 50,000,000 pixels expected"),
        (png_that_claims(60_000, 60_000), "at most 50,000,000 pixels expected"),
        (png_that_claims(10_000, 10_000), "at most 50,000,000 pixels expected"),
        (png_that_claims(0, 0), "damaged or other content found"),
        (png_that_claims(100, 100), "damaged or other content found"),
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
        (["a/1.png"], "two classes or more expected, pictures found in a alone: if it holds one .*; else lay those of"),
        (
            ["images/1.png", "metadata.xlsx"],
            r"images alone: .*; else if metadata\.xlsx beside them says .* save it as",
        ),
        (["fold_1/a/1.png", "fold_2/a/1.png"], "fold_1, fold_2 found, which by their names are pieces of one set: lay"),
        (["images_part_1/1.png", "images_part_2/2.png"], "pieces of one set: .*; if these are the classes, call the"),
        (["images/train/1.png", "images/val/2.png"], "images.train: .*, they lie outside of any: lay those of each"),
        (["a/1.avif", "b/1.AVIF"], r"none found, but 2 \.avif; \.avif is not read: convert such pictures to PNG"),
        (
            [
                "seg_train/seg_train/a/1.png",
                "seg_train/seg_train/b/1.png",
                "seg_test/seg_test/a/1.png",
                "seg_pred/1.png",
            ],
            r"seg_pred found too: move it, or give .*seg_train.seg_train, and with `test` .*seg_test.seg_test",
        ),
        (["a/1.png", "b/1.png", "1.png"], r"1\.png: a picture inside a folder named after its class expected"),
        (["train/a/1.png", "train/1.png"], r"train.1\.png: a picture inside a folder named after its class expected"),
        (["train/a/1.png", "train/b/1.png", "val/1.png"], "val: .* in folders named after classes expected"),
        (["train/1.png", "test/1.png"], "(train|test): .* in folders named after classes expected"),
        (["train/a/1.png", "train/b/1.png", "c/1.png"], r"either parts \(train\) or classes expected, c found too"),
        (["train/a/1.png", "training/a/1.png"], r"one folder of the train part expected, train and training found"),
        (["a/train/1.png", "a/test/1.png", "b/train/1.png"], r"a: parts that hold classes expected .*test/a.*turn the"),
        (["photos/a/1.png", "photos/b/1.png"], r"photos alone found: give .*photos, where a, b lie"),
        (["up/photos/train/a/1.png", "up/photos/test/b/1.png"], r"give .*up.photos, where test, train lie"),
        (["a/1.heic", "b/1.HEIC", "b/x.txt"], r"none found, but 2 \.heic, 1 \.txt; HEIC is not read: convert"),
        (
            ["train/a/1.png", "train/b/1.png", "test/x/1.png"],
            r"test.x: a class of train expected \(a, b\), .* rename it",
        ),
    ],
)
def test_wrong_layout_is_refused_with_its_place(tmp_path: Path, files: list[str], message: str) -> None:
    for file in files:
        save(tmp_path / file, format="PNG")
    with pytest.raises(DataError, match=message):
        read_image_folder(tmp_path)


def test_a_test_part_may_lie_in_no_classes_and_has_no_labels_then(tmp_path: Path, tiny: Splits) -> None:
    """As competitions give it: train/<class>/*.png, and test/*.png to be answered."""
    write_set(tmp_path / "train", tiny.train)
    for number, image in enumerate(tiny.train.images[:3]):
        save(tmp_path / "test" / f"{10 - number}.png", image)
    data = read_image_folder(tmp_path)
    assert_same(data.train, by_class(tiny.train))
    assert data.test is not None
    assert data.test.labels is None
    assert data.test.files == ("test/8.png", "test/9.png", "test/10.png")
    np.testing.assert_array_equal(data.test.images, tiny.train.images[:3][::-1])
    assert "the pictures of test lie in no folders of classes: they have no labels" in data.notes


def test_pixels_with_decimals_are_called_what_they_are(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / name / "1.tif", (GREY / 255).astype(np.float32))
    with pytest.raises(DataError, match=r"1\.tif: pixels of 8 or 16 bits expected, ones with decimals found"):
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
    with pytest.raises(DataError, match=r"2\.png: a picture of at most 268,435,456 bytes expected"):
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


# ── pictures as they come ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    """Real photos in colour, of four sizes."""
    china, flower = (Image.fromarray(image) for image in load_sample_images().images)
    return [china, flower.resize((300, 500)), china.crop((0, 0, 200, 90)), flower]


def write_photos(folder: Path, photos: list[Image.Image], names: tuple[str, ...] = ("a", "b")) -> None:
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number, photo in enumerate(photos):
            photo.save(folder / name / f"{number}.jpg", quality=90)


def test_photos_of_several_sizes_become_64_by_64_in_colour_and_that_is_said(
    tmp_path: Path, photos: list[Image.Image]
) -> None:
    write_photos(tmp_path, photos)
    data = open_dataset(tmp_path)
    assert data.train.images.shape == (8, 64, 64, 3)
    assert data.preprocessing == Preprocessing(size=(64, 64), channels=3)
    assert data.notes == (
        "pictures of 3 sizes, 90×200 to 427×640, become 64×64 (resize = pad); size = [height, width] sets another",
    )
    assert repr(data.train) == f"Dataset('{tmp_path.name} train': 8 images 64×64 colour, 2 classes)"
    assert data.train.files == tuple(f"{name}/{number}.jpg" for name in "ab" for number in range(4))


def test_the_reader_makes_of_each_file_what_read_picture_makes_of_it(tmp_path: Path, photos: list[Image.Image]) -> None:
    write_photos(tmp_path, photos)
    asked = Preprocessing(size=(40, 56), channels=1, resize="crop")
    data = open_dataset(tmp_path, preprocessing=asked)
    assert data.preprocessing == asked
    assert data.notes == ("made grey: 8 of 8 pictures, which are in colour",)
    assert data.train.files is not None
    for file, image in zip(data.train.files, data.train.images, strict=True):
        assert (read_picture((tmp_path / file).read_bytes(), file, asked) == image).all()


def test_what_was_resolved_reads_the_same_again(tmp_path: Path, photos: list[Image.Image]) -> None:
    write_photos(tmp_path, photos)
    first = open_dataset(tmp_path, cache=False)
    again = open_dataset(tmp_path, cache=False, preprocessing=first.preprocessing)
    assert (first.train.images == again.train.images).all()
    assert first.preprocessing == again.preprocessing


def test_photos_of_one_size_above_256_become_64_by_64(tmp_path: Path, photos: list[Image.Image]) -> None:
    write_photos(tmp_path, photos[:1])
    data = read_image_folder(tmp_path)
    assert data.train.image_size == (64, 64)
    assert data.notes == ("pictures of 427×640 become 64×64 (resize = pad); size = [height, width] sets another",)


def test_small_pictures_of_one_size_keep_it_and_every_pixel(tmp_path: Path, photos: list[Image.Image]) -> None:
    small = [photo.resize((50, 30)) for photo in photos]
    for name, pictures in (("a", small[:2]), ("b", small[2:])):
        for number, picture in enumerate(pictures):
            save(tmp_path / name / f"{number}.png", np.asarray(picture))
    data = read_image_folder(tmp_path)
    assert (data.train.images == np.stack([np.asarray(picture) for picture in small])).all()
    assert data.notes == ()


@pytest.mark.parametrize("quality", [50, 95])
def test_grey_photos_that_were_saved_as_webp_are_grey(tmp_path: Path, photos: list[Image.Image], quality: int) -> None:
    """Lossy WebP has no grey: R, G and B of a grey photo come back a level apart here and there."""
    for number, photo in enumerate(photos[:6]):
        (tmp_path / "ab"[number % 2]).mkdir(exist_ok=True)
        photo.convert("L").save(tmp_path / "ab"[number % 2] / f"{number}.webp", quality=quality)
    data = read_image_folder(tmp_path)
    assert data.train.channels == 1
    assert not [note for note in data.notes if "colour" in note]


def test_one_coloured_picture_makes_the_folder_colour_and_that_is_said(tmp_path: Path) -> None:
    for number in range(5):
        save(tmp_path / "a" / f"{number}.png")
        save(tmp_path / "b" / f"{number}.png")
    save(tmp_path / "b" / "5.png", np.stack([GREY, GREY, GREY.T], -1))
    data = read_image_folder(tmp_path)
    assert data.train.channels == 3
    assert (data.train.images[0] == GREY[..., None]).all()
    assert data.notes == (
        "read in colour, as 1 of 11 pictures looked at is coloured; channels = 1 makes all of them grey",
    )
    assert read_image_folder(tmp_path, Preprocessing(channels=1)).train.channels == 1


def test_the_parts_are_made_like_train_and_that_is_said(tmp_path: Path) -> None:
    for name in ("train/a", "train/b", "test/b"):
        save(tmp_path / name / "1.png")
    save(tmp_path / "test" / "a" / "1.png", np.zeros((9, 9), np.uint8))
    data = read_image_folder(tmp_path)
    assert data.test is not None
    assert data.test.image_size == (4, 4)
    assert data.notes == ("test: 1 pictures of other sizes than train's become 4×4 (pad)",)


def test_pictures_of_a_test_set_elsewhere_are_made_like_train(tmp_path: Path, photos: list[Image.Image]) -> None:
    for name in ("a", "b"):
        save(tmp_path / "mine" / name / "1.png")
    write_photos(tmp_path / "theirs", photos)
    data = open_dataset(tmp_path / "mine", test=tmp_path / "theirs")
    assert data.test is not None
    assert data.test.images.shape == (8, 4, 4)


def test_16_bits_transparency_and_a_turned_jpeg_are_read(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a", "b"):
        save(tmp_path / name / "1.png", GREY.astype(np.uint16) * 257)
        save(tmp_path / name / "2.png", np.dstack([GREY] * 3 + [np.zeros_like(GREY)]))
        save(tmp_path / name / "3.jpg", np.repeat([[0, 255]], 4, axis=0).repeat(2, axis=1).astype("u1"), exif=exif)
    images = read_image_folder(tmp_path).train.images
    assert (images[0] == GREY).all()
    assert (images[1] == 255).all()
    assert (images[2, :2] < 20).all()
    assert (images[2, 2:] > 235).all()


# ── folders as they come ─────────────────────────────────────────────────────────────────────────────────────


def test_every_suffix_of_pictures_is_read_and_the_others_are_counted(tmp_path: Path) -> None:
    for suffix in (*SUFFIXES[1:], ".PNG"):
        for name in ("a", "b"):
            kind = {".jfif": "JPEG", ".tif": "TIFF", ".pnm": "PPM"}.get(suffix)
            save(tmp_path / name / f"1{suffix}", format=kind)
    for name in ("1.heic", "2.HEIC", "notes.txt"):
        (tmp_path / "a" / name).write_bytes(b"")
    data = read_image_folder(tmp_path)
    assert len(data.train) == 2 * len(list((tmp_path / "b").iterdir()))
    assert data.notes[0] == "left out, as their names are not those of pictures: 2 .heic, 1 .txt"
    assert "heif-convert" in data.notes[1]


def test_traffic_signs_as_they_are_published_are_read(tmp_path: Path) -> None:
    """Final_Training/Images/<class>, with a table in each, and Final_Test/Images, whose table numbers the classes."""
    signs, test = tmp_path / "Final_Training" / "Images", tmp_path / "Final_Test" / "Images"
    for number in range(3):
        save(signs / f"{number:05}" / "00000_00000.ppm")
        save(test / f"{number:05}.ppm")
        (signs / f"{number:05}" / f"GT-{number:05}.csv").write_text("Filename;ClassId\n")
    (test / "GT-final_test.csv").write_text("Filename;Width;ClassId\n00000.ppm;4;2\n00001.ppm;4;0\n00002.ppm;4;1\n")

    data = open_dataset(tmp_path)
    assert data.train.classes == ("00000", "00001", "00002")
    assert data.test is not None
    assert data.test.labels is None
    judged = open_dataset(signs, test=test / "GT-final_test.csv").test
    assert judged is not None
    assert judged.labels is not None
    assert judged.labels.tolist() == [2, 0, 1]


@pytest.mark.parametrize("beside", ["test", "test1"])
def test_pictures_that_nobody_has_sorted_are_no_classes_train_and_test1(tmp_path: Path, beside: str) -> None:
    """As the cats and dogs of a well-known competition come: train/cat.0.jpg, test1/1.jpg."""
    for name in ("train/cat.0.jpg", "train/dog.0.jpg", f"{beside}/1.jpg"):
        save(tmp_path / name)
    with pytest.raises(DataError, match=r"train: pictures in folders named after classes .*: lay those of each class"):
        open_dataset(tmp_path)
    (tmp_path / "train" / "metadata.csv").write_text("file_name,label\ncat.0.jpg,cat\ndog.0.jpg,dog\n")
    with pytest.raises(DataError, match=r"if metadata.csv beside them says what they are, give that table"):
        open_dataset(tmp_path)


def test_a_table_beside_folders_of_classes_is_said_not_to_be_read(tmp_path: Path) -> None:
    """Whoever keeps the classes in the table has to know that it was not asked."""
    for name in ("cats", "dogs"):
        save(tmp_path / name / "1.png")
    (tmp_path / "metadata.csv").write_text("image_id,dx\n1,mel\n")
    assert "not read, as the folders are the classes: metadata.csv" in open_dataset(tmp_path).notes


def test_what_systems_leave_behind_is_passed_over_without_a_word(tmp_path: Path) -> None:
    for name in ("a", "b", "__MACOSX/a", "@eaDir/x", ".thumbnails"):
        save(tmp_path / name / "1.png")
    for name in ("a/.DS_Store", "a/Thumbs.db", "b/._1.png", ".DS_Store"):
        (tmp_path / name).write_bytes(b"junk")
    data = read_image_folder(tmp_path)
    assert data.train.classes == ("a", "b")
    assert len(data.train) == 2
    assert data.notes == ()


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "val", "test"),
        ("Training", "Validation", "Testing"),
        ("TRAIN", "valid", "TEST"),
        ("train_set", "dev", "test set"),
        ("training-data", "dev_set", "test_images"),
        ("train/train", "val", "test/test"),
        ("seg_train/seg_train", "seg_val", "seg_test/seg_test"),
        ("images train", "images val", "images test"),
    ],
)
def test_parts_in_their_usual_spellings(tmp_path: Path, train: str, validation: str, test: str) -> None:
    for part, n in ((train, 3), (validation, 2), (test, 1)):
        for name, number in product(("a", "b"), range(n)):
            save(tmp_path / part / name / f"{number}.png")
    data = read_image_folder(tmp_path)
    assert data.validation is not None
    assert data.test is not None
    assert (len(data.train), len(data.validation), len(data.test)) == (6, 4, 2)


def test_words_of_parts_in_the_names_of_classes_make_no_parts(tmp_path: Path) -> None:
    for name in ("test tube", "train station", "validation stamp"):
        save(tmp_path / name / "1.png")
    assert read_image_folder(tmp_path).train.classes == ("test tube", "train station", "validation stamp")


def test_runs_that_lie_beside_the_classes_are_no_class(tmp_path: Path) -> None:
    """Whoever trains in the folder of the classes has runs/plain-1/loss.png there the next time."""
    for name in ("a", "b", "runs/plain-1", "runs/seeds/seed-0"):
        save(tmp_path / name / "1.png")
    for run in ("plain-1", "seeds/seed-0", "seeds"):
        for file in ("recipe.toml", "environment.json"):
            (tmp_path / "runs" / run / file).touch()
    save(tmp_path / "data-train-contact-sheet.png")  # what `data show` leaves there
    data = read_image_folder(tmp_path)
    assert data.train.classes == ("a", "b")
    assert data.notes == ("not taken for classes, as no pictures lie in them: runs",)


def test_a_part_without_pictures_is_left_out_and_that_is_said(tmp_path: Path) -> None:
    for name in ("train/a", "train/b"):
        save(tmp_path / name / "1.png")
    (tmp_path / "test").mkdir()
    data = read_image_folder(tmp_path)
    assert data.test is None
    assert data.notes == ("no pictures lie in test: it is left out",)


def test_a_class_called_train_beside_others_is_a_class(tmp_path: Path) -> None:
    for name in ("bus", "car", "train"):
        save(tmp_path / name / "1.png")
    data = read_image_folder(tmp_path)
    assert data.train.classes == ("bus", "car", "train")
    assert data.notes == ("train taken for a class, for pictures lie in it and no folders of classes",)


def test_pictures_at_any_depth_belong_to_the_folder_at_the_top(tmp_path: Path) -> None:
    for file in ("cat/1.png", "cat/black/old/2.png", "cat/white/3.png", "dog/black/1.png"):
        save(tmp_path / file)
    data = read_image_folder(tmp_path)
    assert data.train.classes == ("cat", "dog")
    assert data.train.class_counts().tolist() == [3, 1]
    assert data.train.files is not None
    assert data.train.files[1] == "cat/black/old/2.png"
    assert data.notes == ("pictures in folders inside a class's folder (black, white) count for that class",)


def test_a_folder_without_pictures_is_no_class_and_that_is_said(tmp_path: Path) -> None:
    for name in ("train/a", "train/b", "test/a"):
        save(tmp_path / name / "1.png")
    (tmp_path / "train" / "labels").mkdir()
    (tmp_path / "test" / "b").mkdir()
    data = read_image_folder(tmp_path)
    assert data.train.classes == ("a", "b")
    assert data.notes == ("not taken for classes, as no pictures lie in them: labels",)


def test_class_names_are_in_nfc_and_files_as_they_are_on_disk(tmp_path: Path) -> None:
    for name in ("cafe\u0301", "the\u0301"):
        save(tmp_path / name / "1.png")
    data = read_image_folder(tmp_path)
    assert data.train.classes == ("caf\u00e9", "th\u00e9")
    assert data.train.files is not None
    assert all((tmp_path / file).exists() for file in data.train.files)


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux alone")
@pytest.mark.parametrize("is_folder", [True, False])
def test_names_that_are_not_utf8_are_refused_at_once(tmp_path: Path, is_folder: bool) -> None:
    for name in ("a", "b"):
        save(tmp_path / name / "1.png")
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/a/" + "裤子".encode("gbk"))
    if is_folder:
        Path(odd).mkdir()
    else:
        (tmp_path / "a" / "1.png").rename(f"{odd}.png")
    with pytest.raises(DataError, match=r"a: names in UTF-8 expected, \\xbf\\xe3\\xd7\\xd3(\.png)? found: rename it"):
        open_dataset(tmp_path)
    with pytest.raises(DataError, match="a path in UTF-8 expected"):
        open_dataset(odd)


def test_broken_pictures_are_all_named_in_one_error_or_left_out(tmp_path: Path) -> None:
    for name, number in product(("a", "b"), range(4)):
        save(tmp_path / name / f"{number}.png")
    (tmp_path / "a" / "1.png").write_bytes(b"")
    (tmp_path / "b" / "3.png").write_bytes((tmp_path / "b" / "0.png").read_bytes()[:45])
    (tmp_path / "b" / "9.png").symlink_to("nowhere")

    with pytest.raises(DataError, match=r"3 of 8 .* can't be read \(`skip_broken=True` leaves them out\):") as caught:
        open_dataset(tmp_path)
    for file in ("a/1.png", "b/3.png", "b/9.png"):
        assert f"  {tmp_path / file}: " in str(caught.value)

    data = open_dataset(tmp_path, skip_broken=True)
    assert data.notes == ("left out, as they can't be read: b/9.png, a/1.png, b/3.png",)
    assert data.train.files == ("a/0.png", "a/2.png", "a/3.png", "b/0.png", "b/1.png", "b/2.png")
    assert data.train.class_counts().tolist() == [3, 3]


def test_one_broken_picture_is_named_with_the_way_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, number in product(("a", "b"), range(2)):
        save(tmp_path / name / f"{number}.png")
    (tmp_path / "a" / "1.png").write_bytes(b"")

    assert main(["data", "info", str(tmp_path)]) == 2
    assert capsys.readouterr().err.rstrip().endswith("; --skip-broken leaves it out")
    assert main(["data", "info", str(tmp_path), "--skip-broken"]) == 0


def test_a_csv_that_describes_the_pictures_does_not_hide_them(tmp_path: Path, tiny: Splits) -> None:
    write_set(tmp_path / "train", tiny.train)
    (tmp_path / "class_dict.csv").write_text("class_index,class,height,width\n0,a,8,8\n1,b,8,8\n")
    (tmp_path / "train.csv").write_text("id,species\n1,a\n")
    assert_same(open_dataset(tmp_path).train, by_class(tiny.train))


def test_folders_are_opened_once_and_then_come_from_the_cache(
    tmp_path: Path, photos: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photos(tmp_path, photos)
    first = open_dataset(tmp_path)
    small = open_dataset(tmp_path, preprocessing=Preprocessing(size=(8, 8)))
    assert small.train.image_size == (8, 8)
    assert first.preprocessing is not None

    monkeypatch.setattr("fittingroom.data.formats.image_folder.decode", None)  # nothing is read anew
    resolved = first.preprocessing.resolved_for(size=(1, 1), channels=1, photo="none")
    for asked in (None, first.preprocessing, resolved):
        again = open_dataset(tmp_path, preprocessing=asked)
        assert (again.train.images == first.train.images).all()
        assert again.train.files == first.train.files
        assert again.notes == (first.notes if asked is None else ()), "what is asked for isn't said to be decided"
        assert again.preprocessing is not None
        assert (again.preprocessing.size, again.preprocessing.channels) == ((64, 64), 3)
    assert open_dataset(tmp_path, preprocessing=Preprocessing(size=(8, 8))).train.image_size == (8, 8)
    assert len(cache_entries()) == 2


def grey_with_some_in_colour(folder: Path) -> None:
    """1,200 grey pictures in two classes, and three coloured ones that no sample of 500 from all over looks at."""
    png = io.BytesIO()
    Image.fromarray(GREY).save(png, "PNG")
    for name in ("train/a", "train/b"):
        (folder / name).mkdir(parents=True)
        for number in range(600):
            (folder / name / f"{number:04}.png").write_bytes(png.getvalue())
    looked_at = set(np.linspace(0, 1199, 500).astype(int).tolist()) | set(np.linspace(0, 1199, 20).astype(int).tolist())
    passed_over = [row for row in range(600) if row not in looked_at][:2]
    for row in passed_over:
        save(folder / "train" / "a" / f"{row:04}.png", np.stack([GREY, GREY, GREY.T], -1))
    save(folder / "test" / "b" / "red.png", np.stack([GREY, GREY, GREY.T], -1))


def test_colour_that_no_sample_saw_is_not_lost_in_silence(tmp_path: Path) -> None:
    grey_with_some_in_colour(tmp_path)
    data = read_image_folder(tmp_path)

    assert data.train.channels == 1
    (note,) = data.notes
    assert note.startswith("made grey, though in colour: 3 of 1,201 pictures, as those that were looked at are grey")
    assert note.endswith("channels = 3 keeps their colour: test/b/red.png, train/a/0001.png, train/a/0003.png")
    assert read_image_folder(tmp_path, Preprocessing(channels=3)).notes == ()


def test_a_test_set_in_colour_elsewhere_is_not_made_grey_in_silence(tmp_path: Path) -> None:
    for name in ("train/a", "train/b"):
        save(tmp_path / name / "1.png")
    save(tmp_path / "other" / "a" / "1.png")
    save(tmp_path / "other" / "b" / "red.png", np.stack([GREY, GREY, GREY.T], -1))
    data = open_dataset(tmp_path / "train", test=tmp_path / "other")
    assert data.notes == ("made grey: 1 of 2 pictures, which are in colour",)


def test_pictures_of_another_part_that_are_resized_as_train_is_are_not_said_to_differ(
    tmp_path: Path, photos: list[Image.Image]
) -> None:
    for part in ("train", "test"):
        write_photos(tmp_path / part, photos[:1])
    (note,) = read_image_folder(tmp_path).notes
    assert note.startswith("pictures of 427×640 become 64×64")


def test_the_decoding_of_each_part_is_reported_to_its_end(tmp_path: Path) -> None:
    for number in range(40):
        save(tmp_path / "train" / "ab"[number % 2] / f"{number}.png")
    save(tmp_path / "test" / "a" / "1.png")
    (tmp_path / "train" / "a" / "broken.png").write_bytes(b"no picture")
    told: list[tuple[str, int, int]] = []
    read_image_folder(tmp_path, skip_broken=True, decoding=lambda *what: told.append(what))
    assert told == [("decoding test", 1, 1), *(("decoding train", done, 41) for done in (16, 32, 41))]


def test_decoding_in_threads_leaves_the_warnings_of_the_process_alone(tmp_path: Path) -> None:
    """Each thread that silenced all warnings for a while could put back what another one had set."""
    for number in range(80):
        (tmp_path / "set" / f"class {number % 2}").mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), number).save(tmp_path / "set" / f"class {number % 2}" / f"{number}.png")

    def read_and_warn() -> None:
        open_dataset(tmp_path / "set", cache=False)
        warnings.warn("still heard", stacklevel=1)

    for _ in range(25):
        with pytest.warns(UserWarning, match="still heard"):
            read_and_warn()


def test_more_classes_than_any_set_has_are_refused_before_a_picture_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fittingroom.data.formats.image_folder.MAX_CLASSES", 3)
    for number in range(4):
        (tmp_path / f"class {number}").mkdir()
        (tmp_path / f"class {number}" / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="2 to 3 classes expected, 4 folders with pictures found"):
        read_image_folder(tmp_path)


def test_classes_that_one_may_take_for_the_same_are_named(tmp_path: Path) -> None:
    composed, apart = "caf\u00e9", "cafe\u0301"
    for name in ("Bag", "bag", "other", composed, apart):
        save(tmp_path / name / "a.png")
    data = read_image_folder(tmp_path)

    assert data.train.classes == ("Bag", "bag", composed, "other")
    assert data.train.labels is not None
    assert np.bincount(data.train.labels).tolist() == [1, 1, 2, 1]
    assert [note for note in data.notes if "class" in note] == [
        f"folders whose names differ only in how Unicode writes them are one class: {composed}",
        "'Bag' and 'bag' are classes of their own, though capital letters or blanks alone tell them apart",
    ]
