"""What was read once is kept as memory-mapped arrays, so that the next start takes milliseconds.

    <cache>/datasets/<name>-<key>/   meta.json, train-images.npy, train-labels.npy, test-images.npy, …
    <cache>/sources/<name>/          the files of known data sets, fetched and verified (see ``fetch/known_sets.py``)
    <cache>/label-checks/<name>-<key>/   what each fold of a check of labels said (see ``label_check``)
    <cache>/near-duplicates/<name>-<key>/   pairs of near-duplicates (see ``audit/known_pairs.py``)

An entry counts only while every file that it was read from is the one it was (by size, times and inode), and while its
own arrays have the checksum that they were written with. Nothing here ever fails a reading: without a usable
cache the data are read again.
"""

import errno
import hashlib
import json
import mmap
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.dataset import Dataset, Fingerprint
from fittingroom.data.large import is_large
from fittingroom.data.preprocessing import Preprocessing
from fittingroom.data.splits import Splits
from fittingroom.errors import ArtifactError, DataError
from fittingroom.files.atomic import atomic_directory
from fittingroom.files.cache_dir import cache_dir

FORMAT = 4
READERS = 2  # count up when a reader changes what it makes of a file: older entries are then read again
PARTS = ("train", "validation", "test")
CHECKSUM_WORDS = 1021
TRIES_TO_REMOVE = 10  # a folder that other processes write to
LABEL_CHECKS = "label-checks"
NEAR_DUPLICATES = "near-duplicates"
DAMAGED = (ValueError, KeyError, TypeError, RecursionError)  # what a description that isn't ours ends in


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A folder in the cache.

    Attributes:
        kind: ``data set`` (read arrays), ``source`` (fetched files), ``label check`` (what folds said) or
            ``near-duplicates`` (pairs that were found).
        source: the path that it was read from, or the name that it was fetched for.
        path: of the folder.
        size: bytes on disk.
    """

    kind: str
    source: str
    path: Path
    size: int


def cached_read(
    name: str,
    path: Path,
    files: Sequence[Path],
    read: Callable[[], Splits],
    settings: Mapping[str, Any] | None = None,
) -> Splits:
    """What ``read`` returns: from the cache if it is there, else read, and put there.

    What comes from the cache is memory-mapped. Warns, and goes on, when the cache can't be written.

    Args:
        name: what the data set is called; it names the entry together with ``path``.
        path: where the data set lies.
        files: every file that ``read`` reads; a change of one makes the entry count for nothing.
        read: reads the data set.
        settings: what else ``read`` goes by, as JSON has it: what is asked of ``preprocessing``, say. Other settings
            make an entry of their own; with ``preprocessing`` as it was resolved, the entry is found as well.
    """
    state = _state_of(files)
    entry = _datasets() / f"{name[:40]}-{_digest(f'{name} {path.absolute()}')[:16]}"
    wanted = None
    if settings is not None:
        wanted = _digest(json.dumps(settings))
        entry = entry.with_name(f"{entry.name}-{wanted[:16]}")
    kept = _load(entry, state) or _load_other(entry, state, wanted)
    if kept is not None:
        return kept

    data = read()
    if _state_of(files) == state:  # else a file changed while it was read, and may change again
        _store(entry, state, data, settings)
        if is_large(data.train.images):
            return _load(entry, state) or data  # frees what it was read into
    return data


def cache_entries() -> list[CacheEntry]:
    """What the cache holds: data sets that were read, known sets that were fetched, labels and pairs that were checked.

    Each entry has ``kind``, ``source`` (a path or a name), ``path`` and ``size`` in bytes.

    Example:
        >>> import fittingroom as fr
        >>> from fittingroom.data import cache_entries
        >>> data = fr.open_dataset("sample")
        >>> "data set" in {entry.kind for entry in cache_entries()}
        True
    """
    datasets = [("data set", _source_of(folder), folder) for folder in _folders(_datasets())]
    fetched = [("source", folder.name, folder) for folder in _folders(_fetched())]
    checks = [("label check", folder.name, folder) for folder in _folders(_label_checks())]
    pairs = [("near-duplicates", folder.name, folder) for folder in _folders(_near_duplicates())]
    found = datasets + fetched + checks + pairs
    return [CacheEntry(kind, source, folder, _size(folder)) for kind, source, folder in found]


def clear_cache() -> int:
    """Remove all that :func:`cache_entries` lists.

    Returns:
        How many bytes that freed.

    Raises:
        DataError: a folder can't be removed.

    Example:
        >>> from fittingroom.data import cache_entries, clear_cache
        >>> held = sum(entry.size for entry in cache_entries())
        >>> clear_cache() == held, cache_entries()
        (True, [])
    """
    freed = 0
    for folder in (_datasets(), _fetched(), _label_checks(), _near_duplicates()):
        freed += _size(folder)
        _remove(folder)
    return freed


def _remove(folder: Path) -> None:
    """Remove a folder with all that is in it, also where other processes write to it or remove it meanwhile."""
    for left in reversed(range(TRIES_TO_REMOVE)):
        try:
            if not folder.exists():
                return
            shutil.rmtree(folder)
        except OSError as error:
            if left == 0 or error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
                raise DataError(f"{folder}: can't be removed: {error}") from error


def _datasets() -> Path:
    return cache_dir() / "datasets"


def _fetched() -> Path:
    return cache_dir() / "sources"


def _label_checks() -> Path:
    return cache_dir() / LABEL_CHECKS


def _near_duplicates() -> Path:
    return cache_dir() / NEAR_DUPLICATES


def _state_of(files: Sequence[Path]) -> str:
    """The SHA-256 of the files' paths, sizes, times and inodes, and of the readers' version.

    A file's own time may be put back, as copies and archives do; the one of its last change of any kind can't be, and
    another file in its place has another inode. All of them are at hand with one look at the file.
    """
    marks = []
    for file in files:
        stat = file.stat()
        marks.append((str(file.absolute()), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino))
    return _digest(json.dumps([READERS, marks]))


def _load(entry: Path, state: str) -> Splits | None:
    """The entry's data if it is whole and of this state; None otherwise."""
    try:
        meta = _meta(entry)
        if meta["format"] != FORMAT or meta["state"] != state:
            return None

        # nothing locks a reader out, so what was read is trusted only if the entry is still the same afterwards
        parts: dict[str, Any] = {name: _load_part(entry, name, part) for name, part in meta["parts"].items()}
        if _meta(entry) != meta:
            return None

        raw = meta["preprocessing"]
        preprocessing = None if raw is None else Preprocessing.from_dict(raw, str(entry))
        return Splits(
            **parts,
            source=meta["source"],
            preprocessing=preprocessing,
            notes=tuple(meta["notes"]),
            left_out=tuple(meta["left_out"]),
        )
    except (OSError, EOFError, *DAMAGED, AttributeError, DataError, ArtifactError):
        return None  # not there, or damaged


