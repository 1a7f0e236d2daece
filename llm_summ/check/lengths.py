"""Lengths of the rows, and the rows that were shortened."""

from __future__ import annotations

from collections.abc import Sequence

from llm_summ.core.errors import listed
from llm_summ.core.formatting import counted
from llm_summ.plan.training_plan import TrainingPlan
from llm_summ.prompt import TokenizedExample
from llm_summ.recipe import Recipe

__all__ = ["length_lines", "length_percentiles", "shortened_lines"]

_PERCENTILES = (50, 90, 99, 100)


def length_percentiles(plan: TrainingPlan) -> dict[str, dict[str, int]]:
    """Return percentiles of token counts; a percentile is a length that occurs (nearest rank)."""
    measures = {
        "row": [len(row) for row in plan.rows],
        "prompt": [len(row.prompt_ids) for row in plan.rows],
        "answer": [row.target_tokens for row in plan.rows],
    }
    measures |= {f"prompt of {part}": [len(row.prompt_ids) for row in rows] for part, rows in plan.prompts.items()}
    return {
        name: {str(share): _percentile(sorted(counts), share) for share in _PERCENTILES}
        for name, counts in measures.items()
        if counts
    }


def _percentile(ordered: Sequence[int], share: int) -> int:
    return ordered[max(0, -(-share * len(ordered) // 100) - 1)]


def length_lines(plan: TrainingPlan) -> list[str]:
    """Return the percentiles as a table for people."""
    lines = [f"{'tokens':<16}{'median':>8}{'90 %':>8}{'99 %':>8}{'longest':>8}"]
    for name, counts in length_percentiles(plan).items():
        lines.append(f"{name:<16}" + "".join(f"{count:>8}" for count in counts.values()))
    return lines


def shortened_lines(part: str, rows: Sequence[TokenizedExample], recipe: Recipe) -> list[str]:
    """Return lines about prompts that lost turns or few-shot examples to fit their limit of tokens."""
    prompt = recipe.prompt
    lines = []
    if turns := [row.id for row in rows if row.dropped_turns]:
        lines.append(
            f"shortened {part}: {counted(len(turns), 'prompt')} lost turns ({prompt.truncation}) to fit "
            f"{prompt.max_prompt_tokens} tokens: {listed(turns)}"
        )
    if fewer := [row.id for row in rows if row.examples < prompt.examples]:
        show = "show" if len(fewer) > 1 else "shows"
        lines.append(
            f"examples  {part}: {counted(len(fewer), 'prompt')} {show} fewer than {prompt.examples} (no more fit "
            f"into {prompt.max_examples_tokens} tokens of examples and {prompt.max_prompt_tokens} in all, or "
            f"there are no more): {listed(fewer)}"
        )
    return lines
