"""Our step is TRL's step, at less cost: the same loss and gradients for every size of micro batch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot
from messages import lines_with

from llm_summ.core.objective_registry import OBJECTIVES, ObjectiveSpec
from llm_summ.models.families import CAUSAL, IGNORED
from llm_summ.models.families.causal import input_ids, labels
from llm_summ.prompt import TokenizedExample
from llm_summ.recipe import TrainFields

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:::transformers", "ignore:::trl", "ignore:::torch", "ignore:::peft"),
]


@pytest.fixture(scope="module")
def folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trainer")
    shutil.copytree(tiny_model, folder / "tiny")
    return folder


@pytest.fixture(scope="module")
def rows() -> list[TokenizedExample]:
    """Rows of very different lengths, so that there is padding to go wrong."""
    import torch

    generator = torch.Generator().manual_seed(1)
    found = []
    for number, (prompt, completion) in enumerate(((30, 9), (12, 17), (44, 1), (3, 2), (90, 30), (60, 5))):
        ids = torch.randint(3, 1000, (prompt + completion,), generator=generator).tolist()
        found.append(TokenizedExample(str(number), tuple(ids[:prompt]), tuple(ids[prompt:]), 2))
    return found


def settings_of_trl(folder: Path) -> Any:
    from trl import SFTConfig

    return SFTConfig(
        output_dir=str(folder / "out"),
        use_cpu=True,
        bf16=False,
        report_to="none",
        max_length=None,
        max_steps=2,
        gradient_checkpointing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        completion_only_loss=False,
        per_device_train_batch_size=6,
        save_strategy="no",
        disable_tqdm=True,
    )


def settings(folder: Path) -> Any:
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=str(folder / "out"),
        use_cpu=True,
        report_to="none",
        max_steps=2,
        per_device_train_batch_size=6,
        save_strategy="no",
        disable_tqdm=True,
    )


def adapter() -> Any:
    from peft import LoraConfig

    # Random, so that B is not zero and every gradient is there.
    return LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", init_lora_weights=False)


def adapted(model: Any) -> Any:
    """The model with a random adapter, as TRL makes it."""
    from peft import get_peft_model
    from transformers import set_seed

    set_seed(42)
    return get_peft_model(model, adapter())


def step_trainer(folder: Path, model: Any, rows: list[TokenizedExample], rows_at_a_time: int, **more: Any) -> Any:
    from transformers import AutoTokenizer

    from llm_summ.train.objectives import ObjectiveInputs, make_objective
    from llm_summ.train.step_trainer import StepSettings, StepTrainer

    ratio, objective = more.pop("ratio", None), more.pop("objective", None)
    fields = TrainFields.model_validate({"batch_size": 6} | more)
    arguments = settings(folder)
    return StepTrainer(
        model=model,
        arguments=arguments,
        objective=objective or make_objective(ObjectiveInputs(fields, rows, CAUSAL, 0, arguments.device)),
        tokenizer=AutoTokenizer.from_pretrained(folder / "tiny"),
        callbacks=[],
        settings=StepSettings(fields, rows_at_a_time, ratio),
    )


def make_trainer(folder: Path, rows: list[TokenizedExample], rows_at_a_time: int = 6, **more: Any) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(5)
    model = adapted(AutoModelForCausalLM.from_pretrained(folder / "tiny"))
    return step_trainer(folder, model, rows, rows_at_a_time, **more)


def gradients(model: Any) -> Any:
    import torch

    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.fixture(scope="module")
def of_trl(folder: Path, rows: list[TokenizedExample]) -> tuple[float, Any]:
    """Loss and gradients of TRL's own trainer for all rows as one padded batch."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTTrainer

    torch.manual_seed(5)
    examples = [{"input_ids": input_ids(row), "labels": labels(row)} for row in rows]
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder / "tiny"),
        args=settings_of_trl(folder),
        train_dataset=Dataset.from_list(examples),
        processing_class=AutoTokenizer.from_pretrained(folder / "tiny"),
        peft_config=adapter(),
    )
    trainer.model.train()
    target_tokens = sum(len(row.completion_ids) + 1 for row in rows)
    loss = trainer.compute_loss(
        trainer.model, dict(trainer.data_collator(examples)), num_items_in_batch=target_tokens
    )
    loss.backward()
    return float(loss.detach()), gradients(trainer.model)


@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize("rows_at_a_time", [1, 2, 4, 6])
def test_a_step_is_that_of_trl(
    folder: Path, rows: list[TokenizedExample], of_trl: tuple[float, Any], packing: bool, rows_at_a_time: int
) -> None:
    import torch

    trainer = make_trainer(folder, rows, rows_at_a_time, packing=packing)
    loss = trainer.training_step(trainer.model, rows)
    assert float(loss) == pytest.approx(of_trl[0], rel=1e-5)
    assert of_trl[1].abs().max() > 1e-4
    torch.testing.assert_close(gradients(trainer.model), of_trl[1], rtol=1e-3, atol=1e-6)
    assert trainer.tokens == sum(map(len, rows))


