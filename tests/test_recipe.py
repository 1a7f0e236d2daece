"""Recipes: what is accepted, and what every refusal says."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import plain, raises
from pydantic import ValidationError

from llm_summ.core.errors import RecipeError
from llm_summ.recipe import (
    DataFields,
    EvaluationFields,
    LoraFields,
    ModelFields,
    PromptFields,
    Recipe,
    TrainFields,
    bundled_dir,
    dump_recipe,
    find_recipe,
    load_recipe,
)

LEAST = "model:\n  base: some/model\ndata:\n  train: train.csv\n"  # four lines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mine.yaml"


def refusal(path: Path, text: str, *overrides: str) -> str:
    """Return the error, with FILE for the recipe's path."""
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as error:
        load_recipe(path, overrides)
    return plain(str(error.value).replace(str(path), "FILE"))


def load(path: Path, text: str, *overrides: str) -> Recipe:
    path.write_text(text, encoding="utf-8")
    return load_recipe(path, overrides)


def test_what_a_recipe_leaves_out_has_its_default(path: Path) -> None:
    assert load(path, LEAST) == Recipe(model=ModelFields(base="some/model"), data=DataFields(train="train.csv"))


def test_a_section_of_which_every_line_is_commented_out_has_its_defaults(path: Path) -> None:
    recipe = load(path, LEAST + "train:\n  # epochs: 3\nlora:\n", "lora.r=8")
    assert recipe.train == TrainFields()
    assert recipe.lora == LoraFields(r=8)


@pytest.mark.parametrize("override", [[], ["train.method=full"], ["train.weights=full"]])
def test_the_earlier_name_of_a_field_is_read(path: Path, override: list[str]) -> None:
    """`train.method` is `train.weights`: in a file, in an override, and together with the new name."""
    text = f"{LEAST}train: {{epochs: 1, {'weights: lora' if override else 'method: full'}}}\n"
    recipe = load(path, text, "model.quantization=none", *override)
    assert (recipe.train.weights, recipe.train.epochs) == ("full", 1)
    assert "method" not in dump_recipe(recipe)
    assert load(path, f"{LEAST}train: {{method: full}}\n", "train.weights=lora").train.weights == "lora"


def test_the_earlier_name_of_a_field_keeps_its_line(path: Path) -> None:
    assert refusal(path, f"{LEAST}train:\n  method: ful\n") == snapshot(
        "FILE:6: train.weights: found 'ful', expected 'lora' or 'full'; did you mean full?"
    )
    both = refusal(path, f"{LEAST}train:\n  method: lora\n  weights: lora\n")
    assert both == snapshot(
        "FILE:6: train.method: unknown field; known fields: weights, objective, from_run, epochs, "
        "max_steps, max_minutes, learning_rate, schedule, warmup_ratio, weight_decay, max_grad_norm, "
        "batch_size, micro_batch_size, group_by_length, packing, gradient_checkpointing, optimizer, "
        "neftune_alpha, label_smoothing, log_every, log_layers, save_minutes, save_steps, "
        "keep_checkpoints, parallel, callbacks"
    )


