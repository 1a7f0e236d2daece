"""The live form of the engine vllm: vLLM's own server of requests, which batches them and streams their tokens."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence

from llm_summ.core.errors import EngineDownError, GenerationError
from llm_summ.generate.engine import GREEDY, Decoding, Output, Request
from llm_summ.generate.engines.vllm_options import (
    Limits,
    VllmModel,
    engine_options,
    likeliest,
    loading,
    lora_request,
    proof_params,
    sampling_params,
)
from llm_summ.generate.live import Piece

__all__ = ["VllmLive"]


class VllmLive:
    """Generation with vLLM for many callers. It computes in processes below this one.

    Args:
        model: the model.
        limits: what the engine may use.

    Raises:
        GenerationError: vLLM cannot load the model.
    """

    name = "vllm"

    def __init__(self, model: VllmModel, limits: Limits) -> None:
        options = engine_options(model, limits)
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        with loading(model):
            self._llm = AsyncLLM.from_engine_args(AsyncEngineArgs(disable_log_stats=True, **options))
        self._adapter, self._max_tokens = lora_request(model), limits.max_tokens
        self._names = itertools.count()

    async def next_token(self, prompt_ids: Sequence[int], *, adapter: bool = True) -> dict[int, float]:
        """Return the log-probabilities of the likeliest tokens after a prompt; arguments as for `VllmEngine`."""
        outputs = self._llm.generate(
            {"prompt_token_ids": list(prompt_ids)},
            proof_params(),
            str(next(self._names)),
            lora_request=self._adapter if adapter else None,
        )
        return [likeliest(output) async for output in outputs][-1]

    async def stream(self, request: Request, *, stop_id: int, decoding: Decoding = GREEDY) -> AsyncIterator[Piece]:
        """Yield the pieces of a request. vLLM aborts it when the iterator is closed.

        Raises:
            EngineDownError: the process that computes has ended.
            GenerationError: the prompt is too long.
        """
        from vllm.sampling_params import RequestOutputKind
        from vllm.v1.engine.exceptions import EngineDeadError

        if len(request.prompt_ids) >= self._max_tokens:
            raise GenerationError(
                f"vllm: a prompt of {len(request.prompt_ids)} tokens leaves no room for a text; at most "
                f"{self._max_tokens} tokens fit"
            )
        tokens: dict[int, list[int]] = {}
        outputs = self._llm.generate(
            {"prompt_token_ids": list(request.prompt_ids)},
            sampling_params(request, stop_id, decoding, output_kind=RequestOutputKind.DELTA),
            str(next(self._names)),
            lora_request=self._adapter,
        )
        try:
            async for output in outputs:
                for completion in output.outputs:
                    sample, new = completion.index, list(completion.token_ids)
                    whole = tokens.setdefault(sample, [])
                    whole += new
                    shown = tuple(token for token in new if token != stop_id)
                    if completion.finish_reason is None:
                        yield Piece(sample, shown)
                        continue
                    if completion.finish_reason not in ("stop", "length"):
                        raise GenerationError(f"vllm: aborted a completion ({completion.finish_reason})")
                    reason, logprob = completion.finish_reason, completion.cumulative_logprob
                    yield Piece(sample, shown, output=Output(0, tuple(whole), reason, sample, logprob))
        except EngineDeadError as error:
            raise EngineDownError(f"{self.name}: {self.problem()}") from error

    def problem(self) -> str:
        """Return that the process that computes has ended, if it has."""
        return "the process that computes has ended" if self._llm.errored else ""

    async def close(self) -> None:
        """End the processes."""
        self._llm.shutdown()
