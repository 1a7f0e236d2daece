"""Convert GGUF files: the result is what transformers itself writes."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("gguf")
pytest.importorskip("transformers")

from gguf_files import write_gguf

from llm_summ.models.gguf import build_tokenizer, convert_gemma3, read_gguf

FILES = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}


def convert(path: Path, folder: Path) -> Path:
    folder.mkdir()
    file = read_gguf(path.read_bytes())
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


def test_merges_follow_from_the_vocabulary(tmp_path: Path) -> None:
    """Lower ids first; of one token, the longest left part first."""
    from llm_summ.models.gguf.tokenizer import derive_merges

    tokens = ["a", "b", "c", "ab", "bc", "abc", "d"]
    found = derive_merges({token: index for index, token in enumerate(tokens)})
    assert found == [("a", "b"), ("b", "c"), ("ab", "c"), ("a", "bc")]
