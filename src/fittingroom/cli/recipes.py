"""``fittingroom recipes``: the ways to train that the package knows."""

from __future__ import annotations

import argparse

from fittingroom.cli.parser import Parser


def add_options(parser: Parser) -> None:
    """Add the options of ``recipes``."""
    parser.description = "List the recipes, or print one as TOML, ready to be saved, changed and given to --recipe."
    parser.epilog = "example: fittingroom recipes swift > mine.toml"
    parser.add_argument("name", nargs="?", metavar="NAME", help="one of the list, or the path of a TOML file")
    parser.add_argument("--json", action="store_true", help="JSON on stdout")
    parser.set_defaults(run=run_recipes)


def run_recipes(args: argparse.Namespace) -> int:
    """Print the list of recipes, or one as TOML."""
    from fittingroom.cli import console
    from fittingroom.recipes.reading import RECIPES_DIR, load_recipe, recipe_names

    if args.name is None:
        recipes = {name: load_recipe(name) for name in recipe_names()}
        if args.json:
            console.print_json({name: recipe.as_dict() for name, recipe in recipes.items()})
            return 0
        listing = console.table("recipe", "model", "epochs", "", right=("epochs",), prose=("",))
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
