"""Raw predictions: the files that hold them, what made them, which data they belong to, and their summaries."""
