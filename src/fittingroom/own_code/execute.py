"""Executing code of the user's own: in modules of its own, in which imports of its neighbours find the kept ones."""

from __future__ import annotations

import builtins
import inspect
import linecache
import posixpath
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from fittingroom.errors import RecipeError
from fittingroom.own_code.name import OwnCode


def execute(code: OwnCode, name: str, kind: str) -> ModuleType:
    """Execute code and give the module of its main file. Whoever calls this has been told that it may be.

    Args:
        code: with all local modules that it imports.
        name, kind: for messages, such as ``mine.py:focal`` and ``loss``.

    Raises:
        RecipeError: it fails; the message has file and line.
    """
    bundle = _Bundle(code)
    try:
        return bundle.module(_module_of(code.main))
    except (Exception, SystemExit) as error:
        file, line = _place_of(error, bundle, code.main)
        raise RecipeError(f"{kind} {name}: executing {file} failed{line}: {_in_words(error)}") from error


def _in_words(error: BaseException) -> str:
    if isinstance(error, MemoryError) and not str(error):  # as Python's compiler raises it
        return "MemoryError: it is nested deeper than Python reads, or there is no memory for it"
    return f"{type(error).__name__}: {error}"


class _Bundle:
    """Modules that find each other before what is installed, whatever else of their names is loaded or on the path."""

    def __init__(self, code: OwnCode):
        self.code = code
        self.prefix = f"fittingroom_user_{code.sha256[:12]}"
        self.paths = {_module_of(path): path for path in code.files}
        # folders without a file of their own are packages too
        self.names = {".".join(name.split(".")[:end]) for name in self.paths for end in range(1, name.count(".") + 2)}
        self.modules: dict[str, ModuleType] = {}

    def file_of(self, path: str) -> str:
        """Where a file of it lies, for messages and tracebacks."""
        return str(Path(self.code.folder) / path)

    def module(self, name: str) -> ModuleType:
        """The module of a name within the bundle, executed at its first use."""
        if name in self.modules:
            return self.modules[name]
        parent = self.module(name.rpartition(".")[0]) if "." in name else None
        if name in self.modules:  # the package's own file has imported it
            return self.modules[name]

        module = ModuleType(f"{self.prefix}.{name}")
        self.modules[name] = module
        sys.modules[module.__name__] = module  # dataclasses and pickling look a class's module up there
        path = self.paths.get(name)
        is_package = path is None or path.endswith("__init__.py")
        module.__package__ = module.__name__ if is_package else module.__name__.rpartition(".")[0]
        if is_package:
            module.__path__ = []

        # Registered before it is executed, as Python does it: modules may import each other in a circle.
        if path is not None:
            self._execute(module, path)
        if parent is not None:
            setattr(parent, name.rpartition(".")[2], module)
        return module

    def _execute(self, module: ModuleType, path: str) -> None:
        text, file = self.code.files[path], self.file_of(path)
        module.__file__ = file
        module.__dict__["__builtins__"] = vars(builtins) | {"__import__": self._import}
        if not Path(file).exists():  # of a notebook; tracebacks show its lines all the same
            linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        exec(compile(text.removeprefix("\ufeff"), file, "exec", dont_inherit=True), module.__dict__)

    def _import(
        self,
        name: str,
        globals_: Mapping[str, object] | None = None,
        locals_: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """What ``import`` calls in the bundle's modules."""
        absolute = name
        if level:
            package = str((globals_ or {}).get("__package__", "")).removeprefix(self.prefix).strip(".").split(".")
            start = [part for part in package[: len(package) - level + 1] if part]
            if not start:
                raise ImportError(
                    "attempted relative import with no known parent package; give the code as package.module:name"
                )
            absolute = ".".join([*start, *([name] if name else [])])
        if absolute not in self.names:
            if level:
                raise ModuleNotFoundError(f"No module named {absolute!r}", name=absolute)
            return builtins.__import__(name, globals_, locals_, fromlist or (), 0)

        module = self.module(absolute)
        for each in fromlist or ():
            if not hasattr(module, each) and f"{absolute}.{each}" in self.names:
                self.module(f"{absolute}.{each}")
        return module if fromlist else self.module(absolute.partition(".")[0])


def of_name(module: ModuleType, attribute: str, name: str, kind: str, *, unless: type | None = None) -> Any:
    """The class or function of a module.

    Args:
        module: that was executed.
        attribute: what it is called there.
        name, kind: for messages.
        unless: a class of which an instance is not meant, though it can be called.

    Raises:
        RecipeError: it has none of that name; those that it has are listed.
    """
    value = getattr(module, attribute, None)
    if callable(value) and not (unless and isinstance(value, unless)):
        return value
    own = [
        key
        for key, each in vars(module).items()
        if (inspect.isclass(each) or inspect.isfunction(each)) and each.__module__ == module.__name__
    ]
    raise RecipeError(
        f"{kind} {name}: {module.__file__} has no class or function {attribute}; it has {', '.join(own) or 'none'}"
    )


def _module_of(path: str) -> str:
    """``package/module.py`` → ``package.module``; a package's own file is the package."""
    inside = posixpath.splitext(path)[0].removesuffix("/__init__")
    return inside.replace("/", ".")


def _place_of(error: BaseException, bundle: _Bundle, main: str) -> tuple[str, str]:
    """The file in which an error arose, the bundle's own, and ``at line 7`` of it."""
    files = {bundle.file_of(path) for path in bundle.code.files}
    if isinstance(error, SyntaxError) and error.lineno and error.filename in files:
        return str(error.filename), f" at line {error.lineno}"
    place = bundle.file_of(main), ""
    step = error.__traceback__
    while step:
        if step.tb_frame.f_code.co_filename in files:
            place = step.tb_frame.f_code.co_filename, f" at line {step.tb_lineno}"
        step = step.tb_next
    return place
