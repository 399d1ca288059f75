"""The site is built without a warning and without a network, and needs none to be read."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.pages import open_page, serious
from tests.docs.pages import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LOADS = re.compile(r"""(?:src=|<link[^>]+href=|url\(|@import\s)["'\s]*(https?:)?//""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, built without a warning."""
    tmp_path: Path = tmp_path_factory.mktemp("built")
    # A proxy that nobody listens at: whatever asks the network fails.
    offline = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "PATH": "/usr/bin:/bin"}
    built = subprocess.run(
        [
            sys.executable,
            "-m",
            "sphinx",
            "-q",
            "-W",
            "--keep-going",
            "-d",
            tmp_path / "trees",
            "docs",
            tmp_path / "site",
        ],
        cwd=ROOT,
        env=offline,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return tmp_path / "site"


@pytest.mark.nightly
def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert len(pages) > 20
    assert [page.name for page in pages if LOADS.search(page.read_text("utf-8"))] == []
    reference = (site / "reference" / "python.html").read_text("utf-8")
    assert 'id="fittingroom.train"' in reference
    assert "generated:" not in reference
    for page in (site / "start" / "fashion-mnist.html", site / "zh-CN" / "fashion-mnist.html"):
        text = page.read_text("utf-8")
        assert text.count("data:image/png;base64,") == 5, "the drawings of a whole run"
        assert "generated:" not in text


@pytest.mark.nightly
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_the_site(browser: Browser, site: Path, scheme: str) -> None:
    found = {}
    for file in sorted(site.rglob("*.html")):
        page, _ = open_page(browser, file, scheme=scheme)
        if problems := serious(page):
            found[file.relative_to(site).as_posix()] = problems
        page.context.close()
    assert found == {}
