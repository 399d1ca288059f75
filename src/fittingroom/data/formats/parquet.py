"""Parquet as Hugging Face keeps images: ``image`` (a struct of ``bytes``, ``path``), ``label``, metadata with names.

A table without pictures, but with a column of paths, is a table of files (:mod:`fittingroom.data.formats.file_table`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fittingroom.data.formats.columns import (
    GROUP,
)
from fittingroom.data.formats.file_table import (
    FileTable,
    file_table,
    path_column,
    read_tables,
    table_blocks,
    table_files,
)
from fittingroom.data.formats.many_pictures import (
    CHUNK,
    SHOWN,
    Decoding,
    common_channels,
    common_size,
    each,
    greyed_note,
    read_with_source,
    refuse_all_broken,
    refuse_broken,
)
from fittingroom.data.formats.parquet_file import (
    count_rows,
    find_parquet,
    has_column,
    opened,
    text_column,
)
from fittingroom.data.formats.parquet_labels import as_numbers, labels_of
from fittingroom.data.formats.parquet_pictures import contents_of, pictures_column
from fittingroom.data.formats.splits import Images, splits
from fittingroom.data.large import allocate
from fittingroom.data.picture_file import probe_picture, probe_size
from fittingroom.data.preprocessing import Preprocessing, SeenPicture, encode_png
from fittingroom.errors import DataError
from fittingroom.files.atomic import atomic_write
from fittingroom.files.polars_check import check_polars

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fittingroom.data.dataset import Dataset
    from fittingroom.data.splits import Splits

SAMPLES = (20, 500)  # pictures whose colours are looked at; more only where the first are all grey
PART_FILES = re.compile(r"(train|validation|test)-00000-of-00001\.parquet")
"""The names of the files that :func:`write_parquet_part` writes."""


def parquet_files(path: Path) -> list[Path]:
    """Every file that :func:`read_parquet` reads: the Parquet files, and the pictures that they name."""
    files = [file for files in find_parquet(path).values() for file in files]
    pictures = [picture for file in files if is_file_table(file) for picture in table_files(read_file_table(file))[1:]]
    return [*files, *dict.fromkeys(pictures)]


def read_parquet(
    path: Path,
    preprocessing: Preprocessing | None = None,
    skip_broken: bool = False,
    decoding: Decoding = lambda _what, _done, _all: None,
) -> Splits:
    """Read one Parquet file, or a folder of shards, of pictures or of their paths.

    Labels are whole numbers, whose names come from the metadata (``huggingface``) where they are there, or names;
    labels that are all -1 count as none.

    Args:
        path: of the file or folder.
        preprocessing: what to make of each picture; what it leaves open is decided by the pictures of train.
        skip_broken: leave out pictures that can't be read, and say so in the notes.
        decoding: is told how many pictures of a part are decoded.

    Raises:
        DataError: names the file and the row of every picture that can't be read; columns that can't be told.
    """
    shards = find_parquet(path)
    if not shards:
        raise DataError(f"{path}: files called train-….parquet expected, none found")

    # one table of paths among files of pictures is no data set: its column of pictures will be missed
    asked = preprocessing or Preprocessing()
    all_files = [file for files in shards.values() for file in files]
    if all(map(is_file_table, all_files)):
        tables = list(map(read_file_table, all_files))
        return read_tables(tables, path, asked, skip_broken=skip_broken, decoding=decoding)

    found = {part: labels_of(files) for part, files in shards.items()}
    record, notes = _resolve(shards.get("train") or next(iter(shards.values())), asked)
    images: dict[str, Images] = {}
    known: dict[str, dict[str, Sequence[Any]]] = {}
    broken: list[str] = []
    left_out: list[str] = []
    greyed: list[str] = []
    has_groups = any(has_column(file, GROUP) for file in all_files)
    for part, files in shards.items():
        read = _decoded(files, record, partial(decoding, f"decoding {part}"))
        images[part], is_good, sources = read.images, read.is_good, read.sources
        broken += read.broken
        greyed += read.greyed
        known[part] = {"sources": sources}
        if read.broken:
            rows = [f"{file.name}: row {row:,}" for file in files for row in range(1, count_rows(file) + 1)]
            left_out += [row for row, good in zip(rows, is_good, strict=True) if not good]
        if has_groups:
            groups = [group for file in files for group in text_column(file, GROUP)]
            known[part]["groups"] = [group for group, good in zip(groups, is_good, strict=True) if good]

        # labels are read before the pictures, as it is soon seen whether they can be such
        values = found[part]
        found[part] = None if values is None else values[is_good]

    if not skip_broken:
        refuse_broken(broken, sum(map(len, images.values())) + len(broken), path)
    if broken:
        more = f" and {len(broken) - SHOWN:,} more" if len(broken) > SHOWN else ""
        notes.append(f"left out, as they can't be read: {'; '.join(broken[:SHOWN])}{more}")
    notes += greyed_note(greyed, sum(map(len, images.values())), asked)
    labels, classes = as_numbers(found, path, all_files[0])
    parts = {part: (images[part], labels[part]) for part in images if len(images[part])}
    if not parts:
        raise DataError(f"{path}: a picture that can be read expected, none found")
    return splits(parts, path, classes, known=known, preprocessing=record, notes=notes, left_out=left_out)


def write_parquet(path: Path, dataset: Dataset) -> None:
    """Write one part as PNGs in Hugging Face's layout, class names included; whole or not at all.

    Raises:
        OSError: the file can't be written.
    """
    import polars as pl

    check_polars()
    images = [{"bytes": encode_png(image), "path": None} for image in dataset.images]
    columns = {"image": pl.Series(images, dtype=pl.Struct({"bytes": pl.Binary, "path": pl.String}))}
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    if dataset.labels is not None:
        columns["label"] = pl.Series(dataset.labels)
        features["label"] = {"names": list(dataset.classes), "_type": "ClassLabel"}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    with atomic_write(path) as file:
        pl.DataFrame(columns).write_parquet(file, metadata=metadata)


def write_parquet_part(folder: Path, part: str, dataset: Dataset) -> None:
    """Write one part of a folder, called as Hugging Face calls the only shard of one."""
    write_parquet(folder / f"{part}-00000-of-00001.parquet", dataset)


def parquet_blocks(path: Path, rows: int, preprocessing: Preprocessing | None = None) -> Iterator[Images]:
    """Yield the images of a Parquet file as uint8 (up to ``rows``, H, W[, 3]), in the memory of a few blocks.

    Args:
        path: of the file.
        rows: images of a block.
        preprocessing: what to make of each picture; what it leaves open is decided by all of them.

    Raises:
        DataError: as :func:`read_parquet`.
    """
    if is_file_table(path):
        yield from table_blocks(read_file_table(path), rows, preprocessing)
        return
    record, _ = _resolve([path], preprocessing or Preprocessing())
    for first, contents in contents_of(path):
        for start in range(0, len(contents), rows):
            pictures = list(_pictures(contents[start : start + rows], path, first + start, record))
            broken = [str(found) for found in pictures if isinstance(found, DataError)]
            refuse_broken(broken, count_rows(path), path, may_skip=False)
            yield np.stack([found[0].image for found in pictures if not isinstance(found, DataError)])


def sizes_by_row(path: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """(height, width) of each picture of a Parquet file or folder that can be read, with its file and row.

    Raises:
        DataError: a file can't be read.
    """
    for files in find_parquet(path).values():
        for file in files:
            for first, contents in contents_of(file):
                sizes = each(lambda content: probe_size(content or b"", ""), contents)
                for row, size in enumerate(sizes, first + 1):
                    if not isinstance(size, DataError):
                        yield f"{file.name}: row {row:,}", size


def is_file_table(path: Path) -> bool:
    """Whether a Parquet file has no pictures, but a column of paths.

    Raises:
        DataError: the file can't be read.
    """
    import polars as pl

    with opened(path) as file:
        schema = pl.scan_parquet(file).collect_schema()
    place = path_column(schema.names())
    return place is not None and schema[place] == pl.String and pictures_column(schema) is None


def read_file_table(path: Path) -> FileTable:
    """What a Parquet file says of picture files.

    Raises:
        DataError: the file can't be read, or columns can't be told.
    """
    import polars as pl

    with opened(path) as file:
        table = pl.scan_parquet(file)
        kinds = table.collect_schema()
        plain = [name for name, kind in kinds.items() if not kind.is_nested() and kind != pl.Binary]
        return file_table(table.select(plain).collect(), path, 1)


def _resolve(files: Sequence[Path], asked: Preprocessing) -> tuple[Preprocessing, list[str]]:
    """What to make of these pictures where ``asked`` leaves it open, as for picture files, and what to say about it."""
    if asked.size is not None and asked.channels is not None:
        return asked, []

    counts = [count_rows(file) for file in files]
    samples = [np.unique(np.linspace(0, sum(counts) - 1, size).astype(np.int64)).tolist() for size in SAMPLES]
    looked_at = set().union(*samples) if asked.channels is None else set()
    sizes: list[tuple[int, int]] = []
    coloured: dict[int, bool] = {}
    rows_before = 0
    for file, count in zip(files, counts, strict=True):
        for first, contents in contents_of(file):
            heads = each(lambda content: probe_size(content or b"", ""), contents if asked.size is None else [])
            broken = []
            for row, head in enumerate(heads, first + 1):
                if isinstance(head, DataError):
                    broken.append(f"{file}: row {row:,}{head}")
                    refuse_all_broken(broken, len(sizes), file)
                else:
                    sizes.append(head)
            rows = [row for row in range(len(contents)) if rows_before + first + row in looked_at]
            colours = each(lambda content: probe_picture(content or b"", "").is_colour, [contents[row] for row in rows])
            found = zip(rows, colours, strict=True)
            coloured |= {rows_before + first + row: colour for row, colour in found if isinstance(colour, bool)}
        rows_before += count

    # the first sample decides where it can, as it does for picture files
    of_samples = [[coloured[row] for row in rows if row in coloured] for rows in samples]
    of_sample = next((colours for colours in of_samples if any(colours)), of_samples[-1])
    size, notes = common_size(sizes, asked) if asked.size is None else (asked.size, [])
    channels, said = common_channels(of_sample) if asked.channels is None else (asked.channels, [])
    return asked.resolved_for(size=size, channels=channels, photo=None), [*notes, *said]


class _Pictures(NamedTuple):
    """The pictures of the shards of a part: those that can be read, the mask of these, their sources.

    And what is wrong with the others, and the places of the coloured ones that were made grey.
    """

    images: Images
    is_good: NDArray[np.bool_]
    sources: list[bytes]
    broken: list[str]
    greyed: list[str]


def _decoded(files: Sequence[Path], record: Preprocessing, report: Callable[[int, int], None]) -> _Pictures:
    # images go where they stay at once: a list of blocks would take twice the memory
    assert record.size is not None, "_resolve gives it"
    count = sum(count_rows(file) for file in files)
    images = allocate((count, *record.size, 3) if record.channels == 3 else (count, *record.size), np.uint8)
    is_good = np.ones(count, dtype=bool)
    sources: list[bytes] = []
    broken: list[str] = []
    greyed: list[str] = []
    for file in files:
        for first, contents in contents_of(file):
            for row, found in enumerate(_pictures(contents, file, first, record), first + 1):
                # a broken one takes no room: the next that is good goes where it would have been
                if isinstance(found, DataError):
                    is_good[len(sources) + len(broken)] = False
                    broken.append(str(found))
                    refuse_all_broken(broken, len(sources), files[0].parent if len(files) > 1 else file)
                else:
                    picture, source = found
                    images[len(sources)] = picture.image
                    sources.append(source)
                    greyed += [f"{file.name} row {row:,}"] if picture.lost_colour else []

                if (done := len(sources) + len(broken)) % CHUNK == 0 or done == count:
                    report(done, count)
    return _Pictures(images[: len(sources)], is_good, sources, broken, greyed)


def _pictures(
    contents: Sequence[bytes | None], path: Path, rows_before: int, record: Preprocessing
) -> Iterator[tuple[SeenPicture, bytes] | DataError]:
    """Each picture with the SHA-256 of its cell, or what is wrong with it."""

    def read(numbered_content: tuple[int, bytes | None]) -> tuple[SeenPicture, bytes]:
        row, content = numbered_content
        if content is None:
            raise DataError(f"{path}: row {row:,}: a picture's bytes expected, none found")
        return read_with_source(content, f"{path}: row {row:,}", record)

    return each(read, list(enumerate(contents, rows_before + 1)))
