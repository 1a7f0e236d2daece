"""Tokens are counted as they are generated: a request that is stopped or fails has used them, too."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import pytest

from llm_summ.core.errors import AbandonedError
from llm_summ.generate.engine import GREEDY, Decoding, Key, Output, Request
from llm_summ.generate.engines.echo import EchoEngine
from llm_summ.serve.watching import Usage, Watch


class Stopped(EchoEngine):
    """Is stopped after the second output."""

    def generate(
        self, requests: Sequence[Request], *, stop_id: int, decoding: Decoding = GREEDY, done: Collection[Key] = ()
    ) -> Iterator[Output]:
        yield Output(0, (5, 6, 7), "stop")
        yield Output(0, (), "stop", 1, text="텍스트", tokens=4)
        raise AbandonedError("the request was stopped")


def test_what_was_finished_before_the_end_is_counted() -> None:
    usage = Usage()
    watch = Watch(None, lambda name, data: None, usage, [])  # type: ignore[arg-type]  # decodes nothing here
    engine = watch.counted(Stopped(), lambda: None)
    with pytest.raises(AbandonedError):
        list(engine.generate([Request([1, 2], 5), Request([1], 5)], stop_id=2, decoding=Decoding(n=2)))
    assert (usage.prompt, usage.generated) == (3, 7)
