"""The command `eval` with its options, as a user runs it."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import click
import pytest
from command_line import Result, llm_summ, llm_summ_process
from inline_snapshot import snapshot
from messages import plain
from rouge_score.rouge_scorer import RougeScorer
from test_cli import HEAVY

from llm_summ.cli.evaluate import evaluate
from llm_summ.core.word_tokenizers import TokenizerName
from llm_summ.data import read_dialogues
from llm_summ.score import Aggregate, Variant

NOT_FOR_A_PLAIN_SCORE = {"nltk", "rouge_score", "rouge"}


def write(path: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def write_summaries(path: str, rows: Sequence[tuple[str, str]]) -> None:
    write(path, ("fname", "summary"), rows)


def write_systems() -> None:
    """Three systems' summaries of sample:dev: two people's, and the first one's openings."""
    rows = read_dialogues("sample:dev")
    write_summaries("first.csv", [(row.id, row.references[0]) for row in rows])
    write_summaries("second.csv", [(row.id, row.references[1]) for row in rows])
    write_summaries("opening.csv", [(row.id, row.references[0][:20]) for row in rows])


@pytest.fixture
def there(in_tmp: Path) -> Path:
    write_systems()
    return in_tmp


def shown(result: Result) -> str:
    assert (result.code, result.err) == (0, ""), result
    return result.out


def wrong_options(*arguments: str) -> str:
    """Return the error for options that exclude each other."""
    result = llm_summ("eval", "sample:dev", *arguments)
    assert (result.code, result.out) == (2, ""), result
    assert "Traceback" not in result.err
    return plain(" ".join(result.err.partition("Error: ")[2].split()))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["first.csv"],
            snapshot(
                "found first.csv after DATA; put --predictions before a file, or add --compare to compare systems"
            ),
        ),
        (
            ["first.csv", "second.csv"],
            snapshot(
                "found first.csv after DATA; put --predictions before a file, or add --compare to compare systems"
            ),
        ),
        (
            ["first.csv", "--predictions", "second.csv"],
            snapshot(
                "found first.csv after DATA; put --predictions before a file, or add --compare to compare systems"
            ),
        ),
        (
            ["--run", "mine", "--predictions", "first.csv"],
            snapshot("--run and --predictions exclude each other; choose one"),
        ),
        (
            ["--tokens", "words"],
            snapshot(
                "Invalid value for '--tokens': 'words' is not one of 'mecab', 'space', 'character', "
                "'rouge-score', 'rouge-score-stem'."
            ),
        ),
        (
            ["--rouge", "rouge-l"],
            snapshot("Invalid value for '--rouge': 'rouge-l' is not one of 'rouge', 'rouge-score'."),
        ),
        (
            ["--aggregate", "best"],
            snapshot("Invalid value for '--aggregate': 'best' is not one of 'mean', 'max'."),
        ),
        (["--references", "max"], snapshot("No such option '--references'.")),
    ],
)
def test_options_that_do_not_go_together_are_refused(there: Path, arguments: list[str], said: str) -> None:
    assert wrong_options(*arguments) == said


def test_the_score_comes_last_and_alone_if_one_wants_it_brief(there: Path) -> None:
    full = shown(llm_summ("eval", "sample:dev", "--predictions", "second.csv"))
    brief = shown(llm_summ("eval", "sample:dev", "--predictions", "second.csv", "--brief"))
    assert full.endswith(brief)
    assert brief.startswith("sample:dev: 32 dialogues, 3 references each\n")
    assert brief.splitlines()[-1].startswith("signature  ")
    behind = full.removesuffix(brief)
    for told in (
        "The worst rows",
        "dialogue characters",
        "turns",
        "speakers",
        "floors",
        "No speaker tag or mask was",
    ):
        assert told in behind
        assert told not in brief
    assert re.search(
        r"^board      public and private halves \(16 and 16 rows\) differ by [\d.]+ points", brief, re.M
    )


def test_the_intervals_stand_below_the_table(there: Path) -> None:
    arguments = ["eval", "sample:dev", "--predictions", "second.csv"]
    value = json.loads(shown(llm_summ(*arguments, "--json")))
    out = shown(llm_summ(*arguments, "--brief"))
    shown_intervals = ", ".join(
        f"{short} {value['intervals'][name]['low']:.2f}–{value['intervals'][name]['high']:.2f}"
        for short, name in (("R-1", "rouge1"), ("R-2", "rouge2"), ("R-L", "rougeL"), ("final", "final"))
    )
    *_, end_of_table, interval = out.partition("\nboard ")[0].splitlines()
    assert end_of_table.startswith("└")
    assert interval == f"interval   95 %: {shown_intervals} (too narrow, of fewer than 50 rows)"


