"""The summarizer gives the same summaries from a run, from its merged folder, and as `generate` writes them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from inline_snapshot import snapshot
from messages import plain, raises
from tiny_run import make_run

from llm_summ.core.errors import PromptError, RunError
from llm_summ.core.progress import LOGGER, set_display
from llm_summ.data import Dialogue, read_dialogues
from llm_summ.generate.job import prepare
from llm_summ.generate.summarizer import Summarizer
from llm_summ.generate.summary import Summary
from llm_summ.merge.job import MergeRequest, merge
from llm_summ.post import post_process
from llm_summ.predictions.finished import RawTexts
from llm_summ.predictions.prediction import Prediction
from llm_summ.runs.run import Run

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:::transformers")]

FLOAT32 = ("generate.dtype=float32",)
DIALOGUES = read_dialogues("sample:dev")


@pytest.fixture(scope="module")
def run(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("summarizer"), tiny_model)


@pytest.fixture(scope="module")
def merged(run: Run) -> Path:
    """A copy of the merged folder outside its run."""
    folder = merge(run, MergeRequest(dtype="float32", verify=False)).folder
    return shutil.copytree(folder, run.path.parent.parent / "given away")


def generated(run: Run, into: Path, *settings: str) -> list[Prediction]:
    """Return the texts that `generate` writes, by dialogue and candidate."""
    overrides = [*FLOAT32, *settings]
    [file] = prepare(run, sources=["sample:dev"], engine_name="hf", overrides=overrides, into=into).run()
    place = {dialogue.id: index for index, dialogue in enumerate(DIALOGUES)}
    return sorted(file.read(), key=lambda one: (place[one.fname], one.sample))


def summaries(where: Run | Path, *settings: str, dialogues: Sequence[Dialogue] = DIALOGUES) -> list[Summary]:
    with Summarizer.open(where, engine="hf", overrides=[*FLOAT32, *settings]) as summarizer:
        return summarizer.summarize(dialogues)


def test_a_run_and_its_merged_folder_write_what_generate_writes(run: Run, merged: Path, tmp_path: Path) -> None:
    expected = generated(run, tmp_path)
    cut_off = [one.finish_reason == "length" for one in expected]
    texts = post_process(
        [one.summary for one in expected], cut_off, run.recipe().post, [one.text for one in DIALOGUES]
    ).texts
    found = summaries(run)
    assert [summary.prediction for summary in found] == expected
    assert [summary.text for summary in found] == texts
    assert len(set(texts)) > 1
    by_folder = summaries(merged)
    assert [replace(summary.prediction, logprob=None) for summary in by_folder] == [
        replace(one, logprob=None) for one in expected
    ]
    assert [summary.text for summary in by_folder] == texts


def test_a_folder_that_is_not_merged_from_this_adapter_writes_other_texts(merged: Path, run: Run) -> None:
    """The adapter is in the folder's weights: the base alone writes other texts."""
    from llm_summ.recipe import load_recipe

    assert (merged / "recipe.yaml").is_file()
    assert load_recipe(merged / "recipe.yaml").model.base == "tiny"
    base = merged.with_name("base")
    shutil.copytree(merged, base)
    shutil.copyfile(Path(run.recipe().model.base) / "model.safetensors", base / "model.safetensors")
    assert [one.raw for one in summaries(base)] != [one.raw for one in summaries(merged)]


