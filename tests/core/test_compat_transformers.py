"""Canaries: what transformers does beyond its public names, as core/compat/transformers.py takes it."""

from __future__ import annotations

import inspect
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from llm_summ.core.compat.torch import fake_tensor_mode
from llm_summ.core.compat.transformers import (
    GGUF_NAME_FIELD,
    LANGUAGE_MODEL_PREFIX,
    NO_MAXIMUM_LENGTH,
    Refusal,
    are_shapes_refused,
    attention_implementation,
    is_model_code,
    refusal,
    replace_quantized_layers,
    without_full_masks,
)

pytestmark = [
    pytest.mark.canary,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:::transformers", "ignore:::bitsandbytes", "ignore:::torch"),
]


PRIVATE = re.compile(r"\bself\.(_[a-z]\w*)")


def small_model(**fields: Any) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=32, num_key_value_heads=1, **sizes, **fields))


def test_a_model_tells_how_it_attends() -> None:
    model = small_model()
    assert attention_implementation(model.config) == "sdpa"
    model.set_attn_implementation("eager")
    assert attention_implementation(model.config) == "eager"


def test_fused_attention_can_be_registered_under_another_name() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import sdpa_mask

    names = list(inspect.signature(sdpa_attention_forward).parameters)
    assert names[:5] == ["module", "query", "key", "value", "attention_mask"]
    assert {"scaling", "dropout"} <= set(names)
    assert callable(sdpa_mask)
    assert callable(AttentionInterface.register)
    assert callable(AttentionMaskInterface.register)


def test_no_mask_is_made_where_nothing_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask

    masks: list[Any] = []
    attend = torch.nn.functional.scaled_dot_product_attention

    def look(*args: Any, **options: Any) -> Any:
        masks.append(options.get("attn_mask"))
        return attend(*args, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", look)
    assert {"kv_length", "local_size"} <= set(inspect.signature(sdpa_mask).parameters)
    with fake_tensor_mode():
        model = small_model()
        ids = torch.zeros(1, 8, dtype=torch.long)
        model(input_ids=ids, attention_mask=torch.ones_like(ids))
        assert all(mask is not None for mask in masks), "transformers leaves the mask out by itself now"
        masks.clear()
        with without_full_masks():
            model(input_ids=ids, attention_mask=torch.ones_like(ids))
        assert masks == [None, None]
    assert ALL_MASK_ATTENTION_FUNCTIONS["sdpa"] is sdpa_mask


@pytest.mark.parametrize("kind", ["nf4", "fp4", "int8"])
def test_layers_without_weights_are_those_of_a_loaded_model(tiny_model: Path, kind: str) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from llm_summ.models.load import quantization_config

    quantization = quantization_config(kind, double=True, compute_dtype=torch.float32)
    loaded = AutoModelForCausalLM.from_pretrained(
        tiny_model, dtype=torch.float32, device_map={"": "cpu"}, quantization_config=quantization
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tiny_model), dtype=torch.float32)
    replace_quantized_layers(model, quantization, torch.float32)
    layers = {name: type(module) for name, module in model.named_modules()}
    assert layers == {name: type(module) for name, module in loaded.named_modules()}
    flags = [f"is_loaded_in_{bits}bit" for bits in (4, 8)]
    assert [getattr(model, flag, False) for flag in flags] == [getattr(loaded, flag, False) for flag in flags]
    assert all(parameter.is_meta for parameter in model.parameters())


def test_an_unknown_architecture(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "of-tomorrow"}), encoding="utf-8")
    assert refused(tmp_path) == "unknown-architecture"


def test_a_model_with_code_of_its_own(tmp_path: Path) -> None:
    fields = {"model_type": "of-others", "auto_map": {"AutoConfig": "configuration_others.Others"}}
    (tmp_path / "config.json").write_text(json.dumps(fields), encoding="utf-8")
    (tmp_path / "configuration_others.py").write_text("", encoding="utf-8")
    assert refused(tmp_path, trust_remote_code=False) == "needs-own-code"


