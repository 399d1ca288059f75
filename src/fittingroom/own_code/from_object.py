"""A class or function that is there already, in a module or in a notebook's cell: its name, and its source.

What lies in a module is kept with the module. What was defined in a notebook or in the script that runs is cut out of
it, with all that it uses there: the imports, functions, classes and plain values by whose names it calls.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from symtable import symtable
from types import CodeType, FunctionType, ModuleType
from typing import Any

from fittingroom.errors import RecipeError
from fittingroom.own_code.collect import read_code, with_neighbours
from fittingroom.own_code.name import CodeName

PLAIN = (int, float, str, bool, bytes, complex, type(None))
FUTURE = "from __future__ import annotations\n"


def name_object(value: Callable[..., Any], kind: str) -> CodeName:
    """Name a class or function, with the source that it needs.

    Args:
        value: defined at the top level of a module, a script or a notebook.
        kind: what it is to be, for messages, such as ``loss``.

    Raises:
        RecipeError: it has no name or no source by which it could be kept, and what to do instead.
    """
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        raise RecipeError(
            f"{kind}: a class or function expected, an instance of {type(value).__name__} found, which can't be kept "
            f"by its source; give the class, and its arguments as {kind}_args"
        )
    name, module = getattr(value, "__qualname__", ""), getattr(value, "__module__", "") or ""
    if not name.isidentifier():
        what = "a lambda" if "<lambda>" in name else f"{name or value!r}"
        raise RecipeError(
            f"{kind}: a class or function defined at the top level expected, {what} found, which can't be kept by its "
            "source; define it by itself, and give what it needs as arguments"
        )

    # What another process could import by the same name is named by it.
    if module != "__main__" and getattr(_imported(module), name, None) is value:
        return CodeName(f"{module}:{name}", read_code(f"{module}:{name}", kind))
    return _cut_out(value, name, kind)


def _imported(module: str) -> ModuleType | None:
    """A module that has a place of its own, so that it can be read from there; None for any other."""
    found = sys.modules.get(module)
    if found is None or module.startswith("fittingroom_user_"):
        return None
    return found if getattr(found, "__spec__", None) is not None else None


def _cut_out(value: Any, name: str, kind: str) -> CodeName:
    """The source of a definition and of all that it uses where it stands, as a file of its own."""
    space = _namespace_of(value)
    script = getattr(value, "__globals__", space).get("__file__") or space.get("__file__")
    excerpt = _Excerpt(space, f"{kind} {name}", kind)
    excerpt.add(name, value)

    # Its name says which text it is: a cell that is carried out again makes another.
    stem = Path(script).stem if script else "notebook"
    root = Path(script).parent if script else Path()
    main = f"{stem}.py"
    code = with_neighbours(root, main, excerpt.text, f"{main}:{name}", kind)
    return CodeName(f"{stem}-{code.sha256[:8]}.py:{name}", code)


class _Excerpt:
    """What one name of a notebook needs of it: imports, and definitions, each after those that it uses.

    Args:
        space: the names of the notebook, with their values.
        what: it is for, in messages, such as ``loss focal``.
        kind: of that, whose arguments are ``<kind>_args``.
    """

    def __init__(self, space: Mapping[str, Any], what: str, kind: str) -> None:
        self._space, self._what, self._kind = space, what, kind
        self._imports: dict[str, None] = {}
        self._definitions: dict[str, str] = {}

    @property
    def text(self) -> str:
        """The definitions, and what they import, as a file."""
        return FUTURE + "".join(self._imports) + "\n\n" + "\n\n".join(self._definitions.values())

    def add(self, name: str, value: Any) -> None:
        """Add what a name stands for: its import, or its definition and all that this uses.

        Raises:
            RecipeError: it, or something that it uses, can't be kept by its source.
        """
        if name in self._definitions:
            return
        if isinstance(value, ModuleType):
            self._imports[f"import {value.__name__}{'' if value.__name__ == name else f' as {name}'}\n"] = None
            return
        if isinstance(value, PLAIN) or (isinstance(value, tuple | list | dict | set) and _is_plain(value)):
            self._definitions[name] = f"{name} = {value!r}\n"
            return

        # What comes from elsewhere is imported again, by the name that its own module has for it.
        if not self._is_defined_here(value):
            if line := _import_of(value, name):
                self._imports[line] = None
                return
            raise RecipeError(
                f"{self._what}: it uses {name}, of type {type(value).__name__}, which can't be kept by its source; "
                f"give it as an argument in {self._kind}_args, or put both into a file"
            )
        if getattr(value, "__closure__", None):
            raise RecipeError(f"{self._what}: {name} uses names of the function that it is defined in; pass them to it")

        # What it uses goes before it; the place is held meanwhile, as two functions may call each other.
        source = _source_of(value, self._what)
        self._definitions[name] = ""
        for used in _names_in(source):
            if used != name and used in self._space and not self._is_builtin(used):
                self.add(used, self._space[used])
        del self._definitions[name]
        self._definitions[name] = source

    def _is_defined_here(self, value: Any) -> bool:
        is_definition = inspect.isclass(value) or isinstance(value, FunctionType)
        return is_definition and _namespace_of(value) is self._space and value.__module__ == self._space.get("__name__")

    def _is_builtin(self, name: str) -> bool:
        return hasattr(builtins, name) and self._space[name] is getattr(builtins, name)


def _import_of(value: Any, name: str) -> str | None:
    """The line that imports what is called ``name``; None for what no module has under its own name or this one."""
    home = str(getattr(value, "__module__", None) or "")
    module = sys.modules.get(home)
    for origin in dict.fromkeys((str(getattr(value, "__qualname__", name)), name)):
        if home not in ("", "__main__") and module is not None and getattr(module, origin, None) is value:
            return f"from {home} import {origin}{'' if origin == name else f' as {name}'}\n"
    return None


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(each) for pair in value.items() for each in pair)
    return all(map(_is_plain, value)) if isinstance(value, tuple | list | set) else isinstance(value, PLAIN)


def _namespace_of(value: Any) -> Mapping[str, Any]:
    """The names among which a class or function was defined."""
    functions = [value] if isinstance(value, FunctionType) else _functions_of(value)
    for function in functions:
        return function.__globals__
    module = sys.modules.get(getattr(value, "__module__", ""))
    return vars(module) if module else {}


def _functions_of(value: type) -> list[FunctionType]:
    """The functions in the body of a class, those of a base left out."""
    found = []
    for each in vars(value).values():
        inner = getattr(each, "__func__", None) or getattr(each, "fget", None) or each
        if isinstance(inner, FunctionType) and inner.__qualname__.startswith(f"{value.__qualname__}."):
            found.append(inner)
    return found


def _source_of(value: Any, what: str) -> str:
    """The text of a definition, its decorators included; ``what`` it is for, in messages."""
    code: CodeType | None = value.__code__ if isinstance(value, FunctionType) else None
    if code is None:
        code = next((each.__code__ for each in _functions_of(value)), None)
    if code is not None and (text := _definition_at(code, value.__qualname__)):
        return text

    try:
        return textwrap.dedent(inspect.getsource(value)).rstrip() + "\n"
    except (OSError, TypeError):
        raise RecipeError(
            f"{what}: the source of {value.__qualname__} isn't to be found, as where Python was given it on its "
            "standard input; write it into a file and give path/to/file.py:name"
        ) from None


def _definition_at(code: CodeType, name: str) -> str | None:
    """The text of the class or function that has some code; of several definitions of one name it is the one."""
    text = "".join(linecache.getlines(code.co_filename))
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError):  # a line of the notebook that is no Python
        return None

    nodes = [node for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name]
    for node in reversed(nodes):
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        if first <= code.co_firstlineno <= (node.end_lineno or first):
            return "".join(text.splitlines(keepends=True)[first - 1 : node.end_lineno]).rstrip() + "\n"
    return None


def _names_in(source: str) -> Iterator[str]:
    """The names that a text reads and doesn't give itself, as the parameters and variables of its functions are."""
    tables = [symtable(source, "<notebook>", "exec")]
    seen = set()
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for symbol in table.get_symbols():
            is_outside = symbol.is_global() or table.get_type() == "module"
            if symbol.is_referenced() and is_outside and symbol.get_name() not in seen:
                seen.add(symbol.get_name())
                yield symbol.get_name()
