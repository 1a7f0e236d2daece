"""The main workflow with the real libraries on a tiny random model: train, generate with both engines, score.

The first training, vLLM, and the killed commands run in processes of their own, as users start them.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import command_line
import pytest
from command_line import Result
from inline_snapshot import snapshot
from messages import lines_with

from llm_summ.data import read_dialogues
from llm_summ.post.limits import LengthLimits, dialogues_sha256

pytestmark = pytest.mark.slow

HAS_VLLM = bool(__import__("importlib.util").util.find_spec("vllm"))


def llm_summ(*arguments: str, cwd: Path, check: bool = True) -> Result:
    return checked(command_line.llm_summ(*arguments, cwd=cwd), check)


def llm_summ_process(*arguments: str, cwd: Path, check: bool = True) -> Result:
    return checked(command_line.llm_summ_process(*arguments, cwd=cwd), check)


def checked(result: Result, check: bool) -> Result:
    if check:
        assert result.code == 0, result.err
    return result


@pytest.fixture(scope="module")
def folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model, a recipe, a small training file and a dev.csv."""
    folder = tmp_path_factory.mktemp("work")
    shutil.copytree(tiny_model, folder / "tiny")
    for part, rows in (("train", 48), ("dev", 6), ("test", 5)):
        dialogues = read_dialogues(f"sample:{part}")[:rows]
        with (folder / f"{part}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["fname", "dialogue", "summary"])
            writer.writerows([item.id, item.text, item.references[0]] for item in dialogues)
    (folder / "recipe.yaml").write_text(
        """
model: {base: ./tiny}
data: {train: train.csv, dev: dev.csv, test: test.csv}
prompt: {max_prompt_tokens: 700}
lora: {r: 8, alpha: 16, dropout: 0.05}
train: {epochs: 3, learning_rate: 2e-2, batch_size: 8, micro_batch_size: 4, group_by_length: true}
generate: {max_new_tokens: 24, dtype: float32}
""",
        encoding="utf-8",
    )
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    """A finished run."""
    done = llm_summ_process("sft", "recipe.yaml", "--run", "first", cwd=folder)
    assert done.out.strip() == "runs/first"
    assert lines_with(done.err, "Next: ") == snapshot("Next: llm-summ generate")
    return folder / "runs" / "first"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def steps_of(run: Path) -> list[dict[str, object]]:
    """Return a log's lines of optimizer steps, without those of evaluations."""
    return [entry for entry in lines(run / "log.jsonl") if "loss" in entry]


def test_dry_run_writes_nothing(folder: Path) -> None:
    done = llm_summ("sft", "recipe.yaml", "--dry-run", "--run", "dry", cwd=folder)
    assert "48 rows" in done.out
    assert "18 of 8 rows" in done.out
    assert not (folder / "runs" / "dry").exists()


def test_training_learns_and_leaves_everything_behind(run: Path) -> None:
    log = steps_of(run)
    assert [entry["step"] for entry in log] == list(range(1, 19))
    first, last = (sum(float(str(entry["loss"])) for entry in part) / 3 for part in (log[:3], log[-3:]))
    assert last < first - 0.5
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["training"]["adapter_sha256"] == sha256(run / "adapter" / "adapter_model.safetensors")
    assert manifest["data"]["train"]["sha256"] == {"train.csv": sha256(run.parent.parent / "train.csv")}
    assert {"torch", "trl", "peft", "bitsandbytes"} <= set(manifest["versions"])
    assert (run.parent / "latest").resolve() == run.resolve()
    assert [path.name for path in run.glob(".*")] == [".locks"]
    for name in ("adapter_config.json", "tokenizer.json", "recipe.yaml", "manifest.json"):
        assert (run / "adapter" / name).is_file()


def test_every_linear_layer_has_lora(run: Path) -> None:
    from safetensors import safe_open

    with safe_open(run / "adapter" / "adapter_model.safetensors", framework="np") as weights:
        names = set(weights.keys())
        dtypes = {str(weights.get_tensor(name).dtype) for name in names}
    layers = {name.split(".lora_")[0].rsplit(".", 1)[1] for name in names}
    assert layers == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert dtypes == {"float32"}


def test_same_seed_same_adapter_other_seed_another(folder: Path, run: Path) -> None:
    weights = "adapter/adapter_model.safetensors"
    llm_summ("sft", "recipe.yaml", "--run", "again", cwd=folder)
    assert sha256(folder / "runs/again" / weights) == sha256(run / weights)
    llm_summ("sft", "recipe.yaml", "--run", "other", "--set", "seed=7", cwd=folder)
    assert sha256(folder / "runs/other" / weights) != sha256(run / weights)


def test_what_changes_the_result_and_what_does_not(folder: Path, run: Path) -> None:
    """The micro batch and activation checkpointing do not change the loss; another base does."""
    settings = ["lora.dropout=0", "train.max_steps=3", "train.group_by_length=false", "train.log_every=2"]
    # In bfloat16 the rounding differences would be larger.
    settings += ["model.compute_dtype=float32", "evaluation.every=never"]
    variants = {
        "plain": [],
        "micro": ["train.micro_batch_size=1"],
        "checkpointed": ["train.gradient_checkpointing=on"],
        "unquantized": ["model.quantization=none"],
    }
    losses = {}
    for name, more in variants.items():
        changes = [word for setting in (*settings, *more) for word in ("--set", setting)]
        llm_summ("sft", "recipe.yaml", "--run", name, *changes, cwd=folder)
        log = steps_of(folder / "runs" / name)
        assert [entry["step"] for entry in log] == [2, 3]  # the last step is logged with any log_every
        losses[name] = [entry["loss"] for entry in log]
    assert losses["micro"] == pytest.approx(losses["plain"], abs=1e-4)
    assert losses["checkpointed"] == pytest.approx(losses["plain"], abs=1e-4)
    assert losses["unquantized"] != pytest.approx(losses["plain"], abs=1e-4)


def test_generation_uses_exactly_the_prompt_of_the_training(folder: Path) -> None:
    """Changing or deleting the prompt file after the training has no effect."""
    prompt = folder / "mine.md"
    text = "---\nname: mine\ndescription: mine\n---\n## user\n{{ dialogue }}\n## answer\n{{ summary }}\n"
    prompt.write_text(text, encoding="utf-8")
    quick = ["--set", "train.max_steps=1", "--set", "prompt.template=mine.md"]
    llm_summ("sft", "recipe.yaml", "--run", "prompted", *quick, cwd=folder)
    arguments = ["generate", "--run", "prompted", "--engine", "hf", "--data", "dev.csv"]
    llm_summ(*arguments, cwd=folder)
    prompt.unlink()
    again = llm_summ(*arguments, cwd=folder)
    assert lines_with(again.err, " already exist") == snapshot(
        "runs/prompted/predictions/dev.hf.jsonl: 6 of 6 already exist"
    )
    assert (folder / "runs" / "prompted" / "prompt.md").read_text(encoding="utf-8") == text


def test_examples_and_lengths_are_those_of_the_training(folder: Path) -> None:
    """The training file may be deleted: the run stores the parts of its prompts, and reports changes of them."""
    shutil.copy(folder / "train.csv", folder / "gone.csv")
    (folder / "both.md").write_text(
        "---\nname: both\ndescription: examples and a length\n---\n## user\n"
        "{% for example in examples %}{{ example.dialogue }}\n=> {{ example.summary }}\n{% endfor %}"
        "{{ length }}자: {{ dialogue }}\n## answer\n{{ summary }}\n",
        encoding="utf-8",
    )
    fields = ("prompt.template=both.md", "prompt.examples=2", "data.train=gone.csv", "train.max_steps=1")
    settings = [part for field in (*fields, "prompt.max_prompt_tokens=2000") for part in ("--set", field)]
    llm_summ("sft", "recipe.yaml", "--run", "shots", *settings, cwd=folder)
    shots = folder / "runs" / "shots"
    (folder / "gone.csv").unlink()
    done = llm_summ("generate", "--run", "shots", "--engine", "hf", "--data", "dev.csv", cwd=folder)
    assert lines_with(done.err, " new") == snapshot(
        "runs/shots/predictions/dev.hf.jsonl: 6 new, 6 cut off at the token limit"
    )
    assert len((shots / "examples.jsonl").read_text(encoding="utf-8").splitlines()) == 48
    for name, message in (
        (
            "length.json",
            snapshot("llm-summ: runs/shots/length.json: no such file; put it back, or train the run again"),
        ),
        (
            "examples.jsonl",
            snapshot("llm-summ: runs/shots/examples.jsonl: no such file; put it back, or train the run again"),
        ),
    ):
        (shots / name).rename(shots / "away")
        refused = llm_summ("generate", "--run", "shots", "--engine", "hf", cwd=folder, check=False)
        assert refused.code == 2
        assert lines_with(refused.err, "llm-summ: ") == message
        (shots / "away").rename(shots / name)
    prompt = (shots / "prompt.md").read_text(encoding="utf-8")
    (shots / "prompt.md").write_text(prompt.replace("자:", "글자:"), encoding="utf-8")
    refused = llm_summ("generate", "--run", "shots", "--engine", "hf", cwd=folder, check=False)
    assert refused.code == 2
    assert lines_with(refused.err, "llm-summ: ") == snapshot(
        "llm-summ: runs/shots/prompt.md: was changed after the training, which used another prompt; put "
        "it back, or train the run again"
    )


def test_attached_or_merged_or_on_a_quantized_base(folder: Path, run: Path) -> None:
    """In float32 an attached adapter gives the same texts as a merged one."""
    texts = {}
    for name, setting in {
        "merge": "generate.adapter=merge",
        "attach": "generate.adapter=attach",
        "nf4": "generate.base_quantization=nf4",
    }.items():
        arguments = ["generate", "--run", "first", "--engine", "hf", "--data", "dev.csv", "--set", setting]
        llm_summ(*arguments, cwd=folder)
        texts[name] = {row["fname"]: row["summary"] for row in lines(run / "predictions" / "dev.hf.jsonl")}
    assert sum(texts["merge"][key] == texts["attach"][key] for key in texts["merge"]) >= 5
    assert len(texts["nf4"]) == 6
    assert len(list((run / "predictions" / "earlier").glob("dev.hf.*.jsonl"))) >= 2


def test_generate_and_score_with_hf(folder: Path, run: Path) -> None:
    done = llm_summ("generate", "--run", "first", "--engine", "hf", cwd=folder)
    assert done.out.split() == [
        "runs/first/predictions/test.hf.jsonl",
        "runs/first/predictions/dev.hf.jsonl",
    ]
    rows = lines(run / "predictions" / "dev.hf.jsonl")
    assert {row["fname"] for row in rows} == {item.id for item in read_dialogues(str(folder / "dev.csv"))}
    for row in rows:
        tokens = int(str(row["tokens"]))
        assert row["finish_reason"] == "stop" or tokens == 24
        assert 1 <= tokens <= 24
    scored = json.loads(llm_summ("eval", "dev.csv", "--run", "first", "--json", cwd=folder).out)
    assert scored["rows"] == 6
    assert 0 <= scored["final"] <= 100
    assert "post:strip+join_lines+collapse_whitespace+cut_unfinished" in scored["signature"]
    kept = json.loads((run / "scores" / "dev.hf.json").read_text(encoding="utf-8"))
    assert kept.pop("scored")
    assert kept == scored


def test_generation_resumes_where_it_was_killed(folder: Path, run: Path) -> None:
    """Killed in the middle, then run again: the same lines, none twice."""
    arguments = ["generate", "--run", "first", "--engine", "hf", "--data", "train.csv"]
    arguments += ["--set", "generate.batch_size=2"]
    path = run / "predictions" / "train.hf.jsonl"
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, "-m", "llm_summ", *arguments], cwd=folder, **silent)
    deadline = time.monotonic() + 300
    while not (path.exists() and path.read_text(encoding="utf-8").count("\n") >= 6):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with path.open("a", encoding="utf-8") as file:
        file.write('{"fname": "torn')
    kept = path.read_text(encoding="utf-8").count("\n")
    done = llm_summ(*arguments, cwd=folder)
    assert f"{kept} of 48 already exist" in done.err
    resumed = sorted(path.read_text(encoding="utf-8").splitlines())
    path.unlink()
    llm_summ(*arguments, cwd=folder)
    assert resumed == sorted(path.read_text(encoding="utf-8").splitlines())
    assert len(resumed) == 48


