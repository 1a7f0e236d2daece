"""Tiny random encoder-decoders with real tokenizers, each in the manner of its family."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from llm_summ.data import read_dialogues

Kind = Literal["bart", "kobart", "mbart", "t5"]
KINDS: tuple[Kind, ...] = ("bart", "kobart", "mbart", "t5")
LANGUAGES = ("en_XX", "ko_KR", "ja_XX")


def make_tiny_seq2seq(folder: Path, kind: Kind = "bart", **fields: Any) -> Path:
    """Write a random encoder-decoder of two layers a side with a tokenizer of the sample's text.

    Args:
        folder: to write.
        kind: the family; ``kobart`` is a BART whose tokenizer puts nothing around a text.
        fields: of its configuration.
    """
    import torch
    from transformers import (
        BartConfig,
        BartForConditionalGeneration,
        MBartConfig,
        MBartForConditionalGeneration,
        T5Config,
        T5ForConditionalGeneration,
    )

    tokenizer = _t5_tokenizer() if kind == "t5" else _bart_tokenizer(kind)
    rows = fields.pop("vocab_size", len(tokenizer))
    torch.manual_seed(0)
    if kind == "t5":
        sizes = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4} | fields
        ids = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
        model = T5ForConditionalGeneration(T5Config(vocab_size=rows, initializer_factor=1.0, **sizes, **ids))
    else:
        sizes = {
            "d_model": 64,
            "max_position_embeddings": 1024,
            "init_std": 0.1,
            **{f"{side}_layers": 2 for side in ("encoder", "decoder")},
            **{f"{side}_attention_heads": 4 for side in ("encoder", "decoder")},
            **{f"{side}_ffn_dim": 128 for side in ("encoder", "decoder")},
        } | fields
        ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
        if kind == "mbart":
            model = MBartForConditionalGeneration(MBartConfig(vocab_size=rows, **sizes, **ids))
        else:
            model = BartForConditionalGeneration(BartConfig(vocab_size=rows, **sizes, **ids))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _texts() -> list[str]:
    dialogues = [*read_dialogues("sample:train"), *read_dialogues("sample:dev")]
    return [text for dialogue in dialogues for text in (dialogue.text, *dialogue.references)]


def _bart_tokenizer(kind: Kind) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import MBart50Tokenizer, PreTrainedTokenizerFast

    if kind == "mbart":
        return MBart50Tokenizer(vocab=_pieces(["<s>", "<pad>", "</s>", "<unk>"], 2000), src_lang="en_XX")
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    backend.train_from_iterator(
        _texts(),
        trainers.BpeTrainer(
            vocab_size=1200,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    if kind == "bart":
        backend.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
        )
    names = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, mask_token="<mask>", **names)


def _t5_tokenizer() -> Any:
    from transformers import T5Tokenizer

    return T5Tokenizer(vocab=_pieces(["<pad>", "</s>", "<unk>"], 2000), extra_ids=0)


def _pieces(special: Sequence[str], size: int) -> list[tuple[str, float]]:
    """Return a unigram vocabulary of the sample's text, with its scores."""
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.train_from_iterator(
        _texts(),
        trainers.UnigramTrainer(
            vocab_size=size,
            special_tokens=list(special),
            unk_token="<unk>",
            show_progress=False,
        ),
    )
    pieces = [(piece, score) for piece, score in json.loads(backend.to_str())["model"]["vocab"]]
    known = {piece for piece, _ in pieces}
    return [*pieces, *((letter, -20.0) for letter in sorted(set("".join(_texts())) - known) if letter.strip())]
