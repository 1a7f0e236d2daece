"""What both forms of the engine vllm give to vLLM: the options of an engine, and the parameters of a request."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_summ.core.compat.vllm import LORA_RANKS
from llm_summ.core.errors import GenerationError
from llm_summ.generate.engine import Decoding, Request
from llm_summ.generate.proof import LIKELIEST

__all__ = [
    "Limits",
    "VllmModel",
    "engine_options",
    "likeliest",
    "loading",
    "lora_request",
    "proof_params",
    "sampling_params",
    "vllm_runs_on_cpu",
]

_CPU_CACHE_GIB = "2"
_CPU_SEQUENCES = 32

# vLLM reads its level after its first notices: on a CPU, that Triton has no code for CPUs.
logging.getLogger("vllm").setLevel(logging.ERROR)


def vllm_runs_on_cpu() -> bool:
    """Return whether the installed vLLM computes on the CPU."""
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())


@dataclass(frozen=True, slots=True)
class VllmModel:
    """A model that vLLM loads.

    Attributes:
        location: a folder or hub id of the (merged or base) model.
        dtype: name of the dtype.
        revision: the hub revision, or None.
        adapter: a LoRA folder to attach, with its rank; None for a merged or an untuned model.
        trust_remote_code: whether the model's own code may run.
    """

    location: str
    dtype: str
    revision: str | None = None
    adapter: tuple[Path, int] | None = None
    trust_remote_code: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What an engine may use.

    Attributes:
        max_tokens: tokens of the longest prompt and its completion.
        gpu_memory: the share of the GPU's memory.
        tensor_parallel: GPUs that the model is divided among.
        seed: the seed of the engine.
    """

    max_tokens: int
    gpu_memory: float
    tensor_parallel: int = 1
    seed: int = 0


def engine_options(model: VllmModel, limits: Limits) -> dict[str, Any]:
    """Return the arguments of vLLM's engine, and set its environment.

    Raises:
        GenerationError: the adapter's rank is too large.
    """
    options: dict[str, Any] = {
        "model": model.location,
        "revision": model.revision,
        "dtype": model.dtype,
        "max_model_len": limits.max_tokens,
        # "vllm": vLLM's own defaults, not the sampling settings of the model's file
        "generation_config": "vllm",
        "trust_remote_code": model.trust_remote_code,
        "seed": limits.seed,
        "use_tqdm_on_load": False,
    }
    if vllm_runs_on_cpu():
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", _CPU_CACHE_GIB)
        # vLLM 0.32 rewinds the random generator of a prompt that is computed in several steps, which fails on a
        # CPU: its process would end, with all requests, when the prompts of candidates need more than one step. It
        # warns that models are not tested without such steps; a long prompt now delays the texts of others.
        options |= {"enforce_eager": True, "max_num_seqs": _CPU_SEQUENCES, "enable_chunked_prefill": False}
    else:
        options |= {"gpu_memory_utilization": limits.gpu_memory, "tensor_parallel_size": limits.tensor_parallel}
    if model.adapter is not None:
        rank = next((rank for rank in LORA_RANKS if rank >= model.adapter[1]), None)
        if rank is None:
            raise GenerationError(
                f"vllm: LoRA rank {model.adapter[1]} is over {LORA_RANKS[-1]}; "
                "merge it: --set generate.adapter=merge"
            )
        options |= {"enable_lora": True, "max_lora_rank": rank, "max_loras": 1}
    return options


@contextlib.contextmanager
def loading(model: VllmModel) -> Iterator[None]:
    """Shorten the errors of a start.

    Raises:
        GenerationError: vLLM cannot load the model.
    """
    try:
        yield
    except Exception as error:  # vLLM's own errors have no common ancestor below Exception
        reason = " ".join(str(error).split())[:300] or repr(error)
        raise GenerationError(
            f"vllm: cannot load {model.location} ({reason}); try --engine hf, or see more with --debug"
        ) from error


def lora_request(model: VllmModel) -> Any:
    """Return vLLM's request for the attached adapter; None if there is none."""
    if model.adapter is None:
        return None
    from vllm.lora.request import LoRARequest

    return LoRARequest("adapter", 1, str(model.adapter[0]))


def sampling_params(request: Request, stop_id: int, decoding: Decoding, **more: Any) -> Any:
    """Return vLLM's sampling parameters of a request; `more` are further ones."""
    from vllm import SamplingParams

    return SamplingParams(
        n=decoding.n,
        temperature=decoding.temperature,
        top_p=decoding.top_p,
        top_k=decoding.top_k,
        seed=request.seed if decoding.temperature else None,
        max_tokens=request.max_new_tokens,
        min_tokens=decoding.min_new_tokens,
        stop_token_ids=[stop_id],
        ignore_eos=True,  # only the stop id ends a completion, as in every engine
        logprobs=0,  # of the chosen token only
        detokenize=False,
        **more,
    )


def proof_params() -> Any:
    """Return vLLM's sampling parameters for the likeliest next tokens."""
    from vllm import SamplingParams

    return SamplingParams(temperature=0.0, max_tokens=1, logprobs=LIKELIEST, detokenize=False)


def likeliest(output: Any) -> dict[int, float]:
    """Return the log-probabilities in vLLM's output for `proof_params`."""
    logprobs = output.outputs[0].logprobs or [{}]
    return {token: float(entry.logprob) for token, entry in logprobs[0].items()}
