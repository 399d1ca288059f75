"""The command ``fittingroom``: parsing, printing and exit codes; everything else is in the package.

To add a command: write ``cli/<name>.py`` with ``add_options`` and a ``run_…`` function, and its line in ``COMMANDS``.
Only the module of the command that is asked for is imported, and nothing heavy before it runs, so that ``--help`` and
small answers come at once.
"""

from __future__ import annotations

import argparse
import atexit
import errno
import gc
import os
import re
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module

from fittingroom.cli.parser import Parser
from fittingroom.cli.streams import finish_stdout, prepare_streams, silence_stdout
from fittingroom.errors import (
    MORE_FILES,
    MORE_THREADS,
    NO_RESOURCES,
    OUT_OF_MEMORY,
    OUT_OF_THREADS,
    STORAGE_FULL,
    FittingRoomError,
    Interrupted,
    PeerFailed,
    missing_package,
)
from fittingroom.rendering.terminal import tell
from fittingroom.version import __version__

DONE, OUR_FAULT, USERS_MISTAKE, INTERRUPTED = 0, 1, 2, 130
COMMANDS = {  # in the order of use, as the help has them; the module of the same name has its options and what it does
    "data": "fetch, look at, check, split, and convert data sets",
    "train": "train a model and judge it on the test set, once",
    "watch": "show a training in the browser while it goes on",
    "evaluate": "judge a run on its test set or on other labelled data",
    "report": "write a run's report.html anew, and its model card",
    "predict": "say what is in a picture, a folder of them or a data set",
    "export": "write a run's model as ONNX, as a torch.export program, or as a page that answers",
    "serve": "answer over HTTP: a page to try a model on, and an API",
    "runs": "list the runs, best first",
    "compare": "say whether one run is better than another, or that one can't tell",
    "try": "find out whether an idea helps, by pairs of trainings judged on validation images",
    "tune": "search for a better recipe, on validation images",
    "verify": "train a run again from its folder, and say whether the same comes out",
    "recipes": "list the recipes, or print one",
    "models": "list the models, or take one apart",
    "bench": "measure this machine beside the tutorial notebook's loop",
}
MODULES = {"try": "try_"}  # a keyword of Python is no name of a module
OUTPUTS = ("csv", "html", "latex", "log", "out", "parquet", "sheet")  # options that name a file to be written
TAKES_ANY_NAME = ("data", "models", "recipes", "runs", "predict")  # which write down none of their arguments
NO_DIRECTORY = "the current directory is gone: somebody removed it; go to another one"
LOAD_TORCH = ("train", "evaluate", "export", "try", "tune", "verify", "bench")
ROOM_OF_TORCH = 1_000 << 20  # bytes of address space that its libraries take, and those that it comes with
TAKES_LESS = {"batch_size": "--batch-size N", "threads": "--threads 1", "size": "--size N"}  # where a command has it


def make_parser(asked: str | None = None) -> Parser:
    """The command line. The reference in the docs is written from it.

    Args:
        asked: the one command that gets its options; the others are only listed. None: all get theirs.
    """
    parser = Parser(
        prog="fittingroom",
        description="Takes labelled small images to a trained, honestly judged, shippable classifier.",
        epilog="example: fittingroom train    (trains the recipe swift on Fashion-MNIST and judges it)",
    )
    parser.add_argument("--version", action="version", version=f"fittingroom {__version__}")
    commands = parser.add_commands()
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary)
        if asked in (None, name):
            import_module(f"fittingroom.cli.{MODULES.get(name, name)}").add_options(command)
    return parser


