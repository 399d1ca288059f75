"""``fittingroom predict``: what a run's model says of pictures and data sets."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fittingroom.cli import options
from fittingroom.cli.parser import Commands

if TYPE_CHECKING:
    from fittingroom.errors import DataError
    from fittingroom.predict.classifier import Classified, Classifier
    from fittingroom.predict.inputs import Block
    from fittingroom.predict.output import Answered, Sheet
    from fittingroom.predict.shards import ShardDone

ON_A_SHEET = 200  # images that --html and --show draw


def add_parser(commands: Commands) -> None:
    """Add ``predict``."""
    parser = commands.add_parser(
        "predict",
        help="say what is in a picture, a folder of them or a data set",
        description="Say what is in pictures. A photo of a thing on a plain background is converted as Fashion-MNIST's "
        "own photos were; what has the size and the background of the training images already is left as it is.",
        epilog="examples: fittingroom predict runs/swift-1 shoe.jpg · "
        "fittingroom predict runs/swift-1 'photos/*.webp' --csv > answers.csv · "
        "fittingroom predict runs/swift-1 fashion-mnist_test.csv --parquet answers.parquet · "
        "fittingroom predict runs/swift-1 'in/*.parquet' --out out/",
    )
    parser.add_argument("folder", metavar="RUN", type=Path, help="the run's folder")
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="pictures, folders, patterns, - for a picture on stdin, or data sets: IDX, CSV, npz, Parquet",
    )
    parser.add_argument("--top", type=int, default=3, metavar="K", help="classes that the answer lists; default: 3")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="JSON on stdout: a list with an object for each image")
    form.add_argument("--csv", action="store_true", help="CSV on stdout, with the probability of every class")
    form.add_argument("--parquet", metavar="FILE", type=Path, help="the same columns as --csv, to a file")
    form.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="for data sets of many files: the same columns, a Parquet file for each input, and a manifest; what is "
        "there already is not done again",
    )
    parser.add_argument("--html", metavar="FILE", type=Path, help=f"a page with the first {ON_A_SHEET} images")
    parser.add_argument("--show", metavar="FILE.png", type=Path, help="draw what the model saw of the same images")
    options.add_engine(parser, what="with --out: score the shards side by side, a thread each,")
    options.add_trust_code(parser, "execute the model's own source that the run keeps")
    parser.set_defaults(run=run_predict)


def run_predict(args: argparse.Namespace) -> int:
    """Predict, print, and return 2 if something could not be read."""
    _refuse_what_does_not_go_together(args)
    return _score(args) if args.out else _predict(args)


def _refuse_what_does_not_go_together(args: argparse.Namespace) -> None:
    from fittingroom.errors import UsageError

    if args.out and (args.html or args.show or args.trust_code):
        raise UsageError("--out: writes Parquet from model.onnx; --html, --show and --trust-code don't go with it")
    if args.engine and not args.out:
        raise UsageError("--engine ray: scores shards into a folder; give it by --out DIR")
    if args.ray_address and not args.engine:
        raise UsageError("--ray-address: goes with --engine ray")


def _score(args: argparse.Namespace) -> int:
    """Score shards into a folder."""
    from time import perf_counter

    from fittingroom.predict.shards import score_shards

    engine = options.engine_of(args)
    since = perf_counter()
    images = 0

    def observe(done: ShardDone, number: int, total: int) -> None:
        nonlocal images
        images += done.rows
        speed = f"{done.rows:,} images   {images / (perf_counter() - since):,.0f} images/s so far"
        _tell(f"fittingroom: {done.problem}" if done.problem else f"{number}/{total}   {done.shard.input}   {speed}")

    def waiting() -> None:
        _tell(f"{args.out}: another process scores into it; waiting for its end")

    scoring = score_shards(args.folder, args.files, args.out, engine=engine, observe=observe, waiting=waiting)
    done = [each for each in scoring.done if not each.problem]
    images = sum(each.rows for each in done)
    print(f"scored     {_shards(len(done))}, {images:,} images" if done else "scored     nothing")
    if scoring.already:
        print(f"as before  {_shards(scoring.already)}")
    if scoring.failed:
        print(f"failed     {_shards(len(scoring.failed))}; the same command tries again")
    print(f"manifest   {scoring.manifest}")
    return 2 if scoring.failed else 0


def _shards(count: int) -> str:
    return f"{count:,} shard{'s' * (count != 1)}"


def _predict(args: argparse.Namespace) -> int:
    from fittingroom.predict.classifier import load
    from fittingroom.predict.inputs import read_inputs
    from fittingroom.predict.output import Sheet, write_parquet

    failed: list[DataError] = []

    def on_error(error: DataError) -> None:
        failed.append(error)
        _tell(f"fittingroom: {error}")

    classifier = load(args.folder, trust_code=args.trust_code)
    size, background = classifier.artifact.image_size, classifier.background
    blocks = read_inputs(args.files, image_size=size, background=background, on_error=on_error)
    classes = classifier.classes
    sheet = Sheet(classes, ON_A_SHEET if args.html or args.show else 0)
    answered = _answer(classifier, blocks, sheet)
    top = max(1, min(args.top, len(classes)))
    if args.json:
        _print_json(answered, classes, top)
    elif args.csv:
        _print_csv(answered, classes)
    elif args.parquet:
        write_parquet(answered, classes, args.parquet)
    else:
        _print_table(answered, classes, top)
    if args.html:
        sheet.write_html(args.html, title=str(args.folder), top=top)
    if args.show:
        sheet.write_png(args.show)
    return 2 if failed else 0


def _answer(classifier: Classifier, blocks: Iterator[Block], sheet: Sheet) -> Iterator[tuple[Block, Classified]]:
    for block in blocks:
        classified = classifier.classify(block.images)
        sheet.add(block, classified)
        yield block, classified


def _print_json(answered: Answered, classes: Sequence[str], top: int) -> None:
    from fittingroom.predict.output import records

    separator = "[\n"
    for block, classified in answered:
        for record in records(block, classified, classes, top):
            print(separator, json.dumps(record, ensure_ascii=False), sep="", end="")
            separator = ",\n"
    print("[]" if separator == "[\n" else "\n]")


def _print_csv(answered: Answered, classes: Sequence[str]) -> None:
    from fittingroom.predict.output import frame

    for number, (block, classified) in enumerate(answered):
        text = frame(block, classified, classes).write_csv(include_header=number == 0)
        print(text, end="")


def _print_table(answered: Answered, classes: Sequence[str], top: int) -> None:
    """A line an image, as it comes: rows of a set of millions are not kept to be aligned."""
    from fittingroom.predict.output import records

    width = max(map(len, classes))
    for block, classified in answered:
        found = records(block, classified, classes, top)
        names = [each["file"] if each["row"] is None else f"{each['file']}:{each['row']}" for each in found]
        longest = max(map(len, names))
        for name, each in zip(names, found, strict=True):
            others = ", ".join(f"{other} {probability:.1%}" for other, probability in each["top"][1:])
            line = f"{name:<{longest}}   {each['class']:<{width}}   {each['probability']:>6.1%}   {others}"
            print(line.rstrip())
            if each["unfamiliar"]:
                print(f"{'':<{longest}}   looks like nothing the model was trained on: doubt {each['doubt']:.2f} of 1")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
