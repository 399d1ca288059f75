"""Data files that would take all time or memory: each ends in one message within seconds and a gigabyte."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from tests.support import parquet_pages
from tests.support.bounded import assert_bounded, run_bounded

RUN = Path(__file__).parents[1] / "golden" / "format-1" / "swift-1"
Made = tuple[Path, str]  # what to open, and words of the message


def png(side: int = 8) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def arrays(folder: Path, **more: np.ndarray) -> Path:
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    members: dict[str, Any] = {"x_train": images, "y_train": np.arange(40) % 2} | more
    np.savez(folder / "d.npz", **members)
    return folder / "d.npz"


def two_classes(folder: Path, content: bytes, suffix: str, each: int = 4) -> Path:
    for name in ("a", "b"):
        (folder / "data" / name).mkdir(parents=True)
        for number in range(each):
            (folder / "data" / name / f"{number}.{suffix}").write_bytes(content)
    return folder / "data"


def header(pixels: int) -> bytes:
    return b",".join([b"label", *(b"pixel%d" % number for number in range(1, pixels + 1))]) + b"\n"


def table(folder: Path, rows: int, **columns: list[object] | pl.Series) -> Path:
    """A Parquet file of so many equal rows, which shares one entry among all of them."""
    one = pl.DataFrame(columns)
    more = [column.new_from_index(0, rows - len(one)) for column in one]
    pl.concat([one, pl.DataFrame(more)]).write_parquet(folder / "d.parquet")
    return folder / "d.parquet"


# ── files beside the data ────────────────────────────────────────────────────────────────────────────────────


def classes_is_a_pipe(folder: Path) -> Made:
    os.mkfifo(folder / "classes.txt")
    return arrays(folder), "classes.txt: class names, one a line in UTF-8, expected; a regular file expected"


def classes_is_a_device(folder: Path) -> Made:
    (folder / "classes.txt").symlink_to("/dev/zero")
    return arrays(folder), "classes.txt: class names, one a line in UTF-8, expected; a regular file expected"


def classes_has_holes(folder: Path) -> Made:
    with (folder / "classes.txt").open("wb") as file:
        file.truncate(2 << 30)
    return arrays(folder), "at most 4,194,304 bytes expected, 2,147,483,648 found"


def pipes_and_devices_among_pictures(folder: Path) -> Made:
    data = two_classes(folder, png(), "png")
    os.mkfifo(data / "a" / "pipe.png")
    (data / "b" / "zero.png").symlink_to("/dev/zero")
    return data, "2 of 8 pictures can't be read"


def a_table_names_a_pipe(folder: Path) -> Made:
    (folder / "0.png").write_bytes(png())
    os.mkfifo(folder / "1.png")
    (folder / "t.csv").write_text("file,label\n0.png,a\n1.png,b\n")
    return folder / "t.csv", "1.png: a file expected, something else found"


def a_picture_of_8_gb(folder: Path) -> Made:
    data = two_classes(folder, png(), "png")
    with (data / "a" / "0.png").open("ab") as file:
        file.truncate(8 << 30)
    return data, "a picture of at most 268,435,456 bytes expected, 8,589,934,592 found"


# ── CSV ──────────────────────────────────────────────────────────────────────────────────────────────────────


def blank_lines(folder: Path) -> Made:
    (folder / "d.csv").write_bytes(header(4) + b"\n" * 10_000_000)
    return folder / "d.csv", "row 2, column label: a whole number 0–999 expected, an empty cell found"


def rows_of_zeros(folder: Path) -> Made:
    (folder / "d.csv").write_bytes(header(4) + b"0,0,0,0,0\n" * 5_000_000)
    return folder / "d.csv", "images that differ expected, the same one 5,000,000 times found"


def one_zero_a_row(folder: Path) -> Made:
    (folder / "d.csv").write_bytes(b"0\n" * 20_000_000)
    return folder / "d.csv", "expected"


def a_line_without_end(folder: Path) -> Made:
    with (folder / "d.csv").open("wb") as file:
        file.write(header(4) + b"0,1,2,3,4\n")
        file.truncate(4 << 30)
    return folder / "d.csv", "rows of at most 1,048,576 bytes expected, a longer line found"


def a_gzip_bomb(folder: Path) -> Made:
    packed = gzip.compress(b"3," + b"0," * 783 + b"0\n" * (64 << 20) + b"0\n")
    with gzip.open(folder / "d.csv.gz", "wb") as file:
        file.write(header(784))
    with (folder / "d.csv.gz").open("ab") as file:
        for _ in range((32 << 20) // len(packed)):
            file.write(packed)
    return folder / "d.csv.gz", "of gzip, more found: no real images shrink that much"


def zero_padded_cells(folder: Path) -> Made:
    cells = b",".join([b"  +" + b"0" * 300 + b"7." + b"0" * 300] * 783)
    (folder / "d.csv").write_bytes(header(784) + b"1," + cells + b",300\n")
    return folder / "d.csv", "row 2, column pixel784: a whole number 0–255 expected, '300' found"


def many_quotation_marks(folder: Path) -> Made:
    row = b'"' * 200_001 + b",1,2,3,4\n"
    (folder / "d.csv").write_bytes(header(4) + b"a,1,2,3,4\nb,4,3,2,1\n" + row * 20)
    return folder / "d.csv", "expected"


def a_label_of_a_megabyte(folder: Path) -> Made:
    (folder / "d.csv").write_bytes(header(4) + b"a,1,2,3,4\n" * 5_000 + b"b" * 900_000 + b",1,2,3,4\n")
    return folder / "d.csv", "a label of at most 256 characters expected, one of 900,000 found"


# ── Parquet ──────────────────────────────────────────────────────────────────────────────────────────────────


def a_million_rows_of_one_small_picture(folder: Path) -> Made:
    return table(folder, 1_000_000, image=[png()]), "claims 1,000,000 rows, which a file of its size can't hold"


def fifty_thousand_empty_rows(folder: Path) -> Made:
    return table(folder, 50_000, image=pl.Series([None], dtype=pl.Binary)), "of its first 1,000 pictures 1,000 can't"


def rows_share_a_picture_of_a_megabyte(folder: Path) -> Made:
    return table(folder, 400, image=[png(1_000)], label=[0]), "the same ones found again and again"


def rows_share_a_label_of_a_megabyte(folder: Path) -> Made:
    return table(folder, 600, image=[png()], label=["a" * 1_000_000]), "a label of at most 256 characters expected"


def labels_of_128_bits(folder: Path) -> Made:
    return (
        table(folder, 4, image=[png()] * 2, label=pl.Series([1, 2**100], dtype=pl.Int128)),
        "labels 0 to 999 expected",
    )


def claiming(folder: Path, change: Callable[[parquet_pages.Struct], None], *, dictionary: bool = False) -> Path:
    """A table whose first page of pictures claims something that it doesn't hold."""
    file = folder / "d.parquet"
    pictures = [png(side) for side in range(8, 28)]
    pl.DataFrame({"label": [0, 1] * 10, "image": pictures}).write_parquet(file, compression="snappy")
    parquet_pages.claim(file, change, dictionary=dictionary)
    return file