def test_weights_that_are_no_safetensors(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    small_model().config.save_pretrained(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(OSError, match=r".") as caught:
        AutoModelForCausalLM.from_pretrained(tmp_path, use_safetensors=True)
    assert refusal(caught.value) == "no-safetensors"


@pytest.fixture
def gated_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Run a model hub that answers as the real one does for a model whose terms were not accepted."""
    from huggingface_hub import constants

    class Gated(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(403)
            self.send_header("X-Error-Code", "GatedRepo")
            self.send_header("X-Error-Message", "Access to model is restricted.")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Gated)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("gated_hub")
def test_a_gated_model() -> None:
    assert refused("one/gated") == "restricted"


def refused(location: Path | str, **options: Any) -> Refusal | None:
    from transformers import AutoConfig

    with pytest.raises((OSError, ValueError)) as caught:
        AutoConfig.from_pretrained(str(location), **options)
    return refusal(caught.value)


def test_another_reason(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    assert refused(tmp_path) is None


def test_weights_of_other_shapes(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    small_model().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config | {"intermediate_size": 96}), encoding="utf-8")
    with pytest.raises(RuntimeError, match=r".") as caught:
        AutoModelForCausalLM.from_pretrained(tmp_path)
    assert are_shapes_refused(caught.value)
    assert not are_shapes_refused(RuntimeError("out of memory"))


@pytest.mark.parametrize("name", ["LlamaForCausalLM", "Gemma3ForCausalLM", "MambaForCausalLM", "Qwen3ForCausalLM"])
def test_a_models_own_code(name: str) -> None:
    import transformers

    assert is_model_code(inspect.getfile(getattr(transformers, name)))
    assert not is_model_code(inspect.getfile(transformers.Trainer))


def test_copied_values() -> None:
    from transformers.integrations.ggml import GGUF_CONFIG_MAPPING
    from transformers.tokenization_utils_base import VERY_LARGE_INTEGER

    assert NO_MAXIMUM_LENGTH == VERY_LARGE_INTEGER
    assert GGUF_CONFIG_MAPPING["general"]["name"] == GGUF_NAME_FIELD


def test_names_of_a_language_model_in_one_that_reads_pictures() -> None:
    import torch
    from transformers import AutoModelForCausalLM, Gemma3Config, Gemma3ForConditionalGeneration

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {**sizes, "image_size": 28, "patch_size": 14}
    text = {**sizes, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": 64}
    with torch.device("meta"):
        whole = Gemma3ForConditionalGeneration(
            Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4, image_token_id=63)
        )
        alone = AutoModelForCausalLM.from_config(whole.config.get_text_config())
    names = {name.replace(LANGUAGE_MODEL_PREFIX, "", 1) for name in whole.state_dict()}
    assert alone.state_dict().keys() <= names


def test_what_else_is_taken_of_transformers() -> None:
    """Public names whose meaning this package builds on."""
    from transformers import PreTrainedModel
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    assert MODEL_FOR_CAUSAL_LM_MAPPING_NAMES["llama"] == "LlamaForCausalLM"
    assert MODEL_FOR_MASKED_LM_MAPPING_NAMES["bert"] == "BertForMaskedLM"
    layer, sliding = DynamicLayer(), DynamicSlidingWindowLayer(4)
    assert not layer.is_initialized
    assert (sliding.sliding_window, sliding.cumulative_length, sliding.record_past) == (4, 0, False)
    assert list(inspect.signature(layer.lazy_initialization).parameters) == ["key_states", "value_states"]
    assert callable(PreTrainedModel.dequantize)


def test_fsdp_finds_what_it_looks_for_in_a_model() -> None:
    """Used by train/shard.py: what is a layer, and the mark that has all processes generate equally long."""
    from transformers import PreTrainedModel
    from transformers.generation import utils

    assert set(small_model()._no_split_modules) == {"LlamaDecoderLayer"}
    assert "_is_fsdp_managed_module" in inspect.getsource(inspect.getmodule(utils.is_fsdp_managed_module))
    assert "all_tied_weights_keys" in inspect.getsource(PreTrainedModel)


def test_our_subclasses_hide_nothing_of_their_bases() -> None:
    """A private name of ours that a base has too would change what the base does."""
    from llm_summ.generate import growing_cache
    from llm_summ.generate.engines import sampling

    found = 0
    for module in (growing_cache, sampling):
        for kind in vars(module).values():
            if not isinstance(kind, type) or kind.__module__ != module.__name__:
                continue
            bases = [base for base in kind.__mro__ if base.__module__.startswith("transformers")]
            ours = set(PRIVATE.findall(inspect.getsource(kind)))
            theirs = {name for base in bases for name in PRIVATE.findall(inspect.getsource(base))}
            assert not ours & theirs, kind
            found += bool(ours and theirs)
    assert found, "no base has a private name: nothing was compared"
