"""What is wrong with a base is found by its configuration, files and tokenizer, before weights are loaded."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot
from messages import lines_with, plain, raises

pytest.importorskip("transformers", reason="the extra train is not installed")

from command_line import llm_summ, refused

from llm_summ.core.errors import ModelError
from llm_summ.models.base import base_location, load_tokenizer
from llm_summ.models.base_facts import BaseFacts, facts_of
from llm_summ.models.families import SEQ2SEQ, find_family
from llm_summ.models.gate import base_findings, pass_gate
from llm_summ.models.vllm_support import base_refusals, unserved_on_cpu
from llm_summ.models.weight_files import file_findings
from llm_summ.recipe import Recipe, find_recipe, load_recipe

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:::transformers", "ignore:::trl", "ignore:::torch", "ignore:::peft"),
]

RECIPE = """
model: {base: ./base, quantization: none}
data: {train: 'sample:train', dev: 'sample:dev', limit: 8}
train: {max_steps: 1, warmup_ratio: 0}
evaluation: {every: never}
generate: {max_new_tokens: 8, engine: hf, dtype: float32}
"""


@pytest.fixture
def base(in_tmp: Path, tiny_model: Path) -> Path:
    """A copy of the tiny model, and a recipe that names it, in the test's working directory."""
    Path("recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return Path(shutil.copytree(tiny_model, "base"))


def change(path: Path, **fields: Any) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(values | fields), encoding="utf-8")


def failures(*settings: str) -> list[str]:
    """Return the failures that `check` reports."""
    changes = [word for setting in settings for word in ("--set", setting)]
    result = llm_summ("check", "recipe.yaml", *changes, "--json")
    lines: list[str] = json.loads(result.out)["failures"]
    assert result.code == int(bool(lines))
    return lines


def recipe(*settings: str) -> Recipe:
    return load_recipe(Path("recipe.yaml"), list(settings))


def codes(purpose: Any, *settings: str, refusing: bool = True) -> list[str]:
    from transformers import AutoConfig

    facts = facts_of(AutoConfig.from_pretrained("base"))
    return [one.code for one in base_findings(recipe(*settings), facts, purpose) if one.refuses == refusing]


# Quantized bases


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "fp8",
            snapshot(
                "model.base: ./base: its weights are quantized already (fp8); take the repository in full "
                "precision, which model.quantization quantizes"
            ),
        ),
        (
            "gptq",
            snapshot(
                "model.base: ./base: its weights are quantized already (gptq); take the repository in full "
                "precision, which model.quantization quantizes"
            ),
        ),
        (
            "awq",
            snapshot(
                "model.base: ./base: its weights are quantized already (awq); take the repository in full "
                "precision, which model.quantization quantizes"
            ),
        ),
        (
            "mxfp4",
            snapshot(
                "model.base: ./base: its weights are quantized already (mxfp4); take the repository in full "
                "precision, which model.quantization quantizes"
            ),
        ),
        (
            "compressed-tensors",
            snapshot(
                "model.base: ./base: its weights are quantized already (compressed-tensors); take the repository "
                "in full precision, which model.quantization quantizes"
            ),
        ),
    ],
)
def test_a_base_that_is_quantized_otherwise(base: Path, kind: str, message: str) -> None:
    change(base / "config.json", quantization_config={"quant_method": kind})
    for purpose in ("train", "merge", "generate"):
        assert codes(purpose) == ["quantized"]
    for quantization in ("none", "nf4"):
        [line] = failures(f"model.quantization={quantization}")
        assert line == message
    assert refused(llm_summ("sft", "recipe.yaml")) == message
    assert not Path("runs").exists()


