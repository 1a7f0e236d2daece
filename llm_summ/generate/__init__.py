"""Generation: token ids in, raw predictions out; stored as they come, so that a kill loses nothing."""
