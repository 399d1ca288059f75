"""``fittingroom train``, ``evaluate``, ``runs``, ``models``, ``recipes`` as their users call them."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from sklearn.metrics import accuracy_score

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.data.convert import convert
from fittingroom.data.fetch.known_sets import KNOWN
from tests.support import NARROW, PATIENCE, SUPPORT

SHORT = ["--recipe", "plain", "--epochs", "1", "--set", "precision=float32"]
TINY = [*SHORT, "--set", NARROW]
LINEAR = [*SHORT, "--model", f"{SUPPORT / 'linear_net.py'}:net"]  # where any network would do
COMMANDS = [[], ["train"], ["evaluate"], ["runs"], ["models"], ["recipes"], ["data"], ["data", "info"]]


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def fittingroom(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fittingroom", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_train_writes_a_judged_run_and_says_so_in_twenty_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "sample", *TINY]) == 0
    printed = capsys.readouterr()
    result = json.loads(Path("runs/plain-1/result.json").read_text(encoding="utf-8"))
    assert f"test        accuracy {result['test']['accuracy']:.2%} on 1,000 images; 95% interval " in printed.out
    assert "ledger      1 evaluation on this test set so far" in printed.out
    assert "runs/plain-1/" in printed.out
    assert "pictures    predict sees what training saw: checked on 200 pictures" in printed.out
    assert len(printed.out.splitlines()) <= 20
    assert "epoch 1/1" in printed.err

    # The folder holds what the lines say, and the ledger what the result says.
    names = {file.name for file in Path("runs/plain-1").iterdir()}
    assert names >= {
        *("model.safetensors", "config.json", "recipe.toml", "environment.json", "metrics.jsonl", "result.json"),
        *("predictions.parquet", "loss.png", "checkpoints"),
    }
    assert result["test"]["n"] == 1000
    assert len(result["test_looks"]) == 1
    ledger = Path("runs/test-looks.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in ledger] == result["test_looks"]


def test_predictions_hold_what_the_result_says(capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", "sample", *TINY, "--json"])
    result = json.loads(capsys.readouterr().out)
    table = pl.read_parquet("runs/plain-1/predictions.parquet")
    assert accuracy_score(table["label"], table["predicted"]) == result["test"]["accuracy"]
    run = fr.open_run("runs/plain-1")
    data = fr.open_dataset("sample").test
    assert data is not None
    assert table["image"].to_list() == [digest.hex() for digest in data.image_hashes()]
    probabilities = fr.load(run.path).predict_proba(data.images)
    # What was judged is PyTorch's answer; `load` asks the exported model, which the parity gate keeps within 1e-4.
    assert table.select(pl.col("^p[0-9]+$")).to_numpy() == pytest.approx(probabilities, abs=1e-4)


def test_no_test_leaves_the_ledger_empty_and_evaluate_fills_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", "sample", *TINY, "--no-test"])
    assert "not evaluated; fittingroom evaluate runs/plain-1 does it" in capsys.readouterr().out
    assert not Path("runs/test-looks.jsonl").exists()
    assert fr.open_run("runs/plain-1").result["test"] is None
    assert main(["evaluate", "runs/plain-1", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores.pop("trained_on")["n"] == 1000
    assert fr.open_run("runs/plain-1").result["test"] == scores


def test_a_later_look_goes_to_a_file_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", "sample", *TINY])
    before = Path("runs/plain-1/result.json").read_bytes()
    capsys.readouterr()
    assert main(["evaluate", "runs/plain-1"]) == 0
    assert main(["evaluate", "runs/plain-1", "sample", "--split", "train", "--json"]) == 0
    assert Path("runs/plain-1/result.json").read_bytes() == before
    judged = json.loads(Path("runs/plain-1/evaluations/2.json").read_text(encoding="utf-8"))
    assert judged["scores"]["n"] == 2000
    assert len(Path("runs/test-looks.jsonl").read_text(encoding="utf-8").splitlines()) == 3


@pytest.mark.parametrize("seeds", ["0", "1", "-3"])
def test_too_few_seeds_are_refused_by_their_number(seeds: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "sample", *TINY, "--seeds", seeds]) == 2
    assert f"seeds: 2 or more expected, {seeds} found; for a single one give --seed" in capsys.readouterr().err


def test_several_seeds_report_mean_sd_and_interval(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "sample", *LINEAR, "--seeds", "3", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    accuracies = [member["test"]["accuracy"] for member in result["members"]]
    assert result["mean"] == pytest.approx(sum(accuracies) / 3)
    assert 0 <= result["interval"][0] < result["mean"] < result["interval"][1] <= 1
    assert [member["seed"] for member in result["members"]] == [0, 1, 2]
    assert len(set(accuracies)) > 1
    assert (Path("runs/plain-1/seed-2") / "model.safetensors").exists()
    assert main(["runs", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["run"], row["seeds"], row["test"]) == ("plain-1", 3, result["mean"])


def test_the_diagnosis_of_several_seeds_is_a_line_a_verdict_with_how_many(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "sample", *TINY, "--seeds", "2", "--no-test"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("diagnosis")]
    assert len(lines) == len({line.split()[1] for line in lines})
    assert lines[0].startswith("diagnosis   few-steps (2 of 2 seeds; the words are of seed 0): ")


def test_a_terminal_has_a_bar_for_each_seed_and_the_same_lines_above_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(["train", "sample", *LINEAR, "--epochs", "5", "--seeds", "2", "--no-test"]) == 0
    printed = capsys.readouterr().err
    assert printed.count("training   1,") == 1  # it is the same for both
    assert all(f"seed-{seed}   epoch 5/5   loss " in printed for seed in (0, 1))
    assert "images/s" in printed


def test_opening_a_run_of_several_seeds_as_one_model_lists_the_members() -> None:
    main(["train", "sample", *LINEAR, "--seeds", "2", "--no-test", "--quiet"])
    with pytest.raises(fr.ArtifactError, match=r"2 seeds found; give one of seed-0, seed-1"):
        fr.load("runs/plain-1")


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.nightly)])
def test_a_signal_saves_and_the_printed_line_resumes_to_the_same_weights(number: signal.Signals) -> None:
    options = ["train", "sample", "--recipe", "plain", "--epochs", "4", "--no-test"]
    options += ["--set", "precision=float32", "--set", NARROW]
    command = [sys.executable, "-m", "fittingroom", *options, "--out", "stopped"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch 1/"):
                process.send_signal(number)
                break
        printed = process.stderr.read()

    # Stopped with its state saved; the line that goes on with it is printed as it is to be typed.
    assert process.returncode == 130
    resume = re.search(r"^  fittingroom (train --resume .*)$", printed, re.MULTILINE)
    assert resume, printed
    assert not Path("stopped/result.json").exists()

    assert main([*shlex.split(resume[1]), "--quiet"]) == 0
    assert fr.open_run("stopped").result["test_looks"] == []  # --no-test is remembered
    assert main([*options, "--out", "whole", "--quiet"]) == 0
    assert Path("stopped/model.safetensors").read_bytes() == Path("whole/model.safetensors").read_bytes()


def test_resume_refuses_options_that_belong_to_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", "sample", *LINEAR, "--quiet", "--no-test"])
    assert main(["train", "sample", "--resume", "runs/plain-1", "--lr", "1"]) == 2
    assert "DATA, --lr can't be given with it" in capsys.readouterr().err


NET = """
from torch import nn

