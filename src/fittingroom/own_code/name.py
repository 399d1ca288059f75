"""How a recipe names code of the user's own, and the code that such a name brings along.

Nothing is read or executed here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_OWN = re.compile(r"(?s)(?:.+\.py|[^\W\d]\w*(?:\.[^\W\d]\w*)*):[^\W\d]\w*")


def is_own(name: object) -> bool:
    """Whether a value of a recipe names code: ``path/to/file.py:name`` or ``package.module:name``.

    Example:
        >>> [is_own(name) for name in ("net.py:Net", "torch.optim:RAdam", "timm:resnet18", "swift", 3)]
        [True, True, False, False, False]
    """
    return isinstance(name, str) and not name.startswith("timm:") and _OWN.fullmatch(name) is not None


def attribute_of(name: str) -> str:
    """The class or function that a name means: ``net.py:Net`` → ``Net``."""
    return name.rpartition(":")[2]


@dataclass(frozen=True)
class OwnCode:
    """The source of a class or function, with all that it needs: what is executed is what is kept.

    Attributes:
        main: the file that has it, a key of ``files``.
        files: text by path, relative and with ``/``: the file itself and each local module that it imports.
        folder: where the files lie, for messages.
    """

    main: str
    files: Mapping[str, str]
    folder: str = field(default="", compare=False)

    @property
    def sha256(self) -> str:
        """The SHA-256 of all files together, see :func:`digest_of`."""
        return digest_of(self.main, self.hashes())

    def hashes(self) -> dict[str, str]:
        """SHA-256 of each file, by its path."""
        return {path: _sha256(text) for path, text in self.files.items()}


class CodeName(str):
    """A name of own code that has its code with it, wherever a recipe travels: equal to the plain name."""

    code: OwnCode

    def __new__(cls, name: str, code: OwnCode) -> CodeName:
        """Give a name its code."""
        made = super().__new__(cls, name)
        made.code = code
        return made

    def __getnewargs__(self) -> tuple[str, OwnCode]:  # type: ignore[override]
        """Take the code along to another process."""
        return str(self), self.code


class ForeignName(str):
    """A name of own code that stands in a file of a run, which may come from a stranger: its user has to say it."""

    __slots__ = ()


def digest_of(main: str, hashes: Mapping[str, str]) -> str:
    """SHA-256 of code: of a single file its own; of several, that of their list with the SHA-256 of each."""
    if len(hashes) == 1:
        return hashes[main]
    lines = [f"{sha256}  {path}" for path, sha256 in sorted(hashes.items())]
    return _sha256("\n".join([main, *lines]))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
