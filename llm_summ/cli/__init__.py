"""The commands: parse, call one function, print. No logic lives here, and nothing heavy is imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from llm_summ import __version__
from llm_summ.cli.before import check, prompts
from llm_summ.cli.data import data
from llm_summ.cli.options import (
    debug_option,
    json_option,
    load_named_recipe,
    open_run_or_latest,
    print_json,
    run_option,
    set_option,
)

if TYPE_CHECKING:
    from llm_summ.evaluate import Evaluation

__all__ = ["cli"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="llm-summ")
def cli() -> None:
    """Fine-tune a language model to summarise Korean dialogue, and know its score.

    \b
    llm-summ data check train.csv       find what is odd in the data
    llm-summ check recipes/qlora.yaml   find what would go wrong
    llm-summ sft recipes/qlora.yaml     train an adapter
    llm-summ generate --engine vllm     write summaries with it
    llm-summ eval dev.csv               score them
    """


@cli.command()
@click.argument("recipe")
@set_option
@click.option(
    "--run", "run_name", metavar="NAME", help="Name of the new run; by default the recipe's and the time."
)
@click.option("--dry-run", is_flag=True, help="Check everything and say what would be done; trains nothing.")
@click.option("--force", is_flag=True, help="Train although the checks say that memory will not do.")
@debug_option
def sft(recipe: str, overrides: tuple[str, ...], run_name: str | None, dry_run: bool, force: bool) -> None:
    """Fine-tune an adapter as RECIPE says.

    RECIPE is a file, or the name of a bundled recipe. What `llm-summ check` looks at is checked first. The result
    is runs/NAME, and runs/latest points to it.

    \b
    Examples:
      llm-summ sft recipes/qlora.yaml
      llm-summ sft recipes/qlora.yaml --dry-run
      llm-summ sft recipes/qlora.yaml --run lr1e-4 --set train.learning_rate=1e-4
      llm-summ sft recipes/qlora-qwen3-8b.yaml --set data.train=my/train.csv
    """
    path, loaded = load_named_recipe(recipe, overrides)
    from llm_summ.run import RUNS
    from llm_summ.sft import train

    if dry_run:
        for line in train.dry_run(loaded, runs=RUNS, name=run_name, stem=path.stem, force=force):
            click.echo(line)
        return
    run = train.sft(loaded, runs=RUNS, name=run_name, stem=path.stem, force=force)
    click.echo("Next: llm-summ generate", err=True)
    click.echo(str(run.path))


@cli.command()
@click.option(
    "--engine",
    type=click.Choice(["auto", "vllm", "hf"]),
    help="By default the recipe's; auto: vllm if it can be used.",
)
@click.option(
    "--data", "sources", multiple=True, metavar="PATH", help="A data file; by default the recipe's test and dev."
)
@click.option("--untuned", is_flag=True, help="Leave the adapter out: the base model's own summaries, as a floor.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a generate.* field; may be repeated."
)
@run_option
@debug_option
def generate(
    engine: Literal["auto", "vllm", "hf"] | None,
    sources: tuple[str, ...],
    untuned: bool,
    overrides: tuple[str, ...],
    run_name: str | None,
) -> None:
    """Generate a summary for every dialogue, with a run's adapter and prompt.

    Writes raw predictions to runs/NAME/predictions/. If it is stopped, the same command goes on from there.

    \b
    Examples:
      llm-summ generate
      llm-summ generate --engine vllm --data test.csv
      llm-summ generate --untuned --data dev.csv
      llm-summ generate --engine hf --set generate.base_quantization=nf4
    """
    run = open_run_or_latest(run_name)
    from llm_summ.generate import job

    files = job.generate(run, sources=list(sources), engine_name=engine, untuned=untuned, overrides=overrides)
    dev = sources[0] if sources else run.recipe().data.dev or "dev.csv"
    click.echo(f"Next: llm-summ eval {dev}" + (f" --run {run_name}" if run_name else ""), err=True)
    for file in files:
        click.echo(str(file.path))


@cli.command(name="eval")
@click.argument("data")
@click.option(
    "--predictions",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Score this CSV or JSONL (fname, summary) instead of a run's predictions.",
)
@json_option
@run_option
@debug_option
def evaluate(data: str, predictions: Path | None, as_json: bool, run_name: str | None) -> None:
    """Score summaries of DATA as the competition does: ROUGE over mecab-ko morphemes.

    DATA is a CSV or JSONL with fname, dialogue and summary (or summary1, summary2 …), or sample:dev. The
    predictions are found by content: they must be of the same dialogues and ids.

    \b
    Examples:
      llm-summ eval dev.csv
      llm-summ eval sample:dev --json
      llm-summ eval dev.csv --predictions submission.csv
    """
    from llm_summ.evaluate import evaluate_file, evaluate_run

    if predictions is not None and run_name is not None:
        raise click.UsageError("--run and --predictions exclude each other; choose one")
    result = (
        evaluate_file(predictions, data)
        if predictions is not None
        else evaluate_run(open_run_or_latest(run_name), data)
    )
    if as_json:
        print_json(result.to_json())
    else:
        _show(result)


def _show(result: Evaluation) -> None:
    """The score as a table."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{result.data}: {result.score.rows} dialogues, {_references(result)}")
    for column in ("ROUGE over mecab-ko morphemes", "R-1", "R-2", "R-L", "final"):
        table.add_column(column, justify="left" if column.startswith("ROUGE") else "right")
    names = ("rouge 1.0.1 (the competition's baseline)", "rouge-score 0.1.2")
    for name, score in zip(names, (result.score, result.counted), strict=True):
        figures = (score.rouge1, score.rouge2, score.rougeL)
        table.add_row(name, *(f"{figure:.2f}" for figure in figures), Text(f"{score.final:.2f}", style="bold"))
    # Brackets in a path or an id are no markup.
    Console(markup=False, emoji=False).print(table)
    # Not through rich, which would break long lines where nobody sees them.
    hypothesis, reference = f"{result.hypothesis_length:.0f}", f"{result.reference_length:.0f}"
    click.echo(f"length     {hypothesis} characters a summary, {reference} a reference")
    if result.by_length is not None:
        click.echo(f"cut off    {_count(result.by_length, result)} ended by length")
    if result.empty:
        click.echo(f"empty      {_count(result.empty, result)} count as 0")
    if result.post:
        steps = ", ".join(f"{name} {changed}" for name, changed in result.post.items())
        click.echo(f"post       rows changed: {steps}")
    click.echo(f"signature  {result.to_json()['signature']}")


cli.add_command(check)
cli.add_command(prompts)
cli.add_command(data)


def _references(result: Evaluation) -> str:
    fewest, most = result.score.references_per_row
    return (
        f"{most} reference{'s' if most > 1 else ''} each" if fewest == most else f"{fewest} to {most} references"
    )


def _count(ids: list[str], result: Evaluation) -> str:
    shown = ", ".join(ids[:5]) + (", …" if len(ids) > 5 else "")
    return f"{len(ids)} of {result.score.rows}" + (f" ({shown})" if ids else "")
