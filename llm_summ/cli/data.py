"""The commands that look at data files."""

from __future__ import annotations

from pathlib import Path

import click

from llm_summ.cli.options import (
    debug_option,
    exit_with,
    json_option,
    load_named_recipe,
    print_json,
    print_lines,
    print_table,
    strict_option,
)

__all__ = ["data"]


@click.group()
def data() -> None:
    """Look at data: oddities, statistics, parts, and the sample."""


@data.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@strict_option("Exit with status 1 on any problem; notes do not count.")
@click.option(
    "--fix",
    "out",
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="Write a repaired copy to OUT (a folder, for several FILEs) and a list of what changed beside it.",
)
@json_option
@debug_option
def check(files: tuple[str, ...], strict: bool, out: Path | None, as_json: bool) -> None:
    """Find what is odd in data files, and near-duplicate dialogues within and between them.

    Every kind of oddity with what it does to a training or a score, how many rows have it, and the first places.
    Files that are given together are also compared: training rows that leak into dev would make its score a lie.

    \b
    Examples:
      llm-summ data check train.csv dev.csv
      llm-summ data check train.csv dev.csv --strict
      llm-summ data check train.csv --fix train-fixed.csv
    """
    from llm_summ.core.findings import exit_status
    from llm_summ.data.fix import fix_files
    from llm_summ.data.report import check_tables, read_tables

    tables = read_tables(files)
    report = check_tables(tables)
    fixed = fix_files(tables, out) if out is not None else []
    if as_json:
        print_json(report)
    else:
        print_lines(report.lines())
        if out is None and report.repairable:
            click.echo("Repair what can be repaired: --fix OUT", err=True)
    for one in fixed:
        count = f"{len(one.changes)} change{'s' * (len(one.changes) != 1)}"
        click.echo(f"{one.path}: {count}, listed in {one.list_path}", err=True)
    exit_with(exit_status(report.findings, "problem" if strict else None))


@data.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--recipe", metavar="RECIPE", help="Count tokens too, as this recipe's base model does.")
@click.option(
    "--plots", "folder", type=click.Path(path_type=Path), metavar="DIR", help="Draw pictures, as PNG, into DIR."
)
@json_option
@debug_option
def stats(files: tuple[str, ...], recipe: str | None, folder: Path | None, as_json: bool) -> None:
    """Measure data files: lengths, turns, speakers, masks, topics; several files side by side.

    \b
    Examples:
      llm-summ data stats train.csv dev.csv test.csv
      llm-summ data stats train.csv --recipe recipes/qlora.yaml
      llm-summ data stats train.csv dev.csv --plots pictures
    """
    from llm_summ.data import read_dialogues
    from llm_summ.data.plots import check_plots, write_plots
    from llm_summ.data.source import short_names
    from llm_summ.data.stats import compare_counts, compare_lengths, describe

    if folder is not None:
        check_plots(folder)
    data = [read_dialogues(file) for file in files]
    count_tokens = None
    if recipe is not None:
        from llm_summ.models.base import token_counter

        count_tokens = token_counter(load_named_recipe(recipe, ())[1].model)
    found = [
        describe(name, dialogues, count_tokens=count_tokens)
        for name, dialogues in zip(short_names(files), data, strict=True)
    ]
    # Before anything is printed: `| head` ends the program there.
    pictures = write_plots(found, folder) if folder is not None else []
    if as_json:
        print_json(found)
    else:
        for table in (compare_lengths(found), compare_counts(found)):
            print_table(table)
    print_lines(map(str, pictures), err=True)


@data.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@debug_option
def sample(folder: Path) -> None:
    """Copy the bundled sample (train, dev and test CSV, and its card) to DIR.

    \b
    Example:
      llm-summ data sample sample
    """
    from llm_summ.data import copy_sample

    print_lines(map(str, copy_sample(folder)))


@data.command()
@click.argument("file", metavar="FILE")
@click.option("--out", "folder", type=click.Path(path_type=Path), metavar="DIR", required=True, help="Where to.")
@click.option("--dev", type=float, default=0.1, show_default=True, help="Share of the rows, or their number.")
@click.option("--test", type=float, help="The same for a third part; by default there is none.")
@click.option("--seed", type=int, default=42, show_default=True, help="Decides which rows go where.")
@debug_option
def split(file: str, folder: Path, dev: float, test: float | None, seed: int) -> None:
    """Divide FILE into DIR/train, DIR/dev and, if asked for, DIR/test.

    The parts are alike in the length of their dialogues, and near-duplicate dialogues stay on one side.

    \b
    Examples:
      llm-summ data split all.csv --out parts
      llm-summ data split all.csv --out parts --dev 500 --test 250 --seed 7
    """
    from llm_summ.data.split import split_file

    print_lines(split_file(file, folder, {"dev": dev} | ({} if test is None else {"test": test}), seed))
