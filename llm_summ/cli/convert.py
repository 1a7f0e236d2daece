"""The command `data convert`: chats, transcripts and corpora as one data file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llm_summ.cli import options as shared

if TYPE_CHECKING:
    from llm_summ.data.preparation import Speakers

__all__ = ["convert"]


@dataclass(frozen=True, slots=True)
class ConvertOptions(shared.ReadingOptions):
    """The options of `convert`, by their names."""

    inputs: tuple[str, ...]
    out: Path
    summaries: Path | None
    speakers: Speakers
    names: Path | None
    mask: bool
    force: bool
    as_json: bool


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT…")
@shared.out_option(
    required=True, help="The file to write: .jsonl or .parquet (turns, times), .csv (texts), or .json."
)
@shared.reading_options("INPUTs")
@click.option(
    "--summaries", type=shared.FILE, metavar="FILE", help="Predictions (fname, summary) that become the summaries."
)
@shared.speakers_option("By default keep.", default="keep")
@shared.names_option
@shared.mask_option
@shared.force_option()
@shared.json_option
@shared.debug_option
@shared.as_object(ConvertOptions)
def convert(options: ConvertOptions) -> None:
    """Write chats, transcripts and corpora as one data file.

    INPUT is a file, a zip or a folder: KakaoTalk and Slack exports, Clova Note, CLOVA Speech, VTT, SRT, Whisper,
    data sets of AI Hub and NIKL, 말평, or text with lines such as "민지: 네". The format is recognised by the
    content. Lines that are no message of anybody are dropped and counted.

    A file that cannot be read is reported, the others are written, and the exit status is 1. A name that ends in
    .json is written in the form of 말평, with the summaries in "output".

    \b
    Examples:
      llm-summ data convert chat.txt --out chat.jsonl
      llm-summ data convert chat.txt --out days.jsonl --by-day
      llm-summ data convert meeting.vtt notes.txt calls.zip --out all.csv
      llm-summ data convert export/ --out slack.jsonl --gap 60 --keep deleted
      llm-summ data convert chat.txt --out safe.jsonl --names names.yaml --speakers tags --mask
      llm-summ data convert talk.log --format text --out talk.jsonl
      llm-summ data convert test.json --summaries predictions.csv --out answers.json
    """
    from llm_summ.data.convert import convert as convert_files
    from llm_summ.data.convert import report_lines
    from llm_summ.data.preparation import Handling

    done = convert_files(
        options.inputs,
        options.out,
        options=options.reading(),
        format_name=options.format_name,
        summaries=options.summaries,
        handling=Handling(options.speakers, shared.read_names(options.names), options.mask),
        force=options.force,
    )
    shared.print_lines(report_lines(done), err=True)
    shared.print_lines(done.errors, label="error", err=True)
    if options.as_json:
        shared.print_json(done)
    else:
        shared.print_lines(done.lines())
    shared.exit_with(1 if done.errors else 0)
