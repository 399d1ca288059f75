"""The rule on where a training stands: over-fitting, improving, at a plateau, finished, or too short to say."""

from __future__ import annotations

from fittingroom.recipes.changes import differences
from fittingroom.recipes.reached import REACHED
from fittingroom.recipes.reading import load_recipe, recipe_names
from fittingroom.recipes.recipe import Recipe
from fittingroom.recipes.steps import AUTO
from fittingroom.rendering.share import share_text
from fittingroom.report.diagnosis.facts import MIN_EPOCHS, MIN_NATS, Diagnosis, Facts, Window, rounded
from fittingroom.report.diagnosis.learning_rules import always_as_good
from fittingroom.report.diagnosis.trend import fit_trend

# Changes of a loss over the window, as shares of it.
MIN_CHANGE = 0.01  # one that changes by less is at a plateau
MAX_UNSEEN_FALL = 0.2  # one that may be falling by more can't be called flat

# Training error as a share of validation error.
MAX_MEMORISED = 0.1
MIN_UNDER_FITTED = 0.8
MIN_MISTAKES = 10  # on validation, for the two errors to be compared at all

# What differs between two trainings of one recipe, or follows from the data, is no change of the recipe.
NOT_THE_RECIPE = ("seed", "name", "description", "precision", "size", "channels", "resize", "background", "photo")


def progress(facts: Facts) -> Diagnosis:
    """Where the training stands: exactly one of the states."""
    window = facts.window

    # Over-fitting shows in training and validation side by side, whatever the schedule did. Folds judge other models.
    mistakes = 0
    if facts.scores is not None and window.is_validated:
        mistakes = facts.scores["n"] - facts.scores["correct"]
        training_error, validation_error = (
            1 - facts.epochs[-1][f"{part}_accuracy"] for part in ("train", "validation")
        )
        if mistakes >= MIN_MISTAKES and (_worsens(window) or training_error <= MAX_MEMORISED * validation_error):
            return _over_fitting(facts)

    # A loss that falls because the rate falls says nothing of what a longer training would do.
    if window.ran_down:
        return _finished(facts)

    # Improving or not is a question of the trend, and of whether the epochs are enough to tell it from chance.
    loss = window.validation or window.train
    if loss is None:
        return _too_short(f"a trend takes {MIN_EPOCHS} epochs after the loss's first drop", window)
    n = len(window.epochs)
    if loss.falls and -loss.slope * (n - 1) >= max(MIN_CHANGE * loss.mean, MIN_NATS):
        return _still_improving(facts)
    if -loss.low * (n - 1) > max(MAX_UNSEEN_FALL * loss.mean, MIN_NATS):
        return _too_short(f"the {window.judge} loss changes by {loss}, {window.span}", window)

    # Of mixtures of two images nobody gets all right: what is wrong there says nothing of the images themselves.
    is_mixed = bool(facts.recipe.mixup or facts.recipe.cutmix)
    if mistakes >= MIN_MISTAKES and not is_mixed and training_error >= MIN_UNDER_FITTED * validation_error:
        return _under_fitting(facts)
    return _plateau(facts)


def _worsens(window: Window) -> bool:
    """Whether the validation loss rises beyond chance, and by more than nothing, while that of training does not."""
    validation, train = window.validation, window.train
    if validation is None or train is None:
        return False
    rise = validation.slope * (len(window.epochs) - 1)
    return validation.rises and rise >= max(MIN_CHANGE * validation.mean, MIN_NATS) and not train.rises


def _over_fitting(facts: Facts) -> Diagnosis:
    window, last = facts.window, facts.epochs[-1]
    best = min(facts.epochs, key=lambda epoch: float(epoch["validation_loss"]))
    sentence = (
        f"It knows the training images better than others: training accuracy {share_text(last['train_accuracy'], 1)}, "
        f"validation accuracy {share_text(last['validation_accuracy'], 1)}. The lowest validation loss was "
        f"{best['validation_loss']:.3f} in epoch {best['epoch'] + 1}, the last is {last['validation_loss']:.3f}."
    )
    if _worsens(window):
        sentence += f" It rises ({window.validation}, {window.span})."
    frequent = always_as_good(facts)
    if frequent is not None:
        sentence += (
            f" On these {facts.validated:,} images nothing shows that it does better than always naming "
            f"{frequent['class']}, which gives {share_text(frequent['n'] / facts.validated, 1)}."
        )

    # Followed on small sets, neither shifting the images nor shipping the best epoch was better in the mean
    # (benchmarks/diagnosis_advice.py): neither is advised, and what tells whether the first would help is named.
    suggestion = "More images usually narrow such a gap."
    if frequent is not None:
        suggestion = "First check that the labels belong to the images: fittingroom data show."
    elif facts.recipe.shift == 0:
        suggestion += " Whether altering these would, fittingroom try DATA --set shift=1 tells."
    return Diagnosis(
        name="over-fitting",
        sentence=sentence,
        evidence=window.evidence()
        | {
            "training accuracy": last["train_accuracy"],
            "validation accuracy": last["validation_accuracy"],
            "lowest validation loss": best["validation_loss"],
            "its epoch": best["epoch"] + 1,
            "last validation loss": last["validation_loss"],
        },
        suggestion=suggestion,
    )


