"""Merging, with the real libraries on a tiny random model: weights, the other files, verification."""

from __future__ import annotations

import json
import math
import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from inline_snapshot import snapshot
from messages import plain, raises
from tiny_run import STOP_ID, make_run, sha256, weights_of

from llm_summ.cli.merge import merge as command
from llm_summ.core.errors import DataError, InputError, LlmSummError, ModelError, RunError
from llm_summ.merge.job import MergeRequest, merge
from llm_summ.models.adapter import merged_folder, merged_stamp
from llm_summ.models.device import find_device
from llm_summ.recipe import ModelFields, load_recipe
from llm_summ.runs.run import Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore:::transformers", "ignore:::peft", "ignore:::bitsandbytes", "ignore:::torch"
    ),
]


@pytest.fixture(scope="module")
def made(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("made"), tiny_model)


@pytest.fixture
def run(made: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A copy of the run in ``runs/`` of the working directory."""
    shutil.copytree(made.path, tmp_path / "runs" / "tiny")
    monkeypatch.chdir(tmp_path)
    return Run(Path("runs/tiny"))


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file may grow beyond 64 KiB: a write fails halfway, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_from_the_command_to_the_table(run: Run) -> None:
    done = CliRunner().invoke(command, ["--run", "tiny", "--rows", "6"], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == "runs/tiny/merged"
    for shown in (
        "greedy, 6 dialogues",
        "nf4 + adapter",
        "float32 + adapter",
        "merged, as loaded",
        "of what rounding",
    ):
        assert shown in done.stdout
    assert "warning" not in done.stderr
    facts = json.loads((run.merged / "merge.json").read_text(encoding="utf-8"))
    nf4, attached, merged = facts["verification"]["systems"]
    assert [system["name"] for system in (nf4, attached, merged)] == [
        "nf4 + adapter",
        "float32 + adapter",
        "merged, as loaded",
    ]
    assert attached["same_texts"] == merged["same_texts"] == 6
    assert attached["merged_minus"] == merged["merged_minus"]  # all 0
    assert nf4["same_texts"] < 6  # quantization changes the texts of a random model
    assert 0 < facts["verification"]["layers"]["rounding"] <= 1
    assert facts["verification"]["other_prompts"] == 0
    assert merged["signature"].endswith("|post:strip+join_lines+collapse_whitespace+cut_unfinished")
    texts = {path.name: path.read_text(encoding="utf-8") for path in (run.path / "merged.verify").iterdir()}
    assert texts["merged.jsonl"] == texts["float32+adapter.jsonl"] != texts["nf4+adapter.jsonl"]
    assert [set(json.loads(line)) for line in texts["merged.jsonl"].splitlines()] == [
        {"fname", "dialogue", "summary", "tokens", "finish_reason", "sample", "logprob"}
    ] * 6


def test_the_files_of_the_folder(run: Run) -> None:
    base = Path(run.recipe().model.base)
    (base / "LICENSE").write_text("terms", encoding="utf-8")
    folder = merge(run, MergeRequest(verify=False)).folder
    assert left_in(folder) >= {
        *("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
        *("prompt.md", "recipe.yaml", "README.md", "LICENSE", "merge.json", "merged_from.json"),
    }
    (base / "LICENSE").unlink()
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["eos_token_id"] == STOP_ID
    generation = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    generation.pop("transformers_version")
    assert {key: value for key, value in generation.items() if value is not None} == {
        **{"bos_token_id": 1, "eos_token_id": STOP_ID, "pad_token_id": 0},
        **{"do_sample": False, "temperature": 0.0},
    }
    assert (folder / "prompt.md").read_bytes() == run.prompt_path.read_bytes()
    assert load_recipe(folder / "recipe.yaml").lora.r == 4
    card = (folder / "README.md").read_text(encoding="utf-8")
    meta = card.split("---\n")[1]
    assert "language: [ko]" in meta
    assert "base_model" not in meta  # a folder's name is not a repository's
    assert "`<eos>`" in card
    assert "<bos>" in card.split("A prompt as the model sees it:")[1]
    assert "열 시에 역 앞에서 만나요." in card
    assert "\ufffd" not in card


@pytest.mark.parametrize(
    ("lora", "scales"),
    [
        ({}, {"q_proj": 2.0, "up_proj": 2.0}),
        ({"use_rslora": True}, {"q_proj": 4.0, "up_proj": 4.0}),
        (
            {"rank_pattern": {"q_proj": 2, "layers.1.mlp.up_proj": 1}, "alpha_pattern": {"q_proj": 6}},
            {"q_proj": 3.0, "layers.1.mlp.up_proj": 8.0, "layers.0.mlp.up_proj": 2.0},
        ),
    ],
)
def test_weights_are_base_plus_scale_b_a(
    tiny_model: Path, in_tmp: Path, lora: dict[str, Any], scales: dict[str, float]
) -> None:
    """Layer by layer from the files; the embeddings, shared with the head, are the base's and stored once."""
    run = make_run(in_tmp, tiny_model, **lora)
    done = merge(run, MergeRequest(rows=2))
    assert done.verification is not None
    assert done.verification.layers is not None
    assert done.verification.layers.layers == 8
    assert done.verification.warnings == []
    base, adapter, merged = weights_of(in_tmp / "tiny"), weights_of(run.adapter), weights_of(done.folder)
    assert set(merged) == set(base)
    assert "lm_head.weight" not in merged
    np.testing.assert_array_equal(merged["model.embed_tokens.weight"], base["model.embed_tokens.weight"])
    for layer, scale in scales.items():
        names = [name for name in base if name.endswith(f"{layer}.weight")]
        assert names
        for name in names:
            a, b = (adapter[f"base_model.model.{name[:-7]}.lora_{side}.weight"] for side in "AB")
            np.testing.assert_allclose(merged[name], base[name] + scale * b @ a, atol=1e-6)
            assert not np.allclose(merged[name], base[name], atol=1e-3)


def test_nothing_is_merged_twice(run: Run) -> None:
    """`generate` and `merge` use each other's merged folder; a new adapter is merged again."""
    first = merge(run, MergeRequest(rows=2))
    assert first.verification is not None
    recipe = run.recipe()
    weights = run.merged / "model.safetensors"
    stamp = weights.stat()
    assert merged_folder(run, recipe.model, recipe.model.base, find_device(), "float32", STOP_ID) == run.merged
    again = merge(run, MergeRequest(verify=False))
    assert weights.stat() == stamp
    assert again.verification is None
    assert again.facts["verification"] == first.facts["verification"]  # the weights are the same, so it is kept
    other = merge(run, MergeRequest(verify=False, dtype="bfloat16"))
    assert weights.stat().st_size < stamp.st_size
    assert other.facts["verification"] is None
    assert other.facts["dtype"] == "bfloat16"


def test_a_generation_in_another_dtype_leaves_what_was_merged(run: Run) -> None:
    merge(run, MergeRequest(rows=2, dtype="bfloat16"))
    before, base = sha256(run.merged), run.recipe().model
    other = merged_folder(run, base, base.base, find_device(), "float32", STOP_ID)
    assert other == run.path / "merged.float32"
    assert sha256(run.merged) == before
    assert merged_folder(run, base, base.base, find_device(), "bfloat16", STOP_ID) == run.merged


def test_a_changed_base_or_a_missing_file_is_merged_again(run: Run) -> None:
    base = Path(run.recipe().model.base)
    copy = base.with_name("copy")
    shutil.copytree(base, copy)
    model = ModelFields(base=str(copy))

    def merged_at() -> int:
        merged_folder(run, model, str(copy), find_device(), "float32", STOP_ID, Path("mine"))
        return Path("mine/merged_from.json").stat().st_mtime_ns

    first = merged_at()
    assert merged_at() == first
    Path("mine/tokenizer.json").unlink()
    second = merged_at()
    assert Path("mine/tokenizer.json").is_file()
    os.utime(copy / "model.safetensors")  # a copy of the same base is the same base
    assert first < second == merged_at()
    with (copy / "model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x00")
    assert second < merged_at()


def test_no_path_of_this_machine_goes_into_a_folder_that_may_be_given_away(run: Run, tmp_path: Path) -> None:
    data = tmp_path / "secret-customer" / "calls.csv"
    data.parent.mkdir()
    data.write_text("fname,dialogue,summary\na,#Person1#: 네.,짧다.\nb,#Person1#: 응.,길다.\n", encoding="utf-8")
    folder = merge(run, MergeRequest(source=str(data), rows=2)).folder
    texts = [
        path.read_text(encoding="utf-8")
        for path in folder.iterdir()
        if path.suffix in (".json", ".yaml", ".md") and path.name != "tokenizer.json"
    ]
    assert len(texts) >= 7
    assert not [text for text in texts if str(tmp_path) in text or "secret-customer" in text]
    assert load_recipe(folder / "recipe.yaml").model.base == Path(run.recipe().model.base).name


def test_another_stop_token_goes_into_tokenizer_and_configurations(run: Run) -> None:
    """As with chat templates that end turns with a token of their own."""
    from transformers import AutoTokenizer

    model = run.recipe().model
    folder = merged_folder(run, model, model.base, find_device(), "float32", 0, Path("other"))
    assert AutoTokenizer.from_pretrained(folder).eos_token == "<pad>"
    for name in ("config.json", "generation_config.json"):
        assert json.loads((folder / name).read_text(encoding="utf-8"))["eos_token_id"] == 0


def test_sampling_settings_of_the_base_are_not_kept(run: Run, tmp_path: Path) -> None:
    """The repetition penalty is not kept either, which greedy decoding would apply."""
    base = tmp_path / "sampling"
    shutil.copytree(run.recipe().model.base, base)
    asked = {
        "do_sample": True,
        "temperature": 0.6,
        "top_p": 0.9,
        "repetition_penalty": 1.3,
        "eos_token_id": [0, 2],
    }
    (base / "generation_config.json").write_text(json.dumps(asked), encoding="utf-8")
    model = ModelFields(base=str(base))
    folder = merged_folder(run, model, str(base), find_device(), "float32", STOP_ID, Path("greedy"))
    written = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    found = {name: written.get(name) for name in (*asked, "max_length")}
    assert found == {
        **{"do_sample": False, "temperature": 0.0, "top_p": None, "repetition_penalty": None},
        **{"eos_token_id": 2, "max_length": None},
    }


def test_a_folder_of_ones_own(run: Run) -> None:
    mine = Path("mine")
    mine.mkdir()
    assert merge(run, MergeRequest(out=mine, verify=False)).folder == mine  # an empty folder is accepted
    weights = sha256(mine)
    (mine / "merged_from.json").write_text("{}", encoding="utf-8")
    assert merge(run, MergeRequest(out=mine, verify=False)).folder == mine  # it was made by a merge
    assert sha256(mine) == weights
    assert not run.merged.exists()
    (mine / "merged_from.json").unlink()
    with raises(InputError) as caught:
        merge(run, MergeRequest(out=mine, verify=False))
    assert caught.message == snapshot(
        "mine: exists, and was not written by `llm-summ merge` (no merged_from.json); name another folder "
        "with --out, or replace it and everything in it with --force"
    )
    merge(run, MergeRequest(out=mine, verify=False, force=True))
    assert merged_stamp(mine) is not None


@pytest.mark.parametrize("out", [".", "..", "runs", "runs/tiny", "/", "~", "base", "base/.."])
def test_files_that_must_not_be_lost_are_never_replaced(run: Run, out: str) -> None:
    place = Path(out.replace("base", run.recipe().model.base)).expanduser()
    with pytest.raises(
        InputError, match=r"^--out .*: holds files that must not be replaced; name another folder$"
    ):
        merge(run, MergeRequest(out=place, force=True, verify=False))
    assert run.adapter.is_dir()


def test_parts_of_the_run_are_not_replaced_by_force(run: Run) -> None:
    with raises(InputError) as error:
        merge(run, MergeRequest(out=run.adapter, force=True, verify=False))
    assert error.message == snapshot(
        "runs/tiny/adapter: exists, and was not written by `llm-summ merge` (no merged_from.json); name "
        "another folder with --out"
    )
    other = run.path / "merged-bf16"
    assert merge(run, MergeRequest(out=other, dtype="bfloat16", verify=False)).folder == other


def test_without_dev_data(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.recipe_path.write_text(
        run.recipe_path.read_text(encoding="utf-8").replace("dev: sample:dev", "dev:"), encoding="utf-8"
    )
    with raises(InputError) as error:
        merge(run, MergeRequest(verify=True))
    assert error.message == snapshot("--verify: the recipe has no data.dev; name a file with --data")
    assert not run.merged.exists()
    assert merge(run).verification is None
    assert plain(capsys.readouterr().err) == snapshot(
        "Not verified: the recipe has no data.dev (name a file with --data)\n"
        "Merging the adapter into …/tiny (float32) -> runs/tiny/merged\n"
    )
    with raises(DataError) as error:
        merge(run, MergeRequest(source="gone.csv"))
    assert error.message == snapshot(
        "gone.csv: no such file; `llm-summ data sample DIR` writes an example; or skip the verification: "
        "--no-verify"
    )


def test_a_base_that_is_gone(run: Run) -> None:
    text = run.recipe_path.read_text(encoding="utf-8")
    run.recipe_path.write_text(text.replace(run.recipe().model.base, "./gone"), encoding="utf-8")
    with raises(ModelError) as error:
        merge(run, MergeRequest(verify=False))
    assert error.message == snapshot(
        "model.base: ./gone: no such folder in …; expected embedded:gemma-3-270m, a folder, or a hub id "
        "such as Qwen/Qwen3-8B"
    )


def test_an_adapter_that_is_gone(run: Run) -> None:
    shutil.rmtree(run.adapter)
    with raises(RunError) as error:
        merge(run)
    assert error.message == snapshot(
        "runs/tiny: no adapter; its training did not finish; train it again, or choose another run with --run"
    )


def test_a_whole_model_that_is_gone(tiny_model: Path, in_tmp: Path) -> None:
    run = make_run(in_tmp, tiny_model, full=True)
    with raises(RunError) as error:
        merge(run)
    assert error.message == snapshot(
        "…/runs/tiny: no model; its training did not finish; train it again, or choose another run with --run"
    )


def test_a_base_of_another_shape(run: Run, tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    base = tmp_path / "wider"
    shutil.copytree(run.recipe().model.base, base)
    config = LlamaConfig.from_pretrained(base)
    config.intermediate_size = 96
    LlamaForCausalLM(config).save_pretrained(base)
    model = ModelFields(base=str(base))
    with raises(ModelError) as error:
        merged_folder(run, model, str(base), find_device(), "float32", STOP_ID)
    assert error.message == snapshot(
        "runs/tiny/adapter: does not fit the base model, which has other layers than the one that it was "
        "trained on; restore that base, or train the run again"
    )
    assert not run.merged.exists()


def test_weights_beyond_the_range_of_float16(tiny_model: Path, in_tmp: Path) -> None:
    run = make_run(in_tmp, tiny_model, size=1e6)
    with raises(ModelError) as error:
        merge(run, MergeRequest(dtype="float16", verify=False))
    assert error.message == snapshot(
        "…/runs/tiny/adapter: some weights of base and adapter are not finite in float16; choose bfloat16 "
        "or float32"
    )
    assert "merged" not in left_in(run.path)
    merge(run, MergeRequest(dtype="bfloat16", verify=False))  # has the range of float32


def test_an_adapter_with_a_weight_that_is_not_a_number(tiny_model: Path, in_tmp: Path) -> None:
    run = make_run(in_tmp, tiny_model, size=math.inf)
    with raises(ModelError) as error:
        merge(run, MergeRequest(verify=False))
    assert error.message == snapshot(
        "…/runs/tiny/adapter: some weights of base and adapter are not finite in float32; the adapter is "
        "broken; train it again"
    )


def test_a_disk_that_is_full(run: Run, full_disk: None) -> None:
    with raises(LlmSummError) as caught:
        merge(run, MergeRequest(verify=False))
    assert caught.message == snapshot(
        "runs/tiny/merged: cannot be written (…); the partial "
        "folder was removed; free some disk space, or choose another folder"
    )
    assert not [name for name in left_in(run.path) if "merged" in name]
