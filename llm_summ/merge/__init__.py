"""Merging an adapter into its base: a folder for transformers and vLLM, its check, model card and upload."""
