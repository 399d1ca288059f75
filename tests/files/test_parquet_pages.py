"""No honest Parquet file is taken for one whose headers lie; what is damaged is named."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import pytest

from fittingroom.files import parquet_pages
from fittingroom.files.parquet_pages import page_problem

COLUMNS = {
    "picture": [bytes(range(side)) * 40 for side in range(100)],
    "same": [b"x" * 3_000_000] * 100,
    "label": [None, *range(99)],
    "name": ["é" * row for row in range(100)],
    "numbers": [[1, 2, 3] * row for row in range(100)],
    "struct": [{"bytes": b"x", "path": None}] * 100,
    "share": np.linspace(0, 1, 100),
    "is_true": [True, False] * 50,
}


def written(**options: object) -> io.BytesIO:
    file = io.BytesIO()
    pl.DataFrame(COLUMNS).write_parquet(file, **options)  # type: ignore[arg-type]
    file.seek(0)
    return file


@pytest.mark.parametrize("compression", ["zstd", "snappy", "lz4", "gzip", "brotli", "uncompressed"])
def test_an_honest_file_has_no_problem(compression: Literal["zstd"]) -> None:
    assert page_problem(written(compression=compression)) is None
    assert page_problem(written(compression=compression, row_group_size=7, data_page_size=500)) is None
    assert page_problem(written(compression=compression, statistics="full")) is None


def test_a_table_without_rows_has_no_problem() -> None:
    file = io.BytesIO()
    pl.DataFrame({"a": []}, schema={"a": pl.Binary}).write_parquet(file)
    assert page_problem(file) is None


def test_no_change_of_a_byte_ends_in_another_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_pages, "LARGEST_HEADER", 10_000)
    content = written(row_group_size=50).getvalue()
    rng = np.random.default_rng(0)
    problems = []
    for place in [*rng.integers(0, len(content), 100), *range(len(content) - 1_000, len(content), 5)]:
        changed = bytearray(content)
        changed[place] = rng.integers(256)
        problems.append(page_problem(io.BytesIO(bytes(changed))))
    assert any(problems)


def test_no_changed_byte_of_a_footer_lets_polars_panic() -> None:
    file = io.BytesIO()
    pl.DataFrame({"label": ["a", "b"] * 10, "row": range(20), "p0": np.zeros(20, np.float32)}).write_parquet(file)
    content = file.getvalue()
    begin = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    for place in range(begin, len(content) - 8):
        for changed in {content[place] ^ 1, content[place] ^ 2, content[place] ^ 64}:
            damaged = content[:place] + bytes([changed]) + content[place + 1 :]
            if page_problem(io.BytesIO(damaged)):
                continue
            try:
                pl.read_parquet(io.BytesIO(damaged))
            except pl.exceptions.PanicException as panic:
                pytest.fail(f"byte {place}: {panic}")
            except (pl.exceptions.PolarsError, OSError):
                pass


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1", b"PAR1" + b"\x19" * 200_000])
def test_what_is_no_parquet_file_has_a_problem(content: bytes) -> None:
    length = len(content) - 4
    assert page_problem(io.BytesIO(content))
    assert page_problem(io.BytesIO(content + length.to_bytes(4, "little") + b"PAR1")) if length > 0 else True


def test_a_file_that_changes_is_looked_at_again(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(written().getvalue())
    with path.open("rb") as file:
        assert page_problem(file) is None
    path.write_bytes(b"PAR1" * 1_000)
    with path.open("rb") as file:
        assert page_problem(file)
        assert file.tell() == 0
