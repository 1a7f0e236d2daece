"""Encoder-decoders: the rows, the loss, the gradients and the texts are those of transformers itself."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot
from messages import raises
from tiny_seq2seq import KINDS, Kind, make_tiny_seq2seq

from llm_summ.core.errors import ModelError, PromptError
from llm_summ.data import Dialogue, read_dialogues
from llm_summ.generate.engine import GREEDY, Decoding, Output, Request
from llm_summ.models.base import configuration, load_tokenizer
from llm_summ.models.families import SEQ2SEQ, family_of_config
from llm_summ.prompt import Renderer, load_template
from llm_summ.prompt.frame import Frame
from llm_summ.recipe import ModelFields, PromptFields

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:::transformers", "ignore:::torch")]

OFFICIAL: tuple[Kind, ...] = ("bart", "mbart", "t5")
"""Families whose tokenizers put tokens around a text; KoBART's does not."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seq2seq")
    for kind in KINDS:
        make_tiny_seq2seq(folder / kind, kind)
    return folder


class Base:
    """A tiny base, its tokenizer and its renderer."""

    def __init__(self, path: Path, template: str = "dialogue", **fields: Any) -> None:
        from transformers import AutoModelForSeq2SeqLM

        model = ModelFields(base=str(path), **fields)
        self.tokenizer = load_tokenizer(model, str(path))
        self.frame = SEQ2SEQ.frame(self.tokenizer, configuration(model, str(path)))
        self.renderer = Renderer(
            self.tokenizer, load_template(template), PromptFields(max_prompt_tokens=900), frame=self.frame
        )
        self.model = AutoModelForSeq2SeqLM.from_pretrained(path)


def pairs(count: int) -> list[tuple[Dialogue, str]]:
    """Return dialogues of very different lengths, each with a summary."""
    chosen = random.Random(1).sample(read_dialogues("sample:train"), count)
    cut = [
        Dialogue(one.id, "\n".join(one.text.splitlines()[: 1 + index % 12])) for index, one in enumerate(chosen)
    ]
    return [(short, one.references[0]) for short, one in zip(cut, chosen, strict=True)]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("bart", Frame((0,), (2,), 2, 0)),
        ("kobart", Frame((), (2,), 2)),
        ("t5", Frame((), (1,), 0)),
    ],
)
def test_frames(folder: Path, kind: Kind, expected: Frame) -> None:
    assert Base(folder / kind).frame == expected


def test_a_frame_names_the_language(folder: Path) -> None:
    for language in (None, "ko_KR", "ja_XX"):
        base = Base(folder / "mbart", language=language)
        code = base.tokenizer.convert_tokens_to_ids(language or "ko_KR")
        assert base.frame == Frame((code,), (2,), 2, code)


def test_languages_that_are_missing(folder: Path) -> None:
    with raises(ModelError) as raised:
        Base(folder / "mbart", language="ko")
    assert raised.message == snapshot(
        "model.language: the tokenizer of …/mbart has no language 'ko'; expected one of its codes: such "
        "as </s>, <mask>, <pad>, <s>, <unk>"
    )
    with raises(ModelError) as raised:
        Base(folder / "bart", language="ko_KR")
    assert raised.message == snapshot(
        "model.language: found 'ko_KR', but the tokenizer of …/bart has no languages; leave it out"
    )


@pytest.mark.parametrize("kind", OFFICIAL)
def test_rows_are_the_tokenizers_own(folder: Path, kind: Kind) -> None:
    base = Base(folder / kind)
    for dialogue, summary in pairs(8):
        row = base.renderer.example(dialogue, summary)
        expected = base.tokenizer(dialogue.text, text_target=summary)
        assert list(row.prompt_ids) == expected["input_ids"]
        assert [*row.completion_ids, row.stop_id] == expected["labels"]


def test_a_text_cannot_bring_special_tokens(folder: Path) -> None:
    base = Base(folder / "bart")
    row = base.renderer.example(Dialogue("a", "#Person1#: </s> <pad>"), "<s> a")
    assert row.prompt_ids.count(2) == 1
    assert row.completion_ids.count(0) == 1
    assert base.renderer.decode([*row.completion_ids, row.stop_id]) == "<s> a"


def test_a_long_source_loses_whole_turns(folder: Path) -> None:
    base = Base(folder / "bart")
    dialogue = max(read_dialogues("sample:train"), key=lambda one: len(one.text))
    renderer = Renderer(
        base.tokenizer, load_template("dialogue"), PromptFields(max_prompt_tokens=120), frame=base.frame
    )
    row = renderer.prompt(dialogue)
    assert len(row.prompt_ids) <= 120
    assert row.dropped_turns
    assert (row.prompt_ids[0], row.prompt_ids[-1]) == (0, 2)
    assert base.renderer.decode(row.prompt_ids[1:]).splitlines()[-1] == dialogue.text.splitlines()[-1]


