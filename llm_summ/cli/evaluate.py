"""The command `eval`: one system's score in detail, or several systems compared."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llm_summ.cli.options import (
    as_object,
    debug_option,
    exit_with,
    json_option,
    open_run_or_latest,
    predictions_option,
    print_json,
    print_lines,
    print_table,
    run_option,
)

if TYPE_CHECKING:
    from llm_summ.core.word_tokenizers import TokenizerName
    from llm_summ.evaluate.evaluation import Evaluation
    from llm_summ.score import Aggregate, Variant
    from llm_summ.score.metric import Metric

__all__ = ["evaluate"]


@dataclass(frozen=True, slots=True)
class EvalOptions:
    """The arguments and options of `eval`, by their names."""

    data: str
    systems: tuple[str, ...]
    predictions: Path | None
    compare: bool
    brief: bool
    explain: bool
    verify: bool
    page: Path | None
    variant: Variant
    tokens: TokenizerName
    aggregate: Aggregate
    metrics: tuple[str, ...]
    as_json: bool
    run_name: str | None


@click.command(name="eval")
@click.argument("data")
@click.argument("systems", nargs=-1, metavar="[SYSTEM…]")
@predictions_option("Score this CSV or JSONL (fname, summary) instead of a run's predictions.")
@click.option(
    "--compare", is_flag=True, help="Compare the SYSTEMs, runs or prediction files, with the first of them."
)
@click.option("--brief", is_flag=True, help="Print only the score, without details.")
@click.option("--explain", is_flag=True, help="Also score with other ROUGE variants, tokenizers and aggregates.")
@click.option(
    "--verify",
    is_flag=True,
    help="Recompute with the packages rouge and rouge-score themselves, on the same tokens.",
)
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write an HTML page with every dialogue and the tokens that its score counts.",
)
@click.option(
    "--rouge",
    "variant",
    type=click.Choice(["rouge", "rouge-score"]),
    default="rouge",
    show_default=True,
    help="The package whose scores are reproduced.",
)
@click.option(
    "--tokens",
    type=click.Choice(["mecab", "space", "character", "rouge-score", "rouge-score-stem"]),
    default="mecab",
    show_default=True,
    help="The tokenizer; rouge-score's own is for English.",
)
@click.option(
    "--aggregate",
    type=click.Choice(["mean", "max"]),
    default="mean",
    show_default=True,
    help="How several references of a dialogue are combined.",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="Also score with this metric of an installed package; may be repeated.",
)
@json_option
@run_option
@debug_option
@as_object(EvalOptions)
def evaluate(options: EvalOptions) -> None:
    """Score summaries of DATA as the competition does: ROUGE over mecab-ko morphemes.

    DATA is a CSV or JSONL with fname, dialogue and summary (or summary1, summary2 …), or sample:dev. A run's
    predictions are found by content: they must be of the same dialogues and ids. The score comes last, after
    the worst rows, the scores by length, turns and topic, lost tags, and trivial baselines.

    \b
    Examples:
      llm-summ eval dev.csv
      llm-summ eval sample:dev --json
      llm-summ eval dev.csv --predictions submission.csv --explain --verify
      llm-summ eval dev.csv --html page.html
      llm-summ eval dev.csv --compare qwen3 solar ensemble.csv
    """
    from llm_summ.score.metric import Metric

    metric = Metric(options.variant, options.tokens, options.aggregate)
    if options.metrics:
        _check_metrics(options)
    if options.compare:
        _compare(options, metric)
    else:
        _evaluate(options, metric)


def _check_metrics(options: EvalOptions) -> None:
    """Refuse an unknown metric, and a page that would not show it."""
    from llm_summ.score.other_metrics import METRICS

    if options.page is not None:
        raise click.UsageError("--html shows ROUGE only: leave out --metric, or --html")
    for name in options.metrics:
        try:
            METRICS.check(name)
        except ValueError as error:
            raise click.UsageError(f"--metric: {error}") from error


def _compare(options: EvalOptions, metric: Metric) -> None:
    """Show several systems."""
    not_for_it = (options.predictions, options.run_name, *(options.explain, options.verify, options.brief))
    if any(value not in (None, False) for value in not_for_it):
        raise click.UsageError(
            "--compare takes its systems after DATA: leave out --run, --predictions, --brief, --explain and "
            "--verify"
        )
    if options.page is not None:
        raise click.UsageError("--html shows one system: leave it out with --compare")
    from llm_summ.evaluate.compare import compare_systems

    comparison = compare_systems(options.systems, options.data, metric, metrics=options.metrics)
    if options.as_json:
        print_json(comparison)
    else:
        for table in comparison.tables():
            print_table(table)
        print_lines(comparison.lines())
    for system in comparison.systems:
        print_lines(system.warnings, label=f"warning: {system}", err=True)


def _evaluate(options: EvalOptions, metric: Metric) -> None:
    """Show one system."""
    if options.systems:
        raise click.UsageError(
            f"found {options.systems[0]} after DATA; put --predictions before a file, or add --compare to "
            "compare systems"
        )
    if options.predictions is not None and options.run_name is not None:
        raise click.UsageError("--run and --predictions exclude each other; choose one")
    from llm_summ.evaluate.evaluation import evaluate_file, evaluate_run
    from llm_summ.evaluate.report import verification_errors

    page = options.page
    if page is not None:
        from llm_summ.evaluate.page.write import check_page, write_page

        check_page(page)
    more = {"explained": options.explain, "verified": options.verify}
    evaluation = (
        evaluate_file(options.predictions, options.data, metric, metrics=options.metrics, **more)
        if options.predictions is not None
        else evaluate_run(
            open_run_or_latest(options.run_name), options.data, metric, metrics=options.metrics, **more
        )
    )
    # Write before printing: with `| head` the program ends while it prints.
    if page is not None:
        write_page(evaluation, page)
    if options.as_json:
        print_json(evaluation)
    else:
        _show(evaluation, brief=options.brief)
    print_lines(evaluation.warnings, label="warning", err=True)
    print_lines(evaluation.baselines.notes(), label="note", err=True)
    if page is not None:
        click.echo(str(page), err=True)
    errors = verification_errors(evaluation)
    print_lines(errors, label="error", err=True)
    exit_with(int(bool(errors)))


def _show(evaluation: Evaluation, *, brief: bool) -> None:
    """Print the details, the other scores of the same summaries, and the score."""
    from llm_summ.evaluate.other_metrics import metrics_table
    from llm_summ.evaluate.report import detail_tables, score_heading, score_lines, score_table
    from llm_summ.evaluate.worst import show_worst

    if not brief:
        print_lines(["The worst rows\n", *show_worst(evaluation.worst, _width()), ""])
        for table in detail_tables(evaluation):
            print_table(table)
        if not evaluation.fidelity.table().rows:
            click.echo("No speaker tag or mask was invented, lost or broken.")
        click.echo()
    if (explanation := evaluation.explanation) is not None:
        print_table(explanation.table())
        print_lines([*explanation.lines(), ""])
    click.echo(score_heading(evaluation))
    print_table(score_table(evaluation))
    if evaluation.metrics:
        print_table(metrics_table(evaluation.metrics))
    print_lines(score_lines(evaluation))


def _width() -> int:
    """Return the terminal's width in columns; for a file or a pipe, a readable width."""
    from shutil import get_terminal_size

    return get_terminal_size().columns if sys.stdout.isatty() else 120
