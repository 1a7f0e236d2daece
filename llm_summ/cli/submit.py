"""The command `submit`: write a submission, or check any file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from llm_summ.cli import options as shared

__all__ = ["submit"]


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """The options of `submit`, by their names."""

    check: Path | None
    run_name: str | None
    predictions: Path | None
    source: str | None
    sample_name: str | None
    out: Path | None
    allow_empty: bool
    force: bool
    strict: bool
    as_json: bool


@click.command()
@click.option("--check", type=shared.FILE, metavar="FILE", help="Check FILE; write nothing.")
@shared.run_option
@shared.predictions_option(
    "Submit this CSV or JSONL (fname, summary), or any file that --check can read, instead of a run's."
)
@shared.data_option(help="The data that was summarised; by default the recipe's test data.")
@click.option(
    "--sample",
    "sample_name",
    metavar="FILE",
    help="The sample submission; by default sample_submission.csv next to the data, or in this folder.",
)
@shared.out_option(
    help="The file to write; by default submission.csv in the run's folder, or here with --predictions."
)
@click.option("--allow-empty", is_flag=True, help="Write empty summaries as they are.")
@shared.force_option()
@shared.strict_option(help="Exit with status 1 on any finding, including notes.")
@shared.json_option
@shared.debug_option
@shared.as_object(SubmitOptions)
def submit(options: SubmitOptions) -> None:
    """Write a submission in the form of a sample submission, or check any file against one.

    Ids, their order, columns, index and format are the sample's; the summaries are a run's, after its
    post-processing. The written file is checked, too.

    The exit status is 1 if there is any problem: something that would be refused, or that costs score. The file is
    written nevertheless.

    \b
    Examples:
      llm-summ submit --sample sample_submission.csv
      llm-summ submit --run qwen3 --data test.csv --out qwen3.csv
      llm-summ submit --predictions ensemble.csv --sample sample_submission.csv
      llm-summ submit --check submission.csv --sample sample_submission.csv --data test.csv
    """
    written = (options.run_name, options.predictions, options.out, options.allow_empty, options.force)
    if options.check is not None and any(written):
        raise click.UsageError(
            "--check writes nothing; only --data, --sample, --strict and --json can be used with it"
        )
    if options.predictions is not None and options.run_name is not None:
        raise click.UsageError("--run and --predictions exclude each other; choose one")
    from llm_summ.core.findings import exit_status
    from llm_summ.submit.job import check_file, write_and_check

    if options.check is not None:
        report = check_file(options.check, options.source, options.sample_name)
    else:
        report = write_and_check(
            None if options.predictions is not None else shared.open_run_or_latest(options.run_name),
            options.predictions,
            options.source,
            options.sample_name,
            options.out,
            allow_empty=options.allow_empty,
            force=options.force,
        )
    status = exit_status(report.findings, "note" if options.strict else "problem")
    if options.as_json:
        shared.print_json(report)
    else:
        shared.print_lines(report.lines(), err=options.check is None)
        if options.check is None:
            click.echo(str(report.path))
    if status and options.check is None:
        click.echo(f"{report.path}: written, with the problems above", err=True)
    shared.exit_with(status)
