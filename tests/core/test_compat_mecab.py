"""Canaries: the lattice of python-mecab-ko, as core/compat/mecab.py takes it."""

from __future__ import annotations

import mecab
import pytest
from mecab import utils

from llm_summ.core.compat.mecab import surfaces

pytestmark = pytest.mark.canary


@pytest.mark.parametrize(
    "text", ["", " ", "호킨스 의사는 매년 건강검진을 받는 것을 권장합니다.", "a\n뷁 😀 #Person1#"]
)
def test_surfaces_are_those_of_morphs(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    analyser = mecab.MeCab()
    expected = analyser.morphs(text)
    assert callable(utils.create_lattice)
    assert callable(analyser._tagger.parse)
    assert callable(analyser._tagger.what)
    monkeypatch.setattr(mecab.MeCab, "morphs", lambda *_: pytest.fail("the lattice was not used"))
    assert surfaces(analyser, text) == expected


def test_morphs_serves_without_a_lattice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(utils, "create_lattice")
    assert surfaces(mecab.MeCab(), "좋은 아침") == ["좋", "은", "아침"]
