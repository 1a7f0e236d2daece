"""Measure an encoder-decoder against a plain script (`plain_seq2seq.py`): training, and generation with 4 beams.

    python scripts/bench_seq2seq.py                                   # the sample, a small BART
    python scripts/bench_seq2seq.py --data train.csv --rows 200 --shape kobart

Both sides run in one go, the plain one in a process of its own: a BART with random weights (124M with --shape
kobart) without dropout, the same rows in the same steps, the same learning rate and dtype. Training: seconds of
all steps without loading, ours with the parts that `sft` uses (steps, micro batches, loss). The losses have to
agree. Generation: 4 beams, no_repeat_ngram 2; the ids have to be equal. The plain loop takes the dialogues as they
come, 8 at a time (--plain-batch). Exit 1 if a result differs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from llm_summ.core.optional_packages import quiet_libraries
from llm_summ.data import read_dialogues
from llm_summ.models.base import configuration, load_tokenizer
from llm_summ.models.families import SEQ2SEQ
from llm_summ.plan.step_batches import draw_steps
from llm_summ.prompt import Renderer, TokenizedExample, load_template
from llm_summ.recipe import ModelFields, PromptFields

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "tests"))

SHAPES: dict[str, dict[str, Any]] = {
    "small": {},
    "kobart": {
        "d_model": 768,
        "vocab_size": 30000,
        "max_position_embeddings": 1026,
        "init_std": 0.02,
        **{f"{side}_layers": 6 for side in ("encoder", "decoder")},
        **{f"{side}_attention_heads": 16 for side in ("encoder", "decoder")},
        **{f"{side}_ffn_dim": 3072 for side in ("encoder", "decoder")},
    },
}
LEARNING_RATE, SEED = 1e-5, 42


def main() -> int:
    """Run both sides; 1 if their results differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="sample:train", help="a data file with summaries")
    parser.add_argument("--rows", type=int, default=96, help="rows to train on")
    parser.add_argument("--generate", type=int, default=32, help="dialogues to generate for")
    parser.add_argument("--batch", type=int, default=50, help="rows of an optimizer step")
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--plain-batch", type=int, default=8, help="dialogues at a time in the plain loop")
    parser.add_argument("--new", type=int, default=40, help="new tokens of a summary")
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16 on both sides")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return _run(given, Path(folder))


def _run(given: argparse.Namespace, folder: Path) -> int:
    from tiny_seq2seq import make_tiny_seq2seq

    quiet_libraries()
    base = make_tiny_seq2seq(folder / "base", "bart", dropout=0.0, **SHAPES[given.shape])
    model = ModelFields(base=str(base), quantization="none")
    tokenizer = load_tokenizer(model, str(base))
    frame = SEQ2SEQ.frame(tokenizer, configuration(model, str(base)))
    renderer = Renderer(tokenizer, load_template("dialogue"), PromptFields(max_prompt_tokens=512), frame=frame)
    dialogues = read_dialogues(given.data, limit=given.rows)
    examples = [renderer.example(dialogue, dialogue.references[0]) for dialogue in dialogues]
    lengths = list(map(len, examples))
    steps = draw_steps(lengths, given.batch, seed=SEED, epoch=0, grouped=False)
    ordered = [[examples[index] for index in step] for step in steps]
    ours = _train(base, renderer, ordered, given)
    plain = _plain(folder, base, [row for step in ordered for row in step], given, train=True)
    tokens = sum(lengths)
    print(f"training, {len(examples)} rows, {len(steps)} steps, {tokens} tokens:")
    print(f"  ours   {ours['seconds']:8.1f} s {tokens / ours['seconds']:8.0f} tokens/s")
    print(f"  plain  {plain['seconds']:8.1f} s {tokens / plain['seconds']:8.0f} tokens/s")
    gap = max(abs(a - b) for a, b in zip(ours["losses"], plain["losses"], strict=True))
    print(f"  ratio  {plain['seconds'] / ours['seconds']:.2f}; largest difference of a step's loss {gap:.1e}")
    chosen = examples[: given.generate]
    found = _generate(base, renderer, chosen, given)
    others = _plain(folder, base, chosen, given, train=False)
    same = sum(
        _text(one, frame.start_id) == _text(other, frame.start_id)
        for one, other in zip(found["texts"], others["texts"], strict=True)
    )
    print(f"generation, {len(chosen)} dialogues, 4 beams, {given.new} tokens:")
    print(f"  ours   {found['seconds']:8.1f} s\n  plain  {others['seconds']:8.1f} s")
    print(f"  ratio  {others['seconds'] / found['seconds']:.2f}; {same} of {len(chosen)} texts are equal")
    return int(gap > (2e-2 if given.bf16 else 1e-4) or same < len(chosen))


