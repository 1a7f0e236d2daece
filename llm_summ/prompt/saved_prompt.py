"""What a run keeps of its prompt, so that `generate` asks with the prompt that was trained.

::

    runs/<name>/prompt.md        the template
                length.json      targets and predictor, if the template asks for a length
                budget.json      predicts how many tokens a summary may have
                examples.jsonl   the dialogues that few-shot examples are taken from, if there are any
"""

from __future__ import annotations

import json
from typing import Any

from llm_summ.core.errors import RunError
from llm_summ.core.files import file_sha256, write_text
from llm_summ.data import read_dialogues
from llm_summ.prompt.examples import ExamplePool
from llm_summ.prompt.length import LengthTarget
from llm_summ.prompt.render import Renderer, make_renderer
from llm_summ.prompt.template import Template, load_template
from llm_summ.prompt.token_limit import TokenLimitPredictor
from llm_summ.recipe import PromptFields
from llm_summ.runs.run import Run

__all__ = ["keep", "kept_sha256", "other_renderer", "saved_limit_predictor", "trained_renderer"]


def keep(
    run: Run,
    length: LengthTarget | None,
    pool: ExamplePool | None,
    limit_predictor: TokenLimitPredictor | None = None,
) -> None:
    """Write what the renderer of a training was made of, beside the template, and what was learnt of lengths."""
    if limit_predictor is not None:
        write_text(run.budget_path, limit_predictor.to_json() + "\n")
    if length is not None:
        write_text(run.length_path, length.to_json() + "\n")
    if pool is not None:
        rows = (
            {"fname": dialogue.id, "dialogue": dialogue.text, "summary": dialogue.references[0]}
            for dialogue in pool.dialogues
        )
        write_text(run.examples_path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def trained_renderer(run: Run, fields: PromptFields, tokenizer: Any) -> Renderer:
    """The renderer of a run's training.

    Args:
        run: its folder; the template is its own copy, whatever `fields.template` says. Its manifest holds the
            template's hash in ``prompt.sha256`` and, in ``kept``, what `kept_sha256` gave after the training.
        fields: the section `prompt` of the run's recipe.
        tokenizer: a transformers tokenizer.

    Raises:
        RunError: something that the training kept is missing, or was changed since.
        PromptError: it cannot be used with this tokenizer.
    """
    again = "put it back, or train the run anew"
    if not run.prompt_path.is_file():
        raise RunError(f"{run.prompt_path}: no such file; {again}")
    template = load_template(str(run.prompt_path))
    manifest = run.manifest()
    prompt_sha256 = template.sha256
    if manifest.prompt is not None and manifest.prompt.sha256 is not None:
        prompt_sha256 = manifest.prompt.sha256
    trained = {**(manifest.kept or {}), run.prompt_path.name: prompt_sha256}
    # The template's own hash is one of its text: line ends do not count.
    found = {**kept_sha256(run), run.prompt_path.name: template.sha256}
    for name, sha256 in trained.items():
        if name not in found:
            raise RunError(f"{run.path / name}: no such file; {again}")
        if found[name] != sha256:
            raise RunError(
                f"{run.path / name}: was changed after the training, which taught another prompt; {again}"
            )
    return _made(run, fields, tokenizer, template)


def other_renderer(run: Run, fields: PromptFields, tokenizer: Any, template: Template) -> Renderer:
    """A renderer of another prompt for a run's model, with the lengths and examples of its training.

    Args:
        run: its folder.
        fields: the section `prompt` of the run's recipe.
        tokenizer: a transformers tokenizer.
        template: the prompt.

    Raises:
        RunError: what the template asks for was not part of the training.
        PromptError: it cannot be used with this tokenizer.
    """
    for variable, there in (("length", run.length_path.is_file()), ("examples", fields.examples > 0)):
        if template.uses(variable) and not there:
            raise RunError(
                f"{template.path}: asks for {variable}, and {run.path} was trained without; take a prompt that "
                "does not, or train a run with one that does"
            )
    return _made(
        run,
        fields if template.uses("examples") else fields.model_copy(update={"examples": 0}),
        tokenizer,
        template,
    )


def _made(run: Run, fields: PromptFields, tokenizer: Any, template: Template) -> Renderer:
    again = "put it back, or train the run anew"
    length = pool = None
    if template.uses("length"):
        if not run.length_path.is_file():
            raise RunError(f"{run.length_path}: no such file, and the prompt asks for a length; {again}")
        # What is not UTF-8 is not what `keep` wrote, and is refused as such.
        text = run.length_path.read_text(encoding="utf-8", errors="replace")
        length = LengthTarget.from_json(text, str(run.length_path))
    if fields.examples:
        if not run.examples_path.is_file():
            raise RunError(f"{run.examples_path}: no such file, and the prompt shows examples; {again}")
        pool = ExamplePool(read_dialogues(str(run.examples_path), references=True))
    return make_renderer(fields, tokenizer, template=template, examples=pool, length=length)


def saved_limit_predictor(run: Run) -> TokenLimitPredictor:
    """The token budget of a run's training.

    Raises:
        RunError: the run has none.
        PromptError: it is broken.
    """
    if not run.budget_path.is_file():
        raise RunError(
            f"{run.budget_path}: no such file, and generate.limit is predicted; set it to fixed, or train the run "
            "anew"
        )
    text = run.budget_path.read_text(encoding="utf-8", errors="replace")
    return TokenLimitPredictor.from_json(text, str(run.budget_path))


def kept_sha256(run: Run) -> dict[str, str]:
    """The hashes of the files that `keep` wrote: what a run's prompts depend on beside the template."""
    return {path.name: file_sha256(path) for path in (run.length_path, run.examples_path) if path.is_file()}
