"""Where memory runs out there is one message, and not a traceback."""

from __future__ import annotations

import errno

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


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["recipes"], "give it more\n"),
        (["train"], "give it more, or less to do at once: --batch-size N, --threads 1, --size N\n"),
        (["evaluate", "run"], "give it more, or less to do at once: --threads 1\n"),
    ],
)
def test_only_options_that_the_command_has_are_named(
    words: list[str], advice: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_args: object) -> int:
        raise MemoryError

    monkeypatch.setattr(f"fittingroom.cli.{words[0]}.run_{words[0]}", fail)

    assert cli.main(words) == 2
    assert capsys.readouterr().err.endswith(advice)


@pytest.mark.parametrize("error", [RuntimeError("another"), ImportError("another"), ModuleNotFoundError("x", name="x")])
def test_other_errors_are_our_fault(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_args: object) -> int:
        raise error

    monkeypatch.setattr("fittingroom.cli.recipes.run_recipes", fail)

    with pytest.raises(type(error)):
        cli.main(["recipes"])


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            RuntimeError("can't start new thread"),
            "no more threads can be started: raise the limit of proc",
        ),
        (
            OSError(errno.EMFILE, "Too many open files"),
            "Too many open files: raise the limit of open files (ulimit -n)",
        ),
        (
            OSError(errno.EAGAIN, "Resource temporarily unavailable"),
            "Resource temporarily unavailable: raise",
        ),
    ],
)
def test_what_the_system_grants_no_more_of_is_one_message(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_args: object) -> int:
        raise error

    monkeypatch.setattr("fittingroom.cli.recipes.run_recipes", fail)

    assert cli.main(["recipes"]) == 2
    assert capsys.readouterr().err.startswith(f"fittingroom: {said}")