def test_an_unknown_field_names_its_line_and_the_nearest(path: Path) -> None:
    comments = "# why\n" * 8
    text = f"{comments}{LEAST}train:\n  lerning_rate: 2e-4\n"
    assert refusal(path, text) == snapshot(
        "FILE:14: train.lerning_rate: unknown field; did you mean learning_rate?"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "lora:\n  quantum: 3\n",
            snapshot(
                "FILE:6: lora.quantum: unknown field; known fields: r, alpha, dropout, targets, rslora, init, "
                "learning_rate_ratio"
            ),
        ),
        ("trian:\n  epochs: 3\n", snapshot("FILE:5: trian: unknown field; did you mean train?")),
        (
            "zzz: 1\n",
            snapshot(
                "FILE:5: zzz: unknown field; known fields: seed, model, data, prompt, lora, train, evaluation, "
                "track, generate, post"
            ),
        ),
        (
            '"list[": 1\n',
            snapshot(
                "FILE:5: list[: unknown field; known fields: seed, model, data, prompt, lora, train, evaluation, "
                "track, generate, post"
            ),
        ),
        ("seed: x\n", snapshot("FILE:5: seed: found 'x', expected integer")),
        ("seed: 1.5\n", snapshot("FILE:5: seed: found 1.5, expected integer")),
        ("seed: true\n", snapshot("FILE:5: seed: found True, expected integer")),
        ("seed: -1\n", snapshot("FILE:5: seed: found -1, expected greater than or equal to 0")),
        ("seed: 4294967296\n", snapshot("FILE:5: seed: found 4294967296, expected less than 4294967296")),
        ("train:\n  epochs: '2'\n", snapshot("FILE:6: train.epochs: found '2', expected number")),
        (
            "train:\n  learning_rate: 0\n",
            snapshot("FILE:6: train.learning_rate: found 0, expected greater than 0"),
        ),
        (
            "train:\n  learning_rate: .inf\n",
            snapshot("FILE:6: train.learning_rate: found inf, expected a finite number"),
        ),
        (
            "train:\n  learning_rate: .nan\n",
            snapshot("FILE:6: train.learning_rate: found nan, expected a finite number"),
        ),
        (
            "train:\n  group_by_length: yes\n",
            snapshot("FILE:6: train.group_by_length: found 'yes', expected boolean"),
        ),
        ("lora:\n  dropout: 1\n", snapshot("FILE:6: lora.dropout: found 1, expected less than 1")),
        (
            "generate:\n  engine: vlm\n",
            snapshot(
                "FILE:6: generate.engine: found 'vlm', expected 'auto', 'vllm', 'hf', 'openai' or 'echo'; did you "
                "mean vllm?"
            ),
        ),
        (
            "prompt:\n  truncation: 7\n",
            snapshot("FILE:6: prompt.truncation: found 7, expected 'middle', 'head', 'tail' or 'error'"),
        ),
        (
            "lora:\n  targets: all_linear\n",
            snapshot(
                "FILE:6: lora.targets: found 'all_linear', expected 'all-linear' or a list of texts; did you mean "
                "all-linear?"
            ),
        ),
        ("train: 3\n", snapshot("FILE:5: train: found 3, expected a section with weights, objective, from_run …")),
        (
            "train:\n  micro_batch_size: atuo\n",
            snapshot("FILE:6: train.micro_batch_size: found 'atuo', expected a whole number or 'auto'"),
        ),
        (
            "train:\n  micro_batch_size: 1.5\n",
            snapshot("FILE:6: train.micro_batch_size: found 1.5, expected a whole number or 'auto'"),
        ),
        (
            "train:\n  micro_batch_size: 0\n",
            snapshot("FILE:6: train.micro_batch_size: found 0, expected greater than or equal to 1"),
        ),
        (
            "train:\n  optimizer: adam_8bit\n",
            snapshot(
                "FILE:6: train.optimizer: found 'adam_8bit', expected 'auto', 'adamw_torch', 'adamw_8bit', "
                "'paged_adamw_8bit', 'paged_adamw_32bit', 'lion_8bit', 'adafactor' or 'sgd'; did you mean "
                "adamw_8bit?"
            ),
        ),
        (
            "train:\n  label_smoothing: 1\n",
            snapshot("FILE:6: train.label_smoothing: found 1, expected less than 1"),
        ),
        (
            "train:\n  neftune_alpha: 0\n",
            snapshot("FILE:6: train.neftune_alpha: found 0, expected greater than 0"),
        ),
        (
            "lora:\n  init: pissa\n",
            snapshot("FILE:6: lora.init: found 'pissa', expected 'default', 'gaussian' or 'eva'"),
        ),
        (
            "lora:\n  learning_rate_ratio: 0.5\n",
            snapshot("FILE:6: lora.learning_rate_ratio: found 0.5, expected greater than or equal to 1"),
        ),
        (
            "evaluation:\n  every: epochs\n",
            snapshot("FILE:6: evaluation.every: found 'epochs', expected a whole number or 'epoch' or 'never'"),
        ),
        (
            "evaluation:\n  every: true\n",
            snapshot("FILE:6: evaluation.every: found True, expected a whole number or 'epoch' or 'never'"),
        ),
        (
            "evaluation:\n  rows: 0\n",
            snapshot("FILE:6: evaluation.rows: found 0, expected greater than or equal to 1"),
        ),
        (
            "evaluation:\n  pick: scores\n",
            snapshot(
                "FILE:6: evaluation.pick: found 'scores', expected 'score', 'loss' or 'last'; did you mean score?"
            ),
        ),
        (
            "track: [mlflow]\n",
            snapshot("FILE:5: track: found 'mlflow', expected 'wandb', 'trackio' or 'tensorboard'"),
        ),
        ("track: wandb\n", snapshot("FILE:5: track: found 'wandb', expected list")),
        (
            "track: [wandb, wandb]\n",
            snapshot("FILE:5: track: [wandb, wandb] names a tracker twice; name each once"),
        ),
        (
            "post: [strip, strp]\n",
            snapshot(
                "FILE:5: post: found 'strp', expected 'clean_characters', 'repair_tags', 'drop_prompt', "
                "'cut_loops', 'drop_repeats', 'repair_speakers', 'strip', 'join_lines', 'collapse_whitespace', "
                "'cut_unfinished', 'whole_sentences' or 'cut_to_limit'; did you mean strip?"
            ),
        ),
        ("post: strip\n", snapshot("FILE:5: post: found 'strip', expected list")),
    ],
)
def test_a_field_that_is_wrong(path: Path, text: str, said: str) -> None:
    assert refusal(path, LEAST + text) == said