def test_candidates_have_files_of_their_own_and_resume_at_a_torn_line(folder: Path, run: Path) -> None:
    arguments = ["generate", "--run", "first", "--engine", "hf", "--data", "dev.csv"]
    arguments += ["--set", "generate.n=3", "--set", "generate.temperature=0.8", "--set", "generate.batch_size=4"]
    done = llm_summ(*arguments, cwd=folder)
    assert done.out == "runs/first/candidates/dev.hf.n3-t0.8.jsonl\n"
    path = run / "candidates" / "dev.hf.n3-t0.8.jsonl"
    rows = lines(path)
    assert sorted((row["fname"], row["sample"]) for row in rows) == [
        (item.id, sample) for item in read_dialogues(str(folder / "dev.csv")) for sample in range(3)
    ]
    assert all(float(str(row["logprob"])) < 0 for row in rows)
    assert len({row["summary"] for row in rows}) > 12
    identity = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert identity["decoding"]["temperature"] == 0.8
    assert identity["decoding"]["seed"] == 42
    whole = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(whole[:7]) + '\n{"fname": "to', encoding="utf-8")
    assert lines_with(llm_summ(*arguments, cwd=folder).err, " already exist") == snapshot(
        "runs/first/candidates/dev.hf.n3-t0.8.jsonl: 7 of 18 already exist"
    )
    assert sorted(path.read_text(encoding="utf-8").splitlines()) == sorted(whole)


