"""IDX files that may be damaged: what is wrong with their bytes, and the array if it can be had exactly.

The reader of whole IDX files is :mod:`fittingroom.data.formats.idx`; this one goes on where that one refuses.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.file_bytes import unpack
from fittingroom.audit.findings import Finding
from fittingroom.audit.text_mode import Trace, lost_bytes, repairable_damage
from fittingroom.data.formats.idx import DTYPES, IdxHeader

Kind = Literal["images", "labels"]
MAX_RANK = 4
OTHER: dict[Kind, Kind] = {"images": "labels", "labels": "images"}
_KIND = re.compile(r"(?P<stem>.*?)[-_.]?(?P<kind>images|labels)", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class IdxFile:
    """What could be made of an IDX file.

    Attributes:
        path: the file.
        array: its values in the machine's byte order; None where nothing can be made of it.
        rows: how many it should have by its header; None where that can't be read.
        findings: what is wrong with it.
    """

    path: Path
    array: NDArray[Any] | None
    rows: int | None
    findings: tuple[Finding, ...]


def idx_like(folder: Path) -> Iterable[Path]:
    """The files of a folder that are called as IDX files are: …images-idx3-ubyte, …labels.idx1-ubyte.gz."""
    return [
        file
        for file in sorted(folder.iterdir())
        if file.is_file() and re.search(r"(images|labels)[-_.]idx\d", file.name)
    ]


def kind_of(path: Path) -> tuple[str, Kind | None]:
    """What an IDX file should hold by its name: ("train", "images"); None where the name doesn't say."""
    match = _KIND.match(path.name)
    if match is None:
        return path.stem, None
    return match["stem"], "labels" if match["kind"].lower() == "labels" else "images"


def examine_idx(path: Path, *, count: int | None = None) -> IdxFile:
    """Take an IDX file apart, whatever happened to it. What it holds is judged against its name.

    Args:
        path: the file, compressed or not.
        count: how many rows it should have by its partner (labels by their images), if that is known.

    Raises:
        DataError: it can't be examined at all.
    """
    content = unpack(path)
    findings = list(content.findings)
    array = rows = None
    if content.data is not None:
        array, problems = _array_of(content.data, path)

        # that rows are missing says more than that the gzip data end
        if any(finding.name == "truncated" for finding in problems):
            findings = [finding for finding in findings if finding.name != "truncated"]
        findings += problems

        # a file that is cut off should have had as many rows as its header says, which its partner is measured by
        header = _header(content.data)
        is_cut = any(finding.name == "truncated" for finding in findings)
        rows = len(array) if array is not None and not is_cut else header.shape[0] if header else None

    if array is not None:
        _, expected = kind_of(path)
        if expected is not None and _kind(array) not in (None, expected):
            findings.append(_swapped(array, expected, path))
        if _kind(array) == "labels":
            array, problem = _without_header(array, path)
            findings += [problem] if problem else []

        # only of a file with nothing else wrong: any other damage explains the number of rows
        if count is not None and len(array) != count and not findings:
            findings.append(_count(array, count, path))
    return IdxFile(path, array, rows, tuple(findings))


def _array_of(data: bytes, path: Path) -> tuple[NDArray[Any] | None, list[Finding]]:
    """The array, repaired if need be, and what was wrong."""
    header = _header(data)
    if header is not None and header.file_size == len(data):
        # the size can be right and bytes lost all the same, where one was replaced by one
        trace = lost_bytes(data[header.size :], is_short=False)
        return _values(data, header), [_text_mode(path, trace)] if trace else []

    # first what can be undone, each proved by the file's size, which fits exactly when it was this
    if array_and_finding := _little_endian(data, path):
        return array_and_finding[0], [array_and_finding[1]]
    for trace in repairable_damage(data):
        assert trace.repaired is not None
        repaired = _header(trace.repaired)
        if repaired is not None and repaired.file_size == len(trace.repaired):
            return _values(trace.repaired, repaired), [_text_mode(path, trace)]

    # then what is lost: text mode before a cut, for it also makes files shorter, and their pixels are displaced
    if trace := lost_bytes(data, is_short=header is None or len(data) < header.file_size):
        return None, [_text_mode(path, trace)]

    if header is None:
        return _wrong_magic(data, path)
    if len(data) < header.file_size:
        array, problem = _cut_off(data, header, path)
        return array, [problem]
    return None, [_too_long(data, header, path)]


