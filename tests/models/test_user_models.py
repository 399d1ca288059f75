import hashlib
from pathlib import Path

import pytest
import torch
from torch import nn

from fittingroom.errors import RecipeError
from fittingroom.models import build_model, find_model
from fittingroom.models.tensors import normalize

NET = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes, image_size, width=4):
        super().__init__()
        height, side = image_size
        self.conv = nn.Conv2d(1, width, 3, padding=1)
        self.fc = nn.Linear(width * height * side, num_classes)

    def forward(self, x):
        return self.fc(self.conv(x).relu().flatten(1))
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(NET)
    return path


def build(name: str, **model_args: object) -> nn.Module:
    """Through the whole way, for images of 10×12 and 3 classes."""
    return build_model(find_model(name), num_classes=3, image_size=(10, 12), model_args=model_args)


def refusal(name: str, **model_args: object) -> str:
    with pytest.raises(RecipeError) as caught:
        build(name, **model_args)
    return str(caught.value)


def test_a_class_of_the_users_file_becomes_the_network(file: Path) -> None:
    model = build(f"{file}:Net")
    assert model(torch.zeros(5, 1, 10, 12)).shape == (5, 3)
    assert model.training


def test_a_function_may_give_the_network(file: Path) -> None:
    file.write_text(NET + "\n\ndef wide(num_classes, image_size):\n    return Net(num_classes, image_size, width=9)\n")
    assert build(f"{file}:wide").get_parameter("conv.weight").shape[0] == 9


def test_only_what_the_signature_takes_is_given(file: Path) -> None:
    file.write_text("from torch import nn\n\ndef plain():\n    return nn.Sequential(nn.Flatten(), nn.Linear(120, 3))\n")
    assert build(f"{file}:plain")(torch.zeros(2, 1, 10, 12)).shape == (2, 3)


def test_a_class_without_a_constructor_is_given_nothing(file: Path) -> None:
    file.write_text(
        "from torch import nn\n\nclass Net(nn.Module):\n    def forward(self, x):\n        return x.flatten(1)[:, :3]\n"
    )
    build(f"{file}:Net")
    assert "model_args.width is not an argument" in refusal(f"{file}:Net", width=3)


def test_a_signature_that_takes_anything_is_given_everything(file: Path) -> None:
    file.write_text(NET + "\n\ndef free(**settings):\n    return Net(**settings)\n")
    assert build(f"{file}:free", width=7).get_parameter("conv.weight").shape[0] == 7


LIKE_TORCHVISION = """
class ResNet(nn.Module):
    def __init__(self, layers, num_classes=1000, width=4):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, width, 3), nn.Linear(width, num_classes)

    def forward(self, x):
        return self.fc(self.conv(x).mean((2, 3)))


def resnet18(*, weights=None, progress=True, **kwargs):
    return ResNet([2, 2, 2, 2], **kwargs)
"""


def test_what_is_passed_on_and_refused_by_name_is_left_out(file: Path) -> None:
    file.write_text(f"from torch import nn\n{LIKE_TORCHVISION}")
    source = find_model(f"{file}:resnet18")
    model = build_model(source, num_classes=3, image_size=(10, 12), channels=3, model_args={"width": 7})
    assert model.get_parameter("fc.weight").shape == (3, 7)

    # What the user gave is never left out.
    for given in ("image_size", "depth"):
        with pytest.raises(RecipeError, match=f"constructing it failed: TypeError: .*{given}"):
            build_model(source, num_classes=3, image_size=(10, 12), channels=3, model_args={given: 3})


def test_model_args_reach_the_constructor(file: Path) -> None:
    assert build(f"{file}:Net", width=6).get_parameter("conv.weight").shape[0] == 6


def test_source_and_hash_are_those_of_the_file(file: Path) -> None:
    source = find_model(f"{file}:Net")
    assert source.code is not None
    assert source.code.files == {file.name: NET}
    assert source.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert find_model("tutorial").sha256 is None


def test_the_file_is_read_as_it_is_now_and_not_as_it_was_imported_once(file: Path) -> None:
    build(f"{file}:Net")
    file.write_text(NET.replace("width=4", "width=5"))
    assert build(f"{file}:Net").get_parameter("conv.weight").shape[0] == 5


