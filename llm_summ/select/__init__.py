"""Selection: choose the text to submit from several texts for every dialogue, by their agreement.

:mod:`~llm_summ.select.pool` reads the files, :mod:`~llm_summ.select.mbr` chooses,
:mod:`~llm_summ.select.tune` finds settings on a dev set, :mod:`~llm_summ.select.selection` combines them::

    selection = select([Path("a.csv"), Path("b.csv"), Path("c.csv")], "test.csv", Settings.equal(3))
    selection.texts
"""

from llm_summ.select.mbr import Method, Settings
from llm_summ.select.pool import Pool, read_pool
from llm_summ.select.report import Selection
from llm_summ.select.selection import select, write_selection

__all__ = ["Method", "Pool", "Selection", "Settings", "read_pool", "select", "write_selection"]
