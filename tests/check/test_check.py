"""`llm-summ check` on a real, tiny model: what a report says, what would fail, and that no weight is needed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from command_line import llm_summ, refused
from inline_snapshot import snapshot
from messages import lines_with, plain

from llm_summ.check.findings import optimizer_notes, prompt_difference
from llm_summ.check.job import check_recipe
from llm_summ.check.show import show_row
from llm_summ.core.errors import InputError
from llm_summ.data import read_dialogues
from llm_summ.models.device import Device
from llm_summ.plan.training_plan import make_plan
from llm_summ.recipe import Recipe
from llm_summ.runs.manifest import Manifest
from llm_summ.runs.run import Run, create_run

pytestmark = pytest.mark.slow

Make = Callable[..., Recipe]


@pytest.fixture(scope="module")
def tiny(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose weight file is not a weight file: nothing here may read it."""
    folder = shutil.copytree(tiny_model, tmp_path_factory.mktemp("model") / "tiny")
    (folder / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    return folder


@pytest.fixture
def make(tiny: Path) -> Make:
    def make(**sections: dict[str, Any]) -> Recipe:
        data = {"train": "sample:train", "dev": "sample:dev", "test": "sample:test"}
        return Recipe.model_validate(
            {"model": {"base": str(tiny)}, **sections, "data": data | sections.get("data", {})}
        )

    return make


def _write(path: Path, rows: list[dict[str, str]]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def _rows(part: str, count: int) -> list[dict[str, str]]:
    return [
        {"fname": d.id, "dialogue": d.text, "summary": d.references[0]}
        for d in read_dialogues(f"sample:{part}")[:count]
    ]


def test_a_recipe_that_would_work(make: Make) -> None:
    report = check_recipe(make(train={"batch_size": 8, "micro_batch_size": 4, "epochs": 1.0}))
    assert (report.failures, report.leaks, report.vllm) == ([], [], [])
    plan = report.plan
    assert (len(plan.rows), plan.steps) == (128, 16)
    assert plan.tokens == sum(len(row.prompt_ids) + len(row.completion_ids) + 1 for row in plan.rows)
    assert {part: len(rows) for part, rows in plan.prompts.items()} == {"dev": 32, "test": 32}
    text = "\n".join(report.lines())
    for part in ("128 rows", "dev       sample:dev: 32 dialogues", "leaks     none", "16 of 8 rows (4 at a time)"):
        assert part in text
    assert "LoRA r 16, alpha 32\n" in text
    assert "evaluate  every epoch (once), 32 of 32 dialogues of sample:dev; the best score is kept" in text
    assert "save      every 10 minutes, at evaluations; the last 2 and the best are kept" in text
    assert "vllm      can serve the adapter" in text


@pytest.mark.parametrize(
    ("train", "steps"),
    [
        ({"batch_size": 16, "epochs": 1.0}, 2),  # of 20 rows; the last step has four
        ({"batch_size": 16, "epochs": 1.5}, 3),
        ({"batch_size": 7, "micro_batch_size": 5, "epochs": 2.0}, 6),  # a micro batch need not divide a batch
        ({"batch_size": 64, "epochs": 3.0}, 3),
        ({"batch_size": 16, "epochs": 1.0, "max_steps": 9}, 9),
    ],
)
def test_steps(make: Make, train: dict[str, Any], steps: int) -> None:
    plan = make_plan(make(data={"limit": 20, "dev": None, "test": None}, train=train))
    assert (len(plan.rows), plan.steps) == (20, steps)


@pytest.mark.parametrize(
    ("fields", "evaluations", "message"),
    [
        (
            {},
            2,
            snapshot("evaluate  every epoch (2 times), 32 of 32 dialogues of sample:dev; the best score is kept"),
        ),
        (
            {"rows": 20, "pick": "loss"},
            2,
            snapshot("evaluate  every epoch (2 times), 20 of 32 dialogues of sample:dev; the best loss is kept"),
        ),
        (
            {"rows": None},
            2,
            snapshot("evaluate  every epoch (2 times), 32 of 32 dialogues of sample:dev; the best score is kept"),
        ),
        (
            {"every": 3},
            2,
            snapshot(
                "evaluate  every 3 steps (2 times), 32 of 32 dialogues of sample:dev; the best score is kept"
            ),
        ),  # after 3, and after the last
        (
            {"every": 1, "patience": 2},
            4,
            snapshot(
                "evaluate  every step (4 times), 32 of 32 dialogues of sample:dev; the best score is kept; "
                "stops after 2 evaluations without improvement"
            ),
        ),
        (
            {"every": 100, "pick": "last"},
            1,
            snapshot("evaluate  every 100 steps (once), 32 of 32 dialogues of sample:dev; the last one is kept"),
        ),
        ({"every": "never"}, 0, snapshot("evaluate  never; the last checkpoint is the result")),
    ],
)
def test_evaluations(make: Make, fields: dict[str, Any], evaluations: int, message: str) -> None:
    recipe = make(data={"limit": 20, "test": None}, train={"batch_size": 10}, evaluation=fields)
    report = check_recipe(recipe)  # four steps
    assert (report.plan.steps, report.plan.evaluations) == (4, evaluations)
    [line] = [line for line in report.lines() if line.startswith("evaluate  ")]
    assert plain(line) == message
    assert (report.failures, report.notes) == ([], [])


def test_what_cannot_be_evaluated(make: Make, tmp_path: Path) -> None:
    dev = _rows("dev", 4)
    bare = [{"fname": row["fname"], "dialogue": row["dialogue"]} for row in dev]
    none, some = _write(tmp_path / "none.jsonl", bare), _write(tmp_path / "some.jsonl", [*dev[:3], bare[3]])
    limited = {"limit": 8, "test": None}
    [failure] = check_recipe(make(data=limited | {"dev": none})).failures
    assert failure == (
        f"evaluation.pick: score: no dialogue of {none} has a summary; give them summaries, or set "
        "evaluation.every to never"
    )
    for fields in ({"every": "never"}, {"pick": "last"}):
        assert check_recipe(make(data=limited | {"dev": none}, evaluation=fields)).failures == []
    report = check_recipe(make(data=limited | {"dev": some}))
    assert report.failures == []
    assert report.notes == [f"{some}: 1 of 4 dialogues has no summary, and is not evaluated ({dev[3]['fname']})"]
    assert "3 of 4 dialogues of" in "\n".join(report.lines())
    [note] = check_recipe(make(data=limited | {"dev": None})).notes
    assert note == "data.dev is not set: nothing is evaluated, and the last checkpoint is the result"


def test_a_summary_of_dev_that_does_not_fit_fails_before_the_training(make: Make, tmp_path: Path) -> None:
    longest = max(len(row.completion_ids) for row in make_plan(make(data={"limit": 8})).rows) + 1
    dev = _rows("dev", 3)
    dev[1]["summary"] = dev[1]["summary"] * 9
    data = {"limit": 8, "test": None, "dev": _write(tmp_path / "dev.jsonl", dev)}
    prompt = {"max_answer_tokens": 4 * longest}
    [failure] = check_recipe(make(data=data, prompt=prompt)).failures
    assert failure.startswith(f"{data['dev']}: a row: completion of ")
    assert failure.endswith(f"({dev[1]['fname']})")
    assert check_recipe(make(data=data, prompt=prompt, evaluation={"every": "never"})).failures == []


def test_a_patience_that_never_ends(make: Make) -> None:
    data = {"limit": 16, "test": None}
    report = check_recipe(make(data=data, train={"epochs": 3.0}, evaluation={"patience": 2}))
    assert report.notes == ["evaluation.patience is 2, and there are 3 evaluations in all: nothing stops early"]
    assert check_recipe(make(data=data, train={"epochs": 4.0}, evaluation={"patience": 2})).notes == []


def test_a_training_of_all_weights(make: Make, tiny: Path) -> None:
    recipe = make(
        model={"base": str(tiny), "quantization": "none"},
        train={"weights": "full", "optimizer": "adafactor", "packing": True, "micro_batch_size": 4},
        lora={"targets": []},
    )
    report = check_recipe(recipe)
    text = "\n".join(report.lines())
    assert report.failures == []
    assert "none; all weights are trained" in text
    assert "(4 at a time, packed), learning rate 0.0002, adafactor" in text
    assert "vllm      can serve the model" in text


def test_processes_share_the_memory_of_a_cpu_and_the_rows_of_a_step(make: Make) -> None:
    recipe = make(train={"batch_size": 8, "micro_batch_size": 8}, data={"limit": 16, "test": None})
    alone, together = check_recipe(recipe), check_recipe(recipe, devices=4)
    assert together.available == alone.available // 4
    assert (alone.setup.micro_batch_size, together.setup.micro_batch_size) == (8, 2)
    assert " for each of 4 processes: " in "\n".join(together.lines())
    assert "processes" not in "\n".join(alone.lines())


def test_what_the_adapter_is_told_as(make: Make) -> None:
    lora = {"rslora": True, "init": "eva", "learning_rate_ratio": 16.0}
    report = check_recipe(make(lora=lora, data={"limit": 4}))
    assert "rsLoRA r 16, alpha 32, EVA, LoRA+ 16\n" in "\n".join(report.lines())
    assert (report.failures, report.vllm) == ([], [])


def test_eva_leaves_every_layer_its_rank(make: Make) -> None:
    data = {"limit": 4, "dev": None, "test": None}
    assert check_recipe(make(data=data, lora={"r": 600, "init": "eva"})).vllm == ["rank 600 is over 512"]
    assert check_recipe(make(data=data, lora={"r": 300, "init": "eva"})).vllm == []
    assert check_recipe(make(data=data, lora={"r": 300, "init": "gaussian", "rslora": True})).vllm == []


@pytest.mark.parametrize(
    ("optimizer", "kind", "notes"),
    [
        ("paged_adamw_8bit", "cpu", 1),
        ("paged_adamw_8bit", "cuda", 0),
        ("adamw_8bit", "cpu", 0),
        ("auto", "cpu", 0),
    ],
)
def test_a_cpu_does_not_page(make: Make, optimizer: str, kind: str, notes: int) -> None:
    found = optimizer_notes(make(train={"optimizer": optimizer}), Device(kind, "a device", "float32"))
    assert len(found) == notes


def test_lengths_are_those_of_the_rows(make: Make) -> None:
    plan = make_plan(make())
    lengths = check_recipe(make()).to_json()["lengths"]
    ordered = sorted(len(row) for row in plan.rows)
    # Nearest rank: of 128 rows the 64th, the 116th, the 127th and the last.
    assert lengths["row"] == {"50": ordered[63], "90": ordered[115], "99": ordered[126], "100": ordered[127]}
    assert set(lengths) == {"row", "prompt", "answer", "prompt of dev", "prompt of test"}


def test_a_dialogue_of_dev_that_was_trained_is_named(make: Make, tmp_path: Path) -> None:
    train, dev = _rows("train", 30), _rows("dev", 5)
    train[7] = train[7] | {"dialogue": dev[3]["dialogue"].replace(" ", "").replace("#Person1#", "#Person2#")}
    recipe = make(
        data={"train": _write(tmp_path / "t.jsonl", train), "dev": _write(tmp_path / "d.jsonl", dev), "test": None}
    )
    report = check_recipe(recipe)
    assert [(leak.part, leak.id, leak.trained) for leak in report.leaks] == [
        ("dev", dev[3]["fname"], train[7]["fname"])
    ]
    assert report.failures == []
    assert report.notes[0].startswith("1 dialogue is in train as well")


def test_rows_that_do_not_fit_are_all_named(make: Make) -> None:
    report = check_recipe(make(prompt={"max_answer_tokens": 40}, evaluation={"every": "never"}))
    plan = make_plan(make())
    too_long = [row.id for row in plan.rows if len(row.completion_ids) + 1 > 40]
    assert 1 < len(too_long) < 128
    [failure] = report.failures
    assert failure.startswith(f"sample:train: {len(too_long)} rows, the first: completion of ")
    assert too_long[0] in failure
    assert len(report.plan.rows) == 128 - len(too_long)


def test_a_prompt_of_test_that_does_not_fit_fails_before_the_training(make: Make, tmp_path: Path) -> None:
    longest = max(len(row.prompt_ids) for row in make_plan(make()).rows)
    rows = _rows("test", 3)
    rows[1]["dialogue"] *= 30
    test = _write(tmp_path / "test.jsonl", rows)
    report = check_recipe(make(data={"test": test}, prompt={"max_prompt_tokens": longest, "truncation": "error"}))
    assert any(failure.startswith(f"{test}: a row: prompt of ") for failure in report.failures)


def test_everything_wrong_is_told_at_once(make: Make) -> None:
    recipe = make(
        data={"train": "nowhere.csv", "dev": "nor-here.csv"}, prompt={"template": "plane"}, lora={"targets": []}
    )
    with pytest.raises(InputError) as error:
        check_recipe(recipe)
    found = str(error.value).splitlines()
    assert [line.partition(":")[0] for line in found] == ["plane", "nowhere.csv", "nor-here.csv", "lora.targets"]


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["no_such_layer"], "no layer is called no_such_layer; layers here: down_proj, embed_tokens, gate_proj, "),
        (["q_proj", "v_porj"], "no layer is called v_porj; did you mean v_proj?"),
        (["q_proj", "lm_head"], "lm_head is the model's head, which cannot be adapted; leave it out"),
    ],
)
def test_targets_that_cannot_be_adapted(make: Make, targets: list[str], message: str) -> None:
    [failure] = check_recipe(make(lora={"targets": targets})).failures
    assert failure.startswith(f"lora.targets: {message}")