def _tell_warning(message: str) -> None:
    from fittingroom.cli.flags import with_flags

    tell(f"warning: {with_flags(message)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 2 the user's mistake, 1 our fault, 130 interrupted."""
    _spare_the_machine()
    prepare_streams()
    words = sys.argv[1:] if argv is None else list(argv)
    args = make_parser(next((word for word in words if word in COMMANDS), "")).parse_args(words)
    warnings.showwarning = lambda message, *_rest: _tell_warning(str(message))
    try:
        _refuse_undecodable(words)
        _refuse_bad_places(args)
        if words and words[0] in LOAD_TORCH:
            _refuse_tiny_address_space()
            _refuse_no_directory()
        code = int(args.run(args))
        finish_stdout()
        return code

    # A run that was asked to stop has saved its state, and how to go on is all that its user needs now.
    except Interrupted as stop:
        tell(f"{stop}; the state is saved. Go on with it by\n  {stop.resume_command}")
        return INTERRUPTED
    except KeyboardInterrupt as stop:
        tell(str(stop) or "interrupted")
        return INTERRUPTED

    # Whoever reads our output has enough of it, as `head` has: no error. The exit's own flush is to be quiet too.
    except BrokenPipeError:
        silence_stdout()
        return DONE

    # The process that failed first says why.
    except PeerFailed:
        return OUR_FAULT
    except FittingRoomError as error:
        from fittingroom.cli.flags import with_flags

        tell(f"fittingroom: {with_flags(str(error))}")
        return USERS_MISTAKE

    # That there is no memory left PyTorch says by a bare RuntimeError, a library that finds no room by an ImportError,
    # Polars without its own by a NameError. An error of the system without a file is our fault: it shows where.
    except (MemoryError, RuntimeError, ImportError, NameError, OSError) as error:
        if isinstance(error, OSError):
            message = _failed_system_call(error)
        else:
            message = _link_in_a_circle(error) or _missing_resource(error, args)
        if message is None:
            raise
        tell(f"fittingroom: {message}")
        return USERS_MISTAKE


def _link_in_a_circle(error: Exception) -> str | None:
    """What ``Path.resolve`` says of one, up to Python 3.12, by a bare RuntimeError; None where it is something else."""
    found = re.fullmatch("Symlink loop from '(.*)'", str(error))
    return found and f"{found[1]}: a file or a folder expected, a link in a circle found: remove it"


def _missing_resource(error: Exception, args: argparse.Namespace) -> str | None:
    """What the user can mend by a package, threads or memory; None where the error is our fault."""
    if isinstance(error, ModuleNotFoundError):
        missing = missing_package(error)
        return None if missing is None else str(missing)
    if any(known in str(error) for known in OUT_OF_THREADS):
        return f"no more threads can be started: {MORE_THREADS}"
    if not isinstance(error, MemoryError) and not any(known in str(error) for known in OUT_OF_MEMORY):
        return None
    said = f" ({str(error).splitlines()[0]})" if str(error) else ""
    less = [option for name, option in TAKES_LESS.items() if hasattr(args, name)]
    advice = f", or less to do at once: {', '.join(less)}" if less else ""
    return f"there is not enough memory for this{said}: give it more{advice}"


def _failed_system_call(error: OSError) -> str | None:
    """What the user can mend by a file, room on the disk or a limit; None where the error is our fault."""
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if error.errno in STORAGE_FULL:
        silence_stdout()  # it may be what is full
        return f"a file or stdout could not be written: {error.strerror}; make room for it"
    if error.errno in NO_RESOURCES:
        return f"{error.strerror}: {MORE_THREADS if error.errno == errno.EAGAIN else MORE_FILES}"
    if isinstance(error, FileNotFoundError) and _is_directory_gone():
        return NO_DIRECTORY
    return None


def _refuse_no_directory() -> None:
    """Refuse to load PyTorch in a directory that is gone: one of its libraries ends the process there."""
    if _is_directory_gone():
        raise FittingRoomError(NO_DIRECTORY)


def _is_directory_gone() -> bool:
    from pathlib import Path

    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _refuse_bad_places(args: argparse.Namespace) -> None:
    given = [name for name in OUTPUTS if getattr(args, name, None)]
    if given:
        from fittingroom.cli.output_places import refuse_bad_places

        refuse_bad_places(args, given)


def _refuse_undecodable(words: Sequence[str]) -> None:
    """Refuse names that aren't UTF-8 before any work, in the commands that write them down."""
    if words and words[0] in TAKES_ANY_NAME:
        return
    from fittingroom.files.names import refuse_undecodable

    for word in words:
        refuse_undecodable(word)


def _refuse_tiny_address_space() -> None:
    """Refuse to load PyTorch where its library finds no room: the loader would end the process without a message."""
    if sys.platform == "win32":
        return
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < ROOM_OF_TORCH:
        raise FittingRoomError(
            f"there is not enough memory for this: {ROOM_OF_TORCH >> 20:,} MB of address space expected, which PyTorch "
            f"takes by itself, {limit >> 20:,} MB found; raise that limit (ulimit -v)"
        )


def _spare_the_machine() -> None:
    """Set what has to be set before PyTorch is loaded, for its neighbours on this machine and for its own start."""
    # PyTorch's threads wait for each other by spinning, for so long that another program on the same cores makes a
    # training seven times slower. With fewer turns it is not slower on idle cores (benchmarks/log.md).
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

    # PyTorch makes 170,000 objects that live to the end: searching them for garbage again and again while it is
    # loaded, and once more at the exit, takes half a second.
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)

    # A part of NumPy that SciPy loads takes it for a number, and would fail amid a report.
    try:
        int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    except ValueError:
        del os.environ["SOURCE_DATE_EPOCH"]
