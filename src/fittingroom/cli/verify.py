"""``fittingroom verify``: is the model in a run's folder what the folder says that it is?"""

from __future__ import annotations

import argparse
from pathlib import Path

from fittingroom.cli import options
from fittingroom.cli.parser import Parser

WORDS = {
    "same": "the same bits",
    "within seeds": "other bits, within what seeds of this recipe vary",
    "outside": "not what its training gives",
    "can't be judged": "can't be judged",
}
FOREIGN = "other bits, outside of what seeds of this recipe vary"  # a model judged among others


def add_options(parser: Parser) -> None:
    """Add the options of ``verify``."""
    parser.description = (
        "Train a run again from its folder, and compare: losses of steps, states after epochs, weights. "
        "Other bits are judged on images, by what other seeds of the recipe give. Nothing is written into the folder. "
        "Exit code 0: the same bits, or within what seeds vary; 1: outside of it; 2: it can't be judged."
    )
    parser.epilog = "example: fittingroom verify runs/swift-1 --steps 20"
    parser.add_argument("folder", metavar="RUN", type=Path, help="the run's folder")
    parser.add_argument("data", metavar="DATA", nargs="?", help="where its data lies now; default: where it was")
    parser.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help="train only N steps, and compare their losses; default: all, and the weights",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=3,
        metavar="K",
        help="where bits differ, new seeds to judge by if the run has too few members; default: %(default)s",
    )
    options.add_device(parser, default="the run's")
    options.add_threads(parser, default="the run's")
    options.add_trust_code(parser, "permit executing the code that the run's own model came with")
    parser.add_argument("--quiet", action="store_true", help="print nothing but what came out")
    parser.add_argument("--json", action="store_true", help="what came out as JSON on stdout")
    parser.set_defaults(run=run_verify)


def run_verify(args: argparse.Namespace) -> int:
    """Verify, and print what was compared and what came of it."""
    from fittingroom.cli import console
    from fittingroom.rendering.progress import showing
    from fittingroom.verify_run import outcome_of, verify

    with showing(quiet=args.quiet) as observe:
        verified = verify(
            args.folder,
            data=args.data,
            steps=args.steps,
            seeds=args.seeds,
            trust_code=args.trust_code,
            device=args.device,
            threads=args.threads,
            observe=observe,
        )

    if args.json:
        console.print_json([each.as_dict() for each in verified])
        return outcome_of(verified)

    out = console.stdout()
    for each in verified:
        for sentence in each.sentences:
            out.print(sentence)
        part = (
            f", in its first {each.steps_compared:,} of {each.steps:,} steps"
            if each.steps_compared < each.steps
            else ""
        )
        words = FOREIGN if each.outcome == "outside" and each.among else WORDS[each.outcome]
        out.print(f"{each.run}: {words}{part}", style="bold")
    return outcome_of(verified)
