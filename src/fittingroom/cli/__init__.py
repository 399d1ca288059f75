"""The command ``fittingroom``: parsing, printing and exit codes; everything else is in the package.

To add a command: write ``cli/<name>.py`` with ``add_parser`` and a ``run_…`` function, and name it in ``make_parser``.
Nothing heavy is imported before a command runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
import warnings
from collections.abc import Sequence

from fittingroom.cli import bench, compare, data, evaluate, export, models, predict, report, runs, serve, train, tune
from fittingroom.cli.parser import Parser
from fittingroom.errors import FittingRoomError, Interrupted, PeerFailed
from fittingroom.version import __version__

DONE, OUR_FAULT, USERS_MISTAKE, INTERRUPTED = 0, 1, 2, 130
EXTRAS = {  # which extra of the package brings a module that may be missing
    "train": ("matplotlib", "onnx", "onnxscript", "scipy", "torch"),
    "labels": ("cleanlab",),
    "sklearn": ("sklearn",),
    "serve": ("httptools", "python_multipart", "starlette", "uvicorn", "uvloop"),
    "tensorboard": ("tensorboard",),
    "tune": ("optuna",),
    "mlflow": ("alembic", "mlflow", "sqlalchemy"),
}


def make_parser() -> Parser:
    """The whole command line. The reference in the docs is written from it."""
    parser = Parser(
        prog="fittingroom",
        description="Takes labelled small images to a trained, honestly judged, shippable classifier.",
        epilog="example: fittingroom train    (trains the recipe swift on Fashion-MNIST and judges it)",
    )
    parser.add_argument("--version", action="version", version=f"fittingroom {__version__}")
    commands = parser.add_commands()
    for module in (data, models, train, tune, runs, evaluate, compare, report, bench, predict, export, serve):
        module.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 2 the user's mistake, 1 our fault, 130 interrupted."""
    _spare_the_machine()
    args = make_parser().parse_args(argv)
    warnings.showwarning = lambda message, *_rest: _log(f"warning: {message}")
    try:
        return int(args.run(args))

    # A run that was asked to stop has saved its state, and how to go on is all that its user needs now.
    except Interrupted as stop:
        _log(f"{stop}; the state is saved. Go on with it by\n  {stop.resume_command}")
        return INTERRUPTED
    except KeyboardInterrupt:
        _log("interrupted")
        return INTERRUPTED

    # Whoever reads our output has enough of it, as `head` has: no error. The exit's own flush is to be quiet too.
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE

    # The process that failed first says why.
    except PeerFailed:
        return OUR_FAULT
    except FittingRoomError as error:
        _log(f"fittingroom: {error}")
        return USERS_MISTAKE

    # A module that no extra brings, and an error of the system without a file, are our faults: they show where.
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        extra = next((name for name, modules in EXTRAS.items() if missing in modules), None)
        if extra is None:
            raise
        _log(f"fittingroom: this needs {missing}, which is not installed: pip install 'fittingroom[{extra}]'")
        return USERS_MISTAKE
    except OSError as error:
        if error.filename is None:
            raise
        _log(f"fittingroom: {error.filename}: {error.strerror}")
        return USERS_MISTAKE


def _spare_the_machine() -> None:
    """Set what has to be set before PyTorch is loaded, for its neighbours on this machine and for its own start."""
    # PyTorch's threads wait for each other by spinning, for so long that another program on the same cores makes a
    # training seven times slower. With fewer turns it is not slower on idle cores (benchmarks/log.md).
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

    # PyTorch makes 170,000 objects that live to the end: searching them for garbage again and again while it is
    # loaded, and once more at the exit, takes half a second.
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
