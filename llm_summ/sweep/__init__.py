"""Comparison of decoding and post-processing settings by their scores on data with references."""

from llm_summ.sweep.grid import Setting, grid
from llm_summ.sweep.job import SettingSweep, Swept, sweep

__all__ = ["Setting", "SettingSweep", "Swept", "grid", "sweep"]