@pytest.mark.parametrize(
    ("options", "baseline"),
    [
        ([], "rouge 1.0.1"),
        (["--rouge", "rouge-score"], "rouge 1.0.1"),
        (["--tokens", "space"], None),
        (["--aggregate", "max"], None),
        (["--rouge", "rouge-score", "--tokens", "character"], None),
    ],
)
def test_only_the_competitions_metric_is_called_the_baselines(
    there: Path, options: list[str], baseline: str | None
) -> None:
    out = shown(llm_summ("eval", "sample:dev", "--predictions", "second.csv", "--brief", *options))
    found = re.findall(r"^│ (\S+ [\d.]+) \(the competition's baseline\) │", out, re.MULTILINE)
    assert found == ([] if baseline is None else [baseline])
    for package in ("rouge 1.0.1", "rouge-score 0.1.2"):
        assert f"│ {package} " in out


def test_tags_that_were_invented_or_lost_are_a_table(there: Path) -> None:
    rows = read_dialogues("sample:dev")
    texts = {row.id: row.references[0] for row in rows} | {rows[3].id: "#Person9#이 말합니다."}
    write_summaries("tags.csv", list(texts.items()))
    out = shown(llm_summ("eval", "sample:dev", "--predictions", "tags.csv"))
    assert re.search(rf"^│ invented speakers +│ 1 +│ 3\.1% +│ {rows[3].id} #Person9# +│$", out, re.MULTILINE)
    # Only the findings are printed.
    assert "broken tags" not in out
    assert "No speaker tag" not in out


@pytest.mark.parametrize("brief", [[], ["--brief"]])
def test_an_explanation_shows_other_scores_above_the_score(there: Path, brief: list[str]) -> None:
    arguments = ["eval", "sample:dev", "--predictions", "second.csv"]
    score = shown(llm_summ(*arguments, "--brief"))
    out = shown(llm_summ(*arguments, "--explain", *brief))
    assert out.endswith(score)
    explained = out.removesuffix(score)
    assert ("The worst rows" in explained) is not bool(brief)
    assert re.search(r"│ rouge +│ mecab +│ [\d.]+ +│ 100\.00 +│", explained)
    assert "mean: mean over the references" in explained
    value = json.loads(shown(llm_summ(*arguments, "--explain", "--json")))
    assert value["explain"]["variants"][0]["final"] == value["final"]
    assert value["explain"]["warning"].startswith("rouge-score's own tokenizer drops every Hangul letter")
    assert explained.endswith(f"\n{value['explain']['warning']}\n\n")


@pytest.mark.parametrize("option", [["--brief"], ["--json"], []])
def test_warnings_are_on_stderr_whatever_is_printed(there: Path, option: list[str]) -> None:
    rows = read_dialogues("sample:dev")
    write_summaries("gap.csv", [(row.id, row.references[0] if place else "") for place, row in enumerate(rows)])
    arguments = ["eval", "sample:dev", "--predictions", "gap.csv", "--tokens", "rouge-score-stem"]
    result = llm_summ(*arguments, *option)
    assert result.code == 0
    empty, dropped = (line for line in result.err.splitlines() if line.startswith("warning: "))
    assert re.fullmatch(
        r"warning: 1 of 32 summaries are empty \(\w+\): they score 0, and a submission may be refused", empty
    )
    assert plain(dropped) == snapshot(
        "warning: --tokens rouge-score-stem drops every Hangul letter: only digits and Latin words are compared; "
        "use mecab for Korean"
    )
    assert "warning: " not in result.out
    if option == ["--json"]:
        warnings = json.loads(result.out)["warnings"]
        assert warnings == [line.removeprefix("warning: ") for line in (empty, dropped)]


def test_the_choices_are_those_of_the_types() -> None:
    choices = {
        option.name: tuple(option.type.choices)
        for option in evaluate.params
        if isinstance(option.type, click.Choice)
    }
    assert choices == {
        "tokens": get_args(TokenizerName),
        "variant": get_args(Variant),
        "aggregate": get_args(Aggregate),
    }


def test_a_verified_score_says_how_far_the_packages_are_from_it(there: Path) -> None:
    out = shown(llm_summ("eval", "sample:dev", "--predictions", "second.csv", "--brief", "--verify"))
    for package in ("rouge 1.0.1", "rouge-score 0.1.2"):
        [found] = re.findall(
            rf"^verified   {package}: 96 pairs, the largest difference is (\S+)$", out, re.MULTILINE
        )
        assert float(found) < 1e-12


def test_another_metric_is_shown_and_signed(there: Path) -> None:
    options = ["--rouge", "rouge-score", "--tokens", "space", "--aggregate", "max", "--brief"]
    out = shown(llm_summ("eval", "sample:dev", "--predictions", "second.csv", *options))
    assert "ROUGE over words" in out
    assert out.index("rouge-score 0.1.2") < out.index("rouge 1.0.1")
    assert "signature  variant:rouge-score|tok:whitespace|nrefs:3|refs:max|empty:0|" in out
    # One of the references is the summary itself.
    for package in (r"rouge-score 0\.1\.2", r"rouge 1\.0\.1 .*"):
        assert re.search(rf"^│ {package}(?: +│ +100\.00){{4}} │$", out, re.MULTILINE)


