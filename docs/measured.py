"""The page of results: tables and bars made of ``benchmarks/results.csv``, each figure as it was recorded there.

The newest row of each figure counts. A section is a script of ``benchmarks/``; what it shows of the script's rows
stands in :data:`SECTIONS`. The table and the plot of whole trainings are the README's, made by
``benchmarks/table.py``.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results.csv"
START, END = "<!-- bench: made by benchmarks/table.py -->", "<!-- bench: end -->"

Row = dict[str, str]


def number(value: float) -> str:
    """Three digits that count, thousands apart: 113,211, 8.60, 0.0179."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def percent(value: float) -> str:
    """A share, as 93.8%."""
    return f"{100 * value:.1f}%"


def points(value: float) -> str:
    """A difference, as +0.6."""
    return f"{value:+.1f}".replace("-", "−")


def counted(value: float) -> str:
    """A number of things."""
    return f"{value:,.0f}"


@dataclass(frozen=True)
class Column:
    """A metric as a column.

    Attributes:
        metric: its name in the CSV.
        title: the column's head.
        text: how a value is written.
        mean: whether the mean is shown, as of scores; else the median, as of times.
        spread: whether the mean's sd stands beside it; not where an image is right or wrong.
    """

    metric: str
    title: str
    text: Callable[[float], str] = number
    mean: bool = False
    spread: bool = True

    def of(self, row: Row) -> tuple[float, float | None]:
        """The value that is shown, and the sd beside it."""
        if not self.mean:
            return float(row["median"]), None
        return float(row["mean"]), float(row["sd"]) if self.spread and row["sd"] and int(row["n"]) > 1 else None

    def cell(self, row: Row | None) -> str:
        """A cell of the table."""
        if row is None:
            return ""
        value, sd = self.of(row)
        text = self.text(value)
        if sd is None:
            return text
        figure, percent_sign, _ = text.partition("%")
        decimals = len(figure.partition(".")[2])
        return f"{figure} ± {sd * (100 if self.text is percent else 1):.{decimals}f}{percent_sign}"


@dataclass(frozen=True)
class Section:
    """What one script measured.

    Attributes:
        script: in ``benchmarks/``.
        title: the heading.
        says: what the figures are of; Markdown.
        columns: the metrics that are shown. Names that have none of them are left out.
        bars: the one of them that is drawn, too.
        turned: metrics are lines and names are columns, for many metrics of few names.
    """

    script: str
    title: str
    says: str
    columns: Sequence[Column]
    bars: Column | None = None
    turned: bool = False


def seconds(metric: str, title: str) -> Column:
    """A median of times."""
    return Column(metric, title)


