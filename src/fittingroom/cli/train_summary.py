"""What ``train`` prints at its end: what came out, how sure, how much it took, and where it lies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fittingroom.errors import ArtifactError, FittingRoomError
from fittingroom.rendering.terminal import tell

if TYPE_CHECKING:
    from fittingroom.runs.environment_record import Environment
    from fittingroom.runs.run import Run

MANY_PAIRS = 0.05  # of near-duplicates for each training image: so many decide which images validate
MAIN_FILES = ("model.safetensors", "model.onnx", "result.json", "predictions.parquet")  # that a user looks for first


def summary(run: Run) -> Iterator[tuple[str, str]]:
    """The lines of the report: a name and what it says, in the order of reading."""
    result, environment = run.result, run.environment
    data, machine = environment.data, environment.machine
    sizes = [f"{part.n:,} {split}" for split, part in data.parts.items()]
    edits = f"; {environment.edits.in_words}" if environment.edits and environment.edits.in_words else ""
    yield "data", f"{data.source or data.train.name}: {', '.join(sizes)}{edits}"
    if environment.start:
        yield "start", f"{environment.start.in_words}: {environment.start.head}"
    threads = f"{machine.threads} thread{'s' * (machine.threads != 1)}"
    yield "machine", f"{machine.processor}, {threads}, {environment.precision}"

    # What it reached comes before why, and both before what it took.
    if "members" in result:
        yield from _scores_of_members(run, result)
    else:
        yield from _scores_of_one(run, result)
    yield from _kept_together(environment)
    yield from _near_in_test(run)

    # Runs of 0.1 were not checked.
    if checked := result.get("pictures_checked"):
        yield "pictures", f"predict sees what training saw: checked on {checked:,} pictures"
    of_folds = f", and {result['fold_seconds']:.1f} s of {environment.folds} folds" if "fold_seconds" in result else ""
    yield "time", f"{result['train_seconds']:.1f} s training{of_folds}; {result['parameters']:,} parameters"
    files = [f"{member.path.name}/" for member in run.members[:2]]
    files += [name for name in MAIN_FILES if (run.path / name).exists()]
    yield "run", f"{run.path}/   ({', '.join(files)}, …)"
    yield "report", f"{run.path}/report.html"
    yield from _diagnosis(run)


def as_far_as_possible(lines: Iterator[tuple[str, str]], run: Run, *, is_new: bool) -> Iterator[tuple[str, str]]:
    """The lines, of which what fails takes along neither the finished training nor where that lies.

    Of a run that isn't new what fails may be a damaged file, which is an error.
    """
    has_begun = False
    while True:
        try:
            line = next(lines, None)
        except (FittingRoomError, MemoryError, OSError) as error:
            is_damage = isinstance(error, ArtifactError) and not is_new
            if is_damage or not has_begun:  # nothing is known of what the training came to
                raise
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or "no memory was left"
            tell(f"warning: {run.path}: the run is complete, and the rest of this summary can't be had: {reason}")
            yield "run", f"{run.path}/"
            return
        if line is None:
            return
        has_begun = True
        yield line


def _scores_of_one(run: Run, result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    from shlex import quote

    from fittingroom.cli.interval_text import show_interval
    from fittingroom.evaluation.class_metrics import in_words as class_metrics_in_words
    from fittingroom.rendering.share import counted, share_text
    from fittingroom.report.run_summary import said_of_none, unjudged_in_words

    for split in ("test", "validation"):
        if scores := result[split]:
            folds = f", each by a model of the {scores['folds'] - 1} other folds" if scores.get("folds") else ""
            accuracy = f"accuracy {share_text(scores['accuracy'])} on {counted(scores['n'])}{folds}"
            calibrated = " calibrated" if scores["loss"] != scores.get("loss_uncalibrated", scores["loss"]) else ""
            yield split, f"{accuracy}; {show_interval(scores, scores['n'])}; loss {scores['loss']:.4f}{calibrated}"
            if by_class := class_metrics_in_words(scores):
                yield "", by_class
            if unjudged := unjudged_in_words(scores, split):
                yield "", unjudged
    if result["validation"] is None and (why := said_of_none(run.environment, run.recipe)):
        yield "validation", why
    if (run.path / "config.json").exists() and (threshold := run.artifact.threshold):
        yield "threshold", threshold.in_words(run.artifact.classes)
    if scores := result["test"] or result["validation"]:
        yield from _mistakes(scores)

    # Where test is missing it is said why: there is none, it has no labels, or it was not to be evaluated.
    if result["test"]:
        yield "ledger", _evaluations_so_far(run, result["test_looks"][0])
    elif run.environment.data.test is None:
        yield "test", "not judged: the data has no test set; give one by --test PATH or fittingroom evaluate RUN DATA"
    elif (test := run.open_data().test) is not None and test.labels is None:
        yield "test", "not judged: it has no labels"
    else:
        yield "test", f"not evaluated; fittingroom evaluate {quote(str(run.path))} does it"


def _kept_together(environment: Environment) -> Iterator[tuple[str, str]]:
    """What lies on one side of train and validation, and what to do where nobody has looked for near-duplicates."""
    from shlex import quote

    kept = environment.together
    if kept is None:
        return
    # a few pairs that were found without being asked for are no news; environment.json has them
    is_news = kept.near_from == "data check" or len(kept.near_pairs.split()) >= MANY_PAIRS * environment.data.train.n
    if kept.in_words and (kept.groups or kept.equal or is_news):
        yield "cut", f"on one side of train and validation: {kept.in_words}"
    if not kept.near_from:
        check = f"fittingroom data check {quote(environment.data.source or 'DATA')}"
        yield "cut", f"near-duplicates were not looked for; {check} does it, and later trainings go by what it finds"


def _near_in_test(run: Run) -> Iterator[tuple[str, str]]:
    """How many test images are like ones that were trained on; of 0.1, and where test isn't judged, nothing."""
    from shlex import quote

    from fittingroom.report.run_summary import near_in_test_of

    environment, found = run.environment, near_in_test_of(run)
    if found is None:
        return
    if not found.sentence and environment.together and not environment.together.near_from:
        return  # said already, of the cut
    check = " ".join(quote(path) for path in (environment.data.source or "DATA", environment.options.test) if path)
    unknown = f"copies of training images in test were not looked for; fittingroom data check {check} does it"
    yield "overlap", found.sentence or unknown


