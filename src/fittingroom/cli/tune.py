"""``fittingroom tune``: search for the best values of some keys of a recipe."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fittingroom.cli import options
from fittingroom.cli.parser import HelpAsWritten, Parser
from fittingroom.cli.signals import observing
from fittingroom.rendering.terminal import say, tell

if TYPE_CHECKING:
    from fittingroom.events import Hooks
    from fittingroom.parallel.ray_engine import RayEngine
    from fittingroom.tune import Study

FOR_A_NEW_STUDY = (  # what --resume takes from the study
    *("data", "space", "recipe", "model", "epochs", "lr", "batch_size", "size", "grey", "set", "seed"),
    *("out", "objective", "pruner", "device", "threads", "no_cache"),
)
EACH_CLASS_THE_SAME = "--objective balanced_accuracy or macro_f1 counts each class the same"
EXAMPLE = """example, with this in space.toml:
  lr = { low = 0.02, high = 0.5, log = true }
  shift = { low = 0, high = 2 }
  mirror = ["none", "random", "alternating"]

  fittingroom tune --recipe swift --space space.toml --trials 40"""


def add_options(parser: Parser) -> None:
    """Add the options of ``tune``."""
    parser.description = (
        "Search over keys of a recipe with Optuna: chosen on validation images, no model is judged on the "
        "test set. The best recipe is trained again with seeds that no trial had, and written as best.toml."
    )
    parser.epilog = EXAMPLE
    parser.formatter_class = HelpAsWritten
    parser.add_argument(
        "data", nargs="?", metavar="DATA", help=f"a known name or a path; default: {options.DEFAULT_DATA}"
    )
    parser.add_argument("--space", metavar="FILE", type=Path, help="what to search, in TOML")
    parser.add_argument(
        "--resume", metavar="STUDY", type=Path, help="go on with a study, extend it, or help another process with it"
    )

    what = parser.add_argument_group("what to search")
    options.add_recipe(what, what="recipe to start from")
    what.add_argument(
        "--objective",
        choices=("accuracy", "loss", "balanced_accuracy", "macro_f1"),
        help="what to search for, on the validation images; default: the recipe's judge, accuracy",
    )
    what.add_argument(
        "--pruner",
        choices=("median", "hyperband", "none"),
        help="what ends a trial early that does badly; default: median",
    )

    # Without a default, so that what was given can be told from what was not: --resume takes it from the study.
    how = parser.add_argument_group("how to search")
    how.add_argument("--trials", type=int, metavar="N", help="number of trials of the whole study; default: 30")
    how.add_argument("--timeout", type=float, metavar="SECONDS", help="begin no trial after so long")
    how.add_argument(
        "--seed", type=int, metavar="S", help="seed of the search and of every trial; default: the recipe's"
    )
    how.add_argument(
        "--final-seeds",
        type=int,
        metavar="N",
        default=3,
        help="number of fresh seeds for the best recipe; 0 for none; default: 3",
    )
    how.add_argument(
        "--storage", metavar="URL", help="database of Optuna; default: an SQLite file in the study's folder"
    )
    how.add_argument("--out", metavar="DIR", type=Path, help="the study's folder; default: the next runs/RECIPE-tune-N")
    options.add_engine(how, what="run the trials side by side, a thread each,")
    options.add_device(how)
    options.add_threads(how, of=" of each trial")
    options.add_no_cache(how)
    options.add_trust_code(how, "with --resume: execute a network's own source")
    how.add_argument("--quiet", action="store_true", help="print nothing but the result")
    how.add_argument("--json", action="store_true", help="the content of the study's result.json on stdout")
    parser.set_defaults(run=run_tune)


def run_tune(args: argparse.Namespace) -> int:
    """Search or go on, and report what came out."""
    from fittingroom.cli import console

    _refuse_conflicting_options(args)
    engine = options.engine_of(args)
    with observing(quiet=args.quiet) as hooks:
        study = _resume(args, engine, hooks) if args.resume else _begin(args, engine, hooks)

    # Other processes may still be at it: the last one to end trains the best recipe, and has the result.
    running, concluded = study.running_elsewhere(), study.is_concluded_elsewhere()
    if args.json:
        console.print_json({"running": max(running, int(concluded))} if running or concluded else study.result)
        return 0
    if concluded:
        say("\ntrials      all ended; another process trains the best recipe with fresh seeds")
        return 0

    print()
    for name, text in _summary(study, running):
        say(f"{name:<12}{text}")
    return 0


def _refuse_conflicting_options(args: argparse.Namespace) -> None:
    from fittingroom.errors import UsageError

    if args.trials is not None and args.trials < 1:
        raise UsageError(f"--trials: at least 1 expected, {args.trials} found")
    if args.resume and (given := options.given(args, FOR_A_NEW_STUDY)):
        raise UsageError(
            f"--resume takes recipe, space and data from the study; {options.spelled(given)} can't be given with it"
        )
    if not args.resume and args.space is None:
        raise UsageError("--space FILE expected, which says what to search; fittingroom tune --help shows one")


def _resume(args: argparse.Namespace, engine: RayEngine | None, hooks: Hooks) -> Study:
    from fittingroom.tune import resume_study

    return resume_study(
        args.resume,
        trials=args.trials,
        seconds=args.timeout,
        final_seeds=args.final_seeds,
        storage=args.storage,
        trust_code=args.trust_code,
        engine=engine,
        observe=hooks.observe,
        should_stop=hooks.should_stop,
    )


def _begin(args: argparse.Namespace, engine: RayEngine | None, hooks: Hooks) -> Study:
    from dataclasses import replace

    from fittingroom.errors import UsageError
    from fittingroom.events import RecipeSettled
    from fittingroom.runs.preprocessing import preprocessing_of

    recipe = options.recipe_of(args)
    if recipe.validation == 0:
        raise UsageError("tune chooses by validation images, and the recipe holds none out; say --set validation=2000")

    # What is chosen by a search must never have been near the test set: it isn't even handed on.
    data = options.open_data(args.data, cache=not args.no_cache, preprocessing=preprocessing_of(recipe))
    splits = replace(data, test=None)
    options.warn_of_faults(splits)

    if options.names_no_recipe(args):
        recipe, why = options.recipe_for(args, splits)
        hooks.observe(RecipeSettled(sentence=why))

    from fittingroom.evaluation.class_metrics import is_lopsided
    from fittingroom.runs.environment_record import Options
    from fittingroom.tune import Plan, tune_recipe

    # It is said before hours are spent, too.
    given = {name: getattr(args, name) for name in options.given(args, ("objective", "pruner", "trials"))}
    plan = Plan(**{"seed": recipe.seed, "objective": recipe.judge} | given)
    labels = splits.train.labels
    if plan.objective == "accuracy" and labels is not None and is_lopsided(labels):
        tell(f"The search goes by accuracy, which goes by the large classes; {EACH_CLASS_THE_SAME}")
    return tune_recipe(
        splits,
        recipe,
        args.space,
        plan=plan,
        seconds=args.timeout,
        final_seeds=args.final_seeds,
        out=args.out,
        options=Options(device=args.device or "auto", threads=args.threads, cache=not args.no_cache, keep=1),
        storage=args.storage,
        engine=engine,
        observe=hooks.observe,
        should_stop=hooks.should_stop,
    )


def _summary(study: Study, running: int) -> Iterator[tuple[str, str]]:
    """The lines of the report: a name and what it says, in the order of reading."""
    from fittingroom.rendering.share import share_text
    from fittingroom.report.diagnosis.facts import FEW_VALIDATED
    from fittingroom.tune.conclusion import rank_in_words
    from fittingroom.tune.page import value_text

    if running:
        yield "trials", f"{running} still run in other processes; the one that ends last trains the best recipe"
        return

    result, objective = study.result, study.objective
    score = f"validation {objective.word}"
    best, fresh = result["best"], result["final"]
    counts = ", ".join(f"{count} {state}" for state, count in result["trials"].items())
    yield "trials", f"{sum(result['trials'].values())}: {counts}"

    # The best of many is too good by luck: it is shown between the baseline and what fresh seeds make of it.
    if result["as_it_is"] is not None and best["trial"] != 0:
        yield "baseline", f"{score} {objective.text(result['as_it_is'])}: {study.recipe.name}, trial 0"
    which = (
        "trial 0, the baseline" if best["trial"] == 0 and result["as_it_is"] is not None else f"trial {best['trial']}"
    )
    yield "search", f"{score} {objective.text(best['value'])}: {which}, {rank_in_words(best)}, and so optimistic"
    yield "", ", ".join(f"{path} = {value_text(value)}" for path, value in best["values"].items())
    if largest := result.get("largest_class"):
        always = f"always answering {largest['name']} has an accuracy of {share_text(largest['share'])}"
        yield "", f"{always}, as accuracy goes by the large classes;"
        yield "", EACH_CLASS_THE_SAME
    if result["n"] < FEW_VALIDATED:
        yield "", f"{result['n']:,} validation image{'s' * (result['n'] != 1)} can hardly tell one recipe from another"
    if fresh:
        seeds = len(fresh["seeds"])
        yield "final", f"{score} {objective.text_of_mean(fresh)}: the best recipe with {seeds} fresh seeds"
        yield "", f"judged on the {result['n']:,} images that chose it, so still a little optimistic"

    # Nobody has to type the values that were found, nor is test to be opened by hand.
    yield "test", "no model was judged on it; the recipe is by"
    yield "", f"  {study.train_command(best['values'])} --seeds 5"
    yield "study", f"{study.path}/   (study.json, best.toml, result.json, trial-0000 …)"
    yield "report", f"{study.path}/report.html"
