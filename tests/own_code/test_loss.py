"""A loss of the user's own: the same as the package's where it computes the same, kept, resumed, and never executed
for a stranger."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.errors import Interrupted
from fittingroom.own_code.name import is_own
from fittingroom.recipes.own_names import with_own_code
from fittingroom.training.loss import make_loss
from fittingroom.watch.state import WatchedRun
from tests.support.stopping import stop_after

NEIGHBOUR = "GAMMA = 2.0\n"
MINE = """\
from pathlib import Path

from torch.nn import functional as F

from parts import GAMMA

Path("executed").touch()


def focal(logits_NC, y_N, gamma=GAMMA):
    loss_N = F.cross_entropy(logits_NC, y_N, reduction="none")
    return (1 - (-loss_N).exp()) ** gamma * loss_N


def mean(logits_NC, y_N):
    return F.cross_entropy(logits_NC, y_N)


class Smoothed:
    def __init__(self, num_classes, label_smoothing=0.0):
        self.share = label_smoothing / num_classes
        self.kept = 1 - label_smoothing

    def __call__(self, logits_NC, y_N):
        log_NC = F.log_softmax(logits_NC, 1)
        return -self.kept * log_NC.gather(1, y_N[:, None])[:, 0] - self.share * log_NC.sum(1)
