"""The engines: a module each, and modules that only one engine uses."""