def test_what_must_be_there(path: Path) -> None:
    assert refusal(path, "model:\n  quantization: none\n").splitlines() == [
        "FILE:1: model.base: missing; give it a value",
        "FILE: data: missing; give it a value",
    ]


def test_everything_that_is_wrong_is_said_at_once(path: Path) -> None:
    text = LEAST + "train:\n  epochs: -1\n  lerning_rate: 1\nseed: x\npost: [a, b]\n"
    assert sorted(refusal(path, text).splitlines()) == snapshot(
        [
            "FILE:6: train.epochs: found -1, expected greater than 0",
            "FILE:7: train.lerning_rate: unknown field; did you mean learning_rate?",
            "FILE:8: seed: found 'x', expected integer",
            "FILE:9: post: found 'a', expected 'clean_characters', 'repair_tags', 'drop_prompt', 'cut_loops', "
            "'drop_repeats', 'repair_speakers', 'strip', 'join_lines', 'collapse_whitespace', "
            "'cut_unfinished', 'whole_sentences' or 'cut_to_limit'",
            "FILE:9: post: found 'b', expected 'clean_characters', 'repair_tags', 'drop_prompt', 'cut_loops', "
            "'drop_repeats', 'repair_speakers', 'strip', 'join_lines', 'collapse_whitespace', "
            "'cut_unfinished', 'whole_sentences' or 'cut_to_limit'",
        ]
    )


def test_a_long_value_is_shown_in_part(path: Path) -> None:
    assert len(refusal(path, LEAST + f"seed: {'x' * 5000}\n")) < 150


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model:\n  base: [x\n", "FILE:3: not valid YAML: "),
        ("model:\n\tbase: x\n", "FILE:2: not valid YAML: "),
        (LEAST + "model:\n  base: y\n", 'FILE:5: not valid YAML: found duplicate key "model"'),
        (LEAST + "seed: 1\nseed: 2\n", 'FILE:6: not valid YAML: found duplicate key "seed"'),
        (LEAST + "---\na: 1\n", "FILE:5: not valid YAML: "),
        (LEAST + "seed: 2020-13-45\n", "FILE: not valid YAML: "),
        (LEAST + "seed: !!int\n", "FILE: not valid YAML: "),
        ("[" * 1000, "FILE: not valid YAML: "),
        ("\x01", "FILE: not valid YAML: "),
        ("- model\n", "FILE:1: found a list; expected fields such as `model:` and `data:`"),
        ("model\n", "FILE:1: found a single value; expected fields such as `model:` and `data:`"),
    ],
)
def test_a_file_that_is_no_recipe(path: Path, text: str, said: str) -> None:
    found = refusal(path, text)
    assert found.startswith(said)
    assert len(found.splitlines()) == 1