def test_what_another_engine_attaches_is_no_failure(make: Make) -> None:
    lora = {"r": 600, "alpha": 600}
    report = check_recipe(make(lora=lora, generate={"adapter": "attach", "engine": "auto"}))
    assert report.failures == []
    assert any("vLLM refuses the adapter" in note for note in report.notes)
    assert check_recipe(make(lora=lora, generate={"adapter": "attach", "base_quantization": "nf4"})).failures == []


def test_a_rank_that_vllm_cannot_attach(make: Make) -> None:
    report = check_recipe(make(lora={"r": 600, "alpha": 600}))
    assert report.vllm == ["rank 600 is over 512"]
    assert report.failures == []
    attach = {"adapter": "attach", "engine": "vllm"}
    [failure] = check_recipe(make(lora={"r": 600, "alpha": 600}, generate=attach)).failures
    assert failure.startswith("generate.adapter: attach: vLLM refuses the adapter (rank 600 is over 512)")


def test_more_memory_than_there_is(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    need = check_recipe(make()).memory
    assert need is not None
    monkeypatch.setattr("llm_summ.check.job.device_memory", lambda device: need.total // 2)
    [failure] = check_recipe(make()).failures
    assert failure.startswith("memory: about ")
    assert (
        "; set train.gradient_checkpointing to on, or lower prompt.max_prompt_tokens, or train anyway" in failure
    )
    [failure] = check_recipe(make(train={"micro_batch_size": 4})).failures
    assert "; lower train.micro_batch_size (now 4) or prompt.max_prompt_tokens, or train anyway" in failure
    report = check_recipe(make(), allow_low_memory=True)
    assert (report.failures, len(report.notes)) == ([], 1)
    monkeypatch.setattr("llm_summ.check.job.device_memory", lambda device: int(need.total / 1.1))
    assert check_recipe(make()).failures == []  # within the estimate's own error


def test_more_tokens_than_the_model_can_look_at(make: Make, tiny: Path, tmp_path: Path) -> None:
    config = json.loads((tiny / "config.json").read_text(encoding="utf-8"))
    small = tmp_path / "small"
    shutil.copytree(tiny, small)
    plan = make_plan(make())
    longest = max(len(row.prompt_ids) for row in plan.prompts["dev"])
    # All that is trained fits, and a prompt of dev without the completion to come.
    limit = max(longest, *(len(row) for row in plan.rows))
    (small / "config.json").write_text(json.dumps(config | {"max_position_embeddings": limit}), encoding="utf-8")
    recipe = make(model={"base": str(small)}, data={"test": None}, generate={"max_new_tokens": limit})
    report = check_recipe(recipe)
    [failure] = report.failures
    [finding] = report.to_json()["findings"]
    assert finding == {"code": "context", "line": failure, "refuses": True}
    assert failure.startswith(f"dev: 32 rows of up to {longest + limit} tokens with {limit} new ones; ")
    fits = make(model={"base": str(small)}, data={"test": None}, generate={"max_new_tokens": limit - longest or 1})
    assert check_recipe(fits).failures == []


def test_completions_that_generation_would_cut(make: Make) -> None:
    lengths = sorted(len(row.completion_ids) + 1 for row in make_plan(make()).rows)
    report = check_recipe(make(generate={"max_new_tokens": lengths[-3]}))
    longer = sum(length > lengths[-3] for length in lengths)
    assert any(f"{longer} trained completions are longer" in note for note in report.notes)
    assert not any(
        "trained completions" in note for note in check_recipe(make(generate={"max_new_tokens": 999})).notes
    )


def test_a_topic_that_only_the_training_has(make: Make, tmp_path: Path) -> None:
    train = [row | {"topic": "인사"} for row in _rows("train", 8)]
    recipe = make(
        data={"train": _write(tmp_path / "train.jsonl", train), "dev": None, "test": "sample:test"},
        prompt={"template": "topic"},
    )
    shares = [dialogue.topic is not None for dialogue in read_dialogues("sample:test")]
    notes = check_recipe(recipe).notes
    assert any("topic, which 100% of train have" in note for note in notes) == (not all(shares))


def test_a_run_that_was_trained_with_another_prompt(make: Make, tmp_path: Path) -> None:
    trained = make(prompt={"template": "plain", "max_prompt_tokens": 900})
    template = make_plan(trained).renderer.template
    run = create_run(tmp_path / "first", trained, template.path.read_text(encoding="utf-8"), Manifest())
    assert prompt_difference(trained, run) == ""
    other = make(prompt={"template": "expert", "max_prompt_tokens": 1024})
    assert prompt_difference(other, run) == "its text; max_prompt_tokens 900, here 1024"
    assert any("trained with another prompt" in note for note in check_recipe(other, run).notes)


def test_a_run_that_cannot_be_read_is_a_note(make: Make, tmp_path: Path) -> None:
    report = check_recipe(make(), Run(tmp_path))
    assert report.failures == []
    assert any("its prompt cannot be compared" in note for note in report.notes)


def test_control_characters_of_the_data_are_shown_and_not_sent(make: Make, tmp_path: Path) -> None:
    rows = _rows("train", 2)
    rows[0]["dialogue"] += "\x1b[2J"
    plan = make_plan(make(data={"train": _write(tmp_path / "t.jsonl", rows), "dev": None, "test": None}))
    shown = show_row(plan.tokenizer, plan.rows[0]).plain
    assert "\x1b" not in shown
    assert "\\x1b[2J" in shown


def test_a_row_shows_what_is_masked_and_what_is_trained(make: Make) -> None:
    plan = make_plan(make())
    dialogue = plan.data["train"][0]
    text = show_row(plan.tokenizer, plan.rows[0])
    row = plan.rows[0]
    first, _masked, completion = text.plain.partition(
        f"[completion, {len(row.completion_ids) + 1} tokens, trained]\n"
    )
    assert first.startswith(f"[prompt, {len(row.prompt_ids)} tokens, masked]\n<bos>")
    assert dialogue.text in first
    assert completion == f"{dialogue.references[0]}<eos>\n"
    styles = {text.plain[span.start : span.end]: str(span.style) for span in text.spans}
    assert styles[dialogue.references[0]] == "bold green"
    assert "reverse" in styles["<eos>"]
    assert "reverse" in styles["<bos>"]


def test_missing_data_files_name_the_settings_that_name_others(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        make_plan(make(data={part: f"data/{part}.csv" for part in ("train", "dev", "test")}))
    assert str(error.value).splitlines() == [
        "data/train.csv: no such file; name yours: --set data.train=PATH",
        "data/dev.csv: no such file; name yours: --set data.dev=PATH",
        "data/test.csv: no such file; name yours: --set data.test=PATH",
    ]


def test_the_command(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "tiny")
    (tmp_path / "r.yaml").write_text(
        "model: {base: ./tiny}\ndata: {train: sample:train, dev: sample:dev}\n", encoding="utf-8"
    )
    check = partial(llm_summ, "check", "r.yaml", cwd=tmp_path)
    done = check()
    assert (done.code, done.err) == (0, snapshot("nothing would fail; next: llm-summ sft r.yaml\n"))
    assert "[completion, " in done.out
    failed = check("--set", "data.train=nowhere.csv")
    assert (failed.code, failed.err) == (1, "")
    assert lines_with(failed.out, "would fail: ") == snapshot(
        "would fail: nowhere.csv: no such file; name yours: --set data.train=PATH"
    )
    failed = check("--set", "lora.targets=[no_such_layer]", "--json")  # the report is whole, and has a failure
    assert (failed.code, len(json.loads(failed.out)["failures"])) == (1, 1)
    report = json.loads(check("--json").out)
    assert report["failures"] == []
    assert report["rows"] == {"train": 128, "dev": 32}
    assert report["memory"]["total"] > 0
    assert (report["micro_batch_size"], report["evaluations"]) == (1, 2)
    refused(check("--set", "train.lerning_rate=1"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.yaml", "tiny"]