def test_a_limit_for_each_dialogue(folder: Path, run: Path) -> None:
    """The limit is fitted in the training, stored with the run, and never above the recipe's."""
    from llm_summ.prompt.token_limit import TokenLimitPredictor

    limit_predictor = TokenLimitPredictor.from_json((run / "budget.json").read_text(encoding="utf-8"))
    arguments = ["generate", "--run", "first", "--engine", "hf", "--data", "dev.csv"]
    arguments += ["--set", "generate.limit=predicted", "--set", "generate.max_new_tokens=200"]
    llm_summ(*arguments, cwd=folder)
    rows = {row["fname"]: row for row in lines(run / "predictions" / "dev.hf.jsonl")}
    for dialogue in read_dialogues(str(folder / "dev.csv")):
        row, limit = rows[dialogue.id], min(200, limit_predictor.limit(dialogue))
        assert row["finish_reason"] == "stop" or row["tokens"] == limit
    (run / "budget.json").rename(run / "away")
    refused = llm_summ(*arguments, cwd=folder, check=False)
    (run / "away").rename(run / "budget.json")
    assert refused.code == 2
    assert lines_with(refused.err, "llm-summ: ") == snapshot(
        "llm-summ: runs/first/budget.json: no such file, but generate.limit is predicted; set it to "
        "fixed, or train the run again"
    )


