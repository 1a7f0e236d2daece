"""The commands: parse, call one function, print. No logic lives here, and nothing heavy is imported."""

from __future__ import annotations

import click

from llm_summ import __version__
from llm_summ.cli.check import check
from llm_summ.cli.data import data
from llm_summ.cli.evaluate import evaluate
from llm_summ.cli.merge import merge
from llm_summ.cli.options import (
    debug_option,
    engine_option,
    load_named_recipe,
    open_run_or_latest,
    set_option,
)
from llm_summ.cli.post import post
from llm_summ.cli.prompts import prompts
from llm_summ.cli.runs import runs
from llm_summ.cli.select import select
from llm_summ.cli.serve import serve
from llm_summ.cli.submit import submit
from llm_summ.cli.summarize import summarize
from llm_summ.cli.sweep import sweep

__all__ = ["cli"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="llm-summ")
def cli() -> None:
    """Fine-tune a language model to summarise Korean dialogue, and know its score.

    \b
    llm-summ data check train.csv       find problems in the data
    llm-summ check recipes/qlora.yaml   find what would make a run fail
    llm-summ sft recipes/qlora.yaml     train an adapter
    llm-summ generate --engine vllm     write summaries of data files with it
    llm-summ summarize talk.txt         text in, summary out
    llm-summ serve                      the same over HTTP, with a page
    llm-summ eval dev.csv               score them
    llm-summ sweep                      try settings of decoding and post-processing
    llm-summ post                       clean them up; measure each step
    llm-summ select                     choose among several summaries of a dialogue
    llm-summ submit                     write a submission
    llm-summ merge                      make one folder that vLLM serves
    llm-summ runs                       see all runs and their scores
    """


@cli.command()
@click.argument("recipe", required=False)
@set_option
@click.option(
    "--run",
    "run_name",
    metavar="NAME",
    help="Name of the new run, by default the recipe's and the time; or --resume's.",
)
@click.option("--resume", is_flag=True, help="Resume a stopped training: the latest, or --run's.")
@click.option("--dry-run", is_flag=True, help="Check everything and print the plan; train nothing.")
@click.option("--force", is_flag=True, help="Train even if the memory estimate exceeds the device.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    metavar="M",
    help="Train as many steps as are expected to fit into M minutes, evaluations included (train.max_minutes).",
)
@click.option(
    "--devices",
    type=click.IntRange(min=1),
    metavar="N",
    help="Train on N GPUs of this machine, or on a CPU in N processes.",
)
@debug_option
def sft(
    recipe: str | None,
    overrides: tuple[str, ...],
    run_name: str | None,
    resume: bool,
    dry_run: bool,
    force: bool,
    minutes: float | None,
    devices: int | None,
) -> int | None:
    """Fine-tune a model with RECIPE.

    RECIPE is a file, or the name of a bundled recipe. The checks of `llm-summ check` run first. The result is in
    runs/NAME, and runs/latest points to it. To resume a training that was stopped or killed, use --resume. Its
    result is the same as that of an uninterrupted training.

    \b
    Examples:
      llm-summ sft recipes/qlora.yaml
      llm-summ sft recipes/qlora.yaml --dry-run
      llm-summ sft recipes/qlora.yaml --minutes 5
      llm-summ sft recipes/qlora.yaml --run lr1e-4 --set train.learning_rate=1e-4
      llm-summ sft recipes/qlora-qwen3-8b.yaml --set data.train=my/train.csv
      llm-summ sft --resume
      llm-summ sft --resume --run lr1e-4
      llm-summ sft recipes/qlora-qwen3-8b.yaml --devices 4
      torchrun --nnodes 2 --nproc-per-node 8 … -m -- llm_summ sft recipes/qlora-qwen3-8b.yaml
    """
    if recipe is None and not resume:
        raise click.UsageError(
            "RECIPE is missing; name one, such as recipes/qlora.yaml, or resume a training with --resume"
        )
    if resume and dry_run:
        raise click.UsageError("--resume and --dry-run exclude each other; choose one")
    if resume and force:
        raise click.UsageError(
            "--force is for a new training; --resume does not check memory again; leave out --force"
        )
    if minutes is not None:
        overrides = (*overrides, f"train.max_minutes={minutes}")
    if recipe is None and overrides:
        raise click.UsageError(
            "--set and --minutes change a RECIPE; a resumed training keeps the recipe that it was started with"
        )
    from llm_summ.recipe import find_recipe, load_recipe
    from llm_summ.runs.run import RUNS
    from llm_summ.train.distributed import joined
    from llm_summ.train.launch import is_started, launch, refuse_launcher

    if devices is not None:
        refuse_launcher(devices)
    if devices is not None and devices > 1 and not dry_run and not is_started():
        if recipe is not None:
            load_recipe(find_recipe(recipe), overrides)  # an invalid recipe fails before any process starts
        return launch(devices)
    with joined() as processes:
        loaded = processes.agree(lambda: None if recipe is None else load_named_recipe(recipe, overrides))
        from llm_summ.train import job

        if resume:
            done = job.resume(RUNS, run_name, None if loaded is None else loaded[1], processes)
        else:
            assert loaded is not None
            path, fields = loaded
            if dry_run:
                lines = job.dry_run(
                    fields, runs=RUNS, name=run_name, stem=path.stem, force=force, devices=devices or 1
                )
                click.echo("\n".join(lines))
                return None
            done = job.sft(fields, runs=RUNS, name=run_name, stem=path.stem, force=force, processes=processes)
        click.echo("Next: llm-summ generate", err=True)
        click.echo(str(done.run.path))
    return None


