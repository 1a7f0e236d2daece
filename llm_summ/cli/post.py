"""The command `post`: the effect of post-processing on stored predictions and on their score."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llm_summ.cli import options as shared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_summ.evaluate.post_files import PostedFile, SweptFile

__all__ = ["post"]


@dataclass(frozen=True, slots=True)
class PostOptions:
    """The arguments and options of `post`, by their names."""

    files: tuple[Path, ...]
    source: str | None
    named: str | None
    show: int | None
    sweep: bool
    learn_limits: bool
    out: Path | None
    force: bool
    as_json: bool
    run_name: str | None

    def check(self) -> None:
        """Raise a UsageError for options that exclude each other."""
        shown = self.show is not None or self.out is not None
        if self.files and self.run_name is not None:
            raise click.UsageError("--run and FILE exclude each other; choose one")
        if self.out is not None and len(self.files) > 1:
            raise click.UsageError(f"--out takes the result of one FILE, found {len(self.files)}; name one")
        if self.force and self.out is None:
            raise click.UsageError("--force is for --out")
        if self.sweep and shown:
            raise click.UsageError("--sweep only scores; leave out --show and --out")
        if self.learn_limits and (self.sweep or shown or self.files):
            raise click.UsageError("--learn-limits is for a run: leave out FILE, --sweep, --show and --out")


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE…]", type=shared.FILE)
@shared.data_option(help="The data that was summarised; by default the recipe's dev data.")
@click.option(
    "--steps",
    "named",
    metavar="A,B,C",
    help="Run these steps instead of the recipe's list; '' for none; see below.",
)
@click.option(
    "--show", type=click.IntRange(min=1), metavar="N", help="Show N texts of each step before and after."
)
@click.option("--sweep", is_flag=True, help="Score DATA with and without every step.")
@click.option("--learn-limits", is_flag=True, help="Fit the length limits of the step cut_to_limit.")
@shared.out_option(help="Write the result, fname and summary, as CSV.")
@shared.force_option()
@shared.json_option
@shared.run_option
@shared.debug_option
@shared.as_object(PostOptions)
def post(options: PostOptions) -> None:
    """Post-process stored predictions: how many rows each step changes; with --sweep, how it changes the score.

    The predictions are a run's, as the model wrote them, or those of FILEs (CSV or JSONL with fname and summary).
    They are not changed: `eval` and `submit` run the steps of the recipe (`post`) each time. FILEs that are not
    raw predictions in a run's folder get the default steps, unless --steps names others.

    --sweep tries the list without each of its steps, and with each further step in its usual place. It recommends
    adding steps that gain more than chance, and removing steps that cost more than chance. Choose on dev, not on
    test.

    --learn-limits finds, for each decile of DATA's dialogues by length, the limit with which the run's summaries
    score best, when whole sentences beyond it are cut. The limits are stored in runs/NAME/limits.json if they
    improve the score on dialogues on which they were not fitted.

    \b
    Steps, in an order that makes sense:
      clean_characters     emoji, control and invisible characters
      repair_tags          "# person 1 #", "#Peron1#" -> "#Person1#"
      drop_prompt          "요약:" before the summary, a turn or another block after it
      cut_loops            "…하고 …하고 …하고", a token without end
      drop_repeats         a sentence that repeats an earlier one
      repair_speakers      #Person3# of a dialogue of two, where it can only be one of them
      strip                white space around the text
      join_lines           one line of several
      collapse_whitespace  one space of several
      cut_unfinished       an unfinished last sentence, if the generation ended by length
      whole_sentences      the same, even if how the generation ended is not known
      cut_to_limit         whole sentences beyond the limit for a dialogue of such a length (--learn-limits)

    \b
    Examples:
      llm-summ post
      llm-summ post --sweep --run qwen3
      llm-summ post --learn-limits --data dev.csv
      llm-summ post --steps repair_tags,strip,whole_sentences --show 3
      llm-summ post first.csv second.csv --data dev.csv
      llm-summ post ensemble.csv --data test.csv --steps repair_tags,strip --out cleaned.csv
    """
    options.check()
    from llm_summ.evaluate import post_files as room
    from llm_summ.evaluate.limits import learn_run_limits
    from llm_summ.post.steps import named_steps

    steps = None if options.named is None else named_steps(options.named)
    predictions = options.files or shared.open_run_or_latest(options.run_name)
    data = options.source or room.data_of_predictions(predictions)
    if options.learn_limits:
        assert not isinstance(predictions, tuple)
        shared.print_result(learn_run_limits(predictions, data, steps), as_json=options.as_json)
    elif options.sweep:
        _show_all(room.sweep_files(predictions, data, steps), options)
    else:
        posted = room.post_files(
            predictions, data, steps, out=options.out, force=options.force, shown=options.show or 0
        )
        _show_all(posted, options)


def _show_all(results: Iterator[PostedFile | SweptFile], options: PostOptions) -> None:
    """Print each file when it is done; as JSON, all of them together."""
    files = []
    for file in results:
        files.append(file)
        if options.out is not None:
            click.echo(f"{options.out}: written", err=True)
        if not options.as_json:
            click.echo(file.heading)
            shared.print_result(file, as_json=False)
    if options.as_json:
        shared.print_json(files)
