"""Trainings in threads of one process come to what each comes to alone, and leave the process as it was."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.small_run import train_anew


@pytest.mark.nightly
def test_trainings_in_threads_equal_lone_ones_and_print_still_prints(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    alone = train_anew(tmp_path / "alone")
    with ThreadPoolExecutor(3) as pool:
        runs = list(pool.map(lambda name: train_anew(tmp_path / name), ("first", "second", "third")))

    for run in runs:
        assert (run.path / "model.safetensors").read_bytes() == (alone.path / "model.safetensors").read_bytes()
        assert (run.path / "model.onnx").exists()
    print("still here")
    assert "still here" in capfd.readouterr().out


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere nobody tells of Polars' threads")
@pytest.mark.parametrize(
    ("before", "expected"),
    [
        pytest.param('train_anew(Path(sys.argv[1], "first"))', "forked after a training", marks=pytest.mark.nightly),
        ('polars.DataFrame({"label": [0, 1]}).filter(polars.col("label") > 0)', "forked after Polars was used"),
        pytest.param("pass", "", marks=pytest.mark.nightly),
    ],
)
def test_a_process_forked_after_threads_computed_is_told_so_in_place_of_waiting_for_ever(
    tmp_path: Path, before: str, expected: str
) -> None:
    program = f"""if True:
        import multiprocessing, polars, sys
        from pathlib import Path
        from tests.support.small_run import train_anew

        def again() -> None:
            try:
                train_anew(Path(sys.argv[1], "again"))
            except Exception as error:
                print(type(error).__name__, error, flush=True)

        {before}
        child = multiprocessing.get_context("fork").Process(target=again)
        child.start()
        child.join(120)
        print(child.exitcode, Path(sys.argv[1], "again").exists())
    """
    words = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)

    assert ended.stdout.splitlines()[-1] == f"0 {not expected}", ended.stderr[-2000:]
    assert ("FittingRoomError a process that was started anew expected" in ended.stdout) == bool(expected)
    assert expected in ended.stdout


def test_a_model_is_not_judged_in_a_process_forked_after_pytorch_computed_but_predicts_by_its_onnx(
    tmp_path: Path,
) -> None:
    program = """if True:
        import multiprocessing, sys
        from pathlib import Path
        import fittingroom as fr
        from tests.support.small_run import train_anew

        run = train_anew(Path(sys.argv[1], "run"))
        test = fr.open_dataset("sample").test
        model = fr.load(run.path)
        model.predict(test.images[:2])

        def again() -> None:
            print(len(model.predict(test.images[:2])), len(fr.load(run.path).predict(test.images[:3])), flush=True)
            try:
                run.evaluate(test)
            except Exception as error:
                print(type(error).__name__, error, flush=True)

        child = multiprocessing.get_context("fork").Process(target=again)
        child.start()
        child.join(60)
        print(child.exitcode)
    """
    words = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)

    first, second, last = ended.stdout.splitlines()
    assert (first, last) == ("2 3", "0"), ended.stderr[-2000:]
    assert second.startswith(
        "FittingRoomError a process that was started anew expected, one found that was forked after"
    )
