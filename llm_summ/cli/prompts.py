"""The command `prompts`."""

from __future__ import annotations

import click

from llm_summ.cli.options import debug_option, json_option, print_json, print_table

__all__ = ["prompts"]


@click.command()
@click.argument("name", required=False)
@click.option(
    "--data",
    "source",
    metavar="PATH",
    help="Fill in the template with a dialogue of this file (sample:dev …): the first, or --id.",
)
@click.option("--id", "identity", metavar="FNAME", help="Which dialogue of --data.")
@json_option
@debug_option
def prompts(name: str | None, source: str | None, identity: str | None, as_json: bool) -> None:
    """List the bundled prompts; with NAME (one of them, or a path) show one.

    A prompt of your own is a copy of one of these, named in the recipe: prompt.template: my-prompt.md

    \b
    Examples:
      llm-summ prompts
      llm-summ prompts expert
      llm-summ prompts expert --data sample:dev
      llm-summ prompts my-prompt.md --data dev.csv --id dev_7
    """
    from llm_summ.core.tables import TextTable
    from llm_summ.prompt import bundled_templates, load_template
    from llm_summ.prompt.show import describe_template, fill_in

    if name is None:
        if source is not None:
            raise click.UsageError("--data needs NAME, the prompt to fill in")
        if identity is not None:
            raise click.UsageError("--id needs NAME and --data")
        templates = bundled_templates()
        if as_json:
            print_json(list(map(describe_template, templates)))
            return
        rows = [
            (template.name, template.description, ", ".join(sorted(template.variables))) for template in templates
        ]
        print_table(TextTable(("prompt", "what it is", "variables"), rows, figures=False))
        click.echo("Show one: llm-summ prompts expert", err=True)
        return
    if identity is not None and source is None:
        raise click.UsageError("--id needs --data, the file that has it")
    template = load_template(name)
    if source is None:
        if as_json:
            print_json(describe_template(template))
        else:
            click.echo(template.path.read_text(encoding="utf-8-sig"), nl=False)
        return
    messages = fill_in(template, source, identity)
    if as_json:
        print_json(messages)
    else:
        for message in messages:
            click.echo(f"[{message['role']}]\n{message['content']}\n")
