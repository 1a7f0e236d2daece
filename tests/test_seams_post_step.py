"""A step of another package: installed next to llm-summ, it cleans up summaries like one of its own."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import llm_summ, refused
from inline_snapshot import snapshot
from messages import raises
from seams import installed, own_registry, write_recipe

from llm_summ.core.errors import InputError
from llm_summ.core.post_step_registry import POST_STEPS, PostStepSpec
from llm_summ.data import read_dialogues
from llm_summ.post import PostInput, post_process

pytestmark = pytest.mark.filterwarnings("ignore:::transformers", "ignore:::trl", "ignore:::torch", "ignore:::peft")

# All of a package with a step: names the dialogue's first speaker, if the summary names none.
TOY = """
from llm_summ.core.post_step_registry import PostStepSpec

TOY = PostStepSpec("toy", "toy_step:name_a_speaker", needs_dialogue=True)


def name_a_speaker(summary):
    if "#" in summary.text or not summary.text:
        return summary.text
    return f"{summary.dialogue.partition(':')[0]}: {summary.text}"
"""


@pytest.fixture
def toy(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with installed(POST_STEPS, "toy_step", TOY, in_tmp / "site", monkeypatch) as facts:
        yield facts


@pytest.fixture
def file() -> Path:
    """Summaries of the sample, each without a tag."""
    path = Path("mine.csv")
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = [[one.id, f"{number}번째 대화입니다. "] for number, one in enumerate(read_dialogues("sample:dev"))]
        csv.writer(file).writerows([["fname", "summary"], *rows])
    return path


def test_a_file_is_cleaned_with_it(toy: Path, file: Path) -> None:
    done = llm_summ("post", str(file), "--data", "sample:dev", "--steps", "strip,toy", "--out", "new.csv")
    assert done.code == 0, done.err
    with Path("new.csv").open(encoding="utf-8", newline="") as new:
        texts = [row["summary"] for row in csv.DictReader(new)]
    assert texts[:2] == ["#Person1#: 0번째 대화입니다.", "#Person1#: 1번째 대화입니다."]
    # A text whose step needs the dialogue is not processed without it.
    assert post_process(["가"], [None], ["toy"], ["#Person2#: 네"]).texts == ["#Person2#: 가"]
    with raises(ValueError) as raised:
        post_process(["가"], [None], ["toy"])
    assert raised.message == snapshot("the step toy needs the dialogues; found None")


def test_its_worth_is_measured(toy: Path, file: Path) -> None:
    [found] = json.loads(llm_summ("post", str(file), "--data", "sample:dev", "--sweep", "--json").out)
    worth = next(one for one in found["worths"] if one["step"] == "toy")
    assert (worth["listed"], worth["rows"]) == (False, len(read_dialogues("sample:dev")))
    assert worth["final_with"] > worth["final_without"]


@pytest.mark.slow
def test_a_recipe_names_it(toy: Path, tiny_model: Path) -> None:
    recipe = write_recipe(Path("mine.yaml"), tiny_model)
    done = llm_summ("sft", str(recipe), "--run", "mine", "--set", "post=[join_lines,strip,toy]")
    assert done.code == 0, done.err
    assert llm_summ("generate", "--run", "mine").code == 0
    done = llm_summ("eval", "dev.csv", "--run", "mine", "--json")
    assert done.code == 0, done.err
    evaluation = json.loads(done.out)
    assert evaluation["signature"].endswith("|post:join_lines+strip+toy")
    assert evaluation["post"]["toy"] > 0
    assert any(row["summary"].startswith("#Person1#: ") for row in evaluation["worst"])


def test_a_misspelt_name_is_refused(toy: Path, file: Path) -> None:
    line = refused(llm_summ("post", str(file), "--data", "sample:dev", "--steps", "strip,tooy"))
    assert line == "--steps: found 'tooy', which is not a step; did you mean toy?"
    write_recipe(Path("mine.yaml"), Path("embedded:gemma-3-270m"))
    line = refused(llm_summ("check", "mine.yaml", "--set", "post=[tooy]"))
    assert line == snapshot(
        "--set post=[tooy]: post: found 'tooy', expected 'clean_characters', 'repair_tags', "
        "'drop_prompt', 'cut_loops', 'drop_repeats', 'repair_speakers', 'strip', 'join_lines', "
        "'collapse_whitespace', 'cut_unfinished', 'whole_sentences', 'cut_to_limit' or 'toy'; did you "
        "mean toy?"
    )


def test_a_package_that_is_broken_is_named(toy: Path, file: Path) -> None:
    (toy / "entry_points.txt").write_text("[llm_summ.post_steps]\ntoy = toy_step:missing\n", encoding="utf-8")
    line = refused(llm_summ("post", str(file), "--data", "sample:dev", "--steps", "toy"))
    assert line == snapshot(
        "entry point toy of llm_summ.post_steps: module 'toy_step' has no attribute 'missing', expected a "
        "PostStepSpec; remove or repair the package that declares it"
    )


def shout(summary: PostInput) -> str:
    return summary.text.rstrip("!") + "!"


def test_a_program_registers_one(monkeypatch: pytest.MonkeyPatch) -> None:
    own_registry(POST_STEPS, monkeypatch)
    POST_STEPS.register(PostStepSpec("shout", f"{__name__}:shout"))
    report = post_process(["좋아요 "], [None], ["strip", "shout"])
    assert (report.texts, report.changed) == (["좋아요!"], {"strip": 1, "shout": 1})
    POST_STEPS.register(PostStepSpec("missing", f"{__name__}:missing"))
    with raises(InputError) as raised:
        post_process(["가"], [None], ["missing"])
    assert raised.message == snapshot(
        "post: missing: cannot load test_seams_post_step:missing (module 'test_seams_post_step' has no "
        "attribute 'missing'); expected module:function from a PostInput to a text"
    )
    with raises(ValueError) as raised:
        POST_STEPS.register(PostStepSpec("strip", "a:b"))
    assert raised.message == snapshot(
        "post step strip: there is another post step of this name; choose another name"
    )