def test_an_empty_recipe_lacks_its_fields(path: Path) -> None:
    assert refusal(path, "# nothing yet\n").splitlines() == [
        "FILE: model: missing; give it a value",
        "FILE: data: missing; give it a value",
    ]


def test_a_recipe_in_another_encoding(path: Path) -> None:
    path.write_bytes(f"# 안녕\n{LEAST}".encode("cp949"))
    with raises(RecipeError) as error:
        load_recipe(path)
    assert error.message == snapshot(
        "…/mine.yaml: cannot be read ('utf-8' codec can't decode byte 0xbe in position 2: invalid start "
        "byte); expected a recipe in YAML, UTF-8"
    )


def test_a_byte_order_mark_does_no_harm(path: Path) -> None:
    assert load(path, "\ufeff" + LEAST).model.base == "some/model"


def test_anchors_and_merges_are_yaml(path: Path) -> None:
    """The line of a merged key is that of its section."""
    assert load(path, LEAST + "seed: &n 8\nlora:\n  r: *n\n").lora.r == 8
    said = refusal(path, LEAST + "lora: &a\n  r: 8\ntrain:\n  <<: *a\n")
    assert plain(said) == snapshot(
        "FILE:7: train.r: unknown field; known fields: weights, objective, from_run, epochs, max_steps, "
        "max_minutes, learning_rate, schedule, warmup_ratio, weight_decay, max_grad_norm, batch_size, "
        "micro_batch_size, group_by_length, packing, gradient_checkpointing, optimizer, neftune_alpha, "
        "label_smoothing, log_every, log_layers, save_minutes, save_steps, keep_checkpoints, parallel, "
        "callbacks"
    )


def test_an_alias_within_its_own_anchor_ends(path: Path) -> None:
    said = refusal(path, LEAST + "lora: &a\n  r: *a\n")
    assert plain(said) == snapshot("FILE:6: lora.r: found None, expected integer")


@pytest.mark.parametrize("written", ["2e-4", "2E-4", "2.0e-4", "0.0002", "+2e-4"])
def test_a_number_may_be_written_in_any_way(path: Path, written: str) -> None:
    assert load(path, f"{LEAST}train:\n  learning_rate: {written}\n").train.learning_rate == 2e-4
    assert load(path, LEAST, f"train.learning_rate={written}").train.learning_rate == 2e-4


def test_on_and_off_are_words(path: Path) -> None:
    """As in YAML 1.2; in YAML 1.1 they would be booleans."""
    assert load(path, LEAST + "train:\n  gradient_checkpointing: off\n").train.gradient_checkpointing == "off"


def test_overrides_win_and_the_last_of_them(path: Path) -> None:
    text = LEAST + "seed: 1\ntrain:\n  epochs: 3\n"
    overrides = (
        "seed=2",
        "seed=3",
        "train.learning_rate=1e-4",
        "lora.targets=[q_proj, v_proj]",
        "data.dev=dev.csv",
    )
    recipe = load(path, text, *overrides, "post=[]")
    assert recipe.seed == 3
    assert (recipe.train.epochs, recipe.train.learning_rate) == (3, 1e-4)
    assert recipe.lora.targets == ["q_proj", "v_proj"]
    assert recipe.data == DataFields(train="train.csv", dev="dev.csv")
    assert recipe.post == []


