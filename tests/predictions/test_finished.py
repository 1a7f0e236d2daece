"""From raw texts to finished summaries: what each step changed, the score and its signature."""

from __future__ import annotations

import ast
from pathlib import Path

from inline_snapshot import snapshot
from messages import raises

import llm_summ
from llm_summ.data import Dialogue, dialogue_hash
from llm_summ.post.limits import LengthLimits
from llm_summ.predictions.finished import RawTexts
from llm_summ.predictions.prediction import FinishReason, Prediction
from llm_summ.recipe import PostStep
from llm_summ.score import score_corpus
from llm_summ.score.metric import Metric

DIALOGUES = [
    Dialogue("a", "#Person1#: 몇 시에 만나요?", references=("열 시에 만난다.",)),
    Dialogue("b", "#Person1#: 내일 가요.", references=("내일 간다.", "내일 갑니다.")),
    Dialogue("c", "#Person1#: 네.", references=("그렇다고 한다.",)),
]
STEPS: list[PostStep] = ["strip", "join_lines", "cut_unfinished"]


def prediction(dialogue: Dialogue, text: str, reason: FinishReason) -> Prediction:
    return Prediction(dialogue.id, dialogue_hash(dialogue.text), text, 9, reason)


PREDICTIONS = [
    prediction(DIALOGUES[0], " 열 시에\n만난다. ", "stop"),
    prediction(DIALOGUES[1], "내일 간다. 그리고 그", "length"),
    prediction(DIALOGUES[2], "그렇다고 한다.", "length"),
]


def test_texts_changes_and_cut_off_texts() -> None:
    finished = RawTexts.of(PREDICTIONS, DIALOGUES).finish(STEPS)
    assert finished.texts == ("열 시에 만난다.", "내일 간다.", "그렇다고 한다.")
    assert finished.raw.texts == tuple(one.summary for one in PREDICTIONS)
    assert finished.post == {"strip": 1, "join_lines": 1, "cut_unfinished": 1}
    assert [finished.changed_by(row) for row in range(3)] == [("strip", "join_lines"), ("cut_unfinished",), ()]
    assert finished.by_length == 2


def test_the_score_is_of_the_finished_texts_and_its_signature_names_the_steps() -> None:
    finished = RawTexts.of(PREDICTIONS, DIALOGUES).finish(STEPS)
    references = [one.references for one in DIALOGUES]
    score = finished.score(DIALOGUES)
    assert score == score_corpus(list(finished.texts), references)
    assert finished.sign(score) == f"{score.signature}|post:strip+join_lines+cut_unfinished"
    best = finished.score(DIALOGUES, Metric(aggregate="max"))
    assert best == score_corpus(list(finished.texts), references, aggregate="max")
    raw = RawTexts.of(PREDICTIONS, DIALOGUES).finish([])
    assert raw.texts == raw.raw.texts
    assert raw.sign(score).endswith("|post:none")


def test_limits_are_part_of_the_signature() -> None:
    limits = LengthLimits((), (6,), "0" * 64)
    finished = RawTexts(("네. 둘은 만난다.",), (DIALOGUES[0].text,)).finish(["cut_to_limit"], limits)
    assert finished.texts == ("네.",)
    assert list(finished.post) == [f"cut_to_limit:{limits.mark}"]
    assert finished.by_length == 0  # not known


def test_a_step_that_needs_dialogues_is_refused_without_them() -> None:
    with raises(ValueError) as error:
        RawTexts(("네.",), None).finish(["repair_speakers"])
    assert error.message == snapshot("the step repair_speakers needs the dialogues; found None")


def test_texts_are_post_processed_in_one_place() -> None:
    package = Path(llm_summ.__file__).parent
    callers = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "post_process"
    ]
    assert callers == ["predictions/finished.py"]
