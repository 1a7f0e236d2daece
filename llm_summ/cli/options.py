"""Options, lookups and output that several commands share."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from llm_summ.core.engine_registry import AUTO, built_in_engines, engine_names

if TYPE_CHECKING:
    from llm_summ.core.tables import TextTable
    from llm_summ.data.formats.conversation import ReadOptions
    from llm_summ.recipe import Recipe
    from llm_summ.runs.run import Run

__all__ = [
    "FILE",
    "ReadingOptions",
    "as_object",
    "data_option",
    "debug_option",
    "engine_option",
    "exit_with",
    "force_option",
    "json_option",
    "load_named_recipe",
    "mask_option",
    "names_option",
    "open_run_or_latest",
    "out_option",
    "predictions_option",
    "print_json",
    "print_lines",
    "print_result",
    "print_table",
    "read_names",
    "reading_options",
    "run_option",
    "set_option",
    "speakers_option",
    "strict_option",
]

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
Made = TypeVar("Made")
Result = TypeVar("Result")

FILE = click.Path(path_type=Path, readable=False)
"""The name of a file; it is opened later, where a missing or unreadable file is reported."""

debug_option = click.option("--debug", is_flag=True, expose_value=False, help="Print the traceback of an error.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
run_option = click.option("--run", "run_name", metavar="NAME", help="The run; by default the latest.")
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a recipe field; may be repeated."
)
# The commands add what their own data, file or strictness means: `help`.
data_option = functools.partial(click.option, "--data", "source", metavar="PATH")
out_option = functools.partial(click.option, "--out", type=FILE, metavar="FILE")
force_option = functools.partial(click.option, "--force", is_flag=True, help="Replace another file at --out.")
strict_option = functools.partial(click.option, "--strict", is_flag=True)

names_option = click.option(
    "--names", type=FILE, metavar="FILE", help="Names of speakers, as YAML or CSV: it renames or merges them."
)
mask_option = click.option(
    "--mask",
    is_flag=True,
    help="Replace personal data by masks such as #PhoneNumber# before anything else is done.",
)


def speakers_option(text: str, default: str | None = None) -> Decorator:
    """Return the option for speakers' names.

    Args:
        text: describes the default.
        default: the value without the option.
    """
    return click.option(
        "--speakers",
        type=click.Choice(["keep", "tags"]),
        default=default,
        help=f"keep: speakers have their names. tags: #Person1# in place of the first one, and so on. {text}",
    )


def predictions_option(text: str) -> Decorator:
    """Return the option for a prediction file instead of a run's."""
    return click.option("--predictions", type=FILE, metavar="FILE", help=text)


_LONG_HEADER = 16


def as_object(made: Callable[..., Made]) -> Callable[[Callable[[Made], Result]], Callable[..., Result]]:
    """Pass a command its options as one object.

    Args:
        made: the dataclass of the options; its fields have the options' names.
    """

    def decorate(command: Callable[[Made], Result]) -> Callable[..., Result]:
        @functools.wraps(command)
        def run(**options: Any) -> Result:
            return command(made(**options))

        return run

    return decorate


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """The options of `reading_options`, by their names."""

    format_name: str | None
    gap: float | None
    by_day: bool
    whole: bool
    keep: tuple[str, ...]

    def reading(self) -> ReadOptions:
        """Return how chats are read.

        Raises:
            click.UsageError: several ways to cut them are given.
        """
        from llm_summ.data.formats.conversation import ReadOptions

        if sum((self.gap is not None, self.by_day, self.whole)) > 1:
            raise click.UsageError("--gap, --by-day and --whole exclude each other; choose one")
        return ReadOptions(
            cut="day" if self.by_day else "whole" if self.whole else "gap",
            gap_minutes=180 if self.gap is None else self.gap,
            keep=frozenset(self.keep),
        )


