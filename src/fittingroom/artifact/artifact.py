"""What a training ends in and every later step opens: weights, and a description that suffices to use them.

``model.safetensors`` and ``config.json`` hold no code. A network of the user's own keeps its source beside them in
``code/``, which is executed only when the caller says that it is trusted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fittingroom.data.normalization import Normalization
from fittingroom.data.preprocessing import MAX_SIDE, Preprocessing
from fittingroom.errors import ArtifactError, RecipeError, naming_extras
from fittingroom.evaluation.conformal import ConformalScores
from fittingroom.evaluation.temperature import UNCALIBRATED, Temperature
from fittingroom.evaluation.threshold import Threshold
from fittingroom.files.atomic import atomic_write
from fittingroom.files.json_file import read_json_object
from fittingroom.files.records import SHA256, WHAT_TO_DO, Among, Count, Range, brief, read_record
from fittingroom.files.run_file import read_run_file, sha256_of
from fittingroom.files.safetensors_header import refuse_large_header
from fittingroom.own_code.kept import KeptCode, read_kept_code, read_kept_source
from fittingroom.own_code.name import OwnCode

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMAT = 2
FORMATS = (1, 2)  # that are read; 1 has no preprocessing
CONFIG, WEIGHTS = "config.json", "model.safetensors"
FEATURE_SPACE = "feature_space.safetensors"  # beside the weights, see the module of that name
MAX_CLASSES = 1_000  # as of a data set
MAX_WEIGHTS = 2 << 30  # bytes; models of small images have some megabytes
MAX_REASON = 500  # characters of another library's message
UNKNOWN = Preprocessing()  # until the rest of a description is read
Side = Annotated[int, Range(1, MAX_SIDE)]
Channels = Annotated[int, Among((1, 3))]


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A trained model on disk.

    Attributes:
        path: the run's folder.
        model: name as in the recipe.
        model_args: further arguments of the model's constructor.
        code_sha256: of the user's own source; None for the package's models.
        code: where the folder keeps that source; None for the package's models, and in runs of 0.1, of one file each.
        classes: names; index = label.
        channels: 1 (grey) or 3 (red, green, blue).
        image_size: (H, W) in pixels.
        preprocessing: how the bytes of a picture become such an image.
        normalization: what pixels of 0–255 go through first.
        parameters: learned numbers.
        versions: of fittingroom, torch and Python at the time of training.
        data: ``source``, and name, size and fingerprints of each split that the training saw.
        temperature: by which logits are changed before the softmax; of a run before 0.2, 1 and not calibrated.
        threshold: of two classes, from which probability on the rarer is predicted; None for the more probable one.
        conformal: what ``predict --coverage`` makes its sets by; None without validation images, and before 0.2.
        start: what the training started from, as :class:`fittingroom.runs.environment_record.StartingPoint` has it;
            None for new weights.
        format: of the ``config.json`` that it was read from.

    Example:
        >>> import fittingroom as fr
        >>> artifact = fr.open_run("runs/plain-1").artifact
        >>> artifact.model, artifact.parameters, artifact.image_size, artifact.classes[:2]
        ('residual', 232330, (28, 28), ('T-shirt/top', 'Trouser'))
        >>> artifact.network().training
        False
    """

    path: Path
    model: str
    model_args: dict[str, Any]
    code_sha256: SHA256 | None
    classes: tuple[str, ...]
    channels: Channels
    image_size: tuple[Side, Side]
    preprocessing: Preprocessing
    normalization: Normalization
    parameters: Count
    versions: dict[str, str]
    data: dict[str, Any]
    temperature: Temperature = UNCALIBRATED
    threshold: Threshold | None = None
    conformal: ConformalScores | None = None
    start: dict[str, Any] | None = None
    code: KeptCode | None = None
    format: int = FORMAT

    @naming_extras()
    def network(self, *, trust_code: bool = False) -> nn.Module:
        """The network alone with its weights, float32, on the CPU, in evaluation mode.

        It wants pixels that are normalized already, ``(pixel - mean) / std`` by :attr:`normalization`, as float32
        (N, 1, H, W) or (N, 3, H, W), and gives logits. :meth:`fittingroom.Run.model` takes pixels of 0–255.

        Args:
            trust_code: permits executing the source that the user's own network came with.

        Raises:
            ArtifactError: code that isn't trusted or was changed, damaged weights, weights that don't fit.
        """
        import safetensors.torch
        from safetensors import SafetensorError

        from fittingroom.models import build_model, model_from_code, package_model
        from fittingroom.models.ambient import as_first_set
        from fittingroom.models.bounded import no_larger_than

        try:
            own = self.own_code(trusted=trust_code)
            source = package_model(self.model) if own is None else model_from_code(self.model, own)
            content = read_run_file(self.path / WEIGHTS, "weights", limit=MAX_WEIGHTS)
            refuse_large_header(content)
            weights = safetensors.torch.load(content)
            if own is None:
                self._refuse_larger(source.construct, weights)
            with as_first_set(), no_larger_than(weights) if own is None else nullcontext():
                model = build_model(
                    source,
                    num_classes=len(self.classes),
                    image_size=self.image_size,
                    channels=self.channels,
                    model_args=self.model_args,
                )
            model.load_state_dict(weights)
        except (OSError, SafetensorError, RuntimeError, RecipeError, ValueError, KeyError, TypeError) as error:
            reason = str(error)[:MAX_REASON]
            raise ArtifactError(f"{self.path}: model {self.model} with its weights expected: {reason}") from None
        return model.eval()

    def _refuse_larger(self, construct: Any, weights: Mapping[str, Tensor]) -> None:
        """Raise ArtifactError for a network that has more to it than the weights: it would take memory for nothing."""
        numbers = sum(tensor.numel() for tensor in weights.values())
        least = getattr(construct, "least_parameters", lambda **_model_args: 0)(**self.model_args)
        if least > numbers or not any(len(self.classes) in tensor.shape for tensor in weights.values()):
            raise ArtifactError(
                f"{self.path}: weights of the network that {CONFIG} describes expected, of {len(self.classes):,} "
                f"classes and {max(least, self.parameters):,} parameters or more; {WEIGHTS} has {numbers:,} numbers"
            )

    def own_code(self, *, trusted: bool) -> OwnCode | None:
        """The user's own source, for a caller that is going to execute it; None for a model of the package.

        Raises:
            ArtifactError: it isn't trusted, can't be read, or was changed.
        """
        if self.code_sha256 is None:
            return None
        if self.code is None:
            return read_kept_source(self.path, self.code_sha256, "model", trusted=trusted)
        return read_kept_code(self.path, self.code, "model", trusted=trusted)


