"""Decoders: prompt and completion are one sequence, and every state predicts the next token.

A training row of p prompt tokens and c completion tokens (legend of a row)::

    input_ids  prompt_ids (p)   completion_ids (c)   stop_id     shape (p + c + 1,)
    labels     IGNORED    (p)   completion_ids (c)   stop_id
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from llm_summ.core.engine_registry import Capability
from llm_summ.models.base_facts import BaseFacts
from llm_summ.models.base_finding import BaseFinding
from llm_summ.models.trained_weights import added_tokens_stay
from llm_summ.prompt import TokenizedExample
from llm_summ.prompt.frame import Frame
from llm_summ.recipe import Recipe

__all__ = ["IGNORED", "Causal", "input_ids", "is_one_of", "labels", "loading_lines", "padded_tensor"]

IGNORED = -100
"""The label of a token that is not a target: PyTorch's default `ignore_index`."""


def is_one_of(facts: BaseFacts, heads: tuple[str, ...]) -> bool:
    """Return whether a base's weights are those of its trained class, or of a class with one of these endings.

    Args:
        facts: of the base; if its class is not known, the answer is yes.
        heads: the endings; if there are none, the answer is yes.
    """
    if not heads or not facts.architectures:
        return True
    return any(name == facts.trained_class or name.endswith(heads) for name in facts.architectures)


def loading_lines(folder: str, auto_class: Any, completion: str) -> list[str]:
    """Return lines of Python that load a folder and write a summary.

    Args:
        folder: with model and tokenizer.
        auto_class: the class of transformers that loads the model.
        completion: selects the completion in the result of `model.generate`.
    """
    name = auto_class.__name__
    return [
        f"from transformers import {name}, AutoTokenizer",
        "",
        f'tokenizer = AutoTokenizer.from_pretrained("{folder}")',
        f'model = {name}.from_pretrained("{folder}")',
        'prompt = tokenizer("A PROMPT AS BELOW", add_special_tokens=False, return_tensors="pt")',
        "print(tokenizer.decode(model.generate(**prompt, max_new_tokens=200)"
        f"{completion}, skip_special_tokens=True))",
    ]


def input_ids(example: TokenizedExample) -> list[int]:
    """Return prompt, completion and stop id; shape (p + c + 1,)."""
    return [*example.prompt_ids, *example.completion_ids, example.stop_id]


def labels(example: TokenizedExample) -> list[int]:
    """Return `input_ids` with the prompt ignored; shape (p + c + 1,)."""
    return [IGNORED] * len(example.prompt_ids) + [*example.completion_ids, example.stop_id]


