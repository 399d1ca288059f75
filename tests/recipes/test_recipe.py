import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fittingroom.errors import RecipeError
from fittingroom.recipes.changes import differences, with_epochs, with_lr
from fittingroom.recipes.reading import load_recipe, parse_recipe, recipe_from_dict, recipe_names
from fittingroom.recipes.recipe import Recipe, Stage, find_problems
from fittingroom.recipes.toml_text import apply_override, lines_of_keys, to_toml

SOUND = """\
model = "tutorial"
batch_size = 64

[[stages]]
epochs = 2
lr = 0.1

[[stages]]
epochs = 3
lr = 0.01
"""


def problems(text: str, *overrides: str) -> list[str]:
    """The lines of the error that this recipe ends in."""
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, where="mine.toml", overrides=overrides)
    return str(caught.value).splitlines()


def recipe(**changes: Any) -> Recipe:
    return dataclasses.replace(parse_recipe(SOUND), **changes)


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_of_the_package_loads_and_survives_being_written(name: str) -> None:
    loaded = load_recipe(name)
    assert loaded.name == name
    assert loaded.description
    assert parse_recipe(loaded.to_toml()) == loaded
    assert recipe_from_dict(loaded.as_dict()) == loaded


def test_tutorial_is_the_notebook_as_run() -> None:
    tutorial = load_recipe("tutorial")
    assert [(stage.epochs, stage.lr, stage.schedule) for stage in tutorial.stages] == [
        (50, 0.01, "constant"),
        (20, 0.001, "constant"),
        (10, 0.001, "constant"),
    ]
    assert all(stage.fresh_optimizer for stage in tutorial.stages)

    assert tutorial.batch_size == 256
    assert tutorial.optimizer == "adam"
    assert tutorial.precision == "float32"
    assert tutorial.normalize == "none"
    assert tutorial.validation == 0
    assert tutorial.weight_decay == tutorial.label_smoothing == tutorial.ema == 0
    assert (tutorial.mirror, tutorial.shift, tutorial.erase) == ("none", 0, 0)


def test_a_file_without_a_name_is_named_after_itself(tmp_path: Path) -> None:
    file = tmp_path / "bold.toml"
    file.write_text(SOUND)
    assert load_recipe(file).name == "bold"
    file.write_text('name = "shy"\n' + SOUND)
    assert load_recipe(file).name == "shy"


def test_a_recipe_with_three_mistakes_prints_three_lines() -> None:
    text = SOUND.replace("64", "0").replace("lr = 0.1", 'lr = "fast"').replace("epochs = 3", "epoch = 3")
    lines = problems(text)
    assert "mine.toml, line 2: batch_size: auto or a whole number of 1–1,000,000 expected, 0 found" in lines
    assert "mine.toml, line 6: stages.0.lr: a number expected, 'fast' found" in lines
    assert "mine.toml, line 9: stages.1.epoch: unknown key; did you mean epochs?" in lines
    assert "mine.toml, line 8: stages.1.epochs: missing" in lines  # the other side of the misspelt key
    assert len(lines) == 4


def test_a_mistake_in_an_inline_stage_names_the_line_of_stages() -> None:
    assert problems('model = "tutorial"\nstages = [{ epochs = 1, lr = 0 }]') == [
        "mine.toml, line 2: stages.0.lr: > 0 and ≤ 1000 expected, 0 found"
    ]


