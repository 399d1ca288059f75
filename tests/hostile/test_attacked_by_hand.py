"""What attacks by hand found, as promises: places of files, names, the environment, texts of any length."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from PIL import Image
from safetensors.torch import load_file, save_file

import fittingroom as fr
from fittingroom.artifact.artifact import sha256_of_weights
from fittingroom.cli import main
from fittingroom.cli.signals import observing
from fittingroom.data.edits import edited
from fittingroom.environment import default_threads, threads_of_environment
from fittingroom.errors import ArtifactError, DataError, FittingRoomError, RecipeError
from fittingroom.files.atomic import atomic_directory, atomic_write
from fittingroom.files.cache_dir import cache_dir
from fittingroom.files.json_lines import append_json_line
from fittingroom.models import build_model, package_model
from fittingroom.parallel.process_group import process_group, processes
from fittingroom.predict import inputs
from fittingroom.recipes.reading import load_recipe, parse_recipe
from fittingroom.rendering.html_page import PACKAGE, in_markdown
from fittingroom.rendering.languages import page_in_two_languages, with_chinese
from fittingroom.rendering.terminal import terminal_width
from fittingroom.runs.metrics_log import MetricsLog
from fittingroom.runs.run import Run
from tests.support import GOLDEN

pytestmark = [pytest.mark.usefixtures("own_folder")]
QUICK = 10.0  # seconds of the processor that a refusal may take, whatever else the machine does
NEEDS_TIMM = pytest.mark.skipif(find_spec("timm") is None, reason="timm is an extra")
LINUX = pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs /dev/zero and pipes in folders")


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one message of a command that is refused, in time."""
    started = time.process_time()
    assert main(list(argv)) == 2
    assert time.process_time() - started < QUICK
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert len(said) < 6_000
    return said


# ── texts that somebody else wrote ───────────────────────────────────────────────────────────────────────────


