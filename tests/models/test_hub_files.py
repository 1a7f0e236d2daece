"""The files of a hub's model are known before they are downloaded; the hub is a real server on this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot
from messages import plain

pytest.importorskip("transformers", reason="the extra train is not installed")

from command_line import llm_summ_process
from hub_server import TOKEN, Hub, hub_server

pytestmark = pytest.mark.slow

RECIPE = """
model: {base: tiny/whole, quantization: none}
data: {train: 'sample:train', dev: 'sample:dev', limit: 8}
train: {max_steps: 1}
evaluation: {every: never}
"""
# In a process of its own, since huggingface_hub reads its settings once.
GATE = """
import json, sys
from llm_summ.models.hub_files import hub_findings
from llm_summ.recipe import ModelFields
found = {}
for name in sys.argv[1:]:
    base, _, revision = name.partition("@")
    findings = hub_findings(ModelFields(base=base, revision=revision or None), base)
    found[name] = [[finding.code, finding.refuses, finding.line] for finding in findings]
print(json.dumps(found))
"""


@pytest.fixture
def hub(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Serves the tiny model as tiny/whole; this test's processes use the server and a cache of their own."""
    shutil.copytree(tiny_model, tmp_path / "hub" / "tiny" / "whole")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with hub_server(tmp_path / "hub") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.chdir(tmp_path)
        Path("recipe.yaml").write_text(RECIPE, encoding="utf-8")
        yield hub


def copy(hub: Hub, name: str) -> Path:
    return Path(shutil.copytree(hub.folder / "tiny" / "whole", hub.folder / "tiny" / name))


def findings(*names: str) -> dict[str, list[list[Any]]]:
    """Return code, refusal and line of the findings about each ID or ID@REVISION."""
    done = subprocess.run(
        [sys.executable, "-c", GATE, *names], capture_output=True, encoding="utf-8", check=True, env=os.environ
    )
    found: dict[str, list[list[Any]]] = json.loads(done.stdout)
    return found


def downloaded(tmp_path: Path) -> list[str]:
    """Return the names of the weight files in the cache."""
    return sorted(path.name for path in (tmp_path / "home").rglob("snapshots/**/*.safetensors"))


