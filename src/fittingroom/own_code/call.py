"""A class or function of the user's own, called with what it takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fittingroom.errors import FittingRoomError, RecipeError
from fittingroom.own_code.execute import execute, of_name
from fittingroom.own_code.name import CodeName, attribute_of


def load_callable(name: str, kind: str) -> Callable[..., Any]:
    """Execute the code that a name has brought along, and give the class or function that it means.

    Raises:
        RecipeError: the name has brought none: it may stand in a file of somebody else, and no path is executed for
            that; the code fails, or has no such class or function.
    """
    if not isinstance(name, CodeName):
        raise RecipeError(f"{kind} {name!r}: its code isn't at hand; fittingroom.train reads what its caller names")
    found: Callable[..., Any] = of_name(execute(name.code, name, kind), attribute_of(name), name, kind)
    return found


def load_function(name: str, kind: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> Callable[..., Any]:
    """The same as something to call: a function with its arguments, or an instance of a class that has ``__call__``.

    Args:
        name: with its code.
        kind: a recipe's key, such as ``loss``; its arguments are those of ``loss_args``.
        given: arguments that the recipe has for it.
        known: what it is given where its signature has a parameter of that name.

    Raises:
        RecipeError: also for an argument that it doesn't take, and for a class without ``__call__``.
    """
    return with_arguments(load_callable(name, kind), name, kind, given, known)


def with_arguments(
    found: Callable[..., Any], name: str, kind: str, given: Mapping[str, Any], known: Mapping[str, Any]
) -> Callable[..., Any]:
    """What :func:`load_function` makes of a class or function that is loaded already."""
    arguments = arguments_for(found, name, kind, given, known)
    if not inspect.isclass(found):
        return partial(found, **arguments) if arguments else found
    made = construct(found, name, kind, arguments)
    if not callable(made):
        raise RecipeError(f"{kind} {name}: a function, or a class with __call__ expected; {found.__name__} has none")
    function: Callable[..., Any] = made
    return function


def construct(found: Callable[..., Any], name: str, kind: str, arguments: Mapping[str, Any], *first: Any) -> Any:
    """Make an instance. Raises RecipeError where that fails."""
    try:
        return found(*first, **arguments)
    except FittingRoomError:
        raise
    except (Exception, SystemExit) as error:
        raise RecipeError(f"{kind} {name}: constructing it failed: {type(error).__name__}: {error}") from error


def arguments_for(
    found: Callable[..., Any], name: str, kind: str, given: Mapping[str, Any], known: Mapping[str, Any]
) -> dict[str, Any]:
    """What a class or function is called with: what it is given, and what it takes of what is known.

    Raises:
        RecipeError: it doesn't take what it is given.
    """
    try:
        parameters = inspect.signature(found).parameters
    except (TypeError, ValueError):  # of a class or function in C
        return {**given}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    unknown = [key for key in given if key not in parameters and not takes_any]
    if unknown:
        takes = ", ".join(name for name in parameters if name not in known) or "none"
        raise RecipeError(f"{kind} {name}: {kind}_args.{unknown[0]} is not an argument of it; it takes {takes}")
    return {key: value for key, value in known.items() if key in parameters} | dict(given)


def takes(found: Callable[..., Any], key: str) -> bool:
    """Whether a class or function has a parameter of a name."""
    try:
        return key in inspect.signature(found).parameters
    except (TypeError, ValueError):
        return False
