"""A user's own callbacks: what they are given, what they may decide, and what is refused before anything loads."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import Result, llm_summ, llm_summ_process, refused
from inline_snapshot import snapshot
from messages import lines_with, plain, raises

from llm_summ.core.errors import RecipeError
from llm_summ.recipe import load_recipe

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:::transformers", "ignore:::trl", "ignore:::torch", "ignore:::peft"),
]

EXAMPLES = Path(__file__).parents[2] / "examples"
RECIPE = """
model: {base: ./tiny, quantization: none, compute_dtype: float32}
data: {train: sample:train, dev: sample:dev, limit: 24}
prompt: {max_prompt_tokens: 200}
lora: {r: 4}
train: {epochs: 2, learning_rate: 1e-2, batch_size: 6, callbacks: [CALLBACKS]}
evaluation: {every: epoch, rows: 3}
generate: {max_new_tokens: 8}
"""
STEPS, EPOCH = 8, 4

RECORDER = """
import json
from transformers import TrainerCallback

class Recorder(TrainerCallback):
    def note(self, event, state, run, **values):
        with (run / "events.jsonl").open("a") as file:
            file.write(json.dumps({"event": event, "step": state.global_step} | values) + "\\n")

    def on_train_begin(self, args, state, control, *, model, optimizer, processing_class, run, rank, **more):
        self.note("begin", state, run, rank=rank, kind=type(model).__name__, steps=state.max_steps)

    def on_epoch_end(self, args, state, control, *, run, **more):
        self.note("epoch", state, run)

    def on_step_end(self, args, state, control, *, run, **more):
        self.note("step", state, run)

    def on_log(self, args, state, control, *, logs, run, **more):
        self.note("log", state, run, **{name: logs[name] for name in ("loss", "dev_score") if name in logs})

    def on_save(self, args, state, control, *, run, **more):
        saved = run / "checkpoints" / f"step-{state.global_step:06d}" / "adapter_model.safetensors"
        self.note("save", state, run, exists=saved.is_file())

    def on_evaluate(self, args, state, control, *, metrics, run, **more):
        self.note("evaluate", state, run, **metrics)

    def on_train_end(self, args, state, control, *, run, **more):
        self.note("end", state, run)
"""


@pytest.fixture(scope="module")
def project(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model, and a folder in it with recipe and callbacks, as a user may have them."""
    project = tmp_path_factory.mktemp("callbacks")
    shutil.copytree(tiny_model, project / "tiny")
    (project / "mine").mkdir()
    return project


def write(project: Path, callbacks: str, code: str | None = None) -> None:
    (project / "mine" / "recipe.yaml").write_text(RECIPE.replace("CALLBACKS", callbacks), encoding="utf-8")
    if code is not None:
        (project / "mine" / "hooks.py").write_text(code, encoding="utf-8")


def train(project: Path, name: str, callbacks: str, code: str | None = None, *more: str) -> Result:
    write(project, callbacks, code)
    return llm_summ("sft", "mine/recipe.yaml", "--run", name, *more, cwd=project)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_event_comes_in_its_order_with_what_is_documented(project: Path) -> None:
    done = train(project, "events", "hooks.py:Recorder", RECORDER)
    assert done.code == 0, done.err
    run = project / "runs" / "events"
    events = lines(run / "events.jsonl")
    assert events[0] == {"event": "begin", "step": 0, "rank": 0, "kind": "PeftModelForCausalLM", "steps": STEPS}
    assert events[-1]["event"] == "end"
    of_step = [event["event"] for event in events if event["step"] == EPOCH and event["event"] != "begin"]
    assert of_step == ["step", "log", "save", "log", "evaluate", "epoch"]
    assert [event["step"] for event in events if event["event"] == "step"] == list(range(1, STEPS + 1))
    assert [event["exists"] for event in events if event["event"] == "save"] == [True, True]
    evaluated = [event for event in events if event["event"] == "evaluate"]
    logged = [line for line in lines(run / "log.jsonl") if "dev_score" in line]
    names = ("dev_score", "dev_loss", "dev_rouge1", "dev_rouge2", "dev_rougeL", "dev_by_length", "dev_rows")
    assert [[event[name] for name in names] for event in evaluated] == [
        [line[name] for name in names] for line in logged
    ]
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    code = (project / "mine" / "hooks.py").read_bytes()
    assert manifest["callbacks"] == {"mine/hooks.py": hashlib.sha256(code).hexdigest()}


