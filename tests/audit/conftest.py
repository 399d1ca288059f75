"""The data in which these tests plant faults: the embedded sample, and the official files."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from markupsafe import escape

from fittingroom.audit.findings import Finding
from fittingroom.data.dataset import Dataset
from fittingroom.data.open import open_dataset
from fittingroom.data.splits import Splits
from fittingroom.rendering.languages import LONGEST, translated

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def sample() -> Splits:
    """2,000 + 1,000 official images."""
    return open_dataset("sample", cache=False)


@pytest.fixture(scope="session")
def official(official_folder: Path) -> Splits:
    """The 70,000 official images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FITTINGROOM_DATA", str(official_folder))
        return open_dataset("fashion-mnist", cache=False)


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """300 of MNIST's digits; see scripts/make_manifest.py."""
    with np.load(HERE / "mnist-digits.npz") as file:
        return Dataset(file["x"], file["y"].astype(np.int64), tuple("0123456789"), "digits")


@pytest.fixture(autouse=True)
def every_finding_is_said_in_chinese_too(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test of the audit plants, the page has Chinese for what is then found."""
    made: list[Finding] = []
    check_name = Finding.__post_init__

    def remember(self: Finding) -> None:
        check_name(self)
        made.append(self)

    monkeypatch.setattr(Finding, "__post_init__", remember)
    yield
    rows = [row for one in made for row in one.examples if row.label != one.where]  # a part's name is one
    captions = [" · ".join(filter(None, (row.label, row.note))) for row in rows]
    texts = {*captions, *(text for one in made for text in (one.message, one.effect, one.advice, one.fix))}
    missing = [text for text in sorted(texts - {""}) if not is_bilingual(text)]
    assert not missing, f"no Chinese in check.zh.txt: {missing}"


def is_bilingual(text: str) -> bool:
    """Whether the page has Chinese for a text; not all of those that are very long can be translated."""
    return len(text) > LONGEST or translated(str(escape(text)), "check") is not None
