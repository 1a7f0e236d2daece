"""Everything about a recipe that can be known without the model's weights."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from llm_summ.check.activations import build_skeleton
from llm_summ.check.memory import Memory, device_memory, estimate_memory
from llm_summ.check.plan import TrainingPlan, make_plan
from llm_summ.data import Dialogue
from llm_summ.data.near import near_duplicates
from llm_summ.errors import InputError, RecipeError, listed
from llm_summ.model.base import context_length, pick_dtype
from llm_summ.model.device import Device, find_device
from llm_summ.model.servable import vllm_refusals
from llm_summ.packages import quiet_libraries, require_training
from llm_summ.prompt import Row, load_template
from llm_summ.recipe import Recipe
from llm_summ.run import Run

__all__ = ["Leak", "Report", "check_recipe", "prompt_difference"]

_PERCENTILES = (50, 90, 99, 100)
_MARGIN = 1.15  # the estimate is that good: beyond it a training would not fit, below it it may not


@dataclass(frozen=True, slots=True)
class Leak:
    """A dialogue that is asked about and was trained.

    Attributes:
        part: "dev" or "test".
        id: its id there.
        trained: the id of its near-duplicate among the training rows.
        similarity: 0 to 1; 1 is the same dialogue.
    """

    part: str
    id: str
    trained: str
    similarity: float


@dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
        plan: the training's data and rows.
        device: where it would run.
        dtype: what it would compute in.
        memory: what it would need.
        available: the device's memory, in bytes.
        leaks: dialogues of dev and test that stand in train.
        vllm: why vLLM would not take the adapter beside the base's weights; empty if it would.
        failures: why a run would fail.
        notes: what one should know.
    """

    plan: TrainingPlan
    device: Device
    dtype: str
    memory: Memory | None
    available: int
    leaks: list[Leak]
    vllm: list[str]
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """A summary for people, without failures and notes."""
        plan, recipe = self.plan, self.plan.recipe
        train, lora = recipe.train, recipe.lora
        lines = [
            f"base      {recipe.model.base}, {recipe.model.quantization}; LoRA r {lora.r}, alpha {lora.alpha}",
            f"train     {', '.join(recipe.data.train_sources)}: {len(plan.rows)} rows, {plan.tokens} tokens "
            f"({plan.answer_tokens} learnt)",
        ]
        for part, prompts in plan.prompts.items():
            lines.append(f"{part:<9} {getattr(recipe.data, part)}: {len(prompts)} dialogues")
        lines += [f"{'':9} {line}" for line in _length_lines(plan)]
        token = plan.tokenizer.convert_ids_to_tokens(plan.renderer.stop_id)
        form = "the model's chat template" if plan.renderer.uses_chat else "plain text"
        lines.append(
            f"prompt    {recipe.prompt.template} ({form}); stop token {token!r} ({plan.renderer.stop_id})"
        )
        if plan.length is not None:
            lines.append(f"length    targets of {', '.join(map(str, plan.length.targets))} characters")
        for part, rows in {"train": plan.rows, **plan.prompts}.items():
            lines += _shortened(part, rows, recipe)
        lines.append(f"leaks     {_leak_line(plan, self.leaks)}")
        lines.append(
            f"steps     {plan.steps} of {train.batch_size} rows ({train.micro_batch_size} at a time), "
            f"learning rate {train.learning_rate:g}"
        )
        if self.memory is not None:
            lines.append(
                f"memory    about {_gib(self.memory.total)} of {_gib(self.available)}: {self.memory.parts_line()}"
            )
        lines.append(f"device    {self.device.name} ({self.device.kind}), computing in {self.dtype}")
        lines.append(f"vllm      {_vllm_line(self.vllm)}")
        return lines

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        plan = self.plan
        return {
            "rows": {"train": len(plan.rows)} | {part: len(rows) for part, rows in plan.prompts.items()},
            "tokens": plan.tokens,
            "answer_tokens": plan.answer_tokens,
            "steps": plan.steps,
            "lengths": _lengths(plan),
            "shortened": {
                part: [row.id for row in rows if row.dropped_turns]
                for part, rows in {"train": plan.rows, **plan.prompts}.items()
            },
            "refused": {
                part: [{"reason": one.reason, "ids": list(one.ids)} for one in found]
                for part, found in plan.refused.items()
            },
            "leaks": [
                {"part": leak.part, "id": leak.id, "trained": leak.trained, "similarity": leak.similarity}
                for leak in self.leaks
            ],
            "device": {"kind": self.device.kind, "name": self.device.name, "dtype": self.dtype},
            "memory": None if self.memory is None else self.memory.to_json() | {"available": self.available},
            "vllm_refuses": self.vllm,
            "failures": self.failures,
            "notes": self.notes,
        }


