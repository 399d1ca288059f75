"""What the page shows of a run at a moment, as plain values: progress, speed, curves, answers, and how it stands."""

from __future__ import annotations

import time
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from fittingroom.errors import ArtifactError
from fittingroom.evaluation import snapshot
from fittingroom.files.json_file import read_json_object
from fittingroom.files.lock import is_folder_held
from fittingroom.files.records import Range, read_record
from fittingroom.files.run_file import read_run_text
from fittingroom.recipes.reading import parse_recipe
from fittingroom.rendering.html_page import render_page
from fittingroom.report.curves import accuracy_panel, loss_panel, rate_panel
from fittingroom.watch.follow import Training

CURVES = Path(__file__).with_name("curves.html")
REPORT = "report.html"
READ_SECONDS = 2.0  # that a question may take for reading; of a very long training the next one reads on

Standing = Literal["training", "finishing", "report", "done", "stopped"]
"""Being trained; being judged and reported; its report is there; done without one; not trained to its end, and not
being trained."""


class Plan(TypedDict):
    """What of ``environment.json`` the page needs; the rest of it takes NumPy to be read."""

    seeds: NotRequired[list[Annotated[int, Range(0)]] | None]
    folds: NotRequired[int | None]


class WatchedRun:
    """A run's folder, looked at again and again; nothing is written.

    Args:
        folder: the run's, of one seed or of several.

    Raises:
        ArtifactError: it is no run's.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.name = folder.resolve().name
        self.plan = self._read_plan()
        recipe = parse_recipe(read_run_text(folder / "recipe.toml", "the run's recipe"), where=str(folder))
        self.stage_epochs = [stage.epochs for stage in recipe.stages]
        self.has_own_loss = recipe.loss != "cross_entropy"
        self.is_smoothed = recipe.label_smoothing > 0
        self.trainings: dict[str, Training] = {}

    def state(self, asked: str | None = None) -> dict[str, Any]:
        """How it stands now.

        Args:
            asked: the member whose answers are shown, such as ``seed-1``; None for the one that is being trained.
        """
        trainings = self._followed()
        standing = self._standing()
        members = [self._member(name, training, standing) for name, training in trainings.items()]

        # Nobody asked for a member: the one that is being trained, else the last that began, else the first.
        names = list(trainings)
        busy = [member["name"] for member in members if member["standing"] == "training"]
        begun = [member["name"] for member in members if member["step"]]
        shown = asked if asked in trainings else (busy or begun or names)[-1 if begun and not busy else 0]
        training = trainings[shown]

        return {
            "name": self.name,
            "standing": standing,
            "resume": f"fittingroom train --resume {quote(str(self.folder))}",
            "report": f"fittingroom report {quote(str(self.folder))}",
            "folds": self.plan.get("folds"),
            "members": members if self.plan.get("seeds") else [],
            "shown": shown if self.plan.get("seeds") else None,
            "problem": next((one.problem for one in trainings.values() if one.problem), ""),
            "now": _now(training),
            "speed": _speed(list(trainings.values()), standing),
            "curves": self._curves(trainings),
            **self._answers(training),
        }

    def _read_plan(self) -> Plan:
        value = read_json_object(self.folder / "environment.json", "what a run was started with")
        return read_record(Plan, value, str(self.folder / "environment.json"))

    def _followed(self) -> dict[str, Training]:
        """The trainings of the run, read on; seeds may be added while it is watched."""
        self.plan = self._read_plan()
        seeds = self.plan.get("seeds")
        names = [""] if not seeds else [f"seed-{seed}" for seed in seeds]
        self.trainings = {name: self.trainings.get(name) or Training(self.folder / name) for name in names}
        until = time.monotonic() + READ_SECONDS
        for training in self.trainings.values():
            training.read_on(until)
        return self.trainings

    def _standing(self) -> Standing:
        finished, report = self.folder / "result.json", self.folder / REPORT
        held = is_folder_held(self.folder)
        if held is None:  # no locks here: a report that is newer than the result is its report
            held = not (finished.exists() and report.exists() and report.stat().st_mtime >= finished.stat().st_mtime)
        if held:
            return "finishing" if self._all_trained() else "training"
        if not finished.exists():
            return "stopped"
        return "report" if report.exists() else "done"

    def _all_trained(self) -> bool:
        """Whether each model's last step is done, or its result there, as of one that stopped early."""
        return all(
            0 < training.planned_steps <= training.done_steps or (training.folder / "result.json").exists()
            for training in self.trainings.values()
        )

    def _member(self, name: str, training: Training, standing: Standing) -> dict[str, Any]:
        # A member's lock is asked for its own: several may train at once, and one may have died.
        if (training.folder / "result.json").exists():
            of_member = "done"
        elif training.done_steps and standing == "training" and is_folder_held(training.folder) is not False:
            of_member = "training"
        else:
            of_member = "stopped" if training.done_steps else "waiting"

        last = training.epochs[-1] if training.epochs else {}
        return {
            "name": name,
            "standing": of_member,
            "step": training.done_steps,
            "steps": training.planned_steps,
            "accuracy": last.get("validation_accuracy"),
            "loss": last.get("train_loss"),
        }

    def _curves(self, trainings: dict[str, Training]) -> str | None:
        """The drawings of loss, rate and accuracy, as HTML; None before the first step."""
        named = [training.history(name.replace("-", " ")) for name, training in trainings.items()]
        histories = [history for history in named if history is not None]
        if not histories:
            return None
        panels = {
            "loss": loss_panel(histories, self.stage_epochs, 34, 234),
            "rate": rate_panel(histories, self.stage_epochs, 282, 330),
            "accuracy": accuracy_panel(histories, self.stage_epochs, 34, 330),
        }
        of_loss = {"smoothed": self.is_smoothed, "own_loss": self.has_own_loss}
        return render_page(CURVES, {"panels": panels, "several": len(histories) > 1} | of_loss)

    def _answers(self, training: Training) -> dict[str, Any]:
        """The stored answers, or why there are none."""
        file = training.folder / snapshot.FILE
        if not file.exists():
            unvalidated = training.epochs and training.epochs[-1]["validation_accuracy"] is None
            return {"answers": None, "no_answers": "none-held-out" if unvalidated else "not-stored"}
        try:
            return {"answers": snapshot.read_snapshot(file), "no_answers": ""}
        except ArtifactError:
            return {"answers": None, "no_answers": "damaged"}