def a_page_that_claims_to_unpack_to_two_gigabytes(folder: Path) -> Made:
    def change(header: parquet_pages.Struct) -> None:
        parquet_pages.set_number(header, parquet_pages.UNPACKED_SIZE, 2**31 - 1)

    return claiming(folder, change, dictionary=True), "bytes that unpack to 2,147,483,647"


def a_page_that_claims_to_have_two_gigabytes(folder: Path) -> Made:
    def change(header: parquet_pages.Struct) -> None:
        parquet_pages.set_number(header, parquet_pages.PACKED_SIZE, 2**31 - 1)

    return claiming(folder, change), "a page claims 2,147,483,647 bytes"


def a_page_of_less_than_no_values(folder: Path) -> Made:
    def change(header: parquet_pages.Struct) -> None:
        parquet_pages.set_number(header[parquet_pages.PLAIN_PAGE][1], parquet_pages.VALUES, -1)

    return claiming(folder, change), "it claims a size of -1"


def a_dictionary_of_two_billion_values(folder: Path) -> Made:
    def change(header: parquet_pages.Struct) -> None:
        parquet_pages.set_number(header[parquet_pages.DICTIONARY_PAGE][1], parquet_pages.VALUES, 2**31 - 1)

    return claiming(folder, change, dictionary=True), "a dictionary claims 2,147,483,647 values"


