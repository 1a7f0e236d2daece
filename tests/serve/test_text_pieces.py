"""The pieces of a text that is streamed, with a tokenizer that has no token for some characters."""

from __future__ import annotations

from typing import Any

import pytest

from llm_summ.data import Dialogue
from llm_summ.data.preparation import Handling, prepare
from llm_summ.prompt import make_renderer
from llm_summ.recipe import PromptFields
from llm_summ.serve.watching import Usage, Watch

pytest.importorskip("transformers", reason="the extra train is not installed")


@pytest.mark.parametrize("text", ["가나", "a가b", "😀!", "가😀나", "끝은 😀"])
def test_characters_of_several_tokens_come_whole(text: str) -> None:
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    # As Llama 2 and Gemma: a character without a token of its own is written as its bytes.
    vocabulary = {"<unk>": 0, "<eos>": 1, **{f"<0x{byte:02X}>": byte + 2 for byte in range(256)}}
    backend = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True))
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", eos_token="<eos>")
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert len(ids) == len(text.encode())
    pieces: list[Any] = []
    watch = Watch(
        make_renderer(PromptFields(), tokenizer),
        lambda name, data: pieces.append(data["text"]),
        Usage(),
        [(0, prepare(Dialogue("a", "민지: 응"), Handling()))],
    )
    watch.begins([(0, 0)])
    for token in ids:
        watch.on_tokens(0, 0, (token,))
    assert pieces == list(text)
