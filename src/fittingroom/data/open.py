"""A path or a name → ``Splits``: known names first, then the format table's reader, by way of the cache."""

import difflib
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from fittingroom.data.cache import cached_read
from fittingroom.data.dataset import Dataset
from fittingroom.data.fetch.download import Progress
from fittingroom.data.fetch.known_sets import KNOWN, class_names_for, locate
from fittingroom.data.formats.file_table import WEB
from fittingroom.data.formats.many_pictures import Decoding, without_decisions
from fittingroom.data.formats.splits import CLASSES_FILE
from fittingroom.data.formats.table import WHAT_A_PATH_MAY_BE, format_at
from fittingroom.data.groups import with_groups
from fittingroom.data.preprocessing import Preprocessing, resize_images
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError, ImagesTooLarge

SMALLER_HINT = "size = [height, width] makes them smaller"
FIRST = ": resize or crop them first"  # what else one can do, where they aren't read from a file


def open_dataset(
    source: str | Path,
    *,
    test: str | Path | None = None,
    cache: bool = True,
    progress: Progress | None = None,
    preprocessing: Preprocessing | None = None,
    skip_broken: bool = False,
    group: str | None = None,
    decoding: Decoding = lambda _what, _done, _all: None,
) -> Splits:
    """Open a data set: the name of a known one ("fashion-mnist", "sample"), or a path.

    Args:
        source: a known name goes before a folder that is called the same ("./sample" is the folder). A path
            may be a folder with IDX files, CSV files, Parquet files or pictures by class, or one file. A
            single file, or a folder with a single part, is the train part, even if its name says test.
        test: a test set that lies elsewhere, instead of the one in ``source``: its test part, or the only one it
            has. Its labels are aligned by class name to those of train.
        cache: keep what was read as memory-mapped arrays in the cache, and take it from there.
        progress: called while a known set is fetched.
        preprocessing: what to make of each picture. None, or a field that is None: what the data suggests; pictures
            of one size stay as they are, those of several become 64×64. Arrays get the size and channels as well.
        skip_broken: leave out pictures that can't be read, and say so in ``Splits.notes``.
        group: what shows that images belong together: a column of the table that is opened, or a regular expression
            whose one group is searched in each image's file. None: a table's column ``group``, where it has one.
        decoding: called while pictures are decoded: with what they are, how many are done, and how many there are.

    Returns:
        The parts, images uint8 (N, H, W) or (N, H, W, 3) of 0–255; ``Splits.preprocessing`` has size and channels.

    Raises:
        DataError: where, what was expected, what was found, what to do.

    Example:
        >>> import fittingroom as fr
        >>> data = fr.open_dataset("sample")
        >>> data.train.images.shape, data.test.labels[:3], data.train.classes[9]
        ((2000, 28, 28), array([2, 5, 4]), 'Ankle boot')
    """
    asked = preprocessing or Preprocessing()
    data = _open(source, cache, progress, asked, skip_broken, decoding)
    if group is not None:
        data = with_groups(data, group, None if source in KNOWN else Path(source).expanduser())
    if test is None:
        return data

    # pictures are made like those of train; arrays are what they are
    assert data.preprocessing is not None
    other = _open(test, cache, progress, asked, skip_broken, decoding, pictures_like=data.preprocessing)
    if group is not None:
        other = with_groups(other, group, None if test in KNOWN else Path(test).expanduser(), required=False)
    chosen = other.train if other.test is None else other.test
    notes = (*data.notes, *(note for note in other.notes if note not in data.notes))
    left_out = (*data.left_out, *other.left_out)
    return replace(data, test=chosen.aligned_to(data.train.classes), notes=notes, left_out=left_out)


def _open(
    given: str | Path,
    use_cache: bool,
    progress: Progress | None,
    asked: Preprocessing,
    skip_broken: bool,
    decoding: Decoding,
    pictures_like: Preprocessing | None = None,
) -> Splits:
    known = given if isinstance(given, str) and given in KNOWN else None
    path = _existing(given) if known is None else locate(known, progress=progress)
    try:
        kind, files = format_at(path)
        named_by = files[0] if kind.names_known_set else path

        read_pictures, wanted = kind.read_pictures, pictures_like or asked

        def read() -> Splits:
            data = kind.read(path) if read_pictures is None else read_pictures(path, wanted, skip_broken, decoding)
            return _with_names(data, known, named_by)

        # class names that change make other data of the same files
        read_from = [*files, *_class_names_file(path)]
        settings = None if read_pictures is None else _settings(wanted, skip_broken)

        def kept(read: Callable[[], Splits], settings: dict[str, Any] | None) -> Splits:
            return cached_read(known or path.name, path, read_from, read, settings) if use_cache else read()

        # arrays stay what they are in the cache, but for those that nothing can be done with
        try:
            data = kept(read, settings)
        except ImagesTooLarge as error:
            larger = kind.read_larger
            if larger is None:
                raise
            if wanted.size is None:
                raise DataError(f"{str(error).removesuffix(FIRST)}: {SMALLER_HINT}") from error
            data = kept(lambda: _with_names(larger(path, wanted), known, named_by), _settings(wanted, False))
    except OSError as error:
        raise DataError(f"{error.filename or path}: can't be read: {error.strerror or error}") from error
    except MemoryError as error:
        raise DataError(f"{path}: the data don't fit into memory") from error
    data = _arrays_made(data, asked) if data.preprocessing is None else data
    return replace(data, source=str(given), notes=tuple(without_decisions(data.notes, wanted)))