@contextlib.contextmanager
def _in_a_hurry() -> Iterator[None]:
    """Leave cycles of garbage alone for a while, and let threads take turns more often.

    A vocabulary of 262,144 and 12,457 rows are millions of objects that stay; looking through them again and again
    took a fifth of a check. And a thread that tokenizes gives Python's lock away for a tenth of a millisecond at a
    time, but by default waits five to get it back.
    """
    was_on, interval = gc.isenabled(), sys.getswitchinterval()
    gc.disable()
    sys.setswitchinterval(1e-4)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        if was_on:
            gc.enable()


@_in_a_hurry()
def check_recipe(recipe: Recipe, run: Run | None = None, *, memory_may_not_do: bool = False) -> Report:
    """Check a recipe; no weights are loaded, and nothing is written.

    Args:
        recipe: the recipe.
        run: a run whose prompt is compared with the recipe's.
        memory_may_not_do: whether too little memory is a note, and no failure.

    Raises:
        InputError: so much is wrong that there is no plan; a line for each reason.
    """
    require_training()
    quiet_libraries()
    begun: list[tuple[Device, str, Future[list[Leak]], Future[Any]]] = []
    with ThreadPoolExecutor(max_workers=1) as beside:

        def begin(data: dict[str, list[Dialogue]], location: str) -> None:
            device = find_device()
            dtype = pick_dtype(recipe.model, location, device, recipe.model.compute_dtype)
            leaks = beside.submit(_leaks, data)
            begun.append((device, dtype, leaks, beside.submit(build_skeleton, recipe, location, dtype)))

        plan = make_plan(recipe, begin)
    device, dtype, found_leaks, skeleton = begun[0]
    failures, notes = list(plan.problems), list[str]()
    if not plan.rows:
        failures.append("no training row is left")
    memory, available = None, device_memory(device)
    if plan.rows:
        try:
            memory = estimate_memory(recipe, plan.location, skeleton.result(), plan.rows, device, dtype)
        except RecipeError as error:
            failures.append(str(error))
    if memory is not None and memory.total > available:
        line = (
            f"memory: about {_gib(memory.total)} are needed, {device.name} has {_gib(available)}; lower "
            f"train.micro_batch_size (now {recipe.train.micro_batch_size}) or prompt.max_prompt_tokens, or train "
            "anyway: sft --force"
        )
        fails = memory.total > _MARGIN * available and not memory_may_not_do
        (failures if fails else notes).append(line)
    lora = {"r": recipe.lora.r, "lora_alpha": recipe.lora.alpha, "target_modules": recipe.lora.targets}
    refusals = vllm_refusals(lora)
    generate = recipe.generate
    # With nf4 or where vLLM cannot be used, the engine hf attaches what vLLM refuses.
    if (
        refusals
        and generate.adapter == "attach"
        and generate.engine != "hf"
        and generate.base_quantization == "none"
    ):
        line = f"generate.adapter: attach: vLLM refuses the adapter ({'; '.join(refusals)}); set it to merge"
        (failures if generate.engine == "vllm" else notes).append(line)
    failures += _beyond_the_context(plan)
    notes += _longer_than_generated(plan)
    leaks = found_leaks.result()
    if leaks:
        notes.append(f"{_dialogues(len(leaks))} in train as well: their scores say nothing; remove those rows")
    notes += _topics(plan)
    if run is not None:
        notes += _trained_otherwise(recipe, run)
    return Report(plan, device, dtype, memory, available, leaks, refusals, failures, notes)


def prompt_difference(recipe: Recipe, run: Run) -> str:
    """In what the prompt of a recipe differs from a trained one; empty if in nothing."""
    trained = run.recipe()
    found = []
    if load_template(recipe.prompt.template).sha256 != load_template(trained.prompt.template).sha256:
        found.append("its text")
    ours, theirs = recipe.prompt.model_dump(), trained.prompt.model_dump()
    found += [
        f"{name} {theirs[name]}, here {ours[name]}"
        for name in ours
        if name != "template" and ours[name] != theirs[name]
    ]
    if recipe.model.base != trained.model.base:
        found.append(f"model.base {trained.model.base}, here {recipe.model.base}")
    return "; ".join(found)


def _trained_otherwise(recipe: Recipe, run: Run) -> list[str]:
    try:
        difference = prompt_difference(recipe, run)
    except InputError as error:
        return [f"{run.path}: its prompt cannot be compared ({error})"]
    if not difference:
        return []
    return [f"{run.path}: trained with another prompt ({difference}); `generate` asks with that one"]


def _beyond_the_context(plan: TrainingPlan) -> list[str]:
    """Rows and prompts with their answers that are longer than what the model can look at."""
    limit = context_length(plan.recipe.model, plan.location)
    if limit is None:
        return []
    new = plan.recipe.generate.max_new_tokens
    failures = []
    for part, rows in {"train": plan.rows, **plan.prompts}.items():
        extra = 1 if part == "train" else new
        over = [row for row in rows if len(row.prompt_ids) + len(row.answer_ids) + extra > limit]
        if over:
            longest = max(len(row.prompt_ids) + len(row.answer_ids) + extra for row in over)
            with_answer = "" if part == "train" else f" with {new} new ones"
            failures.append(
                f"{part}: {len(over)} rows of up to {longest} tokens{with_answer}; {plan.recipe.model.base} takes "
                f"{limit}; lower prompt.max_prompt_tokens ({listed([row.id for row in over])})"
            )
    return failures


