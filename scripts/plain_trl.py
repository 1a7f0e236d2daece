"""Fine-tune in the plain way of TRL's documentation: `bench_sft.py` compares with this script.

    python scripts/plain_trl.py SETTINGS.json

The settings say the model, the rows (JSONL with the strings prompt and completion) and what both sides have in
common; all other settings are TRL's defaults.
"""

import json
import sys
from pathlib import Path

import torch
from datasets import load_dataset
from peft import LoraConfig
from transformers import BitsAndBytesConfig
from trl import SFTConfig, SFTTrainer

settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
if settings["quantization"]:
    four_bits = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=settings["quantization"],
        bnb_4bit_use_double_quant=settings["double_quantization"],
        bnb_4bit_compute_dtype=getattr(torch, settings["compute_dtype"]),
    )
else:
    four_bits = None
trainer = SFTTrainer(
    model=settings["model"],
    args=SFTConfig(use_cpu=not torch.cuda.is_available(), **settings["training"]),
    train_dataset=load_dataset("json", data_files=settings["data"], split="train"),
    quantization_config=four_bits,
    peft_config=LoraConfig(task_type="CAUSAL_LM", **settings["lora"]),
)
trainer.train()
trainer.state.save_to_json(settings["state"])
