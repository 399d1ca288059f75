"""What ``fittingroom evaluate --csv`` writes of predictions of another program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fittingroom.compare.answers import Answers


def write_csv(path: Path, answers: Answers, *, every_image: bool) -> None:
    """Write a line for each mistake, or each image, in the columns that a run's have; of several files each its number.

    The most confident first where the files have probabilities, else in their order.

    Raises:
        DataError: it can't be written.
    """
    import numpy as np
    import polars as pl

    from fittingroom.errors import DataError
    from fittingroom.files.atomic import atomic_write
    from fittingroom.files.csv_text import csv_table

    tables = []
    number = {name: i for i, name in enumerate(answers.classes)}
    for seed, predicted_N in enumerate(answers.predicted):
        sure_N = np.full(len(predicted_N), np.nan)
        if answers.probabilities is not None:
            columns_N = np.array([number[name] for name in predicted_N.tolist()])
            sure_N = answers.probabilities[seed][np.arange(len(columns_N)), columns_N].astype(np.float64)
        rows_N = np.arange(len(predicted_N))
        if not every_image:
            rows_N = np.flatnonzero(~answers.correct[seed])
            rows_N = rows_N[np.argsort(-sure_N[rows_N], kind="stable")]
        rows = rows_N.tolist()
        known = answers.rows or range(len(predicted_N))
        table = {
            "file": [answers.files[row] if answers.files else None for row in rows],
            "row": [known[row] for row in rows],
            "label": answers.truth[rows_N].tolist(),
            "predicted": predicted_N[rows_N].tolist(),
            "probability": [None if np.isnan(sure_N[row]) else round(float(sure_N[row]), 6) for row in rows],
        }
        if answers.ids is not None:
            table |= {"id": [answers.ids[row] for row in rows]}
        schema = {"file": pl.String, "row": pl.Int64, "label": pl.String, "predicted": pl.String, "id": pl.String}
        numbered = {"seed": [seed] * len(rows)} if answers.seeds > 1 else {}
        schema_of = {name: kind for name, kind in schema.items() if name in table} | {"probability": pl.Float64}
        tables.append(pl.DataFrame(numbered | table, schema_overrides=schema_of))
    try:
        with atomic_write(path) as out:
            csv_table(pl.concat(tables)).write_csv(out)
    except OSError as error:
        raise DataError(f"{path}: can't be written: {error.strerror or error}") from error
