"""vmc methods"""

from __future__ import annotations

import sys

from vmc_cli import terminal
from vmc_cli.commands import options
from vmc_cli.recipe import Recipe
from vmc_cli.recipes import RECIPES


def command(json: options.Json = False) -> None:
    """List the ways in which motions can be learned.

    A table on a terminal; names only, one a line, when piped. --json tells every number of each, which are
    also the keys of a recipe of your own (vmc learn --method FILE.toml): a file with the line like = "vmc"
    and those that differ.
    """
    if json:
        terminal.emit_json([recipe.to_card() for recipe in RECIPES.values()])
    elif terminal.interactive(sys.stdout):
        headings = ["NAME", "PAPER", "TRAINS", "RANK", "LOSS", "RATE", "STEPS"]
        terminal.emit_table(headings, [_row(recipe) for recipe in RECIPES.values()])
    else:
        for method in RECIPES:
            terminal.emit(method)


def _row(recipe: Recipe) -> list[str]:
    rank = "full" if recipe.rank is None else str(recipe.rank)
    full = recipe.full_learning_rate
    rate = f"{recipe.learning_rate:g}" + ("" if full is None else f", full {full:g}")
    return [recipe.method, recipe.paper, ", ".join(recipe.roles), rank, recipe.loss, rate, str(recipe.steps)]
