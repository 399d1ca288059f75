"""The options that several commands share, each once, with what reads them.

Nothing heavy is imported before an option is read, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from fittingroom.rendering.terminal import tell

if TYPE_CHECKING:
    from fittingroom.data.preprocessing import Preprocessing
    from fittingroom.data.splits import Splits
    from fittingroom.parallel.ray_engine import RayEngine
    from fittingroom.recipes.recipe import Recipe
    from fittingroom.runs.origin import Origin

DEFAULT_DATA = "fashion-mnist"
SHARE = re.compile(r"\d+(\.\d+)?%|0?\.\d+")

Options = argparse.ArgumentParser | argparse._ArgumentGroup


def add_recipe(options: Options, *, what: str, set_by: str = "--set") -> None:
    """Add the options that :func:`recipe_of` reads, without the seed.

    Args:
        options: a parser or a group of its options.
        what: what the recipe is there for, in the help.
        set_by: the option for its single keys.
    """
    from fittingroom.recipes.default_names import FOR_A_MODEL, FOR_ALL_OTHERS, FOR_LARGE_SETS, FOR_WEIGHTS

    # No defaults here: where an option isn't given, the recipe's own value holds.
    options.add_argument(
        "--recipe",
        metavar="NAME|FILE",
        help=f"{what}, see `fittingroom recipes`; default: {FOR_LARGE_SETS} for 20,000 grey images of 28×28 pixels or "
        f"more, else {FOR_ALL_OTHERS}",
    )
    options.add_argument(
        "--model",
        metavar="NAME|FILE.py:CLASS|timm:NAME",
        help="another model; your own, also as package.module:CLASS, is executed. Alone, it is trained by the recipe "
        f"{FOR_A_MODEL}, with pretrained weights, as timm's networks have them, by {FOR_WEIGHTS}",
    )
    options.add_argument(
        "--epochs", type=int, metavar="N", help="epochs in all: stages are cut short, or the last is lengthened"
    )
    options.add_argument(
        "--lr", type=float, metavar="X", help="peak learning rate of the first stage; the others keep their ratio"
    )
    options.add_argument(
        "--batch-size",
        type=_batch_size,
        metavar="N|auto",
        help="number of images a step; auto: a twentieth of them, 8–256; default: the recipe's",
    )
    add_pictures(options)
    help_of_keys = "any key of the recipe: stages.0.lr=0.02"
    options.add_argument(set_by, action="append", metavar="KEY=VALUE", help=help_of_keys)


def add_pictures(options: Options) -> None:
    """Add ``--size`` and ``--grey``, which :func:`recipe_of` and :func:`preprocessing_of` read."""
    options.add_argument(
        "--size",
        type=_size,
        metavar="N|HxW",
        help="bring all images to this many pixels a side, 1–256; default: the size that all have, if it is at most "
        "256, else 64",
    )
    options.add_argument("--grey", action="store_true", default=None, help="make colour images grey")


def add_skip_broken(options: Options) -> None:
    """Add ``--skip-broken``: None where it isn't given, so that a resumed run can refuse it."""
    options.add_argument(
        "--skip-broken", action="store_true", default=None, help="leave out pictures that can't be read, and name them"
    )


def add_group(options: Options) -> None:
    """Add ``--group``, which :func:`open_data` is given."""
    options.add_argument(
        "--group",
        metavar="PATTERN|COLUMN",
        help="what shows that images belong together: a column of the table, or a regular expression whose one group "
        "is searched in each file's path; default: the column group of a table that has one",
    )


def add_edits(options: Options) -> None:
    """Add ``--without`` and ``--labels``, which a resumed run can't be given."""
    options.add_argument(
        "--without",
        metavar="FILE",
        help="leave out the training images that it names: the CSV of `data check --labels --csv`, or a file or a row "
        "on each line",
    )
    options.add_argument(
        "--labels",
        metavar="FILE",
        help="train on the labels that you filled in: a CSV with a column corrected, or of classes as `predict --csv` "
        "prints it; empty cells change nothing",
    )


def _size(text: str) -> tuple[int, int]:
    from fittingroom.recipes.picture_keys import LARGEST_SIDE

    match = re.fullmatch(r"(\d{1,9})(?:[x×](\d{1,9}))?", text, re.ASCII)
    sides = () if match is None else (int(match[1]), int(match[2] or match[1]))
    if not sides or not all(1 <= side <= LARGEST_SIDE for side in sides):
        raise argparse.ArgumentTypeError(
            f"a side in pixels, or height and width such as 64x48, each 1–{LARGEST_SIDE}, expected, {text} found"
        )
    return sides


