"""What lies at a path, read as far as it can be: by the strict readers where they can, by force where they can't.

IDX files, which have a header to be judged by, are always taken apart by :mod:`fittingroom.audit.damaged_idx`. Other
formats go to the readers of :mod:`fittingroom.data.formats`; what these refuse is read again by
:mod:`fittingroom.audit.read_by_force`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fittingroom.audit.audited_file import AuditedFile, add_part
from fittingroom.audit.damaged_idx import IdxFile, examine_idx, idx_like, kind_of
from fittingroom.audit.file_bytes import GZIP, unpack
from fittingroom.audit.findings import Finding
from fittingroom.audit.picture_files import file_findings
from fittingroom.audit.read_by_force import force_csv, force_npz, refuse_zip_bomb
from fittingroom.audit.values import picture_findings
from fittingroom.data.fetch.known_sets import KNOWN
from fittingroom.data.formats.csv_layout import holds_pixels, without_endless_lines
from fittingroom.data.formats.gzipped import BLOCK
from fittingroom.data.formats.kaggle_csv import csv_files
from fittingroom.data.formats.many_pictures import Decoding
from fittingroom.data.formats.splits import PARTS, part_of
from fittingroom.data.formats.table import (
    CSV,
    FORMATS,
    IDX,
    JSON_LINES,
    NPZ,
    PARQUET,
    PICTURES,
    format_at,
    format_of_name,
)
from fittingroom.data.open import open_dataset
from fittingroom.data.preprocessing import Preprocessing
from fittingroom.data.splits import Splits, parts_of
from fittingroom.errors import DataError


@dataclass(frozen=True)
class _Reading:
    """How a path is to be read; see :func:`read_audited_file`."""

    cache: bool
    preprocessing: Preprocessing | None
    group: str | None
    skip_broken: bool
    decoding: Decoding

    def open(self, given: str, *, skip_broken: bool) -> Splits:
        """The data set. Raises :class:`DataError`."""
        return open_dataset(
            given,
            cache=self.cache,
            preprocessing=self.preprocessing,
            group=self.group,
            skip_broken=skip_broken,
            decoding=self.decoding,
        )


def read_audited_file(
    given: str,
    *,
    cache: bool = True,
    preprocessing: Preprocessing | None = None,
    group: str | None = None,
    skip_broken: bool = False,
    decoding: Decoding = lambda _what, _done, _all: None,
) -> AuditedFile:
    """Read what lies at a path, or the known set of this name; what is wrong with it raises nothing.

    Args:
        given: a path or a name, as ``open_dataset`` takes it.
        cache, preprocessing, group, decoding: as in ``open_dataset``.
        skip_broken: pictures that can't be read are left out knowingly, and no error then.
    """
    how = _Reading(cache, preprocessing, group, skip_broken, decoding)
    audited_file = AuditedFile(given)
    path = Path(given)

    # What can't be read is a finding among others, so that the rest of what was given is checked.
    try:
        if given not in KNOWN and _is_idx(path):
            _read_idx(path, audited_file)
        else:
            _read_by_format(path, audited_file, how)
    except DataError as error:
        audited_file.problem = str(error)
    except OSError as error:
        audited_file.problem = f"{error.filename or given}: can't be read: {error.strerror or error}"
    except MemoryError:
        audited_file.problem = f"{given}: the data don't fit into memory"
    return audited_file


def _is_idx(path: Path) -> bool:
    """A folder with files called like IDX files, or a file that no other format's name claims."""
    if path.is_dir():
        return bool(list(idx_like(path)))
    if not path.is_file() or format_of_name(path) is not None:
        return False
    return not any(kind.sniff(path) for kind in FORMATS if kind.sniff is not None and kind is not IDX)


# ── IDX ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _read_idx(path: Path, audited_file: AuditedFile) -> None:
    for role, images_file, labels_file in _pairs(path):
        images = examine_idx(images_file) if images_file else None
        # only images say how many labels there should be: the file may be one of labels, under a wrong name
        is_images = images is not None and images.array is not None and images.array.ndim >= 3
        count = images.rows if images is not None and is_images else None
        labels = examine_idx(labels_file, count=count) if labels_file else None
        audited_file.findings += [*(images.findings if images else ()), *(labels.findings if labels else ())]

        pixels, numbers = _array(images), _array(labels)
        if pixels is not None and numbers is not None and pixels.ndim == 1 and numbers.ndim >= 3:
            pixels, numbers = numbers, pixels  # the two files have each other's name
        add_part(audited_file, role, pixels, numbers, images_file or labels_file or path)
    _share_names(audited_file)