def sha256_of_weights(folder: Path) -> str:
    """The hash by which ``model.onnx`` names the weights that it was made from; hexadecimal. Raises ArtifactError."""
    return sha256_of(folder / WEIGHTS, "weights", limit=MAX_WEIGHTS)


def save_artifact(artifact: Artifact, weights: dict[str, Tensor]) -> None:
    """Write ``weights`` and the description into ``artifact.path``, a folder that is there, each file atomically.

    The user's own code lies there since the run was started.
    """
    import safetensors.torch

    folder = artifact.path
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in weights.items()}
    with atomic_write(folder / WEIGHTS, follow_links=False) as file:
        file.write(safetensors.torch.save(tensors, metadata={"format": "pt"}))

    # The description is written last: a folder that has one is complete.
    config = {"format": FORMAT} | asdict(artifact)
    config |= {"format": FORMAT, "preprocessing": artifact.preprocessing.as_dict()}
    del config["path"]
    with atomic_write(folder / CONFIG, follow_links=False) as file:
        file.write(json.dumps(config, indent=2, ensure_ascii=False).encode())


def open_artifact(path: str | Path) -> Artifact:
    """Read the description of a trained model. No code is executed, and torch is not needed.

    Raises:
        ArtifactError: no such run, a training that isn't finished, a damaged or newer config.
    """
    folder = Path(path)
    file = folder / CONFIG
    if not file.exists():
        raise ArtifactError(_what_is_there_instead(folder))

    config = read_json_object(file, "a model's description")
    if config.get("format") not in FORMATS or isinstance(config["format"], bool):
        raise ArtifactError(
            f"{file}: format {FORMAT} expected, {brief(config.get('format'))} found: a newer version of fittingroom "
            "may have written it"
        )

    artifact = read_record(Artifact, config, str(file), given={"path": folder, "preprocessing": UNKNOWN})
    artifact = replace(artifact, preprocessing=_preprocessing_of(artifact, config, file))
    if problem := _disagreement_in(artifact):
        raise ArtifactError(f"{file}: {problem}; {WHAT_TO_DO}")
    return artifact


