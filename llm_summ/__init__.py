"""Fine-tune a language model to summarise Korean dialogue, and know its score.

The package is a row of rooms in the order in which the data flow::

    CSV -data-> Dialogue -prompt-> token ids -sft-> adapter -merge-> model
                                       |               |
                                       `----generate---'-> raw predictions -select, post-> summaries
                                                           summaries -evaluate, score-> scores
                                                           summaries -submit-> submission

A room imports only rooms with a smaller number than its own::

     1  errors     exceptions, each with its exit code
     2  batches    rows of like length in one step
     2  files      files that appear whole or grow by whole lines
     2  morphemes  mecab-ko and the other tokenizers of scores
     2  packages   optional packages, and how to install them
     2  progress   what is printed while something works
     3  locks      one process at a time changes a run
     3  recipe     every field of a training and a generation
     4  run        a run's folder and its manifest
     5  data       dialogues: reading, checking, repairing, splitting
     6  prompt     templates, and the one renderer to token ids
     7  post       steps that clean up raw predictions
     7  score      ROUGE, intervals, the leaderboard's noise
     8  select     one text of several for each dialogue
     9  model      bases, adapters, devices
    10  check      what can be known before a training
    11  generate   engines, and the raw predictions on disk
    12  evaluate   a score and what is behind it; systems compared
    12  sft        the training
    13  ledger     all runs side by side
    13  merge      an adapter merged into its base
    13  submit     submissions, written and checked
    13  sweep      settings of decoding and post-processing, scored
    14  cli        the commands
    15  __main__   the console script: errors become one line and an exit code
"""

__version__ = "0.1.0"
