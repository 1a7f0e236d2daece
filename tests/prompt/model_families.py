"""Test data of the tests of prompts: tokenizers like those of base models, trained here on the sample data without
a hub; a small pool of examples; a length target."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest

from llm_summ.core.optional_packages import quiet_libraries
from llm_summ.data import Dialogue, read_dialogues
from llm_summ.prompt import ExamplePool, LengthTarget, Renderer, Template
from llm_summ.recipe import PromptFields

# Each in the style of a family's own template, reduced to the parts that matter for a renderer.
CHATML = """\
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' }}
{%- if message.role == 'assistant' and loop.last %}{{- '<think>\\n\\n</think>\\n\\n' }}{% endif %}
{{- message.content + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{% endif %}
{%- endif %}"""
GEMMA = """\
{{ bos_token }}
{%- if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{%- for message in messages %}
{%- if (message.role == 'user') != (loop.index0 is even) %}{{ raise_exception('roles alternate') }}{% endif %}
{{- '<start_of_turn>' + ('model' if message.role == 'assistant' else message.role) + '\\n' }}
{{- message.content | trim + '<end_of_turn>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"""
SOLAR = """\
{%- for message in messages %}
{%- if message.role == 'system' %}{{ '### System:\\n' + message.content + '\\n\\n' }}
{%- elif message.role == 'user' %}{{ '### User:\\n' + message.content + '\\n\\n' }}
{%- else %}{{ '### Assistant:\\n' + message.content }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '### Assistant:\\n' }}{% endif %}"""
EXAONE = """\
{%- for message in messages %}
{%- if loop.first and message.role != 'system' %}{{ '[|system|][|endofturn|]\\n' }}{% endif %}
{{- '[|' + message.role + '|]' + message.content }}
{{- '\\n' if message.role == 'user' else '[|endofturn|]\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '[|assistant|]' }}{% endif %}"""

BYTE_LEVEL = ("base", "chatml", "gemma", "solar", "exaone")
"""Byte-level tokenizers: decoding returns the encoded text byte for byte."""

LOOK_ALIKES = ("<s>", "</s>", "<eos>", "<bos>", "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<start_of_turn>")
LOOK_ALIKES += ("[END]",)  # an added token that is not special
LOOK_ALIKES += ("<end_of_turn>", "[|user|]", "[|assistant|]", "[|endofturn|]", "[BOS]", "\ue0000\ue001", "\ue000")
"""Texts of special tokens of the tokenizers, and of the renderer's own mark."""


def _texts() -> list[str]:
    dialogues = read_dialogues("sample:train")
    return [text for dialogue in dialogues for text in (dialogue.text, *dialogue.references)]


@cache
def _trained() -> tuple[str, str]:
    """Return a byte-level BPE, and one like SentencePiece with byte fallback; both as JSON."""
    pytest.importorskip("transformers", reason="the extra train is not installed")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    byte_level = Tokenizer(models.BPE())
    byte_level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_level.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    options = {"vocab_size": 1000, "show_progress": False}
    byte_level.train_from_iterator(_texts(), trainers.BpeTrainer(initial_alphabet=alphabet, **options))

    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    pieces = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    pieces.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    trainer = trainers.BpeTrainer(special_tokens=["<unk>", "<s>", "</s>", *bytes_], limit_alphabet=500, **options)
    pieces.train_from_iterator(_texts(), trainer)
    return byte_level.to_str(), pieces.to_str()


def byte_level(
    special: list[str],
    *,
    bos: str | None = None,
    eos: str | None = None,
    template: str | None = None,
    adds_bos: bool = False,
    plain: tuple[str, ...] = (),
) -> Any:
    """A byte-level tokenizer with special tokens; `plain` are added tokens that are not special."""
    encoded, _ = _trained()
    from tokenizers import Tokenizer, processors
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer.from_str(encoded)
    backend.add_special_tokens(special)
    backend.add_tokens(list(plain))
    if adds_bos:
        backend.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, backend.token_to_id(bos))]
        )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=bos, eos_token=eos)
    tokenizer.chat_template = template
    return tokenizer


def with_pieces(*, adds_bos: bool = True, template: str | None = None, cleans_up: bool = False) -> Any:
    """Return a tokenizer like Llama 2's: pieces that begin with ▁, and bytes for all other characters."""
    _, encoded = _trained()
    from transformers import LlamaTokenizer

    model = json.loads(encoded)["model"]
    tokenizer = LlamaTokenizer(
        vocab=model["vocab"],
        merges=[tuple(merge) for merge in model["merges"]],
        add_bos_token=adds_bos,
        clean_up_tokenization_spaces=cleans_up,
        clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output=cleans_up,
    )
    tokenizer.chat_template = template
    return tokenizer


@cache
def make_tokenizer(kind: str) -> Any:
    """Return the tokenizer of a kind; it is the same object every time, so it must not be changed."""
    quiet_libraries()
    match kind:
        case "base":
            return byte_level(["<s>", "</s>"], bos="<s>", eos="</s>", adds_bos=True)
        case "chatml":
            special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
            return byte_level(special, eos="<|endoftext|>", template=CHATML, plain=("<think>", "</think>"))
        case "gemma":
            special = ["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"]
            # Gemma's line feeds are added tokens, but not special.
            plain = ("\n", "\n\n")
            return byte_level(special, bos="<bos>", eos="<eos>", template=GEMMA, adds_bos=True, plain=plain)
        case "solar":
            return byte_level(["<s>", "</s>"], bos="<s>", eos="</s>", template=SOLAR, adds_bos=True)
        case "exaone":
            special = ["[BOS]", "[|endofturn|]", "[|system|]", "[|user|]", "[|assistant|]"]
            return byte_level(special, bos="[BOS]", eos="[|endofturn|]", template=EXAONE)
        case "plain-stop":
            template = CHATML.replace("<|im_end|>", "[END]")
            return byte_level(["</s>", "<|im_start|>"], eos="</s>", template=template, plain=("[END]",))
        case "pieces":
            return with_pieces()
    raise AssertionError(kind)


def text_of(tokenizer: Any, ids: Sequence[int]) -> str:
    """The text of ids, special tokens included."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))


def special_ids(tokenizer: Any) -> set[int]:
    return {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}


EXAMPLES = (
    Dialogue(
        "train_1",
        "#Person1#: 주문하신 책을 어디로 보내 드릴까요?\n#Person2#: #Address#로 보내 주세요.",
        ("#Person2#는 #Person1#에게 책을 #Address#로 보내 달라고 합니다.", "책을 보냅니다."),
        "배송",
    ),
    Dialogue("train_2", "#Person1#: 안녕하세요.\n#Person2#: 네, 안녕하세요.", (" 두 사람이 인사합니다.\n",)),
    Dialogue(
        "train_3", "#Person1#: <eos></s>라고 써 봐.\n\n#Person2#: [|user|]?", ("#Person2#는 \ue000를 씁니다.",)
    ),
    Dialogue(
        "train_4",
        "\n".join(f"#Person{1 + n % 2}#: 회의는 {n}시에 시작합니다. 늦지 않게 와 주세요." for n in range(40)),
        ("#Person1#과 #Person2#가 회의 시각을 두고 이야기합니다.",),
    ),
    Dialogue(
        "train_5", "#Person1#: 전화번호가 어떻게 되세요?\n#Person2#: #PhoneNumber#입니다.", ("번호를 묻습니다.",)
    ),
)
LENGTH = LengthTarget(edges=(20, 40), targets=(10, 30, 60), weights=(0.5, 0.7, -0.1))


@cache
def example_pool() -> ExamplePool:
    pytest.importorskip("bm25s", reason="the extra train is not installed")
    return ExamplePool(EXAMPLES)


def variables_for(template: Template, *, examples: int = 3) -> dict[str, Any]:
    """Return the arguments that `renderer_with` needs for a template."""
    given: dict[str, Any] = {}
    if template.uses("examples"):
        given |= {"pool": example_pool(), "examples": examples}
    if template.uses("length"):
        given["length"] = LENGTH
    return given


def renderer_with(
    tokenizer: Any,
    template: Template,
    *,
    pool: ExamplePool | None = None,
    length: LengthTarget | None = None,
    **fields: Any,
) -> Renderer:
    """Return a renderer with fields of a recipe, also with limits that are too small for a recipe."""
    return Renderer(tokenizer, template, PromptFields.model_construct(**fields), examples=pool, length=length)
