"""User errors: one message that says where, expected, found, and what to do.

The command prints the message without a traceback and exits with 2. Anything else that escapes is our fault (exit 1).
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

NO_ROOM = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
STORAGE_FULL = NO_ROOM | {errno.EROFS, errno.EIO}

NO_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.EAGAIN}  # open files, or processes and threads
MORE_FILES = "raise the limit of open files (ulimit -n)"
MORE_THREADS = "raise the limit of processes and threads (ulimit -u, or that of the container)"

OUT_OF_MEMORY = (
    "DefaultCPUAllocator",
    "could not create a primitive",
    "std::bad_alloc",
    "failed to map segment",
    "'plr'",
)
"""Words of errors by which PyTorch and the loader of libraries say that no memory is left, and Polars whose library,
which it calls plr, could not be loaded for lack of it.
"""

OUT_OF_THREADS = ("can't start new thread", "pthread_create failed")  # Python's words, and ONNX Runtime's


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that no memory is left, however it does: nothing else is wrong with what was read then.

    Example:
        >>> lacks_memory(MemoryError()), lacks_memory(RuntimeError("could not create a primitive"))
        (True, True)
    """
    return isinstance(error, MemoryError) or any(words in str(error) for words in OUT_OF_MEMORY)


EXTRAS = {  # which extra of the package brings a module that may be missing
    "train": ("matplotlib", "onnx", "onnxscript", "scipy", "torch"),
    "labels": ("cleanlab",),
    "sklearn": ("sklearn",),
    "serve": ("httptools", "python_multipart", "starlette", "uvicorn", "uvloop"),
    "tensorboard": ("tensorboard",),
    "timm": ("timm",),
    "tune": ("optuna",),
    "mlflow": ("alembic", "mlflow", "sqlalchemy"),
}


class FittingRoomError(Exception):
    """Base of every error that this package raises on purpose.

    Example:
        >>> import fittingroom as fr
        >>> try:
        ...     fr.open_dataset("nowhere.csv")
        ... except fr.FittingRoomError as error:
        ...     print(str(error).partition(";")[0])
        nowhere.csv: no such file or folder, nor a known data set (fashion-mnist, sample)
    """


class UsageError(FittingRoomError):
    """The options of a command don't go together. The command line alone raises it; Python's caller gives arguments."""


class DataError(FittingRoomError):
    """A data set, or one of its files, is missing, damaged, or not what the caller takes it for.

    Example:
        >>> import numpy as np
        >>> import fittingroom as fr
        >>> fr.Dataset(np.zeros((2, 28, 28), np.uint8), np.array([0, 7]), ("bag", "shoe"), "mine")
        Traceback (most recent call last):
        fittingroom.errors.DataError: mine: labels 0 to 1 expected, 0 to 7 found, first at image 1
    """


class ImagesTooLarge(DataError):
    """The images of a data set have more pixels a side than a model takes; their readers can make them smaller."""


class RecipeError(FittingRoomError):
    """A recipe is wrong. The message has one line for each problem.

    Example:
        >>> import fittingroom as fr
        >>> fr.load_recipe("swfit")
        Traceback (most recent call last):
        fittingroom.errors.RecipeError: recipe 'swfit': unknown; did you mean swift? ...
    """


class ArtifactError(FittingRoomError):
    """A run, a checkpoint or a saved model is missing, damaged, unsafe to open, or does not fit its data.

    Example:
        >>> import fittingroom as fr
        >>> fr.load("runs/none")
        Traceback (most recent call last):
        fittingroom.errors.ArtifactError: runs/none: a run's folder expected, nothing found there; ...
    """


class TrainingDiverged(FittingRoomError):
    """The loss or a weight became infinite or not a number. The last good checkpoint is kept."""


class StorageFailed(FittingRoomError):
    """A file of a training can't be written: the disk or a quota is full. The last checkpoint is kept."""


class PeerLost(FittingRoomError):
    """Another process of the training ended, hangs, or can't be reached. The last checkpoint is kept."""


class PeerFailed(FittingRoomError):
    """Another process of the training failed before this one, and says why; this one has nothing to add."""


class Interrupted(FittingRoomError):
    """Training was asked to stop, and did so after saving its state; ``resume_command`` goes on with it."""

    def __init__(self, message: str, resume_command: str = ""):
        super().__init__(message)
        self.resume_command = resume_command


class MissingPackage(FittingRoomError, ModuleNotFoundError):
    """A package of an extra isn't installed; the message has the command that installs it."""


def missing_package(error: ModuleNotFoundError) -> MissingPackage | None:
    """The same error in words, where an extra brings the module; None for one that no extra brings: our fault.

    Example:
        >>> print(missing_package(ModuleNotFoundError(name="torch.nn")))
        this needs torch, which is not installed: pip install ...
    """
    missing = str(error.name).partition(".")[0]
    extra = next((name for name, modules in EXTRAS.items() if missing in modules), None)
    if extra is None:
        return None
    return MissingPackage(f"this needs {missing}, which is not installed: {how_to_install(extra)}", name=error.name)


@contextmanager
def naming_extras() -> Iterator[None]:
    """Raise :class:`MissingPackage` where something is imported in the block that an extra would bring."""
    try:
        yield
    except MissingPackage:
        raise
    except ModuleNotFoundError as error:
        raise missing_package(error) or error from None


def warn_caller(message: str) -> None:
    """Warn with the line outside of this package that the call came from."""
    import sys
    import warnings

    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "fittingroom":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)


def how_to_install(extra: str) -> str:
    """The command that brings an extra, from where this package was installed itself.

    No index is promised to have it: a checkout or a wheel is named by its path, which the installation has on record.

    Example:
        >>> how_to_install("train").startswith("pip install '")
        True
    """
    import json
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.parse import unquote, urlsplit

    try:
        record = json.loads(distribution("fittingroom").read_text("direct_url.json") or "{}")
        url = urlsplit(record.get("url", ""))
    except (PackageNotFoundError, ValueError):
        return f"pip install 'PLACE[{extra}]', PLACE being the checkout or the wheel of fittingroom"
    place = unquote(url.path) if url.scheme == "file" else "fittingroom"
    return f"pip install '{place}[{extra}]'"
