"""The files in which a run stores its prompt, so that `generate` uses the prompt of the training.

::

    runs/<name>/prompt.md        the template
                length.json      targets and predictor, if the template asks for a length
                budget.json      predicts the maximum number of tokens of a summary
                examples.jsonl   the dialogues that few-shot examples are taken from, if any
                frame.json       the tokens around source and target, for an encoder-decoder
"""

from __future__ import annotations

import json
from typing import Any

from llm_summ.core.errors import RunError
from llm_summ.core.files import file_sha256, write_text
from llm_summ.data import read_dialogues
from llm_summ.prompt.examples import ExamplePool
from llm_summ.prompt.frame import Frame
from llm_summ.prompt.length import LengthTarget
from llm_summ.prompt.render import Renderer, make_renderer
from llm_summ.prompt.template import Template, load_template
from llm_summ.prompt.token_limit import TokenLimitPredictor
from llm_summ.recipe import PromptFields
from llm_summ.runs.run import Run

__all__ = [
    "keep",
    "kept_sha256",
    "other_renderer",
    "reads_tags",
    "saved_frame",
    "saved_limit_predictor",
    "trained_renderer",
]


def keep(
    run: Run,
    length: LengthTarget | None,
    pool: ExamplePool | None,
    limit_predictor: TokenLimitPredictor | None = None,
    frame: Frame | None = None,
) -> None:
    """Write what the training's renderer needs in addition to the template, and the fitted token limits."""
    if limit_predictor is not None:
        write_text(run.budget_path, limit_predictor.to_json() + "\n")
    if length is not None:
        write_text(run.length_path, length.to_json() + "\n")
    if frame is not None:
        write_text(run.frame_path, frame.to_json() + "\n")
    if pool is not None:
        rows = (
            {"fname": dialogue.id, "dialogue": dialogue.text, "summary": dialogue.references[0]}
            for dialogue in pool.dialogues
        )
        write_text(run.examples_path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def trained_renderer(run: Run, fields: PromptFields, tokenizer: Any) -> Renderer:
    """Return the renderer of a run's training.

    Args:
        run: the run; its own copy of the template is used, not `fields.template`. Its manifest has the template's
            hash in ``prompt.sha256``, and the result of `kept_sha256` after the training in ``kept``.
        fields: the section `prompt` of the run's recipe.
        tokenizer: a transformers tokenizer.

    Raises:
        RunError: a file that the training wrote is missing, or was changed since.
        PromptError: the prompt cannot be used with this tokenizer.
    """
    again = "put it back, or train the run again"
    if not run.prompt_path.is_file():
        raise RunError(f"{run.prompt_path}: no such file; {again}")
    template = load_template(str(run.prompt_path))
    manifest = run.manifest()
    prompt_sha256 = template.sha256
    if manifest.prompt is not None and manifest.prompt.sha256 is not None:
        prompt_sha256 = manifest.prompt.sha256
    trained = {**(manifest.kept or {}), run.prompt_path.name: prompt_sha256}
    # The template's hash is that of its text with normalized line ends.
    hashes = {**kept_sha256(run), run.prompt_path.name: template.sha256}
    for name, sha256 in trained.items():
        if name not in hashes:
            raise RunError(f"{run.path / name}: no such file; {again}")
        if hashes[name] != sha256:
            raise RunError(
                f"{run.path / name}: was changed after the training, which used another prompt; {again}"
            )
    return _made(run, fields, tokenizer, template)


def other_renderer(run: Run, fields: PromptFields, tokenizer: Any, template: Template) -> Renderer:
    """Return a renderer of another prompt for a run's model, with the lengths and examples of its training.

    Args:
        run: the run.
        fields: the section `prompt` of the run's recipe.
        tokenizer: a transformers tokenizer.
        template: the prompt.

    Raises:
        RunError: the template needs examples or lengths, and the training had none.
        PromptError: the template cannot be used with this tokenizer.
    """
    for variable, is_available in (("length", run.length_path.is_file()), ("examples", fields.examples > 0)):
        if template.uses(variable) and not is_available:
            raise RunError(
                f"{template.path}: uses {variable}, but {run.path} was trained without it; choose a prompt that "
                "does not use it, or train a run with one that does"
            )
    return _made(
        run,
        fields if template.uses("examples") else fields.model_copy(update={"examples": 0}),
        tokenizer,
        template,
    )


def _made(run: Run, fields: PromptFields, tokenizer: Any, template: Template) -> Renderer:
    again = "put it back, or train the run again"
    length = pool = None
    if template.uses("length"):
        if not run.length_path.is_file():
            raise RunError(f"{run.length_path}: no such file, but the prompt asks for a length; {again}")
        # `keep` writes UTF-8; other bytes are replaced, and then refused as invalid JSON.
        text = run.length_path.read_text(encoding="utf-8", errors="replace")
        length = LengthTarget.from_json(text, str(run.length_path))
    if fields.examples:
        if not run.examples_path.is_file():
            raise RunError(f"{run.examples_path}: no such file, but the prompt shows examples; {again}")
        pool = ExamplePool(read_dialogues(str(run.examples_path), references=True))
    return make_renderer(
        fields, tokenizer, template=template, examples=pool, length=length, frame=saved_frame(run)
    )


def saved_frame(run: Run) -> Frame | None:
    """Return the tokens around source and target that a run was trained with; None: its model is a decoder.

    Raises:
        PromptError: the file is invalid.
    """
    if not run.frame_path.is_file():
        return None
    return Frame.from_json(run.frame_path.read_text(encoding="utf-8", errors="replace"), str(run.frame_path))


def saved_limit_predictor(run: Run) -> TokenLimitPredictor:
    """Return the token-limit predictor of a run's training.

    Raises:
        RunError: the run has no predictor.
        PromptError: its file is invalid.
    """
    if not run.budget_path.is_file():
        raise RunError(
            f"{run.budget_path}: no such file, but generate.limit is predicted; set it to fixed, or train the run "
            "again"
        )
    text = run.budget_path.read_text(encoding="utf-8", errors="replace")
    return TokenLimitPredictor.from_json(text, str(run.budget_path))


def reads_tags(run: Run | None, template: Template) -> bool:
    """Return whether a model reads tags in place of speakers' names by what it has learned.

    Args:
        run: that of its training; early versions did not store whether its dialogues have tags, as most data have.
        template: the prompt of a model that was not trained here: examples are those of the sample, with tags.

    Raises:
        PromptError: a file of the run is invalid.
    """
    if run is None:
        return template.uses("examples")
    tagged = saved_limit_predictor(run).tagged if run.budget_path.is_file() else None
    return tagged is not False


def kept_sha256(run: Run) -> dict[str, str]:
    """Return the hashes of the files that `keep` wrote. Prompts depend on them and on the template."""
    kept = (run.length_path, run.examples_path, run.frame_path)
    return {path.name: file_sha256(path) for path in kept if path.is_file()}