def test_the_file_runs_by_pythons_own_rules_and_not_by_those_of_our_modules(file: Path) -> None:
    file.write_text(NET + "\ndef typed(num_classes: int): pass\n\nassert typed.__annotations__['num_classes'] is int\n")
    build(f"{file}:Net")


def test_a_file_may_hold_dataclasses(file: Path) -> None:
    file.write_text(
        f"from __future__ import annotations\nfrom dataclasses import dataclass\n\n{NET}\n"
        "@dataclass\nclass Plan:\n    width: int = 3\n"
    )
    build(f"{file}:Net")


# ── what is wrong is told ────────────────────────────────────────────────────────────────────────────────────


def test_a_missing_class_is_told_with_those_that_are_there(file: Path) -> None:
    assert refusal(f"{file}:Nett") == f"model {file}:Nett: {file} has no class or function Nett; it has Net"


@pytest.mark.parametrize("value", ["3", "Net(3, (10, 12))"])
def test_a_name_that_is_neither_class_nor_function_is_refused(file: Path, value: str) -> None:
    file.write_text(f"{NET}\n\nvalue = {value}\n")
    assert "has no class or function value; it has Net" in refusal(f"{file}:value")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "gone.py" in refusal(f"{tmp_path}/gone.py:Net")


def test_a_file_that_is_no_text_is_refused(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")
    assert "Python source expected" in refusal(f"{file}:Net")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("class Net:\n    def oops(\n", "failed at line 2: SyntaxError"),
        ("x = 1\n\n1 / 0\n", "failed at line 3: ZeroDivisionError: division by zero"),
        ("\nimport no_such_module_at_all\n", "failed at line 2: ModuleNotFoundError: No module named"),
        ("def f():\n    raise KeyError('k')\n\nf()\n", "failed at line 2: KeyError"),
        ("import sys\nsys.exit(3)\n", "failed at line 2: SystemExit: 3"),
    ],
    ids=["syntax", "raises", "import", "deeper", "exits"],
)
def test_a_file_that_fails_is_told_with_its_line(file: Path, code: str, says: str) -> None:
    file.write_text(code)
    assert f"executing {file} {says}" in refusal(f"{file}:Net")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (
            "return x.flatten(1)[:, :4]",
            "logits of shape (2, 3) (N, classes) expected for a batch (2, 1, 10, 12), (2, 4)",
        ),
        ("return x", "(2, 1, 10, 12) found; make its last layer give num_classes outputs"),
        ("return x.flatten(1)[0, :3]", "(3,) found"),
        ("return (x, x)", "tuple found"),
        ("return None", "NoneType found"),
        ("return x.reshape(7, 7)", "it failed on a batch of shape (2, 1, 10, 12) (N, channels, H, W): RuntimeError"),
        ("return x.nothing", "AttributeError"),
    ],
)
def test_an_output_that_does_not_fit_is_told_with_both_shapes(file: Path, body: str, says: str) -> None:
    file.write_text(f"from torch import nn\n\nclass Net(nn.Module):\n    def forward(self, x):\n        {body}\n")
    assert says in refusal(f"{file}:Net")


def test_an_argument_that_the_constructor_lacks_is_told_with_those_that_it_takes(file: Path) -> None:
    assert refusal(f"{file}:Net", depth=3) == (
        f"model {file}:Net: model_args.depth is not an argument of its constructor; it takes width"
    )
    assert "model_args.width is not an argument of its constructor; it takes none" in refusal("tutorial", width=3)


def test_a_constructor_that_fails_is_told(file: Path) -> None:
    assert "constructing it failed: TypeError" in refusal(f"{file}:Net", width="wide")


def test_what_is_no_module_is_refused(file: Path) -> None:
    file.write_text("def net():\n    return 3\n")
    assert "a torch.nn.Module expected, int found" in refusal(f"{file}:net")


@pytest.mark.parametrize(("name", "hint"), [("tutoriel", "did you mean tutorial? "), ("resnet-152", "unknown; known")])
def test_an_unknown_name_lists_the_known_ones(name: str, hint: str) -> None:
    message = refusal(name)
    assert hint in message
    assert "tutorial" in message
    assert "path/to/file.py:ClassName" in message


