"""Chats, transcripts and archives that are damaged, mixed, unknown or hostile: one line, never a traceback."""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import llm_summ, refused
from inline_snapshot import snapshot
from messages import plain
from test_readers import GOLDEN, file_of

from llm_summ.core.errors import DataError
from llm_summ.data import Dialogue, read_dialogues
from llm_summ.data.formats import archive as archives
from llm_summ.data.formats import find_format

MUTATIONS = 2_000


def zipped(path: Path, files: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", "", snapshot("a.txt: empty file; expected text")),
        ("a.txt", " \n\n", snapshot("a.txt: empty file; expected text")),
        (
            "a.txt",
            "오늘은 비가 온다.\n내일도 온다.\n",
            snapshot(
                "a.txt: found no speakers, and no chat or transcript that is known, in «오늘은 비가 온다. / "
                "내일도 온다.»; expected lines such as 민지: 네, or name the format: llm-summ data convert "
                "--format NAME"
            ),
        ),
        (
            "a.txt",
            b"\x00\x01\x02\xff" * 50,
            snapshot("a.txt:1: found byte 0xff, neither UTF-8 nor Korean in CP949; save it as UTF-8"),
        ),
        (
            "a.txt",
            b"%PDF-1.7",
            snapshot("a.txt: found a PDF; expected a text; take the file that it was made from"),
        ),
        (
            "a.txt",
            "민지: 네\n".encode("utf-16"),
            snapshot(
                "a.txt: found UTF-16; expected UTF-8; save it as UTF-8, or convert it: iconv -f UTF-16 -t UTF-8 "
                "a.txt > a-new.txt"
            ),
        ),
        (
            "a.txt",
            "민지: 안녕\n도윤: 네".encode()[:-1],
            snapshot("a.txt: ends in the middle of a character; was it cut off? Copy it again"),
        ),
        (
            "a.vtt",
            "WEBVTT\n",
            snapshot("a.vtt: no dialogue; read as vtt, found nothing that is a turn; expected turns"),
        ),
        (
            "a.vtt",
            "00:01.000 --> 00:02.000\n네",
            snapshot(
                "a.vtt: found no format that is known, but «00:01.000 --> 00:02.000 / 네»; expected vtt in a .vtt "
                "file"
            ),
        ),
        (
            "a.srt",
            "WEBVTT\n",
            snapshot("a.srt: found no format that is known, but «WEBVTT»; expected srt in a .srt file"),
        ),
        (
            "a.json",
            "",
            snapshot(
                "a.json: empty file; expected clova-speech, whisper, slack, nikl, malpyeong, aihub-dialogue, "
                "aihub-582, aihub-464, aihub-calls or aihub-finance in a .json file"
            ),
        ),
        (
            "a.json",
            '{"segments": [{"start": 0, "end": 1, "text": "네"',
            snapshot("a.json:1: not JSON from here (…); expected one whole JSON value; was the file cut off?"),
        ),
        (
            "a.json",
            '{"a": 1, "b": []}',
            snapshot(
                "a.json: found no format that is known, but an object with a, b; expected clova-speech, whisper, "
                "slack, nikl, malpyeong, aihub-dialogue, aihub-582, aihub-464, aihub-calls or aihub-finance in a "
                ".json file"
            ),
        ),
        (
            "a.json",
            '[{"fname": "x", "dialogue": "y"}]',
            snapshot(
                "a.json: found no format that is known, but a list of 1 with fname, dialogue; expected "
                "clova-speech, whisper, slack, nikl, malpyeong, aihub-dialogue, aihub-582, aihub-464, aihub-calls "
                "or aihub-finance in a .json file"
            ),
        ),
        ("a.json", "[" * 100_000, snapshot("a.json: not JSON that can be read (…)")),
        (
            "a.json",
            '{"document": [{"utterance": 3}], "form": 1}',
            snapshot("a.json: document[0].utterance: found int 3; expected a list"),
        ),
        (
            "a.json",
            '{"segments": [], "start": 0, "end": 0, "text": ""}',
            snapshot("a.json: no dialogue; read as whisper, found nothing that is a turn; expected turns"),
        ),
        (
            "a.json",
            '{"data": [{"header": {"dialogueInfo": {}}, "body": {"dialogue": []}}]}',
            snapshot("a.json: no dialogue; read as aihub-dialogue, found 1 empty dialogue; expected turns"),
        ),
        (
            "a.csv",
            'Date,User,Message\n2026-03-02 18:01:22,"민지"\n',
            snapshot(
                "a.csv:2: found 2 fields, the first «2026-03-02 18:01:22»; expected Date,User,Message such as "
                '2026-03-02 18:01:22,"민지","네"'
            ),
        ),
        (
            "a.csv",
            'Date,User,Message\n2026-03-02 18:01:22,"민지","네\n',
            snapshot("a.csv:2: not valid CSV from here (unexpected end of data); check the quotes"),
        ),
        (
            "a.zip",
            b"PK\x03\x04 cut",
            snapshot(
                "a.zip: not a zip file that can be read (File is not a zip file); was it cut off? Copy it again"
            ),
        ),
        (
            "a.zip",
            b"",
            snapshot(
                "a.zip: not a zip file that can be read (File is not a zip file); was it cut off? Copy it again"
            ),
        ),
    ],
)
def test_a_bad_file_is_refused_in_one_line(in_tmp: Path, name: str, content: str | bytes, said: str) -> None:
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    for command in (["data", "stats", name], ["data", "convert", name, "--out", "out.jsonl"]):
        line = refused(llm_summ(*command))
        assert plain(line) == said
    assert not Path("out.jsonl").exists()


