"""A finished run of a tiny random model, made by PEFT without a training."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from llm_summ.core.files import file_sha256
from llm_summ.data import read_dialogues
from llm_summ.prompt import ExamplePool, load_template
from llm_summ.prompt.saved_prompt import keep, kept_sha256
from llm_summ.recipe import DataFields, GenerateFields, LoraFields, ModelFields, PromptFields, Recipe, TrainFields
from llm_summ.runs.manifest import Manifest, PromptRecord
from llm_summ.runs.run import Run, create_run

STOP_ID = 2


def make_run(
    folder: Path, model: Path, *, size: float = 0.05, full: bool = False, examples: int = 0, **lora: Any
) -> Run:
    """Write ``tiny/``, a copy of `model`, and ``runs/tiny`` with a random adapter, its B as large as `size`.

    With `examples`, its prompt shows as many of the sample's training dialogues.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = shutil.copytree(model, folder / "tiny")
    recipe = Recipe(
        model=ModelFields(base=str(base)),
        data=DataFields(train="sample:train", dev="sample:dev"),
        lora=LoraFields(r=4, alpha=8),
        generate=GenerateFields(max_new_tokens=12, batch_size=4, dtype="float32"),  # not what this CPU is fast in
    )
    if full:
        whole = recipe.model.model_copy(update={"quantization": "none"})
        recipe = recipe.model_copy(update={"train": TrainFields(weights="full"), "model": whole})
    if examples:
        fields = PromptFields(template="few-shot", examples=examples, max_prompt_tokens=1800)
        recipe = recipe.model_copy(update={"prompt": fields})
    template = load_template(recipe.prompt.template)
    manifest = Manifest(prompt=PromptRecord(sha256=template.sha256), kept={})
    run = create_run(folder / "runs" / "tiny", recipe, template.text, manifest)
    if examples:
        keep(run, None, ExamplePool(read_dialogues("sample:train")))
        run.write_manifest(manifest.model_copy(update={"kept": kept_sha256(run)}))
    torch.manual_seed(1)
    config = LoraConfig(
        **{"task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "target_modules": "all-linear", **lora}
    )
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    for parameter_name, parameter in model.named_parameters():
        if "lora_B" in parameter_name:
            torch.nn.init.normal_(parameter, std=size)
    model.save_pretrained(run.adapter)
    AutoTokenizer.from_pretrained(base).save_pretrained(run.adapter)
    return run


def weights_of(folder: Path) -> dict[str, Any]:
    """Every tensor of a folder, as numpy has it."""
    from safetensors.numpy import load_file

    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


def sha256(folder: Path) -> str:
    return file_sha256(folder / "model.safetensors")
