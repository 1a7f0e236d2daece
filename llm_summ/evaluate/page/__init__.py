"""An evaluation as one page: `matches.py`, `content.py` and `curves.py` make what `write.py` puts together."""