def test_a_summary_of_clova_note_is_refused(in_tmp: Path) -> None:
    Path("s.txt").write_text("회의\n\n01:31~02:25\n예산\n• 3억\n\n02:25~03:10\n일정\n• 금요일\n", encoding="utf-8")
    assert refused(llm_summ("data", "stats", "s.txt")) == snapshot(
        "s.txt: found a summary of Clova Note; expected the conversation itself; export 음성 기록"
    )


def test_minutes_only_of_the_reports(in_tmp: Path) -> None:
    text = file_of("aihub-582").read_text(encoding="utf-8").replace('"minute"', '"news_r"')
    Path("n.json").write_text(text, encoding="utf-8")
    assert refused(llm_summ("data", "stats", "n.json")) == snapshot(
        "n.json: found documents of the type news_r; expected minutes (doc_type minute), which are the "
        "only conversations of this data set"
    )


def test_two_forms_of_chats_in_one_file(in_tmp: Path) -> None:
    lines = [f"[민지] [오후 6:0{n}] 말" for n in range(5)] + [
        f"2026. 3. 2. 오후 7:0{n}, 도윤 : 말" for n in range(5)
    ]
    Path("a.txt").write_text("\n".join(lines), encoding="utf-8")
    line = refused(llm_summ("data", "stats", "a.txt"))
    assert plain(line) == snapshot(
        "a.txt: found two forms of KakaoTalk lines, first in line 1 and in line 6; expected one form; "
        "divide the file"
    )


def test_a_file_of_500_mb(in_tmp: Path) -> None:
    for name, message in (
        ("big.txt", snapshot("big.txt: found 500 MB; expected at most 300 MB; divide the file")),
        ("big.json", snapshot("big.json: found 500 MB; expected at most 300 MB; divide the file")),
    ):
        with Path(name).open("wb") as file:
            file.write('{"segments": [{"start": 0, "end": 1, "text": "네"}, [민지] [오후 6:01] 네\n'.encode())
            file.truncate(500_000_000)
        assert refused(llm_summ("data", "convert", name, "--out", "out.jsonl")) == message


