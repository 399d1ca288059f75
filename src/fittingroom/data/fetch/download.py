"""Bring files from outside: over HTTP, or out of a Debian package. Nothing here judges what came."""

import http.client
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import Any

TIMEOUT = 5.0  # seconds without a byte, and for the connection itself
SLOWEST = 4096  # bytes a second …
PATIENCE = 20.0  # … on average once this many seconds have passed
MAX_TRIES = 5
US = {"User-Agent": "fittingroom"}
BLOCK = 1 << 16
APT_TIMEOUT = 600.0  # seconds for one call of apt-get; the package is 31 MB

Progress = Callable[[str, int, int | None], None]
"""Called with what is being fetched, the bytes so far, and the bytes in all (None: not known)."""


class SourceError(Exception):
    """A source did not give what it was asked for; the message says why, in one line."""


def download(url: str, partial: Path, *, most: int, progress: Callable[[int, int | None], None]) -> None:
    """Bring what lies at ``url`` into the file ``partial``, resuming after the bytes that it holds already.

    A connection that is cut is taken up again from there (HTTP Range), as long as each try brings something new.

    Args:
        url: over HTTP or HTTPS.
        partial: the file; what came so far stays in it when the download fails.
        most: the bytes above which the answer can't be what is sought.
        progress: called with (bytes so far, bytes in all or None).

    Raises:
        SourceError: the server did not give it.
    """
    for _ in range(MAX_TRIES):
        before = _size(partial)
        try:
            _resume(url, partial, most, progress)
        except urllib.error.HTTPError as error:
            with error:
                if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or before == 0:
                    raise SourceError(f"HTTP {error.code} {error.reason}") from error

                # nothing is left to ask for: all of it is there already, or what is there is of another file
                if error.headers.get("Content-Range") == f"bytes */{before}":
                    return  # an earlier fetch was stopped between the last byte and the check
                partial.unlink()
        except (OSError, ValueError, http.client.HTTPException) as error:
            if _size(partial) <= before:
                raise SourceError(_reason(error)) from error
        else:
            return
    raise SourceError(f"the connection was cut {MAX_TRIES} times, the last time after {_size(partial):,} bytes")


def headers_of(url: str) -> Message:
    """The headers of what the server itself answers for ``url``, also where it points elsewhere; no byte is fetched.

    Raises:
        SourceError: the server did not give it.
    """

    class _Stay(urllib.request.HTTPRedirectHandler):
        """Not to where it points."""

        def redirect_request(self, *_: Any) -> None:
            return None

    request = urllib.request.Request(url, method="HEAD", headers=US)
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=TIMEOUT) as answer:
            headers: Message = answer.headers
    except urllib.error.HTTPError as error:
        with error:
            if error.code // 100 != 3:
                raise SourceError(f"HTTP {error.code} {error.reason}") from error
            headers = error.headers
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise SourceError(_reason(error)) from error
    return headers


def unpack_debian_package(package: str, folder: Path) -> Path:
    """Download a Debian package by apt-get and unpack it below ``folder``.

    Needs no root, installs nothing, and leaves the machine's package lists alone: where they are missing
    or out of date, apt-get gets its own in ``folder``.

    Returns:
        The folder that it is unpacked in.

    Raises:
        SourceError: apt-get or dpkg-deb is missing or fails.
        OSError: ``folder`` can't be written.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise SourceError(f"{tool} is not installed (this is not Debian or Ubuntu)")
    downloads = folder / "download"
    downloads.mkdir(parents=True)

    # a container's lists are mostly removed to make it small
    try:
        _apt_get("download", package, cwd=downloads)
    except SourceError:
        _download_with_own_lists(package, folder, downloads)

    packages = sorted(downloads.glob("*.deb"))
    if not packages:
        raise SourceError("apt-get left no package")
    unpacked = folder / "unpacked"
    _call(["dpkg-deb", "-x", str(packages[-1]), str(unpacked)], cwd=folder)
    return unpacked


def _resume(url: str, partial: Path, most: int, progress: Callable[[int, int | None], None]) -> None:
    """One try: ask for what ``partial`` lacks and add it.

    Raises:
        ConnectionError: the answer is cut.
    """
    done = _size(partial)
    headers = US | ({"Range": f"bytes={done}-"} if done else {})
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as answer:
        if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            done = 0  # the server sends all of it, whatever was asked

        # before a byte is kept: a disk is not to be filled by an answer that can't be the file
        length = answer.headers.get("Content-Length")
        if length is not None and not (length.isascii() and length.isdecimal()):
            raise SourceError(f"a number of bytes expected as Content-Length, {length[:40]!r} found")
        total = done + int(length) if length is not None else None
        if total is not None and total > most:
            raise SourceError(f"at most {most:,} bytes expected, {total:,} announced")

        start, done_at_start = time.monotonic(), done
        with partial.open("ab" if done else "wb") as file:
            while block := answer.read1(BLOCK):
                file.write(block)
                done += len(block)
                progress(done, total)
                if done > most:
                    file.truncate(0)
                    raise SourceError(f"at most {most:,} bytes expected, more came")

                # each byte in time, and yet it would take hours: another mirror is sooner
                seconds = time.monotonic() - start
                if seconds > PATIENCE and done - done_at_start < SLOWEST * seconds:
                    raise SourceError(f"{(done - done_at_start) / seconds:,.0f} bytes a second are too slow")

    if total is not None and done < total:
        raise ConnectionError(f"cut after {done:,} of {total:,} bytes")


def _download_with_own_lists(package: str, folder: Path, downloads: Path) -> None:
    state, cache = folder / "state", folder / "cache"
    (state / "lists" / "partial").mkdir(parents=True)
    (cache / "archives" / "partial").mkdir(parents=True)
    own_lists = ["-o", f"Dir::State={state}", "-o", f"Dir::Cache={cache}"]
    # without strict: one archive of several may be down, and another than the one that counts
    complaint = _apt_get(*own_lists, "update", cwd=folder, strict=False)
    try:
        _apt_get(*own_lists, "download", package, cwd=downloads)
    except SourceError as error:
        raise SourceError(complaint or str(error)) from error


def _apt_get(*arguments: str, cwd: Path, strict: bool = True) -> str:
    options = ["-q"]
    for setting in ("Acquire::Retries=0", "Acquire::http::Timeout=5", "Acquire::https::Timeout=5"):
        options += ["-o", setting]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options += ["-o", "APT::Sandbox::User=root"]  # or apt warns that its own user can't write in our folder
    return _call(["apt-get", *options, *arguments], cwd=cwd, strict=strict)


def _call(command: list[str], cwd: Path, strict: bool = True) -> str:
    """Run the command.

    Returns:
        Its first complaint, or "".

    Raises:
        SourceError: it takes too long or, if ``strict``, fails.
    """
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=APT_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SourceError(f"{command[0]} did not end within {APT_TIMEOUT:.0f} s") from error

    # one line says enough; apt-get's other output is about what it does
    complaints = (line for line in done.stderr.splitlines() if line.startswith(("E:", "W:", "dpkg")))
    complaint = " ".join(next(complaints, "").split())
    if strict and done.returncode != 0:
        raise SourceError(complaint or f"{command[0]} failed ({done.returncode})")
    return complaint


def _reason(error: Exception) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no answer within {TIMEOUT:g} s"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(cause) or type(cause).__name__


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
