"""Each test-set evaluation is a line of the ledger that no other process and no power loss takes away."""

import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fittingroom.data.dataset import Dataset
from fittingroom.files.json_lines import append_json_line
from fittingroom.runs.compare_ledger import record_look
from fittingroom.runs.ledger import LEDGER, read_evaluations, record_evaluation


def images(seed: int) -> Dataset:
    drawn = np.random.default_rng(seed).integers(0, 256, (4, 3, 3), dtype=np.uint8)
    return Dataset(drawn, np.arange(4) % 2, ("a", "b"), f"test {seed}")


def record(folder: Path, seed: int = 0, run: str = "swift-1", command: str = "fittingroom train") -> None:
    record_evaluation(folder, images(seed), run=run, command=command)


def fingerprint(seed: int = 0) -> str:
    return images(seed).fingerprint.images


def test_evaluations_are_read_back_oldest_first_for_their_images_alone(tmp_path: Path) -> None:
    record(tmp_path, 0, "one", "first")
    record(tmp_path, 1, "two", "second")
    record(tmp_path, 0, "three", "third")

    lines = read_evaluations(tmp_path, fingerprint())

    assert [(line["run"], line["command"]) for line in lines] == [("one", "first"), ("three", "third")]
    assert all(line["format"] == 1 and line["data"] == "test 0" for line in lines)
    assert lines[0]["when"] <= lines[1]["when"]
    assert lines[0]["when"].endswith("+00:00")


def test_what_is_recorded_is_what_is_returned_and_read(tmp_path: Path) -> None:
    returned = record_evaluation(tmp_path, images(0), run="swift-1", command="fittingroom évaluer 'a b'")
    assert read_evaluations(tmp_path, fingerprint()) == [returned]


def test_evaluations_count_whatever_the_labels_or_the_order_are(tmp_path: Path) -> None:
    record(tmp_path)
    relabelled = Dataset(images(0).images[::-1], np.arange(4) % 3, ("x", "y", "z"), "the same, renamed")
    assert len(read_evaluations(tmp_path, relabelled.fingerprint.images)) == 1


def test_no_ledger_is_no_evaluation(tmp_path: Path) -> None:
    assert read_evaluations(tmp_path, fingerprint()) == []


@pytest.mark.parametrize("torn", [b'{"format": 1, "when": "2026', b"\xff\xfe", b"3", b"[]", b'"text"', b'{"caf\xc3'])
def test_a_torn_line_loses_itself_alone(tmp_path: Path, torn: bytes) -> None:
    record(tmp_path, run="before")
    with (tmp_path / LEDGER).open("ab") as file:
        file.write(torn)

    assert [line["run"] for line in read_evaluations(tmp_path, fingerprint())] == ["before"]

    record(tmp_path, run="after")
    assert [line["run"] for line in read_evaluations(tmp_path, fingerprint())] == ["before", "after"]


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\u2028", "\x85", "\x0c"])
def test_a_line_break_in_a_command_is_no_line_of_its_own(tmp_path: Path, separator: str) -> None:
    record(tmp_path, command=f"evaluate{separator}this")
    (line,) = read_evaluations(tmp_path, fingerprint())
    assert line["command"] == f"evaluate{separator}this"


def test_of_two_comparisons_at_once_one_is_the_first_look_and_the_other_the_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = {"first": "a", "second": "b"}
    looks: list[int] = []

    def append_after_the_other(path: Path, value: dict[str, Any]) -> None:
        if not looks:
            looks.append(0)
            looks[0] = record_look(tmp_path, pair, "of seeds 0 and 1", ["a", "b"])
        append_json_line(path, value)

    monkeypatch.setattr("fittingroom.runs.compare_ledger.append_json_line", append_after_the_other)
    assert record_look(tmp_path, pair, "of seeds 0 to 2", ["a", "b"]) == 2
    assert looks == [1]
    assert record_look(tmp_path, pair, "of seeds 0 to 3", ["a", "b"]) == 3
    assert record_look(tmp_path, pair, "of seeds 0 and 1", ["a", "b"]) == 1


def record_often(folder: Path, process: int) -> None:
    for i in range(25):
        record(folder, run=f"{process}-{i}", command="x" * 2000)


def test_processes_that_record_at_once_lose_no_line(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=record_often, args=(tmp_path, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0

    runs = [line["run"] for line in read_evaluations(tmp_path, fingerprint())]
    assert sorted(runs) == sorted(f"{process}-{i}" for process in range(3) for i in range(25))
    for number in range(3):
        of_process = [run for run in runs if run.startswith(f"{number}-")]
        assert of_process == [f"{number}-{i}" for i in range(25)]
