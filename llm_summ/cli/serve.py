"""The command `serve`: summaries over HTTP."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llm_summ.cli import options as shared

if TYPE_CHECKING:
    from llm_summ.serve.limits import ServiceSettings
    from llm_summ.serve.served_model import ServedModel

__all__ = ["serve"]


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """The options of `serve`, by their names."""

    run_names: tuple[str, ...]
    models: tuple[str, ...]
    engine: str | None
    prompt: str | None
    host: str
    port: int
    no_key: bool
    max_requests: int
    max_body: float
    timeout: float
    feedback: Path | None
    overrides: tuple[str, ...]


@click.command()
@click.option(
    "--run",
    "run_names",
    multiple=True,
    metavar="NAME",
    help="A run; by default the latest. Repeat it for several.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="DIR|ID",
    help="A folder that `llm-summ merge` has written; or a chat model without a training: its folder or hub id. "
    "May be repeated.",
)
@shared.engine_option
@click.option("--prompt", metavar="PROMPT", help="Use this prompt (a name or a file) instead of the trained one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="The port to listen on; 0 takes a free one.",
)
@click.option("--no-key", is_flag=True, help="Need no key, even if other machines can reach the service.")
@click.option(
    "--max-requests",
    type=click.IntRange(min=1, max=1000),
    default=64,
    show_default=True,
    metavar="N",
    help="Requests at a time; further ones get 429.",
)
@click.option(
    "--max-body",
    type=click.FloatRange(min=0, min_open=True, max=300),
    default=20.0,
    show_default=True,
    metavar="MB",
    help="The largest request; larger ones get 413.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=600.0,
    show_default=True,
    metavar="S",
    help="Seconds of a request; then it gets 504.",
)
@click.option(
    "--feedback",
    type=shared.FILE,
    metavar="FILE",
    help="Take feedback, and append it to this file (JSONL for preference training).",
)
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a generate.* field; may be repeated."
)
@shared.debug_option
@shared.as_object(ServeOptions)
def serve(options: ServeOptions) -> None:
    """Serve summaries over HTTP: a page for people, an API for programs, and OpenAI's chat API.

    The page is at the address that is printed. The API has POST /v1/summaries, /v1/dialogues and
    /v1/chat/completions, GET /v1/models, /health and /metrics; docs/serve.md describes them. Without --run it
    serves the latest run, and without any run the embedded model.

    With LLM_SUMM_API_KEY in the environment, clients need this key. Another --host than this machine's own needs
    it, too. Ctrl-C or SIGTERM finishes the requests that are under way.

    \b
    Examples:
      llm-summ serve
      llm-summ serve --run qwen3 --port 9000
      llm-summ serve --run qwen3 --run solar --engine vllm
      llm-summ serve --model Qwen/Qwen3-8B --prompt meeting
      LLM_SUMM_API_KEY=… llm-summ serve --host 0.0.0.0
      llm-summ serve --feedback feedback.jsonl
    """
    from llm_summ.core.optional_packages import require
    from llm_summ.serve.limits import ServiceSettings

    settings = ServiceSettings(
        host=options.host,
        port=options.port,
        key=_key(options.no_key),
        is_open=options.no_key,
        max_requests=options.max_requests,
        max_body=int(options.max_body * 1e6),
        timeout=options.timeout,
        feedback=options.feedback,
    )
    settings.check()
    require("fastapi", "uvicorn", "python_multipart", "prometheus_client", extra="serve", why="`llm-summ serve`")
    from llm_summ.serve.server import run_service

    run_service(settings, lambda: _opened(options), lambda url: _announce(url, settings))


def _key(no_key: bool) -> str | None:
    """Return the key of the environment; None: there is none.

    Raises:
        InputError: no client could send it, or it was chosen to need no key.
    """
    from llm_summ.core.errors import InputError
    from llm_summ.serve.limits import KEY_VARIABLE

    key = os.environ.get(KEY_VARIABLE, "").strip()  # a file's content ends with a line break
    if key and no_key:
        raise InputError(f"--no-key: {KEY_VARIABLE} is set in the environment, too; choose one of them")
    if not (key.isascii() and key.isprintable()):
        raise InputError(f"{KEY_VARIABLE}: has characters that an HTTP header cannot have; use printable ASCII")
    return key or None


def _opened(options: ServeOptions) -> Sequence[ServedModel]:
    """Start all models.

    Raises:
        InputError: one is unavailable, or two have the same name.
        GenerationError: an engine refuses to start.
    """
    from llm_summ.core.errors import RunError
    from llm_summ.generate.model_choice import choose_model
    from llm_summ.serve.served_model import ServedModel

    choices = [choose_model(run_name=name) for name in options.run_names]
    choices += [choose_model(model=name) for name in options.models]
    choices = choices or [choose_model()]
    names = [choice.name for choice in choices]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise RunError(f"{repeated[0]}: two models have this name; rename the folder of one, or serve one of them")
    opened = []
    for choice in choices:
        summarizer = choice.open(
            prompt=options.prompt,
            engine=options.engine,
            overrides=options.overrides,
            expected=options.max_requests,
            live=True,
        )
        opened.append(ServedModel(choice.name, summarizer, choice.run))
    for model in opened:
        click.echo(f"Model: {model.name} (engine {model.engine_name})", err=True)
    return opened


def _announce(url: str, settings: ServiceSettings) -> None:
    """Print where the service is and what is on."""
    click.echo(f"Settings: {settings.described()}", err=True)
    click.echo(f"Service: {url}")
