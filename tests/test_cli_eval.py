"""The command `eval` with its options, as a user runs it."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from rouge_score.rouge_scorer import RougeScorer
from test_cli import HEAVY, Result, llm_summ, refused

from llm_summ.data import read_dialogues
from llm_summ.score import score_corpus

NOT_FOR_A_PLAIN_SCORE = {"nltk", "rouge_score", "rouge"}


def write(path: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def write_summaries(path: str, rows: Sequence[tuple[str, str]]) -> None:
    write(path, ("fname", "summary"), rows)


@pytest.fixture
def there(in_tmp: Path) -> Path:
    """A folder with three systems' summaries of sample:dev: two people's, and the first one's openings."""
    rows = read_dialogues("sample:dev")
    write_summaries("first.csv", [(row.id, row.references[0]) for row in rows])
    write_summaries("second.csv", [(row.id, row.references[1]) for row in rows])
    write_summaries("opening.csv", [(row.id, row.references[0][:20]) for row in rows])
    return in_tmp


def shown(result: Result) -> str:
    assert (result.code, result.err) == (0, ""), result
    return result.out


def wrong_options(*arguments: str) -> str:
    """What is said of options that do not go together."""
    result = llm_summ("eval", "sample:dev", *arguments)
    assert (result.code, result.out) == (2, ""), result
    assert "Traceback" not in result.err
    return " ".join(result.err.partition("Error: ")[2].split())


def test_systems_are_compared_with_the_first_of_them(there: Path) -> None:
    out = shown(llm_summ("eval", "sample:dev", "--compare", "first.csv", "second.csv", "opening.csv"))
    value = json.loads(shown(llm_summ("eval", "sample:dev", "--compare", "--json", "first.csv", "second.csv")))
    first, second = value["systems"]
    assert (first["name"], second["name"], value["rows"]) == ("first.csv", "second.csv", 32)
    [versus] = value["versus_first"]
    assert versus["difference"] == pytest.approx(second["final"] - first["final"])
    assert versus["wins"] + versus["ties"] + versus["losses"] == 32
    assert re.search(rf"│ first\.csv .* {first['final']:.2f} │", out)
    assert re.search(rf"│ second\.csv .* {second['final']:.2f} .* {versus['difference']:+.2f} ", out)
    for told in ("95 % interval", "p boot", "p rand", "wins/ties/losses", "dialogue characters"):
        assert told in out
    assert "with fewer than 50 rows intervals are too narrow" in out
    assert re.search(r"^signature  variant:rouge\|", out, re.MULTILINE)


def test_a_comparison_scores_by_the_metric_that_is_asked_for(there: Path) -> None:
    options = ["--rouge", "rouge-score", "--tokens", "character", "--references", "max"]
    arguments = ["eval", "sample:dev", "--compare", "opening.csv", "second.csv", "--json", *options]
    value = json.loads(shown(llm_summ(*arguments)))
    for system in value["systems"]:
        alone = json.loads(
            shown(llm_summ("eval", "sample:dev", "--predictions", system["name"], "--json", *options))
        )
        assert system["final"] == alone["final"]
        assert system["interval"] == alone["interval"]
        assert "variant:rouge-score|tok:character|nrefs:3|refs:max|" in system["signature"]


