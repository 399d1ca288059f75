"""``fittingroom watch``: a page on a training that is going on."""

from __future__ import annotations

import argparse
from pathlib import Path

from fittingroom.cli.parser import Parser


def add_options(parser: Parser) -> None:
    """Add the options of ``watch``."""
    parser.description = (
        "Show a run in a browser of this machine while it is trained: curves, a few validation images, the confusion "
        "matrix, speed and time left; its report once it is done. The run is only read. The images are there where it "
        "is trained with --watch."
    )
    parser.epilog = "example: fittingroom watch runs/swift-1"
    parser.add_argument("folder", metavar="RUN", type=Path, help="the run's folder")
    parser.add_argument(
        "--port",
        type=int,
        default=0,
        metavar="N",
        help="port of 127.0.0.1 to listen at; default: 0, any that is free",
    )
    parser.set_defaults(run=run_watch)


def run_watch(args: argparse.Namespace) -> int:
    """Show the run until Ctrl-C."""
    from fittingroom.watch.server import watch

    watch(args.folder, port=args.port)
    return 0
