"""``fittingroom data …``: fetch, look at, check, split, and convert data sets."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fittingroom.cli import data_check, data_split, options
from fittingroom.cli.parser import Commands, Parser, add_old_spelling

if TYPE_CHECKING:
    from PIL import Image

    from fittingroom.data.dataset import Dataset
    from fittingroom.data.splits import Splits
    from fittingroom.recipes.recipe import Recipe

DATA_HELP = (
    "fashion-mnist, sample, or a path: a folder or file of IDX, CSV, npz, Parquet, CIFAR's binary version (.tar.gz, "
    ".tgz), SVHN's .mat, arrays in .npy, pictures, or JSON Lines that name them (.jsonl, .ndjson, .jsonl.gz, "
    ".ndjson.gz)"
)
PARTS = ("train", "validation", "test")


def add_options(parser: Parser) -> None:
    """Add the commands of ``data``."""
    parser.description = "Fetch, look at, check, split, and convert data sets."
    parser.epilog = "example: fittingroom data info fashion-mnist"
    actions = parser.add_commands()

    for add in (_add_fetch, _add_info, _add_show, _add_header, _add_convert):
        add(actions)
    for module in (data_check, data_split):
        module.add_parser(actions)
    _add_cache(actions)


def _add_fetch(actions: Commands) -> None:
    fetch = _add(actions, "fetch", "get a known data set and verify it", "fittingroom data fetch")
    fetch.add_argument(
        "name", metavar="NAME", nargs="?", default="fashion-mnist", help="a known name; default: fashion-mnist"
    )
    _add_json(fetch)
    fetch.set_defaults(run=run_fetch)


def _add_info(actions: Commands) -> None:
    info = _add(actions, "info", "say what a data set is, in figures", "fittingroom data info photos/ --json")
    _add_source(info)
    _add_json(info)
    info.set_defaults(run=run_info)


def _add_show(actions: Commands) -> None:
    show = _add(actions, "show", "show its first rows and samples of each class", "fittingroom data show sample")
    _add_source(show)
    split = show.add_argument("--split", choices=PARTS, default="train", help="which split; default: train")
    add_old_spelling(show, "--part", split)
    show.add_argument("--rows", type=_whole_number, default=10, metavar="N", help="number of rows; default: 10")
    sheet = show.add_argument(
        "--sheet", type=Path, metavar="FILE", help="the contact sheet; default: NAME-contact-sheet.png"
    )
    add_old_spelling(show, "--out", sheet)
    show.add_argument(
        "--augment",
        metavar="RECIPE",
        help="show instead what a recipe's augmentation makes of an image of each class: a name, or a .toml file",
    )
    show.add_argument("--set", action="append", metavar="KEY=VALUE", help="with --augment, any key of it: rotate=10")
    show.set_defaults(run=run_show)


def _add_header(actions: Commands) -> None:
    example = "fittingroom data header train-images-idx3-ubyte.gz"
    header = _add(actions, "header", "take an IDX file's header apart, field by field", example)
    header.add_argument("file", metavar="FILE", type=Path, help="an IDX file, raw or .gz")
    _add_json(header)
    header.set_defaults(run=run_header)


def _add_convert(actions: Commands) -> None:
    example = "fittingroom data convert fashion-mnist_train.csv train.parquet"
    convert = _add(actions, "convert", "write a data set in another format, exactly", example)
    convert.add_argument("data", metavar="IN", help=DATA_HELP)
    convert.add_argument(
        "out", metavar="OUT", type=Path, help="a file (.csv, .tsv, .csv.gz, .tsv.gz, .npz, .parquet) or a folder"
    )
    convert.add_argument("--to", metavar="FORMAT", help="idx, csv, npz or parquet; default: by the suffix of OUT")
    convert.add_argument("--force", action="store_true", help="put it in the place of what is at OUT")
    _add_test_and_cache(convert)
    convert.set_defaults(run=run_convert)


def _add_cache(actions: Commands) -> None:
    cache = _add(actions, "cache", "show what the cache holds, or empty it", "fittingroom data cache --clear")
    cache.add_argument("--clear", action="store_true", help="remove everything from it")
    _add_json(cache)
    cache.set_defaults(run=run_cache)


def run_fetch(args: argparse.Namespace) -> int:
    """Get a known data set; print where it lies, its files, and every source that was asked."""
    from dataclasses import asdict

    from fittingroom.cli import console
    from fittingroom.data.fetch.known_sets import KNOWN, fetch

    with console.fetching() as progress:
        fetched = fetch(args.name, progress=progress)

    files = sorted(file for file in fetched.folder.iterdir() if "-ubyte" in file.name)
    if args.json:
        attempts = [asdict(attempt) for attempt in fetched.attempts]
        paths = [str(file) for file in files]
        console.print_json({"name": args.name, "folder": str(fetched.folder), "files": paths, "attempts": attempts})
        return 0

    out = console.stdout()
    out.print(KNOWN[args.name].title, style="bold")
    out.print()
    listing = console.table("file", "bytes", right=("bytes",))
    for file in files:
        listing.add_row(file.name, f"{file.stat().st_size:,}")
    out.print(listing)

    # Every source that was asked is named: whoever has a mirror of their own sees whether it was used.
    out.print()
    sources = console.table("source", "answer", prose=("answer",))
    good = "has them, verified by SHA-256" if KNOWN[args.name].files else "has them"
    for attempt in fetched.attempts:
        sources.add_row(attempt.source, attempt.problem or good)
    out.print(sources)

    out.print()
    out.print(f"folder   {fetched.folder}")
    return 0


def run_info(args: argparse.Namespace) -> int:
    """Print shapes, types, class counts, pixel statistics, fingerprint and identity of each part."""
    from dataclasses import asdict

    from fittingroom.cli import console, data_views
    from fittingroom.data.splits import parts_of
    from fittingroom.data.summary import summary_of

    data = _open(args)
    summaries = {name: summary_of(part) for name, part in parts_of(data).items()}

    # A split that isn't there is null, so that programs find the same keys for every set.
    if args.json:
        parts = {name: None if name not in summaries else asdict(summaries[name]) for name in PARTS}
        preprocessing = None if data.preprocessing is None else data.preprocessing.as_dict()
        console.print_json({"source": data.source, **parts, "preprocessing": preprocessing, "notes": data.notes})
        return 0

    out = console.stdout()
    out.print(data.source, style="bold")
    out.print()
    out.print(data_views.figures(summaries))
    if data.train.classes:
        out.print()
        out.print(data_views.class_counts(summaries))

    # Of arrays, which are what they are, there is nothing to say.
    if data.preprocessing is not None and data.train.files is not None:
        out.print()
        out.print(f"pictures   {data_views.in_words(data.preprocessing)}")
    return 0


def run_show(args: argparse.Namespace) -> int:
    """Print the first rows and write a contact sheet, or one of what a recipe's augmentation makes of images."""
    from fittingroom.cli import console, data_views
    from fittingroom.data.splits import parts_of
    from fittingroom.errors import DataError, UsageError
    from fittingroom.recipes.reading import load_recipe

    if args.set and args.augment is None:
        raise UsageError("--set changes a recipe that is shown; name it by --augment")
    recipe = load_recipe(args.augment, overrides=args.set or []) if args.augment else None
    data = _open(args)
    parts = parts_of(data)
    if args.split not in parts:
        raise DataError(f"{data.source}: no {args.split} split, only {', '.join(parts)}: choose one by --split")
    dataset = parts[args.split]
    if recipe is not None:
        return _show_augmented(dataset, recipe, args.sheet)

    # The heading says how the numbers of a row lie in the picture, which tables of pixels leave open.
    out = console.stdout()
    height, width = dataset.image_size
    colours = ", as #RRGGBB" if dataset.channels == 3 else ""
    rows = f"  {len(dataset):,} rows; pixels 1–{height * width:,}, row by row from the top left{colours}"
    out.print(console.styled((dataset.name, "bold"), (rows, "")))
    out.print()
    out.print(data_views.first_rows(dataset, args.rows, out.width))

    path = _write_sheet(dataset, args.sheet)
    out.print()
    out.print(f"contact sheet   {path}")
    return 0


