"""What a check found, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from llm_summ.check.leaks import Leak, leak_line
from llm_summ.check.lengths import length_lines, length_percentiles, shortened_lines
from llm_summ.check.memory import Memory
from llm_summ.core.engine_registry import names_of_engines_that
from llm_summ.core.formatting import counted
from llm_summ.models.base_finding import BaseFinding
from llm_summ.models.trained_weights import trained_weights
from llm_summ.models.vllm_support import unserved_kind, unserved_on_cpu
from llm_summ.plan.training_plan import TrainingPlan
from llm_summ.plan.training_setup import TrainingSetup
from llm_summ.recipe import Recipe

__all__ = ["CheckReport", "each_of", "gib"]


@dataclass(frozen=True)
class CheckReport:
    """The result of a check.

    Attributes:
        setup: of the training.
        memory: the estimate; None: there is none.
        available: the device's memory, in bytes; on a CPU a process's share of it.
        leaks: dialogues of dev and test that are in train.
        vllm: why vLLM would refuse the adapter on top of the base; empty if it would accept it.
        failures: reasons for which a training would fail.
        notes: hints that do not prevent a training.
        devices: the number of devices that train together.
        findings: those of the failures and notes that are about the base, with their codes.
    """

    setup: TrainingSetup
    memory: Memory | None
    available: int
    leaks: list[Leak]
    vllm: list[str]
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    devices: int = 1
    findings: list[BaseFinding] = field(default_factory=list)

    @property
    def plan(self) -> TrainingPlan:
        """The training's data, examples, steps and device."""
        return self.setup.plan

    def lines(self) -> list[str]:
        """Return a summary for people, without failures and notes."""
        setup, plan, recipe = self.setup, self.plan, self.plan.recipe
        train, device = recipe.train, plan.device
        start = "" if setup.start is None else f", from {setup.start.adapter}"
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
            f"steps     {plan.steps} of {train.batch_size} rows ({setup.micro_batch_size} at a time"
            f"{', packed' if train.packing else ''}), learning rate {train.learning_rate:g}, "
            f"{train.optimizer_name(on_gpu=device.kind == 'cuda')}"
        )
        lines += [f"evaluate  {_evaluation_line(plan)}", f"save      {_save_line(recipe)}"]
        if self.memory is not None:
            lines.append(
                f"memory    about {gib(self.memory.total)} of {gib(self.available)}{each_of(self.devices)}: "
                f"{self.memory.parts_line()}"
            )
        if setup.time is not None and plan.rows:
            lines.append(f"time      {setup.time.line(plan)}")
        lines.append(f"device    {device.name} ({device.kind}), computing in {plan.dtype}")
        lines.append(f"vllm      {_vllm_line(self)}")
        return lines

    def to_json(self) -> dict[str, Any]:
        """Return the report for programs."""
        setup, plan = self.setup, self.plan
        return {
            "rows": {"train": len(plan.rows)} | {part: len(rows) for part, rows in plan.prompts.items()},
            "tokens": plan.tokens,
            "answer_tokens": plan.completion_tokens,
            "steps": plan.steps,
            "micro_batch_size": setup.micro_batch_size,
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
            "device": {"kind": plan.device.kind, "name": plan.device.name, "dtype": plan.dtype},
            "seconds": None if setup.time is None or not plan.rows else setup.time.to_json(plan),
            "memory": None if self.memory is None else self.memory.to_json() | {"available": self.available},
            "vllm_refuses": self.vllm,
            "findings": [asdict(finding) for finding in self.findings],
            "failures": self.failures,
            "notes": self.notes,
        }


def _evaluation_line(plan: TrainingPlan) -> str:
    """Return when dev is evaluated, and which checkpoint is kept."""
    fields = plan.recipe.evaluation
    if not plan.evaluations:
        return "never; the last checkpoint is the result"
    rows = min(fields.rows or plan.scorable, plan.scorable)
    when = f"every {fields.every}" if isinstance(fields.every, str) else _each(fields.every, "step")
    picks = {"score": "the best score is kept", "loss": "the best loss is kept", "last": "the last one is kept"}
    stops = (
        ""
        if fields.patience is None
        else f"; stops after {counted(fields.patience, 'evaluation')} without improvement"
    )
    times = "once" if plan.evaluations == 1 else f"{plan.evaluations} times"
    which = f"{rows} of {len(plan.data['dev'])} dialogues of {plan.recipe.data.dev}"
    return f"{when} ({times}), {which}; {picks[fields.pick]}{stops}"


def _each(number: float, unit: str) -> str:
    return f"every {unit}" if number == 1 else f"every {number:.15g} {unit}s"


def _save_line(recipe: Recipe) -> str:
    """Return when checkpoints are saved, and how many are kept."""
    train = recipe.train
    when = [] if train.save_minutes is None else [_each(train.save_minutes, "minute")]
    when += [] if train.save_steps is None else [_each(train.save_steps, "step")]
    last = "the last" if train.keep_checkpoints == 1 else f"the last {train.keep_checkpoints}"
    return f"{', '.join([*when, 'at evaluations'])}; {last} and the best are kept"


def _vllm_line(report: CheckReport) -> str:
    """Return whether vLLM can serve the result of the training."""
    facts = report.plan.facts
    unserved = unserved_on_cpu(facts) if report.plan.device.kind == "cpu" else unserved_kind(facts)
    if unserved:
        others = names_of_engines_that("local", "attach_any")
        return f"cannot serve it here ({unserved}): `generate` uses the engine {others}"
    if report.vllm:
        return f"would refuse the adapter ({'; '.join(report.vllm)}): `generate` merges it into the base first"
    return f"can serve the {trained_weights(report.plan.recipe).noun}"


def each_of(devices: int) -> str:
    """Return the words for several processes; empty for one."""
    return f" for each of {devices} processes" if devices > 1 else ""


def gib(count: int) -> str:
    """Return a number of bytes for people."""
    return f"{count / 2**30:.1f} GiB"