def test_a_sweep_generates_what_is_not_stored_and_shows_what_each_setting_is_worth(
    folder: Path, run: Path
) -> None:
    arguments = ["sweep", "dev.csv", "--run", "first", "--engine", "hf", "--json"]
    arguments += ["--over", "generate.max_new_tokens=8,24", "--over", "post=[strip],[strip,cut_unfinished]"]
    done = llm_summ(*arguments, cwd=folder)
    found = json.loads(done.out)
    assert [one["setting"] for one in found["tried"]] == [
        {},
        *(
            {"generate.max_new_tokens": limit, "post": post}
            for limit in ("8", "24")
            for post in ("[strip]", "[strip,cut_unfinished]")
        ),
    ]
    own, short, _, same, _ = found["tried"]
    assert own["versus"] is None
    assert short["versus"]["difference"] == pytest.approx(short["final"] - own["final"])
    assert short["predictions"] != own["predictions"] == same["predictions"]
    assert short["signature"].endswith("|post:strip")
    for one, limit in ((short, 8), (own, 24)):
        rows = lines(folder / str(one["predictions"]))
        assert len(rows) == 6
        assert all(row["finish_reason"] == "stop" or row["tokens"] == limit for row in rows)
    again = llm_summ(*arguments, cwd=folder)
    assert json.loads(again.out) == found
    assert "Loading" not in again.err
    table = llm_summ(*[one for one in arguments if one != "--json"], cwd=folder).out
    assert "the recipe's own" in table
    assert "Best: " in table or "No setting beats" in table
    limits = LengthLimits(
        (), (20,), dialogues_sha256([one.text for one in read_dialogues(str(folder / "dev.csv"))])
    )
    over = ("--over", "post=[strip],[cut_to_limit],[strip,cut_to_limit]")
    refused = llm_summ(*arguments[:7], *over, cwd=folder, check=False)
    assert (refused.code, lines_with(refused.err, "llm-summ: ")) == (
        2,
        snapshot(
            "llm-summ: runs/first/limits.json: no such file, and the step cut_to_limit needs it; llm-summ "
            "post --learn-limits --run first writes it if limits gain anything; or leave the step out"
        ),
    )
    (run / "limits.json").write_text(limits.to_json())
    limited = llm_summ(*arguments[:7], *over, cwd=folder)
    (run / "limits.json").unlink()
    assert limited.err.count("was fitted on these dialogues") == 1
    signatures = [one["signature"].rpartition("|")[2] for one in json.loads(limited.out)["tried"][1:]]
    assert signatures == ["post:strip", *(f"post:{first}cut_to_limit:{limits.mark}" for first in ("", "strip+"))]
    for wrong in ("generate.n=2", "train.epochs=1"):
        refused = llm_summ(*arguments[:4], "--over", wrong, cwd=folder, check=False)
        assert (refused.code, refused.out, len(refused.err.splitlines())) == (2, "", 1)


