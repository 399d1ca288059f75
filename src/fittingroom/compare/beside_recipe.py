"""What two runs differ in beside their recipes: start, machine, precision, versions. It may make the difference."""

from __future__ import annotations

from fittingroom.runs.environment_record import Environment


def beside_the_recipe(name: str, environment: Environment, other_name: str, other: Environment) -> list[str]:
    """Name whatever else than the recipe, the seed and the data decided two runs, each with both values.

    Returns:
        One sentence, or none where nothing differs.
    """
    first, second = _deciding(environment), _deciding(other)
    apart = [
        f"{what} ({first.get(what) or 'none'} and {second.get(what) or 'none'})"
        for what in dict.fromkeys([*first, *second])
        if first.get(what) != second.get(what)
    ]
    if not apart:
        return []
    return [
        f"beside their recipes, {name} and {other_name} differ in {', '.join(apart)}: that too may make a difference"
    ]


def _deciding(environment: Environment) -> dict[str, object]:
    """All that a run's bits depend on beside recipe, seed and data, by the word for it."""
    machine, revision, start = environment.machine, environment.revision, environment.start
    return {
        **({} if start is None else {"start": f"{start.in_words}, weights {start.weights_sha256[:12]}"}),
        "precision": environment.precision,
        "threads": machine.threads,
        "processes": environment.processes,
        "device": machine.card or machine.device,
        "deterministic": "yes" if environment.options.deterministic else "no",
        "processor": machine.processor,
        "way of holding out": environment.cut,
        **environment.versions,
        # Changes that were not committed are told too, by a last +.
        "revision of the package": revision and revision[:12] + "+" * revision.endswith("+"),
    }
