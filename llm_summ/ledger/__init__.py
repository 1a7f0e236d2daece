"""The ledger of runs: the settings, the local scores and the leaderboard scores of each.

- :mod:`~llm_summ.ledger.notes`: written submissions and leaderboard scores.
- :mod:`~llm_summ.ledger.entry`: read one run's folder; it never fails.
- :mod:`~llm_summ.ledger.compare`: compare all runs.
- :mod:`~llm_summ.ledger.show`: tables and lines for people.
"""

from llm_summ.ledger.compare import Agreement, Ledger, Sort, read_ledger
from llm_summ.ledger.entry import RunEntry, Score, read_entry
from llm_summ.ledger.notes import LeaderboardScore, WrittenSubmission, leaderboard_path, note_score
from llm_summ.ledger.show import Table, listing, run_page

__all__ = [
    "Agreement",
    "LeaderboardScore",
    "Ledger",
    "RunEntry",
    "Score",
    "Sort",
    "Table",
    "WrittenSubmission",
    "leaderboard_path",
    "listing",
    "note_score",
    "read_entry",
    "read_ledger",
    "run_page",
]
