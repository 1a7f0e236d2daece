r"""Rules that find personal data in Korean text: numbers by their form, and by the word that they belong to.

Many numbers have no form of their own: 110-284-771930 is an account or an order. The nearest keyword decides, in
the same turn or the one before (계좌, 주문번호). A number that belongs to another word (주문번호, 인증번호) is no
personal data, unless its form is unmistakable, as a mobile phone's is. Spoken numbers (공일공 …) count, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

__all__ = ["PersonalData", "find_personal_data"]


class PersonalData(NamedTuple):
    """A piece of personal data: its kind as in a mask (``PhoneNumber``), its first index, the index after it."""

    kind: str
    start: int
    end: int


_TOPICS = re.compile(
    "(?P<other>주문|접수|송장|예약|상품|제품|모델|일련|시리얼|버전|사업자|우편|인증|승인|코드|비밀번호|편명|학번|사번|사건|문서|ISBN"
    "|파티|선물|잔치|케이크|만료|유효기간|개봉|입사|창립|설립|마감|한도|서버|아이피|IP|사진)"
    "|(?P<CardNumber>계좌|통장|예금|입금|송금|이체|은행|뱅크|농협|신한|우체국|금고|환불|카드)"
    "|(?P<PhoneNumber>전화|연락|휴대폰|핸드폰|폰번호|폰 번호|팩스|국번|교환)"
    "|(?P<SSN>주민(?!센터)|외국인등록)|(?P<PassportNumber>여권)"
    "|(?P<CarNumber>차량|차 ?번호|번호판|주차|오토바이|렌터카)"
    "|(?P<DateOfBirth>생년|생일|생신|태어[나났]|출생)|(?P<Address>주소|배송지|어디로 보내)",
    re.IGNORECASE,
)
_BEFORE, _AFTER = 40, 14  # characters in which a keyword counts


def _topic(text: str, start: int, end: int) -> str:
    """Return the kind of the nearest keyword before a match, or else after it; empty if there is none.

    ``other`` is a keyword before it of what is no personal data; after it, ``doubtful``.
    """
    for keyword in reversed([*_TOPICS.finditer(text, max(0, start - _BEFORE), start)]):
        taken = keyword.lastgroup == "other" and any(map(str.isdigit, text[keyword.end() : start]))
        if not taken:  # by a number between the two
            return keyword.lastgroup or ""
    line_end = text.find("\n", end, end + _AFTER)
    after = _TOPICS.search(text, end, line_end if line_end >= 0 else end + _AFTER)
    kind = (after and after.lastgroup) or ""
    return "doubtful" if kind == "other" else kind


_LONE, _END = r"(?<![0-9A-Za-z_.*+\-])", r"(?![\d*]|-[\d*])"  # no part of a longer number
_FIGURE = "[0-9*]"
_SPOKEN = "[공영일이삼사오육칠팔구]"
_PAUSE = r"(?:[ ,.\-]|에|다시)*"
_MONTH, _DAY = "(?:1[0-2]|0?[1-9])", "(?:3[01]|[12][0-9]|0?[1-9])"
_MM, _DD = "(?:0[1-9]|1[0-2])", "(?:0[1-9]|[12][0-9]|3[01])"
_DATE = (
    rf"(?:(?<![\d.\-/])(?:(?:19|20)?[0-9]{{2}}년 ?{_MONTH}월 ?{_DAY}일|{_MONTH}월 ?{_DAY}일"
    rf"|(?:19|20)?[0-9]{{2}}(?P<sep>[./-]) ?{_MONTH}(?P=sep) ?{_DAY}(?![0-9])\.?"
    rf"|(?:19|20)?[0-9]{{2}}{_MM}{_DD}(?![0-9]))"
    "|(?<![가-힣])[공영일이삼사오육칠팔구십]{2,6}년 ?[일이삼사오육유칠팔구시십]{1,2}월 ?"
    "[일이삼사오육칠팔구십]{1,3}일)"
)
_UNITS = (
    "(?! ?(?:분|초|시간|시|개|명|원|만|억|천|달러|유로|엔|위안|프로|년|월|일|미터|킬로|km|m|%|퍼센트|번 출구"
    "|호선|위|점|배|살|회|세대|층짜리|평))"
)
_ROAD = (
    "(?!앞으로|옆으로|위로|아래로|뒤로|바로|따로|서로|새로|별로|주로)"
    "(?:[가-힣]{0,10}[가-힣0-9](?<!으)대?로|[가-힣0-9]{1,10}길)"
)
_PLATE = "[가나다라마거너더러머버서어저고노도로모보소오조구누두루무부수우주아바사자하허호배]"
_REGION = (
    "(?:서울|부산|대구|인천|광주|대전|울산|세종|경기|강원|충청[남북]|충[남북]|전라[남북]|전[남북]|경상[남북]|경[남북]|제주)"
    "(?:특별자치시|특별시|광역시|특별자치도|시|도)?"
)
_DISTRICTS = rf"(?:{_REGION} )?(?:[가-힣]{{1,4}}[시군] )?(?:[가-힣]{{1,4}}구 )?(?:[가-힣]{{1,5}}[읍면] )?"
_NUMBER = "(?:산 ?)?[0-9]{1,4}(?:-[0-9]{1,4})?(?![0-9-])(?:번지)?"
_FLAT = "(?:,? ?[0-9]{1,4}(?:동(?: ?[0-9]{1,4}호)?|층(?! ?짜리)(?: ?[0-9]{2,4}호)?|호))?"
_STREET = rf"(?:{_ROAD} ?(?:[0-9]{{1,3}}번?길 ?)?{_NUMBER}|[가-힣]{{1,5}}[0-9]?[동리가] ?{_NUMBER})"
_ENGLISH_STREET = "(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Drive)"
_FOREIGN_STREET = "(?:스트리트|애비뉴|애버뉴|드라이브|불러바드|레인)"
_BUILDING = "(?:아파트|빌라|오피스텔|맨션|자이|래미안|푸르지오|힐스테이트|아이파크)"


def _any(_: re.Match[str], topic: str) -> bool:
    return True


def _is(*kinds: str) -> Callable[[re.Match[str], str], bool]:
    return lambda _, topic: topic in kinds


def _is_not(*kinds: str) -> Callable[[re.Match[str], str], bool]:
    return lambda _, topic: topic not in kinds


_is_phone = _is("", "PhoneNumber")


def _luhn(match: re.Match[str], topic: str) -> bool:
    """Return whether the check digit of a card is right, or the text is about cards (ISO/IEC 7812-1)."""
    digits = [int(figure) for figure in match[0] if figure.isdigit()]
    doubled = [digit if index % 2 else sum(divmod(2 * digit, 10)) for index, digit in enumerate(digits)]
    return topic == "CardNumber" or (topic != "other" and sum(doubled) % 10 == 0)


def _resident(match: re.Match[str], topic: str) -> bool:
    """Return whether the check digit of a resident number is right, or the text is about one."""
    digits = [int(figure) for figure in match[0]]
    weights = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)
    total = sum(digit * weight for digit, weight in zip(digits, weights, strict=False))
    return topic == "SSN" or (topic == "" and (11 - total % 11) % 10 == digits[-1])


def _account(match: re.Match[str], topic: str) -> bool:
    """Return whether groups of digits are an account: by keyword, or by their lengths, which banks alone have."""
    groups = tuple(map(len, match[0].split("-")))
    if not 10 <= sum(groups) <= 16:
        return False
    shape = groups in {(3, 3, 6), (6, 2, 6), (4, 3, 6), (3, 4, 4, 2), (3, 6, 2, 3), (3, 6, 5)}
    return topic == "CardNumber" or (shape and topic == "")


def _birth(match: re.Match[str], topic: str) -> bool:
    text, end = match.string, match.end()
    born = re.compile(r"(?: ?생(?=[이입인예,.\s]|$)|에? ?태어[나났]|에? ?출생)").match(text, end)
    return topic == "DateOfBirth" or (born is not None and topic != "other")


def _address(match: re.Match[str], topic: str) -> bool:
    """Return whether a street and a number are an address: with a district, a 번지 or a flat, or by keyword."""
    return topic == "Address" or any(map(match.group, ("district", "flat"))) or "번지" in match[0]


class _Rule(NamedTuple):
    kind: str
    pattern: re.Pattern[str]
    applies: Callable[[re.Match[str], str], bool] = _any


def _rule(kind: str, pattern: str, applies: Callable[[re.Match[str], str], bool] = _any) -> _Rule:
    return _Rule(kind, re.compile(pattern), applies)


_AT = "(?: ?(?:골뱅이|앳|@) ?| at )"
_HOSTS = "(?:네이버|지메일|한메일|다음|핫메일|네이트|구글|[A-Za-z]{2,})"
# Earlier rules win where two find the same characters.
_RULES = (
    _rule("Email", r"(?<![A-Za-z0-9._%+\-])[A-Za-z0-9._%+\-]+@(?:[A-Za-z0-9\-]+\.)+[A-Za-z]{2,}"),
    _rule("Email", r"(?<![A-Za-z0-9._%+\-])[A-Za-z0-9._%+\-]+@[\w\-]+(?:\.[\w\-]+)*\.(?:한국|[A-Za-z]{2,})"),
    _rule("Email", rf"(?<![\w.\-])[\w.\-]+{_AT}{_HOSTS} ?(?:점|쩜|닷|dot|\.)? ?(?:컴|넷|com|net)"),
    _rule("SSN", rf"{_LONE}[0-9]{{2}}{_MM}{_DD} ?- ?[1-8](?:[0-9]{{6}}|\*{{6}}){_END}"),
    _rule("SSN", rf"{_LONE}[0-9]{{6}}[ -][1-8]{_FIGURE}{{6}}{_END}", _is("SSN")),
    _rule("SSN", rf"{_LONE}[0-9]{{2}}{_MM}{_DD}[1-8][0-9]{{6}}{_END}", _resident),
    _rule("SSN", rf"(?<=뒷자리)[^0-9\n]{{0,12}}?\n?(?P<value>[1-8][0-9]{{6}}|{_SPOKEN}{{7}}){_END}", _is("SSN")),
    _rule("PhoneNumber", rf"(?<![\d.*\-])01[016789][-. )]?{_FIGURE}{{3,4}}[-. ]?{_FIGURE}{{4}}{_END}"),
    _rule("PhoneNumber", rf"(?<![\d+])\+[0-9]{{1,3}}[- ]\(?[0-9]{{1,4}}\)?(?:[- ][0-9]{{3,4}}){{1,2}}{_END}"),
    _rule(
        "PhoneNumber",
        r"(?<![\d.*\-])\(?0(?:2|3[1-3]|4[1-4]|5[1-5]|6[1-4]|70|80|50[0-9])\)?"
        rf"[-. ]?{_FIGURE}{{3,4}}[-. ]{_FIGURE}{{4}}{_END}",
        _is_not("other"),
    ),
    _rule("PhoneNumber", rf"{_LONE}0[2-7][0-9]{{7,9}}{_END}", _is("PhoneNumber")),
    _rule("PhoneNumber", rf"{_LONE}1(?:5[2-9]|6[0-9]|8[0-9])[0-9]-[0-9]{{4}}{_END}(?! ?년)", _is_phone),
    _rule("PhoneNumber", rf"(?<![\d\-])\(?[0-9]{{3}}\)?[-. ][0-9]{{3}}[-. ][0-9]{{4}}{_END}", _is_phone),
    _rule("PhoneNumber", rf"{_LONE}[0-9]{{3,4}}-[0-9]{{4}}{_END}", _is("PhoneNumber")),
    _rule(
        "PhoneNumber",
        rf"(?<![가-힣])공 ?일 ?[공일육칠팔구]{_PAUSE}(?:{_SPOKEN} ?){{3,4}}{_PAUSE}(?:{_SPOKEN} ?){{3}}{_SPOKEN}",
    ),
    _rule(
        "CardNumber",
        rf"{_LONE}[2-9][0-9]{{3}}(?P<gap>[- ])(?:{_FIGURE}{{4}}(?P=gap)){{2}}{_FIGURE}{{4}}{_END}",
        _is_not("other"),
    ),
    _rule("CardNumber", rf"{_LONE}[2-9][0-9]{{15}}{_END}", _luhn),
    _rule("CardNumber", rf"{_LONE}3[47][0-9]{{2}}[- ][0-9]{{6}}[- ][0-9]{{5}}{_END}", _is_not("other")),
    _rule("DateOfBirth", _DATE, _birth),
    _rule(
        "PassportNumber",
        rf"(?<![A-Za-z0-9])[MSROG](?:[0-9]{{8}}|[0-9]{{3}}[A-Z][0-9]{{4}}){_END}(?![A-Za-z])",
        _is_not("other"),
    ),
    _rule("PassportNumber", rf"(?<![A-Za-z0-9])[A-Z]{{0,2}}[0-9]{{7,9}}{_END}(?![A-Za-z])", _is("PassportNumber")),
    _rule(
        "CarNumber",
        rf"(?:(?<![가-힣]){_REGION} ?)?(?<![0-9])[0-9]{{2,3}} ?{_PLATE} ?[0-9]{{4}}(?![0-9])"
        "(?! ?(?:년|원|명|개|분|회|건|만|천|미터|킬로|km))",
        _is_not("other"),
    ),
    _rule("CarNumber", r"(?<![가-힣])[가-힣]{2,4} [가-하] ?[0-9]{4}(?![0-9])", _is("CarNumber")),
    _rule("CardNumber", rf"{_LONE}[0-9]{{2,6}}(?:-[0-9]{{1,8}}){{2,4}}{_END}", _account),
    _rule("CardNumber", rf"{_LONE}[0-9]{{10,14}}{_END}(?! ?(?:원|회|명))", _is("CardNumber")),
    _rule("Address", rf"(?<![가-힣0-9])(?P<district>{_DISTRICTS}){_STREET}{_UNITS}(?P<flat>{_FLAT})", _address),
    _rule("Address", rf"(?<![가-힣0-9])[가-힣]{{1,10}}{_BUILDING} ?(?:[0-9]{{1,4}}동 ?)?[0-9]{{2,4}}호"),
    _rule("Address", r"(?<![가-힣0-9\-])[0-9]{3,4}동 ?[0-9]{3,4}호"),
    _rule("Address", rf"(?<![0-9A-Za-z])[0-9]{{1,5}} (?:[A-Z][a-z]+ ){{1,3}}{_ENGLISH_STREET}(?![A-Za-z])"),
    _rule("Address", rf"(?<![가-힣0-9])[가-힣]{{2,8}} ?{_FOREIGN_STREET} [0-9]{{1,5}}(?:번지)?{_UNITS}"),
)

# One character for one, so that indexes stay: full-width letters and digits, dashes, the asterisk's relatives.
_PLAIN = {ord("０") + digit: ord("0") + digit for digit in range(10)}
_PLAIN |= {ord("Ａ") + letter: ord("A") + letter for letter in range(26)}
_PLAIN |= {ord("ａ") + letter: ord("a") + letter for letter in range(26)}
_PLAIN |= dict.fromkeys(map(ord, "‐‑‒–—―−－"), ord("-")) | {
    ord("＠"): ord("@"),
    ord("．"): ord("."),
    ord("＊"): ord("*"),
}
_PLAIN |= dict.fromkeys(map(ord, "\u00a0\u2009\u202f\u3000\t"), ord(" "))


def find_personal_data(text: str) -> Iterator[PersonalData]:
    """Find the personal data of a text, which may be a whole dialogue; no piece contains a line break.

    Yields:
        each piece, in the order of the text; no two overlap.
    """
    plain = text.translate(_PLAIN)
    taken = bytearray(len(plain))
    found: list[PersonalData] = []
    for rule in _RULES:
        for match in rule.pattern.finditer(plain):
            start, end = match.span("value" if "value" in rule.pattern.groupindex else 0)
            if not any(taken[start:end]) and rule.applies(match, _topic(plain, start, end)):
                taken[start:end] = b"\1" * (end - start)
                found.append(PersonalData(rule.kind, start, end))
    yield from sorted(found, key=lambda data: data.start)
