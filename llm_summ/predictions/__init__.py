"""Raw predictions: their files, their identity, the data that they belong to, and their summaries."""
