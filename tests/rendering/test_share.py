"""Shares are written so that all means all, and nothing nothing."""

import pytest

from fittingroom.rendering.share import share_text


@pytest.mark.parametrize("n", [1, 7, 1_000, 60_000, 10**7])
@pytest.mark.parametrize("digits", [1, 2])
def test_only_all_is_100_percent_and_only_nothing_is_0(n: int, digits: int) -> None:
    hundred, none = f"{1:.{digits}%}", f"{0:.{digits}%}"
    assert share_text(1.0, digits) == hundred
    assert share_text(0.0, digits) == none
    for count in {1, n // 2, n - 1} - {0, n}:
        assert share_text(count / n, digits) not in (hundred, none)
        shown = float(share_text(count / n, digits).lstrip("< ").rstrip("%"))
        assert shown == pytest.approx(100 * count / n, abs=10**-digits)
