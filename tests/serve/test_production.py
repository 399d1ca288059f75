"""The page on the server in production: its unit, its Dockerfile and its probes are what this server understands.

The nightly test carries out the Dockerfile's steps without Docker: a wheelhouse, an environment that is filled from it
where there is no network, the command, and the health check.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from fittingroom.cli import make_parser
from fittingroom.serve import decoder_process, listening, server
from fittingroom.serve.batcher import Batcher
from fittingroom.serve.connection import LimitedProtocol
from fittingroom.serve.decoders import Decoders
from fittingroom.serve.endpoints import ENDPOINTS
from fittingroom.serve.guard import OPEN_TO_ALL, Limits
from fittingroom.serve.open_inference import MAX_IMAGES
from tests.docs.pages import ROOT, blocks_of
from tests.support.machine import missing

yaml = pytest.importorskip("yaml")
PAGE = ROOT / "docs" / "how-to" / "production.md"
BLOCKS = {block.text.partition("\n")[0]: block.text for block in blocks_of(PAGE)}
UNIT = BLOCKS["# /etc/systemd/system/fittingroom.service"]
DOCKERFILE = BLOCKS["# Dockerfile"].splitlines()[1:]
POD = yaml.safe_load(BLOCKS["# in the pod's template"])
FREE_PORT = "8917"


def instruction(word: str) -> list[str]:
    """The arguments of the Dockerfile's lines that begin so."""
    return [line.removeprefix(f"{word} ") for line in DOCKERFILE if line.startswith(f"{word} ")]


def test_the_commands_of_the_unit_and_of_the_container_are_understood() -> None:
    (unit,) = re.findall(r"^ExecStart=(.+)$", UNIT, re.MULTILINE)
    for words in (shlex.split(unit), json.loads(instruction("CMD")[0])):
        assert Path(words[0]).name == "fittingroom"
        args = make_parser("serve").parse_args(words[1:])
        assert (args.host, args.port, args.log, args.name) == ("0.0.0.0", 8000, "json", ["clothes"])
        assert args.api_key is None  # it would be seen in the list of processes


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        missing("the unit was not checked: that needs systemd-analyze")
    program = shutil.which("true") or "/bin/true"
    text = UNIT.replace("/opt/fittingroom/bin/fittingroom", program)
    (tmp_path / "fittingroom.service").write_text(text, encoding="utf-8")
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / "fittingroom.service")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "fittingroom.service" in line]
    assert said == []


def test_the_probes_ask_what_is_answered_without_a_key() -> None:
    (container,) = POD["containers"]
    paths = [endpoint.path for endpoint in ENDPOINTS]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        path = container[probe]["httpGet"]["path"]
        assert path in paths
        assert path in OPEN_TO_ALL
    assert POD["terminationGracePeriodSeconds"] > listening.DRAIN_SECONDS + server.LISTEN_ON_SECONDS + 5
    stop = int(re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)[0])
    assert stop > listening.DRAIN_SECONDS + server.LISTEN_ON_SECONDS


def test_what_the_page_says_of_limits_is_so() -> None:
    page = PAGE.read_text(encoding="utf-8")
    limits = Limits()
    batcher = Batcher(lambda _: None)  # type: ignore[arg-type,return-value]
    for said in (
        f"{limits.body >> 20} MB; {limits.seconds:g} seconds",
        f"a head {LimitedProtocol.head_bytes >> 10} KB and {LimitedProtocol.head_seconds:g} seconds",
        f"{limits.bodies >> 20} MB; more get 503",
        f"{decoder_process.SECONDS:g} seconds and {decoder_process.MEMORY >> 30} GB to decode",
        f"{MAX_IMAGES:,} images a request, {batcher.most_waiting:,} wait",
        f"{LimitedProtocol.unread_seconds:g} seconds, {LimitedProtocol.unread_bytes >> 20} MB",
        f"{LimitedProtocol.most:,}; idle ones are closed after {listening.IDLE_SECONDS} seconds",
        f"for up to {listening.DRAIN_SECONDS} seconds",
    ):
        assert said in page
    decoders = Decoders()
    assert (decoders.count, decoders.most_waiting) == (2, 32)
    assert "two at a time, 32 with those that wait" in page


@pytest.mark.nightly
def test_the_steps_of_the_container_give_a_server_without_torch_and_without_a_network(tmp_path: Path) -> None:
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None:
        missing("the container's steps were not carried out offline: that needs Linux, root and `unshare`")
    (wheel,) = [line for text in BLOCKS.values() for line in text.splitlines() if line.startswith("pip wheel ")]
    words = shlex.split(wheel.replace("--wheel-dir wheels", f"--wheel-dir {tmp_path}/wheels"))
    subprocess.run([sys.executable, "-m", *words, "--quiet"], cwd=ROOT, check=True)

    # The image's own Python is an empty environment here.
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "image"], check=True)
    (install,) = [line for line in instruction("RUN") if line.startswith("pip ")]
    words = shlex.split(install.replace("/wheels", f"{tmp_path}/wheels"))
    offline = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PYTHON"))}
    offline |= {"PATH": f"{tmp_path}/image/bin:{os.environ['PATH']}", "PIP_CONFIG_FILE": os.devnull}
    subprocess.run(["unshare", "--net", *words, "--quiet"], env=offline, cwd=tmp_path, check=True)
    packages = list((tmp_path / "image" / "lib").glob("python*/site-packages/*"))
    assert not any(path.name in ("torch", "scipy", "matplotlib") for path in packages)
    taken = sum(file.stat().st_size for file in (tmp_path / "image").rglob("*") if file.is_file())
    print(f"installed: {taken / 1e6:.0f} MB")
    assert taken < 500e6

    _, target = instruction("COPY")[1].split()
    run = ROOT / "tests" / "golden" / "format-1" / "swift-1"
    words = [str(run) if word == target else word for word in json.loads(instruction("CMD")[0])]
    words = [FREE_PORT if word == "8000" else word for word in words]
    done = subprocess.run(words, env=offline, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2  # without a key it doesn't open its door
    assert "a key in $FITTINGROOM_API_KEY" in done.stderr

    env = offline | {"FITTINGROOM_API_KEY": "open-sesame"}
    with subprocess.Popen(words, env=env, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().startswith("serving clothes at ")
            health = json.loads(instruction("HEALTHCHECK")[0].removeprefix("CMD "))
            subprocess.run([word.replace("8000", FREE_PORT) for word in health], env=offline, check=True)
            picture = tmp_path / "picture.png"
            subprocess.run(
                ["python", "-c", f"from PIL import Image; Image.new('L', (28, 28)).save({str(picture)!r})"],
                env=offline,
                check=True,
            )
            request = urllib.request.Request(
                f"http://127.0.0.1:{FREE_PORT}/predict",
                data=picture.read_bytes(),
                headers={"Authorization": "Bearer open-sesame"},
            )
            with urllib.request.urlopen(request) as answer:
                assert json.load(answer)["model"] == "clothes"
        finally:
            process.terminate()