def test_another_prompt_gives_candidates_next_to_the_predictions(folder: Path, run: Path) -> None:
    asked = ("generate", "--run", "first", "--engine", "hf", "--data", "test.csv", "--prompt", "plain", "--prompt")
    done = llm_summ(*asked, "english", cwd=folder)
    own, other = map(Path, done.out.split())
    assert own == Path("runs/first/predictions/test.hf.jsonl")  # the trained prompt does not count as another one
    assert other.parent == Path("runs/first/candidates")
    assert other.name.startswith("test.hf.prompt-english-")
    assert [line["fname"] for line in lines(folder / other)] == [line["fname"] for line in lines(folder / own)]
    hashes = [
        json.loads((folder / path).with_suffix(".json").read_text())["prompt"]["sha256"] for path in (own, other)
    ]
    assert hashes[0] != hashes[1]
    chosen = llm_summ("select", "--run", "first", "--data", "test.csv", "--out", "of_prompts.csv", cwd=folder)
    assert "english" in chosen.out
    assert (folder / "of_prompts.csv").is_file()
    for prompt, told in (
        (
            "length",
            snapshot(
                "llm-summ: REPOSITORY/prompts/length.md: uses length, but runs/first was trained without it; "
                "choose a prompt that does not use it, or train a run with one that does"
            ),
        ),
        (
            "few-shot",
            snapshot(
                "llm-summ: REPOSITORY/prompts/few-shot.md: uses examples, but runs/first was trained without it; "
                "choose a prompt that does not use it, or train a run with one that does"
            ),
        ),
        (
            "nowhere.md",
            snapshot(
                "llm-summ: nowhere.md: no such prompt; bundled prompts: call, chat, dialogue, dialogue-topic, "
                "english, expert, few-shot, length, meeting, merge, plain, summarize, topic"
            ),
        ),
    ):
        refused = llm_summ(*asked, prompt, cwd=folder, check=False)
        assert refused.code == 2
        assert lines_with(refused.err, "llm-summ: ") == told
        assert "Traceback" not in refused.err


