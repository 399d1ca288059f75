"""Known data sets by name: where their files are, how to get them, and how to tell that they are the real ones.

A file counts only once the SHA-256 of its decompressed bytes is the official one, wherever it came from.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.dataset import Dataset
from fittingroom.data.fetch.checksum import KnownFile, Verified, problem_of
from fittingroom.data.fetch.download import Progress, SourceError, download, unpack_debian_package
from fittingroom.data.fetch.fingerprints import FASHION_MNIST_CLASSES, KNOWN_FINGERPRINTS
from fittingroom.data.formats.idx import idx_files
from fittingroom.errors import DataError
from fittingroom.files.cache_dir import cache_dir
from fittingroom.files.lock import exclusive


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownSet:
    """A data set that has a name: what it is, its files, and the places that have them.

    Attributes:
        title: what it is, in one line.
        files: all of them, each with its checksum.
        embedded: its folder in this package, for a set that needs no fetching.
        mirrors: addresses of folders.
        debian_folder: where Debian's package puts the files.
        debian_package: its name.
    """

    title: str
    files: tuple[KnownFile, ...] = ()
    embedded: Path | None = None
    mirrors: tuple[str, ...] = ()
    debian_folder: Path | None = None
    debian_package: str | None = None


KNOWN = {
    "fashion-mnist": KnownSet(
        title="Fashion-MNIST: 60,000 + 10,000 images of clothes, 28×28, 10 classes (Zalando, MIT licence)",
        files=(
            KnownFile(
                "train-images-idx3-ubyte",
                47_040_016,
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            ),
            KnownFile(
                "train-labels-idx1-ubyte",
                60_008,
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            ),
            KnownFile(
                "t10k-images-idx3-ubyte",
                7_840_016,
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            ),
            KnownFile(
                "t10k-labels-idx1-ubyte",
                10_008,
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
        ),
        mirrors=(
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
            # the official bucket; its published address is plain HTTP, this is the same bucket over HTTPS
            "https://fashion-mnist.s3.eu-central-1.amazonaws.com",
        ),
        debian_folder=Path("/usr/share/datasets/fashion-mnist"),
        debian_package="dataset-fashion-mnist",
    ),
    "sample": KnownSet(
        title="Fashion-MNIST sample: 2,000 + 1,000 of its images, in this package, for offline use and tests",
        embedded=Path(__file__).parent.parent / "sample",
    ),
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One place that was asked for the files.

    Attributes:
        source: the place, in words.
        problem: why it did not give them, in one line; None for the one that did.
    """

    source: str
    problem: str | None


@dataclass(frozen=True, slots=True)
class Fetched:
    """A known set that is here.

    Attributes:
        folder: with its verified files.
        attempts: every place that was asked for them, in order.
    """

    folder: Path
    attempts: tuple[Attempt, ...]


class NoSourceError(DataError):
    """No source had the files. The message lists every source, why it failed, and what to do."""

    def __init__(self, name: str, attempts: Sequence[Attempt]) -> None:
        self.attempts = tuple(attempts)
        width = max(len(attempt.source) for attempt in attempts)
        tried = "\n".join(f"  {attempt.source:{width}}  {attempt.problem}" for attempt in attempts)
        files = ", ".join(f"{file.name}.gz" for file in KNOWN[name].files)
        super().__init__(
            f"{name}: no source has its files\n{tried}\n"
            f"Put them ({files}) into a folder and either set FITTINGROOM_DATA to that folder "
            "or give its path instead of the name."
        )


def locate(name: str, *, progress: Progress | None = None) -> Path:
    """A folder that holds the verified files of a known set, which is fetched if need be.

    Args:
        name: of the set, a key of :data:`KNOWN`.
        progress: called while it is fetched.

    Raises:
        DataError: an unknown name.
        NoSourceError: no source has the files.

    Example:
        >>> from fittingroom.data import locate
        >>> sorted(file.name for file in locate("sample").glob("t10k*"))
        ['t10k-images-idx3-ubyte.gz', 't10k-labels-idx1-ubyte.gz']
    """
    return fetch(name, progress=progress).folder


