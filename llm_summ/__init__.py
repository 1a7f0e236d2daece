"""Fine-tune a language model to summarise Korean dialogue, and know its score.

The package is a row of rooms in the order in which the data flow::

    CSV -data-> Dialogue -prompt-> token ids -train-> adapter -merge-> model
                                       |                 |
                                       `-----generate----'-> raw predictions -select, post-> summaries
                                                           summaries -evaluate, score-> scores
                                                           summaries -submit-> submission

A room imports only rooms with a smaller number than its own::

     1  core         errors, files, locks, progress, optional packages, tokenizers of words, engine names, compat
     2  recipe       every field of a training and a generation
     3  runs         a run's folder and its manifest
     4  data         dialogues: reading, checking, repairing, splitting
     5  prompt       templates, and the one renderer to token ids
     6  post         steps that clean up raw predictions
     6  score        ROUGE, intervals, the leaderboard's noise
     7  predictions  files of raw predictions: identity, resumption, matching to data, summaries
     8  select       one text of several for each dialogue
     9  models       bases, adapters, devices
    10  plan         what a training consists of: its tokenized examples, its steps, how long they take
    11  check        what can be known before a training
    12  generate     engines, and what they are asked
    13  evaluate     a score and what is behind it; systems compared
    13  train        the training
    14  ledger       all runs side by side
    14  merge        an adapter merged into its base
    14  submit       submissions, written and checked
    14  sweep        settings of decoding and post-processing, scored
    15  serve        summaries over HTTP
    16  cli          the commands
    17  __main__     the console script: errors become one line and an exit code

The names of `__all__` are for programs; they are imported when they are used::

    import llm_summ

    dialogues = llm_summ.read_dialogues("dev.csv")
    with llm_summ.Summarizer.open("runs/latest") as summarizer:
        texts = [summary.text for summary in summarizer.summarize(dialogues)]
    print(llm_summ.score_corpus(texts, [dialogue.references for dialogue in dialogues]).final)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm_summ.check.job import check_recipe as check_recipe
    from llm_summ.data import Dialogue as Dialogue
    from llm_summ.data import Turn as Turn
    from llm_summ.data import read_dialogues as read_dialogues
    from llm_summ.evaluate.evaluation import evaluate_file as evaluate_file
    from llm_summ.evaluate.evaluation import evaluate_run as evaluate_run
    from llm_summ.generate.summarizer import Summarizer as Summarizer
    from llm_summ.generate.summary import Summary as Summary
    from llm_summ.post import post_process as post_process
    from llm_summ.recipe import Recipe as Recipe
    from llm_summ.recipe import find_recipe as find_recipe
    from llm_summ.recipe import load_recipe as load_recipe
    from llm_summ.runs.run import Run as Run
    from llm_summ.runs.run import open_run as open_run
    from llm_summ.score import score_corpus as score_corpus
    from llm_summ.train.job import sft as sft
    from llm_summ.train.parts import TrainingParts as TrainingParts
    from llm_summ.train.parts import training_parts as training_parts

__version__ = "0.1.0"

_MODULES = {
    "Dialogue": "data",
    "Recipe": "recipe",
    "Run": "runs.run",
    "Summarizer": "generate.summarizer",
    "Summary": "generate.summary",
    "TrainingParts": "train.parts",
    "Turn": "data",
    "check_recipe": "check.job",
    "evaluate_file": "evaluate.evaluation",
    "evaluate_run": "evaluate.evaluation",
    "find_recipe": "recipe",
    "load_recipe": "recipe",
    "open_run": "runs.run",
    "post_process": "post",
    "read_dialogues": "data",
    "score_corpus": "score",
    "sft": "train.job",
    "training_parts": "train.parts",
}
"""The room and module of each public name."""

__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
