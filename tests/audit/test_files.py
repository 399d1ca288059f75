"""Each fault of a file, planted in real ones, is found under its name, and undone where that needs no guess."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fittingroom.audit import write_repaired
from fittingroom.data.formats.idx import write_idx
from fittingroom.data.open import open_dataset
from fittingroom.data.splits import Splits
from tests.support.planted import TRAIN_IMAGES, TRAIN_LABELS, both, checked, names, only, parts, write_folder

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 9\n"
HTML = b"<!DOCTYPE html>\n<html><head><title>GitHub</title></head><body>Not the file</body></html>\n"


@pytest.fixture
def folder(tmp_path: Path, sample: Splits) -> Path:
    return write_folder(tmp_path / "data", sample.train)


def change(file: Path, harm: Callable[[bytes], bytes]) -> None:
    file.write_bytes(harm(file.read_bytes()))


def little_endian(data: bytes) -> bytes:
    return data[3::-1] + b"".join(data[at : at + 4][::-1] for at in (4, 8, 12)) + data[16:]


def sizes_little_endian(data: bytes) -> bytes:
    return data[:4] + b"".join(data[at : at + 4][::-1] for at in (4, 8, 12)) + data[16:]


def as_replacing_decoder(data: bytes) -> bytes:
    return data.decode("utf-8", "replace").encode()


HARM: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    # what was done: the finding's name, how it is done
    "LF became CRLF": ("text-mode-damage", lambda data: data.replace(b"\n", b"\r\n")),
    "Latin-1 became UTF-8": ("text-mode-damage", lambda data: data.decode("latin-1").encode()),
    "decoded as UTF-8, replacing": ("text-mode-damage", as_replacing_decoder),
    "CRLF became LF": ("text-mode-damage", lambda data: data.replace(b"\r\n", b"\n")),
    "CR became LF": ("text-mode-damage", lambda data: data[:16] + data[16:].replace(b"\r", b"\n")),
    "LF became CR": ("text-mode-damage", lambda data: data[:16] + data[16:].replace(b"\n", b"\r")),
    "cut off": ("truncated", lambda data: data[:-5_000]),
    "cut off in the header": ("wrong-magic", lambda data: data[:9]),
    "too long": ("size-mismatch", lambda data: data + bytes(100)),
    "compressed twice": ("double-gzip", lambda data: gzip.compress(gzip.compress(data))),
    "compressed, then cut off": ("truncated", lambda data: gzip.compress(data)[:-10_000]),
    "compressed, then LF became CRLF": ("text-mode-damage", lambda data: gzip.compress(data).replace(b"\n", b"\r\n")),
    "compressed, then decoded as UTF-8": ("text-mode-damage", lambda data: as_replacing_decoder(gzip.compress(data))),
    "a web page": ("web-page", lambda data: HTML),
    "a web page, compressed": ("web-page", lambda data: gzip.compress(HTML)),
    "a Git LFS pointer": ("web-page", lambda data: LFS),
    "little-endian": ("little-endian", little_endian),
    "sizes little-endian": ("little-endian", sizes_little_endian),
    "another magic number": ("wrong-magic", lambda data: b"\x89PNG" + data[4:]),
    "random bytes": ("wrong-magic", lambda data: np.random.default_rng(0).bytes(len(data))),
    "empty": ("wrong-magic", lambda data: b""),
}  # fmt: skip

REPAIRABLE = [
    "LF became CRLF",
    "Latin-1 became UTF-8",
    "compressed twice",
    "compressed, then LF became CRLF",
    "little-endian",
    "sizes little-endian",
    "another magic number",
]


@pytest.mark.parametrize("what", HARM)
def test_harm_to_a_file_is_named(what: str, folder: Path) -> None:
    name, harm = HARM[what]
    change(folder / TRAIN_IMAGES, harm)
    report = checked(folder)
    errors = {finding.name for finding in report.findings if finding.severity == "error"}
    assert errors == {name}
    assert report.has_errors


@pytest.mark.parametrize("what", REPAIRABLE)
def test_what_can_be_known_is_repaired_exactly(what: str, folder: Path, sample: Splits, tmp_path: Path) -> None:
    change(folder / TRAIN_IMAGES, HARM[what][1])
    (damaged,) = checked(folder).checked
    write_repaired(damaged, tmp_path / "repaired")

    repaired = open_dataset(tmp_path / "repaired", cache=False).train
    assert repaired.fingerprint == sample.train.fingerprint
    assert len(damaged.changes) == 1
    assert checked(tmp_path / "repaired").has_errors is False


@pytest.mark.parametrize("what", ["cut off", "compressed, then cut off"])
def test_cut_off_file_keeps_its_whole_rows_with_their_labels(
    what: str, folder: Path, sample: Splits, tmp_path: Path
) -> None:
    change(folder / TRAIN_IMAGES, HARM[what][1])
    report = checked(folder)
    write_repaired(report.checked[0], tmp_path / "repaired.npz")

    repaired = open_dataset(tmp_path / "repaired.npz", cache=False).train
    assert 100 < len(repaired) < len(sample.train)
    assert sample.train.labels is not None
    np.testing.assert_array_equal(repaired.images, sample.train.images[: len(repaired)])
    np.testing.assert_array_equal(repaired.labels, sample.train.labels[: len(repaired)])
    if what == "cut off":
        finding = only(report, "truncated")
        assert finding.figures == {"expected": 1_568_016, "found": 1_563_016, "whole_rows": 1_993}


def test_figures_of_text_mode_are_those_of_the_harm(folder: Path) -> None:
    line_ends = (folder / TRAIN_IMAGES).read_bytes().count(b"\n")
    change(folder / TRAIN_IMAGES, lambda data: data.replace(b"\n", b"\r\n"))
    finding = only(checked(folder), "text-mode-damage")
    assert finding.figures == {"inserted": line_ends}
    assert f"{line_ends:,}" in finding.message


def test_swapped_files_are_named_both_and_put_right(folder: Path, sample: Splits, tmp_path: Path) -> None:
    images, labels = (folder / TRAIN_IMAGES).read_bytes(), (folder / TRAIN_LABELS).read_bytes()
    (folder / TRAIN_IMAGES).write_bytes(labels)
    (folder / TRAIN_LABELS).write_bytes(images)
    report = checked(folder)
    assert names(report, "error") == {"images-as-labels", "labels-as-images"}
    assert parts(report)["train"].fingerprint == sample.train.fingerprint


def test_images_given_as_labels_are_named(folder: Path) -> None:
    change(folder / TRAIN_LABELS, lambda _: (folder / TRAIN_IMAGES).read_bytes())
    report = checked(folder)
    assert names(report, "error") == {"images-as-labels"}
    assert parts(report)["train"].labels is None


def test_labels_of_another_part_are_a_size_mismatch(folder: Path, sample: Splits) -> None:
    _, test = both(sample)
    assert test.labels is not None
    write_idx(folder / TRAIN_LABELS, test.labels.astype(np.uint8))
    assert "size-mismatch" in names(checked(folder), "error")


def test_labels_read_from_offset_0_are_named_and_put_right(folder: Path, sample: Splits) -> None:
    raw = (folder / TRAIN_LABELS).read_bytes()
    labels = np.frombuffer(raw, np.uint8)[: len(sample.train)]  # as the tutorial read them: from the magic number on
    write_idx(folder / TRAIN_LABELS, labels)

    report = checked(folder)
    assert names(report, "error") == {"label-offset"}
    finding = only(report, "label-offset")
    assert finding.figures["offset"] == 8
    repaired = parts(report)["train"]
    assert len(repaired) == len(sample.train) - 8
    assert sample.train.labels is not None
    np.testing.assert_array_equal(repaired.labels, sample.train.labels[:-8])
    np.testing.assert_array_equal(repaired.images, sample.train.images[:-8])


def test_a_header_of_2_to_the_32_images_is_refused_at_once(folder: Path) -> None:
    change(folder / TRAIN_IMAGES, lambda data: struct.pack(">4I", 0x803, 2**32 - 1, 2**32 - 1, 2**32 - 1) + data[16:])
    assert names(checked(folder), "error") == {"truncated"}


def test_intact_files_of_every_type_of_value_raise_no_error(tmp_path: Path, sample: Splits) -> None:
    for number, dtype in enumerate((np.uint8, np.int16, np.int32, np.float32, np.float64)):
        folder = write_folder(tmp_path / f"{number}", sample.train)
        write_idx(folder / TRAIN_IMAGES, sample.train.images.astype(dtype))
        assert names(checked(folder), "error") == set(), dtype


def test_one_file_alone_is_checked_by_what_it_holds(folder: Path, tmp_path: Path) -> None:
    (folder / TRAIN_LABELS).unlink()
    assert names(checked(folder / TRAIN_IMAGES)) == {"subset"}
    (tmp_path / "pixels.bin").write_bytes((folder / TRAIN_IMAGES).read_bytes()[:-1])
    assert names(checked(tmp_path / "pixels.bin"), "error") == {"truncated"}