@LINUX
@pytest.mark.parametrize("kind", ["pipe", "device", "holes"])
def test_no_pipe_device_or_file_of_gigabytes_is_read_as_a_recipe_or_a_list(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("given.toml", "given.csv"):
        if kind == "pipe":
            os.mkfifo(name)
        elif kind == "device":
            Path(name).symlink_to("/dev/zero")
        else:
            with Path(name).open("wb") as file:
                file.truncate(5 << 30)
    for argv in (
        ["train", "sample", "--recipe", "given.toml"],
        ["recipes", "given.toml"],
        ["try", "sample", "--variant", "given.toml"],
        ["tune", "sample", "--space", "given.toml"],
        ["train", "sample", "--without", "given.csv"],
        ["train", "sample", "--labels", "given.csv"],
    ):
        assert "expected" in refused(capsys, *argv), argv


@LINUX
def test_no_more_is_read_of_a_picture_than_one_has(
    mailed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("large.png").open("wb") as file:
        file.truncate(5 << 30)
    assert "bytes expected" in refused(capsys, "predict", str(mailed), "large.png")
    monkeypatch.setattr(inputs, "LARGEST_FILE", 1 << 20)
    with Path("/dev/zero").open("rb") as endless:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=endless))
        assert "a picture of at most" in refused(capsys, "predict", str(mailed), "-")


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 20_000 + "]" * 20_000,
        "batch_size = " + "9" * 6_000,
        "model_args = { a = 1979-05-27 }",
        ".".join("a" * 100_000) + " = 1",
        "[" + ".".join("a" * 100_000) + "]",
        "x = 1 #" + " " * (2 << 20),
    ],
    ids=["nested", "digits", "date", "dotted key", "dotted table", "long"],
)
def test_any_toml_is_refused_in_words_and_in_time(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("given.toml").write_text(text)
    for argv in (
        ["recipes", "given.toml"],
        ["try", "sample", "--variant", "given.toml"],
        ["tune", "sample", "--space", "given.toml"],
    ):
        assert "TOML" in refused(capsys, *argv), argv
    if len(text) < 100_000:
        key, _, value = text.partition("=")
        assert "--set" in refused(capsys, "train", "sample", "--set", f"{key.strip()}={value}")


def test_keys_with_many_parts_and_texts_with_many_dots_are_told_apart() -> None:
    recipe = load_recipe("plain")
    dots = "e.g. " * 40
    text = recipe.to_toml().replace(recipe.description, dots.strip())
    assert parse_recipe(text).description == dots.strip()


def test_a_message_about_thousands_of_keys_has_some_lines() -> None:
    text = "".join(f"lrr{number} = 1\n" for number in range(20_000))
    started = time.process_time()
    with pytest.raises(RecipeError, match="more of the kind") as raised:
        parse_recipe(text)
    assert time.process_time() - started < QUICK
    assert str(raised.value).count("\n") <= 30


def test_a_list_of_more_lines_than_the_data_explains_is_refused_before_it_is_read_whole() -> None:
    data = fr.open_dataset("sample")
    Path("list.csv").write_text("7\n" * 5_000_000)
    with pytest.raises(DataError, match=r"more than 7,000 lines found"):
        edited(data, without="list.csv", labels=None)

    # Each image twice, as from two people's lists, is still a list of them.
    Path("twice.csv").write_text("".join(f"{row}\n" for row in range(1_000)) * 2)
    splits, _, _ = edited(data, without="twice.csv", labels=None)
    assert len(splits.train) == 1_000


def test_a_column_of_thousands_of_wrong_names_is_refused_in_time() -> None:
    rows = "".join(f"{row},{'x' * 200}{row}\n" for row in range(2_000))
    Path("labels.csv").write_text(f"row,corrected\n{rows}")
    started = time.process_time()
    with pytest.raises(DataError, match=r"and 1,990 more found"):
        edited(fr.open_dataset("sample"), without=None, labels="labels.csv")
    assert time.process_time() - started < QUICK


@pytest.mark.parametrize("text", ["a. " * 30_000, "x: x: " * 20_000, "recipe of seed 1, " * 5_000])
def test_a_text_of_any_length_is_left_in_english_at_once(text: str) -> None:
    page = f"<html><body><dl><dd>{text}</dd></dl><p>{text}</p>{f'<p>{text[:700]}</p>' * 3}<!-- languages --></body>"
    started = time.process_time()
    made = with_chinese(page, "report")
    assert time.process_time() - started < QUICK
    assert text in made


# ── a run that came by mail ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def mailed(tmp_path: Path) -> Path:
    """A finished run, in a folder beside a file that is its user's."""
    shutil.copytree(GOLDEN / "format-1" / "swift-1", tmp_path / "mailed")
    (tmp_path / "precious").write_text("precious")
    return tmp_path / "mailed"


def test_no_link_in_a_run_has_a_file_elsewhere_replaced(mailed: Path) -> None:
    for name in ("report.html", "README.md", "loss.png"):
        (mailed / name).unlink(missing_ok=True)
        (mailed / name).symlink_to("../precious")
    assert main(["report", str(mailed)]) == 0
    assert (mailed.parent / "precious").read_text() == "precious"
    assert (mailed / "report.html").is_file()
    assert not (mailed / "report.html").is_symlink()


@LINUX
def test_a_pipe_in_a_run_is_not_waited_for(mailed: Path) -> None:
    (mailed / "report.html").unlink(missing_ok=True)
    os.mkfifo(mailed / "report.html")
    assert main(["report", str(mailed)]) == 0
    assert (mailed / "report.html").is_file()


def test_no_report_is_written_into_a_run_elsewhere(mailed: Path) -> None:
    other = mailed.parent / "other"
    shutil.copytree(mailed, other)
    (mailed / "seed-0").symlink_to(other)
    assert Run(mailed).members == []


@LINUX
def test_no_line_is_appended_to_a_file_that_is_no_ledger(tmp_path: Path) -> None:
    script, ledger = tmp_path / ".bashrc", tmp_path / "shared.jsonl"
    script.write_text("alias ll='ls -l'\n")
    ledger.write_text('{"format": 1}\n')
    for target in (script, tmp_path / "new"):
        (tmp_path / "test-looks.jsonl").unlink(missing_ok=True)
        (tmp_path / "test-looks.jsonl").symlink_to(target)
        with pytest.raises(OSError, match=r"link|No such file"):
            append_json_line(tmp_path / "test-looks.jsonl", {"run": "$(touch pwned)"})
    assert script.read_text() == "alias ll='ls -l'\n"
    assert not (tmp_path / "new").exists()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="a regular file expected"):
        append_json_line(tmp_path / "pipe", {"run": "mine"})

    # A group's common ledger is one that a link leads to.
    (tmp_path / "test-looks.jsonl").unlink()
    (tmp_path / "test-looks.jsonl").symlink_to(ledger)
    append_json_line(tmp_path / "test-looks.jsonl", {"run": "mine"})
    assert ledger.read_text().endswith('{"run": "mine"}\n')


@LINUX
def test_no_event_is_appended_to_a_file_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "link").symlink_to("mine")
    (tmp_path / "nowhere").symlink_to("elsewhere")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "nowhere", "pipe"):
        with pytest.raises(ArtifactError, match="the run's own file expected, a link or pipe found"):
            MetricsLog(tmp_path / name)
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "elsewhere").exists()


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_or_folder_may_have_a_name_of_255_bytes(tmp_path: Path) -> None:
    for name in ("a" * 255, "é" * 127, "文" * 85):
        with atomic_write(tmp_path / name) as file:
            file.write(b"x")
        assert (tmp_path / name).read_bytes() == b"x"
        (tmp_path / name).unlink()
        with atomic_directory(tmp_path / name) as folder:
            (folder / "inside").touch()
        assert [each.name for each in tmp_path.glob("*/inside")] == ["inside"]
        shutil.rmtree(tmp_path / name)
    assert not list(tmp_path.glob(".*.tmp"))