# ── arrays ───────────────────────────────────────────────────────────────────────────────────────────────────


def npz_of(folder: Path, shape: str, content: bytes = b"") -> Path:
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    array = b"\x93NUMPY\x01\0" + struct.pack("<H", len(text) + 1) + text + b"\n" + content
    with zipfile.ZipFile(folder / "d.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_train.npy", array)
        archive.writestr("y_train.npy", array)
    return folder / "d.npz"


def an_array_that_is_not_there(folder: Path) -> Made:
    return npz_of(folder, "(9999999999, 28, 28)"), "x_train: 7,839,999,999,300 bytes expected by its header"


def an_array_of_a_trillion_nothings(folder: Path) -> Made:
    return npz_of(folder, "(9999999999999, 0, 28)"), "expected"


def zeros_in_a_zip(folder: Path) -> Made:
    return npz_of(folder, "(400000, 28, 28)", b"\0" * 313_600_000), "which the file can't hold of real data"


def half_a_character_in_classes(folder: Path) -> Made:
    return arrays(folder, classes=np.array(["\udce9", "b"])), "half a character (a lone surrogate) found"


def half_a_character_in_labels(folder: Path) -> Made:
    return arrays(folder, y_train=np.array(["\udce9", "b"] * 20)), "half a character (a lone surrogate) found"


def a_class_of_five_megabytes(folder: Path) -> Made:
    return arrays(folder, classes=np.array(["x" * 5_000_000, "b"])), "names of classes of at most 256 characters"


def mat_of_zeros(folder: Path) -> Made:
    from scipy import io as scipy_io

    found = {"X": np.zeros((32, 32, 3, 60_000), np.uint8), "y": np.ones((60_000, 1), np.uint8)}
    scipy_io.savemat(folder / "train_32x32.mat", found, do_compression=True)
    return folder / "train_32x32.mat", "claims 184,320,000 values, which the file can't hold of real data"


def idx_whose_header_lies(folder: Path) -> Made:
    for name, head in (("images-idx3", (2051, 4_000_000_000, 28, 28)), ("labels-idx1", (2049, 4_000_000_000))):
        with gzip.open(folder / f"train-{name}-ubyte.gz", "wb") as file:
            file.write(struct.pack(f">{len(head)}I", *head))
    return folder, "its header claims 4,000,000,008 bytes, which"


def idx_of_holes(folder: Path) -> Made:
    count = 800_000
    for name, head, size in (("images-idx3", (2051, count, 28, 28), 784), ("labels-idx1", (2049, count), 1)):
        with (folder / f"train-{name}-ubyte").open("wb") as file:
            file.write(struct.pack(f">{len(head)}I", *head))
            file.truncate(4 * len(head) + count * size)
    return folder, "images that differ expected, the same one 800,000 times found"


def a_tar_of_zeros(folder: Path) -> Made:
    import tarfile

    described = tarfile.TarInfo("data_batch_1.bin")
    described.size = 3073 * 100_000
    with gzip.open(folder / "d.tar.gz", "wb") as file:
        file.write(described.tobuf())
        for _ in range(100):
            file.write(b"\0" * 3_073_000)
    return folder / "d.tar.gz", "bytes expected when decompressed, more found"


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────────────────


