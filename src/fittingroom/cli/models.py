"""``fittingroom models``: what there is to train."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, NamedTuple

from fittingroom.cli.parser import Parser

if TYPE_CHECKING:
    from torch import nn


class _Image(NamedTuple):
    """What the networks are built for: (height, width) in pixels, and 1 or 3 channels."""

    size: tuple[int, int]
    channels: int


def add_options(parser: Parser) -> None:
    """Add the options of ``models``."""
    parser.description = "List the models, or print one's layers, output shapes, parameters and multiply–adds."
    parser.epilog = "example: fittingroom models tutorial"
    parser.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="one of the list, or your own as path/to/file.py:ClassName (is executed)",
    )
    parser.add_argument("--classes", type=int, default=10, metavar="C", help="number of classes; default: 10")
    parser.add_argument(
        "--image-size",
        type=int,
        nargs=2,
        default=(28, 28),
        metavar=("H", "W"),
        help="image size in pixels; default: 28 28",
    )
    parser.add_argument(
        "--channels", type=int, choices=(1, 3), default=1, help="1 for grey images, 3 for colour; default: 1"
    )
    parser.add_argument("--json", action="store_true", help="JSON on stdout")
    parser.set_defaults(run=run_models)


def run_models(args: argparse.Namespace) -> int:
    """Print the list of models, or one model's layers."""
    from fittingroom.models import MODELS, build_model, find_model

    image = _Image(tuple(args.image_size), args.channels)
    names = [args.name] if args.name else list(MODELS)
    networks = {
        name: build_model(find_model(name), num_classes=args.classes, image_size=image.size, channels=image.channels)
        for name in names
    }
    if args.json:
        _print_json(networks, image)
    elif args.name is None:
        _print_list(networks, image)
    else:
        _print_layers(networks[args.name], image, args.classes)
    return 0


def _print_json(networks: dict[str, nn.Module], image: _Image) -> None:
    from dataclasses import asdict

    from fittingroom.cli import console
    from fittingroom.models.summary import count_parameters, summarize

    described = []
    for name, network in networks.items():
        layers = [asdict(row) for row in summarize(network, image.size, image.channels)]
        described.append({"model": name, "parameters": count_parameters(network), "layers": layers})
    console.print_json(described)


def _print_list(networks: dict[str, nn.Module], image: _Image) -> None:
    """A line a model: how large it is, how much it computes, and the first line of its docstring."""
    from fittingroom.cli import console
    from fittingroom.models.summary import count_parameters, summarize

    numbers = ("parameters", "multiply–adds")
    listing = console.table("model", *numbers, "", right=numbers, prose=("",))
    for name, network in networks.items():
        work = sum(row.multiply_adds for row in summarize(network, image.size, image.channels))
        about = (type(network).__doc__ or "").strip().partition("\n")[0]
        listing.add_row(name, f"{count_parameters(network):,}", f"{work:,}", about)
    console.stdout().print(listing)


def _print_layers(network: nn.Module, image: _Image, classes: int) -> None:
    """A line a layer, and their sum."""
    from fittingroom.cli import console
    from fittingroom.models.summary import count_parameters, summarize

    numbers = ("parameters", "multiply–adds")
    listing = console.table("layer", "kind", "output", *numbers, right=numbers)
    rows = summarize(network, image.size, image.channels)
    for row in rows:
        shape = "×".join(map(str, row.output_shape))
        listing.add_row(row.name, row.kind, shape, f"{row.parameters:,}", f"{row.multiply_adds:,}")

    # Parameters are counted on the network: layers that share weights list them more than once.
    work = sum(row.multiply_adds for row in rows)
    listing.add_row("", "", "", "", "")
    listing.add_row("all", "", f"{classes}", f"{count_parameters(network):,}", f"{work:,}", style="bold")
    console.stdout().print(listing)
