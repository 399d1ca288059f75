"""``fittingroom serve``: runs over HTTP, for programs and for people."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from fittingroom.cli import options
from fittingroom.cli.parser import Parser


def add_options(parser: Parser) -> None:
    """Add the options of ``serve``."""
    parser.description = (
        "Serve runs: a page at /, the Open Inference Protocol at /v2, pictures at /predict, docs at /docs."
    )
    parser.epilog = "example: fittingroom serve runs/swift-1 runs/tutorial-1"
    parser.add_argument("folders", metavar="RUN", nargs="+", type=Path, help="folders of runs")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen at; default: 127.0.0.1, this machine only",
    )
    parser.add_argument(
        "--port", type=int, default=8000, metavar="N", help="port to listen at, 0 for any that is free; default: 8000"
    )

    # A key on the command line is seen by every user of the machine, so the environment has one too.
    parser.add_argument(
        "--api-key",
        metavar="KEY",
        default=os.environ.get("FITTINGROOM_API_KEY"),
        help="what clients have to say; better in $FITTINGROOM_API_KEY, which other users of the machine don't see",
    )

    # Without it a browser refuses the answer to pages of other sites.
    parser.add_argument(
        "--allow-origin", action="append", default=[], metavar="URL", help="let pages of this site call the API (CORS)"
    )
    options.add_trust_code(parser, "execute the models' own sources that the runs keep")
    parser.set_defaults(run=run_serve)


def run_serve(args: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    from fittingroom.serve.guard import Limits
    from fittingroom.serve.server import open_models, serve

    models = open_models(args.folders, trust_code=args.trust_code)
    limits, origins = Limits(api_key=args.api_key), tuple(args.allow_origin)
    serve(models, host=args.host, port=args.port, limits=limits, allow_origins=origins)
    return 0
