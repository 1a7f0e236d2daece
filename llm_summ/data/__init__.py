"""Dialogues and their references, from CSV or JSONL."""

from llm_summ.data.dialogue import Dialogue, dialogue_hash
from llm_summ.data.read import copy_sample, read_dialogues, read_hypotheses, source_name

__all__ = ["Dialogue", "copy_sample", "dialogue_hash", "read_dialogues", "read_hypotheses", "source_name"]
