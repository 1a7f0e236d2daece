"""How a word ends when it is read aloud in Korean, on which the form of a particle behind it depends.

Hangul is read as it is written, numbers as Sino-Korean numerals (3 삼, 100 백), abbreviations letter by letter
(LG 엘지), and other Latin words as the rules for loanwords (외래어 표기법) spell them: Amy 에이미, Jane 제인,
Jack 잭, Kate 케이트. Latin spelling does not show every reading: `_EXCEPTIONS` lists words that the rules miss.
"""

from __future__ import annotations

import re
import unicodedata
from enum import Enum

__all__ = ["Ending", "ending"]


class Ending(Enum):
    """The last sound of a reading."""

    VOWEL = "vowel"
    L = "l"  # ㄹ, after which the particle is 로
    CONSONANT = "consonant"


_BRACKETED = re.compile(r"\s*(?:\([^()]*\)|\[[^\[\]]*\])[^\w%+&]*\Z")
_AFTER = re.compile(r"[^\w%+&]+\Z")
_NUMBER = re.compile(r"([0-9]+(?:,[0-9]{3})*)(\.[0-9]+)?([A-Za-z]{0,2})\Z")
_LATIN = re.compile(r"[A-Za-z][A-Za-z'’.]*\Z")

_OF_DIGITS = {
    **dict.fromkeys("036", Ending.CONSONANT),  # 영 삼 육
    **dict.fromkeys("178", Ending.L),  # 일 칠 팔
    **dict.fromkeys("2459", Ending.VOWEL),  # 이 사 오 구
}
_OF_UNITS = {
    **dict.fromkeys(("g", "kg", "mg", "t"), Ending.CONSONANT),  # 그램, 톤
    **dict.fromkeys(("m", "km", "cm", "mm", "l", "ml", "kb", "mb", "gb", "tb", "hz"), Ending.VOWEL),
}
_OF_LETTERS = {"l": Ending.L, "r": Ending.L, "m": Ending.CONSONANT, "n": Ending.CONSONANT}  # 엘 알 엠 엔
_READ = 100  # letters at the end of a word; names are shorter, and so are the brackets behind them
_ABBREVIATION = 4  # letters; longer words in capitals are names, such as KEVIN
_NAMES_IN_CAPITALS = frozenset(
    {
        *("anne", "bob", "cole", "dale", "dane", "gene", "jack", "jane", "june", "kyle", "nick", "park", "pat"),
        *("rick", "rob", "scot", "zach", "zack"),
    }
)
_EXCEPTIONS = {
    # 박, 브룩, 굿, 백, 빅, 그룹, 잭
    **dict.fromkeys(("park", "brooke", "good", "bag", "big", "group", "zach", "nasdaq"), Ending.CONSONANT),
    # 매트, 세트, 히트, …
    **dict.fromkeys(("matt", "mat", "set", "hit", "net", "kit", "bit", "knit", "depot"), Ending.VOWEL),
    # 대프니, 헤르미온느, 에즈메, 애크미, 펠레, 칠레, …
    **dict.fromkeys(("daphne", "ariadne", "hermione", "esme", "salome", "acme", "anime"), Ending.VOWEL),
    **dict.fromkeys(("ole", "pele", "nestle", "chile"), Ending.VOWEL),
    **dict.fromkeys(("mr", "mrs", "ms", "dr", "jr"), Ending.VOWEL),  # 미스터, 닥터, 주니어, …
}
# The first pattern that fits decides; without any, the reading ends in a vowel (David 데이비드).
_OF_SPELLINGS = (
    (re.compile(r"(?:l|le)\Z"), Ending.L),  # Paul 폴, Kyle 카일
    (re.compile(r"(?:[mn]|[mn]e|ng|mb)\Z"), Ending.CONSONANT),  # Jim 짐, Jane 제인
    # A stop behind a short vowel: Jack 잭, Philip 필립, Bob 밥, Janet 재닛; not Mark 마크, Vincent 빈센트
    (re.compile(r"(?:(?<![aeiou])[aeiouy](?:ck|k|c|pp?|bb?|tt?)|oo?ck|ook|i[aeo]tt?)\Z"), Ending.CONSONANT),
    (re.compile(r"(?:eo|eu|ae)[kpt]\Z"), Ending.CONSONANT),  # Korean names: Minseok 민석, Baek 백
)
_BIG_ZEROS = (
    (20, Ending.VOWEL),
    (16, Ending.CONSONANT),
    (12, Ending.VOWEL),
    (1, Ending.CONSONANT),
)  # 해 경 조 십…억


def ending(word: str) -> Ending | None:
    """Return how the reading of a word, a name or a number ends; None if it has no known reading.

    The last 100 letters are read. Brackets at the end are not (김민수(팀장) ends as 김민수), neither are quotation
    marks, punctuation and emoji. There is no reading of Chinese characters.
    """
    text = unicodedata.normalize("NFC", word[-_READ:])
    while (shorter := _AFTER.sub("", _BRACKETED.sub("", text))) and shorter != text:
        text = shorter
    last = text[-1:]
    if "가" <= last <= "힣":
        final = (ord(last) - ord("가")) % 28
        return Ending.VOWEL if final == 0 else Ending.L if final == 8 else Ending.CONSONANT
    if "ㄱ" <= last <= "ㅎ":  # 기역, 니은, …
        return Ending.L if last == "ㄹ" else Ending.CONSONANT
    if "ㅏ" <= last <= "ㅣ" or (last and last in "%+&"):  # 퍼센트, 플러스, 앤드
        return Ending.VOWEL
    if "ぁ" <= last <= "ヿ":
        return Ending.CONSONANT if last in "んン" else Ending.VOWEL
    if unicodedata.category(last or " ") in {"Nl", "No"}:  # Ⅲ, ②
        return _number(str(int(unicodedata.numeric(last))), "")
    text = unicodedata.normalize("NFKC", text)
    if (number := _NUMBER.search(text)) and (not number[3] or number[3].lower() in _OF_UNITS):
        return _OF_UNITS.get(number[3].lower()) or _number(number[1].replace(",", ""), number[2] or "")
    if latin := _LATIN.search(unicodedata.normalize("NFD", text).replace("\u0301", "")):
        return _latin(latin[0])
    return None


def _number(figures: str, decimals: str) -> Ending:
    zeros = len(figures) - len(figures.rstrip("0"))
    if decimals or figures[0] == "0" or not zeros:
        return _OF_DIGITS[(figures + decimals)[-1]]
    return next(of_zeros for least, of_zeros in _BIG_ZEROS if zeros >= least)


def _latin(written: str) -> Ending:
    letters = re.sub("[^A-Za-z]", "", written)
    word = letters.lower()
    if word in _EXCEPTIONS:
        return _EXCEPTIONS[word]
    abbreviated = letters.isupper() and len(letters) <= _ABBREVIATION and word not in _NAMES_IN_CAPITALS
    if abbreviated or not set(word) & set("aeiouy"):
        return _OF_LETTERS.get(word[-1], Ending.VOWEL)
    spelling = word.replace("qu", "q")
    return next((end for pattern, end in _OF_SPELLINGS if pattern.search(spelling)), Ending.VOWEL)
