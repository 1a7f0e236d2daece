"""Check a recipe without the model's weights."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

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
from llm_summ.check.leaks import Leak, dialogues_are, find_leaks, leak_line
from llm_summ.check.lengths import length_lines, length_percentiles, shortened_lines
from llm_summ.check.memory import Memory, device_memory, fit_micro_batch
from llm_summ.check.meta_model import build_meta_model
from llm_summ.check.tokens import token_findings, unknown_ids
from llm_summ.core.compat.torch import is_about_meta_tensors
from llm_summ.core.compat.transformers import is_model_code
from llm_summ.core.engine_registry import AUTO, engine_spec, engines_that
from llm_summ.core.errors import InputError, RecipeError, first_line
from llm_summ.core.optional_packages import quiet_libraries, require_training
from llm_summ.data import Dialogue
from llm_summ.models.base import pick_dtype
from llm_summ.models.base_finding import BaseFinding
from llm_summ.models.device import Device, find_device
from llm_summ.models.start_adapter import find_start
from llm_summ.models.trained_weights import trained_weights
from llm_summ.models.vllm_support import unserved_on_cpu
from llm_summ.plan.duration import TrainingTime, training_time
from llm_summ.plan.training_plan import TrainingPlan, make_plan
from llm_summ.prompt import TokenizedExample
from llm_summ.recipe import Recipe
from llm_summ.runs.run import RUNS, Run

__all__ = ["CheckReport", "check_recipe"]

_MARGIN = 1.15  # accuracy of the estimate: above it a training does not fit, between 1 and it a training may not


@dataclass(frozen=True)
class CheckReport:
    """The result of a check.

    Attributes:
        plan: the training's data and rows.
        device: to train on.
        dtype: to compute in.
        micro_batch_size: rows at a time at the start.
        memory: the estimate; None: there is none.
        available: the device's memory, in bytes; on a CPU a process's share of it.
        leaks: dialogues of dev and test that are in train.
        vllm: why vLLM would refuse the adapter on top of the base; empty if it would accept it.
        failures: reasons for which a training would fail.
        notes: hints that do not prevent a training.
        devices: the number of devices that train together.
        time: the estimate; None: there is none.
        findings: those of the failures and notes that are about the base, with their codes.
        start: the run whose adapter the training starts with; None: it starts with a new one.
    """

    plan: TrainingPlan
    device: Device
    dtype: str
    micro_batch_size: int
    memory: Memory | None
    available: int
    leaks: list[Leak]
    vllm: list[str]
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    devices: int = 1
    time: TrainingTime | None = None
    findings: list[BaseFinding] = field(default_factory=list)
    start: Run | None = None

    def lines(self) -> list[str]:
        """Return a summary for people, without failures and notes."""
        plan, recipe = self.plan, self.plan.recipe
        train = recipe.train
        start = "" if self.start is None else f", from {self.start.adapter}"
        lines = [
            f"base      {recipe.model.base}, {recipe.model.quantization}; "
            f"{trained_weights(recipe).describe(recipe.lora)}{start}",
            f"train     {', '.join(recipe.data.train_sources)}: {len(plan.rows)} rows, {plan.tokens} tokens "
            f"({plan.completion_tokens} trained)",
        ]
        for part, prompts in plan.prompts.items():
            lines.append(f"{part:<9} {getattr(recipe.data, part)}: {len(prompts)} dialogues")
        lines += [f"{'':9} {line}" for line in length_lines(plan)]
        token = plan.tokenizer.convert_ids_to_tokens(plan.renderer.stop_id)
        form = "the model's chat template" if plan.renderer.uses_chat else "plain text"
        lines.append(
            f"prompt    {recipe.prompt.template} ({form}); stop token {token!r} ({plan.renderer.stop_id})"
        )
        if plan.length is not None:
            lines.append(f"length    targets of {', '.join(map(str, plan.length.targets))} characters")
        for part, rows in {"train": plan.rows, **plan.prompts}.items():
            lines += shortened_lines(part, rows, recipe)
        lines.append(f"leaks     {leak_line(plan, self.leaks)}")
        lines.append(
            f"steps     {plan.steps} of {train.batch_size} rows ({self.micro_batch_size} at a time"
            f"{', packed' if train.packing else ''}), learning rate {train.learning_rate:g}, "
            f"{train.optimizer_name(on_gpu=self.device.kind == 'cuda')}"
        )
        lines += [f"evaluate  {_evaluation_line(plan)}", f"save      {_save_line(recipe)}"]
        if self.memory is not None:
            lines.append(
                f"memory    about {_gib(self.memory.total)} of {_gib(self.available)}{_each(self.devices)}: "
                f"{self.memory.parts_line()}"
            )
        if self.time is not None and plan.rows:
            lines.append(f"time      {self.time.line(plan)}")
        lines.append(f"device    {self.device.name} ({self.device.kind}), computing in {self.dtype}")
        lines.append(f"vllm      {_vllm_line(self, unserved_on_cpu(plan.facts))}")
        return lines

    def to_json(self) -> dict[str, Any]:
        """Return the report for programs."""
        plan = self.plan
        return {
            "rows": {"train": len(plan.rows)} | {part: len(rows) for part, rows in plan.prompts.items()},
            "tokens": plan.tokens,
            "answer_tokens": plan.completion_tokens,
            "steps": plan.steps,
            "micro_batch_size": self.micro_batch_size,
            "evaluations": plan.evaluations,
            "lengths": length_percentiles(plan),
            "shortened": {
                part: [row.id for row in rows if row.dropped_turns]
                for part, rows in {"train": plan.rows, **plan.prompts}.items()
            },
            "refused": {
                part: [{"reason": rows.reason, "ids": list(rows.ids)} for rows in refused]
                for part, refused in plan.refused.items()
            },
            "leaks": [
                {"part": leak.part, "id": leak.id, "trained": leak.trained, "similarity": leak.similarity}
                for leak in self.leaks
            ],
            "device": {"kind": self.device.kind, "name": self.device.name, "dtype": self.dtype},
            "seconds": None if self.time is None or not plan.rows else self.time.to_json(plan),
            "memory": None if self.memory is None else self.memory.to_json() | {"available": self.available},
            "vllm_refuses": self.vllm,
            "findings": [asdict(finding) for finding in self.findings],
            "failures": self.failures,
            "notes": self.notes,
        }


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
    started: list[tuple[Device, str, Future[list[Leak]], Future[Any]]] = []
    with ThreadPoolExecutor(max_workers=1) as background:

        def begin(data: dict[str, list[Dialogue]], location: str) -> None:
            device = find_device()
            dtype = pick_dtype(recipe.model, location, device, recipe.model.compute_dtype, training=True)
            leaks = background.submit(find_leaks, data)
            meta_model = background.submit(build_meta_model, recipe, location, dtype)
            started.append((device, dtype, leaks, meta_model))

        plan = make_plan(recipe, begin)
    device, dtype, leaks_future, meta_model = started[0]
    failures, notes = list(plan.problems), list[str]()
    if not plan.rows:
        failures.append("no training row is left")
    # The estimate for a base that is divided among devices assumes that each holds all of it.
    available, memory = device_memory(device) // (1 if device.kind == "cuda" else devices), None
    requested = recipe.train.micro_batch_size
    size, time = 1 if requested == "auto" else min(requested, recipe.train.batch_size), None
    model = _built(recipe, meta_model, failures)
    if plan.rows and model is not None:
        try:
            size, memory = fit_micro_batch(
                recipe, plan.location, model, plan.rows, device, dtype, available, devices
            )
            dense = memory.dequantized > 0
            time = training_time(recipe, model, device, dtype, micro_batch_size=size, dense=dense, devices=devices)
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
    if memory is not None and memory.total > available:
        line = (
            f"memory: about {_gib(memory.total)} are needed, {device.name} has {_gib(available)}{_each(devices)}; "
            f"{_to_save_memory(recipe, size, device)}, or train anyway: sft --force"
        )
        fails = memory.total > _MARGIN * available and not allow_low_memory
        (failures if fails else notes).append(line)
    start = None
    try:
        start = None if runs is None else find_start(recipe, runs, plan.location)
    except InputError as error:
        failures.append(str(error))
    refusals = adapter_refusals(recipe, plan.facts, model)
    generate = recipe.generate
    # With `auto` another engine, which accepts any adapter, may be used.
    named = None if generate.engine == AUTO else engine_spec(generate.engine)
    may_refuse = named is None or (named.can("local") and not named.can("attach_any"))
    if refusals and generate.adapter == "attach" and may_refuse and generate.base_quantization == "none":
        line = f"generate.adapter: attach: vLLM refuses the adapter ({'; '.join(refusals)}); set it to merge"
        (notes if named is None else failures).append(line)
    tokens = token_findings(recipe.model, plan.location, plan.tokenizer, _texts(plan))
    tokens += unknown_ids(recipe.model.base, plan.facts, plan.tokenizer, _all_rows(plan))
    findings = [*plan.base_notes, *tokens, *context_findings(plan)]
    failures += [finding.line for finding in findings if finding.refuses]
    notes += [finding.line for finding in findings if not finding.refuses]
    failures += evaluation_failures(plan)
    notes += completion_place(plan) + longer_than_generated(plan)
    leaks = leaks_future.result()
    if leaks:
        notes.append(
            f"{dialogues_are(len(leaks))} in train as well, so their scores mean nothing; remove them from train"
        )
    notes += changed_topics(plan) + evaluation_notes(plan) + optimizer_notes(recipe, device)
    if run is not None:
        notes += trained_otherwise(recipe, run)
    return CheckReport(
        plan,
        device,
        dtype,
        size,
        memory,
        available,
        leaks,
        refusals,
        failures,
        notes,
        devices,
        time,
        findings,
        start,
    )


def _texts(plan: TrainingPlan) -> Iterator[str]:
    """Yield all dialogues and summaries."""
    for dialogues in plan.data.values():
        for dialogue in dialogues:
            yield dialogue.text
            yield from dialogue.references


def _all_rows(plan: TrainingPlan) -> Iterator[TokenizedExample]:
    yield from plan.rows
    for prompts in plan.prompts.values():
        yield from prompts


def _is_of_a_model(error: BaseException) -> bool:
    """Return whether an error comes from a model's own code, and not from the missing numbers."""
    frames = traceback.extract_tb(error.__traceback__)
    return not is_about_meta_tensors(error) and any(is_model_code(frame.filename) for frame in frames)


