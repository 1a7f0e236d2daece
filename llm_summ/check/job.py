"""Check a recipe without the model's weights."""

from __future__ import annotations

import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from llm_summ.check.findings import (
    adapter_refusals,
    changed_topics,
    completion_place,
    context_findings,
    evaluation_failures,
    evaluation_notes,
    longer_than_generated,
    optimizer_notes,
    trained_otherwise,
)
from llm_summ.check.leaks import Leak, dialogues_are, find_leaks
from llm_summ.check.memory import Memory, device_memory, fit_micro_batch
from llm_summ.check.meta_model import MetaModel, build_meta_model
from llm_summ.check.report import CheckReport, each_of, gib
from llm_summ.check.tokens import token_findings, unknown_ids
from llm_summ.core.compat.torch import is_about_meta_tensors
from llm_summ.core.compat.transformers import is_model_code
from llm_summ.core.engine_registry import AUTO, engine_spec
from llm_summ.core.errors import InputError, RecipeError, first_line
from llm_summ.core.optional_packages import quiet_libraries, require_training
from llm_summ.data import Dialogue
from llm_summ.models.device import Device
from llm_summ.models.start_adapter import find_start
from llm_summ.models.trained_weights import trained_weights
from llm_summ.plan.duration import training_time
from llm_summ.plan.training_plan import make_plan
from llm_summ.plan.training_setup import TrainingSetup
from llm_summ.recipe import GenerateFields, Recipe
from llm_summ.runs.run import RUNS, Run

__all__ = ["check_recipe"]

_MARGIN = 1.15  # accuracy of the estimate: above it a training does not fit, between 1 and it a training may not


def check_recipe(
    recipe: Recipe,
    run: Run | None = None,
    *,
    allow_low_memory: bool = False,
    devices: int = 1,
    runs: Path | None = RUNS,
) -> CheckReport:
    """Check a recipe; no weights are loaded, and nothing is written.

    Args:
        recipe: the recipe.
        run: a run whose prompt is compared with the recipe's.
        allow_low_memory: whether too little memory is a note instead of a failure.
        devices: the number of devices that train together, each with its share of a step's rows; on a CPU the
            processes share its memory.
        runs: the folder of all runs, which has `train.from_run`; None: `train.from_run` is ignored.

    Raises:
        InputError: no plan can be made; a line for each reason.
    """
    require_training()
    quiet_libraries()
    started: list[tuple[Future[list[Leak]], Future[MetaModel]]] = []
    with ThreadPoolExecutor(max_workers=1) as background:

        def begin(data: dict[str, list[Dialogue]], location: str, dtype: str) -> None:
            leaks = background.submit(find_leaks, data)
            started.append((leaks, background.submit(build_meta_model, recipe, location, dtype)))

        plan = make_plan(recipe, begin)
    leaks, meta_model = started[0]
    failures, notes = plan.failures, list[str]()
    model = _built(recipe, meta_model, failures)
    # The estimate for a base that is divided among devices assumes that each holds all of it.
    available = device_memory(plan.device) // (1 if plan.device.kind == "cuda" else devices)
    setup, memory = TrainingSetup(plan, plan.micro_batch_size), None
    if plan.rows and model is not None:
        setup, memory = _estimate(setup, model, available, devices, failures, notes)
    if memory is not None and memory.total > available:
        fails = memory.total > _MARGIN * available and not allow_low_memory
        (failures if fails else notes).append(_memory_line(setup, memory, available, devices))
    try:
        setup = replace(setup, start=None if runs is None else find_start(recipe, runs, plan.location))
    except InputError as error:
        failures.append(str(error))
    refusals = adapter_refusals(recipe, plan.facts, experts=model is not None and model.adapts_experts)
    if refusals and _attaches_in_vllm(recipe.generate):
        line = f"generate.adapter: attach: vLLM refuses the adapter ({'; '.join(refusals)}); set it to merge"
        # With `auto` another engine, which accepts any adapter, may be used.
        (notes if recipe.generate.engine == AUTO else failures).append(line)
    findings = [*plan.base_notes, *token_findings(recipe.model, plan.location, plan.tokenizer, plan.texts)]
    findings += unknown_ids(recipe.model, plan.facts, plan.tokenizer, plan.all_rows)
    findings += context_findings(plan)
    failures += [finding.line for finding in findings if finding.refuses]
    notes += [finding.line for finding in findings if not finding.refuses]
    failures += evaluation_failures(plan)
    notes += completion_place(plan) + longer_than_generated(plan)
    if found := leaks.result():
        notes.append(
            f"{dialogues_are(len(found))} in train as well, so their scores mean nothing; remove them from train"
        )
    notes += changed_topics(plan) + evaluation_notes(plan) + optimizer_notes(recipe, plan.device)
    if run is not None:
        notes += trained_otherwise(recipe, run)
    return CheckReport(
        setup=setup,
        memory=memory,
        available=available,
        leaks=found,
        vllm=refusals,
        failures=failures,
        notes=notes,
        devices=devices,
        findings=findings,
    )


