"""The model card of a merged folder, and the licence files of its base."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_summ.data import Dialogue
from llm_summ.models.embedded import EMBEDDED
from llm_summ.models.families import ModelFamily
from llm_summ.models.vllm_support import serves
from llm_summ.prompt import Renderer
from llm_summ.prompt.jinja_env import FAULTS
from llm_summ.recipe import ModelFields, Recipe

__all__ = [
    "PromptFacts",
    "added_token",
    "copy_terms",
    "has_thinking_switch",
    "model_card",
    "prompt_facts",
    "serve_line",
]

_EXAMPLE = Dialogue("example", "#Person1#: 내일 몇 시에 만날까요?\n#Person2#: 열 시에 역 앞에서 만나요.")
_TERMS = ("LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*")


@dataclass(frozen=True, slots=True)
class PromptFacts:
    """What users of a merged folder have to know to make its prompt.

    Attributes:
        shown: an example as the model sees it, with its special tokens; None if it would show training data.
        stop: the token that ends a summary.
        added: the token that the tokenizer adds before every text; None if it adds none.
        uses_length: whether the prompt asks for a length.
        thinking_off: whether the prompt is made with thinking switched off.
    """

    shown: str | None
    stop: str
    added: str | None = None
    uses_length: bool = False
    thinking_off: bool = False


def copy_terms(location: str, folder: Path) -> None:
    """Copy the licence files of the base, if it is a local folder; a base given by hub id has none to copy."""
    for pattern in _TERMS:
        for path in Path(location).glob(pattern):
            if path.is_file():
                shutil.copyfile(path, folder / path.name)


def serve_line(folder: str, dtype: str, *, on_cpu: bool = False) -> str:
    """Return the command that serves a merged folder.

    By default vLLM converts float32 to bfloat16, so float32 is set explicitly. The program `vllm` of its CPU build
    does not start.
    """
    program = "python -m vllm.entrypoints.openai.api_server --model" if on_cpu else "vllm serve"
    return f"{program} {shlex.quote(folder)}" + (" --dtype float32" if dtype == "float32" else "")


def prompt_facts(renderer: Renderer, tokenizer: Any) -> PromptFacts:
    """Return the facts about a renderer's prompt."""
    shown = None
    if not renderer.template.uses("examples"):
        ids = renderer.prompt(_EXAMPLE).prompt_ids
        shown = str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))
    return PromptFacts(
        shown,
        str(tokenizer.convert_ids_to_tokens(renderer.stop_id)),
        added_token(tokenizer),
        renderer.template.uses("length"),
        renderer.uses_chat and has_thinking_switch(tokenizer),
    )


def added_token(tokenizer: Any) -> str | None:
    """Return the token that a tokenizer adds before every text; None if it adds none."""
    bos = tokenizer.bos_token_id
    adds = bos is not None and tokenizer.encode("", add_special_tokens=True)[:1] == [bos]
    return str(tokenizer.bos_token) if adds else None


def has_thinking_switch(tokenizer: Any) -> bool:
    """Return whether the chat template makes a different prompt when thinking is switched off."""
    if not getattr(tokenizer, "chat_template", None):
        return False
    turn = [{"role": "user", "content": "?"}]
    options = {"tokenize": False, "add_generation_prompt": True}
    try:
        off = tokenizer.apply_chat_template(turn, enable_thinking=False, **options)
        return bool(off != tokenizer.apply_chat_template(turn, **options))
    except FAULTS:
        return False


