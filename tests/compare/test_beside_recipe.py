"""Two runs of one recipe may differ by machine, precision or versions: that is named before any figure is believed."""

from dataclasses import replace

import pytest

import fittingroom as fr
from fittingroom.compare.beside_recipe import beside_the_recipe


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[fr.Run, fr.Run]:
    """One recipe and seed, once in each precision."""
    folder = tmp_path_factory.mktemp("runs")
    short = ["stages.0.epochs=1"]
    recipes = [fr.load_recipe("plain", overrides=[*short, f"precision={name}"]) for name in ("float32", "bf16")]
    options = fr.Options(device="cpu", threads=1)
    one, other = (fr.train("sample", recipe, out=folder / recipe.precision, options=options) for recipe in recipes)
    return one, other


def test_compare_names_another_precision_first(runs: tuple[fr.Run, fr.Run]) -> None:
    (comparison,) = fr.compare_runs(runs, on="validation").comparisons
    assert comparison.warnings[0] == (
        "beside their recipes, float32 and bf16 differ in precision (float32 and bf16): that too may make a difference"
    )


def test_everything_that_decides_the_bits_is_named_with_both_values(runs: tuple[fr.Run, fr.Run]) -> None:
    one = replace(runs[0].environment, revision="0123456789abcdef", versions={"fittingroom": "0.2", "torch": "2.13"})
    assert beside_the_recipe("a", one, "b", one) == []

    machine = replace(one.machine, threads=2, processor="Processor X")
    other = replace(
        one, machine=machine, revision="0123456789abcdef+", versions={"fittingroom": "0.2", "torch": "2.14"}
    )
    (sentence,) = beside_the_recipe("a", one, "b", other)
    assert "threads (1 and 2)" in sentence
    assert f"processor ({one.machine.processor} and Processor X)" in sentence
    assert "torch (2.13 and 2.14)" in sentence
    assert "revision of the package (0123456789ab and 0123456789ab+)" in sentence
    assert "fittingroom" not in sentence
    assert "precision" not in sentence

    (sentence,) = beside_the_recipe("a", one, "b", replace(one, revision=None))
    assert "revision of the package (0123456789ab and none)" in sentence