@NEEDS_TIMM
@pytest.mark.parametrize(
    "name",
    ["../../x", "", "resnet18.nosuchtag", "hf-hub:evil/x", "resnet18\n", "local-dir:/tmp", "resnet81", "a" * 9999],
)
def test_a_network_that_timm_does_not_know_is_refused_in_words(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "train", "sample", "--model", f"timm:{name}")
    assert "that timm" in said
    assert "expected" in said


# ── the environment ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_number_of_threads_that_nobody_means_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    for said in ("9" * 5_000, "abc", "-1", "0", "²", ""):
        monkeypatch.setenv("OMP_NUM_THREADS", said)
        assert threads_of_environment() is None
        assert default_threads() >= 1
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert threads_of_environment() == 3


def test_no_width_of_a_terminal_makes_a_command_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

        def fileno(self) -> int:
            raise OSError

    for said in ("²", "9" * 5_000, "-3", "x"):
        monkeypatch.setenv("COLUMNS", said)
        assert terminal_width(Terminal()) == 80
    monkeypatch.setenv("COLUMNS", "40")
    assert terminal_width(Terminal()) == 40


@pytest.mark.parametrize("variable", ["FITTINGROOM_CACHE", "FITTINGROOM_DATA"])
def test_a_folder_of_nobody_is_refused_in_words(
    variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, "~nosuchuser/x")
    assert f"${variable}: a folder expected" in refused(capsys, "data", "info", "fashion-mnist")


