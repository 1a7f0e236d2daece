"""Generation uses exactly the prompt of the training, or an error names the reason why it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot
from messages import raises
from model_families import EXAMPLES, LENGTH, example_pool, make_tokenizer

from llm_summ.core.errors import PromptError, RunError
from llm_summ.core.files import write_json
from llm_summ.data import Dialogue
from llm_summ.prompt import Template, load_template, make_renderer
from llm_summ.prompt.saved_prompt import keep, kept_sha256, trained_renderer
from llm_summ.recipe import DataFields, ModelFields, PromptFields, Recipe
from llm_summ.runs.manifest import Manifest
from llm_summ.runs.run import Run, create_run

DIALOGUE = Dialogue("dev_7", "#Person1#: 책을 #Address#로 보내 주세요.\n#Person2#: 네, 그러겠습니다.")
BOTH = (
    "---\nname: both\ndescription: examples and a length\n---\n"
    "## user\n{% for example in examples %}{{ example.dialogue }}\n{{ example.summary }}\n\n{% endfor %}"
    "{{ dialogue }}\n{{ length }}자\n## answer\n{{ summary }}\n"
)
CHANGED = "was changed after the training, which used another prompt; put it back, or train the run again"
GONE = "no such file; put it back, or train the run again"


@pytest.fixture
def both(tmp_path: Path) -> str:
    """A template that uses all files that a run stores."""
    path = tmp_path / "both.md"
    path.write_text(BOTH, encoding="utf-8")
    return str(path)


def _train(folder: Path, name: str, **fields: Any) -> tuple[Run, Recipe, Template]:
    """A run as after a training, without the weights."""
    template = load_template(name)
    recipe = Recipe(
        model=ModelFields(base="x"),
        data=DataFields(train="train.csv"),
        prompt=PromptFields(template=name, **fields),
    )
    manifest: dict[str, Any] = {"prompt": {"name": template.name, "sha256": template.sha256}}
    run = create_run(folder / "run", recipe, template.text, Manifest.model_validate(manifest))
    keep(
        run,
        LENGTH if template.uses("length") else None,
        example_pool() if template.uses("examples") else None,
    )
    write_json(run.manifest_path, manifest | {"kept": kept_sha256(run)})
    return run, recipe, template


def _asked(run: Run, kind: str = "chatml") -> Any:
    return trained_renderer(run, run.recipe().prompt, make_tokenizer(kind))


@pytest.mark.parametrize("kind", ["base", "chatml", "gemma", "plain-stop"])
def test_the_prompt_that_was_trained_is_asked(tmp_path: Path, both: str, kind: str) -> None:
    run, recipe, template = _train(tmp_path, both, examples=2, max_examples_tokens=300, max_prompt_tokens=700)
    assert sorted(kept_sha256(run)) == ["examples.jsonl", "length.json"]
    Path(both).unlink()  # the run has its own copy
    trained = make_renderer(
        recipe.prompt, make_tokenizer(kind), template=template, examples=example_pool(), length=LENGTH
    )
    asked = _asked(run, kind)
    for dialogue in (DIALOGUE, *EXAMPLES):
        assert asked.prompt(dialogue) == trained.prompt(dialogue)
    assert asked.prompt(DIALOGUE).examples == 2


def test_a_plain_prompt_keeps_nothing_else(tmp_path: Path) -> None:
    run, recipe, _ = _train(tmp_path, "plain")
    assert kept_sha256(run) == {}
    assert _asked(run).prompt(DIALOGUE) == make_renderer(recipe.prompt, make_tokenizer("chatml")).prompt(DIALOGUE)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (
            "prompt.md",
            "자\n",
            "글자\n",
            snapshot(
                "…/run/prompt.md: was changed after the training, which used another prompt; put it back, or "
                "train the run again"
            ),
        ),
        (
            "length.json",
            "0.5",
            "0.25",
            snapshot(
                "…/run/length.json: was changed after the training, which used another prompt; put it back, or "
                "train the run again"
            ),
        ),
        (
            "examples.jsonl",
            "책",
            "글",
            snapshot(
                "…/run/examples.jsonl: was changed after the training, which used another prompt; put it back, or "
                "train the run again"
            ),
        ),
    ],
)
def test_what_was_changed_is_refused(
    tmp_path: Path, both: str, name: str, old: str, new: str, message: str
) -> None:
    run, _, _ = _train(tmp_path, both, examples=2)
    path = run.path / name
    before = path.read_text(encoding="utf-8")
    changed = before.replace(old, new)
    assert changed != before
    path.write_text(changed, encoding="utf-8")
    with raises(RunError) as error:
        _asked(run)
    assert error.message == message
    path.write_text(before, encoding="utf-8")
    assert _asked(run).prompt(DIALOGUE).prompt_ids


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("prompt.md", snapshot("…/run/prompt.md: no such file; put it back, or train the run again")),
        ("length.json", snapshot("…/run/length.json: no such file; put it back, or train the run again")),
        ("examples.jsonl", snapshot("…/run/examples.jsonl: no such file; put it back, or train the run again")),
    ],
)
def test_what_is_missing_is_refused(tmp_path: Path, both: str, name: str, message: str) -> None:
    run, _, _ = _train(tmp_path, both, examples=2)
    (run.path / name).unlink()
    with raises(RunError) as error:
        _asked(run)
    assert error.message == message


def test_other_line_ends_of_the_prompt_are_no_change(tmp_path: Path) -> None:
    run, _, _ = _train(tmp_path, "plain")
    before = _asked(run).prompt(DIALOGUE)
    run.prompt_path.write_bytes(run.prompt_path.read_bytes().replace(b"\n", b"\r\n"))
    assert _asked(run).prompt(DIALOGUE) == before


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "length.json",
            snapshot(
                "…/run/length.json: no such file, but the prompt asks for a length; put it back, or train the run "
                "again"
            ),
        ),
        (
            "examples.jsonl",
            snapshot(
                "…/run/examples.jsonl: no such file, but the prompt shows examples; put it back, or train the run "
                "again"
            ),
        ),
    ],
)
def test_runs_whose_manifest_does_not_name_what_was_kept(tmp_path: Path, both: str, name: str, said: str) -> None:
    run, _, template = _train(tmp_path, both, examples=2)
    write_json(run.manifest_path, {"prompt": {"sha256": template.sha256}})
    assert _asked(run).prompt(DIALOGUE).prompt_ids
    (run.path / name).unlink()
    with raises(RunError) as error:
        _asked(run)
    assert error.message == said


def test_a_length_file_that_is_damaged(tmp_path: Path) -> None:
    run, _, template = _train(tmp_path, "length")
    write_json(run.manifest_path, {"prompt": {"sha256": template.sha256}})
    run.length_path.write_bytes(b"\xff\xfe{}")
    with raises(PromptError) as error:
        _asked(run)
    assert error.message == snapshot("…/run/length.json: not valid JSON (…); train the run again")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "kept",
            ["length.json"],
            snapshot(
                "…/run/manifest.json: kept: Input should be a valid dictionary; put it back, or train the run "
                "again"
            ),
        ),
        (
            "prompt",
            "plain",
            snapshot(
                "…/run/manifest.json: prompt: Input should be a valid dictionary or instance of PromptRecord; put "
                "it back, or train the run again"
            ),
        ),
    ],
)
def test_a_manifest_that_is_damaged(tmp_path: Path, name: str, value: Any, message: str) -> None:
    run, _, _ = _train(tmp_path, "plain")
    write_json(run.manifest_path, {name: value})
    with raises(RunError) as error:
        _asked(run)
    assert error.message == message
