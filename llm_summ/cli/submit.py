"""The command that writes a submission, and checks any."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from llm_summ.cli.options import debug_option, json_option, open_run_or_latest, print_json, run_option

if TYPE_CHECKING:
    from llm_summ.submit import SampleSubmission, Texts

__all__ = ["submit"]


@click.command()
@click.option(
    "--check", type=click.Path(path_type=Path, readable=False), metavar="FILE", help="Check FILE; write nothing."
)
@run_option
@click.option(
    "--predictions",
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    help="Hand in this CSV or JSONL (fname, summary), or any file that --check can read, instead of a run's.",
)
@click.option(
    "--data", "source", metavar="PATH", help="What the summaries are of; by default the recipe's test data."
)
@click.option(
    "--sample",
    "sample_name",
    metavar="FILE",
    help="The sample submission; by default sample_submission.csv beside the data, or here.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    help="Where to; by default submission.csv in the run's folder, with --predictions here.",
)
@click.option("--allow-empty", is_flag=True, help="Write empty summaries as they are.")
@click.option("--force", is_flag=True, help="Replace another file at --out.")
@click.option("--strict", is_flag=True, help="Exit with 1 if there is anything to say, be it but a note.")
@json_option
@debug_option
def submit(
    check: Path | None,
    run_name: str | None,
    predictions: Path | None,
    source: str | None,
    sample_name: str | None,
    out: Path | None,
    allow_empty: bool,
    force: bool,
    strict: bool,
    as_json: bool,
) -> None:
    """Write a submission as a sample submission wants it, or check any file against one.

    Ids, their order, columns, index and format are the sample's; the summaries are a run's, after its
    post-processing. What was written is checked, too.

    It exits with 1 if there is any problem: something that would be refused, or that costs score. What was written
    is there all the same.

    \b
    Examples:
      llm-summ submit --sample sample_submission.csv
      llm-summ submit --run qwen3 --data test.csv --out qwen3.csv
      llm-summ submit --predictions ensemble.csv --sample sample_submission.csv
      llm-summ submit --check submission.csv --sample sample_submission.csv --data test.csv
    """
    from llm_summ.data import read_dialogues
    from llm_summ.data.source import resolve_source
    from llm_summ.submit import check_submission, find_sample, read_sample

    if check is not None and (run_name or predictions or out or allow_empty or force):
        raise click.UsageError(
            "--check writes nothing: with it, only --data, --sample, --strict and --json have a meaning"
        )
    if predictions is not None and run_name is not None:
        raise click.UsageError("--run and --predictions exclude each other; choose one")
    if check is None:
        path, sample, texts = _write(run_name, predictions, source, sample_name, out, allow_empty, force)
        report = check_submission(path, sample, dialogues=texts.dialogues, written=texts.by_id)
    else:
        path, dialogues = check, None
        folders = [check.parent]
        if source is not None:
            dialogues = {dialogue.id: dialogue.text for dialogue in read_dialogues(source)}
            folders.append(resolve_source(source).parent)
        report = check_submission(path, read_sample(find_sample(sample_name, folders)), dialogues=dialogues)
    if as_json:
        print_json(report.to_json())
    else:
        for line in report.lines():
            click.echo(line, err=check is None)
        if check is None:
            click.echo(str(path))
    if report.problems or (report.findings and strict):
        if check is None:
            click.echo(f"{path}: was written, with what was found in it", err=True)
        raise click.exceptions.Exit(1)


def _write(
    run_name: str | None,
    predictions: Path | None,
    source: str | None,
    sample_name: str | None,
    out: Path | None,
    allow_empty: bool,
    force: bool,
) -> tuple[Path, SampleSubmission, Texts]:
    """Write a submission of a run or a prediction file: where it is, the sample it is like, and its texts."""
    from llm_summ.data.source import resolve_source
    from llm_summ.submit import data_of, file_texts, find_sample, read_sample, run_texts, write_submission

    if predictions is not None:
        beside = [resolve_source(source).parent] if source is not None else []
        sample = read_sample(find_sample(sample_name, beside))
        texts = file_texts(predictions, source, sample)
        target = out or Path("submission.csv")
    else:
        run = open_run_or_latest(run_name)
        data = data_of(run, source)
        sample = read_sample(find_sample(sample_name, [resolve_source(data).parent]))
        texts = run_texts(run, data)
        target = out or run.path / "submission.csv"
    write_submission(texts, sample, target, allow_empty=allow_empty, force=force)
    return target, sample, texts
