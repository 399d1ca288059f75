"""The READMEs' table and sentences, the docs' page of looks at test, and each script's last result, from results.csv.

benchmarks/.venv/bin/python benchmarks/table.py            prints what belongs into the README
benchmarks/.venv/bin/python benchmarks/table.py --write    puts it there, between the two marks, what looks.py counts
                                                           into the docs, and each script's last result into its
                                                           docstring
benchmarks/.venv/bin/python benchmarks/table.py --check    fails if either says anything else than results.csv
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Collection, Iterable
from pathlib import Path

from looks import looks_lines
from record import RESULTS, Row, digits, last_epoch, latest, part

from fittingroom.bench import NOTEBOOK_EPOCHS
from fittingroom.evaluation.intervals import model_interval, recipe_accuracy_of_mean

FOLDER = Path(__file__).resolve().parent
LOOKS = FOLDER.parent / "docs" / "what-was-looked-at.md"
START, END = "<!-- bench: made by benchmarks/table.py -->", "<!-- bench: end -->"
TEST_IMAGES = 10_000  # official, of Fashion-MNIST
RECIPES = ("swift", "steady", "compact", "strong", "tiny")
PEERS = ("notebook", "Lightning", "skorch", "fastai", "Keras on torch", "Keras on JAX")
SAME = tuple(f"{peer}, same settings" for peer in PEERS[1:])  # in programs.py: our precision, layout and allocator
SCRIPTS = (
    *("throughput.py", "curves.py", "time_to_accuracy.py", "data_path.py", "memory.py", "scaling.py"),
    *("predict.py", "serving.py", "ood.py"),
)
LAST = re.compile(r"Last result.*?(?=\"\"\")", re.DOTALL)

Rows = dict[tuple[str, str, str, str], Row]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--write", action="store_true")
    how.add_argument("--check", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--readme", type=Path, default=FOLDER.parent / "README.md")
    parser.add_argument("--chinese", type=Path, default=FOLDER.parent / "README.zh-CN.md")
    args = parser.parse_args()
    rows = latest(args.results)
    text = "\n".join(readme_lines(rows))
    if not (args.write or args.check):
        print(text)
        return 0
    wanted = {
        args.readme: _between_marks(args.readme, text),
        args.chinese: _between_marks(args.chinese, "\n".join(chinese_lines(rows))),
        LOOKS: _between_marks(LOOKS, "\n".join(looks_lines(args.results))),
    }
    for name in SCRIPTS:
        wanted[FOLDER / name] = LAST.sub(
            lambda _match, name=name: last_result(rows, name), (FOLDER / name).read_text("utf-8"), count=1
        )
    stale = [file for file, content in wanted.items() if file.read_text("utf-8") != content]
    for file in stale:
        if args.write:
            file.write_text(wanted[file], "utf-8")
        print(f"{file.name}: {'written' if args.write else 'differs from results.csv'}", file=sys.stderr)
    return int(args.check and bool(stale))


def readme_lines(rows: Rows) -> list[str]:
    """The table of trainings and a line for each other question, as Markdown; what was not measured is left out."""
    sentences = [_same_accuracy(rows), *_throughput(rows), _data_path(rows), _memory(rows), _scaling(rows)]
    return [*_trainings(rows), "", *(f"- {sentence}" for sentence in sentences if sentence)]


def chinese_lines(rows: Rows) -> list[str]:
    """The table of trainings for README.zh-CN.md: the same figures under heads in Chinese."""
    table, note, *_ = "\n".join(_trainings(rows)).split("\n\n")
    assert note == INTERVAL_NOTE
    head, *lines = table.splitlines()
    assert head == HEAD
    of_notebook = re.compile(r"^\| the tutorial notebook, (\d+) epochs")
    lines = [of_notebook.sub(r"| 教程 notebook，\1 轮", line) for line in lines]
    lines = [re.sub(r"([\d.]+) to ([\d.]+)%", r"\1–\2%", line) for line in lines]
    return [HEAD_CHINESE, *lines, "", INTERVAL_NOTE_CHINESE]


def last_result(rows: Rows, script: str) -> str:
    """What a script's docstring says of its last result; of a curve its last point."""
    own = [row for row in rows.values() if row["script"] == script]
    own = [row for row in own if not row["epoch"] or row is last_epoch(rows, script, row["name"], row["metric"])]
    if not own:
        return "Last result: none yet.\n"
    lines = ["Last result:"]
    for where in dict.fromkeys(map(_where, own)):
        lines += textwrap.wrap(f"{where}", 118, initial_indent="  ", subsequent_indent="  ")
        for row in own:
            if _where(row) == where:
                epoch = f" after epoch {row['epoch']}" if row["epoch"] else ""
                sd = f" ± {digits(float(row['sd']))}" if row["sd"] else ""
                figures = f"median {digits(float(row['median']))}, mean {digits(float(row['mean']))}{sd}, n {row['n']}"
                lines.append(f"    {row['name']}, {row['metric']}{epoch}: {figures}")
    return "\n".join(lines) + "\n"


