"""The command `post`: what post-processing does to stored predictions, and what it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llm_summ.cli.options import debug_option, json_option, open_run_or_latest, print_json, print_table, run_option

if TYPE_CHECKING:
    from llm_summ.data import Dialogue
    from llm_summ.post.sweep import Gain, StepSweep
    from llm_summ.predictions.summaries import RawSummaries, Summaries
    from llm_summ.recipe import PostStep
    from llm_summ.runs.run import Run

__all__ = ["post"]


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE…]", type=click.Path(path_type=Path, readable=False))
@click.option(
    "--data", "source", metavar="PATH", help="What the summaries are of; by default the recipe's dev data."
)
@click.option(
    "--steps", "named", metavar="A,B,C", help="These steps instead of the recipe's list; '' for none; see below."
)
@click.option(
    "--show", type=click.IntRange(min=1), metavar="N", help="Show N texts of each step before and after."
)
@click.option("--sweep", is_flag=True, help="Score DATA with and without every step.")
@click.option("--learn-limits", is_flag=True, help="Find how long summaries may be, for the step cut_to_limit.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    help="Write the result, fname and summary, as CSV.",
)
@click.option("--force", is_flag=True, help="Replace another file at --out.")
@json_option
@run_option
@debug_option
def post(
    files: tuple[Path, ...],
    source: str | None,
    named: str | None,
    show: int | None,
    sweep: bool,
    learn_limits: bool,
    out: Path | None,
    force: bool,
    as_json: bool,
    run_name: str | None,
) -> None:
    """Post-process stored predictions: how many rows each step changes, and with --sweep what it is worth.

    The predictions are a run's, as the model wrote them, or those of FILEs (CSV or JSONL with fname and summary).
    They stay as they are: `eval` and `submit` run the steps of the recipe (`post`) each time. FILEs that are no
    raw predictions in a run's folder get the default steps, unless --steps names others.

    --sweep tries the list without each of its steps, and with each other one in its place. It recommends to add
    what gains more than chance, and to take out what costs more than chance; choose on dev, not on test.

    --learn-limits finds, for each decile of DATA's dialogues by length, the limit with which the run's summaries
    score best, when whole sentences beyond it are cut. The limits are kept in runs/NAME/limits.json if they gain
    anything on dialogues on which they were not found.

    \b
    Steps, in an order that makes sense:
      clean_characters     emoji, control and invisible characters
      repair_tags          "# person 1 #", "#Peron1#" -> "#Person1#"
      drop_prompt          "요약:" before the summary, a turn or another block behind it
      cut_loops            "…하고 …하고 …하고", a token without end
      drop_repeats         a sentence that stands there before
      repair_speakers      #Person3# of a dialogue of two, where it can only be one of them
      strip                white space around the text
      join_lines           one line of several
      collapse_whitespace  one space of several
      cut_unfinished       an unfinished last sentence, if the generation ended by length
      whole_sentences      the same, also where that is not known
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
    if files and run_name is not None:
        raise click.UsageError("--run and FILE exclude each other; choose one")
    if out is not None and len(files) > 1:
        raise click.UsageError(f"--out takes the result of one FILE, found {len(files)}; name one")
    if force and out is None:
        raise click.UsageError("--force is for --out")
    if sweep and (show is not None or out is not None):
        raise click.UsageError("--sweep scores: leave out --show and --out")
    if learn_limits and (sweep or show is not None or out is not None or files):
        raise click.UsageError("--learn-limits is for a run: leave out FILE, --sweep, --show and --out")
    from llm_summ.data import read_dialogues
    from llm_summ.data.source import check_out, resolve_source
    from llm_summ.evaluate.limits import learn_run_limits
    from llm_summ.predictions.summaries import raw_file_summaries, raw_run_summaries

    steps = None if named is None else _steps(named)
    run = None if files else open_run_or_latest(run_name)
    data = source or _dev(files, run)
    if out is not None:
        check_out(out, inputs=[*files, resolve_source(data)], force=force)
    dialogues = read_dialogues(data, references=sweep or learn_limits)
    if learn_limits:
        assert run is not None
        learnt = learn_run_limits(run, data, dialogues, steps)
        if as_json:
            print_json(learnt.to_json())
            return
        print_table(*learnt.table())
        click.echo("\n".join(learnt.lines()))
        return
    files_or_run = (
        [raw_run_summaries(run, data, dialogues)]
        if run is not None
        else [raw_file_summaries(file, data, dialogues) for file in files]
    )
    values: list[dict[str, Any]] = []
    for raw in files_or_run:
        chosen = _own_steps(raw) if steps is None else steps
        if sweep:
            swept = _sweep(raw, dialogues, chosen)
            values.append({"predictions": str(raw.path), "data": data, **swept.to_json()})
            if not as_json:
                _show_sweep(raw.path, data, swept)
            continue
        summaries = raw.finish(chosen)
        values.append(_report_json(data, dialogues, summaries))
        if out is not None:  # before anything is printed: whoever reads that may stop
            check_out(out, inputs=[*files, resolve_source(data)], force=force)
            _write(out, dialogues, summaries)
        if not as_json:
            _show_report(dialogues, summaries, show or 0)
    if as_json:
        print_json(values)