@cli.command()
@engine_option
@click.option(
    "--data", "sources", multiple=True, metavar="PATH", help="A data file; by default the recipe's test and dev."
)
@click.option(
    "--untuned", is_flag=True, help="Generate with the base model alone, without the adapter, as a baseline."
)
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a generate.* field; may be repeated."
)
@click.option(
    "--prompt",
    "prompts",
    multiple=True,
    metavar="PROMPT",
    help="Use this prompt (a name or a file) instead of the trained one; repeat it for several.",
)
@click.option(
    "--run",
    "run_names",
    multiple=True,
    metavar="NAME",
    help="The run; by default the latest. Repeat it for several.",
)
@debug_option
def generate(
    engine: str | None,
    sources: tuple[str, ...],
    untuned: bool,
    overrides: tuple[str, ...],
    prompts: tuple[str, ...],
    run_names: tuple[str, ...],
) -> None:
    """Generate a summary for every dialogue, with a run's adapter and prompt.

    Raw predictions are written to runs/NAME/predictions/. Several summaries of a dialogue (n above 1) and those of
    other prompts are written to runs/NAME/candidates/. If it is stopped, the same command resumes it.

    \b
    Examples:
      llm-summ generate
      llm-summ generate --engine vllm --data test.csv
      llm-summ generate --untuned --data dev.csv
      llm-summ generate --engine hf --set generate.base_quantization=nf4
      llm-summ generate --set generate.n=8 --set generate.temperature=0.7
      llm-summ generate --prompt expert --prompt english --data test.csv
      llm-summ generate --run qwen3 --run solar --data test.csv
      llm-summ generate --engine openai --set generate.server.url=http://127.0.0.1:8000/v1
    """
    opened = [open_run_or_latest(name) for name in run_names or (None,)]
    from llm_summ.generate.job import prepare

    # Prepare all runs first: an error in the last one is reported before the first one generates.
    prepared = [
        prepare(
            run,
            sources=list(sources),
            engine_name=engine,
            untuned=untuned,
            overrides=overrides,
            prompts=prompts,
        )
        for run in opened
    ]
    data = sources[0] if sources else None
    for generation, run, name in zip(prepared, opened, run_names or (None,), strict=True):
        files = generation.run()
        for file in files:
            click.echo(str(file.path))
        of_run = f" --run {name}" if name else ""
        recipe = run.recipe()
        if len(opened) > 1:
            click.echo("Next: llm-summ select FILE… --data test.csv --out chosen.csv", err=True)
        elif any(file.path.parent == run.candidates for file in files):
            test = data or recipe.data.test or "test.csv"
            click.echo(f"Next: llm-summ select --data {test}{of_run} --out chosen.csv", err=True)
        else:
            click.echo(f"Next: llm-summ eval {data or recipe.data.dev or 'dev.csv'}{of_run}", err=True)


for command in (evaluate, check, prompts, data, post, submit, runs, merge, sweep, select, summarize, serve):
    cli.add_command(command)
