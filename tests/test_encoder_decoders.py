"""Encoder-decoders through the command line: they learn, resume, generate, and are refused where they must be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import llm_summ, refused
from inline_snapshot import snapshot
from messages import lines_with
from tiny_seq2seq import KINDS, Kind, make_tiny_seq2seq

from llm_summ.data import read_dialogues
from llm_summ.models.trained_weights import weights_sha256

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:::transformers", "ignore:::trl", "ignore:::torch", "ignore:::peft"),
]

RECIPE = """
model: {base: ./kobart, quantization: none, compute_dtype: float32}
data: {train: train.jsonl, dev: dev.jsonl}
prompt: {template: dialogue}
train: {weights: full, max_steps: 6, batch_size: 4, learning_rate: 1e-3, warmup_ratio: 0}
evaluation: {every: 3, rows: 2, decoding: recipe}
generate: {max_new_tokens: 12, beams: 2, no_repeat_ngram: 3}
"""


SFT = [sys.executable, "-m", "llm_summ", "sft", "recipe.yaml", "--run"]


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bases")
    for kind in KINDS:
        make_tiny_seq2seq(folder / kind, kind)
    return folder


@pytest.fixture
def folder(bases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all bases, a few short dialogues and a recipe, in which the tests stand."""
    monkeypatch.chdir(tmp_path)
    for kind in KINDS:
        shutil.copytree(bases / kind, tmp_path / kind)
    for part, rows in (("train", 16), ("dev", 4)):
        short = sorted(read_dialogues(f"sample:{part}"), key=lambda one: len(one.text))[:rows]
        lines = [{"fname": one.id, "dialogue": one.text, "summary": one.references[0]} for one in short]
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        Path(f"{part}.jsonl").write_text(text, encoding="utf-8")
    Path("recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return tmp_path


def train(name: str, *settings: str) -> Path:
    done = llm_summ("sft", "recipe.yaml", "--run", name, *(f"--set={one}" for one in settings))
    assert done.code == 0, done.err
    return Path("runs") / name


def log_of(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(("kind", "rate"), [("kobart", "1.5e-3"), ("t5", "3e-3")])
def test_a_small_model_learns_dialogues_by_heart(folder: Path, kind: Kind, rate: str) -> None:
    dropout = {"dropout_rate": 0.0} if kind == "t5" else {"dropout": 0.0, "init_std": 0.03}
    make_tiny_seq2seq(folder / "small", kind, **dropout)
    train(
        "heart",
        *("model.base=./small", "evaluation.every=never", "data.limit=2", "train.batch_size=2"),
        *("train.max_steps=150", f"train.learning_rate={rate}"),
    )
    lines = Path("train.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    Path("learned.jsonl").write_text("".join(lines[:2]), encoding="utf-8")
    done = llm_summ(
        "generate",
        "--data",
        "learned.jsonl",
        *(f"--set=generate.{one}" for one in ("max_new_tokens=150", "no_repeat_ngram=0")),
    )
    assert done.code == 0, done.err
    scores = json.loads(llm_summ("eval", "learned.jsonl", "--json").out)
    assert scores["final"] >= 95


def test_killed_and_resumed_it_is_the_same_model(folder: Path) -> None:
    whole = train("whole", "train.save_steps=2")
    command = [
        sys.executable,
        "-m",
        "llm_summ",
        "sft",
        "recipe.yaml",
        "--run",
        "halves",
        "--set",
        "train.save_steps=2",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    halves, deadline = Path("runs/halves"), time.monotonic() + 300
    while not (halves / "checkpoints" / "step-000002").is_dir():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    process.wait()
    done = llm_summ("sft", "--resume", "--run", "halves")
    assert done.code == 0, done.err
    assert weights_sha256(halves / "model") == weights_sha256(whole / "model")
    for line, same in zip(log_of(halves), log_of(whole), strict=True):
        assert {**line, "seconds": 0} == {**same, "seconds": 0}


def test_two_processes_make_the_training_of_one(folder: Path) -> None:
    make_tiny_seq2seq(folder / "kobart", "kobart", dropout=0.0)  # each process has random numbers of its own
    one = log_of(train("one", "train.label_smoothing=0.1"))
    done = subprocess.run(
        [*SFT, "two", "--devices", "2", "--set", "train.label_smoothing=0.1"],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    two = log_of(Path("runs/two"))
    assert [line["step"] for line in two] == [line["step"] for line in one]
    for line, same in zip(two, one, strict=True):
        for name in ("loss", "dev_loss", "grad_norm"):
            assert line.get(name) == pytest.approx(same.get(name), abs=1e-4)


def test_an_adapter_on_a_quantized_base_through_all_commands(folder: Path) -> None:
    Path("recipe.yaml").write_text(
        RECIPE.replace("weights: full, ", "").replace("./kobart", "./mbart"), encoding="utf-8"
    )
    train("lora", "model.quantization=nf4", "lora.r=4", "train.label_smoothing=0.1")
    done = llm_summ("generate", "--data", "dev.jsonl")
    assert done.code == 0, done.err
    done = llm_summ("merge", "--data", "dev.jsonl")
    assert done.code == 0, done.err
    assert "vllm" not in done.err.replace("vllm/", "")
    card = Path("runs/lora/merged/README.md").read_text(encoding="utf-8")
    assert "pipeline_tag: summarization" in card
    assert "AutoModelForSeq2SeqLM" in card
    assert "vllm" not in card.lower()

    from llm_summ import Summarizer

    dialogues = read_dialogues("dev.jsonl")
    with Summarizer.open("runs/lora/merged") as merged, Summarizer.open("runs/lora") as run:
        texts = [[summary.raw for summary in summarizer.summarize(dialogues)] for summarizer in (merged, run)]
    assert texts[0] == texts[1]
    scores = json.loads(llm_summ("eval", "dev.jsonl", "--json").out)
    assert scores["rows"] == 4


def test_a_whole_model_is_published(folder: Path) -> None:
    from llm_summ import Summarizer

    train("whole", "evaluation.every=never")
    done = llm_summ("merge", "--run", "whole")
    assert (done.code, done.out) == (0, "runs/whole/merged\n"), done.err
    merged = Path("runs/whole/merged")
    card = (merged / "README.md").read_text(encoding="utf-8")
    assert "Training: all weights" in card
    assert "AutoModelForSeq2SeqLM" in card
    fields = json.loads((merged / "generation_config.json").read_text(encoding="utf-8"))
    assert fields["decoder_start_token_id"] == 2
    assert "forced_eos_token_id" not in fields
    dialogues = read_dialogues("dev.jsonl")
    texts = []
    for where in (merged, "runs/whole"):
        with Summarizer.open(where) as summarizer:
            texts.append([summary.raw for summary in summarizer.summarize(dialogues)])
    assert texts[0] == texts[1]


def test_candidates_are_sampled_and_resumed(folder: Path) -> None:
    train("sampled", "evaluation.every=never")
    settings = [f"--set=generate.{one}" for one in ("n=3", "temperature=0.8", "beams=1", "no_repeat_ngram=0")]
    done = llm_summ("generate", "--data", "dev.jsonl", *settings)
    assert done.code == 0, done.err
    path = Path(done.out.strip())
    whole = path.read_text(encoding="utf-8")
    lines = whole.splitlines(keepends=True)
    assert len(lines) == 12
    path.write_text("".join(lines[:5]), encoding="utf-8")
    assert llm_summ("generate", "--data", "dev.jsonl", *settings).code == 0
    assert sorted(path.read_text(encoding="utf-8").splitlines()) == sorted(whole.splitlines())


def test_added_tokens_are_learned_and_written(folder: Path) -> None:
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    before = AutoTokenizer.from_pretrained("kobart")
    run = train("added", "model.add_tokens=['#Person1#', '#Person2#']", "evaluation.every=never")
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    assert len(tokenizer) == len(before) + 2
    assert len(tokenizer.tokenize("#Person1#: 네")) < len(before.tokenize("#Person1#: 네"))
    model = AutoModelForSeq2SeqLM.from_pretrained(run / "model")
    assert model.get_input_embeddings().num_embeddings == len(tokenizer)
    done = llm_summ("generate", "--data", "dev.jsonl")
    assert done.code == 0, done.err


def test_an_added_token_begins_as_the_mean_of_its_parts(folder: Path) -> None:
    import torch

    from llm_summ.models.base import load_tokenizer
    from llm_summ.models.device import find_device
    from llm_summ.models.load import load_base
    from llm_summ.recipe import ModelFields

    fields = ModelFields(base="./t5", quantization="none", add_tokens=["#Person1#"])
    plain, longer = (
        load_tokenizer(fields.model_copy(update={"add_tokens": one}), "t5") for one in ([], ["#Person1#"])
    )
    row = longer.convert_tokens_to_ids("#Person1#")
    model = load_base(fields, "t5", find_device(), torch.float32)
    for table in (model.get_input_embeddings().weight, model.get_output_embeddings().weight):
        expected = table[plain.encode("#Person1#", add_special_tokens=False)].mean(0)
        assert torch.equal(table[row], expected)
    assert longer.decode([row]) == "#Person1#"


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        (["train.packing=true"], "train.packing"),
        (["train.weights=lora", "lora.init=eva"], "lora.init"),
        (["train.parallel=fsdp"], "train.parallel"),
        (["train.neftune_alpha=5"], "train.neftune_alpha"),
        (["prompt.chat=always"], "prompt.chat"),
        (["prompt.max_prompt_tokens=40", "prompt.truncation=error"], "train.jsonl"),
        (["model.base=./mbart", "model.language=ko"], "model.language"),
        (["model.language=ko_KR"], "model.language"),
        (["train.weights=full", "model.quantization=nf4"], "train: weights full"),
        (["generate.length_penalty=2", "generate.beams=1"], "generate: length_penalty"),
        (["generate.min_new_tokens=12"], "generate: min_new_tokens"),
        (
            ["generate.min_new_tokens=2", "generate.limit=predicted", "generate.beams=1"],
            "generate: min_new_tokens",
        ),
    ],
)
def test_what_cannot_work_is_refused_in_a_line(folder: Path, settings: list[str], where: str) -> None:
    done = llm_summ("sft", "recipe.yaml", "--run", "bad", *(f"--set={one}" for one in settings))
    assert done.code in (1, 2)
    assert [line for line in done.err.splitlines() if where in line]
    assert "Traceback" not in done.err
    assert "Loading" not in done.err  # no weights were loaded
    assert not Path("runs/bad/model").exists()


def test_a_source_beyond_the_models_positions(folder: Path) -> None:
    make_tiny_seq2seq(folder / "short", "bart", max_position_embeddings=64)
    done = llm_summ("sft", "recipe.yaml", "--set", "model.base=./short")
    assert done.code == 2
    assert lines_with(done.out + done.err, "takes 64") == snapshot(
        "llm-summ: train: 16 rows of up to 190 tokens; ./short takes 64; lower prompt.max_prompt_tokens "
        "(train_85, train_52, train_103, train_66, train_7, …)\n"
        "llm-summ: dev: 4 rows of up to 228 tokens with 12 new ones; ./short takes 64; lower "
        "generate.max_new_tokens or prompt.max_prompt_tokens (dev_23, dev_21, dev_8, dev_14)"
    )
    assert "Loading" not in done.err


def test_added_tokens_need_trained_embeddings(folder: Path, tiny_model: Path) -> None:
    options = [f"--set={one}" for one in ("train.weights=lora", "model.add_tokens=['#Person1#']")]
    decoder = llm_summ(
        "check", "recipe.yaml", *options, f"--set=model.base={tiny_model}", "--set=generate.engine=hf"
    )
    assert lines_with(decoder.out, "model.add_tokens: ") == snapshot(
        "would fail: model.add_tokens: train.weights lora trains no embeddings, so that … could not learn "
        "to write them; set train.weights to full, or leave add_tokens out"
    )
    assert decoder.code == 1
    seq2seq = llm_summ("check", "recipe.yaml", *options)
    assert seq2seq.code == 0
    assert lines_with(seq2seq.out, "added tokens") == snapshot(
        "note: model.add_tokens: train.weights lora trains no embeddings: the added tokens keep the mean "
        "of their parts; full trains them"
    )


def test_broken_tokenizer_files_of_a_kobart(folder: Path) -> None:
    path = folder / "kobart" / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    # As in the hub's repositories: no length, and a class that is not BART's.
    usual = {name: value for name, value in config.items() if name != "model_max_length"}
    path.write_text(json.dumps(usual | {"tokenizer_class": "PreTrainedTokenizerFast"}), encoding="utf-8")
    assert llm_summ("check", "recipe.yaml").code == 0
    path.write_text(
        json.dumps({name: one for name, one in usual.items() if name != "eos_token"}), encoding="utf-8"
    )
    done = llm_summ("check", "recipe.yaml")
    assert done.code == 1
    assert lines_with(done.out, "would fail: ") == snapshot(
        "would fail: model.base: its tokenizer has no end-of-sequence token; expected eos_token in "
        "tokenizer_config.json"
    )


def untied_t5(folder: Path) -> Path:
    """Return a T5 whose head is not its table of embeddings, as those of T5 1.1, mT5 and pko-t5 are not."""
    from safetensors.torch import load_file, save_file

    path = Path(shutil.copytree(folder / "t5", folder / "untied"))
    weights = load_file(path / "model.safetensors")
    weights["lm_head.weight"] = weights["shared.weight"].flip(0).contiguous()
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    (path / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}), encoding="utf-8")
    return path


def test_added_tokens_leave_the_head_as_it_is(folder: Path) -> None:
    import torch

    from llm_summ.models.device import find_device
    from llm_summ.models.load import load_base
    from llm_summ.recipe import ModelFields

    def loaded(base: Path | str, *tokens: str) -> Any:
        fields = ModelFields(base=str(base), quantization="none", add_tokens=list(tokens))
        return load_base(fields, str(base), find_device(), torch.float32)

    untied_t5(folder)
    model = loaded("./untied", "#Person1#")
    table, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    assert len(table) == len(head)
    assert torch.equal(head[:-1], table[:-1].flip(0))
    run = train("untied", "model.base=./untied", "model.add_tokens=['#Person1#']", "evaluation.every=never")
    again = loaded(run / "model")
    assert again.get_output_embeddings().weight is not again.get_input_embeddings().weight


def test_a_head_that_is_missing_is_refused(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = untied_t5(folder) / "model.safetensors"
    weights = load_file(path)
    del weights["lm_head.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    done = llm_summ("sft", "recipe.yaml", "--set", "model.base=./untied")
    assert done.code == 2
    assert "tie_word_embeddings" in done.err.splitlines()[-1]


def test_the_bases_own_generation_settings_are_not_used(folder: Path) -> None:
    """With an adapter the library would fill in what the base's file has: beams, lengths, a forced end."""
    path = folder / "bart" / "generation_config.json"
    own = json.loads(path.read_text(encoding="utf-8"))
    forced = {"num_beams": 4, "min_length": 9, "forced_eos_token_id": 2, "early_stopping": True}
    path.write_text(json.dumps(own | forced), encoding="utf-8")
    train("own", "model.base=./bart", "train.weights=lora", "generate.beams=1", "generate.no_repeat_ngram=0")
    texts = []
    for adapter in ("attach", "merge"):
        done = llm_summ("generate", "--data", "dev.jsonl", f"--set=generate.adapter={adapter}")
        assert done.code == 0, done.err
        written = Path(done.out.strip())
        lines = map(json.loads, written.read_text(encoding="utf-8").splitlines())
        texts.append([(line["summary"], line["finish_reason"]) for line in lines])
        shutil.rmtree(written.parent)
    assert texts[0] == texts[1]
    assert {reason for _, reason in texts[0]} == {"length"}


def test_vllm_is_not_taken(folder: Path) -> None:
    train("b", "evaluation.every=never")
    options = ["--set=generate.beams=1", "--set=generate.no_repeat_ngram=0"]
    done = llm_summ("generate", "--run", "b", "--data", "dev.jsonl", "--engine", "vllm", *options)
    assert refused(done) == snapshot(
        "--engine vllm: serves no encoder-decoders such as BartForConditionalGeneration; use --engine hf, "
        "which auto takes"
    )
    done = llm_summ("generate", "--data", "dev.jsonl", *options)
    assert (done.code, done.out) == (0, "runs/b/predictions/dev.hf.jsonl\n"), done.err
