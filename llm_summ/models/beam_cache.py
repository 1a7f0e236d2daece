"""The cache of a beam search with an encoder-decoder: the beams of a prompt read one source."""

from __future__ import annotations

from typing import Any

from transformers import DynamicCache, EncoderDecoderCache

from llm_summ.models.cpu_decoding import shares_keys

__all__ = ["beam_cache", "empty_cache"]


def empty_cache(model: Any) -> Any:
    """Return transformers' cache of a model's decoder."""
    return DynamicCache(config=model.config.get_text_config(decoder=True))


class _BeamCache(EncoderDecoderCache):  # type: ignore[misc]
    """The cache of a beam search: only the texts are reordered."""

    def reorder_cache(self, beam_idx: Any) -> None:
        """Choose the rows of the texts."""
        self.self_attention_cache.reorder_cache(beam_idx)


def beam_cache(model: Any, arguments: dict[str, Any], beams: int) -> Any:
    """Return the cache of a beam search with an encoder-decoder, with the keys and values of the source.

    Args:
        model: an encoder-decoder.
        arguments: the beginning of a generation, with the output of the encoder, for b prompts.
        beams: of each prompt. Where the attention allows it, they share one row of keys and values.
    """
    filled = EncoderDecoderCache(empty_cache(model), empty_cache(model))
    model(**arguments, past_key_values=filled, use_cache=True)
    source = filled.cross_attention_cache
    if not shares_keys(model):
        source.batch_repeat_interleave(beams)
    return _BeamCache(empty_cache(model), source)
