"""Print the lowest versions that pyproject.toml permits, as constraints for pip.

    python scripts/lowest_versions.py [--without torch] > lowest.txt

With --without NAME a package is left out, such as one that only other indexes have in that version for this machine.
"""

from __future__ import annotations

import argparse
import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
EXTRAS = ("train", "serve", "sklearn", "tune", "mlflow", "tensorboard")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without", metavar="NAME", action="append", default=[])
    args = parser.parse_args()
    for name, version in floors().items():
        if name not in args.without:
            print(f"{name}=={version}")


def floors() -> dict[str, str]:
    """The lowest version of each package that users install: of the package itself and of what its extras add."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    requirements = [*project["dependencies"], *(line for extra in EXTRAS for line in extras_of(project, extra))]
    found: dict[str, str] = {}
    for requirement in requirements:
        match = re.match(r"([\w-]+)(?:\[[\w,]+\])?>=([\w.]+)", requirement)
        if match is None:
            raise SystemExit(f"{PYPROJECT}: {requirement}: a floor, NAME>=VERSION, expected")
        found[match[1]] = match[2]
    return found


def extras_of(project: dict[str, dict[str, list[str]]], extra: str) -> list[str]:
    """What an extra requires."""
    return project["optional-dependencies"][extra]


if __name__ == "__main__":
    main()
