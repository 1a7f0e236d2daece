"""Windows of a long dialogue: every turn is in one, in order, and each fits."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import raises

from llm_summ.core.errors import PromptError
from llm_summ.data import Dialogue, Turn
from llm_summ.prompt.windows import Window, cut_windows

INSTRUCTION = 5


def count(dialogue: Dialogue) -> int:
    """A token for each character, and an instruction."""
    return INSTRUCTION + len(dialogue.text)


def letters(text: str) -> str:
    return "".join(text.split())


def shown(windows: list[Window]) -> list[str]:
    return [window.dialogue.text for window in windows]


words = st.one_of(
    st.text("가나다. \n", min_size=1, max_size=40), st.text("가나다라마바 ", min_size=60, max_size=200)
)
times = st.one_of(st.none(), st.integers(0, 500).map(float))
turns = st.lists(st.tuples(st.sampled_from(["#Person1#", "민지", None]), words, times), min_size=1, max_size=25)


@given(turns, st.integers(INSTRUCTION + 13, 900), st.integers(0, 3), st.sampled_from([None, 10, 40, 300]))
def test_every_turn_is_covered_in_order_within_the_budget(
    drawn: list[tuple[str | None, str, float | None]], budget: int, overlap: int, characters: int | None
) -> None:
    given_turns = [Turn(speaker, text, start) for speaker, text, start in drawn]
    dialogue = Dialogue.of_turns("d", given_turns)
    windows = cut_windows(dialogue, count, budget, characters=characters, overlap=overlap)
    assert all(count(window.dialogue) <= budget for window in windows)
    if len(windows) == 1:
        assert letters(windows[0].dialogue.text) == letters(dialogue.text)
        return
    # Without the overlap, the windows have every word of every turn that is not blank, once and in order.
    new = [turn for window in windows for turn in window.dialogue.turns[window.overlap :]]
    spoken = [turn for turn in given_turns if str(turn).strip()]
    assert letters("".join(turn.text for turn in new)) == letters("".join(turn.text for turn in spoken))
    assert {turn.speaker for turn in new} == {turn.speaker for turn in spoken}
    # The numbers cover all turns without a gap, and an overlap repeats the end of the window before.
    covered = [number for window in windows for number in range(window.first, window.last + 1)]
    numbers = [number for number, turn in enumerate(given_turns, 1) if str(turn).strip()]
    assert set(numbers) <= set(covered)
    assert covered == sorted(covered)
    for before, after in pairwise(windows):
        assert after.first >= before.last
        assert after.overlap <= overlap
        if after.overlap:
            assert after.dialogue.turns[: after.overlap] == before.dialogue.turns[-after.overlap :]
        if after.first == before.last:
            assert after.first in before.divided
            assert after.first in after.divided


def test_a_label_with_spaces_alone_is_no_turn_to_lose() -> None:
    dialogue = Dialogue.of_turns("d", [Turn("#Person1#", "가"), Turn("#Person1#", "   ")])
    windows = cut_windows(dialogue, count, INSTRUCTION + 13)
    assert [turn.speaker for window in windows for turn in window.dialogue.turns] == ["#Person1#", "#Person1#"]


def test_a_dialogue_that_fits_is_unchanged() -> None:
    dialogue = Dialogue.of_turns("d", [Turn("A", "가", 3.0), Turn("B", "나", 8.0, 9.5)], ("요약",), "주제")
    [window] = cut_windows(dialogue, count, 100, characters=2)
    assert window.dialogue is dialogue
    assert (window.first, window.last, window.start, window.end) == (1, 2, 3.0, 9.5)


def test_windows_of_whole_turns_that_overlap() -> None:
    dialogue = Dialogue("d", "\n".join(f"#Person{turn % 2 + 1}#: {turn}번" for turn in range(1, 10)), topic="번호")
    windows = cut_windows(dialogue, count, INSTRUCTION + 4 * 14, overlap=1)
    assert [(window.first, window.last, window.overlap) for window in windows] == [(1, 4, 0), (5, 7, 1), (8, 9, 1)]
    assert windows[1].dialogue.text.startswith("#Person1#: 4번\n#Person2#: 5번")
    assert [window.dialogue.id for window in windows] == ["d#1", "d#2", "d#3"]
    assert windows[0].dialogue.topic == "번호"
    assert (windows[0].start, windows[0].end, windows[0].divided) == (None, None, ())


def test_the_last_two_windows_share_what_is_left() -> None:
    dialogue = Dialogue("d", "\n".join("가나다라마바사" for _ in range(11)))
    windows = cut_windows(dialogue, count, INSTRUCTION + 10 * 8, overlap=0)
    assert [window.last - window.first + 1 for window in windows] == [6, 5]


def test_a_window_ends_at_the_longest_silence_of_its_second_half() -> None:
    starts = [0, 10, 100, 110, 120, 200, 210, 220, 230, 240, 250, 260, 270, 280, 290, 300, 310, 320, 330]
    dialogue = Dialogue.of_turns("d", [Turn("A", "가나다라", float(start), start + 5.0) for start in starts])
    windows = cut_windows(dialogue, count, INSTRUCTION + 8 * 8, overlap=0)
    # 10 to 100 is a longer silence than 125 to 200, but it is in the first half.
    assert (windows[0].first, windows[0].last, windows[0].start, windows[0].end) == (1, 5, 0.0, 125.0)
    assert windows[1].start == 200.0


def test_a_chat_without_ends_is_cut_at_silence_too() -> None:
    starts = [0, 1, 2, 3, 900, 901, 902, 903]
    dialogue = Dialogue.of_turns("d", [Turn("A", "가나다라", float(start)) for start in starts])
    assert [window.end for window in cut_windows(dialogue, count, INSTRUCTION + 6 * 8)] == [3.0, 903.0]


MENUS = ["비빔밥에 고추장을 더 넣어 주세요.", "불고기도 이 인분 더 시킬게요.", "냉면은 물냉면으로 부탁해요."]
TRAINS = ["부산으로 가는 기차표를 예매했어요.", "열차는 서울역에서 출발해요.", "기차 좌석은 창가 쪽이에요."]


def test_without_times_a_window_ends_where_the_topic_changes() -> None:
    for menus in range(22, 28):
        texts = [MENUS[turn % 3] for turn in range(menus)] + [TRAINS[turn % 3] for turn in range(60)]
        dialogue = Dialogue("d", "\n".join(f"#Person{turn % 2 + 1}#: {text}" for turn, text in enumerate(texts)))
        first, *_ = cut_windows(dialogue, count, 900, overlap=0)
        assert first.last == menus
        filled, *_ = cut_windows(dialogue, count, 900, overlap=0, by_topic=False)
        assert filled.last > 27
        assert cut_windows(dialogue, count, 900) == cut_windows(dialogue, count, 900)


def test_a_change_of_topic_in_the_first_part_of_a_window_does_not_end_it() -> None:
    texts = [MENUS[turn % 3] for turn in range(10)] + [TRAINS[turn % 3] for turn in range(60)]
    dialogue = Dialogue("d", "\n".join(f"#Person1#: {text}" for text in texts))
    first, *_ = cut_windows(dialogue, count, 900, overlap=0)
    assert 19 <= first.last <= 29


def test_a_turn_that_is_too_long_is_divided_at_sentences() -> None:
    long = "첫 문장입니다. 둘째 문장은 조금 더 깁니다! 셋째는 3.5점짜리 문장입니다. 끝."
    dialogue = Dialogue("d", f"민지: 네\n도윤: {long}\n민지: 네, 네")
    windows = cut_windows(dialogue, count, INSTRUCTION + 30, overlap=0)
    parts = [turn.text for window in windows for turn in window.dialogue.turns if turn.speaker == "도윤"]
    assert parts == ["첫 문장입니다. 둘째 문장은 조금 더 깁니다!", "셋째는 3.5점짜리 문장입니다. 끝."]
    assert [window.divided for window in windows if window.divided] == [(2,)] * 2
    assert all("도윤: " in window.dialogue.text for window in windows if window.divided)


def test_a_sentence_that_is_too_long_is_divided_at_words_and_a_word_anywhere() -> None:
    dialogue = Dialogue("d", "가나다 라마바 사아자차카타파하")
    assert shown(cut_windows(dialogue, count, INSTRUCTION + 8, overlap=0)) == ["가나다 라마바", "사아자차카타파하"]
    assert shown(cut_windows(dialogue, count, INSTRUCTION + 3, overlap=0)) == [
        *("가나다", "라마바", "사아자", "차카타", "파하"),
    ]


def test_windows_as_long_as_wanted() -> None:
    dialogue = Dialogue("d", "\n".join("가나다라마바사" for _ in range(12)))
    windows = cut_windows(dialogue, count, INSTRUCTION + 90, characters=32, overlap=1)
    assert [window.last - window.first + 1 for window in windows] == [4, 4, 4]
    # A turn that fits into the prompt is not divided.
    long = Dialogue("d", "\n".join(["가" * 60] * 3))
    assert shown(cut_windows(long, count, INSTRUCTION + 90, characters=32, overlap=1)) == ["가" * 60] * 3


def test_an_instruction_that_fills_the_prompt_is_refused() -> None:
    with raises(PromptError) as error:
        cut_windows(Dialogue("d", "#Person1#: 네"), count, INSTRUCTION + 11)
    assert error.message == snapshot("d: the instruction alone fills the prompt; raise prompt.max_prompt_tokens")


def test_prompts_are_counted_a_few_times_for_each_window() -> None:
    dialogue = Dialogue("d", "\n".join("#Person1#: 가나다라마바사" for _ in range(2000)))
    tokens: list[int] = []

    def counted(part: Dialogue) -> int:
        tokens.append(count(part))
        return tokens[-1]

    windows = cut_windows(dialogue, counted, 1000)
    assert len(windows) > 30
    assert sum(tokens) < 6 * count(dialogue)


def test_marks_in_a_row_are_no_ends_of_sentences() -> None:
    text = "." * 100_000 + "가"
    windows = cut_windows(Dialogue("a", f"민지: {text}"), count, 40_000)
    assert "".join(turn.text for window in windows for turn in window.dialogue.turns) == text


def test_turns_without_words_do_not_make_the_search_for_topics_longer() -> None:
    dialogue = Dialogue("a", "\n".join(["민지: 네", *["민지:"] * 9_999]))
    windows = cut_windows(dialogue, count, len(dialogue.text) // 2)
    assert (windows[0].first, windows[-1].last) == (1, 10_000)


def test_many_turns_that_do_not_fit_are_divided() -> None:
    dialogue = Dialogue("a", "\n".join(["민지: 가나다라마바사 아자차카타파하"] * 2_000))
    windows = cut_windows(dialogue, count, INSTRUCTION + 13, overlap=0)
    assert "".join(letters(turn.text) for one in windows for turn in one.dialogue.turns) == (
        "가나다라마바사아자차카타파하" * 2_000
    )