def test_the_format_is_found_behind_a_long_text(tmp_path: Path) -> None:
    whole = json.loads(file_of("whisper").read_text(encoding="utf-8"))
    path = tmp_path / "whisper.json"
    path.write_text(json.dumps({**whole, "text": whole["text"] * 2_000}, ensure_ascii=False), encoding="utf-8")
    assert find_format(path).name == "whisper"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../out.txt", snapshot("a.zip: found the path '../out.txt', which leaves the archive; it is not read")),
        (
            "/etc/out.txt",
            snapshot("a.zip: found the path '/etc/out.txt', which leaves the archive; it is not read"),
        ),
        (
            "a/../../out.txt",
            snapshot("a.zip: found the path 'a/../../out.txt', which leaves the archive; it is not read"),
        ),
        ("C:/out.txt", snapshot("a.zip: found the path 'C:/out.txt', which leaves the archive; it is not read")),
        (
            "a\\..\\out.txt",
            snapshot("a.zip: found the path 'a\\\\..\\\\out.txt', which leaves the archive; it is not read"),
        ),
    ],
)
def test_paths_that_leave_an_archive(in_tmp: Path, name: str, message: str) -> None:
    zipped(Path("a.zip"), {"ok.txt": "민지: 네\n도윤: 예\n", name: "민지: 네\n도윤: 예\n"})
    assert refused(llm_summ("data", "stats", "a.zip")) == message


def test_files_that_systems_leave_in_archives(tmp_path: Path) -> None:
    talk = "민지: 네\n도윤: 예\n"
    names = ("./a.txt", "__MACOSX/._a.txt", "b/.hidden.txt", "b/Thumbs.db", "b/c.txt")
    path = zipped(tmp_path / "a.zip", dict.fromkeys(names, talk))
    assert [dialogue.id for dialogue in read_dialogues(str(path))] == ["a", "c"]


