"""Rules on the limits of the data: nothing held out, rare classes, two that are taken for each other, odd labels."""

from __future__ import annotations

from fittingroom.evaluation.fold_interval import recall_interval
from fittingroom.evaluation.intervals import wilson_interval
from fittingroom.rendering.share import share_text
from fittingroom.report.diagnosis.facts import Diagnosis, Facts

# Shares of all mistakes, by the lower bounds of their intervals.
MIN_SHARE_OF_PAIR = 0.2
MIN_SHARE_OF_LABELS = 0.1
MIN_MISTAKES = 20  # of which a share says something

MIN_IMBALANCE = 5  # times as many images as another class has


def no_validation(facts: Facts) -> Diagnosis | None:
    """Whether nothing was held out, so that over-fitting can't be seen."""
    window = facts.window
    if window.is_validated or facts.scores is not None:  # each image was judged out of its fold
        return None
    return Diagnosis(
        name="no-validation",
        sentence=f"Its training accuracy is {share_text(window.last['train_accuracy'], 1)}. No images are held out, so "
        "nobody can see whether it over-fits; who watches the test set instead tunes on it.",
        evidence={"validation images": 0, "training accuracy": window.last["train_accuracy"]},
        suggestion=f"Let images judge that it doesn't learn from: {facts.option_to_judge}.",
    )


def imbalance(facts: Facts) -> Diagnosis | None:
    """Whether a rare class is recognised worse than the frequent one, beyond chance: accuracy hides it."""
    scores = facts.scores
    if scores is None:
        return None
    rows = [row for row in scores["per_class"] if row["n"]]
    frequent = max(rows, key=lambda row: row["n"])
    rare = [row for row in rows if row["n"] * MIN_IMBALANCE <= frequent["n"]]
    if not rare:
        return None

    # Of several rare classes the worst stands for all; its interval must lie below that of the frequent class. Of a
    # hundred one is bad by chance, which its interval allows for.
    worst = min(rare, key=lambda row: (row["recall"], row["n"]))
    folds = scores.get("folds")
    low, high = recall_interval(worst, folds, len(rare))
    usual_low, _ = recall_interval(frequent, folds)
    if high >= usual_low:
        return None
    of = f", as the least of {len(rare):,} rare classes" if len(rare) > 1 else ""
    return Diagnosis(
        name="imbalance",
        sentence=f"Accuracy hides a rare class: {share_text(frequent['n'] / scores['n'], 0)} of the validation images "
        f"are class {frequent['class']}, with a recall of {share_text(frequent['recall'], 0)}, and "
        f"{share_text(worst['n'] / scores['n'], 0)} class {worst['class']}, with one of "
        f"{share_text(worst['recall'], 0)} (95% {_ends(low, high)}{of}, n = {worst['n']:,}).",
        evidence={"recall": worst["recall"], "low": low, "high": high, "n": worst["n"]}
        | {"recall of the frequent class": frequent["recall"], "n of the frequent class": frequent["n"]},
        suggestion="Judge it by the recall of each class, not by accuracy.",
    )


def _ends(low: float, high: float) -> str:
    """The ends of an interval of a share, of which neither is called nothing or all that isn't."""
    return f"{share_text(low, 0)} to {share_text(high, 0)}"


def confusable_pair(facts: Facts) -> Diagnosis | None:
    """Whether two classes, taken for each other, make most of the mistakes."""
    scores = facts.scores
    if scores is None:
        return None

    # Both ways: a coat taken for a shirt, and a shirt for a coat, are one confusion.
    counts, n_classes = scores["confusion"], len(scores["confusion"])
    pairs = {(i, j): counts[i][j] + counts[j][i] for i in range(n_classes) for j in range(i)}
    mistakes = sum(pairs.values())
    (i, j), most = max(pairs.items(), key=lambda item: item[1])
    if mistakes < MIN_MISTAKES:
        return None

    # Where classes are few each pair has a large share anyway: three times an even one is asked for.
    low, high = wilson_interval(most, mistakes)
    if low < max(MIN_SHARE_OF_PAIR, 3 / len(pairs)):
        return None

    first, second = (scores["per_class"][k]["class"] for k in (j, i))
    return Diagnosis(
        name="confusable-pair",
        sentence=f"One of {len(pairs)} pairs makes {share_text(most / mistakes, 0)} of all mistakes on validation (95% "
        f"{_ends(low, high)}): {first} and {second}, taken for each other {most:,} times of {mistakes:,}.",
        evidence={"mistakes of the pair": most, "mistakes": mistakes, "low": low, "high": high, "pairs": len(pairs)},
        suggestion="Look at them among the worst mistakes: where you can't tell them apart either, more training "
        "may not help; larger images may, or one class for both.",
    )


def suspicious_labels(facts: Facts) -> Diagnosis | None:
    """Whether many of the mistakes are rather the labels'."""
    suspicious = facts.suspicious
    if suspicious is None or not suspicious.rows:
        return None
    doubted, mistakes = len(suspicious.rows), suspicious.mistakes

    # A few labels are wrong in any data; worth a word is where they are a good part of the mistakes.
    low, high = wilson_interval(doubted, mistakes)
    if low < MIN_SHARE_OF_LABELS:
        return None

    share = suspicious.trusted_and_right / suspicious.trusted
    return Diagnosis(
        name="suspicious-labels",
        sentence=f"{share_text(doubted / mistakes, 0)} of the mistakes on validation (95% {_ends(low, high)}, "
        f"{doubted:,} of {mistakes:,}) are among its {suspicious.trusted:,} most confident answers, of which "
        f"{share_text(share)} agree with the label: these labels are worth a look.",
        evidence={"doubted": doubted, "mistakes": mistakes, "low": low, "high": high}
        | {"trusted": suspicious.trusted, "trusted and right": suspicious.trusted_and_right},
        suggestion="Look at them before you change the model: some may be wrong labels, others merely hard.",
    )
