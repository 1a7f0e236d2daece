"""Canaries: what tokenizers does beyond its documentation, as core/compat/tokenizers.py takes it."""

from __future__ import annotations

from typing import Any

import pytest

from llm_summ.core.compat.tokenizers import encode_ids, fast_backend, with_special_token

pytestmark = [pytest.mark.canary, pytest.mark.slow]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {letter: number for number, letter in enumerate(pre_tokenizers.ByteLevel.alphabet())}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken("<eos>", special=True)])
    backend.add_tokens([AddedToken("<end>", special=False, normalized=False)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>")


def test_ids_are_those_of_transformers(tokenizer: Any) -> None:
    backend = fast_backend(tokenizer)
    backend.enable_truncation(1)
    backend.enable_padding(length=99)
    for text in ("", "안녕 <eos> a", "<end>", "<eos><end>"):
        for special in (True, False):
            ids = encode_ids(backend, text, special_tokens=special)
            assert ids == tokenizer.encode(text, add_special_tokens=False, split_special_tokens=not special)
    assert encode_ids(backend, "<eos>", special_tokens=True) == [tokenizer.eos_token_id]
    assert len(encode_ids(backend, "<eos>", special_tokens=False)) == len("<eos>")
    assert fast_backend(object()) is None


def test_a_copy_takes_one_more_token_as_text(tokenizer: Any) -> None:
    backend = fast_backend(tokenizer)
    end = backend.token_to_id("<end>")
    copied = with_special_token(backend, end)
    assert encode_ids(copied, "a<end>", special_tokens=True)[-1] == end
    assert len(encode_ids(copied, "a<end>", special_tokens=False)) == len("a<end>")
    assert encode_ids(backend, "a<end>", special_tokens=False)[-1] == end


def test_a_date_of_our_own_is_before_the_libraries(tokenizer: Any) -> None:
    """Used by prompt/tokenization.py: a template is given our `strftime_now`, not the true date."""
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "?"}],
        chat_template="{{ strftime_now('%Y') }}",
        tokenize=False,
        strftime_now=lambda form: f"of ours {form}",
    )
    assert text == "of ours %Y"