@pytest.mark.parametrize("kind", ["llama", "gemma"])
@pytest.mark.parametrize("packing", [False, True])
def test_no_row_sees_another(folder: Path, rows: list[TokenizedExample], packing: bool, kind: str) -> None:
    """The loss of each row within a micro batch, packed or padded, is its loss alone."""
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    trainer = make_trainer(folder, rows)
    model, objective = trainer.model, trainer.objective
    if kind == "gemma":  # layers with a sliding window, shorter than the rows, between full ones
        torch.manual_seed(2)
        config = Gemma3TextConfig(
            **{"vocab_size": 1500, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 4},
            **{"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32, "sliding_window": 16},
            layer_types=["sliding_attention", "full_attention"] * 2,
        )
        model = Gemma3ForCausalLM(config)
    model.eval()

    def losses_within(together: list[TokenizedExample]) -> list[float]:
        """The summed loss of each row: the others' labels are taken away, their tokens stay."""
        inputs, all_labels = CAUSAL.collate(together, 0, torch.device("cpu"), packing=packing)
        found, start = [], 0
        for index, row in enumerate(together):
            own = (0, slice(start, start + len(row))) if packing else (index, slice(0, len(row)))
            shown = torch.full_like(all_labels, IGNORED)
            shown[own] = all_labels[own]
            start += len(row)
            with torch.no_grad():
                found.append(float(objective.cross_entropy(model, inputs, shown)))
        return found

    alone = [losses_within([row])[0] for row in rows]
    assert losses_within(rows) == pytest.approx(alone, rel=1e-5)
    assert losses_within(rows[::-1]) == pytest.approx(alone[::-1], rel=1e-5)


def test_the_fused_head_of_a_gpu_gives_the_same_loss(folder: Path, rows: list[TokenizedExample]) -> None:
    """TRL's head, which also works on a CPU, where it is slower than ours."""
    import torch

    plain, fused = make_trainer(folder, rows), make_trainer(folder, rows)
    fused.objective._has_fused_head = True
    fused.objective.prepare(fused.model)
    losses = [trainer.training_step(trainer.model, rows) for trainer in (plain, fused)]
    assert float(losses[1]) == pytest.approx(float(losses[0]), rel=1e-5)
    torch.testing.assert_close(gradients(fused.model), gradients(plain.model), rtol=1e-3, atol=1e-6)


class _EachRowAlike:
    """An objective of which every row has the same weight, however long its completion is."""

    def __init__(self, loss: Any) -> None:
        self._loss, self.examples = loss, loss.examples

    def length(self, row: TokenizedExample) -> int:
        return len(row)

    def weight(self, row: TokenizedExample) -> float:
        return 1.0

    def prepare(self, model: Any) -> None: ...

    def loss(self, model: Any, rows: list[TokenizedExample]) -> Any:
        return sum(self._loss.loss(model, [row]) / row.target_tokens for row in rows)

    def log_fields(self) -> dict[str, float]:
        return {"rows": 6.0}


@pytest.mark.parametrize("rows_at_a_time", [1, 4, 6])
def test_a_step_is_the_mean_of_any_objective(
    folder: Path, rows: list[TokenizedExample], rows_at_a_time: int
) -> None:
    import torch

    whole = make_trainer(folder, rows)
    expected = sum(whole.objective.loss(whole.model.train(), [row]) / row.target_tokens for row in rows) / 6
    expected.backward()
    wanted = float(expected.detach())
    trainer = make_trainer(folder, rows, rows_at_a_time, objective=_EachRowAlike(whole.objective))
    assert float(trainer.training_step(trainer.model, rows)) == pytest.approx(wanted, rel=1e-5)
    torch.testing.assert_close(gradients(trainer.model), gradients(whole.model), rtol=1e-3, atol=1e-6)
    logs = {"loss": 1.0}
    trainer.log(logs)
    assert logs["objective/rows"] == 6.0
    other = whole.training_step(whole.model, rows)
    assert float(other) != pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("spec", OBJECTIVES.built_in, ids=lambda spec: spec.name)
def test_every_objective_of_a_recipe_is_there(spec: ObjectiveSpec) -> None:
    assert spec.load().__name__ == spec.name


def test_label_smoothing_is_pytorchs_and_not_in_the_dev_loss(folder: Path, rows: list[TokenizedExample]) -> None:
    import torch
    from torch.nn import functional

    trainer = make_trainer(folder, rows, label_smoothing=0.1)
    row = rows[0]
    trainer.model.eval()
    with torch.no_grad():
        logits = trainer.model(input_ids=torch.tensor([input_ids(row)])).logits[0, len(row.prompt_ids) - 1 : -1]
        targets = torch.tensor([*row.completion_ids, row.stop_id])
        expected = float(functional.cross_entropy(logits, targets))
        smoothed = float(functional.cross_entropy(logits, targets, label_smoothing=0.1))
        assert trainer.mean_loss([row]) == pytest.approx(expected, rel=1e-5)
        trainer.model.train()
        for dropout in (m for m in trainer.model.modules() if isinstance(m, torch.nn.Dropout)):
            dropout.p = 0.0
        loss = trainer.objective.loss(trainer.model, [row])
    assert float(loss) / len(targets) == pytest.approx(smoothed, rel=1e-5)
    assert smoothed != pytest.approx(expected, rel=1e-3)


def test_lora_plus_gives_b_a_rate_of_its_own(folder: Path, rows: list[TokenizedExample]) -> None:
    trainer = make_trainer(folder, rows, ratio=16.0)
    names = {parameter: name for name, parameter in trainer.model.named_parameters()}
    rates = {
        ("B" if "lora_B" in names[parameter] else "A"): group["lr"]
        for group in trainer.create_optimizer().param_groups
        for parameter in group["params"]
    }
    assert rates["B"] == pytest.approx(16 * rates["A"])


MEMORY = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
sys.path.insert(0, {sft!r})
import torch
from llm_summ.core.terminal import shown_on_stderr
from llm_summ.prompt import TokenizedExample
from test_trainer import gradients, make_trainer
shown = shown_on_stderr()
shown.__enter__()
folder = Path({folder!r})
completion = tuple(i % 1400 + 5 for i in range({completion}))
rows = [TokenizedExample(str(n), tuple(range(5, 105)), completion, 2) for n in range({count})]
small = make_trainer(folder, rows, 1)
expected = float(small.training_step(small.model, rows))
trainer = make_trainer(folder, rows, {count})
now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
limit = now + {room} * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
loss = float(trainer.training_step(trainer.model, rows))
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
apart = (gradients(trainer.model) - gradients(small.model)).abs().max()
print(trainer.micro_batch_size, abs(loss - expected) < 1e-3, float(apart) < 1e-3)
"""


def in_little_memory(folder: Path, *, count: int, completion: int, room: int) -> Iterator[str]:
    """A step with `count` rows of long completions where `room` MiB are left."""
    here = Path(__file__).parent
    sizes = {"count": count, "completion": completion, "room": room}
    code = MEMORY.format(tests=str(here.parent), sft=str(here), folder=str(folder), **sizes)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=300
    )
    yield done.stdout
    yield done.stderr


def test_a_micro_batch_that_does_not_fit_is_halved(folder: Path) -> None:
    """With a real limit on memory: the step is made again with fewer rows, and its gradient is the batch's."""
    out, err = in_little_memory(folder, count=6, completion=1900, room=150)
    assert lines_with(err, "out of memory") == snapshot(
        "step 1: out of memory with 6 rows at a time; continuing with 3 (the batch stays 6)\n"
        "step 1: out of memory with 3 rows at a time; continuing with 2 (the batch stays 6)"
    )
    left, same_loss, same_gradients = out.split()
    assert int(left) < 6
    assert (same_loss, same_gradients) == ("True", "True")


def test_a_row_that_does_not_fit_is_told_in_a_line(folder: Path) -> None:
    out, err = in_little_memory(folder, count=1, completion=9000, room=20)
    assert not out
    assert "TrainingError: step 1: out of memory with 1 rows at a time" in err.splitlines()[-1]


def test_an_evaluation_in_between_leaves_the_gradients_of_a_quantized_base(
    folder: Path, rows: list[TokenizedExample]
) -> None:
    """bitsandbytes would pack the weights for inference, for good, and no gradient would pass them any more."""
    import torch

    from llm_summ.models.device import Device
    from llm_summ.models.load import keep_trainable, load_base, quantization_config
    from llm_summ.recipe import ModelFields

    at = str(folder / "tiny")
    quantization = quantization_config("nf4", double=True, compute_dtype=torch.float32)
    model = load_base(ModelFields(base=at), at, Device("cpu", "", "float32"), torch.float32, quantization)
    keep_trainable(model)
    trainer = step_trainer(folder, adapted(model), rows, 6)
    found = []
    for _ in range(2):
        trainer.model.zero_grad()
        trainer.training_step(trainer.model, rows)
        found.append(gradients(trainer.model).clone())
        trainer.model.eval()
        trainer.mean_loss(rows)
        with torch.inference_mode():
            trainer.model.generate(input_ids=torch.tensor([rows[0].prompt_ids]), max_new_tokens=3)
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=0)
