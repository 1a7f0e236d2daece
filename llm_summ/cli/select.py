"""The command that chooses one summary of several for every dialogue."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from llm_summ.cli.options import debug_option, json_option, open_run_or_latest, print_json, print_table, run_option

if TYPE_CHECKING:
    from llm_summ.select import Method

__all__ = ["select"]

_FILE = click.Path(path_type=Path, readable=False)


def _numbers(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    """Numbers between commas."""
    if value is None:
        return None
    try:
        return tuple(float(one) for one in value.split(","))
    except ValueError:
        raise click.BadParameter(f"found {value}; expected numbers between commas, such as 1,2,0.5") from None


@click.command()
@click.argument("files", nargs=-1, type=_FILE, metavar="[FILE…]")
@run_option
@click.option(
    "--data", "source", metavar="PATH", help="What the summaries are of; needed for a run unless it has test data."
)
@click.option(
    "--method",
    type=click.Choice(["mbr", "medoid", "vote", "longest", "shortest", "best"]),
    default="mbr",
    show_default=True,
    help="How to choose; best takes the one file that --tune finds best.",
)
@click.option(
    "--weights", callback=_numbers, metavar="W,W,…", help="Weights of the FILEs' texts as references; 0: out."
)
@click.option("--rouge", callback=_numbers, metavar="W,W,W", help="mbr, medoid: weights of ROUGE-1, -2 and -L.")
@click.option("--length", type=float, metavar="W", help="mbr, medoid: weight of the length prior; 0.1 is a lot.")
@click.option(
    "--length-target", type=int, metavar="N", help="Characters it prefers; by default the candidates' median."
)
@click.option(
    "--temperature", type=float, metavar="T", help="mbr, medoid: count texts by log-probability; small is sharp."
)
@click.option("--tune", metavar="DEV", help="Find weights and prior on data with references, by cross-validation.")
@click.option(
    "--dev-pool",
    multiple=True,
    type=_FILE,
    metavar="FILE",
    help="The file for DEV that belongs to the first FILE; repeat it for each FILE in their order.",
)
@click.option("--out", type=_FILE, metavar="FILE", help="Write a CSV with fname and summary.")
@click.option("--force", is_flag=True, help="Replace another file at --out.")
@json_option
@debug_option
def select(
    files: tuple[Path, ...],
    run_name: str | None,
    source: str | None,
    method: Method | Literal["best"],
    weights: tuple[float, ...] | None,
    rouge: tuple[float, ...] | None,
    length: float | None,
    length_target: int | None,
    temperature: float | None,
    tune: str | None,
    dev_pool: tuple[Path, ...],
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Choose one of several summaries for every dialogue, by what they agree on.

    FILEs are predictions with one or more summaries for each id; without them, all predictions and candidates of a
    run for --data. mbr (minimum Bayes risk) takes the summary that scores best with all others as its references.

    With --tune, weights and prior are found on DEV, for which each FILE has its --dev-pool. A run's files have
    those that were generated for DEV with the same engine, prompt and decoding. The score that is told is that of
    dialogues on which nothing was found. If the ensemble is not better than its best file, that file is taken
    alone.

    \b
    Examples:
      llm-summ select a.csv b.csv c.csv --data test.csv --out ensemble.csv
      llm-summ select a.csv b.csv c.csv --method medoid --weights 2,1,1 --out ensemble.csv
      llm-summ select --run qwen3 --data test.csv --out ensemble.csv
      llm-summ select --run qwen3 --data test.csv --tune dev.csv --out ensemble.csv
      llm-summ select a.csv b.csv --tune dev.csv --dev-pool dev_a.csv --dev-pool dev_b.csv --out ensemble.csv
    """
    given = {
        "--weights": weights,
        "--rouge": rouge,
        "--length": length,
        "--length-target": length_target,
        "--temperature": temperature,
    }
    _check(method, {name for name, value in given.items() if value is not None}, tune, dev_pool)
    if force and out is None:
        raise click.UsageError("--force is for --out")
    if files and run_name is not None:
        raise click.UsageError("--run and FILEs exclude each other; choose one")
    if rouge is not None and len(rouge) != 3:
        raise click.UsageError(f"--rouge: found {len(rouge)} numbers; expected three, for ROUGE-1, -2 and -L")
    from llm_summ.core.errors import RunError
    from llm_summ.data.source import check_out, resolve_source
    from llm_summ.select import Settings, write_selection
    from llm_summ.select import select as choose
    from llm_summ.select.pool import dev_files, run_files

    if not files:
        run = open_run_or_latest(run_name)
        source = source or run.recipe().data.test
        if source is None:
            raise RunError(f"{run.recipe_path}: names no data.test; say what the summaries are of: --data FILE")
        files = tuple(run_files(run, source))
        if tune is not None and not dev_pool and tune != source:
            pairs = dev_files(files, source, tune)
            files, dev_pool = tuple(one for one, _ in pairs), tuple(other for _, other in pairs)
    if tune is not None and not dev_pool and tune == source:
        dev_pool = files
    if out is not None:
        data = [resolve_source(one) for one in (source, tune) if one is not None]
        check_out(out, inputs=[*files, *dev_pool, *data], force=force)
    settings = Settings(
        weights or (1.0,) * len(files),
        "mbr" if method == "best" else method,
        (1.0, 1.0, 1.0) if rouge is None else (rouge[0], rouge[1], rouge[2]),
        length or 0.0,
        length_target,
        temperature,
    )
    selection = choose(files, source, settings, dev=tune, dev_paths=dev_pool, only_best=method == "best")
    if out is not None:
        write_selection(selection, out, force=force)
    if as_json:
        print_json(selection.to_json())
    else:
        table = selection.table()
        print_table(table.headers, table.rows)
        for line in selection.lines():
            click.echo(line)
        if out is not None:
            click.echo(str(out))
    for warning in selection.warnings():
        click.echo(f"warning: {warning}", err=True)


def _check(method: str, given: set[str], tune: str | None, dev_pool: tuple[Path, ...]) -> None:
    """Refuse options that do not go together."""
    if method == "best" and tune is None:
        raise click.UsageError("--method best needs --tune DEV, where the files are compared")
    if tune is not None and method not in ("mbr", "medoid", "best"):
        raise click.UsageError(f"--tune finds nothing for --method {method}; it is for mbr, medoid and best")
    if tune is not None and given:
        raise click.UsageError(f"--tune finds {', '.join(sorted(given))} itself: leave it out")
    if tune is None and dev_pool:
        raise click.UsageError("--dev-pool is for --tune DEV")
    idle = given - ({"--weights"} if method in ("vote", "longest", "shortest") else given)
    if idle:
        raise click.UsageError(f"--method {method} does not know {', '.join(sorted(idle))}")
    if "--length-target" in given and "--length" not in given:
        raise click.UsageError("--length-target needs --length, the weight of the prior")
