"""The command `check`."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING

import click

from llm_summ.cli.options import debug_option, json_option, load_named_recipe, print_json, print_lines, set_option

if TYPE_CHECKING:
    from llm_summ.check.report import CheckReport

__all__ = ["check"]


@click.command()
@click.argument("recipe")
@set_option
@click.option("--run", "run_name", metavar="NAME", help="A run whose prompt is compared; by default the latest.")
@json_option
@debug_option
def check(recipe: str, overrides: tuple[str, ...], run_name: str | None, as_json: bool) -> int:
    """Check everything about RECIPE that can be known without loading the model's weights.

    Data, leaks from train into dev and test, the prompt with one training row as the model sees it, token lengths,
    what is shortened or does not fit, steps, memory, and whether vLLM can serve the adapter. Exits with 1 and the
    reasons if a run would fail.

    \b
    Examples:
      llm-summ check recipes/qlora.yaml
      llm-summ check recipes/qlora-qwen3-8b.yaml --set data.train=my/train.csv
      llm-summ check recipes/qlora.yaml --json
    """
    _, loaded = load_named_recipe(recipe, overrides)
    from llm_summ.check.job import check_recipe
    from llm_summ.core.errors import InputError
    from llm_summ.runs.run import RUNS, open_run
    from llm_summ.train.job import load_callbacks

    run = open_run(RUNS, run_name) if run_name is not None or (RUNS / "latest").is_dir() else None
    if run_name is not None and run is not None:
        run.recipe()  # a run that is named must have a recipe
    try:
        load_callbacks(loaded)
        report = check_recipe(loaded, run)
    except InputError as error:
        if as_json:
            print_json({"failures": str(error).splitlines(), "notes": []})
        else:
            print_lines(str(error).splitlines(), label="would fail")
        if "--debug" in sys.argv:
            traceback.print_exc()
        raise click.exceptions.Exit(1) from error
    if as_json:
        print_json(report.to_json())
    else:
        print_lines(report.lines())
        _show_row(report)
        print_lines(report.notes, label="note")
        print_lines(report.failures, label="would fail")
        if not report.failures:
            click.echo(f"nothing would fail; next: llm-summ sft {recipe}", err=True)
    return int(bool(report.failures))


def _show_row(report: CheckReport) -> None:
    from rich.console import Console

    from llm_summ.check.show import show_row

    if report.plan.rows:
        row = report.plan.rows[0]
        click.echo(f"\nThe training row {row.id}:")
        Console(markup=False, emoji=False, highlight=False, soft_wrap=True).print(
            show_row(report.plan.tokenizer, row)
        )