def fetch(name: str, *, progress: Progress | None = None, mirrors: Sequence[str] | None = None) -> Fetched:
    """Like :func:`locate`, with the report of every source that was asked, in this order.

    1. the cache  2. $FITTINGROOM_DATA  3. the folder of Debian's package  4. the mirrors  5. apt-get.
    The files of 2 and 3 are used where they lie; those of 4 and 5 come into the cache, verified.

    Args:
        name: of the set, a key of :data:`KNOWN`.
        progress: called while it is fetched.
        mirrors: other addresses than the set's own; as the environment variable FITTINGROOM_MIRRORS (addresses
            with spaces between them; empty for none).

    Raises:
        DataError: an unknown name.
        NoSourceError: no source has the files.
    """
    known = _known(name)
    if known.embedded is not None:
        return Fetched(known.embedded, (Attempt("this package", None),))

    # what is on this machine goes before what needs the network
    store = _fetched() / name
    attempts: list[Attempt] = []
    for source, folder in _folders(known, store):
        attempts.append(Attempt(source, _problem_of_folder(folder, known)))
        if folder is not None and attempts[-1].problem is None:
            return Fetched(folder, tuple(attempts))

    # the first of several processes fetches, the others find it done
    report = progress or _silent
    try:
        with exclusive(
            _fetched() / f".{name}.lock", waiting=lambda: report(f"another process is fetching {name}", 0, None)
        ):
            attempts += _fetch_into(store, name, mirrors, report)
    except OSError as error:
        attempts.append(Attempt("downloads", f"the cache can't be written: {error.strerror}: {error.filename}"))
    if attempts[-1].problem is not None:
        raise NoSourceError(name, attempts)
    return Fetched(store, tuple(attempts))


def _known(name: str) -> KnownSet:
    if name not in KNOWN:
        raise DataError(f"{name}: not the name of a known data set; known are {', '.join(KNOWN)}")
    return KNOWN[name]


def _fetched() -> Path:
    return cache_dir() / "sources"


def _verified() -> Verified:
    return Verified(_fetched() / "verified.json")


def _silent(what: str, done: int, total: int | None) -> None:
    pass


# ── folders ──────────────────────────────────────────────────────────────────────────────────────────────────


def _folders(known: KnownSet, store: Path) -> Iterable[tuple[str, Path | None]]:
    yield f"cache ({store})", store
    if given := os.environ.get("FITTINGROOM_DATA"):
        try:
            yield f"$FITTINGROOM_DATA ({given})", Path(given).expanduser()
        except RuntimeError:
            raise DataError(f"$FITTINGROOM_DATA: a folder expected, {given!r} found: nobody's home") from None
    else:
        yield "$FITTINGROOM_DATA", None
    if known.debian_folder is not None:
        yield f"Debian's package ({known.debian_folder})", known.debian_folder


def _problem_of_folder(folder: Path | None, known: KnownSet) -> str | None:
    if folder is None:
        return "not set"
    if not folder.is_dir():
        return "no such folder"
    for file in known.files:
        problem = _problem_in_place(folder, file)
        if problem is not None:
            return problem

    # what was verified must be what will be read: another spelling of a name may go before it
    try:
        others = set(idx_files(folder)) - {_path_in(folder, file) for file in known.files}
    except DataError as error:
        return str(error)
    return f"{min(others).name} would be read instead of the official file" if others else None


def _path_in(folder: Path, file: KnownFile) -> Path:
    raw = folder / file.name
    return raw if raw.exists() else folder / f"{file.name}.gz"


def _problem_in_place(folder: Path, file: KnownFile) -> str | None:
    return _verified().problem_of(_path_in(folder, file), file)


# ── downloads ────────────────────────────────────────────────────────────────────────────────────────────────

_Bring = Callable[[KnownFile], Path]  # brings one file, not yet verified, or raises SourceError


def _fetch_into(store: Path, name: str, mirrors: Sequence[str] | None, report: Progress) -> list[Attempt]:
    """Ask one source after the other until ``store`` has every file; the last attempt is the one that did."""
    known = KNOWN[name]
    if _problem_of_folder(store, known) is None:
        return [Attempt("another process, at the same time", None)]

    # beside the folder, so that only whole and verified files are ever in it
    store.mkdir(exist_ok=True)
    partials = _fetched() / f".{name}.partial"
    partials.mkdir(exist_ok=True)

    attempts: list[Attempt] = []
    for source, bring in _downloads(known, partials, mirrors, report):
        try:
            for file in known.files:
                if _problem_in_place(store, file) is not None:
                    _keep(bring(file), file, store)
        except SourceError as error:
            attempts.append(Attempt(source, str(error)))
        else:
            shutil.rmtree(partials, ignore_errors=True)
            return [*attempts, Attempt(source, None)]
    return attempts or [Attempt("downloads", "no mirror was given")]