def _load_other(entry: Path, state: str, wanted: str | None) -> Splits | None:
    """What another entry of the same path has, if the settings that came of its own are those that are wanted."""
    if wanted is None:
        return None
    try:
        others = _folders(_datasets())
    except OSError:
        return None  # no cache that can be looked into; that it can't be written either is said where it is
    prefix = entry.name.rpartition("-")[0]
    for other in others:
        if other.name.startswith(f"{prefix}-") and other != entry:
            try:
                is_wanted = _meta(other)["resolved"] == wanted
            except (OSError, *DAMAGED):
                continue  # unfinished or damaged
            if is_wanted and (kept := _load(other, state)) is not None:
                return kept
    return None


def _load_part(entry: Path, name: str, meta: dict[str, Any]) -> Dataset:
    arrays = {}
    for kind, checksum in meta["arrays"].items():
        file = entry / f"{name}-{kind}.npy"
        if _checksum(file) != checksum:
            raise ValueError(f"{file} is damaged")
        arrays[kind] = np.load(file, mmap_mode="r", allow_pickle=False)

    known = {field: None if meta[field] is None else tuple(meta[field]) for field in ("files", "groups")}
    sources = tuple(row.tobytes() for row in arrays["sources"]) if "sources" in arrays else None
    dataset = Dataset(
        arrays["images"], arrays.get("labels"), tuple(meta["classes"]), meta["name"], **known, sources=sources
    )
    # what cached_property would compute by hashing every image
    dataset.__dict__["fingerprint"] = Fingerprint(**meta["fingerprint"])
    dataset.__dict__["repeats"] = arrays["repeats"]
    return dataset