class Causal:
    """The family of decoders, see `ModelFamily`.

    Args:
        heads: endings of the classes whose weights have a head that writes text; empty: all that the family
            includes have one.
    """

    name = "causal"
    plural = "decoders"
    peft_task_type = "CAUSAL_LM"
    pipeline_tag = "text-generation"
    needs: frozenset[Capability] = frozenset()
    padding_side: Literal["left", "right"] = "left"
    has_fused_head = True
    extends_prompt_states = True
    follows_instructions = True

    def __init__(self, heads: tuple[str, ...] = ()) -> None:
        self._heads = heads

    def includes(self, facts: BaseFacts) -> bool:
        """Return whether a base is a causal language model."""
        return facts.trained_class is not None and not facts.is_encoder_decoder and not facts.is_encoder

    def has_head(self, facts: BaseFacts) -> bool:
        """Return whether the weights of a base have a head that writes text."""
        return is_one_of(facts, self._heads)

    def training_findings(self, recipe: Recipe) -> Iterator[BaseFinding]:
        """Yield a refusal if tokens are added that no decoder could learn to write."""
        if stay := added_tokens_stay(recipe):
            yield BaseFinding(
                "added-tokens",
                f"{stay}, so that {recipe.model.base} could not learn to write them; set train.weights to full, "
                "or leave add_tokens out",
            )

    def auto_class(self) -> Any:
        """Return transformers' class of causal language models."""
        from transformers import AutoModelForCausalLM

        return AutoModelForCausalLM

    def frame(self, tokenizer: Any, config: Any) -> None:
        """Return None: the prompt is continued as it is."""

    def collate(
        self, examples: Sequence[TokenizedExample], pad_id: int, device: Any, *, packing: bool
    ) -> tuple[dict[str, Any], Any]:
        """Return model inputs and labels of a micro batch."""
        return _packed(examples, device) if packing else _padded(examples, pad_id, device)

    def blank_inputs(self, rows: int, length: int, target_tokens: int, *, packed: bool) -> dict[str, Any]:
        """Return inputs of the shape of a micro batch; packed ones have positions instead of a mask."""
        import torch

        tokens = torch.zeros(rows, length, dtype=torch.long)
        other = {"position_ids": tokens.clone()} if packed else {"attention_mask": torch.ones_like(tokens)}
        return {"input_ids": tokens, **other}

    def targets(self, labels: Any) -> Any:
        """Return the labels without the first of each row, which no state predicts; shape (b, s - 1)."""
        return labels[:, 1:]

    def target_states(self, states: Any, is_target: Any) -> Any:
        """Return the states before the target tokens."""
        return states[:, :-1][is_target]

    def forward_layers(self, model: Any, inputs: dict[str, Any]) -> Any:
        """Run all layers, with the logits of the last position only."""
        return model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], logits_to_keep=1)

    def weights_per_token(self, weights: int) -> int:
        """Return all weights."""
        return weights

    def attention_parts(self, model: Any) -> list[Any]:
        """Return the model."""
        return [model]

    def next_token_inputs(self, ids: Any) -> dict[str, Any]:
        """Return the prompt, with the logits of its last position only."""
        return {"input_ids": ids, "logits_to_keep": 1}

    def begin(self, model: Any, ids: Any, mask: Any, frame: Frame | None) -> _ContinuedPrompt:
        """Begin a generation that continues the prompts."""
        return _ContinuedPrompt(ids, mask)

    def generation_fields(self, frame: Frame | None) -> dict[str, int]:
        """Return nothing: the prompt is all that a generation starts with."""
        return {}

    def cache(self, texts: Any, source: Any) -> Any:
        """Return the cache of the decoder's tokens: they include the prompt's."""
        return texts

    def beam_cache(self, model: Any, arguments: dict[str, Any], beams: int) -> None:
        """Return None: the beams of a prompt are texts that differ."""

    def completion_start(self, prompt: int) -> int:
        """Return the length of the prompts, which the result repeats."""
        return prompt

    def end_at(self, model: Any, stop_id: int, pad_id: int | None, frame: Frame | None) -> None:
        """Change the token that ends a text."""
        model.generation_config.eos_token_id = stop_id

    def context_tokens(self, prompt: int, completion: int) -> int:
        """Return the sum: prompt and completion share one context."""
        return prompt + completion

    def prompt_room(self, context: int, completion: int) -> int:
        """Return what the completion leaves of the context."""
        return context - completion

    def loading_code(self, folder: str) -> list[str]:
        """Return lines of Python that load a folder and write a summary."""
        return loading_lines(folder, self.auto_class(), "[0, prompt.input_ids.shape[1]:]")


class _ContinuedPrompt:
    """A generation that continues prompts, see `GenerationState`."""

    def __init__(self, ids: Any, mask: Any) -> None:
        self.ids, self._mask, self.text_start = ids, mask, ids.shape[1]

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `model.generate`."""
        return {"input_ids": self.ids, "attention_mask": self._mask}

    def keep(self, ids: Any, places: Any) -> None:
        """Continue with some rows, whose new tokens are seen."""
        import torch

        ones = self._mask.new_ones(len(self._mask), ids.shape[1] - self._mask.shape[1])
        self.ids, self._mask = ids[places], torch.cat([self._mask, ones], 1)[places]


def _padded(examples: Sequence[TokenizedExample], pad_id: int, device: Any) -> tuple[dict[str, Any], Any]:
    """Return model inputs and labels of shape (b, s), padded on the right."""
    ones = [[1] * len(example) for example in examples]
    inputs = {
        "input_ids": padded_tensor(list(map(input_ids, examples)), pad_id, device),
        "attention_mask": padded_tensor(ones, 0, device),
    }
    return inputs, padded_tensor(list(map(labels, examples)), IGNORED, device)


def _packed(examples: Sequence[TokenizedExample], device: Any) -> tuple[dict[str, Any], Any]:
    """Return model inputs and labels of shape (1, s), one example after the other.

    Without an attention mask, the library starts a new sequence wherever the positions start at 0 again, so that
    no token sees an earlier example. The first token of an example is not a target, so no label depends on the
    example before it.
    """
    ids = [token for example in examples for token in input_ids(example)]
    positions = [position for example in examples for position in range(len(example))]
    targets = [label for example in examples for label in labels(example)]
    inputs = {"input_ids": _tensor([ids], device), "position_ids": _tensor([positions], device)}
    return inputs, _tensor([targets], device)


def padded_tensor(rows: Sequence[Sequence[int]], filler: int, device: Any) -> Any:
    """Return rows of different lengths as a tensor of shape (b, s), filled on the right."""
    longest = max(map(len, rows))
    return _tensor([[*row, *[filler] * (longest - len(row))] for row in rows], device)


def _tensor(lists: list[list[int]], device: Any) -> Any:
    import torch

    return torch.tensor(lists, device=device)
