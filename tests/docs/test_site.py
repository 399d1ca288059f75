"""The site is built without a warning and without a network, and needs none to be read."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

LOADS = re.compile(r"""(?:src=|<link[^>]+href=|url\(|@import\s)["'\s]*(https?:)?//""")


@pytest.mark.nightly
def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
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
    pages = [*(tmp_path / "site").rglob("*.html"), *(tmp_path / "site").rglob("*.css")]
    assert len(pages) > 20
    assert [page.name for page in pages if LOADS.search(page.read_text("utf-8"))] == []
    reference = (tmp_path / "site" / "reference" / "python.html").read_text("utf-8")
    assert 'id="fittingroom.train"' in reference
    assert "generated:" not in reference
