"""``fittingroom evaluate``: judge a run on its own test set or on any labelled data."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fittingroom.cli import options
from fittingroom.cli.parser import Parser
from fittingroom.rendering.terminal import tell

if TYPE_CHECKING:
    from fittingroom.audit.leakage import Leakage
    from fittingroom.audit.subsets import Subset
    from fittingroom.data.dataset import Dataset
    from fittingroom.runs.run import Run


def add_options(parser: Parser) -> None:
    """Add the options of ``evaluate``."""
    parser.description = (
        "Judge a run's model as it ships. Every evaluation on a test set is put on record. Or judge predictions of any "
        "program: Parquet, CSV or npz with label and predicted, or label and probabilities."
    )
    parser.epilog = "example: fittingroom evaluate runs/swift-1 photos/"
    parser.add_argument(
        "folder",
        metavar="RUN",
        type=Path,
        help="the run's folder; or a file of predictions, a folder of those of one recipe's seeds, or a pattern",
    )
    parser.add_argument(
        "data",
        metavar="DATA",
        nargs="?",
        help="labelled data; default: the run's own test set. For files of predictions: which images they are about",
    )
    parser.add_argument(
        "--split",
        choices=("train", "validation", "test"),
        help="which split of DATA; default: test if it has one, else train. Without DATA, of the run's own: "
        "validation shows what its training recorded, and looks at no test image",
    )
    parser.add_argument(
        "--subsets",
        action="store_true",
        help="beside all images: accuracy without near-duplicates of training images, and without label issues",
    )
    parser.add_argument(
        "--suspects",
        metavar="FILE",
        type=Path,
        help="label issues that `data check DATA --labels --suspects FILE` found; for the official test images of "
        "Fashion-MNIST, which need none, those of a reference model come with the package. Means --subsets",
    )

    # The CPU is the default of `Run.evaluate` too: one way to the same figures, wherever the model was trained.
    options.add_device(parser, default="cpu")
    options.add_threads(parser)
    options.add_no_cache(parser)
    options.add_skip_broken(parser)
    options.add_trust_code(parser, "execute the model's own source that the run keeps")
    parser.add_argument(
        "--csv",
        metavar="FILE",
        type=Path,
        help="write a line for each mistake, the most confident first: file, row, label, predicted, probability",
    )
    parser.add_argument("--all", action="store_true", help="with --csv: a line for each image, in the order of DATA")
    parser.add_argument("--json", action="store_true", help="the scores as JSON on stdout")
    parser.set_defaults(run=run_evaluate)


def run_evaluate(args: argparse.Namespace) -> int:
    """Judge, and print accuracy, per-class scores and the confusion matrix."""
    from fittingroom.cli import console
    from fittingroom.runs.environment_record import holds_run
    from fittingroom.runs.run import open_run

    _refuse_conflicting_options(args)
    if not holds_run(args.folder):
        from fittingroom.compare.foreign import files_of

        if (files := files_of(args.folder)) is not None:
            return _evaluate_files(files, args)
    run = open_run(args.folder)
    if args.data is None and args.split == "validation":
        return _show_validation(run, args)
    dataset = _dataset_to_judge_on(run, args)
    subsets = _subsets(run, dataset, args) if args.subsets or args.suspects else ()

    # PyTorch is loaded only now: a run or data that can't be opened is answered at once.
    from fittingroom.environment import warn_of_many_threads

    with console.working("loading PyTorch"):
        from fittingroom.training.device import prepare_torch

    warn_of_many_threads(args.threads)
    before, written_before = run.result, _predictions_files(run)
    prepare_torch(args.threads, deterministic=False)
    with console.working("judging"):
        scores = run.evaluate(dataset, subsets=subsets, trust_code=args.trust_code, device=args.device or "cpu")
    if run.result != before or (subsets and dataset is None):
        _renew_the_report(run)

    with console.working("looking for these images among those that it was trained on"):
        leakage, unknown = _leakage(run, dataset)
    if leakage is not None:
        scores |= {"trained_on": asdict(leakage)}
    _show(scores, args)

    if leakage is None:
        tell(f"whether the model was trained on these images isn't known: {unknown}")
    elif leakage.sentence:
        console.stderr().print(f"warning: {leakage.sentence}", style="bold yellow")

    # The scores first: where the evaluation couldn't be kept, there is nothing to make a table of.
    if args.csv:
        _write_csv(args.csv, run, _predictions_files(run) - written_before, every_image=args.all)
    return 0


def _dataset_to_judge_on(run: Run, args: argparse.Namespace) -> Dataset | None:
    """What is to be judged on; None for the run's own test set."""
    if args.data is not None:
        return _open_split(run, args)
    return run.open_data().train if args.split == "train" else None


