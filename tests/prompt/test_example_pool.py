"""Retrieval of examples: the most similar first, never the dialogue itself, the same ones every time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import plain, raises

from llm_summ.core.errors import MissingPackageError, PromptError
from llm_summ.data import Dialogue, dialogue_hash, read_dialogues
from llm_summ.prompt import ExamplePool

pytest.importorskip("bm25s", reason="the extra train is not installed")

DOCTOR = Dialogue("1", "#Person1#: 의사 선생님, 머리가 아파요.\n#Person2#: 약을 드릴게요.", ("약을 받습니다.",))
TRAIN = Dialogue("2", "#Person1#: 기차표 두 장 주세요.\n#Person2#: 만 원입니다.", ("기차표를 삽니다.",))
FLIGHT = Dialogue("3", "#Person1#: 비행기표 두 장 주세요.\n#Person2#: 십만 원입니다.", ("비행기표를 삽니다.",))
WEATHER = Dialogue("4", "#Person1#: 내일 비가 올까요?\n#Person2#: 맑대요.", ("날씨를 묻습니다.",))
POOL = (DOCTOR, TRAIN, FLIGHT, WEATHER)


def _ids(dialogues: Sequence[Dialogue]) -> list[str]:
    return [dialogue.id for dialogue in dialogues]


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("#Person1#: 의사 선생님은 어디 계세요?", "1"),
        ("#Person1#: 기차표 한 장 주세요.", "2"),
        ("#Person1#: 비행기표를 사려고요.", "3"),
        ("#Person1#: 내일은 비가 그칠까요?", "4"),
    ],
)
def test_the_most_similar_comes_first(text: str, nearest: str) -> None:
    pool = ExamplePool(POOL)
    found = pool.similar(Dialogue("x", text), 4)
    assert found[0].id == nearest
    assert sorted(_ids(found)) == ["1", "2", "3", "4"]
    assert pool.similar(Dialogue("x", text), 2) == found[:2]


def test_it_is_by_morphemes_not_by_words() -> None:
    """No word of the query is in the pool in the same form, but its noun is."""
    question = Dialogue("x", "기차표를")
    assert not set(question.text.split()) & {word for dialogue in POOL for word in dialogue.text.split()}
    assert ExamplePool(POOL).similar(question, 1) == [TRAIN]


def test_examples_are_what_was_put_in() -> None:
    pool = ExamplePool(POOL)
    assert pool.dialogues == POOL
    assert all(found in POOL for found in pool.similar(Dialogue("x", "표"), 3))
    assert ExamplePool(pool.dialogues).similar(Dialogue("x", "표"), 3) == pool.similar(Dialogue("x", "표"), 3)


@pytest.mark.parametrize(
    "itself",
    [
        TRAIN,
        Dialogue("2", "#Person1#: 기차표 주세요, 다른 말로."),
        Dialogue("x", TRAIN.text),
        Dialogue("x", TRAIN.text.replace("\n", "\r\n")),
        Dialogue("x", TRAIN.text.replace("\n", "\r")),
        Dialogue("x", "\n" + TRAIN.text.replace("두 장", "두장") + "  "),
    ],
    ids=[
        "itself",
        "its id",
        "its text",
        "its text with \\r\\n",
        "its text with \\r",
        "other spaces",
    ],
)
def test_never_the_dialogue_itself(itself: Dialogue) -> None:
    found = ExamplePool(POOL).similar(itself, 9)
    assert sorted(_ids(found)) == ["1", "3", "4"]
    assert found[0] == FLIGHT


def test_of_equal_ones_the_first_comes_first() -> None:
    pool = ExamplePool([Dialogue(str(n), f"#Person1#: 기차 {n}", ("요약",)) for n in range(9)])
    assert _ids(pool.similar(Dialogue("x", "기차"), 3)) == ["0", "1", "2"]
    assert _ids(pool.similar(Dialogue("x", "고래"), 4)) == ["0", "1", "2", "3"]  # nothing in common with any
    assert _ids(pool.similar(Dialogue("1", "기차"), 3)) == ["0", "2", "3"]


def test_a_text_is_an_example_once() -> None:
    again = Dialogue("5", TRAIN.text + "\n", ("다른 요약",))
    assert _ids(ExamplePool([*POOL, again]).similar(Dialogue("x", TRAIN.text + " 네"), 9)).count("5") == 0
    assert len(ExamplePool([*POOL, again]).dialogues) == 5
    assert ExamplePool([TRAIN, again]).similar(again, 9) == []


@pytest.mark.parametrize("k", [0, 1, 3, 4, 99])
def test_as_many_as_asked_for_or_all_that_there_are(k: int) -> None:
    pool = ExamplePool(POOL)
    assert len(pool.similar(Dialogue("x", "표"), k)) == min(k, 4)
    assert len(pool.similar(TRAIN, k)) == min(k, 3)


_TEXTS = st.text("기차표의사약 .\n\r\t#Person12:<eos>", max_size=30)
_POOLS = st.lists(
    st.builds(Dialogue, st.sampled_from("abcdef"), _TEXTS, st.just(("요약",))), min_size=1, max_size=8
)


@settings(deadline=None)
@given(pool=_POOLS, text=_TEXTS, identity=st.sampled_from("abcxyz"), k=st.integers(0, 9), data=st.data())
def test_every_pool(pool: list[Dialogue], text: str, identity: str, k: int, data: st.DataObject) -> None:
    asked = data.draw(st.one_of(st.just(Dialogue(identity, text)), st.sampled_from(pool)))
    made = ExamplePool(pool)
    found = made.similar(asked, k)
    assert len(found) <= k
    assert len(set(map(id, found))) == len(found)
    squeezed = ["".join(example.text.split()) for example in found]
    assert len(set(squeezed)) == len(squeezed)
    for example in found:
        assert example in pool
        assert example.id != asked.id
        assert dialogue_hash(example.text) != dialogue_hash(asked.text)
    assert "".join(asked.text.split()) not in squeezed
    assert found == made.similar(asked, k) == ExamplePool(pool).similar(asked, k)
    assert found == made.similar(asked, 9)[:k]
    assert [found, found] == made.similar_all([asked, asked], k)


def test_many_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    dialogues = read_dialogues("sample:train")
    pool = ExamplePool(dialogues)
    found = pool.similar_all(dialogues, 3)
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)  # the library's own bars stay off
    assert plain(err) == snapshot("Finding examples 128/128 (… s)\n")
    assert found == [pool.similar(dialogue, 3) for dialogue in dialogues]
    assert all(
        dialogue.id not in _ids(similar) and len(similar) == 3
        for dialogue, similar in zip(dialogues, found, strict=True)
    )


def test_another_process_finds_the_same() -> None:
    """The order of sets of strings differs between processes; the examples must not depend on it."""
    script = (
        "from llm_summ.data import read_dialogues\n"
        "from llm_summ.prompt import ExamplePool\n"
        "dialogues = read_dialogues('sample:dev')\n"
        "print([e.id for found in ExamplePool(dialogues).similar_all(dialogues, 5) for e in found])\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_examples_need_dialogues_with_summaries() -> None:
    with raises(PromptError) as error:
        ExamplePool([])
    assert error.message == snapshot("no dialogue to take examples from; prompt.examples needs training dialogues")
    for references in ((), (" ",)):
        with raises(PromptError) as error:
            ExamplePool([TRAIN, Dialogue("7", "#Person1#: 네", references)])
        assert error.message == snapshot("7: no summary; prompt.examples needs one for every dialogue")


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_summ.core.optional_packages.is_installed", lambda package: package != "bm25s")
    with raises(MissingPackageError) as error:
        ExamplePool(POOL)
    assert error.message == snapshot(
        "prompt.examples: the package bm25s is not installed; install it: pip install '…'"
    )
