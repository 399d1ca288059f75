"""What ``fittingroom data info`` and ``data show`` print of a data set; imported when one of them runs."""

from collections.abc import Callable

import numpy as np

from fittingroom.cli.console import table
from fittingroom.data.dataset import Dataset
from fittingroom.data.preprocessing import Preprocessing
from fittingroom.data.summary import Summary
from fittingroom.rendering.contact_sheet import Row
from fittingroom.rendering.text_table import TextTable

MOST_CLASSES = 40  # in a printed table; JSON has all
EDGE = 5  # so many of the first pixels are printed, and of the last, where there is room
SHEET_COLUMNS, SHEET_ROWS = 12, 30
BACKGROUNDS = {(255, 255, 255): "white", (0, 0, 0): "black"}

FIGURES: dict[str, Callable[[Summary], str]] = {
    "images": lambda part: f"{part.images:,}",
    "size": lambda part: f"{part.height}×{part.width}",
    "colour": lambda part: "RGB" if part.channels == 3 else "grey",
    "type": lambda part: part.images_dtype,
    "labels": lambda part: part.labels_dtype or "none",
    "classes": lambda part: f"{len(part.class_counts):,}",
    "pixels": lambda part: f"{part.low}–{part.high}",
    "mean (0–1)": lambda part: f"{part.mean:.6f}",
    "sd (0–1)": lambda part: f"{part.sd:.6f}",
    "fingerprint": lambda part: f"{part.fingerprint.content[:16]}…",
    "known as": lambda part: part.identity or "–",
}


def figures(summaries: dict[str, Summary]) -> TextTable:
    """A column for each part, a row for each figure."""
    result = table("", *summaries, right=tuple(summaries), prose=tuple(summaries))
    for name, text in FIGURES.items():
        result.add_row(name, *map(text, summaries.values()))
    return result


def in_words(preprocessing: Preprocessing) -> str:
    """How a picture becomes an image like these: ``64×64 RGB; other shapes are padded; transparent parts on white``."""
    assert preprocessing.size is not None, "open_dataset has resolved it"
    height, width = preprocessing.size
    shape = {"pad": "fitted in and padded", "crop": "filled, and the middle cut out", "stretch": "stretched"}
    background = BACKGROUNDS.get(preprocessing.background) or "#{:02x}{:02x}{:02x}".format(*preprocessing.background)
    return (
        f"{height}×{width} {'RGB' if preprocessing.channels == 3 else 'grey'}; a picture of another shape is "
        f"{shape[preprocessing.resize]}; transparent parts lie on {background}"
    )


def class_counts(summaries: dict[str, Summary]) -> TextTable:
    """A row for each class, with the number of its images in each part."""
    result = table("class", *summaries, right=tuple(summaries))
    names = list(dict.fromkeys(name for summary in summaries.values() for name in summary.class_counts))
    for name in names[:MOST_CLASSES]:
        counts = [summary.class_counts.get(name) for summary in summaries.values()]
        result.add_row(name, *("–" if count is None else f"{count:,}" for count in counts))
    if len(names) > MOST_CLASSES:
        result.add_row(f"… and {len(names) - MOST_CLASSES:,} more (all by --json)")
    return result


def first_rows(dataset: Dataset, count: int, width: int) -> TextTable:
    """The first rows as pandas' ``head`` shows them: row, label, class, the first and the last pixels.

    Args:
        dataset: whose rows.
        count: how many.
        width: columns of the terminal; on a narrow one there are fewer pixels.
    """
    tables = [_first_rows(dataset, count, edge) for edge in range(EDGE, 0, -1)]
    return next((each for each in tables if each.fits(width)), tables[-1])


def _first_rows(dataset: Dataset, count: int, edge: int) -> TextTable:
    height, width = dataset.image_size
    pixels_NP = dataset.images[:count].reshape(-1, height * width, *dataset.images.shape[3:])
    headings = _edges([str(number) for number in range(1, height * width + 1)], edge)

    labelled = ["label", "class"] if dataset.labels is not None else []
    result = table("", *labelled, *headings, right=["", "label", *headings], muted=[""], gap=2)
    for row, pixels in enumerate(pixels_NP.tolist()):
        label = [] if dataset.labels is None else [str(dataset.labels[row]), dataset.classes[dataset.labels[row]]]
        result.add_row(str(row), *label, *_edges([_pixel_text(pixel) for pixel in pixels], edge))
    return result


def sheet_rows(dataset: Dataset) -> list[Row]:
    """The first images of each class that has any, in file order; of a set without labels the first images."""
    if dataset.labels is None:
        starts = range(0, min(len(dataset), SHEET_COLUMNS * 10), SHEET_COLUMNS)
        return [Row(f"{start:,} …", "", dataset.images[start : start + SHEET_COLUMNS]) for start in starts]
    counts = dataset.class_counts()
    return [
        Row(
            dataset.classes[label],
            "1 image" if counts[label] == 1 else f"{counts[label]:,} images",
            dataset.images[np.flatnonzero(dataset.labels == label)[:SHEET_COLUMNS]],
        )
        for label in np.flatnonzero(counts)[:SHEET_ROWS]
    ]


def _pixel_text(pixel: int | list[int]) -> str:
    return str(pixel) if isinstance(pixel, int) else "#{:02x}{:02x}{:02x}".format(*pixel)


def _edges(cells: list[str], edge: int) -> list[str]:
    return cells if len(cells) <= 2 * edge else [*cells[:edge], "…", *cells[-edge:]]