def _show_validation(run: Run, args: argparse.Namespace) -> int:
    """Show what the training recorded of the run's validation images: nothing is judged or put on record."""
    from fittingroom.errors import UsageError

    if args.subsets or args.suspects:
        raise UsageError(
            "--subsets and --suspects: for an evaluation; of the run's own validation images a record is shown"
        )
    _show(run.validation_scores(), args)
    if args.csv:
        files = {member.predictions_file("validation") for member in run.members or [run]}
        _write_csv(args.csv, run, files, every_image=args.all)
    return 0


def _evaluate_files(files: Sequence[Path], args: argparse.Namespace) -> int:
    """Judge what another program answered; nothing of it is put on record, as there is no run."""
    from fittingroom.cli import console
    from fittingroom.cli.evaluate_files import write_csv
    from fittingroom.compare.foreign import name_of, read_files, scores_of
    from fittingroom.errors import UsageError

    if args.subsets or args.suspects:
        raise UsageError("--subsets and --suspects: for a run; of predictions of another program neither is known")
    dataset = None if args.data is None else _open_split(None, args)
    answers = read_files(files, name_of(files), dataset, with_probabilities=True)

    _show(scores_of(answers, files), args)
    for note in () if args.json else answers.notes:
        console.stdout().print(note, style="bright_black")
    if args.csv:
        write_csv(args.csv, answers, every_image=args.all)
    return 0


def _show(scores: dict[str, Any], args: argparse.Namespace) -> None:
    from fittingroom.cli import console
    from fittingroom.cli.evaluate_scores import print_scores

    if args.json:
        console.print_json(scores)
    else:
        print_scores(scores)


def _leakage(run: Run, dataset: Dataset | None) -> tuple[Leakage | None, str]:
    """Whether the model has seen what it was judged by; None, and why, where its training data can't be opened."""
    from fittingroom.audit.leakage import find_leakage
    from fittingroom.errors import ArtifactError, DataError
    from fittingroom.runs.cut import bundles_of
    from fittingroom.runs.starting_point import is_among, read_seen
    from fittingroom.training.hold_out import hold_out

    # The members of a run have their data in common: the first of them speaks for all.
    member = (run.members or [run])[0]
    try:
        splits = member.open_data()
        train, validation = hold_out(splits, member.recipe, bundles_of(member.environment, splits))
        judged, start = member.own_test_set() if dataset is None else dataset, member.environment.start
        look = partial(
            find_leakage, judged, train, validation, whole=splits.train, cache=member.environment.options.cache
        )
        if start is None or start.kind != "run":
            return look(), ""

        # What the weights were trained on from which it started is as well known to it.
        seen, unknown = read_seen(member.path, start)
        if seen is None:
            return None, unknown
        return look(before_N=is_among(judged, seen), before_in=start.name), ""
    except (DataError, ArtifactError, OSError) as error:
        return None, str(error)


def _refuse_conflicting_options(args: argparse.Namespace) -> None:
    from fittingroom.errors import UsageError

    if args.all and args.csv is None:
        raise UsageError("--all: every image in place of the mistakes alone, in the file that --csv FILE names")


