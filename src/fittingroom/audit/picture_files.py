"""The files that a set of pictures was read from: of several sizes, left out, or beyond reading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fittingroom.audit.findings import MAX_VALUES_LISTED, Finding
from fittingroom.data.formats import parquet
from fittingroom.data.formats.folder_layout import LEFT_OUT, find_layout
from fittingroom.data.formats.folder_scan import is_junk
from fittingroom.data.formats.many_pictures import OF_SIZES, picture_sizes
from fittingroom.data.formats.table import PARQUET, PICTURES, format_at
from fittingroom.data.picture_file import SUFFIXES
from fittingroom.data.splits import Splits, parts_of
from fittingroom.errors import DataError

UNREADABLE = "left out, as they can't be read"  # begins the notes of the readers of pictures

Size = tuple[int, int]


def file_findings(path: Path, data: Splits, *, knowingly: bool = False) -> tuple[list[Finding], Splits]:
    """What there is to know of the files that pictures were read from.

    Args:
        path: where the set was opened.
        data: what was read, without what can't be read.
        knowingly: whether that was asked to be left out, so that it is no error.

    Returns:
        The findings, and the data without the notes that they stand for.
    """
    findings: list[Finding] = []
    notes = list(data.notes)

    def said(beginning: str) -> list[str]:
        """The reader's sentences that begin so, which a finding now stands for."""
        taken = [note for note in notes if note.startswith(beginning)]
        notes[:] = [note for note in notes if note not in taken]
        return taken

    if data.left_out:
        findings.append(_unreadable(path, data, said(UNREADABLE), knowingly=knowingly))
    if strangers := _left_out_files(path, data):
        findings.append(_left_out(path, strangers, said(LEFT_OUT)))
    if (mixed := _mixed_sizes(path, data)) is not None:
        findings.append(replace(mixed, effect=_sentences(said(OF_SIZES)) or mixed.effect))
    return findings, replace(data, notes=tuple(notes))


def _unreadable(path: Path, data: Splits, said: list[str], *, knowingly: bool) -> Finding:
    count = len(data.left_out)
    whole = count + sum(len(part) for part in parts_of(data).values())
    return Finding(
        name="unreadable",
        severity="note" if knowingly else "error",
        where=str(path),
        message=f"{count:,} of {whole:,} pictures can't be read: "
        + ("; ".join(said).removeprefix(f"{UNREADABLE}: ") or _some(list(data.left_out))),
        effect=("" if knowingly else "Training refuses such a set. ")
        + "What follows is of the pictures that can be read.",
        advice="Get these files again or remove them; with --skip-broken train leaves them out.",
        figures={"unreadable": count, "n": whole, "files": list(data.left_out)},
    )


# ── left out ─────────────────────────────────────────────────────────────────────────────────────────────────


def _left_out_files(path: Path, data: Splits) -> list[str]:
    """Files of a folder that aren't pictures by their names, or pictures beside those that a table names."""
    try:
        if format_at(path)[0] is PICTURES:
            return [file.relative_to(path).as_posix() for file in find_layout(path).left_out]
    except (DataError, OSError):
        return []
    if data.train.files is None or not path.exists():
        return []

    # only where a table's own pictures lie: what is further off it need not know of
    root = path if path.is_dir() else path.parent
    named = {Path(file) for part in parts_of(data).values() for file in part.files or ()}
    named |= {Path(file) for file in data.left_out}
    found: list[str] = []
    for folder in sorted({file.parent for file in named}):
        try:
            names = sorted(entry.name for entry in (root / folder).iterdir() if entry.suffix.lower() in SUFFIXES)
        except OSError:
            continue
        found += [(folder / name).as_posix() for name in names if not is_junk(name) and folder / name not in named]
    return found


def _left_out(path: Path, files: list[str], said: list[str]) -> Finding:
    is_table = not said
    what = (
        f"{len(files):,} picture{'s' * (len(files) != 1)} beside those that the table names: {_some(files)}"
        if is_table
        else f"{len(files):,} file{'s' * (len(files) != 1)} left out, as their names are not those of pictures: "
        f"{_some(files)}"
    )

    return Finding(
        name="left-out-files",
        severity="note",
        where=str(path),
        message=what,
        effect="They are neither trained on nor judged." + (f" {_sentences(said)}" if said else ""),
        advice="Add their rows to the table, or leave it so." if is_table else "Convert those that are pictures.",
        figures={
            "left_out": len(files),
            "suffixes": dict(Counter(Path(file).suffix.lower() for file in files)),
            "files": files,
        },
    )


# ── sizes ────────────────────────────────────────────────────────────────────────────────────────────────────


def _mixed_sizes(path: Path, data: Splits) -> Finding | None:
    """See whether pictures have several sizes, which the reader makes one of."""
    found = list(_sizes(path, data))
    counts = Counter(size for _, size in found)
    if len(counts) < 2:
        return None

    # ties go to the size that comes first, so that the same set gives the same files
    usual, number = counts.most_common(1)[0]
    others = [file for file, size in found if size != usual]
    smallest, largest = (choose(counts, key=lambda size: (size[0] * size[1], size)) for choose in (min, max))
    height, width = data.train.image_size
    most = f"{number:,} are {_shown(usual)}, the others among them {_some(others)}"
    return Finding(
        name="mixed-sizes",
        severity="note",
        where=str(path),
        message=f"{len(found):,} pictures have {len(counts):,} sizes, {_shown(smallest)} to {_shown(largest)} (height "
        f"× width); {most if number > 1 else f'no two are of one size: {_some(others)}'}",
        effect=f"All become {height}×{width}: detail of large ones is lost, and what surrounds them is filled in.",
        advice="Nothing, where a subject's size says nothing of its class; --size sets another size.",
        figures={
            "n": len(found),
            "sizes": len(counts),
            "smallest": list(smallest),
            "largest": list(largest),
            "usual": list(usual),
            "of_usual_size": number,
            "files": others,
        },
    )


def _sizes(path: Path, data: Splits) -> Iterator[tuple[str, Size]]:
    """(height, width) of each picture that can be read, by its file, or by its row in a table of pictures."""
    root = path if path.is_dir() else path.parent
    files = [file for part in parts_of(data).values() for file in part.files or ()]
    if files:
        for file, size in zip(files, picture_sizes([root / file for file in files]), strict=True):
            if size is not None:
                yield file, size
    elif format_at(path)[0] is PARQUET:
        yield from parquet.sizes_by_row(path)


def _shown(size: Size) -> str:
    return f"{size[0]}×{size[1]}"


def _some(files: list[str]) -> str:
    return ", ".join(files[:MAX_VALUES_LISTED]) + ", …" * (len(files) > MAX_VALUES_LISTED)


def _sentences(notes: list[str]) -> str:
    """The reader's notes as sentences."""
    return " ".join(f"{note[:1].upper()}{note[1:]}." for note in notes)