"""


@pytest.fixture(autouse=True)
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("parts.py").write_text(NEIGHBOUR)
    Path("mine.py").write_text(MINE)
    return tmp_path


@pytest.fixture(scope="module")
def data() -> fr.Splits:
    sample = fr.open_dataset("sample")
    return fr.Splits(sample.train.subset(range(400)), sample.train.subset(range(400, 600)))


def recipe(*overrides: str) -> fr.Recipe:
    small = ["model=tutorial", "stages.0.epochs=2", "precision=float32", "min_steps=0", "batch_size=128"]
    return fr.load_recipe("plain", overrides=[*small, *overrides])


def train(data: fr.Splits, *overrides: str, out: str, **arguments: object) -> fr.Run:
    return fr.train(data, recipe(*overrides), out=out, options=fr.Options(threads=1), **arguments)  # type: ignore[arg-type]


def losses(run: fr.Run) -> list[float]:
    return [event["loss"] for event in run.events if event["event"] == "step"]


def weights(run: fr.Run) -> dict[str, Tensor]:
    return dict(run.artifact.network(trust_code=True).state_dict())


def focal(logits_NC: Tensor, y_N: Tensor, gamma: float = 2.0) -> Tensor:
    loss_N = F.cross_entropy(logits_NC, y_N, reduction="none")
    return (1 - (-loss_N).exp()) ** gamma * loss_N


@pytest.mark.parametrize("key", ["loss=mine.py:mean", "loss=torch.nn.functional:cross_entropy"])
def test_cross_entropy_of_ones_own_trains_as_the_package_s(key: str, data: fr.Splits) -> None:
    own, package = train(data, key, out="own"), train(data, out="package")
    assert losses(own) == pytest.approx(losses(package), rel=1e-4)


def test_no_page_calls_a_loss_of_ones_own_cross_entropy(data: fr.Splits) -> None:
    own, package = train(data, "loss=mine.py:focal", out="own"), train(data, out="package")
    titles = [
        re.findall(r"<h3[^>]*>Loss <span[^>]*>([^<]+)</span>", (run.path / "report.html").read_text())
        for run in (own, package)
    ]
    assert titles == [
        ["training: by mine.py:focal, validation: cross-entropy, nats; learning rate below"],
        ["cross-entropy, nats; learning rate below"],
    ]
    curves = [WatchedRun(run.path).state()["curves"] for run in (own, package)]
    assert ["loss of one’s own" in drawn for drawn in curves] == [True, False]


def test_a_class_is_given_what_it_takes(data: fr.Splits) -> None:
    own = train(data, "loss=mine.py:Smoothed", "label_smoothing=0.1", out="own")
    assert losses(own) == pytest.approx(losses(train(data, "label_smoothing=0.1", out="package")), rel=1e-4)


def test_its_file_is_executed_once_for_each_time_that_it_is_made() -> None:
    Path("mine.py").write_text(MINE + 'with open("times", "a") as file:\n    file.write("x")\n')
    make_loss(with_own_code(recipe("loss=mine.py:Smoothed")), None, 10, torch.device("cpu"))
    assert Path("times").read_text() == "x"


def test_a_run_keeps_the_file_with_its_neighbours_and_goes_on_with_those(data: fr.Splits) -> None:
    whole = train(data, "loss=mine.py:focal", "loss_args.gamma=1.5", out="whole")
    with pytest.raises(Interrupted) as stop:
        train(data, "loss=mine.py:focal", "loss_args.gamma=1.5", out="half", should_stop=stop_after(3))
    assert stop.value.resume_command.endswith("--trust-code")

    # what lies at the path by now is another file, and its neighbour is gone
    Path("mine.py").write_text("raise SystemExit")
    Path("parts.py").unlink()
    with pytest.raises(fr.ArtifactError, match="code of its author's own, such as code/"):
        fr.resume("half", data=data)
    resumed = fr.resume("half", data=data, trust_code=True)

    assert all(torch.equal(a, b) for a, b in zip(weights(whole).values(), weights(resumed).values(), strict=True))
    (verified,) = fr.verify(resumed, data=data, trust_code=True)
    assert verified.outcome == "same"
    kept = {path.name: path.read_text() for path in resumed.path.glob("code/*/*.py")}
    assert kept == {"mine.py": MINE, "parts.py": NEIGHBOUR}


def test_a_function_given_as_an_object_is_kept_by_its_source(data: fr.Splits) -> None:
    by_name = train(data, "loss=mine.py:focal", out="by-name")
    by_object = fr.train(data, recipe(), loss=focal, out="by-object", options=fr.Options(threads=1))
    assert losses(by_object) == losses(by_name)
    assert by_object.recipe.loss == "tests.own_code.test_loss:focal"


HOSTILE = 'from pathlib import Path\nPath("executed").touch()\ndef focal(logits, y):\n    return logits.sum()\n'


@pytest.fixture
def mailed(data: fr.Splits) -> Path:
    """A finished run and a stopped one with code, of which nothing has been executed yet."""
    assert main(["train", "sample", "--set", "loss=mine.py:focal", "--model", "tutorial", "--epochs", "1",
                 "--no-test", "--quiet", "--threads", "1", "--out", "mailed"]) == 0  # fmt: skip
    Path("executed").unlink()
    return Path("mailed")


COMMANDS = [
    ["evaluate", "mailed", "sample"],
    ["predict", "mailed", "one.png"],
    ["report", "mailed"],
    ["export", "mailed", "--format", "onnx"],
    ["compare", "mailed", "mailed"],
    ["runs", "."],
]


def test_no_command_executes_the_loss_of_a_stranger(mailed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    Image.new("L", (28, 28)).save("one.png")
    for command in COMMANDS:
        main(command)
        assert not Path("executed").exists(), command
    (mailed / "result.json").rename("result.json")
    for command in (
        ["train", "--resume", "mailed"],
        ["train", "sample", "--recipe", "mailed/recipe.toml", "--no-test"],
        ["train", "sample", "--from", "mailed", "--no-test"],
        ["data", "check", "sample", "--labels", "--recipe", "mailed/recipe.toml"],
        ["try", "sample", "--recipe", "mailed/recipe.toml", "--set", "mirror=random"],
    ):
        capsys.readouterr()
        assert main([*command, *(["--quiet"] if command[0] == "train" else [])]) == 2, command
        assert not Path("executed").exists(), command
        assert "Traceback" not in capsys.readouterr().err
    Path("result.json").rename(mailed / "result.json")
    assert main(["verify", "mailed"]) == 2
    assert "--trust-code" in capsys.readouterr().err
    assert not Path("executed").exists()


def test_a_recipe_that_a_run_has_given_names_no_code_by_itself(mailed: Path, data: fr.Splits) -> None:
    with pytest.raises(fr.RecipeError, match="code of its author's own"):
        fr.train(data, fr.open_run(mailed).recipe, out="mine")
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("def f(x, y):\n    return x.new_zeros(3, 2)\n", r"each image, \(4,\), or their mean, \(\) exp.* \(3, 2\)"),
        ("def f(x, y):\n    return 0.5\n", "float found; give it as a tensor"),
        ("def f(x, y):\n    return (x.sum(1) * float('nan'))\n", "finite numbers are needed"),
        ("def f(x, y):\n    return x.detach().sum(1)\n", "with a gradient; none found"),
        ("def f(x):\n    return x.sum(1)\n", r"a function of \(logits_NC, y_N\) expected; it failed on .*TypeError"),
        ("f = 3\n", "has no class or function f; it has none"),
        ("def g(x, y):\n    return x.sum(1)\n", "has no class or function f; it has g"),
        ("import nowhere_at_all\n", "executing .*bad.py failed at line 1: ModuleNotFoundError"),
        ("class f:\n    pass\n", "a class with __call__ expected"),
        ("from torch import nn\nf = lambda: nn\n", "failed on"),
        ("def f(x, y, *, gamma):\n    return x.sum(1)\n", "missing 1 required keyword-only argument: 'gamma'"),
        (
            "from torch import nn\nclass f(nn.Linear):\n    def __init__(self):\n        super().__init__(2, 2)\n",
            "one with parameters of its own found",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_a_folder_is_made(code: str, says: str, data: fr.Splits) -> None:
    Path("bad.py").write_text(code)
    with pytest.raises(fr.RecipeError, match=says):
        train(data, "loss=bad.py:f", out="never")
    assert not Path("never").exists()


def test_code_of_ones_own_may_have_a_name_in_any_script(data: fr.Splits) -> None:
    Path("我的.py").write_text(
        "from torch.nn import functional as F\n\n\ndef 损失(x, y):\n    return F.cross_entropy(x, y)\n"
    )
    for name in ("我的.py:损失", "我的:损失"):
        run = train(data, f"loss={name}", out=f"runs/{name[:4]}")
        assert run.recipe.loss == name
    assert not any(is_own(name) for name in ("我的.py:1损失", "我的.py:损 失"))


def test_what_the_recipe_asks_of_a_loss_that_does_not_do_it_is_said(data: fr.Splits) -> None:
    with pytest.raises(fr.RecipeError, match="this loss takes no label_smoothing: set label_smoothing=0, or add"):
        train(data, "loss=mine.py:focal", "label_smoothing=0.1", out="never")
    with pytest.raises(fr.RecipeError, match=r"loss_args.alpha is not an argument of it; it takes logits_NC, y_N, g"):
        train(data, "loss=mine.py:focal", "loss_args.alpha=1", out="never")
    with pytest.raises(fr.RecipeError, match=r"cross_entropy or your own as path/to/file.py:name .* expected, 'focal'"):
        recipe("loss=focal")
