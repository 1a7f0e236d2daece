"""Near-duplicate dialogues: what is found, what is not, and that no list takes too long."""

from __future__ import annotations

import random
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import raises

from llm_summ.core.errors import InputError
from llm_summ.data import read_dialogues
from llm_summ.data.near_duplicates import (
    NearPair,
    compared_text,
    duplicate_groups,
    least_similarity,
    near_duplicates,
)

FERRY = """#Person1#: 여보세요, 해오름 여객선 매표소죠? 내일 아침 배 아직 자리 있어요?
#Person2#: 네, 여덟 시 배는 스무 자리쯤 남았습니다. 몇 분이 가세요?
#Person1#: 어른 둘에 아이 하나요. 차도 실을 수 있나요?
#Person2#: 승용차는 미리 예약하셔야 해요. 차 번호랑 연락처를 불러 주시겠어요?
#Person1#: 제 번호는 #PhoneNumber#이고요, 차는 #CarNumber#예요. 혹시 파도가 높으면 어떻게 되나요?
#Person2#: 출발 두 시간 전에 결항 여부를 문자로 알려 드리고, 결항되면 전액 돌려드려요.
#Person1#: 다행이네요. 강아지도 데려가도 괜찮을까요?
#Person2#: 이동장에 넣으시면 선실 뒤쪽에서 같이 타실 수 있습니다."""
NOODLES = """#Person1#: 어서 오세요. 몇 분이세요?
#Person2#: 두 명이요. 창가 쪽에 앉아도 될까요?
#Person1#: 그럼요. 메뉴 여기 있습니다. 주문하시겠어요?
#Person2#: 들깨칼국수 하나랑 비빔국수 하나 주세요. 면은 좀 푹 삶아 주시고요.
#Person1#: 네, 칼국수는 이십 분쯤 걸리는데 괜찮으세요?
#Person2#: 괜찮아요. 그동안 김치전 먼저 주세요.
#Person1#: 알겠습니다. 더 필요하신 건 없으세요?
#Person2#: 네, 그게 다예요. 감사합니다."""
STEAK = """#Person1#: 어서 오세요. 몇 분이세요?
#Person2#: 네 명이요. 조용한 방이 있으면 좋겠어요.
#Person1#: 안쪽 방으로 모시겠습니다. 메뉴 여기 있습니다. 주문하시겠어요?
#Person2#: 등심 삼 인분하고 된장찌개 두 개 주세요. 고기는 저희가 구울게요.
#Person1#: 네, 숯불을 먼저 올려 드릴게요. 술은 안 하세요?
#Person2#: 운전해야 해서요. 사이다 두 병만 주세요.
#Person1#: 알겠습니다. 더 필요하신 건 없으세요?
#Person2#: 네, 그게 다예요. 감사합니다."""
TAXI_STATION = """#Person1#: 안녕하세요, 어디로 모실까요?
#Person2#: 중앙역으로 가 주세요. 일곱 시 기차를 타야 하는데 늦지 않을까요?
#Person1#: 지금 다리 쪽이 막혀서 강변으로 돌아가는 게 나아요.
#Person2#: 그럼 그렇게 해 주세요. 서쪽 출구에 내려 주시고요.
#Person1#: 다 왔습니다. 만 이천 원입니다.
#Person2#: 카드로 할게요. 감사합니다."""
TAXI_HOSPITAL = """#Person1#: 안녕하세요, 어디로 모실까요?
#Person2#: 대학병원 응급실이요. 아이가 열이 사십 도예요, 서둘러 주세요.
#Person1#: 아이고, 꽉 잡으세요. 비상등 켜고 가겠습니다.
#Person2#: 여기서 우회전하면 더 빠르지 않나요?
#Person1#: 거긴 공사 중이에요. 다 왔습니다. 요금은 됐으니 얼른 들어가 보세요.
#Person2#: 정말 감사합니다, 기사님."""
INVENTED = FERRY, NOODLES, STEAK, TAXI_STATION, TAXI_HOSPITAL


