"""An engine in a process of its own: many threads, stopped requests, failures that stay alone, and restarts."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot
from messages import raises

from llm_summ.core.errors import AbandonedError, EngineDownError, GenerationError, LlmSummError, ModelError
from llm_summ.generate.engine import GREEDY, Decoding, Engine, Key, Output, Request
from llm_summ.generate.engines.echo import EchoEngine, lead
from llm_summ.generate.live import Piece
from llm_summ.generate.live_batches import BatchedLive
from llm_summ.generate.live_process import EngineProcess, Restarts

SECRET = "비밀이야"
DIALOGUES = [f"#Person1#: {SECRET} {number}번이야.\n#Person2#: 응, 알았어." for number in range(40)]


class Slow:
    """A live engine that writes a token for each prompt id, and the sum of the ids as its text.

    A prompt id of 99 breaks the engine, 98 its process, and 97 this request alone.
    """

    name = "slow"

    def __init__(self, seconds: float = 0.01) -> None:
        self.seconds, self.now = seconds, 0

    async def stream(self, request: Request, *, stop_id: int, decoding: Decoding = GREEDY) -> AsyncIterator[Piece]:
        self.now += 1
        try:
            for token in request.prompt_ids:
                await asyncio.sleep(self.seconds)
                if token == 99:
                    raise EngineDownError("slow: broke")
                if token == 98:
                    os.kill(os.getpid(), signal.SIGKILL)
                if token == 97:
                    raise ValueError(f"cannot read {request.dialogue}")
                yield Piece(0, (token,))
            for sample in range(decoding.n):
                # How many requests were under way is part of the answer.
                yield Piece(sample, output=Output(0, (sum(request.prompt_ids), self.now), "stop", sample))
        finally:
            self.now -= 1

    async def close(self) -> None:
        pass


class Fussy(EchoEngine):
    """Refuses a batch as soon as it comes to a bad request, as an engine does that knows nothing of others."""

    def generate(
        self, requests: Sequence[Request], *, stop_id: int, decoding: Decoding = GREEDY, done: Collection[Key] = ()
    ) -> Iterator[Output]:
        for output in super().generate(requests, stop_id=stop_id, decoding=decoding, done=done):
            if "bad" in requests[output.index].dialogue:
                raise GenerationError("echo: one is bad")
            yield output


def batched(make: Callable[[], Engine] = EchoEngine) -> BatchedLive:
    return BatchedLive(make(), 4)


def refuse() -> BatchedLive:
    raise ModelError("tiny: no such model")


def die() -> BatchedLive:
    os._exit(3)


def with_child() -> Slow:
    """Like vLLM, it has a process of its own below it; its id is the answer to nothing but the test."""
    child = subprocess.Popen(["sleep", "300"], close_fds=False)
    Path(os.environ["CHILD_FILE"]).write_text(str(child.pid), encoding="utf-8")
    return Slow()


def texts(engine: Engine, dialogues: Sequence[str], decoding: Decoding = GREEDY) -> dict[Key, str | None]:
    requests = [Request([1], 5, dialogue=dialogue) for dialogue in dialogues]
    outputs = list(engine.generate(requests, stop_id=2, decoding=decoding))
    found = {(output.index, output.sample): output.text for output in outputs}
    assert len(found) == len(outputs)
    return found


def ask(engine: Engine, *ids: int, **options: Any) -> list[Output]:
    return list(engine.generate([Request(ids, 5, **options)], stop_id=2))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture(scope="module")
def echo() -> Iterator[EngineProcess]:
    with closing(EngineProcess("echo", batched)) as process:
        yield process


@pytest.fixture
def slow() -> Iterator[EngineProcess]:
    with closing(EngineProcess("slow", Slow, Restarts(pauses=(0.0, 0.0, 0.0)))) as process:
        yield process


def test_what_many_threads_ask_is_answered_to_each(echo: EngineProcess) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda one: texts(echo.engine(), [one]), DIALOGUES))
    assert found == [{(0, 0): lead(one)} for one in DIALOGUES]
    assert (echo.state, echo.running, echo.waiting) == ("ready", 0, 0)


def test_one_caller_may_ask_much_and_for_several_candidates(echo: EngineProcess) -> None:
    found = texts(echo, DIALOGUES, Decoding(n=3, temperature=1.0))
    assert found == {(index, sample): lead(one) for index, one in enumerate(DIALOGUES) for sample in range(3)}
    done = [(index, 0) for index in range(39)]
    requests = [Request([1], 5, dialogue=one) for one in DIALOGUES]
    [last] = echo.generate(requests, stop_id=2, done=done)
    assert (last.index, last.text) == (39, lead(DIALOGUES[39]))


def test_a_request_that_spoils_a_batch_fails_alone() -> None:
    with closing(EngineProcess("echo", partial(batched, Fussy))) as process, ThreadPoolExecutor(8) as pool:
        process.wait()
        asked = [*DIALOGUES[:12], "bad", *DIALOGUES[12:20]]
        futures = [pool.submit(texts, process.engine(), [one]) for one in asked]
        for one, future in zip(asked, futures, strict=True):
            if one == "bad":
                with raises(GenerationError) as raised:
                    future.result()
                assert raised.message == "echo: one is bad"
            else:
                assert future.result() == {(0, 0): lead(one)}


def test_tokens_come_before_the_text(slow: EngineProcess) -> None:
    tokens: list[Any] = []
    requests = [Request([1, 2, 3], 5), Request([4], 5)]
    outputs = list(slow.engine(lambda *piece: tokens.append(piece)).generate(requests, stop_id=2))
    assert [piece for piece in tokens if piece[0] == 0] == [(0, 0, (1,)), (0, 0, (2,)), (0, 0, (3,))]
    assert [piece for piece in tokens if piece[0] == 1] == [(1, 0, (4,))]
    assert {output.index: output.token_ids[0] for output in outputs} == {0: 6, 1: 4}


def test_a_stopped_request_ends_alone(slow: EngineProcess) -> None:
    slow.wait()
    stop = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        others = [pool.submit(ask, slow.engine(), *[1] * 60) for _ in range(2)]
        stopped = pool.submit(ask, slow.engine(cancelled=stop), *[1] * 3000)
        until(lambda: slow.running == 3)
        stop.set()
        with pytest.raises(AbandonedError):
            stopped.result()
        assert [future.result()[0].token_ids[0] for future in others] == [60, 60]
    # The engine has freed its place, too.
    [alone] = ask(slow, 1)
    assert alone.token_ids == (1, 1)
    assert slow.running == 0


def test_a_caller_that_stops_early_frees_its_place(slow: EngineProcess) -> None:
    outputs = slow.generate([Request([1], 5), Request([1] * 3000, 5)], stop_id=2)
    next(outputs)
    outputs.close()  # type: ignore[attr-defined]
    [alone] = ask(slow, 5)
    assert alone.token_ids == (5, 1)


def test_an_error_is_of_one_request_and_names_no_dialogue(slow: EngineProcess) -> None:
    with ThreadPoolExecutor(2) as pool:
        other = pool.submit(ask, slow, *[1] * 50)
        with raises(GenerationError) as caught:
            ask(slow, 97, dialogue=SECRET)
        assert caught.message == snapshot("ValueError in the engine (--debug shows where)")
        assert SECRET not in str(caught.value) + "".join(caught.value.__notes__)
        assert "in stream" in caught.value.__notes__[0]  # for --debug
        assert other.result()[0].token_ids[0] == 50


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (98, "slow: its process ended (exit code -9)"),
        (99, "slow: broke"),
        ("kill", "slow: its process ended (exit code -9)"),
    ],
)
def test_a_process_that_ends_is_started_again(slow: EngineProcess, how: Any, message: str) -> None:
    slow.wait()
    before = slow.pid
    assert before is not None
    with ThreadPoolExecutor(8) as pool:
        lost = [pool.submit(ask, slow.engine(), *[1] * 3000) for _ in range(8)]
        until(lambda: slow.running == 8)
        if how == "kill":
            os.kill(before, signal.SIGKILL)
        else:
            with pytest.raises(EngineDownError):
                ask(slow, how)
        for future in lost:
            with raises(EngineDownError) as raised:
                future.result()
            assert raised.message == message
    assert not is_alive(before)
    assert ask(slow, 1, 2)[0].token_ids == (3, 1)  # waits for the start
    assert slow.pid != before
    assert (slow.state, slow.running, slow.waiting) == ("ready", 0, 0)


def test_a_process_that_never_starts_is_down_and_tried_again() -> None:
    with closing(EngineProcess("slow", die, Restarts(pauses=(0.0, 0.0), long_pause=0.2))) as process:
        with raises(EngineDownError) as raised:
            process.wait()
        assert raised.message == snapshot("slow: its process ended (exit code 3)")
        assert process.state == "down"
        with raises(EngineDownError) as raised:
            ask(process, 1)
        assert raised.message == snapshot("slow: is down (slow: its process ended (exit code 3)); try again later")
        before = process.pid
        until(lambda: process.pid not in (None, before))


def test_an_engine_that_refuses_to_start_reports_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    """It is reported to who waits, who may end then; it is logged if the engine is started again."""
    caplog.set_level("INFO", "llm_summ")
    with closing(EngineProcess("hf", refuse, Restarts(long_pause=1.0))) as process:
        with raises(ModelError) as raised:
            process.wait()
        assert raised.message == snapshot("tiny: no such model")
        assert (process.state, process.reason) == ("down", "tiny: no such model")
        assert caplog.messages == []
        until(lambda: len(caplog.messages) > 0)
        assert caplog.messages[0] == snapshot("tiny: no such model; starts again")


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "pid"
    monkeypatch.setenv("CHILD_FILE", str(file))
    process = EngineProcess("slow", with_child)
    process.wait()
    pids = [process.pid or 0, int(file.read_text(encoding="utf-8"))]
    assert all(map(is_alive, pids))
    os.kill(pids[0], signal.SIGKILL)
    until(lambda: not any(map(is_alive, pids)))
    process.wait()
    until(lambda: process.state == "ready")
    pids = [process.pid or 0, int(file.read_text(encoding="utf-8"))]
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(ask, process, *[1] * 3000)
        until(lambda: process.running == 1)
        process.close()
        with raises(EngineDownError) as raised:
            lost.result()
        assert raised.message == snapshot("slow: was closed; start it again")
    until(lambda: not any(map(is_alive, pids)), 5)
    with raises(EngineDownError) as raised:
        ask(process, 1)
    assert raised.message == snapshot("slow: was closed; start it again")


@pytest.mark.parametrize("end", ["kill", "exit"])
def test_everything_ends_with_the_main_process(tmp_path: Path, end: str) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys\n"
        f"sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}\n"
        "from test_live_process import EngineProcess, with_child\n"
        "if __name__ == '__main__':\n"
        "    process = EngineProcess('slow', with_child)\n"
        "    process.wait()\n"
        "    print(process.pid, flush=True)\n"
        f"    {'import time; time.sleep(300)' if end == 'kill' else ''}\n",
        encoding="utf-8",
    )
    environment = {**os.environ, "CHILD_FILE": str(tmp_path / "pid")}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        if end == "kill":
            parent.kill()
    pids = [pid, int((tmp_path / "pid").read_text(encoding="utf-8"))]
    until(lambda: not any(map(is_alive, pids)))


def test_a_process_that_hangs_is_noticed_and_started_again() -> None:
    """What is sent to it fills the pipe, and no one who sends waits."""
    with closing(EngineProcess("echo", batched, Restarts(pauses=(0.0,), silence=3.0))) as process:
        process.wait()
        before = process.pid or 0
        os.kill(before, signal.SIGSTOP)
        long = ["가" * 100_000 for _ in range(10)]
        with ThreadPoolExecutor(4) as pool:
            lost = [pool.submit(texts, process.engine(), long) for _ in range(4)]
            for future in lost:
                with raises(EngineDownError) as raised:
                    future.result(30)
                assert raised.message == snapshot("echo: its process has not answered for … s")
        assert not is_alive(before)
        assert texts(process, DIALOGUES[:1]) == {(0, 0): lead(DIALOGUES[0])}


def test_a_process_that_hangs_does_not_keep_its_owner_from_ending() -> None:
    process = EngineProcess("echo", batched)
    process.wait()
    before = process.pid or 0
    os.kill(before, signal.SIGSTOP)
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        stopped = pool.submit(texts, process.engine(cancelled=stop), ["가" * 3_000_000])
        until(lambda: process.waiting == 1)
        stop.set()
        with pytest.raises(AbandonedError):
            stopped.result(5)
    begun = time.monotonic()
    process.close(0.5)
    assert time.monotonic() - begun < 5
    assert not is_alive(before)


def test_errors_are_those_that_a_caller_expects() -> None:
    assert issubclass(EngineDownError, GenerationError)
    assert not issubclass(AbandonedError, GenerationError)
    assert issubclass(AbandonedError, LlmSummError)