def test_english_with_the_stems_of_rouge_score(in_tmp: Path) -> None:
    references = [
        ("The doctors recommend yearly check-ups.", "A doctor recommends a check-up every year."),
        ("They were meeting at 10.", "They meet at 10 o'clock."),
    ]
    summaries = ["The doctor is recommending yearly checkups.", "They met at 10."]
    rows = [(f"dev_{n}", "#Person1#: Hello", *texts) for n, texts in enumerate(references)]
    write("dev.csv", ("fname", "dialogue", "summary1", "summary2"), rows)
    write_summaries("out.csv", [(f"dev_{n}", text) for n, text in enumerate(summaries)])
    arguments = ["eval", "dev.csv", "--predictions", "out.csv", "--rouge", "rouge-score"]
    arguments += ["--tokens", "rouge-score-stem", "--aggregate", "max"]
    value = json.loads(llm_summ(*arguments, "--json").out)
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    theirs = [scorer.score_multi(texts, summary) for texts, summary in zip(references, summaries, strict=True)]
    for name in ("rouge1", "rouge2", "rougeL"):
        assert value[name] == pytest.approx(100 * sum(one[name].fmeasure for one in theirs) / 2)
    out = llm_summ(*arguments, "--brief").out
    assert "ROUGE over rouge-score's own stems" in out
    assert re.search(r"^signature  variant:rouge-score\|tok:rouge-score:[\d.]+,stem\|nrefs:2\|", out, re.MULTILINE)


def test_rows_beside_the_wrong_dialogue_are_warned_of_on_stderr(there: Path) -> None:
    rows = read_dialogues("sample:dev")
    texts = [rows[0].references[0], *(row.references[0] for row in rows[:-1])]
    write_summaries("shifted.csv", [(row.id, text) for row, text in zip(rows, texts, strict=True)])
    result = llm_summ("eval", "sample:dev", "--predictions", "shifted.csv", "--brief")
    assert result.code == 0
    warning, note = result.err.splitlines()
    assert re.match(
        rf"warning: misaligned: 31 summaries, from {rows[1].id} to {rows[-1].id}, fit the dialogues 1 row further "
        r"back \([\d.]+\) better than their own",
        warning,
    )
    assert re.match(r"note: [\d.]+ is near the floor, or below it: one sentence for all dialogues scores", note)
    assert "misaligned" not in result.out
    value = json.loads(llm_summ("eval", "sample:dev", "--predictions", "shifted.csv", "--json").out)
    assert value["warnings"] == value["floors"]["warnings"] == [warning.removeprefix("warning: ")]
    assert value["floors"]["notes"] == [note.removeprefix("note: ")]


def test_a_single_row_is_scored(in_tmp: Path) -> None:
    write("one.csv", ("fname", "dialogue", "summary"), [("dev_7", "#Person1#: 비가 와요.", "비가 온다고 합니다.")])
    write_summaries("a.csv", [("dev_7", "비가 온다고 말합니다.")])
    out = shown(llm_summ("eval", "one.csv", "--predictions", "a.csv"))
    assert "one.csv: 1 dialogue, 1 reference each\n" in out
    assert not re.search("^(interval|board) ", out, re.MULTILINE)


@pytest.mark.parametrize(
    "arguments",
    [["--predictions", "first.csv"], ["--compare", "first.csv", "second.csv"]],
)
def test_a_plain_score_loads_nothing_heavy(there: Path, arguments: list[str]) -> None:
    loaded = modules(llm_summ_process("eval", "sample:dev", *arguments, python=("-X", "importtime")))
    assert (HEAVY | NOT_FOR_A_PLAIN_SCORE) & loaded == set()


@pytest.mark.parametrize(
    ("option", "wanted"),
    [(["--tokens", "rouge-score"], {"rouge_score", "nltk"}), (["--verify"], {"rouge", "rouge_score"})],
)
def test_the_packages_are_loaded_where_they_are_asked_for(
    there: Path, option: list[str], wanted: set[str]
) -> None:
    arguments = ["eval", "sample:dev", "--predictions", "first.csv", *option]
    loaded = modules(llm_summ_process(*arguments, python=("-X", "importtime")))
    assert loaded >= wanted
    assert HEAVY & loaded == set()


def modules(result: Result) -> set[str]:
    """Return the packages that a command has loaded."""
    assert result.code == 0, result
    loaded = set(re.findall(r"^import time:.*\| +([\w.]+)$", result.err, re.MULTILINE))
    assert "llm_summ.cli.evaluate" in loaded
    return {name.partition(".")[0] for name in loaded}