def _predictions_files(run: Run) -> set[Path]:
    """The files of predictions that the run has so far, each member's own too."""
    folders = [member.path for member in run.members or [run]]
    return {
        file
        for folder in folders
        for file in (*folder.glob("predictions*.parquet"), *folder.glob("evaluations/*.parquet"))
    }


def _write_csv(path: Path, run: Run, files: set[Path], *, every_image: bool) -> None:
    """Write what this evaluation has kept as CSV, a line an image; of several seeds, each with its seed."""
    import polars as pl

    from fittingroom.errors import ArtifactError, DataError
    from fittingroom.evaluation.mistakes import find_mistakes
    from fittingroom.evaluation.predictions import read_predictions
    from fittingroom.files.atomic import atomic_write
    from fittingroom.files.csv_text import csv_table

    tables = []
    for member in run.members or [run]:
        file = next((file for file in files if file.is_relative_to(member.path)), None)
        if file is None:
            raise ArtifactError(f"{member.path}: the predictions can't be kept there, so there is no {path}")
        judged = read_predictions(file, member.artifact.classes)
        rows = range(len(judged)) if every_image else find_mistakes(judged).tolist()

        # Where nothing was read from picture files the column is empty, so that programs find the same columns.
        table = {
            "file": [judged.files[row] if judged.files else None for row in rows],
            "row": list(rows),
            "label": [judged.classes[judged.truth[row]] for row in rows],
            "predicted": [judged.classes[judged.predicted[row]] for row in rows],
            "probability": [round(float(judged.confidence[row]), 6) for row in rows],
        }
        schema = {"file": pl.String, "row": pl.Int64, "label": pl.String, "predicted": pl.String}
        seed = {"seed": [member.recipe.seed] * len(rows)} if run.members else {}
        tables.append(pl.DataFrame(seed | table, schema_overrides=schema | {"probability": pl.Float64}))
    try:
        with atomic_write(path) as out:
            csv_table(pl.concat(tables)).write_csv(out)
    except OSError as error:
        raise DataError(f"{path}: can't be written: {error.strerror or error}") from error


def _open_split(run: Run | None, args: argparse.Namespace) -> Dataset:
    """The split of DATA that was asked for, or the one that judges best of those that it has."""
    from fittingroom.errors import DataError

    splits = options.open_data(
        args.data,
        cache=not args.no_cache,
        preprocessing=None if run is None else run.preprocessing,
        skip_broken=bool(args.skip_broken),
    )
    dataset: Dataset | None = getattr(splits, args.split) if args.split else splits.test or splits.train
    if dataset is None:
        raise DataError(f"{args.data}: a {args.split} set expected, it has none")
    return dataset


def _renew_the_report(run: Run) -> None:
    """Write page and card anew: what is new of the run's own test set belongs into them."""
    from fittingroom.report.model_card import write_model_card
    from fittingroom.report.page import write_report

    try:
        write_report(run, xkcd=run.environment.options.xkcd)
        write_model_card(run)
    except OSError as error:
        why = error.strerror or error
        tell(f"warning: {run.path}: report and model card are not written anew: {why}")


def _subsets(run: Run, dataset: Dataset | None, args: argparse.Namespace) -> Sequence[Subset]:
    """The subsets of what is judged. Where the run's training data can't be opened, those that do without."""
    from fittingroom.audit.label_issues import label_issues_of
    from fittingroom.audit.subsets import make_subsets
    from fittingroom.errors import DataError

    # The members of a run have their data in common: the first of them speaks for all.
    member = (run.members or [run])[0]
    judged = member.own_test_set() if dataset is None else dataset

    issues = label_issues_of(judged, args.suspects)
    if issues is None:
        tell(
            f"no label issues are known among the images of {judged.name}; "
            "fittingroom data check DATA --labels --suspects FILE looks for them"
        )
    try:
        train = member.open_data().train
    except DataError as error:
        tell(f"near-duplicates are not looked for: {error}")
        train = None
    return make_subsets(judged, train, issues)