def test_an_override_may_hold_an_equals_sign_and_mend_a_wrong_field(path: Path) -> None:
    recipe = load(path, LEAST + "seed: x\n", "data.train=a=b.csv", "seed=7")
    assert (recipe.data.train, recipe.seed) == ("a=b.csv", 7)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "train.lerning_rate=1",
            snapshot("--set train.lerning_rate=1: train.lerning_rate: unknown field; did you mean learning_rate?"),
        ),
        ("sead=1", snapshot("--set sead=1: sead: unknown field; did you mean seed?")),
        ("train.epochs=many", snapshot("--set train.epochs=many: train.epochs: found 'many', expected number")),
        ("seed=", snapshot("--set seed=: seed: found None, expected integer")),
        ("seed", snapshot("--set seed: expected key=value, such as train.learning_rate=1e-4")),
        ("=3", snapshot("--set =3: expected key=value, such as train.learning_rate=1e-4")),
        (
            "train..epochs=3",
            snapshot("--set train..epochs=3: expected key=value, such as train.learning_rate=1e-4"),
        ),
        ("seed=[1", snapshot("--set seed=[1: the value is not valid YAML")),
        ("seed=2020-13-45", snapshot("--set seed=2020-13-45: the value is not valid YAML")),
        ("data.train.x=1", snapshot("--set data.train.x=1: data.train is a single value, not a section")),
        (
            "train=3",
            snapshot("--set train=3: train: found 3, expected a section with weights, objective, from_run …"),
        ),
        (
            "train.micro_batch_size=x",
            snapshot(
                "--set train.micro_batch_size=x: train.micro_batch_size: found 'x', expected a whole number or "
                "'auto'"
            ),
        ),
        (
            "lora.x.y=3",
            snapshot(
                "--set lora.x.y=3: lora.x: unknown field; known fields: r, alpha, dropout, targets, rslora, init, "
                "learning_rate_ratio"
            ),
        ),
    ],
)
def test_an_override_that_is_wrong(path: Path, override: str, said: str) -> None:
    assert refusal(path, LEAST, override) == said


@pytest.mark.parametrize(
    ("quantization", "fields", "said"),
    [
        (
            "nf4",
            "train: {weights: full}",
            snapshot(
                "FILE:5: train: weights full cannot be used with quantized weights, which cannot be trained; set "
                "model.quantization to none"
            ),
        ),
        (
            "none",
            "train: {weights: full}\nlora: {rslora: true}",
            snapshot(
                "FILE:5: train: weights full has no adapter; leave out lora.learning_rate_ratio, init and rslora"
            ),
        ),
        (
            "none",
            "train: {weights: full, from_run: first}",
            snapshot("FILE:5: train: from_run starts from an adapter, and weights full has none; set one of them"),
        ),
        (
            "nf4",
            "train: {from_run: first}\nlora: {init: eva}",
            snapshot(
                "FILE:5: train: from_run starts from a trained adapter, lora.init eva from a new one; leave one "
                "out"
            ),
        ),
        (
            "nf4",
            "train: {method: full}",
            snapshot(
                "FILE:5: train: weights full cannot be used with quantized weights, which cannot be trained; set "
                "model.quantization to none"
            ),
        ),
        (
            "nf4",
            "train: {packing: true, neftune_alpha: 5.0}",
            snapshot(
                "FILE:5: train: packing cannot be used with neftune_alpha, whose noise depends on the length of a "
                "row; choose one"
            ),
        ),
        (
            "nf4",
            "evaluation: {every: never, patience: 2}",
            snapshot("FILE:5: evaluation: patience needs evaluations; set every to epoch or to a number of steps"),
        ),
    ],
)
def test_fields_that_exclude_each_other(path: Path, quantization: str, fields: str, said: str) -> None:
    text = f"model: {{base: some/model, quantization: {quantization}}}\ndata:\n  train: train.csv\n\n{fields}\n"
    assert refusal(path, text) == said


def test_what_does_not_go_together_is_told_where_it_began(path: Path) -> None:
    of_file = LEAST + "generate: {n: 8}\n"
    assert refusal(path, of_file) == snapshot(
        "FILE:5: generate: n 8: greedy candidates would all be the same; set temperature above 0, or "
        "beams to at least 8"
    )
    assert refusal(path, of_file, "generate.max_new_tokens=100") == snapshot(
        "FILE:5: generate: n 8: greedy candidates would all be the same; set temperature above 0, or "
        "beams to at least 8"
    )
    assert refusal(path, LEAST, "generate.engine=hf", "generate.n=8") == snapshot(
        "--set generate.n=8: generate: n 8: greedy candidates would all be the same; set temperature "
        "above 0, or beams to at least 8"
    )


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("train.micro_batch_size=3", 3),  # it need not divide the batch
        ("train.micro_batch_size=64", 64),  # or be smaller
        ("train.micro_batch_size=auto", "auto"),
        ("train.max_grad_norm=0", 0),
        ("train.save_minutes=null", None),
        ("lora.learning_rate_ratio=16", 16),
        ("evaluation.every=100", 100),
        ("evaluation.rows=null", None),
        ("evaluation.patience=3", 3),
    ],
)
def test_what_may_be_set(path: Path, override: str, value: object) -> None:
    section, field = override.partition("=")[0].split(".")
    assert load(path, LEAST, override).model_dump()[section][field] == value


