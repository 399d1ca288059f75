"""``fittingroom data split``: into train, validation and test, with what belongs together on one side."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from fittingroom.cli import options
from fittingroom.cli.parser import Commands
from fittingroom.rendering.share import share_text
from fittingroom.rendering.terminal import tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fittingroom.data.dataset import Dataset
    from fittingroom.data_split import DataSplit

TABLE = "files.csv"
LONG_SEARCH = 2_000  # images, from which on it is said that near-duplicates are looked for


def add_parser(actions: Commands) -> None:
    """Add ``split`` to the commands of ``data``."""
    parser = actions.add_parser(
        "split",
        help="split one set into train, validation and test",
        description="Split one set by chance, in the proportions of the classes. Groups, equal images and, in sets of "
        "up to 10,000 images, near-duplicates are kept on one side.",
        epilog="examples: fittingroom data split photos/ --test 20% --group '([a-z]+)_[0-9]+' --out split/ · "
        "fittingroom data split things.csv --test 20% --validation 10% --out things.npz",
    )
    parser.add_argument("data", metavar="DATA", help="a known name or a path of one set, without a test set of its own")
    parser.add_argument(
        "--test", type=_share, metavar="SHARE", default=0.0, help="share of all images for test, as 20%% or 0.2"
    )
    parser.add_argument(
        "--validation", type=_share, metavar="SHARE", default=0.0, help="share for validation; default: none"
    )
    options.add_group(parser)
    parser.add_argument("--seed", type=int, metavar="S", default=0, help="seed of the draw; default: 0")
    parser.add_argument("--no-near-duplicates", action="store_true", help="do not look for near-duplicates")
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        required=True,
        help=f"where to write: of picture files {TABLE} in this folder, a line a file, and nothing is copied; of other "
        "data, and with --to, a file or folder as in `data convert`",
    )
    parser.add_argument("--to", metavar="FORMAT", help="write copies of all images: idx, csv, npz or parquet")
    parser.add_argument("--force", action="store_true", help="put it in the place of what is at --out")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    options.add_no_cache(parser)
    options.add_pictures(parser)
    options.add_skip_broken(parser)
    parser.set_defaults(run=run_split)


def run_split(args: argparse.Namespace) -> int:
    """Split, write, and print how many images of each class came where."""
    from fittingroom.cli import console
    from fittingroom.data.splits import parts_of
    from fittingroom.data_split import MAX_COMPARED, split_dataset

    dataset = _open(args)
    groups = dataset.groups
    if not args.no_near_duplicates and LONG_SEARCH < len(dataset) <= MAX_COMPARED:
        tell("looking for near-duplicates, up to a minute; --no-near-duplicates leaves that out")
    split = split_dataset(
        dataset,
        test=args.test,
        validation=args.validation,
        groups=groups,
        seed=args.seed,
        near=not args.no_near_duplicates,
    )
    files = _write(args, dataset, split, groups)

    parts = parts_of(split.of(dataset))
    counts = {name: part.class_counts().tolist() for name, part in parts.items()}
    if args.json:
        by_class = {name: dict(zip(dataset.classes, of_part, strict=True)) for name, of_part in counts.items()}
        console.print_json({"files": [str(file) for file in files], "class_counts": by_class, "notes": split.notes})
        return 0

    out = console.stdout()
    shares = (f"{len(part):,} {name} ({share_text(len(part) / len(dataset), 1)})" for name, part in parts.items())
    out.print(console.styled((dataset.name, "bold"), (f"  {', '.join(shares)}", "")))
    out.print()
    listing = console.table("class", *parts, right=tuple(parts))
    for label, name in enumerate(dataset.classes):
        listing.add_row(name, *(f"{of_part[label]:,}" for of_part in counts.values()))
    out.print(listing)

    out.print()
    for note in split.notes:
        out.print(note)
    for file in files:
        out.print(f"written   {file}")
    return 0


def _open(args: argparse.Namespace) -> Dataset:
    """The one set that is to be split. Raises where there is nothing to do, before anything is read."""
    from fittingroom.data.splits import parts_of
    from fittingroom.errors import DataError, UsageError

    if args.test + args.validation <= 0:
        raise UsageError("--test 20% expected, or --validation: the share of the images that is to be split off")
    if args.seed < 0:
        raise UsageError(f"--seed: 0 or more expected, {args.seed} found")
    splits = options.open_data(
        args.data,
        cache=not args.no_cache,
        preprocessing=options.preprocessing_of(args),
        skip_broken=bool(args.skip_broken),
        group=args.group,
    )
    parts = parts_of(splits)
    if len(parts) > 1:
        raise DataError(
            f"{args.data}: one set expected, {' and '.join(parts)} found: it is split already; "
            "give the path of one of them"
        )
    return splits.train


def _write(
    args: argparse.Namespace, dataset: Dataset, split: DataSplit, groups: Sequence[str | None] | None
) -> list[Path]:
    from fittingroom.data.convert import convert
    from fittingroom.data.formats.table import format_of_name
    from fittingroom.errors import UsageError

    if args.to is not None or format_of_name(args.out) is not None:
        return convert(split.of(dataset), args.out, to=args.to, force=args.force)
    if dataset.files is None:
        raise UsageError(f"--out {args.out}: a name that ends in .npz expected, or --to parquet for a folder")
    return [_write_table(args, dataset, split, groups)]


def _write_table(
    args: argparse.Namespace, dataset: Dataset, split: DataSplit, groups: Sequence[str | None] | None
) -> Path:
    """A table of files: ``file`` (from the table's folder), ``label``, ``split``, and ``group`` if there are any."""
    import os

    import polars as pl

    from fittingroom.data_split import PARTS
    from fittingroom.errors import DataError
    from fittingroom.files.atomic import atomic_write
    from fittingroom.files.polars_check import check_polars

    assert dataset.files is not None
    assert dataset.labels is not None
    path: Path = args.out / TABLE
    if path.exists() and not args.force:
        raise DataError(
            f"{path}: is there already: choose another folder, or --force to put the new table in its place"
        )

    check_polars()
    root = Path(args.data).expanduser()
    folder = root if root.is_dir() else root.parent
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        prefix = Path(os.path.relpath(folder.resolve(), args.out.resolve())).as_posix()
        is_beside = prefix == "."
        names = [file if is_beside or Path(file).is_absolute() else f"{prefix}/{file}" for file in dataset.files]
        columns: dict[str, Sequence[str | None]] = {
            "file": names,
            "label": [dataset.classes[label] for label in dataset.labels],
            "split": [PARTS[part] for part in split.parts],
        }
        if groups is not None:
            columns["group"] = groups
        with atomic_write(path) as out:
            pl.DataFrame(columns).write_csv(out)
    except (OSError, ValueError) as error:  # ValueError: of Windows, a folder on another drive
        raise DataError(f"{path}: can't be written: {error}") from error
    return path


def _share(text: str) -> float:
    match = re.fullmatch(r"(\d{1,3}(?:\.\d+)?|\.\d+)(%?)", text, re.ASCII)
    share = float(match[1]) / (100 if match[2] else 1) if match else -1.0
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"a share such as 20% or 0.2 expected, {text} found")
    return share