def test_bombs(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    talk = "민지: 네\n도윤: 예\n"
    zipped(Path("ratio.zip"), {"a.txt": "민지: 네\n" * 1_500_000})
    assert refused(llm_summ("data", "stats", "ratio.zip")) == snapshot(
        "ratio.zip: a.txt: unpacks to 18 MB from 0.0 MB, as no text does; it is not read"
    )
    inner = zipped(Path("1.zip"), {"a.txt": talk}).read_bytes()
    for depth in ("2.zip", "3.zip"):
        inner = zipped(Path(depth), {"in.zip": inner}).read_bytes()
    assert len(read_dialogues("2.zip")) == 1
    assert refused(llm_summ("data", "stats", "3.zip")) == snapshot(
        "3.zip/in.zip: found in.zip, an archive in an archive in an archive; unpack it first"
    )
    monkeypatch.setattr(archives, "_MAX_FILES", 3)
    zipped(Path("many.zip"), {f"{n}.txt": talk for n in range(4)})
    assert refused(llm_summ("data", "stats", "many.zip")) == snapshot(
        "many.zip: found 4 files; expected at most 3; divide the archive"
    )
    monkeypatch.setattr(archives, "_MAX_TOTAL", 10)
    assert refused(llm_summ("data", "stats", "1.zip")) == snapshot(
        "1.zip: found 0.0 GB when unpacked; expected at most 0 GB; divide the archive"
    )


def test_the_size_that_an_archive_names_is_not_believed(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_BYTES", 1_000)
    zipped(Path("a.zip"), {"a.txt": "민지: 네\n" * 1_000})
    assert refused(llm_summ("data", "stats", "a.zip")) == snapshot(
        "a.zip/a.txt: found more than 0 MB; divide the file"
    )


def test_an_encrypted_archive(in_tmp: Path) -> None:
    content = bytearray(zipped(Path("a.zip"), {"a.txt": "민지: 네\n"}).read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    Path("a.zip").write_bytes(content)
    assert refused(llm_summ("data", "stats", "a.zip")) == snapshot(
        "a.zip/a.txt: encrypted; unpack the archive with its password first"
    )


def test_an_archive_without_dialogues(in_tmp: Path) -> None:
    zipped(Path("a.zip"), {"readme.txt": "안녕하세요", "x.wav": b"RIFF"})
    assert refused(llm_summ("data", "stats", "a.zip")) == snapshot(
        "a.zip: no dialogue in it; expected chats, transcripts or corpora that are known"
    )
    assert refused(llm_summ("data", "convert", "a.zip", "--out", "o.jsonl")) == snapshot(
        "a.zip: no dialogue in it; expected chats, transcripts or corpora that are known"
    )


def cut(chance: random.Random, content: bytes) -> bytes:
    return content[: chance.randrange(len(content))]


def changed_bytes(chance: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def moved(chance: random.Random, content: bytes) -> bytes:
    start, end, to = sorted(chance.randrange(len(content)) for _ in range(3))
    return content[:start] + content[end:to] + content[start:end] + content[to:]


def moved_lines(chance: random.Random, content: bytes) -> bytes:
    lines = content.split(b"\n")
    chance.shuffle(lines)
    return b"\n".join(lines[: chance.randint(1, len(lines))])


def other_values(chance: random.Random, content: bytes) -> bytes:
    """Put values of other types into a JSON file; other signs into a text."""
    odd: list[Any] = [
        None,
        True,
        -1,
        1e308,
        10**400,
        "",
        "네",
        "\ud800",
        "\0",
        [],
        [[]],
        {},
        {"text": 3},
        "12:61",
        "9" * 400,
    ]
    try:
        whole = json.loads(content)
    except ValueError:
        signs = (
            ":",
            "]",
            " : ",
            "-->",
            "오후",
            "99:99",
            "\u2028",
            "<v ",
            "0000년 13월 45일",
            "[",
            "참석자 1 ",
            '"',
        )
        text = content.decode("utf-8", "replace")
        at = chance.randrange(len(text))
        return (text[:at] + "".join(chance.choices(signs, k=3)) + text[at + chance.randint(0, 5) :]).encode()
    for _ in range(chance.randint(1, 3)):
        whole = replaced(chance, whole, chance.choice(odd))
    return json.dumps(whole).encode()


def replaced(chance: random.Random, value: Any, new: Any) -> Any:
    """Return a JSON value with one value in it replaced, deep down or not."""
    if not isinstance(value, dict | list) or not value or chance.random() < 0.1:
        return new
    key = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[key] = replaced(chance, value[key], new)
    return copy


MUTATORS: list[Callable[[random.Random, bytes], bytes]] = [cut, changed_bytes, moved, moved_lines, other_values]


def read_or_refused(path: Path) -> list[Dialogue]:
    """Return the dialogues, none if the file is refused in one line that begins with its name."""
    try:
        dialogues = read_dialogues(str(path))
    except DataError as error:
        line = str(error)
    else:
        assert all(dialogue.text for dialogue in dialogues)
        return dialogues
    assert line.startswith(str(path))
    assert len(line.splitlines()) == 1
    return []


@pytest.mark.parametrize("mutate", MUTATORS)
def test_no_mutated_file_gives_a_traceback(
    tmp_path: Path, mutate: Callable[[random.Random, bytes], bytes]
) -> None:
    """2,000 files in all: each is read, or refused in one line that names it."""
    names = sorted(GOLDEN)
    read = 0
    for seed in range(MUTATIONS // len(MUTATORS)):
        chance = random.Random(seed)
        source = file_of(names[seed % len(names)])
        path = tmp_path / f"mutated{source.suffix}"
        path.write_bytes(mutate(chance, source.read_bytes()))
        dialogues = read_or_refused(path)
        read += bool(dialogues)
    assert read > 0
    assert read < MUTATIONS // len(MUTATORS) or mutate is moved_lines
