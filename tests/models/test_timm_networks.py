"""Networks of timm: there without torchvision, calling nobody, and refused in words where they can't be had."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fittingroom.errors import RecipeError, how_to_install
from fittingroom.models import build_model, find_model, package_model
from fittingroom.models.head import class_dimensions
from fittingroom.models.timm_networks import own_scales, own_size

BROKEN = "raise RuntimeError('operator torchvision::nms does not exist')"  # as one for another PyTorch fails
PROGRAM = """
import sys
from fittingroom.models import build_model, find_model
build_model(find_model("timm:test_resnet"), num_classes=3, image_size=(32, 32), channels=1)
assert not any(name.partition(".")[0] == "torchvision" for name in sys.modules), "a stand-in stayed behind"
"""


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext", "test_efficientnet"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_network_of_timm_takes_the_images_and_classes_that_it_is_asked_for(name: str, channels: int) -> None:
    source = find_model(f"timm:{name}")
    model = build_model(source, num_classes=5, image_size=(48, 48), channels=channels)
    assert model(torch.zeros(2, channels, 48, 48)).shape == (2, 5)

    # The head is found by what follows the number of classes, whatever it is called.
    head = class_dimensions(model, source, num_classes=5, image_size=(48, 48), channels=channels)
    assert {model.state_dict()[key].shape[0] for key in head} == {5}
    assert len(head) == 2


def test_its_size_and_its_scales_are_those_of_its_weights() -> None:
    assert own_size("timm:mobilenetv3_large_100.ra_in1k") == (224, 224)
    mean, std = own_scales("timm:mobilenetv3_large_100.ra_in1k")
    assert mean == pytest.approx((123.675, 116.28, 103.53))
    assert std == pytest.approx((58.395, 57.12, 57.375))


@pytest.mark.parametrize("broken", [False, True], ids=["without torchvision", "with one for another PyTorch"])
def test_timm_is_imported_where_torchvision_is_missing_or_fails(broken: bool, tmp_path: Path) -> None:
    (tmp_path / "torchvision").mkdir()
    code = BROKEN if broken else "raise ModuleNotFoundError('torchvision', name='torchvision')"
    (tmp_path / "torchvision" / "__init__.py").write_text(code, encoding="utf-8")
    path = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    done = subprocess.run([sys.executable, "-c", path + PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_python_has_of_torchvision_is_as_before(tmp_path: Path) -> None:
    """A part that a failed import left behind stays; of a timm that fails half-way with the stand-ins nothing does."""
    for name, code in {
        "torchvision/__init__.py": f"import torchvision.whole; {BROKEN}",
        "torchvision/whole.py": "",
        "timm/__init__.py": "import timm.whole; from torchvision import ops; raise ValueError('half-way')",
        "timm/whole.py": "from torchvision.transforms import Compose",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code, encoding="utf-8")
    program = f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
try: import torchvision
except RuntimeError: pass
of_both = lambda: {{name: part for name, part in sys.modules.items() if name.startswith(("torchvision", "timm"))}}
before, finders = of_both(), list(sys.meta_path)
from fittingroom.models.timm_networks import import_timm
try: import_timm()
except ValueError: print("half-way")
assert of_both() == before and list(before) == ["torchvision.whole"], of_both()
assert sys.meta_path == finders
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "half-way\n"), done.stderr


def test_threads_that_ask_at_once_all_get_the_whole_of_timm() -> None:
    program = """
from concurrent.futures import ThreadPoolExecutor
from fittingroom.models.timm_networks import import_timm
with ThreadPoolExecutor(4) as pool:
    asked = [pool.submit(lambda: import_timm().is_model("test_resnet")) for _ in range(4)]
assert all(each.result() for each in asked)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["resnet1o", "hf-hub:somebody/model", "local-dir:/tmp/model", "somebody/model"])
def test_names_that_timm_does_not_know_or_would_open_are_refused(name: str) -> None:
    with pytest.raises(RecipeError, match=r"a name that timm .* knows expected"):
        package_model(f"timm:{name}")


@pytest.mark.parametrize("argument", ["pretrained", "checkpoint_path", "pretrained_cfg_overlay"])
def test_arguments_that_would_open_or_fetch_further_files_are_refused(argument: str) -> None:
    source = package_model("timm:test_resnet")
    with pytest.raises(RecipeError, match=f"model_args.{argument} is not for a recipe to say"):
        build_model(source, num_classes=2, image_size=(32, 32), model_args={argument: "/somebody/elses.pth"})


def test_without_timm_the_message_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from fittingroom.models import timm_networks

    monkeypatch.delitem(sys.modules, "timm", raising=False)
    monkeypatch.setattr(timm_networks, "find_spec", lambda _name: None)
    with pytest.raises(RecipeError, match=re.escape(how_to_install("timm"))):
        find_model("timm:test_resnet")