def test_a_merged_folder_shows_the_examples_that_the_prompt_was_trained_with(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, tiny_model, examples=2)
    folder = merge(run, MergeRequest(dtype="float32", verify=False)).folder
    assert plain(capsys.readouterr().err) == snapshot(
        "Merging the adapter into …/tiny (float32) -> …/runs/tiny/merged\n"
        "…/runs/tiny/merged/examples.jsonl: training dialogues, for the few-shot prompt; --push does not "
        "upload them\n"
    )
    assert "A prompt as the model sees it" not in (folder / "README.md").read_text(encoding="utf-8")
    given_away = shutil.copytree(folder, tmp_path / "given away")
    expected = summaries(run)
    found = summaries(given_away)
    assert [replace(one.prediction, logprob=None) for one in found] == [
        replace(one.prediction, logprob=None) for one in expected
    ]
    with Summarizer.open(given_away, engine="echo") as summarizer:
        assert all(row.examples for row in summarizer.render(DIALOGUES))
    (given_away / "examples.jsonl").unlink()
    with raises(RunError) as error:
        Summarizer.open(given_away, engine="echo")
    assert error.message == snapshot(
        "…/given away/examples.jsonl: no such file, but the prompt shows examples; put it back, or train "
        "the run again"
    )


def test_the_steps_that_changed_a_text_are_named(run: Run) -> None:
    steps = ("generate.max_new_tokens=30", "post=[strip,join_lines,collapse_whitespace,cut_unfinished]")
    found = summaries(run, *steps)
    assert any(summary.changed_by for summary in found)
    for summary in found:
        assert bool(summary.changed_by) == (summary.text != summary.raw)
    assert [summary.text for summary in summaries(run, *steps[:1], "post=[]")] == [one.raw for one in found]


def test_of_several_candidates_one_is_chosen(run: Run, tmp_path: Path) -> None:
    settings = ("generate.n=3", "generate.temperature=1.0")
    candidates = generated(run, tmp_path, *settings)
    finished = RawTexts.of(candidates, [one for one in DIALOGUES for _ in range(3)]).finish(run.recipe().post)
    texts = dict(zip(candidates, finished.texts, strict=True))
    found = summaries(run, *settings)
    for place, summary in enumerate(found):
        assert summary.prediction in candidates[3 * place : 3 * place + 3]
        assert summary.text == texts[summary.prediction]
    assert {summary.prediction.sample for summary in found} > {0}


def test_an_engine_without_a_model_works_too(run: Run, merged: Path) -> None:
    for where in (run, merged):
        with Summarizer.open(where, engine="echo") as summarizer:
            [summary] = summarizer.summarize(DIALOGUES[:1])
        assert summary.text.startswith(DIALOGUES[0].text.splitlines()[0].strip())
        assert (summary.id, summary.finish_reason) == (DIALOGUES[0].id, "stop")


def test_prompts_that_do_not_fit_are_refused_with_every_reason(run: Run) -> None:
    endless = Dialogue("endless", "#Person1#: " + "가나다 " * 5000)
    with Summarizer.open(run, engine="echo") as summarizer, raises(PromptError) as error:
        summarizer.summarize([*DIALOGUES[:1], endless])
    assert error.message == snapshot(
        "a row: the instruction and one turn have more than 1024 tokens; raise prompt.max_prompt_tokens (endless)"
    )


def test_prompts_that_the_model_cannot_read_are_refused(run: Run) -> None:
    longer = "generate.max_new_tokens=3000"  # the model has a context of 2,048 tokens
    with (
        Summarizer.open(run, engine="hf", overrides=[longer]) as summarizer,
        raises(PromptError) as error,
    ):
        summarizer.summarize(DIALOGUES[:2])
    assert error.message == snapshot(
        "dialogues: 2 rows of up to 3382 tokens with 3000 new ones; …/tiny takes 2048; lower "
        "generate.max_new_tokens or prompt.max_prompt_tokens (dev_0, dev_1)"
    )


def test_a_merged_folder_lacks_what_only_a_run_has(merged: Path) -> None:
    with raises(RunError) as error:
        Summarizer.open(merged, engine="echo", overrides=["post=[cut_to_limit]"])
    assert error.message == snapshot(
        "…/given away/limits.json: no such file, and the step cut_to_limit needs it; open the run "
        "instead, or leave the step out with post=[…]"
    )


def test_a_library_call_prints_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(LOGGER, "handlers", [])
    before = set_display(None)
    try:
        assert summaries(run, dialogues=DIALOGUES[:2])
    finally:
        set_display(before)
    assert capfd.readouterr() == ("", "")
