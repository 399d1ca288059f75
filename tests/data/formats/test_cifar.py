import gzip
import io
import pickle
import tarfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.data.formats.cifar import read_cifar
from fittingroom.data.formats.table import is_data_file, read_blocks
from fittingroom.errors import DataError
from tests.support.same import assert_same

NAMES = ("airplane", "automobile", "bird")


def photos(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Pieces 32×32 of the two photographs that scikit-learn has."""
    from sklearn.datasets import load_sample_images

    random = np.random.default_rng(seed)
    pictures = load_sample_images().images
    places = random.integers(0, (2, 395, 608), (count, 3))
    return np.stack([pictures[which][top : top + 32, left : left + 32] for which, top, left in places])


def records(images: NDArray[np.uint8], *labels: NDArray[np.int64]) -> bytes:
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    return np.hstack([*(column[:, None].astype(np.uint8) for column in labels), planes]).tobytes()


IMAGES = photos(24)
LABELS = np.arange(24) % 3
TRAIN = fr.Dataset(IMAGES[:18], LABELS[:18], NAMES, "x")
TEST = fr.Dataset(IMAGES[18:], LABELS[18:], NAMES, "x")
FILES = {
    "batches.meta.txt": "\n".join(NAMES).encode() + b"\n\n",
    "data_batch_1.bin": records(IMAGES[:6], LABELS[:6]),
    "data_batch_10.bin": records(IMAGES[12:18], LABELS[12:18]),
    "data_batch_2.bin": records(IMAGES[6:12], LABELS[6:12]),
    "readme.html": b"<html>",
    "test_batch.bin": records(IMAGES[18:], LABELS[18:]),
}
FILES_100 = {
    "coarse_label_names.txt": b"vehicles\n",
    "fine_label_names.txt": "\n".join(NAMES).encode(),
    "train.bin": records(IMAGES[:18], LABELS[:18] * 0 + 77, LABELS[:18]),
    "test.bin": records(IMAGES[18:], LABELS[18:] * 0 + 77, LABELS[18:]),
}


def as_folder(path: Path, files: dict[str, bytes]) -> Path:
    path.mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content)
    return path


def as_archive(path: Path, files: dict[str, bytes], folder: str = "cifar-10-batches-bin") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("files", [FILES, FILES_100], ids=["10", "100"])
@pytest.mark.parametrize("kind", ["folder", "x.tar.gz", "X.TGZ"])
def test_folder_and_archive_give_the_same(tmp_path: Path, files: dict[str, bytes], kind: str) -> None:
    path = as_folder(tmp_path / kind, files) if kind == "folder" else as_archive(tmp_path / kind, files)
    data = fr.open_dataset(path)
    assert_same(data.train, TRAIN)
    assert_same(data.test, TEST)


def test_one_file_is_the_only_part_with_the_names_that_lie_beside_it(tmp_path: Path) -> None:
    folder = as_folder(tmp_path / "cifar", FILES)
    data = fr.open_dataset(folder / "test_batch.bin")
    assert_same(data.train, TEST)
    assert data.test is None

    (folder / "batches.meta.txt").unlink()
    assert fr.open_dataset(folder / "test_batch.bin").train.classes == ("0", "1", "2")


@pytest.mark.parametrize("name", ["test_batch.bin", "x.tar.gz"])
def test_blocks_are_the_whole_in_order(tmp_path: Path, name: str) -> None:
    as_archive(tmp_path / "x.tar.gz", {"test_batch.bin": FILES["test_batch.bin"]})
    (tmp_path / "test_batch.bin").write_bytes(FILES["test_batch.bin"])
    assert is_data_file(tmp_path / name)
    np.testing.assert_array_equal(np.concatenate(list(read_blocks(tmp_path / name, 4))), TEST.images)


def test_data_info_shows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = as_archive(tmp_path / "cifar-10-binary.tar.gz", FILES)
    assert main(["data", "info", str(archive)]) == 0
    printed = capsys.readouterr().out
    for words in ("train", "test", "18", "32×32", "airplane", "bird"):
        assert words in printed


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"data_batch_1.bin": FILES["data_batch_1.bin"][:-1]}, "data_batch_1.bin: a multiple of 3,073 bytes expected"),
        (
            {"train.bin": FILES["data_batch_1.bin"]},
            "train.bin: a multiple of 3,074 bytes .* CIFAR-100 each, 18,438 found",
        ),
        ({"train.bin": b""}, "train.bin: a multiple of 3,074 bytes expected, .* 0 found"),
        (FILES | {"batches.meta.txt": b"one\ntwo"}, "labels 0 to 1 expected, 0 to 2 found"),
        (FILES | {"batches.meta.txt": b"\xff\xfe"}, "batches.meta.txt: class names, one a line in UTF-8, expected"),
        (
            FILES | {"batches.meta.txt": b"a" * 100_000},
            "batches.meta.txt: the names of the classes expected, more than",
        ),
        (FILES | {"train.bin": FILES_100["train.bin"]}, "files of CIFAR-10 or of CIFAR-100 expected, both found"),
    ],
)
@pytest.mark.parametrize("kind", ["folder", "x.tar.gz"])
def test_bad_files_are_named(tmp_path: Path, files: dict[str, bytes], message: str, kind: str) -> None:
    path = as_folder(tmp_path / kind, files) if kind == "folder" else as_archive(tmp_path / kind, files)
    with pytest.raises(DataError, match=message):
        read_cifar(path)


class Bomb:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return open, ("/tmp/unpickled-by-fittingroom", "w")  # type: ignore[return-value]


PICKLED_10 = {"batches.meta": pickle.dumps(Bomb()), "data_batch_1": pickle.dumps(Bomb()), "test_batch": b""}
PICKLED_100 = {"meta": pickle.dumps(Bomb()), "train": pickle.dumps(Bomb()), "test": b""}


@pytest.mark.parametrize("files", [PICKLED_10, PICKLED_100], ids=["10", "100"])
@pytest.mark.parametrize("kind", ["folder", "cifar-10-python.tar.gz"])
def test_the_pickled_version_is_refused_unread_with_the_way_out(
    tmp_path: Path, files: dict[str, bytes], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = as_folder(tmp_path / kind, files) if kind == "folder" else as_archive(tmp_path / kind, files)
    assert main(["data", "info", str(path)]) == 2
    printed = " ".join(capsys.readouterr().err.split())
    assert "which could run code when it is opened: get cifar-10-binary.tar.gz or cifar-100-binary.tar.gz" in printed
    assert not Path("/tmp/unpickled-by-fittingroom").exists()


def test_a_pickled_batch_alone_is_refused_too(tmp_path: Path) -> None:
    folder = as_folder(tmp_path / "x", PICKLED_10)
    with pytest.raises(DataError, match="could run code when it is opened"):
        fr.open_dataset(folder / "data_batch_1")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an archive",
        gzip.compress(b"not a tar", mtime=0),
        gzip.compress(b"\xff" * 5000, mtime=0),
        gzip.compress(b"data_batch_1.bin".ljust(124, b"\0") + b"77777777777\0" + b"\0" * 376, mtime=0),
    ],
    ids=["empty", "text", "packed text", "packed bytes", "a header alone"],
)
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tar.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.tar\.gz: "):
        read_cifar(tmp_path / "x.tar.gz")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_an_archive_that_is_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    archive = as_archive(tmp_path / "x.tar.gz", FILES)
    content = archive.read_bytes()
    archive.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"x\.tar\.gz: "):
        read_cifar(archive)


def test_an_archive_of_something_else_is_named(tmp_path: Path) -> None:
    archive = as_archive(tmp_path / "pets.tar.gz", {"cat.png": b"x", "dog.png": b"y"})
    with pytest.raises(DataError, match=r"cat\.png, dog\.png found: unpack an archive of anything else"):
        read_cifar(archive)


def test_members_never_leave_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that climb, absolute names, links and devices: only what has a batch's name is read, in memory."""
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)
    with tarfile.open(inside / "x.tar.gz", "w:gz") as archive:
        for name in ("../../out.txt", "/tmp/out-of-cifar.txt", "../data_batch_1.bin"):
            member = tarfile.TarInfo(name)
            member.size = len(FILES["data_batch_1.bin"])
            archive.addfile(member, io.BytesIO(FILES["data_batch_1.bin"]))
        for name, kind in (("test_batch.bin", tarfile.SYMTYPE), ("data_batch_2.bin", tarfile.LNKTYPE)):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "/etc/passwd"
            archive.addfile(link)
        pipe = tarfile.TarInfo("data_batch_3.bin")
        pipe.type = tarfile.FIFOTYPE
        archive.addfile(pipe)

    data = read_cifar(inside / "x.tar.gz")
    np.testing.assert_array_equal(data.train.images, IMAGES[:6])
    assert data.test is None
    assert [file.name for file in tmp_path.rglob("*")] == ["inside", "x.tar.gz"]
    assert not Path("/tmp/out-of-cifar.txt").exists()


@pytest.mark.parametrize("kind", ["a file", "a header of its own"])
def test_a_bomb_is_refused_quickly_without_taking_memory(tmp_path: Path, kind: str) -> None:
    """4 GB of zeros in 4 MB: as a file beside CIFAR's, and as what describes a file."""
    member = tarfile.TarInfo("zeros" if kind == "a file" else "data_batch_1.bin")
    member.type = tarfile.REGTYPE if kind == "a file" else tarfile.XHDTYPE
    member.size = 4 << 30
    zeros = gzip.compress(bytes(64 << 20), 1)
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(member.tobuf(tarfile.GNU_FORMAT)) + zeros * 64)

    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(DataError, match=r"x\.tar\.gz: at most .* bytes expected when decompressed, more found"):
        read_cifar(tmp_path / "x.tar.gz")
    seconds = time.perf_counter() - start
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 10
    assert peak < 200 << 20
