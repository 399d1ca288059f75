"""A message never promises that an index has the package: it names where the package was installed from."""

import json
from importlib.metadata import PackageNotFoundError

import pytest

from fittingroom.errors import how_to_install


class Installed:
    """What is known of an installation."""

    def __init__(self, record: str | None):
        self.record = record

    def read_text(self, _name: str) -> str | None:
        return self.record


@pytest.mark.parametrize(
    ("record", "command"),
    [
        (json.dumps({"url": "file:///home/ada/my%20room"}), "pip install '/home/ada/my room[train]'"),
        (
            json.dumps({"url": "file:///tmp/fittingroom-0.2-py3-none-any.whl"}),
            "fittingroom-0.2-py3-none-any.whl[train]'",
        ),
        (None, "pip install 'fittingroom[train]'"),  # it came from an index, which has it
        ("{", "PLACE being the checkout or the wheel"),
    ],
)
def test_the_place_is_where_it_was_installed_from(
    monkeypatch: pytest.MonkeyPatch, record: str | None, command: str
) -> None:
    monkeypatch.setattr("importlib.metadata.distribution", lambda _name: Installed(record))
    assert command in how_to_install("train")


def test_a_source_tree_that_was_never_installed_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.distribution", missing)
    assert "PLACE[serve]" in how_to_install("serve")