def _batch_size(text: str) -> int | str:
    try:
        return text if text == "auto" else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"auto or a whole number expected, {text} found") from None


def add_device(options: Options, *, what: str = "where to compute", default: str = "auto") -> None:
    """Add ``--device``; None where it isn't given. Whether it is there is known only to PyTorch, which checks it."""
    options.add_argument(
        "--device",
        type=_device,
        metavar="DEVICE",
        help=f"{what}: auto, cpu, cuda, one GPU of several as cuda:1, or mps; default: {default}",
    )


def names_one_gpu(device: str | None) -> bool:
    """Whether it is one GPU of several, such as ``cuda:1``."""
    return device is not None and device.startswith("cuda:")


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"auto, cpu, cuda, cuda:1 or mps expected, {text} found")
    return text


def add_threads(options: Options, *, of: str = "", default: str = "the cores that it may use") -> None:
    """Add ``--threads``; ``of`` says whose threads they are, where it isn't the command's own."""
    options.add_argument("--threads", type=int, metavar="N", help=f"number of CPU threads{of}; default: {default}")


def add_no_cache(options: Options) -> None:
    """Add ``--no-cache``: None where it isn't given, so that a resumed run can refuse it."""
    options.add_argument("--no-cache", action="store_true", default=None, help="read the data anew and keep no copy")


def add_trust_code(options: Options, what: str) -> None:
    """Add ``--trust-code``; ``what`` says in the help what is executed."""
    options.add_argument("--trust-code", action="store_true", help=what)


def add_engine(options: Options, *, what: str) -> None:
    """Add ``--engine`` and ``--ray-address``; ``what`` says in the help what is done side by side."""
    options.add_argument("--engine", choices=("ray",), help=f"{what} on Ray; the result is that of as many threads")
    options.add_argument(
        "--ray-address", metavar="HOST:PORT", help="address of a running cluster; default: a Ray of this machine's own"
    )


def engine_of(args: argparse.Namespace) -> RayEngine | None:
    """Where several jobs are carried out; None for one after another in this process."""
    from fittingroom.errors import UsageError, how_to_install

    if args.engine is None:
        if args.ray_address is not None:
            raise UsageError("--ray-address says where Ray is; give --engine ray with it")
        return None

    from importlib.util import find_spec

    from fittingroom.parallel.process_group import processes
    from fittingroom.parallel.ray_engine import RayEngine

    # Said here, before data are read for minutes; and only here is it known which option mends it.
    if processes() > 1:
        raise UsageError("--engine ray starts its own processes; start it without torchrun, or leave it out")
    if names_one_gpu(getattr(args, "device", None)):
        raise UsageError(f"--device {args.device}: on Ray each job is given a GPU of its own: --device cuda")
    if find_spec("ray") is None:
        raise UsageError(f"--engine ray: Ray is not installed; {how_to_install('ray')}, or leave it out")
    return RayEngine(args.ray_address)


def names_no_recipe(args: argparse.Namespace) -> bool:
    """Whether the data is to choose the recipe: neither one nor a model nor what it is to start from is named."""
    is_free = args.recipe is None and args.model is None and getattr(args, "from_run", None) is None
    return is_free and not _starts_from_weights(args)


def recipe_for(args: argparse.Namespace, splits: Splits) -> tuple[Recipe, str]:
    """The recipe for open data for which the options name none, with what they change in it; and why it is that."""
    from fittingroom.runs.create import recipe_for

    chosen = recipe_for(splits)
    return recipe_of(args, name=chosen.recipe.name), chosen.why


def recipe_of(args: argparse.Namespace, origin: Origin | None = None, *, name: str | None = None) -> Recipe:
    """The recipe that the options name, with what they change in it; for a run to go on from, by default that run's.

    Args:
        args: the options.
        origin: the run to go on from.
        name: of the recipe where they name none; how it has pictures read is the same for all that data chooses among.
    """
    from dataclasses import replace

    from fittingroom.recipes.changes import with_epochs, with_lr
    from fittingroom.recipes.default_names import FOR_A_MODEL, FOR_WEIGHTS
    from fittingroom.recipes.reading import load_recipe

    name = args.recipe or name or (FOR_WEIGHTS if _starts_from_weights(args) else FOR_A_MODEL)

    # An option of its own comes after --set and wins over it.
    overrides = [*(args.set or [])]
    if args.model:
        overrides.append(f"model={args.model!r}")
    if args.batch_size is not None:
        overrides.append(f"batch_size={args.batch_size}")
    if args.size is not None:
        overrides.append(f"size={list(args.size)}")
    if args.grey:
        overrides.append("channels=1")
    if origin is not None:
        name = args.recipe or str(origin.run.path / "recipe.toml")
        overrides.append(f"model={origin.artifact.model!r}")
        if args.recipe is None and args.trust_code:  # its recipe, with the code that it keeps
            overrides = [f"{kind}={name}" for kind, name in origin.kept_names()] + overrides
    recipe = load_recipe(name, overrides=overrides)
    if origin is not None:
        recipe = origin.recipe_for(recipe)

    # Epochs and rate are shared out among the stages, which no single key of the recipe does.
    if args.epochs is not None:
        recipe = with_epochs(recipe, args.epochs)
    if args.lr is not None:
        recipe = with_lr(recipe, args.lr)
    return recipe if args.seed is None else replace(recipe, seed=args.seed)