def _built(recipe: Recipe, meta_model: Future[Any], failures: list[str]) -> Any:
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


def _evaluation_line(plan: TrainingPlan) -> str:
    """Return when dev is evaluated, and which checkpoint is kept."""
    fields = plan.recipe.evaluation
    if not plan.evaluations:
        return "never; the last checkpoint is the result"
    rows = min(fields.rows or plan.scorable, plan.scorable)
    when = "every epoch" if fields.every == "epoch" else f"every {fields.every} steps"
    picks = {"score": "the best score is kept", "loss": "the best loss is kept", "last": "the last one is kept"}
    stops = "" if fields.patience is None else f"; stops after {fields.patience} evaluations without improvement"
    times = "once" if plan.evaluations == 1 else f"{plan.evaluations} times"
    which = f"{rows} of {len(plan.data['dev'])} dialogues of {plan.recipe.data.dev}"
    return f"{when} ({times}), {which}; {picks[fields.pick]}{stops}"


def _save_line(recipe: Recipe) -> str:
    """Return when checkpoints are saved, and how many are kept."""
    train = recipe.train
    when = [] if train.save_minutes is None else [f"every {train.save_minutes:g} minutes"]
    when += [] if train.save_steps is None else [f"every {train.save_steps} steps"]
    last = "the last" if train.keep_checkpoints == 1 else f"the last {train.keep_checkpoints}"
    return f"{', '.join([*when, 'at evaluations'])}; {last} and the best are kept"


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


def _vllm_line(report: CheckReport, unserved: str) -> str:
    """Return whether vLLM can serve the result of the training."""
    if unserved and report.device.kind == "cpu":
        others = " or ".join(spec.name for spec in engines_that(["local", "attach_any"]))
        return f"cannot serve it here ({unserved}): `generate` uses the engine {others}"
    if report.vllm:
        return f"would refuse the adapter ({'; '.join(report.vllm)}): `generate` merges it into the base first"
    return f"can serve the {trained_weights(report.plan.recipe).noun}"


def _each(devices: int) -> str:
    return f" for each of {devices} processes" if devices > 1 else ""


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
