"""Where memory runs out there is one message, and not a traceback."""

from __future__ import annotations

import pytest

from fittingroom import cli


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("Unable to allocate 8.97 MiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("could not create a primitive"),
        ImportError("scipy/_ufuncs.so: failed to map segment from shared object"),
    ],
)
def test_no_memory_is_one_message(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_args: object) -> int:
        raise error

    monkeypatch.setattr("fittingroom.cli.recipes.run_recipes", fail)

    assert cli.main(["recipes"]) == 2
    assert "there is not enough memory for this" in capsys.readouterr().err


@pytest.mark.parametrize("error", [RuntimeError("another"), ImportError("another"), ModuleNotFoundError("x", name="x")])
def test_other_errors_are_our_fault(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_args: object) -> int:
        raise error

    monkeypatch.setattr("fittingroom.cli.recipes.run_recipes", fail)

    with pytest.raises(type(error)):
        cli.main(["recipes"])