def test_a_recipe_cannot_be_changed(path: Path) -> None:
    recipe = load(path, LEAST)
    with pytest.raises(ValidationError):
        recipe.seed = 3  # type: ignore[misc]
    with pytest.raises(ValidationError):
        recipe.train.epochs = 3  # type: ignore[misc]


words = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff"), min_size=1)
positive = st.floats(min_value=1e-12, max_value=1e12, allow_nan=False)
recipes = st.builds(
    Recipe,
    seed=st.integers(0, 2**32 - 1),
    model=st.builds(ModelFields, base=words, revision=words | st.none()),
    data=st.builds(DataFields, train=words, dev=words | st.none()),
    prompt=st.builds(PromptFields, max_prompt_tokens=st.integers(16, 10**9)),
    lora=st.builds(LoraFields, targets=st.just("all-linear") | st.lists(words, max_size=3)),
    train=st.builds(
        TrainFields,
        epochs=positive,
        learning_rate=positive,
        max_steps=st.none() | st.integers(1),
        micro_batch_size=st.just("auto") | st.integers(1),
        neftune_alpha=st.none() | positive,
    ),
    evaluation=st.builds(
        EvaluationFields,
        every=st.just("epoch") | st.integers(1),
        rows=st.none() | st.integers(1),
        patience=st.none() | st.integers(1),
    ),
    track=st.lists(st.sampled_from(["wandb", "trackio", "tensorboard"]), unique=True),
    post=st.lists(st.sampled_from(["strip", "join_lines", "cut_unfinished"])),
)


@settings(deadline=None, max_examples=40)
@given(recipes)
def test_a_dumped_recipe_is_the_same_recipe(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe) -> None:
    path = tmp_path_factory.getbasetemp() / "dumped.yaml"
    text = dump_recipe(recipe)
    path.write_text(text, encoding="utf-8", newline="")
    assert load_recipe(path) == recipe


def test_a_dumped_recipe_writes_every_field_out() -> None:
    text = dump_recipe(Recipe(model=ModelFields(base="x"), data=DataFields(train="한글.csv")))
    for section in (ModelFields, PromptFields, LoraFields, TrainFields, EvaluationFields):
        assert all(f"  {name}:" in text for name in section.model_fields)
    assert "한글.csv" in text


PIECES = (
    *LEAST.splitlines(keepends=True),
    *(
        "train:",
        "seed: ",
        "\n",
        "  ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ":",
        "'",
        '"',
        "&a ",
        "*a",
        "<<: ",
        "!x ",
        "!!int ",
    ),
    *("!!timestamp ", "? ", "|", "~", "1", "2e-4", "#", "%", "가", "\t", "---\n"),
)


# An anchor that is set twice is YAML; the reader warns of it.
@pytest.mark.filterwarnings("ignore::ruamel.yaml.error.YAMLWarning")
@settings(deadline=None, max_examples=80)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_any_text_is_a_recipe_or_is_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, encoding="utf-8", newline="")
    refused = ""
    try:
        assert isinstance(load_recipe(path), Recipe)
    except RecipeError as error:
        refused = str(error)
    assert all(line.startswith(str(path)) for line in refused.splitlines())


@pytest.mark.parametrize("name", sorted(path.name for path in bundled_dir("recipes").glob("*.yaml")))
def test_every_bundled_recipe_is_valid(name: str) -> None:
    recipe = load_recipe(bundled_dir("recipes") / name)
    assert load_recipe(find_recipe(Path(name).stem)) == recipe


def test_a_recipe_is_found_by_its_path(in_tmp: Path) -> None:
    (in_tmp / "qlora.yaml").write_text(LEAST, encoding="utf-8")
    assert find_recipe("qlora.yaml") == Path("qlora.yaml")


