"""How often a pair of recipes has been looked at: recorded, so that looking again doesn't find what isn't there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fittingroom.compare.answers import Answers, Split
from fittingroom.errors import ArtifactError
from fittingroom.runs.compare_ledger import COMPARE_LEDGER, digest, record_look
from fittingroom.runs.run import runs_folder


def record_looks(pairs: Sequence[tuple[Answers, Answers]], on: Split) -> tuple[list[int], list[str]]:
    """Put a look at each pair on record, in the folder of the baseline's runs.

    Args:
        pairs: baseline and run, on the images that they have in common.
        on: the split.

    Returns:
        The number of the look at each pair, and a warning where they couldn't be recorded: all are the first then.
    """
    folder = _folder(pairs)
    looks = []
    try:
        for first, second in pairs:
            # Which of the two is the baseline makes no other question of it.
            sides = sorted((_question(first), _question(second)))
            by_files = second.sources is not None
            images = first.sources if first.sources is not None and by_files else first.images
            pair = {"recipes": sides, "split": on, "fingerprint": digest(sorted(image for image, _ in images))}
            members = digest(sorted((_answered(first), _answered(second))))
            looks.append(record_look(folder, pair, members, (first.name, second.name)))
    except (ArtifactError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        warning = (
            f"{folder / COMPARE_LEDGER} can't be written ({reason}): looks at this pair are not counted, and the "
            "interval is right only if this is the first"
        )
        return [1] * len(pairs), [warning]
    return looks, []


def _folder(pairs: Sequence[tuple[Answers, Answers]]) -> Path:
    """The folder of the runs of the baseline, or of another side; of files alone, where those of the baseline lie."""
    sides = [pairs[0][0], *(second for _, second in pairs)]
    run = next((side.run for side in sides if side.run is not None), None)
    if run is not None:
        return runs_folder(run.path)
    assert sides[0].place is not None
    return runs_folder(sides[0].place)


def _question(side: Answers) -> str:
    """What is asked about, whichever seeds were trained: recipe, a network's own code, training data and start.

    Of files nothing is known but their name, which those of further seeds have in common.
    """
    if side.run is None:
        return digest(["file", side.name])
    recipe: dict[str, Any] = side.run.recipe.as_dict()
    environment = side.run.environment
    data = environment.data.train  # by its files where it has any, whatever decoded them
    asked = {key: value for key, value in recipe.items() if key not in ("seed", "name")}
    start = [] if environment.start is None else [environment.start.weights_sha256]
    code = {name: kept.sha256 for name, kept in environment.code.items() if kept.sha256 != environment.code_sha256}
    others = [code] if code else []
    return digest([asked, environment.code_sha256, data.sources_in_order or data.content, *start, *others])


def _answered(side: Answers) -> str:
    """What its members said of which image: the same models make the same evidence, wherever they lie."""
    order = sorted(range(len(side.images)), key=side.images.__getitem__)
    images = [side.images[row] for row in order]
    models = sorted(digest(predicted[order].tolist()) for predicted in side.predicted)
    return digest([images, models])