def _write_sheet(dataset: Dataset, path: Path | None) -> Path:
    """Write a contact sheet of each class's first images, by the data set's name where no path is given."""
    from fittingroom.cli import data_views
    from fittingroom.rendering.contact_sheet import contact_sheet

    rows = data_views.sheet_rows(dataset)
    height, width = dataset.image_size
    shown = "" if len(rows) >= dataset.num_classes else f" ({len(rows)} shown)"
    classes = f", {dataset.num_classes:,} classes{shown}" if dataset.classes else ", unlabelled"
    subtitle = f"{len(dataset):,} images, {height} by {width} pixels{classes}"
    return _save_sheet(contact_sheet(rows, title=dataset.name, subtitle=subtitle), dataset, "contact-sheet", path)


def _show_augmented(dataset: Dataset, recipe: Recipe, path: Path | None) -> int:
    """Say what a recipe's augmentation is, and write a sheet that shows it."""
    from fittingroom.cli import console
    from fittingroom.training.augmentation_sheet import augmentation_sheet, in_words

    sheet = augmentation_sheet(dataset, recipe)
    path = _save_sheet(sheet, dataset, "augmented", path)
    out = console.stdout()
    out.print(f"{dataset.name}, augmented by {recipe.name}", style="bold", highlight=False)
    out.print()
    out.print(f"augmentation    {in_words(recipe, dataset.image_size)}", highlight=False)
    out.print(f"contact sheet   {path}", highlight=False)
    return 0