def test_a_callback_that_only_watches_changes_nothing(project: Path) -> None:
    results = [
        json.loads((project / "runs" / name / "manifest.json").read_text(encoding="utf-8"))["training"]
        for name, callbacks in (("watched", "hooks.py:Recorder"), ("alone", ""))
        if train(project, name, callbacks, RECORDER).code == 0
    ]
    assert results[0]["adapter_sha256"] == results[1]["adapter_sha256"]


def test_the_examples_write_what_they_say(project: Path) -> None:
    shutil.copy(EXAMPLES / "hooks.py", project / "mine" / "hooks.py")
    names = ("LogLearningRate", "LogGradients", "ShowRouge", "SaveBestLoss")
    done = train(project, "examples", ", ".join(f"hooks.py:{name}" for name in names))
    assert done.code == 0, done.err
    run = project / "runs" / "examples"
    log = lines(run / "log.jsonl")
    rates = lines(run / "learning_rate.jsonl")
    assert [line["step"] for line in rates] == list(range(1, STEPS + 1))
    assert [line["rate"] for line in rates] == [line["learning_rate"] for line in log if "loss" in line]
    gradients = lines(run / "gradients.jsonl")
    layers = [f"base_model.model.model.layers.{number}" for number in (0, 1)]
    assert [sorted(line) for line in gradients] == [[*layers, "step"]] * STEPS
    norms = [line["grad_norm"] for line in log if "loss" in line]
    of_layers = [sum(line[layer] ** 2 for layer in layers) ** 0.5 for line in gradients]
    assert of_layers == pytest.approx([min(norm, 1.0) for norm in norms], rel=1e-3)  # clipped to max_grad_norm
    evaluated = [line for line in log if "dev_score" in line]
    for line in evaluated:
        assert f"step {line['step']}: ROUGE 1 {line['dev_rouge1']:.2f}, 2 {line['dev_rouge2']:.2f}" in done.err
    best = min(evaluated, key=lambda line: line["dev_loss"])
    assert lines(run / "best_loss.json") == [{"step": best["step"], "dev_loss": best["dev_loss"]}]
    kept = (run / "checkpoints" / f"step-{best['step']:06d}" / "adapter_model.safetensors").read_bytes()
    assert (run / "best_loss" / "adapter_model.safetensors").read_bytes() == kept


STOPPER = """
from transformers import TrainerCallback

class Stop(TrainerCallback):
    def EVENT(self, args, state, control, **more):
        if state.global_step == 3:
            control.should_training_stop = True
"""


@pytest.mark.parametrize("event", ["on_step_end", "on_log"])
def test_a_callback_can_stop_the_training_and_its_last_step_is_the_result(project: Path, event: str) -> None:
    done = train(project, f"stop-{event}", "hooks.py:Stop", STOPPER.replace("EVENT", event))
    assert done.code == 0, done.err
    assert f"train.callbacks: {event} stops the training at step 3" in done.err
    run = project / "runs" / f"stop-{event}"
    assert json.loads((run / "manifest.json").read_text(encoding="utf-8"))["training"]["picked_step"] == 3
    assert (run / "adapter" / "adapter_model.safetensors").is_file()


def test_a_callback_can_ask_for_a_checkpoint(project: Path) -> None:
    code = STOPPER.replace("EVENT", "on_step_end").replace("should_training_stop", "should_save")
    assert train(project, "save", "hooks.py:Stop", code, "--set", "train.keep_checkpoints=9").code == 0
    saved = sorted(path.name for path in (project / "runs" / "save" / "checkpoints").iterdir())
    assert saved == ["step-000003", "step-000004", "step-000008"]


FAILING = """
from transformers import TrainerCallback

class Fails(TrainerCallback):
    def on_step_end(self, args, state, control, **more):
        if state.global_step == 6:
            raise KeyError("no such layer")
"""


