"""Dialogues and their references, from CSV, JSONL or parquet."""

from llm_summ.data.dialogue import Dialogue, dialogue_hash
from llm_summ.data.read import read_dialogues, read_hypotheses
from llm_summ.data.source import copy_sample, source_name

__all__ = ["Dialogue", "copy_sample", "dialogue_hash", "read_dialogues", "read_hypotheses", "source_name"]