def a_jpeg_of_many_scans(folder: Path) -> Made:
    file = io.BytesIO()
    Image.new("L", (4_000, 4_000)).save(file, "JPEG", progressive=True)
    jpeg = file.getvalue()
    last = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    return two_classes(folder, jpeg[:-2] + last * (1_700_000 // len(last)) + jpeg[-2:], "jpg"), "scans expected"


def pictures_whose_header_lies(folder: Path) -> Made:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", 7_000, 7_000, 16, 6, 0, 0, 0)
    content = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    return two_classes(folder, b"\x89PNG\r\n\x1a\n" + content, "png"), "8 of 8 pictures can't be read"


def in_crumbs(folder: Path, kind: str, place: int, crumb: bytes) -> Made:
    """Pictures with five million pieces that say nothing."""
    file = io.BytesIO()
    Image.effect_noise((16, 16), 100).save(file, kind)
    content = file.getvalue()
    whole = content[:place] + crumb * 5_000_000 + content[place:]
    return two_classes(folder, whole, kind.lower(), each=1), "bytes expected, more found: save it anew"


def a_png_of_empty_chunks(folder: Path) -> Made:
    return in_crumbs(folder, "PNG", 33, struct.pack(">I4sI", 0, b"prVt", zlib.crc32(b"prVt")))


def a_jpeg_of_empty_segments(folder: Path) -> Made:
    return in_crumbs(folder, "JPEG", 2, b"\xff\xfe\0\2")


def a_jpeg_of_filling(folder: Path) -> Made:
    return in_crumbs(folder, "JPEG", 2, b"\xff" * 6)


def a_gif_of_empty_extensions(folder: Path) -> Made:
    return in_crumbs(folder, "GIF", 13 + 768, b"!\xfe\0")


def webp_of(folder: Path, side: int) -> Path:
    file = io.BytesIO()
    Image.new("RGBA", (side, side), (1, 2, 3, 4)).save(file, "WEBP", lossless=True)
    return two_classes(folder, file.getvalue(), "webp", each=1)


def a_small_webp_of_very_many_pixels(folder: Path) -> Made:
    return webp_of(folder, 7_000), "a WebP of at most 25,000,000 pixels expected, 49,000,000 found"


def a_netpbm_file_whose_head_is_a_comment(folder: Path) -> Made:
    content = b"P5\n#" + b" " * 30_000_000 + b"\n8 8 255\n" + bytes(64)
    return two_classes(folder, content, "pgm", each=1), "2 of 2 pictures can't be read"


def a_netpbm_file_of_comments(folder: Path) -> Made:
    return two_classes(folder, b"P1 1000 1000\n" + b"#\n" * 5_000_000, "pbm", each=1), "2 of 2 pictures can't be read"


def a_netpbm_file_of_very_much_text(folder: Path) -> Made:
    content = b"P3 10000 1000 255\n" + b"1 " * 30_000_000
    return two_classes(folder, content, "ppm", each=1), "in text of at most 2,000,000 values expected, 30,000,000 found"


MAKERS: list[Callable[[Path], Made]] = [
    classes_is_a_pipe,
    classes_is_a_device,
    classes_has_holes,
    pipes_and_devices_among_pictures,
    a_table_names_a_pipe,
    a_picture_of_8_gb,
    blank_lines,
    rows_of_zeros,
    one_zero_a_row,
    a_line_without_end,
    a_gzip_bomb,
    zero_padded_cells,
    many_quotation_marks,
    a_label_of_a_megabyte,
    a_million_rows_of_one_small_picture,
    fifty_thousand_empty_rows,
    rows_share_a_picture_of_a_megabyte,
    rows_share_a_label_of_a_megabyte,
    labels_of_128_bits,
    a_page_that_claims_to_unpack_to_two_gigabytes,
    a_page_that_claims_to_have_two_gigabytes,
    a_page_of_less_than_no_values,
    a_dictionary_of_two_billion_values,
    an_array_that_is_not_there,
    an_array_of_a_trillion_nothings,
    zeros_in_a_zip,
    half_a_character_in_classes,
    half_a_character_in_labels,
    a_class_of_five_megabytes,
    mat_of_zeros,
    idx_whose_header_lies,
    idx_of_holes,
    a_tar_of_zeros,
    a_jpeg_of_many_scans,
    pictures_whose_header_lies,
    a_small_webp_of_very_many_pixels,
    a_png_of_empty_chunks,
    a_jpeg_of_empty_segments,
    a_jpeg_of_filling,
    a_gif_of_empty_extensions,
    a_netpbm_file_whose_head_is_a_comment,
    a_netpbm_file_of_comments,
    a_netpbm_file_of_very_much_text,
]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_hostile_data_is_one_message_within_ten_seconds_and_a_gigabyte(
    make: Callable[[Path], Made], tmp_path: Path
) -> None:
    data, words = make(tmp_path)

    outcome = run_bounded(tmp_path, "data", "info", data)

    assert_bounded(outcome)
    assert words in outcome.stderr


def test_metadata_without_end_costs_no_table_its_pictures(tmp_path: Path) -> None:
    content = {"image": [png()] * 4, "label": [0, 1, 0, 1]}
    pl.DataFrame(content).write_parquet(tmp_path / "d.parquet", metadata={"huggingface": "[" * 200_000})

    outcome = run_bounded(tmp_path, "data", "info", tmp_path / "d.parquet", "--json")

    assert_bounded(outcome, codes=(0,))


def test_the_largest_transparent_webp_takes_less_than_a_gigabyte(tmp_path: Path) -> None:
    outcome = run_bounded(tmp_path, "data", "info", webp_of(tmp_path, 5_000), "--json")

    assert_bounded(outcome, codes=(0,), inputs=2)  # one of each class, and each as large as any may be


def many_scans(folder: Path) -> Path:
    data, _ = a_jpeg_of_many_scans(folder)
    return data / "a" / "0.jpg"


def sparse(folder: Path) -> Path:
    with (folder / "sparse.png").open("wb") as file:
        file.write(png())
        file.truncate(8 << 30)
    return folder / "sparse.png"


def endless(folder: Path) -> Path:
    (folder / "zero.png").symlink_to("/dev/zero")
    return folder / "zero.png"


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.png")
    return folder / "pipe.png"


@pytest.mark.parametrize("make", [many_scans, sparse, endless, pipe], ids=lambda make: make.__name__)
def test_a_hostile_picture_is_one_message_of_predict(make: Callable[[Path], Path], tmp_path: Path) -> None:
    outcome = run_bounded(tmp_path, "predict", RUN, make(tmp_path))

    assert_bounded(outcome)
    assert len(outcome.stderr.splitlines()) == 1


def test_a_description_that_asks_for_a_network_of_100_000_channels_makes_none(tmp_path: Path) -> None:
    shutil.copytree(RUN, tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))
    changed = config | {"model_args": config["model_args"] | {"widths": [100_000, 100_000, 100_000]}}
    (tmp_path / "run" / "config.json").write_text(json.dumps(changed), encoding="utf-8")

    outcome = run_bounded(tmp_path, "evaluate", "run", "--threads", "1")

    assert_bounded(outcome)
    assert "config.json" in outcome.stderr or "widths" in outcome.stderr


@pytest.mark.nightly
def test_a_million_rows_that_differ_are_read(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1_000_000, 64), dtype=np.uint8)
    columns = {"label": np.arange(1_000_000) % 10} | {f"pixel{i}": pixels[:, i] for i in range(64)}
    pl.DataFrame(columns).write_csv(tmp_path / "d.csv")

    outcome = run_bounded(tmp_path, "data", "info", tmp_path / "d.csv", "--json")

    assert_bounded(outcome, codes=(0,))
    assert "1000000" in outcome.stdout