def _estimate(
    setup: TrainingSetup, model: MetaModel, available: int, devices: int, failures: list[str], notes: list[str]
) -> tuple[TrainingSetup, Memory | None]:
    """Return the setup with the estimated rows at a time and duration, and the memory; None: it is unknown.

    Raises:
        InputError: the machine's speed cannot be measured.
    """
    plan = setup.plan
    recipe, device = plan.recipe, plan.device
    size, memory, time = setup.micro_batch_size, None, None
    try:
        size, memory = fit_micro_batch(recipe, model, plan.rows, device, plan.dtype, available, devices)
        time = training_time(
            recipe,
            model.size,
            model.architecture,
            device,
            plan.dtype,
            micro_batch_size=size,
            dense=memory.dequantized > 0,
            devices=devices,
        )
    except InputError:
        raise
    except (AttributeError, TypeError, LookupError) as error:
        # An error in the model's own code is a failure, unless it comes from the missing numbers.
        (failures if _is_of_a_model(error) else notes).append(
            f"model.base: {recipe.model.base}: a pass through {plan.facts.trained_class} with an adapter "
            f"fails in its own code ({first_line(error)}); take another base, or other lora.targets"
        )
    except Exception as error:  # noqa: BLE001  a model's own code may read numbers, which fake tensors lack
        notes.append(
            f"memory: cannot be estimated: a pass through {plan.facts.trained_class} without weights fails in "
            f"its own code ({first_line(error)}); a training may fail there as well"
        )
    dequantized = 0 if memory is None else memory.dequantized
    return replace(setup, micro_batch_size=size, dequantized=dequantized, time=time), memory


def _attaches_in_vllm(generate: GenerateFields) -> bool:
    """Return whether `generate` may attach the adapter in an engine that does not accept any adapter."""
    spec = None if generate.engine == AUTO else engine_spec(generate.engine)
    may_refuse = spec is None or (spec.can("local") and not spec.can("attach_any"))
    return generate.adapter == "attach" and generate.base_quantization == "none" and may_refuse


def _is_of_a_model(error: BaseException) -> bool:
    """Return whether an error comes from a model's own code, and not from the missing numbers."""
    frames = traceback.extract_tb(error.__traceback__)
    return not is_about_meta_tensors(error) and any(is_model_code(frame.filename) for frame in frames)


def _built(recipe: Recipe, meta_model: Future[MetaModel], failures: list[str]) -> MetaModel | None:
    """Return the model without weights; if it cannot be built, add a line to `failures` and return None.

    Raises:
        InputError: its configuration is unavailable.
    """
    try:
        return meta_model.result()
    except RecipeError as error:
        failures.append(str(error))
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001  a model's own code may raise anything
        failures.append(
            f"model.base: {recipe.model.base}: the model cannot be built from its configuration "
            f"({type(error).__name__}: {first_line(error)}); use another base, or the library versions that it "
            "was made for"
        )
    return None


def _memory_line(setup: TrainingSetup, memory: Memory, available: int, devices: int) -> str:
    """Return that memory is not enough, and what to change."""
    recipe, device = setup.plan.recipe, setup.plan.device
    return (
        f"memory: about {gib(memory.total)} are needed, {device.name} has {gib(available)}{each_of(devices)}; "
        f"{_to_save_memory(recipe, setup.micro_batch_size, device)}, or train anyway: sft --force"
    )


def _to_save_memory(recipe: Recipe, size: int, device: Device) -> str:
    """Return what to change if memory is not enough, the cheapest change first."""
    train = recipe.train
    if size > 1:
        return f"lower train.micro_batch_size (now {size}) or prompt.max_prompt_tokens"
    if not train.checkpoints(on_gpu=device.kind == "cuda"):
        return "set train.gradient_checkpointing to on, or lower prompt.max_prompt_tokens"
    if fewer := trained_weights(recipe).saves_memory:
        return fewer
    if recipe.model.quantization == "none":
        return "set model.quantization to nf4"
    return "lower prompt.max_prompt_tokens, or choose a smaller base"