def net(num_classes, image_size):
    height, width = image_size
    return nn.Sequential(nn.Flatten(), nn.Linear(height * width, num_classes))
"""


def test_a_model_of_ones_own_is_kept_and_executed_only_with_trust(capsys: pytest.CaptureFixture[str]) -> None:
    Path("net.py").write_text(NET, encoding="utf-8")
    assert main(["train", "sample", "--model", "net.py:net", "--epochs", "1", "--quiet"]) == 0
    Path("net.py").unlink()
    capsys.readouterr()
    assert main(["evaluate", "runs/plain-1"]) == 2
    assert "--trust-code" in capsys.readouterr().err
    assert main(["evaluate", "runs/plain-1", "--trust-code"]) == 0
    (kept,) = Path("runs/plain-1").glob("code/*/net.py")
    kept.write_text(NET + "# changed", encoding="utf-8")
    assert main(["evaluate", "runs/plain-1", "--trust-code"]) == 2
    assert "was changed since the training" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["train", "nowhere"], "nowhere"),
        (["train", ""], "an empty name found"),
        (["train", "sample", "--recipe", "swfit"], "did you mean swift"),
        (["train", "sample", "--set", "batch_size=0", "--set", "ema=2"], "batch_size"),
        (["train", "sample", "--model", "nothing"], "known are"),
        (["train", "sample", "--epochs", "0"], "at least 1"),
        (["train", "--resume", "nowhere"], "nowhere"),
        (["train", "sample", "--ray-address", "10.0.0.5:6379"], "give --engine ray with it"),
        (["train", "sample", "--engine", "ray"], "give --seeds N, or leave it out"),
        (
            ["train", "sample", "--engine", "ray", "--seeds", "2", "--device", "cuda:1"],
            "a GPU of its own: --device cuda",
        ),
        (["train", "sample", *TINY, "--device", "cuda:99"], "device cuda:99: not on this machine"),
        (["train", "sample", "--batch-size", "0"], "batch_size"),
        (["evaluate", "nowhere"], "a run's folder expected"),
        (["runs", "nowhere"], "a folder of runs expected"),
        (["models", "nothing"], "known are"),
        (["recipes", "nothing"], "known are"),
    ],
)
def test_a_mistake_ends_in_one_message_without_a_traceback(
    args: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(args) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""
    assert not Path("runs").exists()


def test_the_batch_size_is_the_options_and_wins_over_set() -> None:
    assert (
        main(["train", "sample", *TINY, "--set", "batch_size=64", "--batch-size", "500", "--no-test", "--quiet"]) == 0
    )
    assert fr.open_run("runs/plain-1").recipe.batch_size == 500


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "cuda:1"], "under torchrun each process takes a GPU of its own: --device cuda"),
        (["--engine", "ray", "--seeds", "2"], "start it without torchrun"),
    ],
)
def test_what_does_not_go_with_torchrun_is_refused_before_a_process_waits_for_another(
    options: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert main(["train", "sample", *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.filterwarnings("always:.*it has no labels")
def test_a_test_set_without_labels_costs_no_training(capsys: pytest.CaptureFixture[str]) -> None:
    splits = fr.open_dataset("sample")
    assert splits.test is not None
    Path("kaggle").mkdir()
    convert(fr.Splits(splits.train.subset(range(500))), Path("kaggle/train.csv"))
    convert(fr.Splits(replace(splits.test, labels=None, classes=())), Path("kaggle/test.csv"))
    assert main(["train", "kaggle", *TINY, "--out", "run"]) == 0
    printed = capsys.readouterr()
    assert "warning: kaggle test: it has no labels, so nothing is judged on it" in printed.err
    assert "test        not judged: it has no labels" in printed.out
    assert Path("run/report.html").exists()
    assert fr.open_run("run").result["test"] is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--keep", "0"], "keep: 1 checkpoint or more expected, 0 found"),
        (["--model", "tutorial", "--set", "image_sizes=[[0,14]]"], "it failed on a batch of shape"),
    ],
)
def test_what_could_not_end_well_is_refused_before_the_first_step(
    wrong: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "sample", "--epochs", "1", *wrong]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_holds_something_is_not_written_over(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("years of work", encoding="utf-8")
    assert main(["train", "sample", *TINY, "--out", "mine"]) == 2
    said = capsys.readouterr().err
    assert "something is there; give another --out" in said
    assert "--resume" not in said  # it is no run
    assert [file.name for file in Path("mine").iterdir()] == ["thesis.txt"]


def test_or_sample_warns_and_goes_on_and_without_it_every_source_is_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("FITTINGROOM_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("FITTINGROOM_MIRRORS", "http://127.0.0.1:9/")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setitem(KNOWN, "fashion-mnist", replace(KNOWN["fashion-mnist"], debian_folder=None))
    assert main(["train", *TINY]) == 2
    assert "http://127.0.0.1:9/" in capsys.readouterr().err
    assert main(["train", *TINY, "--or-sample"]) == 0
    printed = capsys.readouterr()
    assert "GOING ON WITH THE SAMPLE" in printed.err
    assert "sample: 2,000 train" in printed.out


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_answers_without_heavy_imports(command: list[str]) -> None:
    code = (
        "import sys; from fittingroom.cli import main\n"
        f"try: main({[*command, '--help']!r})\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'torch', 'numpy', 'polars', 'PIL', 'rich', 'matplotlib', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage: " in done.stdout


def test_version_and_module_call_agree() -> None:
    assert fittingroom("--version").stdout == f"fittingroom {fr.__version__}\n"


def test_models_prints_the_tutorials_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "tutorial"]) == 0
    assert "39,786" in capsys.readouterr().out


def test_a_printed_recipe_can_be_trained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "plain"]) == 0
    Path("mine.toml").write_text(capsys.readouterr().out, encoding="utf-8")
    assert main(["train", "sample", "--recipe", "mine.toml", "--epochs", "1", "--no-test", "--quiet"]) == 0
    assert fr.open_run("runs/mine-1").recipe.name == "mine"


def test_a_recipe_with_three_mistakes_prints_three_lines(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.toml").write_text("model = 3\nbatch_sise = 1\n[[stages]]\nepochs = 1\nlr = 'x'\n", encoding="utf-8")
    assert main(["train", "sample", "--recipe", "bad.toml"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 3
    assert [re.search(r"line (\d)", line)[1] for line in lines] == ["1", "2", "5"]  # type: ignore[index]


def test_a_closed_pipe_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m fittingroom recipes swift | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Traceback" not in done.stderr


def test_two_trainings_at_once_get_two_folders() -> None:
    command = [sys.executable, "-m", "fittingroom", "train", "sample", *TINY, "--quiet"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(2)]
    deadline = time.monotonic() + 120
    assert [process.wait(timeout=deadline - time.monotonic()) for process in both] == [0, 0]
    assert {run.path.name for run in map(fr.open_run, Path("runs").glob("plain-*"))} == {"plain-1", "plain-2"}
    assert len(Path("runs/test-looks.jsonl").read_text(encoding="utf-8").splitlines()) == 2


def test_a_damaged_run_does_not_keep_the_others_from_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "sample", *LINEAR, "--no-test", "--quiet", "--out", "runs/good"]) == 0
    for name, content in (("cut", '{"format": 1, '), ("foreign", "{}"), ("empty", '{"format": 1}')):
        Path("runs", name).mkdir()
        Path("runs", name, "environment.json").write_text(content, encoding="utf-8")
    capsys.readouterr()
    assert main(["runs", "--json"]) == 0
    printed = capsys.readouterr()
    assert [row["run"] for row in json.loads(printed.out)] == ["good"]
    assert all(f"runs/{name} is not listed" in printed.err for name in ("cut", "foreign", "empty"))


def test_models_are_described_for_colour_too(capsys: pytest.CaptureFixture[str]) -> None:
    counted = {}
    for channels in ("1", "3"):
        assert main(["models", "tutorial", "--channels", channels, "--json"]) == 0
        counted[channels] = json.loads(capsys.readouterr().out)[0]["parameters"]
    kernel_weights = 2 * 25 * 16  # two more channels, 5×5 pixels, 16 filters
    assert counted["3"] - counted["1"] == kernel_weights


@pytest.mark.parametrize("share", ["20%", "0.2", "12.5%"])
def test_a_share_in_the_place_of_a_test_set_is_told_what_sets_one_apart(
    share: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "sample", "--test", share]) == 2
    assert f"--test {share}: a test set expected, a share found; fittingroom data split" in capsys.readouterr().err
