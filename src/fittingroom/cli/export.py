"""``fittingroom export``: a run's model as a file that other programs run."""

from __future__ import annotations

import argparse
from pathlib import Path

from fittingroom.cli import options
from fittingroom.cli.parser import Parser

SUFFIXES = {"onnx": ".onnx", "torch-export": ".pt2", "page": ".html"}


def add_options(parser: Parser) -> None:
    """Add the options of ``export``."""
    parser.description = (
        "Write a run's model with the preprocessing inside: pixels go in, probabilities come out. Before a "
        "file is written it has to agree with the network on all validation images and 5,000 of train. A page is "
        "one small file in which the model is tried, in any browser, without a network."
    )
    parser.epilog = (
        "examples: fittingroom export runs/swift-1 · fittingroom export runs/swift-1 --quantize int8 · "
        "fittingroom export runs/swift-1 --format page"
    )
    parser.add_argument("folder", metavar="RUN", type=Path, help="the run's folder")

    # Not by argparse's choices: safetensors, which 0.1 wrote, gets an answer of its own.
    parser.add_argument("--format", default="onnx", metavar="FORMAT", help=f"{_either()}; default: onnx")
    parser.add_argument("--quantize", choices=("int8",), help="whole numbers inside, if that costs < 0.2 points")
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        help="the file to write; default: model.onnx and the like in the run's folder",
    )
    parser.add_argument("--force", action="store_true", help="write over FILE")
    options.add_trust_code(parser, "execute the model's own source that the run keeps")
    parser.set_defaults(run=run_export)


def run_export(args: argparse.Namespace) -> int:
    """Export, and report what was written and how it was checked."""
    from fittingroom.cli import console
    from fittingroom.runs.run import open_run

    _refuse_conflicting_options(args)
    run = open_run(args.folder)
    artifact = run.artifact
    suffix = ".int8.onnx" if args.quantize else SUFFIXES[args.format]
    path = args.out or run.path / f"model{suffix}"
    if args.format == "page":
        from fittingroom.report.model_page import write_model_page

        write_model_page(run, path)
        print(f"{path}: {path.stat().st_size:,} bytes; it opens in any browser and loads nothing")
        return 0

    # PyTorch is loaded only now: a run that can't be opened is answered at once.
    from fittingroom.artifact.export import export_onnx, export_torch
    from fittingroom.artifact.feature_space import FIT_IMAGES
    from fittingroom.files.one_state import in_one_state
    from fittingroom.runs.cut import bundles_of
    from fittingroom.runs.out_of_fold import read_out_of_fold
    from fittingroom.runs.recorded import refuse_other_data
    from fittingroom.training.hold_out import hold_out

    with in_one_state(run.path):  # temperature and weights go together
        artifact = run.artifact
        network = artifact.network(trust_code=args.trust_code)

    # The parity gate and the out-of-distribution score are measured on the run's own images, so others won't do.
    splits = run.open_data()
    refuse_other_data(run.path, splits, run.environment)
    train, validation = hold_out(splits, run.recipe, bundles_of(run.environment, splits))

    out_of_fold = read_out_of_fold(run, run.environment, splits)
    held_out = None if out_of_fold is None else out_of_fold.said

    checked = f"agrees with the network on {min(len(train), FIT_IMAGES) + len(validation or ()):,} images"
    with console.working("exporting, and comparing with the network"):
        if args.quantize:
            from fittingroom.artifact.quantize import quantize_int8

            whole = export_onnx(artifact, network, train, validation, held_out=held_out)
            checked = str(quantize_int8(whole, train, validation, path))
        elif args.format == "onnx":
            export_onnx(artifact, network, train, validation, path=path, held_out=held_out)
        else:
            export_torch(artifact, network, train, validation, path, held_out=held_out)
    print(f"{path}: {path.stat().st_size:,} bytes; {checked}")
    return 0


def _refuse_conflicting_options(args: argparse.Namespace) -> None:
    from fittingroom.errors import UsageError

    # 0.1 could write the weights a second time: whoever asks for them is shown where they are.
    if args.format == "safetensors":
        raise UsageError(
            f"--format safetensors: the run has its weights as {args.folder / 'model.safetensors'} already"
        )
    if args.format not in SUFFIXES:
        raise UsageError(f"--format: {_either()} expected, {args.format} found")
    if args.quantize and args.format != "onnx":
        raise UsageError(f"--quantize {args.quantize}: --format onnx expected, {args.format} found")

    # By its suffix a file is opened: in another format's, it would be taken for a damaged one.
    suffix = SUFFIXES[args.format]
    if args.out and args.out.suffix != suffix and args.out.suffix in SUFFIXES.values():
        raise UsageError(f"--out {args.out}: a name in {suffix} expected, as --format is {args.format}")
    if args.out and args.out.exists() and not args.force:
        raise UsageError(f"{args.out}: a new file expected, it is there already; --force writes over it")


def _either() -> str:
    *others, last = SUFFIXES
    return f"{', '.join(others)} or {last}"
