"""``fittingroom serve`` as its user starts it, where it can't start."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from fittingroom.cli import main
from tests.support.small_run import train_small


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_small(tmp_path_factory.mktemp("serve") / "run").path


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(["serve", *arguments]) == 2
    return capsys.readouterr().err


def test_a_port_that_is_taken_is_named_with_another(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = refused(capsys, str(run), "--port", str(port))
    assert said.startswith(f"fittingroom: port {port} of 127.0.0.1 is in use by another program; give another one")


@pytest.mark.parametrize("port", ["-1", "65536", "99999"])
def test_what_is_no_port_is_refused(run: Path, port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"--port: a number 0–65535 expected, {port} found" in refused(capsys, str(run), f"--port={port}")


def test_an_empty_key_is_refused_and_does_not_let_everybody_in(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FITTINGROOM_API_KEY", "")
    assert "a key expected, an empty text found" in refused(capsys, str(run), "--port", "0")


@pytest.mark.parametrize("host", ["192.168..1", "no such host"])
def test_what_is_no_host_is_refused(run: Path, host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "check --host and --port" in refused(capsys, str(run), "--host", host, "--api-key", "k")


def test_an_address_of_another_machine_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, str(run), "--host", "192.0.2.1", "--port", "0", "--api-key", "k")
    assert "port 0 of 192.0.2.1 can't be listened at" in said
    assert "check --host and --port" in said
