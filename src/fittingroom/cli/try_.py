"""``fittingroom try``: does an idea help? Pairs of trainings until one can tell."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fittingroom.cli import options
from fittingroom.cli.parser import Parser
from fittingroom.cli.signals import observing
from fittingroom.rendering.terminal import say

if TYPE_CHECKING:
    from fittingroom.events import Hooks
    from fittingroom.ideas import Tried
    from fittingroom.recipes.recipe import Recipe

FOR_A_NEW_STUDY = (  # what --resume takes from the study
    *("data", "set", "variant", "recipe", "model", "epochs", "lr", "batch_size", "size", "grey", "baseline"),
    *("effect", "test", "seed", "out", "group", "device", "threads", "no_cache"),
)
UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def add_options(parser: Parser) -> None:
    """Add the options of ``try``."""
    parser.description = (
        "Does an idea help? Baseline and idea are trained with the same seeds, pair after pair, and judged on "
        "validation images until each idea is better, worse, smaller than the effect, or can't be told. Of studies "
        "whose ideas make no difference, at most 5% are to claim that one does."
    )
    parser.epilog = "example: fittingroom try --set mirror=random --set label_smoothing=0 --budget 10m"
    parser.add_argument(
        "data", nargs="?", metavar="DATA", help=f"a known name or a path; default: {options.DEFAULT_DATA}"
    )
    parser.add_argument(
        "--resume", metavar="STUDY", type=Path, help="go on with a study that was stopped, or spent its budget"
    )

    what = parser.add_argument_group("what to try")
    what.add_argument(
        "--set",
        action="append",
        metavar="KEY=VALUE",
        help="an idea: a key of the recipe; each --set is an idea of its own",
    )
    what.add_argument(
        "--variant",
        action="append",
        metavar="FILE",
        type=Path,
        help="an idea of several keys: TOML with those that it changes, or a whole recipe",
    )

    against = parser.add_argument_group("against what")
    options.add_recipe(against, what="recipe that is the baseline", set_by="--baseline")

    how = parser.add_argument_group("how to judge")
    how.add_argument(
        "--effect", type=float, metavar="POINTS", help="smallest difference of interest, in points; default: 0.5"
    )
    how.add_argument(
        "--budget",
        type=_seconds,
        metavar="TIME",
        help="training time, as 90s, 10m or 2h, after which none is begun; default: no limit",
    )
    how.add_argument(
        "--test",
        action="store_true",
        default=None,
        help="at the end, compare baseline and the best idea on test, once, with fresh seeds",
    )
    how.add_argument("--seed", type=int, metavar="S", help="first seed; default: the recipe's")
    how.add_argument("--out", metavar="DIR", type=Path, help="the study's folder; default: the next runs/RECIPE-try-N")
    options.add_group(how)
    options.add_device(how)
    options.add_threads(how, of=" of each training")
    options.add_no_cache(how)
    options.add_trust_code(how, "with --resume: execute a network's own source")
    how.add_argument("--csv", metavar="FILE", nargs="?", const="-", help="a line an idea as CSV; default: on stdout")
    how.add_argument("--latex", metavar="FILE", nargs="?", const="-", help="as a table of LaTeX; default: on stdout")
    how.add_argument("--quiet", action="store_true", help="print nothing but the result")
    how.add_argument("--json", action="store_true", help="the content of the study's result.json on stdout")
    parser.set_defaults(run=run_try)


def run_try(args: argparse.Namespace) -> int:
    """Try or go on, and report what came out."""
    from fittingroom.cli import console
    from fittingroom.cli.runs import write_table
    from fittingroom.ideas.table import as_csv, as_latex

    _refuse_conflicting_options(args)
    with observing(quiet=args.quiet) as hooks:
        tried = _resume(args, hooks) if args.resume else _begin(args, hooks)

    if args.csv:
        write_table(args.csv, as_csv(tried.result), "--csv")
    if args.latex:
        write_table(args.latex, as_latex(tried.result), "--latex")
    if args.json:
        console.print_json(tried.result)
    elif not (args.csv == "-" or args.latex == "-"):
        _print(tried)
    return 0


def _refuse_conflicting_options(args: argparse.Namespace) -> None:
    from fittingroom.errors import UsageError

    if args.resume and (given := options.given(args, FOR_A_NEW_STUDY)):
        raise UsageError(f"--resume takes all from the study; {options.spelled(given)} can't be given with it")
    if not args.resume and not (args.set or args.variant):
        raise UsageError(
            "--set KEY=VALUE or --variant FILE expected, which says what to try; see fittingroom try --help"
        )
    if args.effect is not None and not 0 < args.effect < 100:
        raise UsageError(f"--effect: points above 0 and below 100 expected, {args.effect:g} found")


def _resume(args: argparse.Namespace, hooks: Hooks) -> Tried:
    from fittingroom.ideas import resume_ideas

    return resume_ideas(
        args.resume,
        budget=args.budget,
        trust_code=args.trust_code,
        observe=hooks.observe,
        should_stop=hooks.should_stop,
    )


def _begin(args: argparse.Namespace, hooks: Hooks) -> Tried:
    from fittingroom.events import RecipeSettled
    from fittingroom.ideas import EFFECT, try_ideas
    from fittingroom.runs.environment_record import Options
    from fittingroom.runs.preprocessing import preprocessing_of

    # What changes single keys of the baseline has another name here, where --set is an idea.
    of_baseline = argparse.Namespace(**vars(args) | {"set": args.baseline})
    recipe = options.recipe_of(of_baseline)
    data = options.open_data(
        args.data, cache=not args.no_cache, preprocessing=preprocessing_of(recipe), group=args.group
    )
    options.warn_of_faults(data)
    if options.names_no_recipe(of_baseline):
        recipe, why = options.recipe_for(of_baseline, data)
        hooks.observe(RecipeSettled(sentence=why))

    variants = {file.stem: _variant(file, recipe) for file in args.variant or []}
    return try_ideas(
        data,
        {text: text for text in args.set or []} | variants,
        recipe,
        effect=EFFECT if args.effect is None else args.effect / 100,
        budget=args.budget,
        test=bool(args.test),
        out=args.out,
        options=Options(
            device=args.device or "auto", threads=args.threads, cache=not args.no_cache, keep=1, group=args.group
        ),
        observe=hooks.observe,
        should_stop=hooks.should_stop,
    )


def _variant(file: Path, baseline: Recipe) -> Recipe:
    """The baseline with the keys that a file of TOML sets."""
    from fittingroom.errors import UsageError
    from fittingroom.files.regular_file import read_regular_text
    from fittingroom.recipes.reading import recipe_from_dict
    from fittingroom.recipes.toml_text import MAX_BYTES, parse_toml

    try:
        raw = parse_toml(read_regular_text(file, MAX_BYTES))
    except (OSError, ValueError) as error:
        raise UsageError(f"--variant {file}: TOML with the keys that the idea changes expected: {error}") from None
    return recipe_from_dict(baseline.as_dict() | raw, where=str(file))


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if match is None or not float(match[1]):
        raise argparse.ArgumentTypeError(f"a time such as 90s, 10m or 2h expected, {text} found")
    return float(match[1]) * UNITS[match[2]]


def _print(tried: Tried) -> None:
    """What is known of each idea, what was seen on test, and where all of it lies."""
    from fittingroom.cli import console
    from fittingroom.ideas.table import cells

    out, result = console.stdout(), tried.result
    out.print()
    for row in cells(result) if result["n"] else ():
        out.print(row["idea"], style="bold", markup=False)
        for line in _lines(row):
            out.print(f"  {line}", markup=False)
    for name, text in _below(result, tried.path):
        say(f"{name:<12}{text}")


def _lines(row: Mapping[str, str]) -> Iterator[str]:
    if row["sd"]:
        yield f"validation accuracy {row['mean']} (sd {row['sd']}, n = {row['pairs']} seeds)"
    if row["difference"]:
        yield f"{row['difference']} points, {row['interval']} ({row['confidence']}), p {row['p']}"
    if row["verdict"]:
        yield row["verdict"]


def _below(result: Mapping[str, Any], path: Path) -> Iterator[tuple[str, str]]:
    """A name, and what it says, in the order of reading."""
    from shlex import quote

    from fittingroom.evaluation.intervals import SMALL_SET
    from fittingroom.ideas.decide import LOOKS
    from fittingroom.ideas.page import CAVEAT_OF_FOLDS, headline, judged_on
    from fittingroom.ideas.table import points

    yield "verdict", headline(result)
    if any(idea["reason"] == "within the budget" for idea in result["ideas"]):
        few = "" if result["n"] else f"fewer than {LOOKS[0]} pairs were trained; "
        yield "budget", f"{few}fittingroom try --resume {quote(str(path))} with a larger --budget goes on"
    if result["n"]:
        yield "images", judged_on(result)
    if result["n"] and result["folds"]:
        yield "", CAVEAT_OF_FOLDS
    untold = [idea for idea in result["ideas"] if idea["verdict"] == "cannot tell"]
    if seen := [idea["visible_at_best"] for idea in untold if idea["visible_at_best"] is not None]:
        yield "", f"No number of seeds shows less than {100 * max(seen):.2f} points on them (power 80%)."
    elif any(idea["reason"] for idea in untold) and 0 < (result["n"] or 0) < SMALL_SET:
        yield "", "They are too few to say what it would take."

    if test := result["test"]:
        low, high = test["interval"]
        figures = f"{points(test['difference'])} points, 95% {points(low)} to {points(high)}"
        yield "test", f"{test['winner']}: {figures}: {test['verdict']}"
        yield "", f"with {test['seeds'][1]} fresh seeds each, once, on {test['n']:,} images"
        for warning in test["warnings"]:
            yield "", f"warning: {warning}"
    else:
        yield "test", "no model was judged on it"
    yield "study", f"{path}/   (baseline, idea-1 …: runs like any other)"
    yield "report", f"{path}/report.html"
