"""What users of other programs type, and what it is called here: the parser looks an unknown word up before it guesses.

A guess by letters alone answers ``--verbose`` with ``erase``, and ``--amp`` with ``warmup``.
"""

from __future__ import annotations

OPTIONS = {
    "--lr": "learning-rate learningrate learning_rate lr0 base-lr init-lr eta",
    "--batch-size": "batch batchsize bs batch-sz train-batch-size per-device-train-batch-size b",
    "--epochs": "epoch num-epochs n-epochs nepochs max-epochs train-epochs num-train-epochs ep e",
    "--size": "imgsz img-size imgsize image-size input-size img resize resolution target-size",
    "--grey": "gray greyscale grayscale",
    "--out": "output outdir out-dir output-dir save save-dir save-path dest project run-name experiment logdir o",
    "--device": "gpu gpus cuda use-gpu accelerator",
    "--threads": "cpus jobs n-jobs num-threads nthreads nproc",
    "--model": "arch architecture net network backbone m",
    "--weights": "pretrained checkpoint ckpt init-weights",
    "--from": "finetune fine-tune initial-checkpoint warm-start base",
    "--folds": "kfold k-fold kfolds k-folds cv n-splits num-folds cross-validation",
    "--test": "test-dir test-data test-path test-set testset test-csv",
    "--track": "wandb tensorboard mlflow logger report-to log-to",
    "--quiet": "silent no-progress no-verbose q",
    "--seed": "random-state random-seed rng-seed s",
    "--seeds": "n-seeds num-seeds repeats runs",
    "--recipe": "config cfg conf hyp hparams preset c",
    "--html": "report html-report",
    "--csv": "to-csv save-csv",
    "--json": "format-json as-json",
    "--top": "topk top-k k",
    "--port": "p",
    "--host": "address bind ip",
}
"""Options, and what they are called elsewhere; one that a command lacks is not proposed by it."""

KEYS = {
    "optimizer={value}": "opt optim optimiser",
    "weight_decay={value}": "wd decay l2",
    "early_stop={value}": "patience early-stopping early-stop es-patience",
    "validation={count}": "validation validation-split val-split valid-split val valid val-size valid-size val-frac "
    "val-fraction validation-fraction valid-pct split-size",
    "mirror=random": "flip fliplr hflip horizontal-flip random-flip random-horizontal-flip",
    "vertical_flip=true": "flipud vflip vertical-flips",
    "rotate={value}": "rotation degrees rotation-range max-rotation",
    "precision=bf16": "amp fp16 bf16 half mixed-precision",
    "erase={value}": "cutout random-erasing reprob random-erase",
    "label_smoothing={value}": "smoothing ls",
    "class_weights=balanced": "class-weight weighted balance balanced weighted-loss",
    "stages.0.schedule={value}": "sched scheduler lr-scheduler lr-schedule cos-lr",
    "stages.0.warmup={value}": "warmup-epochs warmup-steps warmup-ratio",
}
"""What ``--set`` is given, and the options that stand for it elsewhere."""

SENTENCES = {
    "the data are given without an option: {prog} PATH": "data dataset data-dir data-path dataset-path train-dir "
    "train-data train-path input source root path i d",
    "images are held in memory, so that there are no workers to count": "workers num-workers nw",
    "augmentations are keys of the recipe, such as --set mirror=random or --set rotate=10": "augment augmentations aug "
    "auto-augment aa",
    "`fittingroom data split` sets test images apart": "test-size test-split test-frac test-ratio split",
    "--out DIR names the run, by its folder; --set name=NAME the recipe": "name",
    "it says all that it has to say": "verbose verbosity debug",
}
"""What is said of options that nothing here stands for."""

COMMANDS = {
    "train": "fit learn training",
    "train --resume RUN": "resume continue",
    "evaluate": "test val valid validate eval score validation",
    "predict": "infer inference classify prediction run-inference",
    "runs": "list ls history experiments",
    "serve": "ui web app api server gradio deploy",
    "tune": "search hpo sweep hyperparameter optimize optimise",
    "bench": "benchmark speed",
    "report": "plot results visualize",
    "models": "model archs",
    "recipes": "config configs cfg presets",
    "--version": "version",
    "--help": "help usage",
    "data info": "info stats describe summary inspect",
    "data check": "check audit lint clean doctor",
    "data convert": "convert",
    "data fetch": "fetch download get",
    "data split": "split",
    "data show": "show view head display",
    "data cache": "cache",
}
"""Commands, and what they are called elsewhere or where they are."""

COMMANDS_OF_DATA = {
    "info": "stats describe summary inspect count",
    "check": "audit lint clean validate verify doctor test",
    "show": "view head display plot preview sample samples",
    "fetch": "download get pull",
    "convert": "export to transform",
    "cache": "clear purge",
}


def called(word: str, names: dict[str, str]) -> str | None:
    """The one of ``names`` that a word stands for elsewhere; None where nobody calls it so.

    Example:
        >>> called("learning-rate", OPTIONS)
        '--lr'
    """
    plain = word.lstrip("-").lower().replace("_", "-")
    return next((name for name, others in names.items() if plain in others.split()), None)
