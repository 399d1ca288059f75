"""What the part of a report that is a map is filled in with: images on their grid, and those nearest to mistakes."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.artifact.artifact import Artifact
from fittingroom.data.dataset import Dataset
from fittingroom.errors import ArtifactError, DataError
from fittingroom.evaluation.mistakes import find_mistakes
from fittingroom.evaluation.predictions import JudgedPredictions
from fittingroom.rendering import html_page
from fittingroom.rendering.page_script import bundled, json_in_page, source_of
from fittingroom.rendering.sprite import Sprite, grid_of
from fittingroom.report.map.features import FeatureReader, nearest_rows
from fittingroom.report.map.layout import CELL, FONT, Grid, lay_out
from fittingroom.report.pictures import MAX_MISTAKES
from fittingroom.report.run_summary import Judged
from fittingroom.runs.cut import bundles_of
from fittingroom.runs.preprocessing import prepared_dataset
from fittingroom.runs.recorded import refuse_other_data
from fittingroom.runs.run import Run
from fittingroom.training.hold_out import hold_out

MAX_IMAGES = 1_000  # on the map
LEAST_RIGHT = 200  # of them right answers, as far as there are any: mistakes alone show nothing to be mistaken for
MAX_LABELS = 20  # classes whose names are written on the map
SIDE = CELL - 2  # pixels of a thumbnail
MAX_BYTES = 350_000  # of all that this adds to a page
NEAREST = 5  # training images for each mistake
NEAREST_SIDE = 20  # pixels
TRANSPARENT = 255  # the number of the colour that isn't there
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class NearestImages:
    """The training images nearest to one image.

    Attributes:
        tiles: of each, the nearest first: its place in the sprite in percent of its free width and height, its class
            and how it is called.
        as_predicted: how many have the class that was predicted.
    """

    tiles: list[tuple[float, float, str, str]]
    as_predicted: int


@dataclass(frozen=True)
class MapSection:
    """What ``map.html`` is filled in with.

    Attributes:
        split: whose images they are.
        grid: where each lies.
        picture: data URI of the map.
        ringed: the ``d`` of an SVG path around the mistakes.
        shown_mistakes, mistakes, shown_right, right: how many there are on the map, and in all.
        features: that the network has.
        missing: images that the data lacks now.
        data: JSON that may stand in a page: what the script tells of each image.
        script, style, script_source: as of :class:`~fittingroom.report.try_it.Trial`.
        nearest: of each of the worst mistakes, in order; None for one whose image is missing.
        sprite: the images nearest to them; None without any.
        searched: training images that were looked at.
        nearest_missing: why there are none.
    """

    split: str
    grid: Grid
    picture: str
    ringed: str
    shown_mistakes: int
    mistakes: int
    shown_right: int
    right: int
    features: int
    missing: int
    data: str
    script: str
    style: str
    script_source: str
    nearest: list[NearestImages | None]
    sprite: Sprite | None
    searched: int
    nearest_missing: str
    cell: int = CELL
    font: float = FONT


def map_of(
    run: Run, judged: Judged, images: Mapping[str, NDArray[np.uint8]], *, trust_code: bool = False
) -> MapSection:
    """Make the map of a finished run of one seed. It takes seconds, and nothing is judged by it.

    Args:
        run: its training images are searched for the nearest ones.
        judged: what it was judged on.
        images: of that, by their SHA-256.
        trust_code: permits executing the source that the user's own network came with.

    Raises:
        ArtifactError: the network has no features, or can't be opened.
        DataError: too few of the images are at hand.
        ModuleNotFoundError: PyTorch or scikit-learn is not installed.
    """
    import_module("sklearn.manifold")  # where it is missing, that is said before seconds of work
    artifact, table = run.artifact, judged.table
    reader = FeatureReader(artifact, trust_code=trust_code)
    nearest, sprite, searched, nearest_missing = _nearest(run, judged, images, reader)

    # A page may grow by so much; pictures in colour, or with long names, take more each.
    room = MAX_IMAGES
    at_hand = np.array([image in images for image in table.images])
    while True:
        rows = rows_to_show(table, at_hand, room)
        pixels = _as_the_model_takes_it(artifact, [images[table.images[row]] for row in rows])
        features_NF = reader.read(pixels).numpy()
        class_N = _labelled(table, rows)
        grid = lay_out(features_NF, table.classes, class_N)
        section = MapSection(
            split=judged.split,
            grid=grid,
            picture=_picture(grid, [images[table.images[row]] for row in rows]),
            ringed=_ringed(grid, ~table.is_right[rows]),
            shown_mistakes=int((~table.is_right[rows]).sum()),
            mistakes=int((~table.is_right).sum()),
            shown_right=int(table.is_right[rows].sum()),
            right=int(table.is_right.sum()),
            features=features_NF.shape[1],
            missing=int((~at_hand).sum()),
            data=_data(table, rows, grid, judged.split),
            script=_script(),
            style=(FOLDER / "map.css").read_text(encoding="utf-8"),
            script_source=source_of(_script()),
            nearest=nearest,
            sprite=sprite,
            searched=searched,
            nearest_missing=nearest_missing,
        )
        size = bytes_of(section)
        if size <= MAX_BYTES or room <= LEAST_RIGHT:
            return section
        fixed = size - len(section.picture) - len(section.data) - len(section.ringed)
        room = max(LEAST_RIGHT, int(0.95 * room * (MAX_BYTES - fixed) / (size - fixed)))


def rows_to_show(table: JudgedPredictions, at_hand: NDArray[np.bool_], limit: int) -> NDArray[np.int64]:
    """Which images are on a map of ``limit``: mistakes first, the surest first, then right answers from all over.

    Some places are left to right answers. These are taken evenly from each class, from the surest to the least sure.
    """
    mistakes = find_mistakes(table)
    mistakes = mistakes[at_hand[mistakes]]
    right = np.flatnonzero(table.is_right & at_hand)
    right = right[np.lexsort((-table.confidence[right], table.truth[right]))]

    mistakes = mistakes[: limit - min(LEAST_RIGHT, len(right), limit // 2)]
    room = limit - len(mistakes)
    if room < len(right):
        right = right[np.linspace(0, len(right) - 1, room).round().astype(np.int64)]
    return np.concatenate([mistakes, right])


def bytes_of(section: MapSection) -> int:
    """About how much it adds to a page; ASCII but for names."""
    texts = [section.picture, section.ringed, section.data, section.script, section.style]
    texts += [section.sprite.source] if section.sprite else []
    tiles = [tile for each in section.nearest if each for tile in each.tiles]
    return sum(len(text.encode()) for text in texts) + sum(len(f"{tile}".encode()) + 150 for tile in tiles)


def _labelled(table: JudgedPredictions, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The class by which each image places a label: of right answers, and of the classes that have the most of them."""
    class_N = np.where(table.is_right[rows], table.truth[rows], -1)
    numbers, counts = np.unique(class_N[class_N >= 0], return_counts=True)
    written = numbers[np.argsort(-counts, kind="stable")[:MAX_LABELS]]
    return np.asarray(np.where(np.isin(class_N, written), class_N, -1))