def test_a_chat_is_refused(folder: Path) -> None:
    base = Base(folder / "bart")
    with raises(PromptError) as raised:
        Renderer(base.tokenizer, load_template("dialogue"), PromptFields(chat="always"), frame=base.frame)
    assert raised.message == snapshot(
        "prompt.chat is always, but an encoder-decoder reads a text and not a chat; set it to auto"
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("kind", OFFICIAL)
def test_loss_and_gradients_are_transformers_own(
    folder: Path, tmp_path: Path, kind: Kind, smoothing: float
) -> None:
    import torch
    from transformers import DataCollatorForSeq2Seq, Seq2SeqTrainer, Seq2SeqTrainingArguments

    from llm_summ.train.objectives.completion_loss import CompletionLoss

    base, rows = Base(folder / kind), pairs(6)
    model = base.model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    model.config.dropout = model.config.attention_dropout = model.config.activation_dropout = 0.0
    for part in model.modules():
        if isinstance(getattr(part, "dropout", None), float):
            part.dropout = 0.0

    arguments = Seq2SeqTrainingArguments(
        output_dir=str(tmp_path), use_cpu=True, report_to="none", label_smoothing_factor=smoothing
    )
    trainer = Seq2SeqTrainer(model=model, args=arguments, processing_class=base.tokenizer)
    collator = DataCollatorForSeq2Seq(base.tokenizer, model=model)
    features = [base.tokenizer(dialogue.text, text_target=summary) for dialogue, summary in rows]
    expected = trainer.compute_loss(model, collator(features))
    expected.backward()
    gradients = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()

    examples = [base.renderer.example(dialogue, summary) for dialogue, summary in rows]
    pad_id = int(base.tokenizer.pad_token_id)
    objective = CompletionLoss(
        examples, SEQ2SEQ, pad_id=pad_id, device=torch.device("cpu"), label_smoothing=smoothing
    )
    weight = sum(map(objective.weight, examples))
    total = 0.0
    for part in (examples[:1], examples[1:4], examples[4:]):  # micro batches
        loss = objective.loss(model, part) / weight
        loss.backward()
        total += float(loss.detach())
    assert total == pytest.approx(float(expected.detach()), abs=1e-5)
    assert gradients
    for name, parameter in model.named_parameters():
        if name in gradients:
            assert torch.allclose(parameter.grad, gradients[name], atol=1e-5), name


def texts(base: Base, requests: Sequence[Request], decoding: Decoding, batch_size: int) -> dict[Any, Output]:
    from llm_summ.generate.engines.hf import HfEngine

    engine = HfEngine(base.model, pad_id=int(base.tokenizer.pad_token_id), batch_size=batch_size, frame=base.frame)
    found = engine.generate(requests, stop_id=base.renderer.stop_id, decoding=decoding)
    return {(output.index, output.sample): output for output in found}


def requests_of(base: Base, count: int, new: int) -> list[Request]:
    return [
        Request(base.renderer.prompt(dialogue).prompt_ids, new, seed=1000 * index)
        for index, (dialogue, _) in enumerate(pairs(count))
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beams", [1, 4])
def test_texts_are_those_of_the_librarys_generate(folder: Path, kind: Kind, beams: int) -> None:
    import torch
    from transformers import GenerationConfig

    base = Base(folder / kind)
    asked = requests_of(base, 50, 12)
    ngram = 2 if beams > 1 else 0
    found = texts(base, asked, Decoding(beams=beams, no_repeat_ngram=ngram), batch_size=32)
    config = GenerationConfig(
        max_new_tokens=12,
        num_beams=beams,
        no_repeat_ngram_size=ngram,
        early_stopping=beams > 1,
        eos_token_id=base.renderer.stop_id,
        pad_token_id=base.tokenizer.pad_token_id,
        decoder_start_token_id=base.frame.start_id,
        forced_bos_token_id=base.frame.forced_id,
    )
    # BART's files make every text end with the stop token at the limit, and a cut text would pass for a whole one.
    base.model.generation_config.forced_eos_token_id = None
    lengths = set()
    for index, request in enumerate(asked):
        ids = torch.tensor([list(request.prompt_ids)])
        lengths.add(ids.shape[1])
        expected = base.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config
        )
        assert list(found[index, 0].token_ids) == expected[0, 1:].tolist()
    assert len(lengths) > 20


def test_neither_order_nor_batch_changes_a_sample(folder: Path) -> None:
    base = Base(folder / "bart")
    asked = requests_of(base, 9, 14)
    decoding = Decoding(n=3, temperature=1.0, top_p=0.9)
    together, alone = (texts(base, asked, decoding, size) for size in (8, 1))
    assert len(together) == 27
    assert {key: one.token_ids for key, one in together.items()} == {
        key: one.token_ids for key, one in alone.items()
    }
    assert len({one.token_ids for one in together.values()}) > 9


@pytest.mark.parametrize("kind", KINDS)
def test_a_logprob_is_the_models_own(folder: Path, kind: Kind) -> None:
    import torch

    base = Base(folder / kind)
    for name, weight in base.model.named_parameters():
        if "relative_attention_bias" in name:  # T5 adds it to the scores
            torch.nn.init.normal_(weight, std=3.0)
    asked = requests_of(base, 5, 10)
    for (index, _), output in texts(base, asked, GREEDY, 4).items():
        given = torch.tensor([[base.frame.start_id, *output.token_ids[:-1]]])
        source = torch.tensor([list(asked[index].prompt_ids)])
        with torch.no_grad():
            logits = base.model(input_ids=source, decoder_input_ids=given).logits[0].log_softmax(-1)
        chosen = len(base.frame.before_target)  # the tokens before it are forced, not chosen
        expected = sum(float(logits[at, token]) for at, token in enumerate(output.token_ids) if at >= chosen)
        assert output.logprob == pytest.approx(expected, abs=1e-3)


def test_least_length_and_length_penalty(folder: Path) -> None:
    base = Base(folder / "kobart")
    base.model.final_logits_bias[0, base.renderer.stop_id] = 4  # texts would end at once
    asked = requests_of(base, 4, 12)
    for beams in (1, 3):
        found = texts(base, asked, Decoding(beams=beams, min_new_tokens=7), 4)
        assert all(len(output.token_ids) > 7 for output in found.values())
    short, long = (
        sum(len(one.token_ids) for one in texts(base, asked, Decoding(beams=4, length_penalty=power), 4).values())
        for power in (-5.0, 5.0)
    )
    assert short < long


def test_a_whisper_is_no_text_to_text_model() -> None:
    from transformers import WhisperConfig

    with pytest.raises(ModelError):
        family_of_config(WhisperConfig())
