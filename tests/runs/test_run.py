"""Runs: their names, their folders, and the latest."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from inline_snapshot import snapshot
from messages import raises

from llm_summ import __version__
from llm_summ.core.errors import RecipeError, RunError
from llm_summ.recipe import DataFields, ModelFields, Recipe, bundled_dir
from llm_summ.runs.manifest import Manifest
from llm_summ.runs.run import Run, create_run, environment, mark_latest, open_run, run_path

PROMPT = (bundled_dir("prompts") / "plain.md").read_text(encoding="utf-8")
RECIPE = Recipe(model=ModelFields(base="x"), data=DataFields(train="train.csv"))
RUNS = Path("runs")


def kept(run: Run) -> Recipe:
    """Return the recipe as a run returns it: with the run's copy of the prompt."""
    prompt = RECIPE.prompt.model_copy(update={"template": str(run.prompt_path)})
    return RECIPE.model_copy(update={"prompt": prompt})


def make(name: str) -> Run:
    return create_run(RUNS / name, RECIPE, PROMPT, Manifest())


@pytest.mark.parametrize("name", ["lr1e-4", "a", "run.2", "대화_요약", "r16+a32", "2024"])
def test_a_name_that_can_be_a_folders(name: str) -> None:
    assert run_path(RUNS, name, "qlora") == RUNS / name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "",
            snapshot("--run '': not a run's name; expected letters, digits, '.', '-' and '_' (and not 'latest')"),
        ),
        (
            ".",
            snapshot("--run .: not a run's name; expected letters, digits, '.', '-' and '_' (and not 'latest')"),
        ),
        (
            "..",
            snapshot("--run ..: not a run's name; expected letters, digits, '.', '-' and '_' (and not 'latest')"),
        ),
        (
            "../up",
            snapshot(
                "--run ../up: not a run's name; expected letters, digits, '.', '-' and '_' (and not 'latest')"
            ),
        ),
        (
            "a/b",
            snapshot("--run a/b: not a run's name; expected letters, digits, '.', '-' and '_' (and not 'latest')"),
        ),
        (
            "-x",
            snapshot("--run -x: not a run's name; expected letters, digits, '.', '-' and '_' (and not 'latest')"),
        ),
        (
            ".hidden",
            snapshot(
                "--run .hidden: not a run's name; expected letters, digits, '.', '-' and '_' (and not 'latest')"
            ),
        ),
        (
            "latest",
            snapshot(
                "--run latest: not a run's name; expected letters, digits, '.', '-' and '_' (and not 'latest')"
            ),
        ),
        (
            "a b",
            snapshot("--run a b: not a run's name; expected letters, digits, '.', '-' and '_' (and not 'latest')"),
        ),
        (
            "a\n",
            snapshot(
                "--run 'a\\n': not a run's name; expected letters, digits, '.', '-' and '_' (and not 'latest')"
            ),
        ),
        (
            "/etc",
            snapshot(
                "--run /etc: not a run's name; expected letters, digits, '.', '-' and '_' (and not 'latest')"
            ),
        ),
    ],
)
def test_a_name_that_cannot(name: str, message: str) -> None:
    with raises(RunError) as error:
        run_path(RUNS, name, "qlora")
    assert error.message == message


def test_a_name_that_is_taken(in_tmp: Path) -> None:
    make("mine")
    with raises(RunError) as error:
        run_path(RUNS, "mine", "qlora")
    assert error.message == snapshot(
        "--run mine: runs/mine is there already; choose another name or remove that folder"
    )


def test_names_that_are_made_up_begin_with_the_recipes_and_differ(in_tmp: Path) -> None:
    made = []
    for _ in range(3):
        path = run_path(RUNS, None, "qlora")
        assert path.parent == RUNS
        assert path.name.startswith("qlora-20")
        assert not path.exists()
        path.mkdir(parents=True)
        made.append(path)
    assert len(set(made)) == 3


def test_nothing_is_written_until_a_run_is_made(in_tmp: Path) -> None:
    run_path(RUNS, "mine", "qlora")
    assert list(in_tmp.iterdir()) == []


def test_a_run_keeps_its_recipe_and_manifest(in_tmp: Path) -> None:
    run = create_run(RUNS / "mine", RECIPE, PROMPT, Manifest.model_validate({"seed": 42, "이름": "값"}))
    again = open_run(RUNS, "mine")
    assert again == run
    assert again.name == "mine"
    assert again.recipe() == kept(again)
    assert json.loads(again.manifest_path.read_text(encoding="utf-8")) == {"seed": 42, "이름": "값"}


