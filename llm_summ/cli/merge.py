"""The command `merge`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click

from llm_summ.cli.options import (
    as_object,
    data_option,
    debug_option,
    force_option,
    json_option,
    open_run_or_latest,
    print_json,
    print_lines,
    print_table,
    run_option,
)

__all__ = ["merge"]


@dataclass(frozen=True, slots=True)
class MergeOptions:
    """The options of `merge`, by their names."""

    out: Path | None
    dtype: Literal["auto", "bfloat16", "float16", "float32"] | None
    verify: bool | None
    source: str | None
    rows: int
    overrides: tuple[str, ...]
    push_to: str | None
    public: bool
    force: bool
    as_json: bool
    run_name: str | None


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The folder to write to; by default runs/NAME/merged.",
)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "bfloat16", "float16", "float32"]),
    help="By default the recipe's generate.dtype; auto: the best that both device and model support.",
)
@click.option(
    "--verify/--no-verify",
    default=None,
    help="Compare the summaries before and after the merge; by default if the recipe has dev data.",
)
@data_option("Data to verify with; by default the recipe's dev data.")
@click.option(
    "--rows",
    type=click.IntRange(min=2),
    default=64,
    show_default=True,
    help="Number of its dialogues, chosen by the recipe's seed.",
)
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a generate.* field; may be repeated."
)
@click.option(
    "--push",
    "push_to",
    metavar="OWNER/NAME",
    help="Upload it to this repository of the Hugging Face Hub, as private.",
)
@click.option("--public", is_flag=True, help="Make the repository of --push public.")
@force_option("Replace a folder that was not made by this command.")
@json_option
@run_option
@debug_option
@as_object(MergeOptions)
def merge(options: MergeOptions) -> None:
    """Merge a run's adapter into its full-precision base: one folder that transformers and vLLM serve as it is.

    It holds the weights, the tokenizer with its chat template, the stop token, the prompt, the recipe and a model
    card. The verification generates greedily with the base as it was trained on (nf4, say) and the adapter, with
    the full-precision base and the adapter, and with the folder, loaded as a user would.

    \b
    Examples:
      llm-summ merge
      llm-summ merge --run qwen3 --dtype bfloat16 --data dev.csv --rows 100
      llm-summ merge --run qwen3 --out served --no-verify
      llm-summ merge --run qwen3 --push team/summary-qwen3
    """
    if options.public and options.push_to is None:
        raise click.UsageError("--public needs --push, the repository to make public")
    if options.source is not None and options.verify is False:
        raise click.UsageError("--data and --no-verify exclude each other; choose one")
    run = open_run_or_latest(options.run_name)
    from llm_summ.generate.placement import InProcess
    from llm_summ.merge import job
    from llm_summ.merge.card import serve_line
    from llm_summ.merge.verify import texts_folder

    request = job.MergeRequest(
        out=options.out,
        dtype=options.dtype,
        verify=options.verify,
        source=options.source,
        rows=options.rows,
        overrides=options.overrides,
        force=options.force,
        push_to=options.push_to,
        public=options.public,
    )
    merged = job.merge(run, request)
    verification = merged.verification
    if options.as_json:
        print_json(merged.to_json())
    elif verification is not None:
        print_table(verification.table())
        print_lines(verification.lines())
    if verification is not None:
        print_lines(verification.warnings, label="warning", err=True)
        click.echo(f"Texts: {texts_folder(run)}", err=True)
    if merged.pushed is not None:
        click.echo(f"Pushed: {merged.pushed}", err=True)
    serving = serve_line(str(merged.folder), merged.facts["dtype"], on_cpu=not InProcess().has_gpu())
    click.echo(f"Next: {serving}", err=True)
    if not options.as_json:
        click.echo(str(merged.folder))