SPEED = Column("images_per_second", "images a second")
RECALL = [
    *("resized to 8/7 and back", "resized to 5/7 and back", "blurred, radius 0.7", "gamma 0.6", "gamma 1.6"),
    *("JPEG 90", "JPEG 75", "JPEG 50", "mirrored", "inverted", "zoomed to 0.95", "zoomed to 1.05"),
    *("turned by 2°", "turned by 5°", "turned by −5°", "turned by 10°", "turned by −10°"),
    *("cut out, 6 × 6", "cut out, 8 × 8"),
]
SECTIONS = (
    Section(
        "throughput.py",
        "Training the notebook's network",
        "Images a second; each program as its own documentation sets it up, the others in float32. `auto` is bf16 "
        "here. *Same settings* are its precision, memory layout (channels_last) and allocator.",
        [SPEED, seconds("cpu_seconds", "processor seconds an epoch")],
        SPEED,
    ),
    Section(
        "predict.py",
        "Answers for many images",
        "A model of `swift`, asked about 20,000 images in memory: `fittingroom.load(RUN)`, on ONNX Runtime, beside a "
        "loop in PyTorch.",
        [SPEED],
        SPEED,
    ),
    Section(
        "serving.py",
        "Answers over HTTP",
        "One image a request, JSON unless it says binary, and so many clients at a time (×), beside a plain server of"
        " FastAPI and PyTorch (`benchmarks/plain_server.py`).",
        [
            Column("requests_per_second", "requests a second"),
            Column("p50_ms", "ms, median"),
            Column("p99_ms", "ms, 99 of 100 within"),
        ],
        Column("requests_per_second", "requests a second"),
    ),
    Section(
        "busy_machine.py",
        "Beside other programs",
        "The whole process of `swift` without the look at test, beside programs that only compute; as many times as "
        "long as on two threads beside nothing.",
        [seconds("seconds", "seconds"), Column("times as long", "times as long")],
    ),
    Section(
        "first_run.py",
        "The first run",
        "The whole process of `swift` with nothing in the cache and none of the package's modules compiled, as `make "
        "run` finds it right after set-up, and the next one.",
        [seconds("seconds", "seconds"), Column("cold / warm", "cold / warm")],
    ),
    Section(
        "before_after.py",
        "Beside the version before",
        "Processor seconds of the same commands in turns with an earlier commit of this project; below 1 is faster.",
        [Column("after / before", "after / before", mean=True)],
    ),
    Section(
        "before_after_reading.py",
        "Reading, beside the version before",
        "Seconds of the same readings in turns with an earlier commit of this project; below 1 is faster.",
        [Column("after / before", "after / before", mean=True)],
    ),
    Section(
        "data_path.py",
        "Reading and judging",
        "Kaggle's training CSV and the official IDX files, and judging 10,000 images, beside the notebook's way.",
        [
            seconds("seconds", "seconds"),
            SPEED,
            Column("times as fast as the notebook", "times as fast as the notebook"),
        ],
    ),
    Section(
        "photos.py",
        "Reading photos",
        "Photos of 12 megapixels that become 64×64, and grey cells of a Parquet file.",
        [
            Column("pictures a minute", "pictures a minute"),
            Column("processor microseconds a picture", "processor µs a picture"),
            Column("peak MiB", "peak MiB"),
        ],
    ),
    Section(
        "memory.py",
        "Memory of a training",
        "The process at its peak, on all of Fashion-MNIST.",
        [Column("peak MiB", "peak MiB"), Column("share of the notebook", "share of the notebook's", percent)],
    ),
    Section(
        "scaling.py",
        "More images",
        "`swift` on 1, 2, 4 and 8 times Fashion-MNIST's training images.",
        [seconds("epoch seconds", "seconds an epoch"), Column("peak MiB", "peak MiB")],
    ),
    Section(
        "larger_than_memory.py",
        "Larger than memory",
        "A training on images that are read from their file in blocks, beside one that has them in memory ([large "
        "data](../large-data.md)).",
        [
            Column("images per processor second", "images a processor second"),
            Column("peak RssAnon MiB", "peak MiB of its own"),
        ],
    ),
    Section(
        "scoring.py",
        "Millions of answers",
        "`predict --out`, shard by shard, beside a plain loop over the model ([large data](../large-data.md)).",
        [
            Column("images per processor second", "images a processor second"),
            Column("wall seconds", "seconds"),
            Column("peak RssAnon MiB, the rest", "peak MiB of its own"),
        ],
    ),
    Section(
        "distributed.py",
        "One training on two processes",
        "A step of `swift`, and what the sum of the gradients takes of it, least of all steps and typically "
        "([scale](../scale.md)).",
        [
            Column("step seconds", "s a step"),
            Column("sum seconds in a step", "s of it for the sum"),
            Column("least sum seconds in a step", "s for the sum, least"),
        ],
    ),
    Section(
        "calibration.py",
        "Probabilities",
        "On the official test set, before and after temperature and exponent; and the sets of `--coverage 95` ([how it "
        "judges](../explain/judging.md)).",
        [
            Column(metric, title, mean=True)
            for metric, title in {
                "temperature": "temperature",
                "exponent": "exponent",
                "calibration error, uncalibrated (%)": "calibration error before, %",
                "calibration error (%)": "after, %",
                "the same by chance (%)": "of a perfect model, by chance, %",
                "log loss, uncalibrated": "log loss before",
                "log loss": "after",
                "sets of 95 %: coverage on test (%)": "sets hold the right class, %",
                "sets of 95 %: classes a set": "classes a set",
            }.items()
        ],
        turned=True,
    ),
    Section(
        "ood.py",
        "Pictures unlike the training images",
        "How many are flagged by the out-of-distribution score, and by the energy alone, with 5% of known images "
        "flagged by design ([a photo's way](../how-to/photo.md) says what of).",
        [
            Column("share flagged", "flagged", percent, mean=True),
            Column("share flagged by energy alone", "by the energy alone", percent, mean=True),
            Column("AUROC", "AUROC", mean=True),
        ],
    ),
    Section(
        "doubt.py",
        "Pictures unlike the training images, as 0.1 told them",
        "By the energy alone, with 5% of known images flagged by design. The score of today joins the energy with "
        "the residual; its table stands in [a photo's way](../how-to/photo.md).",
        [Column("share flagged", "flagged", percent, mean=True), Column("AUROC", "AUROC", percent, mean=True)],
    ),
    Section(
        "augmentations.py",
        "What each augmentation gains",
        "1,000 images of Fashion-MNIST, the tutorial's network; points of accuracy on other training images above the"
        " same training without, paired by seed. With three seeds a mean of less than two and a half times its sd may"
        " be chance ([augment](../how-to/augment.md)).",
        [
            Column("points above none, paired by seed", "points gained", points, mean=True),
            Column("validation accuracy", "accuracy", percent, mean=True),
        ],
        Column("points above none, paired by seed", "points gained", points, mean=True),
    ),
    Section(
        "other_sets.py",
        "Other sets of 32×32",
        "Emoji by group and icons by context, drawings in colour; a fifth of the pictures held out, 731 and 636, one "
        "cut: on it chance alone moves one model by ±2.5 points ([recipes](../reference/recipes.md)).",
        [
            Column("validation accuracy", "accuracy on what was held out", percent, mean=True),
            seconds("cpu_seconds", "processor seconds"),
        ],
    ),
    Section(
        "small_sets_seconds.py",
        "2,000 images of one's own",
        "The whole process of `train` without options, which takes `plain`, from reading to the report.",
        [seconds("seconds", "seconds")],
    ),
    Section(
        "lopsided.py",
        "One class twenty times as large as the other",
        "1,900 pullovers and 100 coats; judged on others ([lopsided classes](../how-to/lopsided.md)).",
        [
            Column(metric, metric, percent, mean=True)
            for metric in (
                *("recall of the rare class", "recall of the frequent class", "balanced accuracy", "AUC", "accuracy"),
            )
        ],
    ),
    Section(
        "near_duplicates.py",
        "Near-duplicates found",
        "Of 2,000 training images and of 400 pieces of photographs, each altered in one way ([data "
        "check](../data-check.md)).",
        [Column(f"recall: {kind}", kind, percent, mean=True, spread=False) for kind in RECALL],
        turned=True,
    ),
    Section(
        "label_noise.py",
        "Planted label errors found",
        "Among Fashion-MNIST's 60,000 training images, one draw of errors a line ([data check](../data-check.md)).",
        [
            Column("out-of-fold accuracy by these labels", "agree with the labels", percent),
            Column("suspects", "label issues", counted),
            Column("precision", "precision, at least", percent),
            Column("recall", "recall", percent),
            Column("bound", "upper bound given", percent),
        ],
    ),
    Section(
        "diagnosis_advice.py",
        "What following the diagnosis gave",
        "A training that gets the advice, and one that follows it, on small sets ([how it "
        "judges](../explain/judging.md)).",
        [Column("points gained", "points gained", points, mean=True), Column("better", "better", percent, mean=True)],
    ),
    Section(
        "try_simulation.py",
        "Studies of ideas that are wrong",
        "Simulated studies of 1, 3 or 9 ideas, whose seeds vary by so many points: how many claim anything that isn't "
        "so, and after how many pairs an idea that is better is told ([how it judges](../explain/judging.md)).",
        [
            Column("claims what isn't so", "claim what isn't so", percent, mean=True, spread=False),
            Column("told better", "told", percent, mean=True, spread=False),
            Column("pairs until better", "pairs", counted),
        ],
    ),
)
SHOWN_ELSEWHERE = (
    *("time_to_accuracy.py", "curves.py"),  # in the README's table and plot
    *("small_sets_accuracy.py", "finetune.py"),  # on the pages of small sets and of pretrained networks
)