def test_a_run_is_not_made_over_another(in_tmp: Path) -> None:
    run = create_run(RUNS / "mine", RECIPE, PROMPT, Manifest.model_validate({"seed": 1}))
    with raises(RunError) as error:
        create_run(RUNS / "mine", RECIPE, PROMPT, Manifest.model_validate({"seed": 2}))
    assert error.message == snapshot("runs/mine: is a run already; choose another name")
    assert json.loads(run.manifest_path.read_text(encoding="utf-8")) == {"seed": 1}


def test_a_folder_without_a_recipe_is_no_run(in_tmp: Path) -> None:
    (RUNS / "empty").mkdir(parents=True)
    with raises(RunError) as error:
        open_run(RUNS, "empty").recipe()
    assert error.message == snapshot("runs/empty: no recipe.yaml; expected a folder made by `llm-summ sft`")


def test_the_latest_is_the_one_that_was_marked_last(in_tmp: Path) -> None:
    first, second = make("b"), make("a")
    mark_latest(first)
    assert open_run(RUNS, None) == first
    mark_latest(second)
    assert open_run(RUNS, None) == second
    assert (RUNS / "latest").is_symlink()
    assert sorted(path.name for path in RUNS.iterdir()) == ["a", "b", "latest"]


def test_the_latest_is_found_after_the_project_moved(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (in_tmp / "old").mkdir()
    monkeypatch.chdir(in_tmp / "old")
    mark_latest(make("mine"))
    (in_tmp / "old").rename(in_tmp / "new")
    monkeypatch.chdir(in_tmp / "new")
    found = open_run(RUNS, None)
    assert found.recipe() == kept(found)


def test_the_latest_of_another_place_has_its_full_path(
    in_tmp: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    run = create_run(elsewhere / "runs" / "mine", RECIPE, PROMPT, Manifest())
    mark_latest(run)
    assert open_run(elsewhere / "runs", None).path == run.path.resolve()


def test_without_a_run_it_says_how_to_make_one(in_tmp: Path) -> None:
    with raises(RunError) as error:
        open_run(RUNS, None)
    assert error.message == snapshot(
        "runs: no finished run here; make one with `llm-summ sft recipes/qlora.yaml`, or change to the "
        "folder that has it"
    )


def test_a_latest_whose_run_was_removed_is_no_run(in_tmp: Path) -> None:
    run = make("mine")
    mark_latest(run)
    run.path.rename(RUNS / "other")
    with raises(RunError) as error:
        open_run(RUNS, None)
    assert error.message == snapshot("runs: no finished run here; runs here: other; name one: --run other")


def test_a_run_may_be_named_by_its_path(in_tmp: Path) -> None:
    run = create_run(in_tmp / "elsewhere" / "mine", RECIPE, PROMPT, Manifest())
    for name in ("elsewhere/mine", str(run.path)):
        found = open_run(RUNS, name)
        assert found.recipe() == kept(found)


def test_an_unknown_run_names_the_nearest_or_what_there_is(in_tmp: Path) -> None:
    with raises(RunError) as error:
        open_run(RUNS, "mine")
    assert error.message == snapshot("--run mine: no such run in runs; runs here: none")
    mark_latest(make("lr1e-4"))
    for name, message in (
        ("lr1e4", snapshot("--run lr1e4: no such run in runs; did you mean lr1e-4?")),
        ("zzz", snapshot("--run zzz: no such run in runs; runs here: lr1e-4")),
    ):
        with raises(RunError) as error:
            open_run(RUNS, name)
        assert error.message == message


def test_the_environment_is_what_is_installed(in_tmp: Path) -> None:
    found = environment()
    assert found["versions"]["llm-summ"] == __version__
    assert found["git"] is None  # the working directory is not in a repository


def test_the_commit_says_whether_files_were_changed(in_tmp: Path) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments], check=True, capture_output=True
        )

    (in_tmp / "a").write_text("1", encoding="utf-8")
    git("init")
    git("add", "a")
    git("commit", "-m", "first")
    commit = environment()["git"]
    assert isinstance(commit, str)
    assert len(commit) == 40
    (in_tmp / "a").write_text("2", encoding="utf-8")
    assert environment()["git"] == f"{commit}+"


def test_after_the_training_only_generation_can_be_changed(in_tmp: Path) -> None:
    run = make("mine")
    assert run.recipe(["generate.batch_size=3"]).generate.batch_size == 3
    with raises(RunError) as error:
        run.recipe(["train.epochs=3"])
    assert error.message == snapshot(
        "--set train.epochs=3: was fixed by the training; only generate.* and post can be changed now"
    )
    with raises(RecipeError) as error:
        run.recipe(["generate.batch=3"])
    assert error.message == snapshot(
        "--set generate.batch=3: generate.batch: unknown field; did you mean batch_size?"
    )