def test_the_same_file_twice_is_said(there: Path) -> None:
    out = shown(llm_summ("eval", "sample:dev", "--compare", "first.csv", "first.csv"))
    assert "first.csv and first.csv are the same: all 32 summaries are equal" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["first.csv"], "found first.csv behind DATA; to compare systems, add --compare"),
        (["first.csv", "second.csv"], "found first.csv behind DATA; to compare systems, add --compare"),
        (["first.csv", "--predictions", "second.csv"], "found first.csv behind DATA; to compare systems, add"),
        (
            ["--run", "mine", "--predictions", "first.csv"],
            "--run and --predictions exclude each other; choose one",
        ),
        (["--tokens", "words"], "Invalid value for '--tokens': 'words' is not one of 'mecab', 'space'"),
        (["--rouge", "rouge-l"], "Invalid value for '--rouge'"),
        (["--references", "best"], "Invalid value for '--references'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(there: Path, arguments: list[str], said: str) -> None:
    assert wrong_options(*arguments).startswith(said)


@pytest.mark.parametrize(
    "option", [["--run", "mine"], ["--predictions", "first.csv"], ["--brief"], ["--explain"], ["--verify"]]
)
def test_a_comparison_takes_no_option_of_a_single_system(there: Path, option: list[str]) -> None:
    assert wrong_options("--compare", "first.csv", "second.csv", *option) == (
        "--compare takes its systems behind DATA: leave out --run, --predictions, --brief, --explain and --verify"
    )


@pytest.mark.parametrize(
    ("systems", "said"),
    [
        (["first.csv"], "--compare: found 1 system; expected at least two runs or prediction files"),
        (["first.csv", "nowhere.csv"], "nowhere.csv: no such file; expected predictions as CSV or JSONL"),
        (["first.csv", "nowhere"], "nowhere: no such run in runs; runs here: none"),
        (["first.csv", "short.csv"], "short.csv: lacks 31 of the 32 ids of sample:dev (dev_1, dev_2, "),
    ],
)
def test_systems_that_cannot_be_compared_are_one_line(there: Path, systems: list[str], said: str) -> None:
    write_summaries("short.csv", [("dev_0", "요약")])
    assert said in refused(llm_summ("eval", "sample:dev", "--compare", *systems))


def test_the_score_comes_last_and_alone_if_one_wants_it_brief(there: Path) -> None:
    full = shown(llm_summ("eval", "sample:dev", "--predictions", "second.csv"))
    brief = shown(llm_summ("eval", "sample:dev", "--predictions", "second.csv", "--brief"))
    assert full.endswith(brief)
    assert brief.startswith("sample:dev: 32 dialogues, 3 references each\n")
    assert brief.splitlines()[-1].startswith("signature  ")
    behind = full.removesuffix(brief)
    for told in ("The worst rows", "dialogue characters", "turns", "speakers", "floors", "lost speakers"):
        assert told in behind
        assert told not in brief
    assert "95 % interval" in brief
    assert "a random 16 rows and the other 16" in brief


def test_an_explanation_shows_other_scores_and_warns_on_stderr(there: Path) -> None:
    arguments = ["eval", "sample:dev", "--predictions", "second.csv", "--brief"]
    plain = shown(llm_summ(*arguments))
    result = llm_summ(*arguments, "--explain")
    assert result.code == 0
    [warning] = result.err.splitlines()
    assert warning.startswith("warning: rouge-score's own tokenizer drops every Hangul letter")
    assert warning not in result.out
    assert result.out.endswith(plain)
    table = result.out.removesuffix(plain)
    assert re.search(r"│ rouge +│ mecab +│ [\d.]+ +│ 100\.00 +│", table)
    assert "mean: mean over the references" in table
    value = json.loads(shown(llm_summ(*arguments, "--explain", "--json")))
    assert value["explain"]["variants"][0]["final"] == value["final"]
    assert value["explain"]["warning"] == warning.removeprefix("warning: ")


def test_a_verified_score_says_how_far_the_packages_are_from_it(there: Path) -> None:
    out = shown(llm_summ("eval", "sample:dev", "--predictions", "second.csv", "--brief", "--verify"))
    for package in ("rouge 1.0.1", "rouge-score 0.1.2"):
        [found] = re.findall(
            rf"^verified   {package}: 96 pairs, the largest difference is (\S+)$", out, re.MULTILINE
        )
        assert float(found) < 1e-12


def test_another_metric_is_shown_and_signed(there: Path) -> None:
    options = ["--rouge", "rouge-score", "--tokens", "space", "--references", "max", "--brief"]
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
    arguments += ["--tokens", "rouge-score-stem", "--references", "max"]
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
    assert value["floors"]["warnings"] == [warning.removeprefix("warning: ")]
    assert value["floors"]["notes"] == [note.removeprefix("note: ")]


def test_a_single_row_is_scored_and_compared(in_tmp: Path) -> None:
    write("one.csv", ("fname", "dialogue", "summary"), [("dev_7", "#Person1#: 비가 와요.", "비가 온다고 합니다.")])
    write_summaries("a.csv", [("dev_7", "비가 온다고 말합니다.")])
    write_summaries("b.csv", [("dev_7", "비가 온다고 합니다.")])
    out = shown(llm_summ("eval", "one.csv", "--predictions", "a.csv"))
    assert "interval" not in out
    assert not re.search("^board ", out, re.MULTILINE)
    compared = shown(llm_summ("eval", "one.csv", "--compare", "a.csv", "b.csv"))
    final = score_corpus(["비가 온다고 말합니다."], [["비가 온다고 합니다."]]).final
    assert re.search(rf"│ a\.csv .* {final:.2f} ", compared)
    assert "public lead" not in compared


@pytest.mark.parametrize(
    "arguments",
    [["--predictions", "first.csv"], ["--compare", "first.csv", "second.csv"]],
)
def test_a_plain_score_loads_nothing_heavy(there: Path, arguments: list[str]) -> None:
    loaded = modules(llm_summ("eval", "sample:dev", *arguments, python=("-X", "importtime")))
    assert (HEAVY | NOT_FOR_A_PLAIN_SCORE) & loaded == set()


@pytest.mark.parametrize(
    ("option", "wanted"),
    [(["--tokens", "rouge-score"], {"rouge_score", "nltk"}), (["--verify"], {"rouge", "rouge_score"})],
)
def test_the_packages_are_loaded_where_they_are_asked_for(
    there: Path, option: list[str], wanted: set[str]
) -> None:
    arguments = ["eval", "sample:dev", "--predictions", "first.csv", *option]
    loaded = modules(llm_summ(*arguments, python=("-X", "importtime")))
    assert loaded >= wanted
    assert HEAVY & loaded == set()


def modules(result: Result) -> set[str]:
    """The packages that a command has loaded."""
    assert result.code == 0, result
    loaded = set(re.findall(r"^import time:.*\| +([\w.]+)$", result.err, re.MULTILINE))
    assert "llm_summ.cli.evaluate" in loaded
    return {name.partition(".")[0] for name in loaded}