def test_repositories_that_cannot_be_a_base(hub: Hub, tmp_path: Path) -> None:
    copy(hub, "pickled").joinpath("model.safetensors").rename(hub.folder / "tiny/pickled/pytorch_model.bin")
    shutil.copytree(hub.folder / "tiny/pickled", hub.folder / "tiny/converted")
    hub.converted["tiny/converted"] = 7
    gguf = hub.folder / "tiny" / "gguf"
    gguf.mkdir()
    (gguf / "tiny-Q4_K_M.gguf").write_bytes(b"GGUF")
    parts = copy(hub, "parts")
    (parts / "model.safetensors").rename(parts / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (parts / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    adapter = hub.folder / "tiny" / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"base_model_name_or_path": "tiny/whole"}', encoding="utf-8")
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    copy(hub, "gated")
    hub.gated.add("tiny/gated")
    copy(hub, "large")
    hub.sizes["tiny/large", "model.safetensors"] = 10**18
    names = ("pickled", "converted", "gguf", "parts", "adapter", "gated", "large", "none", "whole@v2")
    found = findings(*(f"tiny/{name}" for name in names))
    lines = {name: line for name, [[_, _, line]] in found.items()}
    assert {name: code for name, [[code, refuses, _]] in found.items() if refuses} == {
        "tiny/pickled": "weights-missing",
        "tiny/converted": "weights-missing",
        "tiny/gguf": "no-configuration",
        "tiny/parts": "weights-missing",
        "tiny/adapter": "adapter-repository",
        "tiny/gated": "hub-gated",
        "tiny/large": "disk-room",
        "tiny/none": "hub-unknown",
        "tiny/whole@v2": "hub-unknown",
    }
    assert plain(lines["tiny/pickled"]) == snapshot(
        "model.base: tiny/pickled: no model.safetensors; expected all of the model's weights, as "
        "safetensors (found pytorch_model.bin, which is not read); take a repository or a model.revision "
        "that has them"
    )
    assert plain(lines["tiny/converted"]) == snapshot(
        "model.base: tiny/converted: no model.safetensors; expected all of the model's weights, as "
        "safetensors (found pytorch_model.bin, which is not read); the hub's converter wrote them to a "
        "pull request: set model.revision to refs/pr/7"
    )
    assert plain(lines["tiny/gguf"]) == snapshot(
        "model.base: tiny/gguf: no config.json (found tiny-Q4_K_M.gguf, which is not read); expected a "
        "transformers model"
    )
    assert plain(lines["tiny/parts"]) == snapshot(
        "model.base: tiny/parts: no model-00002-of-00002.safetensors; expected all of the model's "
        "weights, as safetensors; take a repository or a model.revision that has them"
    )
    assert plain(lines["tiny/adapter"]) == snapshot(
        "model.base: tiny/adapter: an adapter, not a base model; take the model that it was trained on, tiny/whole"
    )
    assert plain(lines["tiny/gated"]) == snapshot(
        "model.base: tiny/gated: access is restricted; accept its terms at http://127.0.0.1:…/tiny/gated "
        "and set HF_TOKEN"
    )
    assert plain(lines["tiny/large"]) == snapshot(
        "model.base: tiny/large: 1000000000.00 GB are to be downloaded to …/home/hub, and its disk has "
        "… GB left; free some disk space, or set HF_HUB_CACHE to a folder on another disk"
    )
    assert plain(lines["tiny/none"]) == snapshot(
        "model.base: tiny/none: no such model at http://127.0.0.1:…, or it is private; check the name, or "
        "set HF_TOKEN"
    )
    assert plain(lines["tiny/whole@v2"]) == snapshot(
        "model.revision: v2: tiny/whole has no such branch, tag or commit at http://127.0.0.1:…; null takes main"
    )
    assert not any("\n" in line for line in lines.values())
    assert downloaded(tmp_path) == []


def test_a_token_opens_a_gated_model(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    copy(hub, "gated")
    hub.gated.add("tiny/gated")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    [[code, refuses, _]] = findings("tiny/gated")["tiny/gated"]
    assert (code, refuses) == ("download", False)


def failure(*arguments: str) -> str:
    """Return the only line of a `check` that fails."""
    done = llm_summ_process("check", "recipe.yaml", *arguments)
    assert (done.code, done.err) == (1, ""), done
    [line] = done.out.splitlines()
    return plain(line)


def test_check_and_a_training_of_a_hubs_model(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`check` prints the size of the download and downloads no weights; after the training nothing is listed.

    Without a connection, missing weights are a note.
    """
    done = llm_summ_process("check", "recipe.yaml", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    [finding] = report["findings"]
    assert (finding["code"], finding["refuses"]) == ("download", False)
    assert finding["line"] in report["notes"]
    assert downloaded(tmp_path) == []
    with monkeypatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        done = llm_summ_process("check", "recipe.yaml", "--json")
    assert done.code == 0, done.err
    [finding] = json.loads(done.out)["findings"]
    assert (finding["code"], finding["refuses"]) == ("weights-missing", False)
    assert "no model.safetensors in the hub's cache on this machine" in finding["line"]
    done = llm_summ_process("sft", "recipe.yaml", "--run", "one")
    assert done.code == 0, done.err
    assert downloaded(tmp_path) == ["model.safetensors"]
    hub.requests.clear()
    assert findings("tiny/whole") == {"tiny/whole": []}
    assert hub.requests == []


def test_a_model_that_does_not_exist_is_refused_in_one_line(hub: Hub) -> None:
    assert failure("--set", "model.base=tiny/whle") == snapshot(
        "would fail: model.base: tiny/whle: no such model at http://127.0.0.1:…, or it is private; "
        "check the name, or set HF_TOKEN"
    )


def test_a_hub_that_fails_or_is_out_of_reach(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The base is then loaded, or refused, as without a list of its files."""
    copy(hub, "broken")
    hub.broken.add("tiny/broken")
    assert findings("tiny/broken") == {"tiny/broken": []}
    assert failure("--set", "model.base=tiny/broken") == snapshot(
        "would fail: model.base: tiny/broken: unavailable (…); check the name and the connection, or name "
        "a local folder or embedded:gemma-3-270m"
    )
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert failure() == snapshot(
        "would fail: model.base: tiny/whole: unavailable (…); check the name and the connection, or name "
        "a local folder or embedded:gemma-3-270m"
    )
