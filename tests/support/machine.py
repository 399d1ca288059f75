"""What a machine must bring for some tests: the official data, Debian's Chromium.

``make test`` installs both where it may. Elsewhere their tests say that they did not run; with CI=true they fail.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from fittingroom.data.fetch.known_sets import KNOWN
from fittingroom.files.cache_dir import cache_dir

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = Path("/usr/bin/chromium")
USERS_CACHE = cache_dir()  # before the tests get one of their own


def missing(reason: str) -> NoReturn:
    """Skip the test, or fail it where everything has to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def official_folder() -> Path:
    """The four official files, wherever this machine has them; a test must not fetch 30 MB."""
    known = KNOWN["fashion-mnist"]
    given = os.environ.get("FITTINGROOM_DATA")
    folders = [Path(given) if given else None, USERS_CACHE / "sources" / "fashion-mnist", known.debian_folder]

    for folder in folders:
        if folder is not None and all((folder / f"{file.name}.gz").exists() for file in known.files):
            return folder
    missing("the official data is not on this machine: apt-get install dataset-fashion-mnist, or set $FITTINGROOM_DATA")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser, closed before the next module: Playwright's event loop lets no other run in the same process."""
    if not CHROMIUM.exists():
        missing(f"the pages were not opened in a browser: {CHROMIUM} is missing (apt-get install chromium)")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=60_000)  # milliseconds; its own five seconds are not enough on a busy machine
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield chromium
        chromium.close()