def drop_turn(text: str, turn: int) -> str:
    lines = text.split("\n")
    return "\n".join(lines[:turn] + lines[turn + 1 :])


def swap_speakers(text: str) -> str:
    return text.replace("#Person1#", "#P#").replace("#Person2#", "#Person1#").replace("#P#", "#Person2#")


def replace_words(text: str) -> str:
    """Every seventh word is another."""
    return " ".join("어쩌면" if n % 7 == 3 and "#" not in word else word for n, word in enumerate(text.split(" ")))


def random_text(rng: random.Random, length: int) -> str:
    return "".join(rng.choices("가나다라마바사아자차카타파하고노도로모보소오조초코토포호구누두루 ", k=length))


SAME_LETTERS: dict[str, Callable[[str], str]] = {
    "unchanged": str,
    "speakers swapped": swap_speakers,
    "speakers renamed": lambda text: text.replace("#Person1#", "고객").replace("#Person2#", "Agent 2"),
    "speakers in brackets": lambda text: text.replace("#Person1#:", "[고객]").replace("#Person2#:", "[상담사]"),
    "no space behind speakers": lambda text: text.replace("#Person1#: ", "고객:").replace(
        "#Person2#: ", "김 상담사:"
    ),
    "tags misspelt": lambda text: text.replace("#Person1#:", "# Person 1 # :").replace("#Person2#", "#person2"),
    "tags without a sign": lambda text: text.replace("#Person1#", "#Person1").replace("#Person2#", "Person2#"),
    "tags with another letter": lambda text: text.replace("#Person1#", "# Peron 1 #").replace(
        "#Person2#:", "#Ferson2#："
    ),
    "masks misspelt": lambda text: text.replace("#PhoneNumber#", "# phone number #").replace(
        "#CarNumber#", "#CarNumber"
    ),
    "spaces removed": lambda text: text.replace(" ", ""),
    "lines joined": lambda text: " ".join(text.split("\n")),
    "Windows line ends, empty lines": lambda text: text.replace("\n", "\r\n\r\n"),
    "line breaks written out": lambda text: text.replace("\n", "\\n"),
    "line breaks of HTML": lambda text: text.replace("\n", "<br>"),
    "no punctuation": lambda text: text.replace("?", "").replace(".", "").replace(",", ""),
    "other punctuation": lambda text: text.replace("?", "?!").replace(".", "… ^^"),
    "other masks": lambda text: text.replace("#PhoneNumber#", "#Email#").replace("#CarNumber#", "#SSN#"),
    "decomposed characters": lambda text: unicodedata.normalize("NFD", text),
    "wide signs": lambda text: text.replace(":", "：").replace("?", "？"),
}
NEARLY: dict[str, tuple[Callable[[str], str], float]] = {
    "names and places": (
        lambda text: text.replace("해오름", "달마루").replace("강아지", "고양이").replace("여덟", "아홉"),
        0.95,
    ),
    "masks filled in": (
        lambda text: text.replace("#PhoneNumber#", "02-123-4567").replace("#CarNumber#", "1나3"),
        0.9,
    ),
    "first turn dropped": (lambda text: drop_turn(text, 0), 0.9),
    "fourth turn dropped": (lambda text: drop_turn(text, 3), 0.9),
    "a turn added": (lambda text: text + "\n#Person1#: 그럼 내일 아침 일찍 부두에서 뵐게요. 수고하세요.", 0.9),
    "every seventh word replaced": (replace_words, 0.8),
    "first 80 %": (lambda text: text[: len(text) * 8 // 10], 0.85),
    "last 80 %": (lambda text: text[len(text) * 2 // 10 :], 0.85),
    "several at once": (lambda text: swap_speakers(drop_turn(replace_words(text), 2)).replace(" ", ""), 0.7),
}


@pytest.mark.parametrize("change", SAME_LETTERS.values(), ids=SAME_LETTERS)
def test_what_does_not_touch_the_letters_is_equal(change: Callable[[str], str]) -> None:
    assert near_duplicates([NOODLES, FERRY, STEAK, change(FERRY)]) == [NearPair(1, 3, 1.0)]


@pytest.mark.parametrize(("change", "least"), NEARLY.values(), ids=NEARLY)
def test_a_changed_copy_is_found(change: Callable[[str], str], least: float) -> None:
    (pair,) = near_duplicates([change(FERRY), NOODLES, STEAK, FERRY])
    assert (pair.first, pair.second) == (0, 3)
    assert least <= pair.similarity < 1


def test_other_dialogues_of_the_same_scene_are_not() -> None:
    assert near_duplicates(INVENTED) == []
    assert duplicate_groups(INVENTED) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("#Person1#: 안녕하세요, 무엇을 도와드릴까요?", "#Person1#: 안녕하세요, 어떻게 도와드릴까요?"),
        (
            "#Person1#: 안녕하세요? 어디로 가세요?\n#Person2#: 공항으로 가 주세요.\n#Person1#: 알겠습니다.",
            "#Person1#: 안녕하세요? 어디로 가세요?\n#Person2#: 중앙역으로 가 주세요.\n#Person1#: 알겠습니다.",
        ),
        (
            "#Person1#: 여보세요, 박 과장님 계신가요?\n#Person2#: 지금 안 계신데 메모 남겨 드릴까요?\n"
            "#Person1#: 거래처인데 견적서를 다시 보내 달라고 전해 주세요.\n#Person2#: 네, 알겠습니다.",
            "#Person1#: 여보세요, 이 선생님 계신가요?\n#Person2#: 지금 안 계신데 메모 남겨 드릴까요?\n"
            "#Person1#: 학부모인데 아이가 아파서 결석한다고요.\n#Person2#: 네, 알겠습니다.",
        ),
    ],
)
def test_short_dialogues_that_share_their_formulas_are_not(one: str, other: str) -> None:
    assert near_duplicates([one, other]) == []
    assert near_duplicates([one, one + "!"]) == [NearPair(0, 1, 1.0)]


@pytest.mark.parametrize(
    ("letters", "least"), [(0, 1.0), (39, 1.0), (40, 0.75), (100, 0.5625), (136, 0.51), (160, 0.5), (1000, 0.5)]
)
def test_short_texts_need_more(letters: int, least: float) -> None:
    assert least_similarity(letters, 0.5) == pytest.approx(least)
    assert least_similarity(letters, 1.0) == 1.0


@pytest.mark.parametrize(
    ("text", "compared"),
    [
        ("#Person1#: 전화는 #PhoneNumber#예요.", "전화는예요"),
        ("손님: 네, 두 명이요!\n  점원 : 이쪽으로 오세요~", "네두명이요이쪽으로오세요"),
        ("A: OK\\nB: ＯＫ<br/>C:3시 30분", "okok3시30분"),
        ("이번 주 일정은 이래: 월요일 회의", "이번주일정은이래월요일회의"),
        ("#Person1#:", ""),
        ("", ""),
    ],
)
def test_what_is_compared(text: str, compared: str) -> None:
    assert compared_text(text) == compared


def test_texts_without_letters_are_told_apart_by_what_they_are() -> None:
    texts = ["", "...", "#Person1#: #Email#", " ", "#Person1#: #SSN#", ". ..", "#Person1#:  #Email#"]
    assert near_duplicates(texts) == [NearPair(0, 3, 1.0), NearPair(1, 5, 1.0), NearPair(2, 6, 1.0)]
    assert near_duplicates([]) == []
    assert duplicate_groups([FERRY]) == []


def test_similarity_is_twice_the_common_letters_over_all() -> None:
    rng = random.Random(0)
    common, more, other = (random_text(rng, length).replace(" ", "") for length in (400, 90, 130))
    most = 2 * len(common) / (2 * len(common) + len(more))
    assert near_duplicates([common, common + more]) == [NearPair(0, 1, pytest.approx(most))]
    (pair,) = near_duplicates([common + more, other + common])
    least = 2 * len(common) / (2 * len(common) + len(more) + len(other))
    assert least - 1e-9 < pair.similarity < least + 0.1  # by chance the ends have a few letters in common


def test_what_leaks_is_found_across_files_however_often_it_stands_there() -> None:
    train = [FERRY] * 30 + [NOODLES] + [drop_turn(FERRY, 2)] * 30
    dev = [STEAK, swap_speakers(FERRY), drop_turn(FERRY, 5)] + [TAXI_STATION, drop_turn(FERRY, 1)] * 12
    crossing = {
        pair.second - len(train) for pair in near_duplicates(train + dev) if pair.first < len(train) <= pair.second
    }
    assert crossing == {1, 2, *range(4, 28, 2)}


@pytest.mark.parametrize(
    ("threshold", "message"),
    [
        (0, snapshot("threshold: found 0; expected a number above 0 and at most 1, such as 0.5")),
        (-0.5, snapshot("threshold: found -0.5; expected a number above 0 and at most 1, such as 0.5")),
        (1.1, snapshot("threshold: found 1.1; expected a number above 0 and at most 1, such as 0.5")),
        (float("nan"), snapshot("threshold: found nan; expected a number above 0 and at most 1, such as 0.5")),
    ],
)
def test_a_threshold_out_of_range_is_refused(threshold: float, message: str) -> None:
    with raises(InputError) as error:
        near_duplicates([], threshold=threshold)
    assert error.message == message


def test_a_higher_threshold_finds_less() -> None:
    texts = [FERRY, drop_turn(FERRY, 3), FERRY + "!"]
    assert len(near_duplicates(texts)) == 3
    assert near_duplicates(texts, threshold=1.0) == [NearPair(0, 2, 1.0)]


def test_no_two_dialogues_of_the_sample_are_near() -> None:
    texts = [row.text for part in ("train", "dev", "test") for row in read_dialogues(f"sample:{part}")]
    assert len(texts) == 192
    assert near_duplicates(texts, threshold=0.4) == []


def test_every_dialogue_of_the_sample_is_found_when_it_is_changed() -> None:
    texts = [row.text for row in read_dialogues("sample:train")]
    for change in (replace_words, swap_speakers, lambda text: text[: len(text) * 8 // 10]):
        found = near_duplicates(texts + [change(text) for text in texts])
        assert [(pair.first, pair.second) for pair in found] == [(n, n + len(texts)) for n in range(len(texts))]


def test_importing_it_loads_neither_numpy_nor_rapidfuzz() -> None:
    code = (
        "import sys, llm_summ.data.near_duplicates; "
        "print([name for name in ('numpy', 'rapidfuzz') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_measuring_every_pair_finds_the_same() -> None:
    script = Path(__file__).parents[2] / "scripts" / "bench_near.py"
    command = [sys.executable, str(script), "sample:train", "sample:dev", "--grow", "320", "--subset", "320"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "changed copies found: 160 of 160 (100.00%)" in done.stdout
    assert done.stdout.rstrip().endswith("pairs, the same")


# Copies of the invented dialogues, some of them changed, and things that are none.
CHANGES: list[Callable[[str], str]] = [*SAME_LETTERS.values(), *(change for change, _ in NEARLY.values())]
COPIES = st.builds(lambda change, text: change(text), st.sampled_from(CHANGES), st.sampled_from(INVENTED))
TEXTS = st.lists(COPIES | st.text(max_size=200) | st.text("가나다 #:\n", max_size=200), max_size=24)


@settings(max_examples=60, deadline=None)
@given(TEXTS.map(lambda texts: texts[:8]), st.randoms(use_true_random=False))
def test_the_pairs_do_not_depend_on_the_order(texts: list[str], rng: random.Random) -> None:
    order = list(range(len(texts)))
    rng.shuffle(order)
    shuffled = near_duplicates([texts[row] for row in order])
    back = sorted((*sorted((order[pair.first], order[pair.second])), pair.similarity) for pair in shuffled)
    assert back == [(pair.first, pair.second, pair.similarity) for pair in near_duplicates(texts)]


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.randoms(use_true_random=False))
def test_the_groups_do_not_depend_on_the_order(texts: list[str], rng: random.Random) -> None:
    order = list(range(len(texts)))
    rng.shuffle(order)
    shuffled = duplicate_groups([texts[row] for row in order])
    assert sorted(sorted(order[row] for row in group) for group in shuffled) == duplicate_groups(texts)


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_pairs_are_in_order_and_in_bounds(texts: list[str]) -> None:
    pairs = near_duplicates(texts)
    places = [(pair.first, pair.second) for pair in pairs]
    assert places == sorted(set(places))
    for pair in pairs:
        assert 0 <= pair.first < pair.second < len(texts)
        one, other = compared_text(texts[pair.first]), compared_text(texts[pair.second])
        assert least_similarity(min(len(one), len(other))) <= pair.similarity <= 1
        assert (pair.similarity == 1) == (one == other)


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.text(max_size=60))
def test_every_exact_copy_is_in_the_group_of_the_original(texts: list[str], another: str) -> None:
    rows = [*texts, another, *texts, another]
    group_of = {row: n for n, group in enumerate(duplicate_groups(rows)) for row in group}
    for row in range(len(texts) + 1):
        assert group_of[row] == group_of[row + len(texts) + 1]


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_groups_are_what_the_pairs_join(texts: list[str]) -> None:
    groups = duplicate_groups(texts)
    assert groups == sorted(sorted(group) for group in groups)
    members = [row for group in groups for row in group]
    assert len(members) == len(set(members))
    pairs = near_duplicates(texts)
    assert set(members) == {row for pair in pairs for row in (pair.first, pair.second)}
    for group in groups:
        reached, waiting = set(), [group[0]]
        while waiting:
            row = waiting.pop()
            reached.add(row)
            next_to = {pair.first + pair.second - row for pair in pairs if row in (pair.first, pair.second)}
            waiting += next_to - reached
        assert reached == set(group)


def test_a_dialogue_that_fills_the_file() -> None:
    pairs = near_duplicates([FERRY] * 12_457)
    assert pairs == [NearPair(0, row, 1.0) for row in range(1, 12_457)]
    assert duplicate_groups([FERRY] * 12_457) == [list(range(12_457))]


def test_a_file_repeated_five_times() -> None:
    rng = random.Random(1)
    texts = [random_text(rng, 200) for _ in range(500)]
    assert len(near_duplicates(texts * 5)) == 500 * 10
    assert duplicate_groups(texts * 5) == [list(range(row, 2500, 500)) for row in range(500)]


def test_very_many_that_have_nothing_in_common() -> None:
    rng = random.Random(2)
    assert near_duplicates([random_text(rng, 430) for _ in range(12_457)]) == []


def test_very_many_variants_of_one_are_one_group() -> None:
    rng = random.Random(3)
    words = FERRY.split(" ")
    texts = []
    for _ in range(3000):
        words_now = list(words)
        for place in rng.sample(range(len(words)), 6):
            words_now[place] = random_text(rng, 3)
        texts.append(" ".join(words_now))
    assert duplicate_groups([*INVENTED, *texts]) == [[0, *range(len(INVENTED), len(INVENTED) + len(texts))]]
    assert len(near_duplicates(texts)) < 60_000


def test_very_many_tiny_texts() -> None:
    texts = ["", "가나다", "...", "abc"] * 3000
    assert duplicate_groups(texts) == [list(range(row, 12_000, 4)) for row in range(4)]


def test_a_million_characters() -> None:
    rng = random.Random(4)
    long = random_text(rng, 1_000_000)
    texts = [
        long,
        FERRY,
        long[:900_000] + random_text(rng, 100),
        random_text(rng, 1_000_000),
        "가" * 1_000_000,
        FERRY,
    ]
    (long_pair, ferry_pair) = near_duplicates(texts)
    assert (long_pair.first, long_pair.second) == (0, 2)
    assert 0.9 < long_pair.similarity < 1
    assert ferry_pair == NearPair(1, 5, 1.0)
