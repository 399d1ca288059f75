"""What ``bench`` measures, in round numbers that are easy to check by hand."""

from __future__ import annotations

from pathlib import Path

from fittingroom.bench import Figures, Pass

MEASURED = Figures(
    machine={"processor": "a processor", "cores": 2, "threads": 2, "device": "cpu", "torch": "2.13.0"},
    notebook_epoch=Pass(60_000, 12.0),
    notebook_evaluation=Pass(10_000, 2.0),
    epochs={"float32": Pass(60_000, 8.0), "bf16": Pass(60_000, 4.0)},
    evaluation=Pass(10_000, 0.5),
    recipe="swift",
    process_seconds=9.6,
    result={"test": {"accuracy": 0.917, "interval": [0.911, 0.922], "n": 10_000}, "validation": None},
    run=Path("runs/bench-swift-1"),
)