def _save_sheet(sheet: Image.Image, dataset: Dataset, kind: str, path: Path | None) -> Path:
    """Write a sheet as PNG, by the data set's name and what kind it is where no path is given."""
    import re

    from fittingroom.errors import DataError
    from fittingroom.files.atomic import atomic_write

    path = path or Path(re.sub(r"[^\w.-]+", "-", dataset.name) + f"-{kind}.png")

    # The folder may be missing or closed: a data set that was shown is no reason for a traceback.
    try:
        with atomic_write(path) as file:
            sheet.save(file, "PNG")
    except OSError as error:
        raise DataError(f"{path}: can't be written: {error.strerror or error}") from error
    return path


def run_header(args: argparse.Namespace) -> int:
    """Print an IDX header as a table of its fields, and whether the file has the size that it claims."""
    from dataclasses import asdict

    from fittingroom.cli import console
    from fittingroom.data.formats.idx_header import report_header

    report = report_header(args.file)
    if args.json:
        console.print_json({"file": str(args.file), **asdict(report), "matches": report.matches})
        return 0

    out = console.stdout()
    out.print(console.styled((args.file.name, "bold"), (f"  {report.what}{', gzip' if report.is_gzip else ''}", "")))
    out.print()
    fields = console.table("offset", "type", "bytes", "value", "meaning", right=("offset", "value"), prose=("meaning",))
    for field in report.fields:
        fields.add_row(str(field.offset), field.type, field.bytes, field.value, field.meaning)
    out.print(fields)

    # A header may be whole and the file cut off, or longer than its header says: the sizes tell.
    out.print()
    size = "bytes when decompressed" if report.is_gzip else "bytes"
    out.print(f"{report.expected:,} {size} expected by the header, {report.size_found} found: {report.verdict}")
    return 0


def run_convert(args: argparse.Namespace) -> int:
    """Write a data set in another format; print the files."""
    from fittingroom.cli import console
    from fittingroom.data.convert import convert
    from fittingroom.data.formats.splits import CLASSES_FILE
    from fittingroom.data.splits import parts_of

    data = _open(args)
    files = convert(data, args.out, to=args.to, force=args.force)

    out = console.stdout()
    counts = " + ".join(f"{len(part):,} {name}" for name, part in parts_of(data).items())
    out.print(console.styled((f"{data.source} → {args.out}", "bold"), (f"  {counts}", "")))
    out.print()
    listing = console.table("file", "bytes", right=("bytes",))
    for file in files:
        listing.add_row(str(file), f"{file.stat().st_size:,}")
    out.print(listing)

    # Without this file beside it the set would come back with numbers for names.
    if any(file.name == CLASSES_FILE for file in files):
        out.print()
        out.print(f"This format has no class names: they are in {CLASSES_FILE}, which is read with the data.")
    return 0


def run_cache(args: argparse.Namespace) -> int:
    """Print what the cache holds, or empty it."""
    from fittingroom.cli import console
    from fittingroom.data.cache import cache_entries
    from fittingroom.files.cache_dir import cache_dir

    if args.clear:
        return _clear_cache(args)
    entries = cache_entries()
    if args.json:
        kept = [
            {"kind": entry.kind, "source": entry.source, "path": str(entry.path), "size": entry.size}
            for entry in entries
        ]
        console.print_json({"folder": str(cache_dir()), "entries": kept})
        return 0

    # The folder is named even where it is empty: people ask where it is.
    out = console.stdout()
    total = sum(entry.size for entry in entries)
    size = f"  {_megabytes(total)}" if entries else "  empty"
    out.print(console.styled((str(cache_dir()), "bold"), (size, "")))
    if entries:
        out.print()
        listing = console.table("kind", "of", "size", right=("size",))
        for entry in entries:
            listing.add_row(entry.kind, entry.source, _megabytes(entry.size))
        out.print(listing)
    return 0


def _clear_cache(args: argparse.Namespace) -> int:
    from fittingroom.cli import console
    from fittingroom.data.cache import clear_cache
    from fittingroom.files.cache_dir import cache_dir

    freed = clear_cache()
    if args.json:
        console.print_json({"folder": str(cache_dir()), "freed": freed})
    else:
        console.stdout().print(f"{cache_dir()}: {_megabytes(freed)} freed")
    return 0


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


# ── arguments ────────────────────────────────────────────────────────────────────────────────────────────────


def _open(args: argparse.Namespace) -> Splits:
    return options.open_data(
        args.data,
        test=args.test,
        cache=not args.no_cache,
        preprocessing=options.preprocessing_of(args),
        skip_broken=bool(args.skip_broken),
    )


def _add(actions: Commands, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    return actions.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", epilog=f"example: {example}"
    )


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data", metavar="DATA", nargs="?", default="fashion-mnist", help=f"{DATA_HELP}; default: fashion-mnist"
    )
    _add_test_and_cache(parser)


def _add_test_and_cache(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--test", metavar="PATH", help="a test set that lies elsewhere")
    parser.add_argument("--no-cache", action="store_true", help="read the files themselves, and keep nothing")
    options.add_pictures(parser)
    options.add_skip_broken(parser)


def _whole_number(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number
