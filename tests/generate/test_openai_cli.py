"""`generate --engine openai` as users start it, with a run without weights and a small test server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from command_line import Result, llm_summ, refused
from inline_snapshot import snapshot
from messages import lines_with, plain
from server import KEY, Server, serving

from llm_summ.data import read_dialogues
from llm_summ.generate.settings import request_seed
from llm_summ.prompt import load_template
from llm_summ.recipe import DataFields, GenerateFields, ModelFields, Recipe
from llm_summ.runs.manifest import Manifest
from llm_summ.runs.run import create_run

pytest.importorskip("openai")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:::transformers")]

IDS = [dialogue.id for dialogue in read_dialogues("sample:dev")]
PREDICTIONS = Path("runs/mine/predictions/sample-dev.openai.jsonl")
SEED = 42

Generate = Callable[..., Result]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that requires the key in the environment."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving() as server:
        server.key = KEY
        yield server


@pytest.fixture
def generate(
    tiny_model: Path,
    server: Server,
    in_tmp: Path,
) -> Generate:
    """Runs the command with settings, and looks for the key in what it printed and in every file."""
    recipe = Recipe(
        seed=SEED,
        model=ModelFields(base=str(tiny_model)),
        data=DataFields(train="sample:train", dev="sample:dev"),
        generate=GenerateFields(max_new_tokens=24),
    )
    template = load_template("plain")
    manifest = {"prompt": {"sha256": template.sha256}, "kept": {}}
    create_run(Path("runs/mine"), recipe, template.text, Manifest.model_validate(manifest))

    def generate(*settings: str, data: Sequence[str] = ()) -> Result:
        arguments = ["generate", "--run", "mine", "--engine", "openai"]
        for source in data:
            arguments += ["--data", source]
        for setting in (f"server.url={server.url}", *settings):
            arguments += ["--set", f"generate.{setting}"]
        done = llm_summ(*arguments)
        assert KEY not in done.out + done.err
        files = [path for path in Path().rglob("*") if path.is_file()]
        assert Path("runs/mine/recipe.yaml") in files
        assert [path for path in files if KEY.encode() in path.read_bytes()] == []
        return done

    return generate


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_dialogue_has_the_line_that_was_answered_to_it(generate: Generate, server: Server) -> None:
    done = generate("server.price=[1.0,2.0]")
    assert (done.code, done.out) == (0, f"{PREDICTIONS}\n"), done.err
    assert lines_with(done.err, str(PREDICTIONS), "Next: ") == snapshot(
        "runs/mine/predictions/sample-dev.openai.jsonl: 32 new, 32 cut off at the token limit\n"
        "Next: llm-summ eval sample:dev --run mine"
    )
    rows = {row["fname"]: row for row in lines(PREDICTIONS)}
    assert sorted(rows) == sorted(IDS)
    assert len(server.asked) == len(IDS)
    # The server answers with the prompt's ids and one more; a dialogue's seed is its own.
    prompts = {body["seed"]: body["prompt"][0] for body in server.asked}
    for identity, row in rows.items():
        prompt = prompts[request_seed(SEED, identity)]
        assert prompt.count(1) == 1  # BOS
        assert row["tokens"] == len(prompt) + 1
        assert row["logprob"] == -0.5 * len(prompt)
    assert {body["max_tokens"] for body in server.asked} == {24}
    identity = json.loads(PREDICTIONS.with_suffix(".json").read_text(encoding="utf-8"))
    assert identity["server"] == {"url": server.url, "model": "summary", "prompt": "tokens"}


def test_a_server_with_a_template_of_its_own_is_sent_the_dialogue(generate: Generate) -> None:
    assert generate("server.prompt=chat").code == 0
    rows = {row["fname"]: row for row in lines(PREDICTIONS)}
    assert sorted(rows) == sorted(IDS)
    for dialogue in read_dialogues("sample:dev"):
        assert rows[dialogue.id]["summary"].startswith("요약: ")
        assert dialogue.text in rows[dialogue.id]["summary"]


def test_an_interrupted_generation_resumes_with_the_missing_answers(generate: Generate, server: Server) -> None:
    server.credit = 20
    broken = generate("server.concurrency=1")
    assert (broken.code, broken.out) == (1, "")
    told = [line for line in broken.err.splitlines() if line.startswith("llm-summ: ")]
    assert told == [broken.err.splitlines()[-1]]
    assert "Traceback" not in broken.err
    assert "HTTP 429" in told[0]
    assert "the account is empty" in told[0]
    assert told[0].endswith("; finished outputs are kept")
    kept = PREDICTIONS.read_bytes()
    there = {row["fname"] for row in lines(PREDICTIONS)}
    assert 1 <= len(there) == kept.count(b"\n") <= 20
    # The same command, after the account has credit again.
    server.credit = None
    server.asked.clear()
    done = generate("server.concurrency=1")
    assert done.code == 0
    assert f"{PREDICTIONS}: {len(there)} of {len(IDS)} already exist" in done.err
    assert {body["seed"] for body in server.asked} == {request_seed(SEED, one) for one in set(IDS) - there}
    assert len(server.asked) == len(IDS) - len(there)
    whole = PREDICTIONS.read_bytes()
    assert whole.startswith(kept)
    assert sorted(row["fname"] for row in lines(PREDICTIONS)) == sorted(IDS)
    # And again: no request is left.
    server.asked.clear()
    assert generate("server.concurrency=1").code == 0
    assert server.asked == []
    assert PREDICTIONS.read_bytes() == whole


def test_another_model_begins_a_new_file_and_the_old_one_is_set_aside(generate: Generate, server: Server) -> None:
    server.models = ["one", "other"]
    assert generate("server.model=one").code == 0
    first = PREDICTIONS.read_bytes()
    server.asked.clear()
    assert generate("server.model=other").code == 0
    assert {body["model"] for body in server.asked} == {"other"}
    assert len(server.asked) == len(lines(PREDICTIONS)) == len(IDS)
    earlier = PREDICTIONS.parent / "earlier"
    [aside] = earlier.glob("*.jsonl")
    assert aside.read_bytes() == first
    for path, model in ((aside, "one"), (PREDICTIONS, "other")):
        identity = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        assert identity["server"]["model"] == model
    # With two models, none is chosen.
    line = refused(generate())
    assert plain(line) == snapshot(
        "http://127.0.0.1:…/v1: serves 2 models (one, other); name one: --set generate.server.model=…"
    )


def test_a_wrong_key_is_reported_in_a_line_without_the_key(
    generate: Generate, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else")
    line = refused(generate())
    assert plain(line) == snapshot(
        "http://127.0.0.1:…/v1: rejects the key in OPENAI_API_KEY; set it in the environment"
    )
    monkeypatch.delenv("OPENAI_API_KEY")
    line = refused(generate())
    assert plain(line) == snapshot(
        "http://127.0.0.1:…/v1: requires a key, but none is in OPENAI_API_KEY; set it in the environment"
    )
    assert server.asked == []
    assert not Path("runs/mine/predictions").exists()


def test_several_candidates_have_files_of_their_own_and_resume_at_a_torn_line(
    generate: Generate, server: Server
) -> None:
    path = Path("runs/mine/candidates/sample-dev.openai.n3-t0.7.jsonl")
    settings = ("n=3", "temperature=0.7")
    done = generate(*settings)
    assert (done.code, done.out) == (0, f"{path}\n"), done.err
    assert lines_with(done.err, str(PREDICTIONS), "Next: ") == snapshot(
        "Next: llm-summ select --data test.csv --run mine --out chosen.csv"
    )
    assert not PREDICTIONS.exists()
    assert sorted((row["fname"], row["sample"]) for row in lines(path)) == sorted(
        (identity, sample) for identity in IDS for sample in range(3)
    )
    assert [(body["n"], body["temperature"]) for body in server.asked] == [(3, 0.7)] * len(IDS)
    whole = path.read_text(encoding="utf-8").splitlines()
    # Two dialogues with all candidates, and a third with one.
    path.write_text("\n".join(whole[:7]) + '\n{"fname": "to', encoding="utf-8")
    server.asked.clear()
    again = generate(*settings)
    assert again.code == 0
    assert lines_with(again.err, str(path)) == snapshot(
        "runs/mine/candidates/sample-dev.openai.n3-t0.7.jsonl: 7 of 96 already exist\n"
        "runs/mine/candidates/sample-dev.openai.n3-t0.7.jsonl: 89 new, 89 cut off at the token limit"
    )
    assert len(server.asked) == len(IDS) - 2
    assert sorted(path.read_text(encoding="utf-8").splitlines()) == sorted(whole)


def choice(content: str | None, finish_reason: str = "stop") -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": content}, "finish_reason": finish_reason}


def test_what_has_no_answer_is_not_stored_and_the_same_command_asks_for_it_alone(
    generate: Generate, server: Server
) -> None:
    """Five dialogues have no answer; the answers of a sixth and a seventh begin with closed thoughts."""
    bad = {
        IDS[1]: choice("<think>생각이", "length"),
        IDS[4]: choice(None),
        IDS[5]: choice("", "content_filter"),
        IDS[7]: choice("요약의 반", "content_filter"),
        IDS[8]: {"message": {"role": "assistant", "refusal": "할 수 없습니다."}},
    }
    thoughtful = (IDS[2], IDS[30])
    for identity, reply in bad.items():
        server.replies[request_seed(SEED, identity), 0] = [reply]
    for identity in thoughtful:
        server.replies[request_seed(SEED, identity), 0] = [choice("<think>생각</think>\n\n요약")]
    ended = generate("server.prompt=chat")
    assert (ended.code, ended.out) == (1, "")
    assert "Traceback" not in ended.err
    [line] = [line for line in ended.err.splitlines() if line.startswith("llm-summ: ")]
    assert line == ended.err.splitlines()[-1]
    assert f"5 of {len(IDS)} dialogues have no answer" in line
    for reason in (
        "2 content filter (no. 6, 8)",
        "1 <think> not closed (no. 2)",
        "1 no text (no. 5)",
        "1 refusal (no. 9)",
    ):
        assert reason in line
    assert line.endswith("; finished outputs are kept, and the same command retries the rest")
    assert [line for line in ended.err.splitlines() if f"2 of {len(IDS) - 5} answers" in line]
    kept = PREDICTIONS.read_bytes()
    rows = {row["fname"]: row for row in lines(PREDICTIONS)}
    assert sorted(rows) == sorted(set(IDS) - set(bad))
    assert all(row["summary"].startswith("요약") for row in rows.values())
    assert [rows[identity]["summary"] for identity in thoughtful] == ["요약", "요약"]
    # The next command requests it again, and ends in the same way while the server does not answer.
    server.asked.clear()
    assert generate("server.prompt=chat").code == 1
    assert {body["seed"] for body in server.asked} == {request_seed(SEED, identity) for identity in bad}
    assert PREDICTIONS.read_bytes() == kept
    server.asked.clear()
    server.replies.clear()
    done = generate("server.prompt=chat")
    assert (done.code, done.out) == (0, f"{PREDICTIONS}\n"), done.err
    assert sorted(body["seed"] for body in server.asked) == sorted(request_seed(SEED, one) for one in bad)
    assert PREDICTIONS.read_bytes().startswith(kept)
    assert sorted(row["fname"] for row in lines(PREDICTIONS)) == sorted(IDS)


def test_another_file_is_generated_though_one_has_missing_answers(generate: Generate, server: Server) -> None:
    server.replies[request_seed(SEED, IDS[0]), 0] = [choice(None)]
    ended = generate("server.prompt=chat", data=["sample:dev", "sample:test"])
    assert ended.code == 1
    assert plain(ended.err.splitlines()[-1]) == snapshot(
        "llm-summ: http://127.0.0.1:…/v1: part 1 of 2: 1 of 32 dialogues has no answer: 1 no text (no. "
        "1); finished outputs are kept, and the same command retries the rest"
    )
    test = [dialogue.id for dialogue in read_dialogues("sample:test")]
    assert sorted(row["fname"] for row in lines(PREDICTIONS)) == sorted(IDS[1:])
    other = PREDICTIONS.with_name("sample-test.openai.jsonl")
    assert sorted(row["fname"] for row in lines(other)) == sorted(test)


def test_a_server_that_only_thinks_is_asked_a_few_times(generate: Generate, server: Server) -> None:
    server.replies[None, 0] = [choice("<think>생각이", "length")]
    ended = generate("server.prompt=chat", "server.concurrency=1")
    assert (ended.code, ended.out) == (1, "")
    [line] = [line for line in ended.err.splitlines() if line.startswith("llm-summ: ")]
    assert plain(line) == snapshot(
        "llm-summ: http://127.0.0.1:…/v1: 8 of 8 dialogues have no answer: 8 <think> not closed (no. 1, "
        "2, 3, …); switch thinking off (generate.server.extra_body), or raise generate.max_new_tokens; "
        "stopped, since no dialogue has one; finished outputs are kept, and the same command retries the "
        "rest"
    )
    assert len(server.asked) < 3 * len(IDS) / 2
    assert PREDICTIONS.read_bytes() == b""


def test_a_strict_server_needs_a_field_left_out(generate: Generate, server: Server) -> None:
    server.unknown = ["chat_template_kwargs"]
    ended = generate("server.prompt=chat")
    assert (ended.code, ended.out) == (1, "")
    line = ended.err.splitlines()[-1]
    assert plain(line) == snapshot(
        "llm-summ: http://127.0.0.1:…/v1: HTTP 400: Error code: 400 - Unrecognized request argument "
        "supplied: chat_template_kwargs; leave it out with generate.server.leave_out=[chat_template"
        "_kwargs]; finished outputs are kept"
    )
    done = generate("server.prompt=chat", "server.leave_out=[chat_template_kwargs]")
    assert done.code == 0, done.err
    assert sorted(row["fname"] for row in lines(PREDICTIONS)) == sorted(IDS)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "server.leave_out=[maxtokens]",
            snapshot(
                "--set generate.server.leave_out=[maxtokens]: generate.server.leave_out: found 'maxtokens', "
                "expected 'max_tokens', 'n', 'temperature', 'top_p', 'seed', 'top_k', 'min_p', "
                "'repetition_penalty', 'frequency_penalty', 'presence_penalty', 'logprobs', 'stop_token_ids', "
                "'ignore_eos' or 'chat_template_kwargs'; did you mean max_tokens?"
            ),
        ),
        (
            "server.leave_out=[model]",
            snapshot(
                "--set generate.server.leave_out=[model]: generate.server.leave_out: found 'model', expected "
                "'max_tokens', 'n', 'temperature', 'top_p', 'seed', 'top_k', 'min_p', 'repetition_penalty', "
                "'frequency_penalty', 'presence_penalty', 'logprobs', 'stop_token_ids', 'ignore_eos' or "
                "'chat_template_kwargs'"
            ),
        ),
        (
            "server.leave_out=seed",
            snapshot(
                "--set generate.server.leave_out=seed: generate.server.leave_out: found 'seed', expected list"
            ),
        ),
        (
            "server.extra_body={temperature: 1}",
            snapshot(
                "--set generate.server.extra_body={temperature: 1}: generate.server.extra_body: temperature: the "
                "engine sets it; set generate.temperature instead"
            ),
        ),
        (
            "server.extra_body.n=2",
            snapshot(
                "--set generate.server.extra_body.n=2: generate.server.extra_body: n: the engine sets it; set "
                "generate.n instead"
            ),
        ),
        (
            "server.extra_body=[x]",
            snapshot(
                "--set generate.server.extra_body=[x]: generate.server.extra_body: found ['x'], expected a "
                "mapping such as {reasoning_effort: low}"
            ),
        ),
        (
            "server.extra_body={1: x}",
            snapshot(
                "--set generate.server.extra_body={1: x}: generate.server.extra_body: found the key 1, expected "
                "names of fields"
            ),
        ),
    ],
)
def test_fields_of_the_body_that_are_wrong(generate: Generate, server: Server, setting: str, message: str) -> None:
    line = refused(generate(setting))
    assert plain(line) == message
    assert server.asked == []


def test_what_changes_the_body_makes_other_predictions(generate: Generate, server: Server) -> None:
    plain = {"url": server.url, "model": "summary", "prompt": "chat"}
    off = {"chat_template_kwargs": {"enable_thinking": False}}
    for settings, identity in (
        ((), {"extra_body": off}),
        (("server.extra_body.reasoning_effort=low",), {"extra_body": {"reasoning_effort": "low", **off}}),
        (("server.leave_out=[chat_template_kwargs]",), {"leave_out": ["chat_template_kwargs"]}),
    ):
        server.asked.clear()
        assert generate("server.prompt=chat", *settings).code == 0
        assert len(server.asked) == len(IDS)
        stored = json.loads(PREDICTIONS.with_suffix(".json").read_text(encoding="utf-8"))
        assert stored["server"] == plain | identity
    assert len(list((PREDICTIONS.parent / "earlier").glob("*.jsonl"))) == 2
