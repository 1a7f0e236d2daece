"""What the service answers, by the engine echo: summaries, dialogues, OpenAI's chat, and every kind of error."""

from __future__ import annotations

import io
import json
import re
import signal
import socket
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from command_line import run_script
from inline_snapshot import snapshot
from running_service import TALK, Running, hanging, running, until

pytestmark = [pytest.mark.slow]

FORMATS = Path(__file__).parents[1] / "data" / "formats"
LEAD = "민지: 내일 몇 시에 볼까? 도윤: 여섯 시 어때?"


@pytest.fixture(scope="module")
def echo(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("echo")
    kept = folder / "feedback.jsonl"  # of an earlier service, whose disk was full
    kept.write_text('{"prompt": "…"}\n{"prompt": "cut o', encoding="utf-8")
    kept.chmod(0o644)
    arguments = (
        "--model",
        str(tiny_model),
        "--engine",
        "echo",
        "--feedback",
        "feedback.jsonl",
        "--max-body",
        "0.3",
    )
    with running(*arguments, "--set", "prompt.max_prompt_tokens=300", cwd=folder) as service:
        yield service


def long_talk(turns: int = 40) -> str:
    return "\n".join(
        f"{'민지' if turn % 2 else '도윤'}: {turn}번 안건은 찬성이에요." for turn in range(1, turns + 1)
    )


def summaries(service: Running, **body: Any) -> dict[str, Any]:
    response = service.client.post("/v1/summaries", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def events(response: httpx.Response) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for block in response.text.strip().split("\n\n"):
        name, _, data = block.partition("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def error(response: httpx.Response) -> tuple[int, str]:
    body = response.json()["error"]
    assert set(body) == {"message", "type", "code"}
    assert body["message"]
    assert "\n" not in body["message"]
    return response.status_code, body["code"]


def test_a_text_turns_and_a_file_get_the_same_summary(echo: Running) -> None:
    turns = [{"speaker": "민지", "text": "내일 몇 시에 볼까?"}, {"speaker": "도윤", "text": "여섯 시 어때?"}]
    answers = [
        summaries(echo, text=TALK),
        summaries(echo, turns=turns),
        summaries(echo, turns=TALK.split("\n")),
        echo.client.post("/v1/summaries", files={"file": ("talk.txt", TALK.encode())}).json(),
        echo.client.post("/v1/summaries", content=TALK.encode(), headers={"Content-Type": "text/plain"}).json(),
    ]
    for answer in answers:
        [summary] = answer["summaries"]
        assert (summary["summary"], summary["turns"], summary["finish_reason"]) == (LEAD, 2, "stop")
        assert [(part["first"], part["last"]) for part in summary["parts"]] == [(1, 2)]
        assert summary["is_listed"] is False
        assert answer["model"] == "tiny"
        assert answer["seconds"] > 0
    assert [answer["summaries"][0]["id"] for answer in answers] == ["text", "text", "text", "talk", "text"]


def test_several_dialogues_with_a_broken_one(echo: Running) -> None:
    items = [
        {"id": "a", "text": TALK},
        {"id": "b", "text": "아무도 말하지 않는다"},
        {"turns": ["민지: 응"]},
        {"id": "d"},
    ]
    found = summaries(echo, dialogues=items)["summaries"]
    assert [one["id"] for one in found] == ["a", "b", "dialogue-3", "d"]
    assert [one.get("summary") for one in found] == [LEAD, None, "민지: 응", None]
    assert [found[index]["error"]["message"] for index in (1, 3)] == snapshot(
        [
            "b: found no speakers, and no chat or transcript that is known, in «아무도 말하지 않는다»; "
            "expected lines such as 민지: 네, or name the format: llm-summ data convert --format NAME",
            "d: found neither text nor turns; expected one of them",
        ]
    )


def test_requests_at_the_same_time_get_their_own_answers(echo: Running) -> None:
    def ask(number: int) -> bool:
        if number % 5 == 4:
            return echo.client.post("/v1/summaries", json={"text": str(number)}).status_code == 400
        text = f"민지: {number}번이야\n도윤: {number}!"
        return summaries(echo, text=text)["summaries"][0]["summary"] == text.replace("\n", " ")

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(80)))


def test_a_chat_of_kakaotalk_is_cut_into_dialogues(echo: Running) -> None:
    content = (FORMATS / "ios.txt").read_bytes()
    read = echo.client.post("/v1/dialogues", files={"file": ("ios.txt", content)}).json()
    assert [one["format"] for one in read["dialogues"]] == ["kakaotalk"] * len(read["dialogues"])
    assert len(read["dialogues"]) > 1
    assert {"민지", "도윤"} <= set(read["dialogues"][0]["speakers"])
    assert read["dialogues"][0]["turns"][0]["start"] == 0.0
    assert "dropped" in read["notices"][0]
    pasted = echo.client.post("/v1/dialogues", json={"text": content.decode()}).json()
    assert [one["turns"] for one in pasted["dialogues"]] == [one["turns"] for one in read["dialogues"]]
    found = echo.client.post("/v1/summaries", files={"file": ("ios.txt", content)}).json()["summaries"]
    assert [one["id"] for one in found] == [one["id"] for one in read["dialogues"]]


def test_several_files_a_table_and_a_zip(echo: Running) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("하나.txt", TALK)
        archive.writestr("readme.md", "no dialogue")
    table = 'fname,dialogue\nx,"민지: 응\n도윤: 그래"\n'
    files = [
        ("file", ("talk.txt", TALK.encode())),
        ("file", ("talk.txt", TALK.encode())),
        ("file", ("rows.csv", table.encode())),
        ("file", ("all.zip", packed.getvalue())),
        ("file", ("sound.mp3", b"ID3")),
    ]
    plain = {"params": {"name": "../a/rows.csv"}, "headers": {"Content-Type": "text/plain"}}
    for content in (table.encode(), table.encode("cp949")):
        [row] = echo.client.post("/v1/dialogues", content=content, **plain).json()["dialogues"]
        assert (row["id"], row["format"]) == ("x", "CSV")
    found = echo.client.post("/v1/summaries", files=files).json()["summaries"]
    assert [one["id"] for one in found] == ["talk", "talk-2", "x", "하나", "sound"]
    assert [one.get("summary") for one in found] == [LEAD, LEAD, "민지: 응 도윤: 그래", LEAD, None]
    assert found[4]["error"]["message"] == snapshot(
        "sound.mp3: found a name that ends in '.mp3'; expected .csv, .jsonl, .parquet, .txt, .json, .vtt, "
        ".srt, .zip"
    )


def test_a_long_dialogue_is_listed_merged_or_truncated(echo: Running) -> None:
    [listed] = summaries(echo, text=long_talk())["summaries"]
    ranges = [(part["first"], part["last"]) for part in listed["parts"]]
    assert len(ranges) > 2
    assert [turn for first, last in ranges for turn in range(first, last + 1)] == list(range(1, 41))
    assert listed["is_listed"]
    assert listed["summary"] == "\n".join(part["text"] for part in listed["parts"])
    [merged] = summaries(echo, text=long_talk(), long="merge")["summaries"]
    assert merged["parts"] == listed["parts"]
    assert merged["is_listed"] is False
    answer = summaries(echo, text=long_talk(), long="truncate")
    assert [(part["first"], part["last"]) for part in answer["summaries"][0]["parts"]] == [(1, 40)]
    assert "lost" in answer["notices"][-1]


def test_a_stream_has_every_part_and_summary_as_the_answer_has_them(echo: Running) -> None:
    body = {"dialogues": [{"text": TALK}, {"text": long_talk()}, {"text": "?"}]}
    whole = summaries(echo, **body)["summaries"]
    response = echo.client.post("/v1/summaries", json={**body, "stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    found = events(response)
    assert {name for name, _ in found} == {"part", "summary", "error", "done"}
    for index in (0, 1):
        parts = [data for name, data in found if name == "part" and data["dialogue"] == index]
        parts.sort(key=lambda data: int(data["part"]))
        expected = [
            {"dialogue": index, "part": number, **part} for number, part in enumerate(whole[index]["parts"])
        ]
        assert parts == expected
        [summary] = [data for name, data in found if name == "summary" and data["dialogue"] == index]
        assert summary == {"dialogue": index, **whole[index]}
    assert [data for name, data in found if name == "error"] == [{"dialogue": 2, **whole[2]}]
    assert found[-1][0] == "done"


def test_a_stream_that_cannot_begin_is_an_error(echo: Running) -> None:
    for body in ({"text": "?"}, {"text": TALK, "prompt": "none"}, {"dialogues": [{"text": "?"}]}):
        assert error(echo.client.post("/v1/summaries", json={**body, "stream": True})) == (400, "invalid_input")
    chat = {"model": "tiny", "stream": True, "messages": [{"role": "user", "content": "?"}]}
    assert error(echo.client.post("/v1/chat/completions", json=chat)) == (400, "invalid_input")


def test_names_and_personal_data(echo: Running) -> None:
    text = "민지: 010-1234-5678로 전화해\n도윤: 알겠어"
    [summary] = summaries(echo, text=text, speakers="tags", names={"민지": "김 과장"}, mask=True, unmask=True)[
        "summaries"
    ]
    assert summary["summary"] == "김 과장: 010-1234-5678로 전화해 도윤: 알겠어"
    assert summary["masked"] == {"PhoneNumber": 1}
    [masked] = summaries(echo, text=text, mask=True)["summaries"]
    assert "#PhoneNumber#" in masked["parts"][0]["text"]
    fields = {"speakers": "tags", "names": '{"민지": "김 과장"}', "mask": "true", "unmask": "true"}
    form = echo.client.post("/v1/summaries", files={"file": ("a.txt", text.encode())}, data=fields)
    assert form.json()["summaries"][0]["summary"] == summary["summary"]


def test_the_client_of_openai(echo: Running) -> None:
    client = openai.OpenAI(base_url=f"{echo.url}/v1", api_key="none", max_retries=0)
    [model] = client.models.list().data
    assert model.id == "tiny"
    assert client.models.retrieve("tiny") == model
    messages: list[Any] = [{"role": "system", "content": "영어로 답해"}, {"role": "user", "content": TALK}]
    answer = client.chat.completions.create(model="tiny", messages=messages, temperature=0.3)
    assert answer.choices[0].message.content == LEAD
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 50
    messages = [{"role": "user", "content": [{"type": "text", "text": long_talk()}]}]
    whole = client.chat.completions.create(model="tiny", messages=messages).choices[0].message.content
    assert whole is not None
    stream = client.chat.completions.create(
        model="tiny", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    texts = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "".join(texts) == whole
    assert len([text for text in texts if text]) == whole.count("\n") + 1  # each part as soon as it is finished
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    merged = client.chat.completions.create(model="tiny", messages=messages, extra_body={"long": "merge"})
    assert merged.choices[0].message.content == whole.split("\n")[0]
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="gpt-5", messages=messages)
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="tiny", messages=[{"role": "system", "content": "?"}])


@pytest.mark.parametrize(
    ("way", "shown"),
    [
        ("urllib", f"{LEAD}\n  turns 1 to 2: {LEAD}\n"),
        ("stream", f"\nfinished: {LEAD}\n"),
        ("openai", f"{LEAD}\n"),
    ],
)
def test_the_example_of_a_client(echo: Running, way: str, shown: str, tmp_path: Path) -> None:
    Path(tmp_path, "talk.txt").write_text(TALK, encoding="utf-8")
    script = Path(__file__).parents[2] / "examples" / "summarize_over_http.py"
    done = run_script(script, "talk.txt", "--url", echo.url, "--way", way, cwd=tmp_path)
    assert (done.code, done.out) == (0, shown), done.err


def test_models_and_settings(echo: Running) -> None:
    [model] = echo.client.get("/v1/models").json()["data"]
    assert (model["id"], model["engine"], model["state"], model["lengths"]) == ("tiny", "echo", "ready", [])
    assert model["prompts"][0] == model["default_prompt"] == "chat"
    assert "meeting" in model["prompts"]
    assert not {"few-shot", "length"} & set(model["prompts"])  # they need a training
    settings = echo.client.get("/v1/settings").json()
    assert (settings["needs_key"], settings["feedback"]) == (False, True)
    assert settings["limits"]["body"] == 300_000
    assert "kakaotalk" in settings["formats"]
    assert echo.client.get("/health").json() == {"status": "ready", "models": {"tiny": "ready"}}


def test_another_prompt_is_named_and_is_never_a_file(echo: Running) -> None:
    assert summaries(echo, text=TALK, prompt="meeting")["summaries"][0]["summary"] == LEAD
    messages = []
    for name in ("../prompts/plain.md", "meting", "length"):
        response = echo.client.post("/v1/summaries", json={"text": TALK, "prompt": name})
        assert error(response) == (400, "invalid_input")
        messages.append(response.json()["error"]["message"])
    assert messages == snapshot(
        [
            "prompt ../prompts/plain.md: unknown; expected chat, call, dialogue, dialogue-topic, english, "
            "expert, meeting, merge, plain, summarize, topic",
            "prompt meting: unknown; did you mean meeting? Expected chat, call, dialogue, dialogue-topic, "
            "english, expert, meeting, merge, plain, summarize, topic",
            "prompt length: unknown; did you mean english? Expected chat, call, dialogue, dialogue-topic, "
            "english, expert, meeting, merge, plain, summarize, topic",
        ]
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", (400, "invalid_json")),
        (b"[]", (400, "invalid_json")),
        (b"\xff\xfe\x00", (400, "invalid_json")),
        (b'{"text": "\\ud800"}', (400, "invalid_json")),
        (b"{}", (400, "no_dialogue")),
        (b'{"text": "a: b", "turns": ["c: d"]}', (400, "no_dialogue")),
        (b'{"text": "a: b", "lenght": 3}', (400, "unknown_field")),
        (b'{"text": "a: b", "length": "tiny"}', (400, "invalid_field")),
        (b'{"text": "a: b", "length": 80}', (400, "invalid_input")),
        (b'{"text": "a: b", "best_of": 17}', (400, "invalid_field")),
        (b'{"text": "a: b", "best_of": 2}', (400, "invalid_input")),  # the engine has one text for each dialogue
        (b'{"text": "a: b", "long": "cut"}', (400, "invalid_field")),
        (b'{"text": "a: b", "unmask": true}', (400, "invalid_input")),
        (b'{"text": "a: b", "format": "word"}', (400, "invalid_input")),
        (b'{"text": ""}', (400, "invalid_input")),
        (b'{"text": "no speaker"}', (400, "invalid_input")),
        (b'{"text": "a: \\u0000"}', (400, "invalid_input")),
        (b'{"turns": []}', (400, "invalid_input")),
        (b'{"turns": [1]}', (400, "invalid_input")),
        (b'{"turns": "a: b"}', (400, "invalid_field")),
        (b'{"dialogues": []}', (400, "no_dialogue")),
        (b'{"dialogues": [{"id": "a", "text": "a: b"}, {"id": "a", "text": "c: d"}]}', (400, "duplicate_id")),
        (b'{"dialogues": [{"id": "a\\nb", "text": "a: b"}]}', (400, "invalid_field")),
        (b'{"text": "a: b", "model": "other"}', (404, "model_not_found")),
    ],
)
def test_what_is_not_valid_is_refused_in_one_line(echo: Running, body: bytes, expected: tuple[int, str]) -> None:
    response = echo.client.post("/v1/summaries", content=body, headers={"Content-Type": "application/json"})
    assert error(response) == expected


def test_other_errors_have_the_same_form(echo: Running) -> None:
    client = echo.client
    assert error(client.get("/nothing")) == (404, "not_found")
    assert error(client.get("/v1/summaries")) == (405, "method_not_allowed")
    xml = client.post("/v1/summaries", content=b"<a/>", headers={"Content-Type": "application/xml"})
    assert error(xml) == (415, "unknown_content_type")
    broken = client.post("/v1/summaries", content=b"--x\r\n", headers={"Content-Type": "multipart/form-data"})
    assert error(broken) == (400, "invalid_form")
    half = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\na: b'
    cut = client.post("/v1/summaries", content=half, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert error(cut) == (400, "invalid_form")
    assert error(client.post("/v1/summaries", files={"other": ("a.txt", b"a: b")})) == (400, "unknown_field")
    assert error(client.post("/v1/summaries", files={"file": ("a", b"a: b")})) == (400, "invalid_input")
    both = client.post("/v1/summaries", files={"file": ("a.txt", b"a: b")}, data={"text": "a: b"})
    assert error(both) == (400, "no_dialogue")


def test_what_is_no_http_is_refused(echo: Running) -> None:
    host, _, port = echo.url.removeprefix("http://").rpartition(":")
    for garbage in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTCPCP/1.0", b"\0" * 100 + b"\r\n\r\n"):
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(garbage + b"\r\n\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")
    assert echo.client.get("/health").status_code == 200


def test_a_body_that_is_too_large_is_refused_before_it_is_read(echo: Running) -> None:
    too_large = b" " * 300_001
    assert error(echo.client.post("/v1/summaries", content=too_large)) == (413, "body_too_large")

    def pieces() -> Any:  # without a Content-Length
        for _ in range(400):
            yield b" " * 1000

    assert error(echo.client.post("/v1/summaries", content=pieces())) == (413, "body_too_large")
    rows = [{"text": "a: b"}] * 1001
    assert error(echo.client.post("/v1/summaries", json={"dialogues": rows})) == (413, "too_many_dialogues")
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", b"a: b\n" * 1_000_000)
    response = echo.client.post("/v1/summaries", files={"file": ("a.zip", bomb.getvalue())})
    assert error(response) == (413, "body_too_large")


def test_feedback_is_a_line_for_preference_training(echo: Running, tiny_model: Path) -> None:
    from transformers import AutoTokenizer

    body = {
        "dialogue": {"text": TALK},
        "chosen": "민지는 여섯 시에 만나자고 한다.",
        "rejected": "둘이 이야기한다.",
        "kind": "edited",
        "speakers": "tags",
    }
    assert echo.client.post("/v1/feedback", json=body).json() == {"status": "stored"}
    path = Path(echo.folder, "feedback.jsonl")
    line = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text(encoding="utf-8").splitlines()[:2] == ['{"prompt": "…"}', '{"prompt": "cut o']
    assert set(line) == {"prompt", "chosen", "rejected", "model", "kind", "time"}
    assert "#Person1#: 내일 몇 시에 볼까?\n#Person2#: 여섯 시 어때?" in line["prompt"]
    assert line["chosen"] == "#Person1#은 여섯 시에 만나자고 한다."
    assert (line["kind"], line["model"]) == ("edited", "tiny")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    assert tokenizer(line["prompt"])["input_ids"][0] == tokenizer.bos_token_id
    assert not line["prompt"].startswith("<bos>")  # or it would be there twice
    assert error(echo.client.post("/v1/feedback", json={**body, "rejected": body["chosen"]})) == (
        400,
        "invalid_input",
    )
    assert error(echo.client.post("/v1/feedback", json={**body, "kind": "worse"})) == (400, "invalid_field")


def test_feedback_on_a_part_has_the_prompt_of_the_part(echo: Running) -> None:
    first = "민지: 010-1234-5678로 연락하고, 안건을 보자.\n하나: 좋아."
    options = {"mask": True, "speakers": "tags"}
    dialogue = {"text": f"{first}\n{long_talk()}"}
    [summary] = summaries(echo, **dialogue, **options)["summaries"]
    assert len(summary["parts"]) > 2
    texts = {"chosen": "도윤이 찬성한다.", "rejected": "하나가 반대한다.", "kind": "edited"}
    body = {"dialogue": dialogue, **options, **texts}

    def kept(**further: Any) -> str:
        assert echo.client.post("/v1/feedback", json={**body, **further}).json() == {"status": "stored"}
        line = json.loads(Path(echo.folder, "feedback.jsonl").read_text(encoding="utf-8").splitlines()[-1])
        assert (line["chosen"], line["rejected"]) == ("#Person3#이 찬성한다.", "#Person2#가 반대한다.")
        return str(line["prompt"])

    for number, part in enumerate(summary["parts"]):
        prompt = kept(part=number)
        # The tags are those of the whole dialogue, and a turn of the part before comes first.
        numbers = [int(one) for one in re.findall(r"^#Person[13]#: (\d+)번", prompt, re.MULTILINE)]
        if number:
            assert numbers == list(range(part["first"] - 2 - 1, part["last"] - 2 + 1))
    assert "#PhoneNumber#" in kept(part=0)
    truncated = kept(long="truncate")
    assert "#PhoneNumber#" in truncated
    assert "40번" in truncated
    assert "20번" not in truncated
    for further in ({}, {"part": len(summary["parts"])}, {"long": "merge"}, {"long": "truncate", "part": 1}):
        assert error(echo.client.post("/v1/feedback", json={**body, **further})) == (400, "invalid_input")


def test_names_that_no_dialogue_has_are_noticed(echo: Running) -> None:
    response = echo.client.post("/v1/summaries", json={"text": TALK, "names": {"없는사람": "박철수"}})
    assert response.json()["notices"] == ["names: 없는사람: no dialogue has this speaker"]


def test_a_refused_length_names_the_prompt_without_its_folder(echo: Running) -> None:
    response = echo.client.post("/v1/summaries", json={"text": TALK, "length": 80})
    message = response.json()["error"]["message"]
    assert message.startswith("length 80: ")
    assert "/" not in message.partition(" asks")[0]


def test_an_empty_name_is_refused(echo: Running) -> None:
    response = echo.client.post("/v1/summaries", json={"text": TALK, "names": {"민지": " "}})
    assert error(response) == (400, "invalid_field")
    assert "found an empty name" in response.json()["error"]["message"]


def test_a_page_of_another_site_cannot_use_the_service(echo: Running) -> None:
    for headers, code in (
        ({"Origin": "https://example.com"}, "wrong_origin"),
        ({"Host": "attacker.example"}, "wrong_host"),
    ):
        response = echo.client.post("/v1/summaries", json={"text": TALK}, headers=headers)
        assert error(response) == (403, code)
    own = echo.client.post("/v1/summaries", json={"text": TALK}, headers={"Origin": echo.url})
    assert own.status_code == 200


def test_metrics_count_requests_and_summaries(echo: Running) -> None:
    def figures() -> dict[str, float]:
        lines = [line for line in echo.client.get("/metrics").text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    before = figures()
    summaries(echo, text=TALK)
    after = figures()
    answered = 'llm_summ_requests_total{path="/v1/summaries",status="200"}'
    assert after[answered] == before[answered] + 1
    assert after['llm_summ_summaries_total{model="tiny"}'] == before['llm_summ_summaries_total{model="tiny"}'] + 1
    tokens = 'llm_summ_tokens_total{kind="prompt",model="tiny"}'
    assert after[tokens] > before[tokens]
    assert after['llm_summ_engine_ready{model="tiny"}'] == 1
    assert after["llm_summ_requests_under_way"] == 0


def test_the_log_has_no_text_of_a_request(echo: Running) -> None:
    secret = "비밀암호"
    echo.client.post("/v1/summaries", json={"text": f"민지: {secret}", "names": {"민지": secret}})
    echo.client.post("/v1/summaries", json={"text": secret})
    echo.client.post("/v1/summaries", json={"turns": [{"speaker": secret}], secret: 1})
    echo.client.post("/v1/summaries", files={"file": (f"{secret}.txt", secret.encode())})
    echo.client.post("/v1/dialogues", files={"file": (f"{secret}.csv", f"{secret}\n1".encode())})
    echo.client.post("/v1/summaries", content=f"{{{secret}".encode())
    echo.client.get(f"/{secret}?q={secret}")
    headers = {"Content-Type": f"multipart/form-data; boundary={'x' * 9}", "X-Text": "x"}
    part = f'Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: {secret}\r\n\r\na\r\n'
    echo.client.post("/v1/summaries", content=f"--{'x' * 9}\r\n{part}--{'x' * 9}--".encode(), headers=headers)
    echo.until_logged("- 404")
    log = echo.log()
    assert secret not in log
    assert "Traceback" not in log
    assert "unexpected" not in log
    lines = [line for line in log.splitlines() if line.startswith("POST /v1/summaries 200 ")]
    assert lines
    assert all(line.endswith(" tokens") for line in lines)


def test_a_second_signal_ends_at_once(echo: Running) -> None:
    pid = echo.engine_pid()
    with hanging(echo.url):
        until(lambda: echo.figure("llm_summ_requests_open") == 2)  # this one, and that for the figure
        echo.process.send_signal(signal.SIGTERM)
        echo.until_logged("Ending; requests under way:")
        assert error(echo.client.post("/v1/summaries", json={"text": TALK})) == (503, "closing")
        assert echo.process.poll() is None
        echo.process.send_signal(signal.SIGTERM)
        assert echo.process.wait(10) == 128 + signal.SIGTERM
    assert not Path(f"/proc/{pid}").exists()
