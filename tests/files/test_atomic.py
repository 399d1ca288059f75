import errno
import os
import re
import resource
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars
import pytest

from fittingroom.files.atomic import atomic_directory, atomic_write, remove_leftovers
from tests.support.machine import missing


def test_file_is_there_whole_when_the_block_ends(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a") as file:
        file.write(b"new")
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_failure_while_writing_keeps_the_old_file_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")

    def killed_halfway() -> None:
        with atomic_write(tmp_path / "a") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed_halfway()
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("existing", [False, True])
def test_directory_takes_its_name_as_a_whole(tmp_path: Path, existing: bool) -> None:
    target = tmp_path / "d"
    if existing:
        target.mkdir()
        (target / "old").write_bytes(b"")

    with atomic_directory(target) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "new").write_bytes(b"x")

    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == ["d", "d/inner", "d/inner/new"]


def test_failure_while_filling_a_directory_keeps_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "d"
    target.mkdir()
    (target / "old").write_bytes(b"")

    def killed_halfway() -> None:
        with atomic_directory(target) as folder:
            (folder / "new").write_bytes(b"x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed_halfway()
    assert [path.name for path in tmp_path.rglob("*")] == ["d", "old"]


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    kept = ["a", ".a.tmp", "deep/.b", "deep/b.0123456789ab.tmp", "deep/.b.0123456789ag.tmp"]
    for name in [*kept, ".a.0123456789ab.tmp", "deep/.b.parquet.0123456789ab.tmp"]:
        (tmp_path / name).touch()
    (tmp_path / "deep" / ".step-7.0123456789ab.tmp").mkdir()
    (tmp_path / "deep" / ".step-7.0123456789ab.tmp" / "tensors").touch()

    remove_leftovers(tmp_path)
    assert not (tmp_path / "deep" / ".step-7.0123456789ab.tmp").exists()
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)


@pytest.mark.parametrize("target", ["file", "nothing", "/dev/null"])
def test_what_may_be_a_strangers_link_is_replaced_and_not_followed(tmp_path: Path, target: str) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(target)

    with atomic_write(tmp_path / "link", follow_links=False) as file:
        file.write(b"new")

    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "link").read_bytes() == b"new"
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]


def test_a_device_is_written_to_and_never_replaced(tmp_path: Path) -> None:
    device = tmp_path / "null"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        device.write_bytes(b"")
    except (AttributeError, PermissionError):
        missing("no device was written to: making one needs root, on Linux")

    with atomic_write(device) as file:
        file.write(b"nobody reads it")

    assert stat.S_ISCHR(device.stat().st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["null"]


def test_a_pipe_gets_the_whole_content_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as pool:
        read = pool.submit(pipe.read_bytes)
        with atomic_write(pipe) as file:
            file.write(b"first ")
            file.write(b"and last")
        assert read.result(timeout=10) == b"first and last"
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_link_stays_one_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "there" / "a")
    (tmp_path / "hanging").symlink_to(tmp_path / "there" / "b")

    for link, target in (("link", "a"), ("hanging", "b")):
        with atomic_write(tmp_path / link) as file:
            file.write(b"new")
        assert (tmp_path / link).is_symlink()
        assert (tmp_path / "there" / target).read_bytes() == b"new"
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["a", "b"]


def test_an_error_names_the_file_that_was_asked_for_and_not_the_temporary_one(tmp_path: Path) -> None:
    for path, number in ((tmp_path, errno.EISDIR), (tmp_path / "nowhere" / "x", errno.ENOENT)):
        with pytest.raises(OSError, match=re.escape(repr(str(path)))) as found, atomic_write(path) as file:
            file.write(b"x")
        assert (found.value.errno, found.value.filename) == (number, str(path))

    if Path("/dev/full").exists():
        with pytest.raises(OSError, match="/dev/full") as found, atomic_write("/dev/full") as file:
            file.write(b"x")
        assert (found.value.errno, found.value.filename) == (errno.ENOSPC, "/dev/full")
    assert not list(tmp_path.iterdir())


def test_a_file_system_that_became_read_only_is_named_by_the_users_file_and_not_by_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, **_options: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(OSError, match="Read-only") as refused, atomic_write(tmp_path / "a") as file:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), file.name)
    assert refused.value.filename == str(tmp_path / "a")


def test_a_full_disk_that_polars_meets_is_an_error_of_the_system_that_names_the_file(tmp_path: Path) -> None:
    words = "parquet: File out of specification: underlying IO error: No space left on device (os error 28)"
    with pytest.raises(OSError, match="No space left") as full, atomic_write(tmp_path / "a"):
        raise polars.exceptions.ComputeError(words)
    assert (full.value.errno, full.value.filename) == (errno.ENOSPC, str(tmp_path / "a"))

    with pytest.raises(polars.exceptions.ComputeError, match="another"), atomic_write(tmp_path / "a"):
        raise polars.exceptions.ComputeError("another")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "told",
    [
        polars.exceptions.ComputeError("parquet: File out of specification: Invalid thrift: transport error"),
        OSError("25600 requested and 19872 written"),  # NumPy's, without a number
    ],
    ids=["polars", "numpy"],
)
def test_a_full_disk_that_a_library_has_other_words_for_is_found_too(tmp_path: Path, told: Exception) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))  # as on a disk that is full
    try:
        with pytest.raises(OSError, match=r"a'$") as stop, atomic_write(tmp_path / "a"):
            raise told
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert stop.value.filename == str(tmp_path / "a")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk is full here")
def test_polars_says_so_in_these_words() -> None:
    with pytest.raises(polars.exceptions.PolarsError, match=r"\(os error 28\)"), Path("/dev/full").open("wb") as full:
        polars.DataFrame({"a": range(100_000)}).write_parquet(full)


def test_a_file_system_whose_folders_cant_be_synced_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of some network shares, and of folders that may be written to and not be read."""
    sync = os.fsync

    def refused(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", refused)
    with atomic_write(tmp_path / "file") as file:
        file.write(b"whole")
    with atomic_directory(tmp_path / "folder") as folder:
        (folder / "within").write_bytes(b"whole")
    assert (tmp_path / "file").read_bytes() == (tmp_path / "folder" / "within").read_bytes() == b"whole"