def _longer_than_generated(plan: TrainingPlan) -> list[str]:
    new = plan.recipe.generate.max_new_tokens
    longer = [row.id for row in plan.rows if len(row.answer_ids) + 1 > new]
    if not longer:
        return []
    return [
        f"generate.max_new_tokens is {new}, and {len(longer)} trained answers are longer: outputs of that length "
        f"will be cut ({listed(longer)})"
    ]


def _leaks(data: dict[str, list[Dialogue]]) -> list[Leak]:
    """The nearest training row of every dialogue of dev and test that has one."""
    train = data["train"]
    found: dict[tuple[str, str], Leak] = {}
    others = [(part, dialogue) for part in ("dev", "test") for dialogue in data.get(part, ())]
    if not others:
        return []
    for pair in near_duplicates([dialogue.text for dialogue in (*train, *(other for _, other in others))]):
        if pair.first < len(train) <= pair.second:
            part, dialogue = others[pair.second - len(train)]
            known = found.get((part, dialogue.id))
            if known is None or known.similarity < pair.similarity:
                found[part, dialogue.id] = Leak(part, dialogue.id, train[pair.first].id, pair.similarity)
    return list(found.values())


def _leak_line(plan: TrainingPlan, leaks: Sequence[Leak]) -> str:
    if not plan.prompts:
        return "not looked for: the recipe names neither dev nor test"
    if not leaks:
        return f"none: no dialogue of {' and '.join(plan.prompts)} stands in train"
    shown = [f"{leak.id} of {leak.part} is {leak.trained} ({leak.similarity:.0%})" for leak in leaks]
    return f"{_dialogues(len(leaks))} in train: {listed(shown)}"


def _dialogues(count: int) -> str:
    return "1 dialogue stands" if count == 1 else f"{count} dialogues stand"


def _topics(plan: TrainingPlan) -> list[str]:
    """A prompt that shows a topic in training and none afterwards is another prompt."""
    if not plan.renderer.template.uses("topic"):
        return []
    shares = {part: sum(d.topic is not None for d in rows) / len(rows) for part, rows in plan.data.items()}
    return [
        f"the prompt shows a topic, which {shares['train']:.0%} of train have and {share:.0%} of {part}: "
        "`generate` asks there what was not trained"
        for part, share in shares.items()
        if abs(share - shares["train"]) > 0.05
    ]


def _lengths(plan: TrainingPlan) -> dict[str, dict[str, int]]:
    """Percentiles of token counts; a percentile is a length that occurs (nearest rank)."""
    measures = {
        "row": [len(row.prompt_ids) + len(row.answer_ids) + 1 for row in plan.rows],
        "prompt": [len(row.prompt_ids) for row in plan.rows],
        "answer": [len(row.answer_ids) + 1 for row in plan.rows],
    }
    measures |= {f"prompt of {part}": [len(row.prompt_ids) for row in rows] for part, rows in plan.prompts.items()}
    return {
        name: {str(share): _percentile(sorted(counts), share) for share in _PERCENTILES}
        for name, counts in measures.items()
        if counts
    }


def _percentile(ordered: Sequence[int], share: int) -> int:
    return ordered[max(0, -(-share * len(ordered) // 100) - 1)]


def _length_lines(plan: TrainingPlan) -> list[str]:
    lines = [f"{'tokens':<16}{'median':>8}{'90 %':>8}{'99 %':>8}{'longest':>8}"]
    for name, counts in _lengths(plan).items():
        lines.append(f"{name:<16}" + "".join(f"{count:>8}" for count in counts.values()))
    return lines


def _shortened(part: str, rows: Sequence[Row], recipe: Recipe) -> list[str]:
    """What prompts lost to fit their budget: turns, and before that few-shot examples."""
    prompt = recipe.prompt
    lines = []
    if turns := [row.id for row in rows if row.dropped_turns]:
        lines.append(
            f"shortened {part}: {len(turns)} prompts lost turns ({prompt.truncation}) to fit "
            f"{prompt.max_prompt_tokens} tokens: {listed(turns)}"
        )
    if fewer := [row.id for row in rows if row.examples < prompt.examples]:
        lines.append(
            f"examples  {part}: {len(fewer)} prompts show fewer than {prompt.examples} (no more fit into "
            f"{prompt.max_examples_tokens} tokens of examples and {prompt.max_prompt_tokens} in all, or there are "
            f"no more): {listed(fewer)}"
        )
    return lines


def _vllm_line(refusals: Sequence[str]) -> str:
    if refusals:
        return f"would refuse the adapter ({'; '.join(refusals)}): `generate` merges it into the base first"
    return "can serve the adapter"


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
