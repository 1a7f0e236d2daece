"""Dialogues and their references, from data files in any of the formats in `formats/`."""

from llm_summ.data.dialogue import Dialogue, Turn, dialogue_hash
from llm_summ.data.read import read_dialogues, read_hypotheses
from llm_summ.data.source import copy_sample, source_name

__all__ = ["Dialogue", "Turn", "copy_sample", "dialogue_hash", "read_dialogues", "read_hypotheses", "source_name"]
