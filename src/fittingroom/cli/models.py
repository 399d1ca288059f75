"""``fittingroom models`` and ``fittingroom recipes``: what there is to train, and how."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from fittingroom.cli.parser import Commands

if TYPE_CHECKING:
    from torch import nn


def add_parser(commands: Commands) -> None:
    """Add ``models`` and ``recipes``."""
    models = commands.add_parser(
        "models",
        help="list the models, or take one apart",
        description="List the models, or print one's layers, output shapes, parameters and multiply–adds.",
        epilog="example: fittingroom models tutorial",
    )
    models.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="one of the list, or your own as path/to/file.py:ClassName (is executed)",
    )
    models.add_argument("--classes", type=int, default=10, metavar="C", help="number of classes; default: 10")
    models.add_argument(
        "--image-size",
        type=int,
        nargs=2,
        default=(28, 28),
        metavar=("H", "W"),
        help="image size in pixels; default: 28 28",
    )
    models.add_argument("--json", action="store_true", help="JSON on stdout")
    models.set_defaults(run=run_models)
    _add_recipes(commands)


def _add_recipes(commands: Commands) -> None:
    recipes = commands.add_parser(
        "recipes",
        help="list the recipes, or print one",
        description="List the recipes, or print one as TOML, ready to be saved, changed and given to --recipe.",
        epilog="example: fittingroom recipes swift > mine.toml",
    )
    recipes.add_argument("name", nargs="?", metavar="NAME", help="one of the list, or the path of a TOML file")
    recipes.add_argument("--json", action="store_true", help="JSON on stdout")
    recipes.set_defaults(run=run_recipes)


def run_models(args: argparse.Namespace) -> int:
    """Print the list of models, or one model's layers."""
    from fittingroom.models import MODELS, build_model, find_model

    size = tuple(args.image_size)
    names = [args.name] if args.name else list(MODELS)
    networks = {name: build_model(find_model(name), num_classes=args.classes, image_size=size) for name in names}
    if args.json:
        _print_json(networks, size)
    elif args.name is None:
        _print_list(networks, size)
    else:
        _print_layers(networks[args.name], size, args.classes)
    return 0


def _print_json(networks: dict[str, nn.Module], size: tuple[int, int]) -> None:
    from dataclasses import asdict

    from fittingroom.cli import console
    from fittingroom.models.summary import count_parameters, summarize

    described = []
    for name, network in networks.items():
        layers = [asdict(row) for row in summarize(network, size)]
        described.append({"model": name, "parameters": count_parameters(network), "layers": layers})
    console.print_json(described)


def _print_list(networks: dict[str, nn.Module], size: tuple[int, int]) -> None:
    """A line a model: how large it is, how much it computes, and the first line of its docstring."""
    from fittingroom.cli import console
    from fittingroom.models.summary import count_parameters, summarize

    listing = console.table("model", "parameters", "multiply–adds", "", right=("parameters", "multiply–adds"))
    for name, network in networks.items():
        work = sum(row.multiply_adds for row in summarize(network, size))
        about = (type(network).__doc__ or "").strip().partition("\n")[0]
        listing.add_row(name, f"{count_parameters(network):,}", f"{work:,}", about)
    console.stdout().print(listing)


def _print_layers(network: nn.Module, size: tuple[int, int], classes: int) -> None:
    """A line a layer, and their sum."""
    from fittingroom.cli import console
    from fittingroom.models.summary import count_parameters, summarize

    numbers = ("parameters", "multiply–adds")
    listing = console.table("layer", "kind", "output", *numbers, right=numbers)
    rows = summarize(network, size)
    for row in rows:
        shape = "×".join(map(str, row.output_shape))
        listing.add_row(row.name, row.kind, shape, f"{row.parameters:,}", f"{row.multiply_adds:,}")

    # Parameters are counted on the network: layers that share weights list them more than once.
    work = sum(row.multiply_adds for row in rows)
    listing.add_row("", "", "", "", "")
    listing.add_row("all", "", f"{classes}", f"{count_parameters(network):,}", f"{work:,}", style="bold")
    console.stdout().print(listing)


def run_recipes(args: argparse.Namespace) -> int:
    """Print the list of recipes, or one as TOML."""
    from fittingroom.cli import console
    from fittingroom.recipes.recipe import RECIPES_DIR, load_recipe, recipe_names

    if args.name is None:
        recipes = {name: load_recipe(name) for name in recipe_names()}
        if args.json:
            console.print_json({name: recipe.as_dict() for name, recipe in recipes.items()})
            return 0
        listing = console.table("recipe", "model", "epochs", "", right=("epochs",))
        for name, recipe in recipes.items():
            listing.add_row(name, recipe.model, f"{recipe.epochs}", recipe.description)
        console.stdout().print(listing)
        return 0

    recipe = load_recipe(args.name)
    if args.json:
        console.print_json(recipe.as_dict())
        return 0

    # The package's own are printed as they are written: their opening comment says what they reach.
    path = RECIPES_DIR / f"{args.name}.toml"
    print(path.read_text(encoding="utf-8") if path.exists() else recipe.to_toml(), end="")
    return 0
