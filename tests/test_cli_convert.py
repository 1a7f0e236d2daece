"""`data convert` as a user runs it: one file, many, archives, folders; and the other commands on such files."""

from __future__ import annotations

import csv
import json
import re
import shutil
import zipfile
from pathlib import Path

import pytest
from command_line import llm_summ, refused
from inline_snapshot import snapshot
from messages import plain

from llm_summ.data import Dialogue, read_dialogues
from llm_summ.data.masks import masked

FILES = Path(__file__).parent / "data" / "formats"


def take(*names: str) -> list[str]:
    """Copy composed files into the current folder."""
    for name in names:
        shutil.copy(FILES / name, name)
    return list(names)


def rows(path: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def test_a_chat_becomes_jsonl(in_tmp: Path) -> None:
    take("windows-ko.txt")
    done = llm_summ("data", "convert", "windows-ko.txt", "--out", "chat.jsonl")
    assert (done.code, done.out) == (0, "chat.jsonl: 3 dialogues, 16 turns\n")
    assert plain(done.err) == snapshot(
        "windows-ko.txt: kakaotalk: 3 dialogues, 16 turns; dropped 4 system lines, 2 placeholders, 1 "
        "deleted message\n"
    )
    first, *_ = rows("chat.jsonl")
    assert first["fname"] == "windows-ko_2026-03-02_1801"
    assert first["turns"][3] == {  # type: ignore[index]
        "speaker": "민지",
        "text": "어디요?\n합계 줄인가요?\n\n아니면 제목?",
        "start": 120.0,
    }
    assert refused(llm_summ("data", "convert", "windows-ko.txt", "--out", "chat.jsonl")) == snapshot(
        "--out chat.jsonl: is there already; choose another name, or replace it: --force"
    )
    assert llm_summ("data", "convert", "windows-ko.txt", "--out", "chat.jsonl", "--force").code == 0


@pytest.mark.parametrize(
    ("options", "lengths"),
    [
        (["--gap", "3"], [7, 4, 2, 3]),
        (["--by-day"], [11, 5]),
        (["--whole"], [16]),
        (["--whole", "--keep", "system", "--keep", "deleted", "--keep", "placeholder"], [23]),
    ],
)
def test_how_a_chat_is_cut(in_tmp: Path, options: list[str], lengths: list[int]) -> None:
    take("windows-ko.txt")
    assert llm_summ("data", "convert", "windows-ko.txt", "--out", "o.jsonl", *options).code == 0
    assert [len(dialogue.turns) for dialogue in read_dialogues("o.jsonl")] == lengths
    assert llm_summ("data", "convert", "windows-ko.txt", "--out", "p.jsonl", "--gap", "3", "--whole").code == 2


def test_many_files_and_a_broken_one(in_tmp: Path) -> None:
    take("ios.txt", "vtt-zoom.vtt", "whisperx.json")
    Path("broken.json").write_text('{"segments": [', encoding="utf-8")
    names = ["ios.txt", "broken.json", "nowhere.txt", "vtt-zoom.vtt", "whisperx.json"]
    done = llm_summ("data", "convert", *names, "--out", "all.jsonl", "--json")
    assert done.code == 1
    report = json.loads(done.out)
    assert report["dialogues"] == len(rows("all.jsonl")) == 5
    errors = {file["path"]: file["error"] for file in report["files"] if file["error"]}
    assert set(errors) == {"broken.json", "nowhere.txt"}
    assert [line for line in done.err.splitlines() if line.startswith("error: ")] == [
        f"error: {errors['broken.json']}",
        f"error: {errors['nowhere.txt']}",
    ]
    assert llm_summ("data", "convert", "broken.json", "nowhere.txt", "--out", "none.jsonl").code == 2
    assert not Path("none.jsonl").exists()


def test_files_of_one_name_get_ids_that_differ(in_tmp: Path) -> None:
    for folder in ("a", "b"):
        Path(folder).mkdir()
        Path(folder, "talk.txt").write_text("민지: 네\n도윤: 예\n", encoding="utf-8")
    assert llm_summ("data", "convert", "a/talk.txt", "b/talk.txt", "--out", "o.jsonl").code == 0
    assert [row["fname"] for row in rows("o.jsonl")] == ["talk", "talk-2"]
    take("nikl.json")
    shutil.copy("nikl.json", "again.json")
    done = llm_summ("data", "convert", "nikl.json", "again.json", "--out", "p.jsonl")
    assert (done.code, len(rows("p.jsonl"))) == (1, 1)
    assert plain(done.err) == snapshot(
        "reading 2/2 (… s)\n"
        "nikl.json: nikl: 1 dialogue, 11 turns; dropped 1 empty utterance, 1 empty dialogue\n"
        "error: again.json: duplicate id SDRW2000000001.1, first in nikl.json; ids must differ\n"
    )


def test_csv_holds_texts(in_tmp: Path) -> None:
    take("ios.txt", "malpyeong.json")
    assert llm_summ("data", "convert", "ios.txt", "malpyeong.json", "--out", "o.csv").code == 0
    with Path("o.csv").open(encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["fname", "dialogue", "date", "summary", "topic"]
    assert len(lines) == 6
    texts = [dialogue.text for dialogue in read_dialogues(["ios.txt", "malpyeong.json"])]
    assert [dialogue.text for dialogue in read_dialogues("o.csv")] == texts


def test_answers_are_handed_in_in_the_form_of_malpyeong(in_tmp: Path) -> None:
    take("malpyeong.json")
    ids = [dialogue.id for dialogue in read_dialogues("malpyeong.json")]
    lines = [f"{name},요약 {number}" for number, name in enumerate(ids)]
    Path("p.csv").write_text("\n".join(["fname,summary", *lines]), encoding="utf-8")
    done = llm_summ("data", "convert", "malpyeong.json", "--summaries", "p.csv", "--out", "answers.json")
    assert done.code == 0, done
    before, after = (
        json.loads(Path(name).read_text(encoding="utf-8")) for name in ("malpyeong.json", "answers.json")
    )
    assert [row["output"] for row in after] == ["요약 0", "요약 1", "요약 2"]
    assert [(row["id"], row["input"]) for row in after] == [(row["id"], row["input"]) for row in before]
    Path("p.csv").write_text("\n".join(["fname,summary", *lines[1:]]), encoding="utf-8")
    done = llm_summ("data", "convert", "malpyeong.json", "--summaries", "p.csv", "--out", "more.json")
    assert refused(done) == snapshot(
        "p.csv: no summary of nikluge-2024-일상 대화 요약-train-000001 (1 of 3 dialogues); expected one for each"
    )


def test_another_format_in_the_form_of_malpyeong(in_tmp: Path) -> None:
    take("aihub-calls.json")
    assert llm_summ("data", "convert", "aihub-calls.json", "--out", "m.json").code == 0
    [before], [after] = read_dialogues("aihub-calls.json"), read_dialogues("m.json")
    assert after == before


def test_a_slack_export_as_a_folder(in_tmp: Path) -> None:
    with zipfile.ZipFile(FILES / "slack-export.zip") as archive:
        archive.extractall("export")
    assert llm_summ("data", "convert", "export", "--out", "a.jsonl").code == 0
    assert llm_summ("data", "convert", str(FILES / "slack-export.zip"), "--out", "b.jsonl").code == 0
    assert rows("a.jsonl") == rows("b.jsonl")
    [found] = json.loads(llm_summ("data", "stats", "export", "--json").out)
    assert found["rows"] == 3
    assert found["measures"]["minutes"]["max"] == 1375


def test_a_folder_with_files_of_several_formats(in_tmp: Path) -> None:
    Path("all/deep").mkdir(parents=True)
    shutil.copy(FILES / "aihub-archive.zip", "all/deep")
    shutil.copy(FILES / "clova-note.txt", "all")
    Path("all/half.json").write_text('{"segments": [{"start"', encoding="utf-8")
    Path("all/sound.m4a").write_bytes(b"\x00")
    Path("all/rows.csv").write_text("fname,dialogue\na,민지: 네\n", encoding="utf-8")
    done = llm_summ("data", "convert", "all", "--out", "o.jsonl", "--json")
    assert done.code == 1, done
    report = json.loads(done.out)
    assert [row["fname"] for row in rows("o.jsonl")] == ["clova-note", "1f0c-1", "1f0c-2"]
    assert [file["path"] for file in report["files"] if file["error"]] == ["all/half.json"]
    assert {"other file": 4} in [file["dropped"] for file in report["files"]]
    assert refused(llm_summ("data", "stats", "all")) == snapshot(
        "all: is a folder; expected a CSV, JSONL, parquet, chat or transcript file"
    )


def test_a_format_is_named(in_tmp: Path) -> None:
    Path("talk.log").write_text("민지: 네\n도윤: 예\n", encoding="utf-8")
    assert refused(llm_summ("data", "convert", "talk.log", "--out", "o.jsonl")) == snapshot(
        "talk.log: found a name that ends in '.log'; expected .csv, .jsonl, .parquet, .txt, .json, .vtt, "
        ".srt, .zip"
    )
    assert llm_summ("data", "convert", "talk.log", "--format", "text", "--out", "o.jsonl").code == 0
    done = llm_summ("data", "convert", "talk.log", "--format", "kakaotak", "--out", "p.jsonl")
    assert refused(done) == snapshot(
        "--format kakaotak: unknown; did you mean kakaotalk? Expected kakaotalk, kakaotalk-mac, "
        "clova-note, clova-speech, vtt, srt, whisper, slack, nikl, malpyeong, aihub-dialogue, aihub-582, "
        "aihub-464, aihub-calls, aihub-finance, text"
    )
    done = llm_summ("data", "convert", "talk.log", "--format", "kakaotalk", "--out", "p.jsonl")
    assert refused(done) == snapshot("talk.log: found no message; expected lines such as [민지] [오후 6:01] 네")


def test_our_own_files_are_joined_with_others(in_tmp: Path) -> None:
    take("text.txt")
    assert llm_summ("data", "convert", "sample:dev", "text.txt", "--out", "o.jsonl").code == 0
    assert read_dialogues("o.jsonl") == [*read_dialogues("sample:dev"), *read_dialogues("text.txt")]


@pytest.mark.parametrize("name", ["windows-ko.txt", "vtt-teams.vtt", "aihub-dialogue.json", "slack-export.zip"])
def test_other_commands_take_the_file_as_it_is(in_tmp: Path, name: str) -> None:
    take(name)
    before = read_dialogues(name)
    [found] = json.loads(llm_summ("data", "stats", name, "--json").out)
    assert found["rows"] == len(before)
    assert found["measures"]["minutes"]["max"] > 0
    report = json.loads(llm_summ("data", "check", name, "--json", "--fix", "fixed.jsonl").out)
    assert "no-speaker" not in {finding["kind"] for finding in report["findings"]}
    assert len(read_dialogues("fixed.jsonl")) == len(before)


def test_turns_with_odd_times_are_found(in_tmp: Path) -> None:
    turns = [{"speaker": "A", "text": "네", "start": 9}, {"speaker": "B", "text": "예\n아니요", "start": 3}]
    Path("a.jsonl").write_text(json.dumps({"fname": "a", "turns": turns}), encoding="utf-8")
    report = json.loads(llm_summ("data", "check", "a.jsonl", "--json").out)
    assert [finding["kind"] for finding in report["findings"]] == ["turn-times"]


MARKED = re.compile(r"<\w+:([^<>]+)>")
SECRETS = "010-3921-7745|01039217745|kim@mail"


def talk_with_references() -> None:
    """Write a JSONL file with names, personal data in every place, and several references."""
    row = {
        "fname": "a",
        "turns": [
            {"speaker": "참석자 1", "text": "제 번호는 010-3921-7745예요", "start": 0, "end": 4.5},
            {"speaker": "010-3921-7745", "text": "문자 할게요, 참석자 1 님"},
            {"speaker": "참석자 2", "text": "kim@mail.com도 돼요"},
        ],
        "summary1": "참석자 1이 01039217745를 알려 준다.",
        "summary2": "참석자 2는 kim@mail.com을 쓴다.",
        "topic": "010-3921-7745",
        "by": {"who": ["참석자 2", "kim@mail.com"], "age": 31},
    }
    Path("talk.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    Path("names.yaml").write_text("참석자 1: 서현\n참석자 2: 서현\n참석자 3: 도윤\n", encoding="utf-8")


def test_names_become_tags_and_personal_data_masks_in_every_text(in_tmp: Path) -> None:
    talk_with_references()
    options = ["--speakers", "tags", "--mask", "--json"]
    done = llm_summ("data", "convert", "talk.jsonl", "--out", "o.jsonl", *options)
    assert done.code == 0, done
    [row] = rows("o.jsonl")
    assert row == {
        "fname": "a",
        "turns": [
            {"speaker": "#Person1#", "text": "제 번호는 #PhoneNumber#예요", "start": 0.0, "end": 4.5},
            {"speaker": "#Person2#", "text": "문자 할게요, 참석자 1 님"},
            {"speaker": "#Person3#", "text": "#Email#도 돼요"},
        ],
        "summary1": "#Person1#이 #PhoneNumber#를 알려 준다.",
        "summary2": "#Person3#은 #Email#을 쓴다.",
        "topic": "#PhoneNumber#",
        "by": {"who": ["#Person3#", "#Email#"], "age": 31},
    }
    report = json.loads(done.out)
    assert (report["masked"], report["tagged"]) == ({"PhoneNumber": 1, "Email": 1}, 1)
    assert plain(done.err) == snapshot(
        "Speakers: tags (#Person1#) in place of names in 1 of 1 dialogue\n"
        "Masked: 1 PhoneNumber, 1 Email in 1 of 1 dialogue\n"
        "talk.jsonl: JSONL: 1 dialogue, 3 turns\n"
    )
    assert not re.search(SECRETS, done.out + done.err)


def test_a_map_file_renames_and_merges_speakers(in_tmp: Path) -> None:
    talk_with_references()
    done = llm_summ("data", "convert", "talk.jsonl", "--out", "o.csv", "--names", "names.yaml")
    assert done.code == 0, done
    [dialogue] = read_dialogues("o.csv")
    assert dialogue.speakers == ("서현", "010-3921-7745")
    assert dialogue.references == ("서현이 01039217745를 알려 준다.", "서현은 kim@mail.com을 쓴다.")
    assert plain(done.err) == snapshot(
        "--names: 참석자 3: no dialogue has this speaker\n"
        "o.csv: CSV holds no times; choose a name that ends in .jsonl to keep them\n"
        "talk.jsonl: JSONL: 1 dialogue, 3 turns\n"
    )
    assert llm_summ("data", "convert", "talk.jsonl", "--out", "p.csv", "--names", "nowhere.yaml").code == 2
    Path("names.yaml").write_text("01039217746: 서현\n", encoding="utf-8")
    done = llm_summ("data", "convert", "talk.jsonl", "--out", "p.csv", "--names", "names.yaml", "--mask")
    assert plain(done.err) == snapshot(
        "--names: #PhoneNumber#: no dialogue has this speaker\n"
        "Masked: 1 PhoneNumber, 1 Email in 1 of 1 dialogue\n"
        "p.csv: CSV holds no times; choose a name that ends in .jsonl to keep them\n"
        "talk.jsonl: JSONL: 1 dialogue, 3 turns\n"
    )


def test_malpyeong_is_written_with_tags(in_tmp: Path) -> None:
    take("malpyeong.json")
    done = llm_summ("data", "convert", "malpyeong.json", "--out", "o.json", "--speakers", "tags")
    assert done.code == 0, done
    before, after = (json.loads(Path(name).read_text(encoding="utf-8")) for name in ("malpyeong.json", "o.json"))
    for one, other in zip(before, after, strict=True):
        assert other["input"]["subject_keyword"] == one["input"]["subject_keyword"]
        speakers = {turn["speaker"] for turn in other["input"]["conversation"]}
        assert speakers == {f"#Person{number}#" for number in range(1, len(speakers) + 1)}
    done = llm_summ("data", "convert", "malpyeong.json", "--out", "p.jsonl", "--speakers", "tags")
    assert '"conversation"' not in Path("p.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize("out", ["o.jsonl", "o.csv", "o.json", "o.parquet"])
def test_no_secret_is_written_or_printed(in_tmp: Path, out: str) -> None:
    lines = [
        line for line in (FILES.parent / "mask_lines.txt").read_text(encoding="utf-8").splitlines()[1:] if line
    ]
    secrets, written = [], []
    for number, line in enumerate(lines):
        turns = MARKED.sub(r"\1", line).split(" / ")
        text = "\n".join(f"{'민지' if turn % 2 else '도윤'}: {words}" for turn, words in enumerate(turns))
        row = {"fname": f"{number}", "dialogue": text, "summary": " ".join(turns), "summary2": turns[-1]}
        written.append(json.dumps(row, ensure_ascii=False))
        secrets.append([mask.value for mask in masked(Dialogue(f"{number}", text))[1].masks])
    assert sum(map(len, secrets)) > 150
    Path("in").mkdir()
    Path("in/talk.jsonl").write_text("\n".join(written), encoding="utf-8")
    done = llm_summ("data", "convert", "in/talk.jsonl", "--out", out, "--mask", "--speakers", "tags", "--json")
    assert done.code == 0, done
    shown = [str((dialogue, dialogue.given_turns)) for dialogue in read_dialogues(out)]
    # What is a number of an order in one dialogue may be an account in another.
    assert [value for values, text in zip(secrets, shown, strict=True) for value in values if value in text] == []
    printed = done.out + done.err
    assert [value for values in secrets for value in values if value in printed] == []
