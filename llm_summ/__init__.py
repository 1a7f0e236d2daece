"""Fine-tune a language model to summarise Korean dialogue, and know its score.

The package is a row of rooms in the order in which the data flow::

    CSV -data-> Dialogue -prompt-> token ids -sft-> adapter
                                 `-generate-> raw predictions -post-> summaries -score-> scores

A room imports only rooms that come before it: cli, sft, generate, model, post and score, prompt, data,
and last recipe, run, files and errors.
"""

__version__ = "0.1.0"
