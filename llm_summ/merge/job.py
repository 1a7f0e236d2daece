"""One merge: the folder with its weights and other files, its verification, and the upload to a hub."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llm_summ.core.errors import DataError, InputError
from llm_summ.core.files import write_json, write_text
from llm_summ.core.formatting import utc_now
from llm_summ.core.optional_packages import quiet_libraries, require
from llm_summ.core.progress import say
from llm_summ.data import Dialogue, read_dialogues
from llm_summ.merge.card import copy_terms, model_card, prompt_facts
from llm_summ.merge.push import check_push, push
from llm_summ.merge.verification import MergeVerification
from llm_summ.merge.verify import MergeSources, texts_folder, verify_merge
from llm_summ.models.adapter import MERGED_FROM, VERIFIED_BY, merged_folder, merged_stamp
from llm_summ.models.base import base_location, load_tokenizer, pick_dtype
from llm_summ.models.device import find_device
from llm_summ.models.families import ModelFamily, family_of
from llm_summ.models.gate import pass_gate
from llm_summ.models.trained_weights import trained_weights
from llm_summ.models.vllm_support import serves
from llm_summ.prompt.saved_prompt import trained_renderer
from llm_summ.recipe import Recipe, dump_recipe
from llm_summ.runs.run import Run, environment

__all__ = ["Merged", "merge"]


@dataclass(frozen=True, slots=True)
class Merged:
    """A merged folder.

    Attributes:
        folder: with weights, tokenizer, prompt, recipe and card.
        facts: the content of ``merge.json``: the sources of the folder, and its verification.
        verification: of this merge; None if it was not verified now.
        pushed: the address of the repository, if it was pushed.
        is_served: whether vLLM serves such a model.
    """

    folder: Path
    facts: dict[str, Any]
    verification: MergeVerification | None
    pushed: str | None
    is_served: bool

    def to_json(self) -> dict[str, Any]:
        """Return the folder with its facts for programs."""
        return {"folder": str(self.folder), **self.facts, "pushed": self.pushed}


@dataclass(frozen=True, slots=True)
class MergeRequest:
    """Options of a merge.

    Attributes:
        out: the folder to write; by default `Run.merged`, which `generate` also uses.
        dtype: to merge and write in; None takes `generate.dtype` of the recipe.
        verify: whether to generate with the result and with its sources; None verifies if there are data.
        source: the data to verify with; by default the recipe's dev data.
        rows: number of dialogues to verify with, chosen by the recipe's seed.
        overrides: ``generate.KEY=VALUE``, instead of the values of the run's recipe.
        force: replace a folder that was not made by a merge.
        push_to: ``owner/name`` on the hub.
        public: whether that repository is public.
    """

    out: Path | None = None
    dtype: Literal["auto", "bfloat16", "float16", "float32"] | None = None
    verify: bool | None = None
    source: str | None = None
    rows: int = 64
    overrides: Sequence[str] = ()
    force: bool = False
    push_to: str | None = None
    public: bool = False


_DEFAULTS = MergeRequest()


def merge(run: Run, request: MergeRequest = _DEFAULTS) -> Merged:
    """Merge a run's adapter into its full-precision base; if all weights were trained, write them.

    Args:
        run: the run.
        request: the options.

    Raises:
        InputError: an input is invalid, or another process merges the run; nothing was merged.
        LlmSummError: the folder cannot be written, or cannot be pushed.
        GenerationError: the verification failed; the merged folder is complete.
    """
    recipe = run.recipe(request.overrides)
    with run.lock_merged(wait=False):
        return _merge(run, recipe, request)


def _merge(run: Run, recipe: Recipe, request: MergeRequest) -> Merged:
    folder = request.out or run.merged
    _check_folder(folder, run, recipe.model.base, request.force)
    require("torch", "transformers", "peft", extra="train", why="`llm-summ merge`")
    quiet_libraries()
    weights = trained_weights(recipe).stored(run)
    adapter = weights.adapter
    dialogues = _dialogues(recipe, request, merges=adapter is not None)
    if dialogues and recipe.model.quantization != "none":
        require("bitsandbytes", extra="train", why="the quantized base of the verification (or: --no-verify)")
    if request.push_to is not None:
        check_push(request.push_to)
    location = str(weights.model or base_location(recipe.model))
    base_facts, _ = pass_gate(recipe, location, "merge")
    tokenizer = load_tokenizer(recipe.model, str(weights.folder))
    renderer = trained_renderer(run, recipe.prompt, tokenizer)
    device = find_device()
    name = pick_dtype(recipe.model, location, device, request.dtype or recipe.generate.dtype)
    merged_folder(run, recipe.model, location, device, name, renderer.stop_id, folder)

    trained = _without_paths(run.recipe())
    prompt = prompt_facts(renderer, tokenizer)
    family = family_of(base_facts)
    facts = _facts(run, folder, family)

    def describe() -> None:
        write_text(folder / "prompt.md", run.prompt_path.read_text(encoding="utf-8"))
        kept = (run.length_path, run.frame_path, run.budget_path, run.limits_path, run.examples_path)
        for path in kept:
            if path.is_file():
                shutil.copyfile(path, folder / path.name)
        write_text(folder / "recipe.yaml", dump_recipe(trained))
        copy_terms(location if adapter is not None else recipe.model.base, folder)
        card = model_card(recipe, location, facts, prompt, family)
        write_text(folder / "README.md", card)
        write_json(folder / VERIFIED_BY, facts)

    describe()  # the folder is usable even if the verification or the upload fails
    if run.examples_path.is_file():
        examples = folder / run.examples_path.name
        say(f"{examples}: training dialogues, for the few-shot prompt; --push does not upload them")
    verification = None
    if dialogues and adapter is not None:
        data = request.source or recipe.data.dev or ""
        sources = MergeSources(run, recipe, adapter, location, device, name)
        verification = verify_merge(sources, folder, renderer, data, dialogues)
        verification.write_texts(texts_folder(run))
        facts["verification"] = verification.to_json()
        describe()
    pushed = push(folder, request.push_to, public=request.public) if request.push_to else None
    return Merged(folder, facts, verification, pushed, serves(family))


def _without_paths(recipe: Recipe) -> Recipe:
    """Return the recipe with file names instead of paths, since the merged folder may be published."""

    def name(source: str) -> str:
        return Path(source).expanduser().name if source.startswith(("/", "~", "..")) else source

    data = recipe.data
    train = [name(source) for source in data.train_sources]
    return recipe.model_copy(
        update={
            "data": data.model_copy(
                update={
                    "train": train[0] if isinstance(data.train, str) else train,
                    "dev": data.dev and name(data.dev),
                    "test": data.test and name(data.test),
                }
            ),
            "model": recipe.model.model_copy(update={"base": name(recipe.model.base)}),
            "prompt": recipe.prompt.model_copy(update={"template": name(recipe.prompt.template)}),
        }
    )


def _check_folder(folder: Path, run: Run, base: str, force: bool) -> None:
    """Raise if the folder was not written by a merge, or contains files that must never be replaced."""
    whole = folder.resolve()
    needed = [path.resolve() for path in (Path.cwd(), Path.home(), run.path, Path(base).expanduser())]
    if any(path.is_relative_to(whole) for path in needed):
        raise InputError(f"--out {folder}: holds files that must not be replaced; name another folder")
    if not folder.exists() or merged_stamp(folder) is not None:
        return
    if not folder.is_dir():
        raise InputError(f"--out {folder}: is a file; name a folder")
    of_the_run = whole.is_relative_to(run.path.resolve()) and whole != run.merged.resolve()
    if any(folder.iterdir()) and (of_the_run or not force):
        raise InputError(
            f"{folder}: exists, and was not written by `llm-summ merge` (no {MERGED_FROM}); name another folder "
            "with --out" + ("" if of_the_run else ", or replace it and everything in it with --force")
        )


def _dialogues(recipe: Recipe, request: MergeRequest, *, merges: bool) -> list[Dialogue]:
    """Return the dialogues to verify with; none if `verify` is False, or if it is None and there are no data."""
    if request.verify is False:
        return []
    if not merges:
        say("Not verified: all weights were trained, so nothing is merged")
        return []
    data = request.source or recipe.data.dev
    if data is None:
        if request.verify:
            raise InputError("--verify: the recipe has no data.dev; name a file with --data")
        say("Not verified: the recipe has no data.dev (name a file with --data)")
        return []
    try:
        option = None if request.source else "--data PATH"
        return read_dialogues(data, references=True, shuffle=recipe.seed, limit=request.rows, option=option)
    except DataError as error:
        raise DataError(f"{error}; or skip the verification: --no-verify") from error


def _facts(run: Run, folder: Path, family: ModelFamily) -> dict[str, Any]:
    """Return the facts about a merged folder, with an earlier verification of the same weights."""
    try:
        earlier = json.loads((folder / VERIFIED_BY).read_text(encoding="utf-8")).get("verification")
    except (OSError, ValueError, AttributeError):
        earlier = None
    return {
        "run": run.name,
        "task": family.pipeline_tag,
        **(merged_stamp(folder) or {}),
        "written": utc_now(),
        "versions": environment()["versions"],
        "verification": earlier,
    }
