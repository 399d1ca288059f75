import gzip
import hashlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fittingroom.data.fetch.download as download_module
import tests.support.mirror as mirrors
from fittingroom.data.dataset import Dataset
from fittingroom.data.fetch.checksum import KnownFile, problem_of
from fittingroom.data.fetch.fingerprints import FASHION_MNIST_CLASSES
from fittingroom.data.fetch.known_sets import (
    KNOWN,
    Fetched,
    KnownSet,
    NoSourceError,
    class_names_for,
    fetch,
    known_identity,
    locate,
)
from fittingroom.errors import DataError
from fittingroom.files.cache_dir import cache_dir
from tests.support import PATIENCE
from tests.support.mirror import Behaviour, serve

SAMPLE = locate("sample")
FILES = tuple(
    KnownFile(path.stem, len(content), hashlib.sha256(content).hexdigest())
    for path in sorted(SAMPLE.glob("*.gz"))
    for content in [gzip.decompress(path.read_bytes())]
)

# What a process of its own must do first: know the set "tiny" too.
IN_A_PROCESS = f"""
import sys
from pathlib import Path
from fittingroom.data.fetch.known_sets import KNOWN, KnownSet, fetch
from fittingroom.data.fetch.checksum import KnownFile
KNOWN["tiny"] = KnownSet(title="for tests", files=({", ".join(map(repr, FILES))},))
print(fetch("tiny", mirrors=[sys.argv[1]]).attempts[-1].source)
"""