def test_a_base_in_4_bits_is_trained_as_it_is(base: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="the extra train is not installed")
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    quantization = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32
    )
    model = AutoModelForCausalLM.from_pretrained(base, quantization_config=quantization, device_map={"": "cpu"})
    model.save_pretrained(base)
    assert codes("train") == []
    assert codes("train", refusing=False) == ["quantized"]
    assert codes("merge") == ["quantized"]
    assert codes("train", "train.weights=full") == ["quantized"]
    done = llm_summ("sft", "recipe.yaml", "--run", "one", "--set", "train.learning_rate=1e-2")
    assert done.code == 0, done.err
    done = llm_summ("generate", "--run", "one", "--data", "sample:dev", "--set", "generate.limit=predicted")
    assert done.code == 0, done.err
    assert refused(llm_summ("merge", "--run", "one")) == snapshot(
        "model.base: ./base: its weights are quantized already (bitsandbytes, 4 bits), and cannot be "
        "merged into; generate with --engine hf, or train on the base in full precision"
    )


# Files


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n",
            snapshot(
                "model.base: ./base: model.safetensors: a Git LFS pointer instead of the file itself (git lfs "
                "pull); expected safetensors; get it again"
            ),
        ),
        (
            b"",
            snapshot(
                "model.base: ./base: model.safetensors: cut off or not safetensors (0 bytes); expected "
                "safetensors; get it again"
            ),
        ),
        (
            b"<!DOCTYPE html><html>",
            snapshot(
                "model.base: ./base: model.safetensors: cut off or not safetensors (21 bytes); expected "
                "safetensors; get it again"
            ),
        ),
        (
            (8).to_bytes(8, "little") + b"no json!",
            snapshot(
                "model.base: ./base: model.safetensors: not safetensors (its header cannot be read); expected "
                "safetensors; get it again"
            ),
        ),
    ],
)
def test_a_file_that_holds_no_weights(base: Path, content: bytes, message: str) -> None:
    (base / "model.safetensors").write_bytes(content)
    [finding] = file_findings("./base", base)
    assert (finding.code, finding.refuses) == ("weights-broken", True)
    assert plain(finding.line) == message
    assert failures() == [finding.line]


def test_a_file_that_is_cut_off(base: Path) -> None:
    path = base / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    [finding] = file_findings("./base", base)
    sizes = f"found {len(content) - 1} bytes, expected {len(content)}"
    assert finding.line.replace(sizes, "…") == snapshot(
        "model.base: ./base: model.safetensors: cut off (…); expected safetensors; get it again"
    )


def test_weights_in_another_format_are_named(base: Path) -> None:
    (base / "model.safetensors").rename(base / "pytorch_model.bin")
    [finding] = file_findings("./base", base)
    assert finding.code == "weights-missing"
    assert plain(finding.line) == snapshot(
        "model.base: ./base: no model.safetensors; expected all of the model's weights, as safetensors "
        "(found pytorch_model.bin, which is not read)"
    )


# Weights


def rewrite(base: Path, change: Any) -> None:
    from safetensors.torch import load_file, save_file

    path = base / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        (lambda name: None if "layers.1.mlp" in name else name, "have no model.layers.1.mlp"),
        (lambda name: name.replace("layers.1.mlp", "layers.9.mlp"), "have no model.layers.1.mlp"),
        (lambda name: name, ""),
    ],
)
@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_weights_that_would_be_random(base: Path, rename: Any, message: str, quantization: str) -> None:
    rewrite(base, lambda weights: {new: weight for name, weight in weights.items() if (new := rename(name))})
    done = llm_summ("sft", "recipe.yaml", "--set", f"model.quantization={quantization}")
    if not message:
        assert done.code == 0, done.err
        return
    assert done.code == 2
    line = done.err.splitlines()[-1]
    assert plain(line) == snapshot(
        "llm-summ: model.base: ./base: its files have no model.layers.1.mlp.down_proj.weight, "
        "model.layers.1.mlp.gate_proj.weight, model.layers.1.mlp.up_proj.weight (3 in all), which would "
        "be random; get the whole model again"
    )
    assert not list(Path("runs").glob("*/adapter"))