def test_workers_share_the_dialogues_of_two_runs(folder: Path, run: Path) -> None:
    shutil.copytree(folder / "runs/first", folder / "runs/twin", ignore=shutil.ignore_patterns("predictions"))
    data = ("--data", "test.csv", "--data", "dev.csv")
    llm_summ("generate", "--run", "first", "--engine", "hf", *data, cwd=folder)
    expected = {one: lines(folder / f"runs/first/predictions/{one}.hf.jsonl") for one in ("test", "dev")}
    asked = ("generate", "--run", "twin", "--run", "first", "--engine", "hf", "--set", "generate.data_parallel=2")
    done = llm_summ(*asked, *data, cwd=folder)
    assert done.out.split() == [
        f"runs/{name}/predictions/{one}.hf.jsonl" for name in ("twin", "first") for one in ("test", "dev")
    ]
    for one, written in expected.items():
        twin = lines(folder / f"runs/twin/predictions/{one}.hf.jsonl")
        assert {(line["fname"], line["summary"]) for line in twin} == {
            (line["fname"], line["summary"]) for line in written
        }
        assert lines(folder / f"runs/first/predictions/{one}.hf.jsonl") == written  # no dialogue was left
    refused = llm_summ(
        "generate", "--engine", "echo", "--set", "generate.data_parallel=2", cwd=folder, check=False
    )
    assert refused.code == 2
    assert lines_with(refused.err, "llm-summ: ") == snapshot(
        "llm-summ: --set generate.data_parallel=2: generate: data_parallel: the engine echo does not "
        "support it; set it to 1"
    )


def test_the_lead_of_each_dialogue(folder: Path, run: Path) -> None:
    done = llm_summ("generate", "--run", "first", "--engine", "echo", "--data", "dev.csv", cwd=folder)
    assert "Loading" not in done.err
    rows = {row["fname"]: row["summary"] for row in lines(run / "predictions" / "dev.echo.jsonl")}
    for dialogue in read_dialogues(str(folder / "dev.csv")):
        assert str(rows[dialogue.id]).startswith(dialogue.turn_texts[0].strip())
    refused = llm_summ("generate", "--run", "first", "--engine", "echo", "--untuned", cwd=folder, check=False)
    assert (refused.code, len(refused.err.splitlines())) == (2, 1)


@pytest.fixture(scope="module")
def vllm(folder: Path, run: Path) -> Result:
    """The generation with vLLM, in a process of its own, because vLLM changes its state; it is started once."""
    return llm_summ_process("generate", "--run", "first", "--engine", "vllm", cwd=folder)


@pytest.mark.skipif(not HAS_VLLM, reason="vllm is not installed")
def test_generate_and_score_with_vllm(folder: Path, run: Path, vllm: Result) -> None:
    assert "runs/first/predictions/dev.vllm.jsonl" in vllm.out
    llm_summ("generate", "--run", "first", "--engine", "hf", cwd=folder)
    by_engine = []
    for engine in ("vllm", "hf"):
        rows = lines(run / "predictions" / f"dev.{engine}.jsonl") + lines(
            run / "predictions" / f"test.{engine}.jsonl"
        )
        by_engine.append({row["fname"]: (row["summary"], row["tokens"], row["finish_reason"]) for row in rows})
    assert len(by_engine[0]) == 11
    same = sum(by_engine[0][key] == by_engine[1][key] for key in by_engine[1])
    assert same >= 10  # greedy and float32: texts differ only if rounding decides a tie
    scored = json.loads(llm_summ("eval", "dev.csv", "--json", "--run", "first", cwd=folder).out)
    assert scored["rows"] == 6
    # All outputs exist: nothing is loaded or generated.
    again = llm_summ("generate", "--run", "first", "--engine", "vllm", cwd=folder)
    assert lines_with(again.err, " already exist") == snapshot(
        "runs/first/predictions/test.vllm.jsonl: 5 of 5 already exist\n"
        "runs/first/predictions/dev.vllm.jsonl: 6 of 6 already exist"
    )
    assert "Starting" not in again.err