def _mistakes(scores: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The class of least recall, and the two that are most often taken for each other; nothing without a mistake."""
    from fittingroom.rendering.share import share_text
    from fittingroom.report.run_summary import worst_mistakes

    worst = worst_mistakes(scores)
    if worst is None:
        return
    weakest = worst.weakest
    low, high = weakest["interval"]
    interval = f"95% {low:.1%} to {high:.1%}, as the least of {worst.classes}; n = {weakest['n']:,}"
    yield "weakest", f"{weakest['class']}{worst.others}: recall {share_text(weakest['recall'], 1)} ({interval})"

    pair = worst.pair
    if worst.is_confusion:
        yield "confused", f"{pair['first']} and {pair['second']}: {pair['count']:,} of the {worst.mistakes:,} mistakes"


def _evaluations_so_far(run: Run, evaluation: dict[str, Any]) -> str:
    from fittingroom.errors import ArtifactError
    from fittingroom.runs.ledger import LEDGER, read_evaluations
    from fittingroom.runs.run import runs_folder

    of = evaluation["fingerprint"], evaluation.get("sources")
    try:
        count = len(read_evaluations(runs_folder(run.path), *of))
    except (ArtifactError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        return f"unknown how many evaluations on this test set: {LEDGER}: {reason}"
    return f"{count} evaluation{'s' * (count != 1)} on this test set so far, by all runs here ({LEDGER})"


def _diagnosis(run: Run) -> Iterator[tuple[str, str]]:
    """A line a verdict, what is no finding last; of several seeds, how many have it, and the words on the first."""
    from fittingroom.report.run_summary import diagnose_members

    seeds = len(run.members)
    for name, verdicts in diagnose_members(run).items():
        first_seed, verdict = verdicts[0]
        who = f" ({len(verdicts)} of {seeds} seeds; the words are of seed {first_seed})" if seeds else ""
        words = f"{name}{who}: {verdict.sentence} {verdict.suggestion}".rstrip()
        yield "note" if verdict.muted else "diagnosis", words


def _scores_of_members(run: Run, result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    from fittingroom.cli.interval_text import show_interval
    from fittingroom.evaluation.class_metrics import in_words as class_metrics_in_words
    from fittingroom.rendering.share import counted, share_text
    from fittingroom.report.run_summary import unjudged_in_words

    split, members = result["on"], result["members"]
    yield "seeds", ", ".join(f"{member['seed']}" for member in members)
    if split:
        n = members[0][split]["n"]
        mean = f"mean accuracy {share_text(result['mean'])} on {counted(n)}, sd {100 * result['sd']:.2f} points"
        yield split, f"{mean}; {show_interval(result, n, seeds=len(members))}"
        accuracies = ", ".join(share_text(member[split]["accuracy"]) for member in members)
        yield "", f"each: {accuracies}"
        if by_class := class_metrics_in_words(result):
            yield "", by_class
        if unjudged := unjudged_in_words(run.members[0].result[split], split):
            yield "", unjudged