def test_weights_that_no_layer_takes(base: Path) -> None:
    rewrite(
        base,
        lambda weights: weights | {"model.layers.0.self_attn.q_proj.bias": weights["model.norm.weight"].clone()},
    )
    done = llm_summ("sft", "recipe.yaml")
    assert done.code == 2
    assert lines_with(done.err, "./base: ") == snapshot(
        "llm-summ: model.base: ./base: its files have weights that its class does not use: "
        "model.layers.0.self_attn.q_proj.bias (1 in all); its configuration may be another model's: get "
        "both from one repository"
    )


# Tokenizers


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "LlamaTokenizerFast",
            snapshot("note: ./base: using the tokenizer of tokenizer.json; LlamaTokenizer gives other ids"),
        ),
        (
            "GPT2Tokenizer",
            snapshot("note: ./base: using the tokenizer of tokenizer.json; GPT2Tokenizer gives other ids"),
        ),
    ],
)
def test_a_class_of_tokenizers_with_other_rules_than_its_file(base: Path, name: str, message: str) -> None:
    from tokenizers import Regex, Tokenizer, pre_tokenizers

    # Words of Hangul are separated from others, unlike in GPT-2.
    backend = Tokenizer.from_file(str(base / "tokenizer.json"))
    hangul = pre_tokenizers.Split(Regex("[가-힣]"), "isolated")
    level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([hangul, level])
    backend.save(str(base / "tokenizer.json"))
    change(base / "tokenizer_config.json", tokenizer_class=name)
    done = llm_summ("check", "recipe.yaml")
    assert done.code == 0, done.out
    assert lines_with(done.err, "note: ") == message
    text = "#Person1#: 안녕하세요."
    tokenizer = load_tokenizer(recipe().model, "base")
    assert tokenizer.encode(text, add_special_tokens=False) == backend.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_a_tokenizer_that_loses_hangul(base: Path) -> None:
    """Its file itself knows none: most letters are unknown to it."""
    from tokenizers import Tokenizer, models

    known = Tokenizer(models.WordLevel({"<unk>": 0, "<bos>": 1, "<eos>": 2, "hello": 3}, unk_token="<unk>"))
    known.save(str(base / "tokenizer.json"))
    assert any("loses" in line and "Hangul letters" in line for line in failures())


