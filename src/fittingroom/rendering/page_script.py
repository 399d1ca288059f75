"""What runs on a page of one file, and the JSON that it reads. Both stand in the page; nothing else may run there."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def bundled(files: Sequence[Path]) -> str:
    """Modules in one script, with names of their own; without comments and indentation, a fifth of its length."""
    lines = [line.strip() for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    code = [line.removeprefix("export ") for line in lines if line and not line.startswith("//")]
    return "\n".join(["", '"use strict";', "{", *code, "}", ""])


def squeezed(sheet: Path) -> str:
    """A style sheet, in which no text is quoted, without comments and the spaces around its signs."""
    rules = re.sub(r"/\*.*?\*/", "", sheet.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.sub(r"\s*([{};])\s*|(?<=:) ", r"\1", rules)


def source_of(script: str) -> str:
    """The hash of a script, as a content security policy has it: where one is given, no other script runs."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def json_in_page(value: Any) -> str:
    """JSON that may stand in a page; a class may be called ``</script>``."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
