"""The ledger: what is said of runs in every state, which scores are compared, and what the leaderboard adds."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_summ.cli.runs import runs as runs_command
from llm_summ.errors import InputError, RunError
from llm_summ.files import append_lines, file_sha256, write_json
from llm_summ.ledger import Entry, Ledger, Sort, listing, note_score, read_entry, read_ledger, run_page
from llm_summ.ledger.compare import parts_that_differ
from llm_summ.ledger.entry import read_fields, seconds_of
from llm_summ.recipe import (
    DataFields,
    LoraFields,
    ModelFields,
    PromptFields,
    Recipe,
    TrainFields,
    bundled_dir,
    dump_recipe,
    load_recipe,
)
from llm_summ.run import Run, create_run, mark_latest, open_run

RUNS = Path("runs")
SIGNATURE = "variant:rouge|tok:mecab-ko:1.3.7,dic:2.1.1.post2|nrefs:3|refs:mean|empty:0|v:0.1.0|post:strip"
OTHER = SIGNATURE.replace("v:0.1.0", "v:0.2.0")
DEV = "d" * 64


def recipe(**train: Any) -> Recipe:
    return Recipe(
        model=ModelFields(base="x/y-8b"),
        data=DataFields(train="train.csv"),
        prompt=PromptFields(template="expert"),
        train=TrainFields(**train),
    )


def make(
    name: str,
    *,
    hour: int = 10,
    made: Recipe | None = None,
    adapter: str | None = None,
    trained: bool = True,
) -> Run:
    """A run as `llm-summ sft` leaves it; it ended at `hour`."""
    manifest: dict[str, Any] = {
        "started": f"2026-03-01T{hour:02}:00:00+00:00",
        "seed": 42,
        "device": {"kind": "cuda", "name": "H100", "dtype": "bfloat16"},
        "prompt": {"name": "expert", "sha256": "e" * 64},
        "data": {"train": {"rows": 12457, "sha256": {"train.csv": "a" * 64}}},
        "versions": {"llm-summ": "0.1.0"},
    }
    if trained:
        manifest["training"] = {
            "finished": f"2026-03-01T{hour:02}:30:00+00:00",
            "seconds": 1800.0,
            "steps": 779,
            "tokens": 5000000,
            "last_loss": 1.25,
            "adapter_sha256": adapter or name * 8,
        }
    run = create_run(RUNS / name, made or recipe(), "prompt", manifest)
    if trained:
        run.adapter.mkdir()
        (run.adapter / "adapter_model.safetensors").write_bytes(b"\0" * 1_200_000)
    return run


def give_score(
    run: Run,
    final: float,
    *,
    data: str = "dev.csv",
    sha256: str | None = DEV,
    signature: str | None = SIGNATURE,
    name: str = "dev.vllm",
    hour: int = 12,
    **more: Any,
) -> Path:
    path = run.scores / f"{name}.json"
    found = {
        "data": data,
        "data_sha256": sha256,
        "scored": f"2026-03-02T{hour:02}:00:00+00:00",
        "rouge1": final + 9,
        "rouge2": final - 9,
        "rougeL": final,
        "final": final,
        "signature": signature,
        **more,
    }
    write_json(path, {key: value for key, value in found.items() if value is not None})
    return path


def submit(run: Run, text: str) -> str:
    path = run.path / "submission.csv"
    path.write_text(text, encoding="utf-8")
    return file_sha256(path)


def runs(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(runs_command, arguments, catch_exceptions=False)
    return done.exit_code, done.stdout, done.stderr


def lines(sort: Sort = "time") -> list[str]:
    return list(listing(read_ledger(RUNS, sort)).lines)


def table(sort: Sort = "time") -> list[tuple[str, ...]]:
    found = listing(read_ledger(RUNS, sort)).table
    return [found.headers, *found.rows]


def entry(name: str) -> Entry:
    return read_entry(open_run(RUNS, name))


def names(ledger: Ledger) -> list[str]:
    return [one.run.name for one in ledger.entries]


def test_runs_side_by_side(in_tmp: Path) -> None:
    first = make("r1", hour=10)
    second = make("r2", hour=11, made=recipe(learning_rate=1e-4))
    mark_latest(first)
    give_score(first, 47.5, interval={"low": 46.04, "high": 48.96, "confidence": 0.95})
    give_score(second, 48.25)
    note_score(first, "51.24")
    assert table() == [
        ("run", "score", "lb", "finished (UTC)", "min"),
        ("r2", "48.25", "", "2026-03-01 11:30", "30.0"),
        ("r1 (latest)", "47.50 [46.0, 49.0]", "51.24", "2026-03-01 10:30", "30.0"),
    ]
    assert lines() == [
        "in all runs:",
        "  data      dev.csv",
        "  model     x/y-8b, nf4",
        "  prompt    expert eeeeeeee",
        "  train     train.csv aaaaaaaa, 12,457 rows",
        "  adapter   1.2 MB, r 16",
        "what differs:",
        "  r2  learning_rate=0.0001",
        "  r1  learning_rate=0.0002",
        f"signature  {SIGNATURE}",
        "leaderboard against local scores: 1 run has both, of the same data and signature; 2 more, and it can be "
        "said how they go together",
    ]


def test_the_order_of_runs(in_tmp: Path) -> None:
    for name, hour, final, posted in (("a", 3, 40.0, "45"), ("b", 2, 42.0, None), ("c", 1, 41.0, "46")):
        run = make(name, hour=hour)
        give_score(run, final)
        if posted:
            note_score(run, posted)
    give_score(make("other-data", hour=4), 60, data="easy.csv", sha256="e" * 64)
    give_score(make("untuned", hour=5), 50, untuned=True)
    make("bare", hour=6)
    assert names(read_ledger(RUNS)) == ["bare", "untuned", "other-data", "a", "b", "c"]
    assert names(read_ledger(RUNS, "score")) == ["b", "c", "a", "other-data", "untuned", "bare"]
    assert names(read_ledger(RUNS, "lb"))[:2] == ["c", "a"]


def test_what_differs_is_seen_at_once_in_runs_of_many_fields(in_tmp: Path) -> None:
    make("a", hour=1)
    make("b", hour=2)
    unlike = recipe(epochs=3, weight_decay=0.1, batch_size=32).model_copy(
        update={
            "lora": LoraFields(r=8, alpha=16, targets=["q_proj", "v_proj"]),
            "model": ModelFields(base="z", quantization="none"),
        }
    )
    make("c", hour=3, made=unlike)
    assert lines()[3:9] == [
        "what differs:",
        "  c  z, none; alpha=16, targets=[q_proj, v_proj], epochs=3.0, weight_decay=0.1, train.batch_size=32; "
        "1.2 MB, r 8",
        "  b  x/y-8b, nf4; 1.2 MB, r 16",
        "  a  x/y-8b, nf4; 1.2 MB, r 16",
        "  where nothing is said: alpha=32, targets=all-linear, epochs=2.0, weight_decay=0.0, train.batch_size=16",
    ]


def test_scores_with_other_signatures_are_marked(in_tmp: Path) -> None:
    for name, signature, hour in (("a", SIGNATURE, 1), ("b", SIGNATURE, 2), ("c", OTHER, 3), ("d", None, 4)):
        give_score(make(name, hour=hour), 40, signature=signature)
    assert [row[:3] for row in table()] == [
        ("run", "score", "sig"),
        ("d", "40.00", "B"),
        ("c", "40.00", "C"),
        ("b", "40.00", "A"),
        ("a", "40.00", "A"),
    ]
    assert lines()[-4:] == [
        f"signature A  {SIGNATURE}",
        "signature B  not known",
        "signature C  as A, but v:0.2.0 (not v:0.1.0)",
        "scores with different signatures are not comparable as they stand",
    ]


@pytest.mark.parametrize(
    ("one", "other", "parts"),
    [
        ("v:1|nrefs:3", "v:1|nrefs:3", []),
        ("v:1|nrefs:3", "v:2|nrefs:3", [("v", "v:1", "v:2")]),
        ("v:1", "v:1|post:none", [("post", "nothing", "post:none")]),
        (
            "tok:a:1,dic:2|v:1",
            "tok:a:1,dic:3",
            [("tok", "tok:a:1,dic:2", "tok:a:1,dic:3"), ("v", "v:1", "nothing")],
        ),
        ("", "v:1", [("v", "nothing", "v:1")]),
    ],
)
def test_which_part_of_a_signature_differs(one: str, other: str, parts: list[tuple[str, str, str]]) -> None:
    assert list(parts_that_differ(one, other)) == parts


def test_data_of_one_name_and_different_content_are_told_apart(in_tmp: Path) -> None:
    give_score(make("a", hour=1), 40)
    give_score(make("b", hour=2), 40, sha256="b" * 64)
    give_score(make("c", hour=3), 40, sha256=None)
    assert [row[2] for row in table()] == [
        "data",
        "dev.csv (hash unknown)",
        "dev.csv bbbbbbbb",
        "dev.csv dddddddd",
    ]


def test_data_of_one_content_have_one_name(in_tmp: Path) -> None:
    give_score(make("a", hour=1), 40, data="dev.csv", hour=1)
    give_score(make("b", hour=2), 41, data="data/dev.csv", hour=2)
    assert "data" not in table()[0]
    assert lines()[1] == "  data      data/dev.csv"


def test_which_score_stands_for_a_run(in_tmp: Path) -> None:
    first, second = make("a", hour=1), make("b", hour=2)
    give_score(first, 40, name="dev.hf", hour=1)
    newest = give_score(first, 41, name="dev.vllm", hour=2)
    give_score(first, 60, name="dev.vllm.untuned", hour=3, untuned=True)
    give_score(first, 70, name="easy.vllm", data="easy.csv", sha256="e" * 64, hour=4)
    untuned = give_score(second, 25, name="dev.vllm.untuned", untuned=True)
    give_score(make("c", hour=3), 42)
    ledger = read_ledger(RUNS)
    assert {one.run.name: score.path for one in ledger.entries if (score := ledger.score(one))} == {
        "a": newest,
        "b": untuned,
        "c": RUNS / "c" / "scores" / "dev.vllm.json",
    }
    assert ("b", "25.00", "dev.csv, untuned") in [row[:3] for row in table()]


def test_a_score_of_an_earlier_version(in_tmp: Path) -> None:
    run = make("a")
    write_json(run.scores / "sample-dev.hf.untuned.json", {"final": 30, "signature": SIGNATURE})
    [score] = entry("a").scores
    assert (score.data, score.engine, score.untuned, score.final) == ("sample-dev", "hf", True, 30.0)
    assert (score.data_sha256, score.interval) == (None, None)


def test_a_manifest_of_an_earlier_version(in_tmp: Path) -> None:
    run = make("a")
    manifest = run.manifest() | {"data": {"train": {"source": "old.csv", "rows": 7, "sha256": "f" * 64}}}
    write_json(run.manifest_path, manifest)
    assert "  train     old.csv ffffffff, 7 rows" in lines()


def test_several_training_files(in_tmp: Path) -> None:
    run = make("a")
    hashes = {"one.csv": "1" * 64, "둘.jsonl": "2" * 64}
    write_json(run.manifest_path, run.manifest() | {"data": {"train": {"rows": 1500, "sha256": hashes}}})
    assert "  train     one.csv 11111111 + 둘.jsonl 22222222, 1,500 rows" in lines()


def test_a_training_that_has_not_ended(in_tmp: Path) -> None:
    run = make("a", trained=False)
    assert entry("a").reasons == ("stopped before the first step was logged, or still training",)
    with append_lines(run.log_path) as log:
        log.write('{"step": 16}\n{"step": 17}\n{"st')
    assert entry("a").state == "unfinished"
    assert entry("a").reasons == ("stopped after step 17, or still training",)
    assert table() == [("run", "finished (UTC)"), ("a", "unfinished")]
    assert "a: unfinished: stopped after step 17, or still training" in lines()


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("manifest.json", "{", "runs/a/manifest.json: cannot be read (Expecting property name enclosed in double"),
        ("manifest.json", "[]", "runs/a/manifest.json: found list, expected an object"),
        ("manifest.json", '{"seed": NaN}', "runs/a/manifest.json: cannot be read (NaN is not a number)"),
        ("manifest.json", '{"seed": 1e999}', "runs/a/manifest.json: cannot be read (1e999 is not a number)"),
        ("manifest.json", "[" * 100_000, "runs/a/manifest.json: cannot be read ("),
        ("manifest.json", "\ud800", "runs/a/manifest.json: cannot be read ('utf-8' codec can't decode"),
        ("manifest.json", None, "runs/a/manifest.json: no such file; expected one beside the recipe"),
        ("recipe.yaml", "model: {base: x}\ntrain: {lr: 1}", "runs/a/recipe.yaml:2: train.lr: unknown field; "),
        ("recipe.yaml", "a: [", "runs/a/recipe.yaml:1: not valid YAML: "),
        ("recipe.yaml", None, "runs/a: no recipe.yaml; expected a folder made by `llm-summ sft`"),
        ("scores/dev.hf.json", "", "runs/a/scores/dev.hf.json: cannot be read (Expecting value"),
        ("scores/dev.hf.json", '{"final": 101}', "runs/a/scores/dev.hf.json: no score in it; expected final"),
        ("scores/dev.hf.json", '{"final": true}', "runs/a/scores/dev.hf.json: no score in it; expected final"),
        ("leaderboard.json", "{}", "runs/a/leaderboard.json: found dict, expected a list; mend it or remove it"),
        ("leaderboard.json", "[1]", "runs/a/leaderboard.json: entry 1: found int, expected an object"),
        (
            "leaderboard.json",
            '[{"score": "5"}]',
            "runs/a/leaderboard.json: entry 1: score: found '5', expected a n",
        ),
        (
            "leaderboard.json",
            '[{"score": 5, "noted": 1}]',
            "runs/a/leaderboard.json: entry 1: noted: found 1, exp",
        ),
        ("adapter/adapter_model.safetensors", None, "runs/a/adapter/adapter_model.safetensors: not there, though"),
    ],
)
def test_a_damaged_run_is_listed_with_the_reason(
    in_tmp: Path, file: str, content: str | None, reason: str
) -> None:
    path = make("a").path / file
    give_score(make("b", hour=1), 40)
    path.parent.mkdir(exist_ok=True)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content.encode(errors="surrogatepass"))
    damaged = entry("a")
    assert damaged.state == "damaged"
    assert any(found.startswith(reason) for found in damaged.reasons), damaged.reasons
    assert ("b", "40.00") in [row[:2] for row in table()]
    assert any(line.startswith(f"a: damaged: {reason}") for line in lines())
    for arguments in ([], ["--json"], ["a"], ["a", "--json"]):
        code, out, _ = runs(*arguments)
        assert code == 0
        assert "damaged" in out


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
PARTS = ("started", "seed", "device", "prompt", "data", "versions", "training", "shortened", "platform", "git")


@settings(deadline=None, max_examples=40)
@given(manifest=st.fixed_dictionaries({}, optional=dict.fromkeys(PARTS, JSON)), inner=JSON, score=JSON)
def test_whatever_json_a_run_holds_it_is_listed(
    tmp_path_factory: pytest.TempPathFactory, manifest: dict[str, Any], inner: Any, score: Any
) -> None:
    run = create_run(tmp_path_factory.mktemp("project") / "runs" / "a", recipe(), "prompt", {})
    nested = {"training": dict.fromkeys(("finished", "seconds", "steps", "adapter_sha256"), inner)}
    write_json(run.manifest_path, nested | {"data": {"train": {"sha256": inner, "rows": inner}}} | manifest)
    write_json(run.scores / "dev.hf.json", {"final": 5, "interval": inner, "data": score, "signature": score})
    write_json(run.scores / "dev2.hf.json", score)
    write_json(run.path / "leaderboard.json", score)
    ledger = read_ledger(run.path.parent)
    shown = listing(ledger)
    assert [row[0] for row in shown.table.rows] == ["a"]
    assert run_page(ledger, ledger.entries[0]).facts
    json.dumps(ledger.to_json(), allow_nan=False)


def test_a_folder_that_is_no_run_and_files_beside_runs(in_tmp: Path) -> None:
    make("a", hour=23)
    (RUNS / "notes").mkdir()
    (RUNS / ".trainer.x").mkdir()
    (RUNS / "todo.txt").write_text("", encoding="utf-8")
    os.utime(RUNS / "notes", (0, 0))
    assert names(read_ledger(RUNS)) == ["a", "notes"]
    assert "notes: damaged: runs/notes: no recipe.yaml; expected a folder made by `llm-summ sft`" in lines()


def test_no_runs_at_all(in_tmp: Path) -> None:
    said = "runs: no runs here; make one: llm-summ sft recipes/qlora.yaml\n"
    assert runs() == (0, "", said)
    RUNS.mkdir()
    assert runs() == (0, "", said)
    code, out, _ = runs("--json")
    assert code == 0
    assert json.loads(out)["runs"] == []


def test_names_of_any_script(in_tmp: Path) -> None:
    run = make("요약_실험-1")
    give_score(run, 40, data="자료/검증.csv")
    _, out, _ = runs()
    assert "요약_실험-1" in out
    assert "자료/검증.csv" in out
    code, out, _ = runs("요약_실험-1", "--json")
    assert code == 0
    assert json.loads(out)["name"] == "요약_실험-1"


def test_what_differs_stands_in_columns_beside_korean_names(in_tmp: Path) -> None:
    make("요약", hour=1)
    make("run-12", hour=2, made=recipe(epochs=1))
    assert lines()[-2:] == ["  run-12  epochs=1.0", "  요약    epochs=2.0"]


def test_equal_adapters_and_equal_submissions_are_named(in_tmp: Path) -> None:
    one, other = make("a", hour=1, adapter="f" * 64), make("b", hour=2, adapter="f" * 64)
    third = make("c", hour=3)
    assert submit(one, "fname,summary\n") == submit(third, "fname,summary\n")
    submit(other, "fname,summary\ntest_0,요약\n")
    assert "b, a: the same adapter (SHA-256 ffffffff)" in lines()
    [said] = [line for line in lines() if "submission" in line]
    assert re.fullmatch(r"c, a: the same submission \(SHA-256 [0-9a-f]{8}\)", said)


def test_a_submission_that_was_scored_counts_although_it_was_overwritten(in_tmp: Path) -> None:
    one, other = make("a", hour=1), make("b", hour=2)
    submit(one, "x")
    note_score(one, "50")
    submit(one, "y")
    submit(other, "x")
    assert any(line.startswith("b, a: the same submission") for line in lines())


def test_a_leaderboard_score_is_noted(in_tmp: Path) -> None:
    run = make("a")
    sha256 = submit(run, "fname,summary\n")
    first, fresh = note_score(run, "51.24", "공개 점수")
    assert fresh
    assert (first.score, first.submission_sha256, first.note) == (51.24, sha256, "공개 점수")
    seconds = seconds_of(first.noted)
    assert seconds is not None
    assert abs(seconds - (run.path / "leaderboard.json").stat().st_mtime) < 60
    note_score(run, "50")
    assert [note.score for note in entry("a").leaderboard] == [51.24, 50.0]
    assert json.loads((run.path / "leaderboard.json").read_text(encoding="utf-8"))[0] == first.to_json()


def test_a_leaderboard_score_is_noted_once_for_a_submission(in_tmp: Path) -> None:
    run = make("a")
    first, _ = note_score(run, "51.24")
    assert note_score(run, "51.240", "again") == (first, False)
    submit(run, "x")
    assert note_score(run, "51.24")[1]
    submit(run, "y")
    assert note_score(run, "51.24")[1]
    assert not note_score(run, "51.24")[1]
    assert len(entry("a").leaderboard) == 3


@pytest.mark.parametrize("score", ["", "x", "51,24", "-0.1", "100.01", "nan", "inf", "1e9"])
def test_what_is_no_score_is_refused(in_tmp: Path, score: str) -> None:
    run = make("a")
    with pytest.raises(InputError) as error:
        note_score(run, score)
    expected = "not a score; expected a number from 0 to 100, such as 51.24"
    assert str(error.value) == f"--add-lb a {score}: {expected}"
    assert not (run.path / "leaderboard.json").exists()


@pytest.mark.parametrize("score", ["0", "100", " 51.24 "])
def test_the_ends_are_scores(in_tmp: Path, score: str) -> None:
    assert note_score(make("a"), score)[0].score == float(score)


def test_a_damaged_list_is_never_overwritten(in_tmp: Path) -> None:
    run = make("a")
    path = run.path / "leaderboard.json"
    path.write_text("[", encoding="utf-8")
    with pytest.raises(RunError, match=r"^runs/a/leaderboard\.json: cannot be read .*; mend it or remove it$"):
        note_score(run, "50")
    assert path.read_text(encoding="utf-8") == "["


def test_a_folder_that_is_no_run_takes_no_score(in_tmp: Path) -> None:
    (in_tmp / "notes").mkdir()
    with pytest.raises(RunError, match=r"^notes: no recipe\.yaml; expected a folder made by"):
        note_score(open_run(RUNS, "notes"), "50")
    assert list((in_tmp / "notes").iterdir()) == []


def both(rows: Iterable[tuple[str, float, float]], signature: str = SIGNATURE) -> None:
    """Runs with a local and a leaderboard score, the first the newest."""
    for place, (name, local, posted) in enumerate(rows):
        run = make(name, hour=20 - place)
        give_score(run, local, signature=signature)
        note_score(run, str(posted))


def test_how_local_and_leaderboard_scores_go_together(in_tmp: Path) -> None:
    both([("a", 40, 44), ("b", 41, 47), ("c", 42, 46.5)])
    agreement = read_ledger(RUNS).agreement
    assert agreement is not None
    assert agreement.to_json() == {
        "data": "dev.csv",
        "signature": SIGNATURE,
        "runs": [
            {"name": "a", "local": 40.0, "leaderboard": 44.0},
            {"name": "b", "local": 41.0, "leaderboard": 47.0},
            {"name": "c", "local": 42.0, "leaderboard": 46.5},
        ],
        # ranks 1 2 3 and 1 3 2: rho = 1 - 6 * (0 + 1 + 1) / (3 * 8); every order of three has |rho| of 0.5 or 1
        "spearman": {"rho": pytest.approx(0.5), "p": pytest.approx(1), "n": 3},
        "mean_difference": pytest.approx((4 + 6 + 4.5) / 3),
        "swapped": [["c", "b"]],
    }
    assert lines()[-2:] == [
        "leaderboard against local scores (dev.csv): Spearman's rank correlation 0.50 (n 3, p 1.000), "
        "mean difference +4.83",
        "  in another order: c and b (local 42.00 and 41.00, leaderboard 46.50 and 47.00)",
    ]


def test_the_same_order_on_both_sides(in_tmp: Path) -> None:
    both([("a", 40, 44), ("b", 41, 45), ("c", 42, 45)])
    agreement = read_ledger(RUNS).agreement
    assert agreement is not None
    assert agreement.swapped == ()  # equal on one side is no other order
    assert lines()[-1] == "  no two runs stand in another order"


def test_a_side_that_is_constant_has_no_order(in_tmp: Path) -> None:
    both([("a", 40, 44), ("b", 41, 44), ("c", 42, 44)])
    assert any(
        "no rank correlation, since one side is constant, mean difference +3.00" in line for line in lines()
    )


@pytest.mark.parametrize(("there", "said"), [(0, None), (1, "1 run has both"), (2, "2 runs have both")])
def test_how_many_runs_are_missing(in_tmp: Path, there: int, said: str | None) -> None:
    both([("a", 40, 44), ("b", 41, 45)][:there])
    give_score(make("local-only", hour=1), 39)
    assert read_ledger(RUNS).agreement is None
    found = [line for line in lines() if line.startswith("leaderboard")]
    more = f"{3 - there} more, and it can be said how they go together"
    line = f"leaderboard against local scores: {said}, of the same data and signature; {more}"
    assert found == ([] if said is None else [line])


def test_scores_that_are_not_comparable_are_left_out(in_tmp: Path) -> None:
    both([("a", 40, 44), ("b", 41, 45), ("c", 42, 46)])
    other = make("other-signature", hour=3)
    give_score(other, 10, signature=OTHER)
    give_score(other, 99, name="dev.vllm.untuned", untuned=True)
    note_score(other, "47")
    unsigned = make("unsigned", hour=2)
    give_score(unsigned, 10, signature=None)
    note_score(unsigned, "47")
    note_score(make("no-score", hour=1), "48")
    agreement = read_ledger(RUNS).agreement
    assert agreement is not None
    assert [name for name, _, _ in agreement.runs] == ["a", "b", "c"]
    assert lines()[-1] == (
        "  left out, without a local score of the same data and signature: other-signature, unsigned, no-score"
    )
    assert "(dev.csv, signature A)" in lines()[-3]


def test_the_last_score_of_each_side_counts(in_tmp: Path) -> None:
    both([("a", 40, 44), ("b", 41, 45), ("c", 42, 46)])
    note_score(open_run(RUNS, "a"), "48")
    give_score(open_run(RUNS, "b"), 43, name="dev.hf", hour=13)
    agreement = read_ledger(RUNS).agreement
    assert agreement is not None
    assert agreement.runs == (("a", 40.0, 48.0), ("b", 43.0, 45.0), ("c", 42.0, 46.0))
    assert agreement.swapped == (("b", "c"), ("b", "a"), ("c", "a"))


def test_one_run_in_detail(in_tmp: Path) -> None:
    latest = make("newer", hour=11, made=recipe(learning_rate=1e-4))
    mark_latest(latest)
    run = make("a")
    give_score(run, 47.5, interval={"low": 46.04, "high": 48.96, "confidence": 0.95})
    give_score(run, 25, name="dev.hf.untuned", signature=OTHER, untuned=True, hour=11)
    submit(run, "x")
    noted, _ = note_score(run, "51.24", "공개")
    ledger = read_ledger(RUNS)
    page = run_page(ledger, entry("a"))
    assert page.facts == (
        "run        runs/a",
        "state      finished",
        "began      2026-03-01 10:00",
        "finished   2026-03-01 10:30",
        "training   30.0 min, 779 steps, 5,000,000 tokens, last loss 1.250",
        "model      x/y-8b, nf4",
        "prompt     expert eeeeeeee",
        "train      train.csv aaaaaaaa, 12,457 rows",
        "adapter    1.2 MB, r 16, aaaaaaaa",
        "submission 2d711642",
        "seed       42",
        "device     cuda, H100, bfloat16",
        "versions   llm-summ 0.1.0",
    )
    scores, posted, fields = page.tables
    assert scores.rows == (
        (
            "dev.csv",
            "dddddddd",
            "vllm",
            "56.50",
            "38.50",
            "47.50",
            "47.50 [46.04, 48.96]",
            "2026-03-02 12:00",
            "A",
        ),
        ("dev.csv", "dddddddd", "hf, untuned", "34.00", "16.00", "25.00", "25.00", "2026-03-02 11:00", "B"),
    )
    assert posted.rows == (("51.24", noted.noted[:16].replace("T", " "), "2d711642", "공개"),)
    assert fields.headers == ("field", "a", "recipes/qlora.yaml", "newer (latest)")
    assert ("train.learning_rate", "0.0002", "0.0005", "0.0001") in fields.rows
    assert ("model.base", "x/y-8b", "embedded:gemma-3-270m", "x/y-8b") in fields.rows
    assert "seed" not in [row[0] for row in fields.rows]
    assert page.lines[1] == "signature B  as A, but v:0.2.0 (not v:0.1.0)"
    _, out, _ = runs("a", "--json")
    found = json.loads(out)
    assert found["differs"]["train.learning_rate"] == {
        "a": 0.0002,
        "recipes/qlora.yaml": 0.0005,
        "newer (latest)": 0.0001,
    }
    assert found["leaderboard"] == [noted.to_json()]


def test_the_latest_run_is_compared_with_the_bundled_recipe_alone(in_tmp: Path) -> None:
    mark_latest(make("a"))
    for name in ("a", "latest"):
        _, out, _ = runs(name, "--json")
        found = json.loads(out)
        assert (found["name"], found["latest"]) == ("a", True)
        assert set(found["differs"]["train.learning_rate"]) == {"a", "recipes/qlora.yaml"}


def test_everything_for_programs(in_tmp: Path) -> None:
    run = make("a")
    path = give_score(run, 47.5, interval={"low": 46, "high": 49, "confidence": 0.95})
    sha256 = submit(run, "x")
    mark_latest(run)
    code, out, _ = runs("--json")
    assert code == 0
    found = json.loads(out)
    [one] = found["runs"]
    assert one["scores"] == [{"file": str(path)} | json.loads(path.read_text(encoding="utf-8"))]
    assert one["manifest"] == run.manifest()
    assert one["recipe"]["train.learning_rate"] == 2e-4
    assert {key: value for key, value in one.items() if key not in ("scores", "manifest", "recipe")} == {
        "name": "a",
        "path": "runs/a",
        "latest": True,
        "state": "finished",
        "reasons": [],
        "leaderboard": [],
        "adapter_bytes": 1_200_000,
        "submission_sha256": sha256,
        "compared": str(path),
    }
    assert {key: value for key, value in found.items() if key != "runs"} == {
        "varying": [],
        "signatures": [SIGNATURE],
        "same_adapters": {},
        "same_submissions": {},
        "leaderboard": None,
    }


def test_a_score_is_noted_from_the_command_line(in_tmp: Path) -> None:
    run = make("a")
    assert runs("--add-lb", "a", "51.24", "--note", "공개") == (0, "runs/a/leaderboard.json\n", "a: 51.24 noted\n")
    [noted] = entry("a").leaderboard
    assert noted.note == "공개"
    code, out, err = runs("--add-lb", "a", "51.24")
    assert (code, out) == (0, "runs/a/leaderboard.json\n")
    assert err == f"a: 51.24 was noted on {noted.noted}; nothing was changed\n"
    sha256 = submit(run, "x")
    assert runs("--add-lb", "a", "51.24")[2] == f"a: 51.24 of submission.csv {sha256[:8]} noted\n"


def test_a_run_that_is_not_there(in_tmp: Path) -> None:
    make("lr1e-4")
    for arguments in (["--add-lb", "lr1e4", "50"], ["lr1e4"]):
        with pytest.raises(RunError, match=r"^--run lr1e4: no such run in runs; did you mean lr1e-4\?$"):
            runs(*arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--note", "x"], "--note needs --add-lb, the score that it is about"),
        (["a", "--sort", "score"], "NAME and --sort exclude each other; choose one"),
        (["a", "--add-lb", "a", "5"], "--add-lb notes a score; leave out NAME, --sort and --json"),
        (["--json", "--add-lb", "a", "5"], "--add-lb notes a score; leave out NAME, --sort and --json"),
    ],
)
def test_options_that_exclude_each_other(in_tmp: Path, arguments: list[str], said: str) -> None:
    code, out, err = runs(*arguments)
    assert (code, out) == (2, "")
    assert said in err


RECIPES = [*sorted(bundled_dir("recipes").glob("*.yaml"))]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_fields_are_those_of_the_recipe(path: Path) -> None:
    tree = load_recipe(path).model_dump()
    fields = read_fields(path)
    assert fields["train.learning_rate"] == tree["train"]["learning_rate"]
    assert fields["post"] == tree["post"]
    assert len(fields) == sum(len(section) if isinstance(section, dict) else 1 for section in tree.values())


@pytest.mark.parametrize(
    "text",
    [
        "model: &m\n  base: x\ndata:\n  train: a.csv\n",
        '"model":\n  base: x\n"data": {train: a.csv}\n',
        "model:\n# a comment\n  base: x\ndata:\n  train: |\n    a.csv\n",
        "{model: {base: x}, data: {train: a.csv}}",
        "model:\n  base: x\ndata:\n  train:\n  - a.csv\n  - 나.csv\npost:\n- strip\n",
        "---\nmodel: {base: x}\ndata: {train: a.csv}\nlora:\n",
    ],
)
def test_recipes_that_are_written_otherwise(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    again = tmp_path / "again.yaml"
    again.write_text(dump_recipe(load_recipe(path)), encoding="utf-8")
    assert read_fields(path) == read_fields(again)
    assert read_fields(path)["model.base"] == "x"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_run_that_may_not_be_read(in_tmp: Path) -> None:
    path = make("a").path
    path.chmod(0)
    try:
        assert entry("a").reasons == ("runs/a: Permission denied",)
    finally:
        path.chmod(0o755)