def test_a_token_that_the_model_does_not_have(base: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(["#Person1#"])
    tokenizer.save_pretrained(base)
    [line] = failures()
    assert plain(line) == snapshot(
        "model.base: ./base: its tokenizer gives '#Person1#' (1500) in train_0, train_1, train_2, …, and "
        "the model has 1500 tokens; use tokenizer and weights of the same repository, or enlarge the "
        "embeddings for the added tokens"
    )


@pytest.mark.parametrize("pad", ["<new>", None])
def test_a_pad_token_that_the_model_does_not_have_is_replaced(base: Path, pad: str | None) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.pad_token = pad
    if pad:
        tokenizer.add_special_tokens({"pad_token": pad})
    tokenizer.save_pretrained(base)
    assert failures() == []
    done = llm_summ("sft", "recipe.yaml", "--run", "one", "--set", "evaluation.every=1")
    assert done.code == 0, done.err
    done = llm_summ("generate", "--run", "one", "--data", "sample:dev")
    assert done.code == 0, done.err


def test_t5gemma_passes_as_an_encoder_decoder() -> None:
    """Its configuration has two halves and no sizes of its own."""
    from transformers import T5GemmaConfig

    facts = facts_of(T5GemmaConfig(architectures=["T5GemmaForConditionalGeneration"]))
    assert base_findings(load_recipe(find_recipe("qlora")), facts, "train") == []
    assert find_family(facts) is SEQ2SEQ


def test_a_tokenizer_in_two_forms(base: Path) -> None:
    (base / "tekken.json").write_text("{}", encoding="utf-8")
    assert failures() == []


# Adapters


@pytest.mark.parametrize(
    "left", [None, '{"config": {}, "vocab": [], "special_tokens": []}'], ids=["none", "tekken"]
)
def test_a_folder_without_a_tokenizer_file(base: Path, left: str | None) -> None:
    (base / "tokenizer.json").unlink()
    if left is not None:
        (base / "tekken.json").write_text(left, encoding="utf-8")
    [line] = failures()
    # The reason is in the words of transformers.
    assert re.sub(r" \(.*\); ", " (…); ", line) == snapshot(
        "model.base: ./base: has no tokenizer.json, and no other file that a tokenizer could be loaded "
        "from; copy tokenizer.json from the model's repository, or from one of its family"
    )


def test_an_adapted_table_of_embeddings_that_is_the_head_as_well(base: Path) -> None:
    [line] = failures("lora.targets=[q_proj,embed_tokens]")
    assert plain(line) == snapshot(
        "lora.targets: embed_tokens is both the table of embeddings and the head of this model, so a "
        "merge would change both; leave it out"
    )
    change(base / "config.json", tie_word_embeddings=False)
    assert not any("embed_tokens" in line for line in failures("lora.targets=[q_proj,embed_tokens]"))


def test_packing_with_layers_that_carry_a_state(base: Path) -> None:
    from transformers import AutoConfig, Lfm2Config

    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 1500, "num_attention_heads": 2}
    Lfm2Config(**sizes, layer_types=["conv", "full_attention"], architectures=["Lfm2ForCausalLM"]).save_pretrained(
        "base"
    )
    assert codes("train", "train.packing=true") == ["packing"]
    assert codes("train") == []
    with raises(ModelError) as error:
        pass_gate(recipe("train.packing=true"), "base", "train")
    assert error.message == snapshot(
        "train.packing: ./base has layers that carry a state from token to token (conv), so that a packed "
        "row would see the row before it; set it to false"
    )
    assert facts_of(AutoConfig.from_pretrained("base")).recurrent == ("conv",)


def facts(**changes: Any) -> BaseFacts:
    given: dict[str, Any] = {
        "model_type": "llama",
        "configuration": "LlamaConfig",
        "architectures": ("LlamaForCausalLM",),
        "trained_class": "LlamaForCausalLM",
        "is_encoder_decoder": False,
        "is_encoder": False,
        "quantized": None,
        "recurrent": (),
        "sees": False,
        "experts": 0,
        "vocabulary": 100,
        "context": 2048,
    }
    return BaseFacts(**(given | changes))


def named(name: str, trained: str | None = None, **changes: Any) -> BaseFacts:
    return facts(architectures=(name,), trained_class=trained or name, **changes)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (facts(), None),
        (named("Qwen3ForCausalLM"), None),
        (named("Gemma3ForConditionalGeneration"), None),
        (named("GPTNeoXForCausalLM"), None),
        (
            named("Qwen3_5ForConditionalGeneration", "Qwen3_5ForCausalLM", sees=True),
            "it was trained on the Qwen3_5ForCausalLM",
        ),
        (named("GPT2LMHeadModel"), "vLLM serves GPT2LMHeadModel without adapters"),
        (named("StableLmForCausalLM"), "vLLM serves StableLmForCausalLM without adapters"),
        (named("MambaForCausalLM"), "vLLM serves MambaForCausalLM without adapters"),
        (named("Qwen3MoeForCausalLM", experts=8), None),
        (named("LLaMAForCausalLM", "LlamaForCausalLM"), None),
    ],
)
def test_what_vllm_does_with_an_adapter(found: BaseFacts, message: str | None) -> None:
    refusals = base_refusals(found)
    assert [line[: len(message or "")] for line in refusals] == ([message] if message else [])


def test_a_class_that_vllm_does_not_know() -> None:
    pytest.importorskip("vllm", reason="vllm is not installed")
    assert unserved_on_cpu(named("NoSuchForCausalLM")) == "vllm does not know NoSuchForCausalLM"
    assert unserved_on_cpu(facts()) == ""


