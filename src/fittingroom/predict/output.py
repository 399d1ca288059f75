"""A model's answers in the forms that people and programs read: records, a data frame, Parquet, a sheet to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.artifact.ood_score import OodScale, explained, level_of
from fittingroom.files.atomic import atomic_write
from fittingroom.files.polars_check import check_polars
from fittingroom.predict.classifier import Classified
from fittingroom.predict.inputs import Block
from fittingroom.rendering.share import share_text

if TYPE_CHECKING:
    import polars as pl

TEMPLATE = Path(__file__).with_name("answers.html")
FORMAT = "1"  # of the table of answers

Answered = Iterable[tuple[Block, Classified]]


def records(block: Block, classified: Classified, classes: Sequence[str], top: int) -> list[dict[str, Any]]:
    """An object for each image: ``file``, ``row``, ``label``, ``class``, ``probability``, ``top``, ``typical``,
    ``doubt``, ``unfamiliar``.

    ``top`` has the ``top`` most probable classes as [name, probability], the answer first. ``typical`` is the
    out-of-distribution score, 0 to 1 and low where the image is strange, see :mod:`fittingroom.artifact.ood_score`;
    ``doubt`` is 1 minus it, and ``unfamiliar`` says that it is ≤ 0.05. All are null for a run without a scale for it.
    """
    # Plain Python numbers are taken once for the block: of each image they would cost more than the model.
    sort_by_NC = -classified.probabilities
    if len(classes) == 2:  # a threshold may say the less probable one
        sort_by_NC = np.where(np.arange(2) == classified.predicted[:, None], -2, sort_by_NC)
    order_NC = np.argsort(sort_by_NC, axis=1, kind="stable")[:, :top].tolist()
    probabilities_NC = classified.probabilities.tolist()
    nothing = [None] * len(block.files)
    typical_N = nothing if classified.typical is None else classified.typical.tolist()
    doubt_N = nothing if classified.doubt is None else classified.doubt.tolist()
    unfamiliar_N = nothing if classified.unfamiliar is None else classified.unfamiliar.tolist()

    return [
        {
            "file": block.files[i],
            "row": block.rows[i],
            "label": order[0],
            "class": classes[order[0]],
            "probability": probabilities[order[0]],
            "top": [[classes[label], probabilities[label]] for label in order],
            "typical": typical_N[i],
            "doubt": doubt_N[i],
            "unfamiliar": unfamiliar_N[i],
        }
        for i, (order, probabilities) in enumerate(zip(order_NC, probabilities_NC, strict=True))
    ]


def frame(block: Block, classified: Classified, classes: Sequence[str]) -> pl.DataFrame:
    """A row for each image: ``file``, ``row``, ``label``, ``class``, ``typical``, ``doubt``, ``unfamiliar``, ``p0``…
    by label.
    """
    import polars as pl

    columns: dict[str, Any] = {
        "file": block.files,
        "row": block.rows,
        "label": classified.predicted,
        "class": np.array(classes)[classified.predicted],
        "typical": classified.typical,
        "doubt": classified.doubt,
        "unfamiliar": classified.unfamiliar,
    }
    columns |= {f"p{label}": column for label, column in enumerate(classified.probabilities.T)}
    return pl.DataFrame(columns, schema=_schema(len(classes)))


def write_parquet(
    answered: Answered, classes: Sequence[str], path: Path, *, metadata: Mapping[str, str] | None = None
) -> None:
    """Write the rows of :func:`frame` of all blocks, whole or not at all, in the memory of a few blocks.

    Args:
        answered: blocks, each with what the model says of it.
        classes: names; index = label.
        path: of the new file.
        metadata: texts that the file keeps beside the number of its format.
    """
    from polars.exceptions import ComputeError
    from polars.io.plugins import register_io_source

    check_polars()
    failures: list[Exception] = []

    def frames(*_wishes: Any) -> Iterator[pl.DataFrame]:  # Polars wishes no less than all columns and rows
        try:
            for block, classified in answered:
                yield frame(block, classified, classes)
        except Exception as error:
            failures.append(error)
            raise

    lazy = register_io_source(frames, schema=_schema(len(classes)))
    with atomic_write(path) as file:
        try:
            lazy.sink_parquet(file, metadata={"format": FORMAT, **(metadata or {})}, row_group_size=50_000)
        except ComputeError:  # by which an older Polars reports what failed in here
            if failures:
                raise failures[0] from None
            raise


@dataclass
class Sheet:
    """The first images and what was said of them, to look at. ``limit`` 0 keeps none."""

    classes: Sequence[str]
    limit: int
    images: list[NDArray[np.uint8]] = field(default_factory=list)
    originals: list[NDArray[np.uint8] | None] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    seen: int = 0
    counts: Counter[str] = field(default_factory=Counter)  # of each class, how many images were said to be it

    def add(self, block: Block, classified: Classified) -> None:
        """Take as many as there is room for."""
        self.seen += len(block.files)
        if self.limit:  # what no page shows needn't be counted
            self.counts.update(self.classes[label] for label in classified.predicted.tolist())
        room = self.limit - len(self.images)
        if room > 0:
            self.images += list(block.images[:room])
            originals = [None] * len(block.files) if block.originals is None else block.originals
            self.originals += list(originals[:room])
            self.answers += records(block, classified, self.classes, len(self.classes))[:room]

    def write_html(self, path: Path, *, title: str, top: int, scale: OodScale | None) -> None:
        """Write a page that needs no other file: each picture, what the model saw of it, and what it said.

        Args:
            path: of the page.
            title: of the page.
            top: number of classes that are drawn as bars.
            scale: what the answers' ``typical`` was read off.
        """
        from fittingroom.rendering.contact_sheet import png_uri
        from fittingroom.rendering.languages import page_in_two_languages

        shown = [
            (None if original is None else png_uri(original), png_uri(image), answer, _note(answer, scale))
            for original, image, answer in zip(self.originals, self.images, self.answers, strict=True)
        ]
        content = {"title": title, "found": self._in_words(), "seen": self.seen, "top": top, "shown": shown}
        html = page_in_two_languages(TEMPLATE, content, "answers")
        with atomic_write(path) as file:
            file.write(html.encode())

    def _in_words(self) -> str:
        """What was said of all images, as the page's heading."""
        if self.seen == 1:
            return f"{self.answers[0]['class']}, {share_text(self.answers[0]['probability'], 1)}"
        most = self.counts.most_common(3)
        others = self.seen - sum(count for _, count in most)
        named = [f"{count:,}\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}{name}" for name, count in most]
        return ", ".join([*named, f"{others:,} of another class"] if others else named)

    def write_png(self, path: Path) -> None:
        """Draw each picture beside what the model saw of it, under a note of what it said; nothing if none was read."""
        from fittingroom.rendering.contact_sheet import Row, contact_sheet

        rows = [
            Row(
                Path(answer["file"]).name,
                f"{answer['class']} {share_text(answer['probability'], 1)}{_level(answer)}",
                _side_by_side(original, image),
                (("picture", ""), ("seen", "")) if original is not None else (),
            )
            for original, image, answer in zip(self.originals, self.images, self.answers, strict=True)
        ]
        if rows:
            subtitle = f"{len(rows):,} of {self.seen:,} images"
            with atomic_write(path) as file:
                contact_sheet(rows, title="What the model saw", subtitle=subtitle).save(file, "PNG")


