"""``environment.json``: what a run is carried out with, beside its recipe. Its record, its reader and its writer.

The file is read and checked in one place, so that everything else deals with values that exist and have the types that
are declared: a run's folder may come from a stranger, or have been edited by hand.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from fittingroom.data.dataset import Dataset
from fittingroom.data.edits import Edits
from fittingroom.data.fingerprint import Fingerprint, same_images
from fittingroom.data.preprocessing import Preprocessing
from fittingroom.data.splits import Splits
from fittingroom.environment import Machine
from fittingroom.errors import ArtifactError
from fittingroom.files.json_file import read_json, write_json
from fittingroom.files.records import (
    SHA256,
    WHAT_TO_DO,
    Count,
    Form,
    LongText,
    Range,
    Unexpected,
    brief,
    read_record,
)
from fittingroom.own_code.kept import KeptCode

FILE = "environment.json"
FORMAT = 1
PRECISIONS = ("float32", "bf16")
PAIRS = Form(re.compile(r"(\d{1,12}-\d{1,12}( |$))*", re.ASCII), "pairs of rows such as 12-40 17-96")
MAX_PROCESSES, MAX_THREADS, MAX_KEPT = 100_000, 4_096, 1_000_000
Seed = Annotated[int, Range(0, 2**31 - 1)]
StartKind = Literal["run", "file", "timm"]


def holds_run(folder: Path) -> bool:
    """Whether a folder has a run, finished or not: of one that was killed before its record was whole there is none."""
    return (folder / FILE).exists()


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run is carried out, beside its recipe. Kept in ``environment.json``; a resumed run takes them from there.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        threads: of the CPU; None for the number of cores that the process may use.
        keep: checkpoints that stay on disk, ≥ 1.
        deterministic: ask CUDA for the same result each time, at some cost in speed. The CPU always gives it.
        test: path of a test set that lies elsewhere.
        cache: whether data sets are read through the cache.
        skip_broken: whether pictures that can't be read are left out.
        group: what says which images belong together, as ``open_dataset`` takes it; None: a table's column ``group``.
        without, labels: files that say which images are left out, and which labels a person corrected, as
            :func:`fittingroom.data.edits.edited` takes them.
        xkcd: draw curves in the hand-drawn style of the tutorial notebook.
        track: trackers that receive the run as well, see :mod:`fittingroom.runs.tracking`.

    Example:
        >>> import fittingroom as fr
        >>> fr.Options(device="cpu", threads=1).keep
        2
    """

    device: str = "auto"
    threads: int | None = None
    keep: int = 2
    deterministic: bool = False
    test: str | None = None
    cache: bool = True
    skip_broken: bool = False
    group: str | None = None
    without: str | None = None
    labels: str | None = None
    xkcd: bool = False
    track: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DataIdentity:
    """What one part of the data is recognised by.

    Attributes:
        name: such as ``sample train``.
        n: images.
        content, images, order: see :class:`fittingroom.data.dataset.Fingerprint`.
        sources, sources_in_order: the same; None for arrays, and in runs of 0.1.
    """

    name: str
    n: int
    content: str
    images: str
    order: str
    sources: str | None = None
    sources_in_order: str | None = None

    @classmethod
    def of(cls, dataset: Dataset) -> DataIdentity:
        """The identity of an open data set."""
        return cls(name=dataset.name, n=len(dataset), **asdict(dataset.fingerprint))

    def is_same_data(self, other: DataIdentity) -> bool:
        """Whether both have the same images with the same labels in the same order: by the files where both have any.

        Runs of 0.1 recorded the pixels alone.
        """
        if self.sources_in_order is not None and other.sources_in_order is not None:
            return self.sources_in_order == other.sources_in_order
        return self.order == other.order

    def is_of_images(self, other: DataIdentity | Fingerprint) -> bool:
        """Whether both have the same images, whatever their order and labels."""
        return same_images((self.images, self.sources), (other.images, other.sources))


@dataclass(frozen=True, kw_only=True)
class RecordedData:
    """The data that a run was started with.

    Attributes:
        source: a name or a path that opens it again; empty for data that was given in memory.
        train, validation, test: the parts; None for one that the data doesn't have.
        pictures: whether the training images were read from picture files; false for arrays, and in runs of 0.1.
    """

    source: str
    train: DataIdentity
    validation: DataIdentity | None = None
    test: DataIdentity | None = None
    pictures: bool = False

    @classmethod
    def of(cls, splits: Splits) -> RecordedData:
        """What is recorded of open data."""
        identities = {name: part and DataIdentity.of(part) for name, part in _parts(splits).items()}
        return cls(source=splits.source, **identities, pictures=splits.train.files is not None)

    @property
    def parts(self) -> dict[str, DataIdentity]:
        """The parts that the data has, by name."""
        return {name: part for name, part in _parts(self).items() if part is not None}


def _parts(of: Any) -> dict[str, Any]:
    return {"train": of.train, "validation": of.validation, "test": of.test}


