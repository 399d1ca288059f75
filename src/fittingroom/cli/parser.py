"""The parser of the command line: argparse, which answers a slip with what was probably meant."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, TypeAlias

from fittingroom.rendering.terminal import tell, terminal_width

USAGE = 2  # the exit code of whatever could not be understood


class Help(argparse.HelpFormatter):
    """As wide as the terminal: argparse asks the stream that Python began with, which is detached by then."""

    def __init__(self, prog: str, **settings: Any) -> None:
        if (columns := terminal_width(sys.stdout)) is not None:
            settings = {"width": max(columns - 2, 20)} | settings
        super().__init__(prog, **settings)


class HelpAsWritten(Help, argparse.RawDescriptionHelpFormatter):
    """The same with the lines of its description as they are."""


class Parser(argparse.ArgumentParser):
    """A parser, or one of its sub-parsers, that guesses nothing and names what may have been meant.

    It takes no abbreviations: one that is unique today means two options in a later release.
    """

    def __init__(self, **settings: Any) -> None:
        defaults: dict[str, Any] = {"allow_abbrev": False, "formatter_class": Help}
        super().__init__(**defaults | settings)

    def add_commands(self) -> Commands:
        """Make it a parser of commands, which prints its help where none is named."""
        self.set_defaults(run=self._list_commands)
        return self.add_subparsers(title="commands", metavar="COMMAND")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parse the arguments; refuse unknown ones with the usage of this command, not with that of the outermost."""
        words = sys.argv[1:] if args is None else list(args)
        namespace, unknown = super().parse_known_args(words, namespace)
        if unknown:
            options = [word for word in unknown if word.startswith("--")]
            import shlex

            refused = [self._refusal(option, words) for option in options] or [
                f"too many arguments: {shlex.join(unknown)}"
            ]
            self.error("\n".join(refused))
        return namespace, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a value that is none of the choices; for a command, with the one it is most like."""
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:
            from difflib import get_close_matches

            close = get_close_matches(value, action.choices, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(action.choices)}"
            raise argparse.ArgumentError(None, f"{value}: no such command; {hint}")
        super()._check_value(action, value)

    def _list_commands(self, _args: argparse.Namespace) -> int:
        self.print_help()
        return USAGE

    def _refusal(self, word: str, words: Sequence[str]) -> str:
        """What to say of an option that isn't one: the recipe's key or the option that was meant, if any is like it."""
        import shlex
        from difflib import get_close_matches

        option, _, value = word.partition("=")
        known = [name for action in self._actions if action.help != argparse.SUPPRESS for name in action.option_strings]
        keys = _recipe_keys() if "--set" in known else {}
        keys = {name: key for name, key in keys.items() if name not in known}

        # Underscores are what a key of the recipe has, so an option is typed with them too.
        typed = option.replace("_", "-")
        names = [*known, *keys]
        close = [typed] if typed in names else get_close_matches(typed, names, n=1, cutoff=0.75)
        if not close:
            return f"{option}: no such option"
        if close[0] not in keys:
            return f"{option}: no such option; did you mean {close[0]}?"

        # argparse has taken option and value apart: the value, if there was one, is the word that follows.
        after = words[words.index(word) + 1 :]
        value = value or (after[0] if after and not after[0].startswith("--") else "VALUE")
        return f"{option}: no such option; it is a key of the recipe: --set {shlex.quote(f'{keys[close[0]]}={value}')}"


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


class _OldSpelling(argparse.Action):
    """Hand what an option of 0.1 was given to what has taken its place, and say so."""

    def __init__(self, option_strings: Sequence[str], dest: str, new: argparse.Action) -> None:
        self.new = new
        super().__init__(
            option_strings,
            new.dest,
            nargs=new.nargs if new.option_strings else 1,
            type=new.type,  # type: ignore[arg-type]  # which may also be a registered name; ours are functions
            choices=new.choices,
            default=argparse.SUPPRESS,
            help=argparse.SUPPRESS,
        )

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        name = self.new.option_strings[0] if self.new.option_strings else f"{self.new.metavar}, without an option"
        tell(f"fittingroom: {option_string} is now {name}; the old spelling goes in the next release")
        self.new(parser, namespace, values, option_string)


def add_old_spelling(options: argparse._ActionsContainer, old: str, new: argparse.Action) -> None:
    """Take an option as it was spelled in 0.1, for this release: hidden from the help, with a line that names the new.

    Args:
        options: the parser or group that ``new`` was added to.
        old: as it was typed, such as ``--part``.
        new: the option in its place, or the positional argument that takes more than one value.
    """
    options.add_argument(old, action=_OldSpelling, new=new)


def _recipe_keys() -> dict[str, str]:
    """Each key that ``--set`` takes, by the option that somebody may type for it: ``--weight-decay``, ``--warmup``."""
    from dataclasses import fields

    from fittingroom.recipes.recipe import Recipe, Stage

    keys = [field.name for field in fields(Recipe)]
    of_a_stage = [field.name for field in fields(Stage) if field.name not in keys]
    paths = {key: key for key in keys} | {key: f"stages.0.{key}" for key in of_a_stage}
    return {f"--{key.replace('_', '-')}": path for key, path in paths.items()}