@pytest.fixture(autouse=True)
def _nothing_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A cache of its own, no other source, and the sample's files under the name "tiny" as what is sought."""
    monkeypatch.setenv("FITTINGROOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FITTINGROOM_DATA", raising=False)
    monkeypatch.delenv("FITTINGROOM_MIRRORS", raising=False)
    monkeypatch.setitem(KNOWN, "tiny", KnownSet(title="for tests", files=FILES))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less than the five seconds of a user, more than a good mirror takes on a machine with other work."""
    monkeypatch.setattr(download_module, "TIMEOUT", 2.0)


def assert_is_the_real_one(fetched: Fetched) -> None:
    for file in FILES:
        assert problem_of(fetched.folder / f"{file.name}.gz", file) is None
    assert fetched.attempts[-1].problem is None


def kept_files() -> list[str]:
    return sorted(path.name for path in (cache_dir() / "sources" / "tiny").glob("*"))


def test_good_mirror_fills_the_cache_and_the_next_time_needs_none() -> None:
    reports: list[tuple[str, int, int | None]] = []
    with serve(SAMPLE, mirrors.good) as mirror:
        fetched = fetch("tiny", mirrors=[mirror.url], progress=lambda *event: reports.append(event))
    assert_is_the_real_one(fetched)
    assert kept_files() == [f"{file.name}.gz" for file in FILES]

    size = (SAMPLE / "train-images-idx3-ubyte.gz").stat().st_size
    assert (f"train-images-idx3-ubyte.gz from {mirror.url.removeprefix('http://')}", size, size) in reports
    assert fetch("tiny", mirrors=[]).folder == fetched.folder
    assert [attempt.source for attempt in fetch("tiny", mirrors=[]).attempts] == [f"cache ({fetched.folder})"]


@pytest.mark.parametrize(
    ("behaviour", "problem"),
    [
        (mirrors.altered, "SHA-256"),
        (mirrors.other_file, "bytes expected"),
        (mirrors.web_page, "a web page"),
        (mirrors.truncated, "damaged"),
        (mirrors.always_cut, "cut after"),
        (mirrors.missing, "HTTP 404"),
        (mirrors.endless, "more came"),
        (mirrors.wordy, "a number of bytes expected as Content-Length, 'plenty' found"),
    ],
)
def test_bad_mirror_is_skipped_for_the_good_one_behind_it(behaviour: Behaviour, problem: str) -> None:
    with serve(SAMPLE, behaviour) as bad, serve(SAMPLE, mirrors.good) as good_one:
        fetched = fetch("tiny", mirrors=[bad.url, good_one.url])
    assert_is_the_real_one(fetched)
    assert fetched.attempts[-2].source == bad.url
    assert problem in str(fetched.attempts[-2].problem)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("behaviour", [mirrors.hanging, mirrors.stuck_half_way])
def test_mirror_that_hangs_is_left_for_the_next(behaviour: Behaviour) -> None:
    with serve(SAMPLE, behaviour) as bad, serve(SAMPLE, mirrors.good) as good_one:
        fetched = fetch("tiny", mirrors=[bad.url, good_one.url])
    assert_is_the_real_one(fetched)
    assert fetched.attempts[-2].problem == "no answer within 2 s"


def test_mirror_that_drips_is_left_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "PATIENCE", 0.5)
    with serve(SAMPLE, mirrors.dripping) as bad, serve(SAMPLE, mirrors.good) as good_one:
        fetched = fetch("tiny", mirrors=[bad.url, good_one.url])
    assert_is_the_real_one(fetched)
    assert str(fetched.attempts[-2].problem).endswith("bytes a second are too slow")


@pytest.mark.parametrize("behaviour", [mirrors.altered, mirrors.other_file, mirrors.web_page, mirrors.truncated])
def test_unverified_never_enters_the_cache(behaviour: Behaviour) -> None:
    with serve(SAMPLE, behaviour) as bad, pytest.raises(NoSourceError):
        fetch("tiny", mirrors=[bad.url])
    # the mirror that always sends the test labels has one file that is right
    assert kept_files() in ([], ["t10k-labels-idx1-ubyte.gz"])


def test_connection_that_is_cut_is_taken_up_where_it_was_cut() -> None:
    with serve(SAMPLE, mirrors.cut) as mirror:
        assert_is_the_real_one(fetch("tiny", mirrors=[mirror.url]))
    size = (SAMPLE / "train-images-idx3-ubyte.gz").stat().st_size
    third = size // 3 + 1
    asked = [wanted for name, wanted in mirror.requests if name == "train-images-idx3-ubyte.gz"]
    assert asked == ["", f"bytes={third}-", f"bytes={2 * third}-"]


def test_killed_fetch_leaves_nothing_taken_for_good_and_is_resumed() -> None:
    with serve(SAMPLE, mirrors.stuck_half_way) as mirror:
        process = subprocess.Popen([sys.executable, "-c", IN_A_PROCESS, mirror.url], stdout=subprocess.DEVNULL)
        assert mirror.half_sent.wait(20)
        first = mirror.requests[0][0]
        partial = partial_file(at_least=(SAMPLE / first).stat().st_size // 2)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert kept_files() == []
        mirror.behaviour = mirrors.good
        mirror.requests.clear()
        assert_is_the_real_one(fetch("tiny", mirrors=[mirror.url]))

    assert mirror.requests[0] == (first, f"bytes={(SAMPLE / first).stat().st_size // 2}-")
    assert not partial.exists()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("server", [mirrors.good, mirrors.without_ranges])
def test_damaged_beginning_of_an_earlier_fetch_is_thrown_away(server: Behaviour) -> None:
    with serve(SAMPLE, mirrors.stuck_half_way) as mirror:
        with pytest.raises(NoSourceError):
            fetch("tiny", mirrors=[mirror.url])
        partial = partial_file(at_least=1)
        partial.write_bytes(b"damaged" + partial.read_bytes()[7:])
        mirror.behaviour = server
        assert_is_the_real_one(fetch("tiny", mirrors=[mirror.url]))


@pytest.mark.usefixtures("impatient")
def test_file_that_came_whole_but_was_not_checked_yet_is_not_fetched_again() -> None:
    with serve(SAMPLE, mirrors.stuck_half_way) as mirror:
        with pytest.raises(NoSourceError):
            fetch("tiny", mirrors=[mirror.url])
        name = mirror.requests[0][0]
        shutil.copy(SAMPLE / name, partial_file(at_least=1))
        mirror.behaviour = mirrors.good
        mirror.requests.clear()
        assert_is_the_real_one(fetch("tiny", mirrors=[mirror.url]))

    assert [wanted for asked, wanted in mirror.requests if asked == name] == [
        f"bytes={(SAMPLE / name).stat().st_size}-"
    ]


def partial_file(at_least: int) -> Path:
    """What a fetch has left under way, once it has this many bytes."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        for path in (cache_dir() / "sources" / ".tiny.partial").glob("*"):
            if path.stat().st_size >= at_least:
                return path
        time.sleep(0.01)
    raise AssertionError("no partial file")