def _downloads(
    known: KnownSet, partials: Path, mirrors: Sequence[str] | None, report: Progress
) -> Iterable[tuple[str, _Bring]]:
    if mirrors is None:
        override = os.environ.get("FITTINGROOM_MIRRORS")
        mirrors = known.mirrors if override is None else override.split()
    for mirror in mirrors:
        yield mirror, partial(_from_mirror, mirror, partials, report)
    if known.debian_package is not None:
        work = partials / "debian"
        shutil.rmtree(work, ignore_errors=True)  # what a killed fetch may have left
        yield f"apt-get download {known.debian_package}", partial(_from_debian, known.debian_package, work, report)


def _from_mirror(mirror: str, partials: Path, report: Progress, file: KnownFile) -> Path:
    url = f"{mirror.rstrip('/')}/{file.name}.gz"
    what = f"{file.name}.gz from {mirror.partition('://')[2].partition('/')[0] or mirror}"
    # named by its address: what one mirror began is never resumed from another
    path = partials / f"{file.name}.{hashlib.sha256(url.encode()).hexdigest()[:12]}"
    was_begun = path.exists()
    download(url, path, most=file.size, progress=partial(report, what))
    if was_begun and problem_of(path, file) is not None:
        path.unlink()  # the beginning, left by a fetch that was killed, may be what is wrong
        download(url, path, most=file.size, progress=partial(report, what))
    return path


def _from_debian(package: str, work: Path, report: Progress, file: KnownFile) -> Path:
    unpacked = work / "unpacked"
    if not unpacked.exists():
        report(f"apt-get download {package}", 0, None)
        unpack_debian_package(package, work)
    return next(unpacked.rglob(f"{file.name}.gz"), unpacked / file.name)


def _keep(path: Path, file: KnownFile, store: Path) -> None:
    """Move the file into ``store`` in one step.

    Raises:
        SourceError: it isn't the right one.
    """
    problem = problem_of(path, file)
    if problem is not None:
        path.unlink(missing_ok=True)
        raise SourceError(problem)
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())
    kept = store / f"{file.name}.gz"
    path.replace(kept)
    _verified().add(kept, file)


# ── identity ─────────────────────────────────────────────────────────────────────────────────────────────────


def known_identity(dataset: Dataset) -> str | None:
    """Which known set this is, by its fingerprints; None: it is not a known one.

    ``fashion-mnist train (official)``, with ``, in another order``, ``, without labels`` or ``, with other labels or
    class names`` behind it where that is so.

    Example:
        >>> import fittingroom as fr
        >>> from fittingroom.data import known_identity
        >>> train = fr.open_dataset("sample").train
        >>> known_identity(train), known_identity(train.subset(range(10)))
        ('sample train', None)
    """
    fingerprint = dataset.fingerprint
    for name, known in KNOWN_FINGERPRINTS.items():
        if fingerprint.order == known.order:
            return name
        if fingerprint.content == known.content:
            return f"{name}, in another order"
        if fingerprint.images == known.images:
            return f"{name}, {'without labels' if dataset.labels is None else 'with other labels or class names'}"
    return None


def class_names_for(images_NHW: NDArray[np.uint8], num_classes: int, path: Path) -> tuple[str, ...]:
    """Names for the classes of a file that has only numbers: "0", "1", …, or Fashion-MNIST's where it is that.

    It is that when there are ten classes, and either the images are, in any order, those of a known set, or
    the file's name begins with ``fashion-mnist`` as in Kaggle's CSVs (which split the same 70,000 images anew,
    so that neither part is a known set).

    Args:
        images_NHW: uint8 (N, H, W).
        num_classes: that its labels need.
        path: of the file.
    """
    if num_classes == len(FASHION_MNIST_CLASSES):
        named = path.name.lower().startswith("fashion-mnist")
        if named or known_identity(Dataset(images_NHW, None, (), path.name)) is not None:
            return FASHION_MNIST_CLASSES
    return tuple(str(number) for number in range(num_classes))
