"""The command that chooses one summary of several for every dialogue."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from llm_summ.cli import options as shared

if TYPE_CHECKING:
    from llm_summ.select import Method

__all__ = ["select"]


@dataclass(frozen=True, slots=True)
class SelectOptions:
    """The arguments and options of `select`, by their names."""

    files: tuple[Path, ...]
    run_name: str | None
    source: str | None
    method: Method | Literal["best"]
    weights: tuple[float, ...] | None
    rouge: tuple[float, ...] | None
    length: float | None
    length_target: int | None
    temperature: float | None
    tune: str | None
    dev_pool: tuple[Path, ...]
    out: Path | None
    force: bool
    as_json: bool

    def check(self) -> None:
        """Raise a UsageError for options that exclude each other."""
        method, tune = self.method, self.tune
        settings = {
            "--weights": self.weights,
            "--rouge": self.rouge,
            "--length": self.length,
            "--length-target": self.length_target,
            "--temperature": self.temperature,
        }
        given = {name for name, value in settings.items() if value is not None}
        if method == "best" and tune is None:
            raise click.UsageError("--method best needs --tune DEV, where the files are compared")
        if tune is not None and method not in ("mbr", "medoid", "best"):
            raise click.UsageError(f"--tune finds nothing for --method {method}; it is for mbr, medoid and best")
        if tune is not None and given:
            raise click.UsageError(f"--tune finds {', '.join(sorted(given))} itself: leave it out")
        if tune is None and self.dev_pool:
            raise click.UsageError("--dev-pool is for --tune DEV")
        idle = given - ({"--weights"} if method in ("vote", "longest", "shortest") else given)
        if idle:
            raise click.UsageError(f"--method {method} does not use {', '.join(sorted(idle))}")
        if "--length-target" in given and "--length" not in given:
            raise click.UsageError("--length-target needs --length, the weight of the prior")
        if self.force and self.out is None:
            raise click.UsageError("--force is for --out")
        if self.files and self.run_name is not None:
            raise click.UsageError("--run and FILEs exclude each other; choose one")
        if self.rouge is not None and len(self.rouge) != 3:
            raise click.UsageError(
                f"--rouge: found {len(self.rouge)} numbers; expected three, for ROUGE-1, -2 and -L"
            )


def _numbers(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    """Return the numbers of a comma-separated list."""
    if value is None:
        return None
    try:
        return tuple(float(number) for number in value.split(","))
    except ValueError:
        raise click.BadParameter(f"found {value}; expected numbers separated by commas, such as 1,2,0.5") from None


@click.command()
@click.argument("files", nargs=-1, type=shared.FILE, metavar="[FILE…]")
@shared.run_option
@shared.data_option(help="The data that was summarised; needed for a run unless it has test data.")
@click.option(
    "--method",
    type=click.Choice(["mbr", "medoid", "vote", "longest", "shortest", "best"]),
    default="mbr",
    show_default=True,
    help="How to choose; best: the one file that --tune finds best.",
)
@click.option(
    "--weights",
    callback=_numbers,
    metavar="W,W,…",
    help="Weights of the FILEs' texts as references; 0: not used as a reference.",
)
@click.option("--rouge", callback=_numbers, metavar="W,W,W", help="mbr, medoid: weights of ROUGE-1, -2 and -L.")
@click.option("--length", type=float, metavar="W", help="mbr, medoid: weight of the length prior; 0.1 is a lot.")
@click.option(
    "--length-target",
    type=int,
    metavar="N",
    help="Characters that the length prior prefers; by default the candidates' median.",
)
@click.option(
    "--temperature",
    type=float,
    metavar="T",
    help="mbr, medoid: weight texts by log-probability; smaller is sharper.",
)
@click.option("--tune", metavar="DEV", help="Find weights and prior on data with references, by cross-validation.")
@click.option(
    "--dev-pool",
    multiple=True,
    type=shared.FILE,
    metavar="FILE",
    help="The file for DEV that belongs to the first FILE; repeat it for each FILE in their order.",
)
@shared.out_option(help="Write a CSV with fname and summary.")
@shared.force_option()
@shared.json_option
@shared.debug_option
@shared.as_object(SelectOptions)
def select(options: SelectOptions) -> None:
    """Choose one of several summaries for every dialogue: the one that agrees most with the others.

    FILEs are predictions with one or more summaries for each id; without them, all predictions and candidates of a
    run for --data. mbr (minimum Bayes risk) takes the summary that scores best with all others as its references.

    With --tune, weights and prior are fitted on DEV, for which each FILE has its --dev-pool. For a run's files
    these are the files that were generated for DEV with the same engine, prompt and decoding. The printed score is
    out-of-fold: that of dialogues on which nothing was fitted. If the ensemble is not better than its best file,
    that file is used alone.

    \b
    Examples:
      llm-summ select a.csv b.csv c.csv --data test.csv --out ensemble.csv
      llm-summ select a.csv b.csv c.csv --method medoid --weights 2,1,1 --out ensemble.csv
      llm-summ select --run qwen3 --data test.csv --out ensemble.csv
      llm-summ select --run qwen3 --data test.csv --tune dev.csv --out ensemble.csv
      llm-summ select a.csv b.csv --tune dev.csv --dev-pool dev_a.csv --dev-pool dev_b.csv --out ensemble.csv
    """
    options.check()
    from llm_summ.select import Settings
    from llm_summ.select.selection import SelectionRequest, choose_and_write

    rouge = (1.0, 1.0, 1.0) if options.rouge is None else options.rouge
    settings = Settings(
        options.weights or (),
        "mbr" if options.method == "best" else options.method,
        (rouge[0], rouge[1], rouge[2]),
        options.length or 0.0,
        options.length_target,
        options.temperature,
    )
    request = SelectionRequest(
        options.files,
        options.source,
        settings,
        run=None if options.files else shared.open_run_or_latest(options.run_name),
        tune=options.tune,
        dev_pool=options.dev_pool,
        only_best=options.method == "best",
        out=options.out,
        force=options.force,
    )
    selection = choose_and_write(request)
    shared.print_result(selection, as_json=options.as_json)
    if options.out is not None and not options.as_json:
        click.echo(str(options.out))
    shared.print_lines(selection.warnings(), label="warning", err=True)