def reading_options(files: str) -> Decorator:
    """Return the options for reading chats and transcripts.

    Args:
        files: what the command calls its files.
    """
    options = (
        click.option(
            "--format", "format_name", metavar="NAME", help=f"The format of all {files}, if not recognised."
        ),
        click.option(
            "--gap",
            type=click.FloatRange(min=0, min_open=True),
            metavar="MINUTES",
            help="Cut chats where no one writes for MINUTES; by default 180.",
        ),
        click.option("--by-day", is_flag=True, help="Cut chats at midnight."),
        click.option("--whole", is_flag=True, help="Do not cut chats."),
        click.option(
            "--keep",
            multiple=True,
            type=click.Choice(["system", "deleted", "placeholder"]),
            help="Keep lines of the messenger, deleted messages, or placeholders such as 사진 as turns.",
        ),
    )

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


if TYPE_CHECKING:
    _Texts = click.ParamType[str]
else:  # ParamType is generic only in newer versions of click
    _Texts = click.ParamType


class _EngineName(_Texts):
    """The name of an engine that is registered when the option is used."""

    name = "engine"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name, or refuse it with a list of all names."""
        return str(click.Choice(engine_names()).convert(value, param, ctx))

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return all names, for the help."""
        return f"[{'|'.join(engine_names())}]"


def _engines_described() -> str:
    """Return a short description of each built-in engine, without searching for entry points."""
    specs = built_in_engines()
    automatic = ", ".join(spec.name for spec in specs if spec.cost is not None)
    others = "; ".join(f"{spec.name}: {spec.about}" for spec in specs if spec.cost is None)
    return f"By default the recipe's; {AUTO}: the faster of {automatic}; {others}."


engine_option = click.option("--engine", type=_EngineName(), help=_engines_described())


def load_named_recipe(name: str, overrides: tuple[str, ...]) -> tuple[Path, Recipe]:
    """Return a recipe by its path or its bundled name; print where a bundled one is."""
    from llm_summ.recipe import find_recipe, load_recipe

    path = find_recipe(name)
    if path != Path(name):
        click.echo(f"Recipe: {path} (bundled)", err=True)
    return path, load_recipe(path, overrides)


def open_run_or_latest(name: str | None) -> Run:
    """Open the named run, or the latest (and print which)."""
    from llm_summ.runs.run import RUNS, open_run

    run = open_run(RUNS, name)
    if name is None:
        click.echo(f"Run: {run.path} (the latest)", err=True)
    return run


def read_names(path: Path | None) -> dict[str, str]:
    """Return the names of a map file; none without a file."""
    from llm_summ.data.speaker_names import read_speaker_names

    return {} if path is None else read_speaker_names(path)


def exit_with(status: int) -> None:
    """End a command with a status, if it is not 0."""
    if status:
        raise click.exceptions.Exit(status)


def print_json(value: object) -> None:
    """Print a result for programs."""
    import json

    from llm_summ.core.records import as_json

    click.echo(json.dumps(as_json(value), ensure_ascii=False, indent=2))


def print_lines(lines: Iterable[str], *, label: str = "", err: bool = False) -> None:
    """Print lines, each behind a label such as ``warning``, if there is one."""
    for line in lines:
        click.echo(f"{label}: {line}" if label else line, err=err)


def print_result(result: Any, *, as_json: bool) -> None:
    """Print a result: as JSON, or its table and its lines for people."""
    if as_json:
        print_json(result)
    else:
        print_table(result.table())
        print_lines(result.lines())


def print_table(table: TextTable) -> None:
    """Print a table for people."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table()
    for index, header in enumerate(table.headers):
        right = table.figures and index > 0
        # In a narrow terminal, wrap names but not figures.
        keep = right and len(header) <= _LONG_HEADER
        drawn.add_column(Text(header), justify="right" if right else "left", no_wrap=keep)
    for row in table.rows:
        drawn.add_row(*map(Text, row))
    # Without a terminal, a table is as wide as it needs, up to 200 columns.
    width = None if sys.stdout.isatty() else 200
    Console(markup=False, emoji=False, width=width).print(drawn)