def model_card(
    recipe: Recipe,
    location: str,
    facts: Mapping[str, Any],
    prompt: PromptFacts,
    family: ModelFamily,
) -> str:
    """Return the card: the hub's metadata, and the facts that users of the model need.

    Args:
        recipe: the run's.
        location: of the base.
        facts: the content of `merge.json`.
        prompt: facts about the prompt.
        family: of the model.
    """
    base, licence = _base(recipe.model, location)
    hub = re.fullmatch(r"[\w.-]+/[\w.-]+", base) is not None
    meta = [
        "language: [ko]",
        *([f"base_model: {base}", "base_model_relation: finetune"] if hub else []),
        *([f"license: {licence}"] if licence else []),
        "library_name: transformers",
        f"pipeline_tag: {family.pipeline_tag}",
        "tags: [summarization, dialogue, llm-summ]",
        "metrics: [rouge]",
    ]
    terms = f" ({licence})" if licence else f"; see https://huggingface.co/{base}" if hub else ""
    lora, train = recipe.lora, recipe.train
    how, merged = "all weights", f"as trained (SHA-256 {facts.get('model', '')[:16]})"
    if "adapter" in facts:
        how = f"LoRA r {lora.r}, alpha {lora.alpha}{', rsLoRA' if lora.rslora else ''}"
        merged = f"the adapter merged into the full-precision base (adapter SHA-256 {facts['adapter'][:16]})"
    held = "" if recipe.model.quantization == "none" else f" on the base in {recipe.model.quantization}"
    lines = [
        "---",
        *meta,
        "---",
        f"# {facts['run']}",
        "",
        f"{base}, fine-tuned to summarise Korean dialogue, by llm-summ {facts['versions']['llm-summ']}.",
        "",
        f"- Training: {how}{held}, learning rate {train.learning_rate:g}, batch {train.batch_size}; every field "
        "is in `recipe.yaml`.",
        f"- Weights: {facts['dtype']}, {merged}.",
        f"- Licence: that of the base model{terms}.",
        "",
        "## Use",
        "",
        f"The model was trained on one prompt, `prompt.md`. A summary ends with `{prompt.stop}`, which is set in "
        "the tokenizer and the generation configuration. Decoding is greedy.",
        "",
        *_fenced(_how_to_load(facts["dtype"], family)),
    ]
    if prompt.shown is not None:
        lines += ["A prompt as the model sees it:", "", *_fenced(prompt.shown.splitlines())]
        if serves(family) and prompt.added is not None and prompt.shown.startswith(prompt.added):
            added = f"The tokenizer adds the `{prompt.added}` at its beginning: leave it out of a text prompt."
            lines += [added, ""]
    else:
        hidden = "`llm-summ merge --push` does not upload them"
        lines += [f"The prompt shows examples from the training data; {hidden}.", ""]
    if prompt.thinking_off:
        lines += [
            "To make this prompt from messages, a server needs `chat_template_kwargs: {enable_thinking: false}`.",
            "",
        ]
    if prompt.uses_length:
        lines += ["The length that the prompt asks for is predicted from the dialogue, by `length.json`.", ""]
    return "\n".join([*lines, *_score(facts.get("verification"))]).rstrip() + "\n"


def _how_to_load(dtype: str, family: ModelFamily) -> list[str]:
    """Return the line that serves the folder with vLLM, or lines that load a model that vLLM does not serve."""
    folder = "PATH-OF-THIS-FOLDER"
    return [serve_line(folder, dtype)] if serves(family) else family.loading_code(folder)


def _base(model: ModelFields, location: str) -> tuple[str, str | None]:
    """Return the base's public name, and its licence if known."""
    name = model.base.removeprefix("embedded:")
    if name in EMBEDDED and name != model.base:
        return f"google/{name}", "gemma"
    folder = Path(location)
    if not folder.is_dir():
        return model.base, None
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    match = re.search(r"\A---\n.*?^license: *([\w.-]+) *$.*?^---$", text, re.MULTILINE | re.DOTALL)
    return folder.resolve().name, match.group(1) if match else None


def _score(verification: Mapping[str, Any] | None) -> list[str]:
    """Return the lines of the verification's table."""
    if verification is None:
        return []
    rows, systems = verification["rows"], verification["systems"]
    lines = [
        "## Score",
        "",
        f"F1 of ROUGE over mecab-ko morphemes, greedy, {rows} dialogues of {Path(verification['data']).name}:",
        "",
        "| | R-1 | R-2 | R-L | final | same texts as merged | ended by themselves |",
        "|---|---|---|---|---|---|---|",
    ]
    for system in systems:
        figures = " | ".join(f"{system[name]:.2f}" for name in ("rouge1", "rouge2", "rougeL", "final"))
        lines.append(f"| {system['name']} | {figures} | {system['same_texts']} | {system['ended']} |")
    return [*lines, "", f"Signature: `{systems[-1]['signature']}`", ""]


def _fenced(lines: list[str]) -> list[str]:
    longest = max((len(ticks) for line in lines for ticks in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [fence, *lines, fence, ""]
