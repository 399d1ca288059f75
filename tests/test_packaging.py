"""What is built of the checkout: the source distribution is complete, and the README on an index has no dead link."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs.pages import PAGES

ROOT = Path(__file__).parent.parent
QUICK = ("tests/docs", "tests/files", "tests/recipes", "tests/test_benchmarks.py", "tests/test_layers.py")
BUILD = "import sys, setuptools.build_meta as build; to = sys.argv[1]; build.build_sdist(to); build.build_wheel(to)"
UNPACKED_ONLY = {"PKG-INFO", "setup.cfg"}  # which setuptools adds, beside src/fittingroom.egg-info
LEFT_OUT = re.compile(r"\.gitignore|\.ci/.*")


def setup_py() -> ModuleType:
    spec = importlib.util.spec_from_file_location("setup_py", ROOT / "setup.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def leads_into_the_checkout(text: str) -> list[str]:
    links = re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=[\"']([^\"']+)", text)
    return [link for pair in links for link in pair if link and not re.match(r"https?://|#|mailto:", link)]


def test_the_readme_on_an_index_has_no_link_that_is_dead_there() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(leads_into_the_checkout(readme)) > 15
    shown = setup_py().long_description(readme)
    assert leads_into_the_checkout(shown) == []
    assert "![" not in shown
    for said in ("install (docs/start/install.md)", "fittingroom train photos/", "| `fittingroom serve RUN` |"):
        assert said in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "See [the page](docs/a.md) and [it](https://example.org).",
            "See the page (docs/a.md) and [it](https://example.org).",
        ),
        ("[`docs/a.md`](docs/a.md)", "`docs/a.md`"),
        ("one\n\n| ![a](b.png) |\n| --- |\n| [c](d.md) |\n\ntwo", "one\n\ntwo"),
        ("<!-- not run: so -->\n```sh\nls\n```", "```sh\nls\n```"),
    ],
)
def test_links_become_words_and_pictures_are_left_out(text: str, shown: str) -> None:
    assert setup_py().long_description(text) == shown


def test_no_page_says_that_an_index_has_the_package() -> None:
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").splitlines():
            by_name = re.search(r"(?:install|--from|uvx|add) (?:\S+ )*'?fittingroom(?![\w./-])", line)
            assert not by_name or "--no-index" in line, f"{page.name}: {line}"


@pytest.mark.nightly
def test_the_source_distribution_is_complete_and_its_quick_tests_run_from_it(tmp_path: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("what belongs into the distribution is not known: this is no checkout")
    tracked = {name for name in listed.stdout.split("\0") if name and not LEFT_OUT.fullmatch(name)}
    copy = tmp_path / "copy"
    for name in tracked:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([sys.executable, "-c", BUILD, tmp_path], cwd=copy, check=True, capture_output=True)

    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path / "unpacked", filter="data")
    (folder,) = (tmp_path / "unpacked").iterdir()
    found = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert tracked - found == set()
    assert {name for name in found - tracked if "egg-info" not in name} == UNPACKED_ONLY

    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened_wheel:
        (metadata,) = (name for name in opened_wheel.namelist() if name.endswith("/METADATA"))
        told = opened_wheel.read(metadata).decode()
        in_wheel = set(opened_wheel.namelist())
    assert "Description-Content-Type: text/markdown" in told
    assert leads_into_the_checkout(told) == []
    in_source = {name.removeprefix("src/") for name in tracked if name.startswith("src/")}
    assert in_source - in_wheel == set()

    environment = os.environ | {"PYTHONPATH": str(folder / "src")}
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not nightly"]
    done = subprocess.run([*words, *QUICK], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