def _text(ids: list[int], start: int) -> list[int]:
    """Return ids without the decoder's start and the padding behind the end."""
    ids = ids[1:] if ids[:1] == [start] else ids
    return ids[: ids.index(2) + 1] if 2 in ids else ids


def _train(base: Path, renderer: Renderer, steps: list[list[TokenizedExample]], given: argparse.Namespace) -> Any:
    """Make the steps with our objective, micro batches of like length, and AdamW."""
    import torch
    from transformers import AutoModelForSeq2SeqLM

    from llm_summ.plan.step_batches import micro_batches
    from llm_summ.train.objectives.completion_loss import CompletionLoss

    model = AutoModelForSeq2SeqLM.from_pretrained(base).train()
    examples = [row for step in steps for row in step]
    objective = CompletionLoss(examples, SEQ2SEQ, pad_id=renderer.pad_id, device=model.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    losses = []
    began = time.perf_counter()
    for number, step in enumerate(steps):
        for group in optimizer.param_groups:  # as the library's linear schedule
            group["lr"] = LEARNING_RATE * (1 - number / len(steps))
        weight, total = sum(map(objective.weight, step)), 0.0
        for part in micro_batches(step, 8, objective.length):
            with torch.autocast("cpu", torch.bfloat16, enabled=given.bf16):
                loss = objective.loss(model, part) / weight
            loss.backward()
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(total)
    return {"seconds": time.perf_counter() - began, "losses": losses}


def _generate(base: Path, renderer: Renderer, rows: list[TokenizedExample], given: argparse.Namespace) -> Any:
    from transformers import AutoModelForSeq2SeqLM

    from llm_summ.generate.engine import Decoding, Request
    from llm_summ.generate.engines.hf import HfEngine

    model = AutoModelForSeq2SeqLM.from_pretrained(base)
    engine = HfEngine(model, pad_id=renderer.pad_id, batch_size=32, frame=renderer.frame)
    requests = [Request(row.prompt_ids, given.new) for row in rows]
    began = time.perf_counter()
    found = engine.generate(requests, stop_id=renderer.stop_id, decoding=Decoding(beams=4, no_repeat_ngram=2))
    texts = {output.index: list(output.token_ids) for output in found}
    return {"seconds": time.perf_counter() - began, "texts": [texts[index] for index in range(len(rows))]}


def _plain(
    folder: Path, base: Path, rows: list[TokenizedExample], given: argparse.Namespace, *, train: bool
) -> Any:
    settings = {
        "base": str(base),
        "rows": [[row.prompt_ids, [*row.completion_ids, row.stop_id]] for row in rows],
        "train": train,
        "out": str(folder / "out"),
        "batch_size": given.batch if train else given.plain_batch,
        "learning_rate": LEARNING_RATE,
        "bf16": given.bf16,
        "result": str(folder / "result.json"),
        "generate": {
            "num_beams": 4,
            "no_repeat_ngram_size": 2,
            "max_new_tokens": given.new,
            "early_stopping": True,
            "forced_bos_token_id": 0,
            "forced_eos_token_id": None,
        },
    }
    path = folder / "settings.json"
    path.write_text(json.dumps(settings), encoding="utf-8")
    subprocess.run([sys.executable, "-W", "ignore", str(HERE / "plain_seq2seq.py"), str(path)], check=True)
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
