"""Files appear whole or grow by whole lines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from inline_snapshot import snapshot
from messages import raises

from llm_summ.core.errors import InputError
from llm_summ.core.files import (
    all_or_none,
    append_lines,
    file_sha256,
    read_jsonl,
    whole_directory,
    write_json,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_is_written_byte_for_byte_and_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    write_text(path, "old and longer")
    write_text(path, "가\r\n나\n")
    assert path.read_bytes() == "가\r\n나\n".encode()
    assert names(path.parent) == ["a.txt"]


def test_a_failed_write_leaves_the_old_text_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "x" * 100_000 + "\ud800")
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_folder_in_the_way_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(IsADirectoryError):
        write_text(tmp_path / "a.txt", "text")
    assert names(tmp_path) == ["a.txt"]


def test_a_written_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "text")
    (tmp_path / "b.txt").write_text("text", encoding="utf-8")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode
    with whole_directory(tmp_path / "c"):
        pass
    (tmp_path / "d").mkdir()
    assert (tmp_path / "c").stat().st_mode == (tmp_path / "d").stat().st_mode


def test_files_that_belong_together_are_left_together_or_not_at_all(tmp_path: Path) -> None:
    write_text(tmp_path / "before.txt", "mine")
    for fails in (True, False):
        try:
            with all_or_none() as written:
                for name in ("a.txt", "b.txt"):
                    write_text(tmp_path / name, name)
                    written.append(tmp_path / name)
                if fails:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            assert names(tmp_path) == ["before.txt"]
    assert names(tmp_path) == ["a.txt", "b.txt", "before.txt"]


def test_json_is_readable_by_people(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"이름": [1, None]})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"이름": [1, None]}
    assert "이름" in text
    assert text.endswith("}\n")


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "adapter"
    with whole_directory(path) as building:
        (building / "a").write_text("1", encoding="utf-8")
        assert not path.exists()
    assert names(path) == ["a"]
    assert names(path.parent) == ["adapter"]


def test_a_whole_folder_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "adapter"
    path.mkdir()
    (path / "old").write_text("1", encoding="utf-8")
    with whole_directory(path) as building:
        (building / "new").write_text("2", encoding="utf-8")
        assert names(path) == ["old"]
    assert names(path) == ["new"]
    assert names(tmp_path) == ["adapter"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_folder_that_failed_leaves_the_old_one(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "adapter"
    path.mkdir()
    (path / "old").write_text("1", encoding="utf-8")

    def build() -> None:
        with whole_directory(path) as building:
            (building / "half").write_text("2", encoding="utf-8")
            raise error

    with pytest.raises(error):
        build()
    assert names(path) == ["old"]
    assert names(tmp_path) == ["adapter"]


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        (None, b""),
        (b"", b""),
        (b'{"a":1}\n', b'{"a":1}\n'),
        (b'{"a":1}\n{"b":', b'{"a":1}\n'),
        (b'{"a":1}\n{"b":2}', b'{"a":1}\n'),  # it may be 2, or the begin of 25
        ('{"a":1}\n{"b":"가'.encode()[:-1], b'{"a":1}\n'),
        (b'{"a', b""),
    ],
)
def test_a_torn_line_is_cut_off_before_the_file_goes_on(tmp_path: Path, before: bytes | None, kept: bytes) -> None:
    path = tmp_path / "new" / "log.jsonl"
    if before is not None:
        path.parent.mkdir()
        path.write_bytes(before)
    with append_lines(path) as out:
        out.write('{"c":"나"}\n')
    assert path.read_bytes() == kept + '{"c":"나"}\n'.encode()


def test_a_whole_line_is_there_before_the_file_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with append_lines(path) as out:
        out.write('{"a":1}\n')
        assert path.read_bytes() == b'{"a":1}\n'


def test_whole_lines_survive_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from llm_summ.core.files import append_lines\n"
        "with append_lines(Path(sys.argv[1])) as out:\n"
        "    for number in range(20):\n"
        "        out.write('{\"n\": %d}\\n' % number)\n"
        "    out.write('{\"n\": ')\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(path)])
    try:
        deadline = time.monotonic() + 30
        while not path.exists() or path.read_bytes().count(b"\n") < 20:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert [row["n"] for _, row in read_jsonl(path, may_be_torn=True)] == list(range(20))


def test_jsonl_gives_the_line_of_every_object(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes('\ufeff{"a": "가\u2028"}\n\n{"b": 2}\r\n{"c": 3}'.encode())
    assert list(read_jsonl(path)) == [(1, {"a": "가\u2028"}), (3, {"b": 2}), (4, {"c": 3})]


def test_a_last_line_without_an_end_is_left_out_where_it_may_be_torn(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n{"b": 2}')
    assert list(read_jsonl(path, may_be_torn=True)) == [(1, {"a": 1})]


def test_a_broken_line_within_a_file_is_an_error_even_where_the_last_may_be_torn(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n{"b":\n{"c": 3}\n')
    with raises(InputError) as error:
        list(read_jsonl(path, may_be_torn=True))
    assert error.message == snapshot("…/a.jsonl:2: not JSON in UTF-8 (…); expected one JSON object a line")


def test_a_line_that_is_no_object_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"[1]\n")
    with raises(InputError) as error:
        list(read_jsonl(path))
    assert error.message == snapshot("…/a.jsonl:1: found list; expected a JSON object a line")


def test_the_hash_of_a_file_is_the_one_that_other_tools_give(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_sum_of_a_folder_is_that_of_its_files_and_their_names(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        write_text(folder / "deep" / "a.json", "[]")
    assert file_sha256(folders[0]) == file_sha256(folders[1])
    before = file_sha256(folders[0])
    (folders[0] / "deep" / "a.json").rename(folders[0] / "deep" / "b.json")
    write_text(folders[1] / "deep" / "a.json", "[1]")
    assert len({before, file_sha256(folders[0]), file_sha256(folders[1])}) == 3
