"""Encoder-decoders (BART, mBART, T5): an encoder reads the prompt, and a decoder writes the completion.

A training row of p source tokens and c + 1 target tokens (legend of a row)::

    input_ids           prompt_ids                       shape (p,), for the encoder
    decoder_input_ids   start_id  completion_ids         shape (c + 1,)
    labels              completion_ids  stop_id          shape (c + 1,)

What stands around both texts is in the row already: `llm_summ.prompt.frame`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from llm_summ.core.engine_registry import Capability
from llm_summ.core.errors import ModelError
from llm_summ.models.base_facts import BaseFacts
from llm_summ.models.base_finding import BaseFinding
from llm_summ.models.families.causal import IGNORED, is_one_of, loading_lines, padded_tensor
from llm_summ.models.trained_weights import added_tokens_stay
from llm_summ.prompt import TokenizedExample
from llm_summ.prompt.frame import Frame
from llm_summ.recipe import Recipe

__all__ = ["Seq2Seq"]

_PROBE = "가"
_OTHER_INPUTS = ("led",)  # needs to be told which tokens see all others
_GIVEN = 8  # tokens of the prompt that the decoder is given where engines are compared


class Seq2Seq:
    """The family of encoder-decoders, see `ModelFamily`.

    Args:
        heads: as of `Causal`.
    """

    name = "seq2seq"
    plural = "encoder-decoders"
    peft_task_type = "SEQ_2_SEQ_LM"
    pipeline_tag = "summarization"
    needs: frozenset[Capability] = frozenset({"encoder_decoder"})
    padding_side: Literal["left", "right"] = "right"  # BART counts positions from the first token, even padding
    has_fused_head = False  # its labels need no shift
    extends_prompt_states = False
    follows_instructions = False

    def __init__(self, heads: tuple[str, ...] = ()) -> None:
        self._heads = heads

    def includes(self, facts: BaseFacts) -> bool:
        """Return whether a base is an encoder-decoder for text."""
        return (
            facts.trained_class is not None and facts.is_encoder_decoder and facts.model_type not in _OTHER_INPUTS
        )

    def has_head(self, facts: BaseFacts) -> bool:
        """Return whether the weights of a base have a head that writes text."""
        return is_one_of(facts, self._heads)

    def training_findings(self, recipe: Recipe) -> Iterator[BaseFinding]:
        """Yield a refusal for each setting that has no meaning here, and a note about added tokens."""
        base = recipe.model.base
        if stay := added_tokens_stay(recipe):
            line = f"{stay}: the added tokens keep the mean of their parts; full trains them"
            yield BaseFinding("added-tokens", line, refuses=False)
        if recipe.train.packing:
            yield BaseFinding(
                "packing",
                f"train.packing: {base} is an encoder-decoder, whose encoder would see all rows of a packed one; "
                "set it to false",
            )
        if recipe.train.parallel == "fsdp":
            yield BaseFinding(
                "fsdp",
                f"train.parallel: fsdp is not supported for encoder-decoders such as {base}; set it to ddp",
            )
        if recipe.train.neftune_alpha is not None:
            yield BaseFinding(
                "neftune",
                f"train.neftune_alpha: the library adds no noise to encoder-decoders such as {base}; leave it out",
            )
        if recipe.lora.init == "eva":
            yield BaseFinding(
                "eva", f"lora.init: eva is not supported for encoder-decoders such as {base}; set it to default"
            )

    def auto_class(self) -> Any:
        """Return transformers' class of encoder-decoders."""
        from transformers import AutoModelForSeq2SeqLM

        return AutoModelForSeq2SeqLM

    def frame(self, tokenizer: Any, config: Any) -> Frame:
        """Return the tokens around source and target, from the tokenizer's own way to encode both.

        A tokenizer that ends its source with nothing (KoBART's) gets the end-of-sequence token there.

        Raises:
            ModelError: the tokenizer has no end-of-sequence token, or nothing tells how the decoder starts.
        """
        eos = tokenizer.eos_token_id
        if eos is None:
            raise ModelError(
                "model.base: its tokenizer has no end-of-sequence token; expected eos_token in "
                "tokenizer_config.json"
            )
        before, after = _around(tokenizer, tokenizer(_PROBE)["input_ids"])
        before_target, after_target = _around(tokenizer, tokenizer(text_target=_PROBE)["input_ids"])
        start = getattr(config, "decoder_start_token_id", None)
        if after_target[-1:] != (eos,) and after_target[:1] == (eos,):
            start = after_target[-1]  # mBART's first version: the language stands behind the target
        if start is None and config.model_type.endswith("t5"):
            start = tokenizer.pad_token_id if config.pad_token_id is None else config.pad_token_id
        if start is None:
            start = tokenizer.bos_token_id
        if start is None:
            raise ModelError(
                "model.base: nothing tells which token its decoder starts with; expected decoder_start_token_id "
                "in config.json"
            )
        if len(before_target) > 1:
            raise ModelError(
                f"model.base: its tokenizer puts {len(before_target)} tokens before a target, expected at most one"
            )
        forced = before_target[0] if before_target and before_target[0] != start else None
        return Frame(before, after or (int(eos),), int(start), forced)

    def collate(
        self, examples: Sequence[TokenizedExample], pad_id: int, device: Any, *, packing: bool
    ) -> tuple[dict[str, Any], Any]:
        """Return model inputs and labels of a micro batch, padded on the right; labels of shape (b, t)."""
        sources = [example.prompt_ids for example in examples]
        targets = [(*example.completion_ids, example.stop_id) for example in examples]
        # A row of a renderer with a frame has a start.
        given = [(example.start_id or 0, *example.completion_ids) for example in examples]
        ones = [[1] * len(source) for source in sources]
        inputs = {
            "input_ids": padded_tensor(sources, pad_id, device),
            "attention_mask": padded_tensor(ones, 0, device),
            "decoder_input_ids": padded_tensor(given, pad_id, device),  # later tokens are not seen: no mask needed
        }
        return inputs, padded_tensor(targets, IGNORED, device)

    def blank_inputs(self, rows: int, length: int, target_tokens: int, *, packed: bool) -> dict[str, Any]:
        """Return inputs of the shape of a micro batch: targets of the mean length, sources of the longest row."""
        import torch

        target = -(-target_tokens // rows)
        # The longest source may be next to the longest target of another row.
        source = torch.zeros(rows, length, dtype=torch.long)
        return {
            "input_ids": source,
            "attention_mask": torch.ones_like(source),
            "decoder_input_ids": torch.zeros(rows, target, dtype=torch.long),
        }

    def targets(self, labels: Any) -> Any:
        """Return all labels: each is predicted by the state of the same place."""
        return labels

    def target_states(self, states: Any, is_target: Any) -> Any:
        """Return the states at target tokens."""
        return states[is_target]

    def forward_layers(self, model: Any, inputs: dict[str, Any]) -> Any:
        """Run all layers."""
        return model(**inputs, use_cache=False)

    def weights_per_token(self, weights: int) -> int:
        """Return half of the weights: one half sees the prompt, and the other the completion."""
        return weights // 2

    def attention_parts(self, model: Any) -> list[Any]:
        """Return the model and its decoder: T5's halves have configurations of their own."""
        return [model, model.get_decoder()]

    def next_token_inputs(self, ids: Any) -> dict[str, Any]:
        """Return the prompt, and its beginning for the decoder: the first token may be the same for all models."""
        return {"input_ids": ids, "decoder_input_ids": ids[:, :_GIVEN]}

    def begin(self, model: Any, ids: Any, mask: Any, frame: Frame | None) -> _EncodedSource:
        """Let the encoder read the prompts, and begin a generation with the decoder's first input."""
        if frame is None:
            raise ValueError("an encoder-decoder needs the frame of its renderer")
        states = model.get_encoder()(input_ids=ids, attention_mask=mask, return_dict=True)
        return _EncodedSource(states, mask, ids.new_full((len(ids), 1), frame.start_id))

    def generation_fields(self, frame: Frame | None) -> dict[str, int]:
        """Return the start and the forced first token of a generation, as transformers names them."""
        if frame is None:
            return {}
        forced = {} if frame.forced_id is None else {"forced_bos_token_id": frame.forced_id}
        return {"decoder_start_token_id": frame.start_id, **forced}

    def cache(self, texts: Any, source: Any) -> Any:
        """Return a cache of two parts: the keys and values of the source are computed once, and do not grow."""
        from transformers import EncoderDecoderCache

        return EncoderDecoderCache(texts, source)

    def beam_cache(self, model: Any, arguments: dict[str, Any], beams: int) -> Any:
        """Return a cache with the keys and values of the source, which the beams of a prompt share."""
        from llm_summ.models.beam_cache import beam_cache

        return beam_cache(model, arguments, beams)

    def completion_start(self, prompt: int) -> int:
        """Return 1, for the decoder's start."""
        return 1

    def end_at(self, model: Any, stop_id: int, pad_id: int | None, frame: Frame | None) -> None:
        """Replace the configuration: BART's has beams, a least length, and an end that is forced at the limit."""
        from transformers import GenerationConfig

        fields = self.generation_fields(frame)
        model.generation_config = GenerationConfig(eos_token_id=stop_id, pad_token_id=pad_id, **fields)

    def context_tokens(self, prompt: int, completion: int) -> int:
        """Return the longer of both: each has a context of its own."""
        return max(prompt, completion)

    def prompt_room(self, context: int, completion: int) -> int:
        """Return the whole context: the completion has another one."""
        return context

    def loading_code(self, folder: str) -> list[str]:
        """Return lines of Python that load a folder and write a summary."""
        return loading_lines(folder, self.auto_class(), "[0]")


class _EncodedSource:
    """A generation after the encoder, see `GenerationState`."""

    text_start = 0  # the decoder's first input is a part of its text

    def __init__(self, encoder_states: Any, mask: Any, ids: Any) -> None:
        self._encoder_states, self._mask, self.ids = encoder_states, mask, ids

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `model.generate`."""
        return {
            "decoder_input_ids": self.ids,
            "encoder_outputs": self._encoder_states,
            "attention_mask": self._mask,
        }

    def keep(self, ids: Any, places: Any) -> None:
        """Continue with some rows."""
        states = type(self._encoder_states)(last_hidden_state=self._encoder_states.last_hidden_state[places])
        self._encoder_states, self._mask, self.ids = states, self._mask[places], ids[places]


def _around(tokenizer: Any, ids: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the ids before and behind a text's own in an encoding with special tokens.

    Raises:
        ModelError: the text's own ids are not in it.
    """
    own = tokenizer.encode(_PROBE, add_special_tokens=False)
    for start in range(len(ids) - len(own) + 1):
        if list(ids[start : start + len(own)]) == own:
            return tuple(ids[:start]), tuple(ids[start + len(own) :])
    raise ModelError(
        f"model.base: its tokenizer encodes {_PROBE!r} otherwise with special tokens than without; the tokens "
        "around a text are not known"
    )