def _disagreement_in(artifact: Artifact) -> str | None:
    """What of a description can't go together, though each value could be by itself."""
    classes, channels, scores = artifact.classes, artifact.channels, artifact.conformal
    if not 0 < len(classes) <= MAX_CLASSES or len(set(classes)) < len(classes):
        return f"classes: 1 to {MAX_CLASSES:,} names that differ expected, {brief(classes)} found"
    if artifact.code is not None and artifact.code.sha256 != artifact.code_sha256:
        return "code: the files of which code_sha256 is the SHA-256 expected, others found"

    # a deviation of 0 would divide pixels by nothing, and a number too few be spread over the channels in silence
    for name in ("mean", "std"):
        scale = getattr(artifact.normalization, name)
        if len(scale if isinstance(scale, tuple) else (scale,)) != channels:
            return f"normalization.{name}: a number for each of {channels} channels expected, {brief(scale)} found"
        if name == "std" and min(scale if isinstance(scale, tuple) else (scale,)) <= 0:
            return f"normalization.std: more than 0 expected, {brief(scale)} found"

    if artifact.threshold and (len(classes) != 2 or artifact.threshold.label > 1):
        return f"threshold: one of a class of two expected, of {len(classes)} found"
    if scores and (len(scores.counts) != len(classes) or not scores.is_whole):
        return "conformal: the scores of so many validation images as are counted expected, others found"
    return None


def _preprocessing_of(artifact: Artifact, config: dict[str, Any], file: Path) -> Preprocessing:
    """How pictures became the images of the training: as recorded or, of a run of 0.1, as far as that can be told."""
    size, channels = artifact.image_size, artifact.channels
    if artifact.format > 1:
        recorded = Preprocessing.from_dict(config.get("preprocessing"), str(file))
        if (recorded.size, recorded.channels) != (size, channels) or not recorded.is_resolved:
            raise ArtifactError(f"{file}: preprocessing: size {size} and {channels} channels expected, as the model's")
        return recorded

    # 0.1 treated every picture as a product photo of Fashion-MNIST, which is right for that set alone.
    return Preprocessing(size=size, channels=channels, photo="fashion-mnist" if _is_fashion_mnist(artifact) else "none")


def _is_fashion_mnist(artifact: Artifact) -> bool:
    """Whether a run of 0.1 was trained on the official images, by what its description says of its data."""
    # The list of known sets takes its time to load, and newer runs don't need it.
    from fittingroom.data.fetch.fingerprints import FASHION_MNIST_CLASSES, KNOWN_FINGERPRINTS

    # Kaggle's two files split the images anew, so that these are known by the names of their classes alone.
    train = artifact.data.get("train")
    images = train.get("images") if isinstance(train, dict) else None
    is_known = any(images == known.images for known in KNOWN_FINGERPRINTS.values())
    return is_known or (artifact.image_size == (28, 28) and artifact.classes == FASHION_MNIST_CLASSES)


def _what_is_there_instead(folder: Path) -> str:
    if not folder.is_dir():
        return f"{folder}: a run's folder expected, nothing found there; `fittingroom runs` lists those you have"
    members = sorted(member.name for member in folder.glob("seed-*") if (member / CONFIG).exists())
    if members:
        return f"{folder}: one model expected, a run of {len(members)} seeds found; give one of {', '.join(members)}"
    if (folder / "checkpoints").is_dir():
        return f"{folder}: its training is not finished; `fittingroom train --resume {folder}` goes on with it"
    return f"{folder}: {CONFIG} expected, not found: this is not a run's folder"