@pytest.mark.parametrize("is_there", [True, False])
def test_a_class_that_needs_torchvision(monkeypatch: pytest.MonkeyPatch, is_there: bool) -> None:
    monkeypatch.setattr("llm_summ.models.vllm_support.is_installed", lambda name: is_there)
    needs = "" if is_there else "vllm needs torchvision for {}, which is not installed"
    part = named("Qwen3_5ForConditionalGeneration", "Qwen3_5ForCausalLM", sees=True)
    whole = named("Gemma3ForConditionalGeneration", sees=True)
    assert unserved_on_cpu(part) == needs.format("Qwen3_5ForCausalLM")
    assert unserved_on_cpu(whole) == ""
    assert unserved_on_cpu(whole, attached=True) == needs.format("Gemma3ForConditionalGeneration")


@pytest.mark.canary
def test_what_is_known_of_vllm_without_it() -> None:
    pytest.importorskip("vllm", reason="vllm is not installed")
    import transformers

    from llm_summ.core.compat import vllm_architectures

    table = vllm_architectures._registry()
    assert table is not None
    assert len(table) > 200
    known = {
        name for name in table if hasattr(transformers, name) and name.endswith(("ForCausalLM", "LMHeadModel"))
    }
    without = {name for name in known if not vllm_architectures.architecture_support(name).with_adapters}
    assert {
        name for name in vllm_architectures._WITHOUT_ADAPTERS if not name.endswith("ForConditionalGeneration")
    } == without
    assert {"LlamaForCausalLM", "GPT2LMHeadModel", "GPTNeoXForCausalLM", "Qwen3ForCausalLM"} <= known


# Which base it is


def test_another_base_under_the_same_name(base: Path) -> None:
    settings = ("--set", "train.max_steps=2", "--set", "train.save_steps=1")
    done = llm_summ("sft", "recipe.yaml", "--run", "one", *settings)
    assert done.code == 0, done.err
    run = Path("runs/one")
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["base"]["base"] == "base"
    del manifest["training"]
    (run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    shutil.rmtree(run / "adapter")
    shutil.copytree(base, "copy")  # with other times
    rewrite(base, lambda weights: {name: one + 1 for name, one in weights.items()})
    line = refused(llm_summ("sft", "--resume", "--run", "one"))
    assert plain(line) == snapshot(
        "runs/one: the base base is not the one that the training began with (files); restore that one, "
        "or start a new run"
    )
    shutil.rmtree(base)
    Path("copy").rename(base)
    done = llm_summ("sft", "--resume", "--run", "one")
    assert done.code == 0, done.err
    assert base_location(recipe().model) == "base"


def test_prompts_beyond_the_context_are_refused_before_the_weights(base: Path) -> None:
    done = llm_summ("sft", "recipe.yaml", "--run", "one")
    assert done.code == 0, done.err
    line = refused(
        llm_summ("generate", "--run", "one", "--data", "sample:dev", "--set", "generate.max_new_tokens=1900")
    )
    assert line.startswith("sample:dev: ")
    assert plain(line) == snapshot(
        "sample:dev: 32 rows of up to 2332 tokens with 1900 new ones; ./base takes 2048; lower "
        "generate.max_new_tokens or prompt.max_prompt_tokens (dev_0, dev_1, dev_2, dev_3, dev_5, …)"
    )


def test_an_adapter_that_adds_nothing(base: Path) -> None:
    from safetensors.torch import load_file, save_file

    done = llm_summ("sft", "recipe.yaml", "--run", "one")
    assert done.code == 0, done.err
    path = Path("runs/one/adapter/adapter_model.safetensors")
    weights = {name: one * 0 if "lora_B" in name else one for name, one in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})
    done = llm_summ("generate", "--run", "one", "--data", "sample:dev")
    assert done.code == 0
    assert lines_with(done.err, "note: ") == snapshot(
        "note: runs/one/adapter adds nothing to any layer (its lora_B is zero): these are the base's summaries"
    )
