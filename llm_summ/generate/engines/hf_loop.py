"""One call of transformers' `generate`, with our own processors, criteria and generation configuration."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from llm_summ.generate.engine import Decoding
from llm_summ.generate.prompt_states import padded_prompts
from llm_summ.models.families import GenerationState, family_of_config
from llm_summ.models.without_adapter import without_adapter
from llm_summ.prompt.frame import Frame

__all__ = ["LibraryLoop"]


class LibraryLoop:
    """transformers' `generate` for one model.

    Args:
        model: on its device.
        pad_id: fills shorter prompts of a batch; it is masked out.
        frame: of the renderer, for an encoder-decoder.
        logprobs: whether rows have log-probabilities.
        may_shrink: whether rows may leave a batch.
    """

    def __init__(self, model: Any, *, pad_id: int, frame: Frame | None, logprobs: bool, may_shrink: bool) -> None:
        from llm_summ.generate.growing_cache import can_be_split

        self.model, self.pad_id, self.frame, self.logprobs = model, pad_id, frame, logprobs
        self.family = family_of_config(model.config)
        self.can_shrink = may_shrink and can_be_split(model)
        # The positions of keys are those without padding: a row's padding may become wider.
        takes_positions = "position_ids" in inspect.signature(without_adapter(model).forward).parameters
        self.can_join = self.can_shrink and self.family.extends_prompt_states and takes_positions

    def prompts(self, prompts: Sequence[Sequence[int]]) -> tuple[Any, Any]:
        """Return ids and mask of prompts, both of shape (b, s), on the model's device."""
        ids, mask = padded_prompts(prompts, self.pad_id, self.family.padding_side)
        return ids.to(self.model.device), mask.to(self.model.device)

    def processors(self, decoding: Decoding, begins: Sequence[int], text_start: int, stop_id: int) -> list[Any]:
        """Return the processors of the next token's scores, except for draws.

        Args:
            decoding: how it is chosen.
            begins: position of each row's first new token, shape (b,).
            text_start: where the library's text begins, counted from there.
            stop_id: ends a text.
        """
        from llm_summ.generate.engines.sampling import MinTokens, NoRepeat

        found: list[Any] = []
        if decoding.no_repeat_ngram:
            found.append(NoRepeat(decoding.no_repeat_ngram, [begin + text_start for begin in begins]))
        if decoding.min_new_tokens:
            found.append(MinTokens(stop_id, begins, decoding.min_new_tokens))
        return found

    def run(
        self, state: GenerationState, max_new_tokens: int, stop_id: int, processors: Sequence[Any], **options: Any
    ) -> Any:
        """Call the library's loop.

        Args:
            state: prompts with the tokens generated so far.
            max_new_tokens: maximum number of further tokens.
            stop_id: ends a text.
            processors: change the scores of the next token, in this order.
            options: fields of the library's generation configuration, a cache and stopping criteria.
        """
        from transformers import GenerationConfig, LogitsProcessorList

        arguments = {
            name: options.pop(name) for name in ("past_key_values", "stopping_criteria") if name in options
        }
        config = GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=False,  # SeededDraw samples instead
            eos_token_id=stop_id,
            pad_token_id=self.pad_id,
            return_dict_in_generate=True,
            **self.family.generation_fields(self.frame),
            **options,
        )
        # Otherwise the library would take missing fields (temperature, other stop ids) from the model's own file.
        # (PEFT's wrapper calls the base's own `generate`.)
        inner = without_adapter(self.model)
        own = [(model, model.generation_config) for model in (self.model, inner)]
        self.model.generation_config = inner.generation_config = config
        try:
            return self.model.generate(
                **state.arguments(),
                generation_config=config,
                logits_processor=LogitsProcessorList(processors),
                **arguments,
            )
        finally:
            for model, before in own:
                model.generation_config = before
