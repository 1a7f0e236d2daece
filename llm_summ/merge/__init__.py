"""The adapter merged into its base: a folder that transformers and vLLM serve, checked, described, pushed."""
