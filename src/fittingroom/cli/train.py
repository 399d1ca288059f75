"""``fittingroom train``: the main job, from a data set to a judged model."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from fittingroom.cli import options
from fittingroom.cli.parser import Commands

if TYPE_CHECKING:
    from fittingroom.parallel.process_group import ProcessGroup
    from fittingroom.runs.run import Run

MAIN_FILES = ("model.safetensors", "model.onnx", "result.json", "predictions.parquet")  # that a user looks for first
FOR_A_NEW_RUN = (  # what --resume takes from the run
    *("data", "test", "recipe", "model", "epochs", "lr", "set", "seed", "seeds", "out"),
    *("device", "threads", "keep", "deterministic", "no_cache", "xkcd", "track", "or_sample"),
)


def add_parser(commands: Commands) -> None:
    """Add ``train``."""
    parser = commands.add_parser(
        "train",
        help="train a model and judge it on the test set, once",
        description="Train a model, judge it on the test set once, and write the run's folder.",
        epilog="examples: fittingroom train photos/ --epochs 20 · fittingroom train --resume runs/swift-1 · "
        "torchrun --nproc-per-node 2 -m fittingroom train",
    )
    parser.add_argument(
        "data",
        nargs="?",
        metavar="DATA",
        help=f"a known name or a path, see `fittingroom data info --help`; default: {options.DEFAULT_DATA}",
    )
    parser.add_argument("--test", metavar="PATH", help="a test set that lies elsewhere, such as Kaggle's second file")
    parser.add_argument("--resume", metavar="RUN", type=Path, help="go on with a run that was stopped, exactly")

    what = parser.add_argument_group("what to train")
    options.add_recipe(what, what="how to train")
    seeds = what.add_mutually_exclusive_group()
    seeds.add_argument("--seed", type=int, metavar="S", help="of initialisation, order and augmentation; default: 0")
    seeds.add_argument("--seeds", type=int, metavar="N", help="train N times and report mean, sd and interval")

    how = parser.add_argument_group("how to run it")
    how.add_argument("--out", metavar="DIR", type=Path, help="the run's folder; default: the next runs/RECIPE-NUMBER")
    how.add_argument("--no-test", action="store_true", help="do not look at the test set")
    how.add_argument("--or-sample", action="store_true", default=None, help="without the full data, use the sample")
    options.add_device(how)
    options.add_threads(how)
    how.add_argument("--keep", type=int, metavar="N", help="checkpoints that stay on disk; default: 2")
    how.add_argument("--deterministic", action="store_true", default=None, help="the same result each time on CUDA too")
    options.add_no_cache(how)
    how.add_argument("--xkcd", action="store_true", default=None, help="draw the loss curve in the notebook's style")
    how.add_argument(
        "--track", action="append", choices=("tensorboard", "mlflow"), help="tell this tracker too; may be repeated"
    )
    options.add_engine(how, what="train the seeds side by side, a thread each,")
    options.add_trust_code(how, "with --resume: execute the model that the run keeps")
    how.add_argument(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        help="under torchrun: give up when another process does not answer for so long; default: 600",
    )
    how.add_argument("--quiet", action="store_true", help="print nothing but the result")
    how.add_argument("--json", action="store_true", help="the content of result.json on stdout")
    parser.set_defaults(run=run_train)


def run_train(args: argparse.Namespace) -> int:
    """Train or resume, judge, and say what came out. Of the processes that torchrun started, one speaks."""
    from fittingroom.parallel.process_group import TIMEOUT, process_group

    with process_group(args.timeout or TIMEOUT) as group:
        if group.is_main:
            _report(_train(args, group), args)
            return 0
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
            _train(args, group)
    return 0


def _train(args: argparse.Namespace, group: ProcessGroup) -> Run:
    from fittingroom.errors import UsageError

    engine = options.engine_of(args)
    if args.resume:
        _refuse_options_of_a_new_run(args)
        from fittingroom.pipeline import resume

        with options.observing(quiet=args.quiet) as (observe, should_stop):
            return resume(
                args.resume,
                trust_code=args.trust_code,
                look_at_test=False if args.no_test else None,
                engine=engine,
                observe=observe,
                should_stop=should_stop,
                group=group,
            )
    else:
        if engine is not None and args.seeds is None:
            raise UsageError("--engine ray trains several seeds side by side; give --seeds N, or leave it out")
        recipe = options.recipe_of(args)
        with group.local_main_first():
            splits = options.open_data(
                args.data, test=args.test, cache=not args.no_cache, or_sample=bool(args.or_sample)
            )
        options.warn_of_faults(splits)

        from fittingroom.pipeline import train
        from fittingroom.runs.environment_record import Options

        names = options.given(args, ("device", "threads", "keep", "deterministic", "xkcd", "test"))
        given = {name: getattr(args, name) for name in names}
        with options.observing(quiet=args.quiet) as (observe, should_stop):
            return train(
                splits,
                recipe,
                seeds=args.seeds,
                out=args.out,
                options=Options(cache=not args.no_cache, track=tuple(args.track or ()), **given),
                look_at_test=not args.no_test,
                engine=engine,
                observe=observe,
                should_stop=should_stop,
                group=group,
            )


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < 1e6:
        raise ValueError
    return seconds


def _refuse_options_of_a_new_run(args: argparse.Namespace) -> None:
    from fittingroom.errors import UsageError

    if given := options.given(args, FOR_A_NEW_RUN):
        raise UsageError(
            f"--resume takes recipe, data and options from the run; {options.spelled(given)} can't be given with it. "
            "For another training start a new run"
        )


def _report(run: Run, args: argparse.Namespace) -> None:
    """The dozen lines at the end: what came out, how sure, where it lies, what to do next."""
    from fittingroom.cli import console

    result = run.result
    if args.json:
        console.print_json(result)
        return
    print()
    for name, text in _findings(run, result):
        print(f"{name:<12}{text}")
    if args.quiet:
        return
    one = quote(str((run.members or [run])[0].path))
    commands = {f"fittingroom predict {one} FILES": "what is in other pictures"}
    commands |= {f"fittingroom evaluate {quote(str(run.path))} DATA": "judge it on other data"}
    commands |= {f"fittingroom serve {one}": "a page to try it on, and an API"}
    commands |= {"fittingroom runs": "all runs, best first"}
    print("\nnext")
    for command, what in commands.items():
        print(f"  {command:<{max(map(len, commands))}}   {what}")


def _findings(run: Run, result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    environment = run.environment
    data = environment.data
    sizes = [f"{part.n:,} {split}" for split, part in data.parts.items()]
    yield "data", f"{data.source or data.train.name}: {', '.join(sizes)}"
    machine = environment.machine
    threads = machine.threads
    yield "machine", f"{machine.processor}, {threads} thread{'s' * (threads != 1)}, {environment.precision}"
    if "members" in result:
        yield from _findings_of_members(result)
    else:
        yield from _findings_of_one(run, result)
    yield from _diagnosis(run)
    yield "time", f"{result['train_seconds']:.1f} s training; {result['parameters']:,} parameters"
    files = [f"{member.path.name}/" for member in run.members[:2]]
    files += [name for name in MAIN_FILES if (run.path / name).exists()]
    yield "run", f"{run.path}/   ({', '.join(files)}, …)"
    yield "report", f"{run.path}/report.html"


def _findings_of_one(run: Run, result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for split in ("test", "validation"):
        if scores := result[split]:
            low, high = scores["interval"]
            yield (
                split,
                f"{scores['accuracy']:.2%} of {scores['n']:,} right; 95 % interval {low:.2%} to {high:.2%}; "
                f"loss {scores['loss']:.4f}",
            )
    if scores := result["test"]:
        weakest = min((row for row in scores["per_class"] if row["n"]), key=lambda row: row["recall"])
        i = [row["class"] for row in scores["per_class"]].index(weakest["class"])
        mistaken = [0 if j == i else count for j, count in enumerate(scores["confusion"][i])]
        other = scores["per_class"][mistaken.index(max(mistaken))]["class"]
        most = f"; {max(mistaken)} taken for {other}" if max(mistaken) else ""
        yield "weakest", f"{weakest['class']}: {weakest['recall']:.1%} found{most}"
        from fittingroom.runs.run import runs_folder
        from fittingroom.runs.test_ledger import LEDGER, read_looks

        folder = runs_folder(run.path)
        fingerprint = result["test_looks"][0]["fingerprint"]
        looks = len(read_looks(folder, fingerprint))
        yield "looks", f"{looks} at this test set so far, by all runs here ({LEDGER} keeps count)"
    elif run.environment.data.test is None:
        yield "test", "not judged: the data has no test set; give one by --test PATH or fittingroom evaluate RUN DATA"
    elif (test := run.open_data().test) is not None and test.labels is None:
        yield "test", "not judged: it has no labels"
    else:
        yield "test", f"not looked at; fittingroom evaluate {quote(str(run.path))} does"


def _diagnosis(run: Run) -> Iterator[tuple[str, str]]:
    """A line a verdict; of several seeds, how many have it, and the words on the first of them."""
    from fittingroom.report.run_summary import diagnose_members

    seeds = len(run.members)
    for name, found in diagnose_members(run).items():
        first_seed, verdict = found[0]
        who = f" ({len(found)} of {seeds} seeds; the words are of seed {first_seed})" if seeds else ""
        yield "diagnosis", f"{name}{who}: {verdict.sentence} {verdict.suggestion}"


def _findings_of_members(result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    on, members = result["on"], result["members"]
    yield "seeds", ", ".join(f"{member['seed']}" for member in members)
    if on:
        low, high = result["interval_of_mean"]
        accuracies = ", ".join(f"{member[on]['accuracy']:.2%}" for member in members)
        yield (
            on,
            f"mean {result['mean']:.2%}, sd {100 * result['sd']:.2f} points; 95 % of the mean {low:.2%} to {high:.2%}",
        )
        yield "", f"each: {accuracies}"
