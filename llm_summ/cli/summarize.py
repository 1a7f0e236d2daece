"""The command `summarize`: text in, summary out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llm_summ.cli import options as shared

if TYPE_CHECKING:
    from llm_summ.data.inputs import Input
    from llm_summ.data.preparation import Handling, Speakers
    from llm_summ.generate.length_choice import Length
    from llm_summ.generate.long_dialogues import Long
    from llm_summ.generate.model_choice import ModelChoice
    from llm_summ.generate.summarize_files import FileSummaries
    from llm_summ.generate.summarizer import Summarizer
    from llm_summ.generate.summary_folder import SummaryFolder
    from llm_summ.runs.run import Run

__all__ = ["summarize"]


@dataclass(frozen=True, slots=True)
class SummarizeOptions(shared.ReadingOptions):
    """The arguments and options of `summarize`, by their names."""

    files: tuple[str, ...]
    run_name: str | None
    model: str | None
    prompt: str | None
    engine: str | None
    long: Long
    length: Length | None
    best_of: int
    speakers: Speakers | None
    names: Path | None
    mask: bool
    unmask: bool
    out: Path | None
    as_json: bool
    overrides: tuple[str, ...]

    def check(self) -> None:
        """Raise a UsageError for options that exclude each other, or if there is nothing to summarise."""
        if self.run_name is not None and self.model is not None:
            raise click.UsageError("--run and --model exclude each other; choose one")
        if not self.files and sys.stdin.isatty():
            raise click.UsageError("FILE is missing; name one or several, or - for standard input")
        if len(set(self.files)) < len(self.files):
            name = next(name for name in self.files if self.files.count(name) > 1)
            raise click.UsageError(f"{name}: found twice; name each FILE once")
        if self.unmask and not self.mask:
            raise click.UsageError("--unmask needs --mask; add it, so that there are masks to replace")
        self.reading()

    def settings(self, candidates: int) -> tuple[str, ...]:
        """Return the changes of recipe fields, those for several candidates included."""
        from llm_summ.generate.length_choice import SAMPLING

        if candidates == 1:
            return self.overrides
        sampling = {"n": candidates, **SAMPLING}
        return (*(f"generate.{name}={value}" for name, value in sampling.items()), *self.overrides)


def _length(ctx: click.Context, param: click.Parameter, value: str | None) -> Length | None:
    """Return the value of --length: a number of characters above 0, or a name."""
    from llm_summ.generate.length_choice import LENGTH_NAMES

    if value is None:
        return None
    if value.isdecimal() and int(value) > 0:
        return int(value)
    for name in LENGTH_NAMES:
        if value == name:
            return name
    raise click.BadParameter(
        f"found {value!r}; expected a number of characters above 0, or {', '.join(LENGTH_NAMES)}"
    )


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE…|-]")
@shared.run_option
@click.option(
    "--model",
    metavar="DIR|ID",
    help="A folder that `llm-summ merge` has written; or a chat model without a training: its folder or hub id.",
)
@click.option("--prompt", metavar="PROMPT", help="Use this prompt (a name or a file) instead of the trained one.")
@shared.engine_option
@click.option(
    "--long",
    type=click.Choice(["list", "merge", "truncate"]),
    default="list",
    show_default=True,
    help="A dialogue that is too long for the prompt is summarised in parts. list: one below the other; merge: "
    "one summary of them; truncate: no parts, turns are dropped.",
)
@click.option(
    "--length",
    metavar="N|short|medium|long",
    callback=_length,
    help="About N characters (of each part), by the prompt if it asks for a length; otherwise the nearest of four "
    "candidates, or of those of --best-of.",
)
@click.option(
    "--best-of",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Write N candidates for each summary, and take the one that agrees best with the others.",
)
@shared.speakers_option("By default tags for a run that was trained on tags.")
@shared.names_option
@shared.mask_option
@click.option("--unmask", is_flag=True, help="Put the personal data back into the summaries; with --mask.")
@shared.reading_options("FILEs")
@click.option(
    "--out",
    type=shared.FILE,
    metavar="FOLDER",
    help="Write a file for each FILE there; those that are finished are skipped.",
)
@shared.json_option
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a generate.* field; may be repeated."
)
@shared.debug_option
@shared.as_object(SummarizeOptions)
def summarize(options: SummarizeOptions) -> int:
    """Summarise dialogues: text in, summary out.

    FILE is a text with a turn on each line (`민지: 네`), a chat, a transcript, or a data file (CSV, JSONL,
    parquet); - or no FILE is standard input. The model is started once for all files. Without --run it is that of
    the latest run, and without any run the embedded model. A FILE that cannot be read is reported, the others are
    summarised, and the exit code is 1.

    \b
    Examples:
      llm-summ summarize talk.txt
      pbpaste | llm-summ summarize -
      llm-summ summarize calls/*.txt --out summaries
      llm-summ summarize meeting.txt --long merge
      llm-summ summarize KakaoTalk.txt --by-day
      llm-summ summarize chat.txt --names names.yaml --mask --unmask
      llm-summ summarize meeting.txt --model Qwen/Qwen3-8B --prompt meeting
      llm-summ summarize test.csv --run qwen3 --best-of 8 --json
    """
    options.check()
    from llm_summ.data.inputs import STDIN, read_inputs
    from llm_summ.generate.model_choice import choose_model
    from llm_summ.generate.summarize_files import summarize_inputs

    choice = choose_model(options.run_name, options.model)
    prompt = options.prompt or choice.prompt
    candidates = _candidates(options, choice.run, prompt)
    inputs = read_inputs(options.files or (STDIN,), options.format_name, options.reading())
    handling = _handling(options, choice.run, prompt, inputs)
    folder = None if options.out is None else _folder(options, choice, prompt, handling)
    if folder is not None:
        inputs = folder.prepare(inputs)
    by_name = {item.name: item for item in inputs}
    printed = _Printed([item.name for item in inputs], as_json=options.as_json)
    status = 0
    if inputs:
        start = _starter(options, choice, candidates)
        for found in summarize_inputs(inputs, start, long=options.long, length=options.length, handling=handling):
            if found.error:
                shared.print_lines((f"llm-summ: {line}" for line in found.error.splitlines()), err=True)
                status = 1
            elif folder is not None:
                click.echo(str(folder.write(by_name[found.file], found)))
            if folder is None:
                printed.add(found)
    if folder is None:
        printed.end()
    return status


def _candidates(options: SummarizeOptions, run: Run | None, prompt: str) -> int:
    """Return the number of candidates; refuse a length without a way to it before a model is loaded."""
    from llm_summ.core.engine_registry import AUTO
    from llm_summ.generate.length_choice import CANDIDATES, check_candidates
    from llm_summ.generate.settings import with_engine
    from llm_summ.prompt import load_template

    if options.length is None or load_template(prompt).uses("length"):
        return options.best_of
    engine = options.engine or AUTO
    if run is not None:
        engine = run.recipe(with_engine(options.engine, options.overrides)).generate.engine
    if engine != AUTO:
        check_candidates(engine, options.length, prompt)
    return CANDIDATES if options.best_of == 1 else options.best_of


def _handling(options: SummarizeOptions, run: Run | None, prompt: str, inputs: Sequence[Input]) -> Handling:
    """Return what is done with names and personal data; print the names that belong to no one."""
    from llm_summ.data.preparation import Handling, unused_lines
    from llm_summ.prompt import load_template
    from llm_summ.prompt.saved_prompt import reads_tags

    speakers = options.speakers
    if speakers is None:
        speakers = "tags" if reads_tags(run, load_template(prompt)) else "keep"
    handling = Handling(speakers, shared.read_names(options.names), options.mask, options.unmask)
    dialogues = [dialogue for item in inputs for dialogue in item.dialogues]
    shared.print_lines(unused_lines(handling, dialogues), err=True)
    return handling


def _folder(options: SummarizeOptions, choice: ModelChoice, prompt: str, handling: Handling) -> SummaryFolder:
    """Return the folder of --out, with everything that the summaries depend on."""
    from llm_summ.core.files import file_sha256
    from llm_summ.generate.summary_folder import SummaryFolder
    from llm_summ.models.adapter import MERGED_FROM
    from llm_summ.prompt import load_template

    assert options.out is not None
    made_by: list[str] = [choice.base]
    if (run := choice.run) is not None:
        paths = (run.recipe_path, run.manifest_path, run.path / MERGED_FROM)
        made_by = [file_sha256(path) for path in paths if path.is_file()]
    settings = {
        "model": made_by,
        "prompt": load_template(prompt).sha256,
        "set": options.settings(options.best_of),
        "long": options.long,
        "length": options.length,
        "speakers": handling.speakers,
        "names": dict(handling.names),
        "mask": [handling.mask, handling.unmask],
    }
    return SummaryFolder(options.out, settings, options.as_json)


def _starter(options: SummarizeOptions, choice: ModelChoice, candidates: int) -> Callable[[int], Summarizer]:
    """Return a function that starts the engine for a number of dialogues."""

    def start(expected: int) -> Summarizer:
        settings = options.settings(candidates)
        return choice.open(prompt=options.prompt, engine=options.engine, overrides=settings, expected=expected)

    return start


class _Printed:
    """Prints summaries in the order of the files, as soon as those before them are there; JSON at the end."""

    def __init__(self, names: Sequence[str], *, as_json: bool) -> None:
        self._names, self._as_json = names, as_json
        self._found: dict[str, FileSummaries] = {}
        self._printed = 0
        self._is_first = True

    def add(self, found: FileSummaries) -> None:
        self._found[found.file] = found
        while self._printed < len(self._names) and self._names[self._printed] in self._found:
            if not self._as_json:
                self._print(self._found[self._names[self._printed]])
            self._printed += 1

    def end(self) -> None:
        if self._as_json:
            shared.print_json([found for name in self._names if not (found := self._found[name]).error])

    def _print(self, found: FileSummaries) -> None:
        several = len(found.summaries) > 1
        for summary in found.summaries:
            if several or len(self._names) > 1:
                name = f"{found.file}: {summary.id}" if several else found.file
                click.echo(f"{'' if self._is_first else chr(10)}== {name} ==")
            click.echo(summary.text)
            self._is_first = False
