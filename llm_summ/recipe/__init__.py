"""A recipe holds every setting that a run depends on.

A recipe is a YAML file. Every field has its default in `fields`, so a recipe holds only what differs. An unknown
field is an error with its line and the most similar known field. Single fields are changed on the command line
with ``--set train.learning_rate=1e-4``.
"""

from llm_summ.recipe.fields import (
    DataFields,
    EvaluationFields,
    LoraFields,
    ModelFields,
    ObjectiveName,
    PostStep,
    PromptFields,
    Recipe,
    Tracker,
    TrainFields,
    WeightsName,
)
from llm_summ.recipe.generate_fields import EngineName, GenerateFields, ServerFields
from llm_summ.recipe.read import bundled_dir, dump_recipe, find_recipe, load_recipe, rename_fields

__all__ = [
    "DataFields",
    "EngineName",
    "EvaluationFields",
    "GenerateFields",
    "LoraFields",
    "ModelFields",
    "ObjectiveName",
    "PostStep",
    "PromptFields",
    "Recipe",
    "ServerFields",
    "Tracker",
    "TrainFields",
    "WeightsName",
    "bundled_dir",
    "dump_recipe",
    "find_recipe",
    "load_recipe",
    "rename_fields",
]
