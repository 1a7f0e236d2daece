"""The ledger of runs: what each was made of, how it scored, and what the leaderboard said.

:mod:`~llm_summ.ledger.notes` keeps what was handed in and the leaderboard's scores, :mod:`~llm_summ.ledger.entry`
reads one run's folder and never fails, :mod:`~llm_summ.ledger.compare` sets all runs side by side,
:mod:`~llm_summ.ledger.show` says it to people.
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
