"""Check a training before it starts: its plan, its memory, its duration, its risks."""
