"""Failures and notes about a plan, a line for each."""

from __future__ import annotations

from llm_summ.check.tokens import beyond_the_context
from llm_summ.core.errors import InputError, listed
from llm_summ.core.formatting import counted
from llm_summ.models.base_facts import BaseFacts
from llm_summ.models.base_finding import BaseFinding
from llm_summ.models.device import Device
from llm_summ.models.trained_weights import trained_weights
from llm_summ.models.vllm_support import attach_refusals
from llm_summ.plan.training_plan import TrainingPlan
from llm_summ.prompt import load_template
from llm_summ.recipe import Recipe
from llm_summ.runs.run import Run

__all__ = [
    "adapter_refusals",
    "changed_topics",
    "completion_place",
    "context_findings",
    "evaluation_failures",
    "evaluation_notes",
    "longer_than_generated",
    "optimizer_notes",
    "prompt_difference",
    "trained_otherwise",
]


def prompt_difference(recipe: Recipe, run: Run) -> str:
    """Return the differences between a recipe's prompt and a run's; empty if there are none."""
    trained = run.recipe()
    differences = []
    if load_template(recipe.prompt.template).sha256 != load_template(trained.prompt.template).sha256:
        differences.append("its text")
    ours, theirs = recipe.prompt.model_dump(), trained.prompt.model_dump()
    differences += [
        f"{name} {theirs[name]}, here {ours[name]}"
        for name in ours
        if name != "template" and ours[name] != theirs[name]
    ]
    if recipe.model.base != trained.model.base:
        differences.append(f"model.base {trained.model.base}, here {recipe.model.base}")
    return "; ".join(differences)


def trained_otherwise(recipe: Recipe, run: Run) -> list[str]:
    """Return a note if the run was trained with another prompt than the recipe's."""
    try:
        difference = prompt_difference(recipe, run)
    except InputError as error:
        return [f"{run.path}: its prompt cannot be compared ({error})"]
    if not difference:
        return []
    return [f"{run.path}: trained with another prompt ({difference}); `generate` uses the run's prompt"]


def context_findings(plan: TrainingPlan) -> list[BaseFinding]:
    """Return findings for rows, and prompts with their summaries, that are longer than the model's context."""
    base, new = plan.recipe.model.base, plan.recipe.generate.max_new_tokens
    findings = beyond_the_context("train", base, plan.facts, plan.rows, 1)
    for part, rows in plan.prompts.items():
        findings += beyond_the_context(part, base, plan.facts, rows, new)
    return findings


def longer_than_generated(plan: TrainingPlan) -> list[str]:
    """Return a note if trained completions are longer than `generate` allows."""
    new = plan.recipe.generate.max_new_tokens
    longer = [row.id for row in plan.rows if row.target_tokens > new]
    if not longer:
        return []
    return [
        f"generate.max_new_tokens is {new}, and {len(longer)} trained completions are longer: summaries of that "
        f"length will be cut ({listed(longer)})"
    ]


def completion_place(plan: TrainingPlan) -> list[str]:
    """Return a note if the chat template puts text between the prompt and the completion."""
    between = plan.renderer.before_completion
    if not between.strip():
        return []
    return [
        f"the model's chat template puts {between!r} between the prompt and the completion: completions are "
        "trained directly after the prompt; another program may start them elsewhere"
    ]


def changed_topics(plan: TrainingPlan) -> list[str]:
    """Return a note if the prompt shows a topic more or less often in dev or test than in training."""
    if not plan.renderer.template.uses("topic"):
        return []
    shares = {part: sum(d.topic is not None for d in rows) / len(rows) for part, rows in plan.data.items()}
    return [
        f"the prompt shows a topic, which {shares['train']:.0%} of train have and {share:.0%} of {part}: "
        "prompts there differ from the trained ones"
        for part, share in shares.items()
        if abs(share - shares["train"]) > 0.05
    ]


def evaluation_failures(plan: TrainingPlan) -> list[str]:
    """Return a failure if `evaluation.pick` needs summaries that dev does not have."""
    recipe = plan.recipe
    if not _wants_evaluations(recipe) or plan.scorable or recipe.evaluation.pick == "last":
        return []
    return [
        f"evaluation.pick: {recipe.evaluation.pick}: no dialogue of {recipe.data.dev} has a summary; give them "
        "summaries, or set evaluation.every to never"
    ]


def evaluation_notes(plan: TrainingPlan) -> list[str]:
    """Return notes about evaluations that are skipped or have no effect."""
    fields, data = plan.recipe.evaluation, plan.recipe.data
    if fields.every != "never" and data.dev is None:
        return ["data.dev is not set: nothing is evaluated, and the last checkpoint is the result"]
    if not _wants_evaluations(plan.recipe):
        return []
    notes = []
    if bare := [dialogue.id for dialogue in plan.data["dev"] if not dialogue.references]:
        notes.append(
            f"{data.dev}: {len(bare)} of {counted(len(plan.data['dev']), 'dialogue')} "
            f"{'has no summary, and is' if len(bare) == 1 else 'have no summary, and are'} not evaluated "
            f"({listed(bare)})"
        )
    if fields.patience is not None and fields.patience + 1 >= plan.evaluations:
        notes.append(
            f"evaluation.patience is {fields.patience}, and there are {plan.evaluations} evaluations in all: "
            "nothing stops early"
        )
    return notes


def _wants_evaluations(recipe: Recipe) -> bool:
    return recipe.evaluation.every != "never" and recipe.data.dev is not None


def optimizer_notes(recipe: Recipe, device: Device) -> list[str]:
    """Return a note if the optimizer behaves differently on the device."""
    name = recipe.train.optimizer
    if device.kind == "cuda" or not name.startswith("paged_"):
        return []
    return [f"train.optimizer: {name}: a CPU cannot page the optimizer's states; they stay in memory"]


def adapter_refusals(recipe: Recipe, facts: BaseFacts, *, experts: bool) -> list[str]:
    """Return why vLLM would refuse the future adapter; empty if it accepts it, or if no adapter is trained.

    Args:
        recipe: of the training.
        facts: of the base.
        experts: whether the adapter is for fused experts.
    """
    future = trained_weights(recipe).future_adapter(recipe.lora, experts=experts)
    return [] if future is None else attach_refusals(facts, future)
