"""Where the copies of an engine run."""