def _steps(named: str) -> list[PostStep]:
    """The steps of ``--steps``."""
    from difflib import get_close_matches
    from typing import cast

    from llm_summ.post import STEPS

    names = [name.strip() for name in named.split(",") if name.strip()]
    for name in names:
        if name not in STEPS:
            near = get_close_matches(name, STEPS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the steps are {', '.join(STEPS)}"
            raise click.UsageError(f"--steps: found {name!r}, no step; {hint}")
    return cast("list[PostStep]", names)


def _dev(files: Sequence[Path], run: Run | None) -> str:
    """The data that the predictions are of, where they are not named."""
    from llm_summ.core.errors import RunError
    from llm_summ.predictions.raw_file import run_of

    owner = run or run_of(files[0])
    if owner is None:
        raise click.UsageError(f"--data is missing: name the data that {files[0]} is of")
    dev = owner.recipe().data.dev
    if dev is None:
        raise RunError(f"{owner.recipe_path}: names no data.dev; say what the predictions are of: --data FILE")
    return dev


def _own_steps(raw: RawSummaries) -> Sequence[PostStep]:
    """Return the steps of the recipe of their run, or else the default ones."""
    from llm_summ.recipe import Recipe

    default: list[PostStep] = Recipe.model_fields["post"].default
    return default if raw.run is None else raw.run.recipe().post


def _sweep(raw: RawSummaries, dialogues: Sequence[Dialogue], steps: Sequence[PostStep]) -> StepSweep:
    from llm_summ.evaluate.limits import final_scores
    from llm_summ.post.limits import limits_for
    from llm_summ.post.sweep import Gain, sweep
    from llm_summ.score.significance import paired

    def compare(before: Sequence[float], after: Sequence[float]) -> Gain:
        difference = paired(before, after)
        return Gain(difference.difference, difference.low, difference.high, difference.p_randomisation)

    texts = [dialogue.text for dialogue in dialogues]
    has_limits = raw.run is not None and raw.run.limits_path.is_file()
    limits = limits_for(raw.run, ["cut_to_limit"] if has_limits else steps, texts)
    cut_off = raw.cut_off or [None] * len(texts)
    return sweep(raw.texts, cut_off, texts, steps, final_scores(dialogues), compare, limits)


def _show_sweep(path: Path, data: str, swept: StepSweep) -> None:
    rows = [
        [
            one.step,
            "listed" if one.listed else "",
            f"{one.rows:,}",
            f"{one.final_without:.2f}",
            f"{one.final_with:.2f}",
            *(_gain(one.gain) if one.rows else ("", "", "")),
        ]
        for one in swept.worths
    ]
    click.echo(f"{path} on {data}: {swept.final:.2f} with [{', '.join(swept.steps)}]")
    print_table(["step", "", "rows", "without", "with", "more", "95 % interval", "p"], rows)
    for what, steps in (("gain", swept.added), ("cost", swept.removed)):
        if steps:
            click.echo(f"{what} more than chance: {', '.join(steps)}")
    if swept.added or swept.removed:
        click.echo(f"for the recipe, and for runs/NAME/recipe.yaml: post: [{', '.join(swept.recommended)}]")
        if len(swept.added) + len(swept.removed) > 1:
            click.echo("each was tried alone; score the whole list: llm-summ post --sweep --steps …")
    else:
        tried = sum(one.rows > 0 for one in swept.worths)
        why = f" (p below 0.05 / {tried}, the steps that change anything)" if tried else ""
        click.echo(f"no step gains or costs more than chance here{why}: leave the list as it is")


def _gain(gain: Gain) -> tuple[str, str, str]:
    p = "<0.001" if gain.p < 0.001 else f"{gain.p:.3f}"
    return f"{gain.difference:+.2f}", f"{gain.low:+.2f} to {gain.high:+.2f}", p


def _show_report(dialogues: Sequence[Dialogue], summaries: Summaries, most: int) -> None:
    from llm_summ.evaluate.worst import printable

    click.echo(f"{summaries.path}: {len(summaries.texts):,} summaries")
    print_table(["step", "rows changed"], [[step, f"{rows:,}"] for step, rows in summaries.post.items()])
    for step in summaries.post if most else ():
        for change in [change for change in summaries.changes if change.step == step][:most]:
            click.echo(f"{step}  {printable(dialogues[change.row].id)}")
            click.echo(f"  before  {_visible(change.before)}")
            click.echo(f"  after   {_visible(change.after)}")


def _visible(text: str) -> str:
    """A text as a whole on one line, with its ends, and with what is not seen as escapes."""
    shown = (letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
    return f"«{''.join(shown)}»"


def _report_json(data: str, dialogues: Sequence[Dialogue], summaries: Summaries) -> dict[str, Any]:
    return {
        "predictions": str(summaries.path),
        "data": data,
        "rows": len(summaries.texts),
        "changed": dict(summaries.post),
        "changes": [
            {
                "step": change.step,
                "fname": dialogues[change.row].id,
                "before": change.before,
                "after": change.after,
            }
            for change in summaries.changes
        ],
    }


def _write(out: Path, dialogues: Sequence[Dialogue], summaries: Summaries) -> None:
    from llm_summ.data.table import Record, Table
    from llm_summ.data.write import write_table

    pairs = zip(dialogues, summaries.texts, strict=True)
    records = [Record(at, {"fname": one.id, "summary": text}) for at, (one, text) in enumerate(pairs, 2)]
    write_table(Table(out, ("fname", "summary"), records), out)
    click.echo(f"{out}: written", err=True)
