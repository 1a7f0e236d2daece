"""An evaluation as one page: `write.py` assembles the parts from `matches.py`, `content.py` and `curves.py`."""