@pytest.mark.parametrize(
    ("line", "path", "says"),
    [
        ("model = 3", "model", "text expected, 3 found"),
        ("model_args = 3", "model_args", "a table expected, 3 found"),
        ("seed = 1.5", "seed", "a whole number expected, 1.5 found"),
        ("seed = true", "seed", "a whole number expected, True found"),
        ("seed = -1", "seed", "≥ 0"),
        ("label_smoothing = 1", "label_smoothing", "≥ 0 and < 1 expected, 1 found"),
        ("ema = nan", "ema", "≥ 0 and < 1 expected, nan found"),
        ("weight_decay = inf", "weight_decay", "≥ 0 expected, inf found"),
        ('optimizer = "adamm"', "optimizer", "sgd, adam, adamw, muon or your own as"),
        ("optimizer = []", "optimizer", "sgd, adam, adamw, muon or your own as"),
        ('normalize = "0-1"', "normalize", "none, unit, standard or model expected"),
        ("batchsize = 3", "batchsize", "unknown key; did you mean batch_size?"),
        ("lr = 0.1", "lr", "unknown key; it is one of a stage: stages.0.lr"),
        ("xyzzy = 3", "xyzzy", "unknown key; known are model, model_args"),
        ("image_sizes = [[0, 28], [2, 500]]", "image_sizes.1", "sides 4–256 expected, [2, 500] found"),
        ("image_sizes = [[1, 28]]", "image_sizes", "epochs rising from 0 expected, [[1, 28]] found"),
        ("image_sizes = [[0, 28], [0, 20]]", "image_sizes", "epochs rising from 0 expected"),
        ("image_sizes = [28]", "image_sizes.0", "pairs"),
        ('image_sizes = "28"', "image_sizes", "a list expected, '28' found"),
        ("size = 0", "size", "a side of 1–256 pixels, or [height, width], expected, 0 found"),
        ("size = [64, 257]", "size", "a side of 1–256 pixels, or [height, width], expected, [64, 257] found"),
        ("size = [64]", "size", "or [height, width], expected, [64] found"),
        ("size = true", "size", "expected, True found"),
        ("channels = 4", "channels", "1 or 3 expected, 4 found"),
        ("channels = true", "channels", "1 or 3 expected, True found"),
        ('resize = "fit"', "resize", "pad, crop or stretch expected, 'fit' found"),
        ('background = "grey"', "background", "white, black or [red, green, blue], each 0–255, expected, 'grey' found"),
        ("background = [0, 0, 256]", "background", "each 0–255, expected, [0, 0, 256] found"),
        ('photo = "mnist"', "photo", "auto, none or fashion-mnist expected, 'mnist' found"),
        ("stages = []", "stages", "at least one stage expected, none found"),
        ("stages = 3", "stages", "a list expected, 3 found"),
        ("stages = [3]", "stages.0", "a table with epochs and lr expected, 3 found"),
        ("stages = [{ lr = 1 }]", "stages.0.epochs", "missing"),
        ("stages = [{ epochs = 1, lr = 1, warmup = 2 }]", "stages.0.warmup", "at most the stage's 1 epochs expected"),
        (
            'stages = [{ epochs = 2, lr = 1, warmup = 1, schedule = "one-cycle" }]',
            "stages.0.warmup",
            "one-cycle has its own warm-up",
        ),
        ('stages = [{ epochs = 2, lr = 1, schedule = "exp" }]', "stages.0.schedule", "cosine, one-cycle or"),
        (
            "stages = [{ epochs = 2, lr = 1, fresh_optimizer = 1 }]",
            "stages.0.fresh_optimizer",
            "true or false expected",
        ),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected_and_found(line: str, path: str, says: str) -> None:
    key = line.partition(" =")[0]
    base = {"model": 'model = "tutorial"', "stages": "stages = [{ epochs = 1, lr = 1 }]"} | {key: line}
    (message,) = problems("\n".join(base.values()))
    assert re.match(rf"mine\.toml, line \d: {re.escape(path)}: ", message)
    assert says in message


def test_a_network_that_learns_no_mirror_images_is_not_asked_about_them() -> None:
    with pytest.raises(RecipeError, match=r"mirror: random or alternating expected.*mirror_average = false with it"):
        load_recipe("steady", overrides=["mirror=none"])
    letters = load_recipe("steady", overrides=["mirror=none", "model_args.mirror_average=false"])
    assert letters.mirror == "none"
    assert load_recipe("steady", overrides=["mirror=random"]).model_args["mirror_average"]


@pytest.mark.parametrize(("key", "line"), [("early_stop", "early_stop = 3"), ("keep", 'keep = "best"')])
def test_what_chooses_by_validation_refuses_a_recipe_without(key: str, line: str) -> None:
    (message,) = problems(f"validation = 0\n{line}\n{SOUND}")
    assert message == f"mine.toml, line 2: {key}: chooses by validation images, but validation = 0 holds none out"
    parse_recipe(f"validation = 1\n{line}\n{SOUND}")
    parse_recipe(f"{line}\n{SOUND}")


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("size = 64", "size", (64, 64)),
        ("size = [64, 48]", "size", (64, 48)),
        ("channels = 3", "channels", 3),
        ('resize = "crop"', "resize", "crop"),
        ('background = "white"', "background", (255, 255, 255)),
        ('background = "black"', "background", (0, 0, 0)),
        ("background = [1, 2, 3]", "background", (1, 2, 3)),
        ('photo = "fashion-mnist"', "photo", "fashion-mnist"),
        ('photo = "auto"', "photo", None),
    ],
)
def test_how_pictures_become_images_may_stand_in_a_recipe(line: str, key: str, value: object) -> None:
    parsed = parse_recipe(f"{line}\n{SOUND}")
    assert getattr(parsed, key) == value
    assert (key in parsed.as_dict()) == (value is not None)
    assert parse_recipe(parsed.to_toml()) == recipe_from_dict(parsed.as_dict()) == parsed
    assert recipe(**{key: value}) == parsed


