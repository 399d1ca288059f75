"""``fittingroom serve`` as its user starts it, where it can't start."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from fittingroom.cli import main
from fittingroom.errors import ArtifactError
from fittingroom.serve.server import open_models
from tests.support.small_run import train_small


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_small(tmp_path_factory.mktemp("serve") / "run").path


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


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
    assert "check --host and --port" in refused(capsys, str(run), "--host", host, "--no-key")


def test_an_address_of_another_machine_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, str(run), "--host", "192.0.2.1", "--port", "0", "--no-key")
    assert "port 0 of 192.0.2.1 can't be listened at" in said
    assert "check --host and --port" in said


def test_beyond_this_machine_a_key_is_asked_for(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        said = refused(capsys, str(run), "--host", host, "--port", "0")
        assert "a key in $FITTINGROOM_API_KEY or in the file of --api-key-file expected, none found" in said
        assert "--no-key lets everybody in" in said


def test_a_key_on_the_command_line_is_taken_with_a_warning(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, str(run), "--api-key", "k", "--port", "-1")
    assert "--api-key shows the key to every user of this machine" in said


def test_no_key_beside_a_key_is_refused(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FITTINGROOM_API_KEY", "k")
    assert "unset the one or leave out the other" in refused(capsys, str(run), "--no-key")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"one\ntwo\n", b"x" * 2_000, b"\xff\xfe", b"a\tb"])
def test_a_file_that_holds_no_key_is_refused(
    run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "key").write_bytes(content)
    said = refused(capsys, str(run), "--api-key-file", str(tmp_path / "key"))
    assert "key" in said
    assert "expected" in said


def test_a_file_that_is_missing_is_named(run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "No such file" in refused(capsys, str(run), "--api-key-file", str(tmp_path / "none"))


@pytest.mark.parametrize("name", ["a/b", "", ".", "..", "a b", "a\n", "a?b", "a%b"])
def test_what_is_no_name_in_an_address_is_refused(run: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--name: letters, digits, '-', '_' and '.' expected" in refused(capsys, str(run), "--name", name)


def test_a_name_that_is_no_text_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "a name in UTF-8 expected" in refused(capsys, str(run), "--name", "\ud800")
    with pytest.raises(ArtifactError, match="letters, digits"):
        open_models([run], names=["\ud800"])


def test_there_is_a_name_for_each_run_or_for_none(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, str(run), "--name", "a", "--name", "b")
    assert "--name: one for each run, 1, expected, 2 found" in said


def test_two_runs_of_one_name_are_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "was given before" in refused(capsys, str(run), str(run))


def test_one_damaged_run_of_several_is_named_and_the_others_are_opened(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "damaged")
    (tmp_path / "damaged" / "config.json").write_bytes(b"{")
    with pytest.warns(UserWarning, match="it is not served, the others are") as warned:
        served = open_models([tmp_path / "damaged", run], names=["a", "b"])
    assert [each.name for each in served] == ["b"]
    assert len(warned) == 1
    assert "damaged" in str(warned[0].message)


def test_where_no_run_can_be_opened_each_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = refused(capsys, str(tmp_path / "one"), str(tmp_path / "two"))
    assert said.count("a run's folder expected, nothing found there") == 2


@pytest.mark.parametrize("by", ["file", "environment"])
def test_the_key_of_a_file_or_of_the_environment_opens_the_door_and_is_in_no_list_of_processes(
    run: Path, tmp_path: Path, by: str
) -> None:
    (tmp_path / "key").write_text("open-sesame\n", encoding="utf-8")
    options = ["--name", "shoes", "--port", "0", "--log", "off"]
    options += ["--api-key-file", str(tmp_path / "key")] if by == "file" else []
    environment = os.environ | ({} if by == "file" else {"FITTINGROOM_API_KEY": "open-sesame"})
    command = [sys.executable, "-m", "fittingroom", "serve", str(run), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            url = line.split(" at ")[1].split()[0]
            assert line.startswith("serving shoes at http://127.0.0.1:")
            started = (process.pid, *_children(process.pid))
            for pid in started:
                assert "open-sesame" not in Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
            key = {"X-API-Key": "open-sesame"}
            assert httpx.get(f"{url}v2/models/shoes", headers=key, trust_env=False).status_code == 200
            assert httpx.get(f"{url}v2/models/shoes", trust_env=False).status_code == 401
        finally:
            process.terminate()