def _trainings(rows: Rows) -> list[str]:
    measured: dict[str, list[str]] = {}
    lines = [HEAD, "| --- | ---: | ---: | ---: | ---: | ---: |"]
    seconds, accuracy = (last_epoch(rows, "curves.py", "notebook", metric) for metric in ("seconds", "accuracy"))
    if seconds and accuracy:
        what = f"the tutorial notebook, {seconds['epoch']} epochs"
        share_of_epochs = part(int(seconds["epoch"]) / NOTEBOOK_EPOCHS)
        figures = f"{_accuracy(accuracy)} | {_interval(accuracy)} | {seconds['n']}"
        lines.append(f"| {what} | {figures} | {float(seconds['median']):,.0f} | {share_of_epochs} |")
        measured[_where(accuracy)] = ["the notebook"]
    for recipe in RECIPES:
        found = [_get(rows, "time_to_accuracy.py", recipe, key) for key in ("accuracy", "seconds", SHARE)]
        if all(found):
            accuracy, seconds, share = found
            measured.setdefault(_where(accuracy), []).append(f"`{recipe}`")
            figures = f"{_accuracy(accuracy)} | {_interval(accuracy)} | {accuracy['n']}"
            took = f"{float(seconds['median']):,.1f}"
            if seconds["n"] != accuracy["n"]:  # some trainings ran beside other work, and count for the accuracy alone
                took += f" (n = {seconds['n']})"
            lines.append(f"| `{recipe}` | {figures} | {took} | {part(float(share['median']))} |")
    lines += ["", INTERVAL_NOTE]
    return [*lines, "", "Measured:", "", *(f"- {', '.join(names)}: {where}." for where, names in measured.items())]


HEAD = (
    "| whole training | test accuracy (mean ± sd) | 95% interval | seeds | seconds (median) "
    "| share of the notebook's 80 epochs |"
)
HEAD_CHINESE = (
    "| 完整训练 | 测试集准确率（均值 ± 标准差） | 95% 置信区间 | 种子数 | 秒（中位数） "
    "| 占教程 notebook 80 轮用时的比例 |"
)
INTERVAL_NOTE_CHINESE = (
    "区间是配方的区间，同时考虑随机种子和图片；只有一个种子时，是这个模型的区间。\n"
    "比例是整个进程的用时除以同一轮次里 notebook 一个 epoch 用时的 80 倍，取中位数；\n"
    "notebook 那一行是它跑的轮数占 80 轮的比例。测量的日期、机器和提交见英文版。"
)
INTERVAL_NOTE = (
    "The interval is that of the recipe, seeds × images, with images taken to vary as much as they can at such an\n"
    "accuracy; of a single seed it is that of this model. The share is the whole process over 80 times one epoch of\n"
    "the notebook in the same turn, the median of the turns, one a seed; of the notebook itself it is that of its\n"
    "epochs."
)
SHARE = "share of the notebook"
TIMES = "times as fast as the notebook"


def _same_accuracy(rows: Rows) -> str:
    """The other reading of the speed: seconds until the notebook's curve was at its best and at its end."""
    ours = {key: _get(rows, "time_to_accuracy.py", "swift", key) for key in ("accuracy", "seconds")}
    curve = [row for key, row in rows.items() if key[:3] == ("curves.py", "notebook", "accuracy")]
    if not (all(ours.values()) and curve):
        return ""
    best, last = max(curve, key=lambda row: float(row["mean"])), max(curve, key=lambda row: int(row["epoch"]))
    points = [(row, float(rows["curves.py", "notebook", "seconds", row["epoch"]]["median"])) for row in (best, last)]
    reached = " and ".join(
        f"{100 * float(row['mean']):.2f}% after epoch {row['epoch']} ({seconds:.0f} s)" for row, seconds in points
    )
    shares = " and ".join(part(float(ours["seconds"]["median"]) / seconds) for _, seconds in points)
    above = all(float(row["mean"]) < float(ours["accuracy"]["mean"]) for row in curve)
    own = f"{100 * float(ours['accuracy']['mean']):.2f}%"
    return (
        "To the same accuracy the gain is smaller than against 80 epochs: the notebook, one seed, judged on test after "
        f"each of {len(curve)} epochs, was at {reached}, its best and its last of them; `swift` takes {shares} of "
        f"these times, measured apart, and has {own}{', which the notebook did not reach in them' if above else ''}."
    )


