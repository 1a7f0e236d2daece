"""What can be known about a training before it starts: its plan, its memory, its risks."""