# ── bytes to values ──────────────────────────────────────────────────────────────────────────────────────────


def _header(data: bytes, order: Literal["big", "little"] = "big") -> IdxHeader | None:
    """The header if there can be one: known type, rank 1 to 4, no dimension of 0."""
    magic = data[:4] if order == "big" else data[3::-1]
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in DTYPES or not 1 <= magic[3] <= MAX_RANK:
        return None
    sizes = data[4 : 4 + 4 * magic[3]]
    if len(sizes) < 4 * magic[3]:
        return None
    shape = tuple(np.frombuffer(sizes, ">u4" if order == "big" else "<u4").tolist())
    return IdxHeader(magic[2], shape) if 0 not in shape else None


def _values(data: bytes, header: IdxHeader, dtype: np.dtype[Any] | None = None) -> NDArray[Any]:
    values = np.frombuffer(data, dtype or header.dtype, offset=header.size).reshape(header.shape)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _kind(array: NDArray[Any]) -> Kind | None:
    return {1: "labels", 3: "images", 4: "images"}.get(array.ndim)  # type: ignore[return-value]


def _size(header: IdxHeader) -> str:
    return f"{header.dtype.name} {'×'.join(f'{size:,}' for size in header.shape)}"


def _little_endian(data: bytes, path: Path) -> tuple[NDArray[Any], Finding] | None:
    """Read a file whose sizes, and perhaps magic number, have their bytes in the wrong order, if its size fits."""
    # some writers turn the sizes alone, others the magic number too
    for magic in (data[:4], data[3::-1]):
        header = _header(magic[::-1] + data[4:20], "little")
        if header is None or header.file_size != len(data):
            continue
        if header == _header(data):
            continue  # a palindrome, which is right either way

        finding = Finding(
            name="little-endian",
            severity="error",
            where=str(path),
            message=f"the header's numbers are little-endian ({data[: header.size].hex(' ', 4)}); read so, they say "
            f"{_size(header)}, and the file has exactly the {header.file_size:,} bytes for that",
            effect="A reader that follows the format sees another shape, and refuses the file or reads nonsense.",
            advice="Write IDX headers big-endian (struct: '>I'), or use --fix.",
            figures={"shape": list(header.shape)},
            fix="wrote the header anew, big-endian",
        )
        return _values(data, header, header.dtype.newbyteorder("<")), finding
    return None


def _wrong_magic(data: bytes, path: Path) -> tuple[NDArray[Any] | None, list[Finding]]:
    """Take the sizes of a file whose first four bytes are wrong as they stand, if they fit the file exactly."""
    array, fix, hint = None, "", "its sizes don't fit either"
    # as uint8, which files of images and labels nearly always are: any other type would be a guess
    for rank in (3, 1):
        header = _header(bytes([0, 0, 0x08, rank]) + data[4 : 4 + 4 * rank])
        if header is not None and header.file_size == len(data):
            array = _values(data, header)
            fix = f"wrote the magic number 00 00 08 0{rank} in its place"
            hint = f"but the sizes after it, {_size(header)}, fit the file exactly"
            break

    finding = Finding(
        name="wrong-magic",
        severity="error",
        where=str(path),
        message=f"an IDX file begins with 00 00, a type (08 for uint8) and a rank; found "
        f"{data[:4].hex(' ') or 'nothing'}; {hint}",
        effect="A strict reader refuses the file; one that skips the header reads whatever this is as pixels.",
        advice="Get the file again; if it is of another format, give it its suffix (.csv, .npz, .parquet).",
        figures={"magic": data[:4].hex(" "), "bytes": len(data)},
        fix=fix,
    )
    return array, [finding]


