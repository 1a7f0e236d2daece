"""Measure `llm-summ serve`: many clients at once, compared with an offline generation of the same dialogues.

    python scripts/bench_serve.py                                    # the latest run, or the embedded model
    python scripts/bench_serve.py --run hour --clients 32 --each 20
    python scripts/bench_serve.py --clients 8 --each 2 --set generate.max_new_tokens=32     # a small one

Each client sends its requests one after the other, with one dialogue each, over a connection of its own. The time
is that of the requests, without the start of the service. Then the same dialogues are summarised at once, with the
same engine and settings, in this process. Exit 1 if a request got no summary, or if the service's throughput is
below --least times that of the offline generation.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import httpx

from llm_summ.core.errors import LlmSummError
from llm_summ.core.terminal import shown_on_stderr
from llm_summ.data import Dialogue, read_dialogues
from llm_summ.generate.model_choice import choose_model

WARM_UP = 4  # dialogues before the time is taken
WAIT = 600.0  # seconds for the start, and for a request


def main() -> int:
    """Run the measurement; 1 if a request is lost or the service is too slow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", help="by default the latest, or the embedded model if there is none")
    parser.add_argument("--model", help="a merged folder, or a model without a training")
    parser.add_argument("--engine", default="hf")
    parser.add_argument("--data", default="sample:test")
    parser.add_argument("--clients", type=int, default=32, help="at a time")
    parser.add_argument("--each", type=int, default=20, help="requests of each client")
    parser.add_argument("--least", type=float, default=0.8, help="share of the offline throughput")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    try:
        dialogues = numbered(read_dialogues(arguments.data), arguments.clients * arguments.each)
        with shown_on_stderr():
            online_seconds, delays, texts = serve(arguments, dialogues)
            offline_seconds, expected = generate(arguments, dialogues)
    except LlmSummError as error:
        print(f"bench_serve.py: {error}", file=sys.stderr)
        return error.exit_code
    lost = sum(text is None for text in texts)
    rate, offline_rate = (len(dialogues) - lost) / online_seconds, len(dialogues) / offline_seconds
    delays.sort()
    print(f"requests   {len(dialogues)} of {arguments.clients} clients, {lost} lost")
    print(f"delay      p50 {statistics.median(delays):.2f} s, p95 {delays[int(0.95 * (len(delays) - 1))]:.2f} s")
    print(f"service    {rate:.2f} summaries/s ({online_seconds:.1f} s)")
    print(f"offline    {offline_rate:.2f} summaries/s ({offline_seconds:.1f} s)")
    print(f"ratio      {rate / offline_rate:.2f}")
    same = sum(text == other for text, other in zip(texts, expected, strict=True))
    print(f"same text  {same} of {len(dialogues)} (in 16 bits, rounding depends on what is computed together)")
    return int(lost > 0 or rate < arguments.least * offline_rate)


def numbered(dialogues: Sequence[Dialogue], count: int) -> list[Dialogue]:
    """Return so many dialogues, with ids that differ."""
    return [replace(dialogues[number % len(dialogues)], id=f"d{number}") for number in range(count)]


def serve(
    arguments: argparse.Namespace, dialogues: Sequence[Dialogue]
) -> tuple[float, list[float], list[str | None]]:
    """Return the seconds of all requests, the delay of each, and the summaries; None for a lost one."""
    with service(arguments) as url:
        texts: list[str | None] = [None] * len(dialogues)
        delays: list[float] = []
        begin = threading.Event()

        def client(number: int) -> None:
            with httpx.Client(base_url=url, timeout=WAIT) as http:
                begin.wait()
                for index in range(number, len(dialogues), arguments.clients):
                    begun = time.monotonic()
                    texts[index] = ask(http, dialogues[index])
                    delays.append(time.monotonic() - begun)

        with httpx.Client(base_url=url, timeout=WAIT) as http:
            for dialogue in dialogues[:WARM_UP]:
                ask(http, dialogue)
        with ThreadPoolExecutor(arguments.clients) as pool:
            clients = [pool.submit(client, number) for number in range(arguments.clients)]
            begun = time.monotonic()
            begin.set()
            for one in clients:
                one.result()
        return time.monotonic() - begun, delays, texts


def ask(http: httpx.Client, dialogue: Dialogue) -> str | None:
    """Return the summary of a dialogue; None if there is none."""
    body = {"dialogues": [{"id": dialogue.id, "text": dialogue.text}], "speakers": "keep"}
    try:
        response = http.post("/v1/summaries", json=body)
    except httpx.HTTPError as error:
        print(f"{dialogue.id}: {type(error).__name__}", file=sys.stderr)
        return None
    if response.status_code != 200:
        print(f"{dialogue.id}: {response.status_code}", file=sys.stderr)
        return None
    summary: str | None = response.json()["summaries"][0].get("summary")
    return summary


@contextmanager
def service(arguments: argparse.Namespace) -> Iterator[str]:
    """Run the service until the end of the block, and give its address."""
    command = [sys.executable, "-m", "llm_summ", "serve", "--port", "0", "--engine", arguments.engine]
    command += ["--max-requests", str(arguments.clients), "--timeout", str(WAIT)]
    for name in ("run", "model"):
        command += [f"--{name}", value] if (value := getattr(arguments, name)) else []
    for override in arguments.overrides:
        command += ["--set", override]
    environment = {name: value for name, value in os.environ.items() if name != "LLM_SUMM_API_KEY"}
    # The log has a line for each request.
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().decode().partition(": ")[2].strip()
            until = time.monotonic() + WAIT
            while not is_ready(url):
                if not url or process.poll() is not None or time.monotonic() > until:
                    raise LlmSummError(f"the service did not start; try it: {' '.join(command[1:])}")
                time.sleep(0.2)
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def is_ready(url: str) -> bool:
    """Return whether a service works; not if its process has ended."""
    try:
        return bool(url) and httpx.get(f"{url}/health").status_code == 200
    except httpx.HTTPError:
        return False


def generate(arguments: argparse.Namespace, dialogues: Sequence[Dialogue]) -> tuple[float, list[str]]:
    """Return the seconds of an offline generation, and the summaries."""
    choice = choose_model(arguments.run, arguments.model)
    with choice.open(
        engine=arguments.engine, overrides=arguments.overrides, expected=len(dialogues)
    ) as summarizer:
        summarizer.summarize(dialogues[:WARM_UP], long="list")
        begun = time.monotonic()
        summaries = summarizer.summarize(dialogues, long="list")
        return time.monotonic() - begun, [summary.text for summary in summaries]


if __name__ == "__main__":
    sys.exit(main())
