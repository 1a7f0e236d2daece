"""The other side of bench_seq2seq.py: what a team writes first, with transformers' Seq2SeqTrainer and `generate`.

python scripts/plain_seq2seq.py SETTINGS.json
"""

import json
import sys
import time
from pathlib import Path

import torch
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
)

settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
tokenizer = AutoTokenizer.from_pretrained(settings["base"])
model = AutoModelForSeq2SeqLM.from_pretrained(settings["base"])
features = [{"input_ids": row[0], "labels": row[1]} for row in settings["rows"]]

if settings["train"]:
    arguments = Seq2SeqTrainingArguments(
        output_dir=settings["out"],
        per_device_train_batch_size=settings["batch_size"],
        num_train_epochs=1,
        learning_rate=settings["learning_rate"],
        train_sampling_strategy="sequential",  # the rows come in the other side's order
        bf16=settings["bf16"],
        use_cpu=not torch.cuda.is_available(),
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Seq2SeqTrainer(model, arguments, DataCollatorForSeq2Seq(tokenizer, model=model), features)
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    result = {"seconds": seconds, "losses": [line["loss"] for line in trainer.state.log_history if "loss" in line]}
else:
    began, texts = time.perf_counter(), []
    model.eval()
    for start in range(0, len(features), settings["batch_size"]):
        batch = [
            {"input_ids": feature["input_ids"]} for feature in features[start : start + settings["batch_size"]]
        ]
        padded = tokenizer.pad(batch, return_tensors="pt").to(model.device)
        found = model.generate(**padded, **settings["generate"])
        texts += found.tolist()
    result = {"seconds": time.perf_counter() - began, "texts": texts}
Path(settings["result"]).write_text(json.dumps(result), encoding="utf-8")
