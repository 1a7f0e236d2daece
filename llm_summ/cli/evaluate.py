"""The command `eval`: one system's score and what is behind it, or several systems side by side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llm_summ.cli.options import debug_option, json_option, open_run_or_latest, print_json, print_table, run_option
from llm_summ.core.errors import listed

if TYPE_CHECKING:
    from llm_summ.core.word_tokenizers import TokenizerName
    from llm_summ.evaluate.compare import Comparison
    from llm_summ.evaluate.evaluation import Evaluation
    from llm_summ.evaluate.explain import Explanation
    from llm_summ.score import Aggregate, Variant

__all__ = ["evaluate"]


@click.command(name="eval")
@click.argument("data")
@click.argument("systems", nargs=-1, metavar="[SYSTEM…]")
@click.option(
    "--predictions",
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    help="Score this CSV or JSONL (fname, summary) instead of a run's predictions.",
)
@click.option(
    "--compare", is_flag=True, help="Compare the SYSTEMs, runs or prediction files, with the first of them."
)
@click.option("--brief", is_flag=True, help="Only the score, not what is behind it.")
@click.option("--explain", is_flag=True, help="Show the same summaries by other ROUGEs, tokens and aggregates.")
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
    help="Write a page with every dialogue and what its score counts.",
)
@click.option(
    "--rouge",
    "variant",
    type=click.Choice(["rouge", "rouge-score"]),
    default="rouge",
    show_default=True,
    help="The package to agree with.",
)
@click.option(
    "--tokens",
    type=click.Choice(["mecab", "space", "character", "rouge-score", "rouge-score-stem"]),
    default="mecab",
    show_default=True,
    help="What splits the texts; rouge-score's own is for English.",
)
@click.option(
    "--aggregate",
    type=click.Choice(["mean", "max"]),
    default="mean",
    show_default=True,
    help="How several references of a dialogue are combined.",
)
@json_option
@run_option
@debug_option
def evaluate(
    data: str,
    systems: tuple[str, ...],
    predictions: Path | None,
    compare: bool,
    brief: bool,
    explain: bool,
    verify: bool,
    page: Path | None,
    variant: Variant,
    tokens: TokenizerName,
    aggregate: Aggregate,
    as_json: bool,
    run_name: str | None,
) -> None:
    """Score summaries of DATA as the competition does: ROUGE over mecab-ko morphemes.

    DATA is a CSV or JSONL with fname, dialogue and summary (or summary1, summary2 …), or sample:dev. A run's
    predictions are found by content: they must be of the same dialogues and ids. The score comes last; above it
    stand the worst rows, the scores by length, turns and topic, tags that were lost, and floors.

    \b
    Examples:
      llm-summ eval dev.csv
      llm-summ eval sample:dev --json
      llm-summ eval dev.csv --predictions submission.csv --explain --verify
      llm-summ eval dev.csv --html page.html
      llm-summ eval dev.csv --compare qwen3 solar ensemble.csv
    """
    from llm_summ.score.metric import Metric

    metric = Metric(variant, tokens, aggregate)
    if compare:
        if predictions is not None or run_name is not None or explain or verify or brief:
            raise click.UsageError(
                "--compare takes its systems behind DATA: leave out --run, --predictions, --brief, --explain and "
                "--verify"
            )
        if page is not None:
            raise click.UsageError("--html is of one system: leave it out with --compare")
        from llm_summ.evaluate.compare import compare_systems

        comparison = compare_systems(systems, data, metric)
        if as_json:
            print_json(comparison.to_json())
        else:
            _show_comparison(comparison)
        for system in comparison.systems:
            for warning in system.warnings:
                click.echo(f"warning: {system}: {warning}", err=True)
        return
    if systems:
        raise click.UsageError(
            f"found {systems[0]} behind DATA; put --predictions before a file, or add --compare to compare systems"
        )
    if predictions is not None and run_name is not None:
        raise click.UsageError("--run and --predictions exclude each other; choose one")
    from llm_summ.evaluate.evaluation import evaluate_file, evaluate_run
    from llm_summ.score.verify import EXACT

    if page is not None:
        from llm_summ.evaluate.page.write import check_page, write_page

        check_page(page)
    result = (
        evaluate_file(predictions, data, metric, explained=explain, verified=verify)
        if predictions is not None
        else evaluate_run(open_run_or_latest(run_name), data, metric, explained=explain, verified=verify)
    )
    # Before anything is printed: `| head` ends the program there.
    if page is not None:
        write_page(result, page)
    if as_json:
        print_json(result.to_json())
    else:
        if not brief:
            _show_details(result)
        if result.explanation is not None:
            _show_explanation(result.explanation)
        _show_score(result)
    for warning in result.warnings:
        click.echo(f"warning: {warning}", err=True)
    for note in result.baselines.notes():
        click.echo(f"note: {note}", err=True)
    if page is not None:
        click.echo(str(page), err=True)
    wrong = [found for found in result.verifications if found.largest > EXACT]
    for found in wrong:
        click.echo(f"error: the figures are not those of {found.package} {found.version}: {found.where}", err=True)
    if wrong:
        raise click.exceptions.Exit(1)


def _show_details(result: Evaluation) -> None:
    """What is behind the score."""
    from llm_summ.evaluate.worst import show_worst

    width = _width()
    click.echo("The worst rows\n")
    for line in show_worst(result.worst, width):
        click.echo(line)
    click.echo()
    tables = [grouping.table() for grouping in result.groups]
    tables += [result.lengths.table(), result.baselines.table()]
    for table in tables:
        print_table(table.headers, table.rows)
    fidelity = result.fidelity.table()
    if fidelity.rows:
        print_table(fidelity.headers, fidelity.rows, figures=False)
    else:
        click.echo("No speaker tag or mask was invented, lost or broken.")
    click.echo()


def _show_explanation(explanation: Explanation) -> None:
    """The same summaries by other scores."""
    table = explanation.table()
    print_table(table.headers, table.rows, figures=False)
    for line in (*explanation.lines(), explanation.warning()):
        if line is not None:
            click.echo(line)
    click.echo()


def _show_score(result: Evaluation) -> None:
    """The score, how sure it is, and its signature."""
    from llm_summ.evaluate.evaluation import FIGURES
    from llm_summ.score.metric import COMPETITION, PACKAGES
    from llm_summ.score.significance import FEW_ROWS

    rows = []
    for metric, score in ((result.metric, result.score), (result.metric.other_variant(), result.other)):
        whose = " (the competition's baseline)" if metric == COMPETITION else ""
        rows.append([PACKAGES[metric.variant] + whose, *(f"{getattr(score, name):.2f}" for name in FIGURES)])
    count = f"{result.score.rows:,} dialogue{'s' * (result.score.rows != 1)}"
    click.echo(f"{result.data}: {count}, {_references(result)}")
    print_table([f"ROUGE over {_TOKENS[result.metric.tokens]}", *_SHORT], rows)
    if result.intervals:
        found = (
            f"{name} {one.low:.2f}–{one.high:.2f}"
            for name, one in zip(_SHORT, result.intervals.values(), strict=True)
        )
        few = f" (too narrow, of fewer than {FEW_ROWS} rows)" if len(result.rows) < FEW_ROWS else ""
        click.echo(f"interval   95 %: {', '.join(found)}{few}")
    if (board := result.leaderboard) is not None:
        click.echo(
            f"board      public and private halves ({board.public_rows:,} and {board.private_rows:,} rows) differ "
            f"by {board.median_gap:.2f} points in the median, by at most {board.gap95:.2f} in 95 %"
        )
    lengths = result.lengths
    click.echo(f"length     {lengths.summary:.0f} characters a summary, {lengths.reference:.0f} a reference")
    if result.by_length is not None:
        click.echo(f"cut off    {_count(result.by_length, result)} ended by length")
    if result.empty:
        click.echo(f"empty      {_count(result.empty, result)} count as 0")
    if result.summaries.post:
        steps = ", ".join(f"{name} {changed}" for name, changed in result.summaries.post.items())
        click.echo(f"post       rows changed: {steps}")
    for checked in result.verifications:
        click.echo(
            f"verified   {checked.package} {checked.version}: {checked.pairs:,} pairs, the largest difference is "
            f"{checked.largest:.1e}"
            + (f"; {checked.empty:,} with an empty text" if checked.empty else "")
            + (f"; {checked.not_comparable:,} too long for it" if checked.not_comparable else "")
        )
    click.echo(f"signature  {result.signature}")


def _show_comparison(comparison: Comparison) -> None:
    tables = [comparison.length_table(), comparison.lead_table(), comparison.versus_table(), comparison.table()]
    for table in tables:
        if table.rows:
            print_table(table.headers, table.rows)
    for line in comparison.lines():
        click.echo(line)


_SHORT = ("R-1", "R-2", "R-L", "final")
_TOKENS = {
    "mecab": "mecab-ko morphemes",
    "space": "words",
    "character": "characters",
    "rouge-score": "rouge-score's own tokens",
    "rouge-score-stem": "rouge-score's own stems",
}


def _width() -> int:
    """Columns of the terminal; a file or a pipe has as many as are easy to read."""
    from shutil import get_terminal_size

    return get_terminal_size().columns if sys.stdout.isatty() else 120


def _references(result: Evaluation) -> str:
    fewest, most = result.score.references_per_row
    return (
        f"{most} reference{'s' if most > 1 else ''} each" if fewest == most else f"{fewest} to {most} references"
    )


def _count(ids: list[str], result: Evaluation) -> str:
    from llm_summ.evaluate.worst import printable

    shown = printable(listed(ids))
    return f"{len(ids)} of {result.score.rows}" + (f" ({shown})" if ids else "")
