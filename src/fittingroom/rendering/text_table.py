"""A table for a terminal, of which no cell is cut: where it is too wide, prose is broken, and then rows stack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fittingroom.rendering.terminal import broken, cells

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.text import Text

GAP = 3  # columns between two cells, down to 1 where there is no room
LEAST_PROSE = 20  # columns, or its longest word
INSET = 2  # columns, of what belongs to a row that is stacked


@dataclass
class TextTable:
    """Rows of cells under headings, without lines; printed by Rich, which is imported only then.

    Attributes:
        columns: their headings.
        right: those that are set flush right.
        muted: those in grey.
        prose: those whose text may be broken between words.
        skipped: what a cell holds that a stacked row leaves out.
        gap: columns between cells.
    """

    columns: Sequence[str]
    right: Sequence[str] = ()
    muted: Sequence[str] = ()
    prose: Sequence[str] = ()
    skipped: str = ""
    gap: int = GAP
    rows: list[tuple[tuple[str, ...], str]] = field(default_factory=list)

    def add_row(self, *row: str, style: str | None = None) -> None:
        """Add one; a single cell is a heading across the table."""
        self.rows.append((row, style or ""))

    def fits(self, width: int) -> bool:
        """Whether it can be shown as a table at this width, prose broken where it must be."""
        return self._widths(width) is not None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Its lines, as Rich asks for them."""
        width = options.max_width
        found = self._widths(width)
        yield from self._stacked(width) if found is None else self._aligned(*found)

    def _widths(self, width: int) -> tuple[list[int], int] | None:
        """The width of each column and the gap between them; None where they find no room."""
        whole = [row for row, _ in self.rows if len(row) > 1 or len(self.columns) == 1]
        texts = [[heading, *(row[i] for row in whole)] for i, heading in enumerate(self.columns)]
        natural = [max(map(cells, column)) for column in texts]

        # A heading across the table may be longer than it, but not than the terminal.
        if any(cells(row[0]) > width for row, _ in self.rows if len(row) == 1):
            return None
        for gap in range(self.gap, 0, -1):
            room = width - gap * (len(natural) - 1)
            if sum(natural) <= room:
                return natural, gap

        # Gaps of one column beside broken prose are hard to read: the usual ones are kept.
        prose = [i for i, heading in enumerate(self.columns) if heading in self.prose]
        left = width - self.gap * (len(natural) - 1) - sum(natural) + sum(natural[i] for i in prose)
        for number, i in enumerate(sorted(prose, key=lambda i: natural[i])):
            longest_word = max((cells(word) for text in texts[i] for word in text.split()), default=0)
            share = left // (len(prose) - number)
            if share < min(natural[i], max(LEAST_PROSE, longest_word)):
                return None
            natural[i] = min(natural[i], share)
            left -= natural[i]
        return (natural, self.gap) if prose else None

    def _aligned(self, widths: Sequence[int], gap: int) -> Iterator[Text]:
        if any(self.columns):
            yield from self._row(tuple(self.columns), ["bold"] * len(widths), widths, gap)
        for row, style in self.rows:
            if len(row) == 1 < len(widths):
                yield _line([(row[0], style)])
                continue
            styles = [style or ("bright_black" if heading in self.muted else "") for heading in self.columns]
            yield from self._row(row, styles, widths, gap)

    def _row(self, row: Sequence[str], styles: Sequence[str], widths: Sequence[int], gap: int) -> Iterator[Text]:
        """Its lines: one, or as many as its prose takes."""
        columns = [
            broken(cell, width).split("\n") if heading in self.prose else [cell]
            for cell, heading, width in zip(row, self.columns, widths, strict=True)
        ]
        for number in range(max(map(len, columns))):
            parts = []
            for i, lines in enumerate(columns):
                text = lines[number].strip() if number < len(lines) else ""
                space = " " * (widths[i] - cells(text))
                parts += [(" " * gap if i else "", ""), (space if self.columns[i] in self.right else "", "")]
                parts += [(text, styles[i]), ("" if self.columns[i] in self.right else space, "")]
            yield _line(parts)

    def _stacked(self, width: int) -> Iterator[Text]:
        """Each row as a block: its first cell, and below it the others with their headings, as many as fit a line."""
        for row, style in self.rows:
            if not any(row):
                continue

            # A first cell heads its block, so its own heading isn't said.
            yield from (_line([(line, style or "bold")]) for line in broken(row[0], width).split("\n"))
            pairs = [
                f"{heading}: {cell}" if heading else cell
                for heading, cell in zip(self.columns[1:], row[1:], strict=False)
                if cell and cell != self.skipped
            ]

            # As many as fit stand in one line; one that fits in none is broken within words by _inset.
            line = ""
            for pair in pairs:
                if line and INSET + cells(line) + GAP + cells(pair) > width:
                    yield from _inset(line, width)
                    line = ""
                line += " " * GAP * bool(line) + pair
            if line:
                yield from _inset(line, width)


def _inset(line: str, width: int) -> Iterator[Text]:
    for part in broken(" " * INSET + line, width).split("\n"):
        yield _line([(part, "")])


def _line(parts: Sequence[tuple[str, str]]) -> Text:
    """One line, without blanks at its end."""
    from rich.text import Text

    line = Text.assemble(*parts, no_wrap=True, overflow="ignore")
    line.rstrip()
    return line
