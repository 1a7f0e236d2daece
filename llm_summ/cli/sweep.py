"""The command `sweep`."""

from __future__ import annotations

import click

from llm_summ.cli.options import (
    debug_option,
    engine_option,
    json_option,
    open_run_or_latest,
    print_json,
    print_table,
    run_option,
)

__all__ = ["sweep"]


@click.command()
@click.argument("data", required=False)
@click.option(
    "--over",
    "asked",
    multiple=True,
    required=True,
    metavar="FIELD=VALUE,VALUE",
    help="Values to try of a generate.* field or of post; may be repeated: every combination is tried.",
)
@engine_option
@click.option("--rows", type=click.IntRange(min=1), help="Score the first so many dialogues (all are generated).")
@json_option
@run_option
@debug_option
def sweep(
    data: str | None,
    asked: tuple[str, ...],
    engine: str | None,
    rows: int | None,
    as_json: bool,
    run_name: str | None,
) -> None:
    """Try settings of decoding and post-processing on DATA, and show what each is worth.

    DATA has references; by default it is the recipe's dev data. What is stored already is not generated again:
    texts that ended by themselves serve for every limit that they keep to, and other steps of post-processing
    need no generation at all. If it is stopped, the same command goes on from there.

    \b
    Examples:
      llm-summ sweep dev.csv --over generate.max_new_tokens=80,120,160
      llm-summ sweep dev.csv --over generate.max_new_tokens=120,160 --over 'post=[strip],[strip,cut_unfinished]'
      llm-summ sweep --engine hf --over generate.beams=1,4 --over generate.no_repeat_ngram=0,2
      llm-summ sweep --over 'post=[strip],[strip,join_lines,cut_unfinished]'
    """
    from llm_summ.core.errors import RecipeError
    from llm_summ.core.tables import TextTable
    from llm_summ.sweep import grid
    from llm_summ.sweep import sweep as run_sweep

    settings = grid(asked)
    run = open_run_or_latest(run_name)
    source = data or run.recipe().data.dev
    if source is None:
        raise RecipeError(f"{run.recipe_path}: no data.dev; name data with references: llm-summ sweep dev.csv …")
    found = run_sweep(run, source, settings, engine=engine, rows=rows)
    if as_json:
        print_json(found.to_json())
        return
    headers = (f"{found.rows} dialogues of {found.data}", "R-1", "R-2", "R-L", "final", "95 %", "change", "p")
    shown = [
        (
            one.name,
            *(f"{getattr(one.score, name):.2f}" for name in ("rouge1", "rouge2", "rougeL", "final")),
            "" if one.interval is None else f"{one.interval.low:.2f} to {one.interval.high:.2f}",
            "" if one.versus is None else f"{one.versus.difference:+.2f}",
            "" if one.versus is None else f"{one.versus.p_randomisation:.3f}",
            f"{one.length_ratio:.2f}",
            str(one.by_length),
        )
        for one in found.ranked
    ]
    print_table(TextTable((*headers, "length", "cut off"), shown))
    click.echo(f"signature  {found.ranked[0].signature}")
    click.echo(found.verdict())
