"""A training sees one GPU; its caller sees the same GPUs as before."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from llm_summ.core.errors import InputError
from llm_summ.models.device import one_gpu
from llm_summ.recipe import DataFields, ModelFields, Recipe
from llm_summ.train.job import dry_run, resume, sft

NAME = "CUDA_VISIBLE_DEVICES"


@pytest.mark.parametrize(
    ("before", "inside"),
    [(None, "0"), ("2", "2"), ("3,5", "3"), ("GPU-8932f937,GPU-46a2a4e1", "GPU-8932f937"), ("", ""), ("-1", "-1")],
)
def test_the_first_gpu_is_seen_inside(monkeypatch: pytest.MonkeyPatch, before: str | None, inside: str) -> None:
    monkeypatch.delenv(NAME, raising=False)
    if before is not None:
        monkeypatch.setenv(NAME, before)
    with contextlib.suppress(KeyboardInterrupt), one_gpu():
        assert os.environ[NAME] == inside
        raise KeyboardInterrupt
    assert os.environ.get(NAME) == before


@pytest.mark.parametrize("before", [None, "3,5"])
def test_a_refused_training_leaves_the_environment(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    monkeypatch.delenv(NAME, raising=False)
    if before is not None:
        monkeypatch.setenv(NAME, before)
    recipe = Recipe(model=ModelFields(base="./none"), data=DataFields(train="none.csv"))
    runs = Path("runs")
    for call in (
        lambda: sft(recipe, runs=runs, name=None, stem="a"),
        lambda: dry_run(recipe, runs=runs, name=None, stem="a"),
        lambda: resume(runs, None),
    ):
        with pytest.raises(InputError):
            call()
        assert os.environ.get(NAME) == before
