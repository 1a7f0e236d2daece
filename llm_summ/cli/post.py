"""The command `post`: what post-processing does to stored predictions, and what it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from llm_summ.cli.options import debug_option, json_option, open_run_or_latest, print_json, print_table, run_option

if TYPE_CHECKING:
    from llm_summ.data import Dialogue
    from llm_summ.post import PostReport
    from llm_summ.post.sweep import Gain, Sweep
    from llm_summ.recipe import PostStep
    from llm_summ.run import Run

__all__ = ["post"]


class _Raw(NamedTuple):
    """Predictions before any step."""

    path: Path
    texts: list[str]
    cut_off: list[bool | None]
    steps: list[PostStep]


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
@click.option(
    "--out",
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    help="Write the result, fname and summary, as CSV.",
)
@json_option
@run_option
@debug_option
def post(
    files: tuple[Path, ...],
    source: str | None,
    named: str | None,
    show: int | None,
    sweep: bool,
    out: Path | None,
    as_json: bool,
    run_name: str | None,
) -> None:
    """Post-process stored predictions: how many rows each step changes, and with --sweep what it is worth.

    The predictions are a run's, as the model wrote them, or those of FILEs (CSV or JSONL with fname and summary).
    They stay as they are: `eval` and `submit` run the steps of the recipe (`post`) each time. FILEs that are no
    raw predictions of a run get the default steps, unless --steps names others.

    --sweep tries the list without each of its steps, and with each other one in its place. It recommends to add
    what gains more than chance, and to take out what costs more than chance; choose on dev, not on test.

    \b
    Steps, in an order that makes sense:
      clean_characters     emoji, control and invisible characters
      repair_tags          "# person 1 #" -> "#Person1#"
      drop_prompt          "요약:" before the summary, a turn or another block behind it
      cut_loops            "…하고 …하고 …하고", a token without end
      drop_repeats         a sentence that stands there before
      repair_speakers      #Person3# of a dialogue of two, where it can only be one of them
      strip                white space around the text
      join_lines           one line of several
      collapse_whitespace  one space of several
      cut_unfinished       an unfinished last sentence, if the generation ended by length
      whole_sentences      the same, also where that is not known

    \b
    Examples:
      llm-summ post
      llm-summ post --sweep --run qwen3
      llm-summ post --steps repair_tags,strip,whole_sentences --show 3
      llm-summ post first.csv second.csv --data dev.csv
      llm-summ post ensemble.csv --data test.csv --steps repair_tags,strip --out cleaned.csv
    """
    if files and run_name is not None:
        raise click.UsageError("--run and FILE exclude each other; choose one")
    if out is not None and len(files) > 1:
        raise click.UsageError(f"--out takes the result of one FILE, found {len(files)}; name one")
    if sweep and (show is not None or out is not None):
        raise click.UsageError("--sweep scores: leave out --show and --out")
    from llm_summ.data import read_dialogues
    from llm_summ.post import post_process

    if out is not None:
        _check_out(out)
    steps = None if named is None else _steps(named)
    run = None if files else open_run_or_latest(run_name)
    data = source or _dev(files, run)
    dialogues = read_dialogues(data, references=sweep)
    found = (
        [_of_run(run, data, dialogues)] if run is not None else [_of_file(one, data, dialogues) for one in files]
    )
    texts = [dialogue.text for dialogue in dialogues]
    values: list[dict[str, Any]] = []
    for raw in found:
        chosen = raw.steps if steps is None else steps
        if sweep:
            swept = _sweep(raw, dialogues, chosen)
            values.append({"predictions": str(raw.path), "data": data, **swept.to_json()})
            if not as_json:
                _show_sweep(raw, data, swept)
            continue
        report = post_process(raw.texts, raw.cut_off, chosen, texts)
        values.append(_report_json(raw, data, dialogues, report))
        if out is not None:  # before anything is printed: whoever reads that may stop
            _write(out, dialogues, report)
        if not as_json:
            _show_report(raw, dialogues, report, show or 0)
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
    from llm_summ.errors import RunError
    from llm_summ.evaluate.summaries import run_of

    owner = run or run_of(files[0])
    if owner is None:
        raise click.UsageError(f"--data is missing: name the data that {files[0]} is of")
    dev = owner.recipe().data.dev
    if dev is None:
        raise RunError(f"{owner.recipe_path}: names no data.dev; say what the predictions are of: --data FILE")
    return dev


def _of_run(run: Run, data: str, dialogues: Sequence[Dialogue]) -> _Raw:
    from llm_summ.evaluate.summaries import run_summaries

    return _raw(run_summaries(run, data, dialogues).path, run, dialogues)


def _of_file(path: Path, data: str, dialogues: Sequence[Dialogue]) -> _Raw:
    from llm_summ.evaluate.summaries import file_summaries, run_of
    from llm_summ.recipe import Recipe

    summaries = file_summaries(path, data, dialogues)
    run = run_of(path)
    if run is not None:
        return _raw(path, run, dialogues)
    return _Raw(path, list(summaries.texts), [None] * len(dialogues), Recipe.model_fields["post"].default)


def _raw(path: Path, run: Run, dialogues: Sequence[Dialogue]) -> _Raw:
    """A run's predictions, which were found to be of the dialogues, as the model wrote them."""
    from llm_summ.data import dialogue_hash
    from llm_summ.generate.store import PredictionFile

    there = {(one.fname, one.dialogue): one for one in PredictionFile(path).read()}
    own = [there[dialogue.id, dialogue_hash(dialogue.text)] for dialogue in dialogues]
    cut_off: list[bool | None] = [one.finish_reason == "length" for one in own]
    return _Raw(path, [one.summary for one in own], cut_off, run.recipe().post)


