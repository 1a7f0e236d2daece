"""The parts of a training, for a loop of one's own: they fit together, and leave things as they were."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot
from messages import raises

import llm_summ
from llm_summ.core.errors import InputError, RecipeError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:::transformers", "ignore:::trl", "ignore:::torch", "ignore:::peft"),
]

RECIPE = """
model: {base: ./tiny, quantization: none, compute_dtype: float32}
data: {train: sample:train, dev: sample:dev, limit: 12}
prompt: {max_prompt_tokens: 200}
lora: {r: 4, dropout: 0.1}
train: {learning_rate: 1e-2, batch_size: 6, micro_batch_size: 4}
evaluation: {rows: 4}
generate: {max_new_tokens: 24}
"""


@pytest.fixture(scope="module")
def folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts")
    shutil.copytree(tiny_model, folder / "tiny")
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return folder


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def parts_of(*overrides: str) -> Any:
    return llm_summ.training_parts(llm_summ.load_recipe(Path("recipe.yaml"), overrides))


def test_rows_collation_and_loss_fit_together(here: Path) -> None:
    """What `backward` computes is the model's own loss over the labels of `collate`."""
    parts = parts_of("lora.dropout=0.0")
    examples = next(iter(parts.loader()))
    assert len(examples) == 6
    assert [len(some) for some in parts.micro_batches(examples)] == [4, 2]
    loss = parts.backward(examples)
    inputs, labels = parts.collate(examples)
    assert float(parts.model(**inputs, labels=labels).loss.detach()) == pytest.approx(loss, abs=1e-5)
    assert parts.mean_loss(examples) == pytest.approx(loss, abs=1e-5)
    assert all(parameter.grad is not None for parameter in parts.parameters())
    norm = math.sqrt(sum(float(parameter.grad.norm()) ** 2 for parameter in parts.parameters()))
    assert parts.clip_gradients() == pytest.approx(norm, rel=1e-4)


def test_generating_changes_neither_the_model_nor_the_next_step(here: Path) -> None:
    import torch

    parts = parts_of()
    examples = next(iter(parts.loader()))

    def loss() -> float:
        torch.manual_seed(3)
        if generates:
            with parts.summarizer() as summarizer:
                assert len(summarizer.summarize(parts.dev)) == 4
        assert parts.model.training
        return float(parts.backward(examples))

    generates = False
    alone = loss()
    generates = True
    assert loss() == alone


def test_summaries_are_decoded_as_in_evaluations_or_by_the_recipe(here: Path) -> None:
    texts = []
    parts = parts_of("generate.temperature=1.5", "generate.n=2")
    for evaluation in (True, True, False):
        with parts.summarizer(evaluation=evaluation) as summarizer:
            texts.append([summary.text for summary in summarizer.summarize(parts.dev)])
    assert texts[0] == texts[1] != texts[2]


def test_the_state_is_that_of_the_trained_weights(here: Path) -> None:
    parts = parts_of()
    state = {name: value.clone() for name, value in parts.state_dict().items()}
    assert set(state) == {name for name, value in parts.model.named_parameters() if value.requires_grad}
    for parameter in parts.parameters():
        parameter.data += 1
    parts.load_state_dict(state)
    assert all(value.equal(state[name]) for name, value in parts.state_dict().items())
    state.popitem()
    with raises(InputError) as error:
        parts.load_state_dict(state)
    assert error.message == snapshot(
        "the state has 27 weights, and the model 28 trained ones with other names; load a state of the same recipe"
    )


def test_what_another_loop_would_leave_out_is_refused(here: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        parts_of("train.neftune_alpha=5", "track=[wandb]", "lora.init=eva")
    fields = [line.partition(": has no effect")[0] for line in str(caught.value).splitlines()]
    assert fields == ["train.neftune_alpha", "lora.init: eva", "track"]


def test_a_recipe_that_could_not_train_is_refused(here: Path) -> None:
    with raises(InputError) as error:
        parts_of("prompt.max_answer_tokens=4")
    assert error.message == snapshot(
        "sample:train: 12 rows, the first: completion of 57 tokens, at most 4 allowed; raise "
        "prompt.max_answer_tokens or shorten the summary (train_0, train_1, train_2, train_3, train_4, "
        "train_5, train_6, train_7, train_8, train_9, train_10, train_11)\n"
        "sample:dev: 96 rows, the first: completion of 56 tokens, at most 4 allowed; raise "
        "prompt.max_answer_tokens or shorten the summary (dev_0, dev_1, dev_2, dev_3, dev_5, dev_6, "
        "dev_7, dev_8, dev_9, dev_10, dev_11, dev_12, dev_13, dev_14, dev_15, dev_16, dev_17, dev_18, "
        "dev_20, dev_21, …)\n"
        "no training row is left"
    )
