"""Optional packages: whether they are installed, and the error if they are not."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import warnings
from importlib import metadata

from llm_summ.core.errors import MissingPackageError

__all__ = ["installed_version", "is_installed", "quiet_libraries", "quiet_warnings", "require", "require_training"]

_TRAIN = ("torch", "transformers", "trl", "peft", "bitsandbytes", "datasets", "accelerate")


def is_installed(package: str) -> bool:
    """Return whether a top-level package is installed; it is not imported."""
    return importlib.util.find_spec(package) is not None


def installed_version(distribution: str) -> str | None:
    """Return the version of an installed distribution; None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def require(*packages: str, extra: str, why: str) -> None:
    """Check that packages are installed without importing them.

    Raises:
        MissingPackageError: a package is not installed; the message has the command that installs it.
    """
    for package in packages:
        if not is_installed(package):
            raise MissingPackageError(package, extra, why)


def require_training() -> None:
    """Check for the packages of extra `train`."""
    require(*_TRAIN, extra="train", why="`llm-summ sft`")


def quiet_warnings() -> None:
    """Hide the warnings that libraries print for developers, except with ``--debug`` or ``python -W``."""
    if "--debug" not in sys.argv and not sys.warnoptions:
        warnings.simplefilter("ignore")
        os.environ["PYTHONWARNINGS"] = "ignore"  # in the processes that a library starts, such as vLLM's


def quiet_libraries() -> None:
    """Turn off the libraries' progress bars, notices and usage reports, and let PyTorch use large pages.

    Must be called before the libraries are imported.
    """
    defaults = {
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
        "TRL_EXPERIMENTAL_SILENCE": "1",
        "BITSANDBYTES_NOWELCOME": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        "GLOO_LOG_LEVEL": "ERROR",  # each connection that it tries again would be a warning
        # Large tensors on a CPU in pages of 2 MiB: the logits of a vocabulary of 262,144 are hundreds of
        # megabytes, which are mapped again at every step, page by page. It is read when the first tensor is made.
        "THP_MEM_ALLOC_ENABLE": "1",
    }
    if not sys.stderr.isatty():
        defaults["TQDM_DISABLE"] = "1"  # a bar in a log file is thousands of characters on one line
    if "OMP_WAIT_POLICY" not in os.environ:
        # A thread that waits for work spins for about 0.1 ms, then sleeps. Threads that slept at once would be
        # woken 30,000 times a step, which took 1.7 times as long; threads that never slept would keep another
        # process on the same cores from its work, and both took ten times as long.
        defaults["GOMP_SPINCOUNT"] = "5000"
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    # Its advice on kernels from a hub is hidden; its errors are still shown.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