def _store(entry: Path, state: str, data: Splits, settings: Mapping[str, Any] | None) -> None:
    """Put the data into the cache, or warn that it can't be done."""
    resolved = None
    if settings is not None and data.preprocessing is not None:
        resolved = _digest(json.dumps({**settings, "preprocessing": data.preprocessing.as_dict()}))
    meta: dict[str, Any] = {
        "format": FORMAT,
        "state": state,
        "resolved": resolved,
        "source": data.source,
        "preprocessing": data.preprocessing and data.preprocessing.as_dict(),
        "notes": data.notes,
        "left_out": data.left_out,
        "parts": {},
    }
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with atomic_directory(entry) as folder:
            for name in PARTS:
                part: Dataset | None = getattr(data, name)
                if part is not None:
                    meta["parts"][name] = _store_part(folder, name, part)

            # last, as it has the checksums of the arrays
            (folder / "meta.json").write_text(json.dumps(meta, indent=1), "utf-8")
    except OSError as error:
        warnings.warn(
            f"{entry.parent}: the cache can't be written ({error.strerror or error}), the data will be read anew each "
            "time: set FITTINGROOM_CACHE to a folder with space that you may write to",
            stacklevel=4,
        )


def _store_part(folder: Path, name: str, part: Dataset) -> dict[str, Any]:
    fingerprint = part.fingerprint  # first, as it finds the repeats on its way
    arrays: dict[str, NDArray[Any]] = {"images": part.images, "repeats": part.repeats}
    if part.labels is not None:
        arrays["labels"] = part.labels
    if part.sources is not None:
        arrays["sources"] = np.frombuffer(b"".join(part.sources), np.uint8).reshape(-1, 32)

    # each array in a file of its own, which is mapped into memory and not read where it isn't needed
    for kind, array in arrays.items():
        np.save(folder / f"{name}-{kind}.npy", array, allow_pickle=False)
    return {
        "name": part.name,
        "classes": part.classes,
        "files": part.files,
        "groups": part.groups,
        "fingerprint": asdict(fingerprint),
        "arrays": {kind: _checksum(folder / f"{name}-{kind}.npy") for kind in arrays},
    }


def _meta(entry: Path) -> dict[str, Any]:
    return dict(json.loads((entry / "meta.json").read_text("utf-8")))


def _source_of(entry: Path) -> str:
    try:
        return str(_meta(entry)["source"])
    except (OSError, *DAMAGED):
        return f"{entry.name} (unfinished or damaged)"


def _folders(path: Path) -> list[Path]:
    return sorted(entry for entry in path.iterdir() if entry.is_dir()) if path.is_dir() else []


def _size(folder: Path) -> int:
    size = 0
    with suppress(FileNotFoundError):  # another process removes it
        for file in folder.rglob("*"):
            with suppress(FileNotFoundError):
                size += file.stat().st_size if file.is_file() else 0
    return size


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _checksum(file: Path) -> str:
    """The file's size, and the SHA-256 of sums of its 8-byte words: 2 ms for 47 MB, where all of it would take 28.

    The sums are those of the columns of a table, a prime number of words wide: what was cut, overwritten, half written
    or changed places is noticed. It doesn't keep anyone from forging an entry, who could forge meta.json as well.
    """
    with file.open("rb") as opened:  # NumPy's mapping would ask where the file really lies
        content = np.frombuffer(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    row = 8 * CHECKSUM_WORDS
    table, rest = np.split(content, [len(content) // row * row])
    sums = table.view(np.uint64).reshape(-1, CHECKSUM_WORDS).sum(axis=0)  # wraps around at 2⁶⁴
    return f"{len(content)}:{hashlib.sha256(sums.tobytes() + bytes(rest)).hexdigest()}"
