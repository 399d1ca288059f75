"""The command that is running, as records and ledgers have it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from shlex import join

from fittingroom.parallel.process_group import launcher


def command_line() -> str:
    """The command that is running, as one would type it; of a program that uses the package, its own."""
    given = getattr(sys, "argv", None) or [""]  # an interpreter within another program may have none
    program = Path(given[0]).name
    words = [re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", word) for word in given[1:]]  # a database's password
    line = join(["fittingroom" if program in ("__main__.py", "fittingroom") else program, *words])
    return launcher() + line.encode(errors="backslashreplace").decode()  # a word whose bytes aren't UTF-8
