"""Options and lookups that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llm_summ.core.engine_registry import AUTO, built_in_engines, engine_names

if TYPE_CHECKING:
    from llm_summ.recipe import Recipe
    from llm_summ.runs.run import Run

__all__ = [
    "debug_option",
    "engine_option",
    "json_option",
    "load_named_recipe",
    "open_run_or_latest",
    "print_json",
    "print_table",
    "run_option",
    "set_option",
]

debug_option = click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
run_option = click.option("--run", "run_name", metavar="NAME", help="The run; by default the latest.")
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a recipe field; may be repeated."
)


_LONG_HEADER = 16


if TYPE_CHECKING:
    _Texts = click.ParamType[str]
else:  # only newer versions of click have the type of a parameter
    _Texts = click.ParamType


class _EngineName(_Texts):
    """The name of an engine: of those that are known when the option is used."""

    name = "engine"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name, or refuse it with a list of all names."""
        return str(click.Choice(engine_names()).convert(value, param, ctx))

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return all names, for the help."""
        return f"[{'|'.join(engine_names())}]"


def _engines_described() -> str:
    """Return a few words on each engine that is registered now; entry points are not looked for."""
    specs = built_in_engines()
    automatic = ", ".join(spec.name for spec in specs if spec.cost is not None)
    others = "; ".join(f"{spec.name}: {spec.about}" for spec in specs if spec.cost is None)
    return f"By default the recipe's; {AUTO}: the faster of {automatic}; {others}."


engine_option = click.option("--engine", type=_EngineName(), help=_engines_described())


def load_named_recipe(name: str, overrides: tuple[str, ...]) -> tuple[Path, Recipe]:
    """A recipe by its path or its bundled name; says so where it is a bundled one."""
    from llm_summ.recipe import find_recipe, load_recipe

    path = find_recipe(name)
    if path != Path(name):
        click.echo(f"Recipe: {path} (bundled)", err=True)
    return path, load_recipe(path, overrides)


def open_run_or_latest(name: str | None) -> Run:
    """The named run; or the latest, which is said."""
    from llm_summ.runs.run import RUNS, open_run

    run = open_run(RUNS, name)
    if name is None:
        click.echo(f"Run: {run.path} (the latest)", err=True)
    return run


def print_json(value: object) -> None:
    """Print a result for programs."""
    import json

    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, figures: bool = True) -> None:
    """Print a table for people; all but the first column are figures, or else texts."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for place, header in enumerate(headers):
        right = figures and place > 0
        # Where the room is short, names are broken and figures are not.
        keep = right and len(header) <= _LONG_HEADER
        table.add_column(Text(header), justify="right" if right else "left", no_wrap=keep)
    for row in rows:
        table.add_row(*map(Text, row))
    # Where no terminal sets the width, a table is as wide as it needs.
    width = None if sys.stdout.isatty() else 200
    Console(markup=False, emoji=False, width=width).print(table)
