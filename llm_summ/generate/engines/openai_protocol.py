"""OpenAI's protocol: make the body of a request, send it, and read one choice of the answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from llm_summ.core.errors import EngineError
from llm_summ.generate.engine import Decoding, Output, Request
from llm_summ.generate.engines.answers import Answer, NoAnswer, read_answer
from llm_summ.recipe import ServerFields

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

__all__ = ["output_with_ids", "read_choice", "reading_answers", "request_body", "send", "used_line"]

_PER_MILLION = 1e6


def request_body(fields: ServerFields, request: Request, stop_id: int, decoding: Decoding) -> dict[str, Any]:
    """Return the body of a request, except for model and prompt.

    vLLM's servers get the prompt as token ids, exactly as trained. Other servers get messages: they apply their
    own chat template, and the model ends the text by its own stop token.
    """
    body: dict[str, Any] = {
        "max_tokens": request.max_new_tokens,
        "n": decoding.n,
        "temperature": decoding.temperature,
        "top_p": decoding.top_p,
        "seed": request.seed,
    }
    if fields.prompt == "tokens":
        body |= {
            "logprobs": 1,
            # Without these the server uses the values of the model's generation_config.json.
            **{"top_k": decoding.top_k, "min_p": 0.0, "repetition_penalty": 1.0},
            **{"frequency_penalty": 0.0, "presence_penalty": 0.0},
            "stop_token_ids": [stop_id],
            "ignore_eos": True,
            "return_token_ids": True,
        }
    sent = {name: value for name, value in body.items() if name not in fields.leave_out}
    return sent | fields.further_fields


def send(
    client: OpenAI | AsyncOpenAI,
    fields: ServerFields,
    model: str,
    request: Request,
    body: dict[str, Any],
    *,
    stream: bool = False,
) -> Any:
    """Send a request, and return the server's answer; an asynchronous client returns one to wait for.

    Args:
        client: of the package openai.
        fields: say whether the prompt is sent as token ids or as messages.
        model: the server's name of the model.
        request: has the prompt.
        body: from `request_body`.
        stream: whether the answer comes in parts.
    """
    more: dict[str, Any] = {"stream": True} if stream else {}
    if fields.prompt == "tokens":
        prompt = [list(request.prompt_ids)]
        return client.completions.create(model=model, prompt=prompt, extra_body=body, **more)
    return client.chat.completions.create(
        model=model,
        **more,
        messages=[{"role": role, "content": text} for role, text in request.messages],  # type: ignore[misc]
        extra_body=body,
    )


@contextmanager
def reading_answers(fields: ServerFields) -> Iterator[None]:
    """Read answers in the block; openai's client checks neither that they are JSON nor what they contain.

    Raises:
        EngineError: one does not follow the protocol.
    """
    try:
        yield
    except (AttributeError, TypeError, ValueError) as error:
        raise EngineError(
            f"{fields.url}: its answer does not follow OpenAI's protocol; check generate.server.url"
        ) from error


def output_with_ids(url: str, index: int, choice: Any, answer: Answer) -> Output:
    """Return the candidate of a server that returns token ids.

    Args:
        url: of the server, for the error.
        index: of the request.
        choice: one choice of its answer.
        answer: what was read from it.

    Raises:
        EngineError: it has no token ids.
    """
    ids = (choice.model_extra or {}).get("token_ids")
    if ids is None:
        raise EngineError(
            f"{url}: returns no token ids, as vLLM's servers do; send it messages: --set "
            "generate.server.prompt=chat"
        )
    logprobs = (choice.logprobs.token_logprobs if choice.logprobs else None) or [None]
    return Output(
        index,
        tuple(ids),
        answer.finish_reason,
        choice.index,
        None if None in logprobs else sum(logprobs),
        answer.text if answer.had_thoughts else None,
    )


def read_choice(choice: Any) -> Answer | NoAnswer:
    """Read one choice of a completion or a chat completion."""
    message = getattr(choice, "message", None)
    if message is None:
        return read_answer(getattr(choice, "text", None), choice.finish_reason)
    further = message.model_extra or {}
    return read_answer(
        message.content,
        choice.finish_reason,
        refusal=message.refusal,
        thoughts=further.get("reasoning_content") or further.get("reasoning"),
    )


def used_line(fields: ServerFields, prompt_tokens: int, completion_tokens: int) -> str:
    """Return a line with the tokens that a server has counted, and what they cost."""
    used = f"{prompt_tokens:,} prompt tokens, {completion_tokens:,} completion tokens"
    if fields.price is not None:
        prompt, completion = fields.price
        cost = (prompt_tokens * prompt + completion_tokens * completion) / _PER_MILLION
        used += f", cost {cost:.4f} at {prompt:g} and {completion:g} per million"
    return f"{fields.url}: {used}"
