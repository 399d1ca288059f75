"""What the bench has measured and what is said of it agree."""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from fittingroom.models.tutorial_cnn import TutorialCNN
from fittingroom.recipes.reading import RECIPES_DIR

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """``benchmark("table")`` imports a script; they import each other by bare names."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == BENCHMARKS:
            del sys.modules[name]


def test_readme_and_scripts_say_what_results_csv_says() -> None:
    check = subprocess.run([sys.executable, BENCHMARKS / "table.py", "--check"], capture_output=True, text=True)
    assert check.returncode == 0, check.stderr


def test_a_changed_figure_in_the_readme_is_found(tmp_path: Path) -> None:
    readme = BENCHMARKS.parent / "README.md"
    text = readme.read_text(encoding="utf-8")
    assert "| `swift` |" in text
    changed = tmp_path / "README.md"
    changed.write_text(text.replace("| `swift` |", "| `swifter` |"), encoding="utf-8")
    check = subprocess.run(
        [sys.executable, BENCHMARKS / "table.py", "--check", "--readme", changed], capture_output=True, text=True
    )
    assert check.returncode == 1
    assert "README.md: differs" in check.stderr


@pytest.mark.parametrize("recipe", ["swift", "steady", "strong", "compact", "tiny"])
def test_a_recipes_head_says_what_was_measured_last(benchmark: Callable[[str], ModuleType], recipe: str) -> None:
    rows, part = benchmark("record").latest(), benchmark("record").part
    accuracy, seconds, share = (
        rows["time_to_accuracy.py", recipe, metric, ""] for metric in ("accuracy", "seconds", "share of the notebook")
    )
    text = (RECIPES_DIR / f"{recipe}.toml").read_text(encoding="utf-8")
    head = " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
    mean, sd = (100 * float(accuracy[key]) for key in ("mean", "sd"))
    assert f"Test accuracy {mean:.2f}%, sd {sd:.2f} points, n = {accuracy['n']} seeds" in head
    median = float(seconds["median"])
    assert f"{median:,.{0 if median > 100 else 1}f} s for the whole process" in head
    assert f"{part(float(share['median']))} of the tutorial's 80 epochs" in head


def test_a_share_is_written_at_most_5_percent_off(benchmark: Callable[[str], ModuleType]) -> None:
    part = benchmark("record").part
    assert [part(share) for share in (0.393, 0.125, 0.0722, 0.9217, 1 / 116, 1.06)] == [
        *("0.39", "1/8", "1/14", "0.92", "1/116", "1.06")
    ]
    for share in (each / 1000 for each in range(20, 1500)):
        above, _, below = part(share).partition("/")
        assert abs(float(above) / float(below or 1) / share - 1) <= 0.0501


def test_what_was_not_measured_is_said_and_a_straight_line_is_not_claimed(
    benchmark: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    table, record = benchmark("table"), benchmark("record")
    results = tmp_path / "results.csv"
    head = "date,processor,cores,torch,commit,script,name,metric,n,median,mean,sd,epoch\n"
    where = "2026-01-02,AMD,2,2.13.0,abc,"
    slow = [f"scaling.py,swift ×{k},epoch seconds,1,{s},{s},,\n" for k, s in ((1, 3), (2, 6), (4, 13), (8, 18))]
    off = 'scaling.py,swift line,"epoch seconds, worst deviation from it",1,0.35,0.35,,\n'
    peer = "throughput.py,Lightning,images_per_second,2,5000,5000,,\n"
    results.write_text(head + "".join(where + row for row in (*slow, off, peer)), encoding="utf-8")
    said = "\n".join(table.readme_lines(record.latest(results)))
    assert "up to 35% off" in said
    assert "inear" not in said
    assert "n = 1; 2026-01-02, commit abc" in said
    assert "not measured yet" in said
    assert "in float32, each program as its own documentation sets it up: Lightning 5,000 (medians, n = 2; 2026" in said
    assert "commit abc; AMD)" in said

    same = peer.replace("Lightning", '"Lightning, same settings"')
    results.write_text(results.read_text("utf-8") + where + same, encoding="utf-8")
    said = "\n".join(table.readme_lines(record.latest(results)))
    assert "not measured yet" not in said
    assert "with our memory allocator: Lightning 5,000" in said


def test_every_recorded_accuracy_on_test_is_a_look_replaced_ones_too(
    benchmark: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    looks = benchmark("looks")
    results = tmp_path / "results.csv"
    head = "date,processor,cores,torch,commit,script,name,metric,n,median,mean,sd,epoch\n"
    rows = ["time_to_accuracy.py,swift,accuracy,20,0.9,0.9,0.1,", "time_to_accuracy.py,swift,accuracy,3,0.9,0.9,0.1,"]
    rows += [f"curves.py,notebook,accuracy,2,0.9,0.9,0.1,{epoch}" for epoch in (1, 2, 3)]
    rows += ["time_to_accuracy.py,swift,seconds,20,9,9,1,", "memory.py,swift,peak MiB,3,500,500,1,"]
    rows += ["calibration.py,swift,calibration error (%),5,1,1,1,", "calibration.py,swift,log loss,5,1,1,1,"]
    results.write_text(head + "".join(f"d,p,2,t,abc,{row}\n" for row in rows), encoding="utf-8")
    assert looks.looks_by_name(results) == {"swift": 28, "notebook": 6}
    beside = tmp_path / "looks.csv"
    beside.write_text(
        'date,looks,what\n2026-01-02,4,"four seeds, by hand"\n2026-01-02,,the notebooks\n', encoding="utf-8"
    )
    looks.add("1", "one more", beside)
    looks.add("-", "who knows", beside)
    said = "\n".join(looks.looks_lines(results, beside))
    assert "| **34** |" in said
    assert "Beside these, 3 trainings" in said
    assert "- 2026-01-02: 4 looks: four seeds, by hand;\n- 2026-01-02: the notebooks;" in said
    assert ": 1 look: one more;" in said
    assert ": who knows.\n\nSo there were at least 39; what nobody wrote down isn't counted." in said


def test_evaluations_on_the_official_test_images_are_counted_from_ledgers(
    benchmark: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    looks, line = (
        benchmark("looks"),
        '{"when": "%s", "fingerprint": "%s", "run": "m", "command": "fittingroom train"}\n',
    )
    ledger = "".join(line % (when, looks.OFFICIAL_TEST) for when in ("one", "two")) + line % ("one", "of other images")
    for folder in ("runs", "copied/runs"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "test-looks.jsonl").write_text(ledger, encoding="utf-8")
    assert looks.in_ledgers(tmp_path) == 2


def test_peers_with_the_same_settings_compute_the_tutorials_network_in_bf16_channels_last(
    benchmark: Callable[[str], ModuleType],
) -> None:
    programs, throughput = benchmark("programs"), benchmark("throughput")
    network, tutorial = programs.SameNetwork(), TutorialCNN()
    tutorial.load_state_dict(network.state_dict())
    maps = []
    network.layer1[0].register_forward_hook(lambda _module, _given, out: maps.append(out))
    x_NCHW = torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    logits_NC = network(x_NCHW)
    logits_NC.sum().backward()
    assert maps[0].dtype == torch.bfloat16
    assert maps[0].is_contiguous(memory_format=torch.channels_last)
    assert logits_NC.dtype == torch.float32
    torch.testing.assert_close(logits_NC, tutorial(x_NCHW), atol=0.1, rtol=0.1)

    peers = [name for name in programs.PROGRAMS if name != "notebook" and not name.startswith("fittingroom")]
    assert throughput._names(same=True) == [*(f"{peer}, same settings" for peer in peers), "fittingroom auto"]
    assert tuple(programs.SAME) == benchmark("table").SAME


def test_the_docs_say_of_near_duplicates_what_was_judged(benchmark: Callable[[str], ModuleType]) -> None:
    page = (BENCHMARKS.parent / "docs" / "data-check.md").read_text(encoding="utf-8")
    assert "\n".join(benchmark("near_duplicate_sheets").counted()) in page


def test_a_measurement_that_was_stopped_trains_no_kept_seed_again_and_a_changed_recipe_anew(
    benchmark: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timing = benchmark("time_to_accuracy")
    process = benchmark("process").Process
    trained: list[tuple[str, str]] = []
    stopped: list[str] = []

    def train(_data: str, *options: str, out: Path) -> object:
        recipe, seed = options[1], options[3]
        if seed == "1" and not stopped:
            stopped.append(seed)
            raise KeyboardInterrupt
        trained.append((recipe, seed))
        out.mkdir(parents=True, exist_ok=True)
        result = {"test": {"accuracy": 0.9 + int(seed) / 100}, "train_seconds": 3.0, "parameters": 7}
        (out / "result.json").write_text(json.dumps(result), encoding="utf-8")
        return process(6.0, 9.0, 100.0, "")

    monkeypatch.setattr(timing, "SEEDS", tmp_path / "seeds.csv")
    monkeypatch.setattr(timing, "FOLDER", tmp_path)
    monkeypatch.setattr(timing, "fittingroom_train", train)
    monkeypatch.setattr(timing, "script", lambda *_: (None, {"epoch_seconds": [10.0]}))
    monkeypatch.setattr(timing.official, "splits", lambda *, quick: None)

    with pytest.raises(KeyboardInterrupt):
        timing.measure(["steady"], range(-1, 2), quick=False)
    assert trained == [("steady", "-1"), ("steady", "0")]
    figures = timing.condensed(timing.measure(["steady"], range(-1, 2), quick=False))
    assert trained[2:] == [("steady", "1")]
    accuracy = next(figure for figure in figures if figure.metric == "accuracy")
    assert (accuracy.n, accuracy.mean) == (3, pytest.approx(0.9))
    share = next(figure for figure in figures if figure.metric == "share of the notebook")
    assert share.median == pytest.approx(6 / 800)

    recipes = timing.fr.load_recipe("steady"), timing.fr.load_recipe("steady", overrides=["stages.0.epochs=8"])
    assert timing.digest("steady") == timing.digest("steady")
    monkeypatch.setattr(timing.fr, "load_recipe", lambda _name: recipes[1])
    timing.measure(["steady"], range(1, 2), quick=False)
    assert trained[3:] == [("steady", "1")]

    # A training beside other work counts for the accuracy, and never for a time.
    monkeypatch.setattr(timing.fr, "load_recipe", lambda _name: recipes[0])
    timed = timing.measure(["steady"], range(2, 3), quick=False)
    untimed = timing.measure(["steady"], range(3, 4), threads=1, quick=False)
    assert not untimed[0].keys() & {"seconds", "cpu_seconds", "train_seconds", "share of the notebook"}
    counted = {figure.metric: figure.n for figure in timing.condensed(timed + untimed)}
    assert [counted[metric] for metric in ("accuracy", "parameters", "seconds", "cpu_seconds")] == [2, 2, 1, 1]


def test_the_docs_say_of_the_diagnosis_what_came_of_following_it(benchmark: Callable[[str], ModuleType]) -> None:
    page = (BENCHMARKS.parent / "docs" / "explain" / "judging.md").read_text(encoding="utf-8")
    assert "\n".join(benchmark("diagnosis_advice").table_lines()) in page


def test_a_shortfall_is_of_the_repeats_that_all_lengths_have_by_a_length_chosen_on_the_others(
    benchmark: Callable[[str], ModuleType],
) -> None:
    of = benchmark("small_sets_accuracy")
    right = {"plain": (70, 60, 80, 50), "plain ×0.5": (60, 60, 60), "plain ×2": (75, 66, 70), "plain ×4": (60, 75, 60)}
    lines = [
        of.Line("digits", program, repeat, 300, 100, correct, 1.0)
        for program, counts in right.items()
        for repeat, correct in enumerate(counts)
    ]
    assert len(of.by_length(lines, "digits")[1]) == 3  # the fourth repeat has one length alone

    # On the others ×1 is best without the second repeat, and without the third ×2 is; without the first ×1 again.
    assert of.shortfalls(of.by_length(lines, "digits")) == pytest.approx([0.0, 0.0, -0.1])
    table = list(of.lengths_table(lines, ["digits"]))
    assert table[-1].startswith("| digits | 3 | 60.0 | 70.0 | 70.3 | 65.0 | -3.3 ")
    assert list(of.lengths_table([line for line in lines if line.repeat == 0], ["digits"])) == []
