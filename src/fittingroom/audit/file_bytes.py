"""The bytes of a file that may be damaged, without trusting it: gzip undone, web pages named, bombs refused."""

from __future__ import annotations

import gzip
import io
import zlib
from dataclasses import dataclass
from pathlib import Path

from fittingroom.audit.findings import Finding
from fittingroom.data.formats.gzipped import Inflating
from fittingroom.errors import DataError

GZIP = b"\x1f\x8b"
REPLACED = b"\xef\xbf\xbd"  # U+FFFD in UTF-8, which stands where a decoder met a byte that it did not know
MAX_BYTES = 400 << 20  # of one file, decompressed: what is examined has to fit into memory, twice for a moment
MAX_GZIP_LAYERS = 3  # of gzip in gzip
BLOCK = 1 << 20


@dataclass(frozen=True, eq=False)
class Content:
    """What a file holds beneath gzip.

    Attributes:
        data: the bytes, as far as they could be got; None where nothing is left of them.
        findings: what is wrong with the wrapping.
    """

    data: bytes | None
    findings: tuple[Finding, ...] = ()


def unpack(path: Path) -> Content:
    """Read what is in the file, however often it was compressed; no more than 400 MiB.

    Raises:
        DataError: the file can't be read, is larger, or is a bomb.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DataError(f"{path}: at most {MAX_BYTES:,} bytes can be examined, {size:,} found")
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error

    # both are known by how the file begins, and no decompressor can make anything of them
    if page := _web_page(data, path):
        return Content(None, (page,))
    if data.startswith(GZIP[:1] + REPLACED):
        return Content(None, (_replaced_in_gzip(data, path),))

    findings: list[Finding] = []
    layers = 0
    while data.startswith(GZIP):
        if layers == MAX_GZIP_LAYERS:
            raise DataError(
                f"{path}: gzip in gzip in gzip, {MAX_GZIP_LAYERS} times and still no data: no real data set is kept so"
            )
        layers += 1
        data, problem = _inflate(data, path)
        if problem is not None:
            findings.append(problem)
    if layers > 1:
        findings.append(_compressed_again(layers, path))

    # servers compress pages too: one may lie beneath the gzip
    if layers and (page := _web_page(data, path)):
        return Content(None, (*findings, page))
    return Content(data, tuple(findings))


def _inflate(packed: bytes, path: Path) -> tuple[bytes, Finding | None]:
    """Decompress as far as it goes; and where every LF has a CR before it, try without."""
    data, problem = _inflated(packed, path)

    # gzip's own check sum proves the repair: nothing but the file as it was passes it
    if problem == "damaged" and packed.count(b"\n") == packed.count(b"\r\n") > 0:
        repaired, problem_left = _inflated(packed.replace(b"\r\n", b"\n"), path)
        if problem_left is None:
            inserted = packed.count(b"\r\n")
            return repaired, Finding(
                name="text-mode-damage",
                severity="error",
                where=str(path),
                message=f"{inserted:,} CR bytes were put before LF bytes in the compressed file; without them its "
                "check sum is right",
                effect="The file can't be decompressed.",
                advice="Get the file again and copy it in binary mode (ftp: `binary`), or use --fix.",
                figures={"inserted": inserted},
                fix=f"took {inserted:,} inserted CR bytes out of the compressed file",
            )
    if problem is None:
        return data, None

    is_cut = problem == "cut off"
    return data, Finding(
        name="truncated" if is_cut else "size-mismatch",
        severity="error",
        where=str(path),
        message=f"the gzip data {'end' if is_cut else 'are damaged'} after {len(data):,} bytes of content"
        + (", before gzip's own check sum" if is_cut else ""),
        effect="The file can't be read whole; what comes after is lost.",
        advice="Get the file again.",
        figures={"content_bytes": len(data)},
    )


def _inflated(packed: bytes, path: Path) -> tuple[bytes, str | None]:
    """Decompress gzip, as far as it goes.

    Returns:
        The content; and None, ``cut off`` or ``damaged``.

    Raises:
        DataError: it is a bomb.
    """
    parts: list[bytes] = []
    total = 0
    content = Inflating(io.BytesIO(packed), path)
    try:
        # block by block: a bomb is refused before it has taken the memory
        while part := content.read(BLOCK):
            parts.append(part)
            total += len(part)
            if total > MAX_BYTES:
                raise DataError(
                    f"{path}: {len(packed):,} bytes of gzip become more than {MAX_BYTES:,}: no real images "
                    "shrink that much, and more can't be examined"
                )
    except EOFError:
        return b"".join(parts), "cut off"
    except zlib.error:
        return b"".join(parts), "damaged"
    except gzip.BadGzipFile:  # what follows the last member is no part of it
        pass
    return b"".join(parts), None


def _web_page(data: bytes, path: Path) -> Finding | None:
    # a byte order mark and blank lines may come before the first tag
    start = data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    is_pointer = start.startswith(b"version https://git-lfs")
    if not (start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")) or is_pointer):
        return None

    what = "a Git LFS pointer" if is_pointer else "a web page"
    beginning = data[:60].decode("utf-8", "replace").splitlines()[0].strip()

    return Finding(
        name="web-page",
        severity="error",
        where=str(path),
        message=f"{what} of {len(data):,} bytes was saved in place of the file; it begins with {beginning!r}",
        effect="There are no data in it.",
        advice="Download the file itself: `git lfs pull`."
        if is_pointer
        else "Download the file itself: the address of the raw file, not of the page about it.",
        figures={"bytes": len(data)},
    )


def _replaced_in_gzip(data: bytes, path: Path) -> Finding:
    count = data.count(REPLACED)
    return Finding(
        name="text-mode-damage",
        severity="error",
        where=str(path),
        message=f"{count:,} times EF BF BD, beginning in gzip's own magic number (1F 8B): the compressed file was "
        "decoded as UTF-8 text, and every byte that is no UTF-8 was replaced",
        effect="The file can't be decompressed; what was replaced is lost.",
        advice="Get the file again and handle it as bytes, not as text.",
        figures={"replaced": count},
    )


def _compressed_again(layers: int, path: Path) -> Finding:
    return Finding(
        name="double-gzip",
        severity="error",
        where=str(path),
        message=f"gzip {layers} times, one in the other",
        effect="A reader that decompresses once finds gzip's magic number (1F 8B) where the data should begin.",
        advice="Decompress it once, or use --fix.",
        figures={"layers": layers},
        fix=f"decompressed {layers} times",
    )