def test_an_exception_ends_the_training_with_one_line_and_it_can_be_resumed(project: Path) -> None:
    done = train(project, "fails", "hooks.py:Fails", FAILING)
    assert done.code == 1
    assert "Traceback" not in done.err
    line = done.err.splitlines()[-1]
    assert plain(line) == snapshot(
        "llm-summ: train.callbacks: mine/hooks.py:Fails: on_step_end failed at step 6: KeyError: 'no such layer' "
        "(hooks.py:7); correct it, then resume with: llm-summ sft --resume --run fails"
    )
    write(project, "hooks.py:Fails", FAILING.replace("== 6", "== 600"))
    again = llm_summ("sft", "--resume", "--run", "fails", cwd=project)
    assert again.code == 0, again.err
    changed = "note: mine/hooks.py: was changed after the training began; the training continues with the new file"
    assert again.err.count(changed) == 1
    assert lines_with(again.err, "Resuming ") == snapshot("Resuming runs/fails from step 4 of 8")
    # The result is that of a training without an error.
    assert train(project, "whole", "").code == 0
    hashes = {
        json.loads((project / "runs" / name / "manifest.json").read_text(encoding="utf-8"))["training"][
            "adapter_sha256"
        ]
        for name in ("fails", "whole")
    }
    assert len(hashes) == 1


def test_the_flag_that_has_no_effect_is_refused(project: Path) -> None:
    code = STOPPER.replace("EVENT", "on_step_end").replace("should_training_stop", "should_evaluate")
    done = train(project, "evaluate", "hooks.py:Stop", code)
    assert done.code == 1
    assert lines_with(done.err, "should_evaluate") == snapshot(
        "llm-summ: train.callbacks: mine/hooks.py:Stop: on_step_end set control.should_evaluate, which "
        "has no effect here; set evaluation.every in the recipe instead"
    )