def _as_the_model_takes_it(artifact: Artifact, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Images of one size, with the size and the channels of the training."""
    dataset = Dataset(np.stack(images), None, artifact.classes, "images of a map")
    return prepared_dataset(dataset, artifact.preprocessing).images


def _nearest(
    run: Run, judged: Judged, images: Mapping[str, NDArray[np.uint8]], reader: FeatureReader
) -> tuple[list[NearestImages | None], Sprite | None, int, str]:
    """The nearest training images of each of the worst mistakes whose image is at hand; or why there are none."""
    table, artifact = judged.table, run.artifact
    shown = find_mistakes(table)[:MAX_MISTAKES].tolist()
    worst = [row for row in shown if table.images[row] in images]
    if not worst:
        return [], None, 0, ""

    # Only what the network learned from: a validation image near to a mistake explains nothing.
    try:
        splits = run.open_data()
        refuse_other_data(run.path, splits, run.environment)
        bundle_N = bundles_of(run.environment, splits)
        train, _ = hold_out(replace(splits, train=_named(splits.train)), run.recipe, bundle_N)
    except (DataError, ArtifactError, OSError) as error:
        warnings.warn(f"{run.path}: the nearest training images are missing: {error}", stacklevel=2)
        return [], None, 0, str(error)
    train = train.aligned_to(artifact.classes)
    queries = _as_the_model_takes_it(artifact, [images[table.images[row]] for row in worst])
    rows_QK = nearest_rows(reader, queries, train.images, NEAREST)

    # One picture for all; an image that is near to several mistakes is in it once.
    order = sorted(set(rows_QK.ravel().tolist()))
    thumbnails, covers = zip(*(_thumbnail(train.images[row], NEAREST_SIDE) for row in order), strict=True)
    grid, columns, lines = grid_of(thumbnails)
    is_there, _, _ = grid_of([covered.astype(np.uint8) for covered in covers])
    sprite = Sprite(_small_png(grid, is_there.astype(bool)), columns, lines, 1.0)
    number_of = {row: number for number, row in enumerate(order)}
    label_N, names = train.labels, train.files
    assert label_N is not None, "a run's training data is labelled"
    assert names is not None, "named above"

    def tile(row: int) -> tuple[float, float, str, str]:
        return *sprite.place(number_of[row]), artifact.classes[label_N[row]], names[row]

    nearest: dict[int, NearestImages] = {
        mistake: NearestImages(
            tiles=[tile(row) for row in rows],
            as_predicted=int((label_N[rows] == table.predicted[mistake]).sum()),
        )
        for mistake, rows in zip(worst, rows_QK.tolist(), strict=True)
    }
    return [nearest.get(row) for row in shown], sprite, len(train), ""


def _named(train: Dataset) -> Dataset:
    """Each image with a name that it keeps when others are held out: of one without a file, its row in the data."""
    if train.files is not None:
        return train
    return replace(train, files=tuple(f"training image {row:,}" for row in range(len(train))))


def _data(table: JudgedPredictions, rows: NDArray[np.int64], grid: Grid, split: str) -> str:
    """What the script tells of each image: column, row, its class, the predicted one, thousandths, and its name."""
    files = table.files
    images = []
    for row, (column, line) in zip(rows.tolist(), grid.cells.tolist(), strict=True):
        confidence = float(table.confidence[row])
        thousandths = 1000 if confidence == 1 else min(999, round(1000 * confidence))  # all is said of nothing less
        name = row if files is None else files[row]
        images.append([column, line, int(table.truth[row]), int(table.predicted[row]), thousandths, name])
    content: dict[str, Any] = {"split": split, "classes": table.classes, "cell": CELL, "images": images}
    return json_in_page(content)


def _picture(grid: Grid, images: Sequence[NDArray[np.uint8]]) -> str:
    """The map itself as one picture, transparent where no image lies."""
    is_grey = images[0].ndim == 2
    sheet = np.zeros((grid.rows * CELL, grid.columns * CELL) + (() if is_grey else (3,)), np.uint8)
    is_there = np.zeros(sheet.shape[:2], dtype=bool)
    for image, (column, row) in zip(images, grid.cells.tolist(), strict=True):
        top, left = row * CELL + 1, column * CELL + 1
        thumbnail, covers = _thumbnail(image, SIDE)
        sheet[top : top + SIDE, left : left + SIDE] = thumbnail
        is_there[top : top + SIDE, left : left + SIDE] = covers
    return _small_png(sheet, is_there)


def _thumbnail(image: NDArray[np.uint8], side: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """``side`` by ``side`` pixels with the image in the middle, and which of them it covers where it isn't square."""
    from PIL import Image

    height, width = image.shape[:2]
    share = side / max(height, width)
    size = max(1, round(width * share)), max(1, round(height * share))
    resampling = Image.Resampling.BOX if share < 1 else Image.Resampling.NEAREST
    small = np.asarray(Image.fromarray(image).resize(size, resampling))

    square = np.zeros((side, side, *image.shape[2:]), np.uint8)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    covers = np.zeros((side, side), dtype=bool)
    place = np.s_[top : top + size[1], left : left + size[0]]
    square[place], covers[place] = small, True
    return square, covers


def _small_png(pixels: NDArray[np.uint8], is_there: NDArray[np.bool_] | None = None) -> str:
    """A data URI of a PNG of 128 levels of grey, or 255 colours, with a transparent one for what isn't there.

    So few take a good part less of bytes, and make no difference to be seen at this size.
    """
    from PIL import Image

    file = io.BytesIO()
    if pixels.ndim == 2:
        levels = pixels // 2 * 2  # none of them is the transparent one
        numbers = levels if is_there is None else np.where(is_there, levels, TRANSPARENT).astype(np.uint8)
        Image.fromarray(numbers).save(file, "PNG", compress_level=9, transparency=TRANSPARENT)
    else:
        colours = Image.fromarray(pixels).quantize(
            TRANSPARENT, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
        )
        numbers = np.asarray(colours)
        palette = (colours.getpalette() or [])[: 3 * TRANSPARENT]
        numbers = numbers if is_there is None else np.where(is_there, numbers, TRANSPARENT).astype(np.uint8)
        picture = Image.fromarray(numbers)
        picture.putpalette(palette + [0] * (3 * (TRANSPARENT + 1) - len(palette)))
        picture.save(file, "PNG", compress_level=9, transparency=TRANSPARENT)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _ringed(grid: Grid, is_mistake_N: NDArray[np.bool_]) -> str:
    """An SVG path around the cell of each mistake."""
    side = CELL - 1
    corners = ((grid.cells[is_mistake_N] * CELL) + 0.5).tolist()
    return "".join(f"M{x:g} {y:g}h{side}v{side}h-{side}z" for x, y in corners)


@cache
def _script() -> str:
    names = Path(html_page.__file__).with_name("class_names.js")
    return bundled([names, FOLDER / "words.js", FOLDER / "map.js"])
