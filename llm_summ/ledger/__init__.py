"""The ledger of runs: what each was made of, how it scored, and what the leaderboard said.

:mod:`~llm_summ.ledger.entry` reads one run's folder and never fails, :mod:`~llm_summ.ledger.leaderboard` keeps
leaderboard scores and says how they go with the local ones, :mod:`~llm_summ.ledger.compare` sets all runs side by
side, :mod:`~llm_summ.ledger.show` says it to people.
"""

from llm_summ.ledger.compare import Ledger, Sort, read_ledger
from llm_summ.ledger.entry import Entry, Score, read_entry
from llm_summ.ledger.leaderboard import Agreement, LeaderboardScore, leaderboard_path, note_score
from llm_summ.ledger.page import RunPage, run_page
from llm_summ.ledger.show import Listing, listing

__all__ = [
    "Agreement",
    "Entry",
    "LeaderboardScore",
    "Ledger",
    "Listing",
    "RunPage",
    "Score",
    "Sort",
    "leaderboard_path",
    "listing",
    "note_score",
    "read_entry",
    "read_ledger",
    "run_page",
]
