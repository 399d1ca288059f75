"""``fittingroom serve``: runs over HTTP, for programs and for people."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from fittingroom.cli import options
from fittingroom.cli.parser import Parser
from fittingroom.errors import UsageError
from fittingroom.rendering.terminal import tell

if TYPE_CHECKING:
    from fittingroom.compare.answers import Split
    from fittingroom.runs.run import Run

LONGEST_KEY = 1_000  # bytes


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

    parser.add_argument(
        "--name",
        action="append",
        metavar="NAME",
        help="name of the model in addresses, once for each run; default: its folder's name",
    )

    # A key on the command line would be seen by every user of the machine.
    keys = parser.add_mutually_exclusive_group()
    keys.add_argument(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help="file whose first line clients have to say; default: what $FITTINGROOM_API_KEY holds, if anything",
    )
    keys.add_argument("--no-key", action="store_true", help="let everybody in who reaches an address beyond 127.0.0.1")
    keys.add_argument("--api-key", metavar="KEY", help=argparse.SUPPRESS)
    parser.add_argument(
        "--metrics-without-key",
        action="store_true",
        help="answer /metrics, which names the models, without the key; health is always answered",
    )
    parser.add_argument(
        "--log",
        choices=("text", "json", "off"),
        default="text",
        help="a line on stderr for each request and failure; off: failures of the server alone; default: text",
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

    limits = Limits(api_key=_key(args), open_metrics=args.metrics_without_key)
    models = open_models(args.folders, names=args.name, trust_code=args.trust_code)
    serve(
        models,
        host=args.host,
        port=args.port,
        limits=limits,
        allow_origins=tuple(args.allow_origin),
        no_key=args.no_key,
        log=args.log,
        compare=compare_in_page,
    )
    return 0


def compare_in_page(baseline: Run, other: Run, split: Split) -> str:
    """The page that compares two of the runs; what it takes is loaded when somebody asks for it."""
    from fittingroom.compare import compare_runs
    from fittingroom.compare.page import page_of

    return page_of(compare_runs([baseline, other], on=split))


def _key(args: argparse.Namespace) -> str | None:
    """The key that clients have to say, None for none: the file's before the environment's."""
    if args.api_key is not None:
        tell(
            "fittingroom: --api-key shows the key to every user of this machine: use $FITTINGROOM_API_KEY or "
            "--api-key-file FILE; this spelling goes in the next release"
        )
        return str(args.api_key)
    if args.api_key_file is not None:
        return _first_line(args.api_key_file)
    key = os.environ.get("FITTINGROOM_API_KEY")
    if args.no_key and key is not None:
        raise UsageError("--no-key, yet $FITTINGROOM_API_KEY holds a key; unset the one or leave out the other")
    return key


def _first_line(file: Path) -> str:
    """A file's only line; the pipe of a password manager will do. Raises UsageError for any other content."""
    with file.open("rb") as opened:
        content = opened.read(LONGEST_KEY + 1)
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError:
        lines = []
    if len(content) > LONGEST_KEY or len(lines) != 1 or not lines[0].strip():
        raise UsageError(f"{file}: one line with the key expected, other content found")
    return lines[0].strip()
