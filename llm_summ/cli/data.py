"""The commands that look at data files."""

from __future__ import annotations

from pathlib import Path

import click

from llm_summ.cli import options as shared
from llm_summ.cli.convert import convert

__all__ = ["data"]


@click.group()
def data() -> None:
    """Convert, check, measure and split data; copy the sample."""


@data.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@shared.strict_option(help="Exit with status 1 on any problem; notes do not count.")
@click.option(
    "--fix",
    "out",
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="Write a repaired copy to OUT (a folder, for several FILEs) and a list of the changes next to it.",
)
@shared.json_option
@shared.debug_option
def check(files: tuple[str, ...], strict: bool, out: Path | None, as_json: bool) -> None:
    """Find problems in data files, and near-duplicate dialogues within and between them.

    For every kind of problem it prints its effect on a training or a score, the number of rows, and the first
    lines. Files that are given together are also compared: training rows that leak into dev inflate its score.

    \b
    Examples:
      llm-summ data check train.csv dev.csv
      llm-summ data check train.csv dev.csv --strict
      llm-summ data check train.csv --fix train-fixed.csv
    """
    from llm_summ.core.findings import exit_status
    from llm_summ.core.formatting import counted
    from llm_summ.data.fix import fix_files
    from llm_summ.data.report import check_tables, read_tables

    tables = read_tables(files)
    report = check_tables(tables)
    fixed = fix_files(tables, out) if out is not None else []
    if as_json:
        shared.print_json(report)
    else:
        shared.print_lines(report.lines())
        if out is None and report.repairable:
            click.echo("Repair what can be repaired: --fix OUT", err=True)
    for copy in fixed:
        click.echo(f"{copy.path}: {counted(len(copy.changes), 'change')}, listed in {copy.list_path}", err=True)
    shared.exit_with(exit_status(report.findings, "problem" if strict else None))


@data.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option(
    "--recipe", metavar="RECIPE", help="Count tokens too, with the tokenizer of this recipe's base model."
)
@click.option(
    "--plots", "folder", type=click.Path(path_type=Path), metavar="DIR", help="Write charts to DIR, as SVG."
)
@shared.json_option
@shared.debug_option
def stats(files: tuple[str, ...], recipe: str | None, folder: Path | None, as_json: bool) -> None:
    """Measure data files: lengths, turns, speakers, masks, topics; several files side by side.

    \b
    Examples:
      llm-summ data stats train.csv dev.csv test.csv
      llm-summ data stats train.csv --recipe recipes/qlora.yaml
      llm-summ data stats train.csv dev.csv --plots pictures
    """
    from llm_summ.data import read_dialogues
    from llm_summ.data.plots import write_plots
    from llm_summ.data.source import make_folder, short_names
    from llm_summ.data.stats import compare_counts, compare_lengths, describe

    if folder is not None:
        make_folder(folder, "a folder for the charts")
    data = [read_dialogues(file) for file in files]
    count_tokens = None
    if recipe is not None:
        from llm_summ.models.base import token_counter

        count_tokens = token_counter(shared.load_named_recipe(recipe, ())[1].model)
    statistics = [
        describe(name, dialogues, count_tokens=count_tokens)
        for name, dialogues in zip(short_names(files), data, strict=True)
    ]
    # Write before printing: with `| head` the program ends while it prints.
    pictures = write_plots(statistics, folder) if folder is not None else []
    if as_json:
        shared.print_json(statistics)
    else:
        for table in (compare_lengths(statistics), compare_counts(statistics)):
            shared.print_table(table)
    shared.print_lines(map(str, pictures), err=True)


@data.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@shared.debug_option
def sample(folder: Path) -> None:
    """Copy the bundled sample (train, dev and test CSV, and its card) to DIR.

    \b
    Example:
      llm-summ data sample sample
    """
    from llm_summ.data import copy_sample

    shared.print_lines(map(str, copy_sample(folder)))


@data.command()
@click.argument("file", metavar="FILE")
@click.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    required=True,
    help="The folder to write to.",
)
@click.option("--dev", type=float, default=0.1, show_default=True, help="Share of the rows, or their number.")
@click.option("--test", type=float, help="Share or number of rows of a third part; by default there is none.")
@click.option("--seed", type=int, default=42, show_default=True, help="Seed of the random split.")
@shared.debug_option
def split(file: str, folder: Path, dev: float, test: float | None, seed: int) -> None:
    """Divide FILE into DIR/train, DIR/dev and, if asked for, DIR/test.

    The parts have dialogues of similar lengths, and near-duplicate dialogues stay in the same part.

    \b
    Examples:
      llm-summ data split all.csv --out parts
      llm-summ data split all.csv --out parts --dev 500 --test 250 --seed 7
    """
    from llm_summ.data.split import split_file

    shared.print_lines(split_file(file, folder, {"dev": dev} | ({} if test is None else {"test": test}), seed))


data.add_command(convert)
