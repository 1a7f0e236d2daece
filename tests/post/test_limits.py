"""Limits of length: cut to whole sentences, fitted by decile, cross-validated, and stored with the run."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from command_line import llm_summ
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import plain, raises

from llm_summ.core.errors import RunError
from llm_summ.data import Dialogue, dialogue_hash
from llm_summ.data.formats import write_table
from llm_summ.data.table import Record, Table
from llm_summ.post import post_process
from llm_summ.post.limits import LengthLimits, dialogues_sha256, learn_limits, limits_for, within
from llm_summ.predictions.identity import PredictionIdentity
from llm_summ.predictions.prediction import Prediction
from llm_summ.predictions.store import PredictionFile
from llm_summ.recipe import DataFields, ModelFields, Recipe
from llm_summ.runs.manifest import Manifest
from llm_summ.runs.run import Run, create_run, mark_latest

TEXT = "#Person1#은 3.5점을 받았습니다. #Person2#는 기뻐합니다. 둘은 집에 갑니다."
SENTENCE = st.text("가나다 #", min_size=1, max_size=12).map(lambda text: f"가{text.strip()}.")


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (None, TEXT),
        (len(TEXT), TEXT),
        (len(TEXT) - 1, "#Person1#은 3.5점을 받았습니다. #Person2#는 기뻐합니다."),
        (41, "#Person1#은 3.5점을 받았습니다. #Person2#는 기뻐합니다."),
        (40, "#Person1#은 3.5점을 받았습니다."),
        (1, "#Person1#은 3.5점을 받았습니다."),  # no less than a sentence
    ],
)
def test_whole_sentences_that_fit(limit: int | None, expected: str) -> None:
    assert within(TEXT, limit) == expected


@given(st.lists(SENTENCE, min_size=1, max_size=6).map(" ".join), st.integers(1, 80))
def test_a_limit_keeps_the_longest_beginning_of_whole_sentences(text: str, limit: int) -> None:
    cut = within(text, limit)
    assert text.startswith(cut)
    assert cut.endswith(".")
    assert within(cut, limit) == cut
    longer = text[len(cut) :].lstrip()
    if len(cut) <= limit and longer:  # another sentence would have been too much
        assert len(text[: text.index(".", len(cut)) + 1]) > limit


@given(st.text("가나. \n:?\"'", max_size=30), st.integers(0, 40))
def test_a_limit_never_empties_a_text_and_is_idempotent(text: str, limit: int) -> None:
    cut = within(text, limit)
    assert text.startswith(cut)
    assert bool(set(cut) & set("가나")) == bool(set(text) & set("가나"))
    assert within(cut, limit) == cut
    limits = LengthLimits((), (limit,), "")
    assert post_process([text], [None], ["cut_to_limit"], [""], limits).texts == [cut]


@given(st.lists(st.text("가나. \n:", max_size=24), min_size=50, max_size=70), st.randoms())
def test_the_step_cuts_to_the_fitted_limits(texts: list[str], rng: random.Random) -> None:
    ids, dialogues = [str(row) for row in range(len(texts))], ["가" * rng.randint(1, 99) for _ in texts]
    ideal = [rng.randint(0, 24) for _ in texts]
    fitted = learn_limits(ids, dialogues, texts, scored(ideal))
    assert LengthLimits.from_json(fitted.limits.to_json()) == fitted.limits
    cut = post_process(texts, [None] * len(texts), ["cut_to_limit"], dialogues, fitted.limits).texts
    assert fitted.in_sample == pytest.approx(np.mean(scored(ideal)(range(len(texts)), cut)))
    assert fitted.in_sample >= fitted.before.mean() - 1e-9


def test_the_limit_depends_on_the_length_of_the_dialogue() -> None:
    limits = LengthLimits((10, 20), (41, None, 5), "")
    assert [limits.of("가" * length) for length in (1, 9, 10, 19, 20, 500)] == [41, 41, None, None, 5, 5]
    assert limits.of(f"\n  {'가' * 9}  ") == 41
    report = post_process([TEXT] * 3, [None] * 3, ["cut_to_limit"], ["가" * 5, "가" * 15, "가" * 25], limits)
    assert [len(text) for text in report.texts] == [41, len(TEXT), 23]
    assert report.changed == {f"cut_to_limit:{limits.mark}": 2}


def scored(ideal: Sequence[int]) -> Callable[[Sequence[int], Sequence[str]], list[float]]:
    """Return 100 points less the characters that a text is longer or shorter than it should be."""
    return lambda rows, texts: [100.0 - abs(len(text) - ideal[row]) for row, text in zip(rows, texts, strict=True)]


def made(rows: int, noise: int) -> tuple[list[str], list[str], list[str], list[int]]:
    """Return ids, dialogues of 10 to 1,000 characters, summaries of six sentences of ten, and ideal lengths."""
    rng = random.Random(1)
    lengths = [rng.randint(10, 1000) for _ in range(rows)]
    ideal = [(20 if length < 500 else 64) + rng.randint(-noise, noise) for length in lengths]
    return (
        [f"row_{row}" for row in range(rows)],
        ["가" * one for one in lengths],
        [("가나다라마바사아자. " * 6).strip()] * rows,
        ideal,
    )


def test_limits_are_found_where_they_are_worth_something() -> None:
    ids, dialogues, texts, ideal = made(400, 3)
    fitted = learn_limits(ids, dialogues, texts, scored(ideal))
    assert len(fitted.limits.limits) == 10
    assert sum(fitted.rows) == 400
    for one, edge in zip(fitted.limits.limits, fitted.limits.edges, strict=False):
        if edge < 450:
            assert one == 31  # two sentences of ten and the space between them, and not a third
    assert fitted.limits.limits[-1] is None
    assert fitted.cut[0] == fitted.rows[0]
    assert fitted.cut[-1] == 0
    assert fitted.after.mean() - fitted.before.mean() > 15
    assert fitted.in_sample == pytest.approx(fitted.after.mean(), abs=2)
    shortened = post_process(texts, [None] * 400, ["cut_to_limit"], dialogues, fitted.limits).texts
    assert fitted.in_sample == pytest.approx(np.mean(scored(ideal)(range(400), shortened)))


def test_limits_found_by_chance_gain_nothing_out_of_fold() -> None:
    rng = random.Random(2)
    ids, dialogues, texts, _ = made(300, 0)
    # A score that does not depend on the length: the best limit of many is best by chance.
    fitted = learn_limits(ids, dialogues, texts, lambda rows, some: [rng.uniform(0, 100) for _ in rows])
    assert fitted.in_sample > fitted.before.mean()
    assert fitted.after.mean() < fitted.in_sample - 1


def test_the_order_of_the_dialogues_does_not_matter() -> None:
    ids, dialogues, texts, ideal = made(120, 20)
    fitted = learn_limits(ids, dialogues, texts, scored(ideal))
    order = random.Random(3).sample(range(120), 120)
    again = learn_limits(
        *([column[row] for row in order] for column in (ids, dialogues, texts)),
        scored([ideal[row] for row in order]),
    )
    assert again.limits == fitted.limits
    assert again.after.tolist() == pytest.approx([fitted.after[row] for row in order])


def test_dialogues_of_one_length_have_one_limit() -> None:
    fitted = learn_limits([str(row) for row in range(60)], ["가" * 9] * 60, [TEXT] * 60, scored([23] * 60))
    assert fitted.limits == LengthLimits((), (40,), dialogues_sha256(["가" * 9] * 60))


def test_too_few_dialogues_are_refused() -> None:
    with raises(RunError) as raised:
        learn_limits(["x"] * 49, ["x"] * 49, ["x"] * 49, scored([1] * 49))
    assert raised.message == snapshot(
        "--learn-limits: found 49 dialogues; expected 50 at least, and hundreds for a reliable result"
    )


@given(st.sets(st.integers(1, 900), max_size=9).map(sorted), st.data())
def test_written_limits_are_read_back(edges: list[int], data: st.DataObject) -> None:
    size = len(edges) + 1
    some = data.draw(st.lists(st.none() | st.integers(1, 999), min_size=size, max_size=size))
    limits = LengthLimits(tuple(edges), tuple(some), "abc")
    assert LengthLimits.from_json(limits.to_json()) == limits
    assert all(one < other for one, other in pairwise(limits.edges))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", snapshot("runs/x/limits.json: not valid JSON (…); learn them again: llm-summ post --learn-limits")),
        ("{", snapshot("runs/x/limits.json: not valid JSON (…); learn them again: llm-summ post --learn-limits")),
        (
            "[]",
            snapshot(
                "runs/x/limits.json: expected an object with edges, limits, learnt_on; learn them again: llm-summ "
                "post --learn-limits"
            ),
        ),
        (
            "null",
            snapshot(
                "runs/x/limits.json: expected an object with edges, limits, learnt_on; learn them again: llm-summ "
                "post --learn-limits"
            ),
        ),
        (
            "3",
            snapshot(
                "runs/x/limits.json: expected an object with edges, limits, learnt_on; learn them again: llm-summ "
                "post --learn-limits"
            ),
        ),
        (
            '{"edges": []}',
            snapshot(
                "runs/x/limits.json: expected an object with edges, limits, learnt_on; learn them again: llm-summ "
                "post --learn-limits"
            ),
        ),
        (
            '{"edges": [], "limits": [3]}',
            snapshot(
                "runs/x/limits.json: expected an object with edges, limits, learnt_on; learn them again: llm-summ "
                "post --learn-limits"
            ),
        ),
    ],
)
def test_a_file_without_limits_is_refused(text: str, message: str) -> None:
    with raises(RunError) as caught:
        LengthLimits.from_json(text, "runs/x/limits.json")
    assert caught.message == message


@pytest.mark.parametrize(
    ("edges", "limits"), [([2, 1], [1, 1, 1]), ([1], [1, 0]), ([1.5], [1, 2]), ([], [True]), ([1, 1], [1, 2, 3])]
)
def test_limits_that_cannot_be_are_refused(edges: list[float], limits: list[int]) -> None:
    with pytest.raises(RunError):
        LengthLimits.from_json(json.dumps({"edges": edges, "limits": limits, "learnt_on": ""}))


@pytest.fixture
def run(in_tmp: Path) -> Run:
    """Make the latest run: its summaries of short dialogues have a sentence too many."""
    rng = random.Random(4)
    nouns = ["사과", "학교", "우산", "기차", "영화", "시계", "바다", "책상", "전화", "편지", "의사", "감자"]
    dialogues = []
    for row in range(100):
        first, second = rng.sample(nouns, 2)
        turns = "\n".join([f"#Person1#: {first} 이야기", f"#Person2#: {second} 이야기"] * (1 if row % 2 else 12))
        summary = f"둘은 {first} 이야기를 합니다." + ("" if row % 2 else f" 그리고 {second} 이야기를 합니다.")
        dialogues.append(Dialogue(f"d_{row}", turns, (summary,)))
    records = [
        Record(at, {"fname": one.id, "dialogue": one.text, "summary": one.references[0]})
        for at, one in enumerate(dialogues, 2)
    ]
    write_table(Table(Path("dev.csv"), ("fname", "dialogue", "summary"), records), Path("dev.csv"))
    recipe = Recipe(model=ModelFields(base="x"), data=DataFields(train="dev.csv", dev="dev.csv"))
    run = create_run(Path("runs") / "mine", recipe, "", Manifest())
    mark_latest(run)
    file = PredictionFile(run.predictions / "dev.hf.jsonl")
    file.begin(PredictionIdentity(engine="hf", adapter="abc"))
    with file.appending() as out:
        for row, one in enumerate(dialogues):
            text = one.references[0] + (" 날씨가 매우 좋다고 합니다." if row % 2 else "")
            out.add(Prediction(one.id, dialogue_hash(one.text), text, 9, "stop"))
    return run


def test_limits_are_fitted_stored_and_used(run: Run) -> None:
    before = json.loads(llm_summ("eval", "dev.csv", "--json").out)
    found = json.loads(llm_summ("post", "--learn-limits", "--json").out)
    assert found["kept"] == "runs/mine/limits.json"
    assert found["before"] == pytest.approx(before["final"])
    assert found["out_of_fold"] == pytest.approx(100)
    assert found["difference"]["low"] > 0
    kept = json.loads(run.limits_path.read_text(encoding="utf-8"))
    assert (kept["edges"], kept["limits"]) == (found["edges"], found["limits"])
    # Nothing uses them until the recipe lists the step.
    assert json.loads(llm_summ("eval", "dev.csv", "--json").out)["final"] == before["final"]
    steps = "strip, cut_to_limit"
    recipe = run.recipe_path.read_text(encoding="utf-8")
    run.recipe_path.write_text(recipe[: recipe.index("post:")] + f"post: [{steps}]\n", encoding="utf-8")
    scored = llm_summ("eval", "dev.csv", "--json")
    after = json.loads(scored.out)
    assert after["final"] == pytest.approx(100)
    assert plain(scored.err) == snapshot(
        "Run: runs/mine (the latest)\n"
        "Predictions: runs/mine/predictions/dev.hf.jsonl\n"
        "runs/mine/limits.json: was fitted on these dialogues; expect a lower score on others\n"
        "warning: 100 of 100 summaries are equal to a reference: are they predictions?\n"
    )
    limits = limits_for(run, ["cut_to_limit"], ["another dialogue"])
    assert limits is not None
    assert after["signature"].endswith(f"post:strip+cut_to_limit:{limits.mark}")
    (run.predictions / "dev.vllm.jsonl").write_bytes((run.predictions / "dev.hf.jsonl").read_bytes())
    chosen = llm_summ("select", "--data", "dev.csv")
    assert chosen.err.count("was fitted on these dialogues") == 1  # two files, one run
    (run.predictions / "dev.vllm.jsonl").unlink()
    shown = llm_summ("post", "--learn-limits")  # again, with the step in the list
    assert "with       100.00 on dialogues that the limits were not fitted on" in shown.out
    assert "to use it" not in shown.out.replace("[strip, cut_to_limit]", "")
    swept = json.loads(llm_summ("post", "--sweep", "--json").out)[0]
    assert next(one for one in swept["worths"] if one["step"] == "cut_to_limit")["rows"] == 50


def test_a_step_without_limits_names_the_command_that_makes_them(run: Run) -> None:
    result = llm_summ("post", "--steps", "cut_to_limit")
    assert result.code == 2
    assert plain(result.err) == snapshot(
        "Run: runs/mine (the latest)\n"
        "Predictions: runs/mine/predictions/dev.hf.jsonl\n"
        "llm-summ: runs/mine/limits.json: no such file, and the step cut_to_limit needs it; llm-summ post "
        "--learn-limits --run mine writes it if limits gain anything; or leave the step out\n"
    )
    assert llm_summ("post", "--learn-limits", "--sweep").code == 2
    run.limits_path.write_text("{}", encoding="utf-8")
    assert plain(llm_summ("post", "--steps", "cut_to_limit").err) == snapshot(
        "Run: runs/mine (the latest)\n"
        "Predictions: runs/mine/predictions/dev.hf.jsonl\n"
        "llm-summ: runs/mine/limits.json: expected an object with edges, limits, learnt_on; learn them "
        "again: llm-summ post --learn-limits\n"
    )
    assert llm_summ("eval", "dev.csv", "--brief").code == 0  # nothing asks for it
    alone = llm_summ("post", "dev.csv", "--data", "dev.csv", "--steps", "cut_to_limit")
    assert plain(alone.err) == snapshot(
        "llm-summ: the step cut_to_limit needs raw predictions in a run's folder, and these are not; "
        "leave it out\n"
    )


def test_a_recipe_with_the_step_can_learn_what_it_needs(run: Run) -> None:
    recipe = run.recipe_path.read_text(encoding="utf-8")
    run.recipe_path.write_text(recipe[: recipe.index("post:")] + "post: [strip, cut_to_limit]\n", encoding="utf-8")
    assert llm_summ("eval", "dev.csv").code == 2
    assert llm_summ("post", "--steps", "strip").code == 0
    without = json.loads(llm_summ("post", "--learn-limits", "--steps", "", "--json").out)
    assert without["recommended"] == ["cut_to_limit"]
    assert llm_summ("eval", "dev.csv").code == 0


def test_limits_that_gain_nothing_are_not_kept(run: Run) -> None:
    path = run.predictions / "dev.hf.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    first = [{**row, "summary": row["summary"].split(".")[0] + "."} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in first), encoding="utf-8")
    shown = llm_summ("post", "--learn-limits")
    assert shown.code == 0
    assert "kept       nothing: limits gain nothing here" in shown.out
    assert not run.limits_path.exists()
