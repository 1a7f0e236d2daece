"""Base models, adapters and their merge; nothing heavy is imported before it is used."""