def _share_names(audited_file: AuditedFile) -> None:
    """Give every part the class names of train, as far as its labels go: names go with the whole set."""
    named = [dataset.classes for role, dataset in sorted(audited_file.parts, key=lambda part: part[0] != "train")]
    for index, (role, dataset) in enumerate(audited_file.parts):
        if dataset.labels is not None and named[0] and int(dataset.labels.max()) < len(named[0]):
            audited_file.parts[index] = role, replace(dataset, classes=named[0])


def _pairs(path: Path) -> list[tuple[str, Path | None, Path | None]]:
    """(role, images file, labels file) of a folder, or of one file, which brings its partner if that lies beside it."""
    folder = path if path.is_dir() else path.parent
    files = list(idx_like(folder)) if path.is_dir() or path in idx_like(folder) else [path]

    stems: dict[str, dict[str, Path]] = {}
    for file in sorted(files, key=lambda file: file.suffix != ".gz"):  # the raw file, if there, replaces the .gz
        stem, kind = kind_of(file)
        stems.setdefault(stem, {})[kind or "images"] = file

    if not path.is_dir():
        stems = {stem: kinds for stem, kinds in stems.items() if path in kinds.values()}
    return [(part_of(stem) or "", kinds.get("images"), kinds.get("labels")) for stem, kinds in sorted(stems.items())]


def _array(file: IdxFile | None) -> NDArray[Any] | None:
    return None if file is None else file.array


# ── other formats ────────────────────────────────────────────────────────────────────────────────────────────


def holds_pictures(given: str) -> bool:
    """Whether the images of a data set are picture files, or lie as such in a table; False where nothing can be told.

    Args:
        given: a path or a name, as ``open_dataset`` takes it; "" for data made in memory.
    """
    if not given or given in KNOWN:
        return False
    try:
        path = Path(given)
        kind = format_at(path)[0] if path.exists() else None
        return kind in (JSON_LINES, PARQUET, PICTURES) or (kind is CSV and not holds_pixels(path))
    except (DataError, OSError, ValueError):
        return False


def _read_by_format(path: Path, audited_file: AuditedFile, how: _Reading) -> None:
    """Read a file or folder that isn't IDX, or a known set; by force what the reader refuses."""
    kind = format_of_name(path) if path.is_file() else None
    tables = [path] if kind is CSV else csv_files(path) if path.is_dir() else []

    # what is no table, or could exhaust the memory, is named before a reader sees it
    for file in tables:
        audited_file.findings += _wrapping(file)
    if any(finding.name in ("web-page", "text-mode-damage") for finding in audited_file.findings):
        return
    if kind is NPZ:
        refuse_zip_bomb(path)

    try:
        data = _opened(audited_file.given, how)
    except DataError as error:
        if kind is NPZ:
            force_npz(path, audited_file)
        elif tables:
            for file in tables:
                force_csv(file, audited_file)
        if not audited_file.findings:
            raise error  # nothing explains it: the reader's own message is the best there is
        return

    if data.train.files is not None or holds_pictures(audited_file.given):
        audited_file.is_pictures = True
        of_files, data = file_findings(path, data, knowingly=how.skip_broken)
        audited_file.findings += [*of_files, *picture_findings(path, data)]
    audited_file.notes = data.notes

    parts = parts_of(data)
    for role, dataset in parts.items():
        if len(parts) == 1:
            role = "" if path.is_file() and part_of(path.name) is None else _last_word(dataset.name)
        audited_file.parts.append((role, dataset))


def _opened(given: str, how: _Reading) -> Splits:
    """The data set; without the pictures that can't be read, which are a finding then.

    Raises:
        DataError: it can't be read for another reason.
    """
    try:
        return how.open(given, skip_broken=how.skip_broken)
    except DataError as error:
        if how.skip_broken or not holds_pictures(given):
            raise
        try:
            return how.open(given, skip_broken=True)
        except DataError:
            raise error from None


def _last_word(name: str) -> str:
    """The part that a reader put behind the name of a set with one part."""
    return PARTS.get(name.rsplit(" ", 1)[-1].lower(), "")


def _wrapping(path: Path) -> list[Finding]:
    """What is wrong with a CSV file before it is read as one.

    Raises:
        DataError: it can't be a CSV file of images.
    """
    with path.open("rb") as file:
        start = file.read(1024)
    if start.startswith(GZIP[:1]) or start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"<", b"v"):
        findings = list(unpack(path).findings)
        if findings:
            return findings
    else:
        with path.open("rb") as file:
            for _ in without_endless_lines(iter(partial(file.read, BLOCK), b""), path):
                pass
    return []