def _now(training: Training) -> dict[str, Any]:
    """The newest figures of one training."""
    step, start = training.step, training.start
    last = training.epochs[-1] if training.epochs else {}
    recent = [one["loss"] for one in training.steps[-20:]]  # one batch's alone jumps too much to be read

    return {
        "step": training.done_steps,
        "steps": training.planned_steps,
        "epoch": step["epoch"] + 1 if step else 0,
        "epochs": start["epochs"] if start else 0,
        "loss": sum(recent) / len(recent) if recent else None,
        "rate": step["lr"] if step else None,
        "validated_after": last.get("epoch", -1) + 1 if last.get("validation_accuracy") is not None else 0,
        "validation_accuracy": last.get("validation_accuracy"),
        "validation_loss": last.get("validation_loss"),
        "train_accuracy": last.get("train_accuracy"),
    }


def _speed(trainings: list[Training], standing: Standing) -> dict[str, Any]:
    """Images/s of all together, and seconds that the rest of the plan takes at it."""
    if standing != "training":
        known = [speed for speed in (training.speed_of_epochs() for training in trainings) if speed]
        return {"images": sum(known) / len(known) if known else None, "left": None}

    speeds = [speed for speed in (training.speed() for training in trainings) if speed]
    if not speeds:
        return {"images": None, "left": None}
    planned = max(training.planned_steps for training in trainings)  # of each, also of one that hasn't begun
    left = sum(max(0, planned - training.done_steps) for training in trainings)
    return {"images": sum(images for images, _ in speeds), "left": left / sum(steps for _, steps in speeds)}
