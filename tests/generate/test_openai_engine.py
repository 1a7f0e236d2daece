"""The engine openai with a small test server that can fail in every way that real servers do."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import date
from typing import Any, get_args

import pytest
from inline_snapshot import snapshot
from messages import plain, raises
from pydantic import ValidationError
from server import KEY, Handler, Server, serving

from llm_summ.core.errors import EngineError, GenerationError
from llm_summ.generate.engine import Decoding, Key, Output, Request
from llm_summ.generate.engines.answers import NoAnswer
from llm_summ.recipe import ServerFields
from llm_summ.recipe.request_body import SentField

pytest.importorskip("openai")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving() as server:
        yield server


def requests(count: int) -> list[Request]:
    return [
        Request([10 + row] * (1 + row), 20, seed=row, messages=(("user", f"{row}번"),)) for row in range(count)
    ]


def ask(server: Server, count: int = 6, decoding: Decoding | None = None, **fields: Any) -> list[Output]:
    outputs, error = ask_all(server, count, decoding=decoding or Decoding(), **fields)
    if error is not None:
        raise error
    return outputs


def once(message: str) -> str:
    """Leave one of the headers that the server adds to its error with every request."""
    return re.sub(r"( \(Bearer [^)]*\))+", r"\1", message)


def ask_all(
    server: Server,
    count: int,
    *,
    decoding: Decoding = Decoding(),  # noqa: B008
    done: Collection[Key] = (),
    **fields: Any,
) -> tuple[list[Output], GenerationError | None]:
    """Return the outputs, and the error at the end."""
    from llm_summ.generate.engines.openai import OpenaiEngine

    engine = OpenaiEngine(ServerFields(url=server.url, **fields))
    engine.find_model()
    outputs: list[Output] = []
    try:
        try:
            outputs.extend(engine.generate(requests(count), stop_id=2, decoding=decoding, done=done))
        finally:
            engine.close()
    except GenerationError as error:
        return outputs, error
    return outputs, None


def said(content: str | None, finish_reason: str = "stop", **message: Any) -> dict[str, Any]:
    """A choice of a chat completion."""
    return {
        "message": {"role": "assistant", "content": content, **message},
        "finish_reason": finish_reason,
    }


def test_every_request_is_answered_once_as_it_was_asked(server: Server) -> None:
    found = ask(server, 20, Decoding(n=2, temperature=0.7, top_k=5), concurrency=4)
    assert sorted((output.index, output.sample) for output in found) == [
        (index, sample) for index in range(20) for sample in range(2)
    ]
    for output in found:
        assert output.token_ids == (*[10 + output.index] * (1 + output.index), output.sample)
        assert output.logprob == -0.5 * (1 + output.index)
        assert output.finish_reason == ("length" if output.index > 2 else "stop")
    assert 2 <= server.most <= 4
    one = next(body for body in server.asked if body["prompt"] == [[13] * 4])
    assert {key: one[key] for key in ("model", "n", "temperature", "top_k", "seed", "max_tokens")} == {
        **{"model": "summary", "n": 2, "temperature": 0.7, "top_k": 5, "seed": 3, "max_tokens": 20}
    }
    assert {
        key: one[key] for key in ("stop_token_ids", "ignore_eos", "return_token_ids", "top_p", "logprobs")
    } == {**{"stop_token_ids": [2], "ignore_eos": True, "return_token_ids": True, "top_p": 1.0, "logprobs": 1}}
    # Sampling settings of the model's own file are overridden.
    assert [one[key] for key in ("repetition_penalty", "min_p", "frequency_penalty", "presence_penalty")] == [
        1,
        0,
        0,
        0,
    ]


def test_messages_go_to_a_server_that_has_a_template_of_its_own(server: Server) -> None:
    found = {output.index: output for output in ask(server, 3, prompt="chat")}
    assert [found[index].text for index in range(3)] == ["요약: 0번", "요약: 1번", "요약: 2번"]
    assert {output.tokens for output in found.values()} == {3}
    with raises(GenerationError) as error:
        ask(server, 1, Decoding(n=2, temperature=0.7), prompt="chat")
    assert error.message == snapshot(
        "http://127.0.0.1:…/v1: returned 1 candidate for a prompt, expected 2; ask for one (generate.n, "
        "--best-of, --length); finished outputs are kept"
    )


def test_what_passes_is_waited_for(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """Requests are repeated after a failure, a dropped connection or a 429, and no output is yielded twice."""
    error = {"error": {"message": "try later"}}
    server.failures = [
        (500, error, {}),
        (503, error, {"Retry-After": "0"}),
        None,
        (429, error, {"Retry-After": "0.2"}),
    ]
    found = ask(server, 6, concurrency=2)
    assert sorted(output.index for output in found) == list(range(6))
    assert len(server.asked) == 6
    assert 1 <= capsys.readouterr().err.count("; trying again") <= 4


def test_a_server_says_how_long_it_wants_to_be_left_alone(server: Server) -> None:
    server.failures = [(429, {"error": {"message": "slowly"}}, {"Retry-After": "1.5"})]
    ask(server, 1, concurrency=1)
    first, second = server.times
    assert second - first >= 1.5


def test_a_rate_is_kept(server: Server) -> None:
    ask(server, 4, requests_per_minute=300.0)
    assert max(server.times) - min(server.times) >= 3 * 60 / 300 - 0.05


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (
            (401, {"error": {"message": "no"}}, {}),
            snapshot(
                "http://127.0.0.1:…/v1: rejects the key in OPENAI_API_KEY; set it in the environment; finished "
                "outputs are kept"
            ),
        ),
        (
            (403, {"error": {"message": "no"}}, {}),
            snapshot(
                "http://127.0.0.1:…/v1: rejects the key in OPENAI_API_KEY; set it in the environment; finished "
                "outputs are kept"
            ),
        ),
        (
            (404, {"error": {"message": "no"}}, {}),
            snapshot(
                "http://127.0.0.1:…/v1: no such address or model; expected a URL that ends with /v1 "
                "(generate.server.url); finished outputs are kept"
            ),
        ),
        (
            (400, {"error": {"message": "too long"}}, {}),
            snapshot(
                "http://127.0.0.1:…/v1: HTTP 400: Error code: 400 - too long (Bearer …); finished outputs are kept"
            ),
        ),
        (
            (429, {"error": {"message": "pay", "code": "insufficient_quota"}}, {}),
            snapshot(
                "http://127.0.0.1:…/v1: HTTP 429: Error code: 429 - pay (Bearer …); finished outputs are kept"
            ),
        ),
        (
            (200, {"error": {"message": "no"}}, {}),
            snapshot(
                "http://127.0.0.1:…/v1: its answer has no text; check generate.server.url; finished outputs are "
                "kept"
            ),
        ),
    ],
)
def test_what_does_not_pass_ends_it(
    server: Server, monkeypatch: pytest.MonkeyPatch, failure: tuple[int, dict[str, Any], dict[str, str]], told: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.failures = [failure] * 6
    with raises(GenerationError) as caught:
        ask(server, 6, concurrency=2)
    assert once(caught.message) == told
    assert KEY not in str(caught.value)
    assert server.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        *(b"<html></html>", b'{"id": ', b"[1]", b'{"id": "1"}', b'{"choices": [1]}', b'{"choices": "ab"}'),
        b'{"choices": [{"index": 0, "finish_reason": "stop", "message": "x"}]}',
        b'{"choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "x"}}], "usage": 5}',
    ],
)
def test_what_is_not_of_the_protocol_is_no_answer(server: Server, answer: bytes) -> None:
    server.not_protocol = answer
    with raises(GenerationError) as raised:
        ask(server, 1, prompt="chat", model="summary")
    assert raised.message in snapshot(
        [
            "http://127.0.0.1:…/v1: its answer does not follow OpenAI's protocol; check generate.server.url; "
            "finished outputs are kept",
            "http://127.0.0.1:…/v1: its answer has no text; check generate.server.url; finished outputs are kept",
        ]
    )


def test_a_wrong_key_is_reported_before_any_request(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.key = "another"
    with raises(EngineError) as error:
        ask(server)
    assert error.message == snapshot(
        "http://127.0.0.1:…/v1: requires a key, but none is in OPENAI_API_KEY; set it in the environment"
    )
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with raises(EngineError) as error:
        ask(server)
    assert error.message == snapshot(
        "http://127.0.0.1:…/v1: rejects the key in OPENAI_API_KEY; set it in the environment"
    )
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    assert len(ask(server)) == 6


def test_models_that_are_not_clear(server: Server) -> None:
    server.models = ["one", "two"]
    with raises(EngineError) as error:
        ask(server)
    assert error.message == snapshot(
        "http://127.0.0.1:…/v1: serves 2 models (one, two); name one: --set generate.server.model=…"
    )
    with raises(EngineError) as error:
        ask(server, model="three")
    assert error.message == snapshot(
        "generate.server.model: three is not served by http://127.0.0.1:…/v1; expected one of one, two"
    )
    ask(server, 1, model="two")
    assert server.asked[0]["model"] == "two"


def test_a_server_that_returns_no_ids_is_refused(server: Server) -> None:
    server.gives_ids = False
    with raises(GenerationError) as error:
        ask(server, 1)
    assert error.message == snapshot(
        "http://127.0.0.1:…/v1: returns no token ids, as vLLM's servers do; send it messages: --set "
        "generate.server.prompt=chat; finished outputs are kept"
    )


def test_patience_ends(server: Server) -> None:
    server.failures = [(500, {"error": {"message": "broken"}}, {})] * 50
    with raises(GenerationError) as error:
        ask(server, 3, patience_minutes=0.03)
    assert once(error.message) == snapshot(
        "http://127.0.0.1:…/v1: Error code: 500 - broken (Bearer none); gave up: the next try "
        "would be after more than 0.03 minutes without an answer "
        "(generate.server.patience_minutes); finished outputs are kept, and the same command resumes "
        "there"
    )


def test_tokens_and_their_price_are_logged(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    ask(server, 3, price=[1000.0, 2000.0])
    assert plain(capsys.readouterr().err) == snapshot(
        "http://127.0.0.1:…/v1: 6 prompt tokens, 9 completion tokens, cost 0.0240 at 1000 and 2000 per million\n"
    )


@pytest.mark.parametrize(
    "url",
    [
        *("127.0.0.1:8000", "ftp://host/v1", "http:///v1", "http://host:port/v1"),
        *("http://user:secret@host/v1", "https://host/v1?key=1", "https://host/v1#key"),
    ],
)
def test_addresses_that_are_none_or_hold_a_secret(url: str) -> None:
    # pydantic's words are around ours.
    with pytest.raises(ValueError, match=r"expected an address|would be stored with the run"):
        ServerFields(url=url)


def test_a_key_that_no_header_can_hold(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-열쇠")
    with raises(EngineError) as caught:
        ask(server)
    assert caught.message == snapshot(
        "OPENAI_API_KEY: contains characters that no key has; set it to the server's key"
    )
    monkeypatch.setenv("OPENAI_API_KEY", "another\n")  # as a file's content
    server.key = "another"
    assert len(ask(server, 1)) == 1


def test_another_kind_of_server_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "do_GET", lambda self: self.send(200, {"hello": "there"}))
    with raises(EngineError) as error:
        ask(server)
    assert error.message == snapshot(
        "http://127.0.0.1:…/v1: lists no model; load one there, or name one that it does not list: --set "
        "generate.server.model=…"
    )


def test_a_list_of_models_is_not_needed_where_the_model_is_named(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handler, "do_GET", lambda self: self.send(404, {"error": {"message": "no such page"}}))
    assert len(ask(server, 2, model="summary")) == 2
    with raises(EngineError) as error:
        ask(server)
    assert error.message == snapshot(
        "http://127.0.0.1:…/v1: no such address or model; expected a URL that ends with /v1 (generate.server.url)"
    )


# Fields of the body.

WITH_IDS = {
    *("model", "prompt", "max_tokens", "n", "temperature", "top_p", "seed", "logprobs", "top_k", "min_p"),
    *("repetition_penalty", "frequency_penalty", "presence_penalty", "stop_token_ids", "ignore_eos"),
    "return_token_ids",
}
WITH_MESSAGES = {
    *("model", "messages", "max_tokens", "n", "temperature", "top_p", "seed", "chat_template_kwargs"),
}
NEEDED = {"model", "prompt", "messages", "return_token_ids"}


@pytest.mark.parametrize(("prompt", "fields"), [("tokens", WITH_IDS), ("chat", WITH_MESSAGES)])
def test_the_fields_that_are_sent(server: Server, prompt: str, fields: set[str]) -> None:
    ask(server, 1, prompt=prompt)
    [body] = server.asked
    assert body.keys() == fields


def test_all_that_is_sent_may_be_left_out_but_what_is_needed() -> None:
    assert set(get_args(SentField)) == (WITH_IDS | WITH_MESSAGES) - NEEDED


@pytest.mark.parametrize("name", get_args(SentField))
@pytest.mark.parametrize(("prompt", "fields"), [("tokens", WITH_IDS), ("chat", WITH_MESSAGES)])
def test_a_field_is_left_out(server: Server, prompt: str, fields: set[str], name: str) -> None:
    assert len(ask(server, 1, prompt=prompt, leave_out=[name])) == 1
    [body] = server.asked
    assert body.keys() == fields - {name}


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({}, {"enable_thinking": False}),
        ({"extra_body": {"chat_template_kwargs": {"enable_thinking": True}}}, {"enable_thinking": True}),
        ({"extra_body": {"chat_template_kwargs": {"x": 1}}}, {"enable_thinking": False, "x": 1}),
        ({"extra_body": {"chat_template_kwargs": None}}, None),
        ({"leave_out": ["chat_template_kwargs"]}, "absent"),
        (
            {"extra_body": {"chat_template_kwargs": {"x": 1}}, "leave_out": ["chat_template_kwargs"]},
            {"x": 1},
        ),
    ],
)
def test_with_messages_thinking_is_off(server: Server, fields: dict[str, Any], sent: object) -> None:
    ask(server, 1, prompt="chat", **fields)
    [body] = server.asked
    assert body.get("chat_template_kwargs", "absent") == sent


@pytest.mark.parametrize("prompt", ["tokens", "chat"])
def test_further_fields_are_sent_as_they_are(server: Server, prompt: str) -> None:
    further = {"reasoning_effort": "low", "logit_bias": {"7": -1.5}, "stop": ["끝", "\n"], "user": None}
    ask(server, 2, prompt=prompt, extra_body=further)
    for body in server.asked:
        assert {name: body.get(name, "absent") for name in further} == further
        assert body.keys() == {*(WITH_IDS if prompt == "tokens" else WITH_MESSAGES), *further}


@pytest.mark.parametrize(
    ("key", "prompt", "instead"),
    [
        *(("model", prompt, "generate.server.model") for prompt in ("tokens", "chat")),
        *(("prompt", prompt, "prompt.template") for prompt in ("tokens", "chat")),
        *(("messages", prompt, "prompt.template") for prompt in ("tokens", "chat")),
        *(("n", prompt, "generate.n") for prompt in ("tokens", "chat")),
        *(("temperature", prompt, "generate.temperature") for prompt in ("tokens", "chat")),
        *(("top_p", prompt, "generate.top_p") for prompt in ("tokens", "chat")),
        *(("max_tokens", prompt, "generate.max_new_tokens") for prompt in ("tokens", "chat")),
        *(("seed", prompt, "set seed instead") for prompt in ("tokens", "chat")),
        *(("stream", prompt, "stream: ") for prompt in ("tokens", "chat")),
        ("top_k", "tokens", "generate.top_k"),
        ("min_p", "tokens", "generate.server.prompt"),
        ("return_token_ids", "tokens", "generate.server.prompt"),
    ],
)
def test_what_the_engine_sets_is_not_set_again(key: str, prompt: Any, instead: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ServerFields(prompt=prompt, extra_body={"user": "me", key: 1})
    [finding] = caught.value.errors()
    assert finding["loc"] == ("extra_body",)
    assert f"{key}: " in finding["msg"]
    assert instead in finding["msg"]


@pytest.mark.parametrize("key", ["top_k", "min_p", "repetition_penalty", "logprobs"])
def test_with_messages_more_may_be_added(server: Server, key: str) -> None:
    ask(server, 1, prompt="chat", extra_body={key: 2})
    assert server.asked[0][key] == 2


@pytest.mark.parametrize(
    "extra_body",
    [None, [], "x", 3, {1: 2}, {"x": {1: 2}}, {"x": float("nan")}, {"x": date(2020, 1, 1)}, {"x": [object()]}],
)
def test_what_no_body_can_hold(extra_body: object) -> None:
    with pytest.raises(ValidationError) as caught:
        ServerFields.model_validate({"extra_body": extra_body})
    [finding] = caught.value.errors()
    assert finding["loc"] == ("extra_body",)


@pytest.mark.parametrize(
    ("fields", "identity"),
    [
        ({}, {}),
        ({"leave_out": ["seed", "n"]}, {"leave_out": ["n", "seed"]}),
        ({"extra_body": {"x": 1}}, {"extra_body": {"x": 1}}),
        ({"prompt": "chat"}, {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}}),
        (
            {"prompt": "chat", "leave_out": ["chat_template_kwargs"]},
            {"leave_out": ["chat_template_kwargs"]},
        ),
    ],
)
def test_what_changes_the_body_identifies_predictions(fields: dict[str, Any], identity: dict[str, Any]) -> None:
    assert ServerFields(**fields).body_identity == identity


@pytest.mark.parametrize(
    ("error", "fields", "hint"),
    [
        ({"message": "Unrecognized request argument supplied: chat_template_kwargs"}, {}, "chat_template_kwargs"),
        ({"message": "Invalid field.", "param": "chat_template_kwargs"}, {}, "chat_template_kwargs"),
        ({"message": "enable_thinking is not a variable of this model"}, {}, "chat_template_kwargs"),
        (
            {"message": "Invalid request", "detail": [{"loc": ["body", "chat_template_kwargs"], "input": {}}]},
            {},
            "chat_template_kwargs",
        ),
        (
            {
                "message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                "'max_completion_tokens' instead."
            },
            {},
            "max_tokens",
        ),
        ({"message": "0 is not supported", "param": "temperature"}, {}, "temperature"),
        ({"message": "Unsupported value: 'temperature' does not support 0."}, {}, "temperature"),
        ({"message": "max_tokens is too large: 160 > 128"}, {}, None),
        ({"message": "Unrecognized request argument supplied: thinking"}, {}, None),
        ({"message": "the prompt is too long"}, {}, None),
        (
            {"message": "Unrecognized request argument supplied: chat_template_kwargs"},
            {"leave_out": ["chat_template_kwargs"]},
            None,
        ),
    ],
)
@pytest.mark.parametrize("status", [400, 422])
def test_a_refused_field_comes_with_what_to_set(
    server: Server, status: int, error: dict[str, Any], fields: dict[str, Any], hint: str | None
) -> None:
    server.failures = [(status, {"error": dict(error)}, {})] * 3
    with pytest.raises(GenerationError) as caught:
        ask(server, 3, prompt="chat", **fields)
    line = str(caught.value)
    assert f"HTTP {status}: " in line
    assert len(line.splitlines()) == 1
    if hint is None:
        assert "leave_out" not in line
    else:
        assert f"; leave it out with generate.server.leave_out=[{hint}];" in line


def test_a_field_of_the_recipe_that_is_refused_is_removed_there(server: Server) -> None:
    server.unknown = ["reasoning_effort"]
    with raises(GenerationError) as caught:
        ask(server, 3, prompt="chat", extra_body={"reasoning_effort": "low", "user": "me"})
    assert caught.message == snapshot(
        "http://127.0.0.1:…/v1: HTTP 400: Error code: 400 - Unrecognized request argument supplied: "
        "reasoning_effort; remove reasoning_effort from generate.server.extra_body; finished outputs are "
        "kept"
    )


def test_a_strict_server_answers_once_the_field_is_left_out(server: Server) -> None:
    server.unknown = ["chat_template_kwargs"]
    with raises(GenerationError) as error:
        ask(server, 3, prompt="chat")
    assert error.message == snapshot(
        "http://127.0.0.1:…/v1: HTTP 400: Error code: 400 - Unrecognized request argument supplied: "
        "chat_template_kwargs; leave it out with generate.server.leave_out=[chat_template_kwargs]; "
        "finished outputs are kept"
    )
    assert len(ask(server, 3, prompt="chat", leave_out=["chat_template_kwargs"])) == 3


# Answers.

NO_ANSWERS: dict[str, tuple[dict[str, Any], NoAnswer]] = {
    "open thoughts": (said("<think>생각이", finish_reason="length"), NoAnswer.OPEN_THOUGHTS),
    "open thoughts that stop": (said(" \n<think>생각이\n요약"), NoAnswer.OPEN_THOUGHTS),
    "thoughts alone": (said("<think>생각</think>\n"), NoAnswer.ONLY_THOUGHTS),
    "null": (said(None), NoAnswer.NO_TEXT),
    "missing": ({"message": {"role": "assistant"}}, NoAnswer.NO_TEXT),
    "no message": ({"message": None}, NoAnswer.NO_TEXT),
    "reasoning_content": (said(None, reasoning_content="생각"), NoAnswer.ONLY_THOUGHTS),
    "reasoning": (said("", reasoning="생각"), NoAnswer.ONLY_THOUGHTS),
    "empty": (said(""), NoAnswer.NO_TEXT),
    "blank": (said(" \n"), NoAnswer.NO_TEXT),
    "filtered": (said("", finish_reason="content_filter"), NoAnswer.CONTENT_FILTER),
    "filtered in part": (said("요약의 반", finish_reason="content_filter"), NoAnswer.CONTENT_FILTER),
    "refused": (said(None, refusal="할 수 없습니다."), NoAnswer.REFUSAL),
    "refused with a text": (said("미안합니다.", refusal="할 수 없습니다."), NoAnswer.REFUSAL),
}


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_a_missing_answer_is_requested_again_and_then_counted_while_the_rest_is_answered(
    server: Server, name: str
) -> None:
    reply, why = NO_ANSWERS[name]
    server.replies[1, 0] = [reply]
    outputs, error = ask_all(server, 4, prompt="chat")
    assert sorted(output.index for output in outputs) == [0, 2, 3]
    assert [server.asked_for(seed) for seed in range(4)] == [1, 3, 1, 1]
    assert isinstance(error, GenerationError)
    assert error.exit_code == 1
    assert f": 1 of 4 dialogues has no answer: 1 {why.value} (no. 2)" in str(error)
    assert str(error).endswith("; finished outputs are kept, and the same command retries the rest")
    assert len(str(error).splitlines()) == 1
    # Repeated requests have the same settings.
    first, *others = [body for body in server.asked if body["seed"] == 1]
    assert others == [first, first]


@pytest.mark.parametrize("name", NO_ANSWERS)
@pytest.mark.parametrize("times", [1, 2])
def test_an_answer_that_comes_later_is_one(server: Server, name: str, times: int) -> None:
    server.replies[1, 0] = [NO_ANSWERS[name][0]] * times + [said("이제 요약")]
    outputs, error = ask_all(server, 3, prompt="chat")
    assert error is None
    assert {output.index: output.text for output in outputs} == {0: "요약: 0번", 1: "이제 요약", 2: "요약: 2번"}
    assert server.asked_for(1) == times + 1


def test_all_reasons_are_in_the_line(server: Server) -> None:
    for row, name in ((0, "filtered"), (1, "null"), (3, "filtered"), (4, "filtered"), (6, "filtered")):
        server.replies[row, 0] = [NO_ANSWERS[name][0]]
    outputs, error = ask_all(server, 9, prompt="chat")
    assert sorted(output.index for output in outputs) == [2, 5, 7, 8]
    assert "5 of 9 dialogues have no answer: 4 content filter (no. 1, 4, 5, …), 1 no text (no. 2)" in str(error)


def test_a_prompt_that_the_filter_refuses_does_not_stop_the_others(server: Server) -> None:
    server.filtered = {2}
    outputs, error = ask_all(server, 4, prompt="chat")
    assert sorted(output.index for output in outputs) == [0, 1, 3]
    assert server.asked_for(2) == 3
    assert "1 of 4 dialogues has no answer: 1 content filter (no. 3)" in str(error)


def test_thoughts_in_front_are_removed_and_counted_once(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.replies[0, 0] = [said("\n<think>생각 <think>둘</think> 셋</think>\n\n요약입니다.\n")]
    server.replies[2, 0] = [said("<think></think>요약", finish_reason="length")]
    server.replies[3, 0] = [said("요약 <think>")]
    outputs, error = ask_all(server, 4, prompt="chat")
    assert error is None
    assert {output.index: (output.text, output.finish_reason) for output in outputs} == {
        0: ("요약입니다.\n", "stop"),
        1: ("요약: 1번", "stop"),
        2: ("요약", "length"),
        3: ("요약 <think>", "stop"),
    }
    printed = capsys.readouterr().err
    assert printed.count("<think>") == 1
    assert plain(printed) == snapshot(
        "http://127.0.0.1:…/v1: 28 prompt tokens, 12 completion tokens\n"
        "http://127.0.0.1:…/v1: removed <think>…</think> from 2 of 4 answers\n"
    )
    assert len(server.asked) == 4


def test_without_thoughts_nothing_is_printed_about_them(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask_all(server, 4, prompt="chat")[1] is None
    assert "think" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ({"text": "<think>생각"}, NoAnswer.OPEN_THOUGHTS),
        ({"text": ""}, NoAnswer.NO_TEXT),
        ({"finish_reason": "content_filter"}, NoAnswer.CONTENT_FILTER),
        ({"finish_reason": "abort"}, NoAnswer.BROKEN_OFF),
    ],
)
def test_with_ids_the_same_replies_count_as_missing(server: Server, reply: dict[str, Any], why: NoAnswer) -> None:
    server.replies[1, 0] = [reply]
    outputs, error = ask_all(server, 3)
    assert sorted(output.index for output in outputs) == [0, 2]
    assert f"1 of 3 dialogues has no answer: 1 {why.value} (no. 2)" in str(error)


def test_with_ids_thoughts_are_removed_from_the_text(server: Server) -> None:
    server.replies[1, 0] = [{"text": "<think>생각</think>\n요약"}]
    outputs, error = ask_all(server, 3)
    assert error is None
    assert {output.index: output.text for output in outputs} == {0: None, 1: "요약", 2: None}
    assert all(output.token_ids for output in outputs)


def test_candidates_that_are_answers_are_kept(server: Server) -> None:
    """Of three candidates, one never has an answer, and another only at the second request."""
    server.replies[0, 0] = [{"text": "", "token_ids": [5]}, {"token_ids": [6]}]
    server.replies[0, 1] = [{"token_ids": [7]}, {"token_ids": [8]}]
    server.replies[1, 2] = [{"finish_reason": "content_filter"}]
    outputs, error = ask_all(server, 2, decoding=Decoding(n=3, temperature=0.7))
    found = {(output.index, output.sample): output.token_ids for output in outputs}
    assert sorted(found) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    assert len(outputs) == 5
    assert (found[0, 0], found[0, 1]) == ((6,), (7,))
    assert [server.asked_for(seed) for seed in range(2)] == [2, 3]
    assert "1 of 2 dialogues has no answer: 1 content filter (no. 2)" in str(error)


def test_a_candidate_that_is_there_already_need_not_come_again(server: Server) -> None:
    server.replies[0, 1] = [{"finish_reason": "content_filter"}]
    outputs, error = ask_all(server, 1, decoding=Decoding(n=2, temperature=0.7), done=[(0, 1)])
    assert error is None
    assert [(output.index, output.sample) for output in outputs] == [(0, 0)]
    assert len(server.asked) == 1


def test_a_server_that_never_answers_is_left_alone_early(server: Server) -> None:
    server.replies[None, 0] = [said(None, reasoning_content="생각", finish_reason="length")]
    outputs, error = ask_all(server, 60, prompt="chat", concurrency=2)
    assert outputs == []
    assert isinstance(error, GenerationError)
    assert error.exit_code == 1
    assert ": 8 of 8 dialogues have no answer: 8 thoughts without a text (no. " in str(error)
    assert str(error).endswith("; finished outputs are kept, and the same command retries the rest")
    assert 8 * 3 <= len(server.asked) <= 12 * 3


def test_one_line_says_that_it_ended_early(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.replies[None, 0] = [said("")]
    _, error = ask_all(server, 60, prompt="chat", concurrency=1)
    assert "no answer" in str(error)
    assert "no answer" not in capsys.readouterr().err


@pytest.mark.parametrize("good", [0, 5])
def test_one_answer_among_the_first_is_enough_to_ask_for_all(server: Server, good: int) -> None:
    server.replies[None, 0] = [said("")]
    server.replies[good, 0] = [said("요약")]
    outputs, error = ask_all(server, 20, prompt="chat", concurrency=1)
    assert [output.index for output in outputs] == [good]
    assert "19 of 20 dialogues have no answer: 19 no text" in str(error)
    assert len(server.asked) == 19 * 3 + 1


def test_what_was_answered_before_is_enough_to_ask_for_all(server: Server) -> None:
    server.replies[None, 0] = [said("")]
    outputs, error = ask_all(server, 12, prompt="chat", concurrency=1, done=[(0, 0)])
    assert outputs == []
    assert "11 of 11 dialogues have no answer" in str(error)
    assert len(server.asked) == 11 * 3


def test_few_dialogues_without_an_answer_are_all_asked_for(server: Server) -> None:
    server.replies[None, 0] = [said("")]
    outputs, error = ask_all(server, 7, prompt="chat", concurrency=1)
    assert outputs == []
    assert "7 of 7 dialogues have no answer: 7 no text (no. 1, 2, 3, …)" in str(error)


def test_another_generation_follows_one_with_missing_answers(server: Server) -> None:
    from llm_summ.generate.engines.openai import OpenaiEngine

    server.replies[1, 0] = [said(None)]
    engine = OpenaiEngine(ServerFields(url=server.url, prompt="chat"))
    engine.find_model()
    for count in (3, 1, 4):
        outputs = list(engine.generate(requests(count), stop_id=2))
        assert sorted(output.index for output in outputs) == [index for index in range(count) if index != 1]
    with pytest.raises(GenerationError) as caught:
        engine.close()
    first, third = str(caught.value).splitlines()
    assert "part 1 of 3: 1 of 3 dialogues has no answer" in first
    assert "part 3 of 3: 1 of 4 dialogues has no answer" in third
    engine.close()  # the line is printed once


def test_a_failure_is_reported_after_the_missing_answers(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.replies[0, 0] = [said(None)]
    server.credit = 5  # three for the first dialogue, and two more
    outputs, error = ask_all(server, 5, prompt="chat", concurrency=1)
    assert "the account is empty" in str(error)
    assert "no answer" not in str(error)
    assert 1 <= len(outputs) <= 2
    assert plain(capsys.readouterr().err) == snapshot(
        "http://127.0.0.1:…/v1: 35 prompt tokens, 15 completion tokens\n"
        "http://127.0.0.1:…/v1: 1 of 3 dialogues has no answer: 1 no text (no. 1); finished outputs are "
        "kept, and the same command retries the rest\n"
    )
