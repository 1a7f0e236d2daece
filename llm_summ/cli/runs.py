"""The command `runs`: the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from llm_summ.cli.options import debug_option, json_option, print_json, print_lines, print_table

if TYPE_CHECKING:
    from llm_summ.ledger import Ledger

__all__ = ["runs"]


@click.command()
@click.argument("name", required=False)
@click.option(
    "--sort",
    type=click.Choice(["time", "score", "lb"]),
    help="The newest, the best, or the best on the leaderboard first; by default the newest.",
)
@click.option(
    "--add-lb",
    "posted",
    nargs=2,
    metavar="RUN SCORE",
    help="Note the score, 0 to 100, that the leaderboard gave RUN's last submission.",
)
@click.option(
    "--submission",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The file that was submitted, if it is not the last that `submit` wrote for RUN.",
)
@click.option("--note", metavar="TEXT", help="A note to store with the score.")
@json_option
@debug_option
def runs(
    name: str | None,
    sort: Literal["time", "score", "lb"] | None,
    posted: tuple[str, str] | None,
    submission: Path | None,
    note: str | None,
    as_json: bool,
) -> None:
    """List the runs: settings, local score and leaderboard score; with NAME show one.

    Where signatures differ, each score shows the letter of its signature: scores with different signatures are
    not comparable. The leaderboard score in the table is a run's best.

    From three runs with a local and a leaderboard score on, the rank correlation of the two is printed; with fewer
    than five it is not conclusive.

    \b
    Examples:
      llm-summ runs
      llm-summ runs --sort score
      llm-summ runs qwen3
      llm-summ runs --add-lb qwen3 51.24 --note "public, 3 epochs"
      llm-summ runs --add-lb qwen3 50.87 --submission qwen3-first.csv
    """
    from llm_summ.core.tables import TextTable
    from llm_summ.ledger import listing, read_ledger
    from llm_summ.runs.run import RUNS

    if posted is not None:
        if name is not None or sort is not None or as_json:
            raise click.UsageError("--add-lb notes a score; leave out NAME, --sort and --json")
        _add(*posted, note, submission)
        return
    if note is not None or submission is not None:
        raise click.UsageError("--note and --submission need --add-lb, the score that they belong to")
    if name is not None and sort is not None:
        raise click.UsageError("NAME and --sort exclude each other; choose one")
    ledger = read_ledger(RUNS, sort or "time")
    if name is not None:
        _show(ledger, name, as_json)
        return
    if as_json:
        print_json(ledger.to_json())
        return
    if not ledger.entries:
        click.echo(f"{RUNS}: no runs here; make one: llm-summ sft recipes/qlora.yaml", err=True)
        return
    table, lines = listing(ledger)
    print_table(TextTable(*table, figures=False))
    print_lines(lines)


def _add(name: str, score: str, note: str | None, submission: Path | None) -> None:
    from llm_summ.ledger import leaderboard_path, note_score
    from llm_summ.ledger.notes import read_submissions
    from llm_summ.runs.run import RUNS, open_run

    run = open_run(RUNS, name, "--add-lb")
    noted, fresh = note_score(run, score, note, submission)
    sha256 = noted.submission_sha256
    of = f" of the submission {sha256[:8]}" if sha256 else ""
    before = f"was noted on {noted.noted}; {'nothing was changed' if note is None else 'its note is the new one'}"
    click.echo(f"{run.name}: {noted.score:.2f}{of} {'noted' if fresh else before}", err=True)
    if submission is not None and sha256 not in {line.sha256 for line in read_submissions(run.submissions_path)}:
        click.echo(
            f"{submission}: not a submission that `submit` wrote of this run; its engine is not known", err=True
        )
    if sha256 is None:
        click.echo(
            f"{run.name}: no submission of it is recorded; name the file that you submitted: --submission FILE",
            err=True,
        )
    click.echo(f"To remove a score, edit {leaderboard_path(run)}", err=True)
    click.echo(str(leaderboard_path(run)))


def _show(ledger: Ledger, name: str, as_json: bool) -> None:
    from llm_summ.core.tables import TextTable
    from llm_summ.ledger import read_entry, run_page
    from llm_summ.runs.run import RUNS, open_run

    run = open_run(RUNS, name, "runs")
    known = (entry for entry in ledger.entries if entry.run.path.samefile(run.path))
    entry = next(known, None) or read_entry(run)
    if as_json:
        print_json(ledger.entry_json(entry))
        return
    facts, tables, lines = run_page(ledger, entry)
    print_lines(facts)
    for table in tables:
        print_table(TextTable(*table, figures=False))
    print_lines(lines)