def _finished(facts: Facts) -> Diagnosis:
    """The schedule ended: what is known of its recipe is said, and nothing is concluded from a loss that fell by it."""
    window, recipe = facts.window, facts.recipe
    packaged = _packaged_name(recipe)
    evidence = window.evidence() | {"epochs": len(facts.epochs)}
    ends = f"{packaged} ends here by design: its" if packaged else "The schedule has come to its end: the"
    sentence = f"{ends} rate fell from {window.peak_lr:.3g} to {window.last_lr:.2g}."
    suggestion = ""

    # What the package's recipes reach was measured on the official data, and is said of no other.
    if facts.official and packaged in REACHED:
        reached = REACHED[packaged]
        sentence += f" It reaches {reached.accuracy:.2%} on the official test set (mean of {reached.seeds} seeds)."
        later = list(REACHED)[list(REACHED).index(packaged) + 1 :]
        if later:
            better = REACHED[later[0]]
            suggestion = (
                f"Next is {later[0]}, {better.accuracy:.2%} in about {better.seconds / reached.seconds:.0f} times the "
                f"time: --recipe {later[0]}."
            )
        evidence |= {"reached": reached.accuracy, "seeds": reached.seeds}
    elif facts.validated and facts.scores is not None and facts.scores["correct"] == facts.validated:
        suggestion = facts.none_wrong
    else:
        suggestion = (
            f"Whether more epochs would help, curves can't say: train --epochs {2 * recipe.epochs} beside it, "
            f"{facts.compare_both}"
        )
    return Diagnosis(name="finished", sentence=sentence, evidence=evidence, suggestion=suggestion, muted=True)


def _packaged_name(recipe: Recipe) -> str | None:
    """Which of the package's recipes this is, apart from what differs between two trainings of it; None: none."""
    if recipe.name not in recipe_names():
        return None
    packaged = load_recipe(recipe.name)
    changed = [line.partition(":")[0] for line in differences(packaged.as_dict(), recipe.as_dict())]

    # What the number of images decided is as the recipe has it. Runs of 0.1 know no least number of steps.
    by_data = {key for key in ("batch_size", "shift") if getattr(packaged, key) == AUTO}
    if not recipe.min_steps:
        by_data.add("min_steps")
    elif recipe.min_steps == packaged.min_steps and recipe.epochs > packaged.epochs:
        by_data |= {f"stages.{i}.{key}" for i in range(len(recipe.stages)) for key in ("epochs", "warmup")}
    own = [key for key in changed if key.partition(".")[0] not in NOT_THE_RECIPE and key not in by_data]
    return None if own else recipe.name


def _too_short(why: str, window: Window) -> Diagnosis:
    return Diagnosis(
        name="too-short",
        sentence=f"The epochs are too few to tell a trend from chance: {why}.",
        evidence=window.evidence() | {"epochs": len(window.epochs), "needed": MIN_EPOCHS},
        muted=True,
    )


def _still_improving(facts: Facts) -> Diagnosis:
    window = facts.window
    loss = window.validation or window.train
    epochs = str(2 * facts.recipe.epochs)
    return Diagnosis(
        name="still-improving",
        sentence=f"The {window.judge} loss still falls ({loss}, {window.span}), {window.rate}.",
        evidence=window.evidence(),
        suggestion=f"Train longer: --epochs {epochs}.",
        options=("--epochs", epochs),
    )


def _under_fitting(facts: Facts) -> Diagnosis:
    window, last = facts.window, facts.epochs[-1]
    movement = "moves without a trend"
    if window.validation and (window.validation.falls or window.validation.rises):  # but not by enough
        movement = "hardly falls" if window.validation.falls else "rises"
    return Diagnosis(
        name="under-fitting",
        sentence="Even on the images that it learns from its accuracy is only "
        f"{share_text(last['train_accuracy'], 1)}, as measured while learning; validation accuracy "
        f"{share_text(last['validation_accuracy'], 1)}. The validation loss {movement} ({window.validation}, "
        f"{window.span}), {window.rate}.",
        evidence=window.evidence()
        | {"training accuracy": last["train_accuracy"], "validation accuracy": last["validation_accuracy"]},
        suggestion="Take a larger model, or weaken what holds it back: augmentation, weight decay, label smoothing.",
    )


def _plateau(facts: Facts) -> Diagnosis:
    window, epochs = facts.window, facts.epochs

    # The window is only where it was noticed: the plateau began where a longer line has no trend either.
    key = "validation_loss" if window.is_validated else "train_loss"
    length = len(window.epochs)
    while length < window.stage_epochs:
        longer = fit_trend([epoch[key] for epoch in epochs[-length - 1 :]])
        if longer.falls or longer.rises:
            break
        length += 1

    since = epochs[-length]["epoch"] + 1
    trend = fit_trend([epoch[key] for epoch in epochs[-length:]])
    movement = "moves without a trend"
    if trend.falls or trend.rises:  # but not by enough to be improving, or over-fitting
        movement = "hardly falls" if trend.falls else "rises"

    # Steps that are too long jump about a minimum; a last stage at a lower rate is what the notebook did.
    rate, schedule = rounded(window.lr / 10), f"stages.{len(facts.recipe.stages) - 1}.schedule=linear"
    return Diagnosis(
        name="plateau",
        sentence=f"The {window.judge} loss {movement} since epoch {since} ({trend}), {window.rate}.",
        evidence=window.evidence() | {"since epoch": since},
        suggestion=f"Let the rate fall at the end, by a last stage at {rate} say or --set {schedule}, "
        "or change the model.",
        options=("--set", schedule),
    )