def _cut_off(data: bytes, header: IdxHeader, path: Path) -> tuple[NDArray[Any] | None, Finding]:
    """The whole rows of a file that is shorter than its header says."""
    # half an image can't be kept, for its label is of the whole one
    row = header.dtype.itemsize * math.prod(header.shape[1:])
    whole = (len(data) - header.size) // row

    array = None
    if whole > 0:
        end = header.size + whole * row
        array = _values(data[:end], IdxHeader(header.code, (whole, *header.shape[1:])))

    return array, Finding(
        name="truncated",
        severity="error",
        where=str(path),
        message=f"{header.file_size:,} bytes expected by its header ({_size(header)}), {len(data):,} found: the file "
        f"is cut off within row {whole:,}",
        effect="A strict reader refuses it; a lenient one gives fewer images than labels, or images of zeros.",
        advice=f"Get the file again; --fix keeps the {whole:,} whole rows.",
        figures={"expected": header.file_size, "found": len(data), "whole_rows": whole},
        fix=f"kept the {whole:,} rows that are whole, of {header.shape[0]:,}" if whole > 0 else "",
    )


# ── labels that begin with a header ──────────────────────────────────────────────────────────────────────────


def _without_header(labels: NDArray[Any], path: Path) -> tuple[NDArray[Any], Finding | None]:
    """See whether the first labels are an IDX header of labels: then the labels were read from offset 0."""
    start = header_in(labels)
    if start == 0:
        return labels, None
    return labels[start:], labels_from_offset_0(str(path), labels, start)


def header_in(labels: NDArray[Any]) -> int:
    """How many of the first labels are the bytes of an IDX header of labels: 8 or 0."""
    first = labels[:8]
    if len(first) < 8 or first.min() < 0 or first.max() > 255:
        return 0
    return 8 if first[:4].astype(np.uint8).tobytes() == b"\0\0\x08\x01" else 0


def labels_from_offset_0(where: str, labels: NDArray[Any], start: int) -> Finding:
    """The finding for labels that begin with the header of the file that they were read from."""
    shown = ", ".join(str(int(label)) for label in labels[:start])
    return Finding(
        name="label-offset",
        severity="error",
        where=where,
        message=f"the first {start} labels, {shown}, are the header of an IDX file: the labels were read from "
        f"offset 0 instead of {start}, so each belongs to the image {start} places before",
        effect="Nearly every image has the label of another one: accuracy falls to chance.",
        advice=f"Read the labels from byte {start}, or use --fix.",
        figures={"offset": start},
        fix=f"took out the first {start} labels; the last {start} images, whose labels are missing, were left out",
    )


# ── findings ─────────────────────────────────────────────────────────────────────────────────────────────────


def _too_long(data: bytes, header: IdxHeader, path: Path) -> Finding:
    return Finding(
        name="size-mismatch",
        severity="error",
        where=str(path),
        message=f"{header.file_size:,} bytes expected by its header ({_size(header)}), {len(data):,} found: "
        f"{len(data) - header.file_size:,} too many",
        effect="Header and content don't belong together: what is read may begin or end in the wrong place.",
        advice="Get the file again; see whether something was appended, or the header was taken from another file.",
        figures={"expected": header.file_size, "found": len(data)},
    )


def _count(array: NDArray[Any], count: int, path: Path) -> Finding:
    return Finding(
        name="size-mismatch",
        severity="error",
        where=str(path),
        message=f"{len(array):,} labels for {count:,} images: the two files don't belong together",
        effect="Labels are given to the wrong images, or to none.",
        advice="Take both files from one source.",
        figures={"labels": len(array), "images": count},
    )


def _swapped(array: NDArray[Any], expected: Kind, path: Path) -> Finding:
    content = OTHER[expected]
    return Finding(
        name=f"{content}-as-{expected}",
        severity="error",
        where=str(path),
        message=f"{expected} by its name, {content} by its content ({'×'.join(f'{n:,}' for n in array.shape)})",
        effect="Read without looking at the header, pixels become labels or labels pixels.",
        advice="Give the files each other's name if both are swapped (--fix does), or get the right one.",
        figures={"shape": list(array.shape)},
    )


def _text_mode(path: Path, trace: Trace) -> Finding:
    is_repairable = trace.repaired is not None
    return Finding(
        name="text-mode-damage",
        severity="error",
        where=str(path),
        message=trace.message,
        effect="Every pixel after the first change stands in the wrong place, or has another value.",
        advice="Get the file again, and copy, open and save it in binary mode (ftp: `binary`; Python: 'rb', 'wb')"
        + (", or use --fix." if is_repairable else "; what was changed can't be known."),
        figures=trace.figures,
        fix=trace.fix,
    )
