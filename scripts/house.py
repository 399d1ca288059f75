"""Count what the house promises: parts, imports between them, circles, and how function bodies are set.

    python scripts/house.py                     the whole package
    python scripts/house.py src/fittingroom/cli bodies of some files or folders only

The layers are those of tests/test_layers.py, which fails where an import goes against them.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.test_layers import FILES, IMPORTS, LAYER, part  # noqa: E402

PACKAGE = ROOT / "src" / "fittingroom"
LONG = 15  # lines from which a body should have paragraphs


def main() -> None:
    given = [Path(name) for name in sys.argv[1:]]
    if not given:
        tree()
    bodies(given or [PACKAGE])


def tree() -> None:
    modules = [file for file in PACKAGE.glob("*.py") if file.stem not in ("__init__", "__main__")]
    folders = [folder for folder in PACKAGE.iterdir() if (folder / "__init__.py").exists()]
    print(f"top level: {len(modules)} modules beside __init__ and __main__, {len(folders)} folders")

    pairs = [(part(module), part(name)) for module in IMPORTS for name in IMPORTS[module]]
    between = [(above, below) for above, below in pairs if above != below]
    against = [(above, below) for above, below in between if LAYER[below] > LAYER[above]]
    print(f"parts: {len({part(module) for module in FILES})}, in {1 + max(LAYER.values())} layers")
    print(f"imports between parts: {len(between)}, of {len(set(between))} pairs; against the order: {len(against)}")
    print(f"circles: {circles(IMPORTS)} between files, {circles(graph(between))} between parts")

    lines = dict.fromkeys({part(module) for module in FILES}, 0)
    for module, file in FILES.items():
        lines[part(module)] += len(file.read_text(encoding="utf-8").splitlines())
    largest = max(lines, key=lambda name: lines[name])
    print(f"largest part: {largest}, {lines[largest] / sum(lines.values()):.0%} of {sum(lines.values()):,} lines")


def graph(pairs: list[tuple[str, str]]) -> dict[str, set[str]]:
    edges: dict[str, set[str]] = {}
    for above, below in pairs:
        edges.setdefault(above, set()).add(below)
    return edges


def circles(edges: dict[str, set[str]]) -> int:
    """How many edges have to go before there is no circle."""
    edges, count = {name: set(below) for name, below in edges.items()}, 0
    while True:
        try:
            TopologicalSorter(edges).prepare()
        except CycleError as error:
            below, above, *_ = error.args[1]
            edges[above].discard(below)
            count += 1
        else:
            return count


def bodies(paths: list[Path]) -> None:
    files = [file for path in paths for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
    sizes, blank, comments = [], 0, 0
    for file in files:
        rows = file.read_text(encoding="utf-8").split("\n")
        for name, first, last in functions(ast.parse("\n".join(rows))):
            body = rows[first - 1 : last]
            if len(body) >= LONG:
                sizes.append((len(body), f"{file.name}:{name}"))
                blank += sum(not row.strip() for row in body)
                comments += sum(row.strip().startswith("#") for row in body)

    total = max(1, sum(size for size, _ in sizes))
    shares = f"{blank / total:.1%} blank, {comments / total:.1%} comment lines"
    print(f"bodies of {LONG} lines and more: {len(sizes)}, {shares}")
    for size, name in sorted(sizes, reverse=True)[: 1 if len(files) > 50 else 5]:
        print(f"  {size} lines: {name}")


def functions(tree: ast.Module) -> Iterator[tuple[str, int, int]]:
    """Name, first and last line of each body, without its docstring."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            has_docstring = ast.get_docstring(node) is not None and len(node.body) > 1
            yield node.name, node.body[1 if has_docstring else 0].lineno, node.end_lineno or node.lineno


if __name__ == "__main__":
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has enough of it, as `head` has; the exit's own flush is to be quiet too
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
