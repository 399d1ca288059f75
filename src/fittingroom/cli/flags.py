"""What the library says of its parameters and of a recipe's keys, as the command line says it."""

from __future__ import annotations

FLAGS = {
    "size = [height, width] sets another": "--size sets another",
    "channels = 1 makes all of them grey": "--grey makes all of them grey",
    "channels = 3 keeps their colour": "--set channels=3 keeps their colour",
    "size = [height, width] makes them smaller": "--size makes them smaller",
    "`overrides`": "--set",
    **{
        f"`{name}`": f"--{name}"
        for name in ("group", "host", "model", "out", "port", "resume", "seed", "size", "storage", "test", "to")
    },
    "`channels`": "--grey",
    "`allow_origins`": "--allow-origin",
    "`track`": "--track",
    "`watch`": "--watch",
    "`weights`": "--weights",
    "`from_run`": "--from",
    "`api_key`": "--api-key-file",
    "`api_key_file`": "--api-key-file",
    "`name`": "--name",
    "`no_key=True`": "--no-key",
    "`folds=5`": "--folds 5",
    "`force=True`": "--force",
    "`skip_broken=True`": "--skip-broken",
    "`trust_code=True`": "--trust-code",
}


def with_flags(text: str) -> str:
    """A message of the library, which names parameters and keys of the recipe, with the options that set them."""
    for parameter, flag in FLAGS.items():
        text = text.replace(parameter, flag)
    return text
