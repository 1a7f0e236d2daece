"""Data parallel generation: several workers of an engine, each in its own process."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from llm_summ.core.errors import EngineError, GenerationError, LlmSummError
from llm_summ.core.terminal import is_shown
from llm_summ.generate.engine import GREEDY, Decoding, Engine, Key, Output, Request, unfinished
from llm_summ.generate.placement.worker import Likeliest, Question, Work, work
from llm_summ.generate.proof import LogProbs

__all__ = ["ParallelEngine", "worker_environments"]

_PATIENCE = 10.0  # seconds that a worker has to end by itself
_LOOK = 1.0  # seconds between checks whether a worker has died


def worker_environments(workers: int, gpus_each: int, gpus: int) -> list[dict[str, str]]:
    """Return the environment variables of each worker: its own GPUs, or its share of the CPU's cores.

    Args:
        workers: number of workers.
        gpus_each: GPUs that each of them is divided among.
        gpus: GPUs of this machine; 0: the workers compute on the CPU.

    Raises:
        EngineError: there are too few GPUs or cores.
    """
    if gpus:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = visible.split(",")[:gpus] if visible else [str(number) for number in range(gpus)]
        if gpus_each > len(names):
            raise EngineError(
                f"generate.tensor_parallel {gpus_each}: needs {gpus_each} GPUs, found {len(names)}; set it to "
                f"{len(names)} or less"
            )
        if workers * gpus_each > len(names):
            each = f" with tensor_parallel {gpus_each}" if gpus_each > 1 else ""
            raise EngineError(
                f"generate.data_parallel {workers}{each}: needs {workers * gpus_each} GPUs, found {len(names)}; "
                f"set it to {len(names) // gpus_each} or less"
            )
        shares = [names[index * gpus_each : (index + 1) * gpus_each] for index in range(workers)]
        # vLLM must run in the worker's own process: a child process would outlive a kill of the worker.
        in_process = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
        return [{"CUDA_VISIBLE_DEVICES": ",".join(share)} | in_process for share in shares]
    cores = sorted(os.sched_getaffinity(0))
    if workers > len(cores):
        raise EngineError(
            f"generate.data_parallel {workers}: this machine has {len(cores)} cores; set it to that or less"
        )
    size = len(cores) // workers
    shares = [list(map(str, cores[index * size : (index + 1) * size])) for index in range(workers)]
    return [{"OMP_NUM_THREADS": str(size), "VLLM_CPU_OMP_THREADS_BIND": ",".join(share)} for share in shares]


@dataclass(slots=True)
class _Worker:
    """A worker process; `share` are the indexes of its requests."""

    process: BaseProcess
    pipe: Connection
    share: list[int]


class ParallelEngine:
    """Several workers of one engine. Requests are distributed by the length of their prompts, to balance the work.

    Args:
        name: the engine's.
        start: starts the engine of one worker; it is called in another process, so it has to be picklable.
        environments: environment variables of each worker, in addition to those of this process.

    Raises:
        LlmSummError: raised by `start`.
        GenerationError: a worker does not start for another reason.
    """

    def __init__(self, name: str, start: Callable[[], Engine], environments: Sequence[Mapping[str, str]]) -> None:
        self.name = name
        self._workers: list[_Worker] = []
        context = multiprocessing.get_context("spawn")
        try:
            for environment in environments:
                ours, theirs = context.Pipe()
                process = context.Process(target=work, args=(theirs, start, is_shown()))
                with _environment(environment):  # before the worker's libraries read it
                    process.start()
                theirs.close()
                self._workers.append(_Worker(process, ours, []))
            for _ in self._messages(list(self._workers)):
                pass
        except BaseException:
            self._end(0)
            raise

    def generate(
        self,
        requests: Sequence[Request],
        *,
        stop_id: int,
        decoding: Decoding = GREEDY,
        done: Collection[Key] = (),
    ) -> Iterator[Output]:
        """Yield outputs as workers finish them. A caller that stops before the end closes the engine.

        Raises:
            LlmSummError: raised by a worker; finished outputs of the others are yielded before it.
            GenerationError: a worker died, or the engine was closed.
        """
        if not self._workers:
            raise GenerationError(f"{self.name}: was closed; start it again")
        order = sorted(range(len(requests)), key=lambda index: len(requests[index].prompt_ids), reverse=True)
        busy = []
        for number, worker in enumerate(self._workers):
            worker.share = order[number :: len(self._workers)]
            pairs = ((index, sample) for index in range(len(worker.share)) for sample in range(decoding.n))
            own_done = frozenset(
                (index, sample) for index, sample in pairs if (worker.share[index], sample) in done
            )
            if unfinished(len(worker.share), decoding.n, own_done):
                # `_take` reports a worker that has died.
                with contextlib.suppress(OSError):
                    worker.pipe.send(
                        Work([requests[index] for index in worker.share], stop_id, decoding, own_done)
                    )
                busy.append(worker)
        try:
            for worker, output in self._messages(busy):
                if isinstance(output, Output):
                    yield replace(output, index=worker.share[output.index])
        finally:
            if busy:
                self._end(0)  # outputs still in the pipes must not be mixed with those of later requests

    def next_tokens(self, prompts: Sequence[Sequence[int]], *, adapter: bool = True) -> dict[str, list[LogProbs]]:
        """Return the likeliest next tokens after each prompt, by the worker's name, from all workers at once.

        Args:
            prompts: their ids.
            adapter: whether an attached adapter is used.

        Raises:
            LlmSummError: raised by a worker, or it died; the engine is closed.
        """
        answers: dict[str, list[LogProbs] | None] = {self._name(worker): None for worker in self._workers}
        try:
            for worker in self._workers:
                # `_take` reports a worker that has died.
                with contextlib.suppress(OSError):
                    worker.pipe.send(Question(prompts, adapter))
            for worker, answer in self._messages(list(self._workers)):
                if isinstance(answer, Likeliest):
                    answers[self._name(worker)] = answer.tokens
        except BaseException:
            self._end(0)
            raise
        return {name: tokens for name, tokens in answers.items() if tokens is not None}

    def _name(self, worker: _Worker) -> str:
        return f"{self.name}: worker {self._workers.index(worker) + 1} of {len(self._workers)}"

    def _messages(self, busy: list[_Worker]) -> Iterator[tuple[_Worker, Output | Likeliest]]:
        """Yield the workers' answers, and remove each worker from the list when it has finished its requests."""
        while busy:
            # A child process of a dead worker can hold the pipe open. The timeout lets `_take` check for that.
            wait([worker.pipe for worker in busy], timeout=_LOOK)
            for worker in list(busy):
                for message in self._take(worker):
                    if isinstance(message, Output | Likeliest):
                        yield worker, message
                    elif message is None:
                        busy.remove(worker)
                        break
                    else:
                        for other in busy:
                            sent = () if other is worker else self._take(other)
                            yield from ((other, output) for output in sent if isinstance(output, Output))
                        raise message

    def _take(self, worker: _Worker) -> Iterator[Output | Likeliest | LlmSummError | None]:
        """Yield the messages that a worker has sent, and an error at the end if it has died."""
        ended = worker.process.exitcode is not None
        try:
            while worker.pipe.poll():
                yield worker.pipe.recv()
        except (EOFError, OSError):
            ended = True
        if ended:
            worker.process.join(_PATIENCE)
            yield GenerationError(
                f"{self._name(worker)} died (exit code {worker.process.exitcode}); finished "
                "outputs are kept, and the same command resumes there"
            )

    def close(self) -> None:
        """End the workers, which can take a while if they have to free much memory."""
        self._end(_PATIENCE)

    def _end(self, patience: float) -> None:
        for worker in self._workers:
            with contextlib.suppress(OSError):
                worker.pipe.send(None)
            worker.pipe.close()  # a worker that is still writing gets an error now
        processes = [worker.process for worker in self._workers]
        for end in (None, BaseProcess.terminate, BaseProcess.kill):
            if end is not None:
                for process in processes:
                    end(process)
                patience = _PATIENCE
            until = time.monotonic() + patience
            for process in processes:
                process.join(max(0.0, until - time.monotonic()))
            processes = [process for process in processes if process.exitcode is None]
        self._workers = []


@contextlib.contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