def test_a_recipe_that_says_nothing_of_pictures_is_written_as_ever() -> None:
    assert not {"size", "channels", "resize", "background", "photo"} & parse_recipe(SOUND).as_dict().keys()


def test_text_that_is_no_toml_says_where_it_breaks() -> None:
    (message,) = problems('model = "tutorial"\nbatch_size = = 3')
    assert message.startswith("mine.toml: not valid TOML: ")
    assert "line 2" in message


def test_a_recipe_built_in_python_is_checked_like_one_of_toml() -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe(model="tutorial", batch_size=0, stages=(Stage(epochs=0, lr=1),))
    assert str(caught.value).splitlines() == [
        "recipe: batch_size: auto or a whole number of 1–1,000,000 expected, 0 found",
        "recipe: stages.0.epochs: ≥ 1 and ≤ 100,000 expected, 0 found",
    ]
    with pytest.raises(RecipeError, match=r"stages: at least one stage expected"):
        Recipe(model="tutorial", stages=())


def test_a_recipe_can_not_be_changed_afterwards() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe().batch_size = 3  # type: ignore[misc]


def test_an_unknown_name_lists_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(
        RecipeError, match="the name or path of a recipe expected, ndarray found; images and labels are"
    ):
        load_recipe(np.zeros(3))  # type: ignore[arg-type]  # fr.train(images, labels)
    with pytest.raises(RecipeError, match=r"did you mean tutorial\? known are .*plain.*tutorial.*\.toml file"):
        load_recipe("tutorail")


def test_a_number_that_no_float_can_be_is_one_message_whatever_key_has_it() -> None:
    for key in (each.name for each in dataclasses.fields(Recipe) if each.name not in ("stages", "name")):
        with pytest.raises(RecipeError, match=key):
            load_recipe("plain", overrides=[f"{key}=1{'0' * 400}"])


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_can_not_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "gone.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RecipeError, match=re.escape(f"{file}: a recipe in TOML expected, but it can't be read")):
        load_recipe(file)


# ── overrides ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("seed=7", ("seed",), 7),
        ("stages.1.lr=0.02", ("stages", 1, "lr"), 0.02),
        ("stages.0.rest_lr = 1", ("stages", 0, "rest_lr"), 1),
        ("mirror=random", ("mirror",), "random"),
        ('mirror="random"', ("mirror",), "random"),
        ("description=a = b", ("description",), "a = b"),
        ("model_args.width=32", ("model_args", "width"), 32),
        ("stages.0={ epochs = 9, lr = 1 }", ("stages", 0, "epochs"), 9),
        ("image_sizes=[[0, 14], [2, 28]]", ("image_sizes", 1), [2, 28]),
    ],
)
def test_an_override_sets_one_key(override: str, path: tuple[str | int, ...], value: object) -> None:
    place: Any = parse_recipe(SOUND, overrides=[override]).as_dict()
    for key in path:
        place = place[key]
    assert place == value


