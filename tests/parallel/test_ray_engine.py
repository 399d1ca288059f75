"""A Ray of this machine's own lets nobody else in, and a cluster that runs already does what is done here."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import fittingroom as fr
from fittingroom.data.convert import convert
from tests.support import PATIENCE, SUPPORT
from tests.support.small_run import train_small

pytestmark = pytest.mark.nightly  # each starts Ray, which takes seconds

LINEAR = f"model='{SUPPORT / 'linear_net.py'}:net'"
QUICK = ["--recipe", "plain", "--set", LINEAR, "--set", "precision=float32", "--set", "validation=200", "--epochs", "2"]
LABELS = ["data", "check", "sample", "--labels", "--folds", "2", "--no-near-duplicates", "--no-cache", "--json"]
MEMBER_FILES = ("model.safetensors", "recipe.toml", "predictions-validation.parquet")

RECIPE = """
model = "{model}:net"
batch_size = 250
precision = "float32"
optimizer = "adamw"

[[stages]]
epochs = 2
lr = 0.01
"""


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command to its end, in a process that was told nothing of Ray but ``environment``."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=own | environment)


# A Ray of this machine's own.

IMPORTED_BEFORE = """
import subprocess, sys
import ray
import fittingroom as fr
from fittingroom.parallel.ray_engine import connected


if "used" in sys.argv:
    ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="CRITICAL")
    ray.shutdown()
with connected(fr.RayEngine()) as connection:
    print(ray.get(ray.remote(lambda: "answered").remote()))
    print(ray.get_runtime_context().gcs_address, flush=True)
    sys.stdin.readline()
"""
OUTSIDER = "import ray, sys; ray.init(sys.argv[1], logging_level='CRITICAL'); print('got in')"


@pytest.mark.parametrize("before", ["imported", "used"])
def test_a_ray_that_was_imported_before_is_started_and_lets_nobody_else_in(before: str) -> None:
    command = [sys.executable, "-c", IMPORTED_BEFORE, before]
    own = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    pipe = subprocess.PIPE

    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=own) as process:
        assert process.stdout is not None
        answer, address = process.stdout.readline().strip(), process.stdout.readline().strip()
        outsider = run(sys.executable, "-c", OUTSIDER, address)
        _, told = process.communicate("\n", timeout=PATIENCE)

    assert (answer, process.returncode) == ("answered", 0), told
    assert outsider.returncode == 1
    assert outsider.stdout == ""
    assert "ConnectionError" in outsider.stderr


# A cluster that runs already.


@pytest.fixture(scope="module")
def cluster() -> Iterator[dict[str, str]]:
    """The address of a cluster that was started as its users start one, and the token that it asks for.

    It ends with the tests, and so does all that it started, whatever became of them.
    """
    folder = tempfile.mkdtemp(prefix="ray-")  # not tmp_path: Ray's sockets below it need a short name
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    options = ["--port", "0", "--num-cpus", "2", "--include-dashboard", "false", "--disable-usage-stats"]
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", *options]

    with subprocess.Popen(
        [*command, "--temp-dir", folder],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | token, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            told = []
            for line in process.stdout:
                told.append(line)
                if found := re.search(r"ray start --address='([\d.:]+)'", line):
                    yield token | {"address": found[1]}
                    break
            else:
                pytest.fail("".join(told))
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=PATIENCE)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            shutil.rmtree(folder, ignore_errors=True)


def on_cluster(cluster: dict[str, str], *arguments: str) -> str:
    """What the command prints that does its work on the cluster."""
    address = ["--engine", "ray", "--ray-address", cluster["address"]]
    token = {key: value for key, value in cluster.items() if key != "address"}
    done = run(sys.executable, "-m", "fittingroom", *arguments, *address, **token)
    assert done.returncode == 0, done.stderr
    return done.stdout


def here(*arguments: str) -> str:
    """What it prints without."""
    done = run(sys.executable, "-m", "fittingroom", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_seeds_on_a_cluster_are_those_one_after_another_bit_for_bit(cluster: dict[str, str]) -> None:
    train = ["train", "sample", *QUICK, "--no-test", "--seeds", "2", "--quiet"]
    on_cluster(cluster, *train, "--out", "cluster")
    here(*train, "--threads", "1", "--out", "here")
    for seed in range(2):
        for file in MEMBER_FILES:
            assert Path(f"cluster/seed-{seed}/{file}").read_bytes() == Path(f"here/seed-{seed}/{file}").read_bytes()


def test_labels_checked_on_a_cluster_are_doubted_as_here(cluster: dict[str, str]) -> None:
    Path("linear.toml").write_text(RECIPE.format(model=SUPPORT / "linear_net.py"), encoding="utf-8")
    check = [*LABELS, "--recipe", "linear.toml"]
    on_ray, alone = json.loads(on_cluster(cluster, *check)), json.loads(here(*check, "--threads", "1"))
    assert on_ray["findings"] == alone["findings"]
    assert {"label-noise"} < {finding["name"] for finding in on_ray["findings"]}


def test_trials_on_a_cluster_are_what_their_recipes_make_of_them_here(cluster: dict[str, str]) -> None:
    Path("space.toml").write_text("lr = { low = 0.001, high = 0.1, log = true }", encoding="utf-8")
    tune = ["tune", "sample", *QUICK, "--space", "space.toml", "--trials", "3", "--pruner", "none", "--quiet"]
    on_cluster(cluster, *tune, "--final-seeds", "0", "--out", "study")
    for trial in range(3):
        folder = f"study/trial-{trial:04d}"
        code = [
            "--model",
            f"{SUPPORT / 'linear_net.py'}:net",
        ]  # the code that a trial's recipe names is named by its user
        here("train", "sample", "--recipe", f"{folder}/recipe.toml", *code, "--threads", "1", "--no-test", "--quiet",
             "--out", f"alone-{trial}")  # fmt: skip
        again, drawn = (Path(each, "model.safetensors").read_bytes() for each in (f"alone-{trial}", folder))
        assert again == drawn


def test_shards_scored_on_a_cluster_have_the_answers_of_here(cluster: dict[str, str]) -> None:
    train_small(Path("run"))
    Path("in").mkdir()
    sample = fr.open_dataset("sample").train
    for number in range(2):
        convert(fr.Splits(sample.subset(range(100 * number, 100 * number + 100))), Path(f"in/train-{number}.parquet"))
    on_cluster(cluster, "predict", "run", "in", "--out", "cluster")
    here("predict", "run", "in", "--out", "here")
    for number in range(2):
        one, other = (Path(f"{out}/train-{number}.parquet").read_bytes() for out in ("cluster", "here"))
        assert one == other
