"""The command `sweep`."""

from __future__ import annotations

import click

from llm_summ.cli import options as shared

__all__ = ["sweep"]


@click.command()
@click.argument("data", required=False)
@click.option(
    "--over",
    "fields",
    multiple=True,
    required=True,
    metavar="FIELD=VALUE,VALUE",
    help="Values to try of a generate.* field or of post; may be repeated: every combination is tried.",
)
@shared.engine_option
@click.option(
    "--rows", type=click.IntRange(min=1), metavar="N", help="Score the first N dialogues (all are generated)."
)
@shared.json_option
@shared.run_option
@shared.debug_option
def sweep(
    data: str | None,
    fields: tuple[str, ...],
    engine: str | None,
    rows: int | None,
    as_json: bool,
    run_name: str | None,
) -> None:
    """Try settings of decoding and post-processing on DATA, and compare their scores.

    DATA has references; by default it is the recipe's dev data. Stored predictions are not generated again: a
    text that ended before its limit is used for every limit that it fits into, and other post-processing steps
    need no generation. If it is stopped, the same command resumes it.

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

    settings = grid(fields)
    run = shared.open_run_or_latest(run_name)
    source = data or run.recipe().data.dev
    if source is None:
        raise RecipeError(f"{run.recipe_path}: no data.dev; name data with references: llm-summ sweep dev.csv …")
    result = run_sweep(run, source, settings, engine=engine, rows=rows)
    if as_json:
        shared.print_json(result.to_json())
        return
    headers = (f"{result.rows} dialogues of {result.data}", "R-1", "R-2", "R-L", "final", "95 %", "change", "p")
    shown = [
        (
            setting.name,
            *(f"{getattr(setting.score, name):.2f}" for name in ("rouge1", "rouge2", "rougeL", "final")),
            "" if setting.interval is None else f"{setting.interval.low:.2f} to {setting.interval.high:.2f}",
            "" if setting.versus is None else f"{setting.versus.difference:+.2f}",
            "" if setting.versus is None else f"{setting.versus.p_randomisation:.3f}",
            f"{setting.length_ratio:.2f}",
            str(setting.by_length),
        )
        for setting in result.ranked
    ]
    shared.print_table(TextTable((*headers, "length", "cut off"), shown))
    click.echo(f"signature  {result.ranked[0].signature}")
    click.echo(result.verdict())