def test_overrides_may_supply_what_the_text_lacks_and_the_last_one_wins() -> None:
    parsed = parse_recipe("stages = [{ epochs = 1, lr = 1 }]", overrides=["model=tutorial", "seed=1", "seed=2"])
    assert (parsed.model, parsed.seed) == ("tutorial", 2)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("seed", "`overrides` seed: KEY=VALUE expected, such as stages.0.lr=0.02"),
        ("=3", "`overrides` =3: KEY=VALUE expected"),
        ("stages..lr=3", "KEY=VALUE expected"),
        ("stages.2.lr=3", "`overrides` stages.2.lr=3: the recipe has no stages.2.lr"),
        ("stages.-1.lr=3", "the recipe has no stages.-1.lr"),
        ("stages.first.lr=3", "the recipe has no stages.first.lr"),
        ("stages.2=3", "the recipe has no stages.2"),
        ("seed.x=3", "`overrides` seed.x=3: the recipe has no seed.x"),
        ("seed.x.y=3", "the recipe has no seed.x.y"),
    ],
)
def test_an_override_that_can_not_be_applied_is_told(override: str, says: str) -> None:
    (message,) = problems("seed = 0\n" + SOUND, override)
    assert says in message


def test_a_wrong_override_is_not_blamed_on_the_file() -> None:
    assert problems(SOUND.replace("64", "0"), "stages.0.lr=-1", "image_sizes=[[0, 1]]", "sed=3") == [
        "mine.toml, line 2: batch_size: auto or a whole number of 1–1,000,000 expected, 0 found",
        "`overrides` sed: unknown key; did you mean seed?",
        "`overrides` stages.0.lr: > 0 and ≤ 1000 expected, -1 found",
        "`overrides` image_sizes.0: pairs [first epoch, side in pixels], epochs rising from 0 and sides 4–256 "
        "expected, [0, 1] found",
    ]


# ── TOML text ────────────────────────────────────────────────────────────────────────────────────────────────

SCALARS = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))


@given(VALUES)
def test_whatever_model_args_hold_survives_being_written(value: Any) -> None:
    raw = {"model": "m", "model_args": {"a": value}, "stages": [{"epochs": 1, "b c": value}]}
    assert tomllib.loads(to_toml(raw)) == raw


def test_recipe_written_as_toml_reads_back_equal() -> None:
    full = recipe(
        model="net.py:Net",
        model_args={"width": 3, "blocks": [{"kind": "a b"}, {"kind": "ü\n\x7f"}], "inner": {"x.y": [1.5, 2]}},
        rest_momentum=0.5,
        image_sizes=((0, 14), (1, 28)),
        validation=100,
        stages=(Stage(epochs=4, lr=1e-5, rest_lr=3.0, schedule="cosine", warmup=0.5, fresh_optimizer=False),),
    )
    assert parse_recipe(full.to_toml()) == full


def test_keys_are_found_on_their_lines() -> None:
    text = (
        '# seed = 1\nmodel = "x"\n\n[model_args]\n"two words" = 3\n[[ stages ]]\n lr=1\n\n[[stages]]\nepochs = 2 # lr\n'
    )

    assert lines_of_keys(text) == {
        "model": 2,
        "model_args": 4,
        "model_args.two words": 5,
        "stages.0": 6,
        "stages.0.lr": 7,
        "stages.1": 9,
        "stages.1.epochs": 10,
    }


def test_an_override_that_fails_changes_nothing() -> None:
    raw = {"stages": [{"lr": 1}]}
    assert apply_override(raw, "stages.3.lr=2")
    assert raw == {"stages": [{"lr": 1}]}