def test_two_processes_at_once_fetch_once() -> None:
    with serve(SAMPLE, mirrors.slow) as mirror:
        processes = [
            subprocess.Popen([sys.executable, "-c", IN_A_PROCESS, mirror.url], stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        sources = sorted(process.communicate(timeout=PATIENCE)[0].strip() for process in processes)
        assert [process.returncode for process in processes] == [0, 0]

    assert sources == ["another process, at the same time", mirror.url]
    assert sorted(mirror.requests) == [(f"{file.name}.gz", "") for file in FILES]
    assert_is_the_real_one(fetch("tiny", mirrors=[]))


def test_error_lists_every_source_why_it_failed_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        KNOWN, "tiny", replace(KNOWN["tiny"], debian_folder=Path("/nowhere"), debian_package="dataset-tiny")
    )
    monkeypatch.setenv("PATH", "")  # no apt-get

    with serve(SAMPLE, mirrors.missing) as bad:
        monkeypatch.setenv("FITTINGROOM_MIRRORS", f"{bad.url}/a http://127.0.0.1:1")
        with pytest.raises(NoSourceError) as caught:
            locate("tiny")

    lines = str(caught.value).splitlines()
    assert lines[0] == "tiny: no source has its files"

    tried = [line.split("  ", maxsplit=2)[1:] for line in lines[1:-1]]
    assert [(source, problem.strip()) for source, problem in tried] == [
        (f"cache ({cache_dir() / 'sources' / 'tiny'})", "no such folder"),
        ("$FITTINGROOM_DATA", "not set"),
        ("Debian's package (/nowhere)", "no such folder"),
        (f"{bad.url}/a", "HTTP 404 Not Found"),
        ("http://127.0.0.1:1", "Connection refused"),
        ("apt-get download dataset-tiny", "apt-get is not installed (this is not Debian or Ubuntu)"),
    ]
    assert "set FITTINGROOM_DATA" in lines[-1]
    assert "train-images-idx3-ubyte.gz" in lines[-1]


@pytest.mark.parametrize("url", ["nonsense", "ftp//x", "http://[", "file:///etc/nothing", "http://a b/"])
def test_address_that_is_none_is_a_failed_source(url: str) -> None:
    with pytest.raises(NoSourceError):
        fetch("tiny", mirrors=[url])


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"mnist-fashion.*fashion-mnist, sample"):
        locate("mnist-fashion")


