"""What `import llm_summ` offers to other programs: names, types, and no waiting."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from inline_snapshot import snapshot
from messages import raises

import llm_summ

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
CONSUMER = """
from pathlib import Path

import llm_summ
from llm_summ import Dialogue, Turn, load_recipe, score_corpus


def scores(path: Path) -> float:
    dialogues = llm_summ.read_dialogues(str(path))
    texts = [dialogue.references[0] for dialogue in dialogues]
    return score_corpus(texts, [dialogue.references for dialogue in dialogues]).final


def summaries(dialogues: list[Dialogue]) -> list[str]:
    with llm_summ.Summarizer.open("latest", engine="hf") as summarizer:
        return [summary.text for summary in summarizer.summarize(dialogues)]


def train(path: Path) -> float | None:
    return llm_summ.sft(load_recipe(path), runs=Path("runs"), name=None, stem="mine").score


def loop(path: Path) -> float:
    parts: llm_summ.TrainingParts = llm_summ.training_parts(load_recipe(path))
    loss: float = sum(parts.backward(examples) for examples in parts.loader())
    with parts.summarizer() as summarizer:
        texts = [summary.text for summary in summarizer.summarize(parts.dev)]
    return loss + score_corpus(texts, [dialogue.references for dialogue in parts.dev]).final


turn = Turn("#Person1#", "안녕하세요?")
steps: list[str] = llm_summ.post_process(["요약입니다."], [False], ["strip"]).texts
"""


def test_every_public_name_is_there() -> None:
    assert sorted(llm_summ.__all__) == dir(llm_summ)
    for name in llm_summ.__all__:
        assert getattr(llm_summ, name) is not None
    with raises(AttributeError) as error:
        _ = llm_summ.sumarizer
    assert error.message == snapshot("module 'llm_summ' has no attribute 'sumarizer'")


def test_the_import_loads_nothing() -> None:
    code = (
        "import sys, llm_summ; llm_summ.__all__; "
        "loaded = [name for name in sys.modules if name.startswith('llm_summ.')]; "
        "heavy = {'torch', 'numpy', 'pydantic', 'transformers'} & set(sys.modules); print(loaded, heavy)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "[] set()"


def test_a_program_has_types(tmp_path: Path) -> None:
    """mypy strict reads the installed package's own annotations: a wrong use is found, and a right one is not."""
    right, wrong = tmp_path / "consumer.py", tmp_path / "wrong.py"
    right.write_text(CONSUMER, encoding="utf-8")
    wrong.write_text("import llm_summ\n\nscore: str = llm_summ.score_corpus(['a'], [['a']])\n", encoding="utf-8")
    # The repository's settings do not follow the heavy libraries, which would take most of the time.
    options = [
        "--config-file",
        str(PYPROJECT),
        "--strict",
        "--no-error-summary",
        "--cache-dir",
        str(tmp_path / "c"),
    ]
    command = [sys.executable, "-m", "mypy", *options, right.name, wrong.name]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    [line] = done.stdout.splitlines()
    assert done.returncode == 1
    assert line.startswith("wrong.py:3: ")
    assert 'variable has type "str"' in line