# ── stages ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_epoch_lies_in_its_stage() -> None:
    two = recipe()
    assert two.epochs == 5
    assert [two.stage_at(epoch) for epoch in range(5)] == [
        (two.stages[0], 0),
        (two.stages[0], 1),
        (two.stages[1], 0),
        (two.stages[1], 1),
        (two.stages[1], 2),
    ]
    with pytest.raises(IndexError):
        two.stage_at(5)


@pytest.mark.parametrize(("epochs", "shares"), [(1, [1]), (2, [2]), (3, [2, 1]), (5, [2, 3]), (9, [2, 7])])
def test_epochs_cut_stages_from_the_end_or_lengthen_the_last(epochs: int, shares: list[int]) -> None:
    assert [stage.epochs for stage in with_epochs(recipe(), epochs).stages] == shares


def test_epochs_shorten_a_warm_up_that_no_longer_fits() -> None:
    slow = recipe(stages=(Stage(epochs=4, lr=1, warmup=3),))
    assert with_epochs(slow, 2).stages[0].warmup == 2


def test_epochs_that_leave_the_head_alone_are_told() -> None:
    finetune = load_recipe("finetune")
    alone = finetune.stages[0].epochs
    with pytest.warns(UserWarning, match=f"epochs = {alone}: only the head learns; finetune .* after {alone} epochs"):
        assert len(with_epochs(finetune, alone).stages) == 1
    assert len(with_epochs(finetune, alone + 1).stages) == 2  # and no warning, which would be an error here

    # Who asked for that and nothing else is told nothing.
    with_epochs(load_recipe("finetune", overrides=["stages=[{epochs = 9, lr = 0.01, freeze = 'body'}]"]), 3)


@pytest.mark.parametrize("epochs", [0, -1])
def test_no_epochs_are_refused(epochs: int) -> None:
    with pytest.raises(RecipeError, match=f"at least 1 expected, {epochs} found"):
        with_epochs(recipe(), epochs)


def test_lr_is_the_first_stages_and_the_others_keep_their_ratio() -> None:
    assert [stage.lr for stage in with_lr(recipe(), 0.5).stages] == pytest.approx([0.5, 0.05])
    with pytest.raises(RecipeError, match=r"stages\.0\.lr: > 0"):
        with_lr(recipe(), -0.5)


def test_differences_name_each_key_with_both_values() -> None:
    old, new = recipe(rest_momentum=0.5), recipe(seed=3, shift=2)
    new = dataclasses.replace(new, stages=(new.stages[0], dataclasses.replace(new.stages[1], lr=0.02)))
    assert sorted(differences(old.as_dict(), new.as_dict())) == [
        "rest_momentum: 0.5 → not set",
        "seed: 0 → 3",
        "shift: 0 → 2",
        "stages.1.lr: 0.01 → 0.02",
    ]
    assert differences(old.as_dict(), old.as_dict()) == []


def test_a_key_that_is_left_out_is_told_by_its_default() -> None:
    old, new = recipe(), recipe(class_weights="balanced", mixup=0.2)
    new = dataclasses.replace(new, stages=(dataclasses.replace(new.stages[0], freeze="body"), *new.stages[1:]))
    lines = differences(old.as_dict(), new.as_dict())
    assert "class_weights: 'none' → 'balanced'" in lines
    assert "mixup: 0.0 → 0.2" in lines
    assert "stages.0.freeze: not set → 'body'" in lines
    assert not any("None" in line for line in lines)
    assert differences(old.as_dict(), old.as_dict() | {"class_weights": "none", "border": "zero"}) == []
    assert differences({"nesterov": True}, {"nesterov": False}) == ["nesterov: true → false"]


def test_one_stage_more_is_a_difference() -> None:
    new = recipe(stages=recipe().stages[:1])
    (line,) = differences(recipe().as_dict(), new.as_dict())
    assert line.startswith("stages: ")


@given(st.dictionaries(st.sampled_from([field.name for field in dataclasses.fields(Recipe)]), VALUES, max_size=6))
def test_no_value_makes_the_check_itself_fail(raw: dict[str, Any]) -> None:
    if not find_problems(raw):
        recipe_from_dict(raw)