# ── memory layout ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("flatten", "channels_last"), [("flatten(1)", True), ("view(x.shape[0], -1)", False)])
def test_filters_are_laid_out_channels_last_where_the_model_permits(
    file: Path, flatten: str, channels_last: bool
) -> None:
    file.write_text(NET.replace("flatten(1)", flatten))
    torch.manual_seed(0)
    # Two convolutions' worth of channels: with one input channel both layouts are the same bytes.
    model = build(f"{file}:Net", width=4)
    x = torch.randn(6, 1, 10, 12)
    logits = model(x)
    logits.sum().backward()
    assert model.get_submodule("conv")(x).is_contiguous(memory_format=torch.channels_last) == channels_last

    torch.manual_seed(0)
    plain = find_model(f"{file}:Net").construct(3, (10, 12))
    torch.testing.assert_close(logits, plain(x))


def test_checking_a_model_touches_no_running_statistic(file: Path) -> None:
    file.write_text(
        NET.replace("self.fc =", "self.norm = nn.BatchNorm2d(width)\n        self.fc =").replace(
            "self.conv(x)", "self.norm(self.conv(x))"
        )
    )
    assert build(f"{file}:Net").get_buffer("norm.num_batches_tracked") == 0


# ── colour ───────────────────────────────────────────────────────────────────────────────────────────────────


def build_for_colour(name: str) -> nn.Module:
    return build_model(find_model(name), num_classes=3, image_size=(10, 12), channels=3)


def test_a_network_that_takes_in_channels_is_given_them(file: Path) -> None:
    file.write_text(NET.replace("width=4", "in_channels, width=4").replace("Conv2d(1,", "Conv2d(in_channels,"))
    assert build_for_colour(f"{file}:Net")(torch.zeros(5, 3, 10, 12)).shape == (5, 3)
    assert build(f"{file}:Net")(torch.zeros(5, 1, 10, 12)).shape == (5, 3)


def test_a_network_for_grey_images_says_on_colour_what_to_add(file: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        build_for_colour(f"{file}:Net")
    assert "it failed on a batch of shape (2, 3, 10, 12)" in str(caught.value)
    assert "add in_channels to its arguments" in str(caught.value)
    assert "channels = 1 in the recipe" in str(caught.value)


def test_a_network_that_fits_itself_to_colour_needs_no_argument(file: Path) -> None:
    file.write_text(
        "from torch import nn\n\ndef lazy(num_classes):\n"
        "    return nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(num_classes))\n"
    )
    assert build_for_colour(f"{file}:lazy")(torch.zeros(5, 3, 10, 12)).shape == (5, 3)


def test_a_network_that_passes_anything_on_is_told_of_channels_only_in_colour(file: Path) -> None:
    file.write_text(
        NET
        + "\n\ndef grey(**given):\n    return Net(**given)\n"
        + "\n\ndef colour(**given):\n    assert given['in_channels'] == 3\n"
        + "    return nn.Sequential(nn.Conv2d(3, 1, 1), Net(given['num_classes'], given['image_size']))\n"
    )
    assert build(f"{file}:grey")(torch.zeros(5, 1, 10, 12)).shape == (5, 3)
    assert build_for_colour(f"{file}:colour")(torch.zeros(5, 3, 10, 12)).shape == (5, 3)


def test_a_network_that_views_its_input_is_fed_colour_that_it_can_view(file: Path) -> None:
    file.write_text(
        "from torch import nn\n\nclass Flat(nn.Module):\n"
        "    def __init__(self, num_classes, in_channels):\n        super().__init__()\n"
        "        self.fc = nn.Linear(in_channels * 120, num_classes)\n\n"
        "    def forward(self, x):\n        return self.fc(x.view(x.size(0), -1))\n"
    )
    x_NCHW = normalize(torch.zeros(5, 10, 12, 3, dtype=torch.uint8), (1.0, 2.0, 3.0), (1.0, 1.0, 1.0))
    assert build_for_colour(f"{file}:Flat")(x_NCHW).shape == (5, 3)
