"""Korean particles behind a word: 은/는, 이/가, 을/를, 과/와, 으로/로 and others follow the end of its reading.

A particle is written in the form that the word wants, whichever form was there. Behind a word without a known
reading (Chinese characters) both forms are written, 은(는), as Korean forms do.
"""

from __future__ import annotations

import re

from llm_summ.data.readings import Ending, ending

__all__ = ["PARTICLE", "SPACED_PARTICLE", "fitting"]

# Behind a consonant, behind a vowel, behind a word without a reading; then what may follow.
_PAIRS = (
    ("은", "는", "은(는)", "커녕"),
    ("이", "가", "이(가)", ""),
    ("을", "를", "을(를)", ""),
    ("과", "와", "과(와)", "의|는|도|만"),
    ("으로", "로", "(으)로", "서|서는|서의|서도|써|써는|부터|부터는|부터의|부터도|는|도|만|의|까지"),
    ("이랑", "랑", "(이)랑", "은|도|만|의"),
    ("이나", "나", "(이)나", "마"),
    ("이라", "라", "(이)라", "고|고는|고도|며|면|면서|도|든가|든지|서|는|던|던가|니|야|야만|는데|지만|기에"),
    ("이란", "란", "(이)란", ""),
    ("이든", "든", "(이)든", "지|가"),
    ("이여", "여", "(이)여", ""),
    ("이야말로", "야말로", "(이)야말로", ""),
    ("아", "야", "아(야)", ""),
    ("이야", "야", "(이)야", ""),
    ("이에요", "예요", "이에요", ""),
)
_OTHER_SPELLINGS = {
    "가(이)": "가",
    "는(은)": "는",
    "를(을)": "를",
    "와(과)": "와",
    "에요": "예요",
    "이예요": "예요",
}
_COPULA = ("다", "고", "며", "면", "지만")
"""Behind a consonant they need 이 (도윤이다); behind a vowel both are correct (민지이다, 민지다)."""
_PAST = re.compile("(?:이었|였)(?=[가-힣])")

_FORMS: dict[str, tuple[str, str, str, str]] = {}
for _pair in _PAIRS:
    for _form in _pair[:3]:
        _FORMS.setdefault(_form, _pair)  # so that 야 alone is the vocative
_FORMS |= {form: _FORMS[usual] for form, usual in _OTHER_SPELLINGS.items()}
_PARTS = re.compile(
    "(?:"
    + "|".join(
        rf"{re.escape(form)}(?:{_FORMS[form][3]})?" if _FORMS[form][3] else re.escape(form)
        for form in sorted(_FORMS, key=len, reverse=True)
    )
    + ")"
)

PARTICLE = rf"(?:(?:{_PARTS.pattern}|이?(?:{'|'.join(_COPULA)}))(?![가-힣A-Za-z0-9])|{_PAST.pattern})"
"""The pattern of a particle whose form depends on the word right before it."""
SPACED_PARTICLE = (
    "(?:은|는|이|가|을|를|과|와|으로|로|이랑|랑|의|에게|에게서|한테|께서|께|은[(]는[)]|이[(]가[)])"
    "(?![가-힣A-Za-z0-9(])"
)
"""The pattern of a particle that may be behind a space by mistake, as in ``#Person1# 은``."""


def fitting(particle: str, word: str) -> str:
    """Return a particle in the form that it has behind a word.

    Args:
        particle: in any of its forms, with what follows it: ``는``, ``이(가)``, ``로부터``, ``이라고``. A text
            that is no particle, or one with a single form (``에게``), is returned unchanged.
        word: a name, a number, a phrase; see `ending` for what is read.
    """
    end = ending(word)
    if past := _PAST.match(particle):
        return ("였" if end is Ending.VOWEL else "이었") + particle[past.end() :]
    if particle in _COPULA or particle.removeprefix("이") in _COPULA:
        return particle if end is Ending.VOWEL or particle.startswith("이") else f"이{particle}"
    if not _PARTS.fullmatch(particle):
        return particle
    form = next(
        form
        for form in sorted(_FORMS, key=len, reverse=True)
        if particle.startswith(form) and (particle == form or particle[len(form) :] in _FORMS[form][3].split("|"))
    )
    consonant, vowel, unknown, _ = _FORMS[form]
    tail = particle[len(form) :]
    if end is None:
        return unknown + tail
    return (vowel if end is Ending.VOWEL or (end is Ending.L and vowel == "로") else consonant) + tail