def test_cache_that_cannot_be_written_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("FITTINGROOM_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(NoSourceError, match="the cache can't be written"):
        fetch("tiny", mirrors=["http://127.0.0.1:1"])


def test_cache_that_cannot_be_written_does_not_matter_where_a_folder_has_the_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("FITTINGROOM_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("FITTINGROOM_DATA", str(SAMPLE))
    assert fetch("tiny", mirrors=[]).folder == SAMPLE


# ── folders that the user or the system has ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("packed", [True, False])
def test_folder_of_the_user_is_used_where_it_lies(
    packed: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = folder_with_files(tmp_path / "given", packed=packed)
    monkeypatch.setenv("FITTINGROOM_DATA", str(given))
    assert fetch("tiny", mirrors=[]).folder == given
    assert kept_files() == []


def test_verified_file_is_not_read_again_until_it_changes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = folder_with_files(tmp_path / "given")
    monkeypatch.setenv("FITTINGROOM_DATA", str(given))
    assert fetch("tiny", mirrors=[]).folder == given

    with monkeypatch.context() as patch:
        patch.setattr("fittingroom.data.fetch.checksum._opened", lambda _: pytest.fail("read again"))
        assert fetch("tiny", mirrors=[]).folder == given
    labels = given / "train-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.compress(bytes(2008)))
    with pytest.raises(NoSourceError, match=r"train-labels-idx1-ubyte: SHA-256 .* expected"):
        fetch("tiny", mirrors=[])


def test_folder_of_the_user_with_a_wrong_file_is_said_and_skipped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = folder_with_files(tmp_path / "given")
    (given / "t10k-images-idx3-ubyte.gz").unlink()
    monkeypatch.setenv("FITTINGROOM_DATA", str(given))
    with serve(SAMPLE, mirrors.good) as mirror:
        fetched = fetch("tiny", mirrors=[mirror.url])

    assert_is_the_real_one(fetched)
    assert fetched.folder != given
    assert fetched.attempts[1].problem == "t10k-images-idx3-ubyte is not there"


@pytest.mark.parametrize("name", ["train-labels-idx1-ubyte", "test-labels-idx1-ubyte"])
def test_file_that_would_be_read_in_place_of_a_verified_one_is_seen(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = folder_with_files(tmp_path / "given")
    (given / name).write_bytes(b"\0\0\x08\x01\0\0\x07\xd0" + bytes(2000))
    monkeypatch.setenv("FITTINGROOM_DATA", str(given))
    with pytest.raises(NoSourceError) as caught:
        fetch("tiny", mirrors=[])
    assert name.removesuffix("-idx1-ubyte") in str(caught.value.attempts[1].problem)


def test_damaged_cache_is_replaced() -> None:
    with serve(SAMPLE, mirrors.good) as mirror:
        folder = fetch("tiny", mirrors=[mirror.url]).folder
        damaged = folder / "train-images-idx3-ubyte.gz"
        damaged.write_bytes(damaged.read_bytes()[:1000])
        mirror.requests.clear()
        assert_is_the_real_one(fetch("tiny", mirrors=[mirror.url]))
    assert mirror.requests == [("train-images-idx3-ubyte.gz", "")]


def folder_with_files(folder: Path, *, packed: bool = True) -> Path:
    folder.mkdir()
    for file in FILES:
        content = (SAMPLE / f"{file.name}.gz").read_bytes()
        if packed:
            (folder / f"{file.name}.gz").write_bytes(content)
        else:
            (folder / file.name).write_bytes(gzip.decompress(content))
    return folder


# ── Debian ───────────────────────────────────────────────────────────────────────────────────────────────────

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="not Debian: no dpkg-deb")


def make_package(folder: Path) -> Path:
    """A Debian package as the real one is, with the files of the sample."""
    root = folder / "package"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        "Package: dataset-tiny\nVersion: 1\nArchitecture: all\nMaintainer: Nobody <nobody@localhost>\n"
        "Description: for a test\n"
    )

    files = root / "usr" / "share" / "datasets" / "tiny"
    files.mkdir(parents=True)
    for file in FILES:
        shutil.copy(SAMPLE / f"{file.name}.gz", files)

    package = folder / "dataset-tiny_1_all.deb"
    subprocess.run(["dpkg-deb", "-b", root, package], check=True, stdout=subprocess.DEVNULL)
    return package


def fake_apt_get(folder: Path, script: str) -> None:
    tool = folder / "apt-get"
    tool.write_text(f"#!/bin/sh\necho \"$@\" >> '{folder}/calls'\n{script}\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)


@needs_dpkg
@pytest.mark.parametrize("lists", ["present", "missing"])
def test_package_is_fetched_by_apt_get_and_unpacked(
    lists: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = make_package(tmp_path)
    works = f"cp '{package}' ."
    with_own_lists = f"""case "$*" in
        *Dir::State=*update*) ;;
        *Dir::State=*download*) {works} ;;
        *) echo 'E: Unable to locate package dataset-tiny' >&2; exit 100 ;;
    esac"""

    # a container whose package lists were removed: only with lists of its own does apt-get know the package
    fake_apt_get(tmp_path, works if lists == "present" else with_own_lists)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setitem(
        KNOWN,
        "tiny",
        replace(KNOWN["tiny"], debian_folder=Path("/usr/share/datasets/tiny"), debian_package="dataset-tiny"),
    )

    fetched = fetch("tiny", mirrors=[])
    assert_is_the_real_one(fetched)
    assert fetched.attempts[-1].source == "apt-get download dataset-tiny"
    assert [path.name for path in (cache_dir() / "sources").glob(".tiny.partial")] == []
    assert len((tmp_path / "calls").read_text().splitlines()) == (1 if lists == "present" else 3)


@needs_dpkg
@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo 'E: Unable to locate package dataset-tiny' >&2; exit 100", "E: Unable to locate package"),
        ("exit 0", "apt-get left no package"),
        ("echo nonsense > dataset-tiny_1_all.deb", "dpkg-deb"),
    ],
)
def test_apt_get_that_fails_is_a_failed_source(
    script: str, problem: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_apt_get(tmp_path, script)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setitem(
        KNOWN, "tiny", replace(KNOWN["tiny"], debian_folder=Path("/nowhere"), debian_package="dataset-tiny")
    )
    with pytest.raises(NoSourceError, match=problem):
        fetch("tiny", mirrors=[])


@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("apt-get") is None, reason="not Debian: no apt-get")
def test_real_package_has_the_official_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        KNOWN, "fashion-mnist", replace(KNOWN["fashion-mnist"], debian_folder=Path("/nowhere"), mirrors=())
    )
    fetched = fetch("fashion-mnist")
    assert fetched.attempts[-1].source == "apt-get download dataset-fashion-mnist"
    for file in KNOWN["fashion-mnist"].files:
        assert problem_of(fetched.folder / f"{file.name}.gz", file) is None


# ── what the sets are ────────────────────────────────────────────────────────────────────────────────────────


def read_split(folder: Path, split: str) -> Dataset:
    """Read one split without our readers, which have tests of their own."""
    images = gzip.decompress((folder / f"{split}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / f"{split}-labels-idx1-ubyte.gz").read_bytes())
    return Dataset(
        np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28),
        np.frombuffer(labels, np.uint8, offset=8).astype(np.int64),
        FASHION_MNIST_CLASSES,
        split,
    )


def test_official_files_have_the_official_sums(official_folder: Path) -> None:
    for file in KNOWN["fashion-mnist"].files:
        assert problem_of(official_folder / f"{file.name}.gz", file) is None


@pytest.mark.parametrize(("split", "per_class"), [("train", 200), ("t10k", 100)])
def test_sample_is_balanced_and_made_of_official_images(official_folder: Path, split: str, per_class: int) -> None:
    sample, whole = read_split(SAMPLE, split), read_split(official_folder, split)
    assert sample.class_counts().tolist() == [per_class] * 10
    assert whole.labels is not None
    assert sample.labels is not None
    label_of = dict(zip(whole.image_hashes(), whole.labels.tolist(), strict=True))
    assert [label_of.get(image) for image in sample.image_hashes()] == sample.labels.tolist()


@pytest.mark.parametrize("name", ["train", "test"])
def test_official_set_is_recognised(official_folder: Path, name: str) -> None:
    dataset = read_split(official_folder, "t10k" if name == "test" else name)
    assert known_identity(dataset) == f"fashion-mnist {name} (official)"


def test_known_set_is_recognised_in_another_order_and_without_its_labels() -> None:
    dataset = read_split(SAMPLE, "train")
    assert dataset.labels is not None
    assert known_identity(dataset) == "sample train"
    assert known_identity(dataset.subset(range(1999, -1, -1))) == "sample train, in another order"
    assert known_identity(Dataset(dataset.images, None, (), "x")) == "sample train, without labels"

    moved = Dataset(dataset.images, (dataset.labels + 1) % 10, dataset.classes, "x")
    assert known_identity(moved) == "sample train, with other labels or class names"
    assert known_identity(dataset.subset(range(1999))) is None


def test_classes_are_named_by_content_or_by_the_name_of_kaggles_file() -> None:
    images = read_split(SAMPLE, "t10k").images
    assert class_names_for(images, 10, Path("x.csv")) == FASHION_MNIST_CLASSES
    assert class_names_for(images[:5], 10, Path("x.csv")) == tuple("0123456789")
    assert class_names_for(images[:5], 10, Path("fashion-mnist_test.csv")) == FASHION_MNIST_CLASSES
    assert class_names_for(images[:5], 3, Path("fashion-mnist_test.csv")) == ("0", "1", "2")