@pytest.mark.parametrize("name", ["recipes/qlora.yaml", "qlora.yaml", "qlora"])
def test_a_bundled_recipe_is_found_by_its_name(in_tmp: Path, name: str) -> None:
    assert find_recipe(name) == bundled_dir("recipes") / "qlora.yaml"


def test_a_recipe_that_is_not_there(in_tmp: Path) -> None:
    (in_tmp / "folder").mkdir()
    for name, said in (
        ("qlroa", snapshot("qlroa: no such file; expected a recipe in YAML; did you mean recipes/qlora.yaml?")),
        (
            "elsewhere/qlora.yaml",
            snapshot(
                "elsewhere/qlora.yaml: no such file; expected a recipe in YAML; did you mean recipes/qlora.yaml?"
            ),
        ),
        (
            "folder",
            snapshot(
                "folder: is a folder; expected a recipe in YAML; bundled recipes: kobart.yaml, "
                "kobart-base-v2.yaml, mbart-large-50.yaml, pko-t5-large.yaml, qlora.yaml, "
                "qlora-exaone-4.0-32b.yaml, qlora-gemma-2-9b.yaml, qlora-kanana-1.5-8b.yaml, "
                "qlora-qwen3-14b.yaml, qlora-qwen3-8b.yaml, qlora-solar-10.7b.yaml, t5-large-korean.yaml"
            ),
        ),
        (
            "zzzzzzzz.yaml",
            snapshot(
                "zzzzzzzz.yaml: no such file; expected a recipe in YAML; bundled recipes: kobart.yaml, "
                "kobart-base-v2.yaml, mbart-large-50.yaml, pko-t5-large.yaml, qlora.yaml, "
                "qlora-exaone-4.0-32b.yaml, qlora-gemma-2-9b.yaml, qlora-kanana-1.5-8b.yaml, "
                "qlora-qwen3-14b.yaml, qlora-qwen3-8b.yaml, qlora-solar-10.7b.yaml, t5-large-korean.yaml"
            ),
        ),
    ):
        with raises(RecipeError) as error:
            find_recipe(name)
        assert error.message == said


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            "{base_quantization: nf4, engine: vllm}",
            snapshot(
                "…/r.yaml:3: generate: base_quantization nf4 works only with the engine hf, found vllm; leave one "
                "of them out"
            ),
        ),
        (
            "{base_quantization: nf4, engine: openai}",
            snapshot(
                "…/r.yaml:3: generate: base_quantization nf4 works only with the engine hf, found openai; leave "
                "one of them out"
            ),
        ),
        (
            "{beams: 4, engine: vllm}",
            snapshot(
                "…/r.yaml:3: generate: beams 4 works only with the engine hf, found vllm; leave one of them out"
            ),
        ),
        (
            "{no_repeat_ngram: 2, engine: echo}",
            snapshot(
                "…/r.yaml:3: generate: no_repeat_ngram 2 works only with the engine hf, found echo; leave one of "
                "them out"
            ),
        ),
        (
            "{base_quantization: nf4, adapter: merge}",
            snapshot(
                "…/r.yaml:3: generate: adapter merge and base_quantization nf4 exclude each other; choose one"
            ),
        ),
    ],
)
def test_generate_fields_that_exclude_each_other(tmp_path: Path, fields: str, said: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(f"model: {{base: x}}\ndata: {{train: t.csv}}\ngenerate: {fields}\n", encoding="utf-8")
    with raises(RecipeError) as error:
        load_recipe(path)
    assert error.message == said


def test_what_auto_means() -> None:
    train = TrainFields()
    assert (train.checkpoints(on_gpu=True), train.checkpoints(on_gpu=False)) == (True, False)
    assert TrainFields(gradient_checkpointing="on").checkpoints(on_gpu=False)
    assert not TrainFields(gradient_checkpointing="off").checkpoints(on_gpu=True)
    assert train.optimizer_name(on_gpu=True) == "paged_adamw_8bit"
    assert train.optimizer_name(on_gpu=False) == "adamw_torch"
    assert TrainFields(optimizer="paged_adamw_8bit").optimizer_name(on_gpu=False) == "paged_adamw_8bit"
    assert TrainFields(optimizer="adafactor").optimizer_name(on_gpu=True) == "adafactor"
