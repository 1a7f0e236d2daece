"""Convert GGUF files: the result is what transformers itself writes, and a damaged file is one clear line."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import pytest

pytest.importorskip("gguf")
pytest.importorskip("transformers")

from gguf_files import write_gguf

from llm_summ.core.errors import ModelError
from llm_summ.models.gguf import build_tokenizer, convert_gemma3, read_gguf

FILES = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}


def convert(path: Path, folder: Path) -> Path:
    folder.mkdir()
    file = read_gguf(path.read_bytes(), path.name)
    convert_gemma3(file, build_tokenizer(file), folder)
    return folder


def convert_with_transformers(path: Path, folder: Path) -> Path:
    """Convert by transformers' public names."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    tokenizer.add_bos_token = True  # the file asks for it, and the conversion forgets it
    model = AutoModelForCausalLM.from_pretrained(
        path.parent,
        gguf_file=path.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def content(file: Path) -> bytes:
    """The file's bytes; transformers notes whether the hub's client is offline, as it is in tests."""
    return file.read_bytes().replace(b'"local_files_only": true', b'"local_files_only": false')


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:::transformers", "ignore:::torch")
@pytest.mark.parametrize(
    ("kind", "tied"),
    [
        ("Q8_0", True),
        ("Q5_0", False),
        ("Q4_0", True),
        ("Q4_1", True),
        ("Q5_1", True),
        ("F16", True),
        ("BF16", True),
        ("F32", False),
    ],
)
def test_files_are_those_of_transformers(tmp_path: Path, kind: str, tied: bool) -> None:
    """Every file, byte for byte: values, names, configuration, vocabulary, merges, added tokens."""
    path = write_gguf(tmp_path / "tiny.gguf", kind, tied=tied)
    ours, theirs = convert(path, tmp_path / "ours"), convert_with_transformers(path, tmp_path / "theirs")
    assert {file.name for file in ours.iterdir()} == {file.name for file in theirs.iterdir()} == FILES
    assert [name for name in sorted(FILES) if content(ours / name) != content(theirs / name)] == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "llama"}, "its architecture is llama, expected gemma3"),
        ({"without": "blk.1.ffn_up.weight"}, "lacks blk.1.ffn_up.weight; expected all tensors of Gemma 3"),
        (
            {"without": "sliding_window"},
            "no gemma3.attention.sliding_window in its metadata; expected one of type",
        ),
        ({"extra": "blk.2.attn_norm.weight"}, "has blk.2.attn_norm.weight; expected 2 layers"),
        ({"extra": "blk.0.ssm_a.weight"}, "has blk.0.ssm_a.weight; expected the tensors of Gemma 3 only"),
    ],
)
def test_a_file_of_another_model(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", **changes)
    with pytest.raises(ModelError) as caught:
        convert(path, tmp_path / "out")
    assert str(caught.value).startswith(f"tiny.gguf: {message}")


def changed(content: bytes, offset: int, code: str, value: int) -> bytes:
    """The content with another number at an offset."""
    return content[:offset] + struct.pack(code, value) + content[offset + struct.calcsize(code) :]


def test_a_damaged_file(tmp_path: Path) -> None:
    """The error names the damage in one line."""
    content = write_gguf(tmp_path / "tiny.gguf").read_bytes()
    kind = content.index(b"token_embd.weight") + len("token_embd.weight") + 4 + 2 * 8
    table = [
        (b"", "begins with b'', expected b'GGUF': not a GGUF file"),
        (b"PK\x03\x04" + content[4:], "begins with b'PK\\x03\\x04', expected b'GGUF': not a GGUF file"),
        (changed(content, 4, "<I", 1), "GGUF of version 1, expected 2 or 3"),
        (
            changed(content, kind, "<I", 8888),
            "token_embd.weight has quantization type 8888, which gguf does not know",
        ),
        (
            changed(content, kind - 16, "<Q", 33),
            "token_embd.weight has the shape (284, 33), expected rows of a multiple",
        ),
        (
            changed(content, kind - 16, "<Q", 2**50),
            f"ends at byte {len(content)}, within token_embd.weight; expected",
        ),
        (content[:-1], f"ends at byte {len(content) - 1}, within blk.1.ffn_down.weight; expected at least"),
        (content[:1000], "ends at byte 1000, within its header; expected a complete GGUF file"),
        (changed(content, 24, "<Q", 2**63), f"ends at byte {len(content)}, within its header"),
    ]
    for damaged, message in table:
        with pytest.raises(ModelError) as caught:
            read_gguf(damaged, "tiny.gguf")
        assert str(caught.value).startswith(f"tiny.gguf: {message}")
        assert "\n" not in str(caught.value)


def test_a_file_that_is_cut_or_overwritten_anywhere(tmp_path: Path) -> None:
    """Any other error than ours would be a traceback; a changed letter of a token is not an error."""
    content = write_gguf(tmp_path / "tiny.gguf").read_bytes()
    header = content.index(b"blk.1.ffn_down.weight") + 60
    for end in range(0, header, 61):
        with pytest.raises(ModelError):
            read_gguf(content[:end], "tiny.gguf")
    for offset in range(4, header, 37):
        with contextlib.suppress(ModelError):
            read_gguf(content[:offset] + b"\xff\xff" + content[offset + 2 :], "tiny.gguf")


def test_merges_follow_from_the_vocabulary(tmp_path: Path) -> None:
    """Lower ids first; of one token, the longest left part first."""
    from llm_summ.models.gguf.tokenizer import derive_merges

    tokens = ["a", "b", "c", "ab", "bc", "abc", "d"]
    found = derive_merges({token: index for index, token in enumerate(tokens)})
    assert found == [("a", "b"), ("b", "c"), ("ab", "c"), ("a", "bc")]


def test_a_vocabulary_with_a_duplicate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gguf_files

    monkeypatch.setattr(gguf_files, "PIECES", [*gguf_files.PIECES, "가"])
    file = read_gguf(write_gguf(tmp_path / "tiny.gguf").read_bytes(), "tiny.gguf")
    with pytest.raises(ModelError, match=r"^tiny\.gguf: found a duplicate token; expected 285 different ones$"):
        build_tokenizer(file)
