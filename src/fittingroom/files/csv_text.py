"""Cells of a CSV file that a spreadsheet is to show and not to compute."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fittingroom.files.polars_check import check_polars

if TYPE_CHECKING:
    import polars as pl

_FORMULA = re.compile(r"\s*[=+\-@|]")
_NUMBER = re.compile(r"[+-]?[\d.]+([eE][+-]?\d+)?")


def csv_text(text: str) -> str:
    """A text that a spreadsheet takes for no formula: one that begins as such gets an apostrophe before it.

    Names of files and classes may have come from anyone, and ``=cmd|…`` starts programs where it is opened. JSON and
    Parquet hold every text as it is.

    Example:
        >>> csv_text("=1+1"), csv_text("-5"), csv_text("bag")
        ("'=1+1", '-5', 'bag')
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def csv_table(table: pl.DataFrame) -> pl.DataFrame:
    """A table whose texts went through :func:`csv_text`, by the same two expressions."""
    import polars as pl

    check_polars()
    text = pl.col(pl.String)
    is_formula = text.str.contains(rf"^{_FORMULA.pattern}") & ~text.str.contains(rf"^{_NUMBER.pattern}$")
    return table.with_columns(pl.when(is_formula).then("'" + text).otherwise(text).name.keep())