def test_a_user_without_a_home_is_told_of_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("FITTINGROOM_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(FittingRoomError, match="FITTINGROOM_CACHE"):
        cache_dir()


@pytest.mark.parametrize(
    "change",
    [
        *({"WORLD_SIZE": "abc"}, {"WORLD_SIZE": "-3"}, {"RANK": "x"}, {"RANK": "7"}, {"LOCAL_RANK": "zz"}),
        *({"MASTER_PORT": "zz"}, {"MASTER_ADDR": ""}),
    ],
    ids=str,
)
def test_an_environment_that_torchrun_did_not_make_is_refused_in_words(
    change: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511"}
    for variable, value in {**right, **change}.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(FittingRoomError, match=rf"\${next(iter(change))}: .* expected"), process_group(2):
        processes()


@NEEDS_TIMM
@pytest.mark.parametrize("address", ["not a url", "http://[::1", "file:///etc", "http://a b"])
def test_a_mirror_that_is_no_address_is_refused_in_words(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    assert "$HF_ENDPOINT: an address" in refused(capsys, "train", "sample", "--model", "timm:resnet18")


def test_what_json_and_toml_hold_goes_on_being_written(tmp_path: Path) -> None:
    """The other way round: what is right stays right."""
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with atomic_write(tmp_path / "link") as file:
        file.write(json.dumps({"a": 1}).encode())
    assert (tmp_path / "link").is_symlink()  # a path that the user names is theirs
    assert json.loads((tmp_path / "target").read_text()) == {"a": 1}
    assert np.isfinite(load_recipe("swift").stages[0].lr)


# ── what a page, a card and a network are made of ────────────────────────────────────────────────────────────


def test_a_name_on_a_page_turns_no_line_and_on_a_card_fetches_no_picture() -> None:
    name = "\x1b[2JBag\u202egpj\r# H ![x](http://example.org/x.png)"
    card = in_markdown(name)
    assert "\x1b" not in card
    assert "\u202e" not in card
    assert "\r" not in card
    assert "![" not in card
    page = page_in_two_languages(PACKAGE / "audit" / "page.html", CHECKED | {"title": name}, "check")
    assert "\\x1b[2JBag\\u202egpj" in page
    assert "\x1b" not in page


CHECKED = {"found": "", "seconds": 0.0, "checked": [], "notes": [], "problems": [], "findings": []}


@pytest.mark.parametrize("arguments", [{"depths": 5}, {"widths": "abc", "pools": None}, {"depths": [[]]}], ids=str)
def test_arguments_of_any_type_leave_a_report_without_the_model_to_try(
    arguments: dict[str, object], mailed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((mailed / "config.json").read_text()) | {"model": "residual", "model_args": arguments}
    (mailed / "config.json").write_text(json.dumps(config))
    assert main(["report", str(mailed)]) == 0
    assert "can’t be tried on this page" in (mailed / "report.html").read_text()
    assert "weights of model residual expected" in refused(capsys, "export", str(mailed), "--format", "page")


@NEEDS_TIMM
def test_a_network_is_built_no_further_than_its_weights_go(mailed: Path) -> None:
    config = json.loads((mailed / "config.json").read_text())
    for arguments in ({"embed_dim": 192 * 200, "patch_size": 4}, {"depth": 1_000_000, "patch_size": 4}):
        changed = config | {"model": "timm:vit_tiny_patch16_224", "model_args": arguments}
        (mailed / "config.json").write_text(json.dumps(changed))
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(ArtifactError, match="model_args ask for a larger one"):
            Run(mailed).artifact.network()
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used < 1 << 20  # kB


def test_source_that_python_cannot_read_and_a_network_that_exits_are_refused_in_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("deep.py").write_text("x = " + "-" * 200_000 + "1\nclass Net: ...\n")
    assert "executing deep.py failed" in refused(capsys, "train", "sample", "--model", "deep.py:Net")
    assert "SystemExit" in refused(capsys, "train", "sample", "--model", "sys:exit")


def test_weights_that_are_no_numbers_or_claim_more_than_the_file_has_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    images = np.zeros((40, 28, 28), np.uint8)
    np.savez("two.npz", x_train=images, y_train=np.arange(40) % 2)
    network = build_model(package_model("tutorial"), num_classes=2, image_size=(28, 28), channels=1)
    given = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    torch.save({name: torch.empty_strided((10**11,), (0,)) for name in given}, "large.pth")
    body = next(name for name in given if name.startswith("layer1") and name.endswith("weight"))
    save_file(given | {body: torch.full_like(given[body], float("nan"))}, "nan.safetensors")
    for file, words in (("large.pth", "whole tensors expected"), ("nan.safetensors", "NaN or infinite")):
        argv = ["train", "two.npz", "--model", "tutorial", "--weights", file, "--threads", "1"]
        argv += ["--out", "started", "--set", "normalize=unit"]
        assert words in refused(capsys, *argv)


def test_a_model_of_spoilt_weights_is_refused_where_it_would_answer_nan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(GOLDEN / "format-1" / "swift-1", run)
    tensors = load_file(run / "model.safetensors")
    convolution = next(name for name, tensor in tensors.items() if tensor.ndim == 4)
    tensors[convolution][0, 0, 0, 0] = float("nan")
    save_file(tensors, run / "model.safetensors")

    model = onnx.load(run / "model.onnx")
    weights = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    spoilt = numpy_helper.to_array(weights).copy()
    spoilt[0, 0, 0, 0] = np.nan
    weights.CopyFrom(numpy_helper.from_array(spoilt, weights.name))
    of_weights = next(entry for entry in model.metadata_props if entry.key == "fittingroom.weights")
    of_weights.value = json.dumps(sha256_of_weights(run))
    onnx.save(model, run / "model.onnx")

    Image.new("L", (28, 28), 90).save("one.png")
    words = "numbers for probabilities expected, NaN found for 1 image of 1: its weights are damaged"
    assert words in refused(capsys, "predict", str(run), "one.png")
    assert words in refused(capsys, "serve", str(run), "--port", "0")
    (run / "model.onnx").unlink()
    assert words in refused(capsys, "predict", str(run), "one.png")
    assert "NaN found for 1,000 images of 1,000" in refused(capsys, "evaluate", str(run), "sample")


@LINUX
def test_a_directory_that_is_gone_is_said_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = Path.cwd()
    (tmp_path / "gone").mkdir()
    os.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    try:
        for command in ("train", "evaluate", "export"):
            assert "the current directory is gone" in refused(capsys, command, "sample")
        assert main(["data", "info", "sample"]) == 0  # which needs none
    finally:
        os.chdir(here)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs SIGHUP")
def test_a_training_whose_terminal_is_closed_saves_its_state_unless_nohup_has_it_ignored() -> None:
    argv = [sys.executable, "-m", "fittingroom", "train", "sample", "--model", "tutorial", "--epochs", "2000"]
    argv += ["--threads", "1", "--no-test", "--out"]
    train = subprocess.Popen([*argv, "closed"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not Path("closed/checkpoints").exists():
        assert train.poll() is None
        time.sleep(0.05)
    train.send_signal(signal.SIGHUP)
    assert train.wait(120) == 130
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with observing(quiet=True) as hooks:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not hooks.should_stop()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(not hasattr(signal, "SIGXCPU"), reason="needs SIGXCPU")
def test_a_training_whose_time_of_the_processor_is_used_up_saves_its_state() -> None:
    with observing(quiet=True) as hooks:
        assert not hooks.should_stop()
        for _ in range(3):  # the system says it again each second, until the hard limit
            os.kill(os.getpid(), signal.SIGXCPU)
        assert hooks.should_stop()
    assert signal.getsignal(signal.SIGXCPU) is signal.SIG_DFL
