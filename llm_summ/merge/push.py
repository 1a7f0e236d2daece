"""Upload of a merged folder to a model hub, into a private repository unless a public one is requested."""

from __future__ import annotations

import re
from pathlib import Path

from llm_summ.core.compat.hub import connection_error
from llm_summ.core.errors import InputError, LlmSummError, first_line
from llm_summ.core.formatting import shown
from llm_summ.runs.run import Run

__all__ = ["check_push", "push"]

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


def check_push(name: str) -> None:
    """Check, without the network, the repository's name and that there is a token.

    Raises:
        InputError: the name is invalid, the token is missing, or the hub's client is offline.
    """
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    if not _NAME.fullmatch(name) or "--" in name or ".." in name:
        raise InputError(
            f"--push {shown(name)}: not a repository's name; expected owner/name, such as team/summary-qwen3"
        )
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise InputError(
            f"--push {shown(name)}: not a repository's name ({first_line(error)}); choose another"
        ) from error
    if constants.is_offline_mode():
        raise InputError(
            f"--push {name}: the hub's client is offline (HF_HUB_OFFLINE is set); unset that variable"
        )
    if get_token() is None:
        raise InputError(f"--push {name}: no token for the hub; set HF_TOKEN, or log in: hf auth login")


def push(folder: Path, name: str, *, public: bool) -> str:
    """Upload a folder to a model repository, which is created if it does not exist.

    The examples of a few-shot prompt are not uploaded: they are training data.

    Args:
        folder: the folder to upload.
        name: ``owner/name``.
        public: whether the repository is public. An existing repository is not changed: if its visibility differs,
            nothing is uploaded.

    Returns:
        the repository's address.

    Raises:
        InputError: the repository exists, and its visibility is not the requested one.
        LlmSummError: the hub cannot be reached, or refuses the upload; the folder is unchanged.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi()
    try:
        url = api.create_repo(name, private=not public, exist_ok=True)
        private = bool(api.model_info(name).private)
        if private == public:
            kind, advice = ("private", "remove --public") if private else ("public", "add --public")
            raise InputError(
                f"--push {name}: exists and is {kind}, so nothing was uploaded; {advice}, or choose another name"
            )
        api.upload_folder(
            repo_id=name,
            folder_path=folder,
            commit_message="Merged by llm-summ",
            ignore_patterns=[Run(folder).examples_path.name],
        )
    except HfHubHTTPError as error:
        reasons = {
            401: "the hub rejects the token; set a valid HF_TOKEN, or log in: hf auth login",
            403: "the token has no write access there; create one with write access, or choose another owner",
        }
        status = error.response.status_code
        raise _not_pushed(folder, name, reasons.get(status, f"HTTP {status}: {first_line(error)}")) from error
    except (connection_error(), OSError) as error:
        raise _not_pushed(folder, name, f"the hub cannot be reached ({first_line(error)})") from error
    return str(url)


def _not_pushed(folder: Path, name: str, reason: str) -> LlmSummError:
    return LlmSummError(
        f"--push {name}: {reason}; {folder} is kept, and the same command with --no-verify tries the upload again"
    )