def _sweep(raw: _Raw, dialogues: Sequence[Dialogue], steps: Sequence[PostStep]) -> Sweep:
    from llm_summ.post.sweep import Gain, sweep
    from llm_summ.score.metric import COMPETITION
    from llm_summ.score.significance import paired

    def score(rows: Sequence[int], texts: Sequence[str]) -> list[float]:
        references = [dialogues[row].references for row in rows]
        return [row.final for row in COMPETITION.score(texts, references).per_row]

    def compare(before: Sequence[float], after: Sequence[float]) -> Gain:
        found = paired(before, after)
        return Gain(found.difference, found.low, found.high, found.p_randomisation)

    return sweep(raw.texts, raw.cut_off, [one.text for one in dialogues], steps, score, compare)


def _show_sweep(raw: _Raw, data: str, swept: Sweep) -> None:
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
    click.echo(f"{raw.path} on {data}: {swept.final:.2f} with [{', '.join(swept.steps)}]")
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


def _show_report(raw: _Raw, dialogues: Sequence[Dialogue], report: PostReport, most: int) -> None:
    from llm_summ.evaluate.worst import printable

    click.echo(f"{raw.path}: {len(raw.texts):,} summaries")
    print_table(["step", "rows changed"], [[step, f"{rows:,}"] for step, rows in report.changed.items()])
    for step in report.changed if most else ():
        for change in [one for one in report.changes if one.step == step][:most]:
            click.echo(f"{step}  {printable(dialogues[change.row].id)}")
            click.echo(f"  before  {_visible(change.before)}")
            click.echo(f"  after   {_visible(change.after)}")


def _visible(text: str) -> str:
    """A text as a whole on one line, with its ends, and with what is not seen as escapes."""
    shown = (letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
    return f"«{''.join(shown)}»"


def _report_json(raw: _Raw, data: str, dialogues: Sequence[Dialogue], report: PostReport) -> dict[str, Any]:
    return {
        "predictions": str(raw.path),
        "data": data,
        "rows": len(raw.texts),
        "changed": report.changed,
        "changes": [
            {"step": one.step, "fname": dialogues[one.row].id, "before": one.before, "after": one.after}
            for one in report.changes
        ],
    }


def _check_out(out: Path) -> None:
    """Refuse, before any work, what cannot be written."""
    from llm_summ.data.source import check_folder
    from llm_summ.errors import DataError

    if out.suffix.lower() != ".csv":
        raise DataError(f"--out {out}: expected a name that ends in .csv")
    check_folder(out.parent, f"a folder for {out.name}")
    if out.exists():
        raise DataError(f"--out {out}: is there already; choose another name, nothing is overwritten")


def _write(out: Path, dialogues: Sequence[Dialogue], report: PostReport) -> None:
    from llm_summ.data.table import Record, Table
    from llm_summ.data.write import write_table

    pairs = zip(dialogues, report.texts, strict=True)
    records = [Record(at, {"fname": one.id, "summary": text}) for at, (one, text) in enumerate(pairs, 2)]
    write_table(Table(out, ("fname", "summary"), records), out)
    click.echo(f"{out}: written", err=True)
