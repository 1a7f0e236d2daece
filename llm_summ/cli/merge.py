"""The command `merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from llm_summ.cli import options as shared

__all__ = ["merge"]


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
@shared.data_option(help="Data to verify with; by default the recipe's dev data.")
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
@shared.force_option(help="Replace a folder that was not made by this command.")
@shared.json_option
@shared.run_option
@shared.debug_option
def merge(run_name: str | None, as_json: bool, **options: Any) -> None:
    """Merge a run's adapter into its full-precision base: one folder that transformers and vLLM serve as it is.

    It holds the weights (with train.weights: full those that were trained), the tokenizer with its chat template,
    the stop token, the prompt, the recipe and a model card. The verification of an adapter generates greedily with
    the base as it was trained on (nf4, say) and the adapter, with the full-precision base and the adapter, and
    with the folder, loaded as a user would.

    \b
    Examples:
      llm-summ merge
      llm-summ merge --run qwen3 --dtype bfloat16 --data dev.csv --rows 100
      llm-summ merge --run qwen3 --out served --no-verify
      llm-summ merge --run qwen3 --push team/summary-qwen3
    """
    from llm_summ.generate.placement import InProcess
    from llm_summ.merge import job
    from llm_summ.merge.card import serve_line
    from llm_summ.merge.verify import texts_folder

    request = job.MergeRequest(**options)
    if request.public and request.push_to is None:
        raise click.UsageError("--public needs --push, the repository to make public")
    if request.source is not None and request.verify is False:
        raise click.UsageError("--data and --no-verify exclude each other; choose one")
    run = shared.open_run_or_latest(run_name)
    merged = job.merge(run, request)
    verification = merged.verification
    if as_json:
        shared.print_json(merged.to_json())
    elif verification is not None:
        shared.print_table(verification.table())
        shared.print_lines(verification.lines())
    if verification is not None:
        shared.print_lines(verification.warnings, label="warning", err=True)
        click.echo(f"Texts: {texts_folder(run)}", err=True)
    if merged.pushed is not None:
        click.echo(f"Pushed: {merged.pushed}", err=True)
    if merged.is_served:
        serving = serve_line(str(merged.folder), merged.facts["dtype"], on_cpu=not InProcess().has_gpu())
        click.echo(f"Next: {serving}", err=True)
    if not as_json:
        click.echo(str(merged.folder))