@pytest.mark.skipif(not HAS_VLLM, reason="vllm is not installed")
@pytest.mark.usefixtures("vllm")
def test_merged_weights_are_base_plus_adapter(folder: Path, run: Path) -> None:
    """W + alpha / r B A, layer by layer, in the folder that vLLM served."""
    import numpy as np
    from safetensors import safe_open

    config = json.loads((run / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    scale = config["lora_alpha"] / config["r"]
    with (
        safe_open(folder / "tiny" / "model.safetensors", framework="np") as base,
        safe_open(run / "merged" / "model.safetensors", framework="np") as merged,
        safe_open(run / "adapter" / "adapter_model.safetensors", framework="np") as adapter,
    ):
        changed = 0
        for name in base.keys():  # noqa: SIM118  not a dict
            expected = base.get_tensor(name)
            lora = f"base_model.model.{name.removesuffix('.weight')}"
            if f"{lora}.lora_A.weight" in adapter.keys():  # noqa: SIM118
                a, b = (adapter.get_tensor(f"{lora}.lora_{side}.weight") for side in "AB")
                expected = expected + scale * b @ a
                changed += 1
            np.testing.assert_allclose(merged.get_tensor(name), expected, atol=1e-5)
    assert changed == 14
    generation = json.loads((run / "merged" / "generation_config.json").read_text(encoding="utf-8"))
    assert generation["eos_token_id"] == 2
    assert json.loads((run / "merged" / "merged_from.json").read_text(encoding="utf-8"))["adapter"] == sha256(
        run / "adapter" / "adapter_model.safetensors"
    )


@pytest.mark.skipif(HAS_VLLM, reason="vllm is installed")
def test_vllm_that_is_not_installed_says_what_to_type(folder: Path, run: Path) -> None:
    done = llm_summ("generate", "--run", "first", "--engine", "vllm", cwd=folder, check=False)
    assert done.code == 2
    assert "pip install" in done.err
    assert len(done.err.splitlines()) <= 2


def test_untuned_predictions_have_files_next_to_the_tuned(folder: Path, run: Path) -> None:
    llm_summ("generate", "--run", "first", "--engine", "hf", "--untuned", "--data", "dev.csv", cwd=folder)
    llm_summ("generate", "--run", "first", "--engine", "hf", "--data", "dev.csv", cwd=folder)
    untuned = run / "predictions" / "dev.hf.untuned.jsonl"
    assert lines(untuned) != lines(run / "predictions" / "dev.hf.jsonl")
    scored = json.loads(llm_summ("eval", "dev.csv", "--run", "first", "--json", cwd=folder).out)
    assert "untuned" not in scored["predictions"]
    floor = llm_summ("eval", "dev.csv", "--predictions", str(untuned), "--json", cwd=folder)
    assert json.loads(floor.out)["predictions"] == str(untuned)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (
            lambda adapter: (adapter / "adapter_config.json").write_text("{", encoding="utf-8"),
            snapshot(
                "llm-summ: runs/broken/adapter/adapter_config.json: not a LoRA configuration (…); train it again, "
                "or choose another run with --run"
            ),
        ),
        (
            lambda adapter: (adapter / "adapter_model.safetensors").write_bytes(b"\0" * 64),
            snapshot(
                "llm-summ: runs/broken/adapter/adapter_model.safetensors: damaged or incomplete (…); "
                "train it again, or choose another run with --run"
            ),
        ),
        (
            lambda adapter: (adapter / "adapter_model.safetensors").unlink(),
            snapshot(
                "llm-summ: runs/broken/adapter: no adapter_model.safetensors; the adapter is incomplete; train it "
                "again, or choose another run with --run"
            ),
        ),
        (
            lambda adapter: [path.unlink() for path in adapter.iterdir()] and adapter.rmdir(),
            snapshot(
                "llm-summ: runs/broken: no adapter; its training did not finish; train it again, or choose "
                "another run with --run"
            ),
        ),
    ],
)
def test_a_broken_adapter_is_reported_in_a_line(folder: Path, run: Path, damage: object, told: str) -> None:
    broken = folder / "runs" / "broken"
    shutil.rmtree(broken, ignore_errors=True)
    shutil.copytree(run, broken, ignore=shutil.ignore_patterns("predictions", "merged", "scores"))
    damage(broken / "adapter")  # type: ignore[operator]
    done = llm_summ("generate", "--run", "broken", "--engine", "hf", cwd=folder, check=False)
    assert done.code == 2
    assert lines_with(done.err, "llm-summ: ") == told
    assert len(done.err.splitlines()) == 1
    assert not (broken / "predictions").exists()


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        (
            "model.base=./nowhere",
            snapshot(
                "llm-summ: model.base: ./nowhere: no such folder in …; expected embedded:gemma-3-270m, a folder, "
                "or a hub id such as Qwen/Qwen3-8B"
            ),
        ),
        (
            "model.base=someone/no-such-model",
            snapshot(
                "llm-summ: model.base: someone/no-such-model: unavailable (…); check "
                "the name and the connection, or name a local folder or embedded:gemma-3-270m"
            ),
        ),
        (
            "model.base=embedded:gemma",
            snapshot("llm-summ: embedded:gemma: no such model; expected embedded:gemma-3-270m"),
        ),
        (
            "data.train=nowhere.csv",
            snapshot("llm-summ: nowhere.csv: no such file; name yours: --set data.train=PATH"),
        ),
        ("prompt.template=plane", snapshot("llm-summ: plane: no such prompt; did you mean plain?")),
        (
            "prompt.max_answer_tokens=8",
            snapshot(
                "llm-summ: train.csv: 48 rows, the first: completion of 57 tokens, at most 8 allowed; raise "
                "prompt.max_answer_tokens or shorten the summary (train_0, train_1, train_2, train_3, train_4, "
                "train_5, train_6, train_7, train_8, train_9, train_10, train_11, train_12, train_13, train_14, "
                "train_15, train_16, train_18, train_19, train_20, …)\n"
                "llm-summ: dev.csv: 6 rows, the first: completion of 56 tokens, at most 8 allowed; raise "
                "prompt.max_answer_tokens or shorten the summary (dev_0, dev_1, dev_2, dev_3, dev_5, dev_6)\n"
                "llm-summ: no training row is left"
            ),
        ),
        (
            "prompt.chat=always",
            snapshot(
                "llm-summ: prompt.chat is always, but this model's tokenizer has no chat template; set it to auto"
            ),
        ),
        (
            "lora.targets=[no_such_layer]",
            snapshot(
                "llm-summ: lora.targets: no layer is called no_such_layer; layers here: down_proj, embed_tokens, "
                "gate_proj, k_proj, lm_head, o_proj, q_proj, up_proj, v_proj"
            ),
        ),
        (
            "prompt.template=few-shot",
            snapshot(
                "llm-summ: REPOSITORY/prompts/few-shot.md: uses examples, but prompt.examples is 0; set it to 3, "
                "for example, or choose another prompt.template"
            ),
        ),
        (
            "prompt.examples=1",
            snapshot(
                "llm-summ: prompt.examples is 1, but the prompt plain does not use examples; set it to 0, or "
                "prompt.template to few-shot"
            ),
        ),
    ],
)
def test_training_that_cannot_start_leaves_nothing(folder: Path, setting: str, told: str) -> None:
    done = llm_summ("sft", "recipe.yaml", "--run", "refused", "--set", setting, cwd=folder, check=False)
    assert done.code == 2, done.err
    assert lines_with(done.err, "llm-summ: ") == told
    assert "Traceback" not in done.err
    assert not (folder / "runs" / "refused").exists()


def test_weights_that_are_not_whole_are_refused(folder: Path) -> None:
    shutil.copytree(folder / "tiny", folder / "torn", dirs_exist_ok=True)
    weights = folder / "torn" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    done = llm_summ("sft", "recipe.yaml", "--run", "torn", "--set", "model.base=./torn", cwd=folder, check=False)
    assert done.code == 2
    assert lines_with(done.err, "llm-summ: ") == snapshot(
        "llm-summ: model.base: ./torn: model.safetensors: cut off (found … bytes, expected …); "
        "expected safetensors; get it again"
    )
    assert not (folder / "runs" / "torn").exists()