@dataclass(frozen=True, kw_only=True)
class KeptTogether:
    """What a run keeps on one side when it holds images out of train, see :mod:`fittingroom.runs.cut`.

    Attributes:
        groups: that the data names; 0 where it names none.
        equal: training images that equal an earlier one.
        near_pairs: rows of near-duplicates that nothing else ties, in one line: ``12-40 17-96``.
        near_from: who looked for near-duplicates: ``package``, ``search``, ``data check``; "" for nobody.
        sha256: of the bundle of each image; "" where no image is tied to another.

    Example:
        >>> KeptTogether(groups=40, equal=1, near_pairs="12-40 17-96", near_from="search").in_words
        '40 groups, 1 image equal to another, 2 pairs of near-duplicates'
    """

    groups: int = 0
    equal: int = 0
    near_pairs: Annotated[str, PAIRS] = ""
    near_from: str = ""
    sha256: str = ""

    @property
    def in_words(self) -> str:
        """What is kept together; "" where nothing is."""
        near = len(self.near_pairs.split())
        counts = (
            (self.groups, f"{self.groups:,} group{'s' * (self.groups != 1)}"),
            (self.equal, f"{self.equal:,} image{'s' * (self.equal != 1)} equal to another"),
            (near, f"{near:,} pair{'s' * (near != 1)} of near-duplicates"),
        )
        return ", ".join(text for count, text in counts if count)


@dataclass(frozen=True, kw_only=True)
class Ancestor:
    """What weights come from: ``kind``, ``name`` and ``train`` as :class:`StartingPoint` has them."""

    kind: StartKind
    name: str
    weights_sha256: SHA256
    train: DataIdentity | None = None


@dataclass(frozen=True, kw_only=True)
class StartingPoint:
    """What a training started from, see :mod:`fittingroom.runs.starting_point`. It names no path.

    Attributes:
        kind: ``run``, ``file``, or ``timm`` for the weights that timm has for a network.
        name: of the run, such as ``swift-1`` or ``swift-2/seed-0``, of the file, or ``timm:NAME``.
        weights_sha256: of the file of the weights, hexadecimal, of which the run has a copy.
        head: what of the head was kept, in words.
        classes: of the head, in the order of its rows; empty where they aren't known.
        mean, std: what pixels went through before it, on the scale of 0–255, a number for each channel or one for all;
            empty where that isn't known.
        hashes: how many hashes of images the run keeps, of those that it was trained on, what it started from in its
            turn included: of their pixels and, where they were read from files, of these; None where they aren't known.
        validated_by: how many of the run's validation images are among these.
        train, validation: the data that it was trained on; None for a file.
        earlier: what it started from in its turn, and that before, the last first.
    """

    kind: StartKind
    name: str
    weights_sha256: SHA256
    head: str = ""
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    hashes: Count | None = None
    validated_by: Count = 0
    train: DataIdentity | None = None
    validation: DataIdentity | None = None
    earlier: tuple[Ancestor, ...] = ()

    def __post_init__(self) -> None:
        """Refuse scales that no image has."""
        if len(self.mean) != len(self.std) or len(self.mean) not in (0, 1, 3) or not all(std > 0 for std in self.std):
            raise ValueError("mean and std of one channel or three expected, the latter above 0")

    @property
    def in_words(self) -> str:
        """``continued from swift-1``, and what that itself started from; of a file, ``started from F.safetensors``."""
        origins: list[Ancestor | StartingPoint] = [self, *self.earlier]
        words = [f"{'continued' if origin.kind == 'run' else 'started'} from {origin.name}" for origin in origins]
        return ", itself ".join(words)