def test_two_processes_have_a_callback_each_and_stop_together(project: Path) -> None:
    code = STOPPER.replace("EVENT", "on_step_end").replace("== 3", "== 3 and more['rank'] == 1")
    write(project, "hooks.py:Stop", code)
    done = llm_summ_process("sft", "mine/recipe.yaml", "--run", "two", "--devices", "2", cwd=project)
    assert done.code == 0, done.err
    manifest = json.loads((project / "runs" / "two" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["training"]["picked_step"] == 3


GOOD = "from transformers import TrainerCallback\nclass Mine(TrainerCallback):\n    pass\n"


@pytest.mark.parametrize(
    ("callbacks", "code", "message"),
    [
        (
            "other.py:Mine",
            GOOD,
            snapshot(
                "train.callbacks: other.py: no such file; expected a file next to the recipe, or a "
                "path from the working directory"
            ),
        ),
        (
            "hooks.py:Mine",
            "x = 1\nclass Mine(:\n",
            snapshot("train.callbacks: …/mine/hooks.py:2: not valid Python (invalid syntax); correct it"),
        ),
        (
            "hooks.py:Mine",
            "\nimport no_such",
            snapshot(
                "train.callbacks: mine/hooks.py:2: cannot be imported: ModuleNotFoundError: No module "
                "named 'no_such'; correct it"
            ),
        ),
        (
            "hooks.py:Mine",
            "raise SystemExit(3)",
            snapshot("train.callbacks: mine/hooks.py:1: cannot be imported: SystemExit: 3; correct it"),
        ),
        (
            "hooks.py:Mime",
            GOOD,
            snapshot("train.callbacks: mine/hooks.py:Mime: no such class; did you mean Mine?"),
        ),
        (
            "hooks.py:Other",
            "",
            snapshot("train.callbacks: mine/hooks.py:Other: no such class; found no callback in it"),
        ),
        (
            "hooks.py:Other",
            "class Other:\n    pass",
            snapshot(
                "train.callbacks: mine/hooks.py:Other: not a class of transformers.TrainerCallback; "
                "found no callback in it"
            ),
        ),
        (
            "hooks.py:Mine",
            GOOD.replace("pass", "def __init__(self, path): ..."),
            snapshot(
                "train.callbacks: mine/hooks.py:Mine: its constructor failed: TypeError: Mine.__init__() missing "
                "1 required positional argument: 'path' (hooks.py:3); it is called without arguments"
            ),
        ),
        (
            "no.such.module:Mine",
            GOOD,
            snapshot(
                "train.callbacks: no.such.module: cannot be imported: ModuleNotFoundError: No module "
                "named 'no'; correct it"
            ),
        ),
        (
            "json:Mine",
            GOOD,
            snapshot("train.callbacks: json:Mine: no such class; found no callback in it"),
        ),
    ],
)
@pytest.mark.parametrize("command", ["check", "sft"])
def test_what_cannot_be_used_is_refused_in_a_line_before_weights_are_loaded(
    project: Path, command: str, callbacks: str, code: str, message: str
) -> None:
    write(project, callbacks, code)
    done = llm_summ(command, "mine/recipe.yaml", cwd=project)
    if command == "check":
        assert done.code == 1
        [line] = [text for text in done.out.splitlines() if "would fail" in text]
    else:
        line = refused(done)
    assert "Traceback" not in done.err
    assert "train.callbacks: " in line
    line = re.sub(r"(user_callbacks\.py):\d+", r"\1:…", line.removeprefix("would fail: "))  # a line of the package
    assert plain(line) == message


def test_every_callback_that_cannot_be_used_has_a_line(project: Path) -> None:
    write(project, "hooks.py:One, hooks.py:Two, hooks.py:Mine", GOOD)
    done = llm_summ("sft", "mine/recipe.yaml", cwd=project)
    assert [line.partition(";")[0] for line in done.err.splitlines()] == [
        "llm-summ: train.callbacks: mine/hooks.py:One: no such class",
        "llm-summ: train.callbacks: mine/hooks.py:Two: no such class",
    ]


def test_a_file_imports_what_is_next_to_it(project: Path) -> None:
    (project / "mine" / "my_own_tools.py").write_text("NAME = 'Mine'\n", encoding="utf-8")
    write(project, "hooks.py:Mine", "import my_own_tools\n" + GOOD + "assert my_own_tools.NAME == 'Mine'\n")
    assert llm_summ("check", "mine/recipe.yaml", cwd=project).code == 0


def test_a_class_of_an_installed_module_can_be_named(project: Path) -> None:
    assert train(project, "module", "'transformers:PrinterCallback'").code == 0
    manifest = json.loads((project / "runs" / "module" / "manifest.json").read_text(encoding="utf-8"))
    assert list(manifest["callbacks"]) == ["transformers"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "hooks.py",
            snapshot(
                "…/recipe.yaml:6: train.callbacks: found 'hooks.py', expected FILE.py:Class or module:Class, such "
                "as hooks.py:LogGradients"
            ),
        ),
        (
            "hooks:",
            snapshot(
                "…/recipe.yaml:6: train.callbacks: found 'hooks:', expected FILE.py:Class or module:Class, such "
                "as hooks.py:LogGradients"
            ),
        ),
        (
            ":Mine",
            snapshot(
                "…/recipe.yaml:6: train.callbacks: found ':Mine', expected FILE.py:Class or module:Class, such as "
                "hooks.py:LogGradients"
            ),
        ),
        (
            "hooks.py:my-class",
            snapshot(
                "…/recipe.yaml:6: train.callbacks: found 'hooks.py:my-class', expected FILE.py:Class or "
                "module:Class, such as hooks.py:LogGradients"
            ),
        ),
        (
            "a b:Mine",
            snapshot(
                "…/recipe.yaml:6: train.callbacks: found 'a b:Mine', expected FILE.py:Class or module:Class, such "
                "as hooks.py:LogGradients"
            ),
        ),
        (
            "hooks.txt:1",
            snapshot(
                "…/recipe.yaml:6: train.callbacks: found 'hooks.txt:1', expected FILE.py:Class or module:Class, "
                "such as hooks.py:LogGradients"
            ),
        ),
    ],
)
def test_a_name_of_another_form_is_refused_with_its_line(tmp_path: Path, name: str, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.replace("CALLBACKS", f"'{name}'"), encoding="utf-8")
    with raises(RecipeError) as caught:
        load_recipe(path)
    assert caught.message == message


def test_a_file_is_found_next_to_the_recipe_or_from_the_working_directory(in_tmp: Path) -> None:
    (in_tmp / "mine").mkdir()
    path = Path("mine") / "recipe.yaml"
    path.write_text(RECIPE.replace("CALLBACKS", "hooks.py:Mine"), encoding="utf-8")
    assert load_recipe(path).train.callbacks == ["hooks.py:Mine"]
    (in_tmp / "mine" / "hooks.py").touch()
    assert load_recipe(path).train.callbacks == ["mine/hooks.py:Mine"]