def _starts_from_weights(args: argparse.Namespace) -> bool:
    """Whether a training starts from the weights of a file, or from those that timm has for its network."""
    weights = getattr(args, "weights", None)
    return weights != "none" if weights else (args.model or "").startswith("timm:")


def preprocessing_of(args: argparse.Namespace) -> Preprocessing:
    """What ``--size`` and ``--grey`` ask of pictures, for a command without a recipe."""
    from fittingroom.data.preprocessing import Preprocessing

    return Preprocessing(size=args.size, channels=1 if args.grey else None)


def open_data(
    name: str | None,
    *,
    test: str | None = None,
    cache: bool = True,
    or_sample: bool = False,
    preprocessing: Preprocessing | None = None,
    skip_broken: bool = False,
    group: str | None = None,
) -> Splits:
    """Open a data set, fetched if need be, with its progress, and what its user should know of it, on stderr.

    Args:
        name: a known name or a path; None for Fashion-MNIST.
        test: path of a test set that lies elsewhere.
        cache: whether what is read is kept, and what was kept is used.
        or_sample: take the sample where no source has the data, and say so in letters that can't be overlooked.
        preprocessing: what to make of each picture; what it leaves open, the data decides.
        skip_broken: leave out pictures that can't be read.
        group: a column or a pattern that says which images belong together; None: the column ``group``.

    Raises:
        UsageError: a share of the images in the place of a test set.
        DataError: as :func:`~fittingroom.data.open.open_dataset`.
    """
    from dataclasses import replace

    from fittingroom.cli import console
    from fittingroom.cli.flags import with_flags
    from fittingroom.data.fetch.known_sets import KNOWN, NoSourceError
    from fittingroom.data.open import open_dataset
    from fittingroom.errors import UsageError

    if test is not None and SHARE.fullmatch(test) and not Path(test).exists():
        raise UsageError(
            f"--test {test}: a test set expected, a share found; fittingroom data split DATA --test 20% --out split "
            "sets test images apart"
        )

    name = DEFAULT_DATA if name is None else name
    try:
        with console.fetching() as progress, console.working("" if name in KNOWN else "reading the data") as decoding:
            splits = open_dataset(
                name,
                test=test,
                cache=cache,
                progress=progress,
                preprocessing=preprocessing,
                skip_broken=skip_broken,
                group=group,
                decoding=decoding,
            )
    except NoSourceError as error:
        if not or_sample:
            raise

        # Framed, as what is printed below it looks like the result of a real training.
        frame = "!" * 78
        tell(
            f"{frame}\nTHE FULL DATA COULD NOT BE HAD; GOING ON WITH THE SAMPLE OF 3,000 IMAGES.\n"
            f"What follows says little about {name}.\n\n{error}\n{frame}"
        )
        splits = open_dataset("sample", cache=cache, preprocessing=preprocessing)

    splits = replace(splits, notes=tuple(map(with_flags, splits.notes)))
    for note in splits.notes:
        tell(note)
    return splits


def warn_of_faults(splits: Splits) -> None:
    """The fast part of ``data check``: what is wrong with the data is said before anything is learned from it."""
    from fittingroom.audit import fast_findings

    faults = [finding for finding in fast_findings(splits) if finding.severity != "note"]
    for fault in faults:
        tell(f"{fault.severity} in the data, {fault.where}: {fault.name}: {fault.message}")
    if faults:
        tell("Training goes on. More of each, and what to do: fittingroom data check")


def given(args: argparse.Namespace, names: Iterable[str]) -> list[str]:
    """The names of those options that were given: those whose value isn't None."""
    return [name for name in names if getattr(args, name) is not None]


def spelled(names: Iterable[str]) -> str:
    """Options as they are typed: ``DATA, --ray-address``."""
    return ", ".join("DATA" if name == "data" else "--" + name.replace("_", "-") for name in names)
