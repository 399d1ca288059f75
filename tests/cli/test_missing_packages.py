"""Without a package of an extra, what needs it says so in one line with the command that installs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fittingroom.cli import main
from fittingroom.errors import EXTRAS, how_to_install
from tests.support import PATIENCE


def without(module: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a process where the module can't be found."""
    code = (
        f"import sys; sys.modules[{module!r}] = None; from fittingroom.cli import main; sys.exit(main({arguments!r}))"
    )
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=folder)


@pytest.mark.parametrize(
    ("module", "extra", "arguments"),
    [
        ("torch", "train", ["train", "sample", "--out", "run"]),
        ("torch", "train", ["models"]),
        ("cleanlab", "labels", ["data", "check", "sample", "--labels", "--no-near-duplicates"]),
        ("starlette", "serve", ["serve", "run"]),
        ("uvicorn", "serve", ["serve", "run"]),
    ],
)
def test_a_missing_package_is_one_line_that_installs_it(
    tmp_path: Path, module: str, extra: str, arguments: list[str]
) -> None:
    done = without(module, *arguments, folder=tmp_path)
    assert done.returncode == 2
    line = f"fittingroom: this needs {module}, which is not installed: {how_to_install(extra)}"
    assert done.stderr.splitlines() == [line]
    assert list(tmp_path.iterdir()) == []


def test_without_torch_data_can_be_checked(tmp_path: Path) -> None:
    assert without("torch", "data", "check", "sample", "--no-near-duplicates", folder=tmp_path).returncode == 0


def test_a_module_of_nobodys_is_our_fault_and_shows_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fittingroom.audit", None)
    with pytest.raises(ModuleNotFoundError):
        main(["data", "check", "sample"])


def test_every_module_stands_in_the_extra_that_installs_it() -> None:
    import tomllib

    file = Path(__file__).parents[2] / "pyproject.toml"
    extras = tomllib.loads(file.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    called = {"sklearn": "scikit-learn", "python_multipart": "python-multipart", "mlflow": "mlflow-skinny"}
    for extra, modules in EXTRAS.items():
        for module in modules:
            wanted = called.get(module, module)
            assert any(line.startswith(wanted) for line in extras[extra]), f"{module} is not in {extra}"


@pytest.mark.parametrize(
    "call",
    [
        "fr.train('sample')",
        "fr.try_ideas('sample', ['mirror=random'])",
        "fr.open_dataset('sample').train.as_torch()",
        "from fittingroom import FittingRoomClassifier",
    ],
)
def test_python_is_told_the_same_as_the_command(tmp_path: Path, call: str) -> None:
    code = f"""
import sys; sys.modules['torch'] = None
import fittingroom as fr
try: {call}
except fr.FittingRoomError as error: assert isinstance(error, ImportError); print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.strip() == f"this needs torch, which is not installed: {how_to_install('train')}"
    assert list(tmp_path.iterdir()) == []
