"""``fittingroom predict``: what a run's model says of pictures and data sets."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from fittingroom.cli import options
from fittingroom.cli.parser import Parser, add_old_spelling
from fittingroom.rendering.share import share_text
from fittingroom.rendering.terminal import UNLIMITED, say, tell, terminal_width

if TYPE_CHECKING:
    from fittingroom.errors import DataError
    from fittingroom.predict.classifier import Classified, Classifier
    from fittingroom.predict.inputs import Block
    from fittingroom.predict.output import Answered, Sheet
    from fittingroom.predict.shards import ShardDone

ON_A_SHEET = 200  # images that --html and --sheet draw


def add_options(parser: Parser) -> None:
    """Add the options of ``predict``."""
    parser.description = (
        "Say what is in pictures, which are prepared as those of the training were. For a model of "
        "Fashion-MNIST, a photo of a thing on a plain background is converted as the set's own photos were."
    )
    parser.epilog = (
        "examples: fittingroom predict runs/swift-1 shoe.jpg · "
        "fittingroom predict runs/swift-1 'photos/*.webp' --csv > answers.csv · "
        "fittingroom predict runs/swift-1 fashion-mnist_test.csv --parquet answers.parquet · "
        "fittingroom predict runs/swift-1 'in/*.parquet' --out out/"
    )
    parser.add_argument("folder", metavar="RUN", type=Path, help="the run's folder")
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="pictures, folders, patterns, - for a picture on stdin, or data sets: IDX, CSV, npz, Parquet, or by name",
    )
    parser.add_argument(
        "--top", type=int, default=3, metavar="K", help="number of classes that the answer lists; default: 3"
    )

    parser.add_argument(
        "--coverage",
        type=float,
        metavar="PERCENT",
        help="also the classes among which the right one is for so many of 100 pictures like the validation images, "
        "such as 95; as text or with --json",
    )

    # An answer has one form; the page and the sheet are for looking and come on top of it.
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
    sheet = parser.add_argument(
        "--sheet", metavar="FILE", type=Path, help="a contact sheet of the same: each picture and what the model saw"
    )
    add_old_spelling(parser, "--show", sheet)

    # ONNX Runtime is used from the CPU alone: a device is for networks that could not be exported.
    options.add_device(
        parser, what="where to compute if the run has no model.onnx, which the CPU alone runs", default="cpu"
    )
    options.add_threads(parser, default="every core")
    options.add_engine(parser, what="with --out: score the shards side by side, a thread each,")
    options.add_trust_code(parser, "execute the model's own source that the run keeps")
    parser.set_defaults(run=run_predict)


def run_predict(args: argparse.Namespace) -> int:
    """Predict, print, and return 2 if something could not be read."""
    _refuse_conflicting_options(args)
    return _score(args) if args.out else _predict(args)


def _refuse_conflicting_options(args: argparse.Namespace) -> None:
    from fittingroom.errors import UsageError

    # The inputs are answered by one model on this machine, or shard by shard into a folder: each has its own options.
    if args.out and (args.html or args.sheet or args.trust_code):
        raise UsageError("--out: writes Parquet from model.onnx; --html, --sheet and --trust-code don't go with it")
    if args.out and args.threads is not None:
        raise UsageError("--threads: --out scores on every core; OMP_NUM_THREADS=N gives it fewer")
    if args.coverage is not None and (args.csv or args.parquet or args.out):
        raise UsageError("--coverage: sets of classes are written as text or by --json")
    if args.coverage is not None and not 50 <= args.coverage < 100:
        raise UsageError(f"--coverage: a percentage from 50 to less than 100 expected, {args.coverage:g} found")
    if args.engine and not args.out:
        raise UsageError("--engine ray: scores shards into a folder; give it by --out DIR")
    if args.threads is not None and args.threads < 1:
        raise UsageError(f"--threads: 1 or more expected, {args.threads} found")
    if args.device not in (None, "auto", "cpu") and (args.out or (args.folder / "model.onnx").exists()):
        raise UsageError(f"--device {args.device}: model.onnx computes on the CPU; it is for a run without one")


def _score(args: argparse.Namespace) -> int:
    """Score shards into a folder."""
    from time import perf_counter

    from fittingroom.predict.shards import score_shards

    engine = options.engine_of(args)

    # Each shard is reported as it ends: hours may pass until the last.
    since = perf_counter()
    images = 0
    said: set[str] = set()

    def observe(done: ShardDone, number: int, total: int) -> None:
        nonlocal images
        images += done.rows
        for note in set(done.notes) - said:
            tell(note)
        said.update(done.notes)
        speed = f"{done.rows:,} images   {images / (perf_counter() - since):,.0f} images/s so far"
        tell(f"fittingroom: {done.problem}" if done.problem else f"{number}/{total}   {done.shard.input}   {speed}")

    def waiting() -> None:
        tell(f"{args.out}: another process scores into it; waiting for its end")

    scoring = score_shards(args.folder, args.files, args.out, engine=engine, observe=observe, waiting=waiting)

    # What was there before is told apart from what this call did: a second call after a failure does the rest.
    scored = [done for done in scoring.done if not done.problem]
    images = sum(done.rows for done in scored)
    say(f"scored     {_shards(len(scored))}, {images:,} images" if scored else "scored     nothing")
    if scoring.already:
        say(f"as before  {_shards(scoring.already)}")
    if scoring.failed:
        say(f"failed     {_shards(len(scoring.failed))}; the same command tries again")
    say(f"manifest   {scoring.manifest}")
    return 2 if scoring.failed else 0


def _shards(count: int) -> str:
    return f"{count:,} shard{'s' * (count != 1)}"


def _predict(args: argparse.Namespace) -> int:
    """Answer every input that can be read, in the form that was asked for."""
    from fittingroom.predict.classifier import load
    from fittingroom.predict.inputs import read_inputs
    from fittingroom.predict.output import Sheet, tile_size, write_parquet

    failed: list[DataError] = []
    messages: list[str] = []  # told between the blocks, as a bar may stand on the terminal while one is read

    def on_error(error: DataError) -> None:
        failed.append(error)
        messages.append(f"fittingroom: {error}")

    # Nothing is read or answered yet: inputs larger than memory go through block by block, while they are printed.
    classifier = load(args.folder, trust_code=args.trust_code, threads=args.threads, device=args.device or "cpu")
    originals = tile_size(classifier.artifact.image_size) if args.html or args.sheet else None
    blocks = read_inputs(args.files, classifier, on_error=on_error, on_note=messages.append, originals=originals)
    classes = classifier.classes
    sheet = Sheet(classes, ON_A_SHEET if args.html or args.sheet else 0)
    answered = _answer(classifier, blocks, sheet, messages)

    top = max(1, min(args.top, len(classes)))
    coverage = None if args.coverage is None else args.coverage / 100
    if coverage is not None:
        classifier.set_limit(coverage)  # a run that can't is refused before anything is printed
    if args.json:
        _print_json(answered, classifier, top, coverage)
    elif args.csv:
        _print_csv(answered, classes)
    elif args.parquet:
        write_parquet(answered, classes, args.parquet)
    else:
        _print_table(answered, classifier, top, coverage)

    if args.html and sheet.seen:  # a page on no image would be no answer
        sheet.write_html(args.html, title=str(args.folder), top=top, scale=classifier.ood_scale)
    if args.sheet:
        sheet.write_png(args.sheet)
    return 2 if failed else 0


def _answer(
    classifier: Classifier, blocks: Iterator[Block], sheet: Sheet, messages: list[str]
) -> Iterator[tuple[Block, Classified]]:
    def at_work() -> AbstractContextManager[object]:
        if not sys.stderr.isatty():
            return nullcontext()
        from fittingroom.cli import console  # which an answer in a pipe does without

        return console.working("reading and answering")

    while True:
        # pictures of many megapixels, or on a slow disk, take their time: it is seen that they are read
        with at_work():
            block = next(blocks, None)
            classified = None if block is None else classifier.classify(block.images)
        for message in messages:
            tell(message)
        messages.clear()
        if block is None or classified is None:
            return
        sheet.add(block, classified)
        yield block, classified


def _print_json(answered: Answered, classifier: Classifier, top: int, coverage: float | None) -> None:
    from fittingroom.predict.output import records

    separator = "[\n"
    for block, classified in answered:
        answers = records(block, classified, classifier.classes, top)
        if coverage is not None:
            for record, in_set in zip(answers, classifier.sets(classified, coverage), strict=True):
                record["set"] = in_set
        for record in answers:
            print(separator, json.dumps(record, ensure_ascii=False), sep="", end="")
            separator = ",\n"
    print("[]" if separator == "[\n" else "\n]")


def _print_csv(answered: Answered, classes: Sequence[str]) -> None:
    from fittingroom.files.csv_text import csv_table
    from fittingroom.predict.output import frame

    for number, (block, classified) in enumerate(answered):
        text = csv_table(frame(block, classified, classes)).write_csv(include_header=number == 0)
        print(text, end="")


def _print_table(answered: Answered, classifier: Classifier, top: int, coverage: float | None) -> None:
    """A line an image, as it comes: rows of a set of millions are not kept to be aligned."""
    from fittingroom.artifact.ood_score import explained
    from fittingroom.predict.output import records
    from fittingroom.rendering.terminal import cells

    classes, scale = classifier.classes, classifier.ood_scale
    width = max(map(cells, classes))
    columns = terminal_width(sys.stdout) or UNLIMITED
    answer_given = False
    for block, classified in answered:
        answers = records(block, classified, classes, top)
        names = [row["file"] if row["row"] is None else f"{row['file']}:{row['row']}" for row in answers]
        longest = max(map(cells, names))
        sets = [None] * len(names) if coverage is None else classifier.sets(classified, coverage)

        # The classes that were not chosen follow in one cell, as nobody sorts by them.
        for name, answer, in_set in zip(names, answers, sets, strict=True):
            answer_given = True
            others = ", ".join(f"{other} {share_text(probability, 1)}" for other, probability in answer["top"][1:])
            label = answer["class"] + " " * (width - cells(answer["class"]))
            texts = [f"{label}   {share_text(answer['probability'], 1):>6}   {others}".rstrip()]
            if note := scale and explained(answer["typical"], scale.n):
                texts.append(note)
            if in_set is not None:
                texts.append(_either(in_set))

            # Where the file's name leaves no room beside it, the answer stands below.
            beside = longest + 3 + max(map(cells, texts)) <= columns
            lead = name + " " * (longest - cells(name) + 3) if beside else f"{name}\n  "
            say(f"{lead}{texts[0]}")
            for text in texts[1:]:
                say(f"{'':<{longest + 3 if beside else 2}}{text}")

    # What the figures above are worth is said once, beside what programs may read.
    if answer_given:
        tell(f"probabilities: {classifier.artifact.temperature}")
        if threshold := classifier.artifact.threshold:
            tell(threshold.in_words(classifier.classes))
        if coverage is not None:
            tell(_what_sets_hold(classifier, coverage))


def _either(classes: Sequence[str]) -> str:
    """``A``, ``A or B``, ``A, B or C``."""
    return " or ".join(filter(None, (", ".join(classes[:-1]), classes[-1])))


def _what_sets_hold(classifier: Classifier, coverage: float) -> str:
    """How often sets as above held the right class of the validation images, and of the class that fares worst."""
    from fittingroom.evaluation.conformal import MAX_IMAGES

    scores = classifier.artifact.conformal
    assert scores is not None, "it was asked for sets before"
    share, of_classes = scores.coverage_of(classifier.set_limit(coverage))
    lowest = min(((of_class, i) for i, of_class in enumerate(of_classes) if of_class is not None), default=None)
    least = f" (for {classifier.classes[lowest[1]]} {_percent(lowest[0])})" if lowest and lowest[0] < share else ""
    low, high = scores.coverage_elsewhere(coverage)
    of_images = f"{'the ' if scores.n < MAX_IMAGES else ''}{scores.n:,} validation images"  # of more, some were drawn
    return (
        f"Such sets held the right class for {_percent(share)} of {of_images}{least}; of other "
        f"pictures like them, for {_percent(low)} to {_percent(high)} (95% interval)"
    )


def _percent(share: float) -> str:
    """A share as a percentage of at most three digits, which is 100 for all alone."""
    return f"{100 * share if share == 1 else min(100 * share, 99.9):.3g}%"
