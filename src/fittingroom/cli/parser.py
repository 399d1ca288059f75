"""The parser of the command line: argparse, which answers a slip with what was probably meant."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any, TypeAlias

from fittingroom.rendering.terminal import tell, terminal_width

USAGE = 2  # the exit code of whatever could not be understood


class Help(argparse.HelpFormatter):
    """Format as wide as the terminal: argparse asks the stream that Python began with, which is detached by then."""

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
            options = [word for word in unknown if re.match("--|-[A-Za-z]", word)]
            import shlex

            meant = self._as_options(unknown) or self._after_a_flag(unknown[0], words)
            refused = [self._refusal(option, words) for option in options] or [
                f"too many arguments: {shlex.join(unknown)}{meant}"
            ]
            self.error("\n".join(refused))
        return namespace, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a value that isn't one of the choices; for a command, suggest the most similar one."""
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:
            from difflib import get_close_matches

            from fittingroom.cli import habits  # a slip alone needs it

            # in the whole command line the one meant may be one of data's, or an option
            names = habits.COMMANDS if "train" in action.choices else habits.COMMANDS_OF_DATA
            close = [habits.called(value, names) or ""] if habits.called(value, names) else []
            close = close or get_close_matches(value, action.choices, n=1, cutoff=0.7)
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
        after = words[words.index(word) + 1 :] if word in words else []
        value = value or (after[0] if after and not after[0].startswith("--") else "VALUE")
        known = [name for action in self._actions if action.help != argparse.SUPPRESS for name in action.option_strings]
        keys = _recipe_keys() if "--set" in known else {}
        keys = {name: key for name, key in keys.items() if name not in known}

        # Underscores are what a key of the recipe has, so an option is typed with them too.
        typed = option.replace("_", "-").lower()
        if typed not in known and (meant := self._called_elsewhere(option, value, known)):
            return f"{option}: no such option; {meant}"

        # What begins every option makes none of them alike.
        plain = {name.lstrip("-"): name for name in [*keys, *known] if name.startswith("--")}
        near = get_close_matches(typed.lstrip("-"), plain, n=1, cutoff=0.75) if len(typed) > 3 else []
        close = [typed] if typed in [*known, *keys] else [plain[name] for name in near]
        if not close and re.fullmatch("-[A-Za-z]", option):
            begin_so = [name for name in known if name.startswith(f"-{option.lower()}")][:3]
            return f"{option}: no such option" + (f"; did you mean {' or '.join(begin_so)}?" if begin_so else "")
        if not close:
            return f"{option}: no such option"
        if close[0] not in keys:
            return f"{option}: no such option; did you mean {close[0]}?"
        return f"{option}: no such option; it is a key of the recipe: --set {shlex.quote(f'{keys[close[0]]}={value}')}"

    def _called_elsewhere(self, option: str, value: str, known: Sequence[str]) -> str | None:
        """What to say of an option that other programs have; None where this command has nothing like it."""
        from fittingroom.cli import habits

        name = habits.called(option, habits.OPTIONS)
        if name in known:
            return f"did you mean {name}?"
        key = habits.called(option, habits.KEYS)
        if key is not None and "--set" in known:
            count = value if value.isdecimal() else "N, so many images"
            return f"it is a key of the recipe: --set {key.format(value=value, count=count)}"
        takes_data = any(action.metavar == "DATA" for action in self._actions)
        sentence = habits.called(option, habits.SENTENCES) if takes_data else None
        return None if sentence is None else sentence.format(prog=self.prog)

    def _as_options(self, unknown: Sequence[str]) -> str:
        """How what was typed as ``epochs=3`` is typed here, for the end of a message; "" where nothing was."""
        known = {name for action in self._actions for name in action.option_strings}
        pairs = [word.partition("=") for word in unknown]
        meant = [f"--{name.replace('_', '-')} {value}" for name, sign, value in pairs if sign]
        return f"; did you mean {' '.join(meant)}?" if meant and all(word.split()[0] in known for word in meant) else ""

    def _after_a_flag(self, word: str, words: Sequence[str]) -> str:
        """What to say of a word behind an option that takes none, as ``--csv FILE`` is elsewhere; "" behind others."""
        import shlex

        before = words[words.index(word) - 1] if word in words[1:] else ""
        flag = next((action for action in self._actions if before in action.option_strings and action.nargs == 0), None)
        if flag is None:
            return ""
        writes = "stdout" in (flag.help or "")
        return f"; {before} takes no value" + (f", it prints: {before} > {shlex.quote(word)}" if writes else "")


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