def _note(answer: dict[str, Any], scale: OodScale | None) -> str | None:
    """What the page says of an image that is not usual."""
    note = None if scale is None else explained(answer["typical"], scale.n)
    return note and f"{note[0].upper()}{note[1:]}."


def _level(answer: dict[str, Any]) -> str:
    """The same in so few words that they fit beside a picture."""
    level = "usual" if answer["typical"] is None else level_of(answer["typical"])
    return "" if level == "usual" else f", {level}"


def tile_size(image_size: tuple[int, int]) -> tuple[int, int]:
    """(H, W) of the tiles in which a sheet shows images of this size, enlarged by a whole number."""
    from fittingroom.rendering.contact_sheet import TILE

    scale = max(1, round(TILE / max(image_size)))
    return image_size[0] * scale, image_size[1] * scale


def _side_by_side(original: NDArray[np.uint8] | None, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What a row of the sheet shows: uint8 (2, H', W', 3) with the picture first, or the image alone."""
    scale = tile_size(image.shape[:2])[0] // image.shape[0]
    enlarged = image.repeat(scale, axis=0).repeat(scale, axis=1)
    if original is None:
        return enlarged[None]
    rgb = enlarged if enlarged.ndim == 3 else np.repeat(enlarged[..., None], 3, axis=2)
    return np.stack([original, rgb])


def _schema(classes: int) -> dict[str, Any]:
    import polars as pl

    first = {"file": pl.String, "row": pl.Int64, "label": pl.Int64, "class": pl.String}
    score = {"typical": pl.Float64, "doubt": pl.Float64, "unfamiliar": pl.Boolean}
    return first | score | {f"p{i}": pl.Float32 for i in range(classes)}