def page() -> str:
    """The whole page's Markdown."""
    if not RESULTS.exists():
        return "No results are recorded yet. `make bench` measures on your machine; it takes about five hours."
    newest = read_newest(RESULTS)
    parts = [_whole_trainings(), *(_section(section, newest) for section in SECTIONS)]
    return "\n\n".join(part for part in parts if part)


def read_newest(file: Path) -> list[Row]:
    """The newest row of each figure, in the order of the file."""
    rows: dict[tuple[str, ...], Row] = {}
    with file.open(encoding="utf-8", newline="") as opened:
        for row in csv.DictReader(opened):
            rows[row["script"], row["name"], row["metric"], row["epoch"]] = row
    return list(rows.values())


def _whole_trainings() -> str:
    """What the README shows of them."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition(START)[2].partition(END)[0]
    plot = (
        "![Accuracy against seconds: swift, steady, compact, strong and tiny, and the notebook's network in the "
        "notebook and four libraries](../../benchmarks/time_to_accuracy.png)"
    )
    return f"## Whole trainings\n\n{plot}\n\n{text.strip()}"


def _section(section: Section, newest: Iterable[Row]) -> str:
    """Heading, bars, table, and where it was measured."""
    shown = {column.metric for column in section.columns}
    own = [row for row in newest if row["script"] == section.script and row["metric"] in shown]
    if not own:
        return ""
    names = list(dict.fromkeys(row["name"] for row in own))
    found = {(row["name"], row["metric"]): row for row in own}
    columns = [column for column in section.columns if any((name, column.metric) in found for name in names)]

    if section.turned:
        head = ["", *names]
        lines = [
            [column.title, *(column.cell(found.get((name, column.metric))) for name in names)] for column in columns
        ]
    else:
        head = ["", *(column.title for column in columns), "n"]
        lines = [
            [
                name.replace("--", "\\-\\-"),
                *(column.cell(found.get((name, column.metric))) for column in columns),
                _n(found, name, columns),
            ]
            for name in names
        ]
    table = [head, ["---", *["---:"] * (len(head) - 1)], *lines]
    text = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in table)
    parts = [f"## {section.title}", section.says, _bars(section, found, names), text, _where(section, columns, own)]
    return "\n\n".join(part for part in parts if part)


def _n(found: dict[tuple[str, str], Row], name: str, columns: Sequence[Column]) -> str:
    counts = sorted({int(found[name, c.metric]["n"]) for c in columns if (name, c.metric) in found})
    return " to ".join(f"{count:,}" for count in {counts[0]: 0, counts[-1]: 0})


def _where(section: Section, columns: Sequence[Column], own: Iterable[Row]) -> str:
    """Date, machine, versions and commit, and what a cell is."""
    kinds = {("mean ± sd" if column.spread else "mean") if column.mean else "median" for column in columns}
    what = " or ".join(sorted(kinds))
    places = dict.fromkeys(
        f"{row['date']}, {row['processor']}, {row['cores']} cores, torch {row['torch']}, commit {row['commit']}"
        for row in own
    )
    counts = sorted({int(row["n"]) for row in own})
    n = f", n = {' to '.join(f'{count:,}' for count in {counts[0]: 0, counts[-1]: 0})}" if section.turned else ""
    return f"*`{section.script}`: {what}{n}; {'; '.join(places)}.*"


LEFT, WIDE, RIGHT, HIGH = 230, 330, 120, 26  # of the bars, in CSS pixels: names, bars, figures; a line


def _bars(section: Section, found: dict[tuple[str, str], Row], names: Sequence[str]) -> str:
    """A bar a name, as SVG in the page's own colours; the figures stand beside, and in the table."""
    if section.bars is None:
        return ""
    column = section.bars
    drawn = [(name, *column.of(found[name, column.metric])) for name in names if (name, column.metric) in found]
    low, high = min(0.0, *(value for _, value, _ in drawn)), max(0.0, *(value for _, value, _ in drawn))
    scale = WIDE / (high - low)
    zero = LEFT - low * scale
    lines = []
    for place, (name, value, _) in enumerate(drawn):
        y = place * HIGH
        x, width = (zero, value * scale) if value >= 0 else (zero + value * scale, -value * scale)
        text = column.cell(found[name, column.metric])
        bar = "ours" if name.startswith(("fittingroom", "predict")) or column.text is points else "theirs"
        lines.append(
            f'<text x="{LEFT - 10}" y="{y + 17}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="{bar}" x="{x:.1f}" y="{y + 4}" width="{max(width, 1):.1f}" height="{HIGH - 8}" rx="2"/>'
            f'<text x="{LEFT + WIDE + 10}" y="{y + 17}">{escape(text)}</text>'
        )
    height = len(drawn) * HIGH
    label = escape(
        f"{section.title}: {column.title}. "
        + "; ".join(f"{name} {column.cell(found[name, column.metric])}" for name, *_ in drawn),
        quote=True,
    )
    axis = f'<path class="axis" d="M{zero:.1f} 0V{height}"/>'
    return (
        f'<svg class="bars" viewBox="0 0 {LEFT + WIDE + RIGHT} {height}" role="img" aria-label="{label}">'
        f"{''.join(lines)}{axis}</svg>"
    )