def _settings(wanted: Preprocessing, skip_broken: bool) -> dict[str, Any]:
    """What reading pictures goes by, for the cache: to ask for no conversion is to ask for none by default."""
    photo = None if wanted.photo == "none" else wanted.photo
    return {"preprocessing": replace(wanted, photo=photo).as_dict(), "skip_broken": skip_broken}


def _arrays_made(data: Splits, wanted: Preprocessing) -> Splits:
    """Arrays with the size and channels that are wanted, and what pictures have to be made like to fit them."""

    def made(part: Dataset) -> Dataset:
        images = resize_images(part.images, wanted)
        return part if images is part.images else replace(part, images=images)

    train = made(data.train)
    return replace(
        data,
        train=train,
        validation=data.validation and made(data.validation),
        test=data.test and made(data.test),
        preprocessing=wanted.resolved_for(size=train.image_size, channels=train.channels, photo=None),
    )


def _existing(given: str | Path) -> Path:
    # whoever has images in memory gives them to everything that learns from them
    if not isinstance(given, str | Path):
        raise DataError(
            f"the name of a data set or a path expected, {type(given).__name__} found: what is in memory becomes one "
            "by fittingroom.Dataset.from_arrays(images, labels), from_dataframe, from_torch or from_hf, and what "
            "load_dataset gives by fittingroom.Splits.from_hf"
        )
    try:
        path = Path(given).expanduser()
        exists = bool(str(given)) and path.exists()
    except (OSError, ValueError, RuntimeError) as error:  # too long, no permission, a NUL in it, ~nobody
        raise DataError(f"{str(given)!r}: can't be read: {error}") from error

    # a run keeps the path in JSON, which holds text alone
    if any("\udc80" <= letter <= "\udcff" for letter in str(path)):
        raise DataError(f"{str(given)!r}: a path in UTF-8 expected, other bytes found: rename the folder or file")
    if not str(given):  # an unset variable of a shell, say
        raise DataError(f"a path or a known data set ({', '.join(KNOWN)}) expected, an empty name found")
    if not exists:
        if WEB.match(str(given)):
            raise DataError(f"{given}: a path or a known data set expected, an address found: download it first")
        near = [*KNOWN, *(str(path.parent / name) for name in _names_beside(path))]
        close = difflib.get_close_matches(str(path), near, n=1, cutoff=0.8)
        hint = f"did you mean {close[0]}?" if close else f"a path may be {WHAT_A_PATH_MAY_BE}"
        raise DataError(f"{given}: no such file or folder, nor a known data set ({', '.join(KNOWN)}); {hint}")
    return path


def _names_beside(path: Path) -> list[str]:
    try:
        return [entry.name for entry in islice(path.parent.iterdir(), 1000) if entry.name != path.name]
    except OSError:
        return []


def _class_names_file(path: Path) -> list[Path]:
    file = (path if path.is_dir() else path.parent) / CLASSES_FILE
    return [file] if file.exists() else []


def _with_names(data: Splits, known: str | None, named_by: Path) -> Splits:
    """Call the parts of a known set after it, and the classes by their names if the reader saw only numbers."""
    numbers = data.train.classes
    classes = numbers
    if numbers and numbers == tuple(map(str, range(len(numbers)))):
        classes = class_names_for(data.train.images, len(numbers), named_by)

    # an unlabelled part has no classes, and keeps none
    def renamed(part: Dataset, part_name: str) -> Dataset:
        name = part.name if known is None else f"{known} {part_name}"
        return replace(part, name=name, classes=classes if part.classes == numbers else part.classes)

    return replace(
        data,
        train=renamed(data.train, "train"),
        validation=data.validation and renamed(data.validation, "validation"),
        test=data.test and renamed(data.test, "test"),
    )
