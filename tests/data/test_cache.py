import errno
import json
import os
import shutil
import struct
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fittingroom.data.cache import cache_entries, cached_read, clear_cache
from fittingroom.data.dataset import Dataset
from fittingroom.data.formats.npz import read_npz, write_npz
from fittingroom.data.open import open_dataset
from fittingroom.data.preprocessing import Preprocessing
from fittingroom.data.splits import Splits
from fittingroom.files.cache_dir import cache_dir
from tests.support.same import assert_same


@pytest.fixture
def file(tmp_path: Path, tiny: Splits) -> Path:
    write_npz(tmp_path / "tiny.npz", tiny)
    return tmp_path / "tiny.npz"


class Reader:
    """Reads the file through the cache, and counts how often it was truly read."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.times = 0

    def __call__(self) -> Splits:
        return cached_read(self.file.name, self.file, [self.file], self._read)

    def _read(self) -> Splits:
        self.times += 1
        return read_npz(self.file)


def entry() -> Path:
    (only,) = cache_entries()
    return only.path


def is_memory_mapped(array: object) -> bool:
    while isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
        array = array.base
    return isinstance(array, np.memmap)


def test_second_reading_gives_the_same_from_memory_maps(file: Path) -> None:
    read = Reader(file)
    first, second = read(), read()
    assert read.times == 1

    for one, other in ((first.train, second.train), (first.test, second.test)):
        assert_same(other, one)
        assert other is not None
        assert one is not None
        assert other.name == one.name
        assert is_memory_mapped(other.images)
        assert not other.images.flags.writeable
    assert second.validation is None
    assert second.source == first.source


def test_fingerprint_comes_from_the_cache_without_hashing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Reader(file)
    fingerprint = read().train.fingerprint
    monkeypatch.setattr("fittingroom.data.fingerprint.digests_of", None)
    assert read().train.fingerprint == fingerprint


def test_changed_file_is_read_anew_and_replaces_the_entry(file: Path, tiny: Splits) -> None:
    read = Reader(file)
    read()
    write_npz(file, Splits(tiny.train.subset([1, 2, 3])))
    os.utime(file, ns=(1, 1))

    assert len(read().train) == 3
    assert len(read().train) == 3
    assert read.times == 2
    assert len(cache_entries()) == 1


def test_touched_file_is_read_anew(file: Path) -> None:
    read = Reader(file)
    read()
    os.utime(file, ns=(1, 1))
    read()
    assert read.times == 2


def test_new_version_of_the_readers_reads_anew(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Reader(file)
    read()
    monkeypatch.setattr("fittingroom.data.cache.READERS", 999)
    read()
    assert read.times == 2


def cut_images(folder: Path) -> None:
    content = (folder / "train-images.npy").read_bytes()
    (folder / "train-images.npy").write_bytes(content[:-1])


def flip_a_bit(folder: Path) -> None:
    content = bytearray((folder / "train-images.npy").read_bytes())
    content[-1] ^= 1
    (folder / "train-images.npy").write_bytes(content)


def change_meta(**changes: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        meta = json.loads((folder / "meta.json").read_text("utf-8"))
        (folder / "meta.json").write_text(json.dumps(meta | changes), "utf-8")

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        cut_images,
        flip_a_bit,
        lambda folder: (folder / "train-labels.npy").unlink(),
        lambda folder: (folder / "meta.json").unlink(),
        lambda folder: (folder / "meta.json").write_text("{"),
        lambda folder: (folder / "meta.json").write_text("[]"),
        lambda folder: (folder / "meta.json").write_text("[" * 200_000),
        lambda folder: (folder / "meta.json").write_bytes(b"\xff\xfe"),
        change_meta(format=0),
        change_meta(parts={}),
        change_meta(parts={"train": {}}),
        change_meta(parts={"train": None}),
        change_meta(parts=7),
        change_meta(parts={"other": {"arrays": {}}}),
    ],
)
def test_damaged_entry_is_ignored_and_written_anew(file: Path, tiny: Splits, damage: Callable[[Path], Any]) -> None:
    read = Reader(file)
    read()
    damage(entry())
    assert_same(read().train, tiny.train)
    assert_same(read().train, tiny.train)
    assert read.times == 2


def test_file_in_the_entrys_place_does_no_harm(file: Path, tiny: Splits) -> None:
    read = Reader(file)
    read()
    folder = entry()
    for kept in folder.iterdir():
        kept.unlink()
    folder.rmdir()
    folder.write_text("in the way")

    with pytest.warns(UserWarning, match="the cache can't be written"):
        assert_same(read().train, tiny.train)


def test_cache_that_cant_be_written_warns_and_reads(
    file: Path, tiny: Splits, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "not-a-folder").write_text("")
    monkeypatch.setenv("FITTINGROOM_CACHE", str(tmp_path / "not-a-folder"))
    with pytest.warns(UserWarning, match="will be read anew each time: set FITTINGROOM_CACHE"):
        assert_same(Reader(file)().train, tiny.train)
    assert cache_entries() == []


def test_full_disk_warns_and_leaves_nothing(file: Path, tiny: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fittingroom.data.cache.np.save", full)
    with pytest.warns(UserWarning, match="No space left on device"):
        assert_same(Reader(file)().train, tiny.train)
    assert list((cache_dir() / "datasets").iterdir()) == []


def test_file_that_changes_while_it_is_read_is_not_kept(file: Path) -> None:
    def read_slowly() -> Splits:
        data = read_npz(file)
        os.utime(file, ns=(1, 1))
        return data

    cached_read("x", file, [file], read_slowly)
    assert cache_entries() == []


def test_many_processes_at_once_all_get_the_data(file: Path) -> None:
    code = textwrap.dedent("""
        import os, sys, time
        from pathlib import Path
        from fittingroom.data.cache import cached_read
        from fittingroom.data.formats.npz import read_npz
        file = Path(sys.argv[1])
        for turn in range(30):
            if int(sys.argv[2]) == 0:
                os.utime(file, ns=(turn, turn))  # makes every entry out of date
            data = cached_read(file.name, file, [file], lambda: read_npz(file))
            assert (len(data.train), int(data.train.images.sum()), len(data.test)) == (12, int(sys.argv[3]), 6)
        """)

    # one of them makes the others' entries old all the time
    total = str(int(read_npz(file).train.images.sum()))
    processes = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", code, str(file), str(number), total])
        for number in range(4)
    ]

    assert [process.wait(60) for process in processes] == [0, 0, 0, 0]
    assert len(list((cache_dir() / "datasets").iterdir())) == 1


def test_entries_tell_source_and_size_and_can_be_cleared(file: Path, own_cache: Path) -> None:
    Reader(file)()
    (own_cache / "sources" / "fashion-mnist").mkdir(parents=True)
    (own_cache / "sources" / "fashion-mnist" / "a.gz").write_bytes(b"1234")
    (own_cache / "something else").write_text("stays")
    first, second = cache_entries()

    assert (first.kind, first.source) == ("data set", str(file))
    assert first.size > 12 * 16
    assert (second.kind, second.source, second.size) == ("source", "fashion-mnist", 4)
    assert clear_cache() == first.size + 4
    assert cache_entries() == []
    assert [entry.name for entry in own_cache.iterdir()] == ["something else"]
    assert clear_cache() == 0


def test_place_of_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FITTINGROOM_CACHE", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"

    monkeypatch.delenv("FITTINGROOM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_dir() == tmp_path / "xdg" / "fittingroom"

    # A relative path would be another folder from each directory; in XDG's own variable it counts for nothing.
    with pytest.MonkeyPatch.context() as relative:
        relative.setenv("HOME", "home")
        relative.setenv("XDG_CACHE_HOME", "xdg")
        assert cache_dir() == Path.cwd() / "home" / ".cache" / "fittingroom"

    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_dir() == Path.home() / "Library" / "Caches" / "fittingroom"


def test_colour_files_preprocessing_and_notes_are_kept(file: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), np.uint8)
    files = ("a/1.png", "a/2.png", "b/ü.png", "b/2.png")
    train = Dataset(images, np.array([0, 0, 1, 1]), ("a", "b"), "mine", files)
    record = Preprocessing(size=(5, 6), channels=3, resize="crop")
    data = Splits(train, source="here", preprocessing=record, notes=("one picture left out",))

    cached_read("mine", file.parent, [file], lambda: data)
    again = cached_read("mine", file.parent, [file], lambda: pytest.fail("read anew"))
    assert_same(again.train, train)
    assert again.train.files == files
    assert is_memory_mapped(again.train.images)
    assert (again.preprocessing, again.notes) == (record, data.notes)


def test_other_settings_are_another_entry(file: Path, tiny: Splits) -> None:
    def read(settings: dict[str, Any], times: list[object]) -> Splits:
        def made() -> Splits:
            times.append(settings)
            return replace(tiny, preprocessing=Preprocessing(size=(4, 4), channels=1))

        return cached_read("mine", file.parent, [file], made, settings)

    read_by: list[object] = []
    left_open = {"preprocessing": Preprocessing().as_dict()}
    resolved = {"preprocessing": Preprocessing(size=(4, 4), channels=1).as_dict()}
    other = {"preprocessing": Preprocessing(size=(2, 2)).as_dict()}
    for settings in (left_open, left_open, resolved, other, resolved, other, left_open):
        read(settings, read_by)
    assert read_by == [left_open, other]

    file.write_bytes(b"changed")
    read(resolved, read_by)
    assert read_by == [left_open, other, resolved]


def write_one(kind: str, folder: Path, value: int) -> Path:
    """A data set of four images of one grey in a file of this kind, the same size for every grey of two digits."""
    folder.mkdir()
    file = folder / {"csv": "set.csv", "npz": "set.npz", "idx": "set-images-idx3-ubyte"}[kind]
    if kind == "csv":
        file.write_text("label,pixel1,pixel2,pixel3,pixel4\n" + f"1,{value},{value},{value},{value}\n" * 4)
    elif kind == "npz":
        np.savez(file, x_train=np.full((4, 2, 2), value, np.uint8))
    else:
        file.write_bytes(struct.pack(">IIII", 2051, 4, 2, 2) + bytes([value] * 16))
    return file


@pytest.mark.parametrize("how", ["in place", "by another file"])
@pytest.mark.parametrize("kind", ["csv", "npz", "idx"])
def test_a_file_that_is_replaced_within_its_size_and_time_is_read_anew(kind: str, how: str, tmp_path: Path) -> None:
    file, other = write_one(kind, tmp_path / "data", 11), write_one(kind, tmp_path / "other", 22)
    assert open_dataset(file).train.images.max() == 11
    before = file.stat()
    assert other.stat().st_size == before.st_size

    file.write_bytes(other.read_bytes()) if how == "in place" else other.replace(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert open_dataset(file).train.images.max() == 22


def test_a_cache_that_others_write_to_and_remove_meanwhile_is_cleared(
    file: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_dataset(file)
    remove, left = shutil.rmtree, [errno.ENOENT, errno.ENOTEMPTY]

    def disturbed(folder: Path, **options: Any) -> None:
        if left and Path(folder).name == "datasets":
            number = left.pop()
            raise OSError(number, os.strerror(number), str(folder))
        remove(folder, **options)

    monkeypatch.setattr(shutil, "rmtree", disturbed)
    clear_cache()
    assert not (own_cache / "datasets").exists()
    assert left == []


def test_a_cache_that_cant_be_looked_into_costs_no_data(
    file: Path, tiny: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FITTINGROOM_CACHE", "/" + "/".join(["x" * 200] * 30))
    with pytest.warns(UserWarning, match="the cache can't be written"):
        kept = cached_read("tiny", file, [file], lambda: tiny, {"size": 28})
    assert kept is tiny
