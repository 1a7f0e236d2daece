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
    10  check        what can be known before a training
    11  generate     engines, and what they are asked
    12  evaluate     a score and what is behind it; systems compared
    12  train        the training
    13  ledger       all runs side by side
    13  merge        an adapter merged into its base
    13  submit       submissions, written and checked
    13  sweep        settings of decoding and post-processing, scored
    14  cli          the commands
    15  __main__     the console script: errors become one line and an exit code
"""

__version__ = "0.1.0"
