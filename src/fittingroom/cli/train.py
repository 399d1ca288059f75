"""``fittingroom train``: the main job, from a data set to a judged model."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fittingroom.cli import options
from fittingroom.cli.parser import Parser, add_old_spelling
from fittingroom.cli.signals import observing
from fittingroom.rendering.terminal import say, tell, terminal_width

if TYPE_CHECKING:
    from fittingroom.data.splits import Splits
    from fittingroom.parallel.process_group import ProcessGroup
    from fittingroom.parallel.ray_engine import RayEngine
    from fittingroom.recipes.recipe import Recipe
    from fittingroom.runs.run import Run

FOR_A_NEW_RUN = (  # what --resume takes from the run
    *("data", "test", "recipe", "model", "epochs", "lr", "batch_size", "size", "grey", "set", "seed"),
    *("seeds", "out", "device", "threads", "keep", "deterministic", "no_cache", "xkcd", "track", "or_sample"),
    *("skip_broken", "group", "without", "labels", "from_run", "weights", "folds"),
)


def add_options(parser: Parser) -> None:
    """Add the options of ``train``."""
    parser.description = "Train a model, judge it on the test set once, and write the run's folder."
    parser.epilog = (
        "examples: fittingroom train photos/ --epochs 20 · fittingroom train --resume runs/swift-1 · "
        "torchrun --nproc-per-node 2 -m fittingroom train"
    )
    _add_data_and_run(parser)
    _add_what_to_train(parser.add_argument_group("what to train"))
    _add_how_to_run(parser.add_argument_group("how to run it"))
    parser.set_defaults(run=run_train)


def _add_data_and_run(parser: Parser) -> None:
    """Data for a new run, or the run to resume."""
    parser.add_argument(
        "data",
        nargs="?",
        metavar="DATA",
        help=f"a known name or a path, see `fittingroom data info --help`; default: {options.DEFAULT_DATA}",
    )
    parser.add_argument("--test", metavar="PATH", help="a test set that lies elsewhere, such as Kaggle's second file")

    # An existing run: --resume and --add-seeds write into it, --from only reads it.
    parser.add_argument("--resume", metavar="RUN", type=Path, help="go on with a run that was stopped")
    parser.add_argument(
        "--from",
        dest="from_run",
        metavar="RUN",
        type=Path,
        help="train the model of a finished run further, in a new run: its weights, network and preprocessing; by "
        "default by its recipe and on its data",
    )
    parser.add_argument(
        "--add-seeds",
        metavar=("N", "RUN"),
        nargs=2,
        help="train N more seeds of a finished run of several, with its recipe, data and options",
    )


def _add_what_to_train(what: options.Options) -> None:
    """What the result depends on."""
    options.add_recipe(what, what="how to train")
    what.add_argument(
        "--weights",
        metavar="FILE|none",
        help="start from the weights of a file, in safetensors; none: from new ones. A network timm:NAME starts from "
        "timm's own, which are fetched at their first use",
    )

    seeds = what.add_mutually_exclusive_group()
    seeds.add_argument(
        "--seed", type=int, metavar="S", help="seed of initialisation, order and augmentation; default: 0"
    )
    seeds.add_argument(
        "--seeds", type=int, metavar="N", help="train N times; report mean, sd and the interval of the recipe"
    )

    what.add_argument(
        "--folds",
        type=int,
        metavar="K",
        help="for few images: judge each by a model that learned from the other K - 1 of K parts, and ship a model "
        "that learned from all; K + 1 trainings",
    )


def _add_how_to_run(how: options.Options) -> None:
    """Where it is computed, what is kept and what is shown."""
    # Without a default, so that what was given can be told from what was not: --resume takes all this from the run.
    how.add_argument("--out", metavar="DIR", type=Path, help="the run's folder; default: the next runs/RECIPE-NUMBER")
    how.add_argument("--no-test", action="store_true", help="do not evaluate on the test set")
    how.add_argument("--or-sample", action="store_true", default=None, help="without the full data, use the sample")

    options.add_device(how)
    options.add_threads(how)
    how.add_argument("--keep", type=int, metavar="N", help="number of checkpoints that stay on disk; default: 2")
    how.add_argument("--deterministic", action="store_true", default=None, help="the same result each time on CUDA too")

    options.add_no_cache(how)
    options.add_skip_broken(how)
    options.add_group(how)
    options.add_edits(how)

    how.add_argument("--xkcd", action="store_true", default=None, help="draw the loss curve in the notebook's style")
    how.add_argument(
        "--track", action="append", choices=("tensorboard", "mlflow"), help="log to this tracker too; may be repeated"
    )
    options.add_engine(how, what="train the seeds side by side, a thread each,")
    options.add_trust_code(how, "with --resume, --add-seeds or --from: execute the model that the run keeps")

    # `tune --timeout` is the time that a search may take, so this one has another name since 0.2.
    timeout = how.add_argument(
        "--peer-timeout",
        type=_seconds,
        metavar="SECONDS",
        help="under torchrun: give up when another process does not answer for so long; default: 600",
    )
    add_old_spelling(how, "--timeout", timeout)
    how.add_argument(
        "--watch",
        action="store_true",
        help="show the training in a browser of this machine, at the address that is printed; the result is the same",
    )
    how.add_argument("--quiet", action="store_true", help="print nothing but the result")
    how.add_argument("--json", action="store_true", help="the content of result.json on stdout")


def run_train(args: argparse.Namespace) -> int:
    """Train or resume, judge, and report what came out. Of the processes that torchrun started, one reports."""
    from fittingroom.parallel.process_group import TIMEOUT, process_group

    # Every process sees by itself that the options are wrong, before it waits for the others.
    _refuse_conflicting_options(args)
    engine = options.engine_of(args)

    train = _resume if args.resume or args.add_seeds else _begin
    with process_group(args.peer_timeout or TIMEOUT) as group:
        if group.is_main:
            _report(train(args, engine, group), args)
            return 0
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
            train(args, engine, group)
    return 0


def _refuse_conflicting_options(args: argparse.Namespace) -> None:
    from fittingroom.errors import UsageError
    from fittingroom.parallel.process_group import processes

    if args.watch:
        from fittingroom.watch.beside_training import refuse_unwatchable

        refuse_unwatchable()

    # A resumed run takes all of its options from its record.
    if args.resume and args.add_seeds:
        raise UsageError("--resume goes on with a run, --add-seeds adds to a finished one: give one of the two")
    if args.add_seeds and not args.add_seeds[0].isdecimal():
        raise UsageError(f"--add-seeds {' '.join(args.add_seeds)}: a number and a run expected, such as 3 runs/swift-1")
    goes_on = "--resume" if args.resume else "--add-seeds" if args.add_seeds else ""
    if goes_on and (given := options.given(args, FOR_A_NEW_RUN)):
        raise UsageError(
            f"{goes_on} takes recipe, data and options from the run; {options.spelled(given)} can't be given with it. "
            "For another training start a new run"
        )

    if args.from_run and args.weights:
        raise UsageError("--from takes the weights of the run, --weights others: give one of the two")
    if args.from_run and args.model:
        raise UsageError("--from takes the network of the run, --model names another: give one of the two")
    if args.engine and not goes_on and args.seeds is None:
        raise UsageError("--engine ray trains several seeds side by side; give --seeds N, or leave it out")
    if processes() > 1 and options.names_one_gpu(args.device):
        raise UsageError(f"--device {args.device}: under torchrun each process takes a GPU of its own: --device cuda")


def _resume(args: argparse.Namespace, engine: RayEngine | None, group: ProcessGroup) -> Run:
    from fittingroom.pipeline import add_seeds, resume

    count, path = args.add_seeds or (0, args.resume)
    go_on = partial(add_seeds, path, int(count)) if args.add_seeds else partial(resume, path)
    with observing(quiet=args.quiet) as hooks:
        return go_on(
            trust_code=args.trust_code,
            look_at_test=False if args.no_test else None,
            engine=engine,
            observe=hooks.observe,
            should_stop=hooks.should_stop,
            group=group,
            watch=args.watch,
        )


def _begin(args: argparse.Namespace, engine: RayEngine | None, group: ProcessGroup) -> Run:
    from fittingroom.cli import console
    from fittingroom.events import RecipeSettled
    from fittingroom.runs.preprocessing import preprocessing_of

    origin = None
    if args.from_run is not None:
        from fittingroom.runs.origin import open_origin

        origin = open_origin(args.from_run, trust_code=args.trust_code)
        if args.data is None:
            _take_data_of(origin.run, args)
    recipe = options.recipe_of(args, origin)
    if origin is None and (args.weights or recipe.model.startswith("timm:")):
        recipe = _with_weights(recipe, args.weights, group)

    # The others of this host wait, and then find in the cache what the first one fetched and read.
    with group.local_main_first():
        splits = options.open_data(
            args.data,
            test=args.test,
            cache=not args.no_cache,
            or_sample=bool(args.or_sample),
            preprocessing=preprocessing_of(recipe),
            skip_broken=bool(args.skip_broken),
            group=args.group,
        )
    with console.working("checking the data"):
        _say_what_is_edited(splits, args)

    # PyTorch is loaded only now: a mistake in recipe or data is answered at once.
    with console.working("loading PyTorch"):
        from fittingroom.pipeline import train
    from fittingroom.runs.environment_record import Options

    names = options.given(args, ("device", "threads", "keep", "deterministic", "xkcd", "test", "skip_broken", "group"))
    names += options.given(args, ("without", "labels"))
    given = {name: getattr(args, name) for name in names}
    with observing(quiet=args.quiet) as hooks:
        if options.names_no_recipe(args):
            recipe, why = options.recipe_for(args, splits)
            hooks.observe(RecipeSettled(sentence=why))
        return train(
            splits,
            recipe,
            seeds=args.seeds,
            from_run=None if origin is None else origin.run,
            weights=args.weights,
            trust_code=args.trust_code,
            out=args.out,
            options=Options(cache=not args.no_cache, track=tuple(args.track or ()), **given),
            folds=args.folds,
            look_at_test=not args.no_test,
            engine=engine,
            observe=hooks.observe,
            should_stop=hooks.should_stop,
            group=group,
            watch=args.watch,
        )


def _with_weights(recipe: Recipe, weights: str | None, group: ProcessGroup) -> Recipe:
    """Fetch the weights that a training starts from, with a bar; the recipe with what they decide of the images."""
    from fittingroom.cli import console
    from fittingroom.runs.origin import open_weights

    with group.local_main_first(), console.fetching() as progress:
        origin = open_weights(recipe, weights, progress)
    return recipe if origin is None else origin.recipe_for(recipe)


def _take_data_of(run: Run, args: argparse.Namespace) -> None:
    """Read the data of a run that is gone on from where no other is given, as it was read for that run."""
    from fittingroom.errors import UsageError
    from fittingroom.runs.run_data import from_its_directory

    environment = run.environment
    source, of_run = environment.data.source, environment.options
    if not source:
        raise UsageError(f"--from {run.path}: its data was given in memory; name the DATA to train on")
    args.data = from_its_directory(source, environment)
    if args.test is None and of_run.test:
        args.test = from_its_directory(of_run.test, environment)
    args.group = args.group or of_run.group
    args.skip_broken = args.skip_broken or of_run.skip_broken or None
    for edit in ("without", "labels"):  # the lists, as they are now
        if getattr(args, edit) is None and (file := getattr(of_run, edit)):
            setattr(args, edit, from_its_directory(file, environment))


def _say_what_is_edited(splits: Splits, args: argparse.Namespace) -> None:
    """Say what a person's lists change in the data, and what is wrong with what is left."""
    from fittingroom.data.edits import edited

    splits, _, notes = edited(splits, without=args.without, labels=args.labels)
    for note in notes:
        tell(note)
    options.warn_of_faults(splits)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < 1e6:
        raise ValueError
    return seconds


def _report(run: Run, args: argparse.Namespace) -> None:
    """The dozen lines at the end: what came out, how sure, where it lies, what to do next."""
    from shlex import quote

    from fittingroom.cli import console
    from fittingroom.cli.train_summary import as_far_as_possible, summary

    if args.json:
        console.print_json(run.result)
        return

    print()
    for name, text in as_far_as_possible(summary(run), run, is_new=not args.resume):
        say(f"{name:<12}{text}")
    if args.quiet:
        return

    # Pictures are classified by one model: of several seeds the first stands for all.
    model = quote(str((run.members or [run])[0].path))
    commands = {
        f"fittingroom predict {model} FILES": "what is in other pictures",
        f"fittingroom evaluate {quote(str(run.path))} DATA": "judge it on other data",
        f"fittingroom serve {model}": "a page to try it on, and an API",
        "fittingroom runs": "all runs, by data and validation",
    }
    print("\nnext")
    width, longest = terminal_width(sys.stdout), max(map(len, commands))
    fits = width is None or 2 + longest + 3 + max(map(len, commands.values())) <= width
    for command, what in commands.items():
        print(f"  {command:<{longest}}   {what}" if fits else f"  {command}\n      {what}")  # to be copied whole
