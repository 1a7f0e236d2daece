"""Summarise a text file by a running service (`llm-summ serve`), in three ways.

::

    python examples/summarize_over_http.py talk.txt
    python examples/summarize_over_http.py talk.txt --url http://127.0.0.1:8000 --way openai

`urllib` needs no package, `stream` shows the text while it is written (httpx), and `openai` is OpenAI's
client. The key, if the service needs one, is in the environment variable LLM_SUMM_API_KEY.
"""

import argparse
import json
import os
import urllib.error
import urllib.request
from pathlib import Path

KEY = os.environ.get("LLM_SUMM_API_KEY", "none")


def by_urllib(url: str, text: str) -> None:
    """Print the summary and its parts."""
    request = urllib.request.Request(
        f"{url}/v1/summaries",
        json.dumps({"text": text}).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"},
    )
    try:
        with urllib.request.urlopen(request) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        raise SystemExit(error.read().decode()) from error
    for summary in answer["summaries"]:
        if "error" in summary:  # a chat may be cut into several dialogues, and the others have summaries
            print(f"{summary['id']}: {summary['error']['message']}")
            continue
        print(summary["summary"])
        for part in summary["parts"]:
            print(f"  turns {part['first']} to {part['last']}: {part['text']}")


def by_stream(url: str, text: str) -> None:
    """Print the text while the model writes it, then the finished summary."""
    import httpx

    body = {"text": text, "stream": True}
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.stream("POST", f"{url}/v1/summaries", json=body, headers=headers, timeout=600) as response:
        if response.status_code != 200:
            raise SystemExit(response.read().decode())
        name = ""
        for line in response.iter_lines():
            kind, _, value = line.partition(": ")
            if kind == "event":
                name = value
            elif kind == "data":
                data = json.loads(value)
                if name == "delta":
                    print(data["text"], end="", flush=True)
                elif name == "summary":
                    print(f"\nfinished: {data['summary']}")
                elif name == "error":
                    print(f"\nerror: {data['error']['message']}")


def by_openai(url: str, text: str) -> None:
    """Print the summary that OpenAI's client gets."""
    import openai

    client = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY)
    model = client.models.list().data[0].id
    answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}])
    print(answer.choices[0].message.content)


def main() -> None:
    """Read the file, and ask the service."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="a turn on each line")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--way", choices=["urllib", "stream", "openai"], default="urllib")
    arguments = parser.parse_args()
    ways = {"urllib": by_urllib, "stream": by_stream, "openai": by_openai}
    ways[arguments.way](arguments.url, arguments.file.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