def _throughput(rows: Rows) -> list[str]:
    """Images a second as documented, and with our settings; what was not measured is said not to have been."""
    found = _found(rows, "throughput.py", [*PEERS, "fittingroom float32"], "images_per_second")
    if not found:
        return []
    lines = [
        "Images a second in training the notebook's network in float32, each program as its own documentation sets it "
        f"up: {_medians(found)} ({_provenance(found.values())}; {_processors(found.values())})."
    ]
    same = _found(rows, "throughput.py", SAME, "images_per_second")
    if same:
        same |= _found(rows, "throughput.py", ["fittingroom auto"], "images_per_second")
        lines.append(
            f"The same in bf16, channels_last and with our memory allocator: {_medians(same)} "
            f"({_provenance(same.values())}; {_processors(same.values())})."
        )
    else:
        lines.append(
            "How the others fare in the same precision, memory layout (channels_last) and allocator is not measured "
            "yet (`throughput.py --same` does it): how much of the gain they would have too is unknown."
        )
    return lines


def _data_path(rows: Rows) -> str:
    names = ("CSV, no cache", "CSV, empty cache", "CSV, from the cache", "judging")
    found = _found(rows, "data_path.py", names, TIMES)
    figures = [f"{name} {digits(float(row['median']))}" for name, row in found.items()]
    return (
        f"Times as fast as the notebook in reading and judging: {'; '.join(figures)} ({_provenance(found.values())})."
        if found
        else ""
    )


def _memory(rows: Rows) -> str:
    found = _found(rows, "memory.py", ("notebook", "swift", "tutorial, 1 epoch"), "peak MiB")
    figures = [f"{name} {float(row['median']):,.0f} MiB" for name, row in found.items()]
    return f"Peak memory: {'; '.join(figures)} ({_provenance(found.values())})." if found else ""


def _scaling(rows: Rows) -> str:
    """What was measured, and how far a straight line is from it. R² says less: it was 0.95 with 35% off."""
    names = [f"swift ×{times}" for times in (1, 2, 4, 8)]
    said: list[str] = []
    drawn: list[Row] = []
    for metric, what, unit in (("epoch seconds", "an epoch takes", "s"), ("peak MiB", "peak memory is", "MiB")):
        found = _found(rows, "scaling.py", names, metric)
        off = _get(rows, "scaling.py", "swift line", f"{metric}, worst deviation from it")
        if found and off:
            drawn += found.values()
            figures = ", ".join(digits(float(row["median"])) for row in found.values())
            said.append(f"{what} {figures} {unit} (a straight line is up to {float(off['median']):.0%} off)")
    if not said:
        return ""
    return f"`swift` on 1, 2, 4 and 8 times Fashion-MNIST's training images: {'; '.join(said)} ({_provenance(drawn)})."


def _found(rows: Rows, script: str, names: Iterable[str], metric: str) -> dict[str, Row]:
    found = {name: _get(rows, script, name, metric) for name in names}
    return {name: row for name, row in found.items() if row}


def _medians(found: dict[str, Row]) -> str:
    """What was measured and its median, without what all that stands beside it has in common."""
    names = {
        name: name.removesuffix(", same settings").removesuffix(" float32").removesuffix(" auto") for name in found
    }
    return ", ".join(f"{names[name]} {float(row['median']):,.0f}" for name, row in found.items())


def _processors(found: Collection[Row]) -> str:
    return "; ".join(dict.fromkeys(row["processor"] for row in found))


def _provenance(found: Collection[Row]) -> str:
    """How often, and where: what goes in brackets behind figures."""
    times = sorted({int(row["n"]) for row in found})
    places = "; ".join(dict.fromkeys(f"{row['date']}, commit {row['commit']}" for row in found))
    return f"medians, n = {' to '.join(map(str, (times[0], times[-1]) if len(times) > 1 else times))}; {places}"


def _get(rows: Rows, script: str, name: str, metric: str) -> Row | None:
    return rows.get((script, name, metric, ""))


def _interval(row: Row) -> str:
    """Of the test accuracy, on the 10,000 official images."""
    mean, seeds = float(row["mean"]), int(row["n"])
    low, high = (
        recipe_accuracy_of_mean(mean, float(row["sd"]), seeds, TEST_IMAGES).interval
        if seeds > 1
        else model_interval(round(mean * TEST_IMAGES), TEST_IMAGES)
    )
    return f"{100 * low:.2f} to {100 * high:.2f}%"


def _accuracy(row: Row) -> str:
    sd = f" ± {100 * float(row['sd']):.2f}" if row["sd"] else ""
    return f"{100 * float(row['mean']):.2f}{sd}%"


def _where(row: Row) -> str:
    return f"{row['date']}, {row['processor']}, {row['cores']} cores, torch {row['torch']}, commit {row['commit']}"


def _between_marks(readme: Path, text: str) -> str:
    before, start, rest = readme.read_text("utf-8").partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise SystemExit(f"{readme}: the lines {START} and {END} expected, around what is to be replaced")
    return f"{before}{START}\n{text}\n{END}{after}"


if __name__ == "__main__":
    sys.exit(main())