@dataclass(frozen=True, kw_only=True)
class Environment:
    """All that decides what a run will be, beside its recipe, and what it was made with.

    Attributes:
        command: that started the run.
        directory: where the command was given, from which relative paths of the data count; None in runs of 0.1.
        started: the time, ISO 8601, in UTC.
        seeds: of a run of several seeds, in their order; None for a run of one.
        processes: that train together, ≥ 1.
        torchrun: the name of torchrun's job; None without it.
        precision: ``float32`` or ``bf16``, resolved.
        precision_reason: why it is that, in words; empty in runs of 0.1.
        bf16_emulated: whether the recipe asked for bf16 where the hardware doesn't compute in it.
        options: see :class:`Options`.
        data: see :class:`RecordedData`.
        preprocessing: how a picture becomes an image of this data, resolved; None in runs of 0.1.
        cut: how validation images are held out: 2, with what belongs together on one side; 1 in runs of 0.1.
        edits: images that are left out and labels that were corrected, by their rows; None where nothing was to be.
        folds: of the cross-validation that judges every image; None where images are held out, or none are.
        together: what is kept on one side; None where nothing is held out of train, and in runs of 0.1.
        start: what the training started from; None for new weights.
        recipe: the resolved recipe as plain values, against which a resumed run's ``recipe.toml`` is held.
        recipe_reason: what the number of images changed in the recipe that was asked for, in words; empty for nothing.
        code_sha256: of the source of the user's own network; None for a model of the package, and in runs of 0.1.
        code: all code of the user's own that the run keeps, by the name that the recipe gives it; empty in runs of 0.1.
        versions: of fittingroom, Python and the packages that decide a result.
        machine: see :class:`fittingroom.environment.Machine`.
        revision: the commit of the package's source tree, ``+`` if it had changes; None for an installed package.
        look_at_test: whether the finished model is to be judged on the test set, once.
    """

    command: LongText
    directory: str | None = None
    started: str
    seeds: tuple[Seed, ...] | None = None
    processes: int = 1
    torchrun: str | None = None
    precision: str
    precision_reason: str = ""
    bf16_emulated: bool = False
    options: Options
    data: RecordedData
    preprocessing: Preprocessing | None = None
    cut: int = 1
    edits: Edits | None = None
    folds: Annotated[int, Range(2)] | None = None
    together: KeptTogether | None = None
    start: StartingPoint | None = None
    recipe: dict[str, Any]
    recipe_reason: str = ""
    code_sha256: str | None = None
    code: dict[str, KeptCode] = field(default_factory=dict)
    versions: dict[str, str]
    machine: Machine
    revision: str | None = None
    look_at_test: bool = False

    @property
    def recipe_name(self) -> str:
        """Name of the recipe; empty where it has none."""
        return str(self.recipe.get("name") or "")

    def as_dict(self) -> dict[str, Any]:
        """What stands in the file, in its order."""
        preprocessing = self.preprocessing and self.preprocessing.as_dict()
        nested = {"preprocessing": preprocessing, "machine": self.machine.as_dict()}
        return {"format": FORMAT} | asdict(self) | nested

    def __getitem__(self, key: str) -> Any:
        """What the file calls ``key``: until 0.1 ``Run.environment`` was a dict. Taken for this release."""
        warnings.warn(f"environment[{key!r}] is now environment.{key}", DeprecationWarning, stacklevel=2)
        return self.as_dict()[key]

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], where: str = FILE) -> Environment:
        """The record of what :meth:`as_dict` gave.

        Keys that it doesn't know are ignored; runs of 0.1 lack some, which have defaults.

        Args:
            value: as read from the file.
            where: what messages call it.

        Raises:
            ArtifactError: a key is missing, or its value is of another type or out of its range.
        """
        # The record of a picture's way reads itself, and names the file where that can't be done.
        recorded = value.get("preprocessing") if isinstance(value, Mapping) else None
        preprocessing = None if recorded is None else Preprocessing.from_dict(recorded, where)
        environment = read_record(cls, value, where, given={"preprocessing": preprocessing})
        try:
            _refuse_nonsense(environment)
        except Unexpected as problem:
            raise ArtifactError(f"{where}: {problem}; {WHAT_TO_DO}") from None
        return environment


def read_environment(folder: Path) -> Environment:
    """Read the record in the folder of a run.

    Raises:
        ArtifactError: it is missing, damaged, or of another format.
    """
    file = folder / FILE
    return Environment.from_dict(read_json(file, format_number=FORMAT), str(file))


def write_environment(folder: Path, environment: Environment) -> None:
    """Write the record into the folder of a run, whole or not at all."""
    write_json(folder / FILE, environment.as_dict())


def _refuse_nonsense(environment: Environment) -> None:
    """Values that would fail far from here, with a message that doesn't name the file."""
    if environment.precision not in PRECISIONS:
        expected = " or ".join(PRECISIONS)
        raise Unexpected(f"precision: {expected} expected, {brief(environment.precision)} found")

    options, machine = environment.options, environment.machine
    counts = {
        "processes": (environment.processes, MAX_PROCESSES),
        "options.threads": (options.threads, MAX_THREADS),
        "options.keep": (options.keep, MAX_KEPT),
        "machine.threads": (machine.threads, MAX_THREADS),
    }
    for key, (count, most) in counts.items():
        if count is not None and not 1 <= count <= most:
            raise Unexpected(f"{key}: 1 to {most:,} expected, {count} found")
    if missing := [name for name in ("fittingroom",) if name not in environment.versions]:
        raise Unexpected(f"versions.{missing[0]} expected, it is missing")

    stages = environment.recipe.get("stages", [])
    if not isinstance(stages, list) or not all(isinstance(stage, dict) for stage in stages):
        raise Unexpected(f"recipe.stages: a list of stages expected, {brief(stages)} found")

    if environment.cut not in (1, 2):
        raise Unexpected(f"cut: 1 or 2 expected, {environment.cut} found: a later version may have written it")
    if environment.preprocessing is not None and not environment.preprocessing.is_resolved:
        raise Unexpected("preprocessing: size, channels and photo expected, one of them is null")

    seeds = environment.seeds
    if seeds is not None and (not seeds or len(set(seeds)) < len(seeds)):
        raise Unexpected(f"seeds: numbers that differ expected, {list(seeds)} found")
