"""A live summarizer writes what the usual one writes, for all that it opens and for many threads at a time."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tiny_run import make_run
from tiny_seq2seq import make_tiny_seq2seq

from llm_summ.core.errors import GenerationError, RunError
from llm_summ.data import read_dialogues
from llm_summ.generate.engine import Decoding, Request
from llm_summ.generate.live_local import LiveProof
from llm_summ.generate.live_process import EngineProcess
from llm_summ.generate.summarizer import Summarizer
from llm_summ.runs.run import Run

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:::transformers")]

SETTINGS = ["generate.dtype=float32", "generate.batch_size=4", "generate.max_new_tokens=12"]
DIALOGUES = read_dialogues("sample:dev")[:16]


@pytest.fixture(scope="module")
def run(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("live"), tiny_model)


def of_run(run: Run, tmp_path: Path) -> Callable[[bool], Summarizer]:
    return lambda live: Summarizer.open(run, engine="hf", overrides=SETTINGS, live=live)


def of_whole_weights(run: Run, tmp_path: Path) -> Callable[[bool], Summarizer]:
    whole = make_run(tmp_path, Path(run.recipe().model.base), full=True)
    shutil.copytree(run.recipe().model.base, whole.model)
    return lambda live: Summarizer.open(whole, engine="hf", overrides=SETTINGS, live=live)


def of_encoder_decoder(run: Run, tmp_path: Path) -> Callable[[bool], Summarizer]:
    base = make_tiny_seq2seq(tmp_path / "bart", "bart")
    return lambda live: Summarizer.open_base(str(base), engine="hf", overrides=SETTINGS, live=live)


@pytest.mark.parametrize("kind", [of_run, of_whole_weights, of_encoder_decoder])
def test_the_summaries_are_those_of_the_usual_summarizer(run: Run, tmp_path: Path, kind: Any) -> None:
    open_it = kind(run, tmp_path)
    with open_it(False) as summarizer:
        expected = summarizer.summarize(DIALOGUES)
    with open_it(True) as live:
        process = live.engine
        assert isinstance(process, EngineProcess)
        assert process.wait(), process.reason

        def ask(row: int) -> None:
            shown: list[int] = []
            view = process.engine(lambda index, sample, new: shown.extend(new))  # type: ignore[arg-type]
            [found] = live.using(view).summarize([DIALOGUES[row]])
            assert (found.raw, found.text) == (expected[row].raw, expected[row].text)
            assert live.renderer.decode(shown) == found.raw

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(ask, range(len(DIALOGUES))))
        # The windows of one dialogue are requests of one caller.
        [whole] = live.using(process.engine()).summarize(DIALOGUES[:1], long="list")
        assert whole.text


def test_a_run_without_its_adapter_is_refused_when_it_is_opened(run: Run, tmp_path: Path) -> None:
    broken = Run(shutil.copytree(run.path, tmp_path / "runs" / "broken"))
    (broken.adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(RunError):
        Summarizer.open(broken, engine="hf", overrides=SETTINGS, live=True)


class Constant:
    """A live engine that leaves the adapter out."""

    name = "constant"

    async def next_token(self, prompt_ids: Sequence[int], *, adapter: bool = True) -> dict[int, float]:
        return {7: -0.5, 8: -1.0}

    def stream(self, request: Request, *, stop_id: int, decoding: Decoding) -> Any:
        raise NotImplementedError

    async def close(self) -> None: ...


def test_an_engine_that_leaves_the_adapter_out_does_not_start() -> None:
    import asyncio

    proof = LiveProof([[1, 5, 6]], True, "float32", None, "hf")
    with pytest.raises(GenerationError, match=r"^constant: the attached adapter changes no probability"):
        asyncio.run(proof.check(Constant()))


def test_an_adapter_that_fails_its_proof_keeps_the_engine_down(run: Run, tmp_path: Path) -> None:
    """Its weights are not zero, and change nothing: the proof in the process finds that."""
    weak = make_run(tmp_path, Path(run.recipe().model.base), size=1e-30)
    overrides = [*SETTINGS, "generate.adapter=attach"]
    with closing(Summarizer.open(weak, engine="hf", overrides=overrides, live=True).engine) as process:
        assert isinstance(process, EngineProcess)
        with pytest.raises(GenerationError, match="hf: the attached adapter changes no probability"):
            process.wait()
        assert process.state == "down"
