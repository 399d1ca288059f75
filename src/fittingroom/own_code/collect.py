"""The source that a name means, read from where the user has it, with each local module that it imports.

Local is what lies beside the file, or in the package's own root; what is installed is named, and not copied. Nothing is
executed: imports are read from the text, so that one that is put together at run time is not found.
"""

from __future__ import annotations

import ast
import posixpath
import sys
from collections.abc import Iterator
from pathlib import Path

from fittingroom.errors import RecipeError
from fittingroom.files.regular_file import read_regular_file
from fittingroom.own_code.name import OwnCode, attribute_of, is_own

MAX_FILES = 200
MAX_BYTES = 4 << 20  # of a file; a module that somebody wrote has some thousands
INSTALLED = {"site-packages", "dist-packages"}


def read_code(name: str, kind: str) -> OwnCode:
    """Read the code that a user names.

    Args:
        name: ``path/to/file.py:name``, or ``package.module:name``, looked for from the current directory on.
        kind: of what it is to be, for messages, such as ``loss``.

    Raises:
        RecipeError: there is no such file or module, or it can't be read.
    """
    place = name.rpartition(":")[0]
    if not is_own(name):
        raise RecipeError(f"{kind} {name!r}: path/to/file.py:name or package.module:name expected")
    if place.endswith(".py"):
        path = Path(place)
        return with_neighbours(path.parent, path.name, _read(path, name, kind), name, kind)

    found = _local_module(place)
    if found is None:
        return OwnCode("installed.py", {"installed.py": _import_of_installed(name, kind)})
    root, main = found
    return with_neighbours(root, main, _read(root / main, name, kind), name, kind)


def with_neighbours(root: Path, main: str, text: str, name: str, kind: str) -> OwnCode:
    """The text of a file and of each module below ``root`` that it imports, those that they import included.

    Args:
        root: where imports begin.
        main: path of the file below it, with ``/``.
        text: of the file.
        name, kind: for messages.

    Raises:
        RecipeError: a module that can't be read, or more of them than anybody wrote for this.
    """
    files = {}
    waiting = {main: text}

    # a package's own file is executed before any module in it
    for path in _files_of(root, posixpath.dirname(main).replace("/", ".")):
        waiting.setdefault(path, _read(root / path, name, kind))

    while waiting:
        path, text = waiting.popitem()
        files[path] = text
        for module in _imports(path, text):
            for found in _files_of(root, module):
                if found not in files and found not in waiting:
                    waiting[found] = _read(root / found, name, kind)
        if len(files) > MAX_FILES:
            raise RecipeError(
                f"{kind} {name}: at most {MAX_FILES} local modules expected, it imports more; put what it needs into a "
                "file of its own"
            )
    return OwnCode(main, {path: files[path] for path in sorted(files)}, str(root))


def _read(path: Path, name: str, kind: str) -> str:
    try:
        return read_regular_file(path, MAX_BYTES).decode()
    except (OSError, ValueError) as error:
        raise RecipeError(f"{kind} {name}: Python source expected, but the file can't be read: {error}") from None


def _local_module(module: str) -> tuple[Path, str] | None:
    """Root and path of a module that lies in the current directory or on Python's path; None for an installed one."""
    inside = module.replace(".", "/")
    for entry in ("", *sys.path):
        root = Path(entry)
        if is_installed(root):
            continue
        if (path := _file_of(root, inside)) is not None:
            return root, path
    return None


def _file_of(root: Path, inside: str) -> str | None:
    """The file of a package or a module, ``package/module`` below ``root``; None where there is neither."""
    return next((path for path in (f"{inside}/__init__.py", f"{inside}.py") if (root / path).is_file()), None)


def is_installed(folder: Path) -> bool:
    """Whether what lies in a folder was installed, or is Python's own: named by its import, and not copied."""
    own = Path(ast.__file__).resolve().parent  # of the standard library
    return bool(INSTALLED & set(folder.resolve().parts)) or own in (folder.resolve(), *folder.resolve().parents)


def _import_of_installed(name: str, kind: str) -> str:
    """A line that imports an installed class or function, with the version that it was written for."""
    from importlib.metadata import packages_distributions, version  # slow to load, and seldom needed
    from importlib.util import find_spec

    module, attribute = name.rpartition(":")[0], attribute_of(name)
    try:
        found = find_spec(module)
    except (ImportError, AttributeError, ValueError):
        found = None
    if found is None:
        raise RecipeError(
            f"{kind} {name}: no module {module} found, neither from {Path.cwd()} on nor among what is installed; "
            "a file is given as path/to/file.py:name"
        )
    distributions = packages_distributions().get(module.partition(".")[0], ())
    versions = "".join(f"# {each} {version(each)}\n" for each in distributions)
    return f"{versions}from {module} import {attribute}\n"


def _imports(path: str, text: str) -> Iterator[str]:
    """The absolute names of all modules that a text imports, wherever in it, and of what might be one."""
    try:
        tree = ast.parse(text.removeprefix("\ufeff"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two: nested deeper than Python parses
        return  # executing it says so, with the line

    # Whether a name of `from a import b` is a module or a value of one, only its files tell: both are looked for.
    package = posixpath.dirname(path).split("/") if "/" in path else []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" if module else alias.name for alias in node.names)


def _files_of(root: Path, module: str) -> Iterator[str]:
    """The files below ``root`` that importing a module executes: of each package on the way, and its own."""
    parts = module.split(".")
    if not parts[0] or parts[0] in sys.stdlib_module_names or parts[0] == "fittingroom":
        return
    for end in range(1, len(parts) + 1):
        inside = "/".join(parts[:end])
        if (found := _file_of(root, inside)) is not None:
            yield found
        elif not (root / inside).is_dir():
            return
