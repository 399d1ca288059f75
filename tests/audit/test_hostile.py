"""Files made to do harm end in a clear message, within seconds and without taking the machine's memory."""

import gzip
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support import PATIENCE
from tests.support.planted import TRAIN_IMAGES, checked, names

MAX_SECONDS, MAX_BYTES = 10, 1 << 30


def nested(depth: int) -> bytes:
    data = bytes(1 << 20)
    for _ in range(depth):
        data = gzip.compress(data)
    return data


def bomb(path: Path) -> None:
    """10 MB of gzip that become 10 GB of zeros: many members, each a 1,000th of its size."""
    member = gzip.compress(bytes(10 << 20))
    with path.open("wb") as file:
        for _ in range(1_000):
            file.write(member)


def endless_line(path: Path, size: int) -> None:
    """A CSV of one line: a hole in the file, where it takes no space on the disk."""
    with path.open("wb") as file:
        file.write(b"label,pixel1,pixel2\n1,2,")
        file.truncate(size)


def npz_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x_train.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (1 << 20, 28, 28)})
        for _ in range(800):
            file.write(bytes(1 << 20))


HOSTILE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "random.csv": ("random bytes", lambda path: path.write_bytes(np.random.default_rng(0).bytes(1_000_000))),
    "random.npz": ("random bytes", lambda path: path.write_bytes(np.random.default_rng(0).bytes(1_000_000))),
    "random.parquet": ("random bytes", lambda path: path.write_bytes(np.random.default_rng(0).bytes(1_000_000))),
    TRAIN_IMAGES: ("random bytes", lambda path: path.write_bytes(np.random.default_rng(0).bytes(1_000_000))),
    "claims-images-idx3-ubyte": (
        "a header of 2^32 images",
        lambda path: path.write_bytes(b"\0\0\x08\x03" + b"\xff" * 99),
    ),
    "deep-images-idx3-ubyte.gz": ("gzip 10 times over", lambda path: path.write_bytes(nested(10))),
    "bomb-images-idx3-ubyte.gz": ("10 GB in 10 MB", bomb),
    "bomb.csv.gz": ("10 GB in 10 MB", bomb),
    "bomb.npz": ("an array of 800 MB", npz_bomb),
    "line.csv": ("one line of 1 GB", lambda path: endless_line(path, 1 << 30)),
    "empty.csv": ("nothing", lambda path: path.write_bytes(b"")),
    "zeros.csv": ("zeros", lambda path: path.write_bytes(bytes(1_000_000))),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_end_in_a_clear_message(name: str, tmp_path: Path) -> None:
    """In a process of its own, which is refused more than 1 GiB of memory beyond what libraries map."""
    HOSTILE[name][1](tmp_path / name)
    code = (
        "import json, re, sys, time; from fittingroom.audit import check; begun = time.process_time();"
        "report = check([sys.argv[1]], cache=False);"
        "print(json.dumps({'seconds': time.process_time() - begun, 'errors': report.has_errors,"
        "'said': [f.name for f in report.findings] + [c.problem for c in report.checked if c.problem],"
        # not getrusage: its peak begins with that of the process that started this one
        "'memory': 1024 * int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])}))"
    )

    result = subprocess.run(
        [sys.executable, "-c", code, tmp_path / name], capture_output=True, text=True, timeout=PATIENCE
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["errors"]
    assert report["said"]
    assert "Traceback" not in result.stdout
    assert report["seconds"] < MAX_SECONDS
    assert report["memory"] < MAX_BYTES


@pytest.mark.parametrize("given", ["no-such-file", "", "a\0b", "~nobody-at-all/x"])
def test_what_is_not_there_is_reported(given: str) -> None:
    report = checked(given)
    assert report.has_errors
    assert report.checked[0].problem


def test_a_file_that_is_damaged_does_not_keep_the_others_from_being_checked(tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    report = checked(tmp_path / "bad.npz", "sample")
    assert report.checked[0].problem
    assert names(report) == {"subset"}


def test_folder_of_nothing_is_reported(tmp_path: Path) -> None:
    assert "no data found" in (checked(tmp_path).checked[0].problem or "")
