"""URLs of databases: of an SQLite file whatever its folder is called, and of any as it may be shown."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote


def sqlite_url(file: Path) -> str:
    """The address as SQLAlchemy takes it.

    A ``?`` would begin its options and a ``#`` or ``%`` mean something to SQLite, so a path with one of them goes in
    quoted, in the form that SQLite calls a URI. Other paths stay as they are, as studies have them on record.

    Example:
        >>> sqlite_url(Path("/tmp/study.db")), sqlite_url(Path("/tmp/why?/study.db"))
        ('sqlite:////tmp/study.db', 'sqlite:///file:/tmp/why%3F/study.db?uri=true')
    """
    path = file.resolve().as_posix()
    if not set(path) & set("?#%"):
        return f"sqlite:///{path}"
    return f"sqlite:///file:{quote(path)}?uri=true"


def without_password(url: str, mask: str = "***") -> str:
    """A URL as it may be shown and kept.

    Example:
        >>> without_password("postgresql://me:sec:r@t@host/runs")
        'postgresql://me:***@host/runs'
    """
    return re.sub(r"(://[^:/@]*):[^/]*@", rf"\1:{mask}@", url)
